package keyspace

import (
	"sync/atomic"
	"unsafe"

	"tidemark/engine/keyspace/arena"
	"tidemark/engine/keyspace/coll"
)

// hold is a snapshot's claim on a large collection: see package coll. Its fields are guarded by the lock of the shard that has the
// collection, which is owner's; a collection that moves takes its hold along.
type hold struct {
	id    uint32
	owner atomic.Pointer[Shard]
	t     *table
	ended bool // nobody reads the image any more
	kept  coll.Kept
	roots []lost      // what was removed, or copied elsewhere, while held
	heap  *arena.Heap // of a collection with a heap of its own that was: it goes when the hold ends
}

// lost is a collection that only a hold has.
type lost struct {
	root coll.Root
	typ  Type
	enc  Encoding
}

func (h *hold) active() bool { return h != nil && !h.ended }

// holdOf returns the hold that a root names, nil when it has ended.
func (t *table) holdOf(root *coll.Root) *hold {
	h := t.holds[root.Hold]
	if root.Home != 0 {
		if h = t.homes[root.Home-1].hold; h != nil && h.id != root.Hold {
			return nil
		}
	}
	if !h.active() {
		return nil
	}
	return h
}

// newHold begins a hold of a collection. From here on its image, a copy of the root, may be read without the lock.
func (s *Shard) newHold(t *table, root *coll.Root) *hold {
	id := s.ks.holds.Add(1)
	if id == 0 {
		id = s.ks.holds.Add(1)
	}
	h := &hold{id: id, t: t}
	h.owner.Store(s)
	root.Hold = id
	if root.Home != 0 {
		t.homes[root.Home-1].hold = h
	} else {
		if t.holds == nil {
			t.holds = map[uint32]*hold{}
		}
		t.holds[id] = h
	}
	return h
}

// endBatch is how many blocks are freed under one hold of a lock: some 5 µs.
const endBatch = 200

// endSome gives back a part of what a hold kept, and reports whether there is more. It locks the shard that has the collection: the caller has none locked.
func (ks *Keyspace) endSome(h *hold) (more bool) {
	for {
		s := h.owner.Load()
		s.mu.Lock()
		if h.owner.Load() == s {
			more = s.endSome(h)
			s.mu.Unlock()
			return more
		}
		s.mu.Unlock()
	}
}

func (s *Shard) endSome(h *hold) (more bool) {
	h.ended = true
	t := h.t
	if h.heap != nil {
		h.heap.ReleaseLater()
		s.ks.freedLater.Add(1)
		h.heap = nil
	}
	if t.dead { // its memory goes as a whole, if it is not gone already
		return false
	}
	if n := len(h.roots); n > 0 {
		l := &h.roots[n-1]
		m := coll.Mem{Heap: t.Heap, Root: &l.root}
		t.held -= l.root.Bytes
		drop(l.typ, l.enc, &m)
		h.roots = h.roots[:n-1]
		s.publish(t)
		return true
	}
	if t.holds[h.id] == h {
		t.held -= h.kept.Free(t.Heap, endBatch)
		if h.kept.None() {
			delete(t.holds, h.id)
		}
		s.publish(t)
		return !h.kept.None()
	}
	for i := range t.homes {
		if o := &t.homes[i]; o.hold == h {
			n := h.kept.Free(o.heap, endBatch)
			o.bytes -= n
			t.apartMem -= n
			if h.kept.None() {
				o.hold = nil
			}
			s.publish(t)
			return !h.kept.None()
		}
	}
	return false
}

func rootBytes(r *coll.Root) []byte { return unsafe.Slice((*byte)(unsafe.Pointer(r)), coll.RootBytes) }
