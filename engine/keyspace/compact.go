package keyspace

import (
	"sync/atomic"

	"tidemark/engine/keyspace/arena"
	"tidemark/engine/keyspace/coll"
)

// Compaction. Deleting most keys at random leaves every slab of the arena with a few blocks: nothing is wholly free, so nothing
// goes back to the system. Since only the table and the expiry index know where an entry is, entries can be moved: a
// pass over a sparse table moves what lies in slabs less than three quarters full to others, and the slabs they leave empty are given
// back. It is done in steps, by whoever the owner of the Keyspace chooses; OnSparse says when.
//
// The same steps free the remains of large collections, which a command that took out a large part of one has left (coll.Remains).

// minWaste is what a table must waste for compaction to be worth it. There is one table for each shard and database.
const minWaste = 128 << 10

// compactor is where a pass is. One goroutine at a time steps it.
type compactor struct {
	wanted atomic.Bool // somebody was told
	again  atomic.Bool // there are remains that the pass may have passed
	notify func()

	shard, db int
	pos       uint64 // in the table, 1<<48 when it is through
	block     int    // of the expiry index
	running   bool   // in the middle of a table
	refs      []Ref
}

// OnSparse sets what is called once when a pass of Compact would give memory back, because of remains or of a sparse table. The call comes with a shard's lock held and must
// not block. To be set before the Keyspace is used.
func (ks *Keyspace) OnSparse(f func()) { ks.compactor.notify = f }

// sparse reports whether a table wastes a third of its memory, and has lost half of what it had since it was compacted last: so all
// passes of a long deletion together move fewer entries than there were.
func (t *table) sparse() bool {
	used, mapped := t.Used(), t.Mapped()
	return mapped > used+used/2+minWaste && used < t.compacted/2
}

// noticeSparse is called now and then when a table's memory has changed.
func (s *Shard) noticeSparse(t *table) {
	if used := t.Used(); used > t.compacted || t.compacted == 0 {
		t.compacted = used
	}
	c := &s.ks.compactor
	if c.notify != nil && t.sparse() && !c.wanted.Swap(true) {
		c.notify()
	}
}

// noticeRemains is called when a collection of the table has Remains.
func (s *Shard) noticeRemains(t *table) {
	t.remains = true
	c := &s.ks.compactor
	c.again.Store(true)
	if c.notify != nil && !c.wanted.Swap(true) {
		c.notify()
	}
}

// freeRemains frees some n blocks of what collections have let go of, and reports whether it found any.
func (s *Shard) freeRemains(t *table, n int) bool {
	for i := range t.homes {
		if o := &t.homes[i]; !o.remains.None() {
			freed := o.remains.Free(o.heap, n)
			o.bytes -= freed
			t.apartMem -= freed
			s.publish(t)
			return true
		}
	}
	t.remains = false
	return false
}

// Compact looks at about n entries or remains, locking one shard while it does (some 0.2 µs each), and reports whether the pass over all
// tables has more to do. It must not run twice at once. No shard may be locked by the caller.
func (ks *Keyspace) Compact(n int) (more bool) {
	c := &ks.compactor
	s := &ks.shards[c.shard]
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; c.db < len(s.tables); c.db++ {
		t := s.tables[c.db]
		if t != nil && t.remains && s.freeRemains(t, n) {
			return true
		}
		if t == nil || !c.running && !t.sparse() {
			c.running, c.pos, c.block = false, 0, 0
			continue
		}
		c.running = true
		if n = c.step(s, t, n); n <= 0 {
			return true
		}
		t.compacted = t.Used()
		c.running, c.pos, c.block = false, 0, 0
	}
	c.db, c.pos, c.block, c.running = 0, 0, 0, false
	if c.shard++; c.shard < len(ks.shards) {
		return true
	}
	c.shard = 0
	c.wanted.Store(false)
	return c.again.Swap(false) && !c.wanted.Swap(true)
}

// step goes on in t for n entries and returns what is left of n, 0 or less if the table is not through.
func (c *compactor) step(s *Shard, t *table, n int) int {
	for ; t.n > 0 && c.pos < 1<<posBits; n-- {
		if n <= 0 {
			return 0
		}
		g, b := t.locate(c.pos)
		if b == 0 && t.Sparse(g.ref()) {
			g = t.moveSegment(c.pos<<(64-posBits), g)
		}
		_, c.pos = g.bounds(c.pos, b)
		c.refs = c.refs[:0]
		t.homed(g, b, func(r Ref) { c.refs = append(c.refs, r) })
		n -= len(c.refs)
		for _, r := range c.refs {
			t.moveEntry(r)
		}
	}
	for ; c.block < len(t.index.blocks)+len(t.fields.blocks); c.block++ {
		if n <= 0 {
			return 0
		}
		x, at := &t.index, c.block
		if at >= len(x.blocks) {
			x, at = &t.fields, at-len(x.blocks)
		}
		if p := &x.blocks[at]; t.Sparse(*p) {
			*p = t.moveBlock(*p, t.SizeOf(*p))
			n -= blockItems / 16
		}
	}
	return max(n, 1)
}

// moveBlock copies n bytes of a block to a new one of the same size and frees it.
func (t *table) moveBlock(r arena.Ref, n int) arena.Ref {
	to := t.Alloc(t.SizeOf(r))
	copy(t.Bytes(to, 0, n), t.Bytes(r, 0, n))
	t.Free(r)
	return to
}

func (t *table) moveSegment(h uint64, g segment) segment {
	n := makeSegment(t.moveBlock(g.ref(), int(g.buckets())*bucketBytes), int(g.depth()), int(g.buckets()), g.keys())
	t.setSegment(h, n)
	return n
}

// moveEntry moves an entry, and the value that lies apart, if they lie in sparse slabs. A value that a snapshot holds stays.
func (t *table) moveEntry(r Ref) {
	e := entry{t.Ptr(r)}
	if e.apart() {
		if b, l := e.block(); *l&heldIt == 0 && t.Sparse(arena.Ref(*b)) {
			*b = uint64(t.moveBlock(arena.Ref(*b), int(*l)))
		}
	} else if e.rooted() {
		t.moveRoot(e)
	}
	if !t.Sparse(r) {
		return
	}
	h := t.hash.hash(e.keyBytes())
	volatile, at := *e.word()&volatileIt != 0, 0
	if volatile {
		at = int(*e.indexAt())
	}
	place := e.fieldsAt(t.Space)
	expiring := 0
	if place != nil {
		expiring = int(*place)
	}
	n := t.moveBlock(r, e.size())
	t.replace(h, r, n)
	if expiring != 0 {
		t.fields.item(t, expiring-1).r = n
	}
	if volatile {
		t.item(at).r = n
	}
}

// moveRoot copies a collection that lies in the table's heap to other blocks, which are not in sparse slabs. One that a snapshot
// holds stays.
func (t *table) moveRoot(e entry) {
	root := e.root()
	if root.Home != 0 || root.Hold != 0 && t.holdOf(root) != nil {
		return
	}
	w := *e.word()
	typ, enc := Type(w>>typeShift&7), Encoding(w>>encShift&15)
	old, moved := *root, coll.Root{}
	src := coll.Mem{Heap: t.Heap, Root: &old, Hash: t.hash.hash}
	dst := coll.Mem{Heap: t.Heap, Root: &moved, Hash: src.Hash}
	before := t.Used()
	clone(typ, enc, &dst, &src, true)
	moved.Bytes = t.Used() - before
	drop(typ, enc, &src)
	t.coll += moved.Bytes - old.Bytes
	*root = moved
}
