package coll

import (
	"sync"
	"unsafe"

	"github.com/klauspost/compress/s2"

	"tidemark/engine/keyspace/packed"
)

// Compression of a List's blocks, with s2. A block is compressed when as many others lie on either side of it as ListRules.Depth says, if that makes it
// smaller. It is when a block comes or goes at an end that others change sides, and those are looked at then: one, whatever the length of the
// List. A Depth that was changed shows in what is touched from then on.

const (
	pressedFlag = 1 << 31
	// pressLeast is how large a packed list must be to be worth it, and pressGain what compression must save, in bytes. They are Redis's.
	pressLeast = 48
	pressGain  = 8
	// pressMost is how large it may be: a millisecond's work.
	pressMost = 1 << 20
	// pressKept is the largest buffer that is kept.
	pressKept = 128 << 10
)

// pressBuffers are what blocks are compressed into at first.
var pressBuffers = sync.Pool{New: func() any { return new([]byte) }}

func (m *Mem) pressed(r Ref) bool { return *blockStart(m.Ptr(r))&pressedFlag != 0 }

// pressedBytes is what a compressed block holds. A view.
func (m *Mem) pressedBytes(r Ref) []byte {
	p := m.Ptr(r)
	return unsafe.Slice((*byte)(unsafe.Add(p, blockHeader)), *blockStart(p)&^pressedFlag)
}

// open is the packed list of any block: a view, or unpacked into memory of its own.
func (m *Mem) open(r Ref) packed.List {
	if !m.pressed(r) {
		return m.view(r)
	}
	lp, err := s2.Decode(nil, m.pressedBytes(r))
	if err != nil {
		panic("BUG: coll: a block that was compressed here: " + err.Error())
	}
	return lp
}

func (l List) newPressed(b []byte) Ref {
	r := l.NewNode(blockHeader + len(b))
	*blockStart(l.Ptr(r)) = pressedFlag | uint32(len(b))
	copy(l.Heap.Bytes(r, blockHeader, len(b)), b)
	return r
}

// press makes a compressed block of a packed list's bytes, or 0 if that is not worth it.
func (l List) press(lp packed.List) (r Ref) {
	if len(lp) < pressLeast || len(lp) > pressMost {
		return 0
	}
	buf := pressBuffers.Get().(*[]byte)
	if most := s2.MaxEncodedLen(len(lp)); cap(*buf) < most {
		*buf = make([]byte, most)
	}
	if b := s2.Encode((*buf)[:cap(*buf)], lp); len(b)+pressGain <= len(lp) {
		r = l.newPressed(b)
	}
	if cap(*buf) <= pressKept {
		pressBuffers.Put(buf)
	}
	return r
}

// plain gives a block in the form that first and last block have: r, or another that has taken its place.
func (l List) plain(r Ref) Ref {
	if !l.pressed(r) {
		return r
	}
	g := l.newBlock(l.open(r), 0, false)
	l.DropNode(r)
	return g
}

// pressFirst is called when a block has come into the tree at its front: the one that now is Depth blocks from the first is looked at.
func (l List) pressFirst() {
	if l.Depth > 0 {
		var pos Pos
		tr := l.tree()
		tr.First(&pos)
		l.settleBlock(tr, &pos, l.Depth-1, true)
	}
}

// pressLast is pressFirst at the other end.
func (l List) pressLast() {
	if l.Depth > 0 {
		var pos Pos
		tr := l.tree()
		tr.Last(&pos)
		l.settleBlock(tr, &pos, l.Depth-1, false)
	}
}

// unpressFirst is called when a block has left the tree at its front: one more is now within Depth blocks from the first.
func (l List) unpressFirst() {
	if tr := l.tree(); l.Depth > 1 && !tr.Empty() {
		var pos Pos
		tr.First(&pos)
		l.settleBlock(tr, &pos, l.Depth-2, true)
	}
}

// unpressLast is unpressFirst at the other end.
func (l List) unpressLast() {
	if tr := l.tree(); l.Depth > 1 && !tr.Empty() {
		var pos Pos
		tr.Last(&pos)
		l.settleBlock(tr, &pos, l.Depth-2, false)
	}
}

// settleAt is called when a block has come to stand among others, at a rank of the tree.
func (l List) settleAt(rank uint64) {
	if l.Depth > 0 {
		var pos Pos
		tr := l.tree()
		tr.At(&pos, rank)
		l.settleBlock(tr, &pos, 0, true)
		l.pressFirst()
		l.pressLast()
	}
}

// settleBlock gives the block that is so many blocks further on, or back, the form that it should have where it is.
func (l List) settleBlock(tr *Tree, pos *Pos, further int, on bool) {
	if !steps(tr, pos, further, on) {
		return
	}
	it := pos.Item()
	r := it.Ref()
	fore, back := *pos, *pos
	inside := steps(tr, &fore, l.Depth-1, true) && steps(tr, &back, l.Depth-1, false)
	switch {
	case inside && !l.pressed(r):
		g := l.press(l.view(r))
		if g == 0 {
			return
		}
		l.DropNode(r)
		r = g
	case !inside && l.pressed(r):
		r = l.plain(r)
	default:
		return
	}
	tr.Set(pos, NewItem(0, r, it.Weight()))
}

// steps goes n blocks on or back, and reports whether there are as many.
func steps(tr *Tree, pos *Pos, n int, on bool) bool {
	for ; n > 0 && pos.Valid(); n-- {
		if on {
			tr.Next(pos)
		} else {
			tr.Prev(pos)
		}
	}
	return pos.Valid()
}
