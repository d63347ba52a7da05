package coll

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// streamModel is what a stream should hold.
type streamModel struct {
	entries []modelEntry
	last    StreamID
	groups  map[string]*modelGroup
}

type modelEntry struct {
	id     StreamID
	fields string
}

type modelGroup struct {
	consumers map[string]bool
	pending   map[StreamID]modelPending
}

type modelPending struct {
	owner string
	at    int64
	times uint64
}

func (m *streamModel) String() string {
	var b strings.Builder
	for _, e := range m.entries {
		fmt.Fprintln(&b, e.id, e.fields)
	}
	fmt.Fprintln(&b, "last", m.last)
	for _, name := range slices.Sorted(maps.Keys(m.groups)) {
		g := m.groups[name]
		fmt.Fprintln(&b, "group", name, slices.Sorted(maps.Keys(g.consumers)))
		ids := slices.SortedFunc(maps.Keys(g.pending), StreamID.Compare)
		for _, id := range ids {
			fmt.Fprintln(&b, id, g.pending[id])
		}
	}
	return b.String()
}

// contentsOf reads a stream as a streamModel prints it.
func contentsOf(s Stream) string {
	m := &streamModel{last: s.Head().Last, groups: map[string]*modelGroup{}}
	var p StreamPlace
	var f, v [20]byte
	for ok := s.Seek(&p, StreamID{}); ok; ok = s.Next(&p) {
		fields := ""
		w := p.Fields()
		for name, val, ok := w.Next(&f, &v); ok; name, val, ok = w.Next(&f, &v) {
			fields += string(name) + "=" + string(val) + " "
		}
		m.entries = append(m.entries, modelEntry{p.ID, fields})
	}
	n := len(m.entries)
	for ok := s.SeekBack(&p, MaxStreamID); ok; ok = s.Prev(&p) {
		if n--; n < 0 || m.entries[n].id != p.ID {
			return fmt.Sprintf("backwards there is %v at %d", p.ID, n)
		}
	}
	for i := range s.Groups() {
		g := s.GroupAt(i)
		mg := &modelGroup{map[string]bool{}, map[StreamID]modelPending{}}
		for j := range g.Consumers() {
			mg.consumers[string(g.ConsumerAt(j).Name())] = true
		}
		var p PendingPlace
		for ok := g.Seek(&p, StreamID{}); ok; ok = g.Next(&p) {
			owner, _ := g.Owner(&p)
			mg.pending[p.ID] = modelPending{string(owner), p.Delivered, p.Deliveries}
		}
		m.groups[string(g.Name())] = mg
	}
	return m.String()
}

// TestStreamAgainstModel changes a stream at random, with and without a hold, and compares it with a model, and the image with what it was.
func TestStreamAgainstModel(t *testing.T) {
	for _, limits := range [][2]int64{{4096, 100}, {0, 3}, {300, 0}, {0, 0}} {
		t.Run(fmt.Sprint(limits), func(t *testing.T) {
			w := newWorld(t)
			Stream{w.mem()}.Init()
			m := &streamModel{groups: map[string]*modelGroup{}}
			frozen := ""
			for i := range 6000 / effort {
				s := Stream{w.mem()}
				w.step(s, m, limits)
				if i%20 == 0 {
					if got, want := contentsOf(s), m.String(); got != want {
						t.Fatalf("step %d: the stream is\n%s\nwant\n%s", i, got, want)
					}
					if err := s.Check(); err != nil {
						t.Fatalf("step %d: %v", i, err)
					}
				}
				switch {
				case w.kept != nil && w.rnd.IntN(60) == 0:
					if got := contentsOf(Stream{w.held()}); got != frozen {
						t.Fatalf("step %d: the image is\n%s\nwas\n%s", i, got, frozen)
					}
					w.release()
				case w.kept == nil && w.rnd.IntN(60) == 0:
					frozen = m.String()
					w.hold()
				}
				if w.kept == nil && w.rnd.IntN(200) == 0 {
					var root Root
					c := Stream{&Mem{Heap: w.heap, Root: &root}}
					s = Stream{w.mem()} // the hold it knew may have ended
					c.CloneFrom(s)
					if err := c.Check(); err != nil {
						t.Fatal(err)
					}
					if got, want := contentsOf(c), contentsOf(s); got != want {
						t.Fatalf("the copy is\n%s\nwant\n%s", got, want)
					}
					s.Drop()
					w.root = root
				}
			}
			Stream{w.mem()}.Drop()
			if w.kept != nil {
				w.release()
			}
			w.empty()
		})
	}
}

