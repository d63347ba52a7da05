package config

import (
	"fmt"
	"strings"
)

// Directive describes one configuration directive completely; nothing about it is said anywhere else.
type Directive struct {
	Name  string
	Alias string // its other name, also in CONFIG GET; empty: none
	kind  kind
	flags Flags

	status Status
	// note says, for Accepted, why the directive has no meaning here, and for Refused, what to do instead.
	note string

	index int
}

// Flags say how a directive may be set and is shown.
type Flags uint16

// The flags.
const (
	// Immutable: not by CONFIG SET.
	Immutable Flags = 1 << iota
	// Protected: by CONFIG SET only as enable-protected-configs allows.
	Protected
	// Hidden: shown by CONFIG GET only under its exact name.
	Hidden
	// Sensitive: its value appears in no log, slow log or error.
	Sensitive
	// FileOnly: known to files and the command line alone; CONFIG GET and SET do not know it.
	FileOnly
	// Multi: takes several arguments, which CONFIG SET gives as one string.
	Multi
	// DenyLoading: CONFIG SET refuses it while the data are being loaded.
	DenyLoading
	// Explicit: CONFIG REWRITE always writes it, because its default is not Redis's or not everybody's.
	Explicit
)

// Status is what becomes of a directive's value.
type Status uint8

// The statuses.
const (
	// Implemented: it does what Redis's does, or what docs/configuration.md says.
	Implemented Status = iota
	// Accepted: read, kept and shown, but there is nothing here for it to act on.
	Accepted
	// Refused: any value but the default is an error, since ignoring it would break a promise.
	Refused
)

// Flags returns the directive's flags.
func (d *Directive) Flags() Flags { return d.flags }

// Status returns what becomes of the directive's value, and for other than Implemented why.
func (d *Directive) Status() (s Status, note string) { return d.status, d.note }

// set changes v, or says why not.
func (d *Directive) set(v *Values, in input) error {
	if err := d.kind.set(v, d, in); err != nil {
		return err
	}
	if d.status == Refused {
		_, always := d.kind.(statement)
		if always || d.kind.get(v, d) != d.def() {
			return fmt.Errorf("%s is not supported: %s", d.Name, d.note)
		}
	}
	return nil
}

// def is the default's text.
func (d *Directive) def() string { return d.kind.get(catalog.defaults, d) }

// catalog is every directive, assembled from the literals of table.
var catalog = assemble(table())

type catalogue struct {
	list     []*Directive
	byName   map[string]*Directive // names and aliases, in lower case
	defaults *Values
}

func assemble(table []Directive) catalogue {
	c := catalogue{
		byName:   make(map[string]*Directive, 2*len(table)),
		defaults: &Values{spare: make([]any, len(table))},
	}
	for i := range table {
		d := &table[i]
		d.index = i
		c.list = append(c.list, d)
		for _, name := range []string{d.Name, d.Alias} {
			if name == "" {
				continue
			}
			if c.byName[name] != nil {
				panic("BUG: config: two directives named " + name)
			}
			c.byName[name] = d
		}
		d.kind.reset(c.defaults, d)
	}
	return c
}

// Lookup finds a directive by its name or alias, in any case; nil: there is none.
func Lookup(name string) *Directive {
	if d := catalog.byName[name]; d != nil {
		return d
	}
	return catalog.byName[strings.ToLower(name)]
}

// Directives returns all directives in the order of the table. The slice is not to be changed.
func Directives() []*Directive { return catalog.list }
