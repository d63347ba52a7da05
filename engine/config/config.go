// Package config holds the server's configuration: Redis's file syntax, directive names and run-time commands.
//
// Every directive is one literal in table.go: its names, the kind of its value, default and bounds, how it may be
// changed, and whether it has an effect here. From that literal come the reading of files and command lines (Read), CONFIG
// GET (Config.Get), CONFIG SET (Config.Set) and CONFIG REWRITE (Config.Rewrite).
//
// The state is one immutable Values behind an atomic pointer. Config.Load costs one atomic load and may stand in the hot path; a
// reader that needs several values consistent loads once. CONFIG SET builds the next Values, lets the owners of what changed apply it
// (OnChange), and publishes it only when all of them agreed: a reader never sees values that were then taken back.
//
// Syntax, names, error texts: https://redis.io/docs/latest/operate/oss_and_stack/management/config/ and redis-server 7.
// docs/configuration.md lists what differs.
package config

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"tidemark/engine/glob"
)

// Config is safe for concurrent use.
type Config struct {
	values atomic.Pointer[Values]

	file     string     // absolute; empty: started without one
	options  [][]string // of the command line, which come again at a restart
	accepted []string

	rewriting sync.Mutex // held by Rewrite

	mu        sync.Mutex // held by Set, OnChange, Adjust
	hooks     []hook
	resetStat []func()
}

type hook struct {
	names []string
	apply func(old, new *Values) error
}

// Load returns the values in force. They are immutable; a later change publishes others.
func (c *Config) Load() *Values { return c.values.Load() }

// File returns the absolute path of the configuration file, empty if the server was started without one.
func (c *Config) File() string { return c.file }

// Accepted names, for the start-up log, the directives that were set to something other than their default and have no
// meaning here.
func (c *Config) Accepted() []string { return slices.Clone(c.accepted) }

// OnChange has apply called when CONFIG SET changes the named directive, before the new values are published: apply
// must go by new, not by Load. An error takes the whole CONFIG SET back; it is the reason the client reads. apply then has
// to leave things as they were; those hooks that had succeeded are called again with old and new exchanged. apply runs on the
// client's thread, one at a time, and must not call Set or OnChange. Unknown names panic.
func (c *Config) OnChange(name string, apply func(old, new *Values) error) {
	c.OnChangeOf([]string{name}, apply)
}

// OnChangeOf is OnChange for several directives that are applied together: apply is called once however many of
// them changed.
func (c *Config) OnChangeOf(names []string, apply func(old, new *Values) error) {
	canonical := make([]string, len(names))
	for i, name := range names {
		d := Lookup(name)
		if d == nil {
			panic("BUG: config: hook on unknown directive " + name)
		}
		canonical[i] = d.Name
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hooks = append(c.hooks, hook{canonical, apply})
}

// OnResetStat has f called by ResetStat.
func (c *Config) OnResetStat(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resetStat = append(c.resetStat, f)
}

// ResetStat is CONFIG RESETSTAT: everybody who counts starts again at zero.
func (c *Config) ResetStat() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.resetStat {
		f()
	}
}

// Adjust changes values without asking the hooks: for the process's start, when the operating system allows less than the
// configuration wants.
func (c *Config) Adjust(f func(v *Values)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.Load().clone()
	f(v)
	c.values.Store(v)
}

// Get is CONFIG GET: alternating names and values of the directives whose names match one of patterns (globs,
// in any case). A pattern without wildcards names its directive exactly: it finds hidden ones too, and the reply repeats it as it
// was written. No directive comes twice.
func (c *Config) Get(patterns ...string) []string {
	v := c.Load()
	var out []string
	found := map[string]bool{}
	for _, p := range patterns {
		if strings.ContainsAny(p, "*?[") {
			continue
		}
		d := Lookup(p)
		if d == nil || d.flags&FileOnly != 0 || found[strings.ToLower(p)] {
			continue
		}
		found[strings.ToLower(p)] = true
		out = append(out, p, d.kind.get(v, d))
	}
	for _, d := range catalog.list {
		if d.flags&(Hidden|FileOnly) != 0 {
			continue
		}
		for _, name := range []string{d.Name, d.Alias} {
			if name == "" || found[name] {
				continue
			}
			if slices.ContainsFunc(patterns, func(p string) bool { return glob.MatchFoldString(p, name) }) {
				out = append(out, name, d.kind.get(v, d))
			}
		}
	}
	return out
}

