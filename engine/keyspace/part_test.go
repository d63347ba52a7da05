package keyspace

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"runtime"
	"testing"

	"tidemark/engine/keyspace/coll"
)

// fill puts n elements into a list or stream.
func fill(c *Coll, typ Type, n int) {
	if typ == List {
		l := c.List(coll.ListRules{Fill: -2})
		for i := range n {
			l.PushTail(fmt.Appendf(nil, "element:%08d", i))
		}
		return
	}
	st := c.Stream()
	st.Init()
	for i := range n {
		st.Append(coll.StreamID{Ms: uint64(i + 1)}, [][]byte{[]byte("field"), fmt.Appendf(nil, "%08d", i)}, 4096, 100)
	}
}

// cutTo leaves a list or stream its last n elements.
func cutTo(c *Coll, typ Type, n int) {
	if typ == List {
		c.List(coll.ListRules{Fill: -2}).DropHead(c.Root.N - uint64(n))
	} else {
		c.Stream().Trim(&coll.StreamTrim{MaxLen: uint64(n)})
	}
}

// BenchmarkParts reports what it takes, in CPU time of the calling thread, to take a part out of a collection of ten million elements: one call each.
func BenchmarkParts(b *testing.B) {
	const n = 10_000_000
	name := []byte("collection")
	list := func(c *Coll) { fill(c, List, n) }
	entries := func(c *Coll) { fill(c, Stream, n) }
	pending := func(c *Coll) {
		st := c.Stream()
		st.Init()
		g := st.AddGroup(name, coll.StreamID{}, 0)
		g.AddConsumer([]byte("a"), 0, 0)
		g.AddConsumer([]byte("b"), 0, 0)
		a, _ := g.EditConsumer([]byte("a"))
		z, _ := g.EditConsumer([]byte("b"))
		for i := range n {
			to := &a
			if i%2 == 1 {
				to = &z
			}
			g.Deliver(coll.StreamID{Ms: uint64(i + 1)}, to, 1, 1)
		}
	}
	for _, bench := range []struct {
		name string
		typ  Type
		enc  Encoding
		fill func(c *Coll)
		part func(c *Coll)
	}{
		{"LTRIM-half", List, QuickList, list, func(c *Coll) { c.List(coll.ListRules{Fill: -2}).DeleteRange(0, n/2) }},
		{"LTRIM-most", List, QuickList, list, func(c *Coll) { c.List(coll.ListRules{Fill: -2}).DeleteRange(10, n-10) }},
		{"LTRIM-back", List, QuickList, list, func(c *Coll) { c.List(coll.ListRules{Fill: -2}).DeleteRange(n/4, n-n/4) }},
		{"XTRIM-half", Stream, StreamTree, entries, func(c *Coll) { c.Stream().Trim(&coll.StreamTrim{MaxLen: n / 2}) }},
		{"XTRIM-most", Stream, StreamTree, entries, func(c *Coll) { c.Stream().Trim(&coll.StreamTrim{ByID: true, MinID: coll.StreamID{Ms: n - 10}}) }},
		{"XGROUP-DESTROY", Stream, StreamTree, pending, func(c *Coll) { c.Stream().DropGroup(name) }},
		{"XGROUP-DELCONSUMER", Stream, StreamTree, pending, func(c *Coll) {
			g, _ := c.Stream().EditGroup(name)
			g.DropConsumer([]byte("a"))
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for b.Loop() {
				ks := New(Options{Shards: 1, Databases: 1})
				h := ks.Hash(name)
				s := ks.Shard(0)
				c := s.Draft(0, bench.typ, bench.enc)
				bench.fill(c)
				s.Attach(c, h, 0, name, NoExpire, 0)
				from := threadTime(b)
				e := s.Edit(0, h, s.Find(0, h, name))
				bench.part(&e)
				b.ReportMetric(float64((threadTime(b) - from).Microseconds()), "part-µs")
				s.Settle(&e)
				b.ReportMetric(float64((threadTime(b) - from).Microseconds()), "µs")
				steps := longest{}
				for more := true; more; {
					from := threadTime(b)
					more = ks.Compact(100)
					steps.add(threadTime(b) - from)
				}
				steps.report(b, "rest")
				b.ReportMetric(float64(len(steps.d)), "steps")
				ks.Close()
			}
		})
	}
}

