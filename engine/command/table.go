package command

import (
	"fmt"
	"sort"
	"sync/atomic"
)

// Table finds a command by its name in any case, without allocating.
// It is immutable once serving has started.
type Table struct {
	all   []*Descriptor // top level and subcommands, by ID
	names map[string]*Descriptor
	slots []*slot
	mask  uint32
}

type slot struct {
	name string
	d    *Descriptor
	next *slot
}

type cmdStats struct {
	calls, nanos, rejected, failed atomic.Int64
	latency                        atomic.Pointer[Latencies]
}

// NewTable assembles a table of copies: several servers of one process may be made from the same descriptors. A name that stands twice is
// a programming error and panics.
func NewTable(families ...[]*Descriptor) *Table {
	t := &Table{names: map[string]*Descriptor{}}
	for _, f := range families {
		for _, d := range f {
			if t.names[d.Name] != nil {
				panic("BUG: command " + d.Name + " stands twice in the table")
			}
			c := t.add(d)
			t.names[d.Name] = c
			if len(d.Sub) > 0 {
				c.sub, c.Sub = map[string]*Descriptor{}, nil
			}
			for _, s := range d.Sub {
				s = t.add(s)
				s.Parent = d.Name
				c.sub[s.Name] = s
				c.Sub = append(c.Sub, s)
			}
		}
	}
	t.index()
	return t
}

// add puts a copy of d into the table.
func (t *Table) add(d *Descriptor) *Descriptor {
	c := *d
	c.ID, c.stats = len(t.all), &cmdStats{}
	if c.Categories&(CatHash|CatSet|CatSortedSet|CatGeo) != 0 {
		c.findElements(c.Args, 1)
	}
	t.all = append(t.all, &c)
	return &c
}

func (t *Table) index() {
	n := 16
	for n < 4*len(t.names) {
		n *= 2
	}
	t.slots, t.mask = make([]*slot, n), uint32(n-1)
	for name, d := range t.names {
		h := foldHash([]byte(name)) & t.mask
		t.slots[h] = &slot{name, d, t.slots[h]}
	}
}

// Rename gives a command another name, or with "" takes it away
// (rename-command). Before serving starts only.
func (t *Table) Rename(from, to string) error {
	from = string(lower(nil, []byte(from)))
	to = string(lower(nil, []byte(to)))
	d := t.names[from]
	if d == nil {
		return fmt.Errorf("no such command '%s' to rename", from)
	}
	if to != "" && t.names[to] != nil {
		return fmt.Errorf("the new name '%s' is taken by another command", to)
	}
	delete(t.names, from)
	if to != "" {
		t.names[to] = d
	}
	t.index()
	return nil
}

// Lookup returns the top-level command of that name in any case, or nil.
func (t *Table) Lookup(name []byte) *Descriptor {
	for s := t.slots[foldHash(name)&t.mask]; s != nil; s = s.next {
		if equalFold(name, s.name) {
			return s.d
		}
	}
	return nil
}

// Resolve returns the descriptor a request addresses: the subcommand when
// args[0] is a container that knows args[1], otherwise the command itself.
// unknownSub is set when a container does not know its subcommand.
func (t *Table) Resolve(args [][]byte) (d *Descriptor, unknownSub bool) {
	d = t.Lookup(args[0])
	if d == nil || d.sub == nil || len(args) < 2 {
		return d, false
	}
	var buf [32]byte
	if s := d.sub[string(lower(buf[:0], args[1]))]; s != nil {
		return s, false
	}
	return d, d.Handler == nil
}

// All returns every descriptor by ID; subcommands follow their container. Not to be changed.
func (t *Table) All() []*Descriptor { return t.all }

// Names returns the top-level names in order.
func (t *Table) Names() []string {
	out := make([]string, 0, len(t.names))
	for n := range t.names {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}

// SubOf returns the subcommand with that (lower case) name, or nil.
func (d *Descriptor) SubOf(name string) *Descriptor { return d.sub[name] }

// Stats returns the counters commandstats shows: calls, total ns, rejected and failed calls.
func (d *Descriptor) Stats() (calls, nanos, rejected, failed int64) {
	return d.stats.calls.Load(), d.stats.nanos.Load(), d.stats.rejected.Load(), d.stats.failed.Load()
}

// CountRejected counts a call refused before execution. Any goroutine.
func (d *Descriptor) CountRejected() { d.stats.rejected.Add(1) }

// CountFailed counts a call that replied an error. Any goroutine.
func (d *Descriptor) CountFailed() { d.stats.failed.Add(1) }

// ResetStats zeroes the counters (CONFIG RESETSTAT).
func (d *Descriptor) ResetStats() {
	d.stats.calls.Store(0)
	d.stats.nanos.Store(0)
	d.stats.rejected.Store(0)
	d.stats.failed.Store(0)
	d.stats.latency.Store(nil)
}

func foldHash(b []byte) uint32 {
	h := uint32(len(b))
	for _, ch := range b {
		h = h*31 + uint32(ch|0x20)
	}
	return h ^ h>>15
}

// equalFold compares ASCII letters without case; lowered is in lower case.
func equalFold(b []byte, lowered string) bool {
	if len(b) != len(lowered) {
		return false
	}
	for i := range b {
		ch := b[i]
		if 'A' <= ch && ch <= 'Z' {
			ch += 'a' - 'A'
		}
		if ch != lowered[i] {
			return false
		}
	}
	return true
}

func lower(dst, b []byte) []byte {
	for _, ch := range b {
		if 'A' <= ch && ch <= 'Z' {
			ch += 'a' - 'A'
		}
		dst = append(dst, ch)
	}
	return dst
}

// Is reports whether an argument is the given (lower case) word, in any case.
func Is(arg []byte, word string) bool { return equalFold(arg, word) }
