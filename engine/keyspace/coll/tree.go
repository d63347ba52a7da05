package coll

import (
	"bytes"
	"unsafe"

	"tidemark/engine/keyspace/arena"
)

// A Tree keeps items in order, and finds them by what they are ordered by as well as by their rank. It is a B+ tree whose inner nodes count
// what lies below each child. An item names a block, and has a weight: 1 for a sorted set's member, the number of elements for a list's
// block. The rank of an item is the sum of the weights before it.
//
//	leaf  | stamp : 32 | items : 16 | - : 16 | item ... |                              3 to 63 items
//	inner | stamp : 32 | children : 16 | - : 16 | first item, child (Ref), weight : 64 ... |    up to 63
//	item  | key : 64 | weight : 24 | block (Ref) : 40 |
//
// Items are in order of key, and those of one key in the order that Tie gives. The first item of a child, repeated in its parent, is exact:
// comparing in an inner node looks only at blocks that exist.
type Tree struct {
	*Mem
	// Tie compares the block of an item with a probe's bytes, as bytes.Compare does. nil: keys are unique, or the order is by rank alone.
	Tie func(s arena.Space, r Ref, tie []byte) int
	// Wide: keys have 128 bits, the lower half of which is the second word of an item's block, which is a node.
	Wide bool
	at   *treeWord // where the tree is named; nil: in the Root
}

// word is where the tree is named.
func (t *Tree) word() *treeWord {
	if t.at != nil {
		return t.at
	}
	return &t.Root.tree
}

// treeWord names the root: | height : 8 (0: a leaf) | Ref : 40 |
type treeWord uint64

func (w treeWord) ref() Ref    { return Ref(w & refMask) }
func (w treeWord) height() int { return int(w >> 40) }

// An Item of a Tree.
type Item struct {
	Key uint64
	val uint64
}

const (
	nodeHeader  = 8
	lowAt       = 8 // where a wide key's lower half stands
	itemBytes   = 16
	childBytes  = 32
	leafMax     = 63
	innerMax    = 63
	leafBytes   = nodeHeader + leafMax*itemBytes
	innerBytes  = nodeHeader + innerMax*childBytes
	firstLeaf   = nodeHeader + 3*itemBytes
	underflow   = 16 // items below which a node looks for a neighbour to merge with
	mergedMost  = 50 // items of two nodes that merge
	maxHeight   = 12
	weightAt    = arena.RefBits
	MaxWeight   = 1<<24 - 1
	itemRefMask = refMask
)

// NewItem makes an item. weight is at most MaxWeight.
func NewItem(key uint64, r Ref, weight int) Item {
	return Item{key, uint64(r) | uint64(weight)<<weightAt}
}

// Ref returns the item's block.
func (it Item) Ref() Ref { return Ref(it.val & itemRefMask) }

// Weight returns the item's weight.
func (it Item) Weight() int { return int(it.val >> weightAt) }

// child is what an inner node has of one.
type child struct {
	first Item
	ref   uint64
	n     uint64 // the weight of everything below
}

func countOf(p unsafe.Pointer) *uint16 { return (*uint16)(unsafe.Add(p, 4)) }

func leafItem(p unsafe.Pointer, i int) *Item { return (*Item)(unsafe.Add(p, nodeHeader+i*itemBytes)) }

func childAt(p unsafe.Pointer, i int) *child { return (*child)(unsafe.Add(p, nodeHeader+i*childBytes)) }

// Where a probe stands among items with its key.
type Where uint8

const (
	Exactly   Where = iota // at the item whose block compares as equal to Tie, or where that would be
	BeforeAll              // before all of the key
	AfterAll               // behind all of the key
	Behind                 // behind the item whose block compares as equal to Tie
)

// A Probe is what Seek looks for.
type Probe struct {
	Key   uint64
	Where Where
	Tie   []byte
	Low   uint64 // the lower half of a wide key
}

// less reports whether an item lies before the probe.
func (t *Tree) less(it *Item, p *Probe) bool {
	if it.Key != p.Key {
		return it.Key < p.Key
	}
	switch p.Where {
	case BeforeAll:
		return false
	case AfterAll:
		return true
	}
	if t.Wide {
		low := *u64(t.Ptr(it.Ref()), lowAt)
		return low < p.Low || low == p.Low && p.Where == Behind
	}
	if t.Tie == nil {
		return p.Where == Behind
	}
	c := t.Tie(t.Space, it.Ref(), p.Tie)
	return c < 0 || c == 0 && p.Where == Behind
}

// TieKey is the Tie of sorted sets: members by their bytes.
func TieKey(s arena.Space, r Ref, tie []byte) int { return bytes.Compare(KeyOf(s, r), tie) }

// Pos is a place in a Tree: that of an item, or the end. It is good until the Tree changes.
type Pos struct {
	height int
	lv     [maxHeight]struct {
		p unsafe.Pointer
		i int
	}
}

// Rank sums up the weight of everything before a valid place.
func (t *Tree) Rank(p *Pos) (n uint64) {
	for i := range p.lv[0].i {
		n += uint64(leafItem(p.lv[0].p, i).Weight())
	}
	for l := 1; l <= p.height; l++ {
		for i := range p.lv[l].i {
			n += childAt(p.lv[l].p, i).n
		}
	}
	return n
}

// Valid reports whether an item stands there; otherwise it is the end, or what is before the first.
func (p *Pos) Valid() bool { return p.lv[0].p != nil }

// Item returns the item at a valid place.
func (p *Pos) Item() Item { return *leafItem(p.lv[0].p, p.lv[0].i) }