// TestRemains cuts off most of what a list and a stream have, and looks at the memory: while it is freed by and by, when the key moves, and when it goes.
func TestRemains(t *testing.T) {
	const n = 200_000 / min(effort, 2)
	name, other := []byte("collection"), []byte("other")
	for _, typ := range []Type{List, Stream} {
		for _, then := range []string{"compact", "delete", "move", "move in", "swap", "flush", "snapshot"} {
			t.Run(fmt.Sprint(typ, " ", then), func(t *testing.T) {
				ks := New(Options{Shards: 4, Databases: 2})
				defer ks.Close()
				told := 0
				ks.OnSparse(func() { told++ })
				find := func(db int, key []byte) (*Shard, uint64, Ref) {
					h := ks.Hash(key)
					s := ks.Shard(ks.ShardIndex(h))
					return s, h, s.Find(db, h, key)
				}
				check := func() {
					t.Helper()
					for i := range ks.NumShards() {
						if err := ks.Shard(i).Check(); err != nil {
							t.Fatal(err)
						}
					}
				}
				s, h, _ := find(0, name)
				enc := QuickList
				if typ == Stream {
					enc = StreamTree
				}
				c := s.Draft(0, typ, enc)
				fill(c, typ, n)
				s.Attach(c, h, 0, name, NoExpire, 0)
				_, _, r := find(0, name)
				full, before := ks.Used(), s.MemoryUsage(r)

				var sn *Snapshot
				var image collModel
				if then == "snapshot" {
					image = readColl(s, r)
					ks.LockAll()
					sn = ks.BeginSnapshot(collEncoder)
					sn.LargeApart()
					ks.UnlockAll()
					sn.Step(s.Index(), nil) // takes the hold
				}
				keep := n / 10
				if then == "move in" {
					keep = 100
				}
				e := s.Edit(0, h, r)
				cutTo(&e, typ, keep)
				s.Settle(&e)
				check()
				_, _, r = find(0, name)
				if got := s.MemoryUsage(r); got > before/5 {
					t.Errorf("it takes %d bytes, %d before", got, before)
				}
				if got := ks.Used(); then != "move in" && got < full-full/10 {
					t.Errorf("%d bytes in use at once, %d before: nothing was left to be freed by and by", got, full)
				}
				if remains := then != "move in" && then != "snapshot"; (told == 1) != remains {
					t.Errorf("told %d times that something remains", told)
				}
				db, key := 0, name
				switch then {
				case "delete":
					s.Delete(0, h, r)
				case "flush":
					s.Flush(0, true)
				case "move":
					ks.Compact(1000)
					ds, dh, _ := find(1, other)
					s.Move(0, h, r, ds, 1, dh, other)
					db, key = 1, other
				case "swap":
					ks.LockAll()
					ks.SwapDB(0, 1)
					ks.UnlockAll()
					db = 1
				case "snapshot":
					if !sn.LargeWaiting(s.Index()) {
						t.Fatal("the snapshot has not got it")
					}
					out, _ := sn.StepLarge(s.Index(), nil)
					for i := range ks.NumShards() {
						for done := false; !done; {
							out, done = sn.Step(i, out)
						}
					}
					sn.Close()
					var got struct {
						DB  int
						Key string
						M   collModel
					}
					if err := gob.NewDecoder(bytes.NewReader(out)).Decode(&got); err != nil || !got.M.same(image) {
						t.Errorf("the snapshot has %d elements, there were %d: %v", len(got.M.List), len(image.List), err)
					}
				}
				check()
				for i := 0; ks.Compact(100); i++ {
					if i%200 == 0 {
						check()
					}
				}
				check()
				s, h, r = find(db, key)
				if gone := then == "delete" || then == "flush"; (r == 0) != gone {
					t.Fatal("found:", r != 0)
				} else if !gone {
					if got := len(readColl(s, r).List); got != keep {
						t.Errorf("%d elements are left", got)
					}
					if got := ks.Used(); got > full/5 {
						t.Errorf("%d bytes in use at the end, %d at first", got, full)
					}
					if s.tables[db].remains && then != "move" {
						t.Error("the table still has remains")
					}
					s.Delete(db, h, r)
				}
				if u := ks.Used(); u != 0 {
					t.Errorf("%d bytes in use of an empty keyspace", u)
				}
			})
		}
	}
}
