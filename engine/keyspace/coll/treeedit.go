package coll

import (
	"unsafe"

	"tidemark/engine/keyspace/arena"
)

// shift makes room for one more of size bytes at place i of n behind a node's header, or, with by -1, closes the gap at i.
func shift(p unsafe.Pointer, i, n, size, by int) {
	b := unsafe.Slice((*byte)(unsafe.Add(p, nodeHeader)), (n+1)*size)
	if by > 0 {
		copy(b[(i+1)*size:], b[i*size:n*size])
	} else {
		copy(b[i*size:], b[(i+1)*size:n*size])
	}
}

// own makes the nodes of a path the collection's own.
func (t *Tree) own(p *Pos) {
	if t.Kept == nil {
		return
	}
	w := t.word()
	if r := w.ref(); !t.Editable(r) {
		*w = *w&^refMask | treeWord(t.OwnNode(r))
		p.lv[p.height].p = t.Ptr(w.ref())
	}
	for l := p.height; l > 0; l-- {
		c := childAt(p.lv[l].p, p.lv[l].i)
		if r := Ref(c.ref); !t.Editable(r) {
			c.ref = uint64(t.OwnNode(r))
			p.lv[l-1].p = t.Ptr(Ref(c.ref))
		}
	}
}

// count adds to the weights above a leaf.
func (p *Pos) count(by uint64) {
	for l := 1; l <= p.height; l++ {
		childAt(p.lv[l].p, p.lv[l].i).n += by
	}
}

// tellFirst writes the first item of a node of level l-1 into its parents, as far up as it is the first.
func (p *Pos) tellFirst(l int, it Item) {
	for ; l <= p.height; l++ {
		childAt(p.lv[l].p, p.lv[l].i).first = it
		if p.lv[l].i > 0 {
			return
		}
	}
}

// Insert adds an item where the probe says, which must be where its own key and block belong.
func (t *Tree) Insert(probe *Probe, it Item) {
	if *t.word() == 0 {
		t.plant(it)
		return
	}
	var pos Pos
	t.descend(&pos, probe)
	t.insert(&pos, it)
}

// InsertAt adds an item before the one that begins at a rank, or at the end: for trees that are in order of rank alone.
func (t *Tree) InsertAt(rank uint64, it Item) {
	if *t.word() == 0 {
		t.plant(it)
		return
	}
	var pos Pos
	if t.At(&pos, rank); !pos.Valid() {
		t.Last(&pos)
		pos.lv[0].i++
	}
	t.insert(&pos, it)
}

// Append adds an item behind all others, where it must belong.
func (t *Tree) Append(it Item) {
	if *t.word() == 0 {
		t.plant(it)
		return
	}
	var pos Pos
	t.Last(&pos)
	pos.lv[0].i++
	t.insert(&pos, it)
}

// plant makes the first leaf.
func (t *Tree) plant(it Item) {
	r := t.NewNode(firstLeaf)
	p := t.Ptr(r)
	*countOf(p) = 1
	*leafItem(p, 0) = it
	*t.word() = treeWord(r)
}

func (t *Tree) insert(p *Pos, it Item) {
	t.own(p)
	leaf, i := p.lv[0].p, p.lv[0].i
	n := int(*countOf(leaf))
	p.count(uint64(it.Weight()))
	if p.height == 0 {
		r := t.word().ref()
		if room := (t.SizeOf(r) - nodeHeader) / itemBytes; n >= min(room, leafMax) && room < leafMax {
			// The only leaf of a small tree grows.
			g := t.NewNode(nodeHeader + min(2*n+1, leafMax)*itemBytes)
			q := t.Ptr(g)
			copy(unsafe.Slice((*byte)(q), nodeHeader+n*itemBytes)[stampBytes:], unsafe.Slice((*byte)(leaf), nodeHeader+n*itemBytes)[stampBytes:])
			t.DropNode(r)
			*t.word() = treeWord(g)
			leaf = q
		}
	}
	if n < leafMax {
		shift(leaf, i, n, itemBytes, 1)
		*leafItem(leaf, i) = it
		*countOf(leaf)++
		if i == 0 {
			p.tellFirst(1, it)
		}
		return
	}
	// Full: cut in halves, but where items come in order leave the old half full.
	cut := leafMax / 2
	switch {
	case i == leafMax && p.isEdge(false):
		cut = leafMax
	case i == 0 && p.isEdge(true):
		cut = 0
	}
	r := t.NewNode(leafBytes)
	right := t.Ptr(r)
	moved := leafMax - cut
	copy(unsafe.Slice((*byte)(unsafe.Add(right, nodeHeader)), moved*itemBytes),
		unsafe.Slice((*byte)(unsafe.Add(leaf, nodeHeader+cut*itemBytes)), moved*itemBytes))
	*countOf(leaf), *countOf(right) = uint16(cut), uint16(moved)
	half, at := leaf, i
	if i > cut || i == cut && cut == leafMax {
		half, at = right, i-cut
	}
	m := int(*countOf(half))
	shift(half, at, m, itemBytes, 1)
	*leafItem(half, at) = it
	*countOf(half)++
	if i == 0 {
		p.tellFirst(1, it)
	}
	t.split(p, 1, r, *leafItem(right, 0), weigh(right, 0))
}