// Len is how much everything weighs.
func (t *Tree) Len() uint64 {
	w := *t.word()
	if w == 0 {
		return 0
	}
	return weigh(t.Ptr(w.ref()), w.height())
}

// weigh sums up a node.
func weigh(p unsafe.Pointer, height int) (n uint64) {
	for i := range int(*countOf(p)) {
		if height > 0 {
			n += childAt(p, i).n
		} else {
			n += uint64(leafItem(p, i).Weight())
		}
	}
	return n
}

// HasTree reports whether a collection has items in its Tree.
func (r *Root) HasTree() bool { return r.tree != 0 }

// FirstKey returns the key of the first item of a collection's Tree, which has one. It looks at the Tree's topmost node alone.
func FirstKey(s arena.Space, r *Root) uint64 {
	p := s.Ptr(r.tree.ref())
	if r.tree.height() > 0 {
		return childAt(p, 0).first.Key
	}
	return leafItem(p, 0).Key
}

// Empty reports whether there are no items.
func (t *Tree) Empty() bool { return *t.word() == 0 }

// descend goes to where an item would be inserted, which may be behind the last item of any leaf. The Tree is not empty.
func (t *Tree) descend(pos *Pos, probe *Probe) {
	w := *t.word()
	pos.height = w.height()
	r := w.ref()
	for l := pos.height; l > 0; l-- {
		p := t.Ptr(r)
		// The last child whose first item lies before the probe, or the first child if there is none.
		lo, hi := 0, int(*countOf(p))-1
		for lo < hi {
			m := int(uint(lo+hi+1) / 2)
			if t.less(&childAt(p, m).first, probe) {
				lo = m
			} else {
				hi = m - 1
			}
		}
		pos.lv[l].p, pos.lv[l].i = p, lo
		r = Ref(childAt(p, lo).ref)
	}
	p := t.Ptr(r)
	lo, hi := 0, int(*countOf(p))
	for lo < hi {
		m := int(uint(lo+hi) / 2)
		if t.less(leafItem(p, m), probe) {
			lo = m + 1
		} else {
			hi = m
		}
	}
	pos.lv[0].p, pos.lv[0].i = p, lo
}

// Seek goes to the first item that does not lie before the probe.
func (t *Tree) Seek(pos *Pos, probe *Probe) {
	if *t.word() == 0 {
		pos.lv[0].p = nil
		return
	}
	t.descend(pos, probe)
	t.settle(pos)
}

// SeekBefore goes to the last item that lies before the probe.
func (t *Tree) SeekBefore(pos *Pos, probe *Probe) {
	if *t.word() == 0 {
		pos.lv[0].p = nil
		return
	}
	t.descend(pos, probe)
	t.Prev(pos)
}

// settle moves a place behind a leaf's last item to the next leaf's first.
func (t *Tree) settle(p *Pos) {
	if p.lv[0].i < int(*countOf(p.lv[0].p)) {
		return
	}
	for l := 1; l <= p.height; l++ {
		if at := &p.lv[l]; at.i+1 < int(*countOf(at.p)) {
			at.i++
			t.down(p, l, true)
			return
		}
	}
	p.lv[0].p = nil
}

// down goes from level l to the first or last item below.
func (t *Tree) down(p *Pos, l int, first bool) {
	for ; l > 0; l-- {
		q := t.Ptr(Ref(childAt(p.lv[l].p, p.lv[l].i).ref))
		p.lv[l-1].p, p.lv[l-1].i = q, 0
		if !first {
			p.lv[l-1].i = int(*countOf(q)) - 1
		}
	}
}

// Next goes to the next item.
func (t *Tree) Next(p *Pos) {
	p.lv[0].i++
	t.settle(p)
}

// Prev goes to the item before.
func (t *Tree) Prev(p *Pos) {
	if p.lv[0].i > 0 {
		p.lv[0].i--
		return
	}
	for l := 1; l <= p.height; l++ {
		if at := &p.lv[l]; at.i > 0 {
			at.i--
			t.down(p, l, false)
			return
		}
	}
	p.lv[0].p = nil
}

// First goes to the first item.
func (t *Tree) First(pos *Pos) { t.At(pos, 0) }

// Last goes to the last item.
func (t *Tree) Last(pos *Pos) {
	pos.lv[0].p = nil
	w := *t.word()
	if w == 0 {
		return
	}
	pos.height = w.height()
	p := t.Ptr(w.ref())
	pos.lv[pos.height].p, pos.lv[pos.height].i = p, int(*countOf(p))-1
	t.down(pos, pos.height, false)
}

// At goes to the item that a rank falls into, and returns how far into its weight. Beyond the last it is the end.
func (t *Tree) At(pos *Pos, rank uint64) (within uint64) {
	pos.lv[0].p = nil
	w := *t.word()
	if w == 0 {
		return 0
	}
	pos.height = w.height()
	r := w.ref()
	for l := pos.height; l > 0; l-- {
		p := t.Ptr(r)
		i, n := 0, int(*countOf(p))
		for ; i < n && rank >= childAt(p, i).n; i++ {
			rank -= childAt(p, i).n
		}
		if i == n {
			return 0
		}
		pos.lv[l].p, pos.lv[l].i = p, i
		r = Ref(childAt(p, i).ref)
	}
	p := t.Ptr(r)
	i, n := 0, int(*countOf(p))
	for ; i < n; i++ {
		weight := uint64(leafItem(p, i).Weight())
		if rank < weight {
			pos.lv[0].p, pos.lv[0].i = p, i
			return rank
		}
		rank -= weight
	}
	return 0
}