// Caller is what CONFIG SET must know about the client.
type Caller struct {
	Local   bool // came over a loopback address or a unix socket
	Loading bool // the server is still loading its data
}

// ReplyError is an error reply's text, without the leading '-'.
type ReplyError string

// Error returns the text.
func (e ReplyError) Error() string { return string(e) }

// Set is CONFIG SET with alternating names and values: all of them, or none. The error is a ReplyError in Redis's words.
func (c *Config) Set(pairs []string, who Caller) error {
	if len(pairs)%2 != 0 || len(pairs) == 0 {
		return ReplyError("ERR syntax error")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.Load()
	set := make([]*Directive, 0, len(pairs)/2)
	names := make([]string, 0, len(pairs)/2) // in lower case; a directive and its alias count as two, as in Redis
	var refused error
	for i := 0; i < len(pairs); i += 2 {
		d := Lookup(pairs[i])
		if d == nil || d.flags&FileOnly != 0 {
			return ReplyError(fmt.Sprintf("ERR Unknown option or number of arguments for CONFIG SET - '%s'", pairs[i]))
		}
		if refused == nil {
			refused = d.settable(old, who, pairs[i])
		}
		name := strings.ToLower(pairs[i])
		if refused == nil && slices.Contains(names, name) {
			refused = failed(pairs[i], "duplicate parameter")
		}
		set, names = append(set, d), append(names, name)
	}
	if refused != nil {
		return refused
	}
	new := old.clone()
	for i, d := range set {
		if err := d.set(new, input{args: d.arguments(pairs[2*i+1 : 2*i+2]), first: true}); err != nil {
			return failed(names[i], err.Error())
		}
	}
	changed := map[string]string{} // canonical name → name as given
	for i, d := range set {
		if !slices.Equal(d.kind.lines(old, d), d.kind.lines(new, d)) {
			changed[d.Name] = names[i]
		}
	}
	if err := c.applyLocked(old, new, changed); err != nil {
		return err
	}
	c.values.Store(new)
	return nil
}

func (c *Config) applyLocked(old, new *Values, changed map[string]string) error {
	var applied []hook
	for _, h := range c.hooks {
		i := slices.IndexFunc(h.names, func(n string) bool { _, ok := changed[n]; return ok })
		if i < 0 {
			continue
		}
		if err := h.apply(old, new); err != nil {
			for _, done := range slices.Backward(applied) {
				// What was in force a moment ago is applied again. If even that fails the owner has said so in the log.
				_ = done.apply(new, old)
			}
			return failed(changed[h.names[i]], err.Error())
		}
		applied = append(applied, h)
	}
	return nil
}

// settable says why CONFIG SET may not touch the directive at all.
func (d *Directive) settable(v *Values, who Caller, as string) error {
	switch {
	case d.flags&Immutable != 0:
		return failed(as, "can't set immutable config")
	case d.flags&Protected != 0 && !v.EnableProtectedConfig.Allows(who.Local):
		return failed(as, "can't set protected config")
	case d.flags&DenyLoading != 0 && who.Loading:
		return ReplyError("LOADING Redis is loading the dataset in memory")
	}
	return nil
}

// arguments are those of a line, or the one value of CONFIG SET: several may stand in one, apart by spaces.
func (d *Directive) arguments(args []string) []string {
	if d.flags&Multi == 0 || len(args) != 1 {
		return args
	}
	if args[0] == "" {
		return nil
	}
	return strings.Split(args[0], " ")
}

func failed(name, reason string) error {
	return ReplyError(fmt.Sprintf("ERR CONFIG SET failed (possibly related to argument '%s') - %s", name, reason))
}
