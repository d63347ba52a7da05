package keyspace

import (
	"errors"
	"fmt"

	"tidemark/engine/keyspace/arena"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/keyspace/packed"
)

// Collections. A small one is bytes, and handled as a string's are: Value reads it, Put stores it, Splice edits it. A large one is a
// coll.Root in the place of the value, whose blocks lie in the table's heap, or, when they are more than homeAbove bytes, in a heap of the collection's
// own. That makes the two things cheap that would otherwise cost time by its size: to remove it, which gives back a heap without
// looking at a block, and to move it to a table of another shard or database, which hands over the heap. What is smaller than that is freed and copied
// in about a millisecond.
//
//	c := s.Edit(db, h, r)         // tells a running snapshot, before anything changes
//	d := c.Dict()                 // or Tree, List, Stream
//	d.Insert(...)
//	gone := s.Settle(&c)          // accounts for it; an empty collection goes with its key

const (
	// homeAbove is from how many bytes on a collection has a heap of its own, homeBelow until when it keeps it. A heap takes whole
	// spans of 64 KiB for each size of block, so it must not be for the small.
	homeAbove = 384 << 10
	homeBelow = 128 << 10
)

// ownHeap is the heap of a large collection.
type ownHeap struct {
	heap    *arena.Heap // nil: free
	hold    *hold
	bytes   int64 // used, as the counters have it
	remains coll.Remains
}

// live returns the bytes of the heap that are the collection's: neither what was cut off it, nor what a hold keeps, be it over or not.
func (o *ownHeap) live() int64 {
	n := o.bytes - o.remains.Bytes
	if o.hold != nil {
		n -= o.hold.kept.Bytes
	}
	return n
}

// Coll is a large collection that is being changed. It is good until Settle, or until anything else changes on the shard.
type Coll struct {
	coll.Mem
	t    *table
	db   int
	hash uint64
	r    Ref // 0: a Draft
	typ  Type
	enc  Encoding
	used int64 // of the heap, when it was opened
	kept int64 // by the hold
}

// Dict returns the collection's table.
func (c *Coll) Dict() coll.Dict { return coll.Dict{Mem: &c.Mem} }

// List returns the collection as a list whose blocks are bounded by fill (list-max-listpack-size).
func (c *Coll) List(rules coll.ListRules) coll.List { return coll.List{Mem: &c.Mem, ListRules: rules} }

// Stream returns the collection as a stream.
func (c *Coll) Stream() coll.Stream { return coll.Stream{Mem: &c.Mem} }

// Members returns the collection's tree of elements by score and member.
func (c *Coll) Members() coll.Tree { return coll.Tree{Mem: &c.Mem, Tie: coll.TieKey} }

// Open gives a large collection for reading: of an entry whose Encoding says IsRoot. It is good as long as r is. It also serves an Encoder,
// with the lock or without.
func (s *Shard) Open(r Ref) coll.Mem {
	return coll.Mem{Heap: s.ks.reader, Root: s.entry(r).root(), Hash: s.ks.hashOf}
}

// Count returns the number of elements of a large collection.
func (s *Shard) Count(r Ref) uint64 { return s.entry(r).root().N }

// Edit opens a large collection for changing. Settle must follow.
func (s *Shard) Edit(db int, h uint64, r Ref) Coll {
	t := s.tables[db]
	s.touch(t, h, r)
	e := s.entry(r)
	w := *e.word()
	c := Coll{t: t, db: db, hash: h, r: r, typ: Type(w >> typeShift & 7), enc: Encoding(w >> encShift & 15)}
	c.Mem = t.open(e.root(), s.ks)
	c.mark()
	return c
}

// open gives a collection of the table with its memory and hold.
func (t *table) open(root *coll.Root, ks *Keyspace) coll.Mem {
	m := coll.Mem{Heap: t.Heap, Root: root, Hash: ks.hashOf}
	if root.Home != 0 {
		o := &t.homes[root.Home-1]
		m.Heap, m.Remains = o.heap, &o.remains
	}
	if root.Hold != 0 {
		if h := t.holdOf(root); h != nil {
			m.Kept = &h.kept
		} else {
			root.Hold = 0
		}
	}
	return m
}

