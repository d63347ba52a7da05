package keyspace

import (
	"fmt"
	"runtime"
	"testing"

	"tidemark/engine/keyspace/coll"
)

// BenchmarkParts reports what it takes, in CPU time of the calling thread, to take a part out of a collection of ten million elements: one call each.
func BenchmarkParts(b *testing.B) {
	const n = 10_000_000
	name := []byte("collection")
	list := func(c *Coll) {
		l := c.List(coll.ListRules{Fill: -2})
		for i := range n {
			l.PushTail(fmt.Appendf(nil, "element:%08d", i))
		}
	}
	entries := func(c *Coll) {
		st := c.Stream()
		st.Init()
		for i := range n {
			st.Append(coll.StreamID{Ms: uint64(i + 1)}, [][]byte{[]byte("field"), fmt.Appendf(nil, "%08d", i)}, 4096, 100)
		}
	}
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
