package coll

import (
	"unsafe"

	"tidemark/engine/keyspace/arena"
)

// Remains are what a collection has let go of in one piece and what is not freed yet: subtrees of its Trees with the blocks that those name, a
// million of them at times. Cutting them off costs next to nothing; whoever has the collection frees them by and by. While a hold has the
// collection they go to its Kept instead. Only a collection with a heap of its own has Remains (Mem.Remains): they need not be freed one by one when
// the heap goes as a whole, and a smaller collection is freed at once.
type Remains struct {
	subtrees []subtree // a stack: what is freed next is last
	Bytes    int64
}

// subtree is a node of a Tree with all below it.
type subtree struct {
	ref    Ref
	height uint8
	blocks bool // with what its items name
}

// leaving says what of a Tree goes.
type leaving uint8

const (
	nodesAlone  leaving = iota // the blocks are somebody else's
	withBlocks                 // the blocks are nodes of any size
	equalBlocks                // the blocks are nodes of one size, and weigh 1
)

// None reports whether nothing is left to free.
func (m *Remains) None() bool { return len(m.subtrees) == 0 }

// Free frees some n blocks, and returns the bytes given back.
func (m *Remains) Free(h *arena.Heap, n int) (bytes int64) {
	free := func(r Ref) {
		bytes += int64(h.SizeOf(r))
		h.Free(r)
		n--
	}
	var lines [leafMax]uintptr
	for n > 0 && len(m.subtrees) > 0 {
		last := len(m.subtrees) - 1
		s := m.subtrees[last]
		m.subtrees = m.subtrees[:last]
		p := h.Ptr(s.ref)
		count := int(*countOf(p))
		switch {
		case s.height > 0:
			for i := range count {
				m.subtrees = append(m.subtrees, subtree{Ref(childAt(p, i).ref), s.height - 1, s.blocks})
			}
		case s.blocks:
			for i := range count {
				lines[i] = h.Addr(leafItem(p, i).Ref())
			}
			arena.Prefetch(lines[:count])
			for i := range count {
				free(leafItem(p, i).Ref())
			}
		}
		free(s.ref)
	}
	if len(m.subtrees) == 0 {
		m.subtrees = nil
	}
	m.Bytes -= bytes
	return bytes
}

// leave gives up a node of the Tree with all below it.
func (t *Tree) leave(r Ref, height int, what leaving) {
	if t.Remains == nil {
		block := t.DropNode
		if what == nodesAlone {
			block = nil
		}
		t.dropNode(r, height, block)
		return
	}
	bytes := t.bytesBelow(r, height, what)
	to := t.Remains
	if t.Kept != nil {
		to = &t.Kept.remains
		t.Kept.Bytes += bytes
	}
	to.subtrees = append(to.subtrees, subtree{r, uint8(height), what != nodesAlone})
	to.Bytes += bytes
}

// bytesBelow is what a node takes with all below it. Only with blocks of any size does it look at every leaf, and never at a block.
func (t *Tree) bytesBelow(r Ref, height int, what leaving) (bytes int64) {
	if what == equalBlocks {
		p := t.Ptr(r)
		bytes = int64(weigh(p, height))
		for l := height; l > 0; l-- {
			p = t.Ptr(Ref(childAt(p, 0).ref))
		}
		bytes *= int64(t.SizeOf(leafItem(p, 0).Ref()))
	}
	return bytes + t.nodeBytes(r, height, what == withBlocks)
}

func (t *Tree) nodeBytes(r Ref, height int, blocks bool) int64 {
	p := t.Ptr(r)
	n := int(*countOf(p))
	bytes := int64(t.SizeOf(r))
	switch {
	case height == 0 && blocks:
		for i := range n {
			bytes += int64(t.SizeOf(leafItem(p, i).Ref()))
		}
	case height == 0:
	case height == 1 && !blocks: // leaves below a node are of one size
		bytes += int64(n * t.SizeOf(Ref(childAt(p, 0).ref)))
	default:
		for i := range n {
			bytes += t.nodeBytes(Ref(childAt(p, i).ref), height-1, blocks)
		}
	}
	return bytes
}

// leaveAll empties the Tree.
func (t *Tree) leaveAll(what leaving) {
	if w := *t.word(); w != 0 {
		t.leave(w.ref(), w.height(), what)
		*t.word() = 0
	}
}

// cut takes out all items before a valid place, or with behind all items behind it, and their blocks, which are nodes. It costs O(log n) but for what
// leave does.
func (t *Tree) cut(p *Pos, behind bool) {
	t.own(p)
	for l := range p.height + 1 {
		node, i := p.lv[l].p, p.lv[l].i
		n, size := int(*countOf(node)), itemBytes
		if l > 0 {
			size = childBytes
		}
		from, to := 0, i
		if behind {
			from, to = i+1, n
		}
		for j := from; j < to; j++ {
			if l == 0 {
				t.DropNode(leafItem(node, j).Ref())
			} else {
				t.leave(Ref(childAt(node, j).ref), l-1, withBlocks)
			}
		}
		if !behind {
			b := unsafe.Slice((*byte)(unsafe.Add(node, nodeHeader)), n*size)
			copy(b, b[i*size:])
		}
		n -= to - from
		*countOf(node) = uint16(n)
		if l < p.height {
			c := childAt(p.lv[l+1].p, p.lv[l+1].i)
			c.n = weigh(node, l)
			if c.first = *leafItem(node, 0); l > 0 {
				c.first = childAt(node, 0).first
			}
		}
	}
	t.lower()
}

// without takes out the items of sub, which are in the same order, by building the Tree anew of the others: some 0.01 µs an item.
func (t *Tree) without(sub *Tree) {
	var left treeWord
	if sub.Len() < t.Len() {
		other := Tree{Mem: t.Mem, at: &left}
		var leaf [leafMax]Item
		var at, gone Pos
		n := 0
		sub.First(&gone)
		for t.First(&at); at.Valid(); t.Next(&at) {
			it := at.Item()
			if gone.Valid() && gone.Item().Ref() == it.Ref() {
				sub.Next(&gone)
				continue
			}
			leaf[n] = it
			if n++; n == leafMax {
				other.appendLeaf(leaf[:])
				n = 0
			}
		}
		if n > 0 {
			other.appendLeaf(leaf[:n])
		}
	}
	t.leaveAll(nodesAlone)
	*t.word() = left
}

// appendLeaf adds items behind all others, in a leaf of their own.
func (t *Tree) appendLeaf(items []Item) {
	r := t.NewNode(leafBytes)
	p := t.Ptr(r)
	*countOf(p) = uint16(len(items))
	copy(unsafe.Slice(leafItem(p, 0), len(items)), items)
	if t.Empty() {
		*t.word() = treeWord(r)
		return
	}
	var last Pos
	t.Last(&last)
	weight := weigh(p, 0)
	last.count(weight)
	t.split(&last, 1, r, items[0], weight)
}