// isEdge reports whether the leaf is the first or the last of the tree.
func (p *Pos) isEdge(first bool) bool {
	for l := 1; l <= p.height; l++ {
		if first && p.lv[l].i > 0 || !first && p.lv[l].i+1 < int(*countOf(p.lv[l].p)) {
			return false
		}
	}
	return true
}

// split tells level l that the child there was cut: the right half is a new node.
func (t *Tree) split(p *Pos, l int, right Ref, first Item, weight uint64) {
	c := child{first, uint64(right), weight}
	if l > p.height {
		w := *t.word()
		left := t.Ptr(w.ref())
		r := t.NewNode(innerBytes)
		q := t.Ptr(r)
		*countOf(q) = 2
		f := *leafItem(left, 0)
		if p.height > 0 {
			f = childAt(left, 0).first
		}
		*childAt(q, 0) = child{f, uint64(w.ref()), weigh(left, p.height)}
		*childAt(q, 1) = c
		*t.word() = treeWord(r) | treeWord(p.height+1)<<arena.RefBits
		return
	}
	node, i := p.lv[l].p, p.lv[l].i+1
	childAt(node, i-1).n -= weight
	n := int(*countOf(node))
	if n < innerMax {
		shift(node, i, n, childBytes, 1)
		*childAt(node, i) = c
		*countOf(node)++
		return
	}
	cut := innerMax / 2
	if i == innerMax && p.isEdgeFrom(l+1) {
		cut = innerMax
	}
	r := t.NewNode(innerBytes)
	half := t.Ptr(r)
	moved := innerMax - cut
	copy(unsafe.Slice((*byte)(unsafe.Add(half, nodeHeader)), moved*childBytes),
		unsafe.Slice((*byte)(unsafe.Add(node, nodeHeader+cut*childBytes)), moved*childBytes))
	*countOf(node), *countOf(half) = uint16(cut), uint16(moved)
	into, at := node, i
	if i > cut || i == cut && cut == innerMax {
		into, at = half, i-cut
	}
	shift(into, at, int(*countOf(into)), childBytes, 1)
	*childAt(into, at) = c
	*countOf(into)++
	t.split(p, l+1, r, childAt(half, 0).first, weigh(half, l))
}

// isEdgeFrom reports whether the path is the last one from level l upwards.
func (p *Pos) isEdgeFrom(l int) bool {
	for ; l <= p.height; l++ {
		if p.lv[l].i+1 < int(*countOf(p.lv[l].p)) {
			return false
		}
	}
	return true
}

// Set puts another item in the place of the one at a valid place; it must belong there. The place stays good.
func (t *Tree) Set(p *Pos, it Item) {
	t.own(p)
	at := leafItem(p.lv[0].p, p.lv[0].i)
	p.count(uint64(it.Weight()) - uint64(at.Weight()))
	*at = it
	if p.lv[0].i == 0 {
		p.tellFirst(1, it)
	}
}

// Delete takes out the item at a valid place. Its block is the caller's.
func (t *Tree) Delete(p *Pos) {
	t.own(p)
	leaf, i := p.lv[0].p, p.lv[0].i
	n := int(*countOf(leaf))
	p.count(-uint64(leafItem(leaf, i).Weight()))
	shift(leaf, i, n, itemBytes, -1)
	n--
	*countOf(leaf) = uint16(n)
	if n == 0 {
		t.unlink(p, 0)
		return
	}
	if i == 0 {
		p.tellFirst(1, *leafItem(leaf, 0))
	}
	if n < underflow && p.height > 0 {
		t.merge(p, 1)
	}
}

// unlink takes the empty node of level l out of the tree.
func (t *Tree) unlink(p *Pos, l int) {
	if l == p.height {
		t.DropNode(t.word().ref())
		*t.word() = 0
		return
	}
	up, i := p.lv[l+1].p, p.lv[l+1].i
	t.DropNode(Ref(childAt(up, i).ref))
	t.removeChild(p, l+1, i)
}