func (w *world) step(s Stream, m *streamModel, limits [2]int64) {
	r := w.rnd
	some := func() StreamID {
		if n := len(m.entries); n > 0 && r.IntN(10) > 0 {
			return m.entries[r.IntN(n)].id
		}
		return StreamID{uint64(r.IntN(1 + int(m.last.Ms))), uint64(r.IntN(4))}
	}
	forget := func(id StreamID) bool {
		at, ok := slices.BinarySearchFunc(m.entries, id, func(e modelEntry, id StreamID) int { return e.id.Compare(id) })
		if ok {
			m.entries = slices.Delete(m.entries, at, at+1)
		}
		return ok
	}
	name := string("abcdefghij"[r.IntN(3)]) + strings.Repeat("-", r.IntN(2)*9)
	who := []byte(string("uvwxyz"[r.IntN(4)]))
	switch op := r.IntN(24); {
	case op < 9:
		id := m.last
		if r.IntN(3) == 0 {
			id, _ = id.Next()
		} else {
			id = StreamID{id.Ms + uint64(r.IntN(300)) + 1, uint64(r.IntN(3))}
		}
		var fields [][]byte
		text := ""
		for i := range 1 + r.IntN(3) {
			f, v := fmt.Sprint("field", i+r.IntN(30)/29), fmt.Sprint(r.Uint32()>>r.IntN(32))
			if r.IntN(100) == 0 {
				v = strings.Repeat("long", r.IntN(2000))
			}
			fields = append(fields, []byte(f), []byte(v))
			text += f + "=" + v + " "
		}
		s.Append(id, fields, limits[0], limits[1])
		m.entries = append(m.entries, modelEntry{id, text})
		m.last = id
	case op < 14:
		id := some()
		if got, want := s.Delete(id), forget(id); got != want {
			w.t.Fatalf("Delete %v: %v", id, got)
		}
	case op == 14 && r.IntN(5) == 0:
		o := StreamTrim{ByID: r.IntN(2) == 0, MinID: some(), MaxLen: uint64(r.IntN(1 + len(m.entries))), Approx: r.IntN(2) == 0}
		if r.IntN(2) == 0 {
			o.Limit = uint64(r.IntN(50))
		}
		n := int(s.Trim(&o))
		keep := len(m.entries) - int(o.MaxLen)
		if o.ByID {
			keep, _ = slices.BinarySearchFunc(m.entries, o.MinID, func(e modelEntry, id StreamID) int { return e.id.Compare(id) })
		}
		if n > keep || !o.Approx && o.Limit == 0 && n != keep || o.Limit > 0 && n > max(int(o.Limit), 0) && o.Approx {
			w.t.Fatalf("Trim %+v removed %d, of %d", o, n, keep)
		}
		m.entries = slices.Delete(m.entries, 0, n)
	case op == 15:
		if g := m.groups[name]; g == nil {
			m.groups[name] = &modelGroup{map[string]bool{}, map[StreamID]modelPending{}}
			s.AddGroup([]byte(name), StreamID{}, -1)
		} else if r.IntN(40) == 0 {
			delete(m.groups, name)
			if !s.DropGroup([]byte(name)) {
				w.t.Fatal("no such group")
			}
		}
	case op > 15:
		mg := m.groups[name]
		g, ok := s.EditGroup([]byte(name))
		if ok != (mg != nil) || mg == nil {
			if ok {
				w.t.Fatal("a group too many")
			}
			return
		}
		if r.IntN(50) == 0 {
			n, ok := g.DropConsumer(who)
			if ok != mg.consumers[string(who)] {
				w.t.Fatal("DropConsumer", ok)
			}
			delete(mg.consumers, string(who))
			before := len(mg.pending)
			maps.DeleteFunc(mg.pending, func(_ StreamID, p modelPending) bool { return p.owner == string(who) })
			if before-len(mg.pending) != n {
				w.t.Fatalf("DropConsumer: %d pending, want %d", n, before-len(mg.pending))
			}
			return
		}
		id := some()
		if op < 20 {
			_, want := mg.pending[id]
			delete(mg.pending, id)
			if got := g.Ack(id); got != want {
				w.t.Fatalf("Ack %v: %v", id, got)
			}
			return
		}
		c, ok := g.EditConsumer(who)
		if !ok {
			c = g.AddConsumer(who, 1, -1)
			mg.consumers[string(who)] = true
		}
		at, times := r.Int64N(1000), r.Uint64N(10)
		g.Deliver(id, &c, at, times)
		mg.pending[id] = modelPending{string(who), at, times}
	}
}