// mark notes the state of the memory that Settle compares with.
func (c *Coll) mark() {
	c.used = c.Heap.Used()
	if c.Kept != nil {
		c.kept = c.Kept.Bytes
	}
}

// Settle ends what Edit began. A collection that has become empty is removed with its key (a stream is not): gone says so.
func (s *Shard) Settle(c *Coll) (gone bool) {
	s.account1(c)
	t := c.t
	if c.Root.N == 0 && c.typ != Stream {
		s.unlink(c.db, t, c.hash, c.r, true)
		s.publish(t)
		return true
	}
	if c.typ == Hash && (c.Root.C != 0 || c.Root.HasTree()) {
		s.settleFields(c.db, t, c.r)
	}
	s.house(c)
	if c.Remains != nil && !c.Remains.None() {
		s.noticeRemains(t)
	}
	s.publish(t)
	return false
}

// account1 brings a collection's and its table's counters up to date.
func (s *Shard) account1(c *Coll) {
	used := c.Heap.Used()
	if c.Root.Home != 0 {
		o := &c.t.homes[c.Root.Home-1]
		c.t.apartMem += used - o.bytes
		o.bytes = used
		c.Root.Bytes = o.live()
	} else {
		d := used - c.used
		if c.Kept != nil {
			more := c.Kept.Bytes - c.kept
			c.t.held += more
			d -= more
		}
		c.t.coll += d
		c.Root.Bytes += d
	}
	c.mark()
}

// house gives a collection a heap of its own, or takes it away, by its size.
func (s *Shard) house(c *Coll) {
	switch bytes := c.Root.Bytes; {
	case c.Root.Home == 0 && bytes > homeAbove:
		s.moveOut(c)
	case c.Root.Home != 0 && bytes < homeBelow:
		s.moveIn(c)
	}
}

// Relieve is to be called now and then between Edit and Settle by what adds a lot at once: a collection that has become large
// gets its own heap while that is cheap. c stays good, what was made of it (Dict, List) too, but for places in it.
func (s *Shard) Relieve(c *Coll) {
	if c.Root.Home == 0 && c.Heap.Used()-c.used > homeAbove/4 {
		s.account1(c)
		s.house(c)
	}
}

// moveOut copies a collection into a heap of its own.
func (s *Shard) moveOut(c *Coll) {
	t := c.t
	heap := s.ks.pool.NewHeap()
	var root coll.Root
	n := coll.Mem{Heap: heap, Root: &root, Hash: c.Hash}
	clone(c.typ, c.enc, &n, &c.Mem, c.Kept == nil)
	s.leave(c)
	t.settleIn(&root, ownHeap{heap: heap, bytes: heap.Used()})
	s.took(c, root, heap)
}

// moveIn copies a collection that has become small into the table's heap.
func (s *Shard) moveIn(c *Coll) {
	t := c.t
	root := coll.Root{}
	n := coll.Mem{Heap: t.Heap, Root: &root, Hash: c.Hash}
	before := t.Used()
	clone(c.typ, c.enc, &n, &c.Mem, c.Kept == nil)
	root.Bytes = t.Used() - before
	s.leave(c)
	t.coll += root.Bytes
	s.took(c, root, t.Heap)
}

func (s *Shard) took(c *Coll, root coll.Root, heap *arena.Heap) {
	*c.Root = root
	c.Heap, c.Kept, c.kept, c.Remains = heap, nil, 0, nil
	if root.Home != 0 {
		c.Remains = &c.t.homes[root.Home-1].remains
	}
	c.mark()
}

// leave frees the blocks of a collection that has others by now.
func (s *Shard) leave(c *Coll) { s.freeBlocks(c.t, c.typ, c.enc, c.Root) }

