// Package coll is what large collections are made of: a table of elements (Dict), a tree with ranks (Tree), and a list of packed lists
// (List), all of blocks of the arena.
//
//	hash, set   | Dict of fields or members |          a hash with expiring fields: and a Tree of them by time
//	sorted set  | Dict of members | Tree of the same blocks by score and member |
//	list        | first block | Tree of blocks | last block |
//	stream      | head, which names its consumer groups | Tree of nodes with entries |
//
// A collection is named by its Root, 64 bytes without pointers that lie in the entry of its key, or in a Go variable while it is being built.
// Its blocks are of two kinds. Nodes make up the structure; a node begins with a stamp. Elements hold a member or field with what belongs
// to it, and are never changed in place while anybody else may look at them.
//
// Holds. A snapshot reads large collections without a lock while they change. It takes a copy of the Root, and marks the live Root with the
// hold's number. From then on whatever existed at that moment stays as it is: a node whose stamp is not the hold's number is
// copied before it is written to, with the nodes above it, and what the live collection has no use for any more is
// not freed but noted in the hold's Kept. Nodes born since bear the hold's number as their stamp, and are free game.
// When the hold ends, what it kept is freed, and the collection goes on in whatever nodes it has by then.
//
// Nothing here is safe for concurrent use but reading a held image: the lock of the key's shard guards a live collection.
package coll

import (
	"unsafe"

	"tidemark/engine/keyspace/arena"
)

// Ref names a block.
type Ref = arena.Ref

const refMask = 1<<arena.RefBits - 1

// RootBytes is the size of a Root.
const RootBytes = 64

// Root names a collection. The zero value, with Home set, is an empty one.
type Root struct {
	Hold  uint32 // number of the hold that has an image of it, 0: none
	Home  uint32 // which heap has its blocks; the keyspace's business
	N     uint64 // elements
	Bytes int64  // what its blocks take, unless it has a heap of its own
	dict  word
	tree  treeWord
	A     uint64 // A, B and C are the type's: a List has its first and last block in A and B, a Stream its head in A
	B     uint64
	C     uint64
}

// Mem is the memory of one collection during one operation.
type Mem struct {
	*arena.Heap
	Root *Root
	Kept *Kept // of the hold that Root.Hold names; nil when the collection is not held
	Hash func(key []byte) uint64
	// Remains takes what the collection lets go of in one piece; nil: that is freed at once.
	Remains *Remains
}

// Kept is what a held collection has let go of.
type Kept struct {
	chunks  [][]Ref
	n       int
	remains Remains
	Bytes   int64
}

// keptChunk bounds the cost of adding one more: a slice of millions would be copied as a whole when it grows.
const keptChunk = 4096

func (k *Kept) add(r Ref, size int) {
	if n := len(k.chunks); n == 0 || len(k.chunks[n-1]) == keptChunk {
		k.chunks = append(k.chunks, make([]Ref, 0, keptChunk))
	}
	last := &k.chunks[len(k.chunks)-1]
	*last = append(*last, r)
	k.n++
	k.Bytes += int64(size)
}

// None reports whether nothing is left to free.
func (k *Kept) None() bool { return k.n == 0 && k.remains.None() }

// Free frees some n blocks, and returns the bytes given back.
func (k *Kept) Free(h *arena.Heap, n int) (bytes int64) {
	for ; n > 0 && k.n > 0; n-- {
		last := &k.chunks[len(k.chunks)-1]
		r := (*last)[len(*last)-1]
		bytes += int64(h.SizeOf(r))
		h.Free(r)
		k.n--
		if *last = (*last)[:len(*last)-1]; len(*last) == 0 {
			k.chunks = k.chunks[:len(k.chunks)-1]
		}
	}
	if n > 0 {
		bytes += k.remains.Free(h, n)
	}
	k.Bytes -= bytes
	return bytes
}

// stampBytes is what each node begins with.
const stampBytes = 4

func stampOf(p unsafe.Pointer) *uint32 { return (*uint32)(p) }

func u64(p unsafe.Pointer, off int) *uint64 { return (*uint64)(unsafe.Add(p, off)) }

// NewNode allocates a node. Its content but for the stamp is undefined.
func (m *Mem) NewNode(size int) Ref {
	r := m.Alloc(size)
	*stampOf(m.Ptr(r)) = m.Root.Hold
	return r
}

// Editable reports whether a node may be written to: nobody holds it.
func (m *Mem) Editable(r Ref) bool {
	return m.Kept == nil || *stampOf(m.Ptr(r)) == m.Root.Hold
}

// OwnNode returns a node that may be written to: r itself, or a copy that takes its place, of which the caller tells whoever named r.
func (m *Mem) OwnNode(r Ref) Ref {
	if m.Editable(r) {
		return r
	}
	size := m.SizeOf(r)
	n := m.Alloc(size)
	copy(m.Heap.Bytes(n, 0, size), m.Heap.Bytes(r, 0, size))
	*stampOf(m.Ptr(n)) = m.Root.Hold
	m.Kept.add(r, size)
	return n
}

// DropNode frees a node that the collection has no more use for.
func (m *Mem) DropNode(r Ref) {
	if m.Editable(r) {
		m.Heap.Free(r)
	} else {
		m.Kept.add(r, m.SizeOf(r))
	}
}

// dropElem frees an element. fresh says that it was made since the hold began.
func (m *Mem) dropElem(r Ref, fresh bool) {
	if m.Kept == nil || fresh {
		m.Heap.Free(r)
	} else {
		m.Kept.add(r, m.SizeOf(r))
	}
}