// removeChild takes child i out of the path's node of level l, whose block was dropped.
func (t *Tree) removeChild(p *Pos, l, i int) {
	node := p.lv[l].p
	n := int(*countOf(node))
	shift(node, i, n, childBytes, -1)
	n--
	*countOf(node) = uint16(n)
	if n == 0 {
		t.unlink(p, l)
		return
	}
	if i == 0 {
		p.tellFirst(l+1, childAt(node, 0).first)
	}
	if l < p.height {
		if n < underflow {
			t.merge(p, l+1)
		}
		return
	}
	t.lower()
}

// items counts the items, by a walk over all nodes.
func (t *Tree) items() int {
	if t.Empty() {
		return 0
	}
	return t.itemsBelow(t.word().ref(), t.word().height())
}

func (t *Tree) itemsBelow(r Ref, height int) (n int) {
	p := t.Ptr(r)
	if n = int(*countOf(p)); height == 0 {
		return n
	}
	children := n
	n = 0
	for i := range children {
		n += t.itemsBelow(Ref(childAt(p, i).ref), height-1)
	}
	return n
}

// lower takes away a root with a single child, which is no root.
func (t *Tree) lower() {
	for w := *t.word(); w.height() > 0 && *countOf(t.Ptr(w.ref())) == 1; w = *t.word() {
		c := childAt(t.Ptr(w.ref()), 0).ref
		t.DropNode(w.ref())
		*t.word() = treeWord(c) | treeWord(w.height()-1)<<arena.RefBits
	}
}

// merge makes one node of the path's child at level l and a neighbour under the same parent, if both together are small.
func (t *Tree) merge(p *Pos, l int) {
	node, i := p.lv[l].p, p.lv[l].i
	n := int(*countOf(node))
	size := func(i int) int { return int(*countOf(t.Ptr(Ref(childAt(node, i).ref)))) }
	switch {
	case i+1 < n && size(i)+size(i+1) <= mergedMost:
	case i > 0 && size(i-1)+size(i) <= mergedMost:
		i--
	default:
		return
	}
	left, right := childAt(node, i), childAt(node, i+1)
	if r := Ref(left.ref); !t.Editable(r) {
		left.ref = uint64(t.OwnNode(r))
	}
	width := itemBytes
	if l > 1 {
		width = childBytes
	}
	a, b := t.Ptr(Ref(left.ref)), t.Ptr(Ref(right.ref))
	na, nb := int(*countOf(a)), int(*countOf(b))
	copy(unsafe.Slice((*byte)(unsafe.Add(a, nodeHeader+na*width)), nb*width), unsafe.Slice((*byte)(unsafe.Add(b, nodeHeader)), nb*width))
	*countOf(a) += uint16(nb)
	left.n += right.n
	t.DropNode(Ref(right.ref))
	t.removeChild(p, l, i+1)
}

// Drop frees all nodes. With block, each item's block is handed to it: a sorted set's are the Dict's.
func (t *Tree) Drop(block func(r Ref)) {
	if w := *t.word(); w != 0 {
		t.dropNode(w.ref(), w.height(), block)
		*t.word() = 0
	}
}

func (t *Tree) dropNode(r Ref, height int, block func(r Ref)) {
	p := t.Ptr(r)
	for i := range int(*countOf(p)) {
		switch {
		case height > 0:
			t.dropNode(Ref(childAt(p, i).ref), height-1, block)
		case block != nil:
			block(leafItem(p, i).Ref())
		}
	}
	t.DropNode(r)
}

// CloneFrom makes t, which is empty, a copy of src, which may lie in another heap. block gives the block that takes the place of one of src's.
func (t *Tree) CloneFrom(src *Tree, block func(it Item) Ref) {
	if w := *src.word(); w != 0 {
		r, _ := t.cloneNode(src, w.ref(), w.height(), block)
		*t.word() = w&^refMask | treeWord(r)
	}
}

func (t *Tree) cloneNode(src *Tree, from Ref, height int, block func(it Item) Ref) (r Ref, first Item) {
	q := src.Ptr(from)
	n := int(*countOf(q))
	size := leafBytes
	switch {
	case height > 0:
		size = innerBytes
	case src.word().height() == 0: // the only one may be smaller
		size = max(firstLeaf, nodeHeader+n*itemBytes)
	}
	r = t.NewNode(size)
	p := t.Ptr(r)
	*countOf(p) = uint16(n)
	for i := range n {
		if height > 0 {
			c := *childAt(q, i)
			ref, f := t.cloneNode(src, Ref(c.ref), height-1, block)
			c.ref, c.first = uint64(ref), f
			*childAt(p, i) = c
		} else {
			it := *leafItem(q, i)
			it.val = it.val&^itemRefMask | uint64(block(it))
			*leafItem(p, i) = it
		}
	}
	if height > 0 {
		return r, childAt(p, 0).first
	}
	return r, *leafItem(p, 0)
}