// freeRoot frees the collection of an entry that goes.
func (s *Shard) freeRoot(t *table, e entry) {
	w := *e.word()
	s.freeBlocks(t, Type(w>>typeShift&7), Encoding(w>>encShift&15), e.root())
}

// freeBlocks frees a collection's blocks, or leaves them to the hold that has an image of it.
func (s *Shard) freeBlocks(t *table, typ Type, enc Encoding, root *coll.Root) {
	var h *hold
	if root.Hold != 0 {
		h = t.holdOf(root)
	}
	if root.Home != 0 {
		o := t.takeHome(root)
		if h != nil {
			h.heap = o.heap
		} else {
			o.heap.ReleaseLater()
			s.ks.freedLater.Add(1)
		}
		return
	}
	t.coll -= root.Bytes
	if h != nil {
		h.roots = append(h.roots, lost{*root, typ, enc})
		t.held += root.Bytes
		return
	}
	m := coll.Mem{Heap: t.Heap, Root: root}
	drop(typ, enc, &m)
}

// settleIn registers a heap as that of a collection.
func (t *table) settleIn(root *coll.Root, o ownHeap) {
	t.apartMem += o.bytes
	root.Bytes = o.live()
	if n := len(t.homeless); n > 0 {
		at := t.homeless[n-1]
		t.homeless = t.homeless[:n-1]
		t.homes[at] = o
		root.Home = uint32(at + 1)
		return
	}
	t.homes = append(t.homes, o)
	root.Home = uint32(len(t.homes))
}

// takeHome takes the heap of a collection out of the register.
func (t *table) takeHome(root *coll.Root) ownHeap {
	at := int(root.Home - 1)
	o := t.homes[at]
	t.homes[at] = ownHeap{}
	t.homeless = append(t.homeless, at)
	t.apartMem -= o.bytes
	return o
}

// rehouse hands the heap of a collection of t, whose entry has moved to d, over to d.
func (t *table) rehouse(root *coll.Root, dst *Shard, d *table) {
	o := t.takeHome(root)
	d.settleIn(root, o)
	if !o.remains.None() {
		dst.noticeRemains(d)
	}
	if o.hold != nil {
		o.hold.t = d
		o.hold.owner.Store(dst)
	}
}

// cloneRoot gives entry e of t, whose root was copied from that of src, blocks of its own. move is as in clone.
func (s *Shard) cloneRoot(t *table, e, src entry, move bool) {
	w := *e.word()
	typ, enc := Type(w>>typeShift&7), Encoding(w>>encShift&15)
	from := coll.Mem{Heap: s.ks.reader, Root: src.root(), Hash: s.ks.hashOf}
	root := e.root()
	*root = coll.Root{}
	m := coll.Mem{Heap: t.Heap, Root: root, Hash: s.ks.hashOf}
	large := from.Root.Bytes > homeAbove
	if large {
		m.Heap = s.ks.pool.NewHeap()
	}
	before := m.Heap.Used()
	clone(typ, enc, &m, &from, move)
	if large {
		t.settleIn(root, ownHeap{heap: m.Heap, bytes: m.Heap.Used()})
	} else {
		root.Bytes = m.Heap.Used() - before
		t.coll += root.Bytes
	}
}

// clone makes dst, which is empty, a copy of src. With move src is dropped next, and not held.
func clone(typ Type, enc Encoding, dst, src *coll.Mem, move bool) {
	d, from := coll.Dict{Mem: dst}, coll.Dict{Mem: src}
	switch {
	case typ == Set && enc == HashTable:
		d.CloneFrom(from)
	case typ == Hash && enc == HashTable, typ == ZSet && enc == SkipList:
		// The tree's elements are the table's: which is which, the table finds by their keys, unless the old elements may say it themselves.
		tree, old := coll.Tree{Mem: dst, Tie: coll.TieKey}, coll.Tree{Mem: src}
		if move {
			d.MoveFrom(from)
			tree.CloneFrom(&old, func(it coll.Item) Ref { return coll.Moved(dst.Space, it.Ref()) })
			break
		}
		d.CloneFrom(from)
		tree.CloneFrom(&old, func(it coll.Item) Ref {
			key := coll.KeyOf(dst.Space, it.Ref())
			return d.Find(dst.Hash(key), key)
		})
	case typ == List && enc == QuickList:
		coll.List{Mem: dst}.CloneFrom(coll.List{Mem: src})
	case typ == Stream && enc == StreamTree:
		coll.Stream{Mem: dst}.CloneFrom(coll.Stream{Mem: src})
	default:
		panic(fmt.Sprintf("BUG: keyspace: no %v is a %v", typ, enc))
	}
	dst.Root.C = src.Root.C
}

// drop frees all blocks of a collection.
func drop(typ Type, enc Encoding, m *coll.Mem) {
	switch {
	case typ == Set && enc == HashTable:
		coll.Dict{Mem: m}.Drop()
	case typ == Hash && enc == HashTable, typ == ZSet && enc == SkipList:
		tree := coll.Tree{Mem: m}
		tree.Drop(nil)
		coll.Dict{Mem: m}.Drop()
	case typ == List && enc == QuickList:
		coll.List{Mem: m}.Drop()
	case typ == Stream && enc == StreamTree:
		coll.Stream{Mem: m}.Drop()
	default:
		panic(fmt.Sprintf("BUG: keyspace: no %v is a %v", typ, enc))
	}
}

// checkRoot verifies a collection's invariants.
func (s *Shard) checkRoot(t *table, r Ref) error {
	e := s.entry(r)
	m := s.Open(r)
	d, tree := coll.Dict{Mem: &m}, coll.Tree{Mem: &m, Tie: coll.TieKey}
	var err error
	w := *e.word()
	switch typ := Type(w >> typeShift & 7); typ {
	case List:
		err = coll.List{Mem: &m}.Check()
	case Stream:
		err = coll.Stream{Mem: &m}.Check()
	case Hash, Set:
		err = errors.Join(d.Check(), tree.Check())
	case ZSet:
		if err = errors.Join(d.Check(), tree.Check()); err == nil && tree.Len() != m.Root.N {
			err = fmt.Errorf("%d members in the table, %d in the tree", m.Root.N, tree.Len())
		}
	}
	if err == nil && m.Root.Home != 0 {
		o := &t.homes[m.Root.Home-1]
		if msg := o.heap.Check(); msg != "" {
			err = fmt.Errorf("heap of its own: %s", msg)
		} else if o.heap.Used() != o.bytes {
			err = fmt.Errorf("%d bytes in its heap, counted %d", o.heap.Used(), o.bytes)
		} else if m.Root.Bytes != o.live() || o.remains.None() && o.remains.Bytes != 0 {
			err = fmt.Errorf("%d bytes in its heap, %d of them remains, %d live, but it has %d", o.bytes, o.remains.Bytes, o.live(), m.Root.Bytes)
		} else if !o.remains.None() && !t.remains {
			err = errors.New("remains that the table does not know of")
		}
	}
	if err != nil {
		err = fmt.Errorf("key %.40q: %w", e.keyBytes(), err)
	}
	return err
}

// Draft begins a large collection that belongs to no key yet: what a command that stores a result builds, before it knows that there is
// one. Attach gives it a key, Discard drops it; one of them must follow before the shard is unlocked. Relieve may be called on it.
func (s *Shard) Draft(db int, typ Type, enc Encoding) *Coll {
	t := s.table(db)
	c := &Coll{t: t, db: db, typ: typ, enc: enc, Mem: coll.Mem{Heap: t.Heap, Root: &coll.Root{}, Hash: s.ks.hashOf}}
	c.mark()
	return c
}

// Attach puts a Draft under a key, whatever stood there: r is what Find returned for it (0: nothing).
func (s *Shard) Attach(c *Coll, h uint64, r Ref, key []byte, expireAt int64, access uint32) Ref {
	s.account1(c)
	s.house(c)
	t := c.t
	p := put{c.typ, c.enc, access, 0, expireAt, key, rootBytes(c.Root), coll.RootBytes}
	if r == 0 {
		p.epoch = s.birthEpoch(t, h)
		n := t.build(&p)
		s.enter(c.db, t, h, n, expireAt)
		return n
	}
	s.touch(t, h, r)
	p.epoch = *s.entry(r).word() >> epochShift & 7
	n := t.build(&p)
	s.supersede(c.db, t, h, r, n, true)
	s.publish(t)
	return n
}

// Discard drops a Draft.
func (s *Shard) Discard(c *Coll) {
	s.account1(c)
	s.leave(c)
	s.publish(c.t)
}

// Grow turns a small collection into a large one: the Draft takes the place of entry r with the key, expiry and access it has, as the
// collection's new representation. It returns the entry.
func (s *Shard) Grow(c *Coll, h uint64, r Ref) Ref {
	e := s.entry(r)
	return s.Attach(c, h, r, e.keyBytes(), s.ExpireAt(r), uint32(*e.word()&accessMask))
}

// Shrink turns a collection into one that is bytes, val, with the key, expiry and access that entry r has. val may be a view of the
// shard.
func (s *Shard) Shrink(db int, h uint64, r Ref, enc Encoding, val []byte) Ref {
	e := s.entry(r)
	return s.Put(db, h, r, e.keyBytes(), s.Type(r), enc, val, s.ExpireAt(r), uint32(*e.word()&accessMask))
}

// Splice replaces the del bytes at offset at of a small collection by ins, which must not be a view of the shard. It returns the
// entry and a view of the value, which may be written to, until the next mutating call. Unlike Resize it keeps the encoding, and no more room
// than a block of the next size has.
func (s *Shard) Splice(db int, h uint64, r Ref, at, del int, ins []byte) (Ref, []byte) {
	t := s.tables[db]
	s.touch(t, h, r)
	e := entry{t.Ptr(r)}
	old := e.valueLen()
	n := old + len(ins) - del
	off, k := e.key()
	off += k
	move := func(v []byte) {
		copy(v[at+len(ins):n], v[at+del:old])
		copy(v[at:], ins)
	}
	if !e.apart() {
		if size := off + n; size <= inlineMax && size <= t.SizeOf(r) && (n >= old || arena.BlockSize(size) == t.SizeOf(r)) {
			*e.word() = *e.word()&(1<<valShift-1) | uint64(n)<<valShift
			v := t.Bytes(r, off, max(n, old))
			move(v)
			return r, v[:n]
		}
	} else if b := arena.Ref(*u64(e.p, off)); off+n > inlineMax && s.ghostOf(e) == nil {
		if have := t.SizeOf(b); n <= have && arena.BlockSize(n) >= have-have/4 {
			*u64(e.p, off+8) = uint64(n)
			v := t.Bytes(b, 0, max(n, old))
			move(v)
			return r, v[:n]
		}
	}
	w := *e.word()
	v := e.value(t.Space)
	p := put{Type(w >> typeShift & 7), Encoding(w >> encShift & 15), uint32(w & accessMask), w >> epochShift & 7, s.ExpireAt(r), e.keyBytes(), nil, n}
	b := t.build(&p)
	nv := t.setLength(b, n)
	copy(nv, v[:at])
	copy(nv[at:], ins)
	copy(nv[at+len(ins):], v[at+del:])
	s.supersede(db, t, h, r, b, true)
	s.publish(t)
	return b, nv
}

// SpliceList is Splice for a packed list, whose header it keeps right: delta elements more.
func (s *Shard) SpliceList(db int, h uint64, r Ref, at, del int, ins []byte, delta int) (Ref, packed.List) {
	r, v := s.Splice(db, h, r, at, del, ins)
	packed.List(v).SetHeader(delta)
	return r, v
}
