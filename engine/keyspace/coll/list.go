package coll

import (
	"unsafe"

	"tidemark/engine/keyspace/packed"
)

// A List keeps elements in packed lists, each in a block of its own: the first and the last block at hand, those between in a Tree by rank.
// So work at either end costs the same whatever the length, and any other place is found in O(log n).
//
//	block   | stamp : 32 | where the packed list begins : 32 | room | packed list | room |
//	pressed | stamp : 32 | pressedFlag and length : 32 | the packed list, compressed |
//
// There is room on both sides, where it is of use: adding and taking away at an end moves no element.
//
// When there are elements at all, there is a first block; when there is no last block, there are none between.
//
// Blocks further from both ends than ListRules.Depth are compressed (press.go); first and last block never are. A block that is looked at
// is unpacked into memory of Go's for that.
type List struct {
	*Mem
	ListRules
}

// ListRules say how a List lays out its elements. What is there already keeps the form it has until it is changed.
type ListRules struct {
	// Fill bounds a block, as list-max-listpack-size does: positive, elements; -1 to -5, 4, 8, 16, 32 or 64 KiB.
	Fill int
	// Depth is how many blocks at either end are not compressed, as list-compress-depth does; 0: none is compressed.
	Depth int
	// Alone is how long an element is, in bytes, that has a block to itself; 0: only those have that are too large for any other.
	Alone int
}

const (
	blockHeader = 8
	countedMost = 8192 // bytes of a block that is bounded by its elements
	firstBlock  = 64
)

// blockMost is how large a block with its header may be, in bytes. A single element may take more.
func (l List) blockMost() int {
	if l.Fill >= 0 {
		return countedMost
	}
	return 4096 << min(-l.Fill-1, 4)
}

func (l List) tree() *Tree { return &Tree{Mem: l.Mem} }

func blockStart(p unsafe.Pointer) *uint32 { return (*uint32)(unsafe.Add(p, 4)) }

// view is the packed list of a block that is not compressed.
func (m *Mem) view(r Ref) packed.List {
	p := m.Ptr(r)
	lp := unsafe.Add(p, *blockStart(p))
	return unsafe.Slice((*byte)(lp), *(*uint32)(lp))
}

// fits reports whether an element may join those of a block.
func (l List) fits(lp packed.List, elem []byte) bool {
	if l.Alone > 0 && (len(elem) >= l.Alone || l.standsAlone(lp)) {
		return false
	}
	return blockHeader+len(lp)+packed.EntryBytes(elem) <= l.blockMost() && (l.Fill <= 0 || lp.Len() < l.Fill)
}

// standsAlone reports whether the only element of a block is to stay that.
func (l List) standsAlone(lp packed.List) bool {
	var buf [20]byte
	return lp.Len() == 1 && len(lp.Text(packed.HeaderBytes, &buf)) >= l.Alone
}

// newBlock makes a block of a packed list's bytes, with room more on the side where it will grow.
func (l List) newBlock(lp []byte, room int, atFront bool) Ref {
	r := l.NewNode(blockHeader + len(lp) + room)
	p := l.Ptr(r)
	start := blockHeader
	if atFront {
		start = l.SizeOf(r) - len(lp)
	}
	*blockStart(p) = uint32(start)
	copy(l.Heap.Bytes(r, start, len(lp)), lp)
	return r
}

// blockOf makes a block of one element.
func (l List) blockOf(elem []byte, atFront bool) Ref {
	n := packed.EmptyBytes + packed.EntryBytes(elem)
	r := l.NewNode(max(firstBlock, blockHeader+n))
	p := l.Ptr(r)
	start := blockHeader
	if atFront {
		start = l.SizeOf(r) - n
	}
	*blockStart(p) = uint32(start)
	packed.New(l.Heap.Bytes(r, start, n)[:0]).Append(elem)
	return r
}

// splice replaces del bytes at a place of a block's packed list by ins, whole entries both, and returns the block, or the one that has taken
// its place.
func (l List) splice(r Ref, at, del int, ins []byte, delta int) Ref {
	p := l.Ptr(r)
	start, size := int(*blockStart(p)), l.SizeOf(r)
	n := int(*(*uint32)(unsafe.Add(p, start)))
	grow := len(ins) - del
	front, tail := at, n-at-del // what stands before and behind
	frontRoom, tailRoom := start-blockHeader, size-start-n
	if !l.Editable(r) || grow > frontRoom && grow > tailRoom || grow < 0 && size > firstBlock && blockHeader+n+grow < size/4 {
		return l.rebuild(r, at, del, ins, delta)
	}
	b := l.Heap.Bytes(r, 0, size)
	lp := start
	if front <= tail && grow <= frontRoom || grow > tailRoom {
		lp -= grow
		copy(b[lp:], b[start:start+front])
	} else {
		copy(b[start+front+len(ins):], b[start+front+del:start+n])
	}
	copy(b[lp+at:], ins)
	*blockStart(p) = uint32(lp)
	packed.List(b[lp : lp+n+grow]).SetHeader(delta)
	return r
}

// rebuild is splice into another block, with room on the side where the change was.
func (l List) rebuild(r Ref, at, del int, ins []byte, delta int) Ref {
	old := l.view(r)
	n := len(old) + len(ins) - del
	room := 0
	if grown := len(ins) - del; grown > 0 {
		room = max(0, min(n/2, l.blockMost()-blockHeader-n))
	}
	g := l.NewNode(max(blockHeader+n+room, firstBlock))
	p := l.Ptr(g)
	start := blockHeader
	if at < len(old)-at-del {
		start = l.SizeOf(g) - n
	}
	*blockStart(p) = uint32(start)
	lp := packed.List(l.Heap.Bytes(g, start, n))
	copy(lp, old[:at])
	copy(lp[at:], ins)
	copy(lp[at+len(ins):], old[at+del:])
	lp.SetHeader(delta)
	l.DropNode(r)
	return g
}

// seal gives a block that goes between first and last no more room than it needs.
func (l List) seal(r Ref) Item {
	lp := l.view(r)
	if size := l.SizeOf(r); size-blockHeader-len(lp) > size/8 {
		g := l.newBlock(lp, 0, false)
		l.DropNode(r)
		r, lp = g, l.view(g)
	}
	return NewItem(0, r, lp.Len())
}

// Len counts the elements.
func (l List) Len() uint64 { return l.Root.N }

// Sole returns the packed list that all elements are in, nil when they are in several. A view. The List is not empty.
func (l List) Sole() packed.List {
	if l.Root.B != 0 {
		return nil
	}
	return l.view(Ref(l.Root.A))
}

// Blocks counts the blocks, by walking over them.
func (l List) Blocks() (n int) {
	for i := uint64(0); i < l.Root.N; n++ {
		lp, first := l.Block(i)
		i = first + uint64(lp.Len())
	}
	return n
}

// PushHead adds an element before all others.
func (l List) PushHead(elem []byte) {
	r := Ref(l.Root.A)
	l.Root.N++
	switch {
	case r == 0:
	case l.fits(l.view(r), elem):
		var buf [64]byte
		l.Root.A = uint64(l.splice(r, packed.HeaderBytes, 0, packed.Entry(buf[:0], elem), 1))
		return
	case l.Root.B == 0:
		l.Root.B = l.Root.A
	default:
		l.tree().InsertAt(0, l.seal(r))
		l.pressFirst()
	}
	l.Root.A = uint64(l.blockOf(elem, true))
}

// PushTail adds an element behind all others.
func (l List) PushTail(elem []byte) {
	at := &l.Root.B
	if *at == 0 {
		at = &l.Root.A
	}
	r := Ref(*at)
	l.Root.N++
	switch {
	case r == 0:
		l.Root.A = uint64(l.blockOf(elem, false))
	case l.fits(l.view(r), elem):
		var buf [64]byte
		*at = uint64(l.splice(r, l.view(r).End(), 0, packed.Entry(buf[:0], elem), 1))
	default:
		if l.Root.B != 0 {
			l.tree().Append(l.seal(r))
			l.pressLast()
		}
		l.Root.B = uint64(l.blockOf(elem, false))
	}
}

// AppendBlock adds the elements of a packed list, of which there are n, behind all others: what loading does. A list that is larger than a
// block may be stays one block.
func (l List) AppendBlock(lp packed.List, n int) {
	r := l.newBlock(lp, 0, false)
	l.Root.N += uint64(n)
	switch {
	case l.Root.A == 0:
		l.Root.A = uint64(r)
		return
	case l.Root.B != 0:
		l.tree().Append(NewItem(0, Ref(l.Root.B), l.view(Ref(l.Root.B)).Len()))
		l.pressLast()
	}
	l.Root.B = uint64(r)
}

// Head returns the first element, Tail the last; the List is not empty. Views, or printed into buf.
func (l List) Head(buf *[20]byte) []byte {
	return l.view(Ref(l.Root.A)).Text(packed.HeaderBytes, buf)
}

// Tail returns the last element.
func (l List) Tail(buf *[20]byte) []byte {
	r := Ref(l.Root.B)
	if r == 0 {
		r = Ref(l.Root.A)
	}
	lp := l.view(r)
	return lp.Text(lp.Last(), buf)
}

// DropHead takes out the first n elements; the List has at least as many.
func (l List) DropHead(n uint64) {
	for n > 0 {
		r := Ref(l.Root.A)
		lp := l.view(r)
		if have := uint64(lp.Len()); n >= have {
			l.DropNode(r)
			l.Root.N -= have
			n -= have
			n -= l.cutHead(n)
			l.nextHead()
			continue
		}
		end := lp.Skip(packed.HeaderBytes, int(n))
		l.Root.A = uint64(l.splice(r, packed.HeaderBytes, end-packed.HeaderBytes, nil, -int(n)))
		l.Root.N -= n
		return
	}
}

// cutHead takes out the blocks between that have nothing but the n first elements of all of these, and returns how many elements that were.
func (l List) cutHead(n uint64) uint64 {
	tr := l.tree()
	var pos Pos
	tr.At(&pos, n)
	if !pos.Valid() {
		return l.cutAll(tr)
	}
	if n = tr.Rank(&pos); n > 0 {
		tr.cut(&pos, false)
		l.Root.N -= n
		for i := range l.Depth - 1 {
			tr.First(&pos)
			l.settleBlock(tr, &pos, i, true)
		}
	}
	return n
}

// cutTail is cutHead at the other end.
func (l List) cutTail(n uint64) uint64 {
	tr := l.tree()
	all := tr.Len()
	if n >= all {
		return l.cutAll(tr)
	}
	var pos Pos
	tr.At(&pos, all-n-1)
	if n = all - tr.Rank(&pos) - uint64(pos.Item().Weight()); n > 0 {
		tr.cut(&pos, true)
		l.Root.N -= n
		for i := range l.Depth - 1 {
			tr.Last(&pos)
			l.settleBlock(tr, &pos, i, false)
		}
	}
	return n
}

// cutAll takes out all blocks between.
func (l List) cutAll(tr *Tree) uint64 {
	n := tr.Len()
	tr.leaveAll(withBlocks)
	l.Root.N -= n
	return n
}

// nextHead finds a first block in the place of the one that was dropped.
func (l List) nextHead() {
	tr := l.tree()
	if tr.Empty() {
		l.Root.A, l.Root.B = l.Root.B, 0
		return
	}
	var pos Pos
	tr.First(&pos)
	l.Root.A = uint64(l.plain(pos.Item().Ref()))
	tr.Delete(&pos)
	l.unpressFirst()
}

// nextTail finds a last block in the place of the one that was dropped.
func (l List) nextTail() {
	l.Root.B = 0
	tr := l.tree()
	if tr.Empty() {
		return
	}
	var pos Pos
	tr.Last(&pos)
	l.Root.B = uint64(l.plain(pos.Item().Ref()))
	tr.Delete(&pos)
	l.unpressLast()
}

// DropTail takes out the last n elements; the List has at least as many.
func (l List) DropTail(n uint64) {
	for n > 0 {
		at := &l.Root.B
		if *at == 0 {
			at = &l.Root.A
		}
		r := Ref(*at)
		lp := l.view(r)
		if have := uint64(lp.Len()); n >= have {
			l.DropNode(r)
			l.Root.N -= have
			n -= have
			*at = 0
			n -= l.cutTail(n)
			l.nextTail()
			continue
		}
		from := lp.At(-int(n))
		*at = uint64(l.splice(r, from, lp.End()-from, nil, -int(n)))
		l.Root.N -= n
		return
	}
}

// Block returns the packed list that element i is in, and the index of its first element. A view.
func (l List) Block(i uint64) (lp packed.List, first uint64) {
	var p Place
	l.find(&p, i)
	return p.lp, p.first
}

// Place is a place in a List: that of an element. It is good until the List changes other than through it.
type Place struct {
	pos   Pos   // if the block is one between
	edge  uint8 // whether it is the first or the last instead
	lp    packed.List
	first uint64 // index of the block's first element
	i     uint64 // index of the element
	at    int    // its place in lp
}

const (
	firstEdge = 1
	lastEdge  = 2
)

// edgeOf is where the first or last block is named.
func (l List) edgeOf(p *Place) *uint64 {
	if p.edge == firstEdge {
		return &l.Root.A
	}
	return &l.Root.B
}

// find goes to the block that element i is in; i < Len.
func (l List) find(p *Place, i uint64) {
	p.edge = 0
	p.lp, p.first = l.view(Ref(l.Root.A)), 0
	n := uint64(p.lp.Len())
	if i < n {
		p.edge = firstEdge
		return
	}
	if l.Root.B != 0 {
		if lp := l.view(Ref(l.Root.B)); i >= l.Root.N-uint64(lp.Len()) {
			p.edge, p.lp, p.first = lastEdge, lp, l.Root.N-uint64(lp.Len())
			return
		}
	}
	within := l.tree().At(&p.pos, i-n)
	p.lp, p.first = l.open(p.pos.Item().Ref()), i-within
}

// Seek goes to element i, and reports whether there is one.
func (l List) Seek(p *Place, i uint64) bool {
	if i >= l.Root.N {
		return false
	}
	l.find(p, i)
	p.i, p.at = i, p.lp.At(int(i-p.first))
	return true
}

// Index is the place's number.
func (p *Place) Index() uint64 { return p.i }

// Text returns the element: a view of the list, or of buf.
func (p *Place) Text(buf *[20]byte) []byte { return p.lp.Text(p.at, buf) }

// Is reports whether the element is the one that packed.Encode made enc of.
func (p *Place) Is(enc []byte) bool { return p.lp.Is(p.at, enc) }

// Next goes to the next element, and reports whether there is one. Afterwards, if not, the place is no longer good.
func (l List) Next(p *Place) bool {
	p.i++
	if p.at = p.lp.Next(p.at); !p.lp.AtEnd(p.at) {
		return true
	}
	return l.Seek(p, p.i)
}

// Prev goes to the element before.
func (l List) Prev(p *Place) bool {
	if p.i == 0 {
		return false
	}
	p.i--
	if p.at = p.lp.Prev(p.at); p.at != 0 {
		return true
	}
	return l.Seek(p, p.i)
}

// splice changes the place's block.
func (l List) spliceAt(p *Place, at, del int, ins []byte, delta int) {
	l.Root.N += uint64(delta)
	if p.edge != 0 {
		edge := l.edgeOf(p)
		r := l.splice(Ref(*edge), at, del, ins, delta)
		*edge = uint64(r)
		p.lp = l.view(r)
		return
	}
	it := p.pos.Item()
	r := it.Ref()
	if l.pressed(r) {
		lp := make(packed.List, 0, len(p.lp)+len(ins)-del)
		lp = append(append(append(lp, p.lp[:at]...), ins...), p.lp[at+del:]...)
		lp.SetHeader(delta)
		l.DropNode(r)
		r = l.newBlock(lp, 0, false)
	} else {
		r = l.splice(r, at, del, ins, delta)
	}
	tr := l.tree()
	tr.Set(&p.pos, NewItem(0, r, it.Weight()+delta))
	if l.Depth > 0 {
		l.settleBlock(tr, &p.pos, 0, true)
	}
	p.lp = l.open(p.pos.Item().Ref())
}

// Set replaces the element. The place stays good.
func (l List) Set(p *Place, elem []byte) {
	var buf [64]byte
	ins := packed.Entry(buf[:0], elem)
	del := p.lp.Next(p.at) - p.at
	if grow := len(ins) - del; p.lp.Len() > 1 && (grow > 0 && blockHeader+len(p.lp)+grow > l.blockMost() || l.Alone > 0 && len(elem) >= l.Alone) {
		l.Insert(p, elem)
		l.Next(p)
		l.Delete(p)
		l.Seek(p, p.i-1)
		return
	}
	l.spliceAt(p, p.at, del, ins, 0)
}

// Insert adds an element before the place, which then is that of the new one.
func (l List) Insert(p *Place, elem []byte) {
	var buf [64]byte
	ins := packed.Entry(buf[:0], elem)
	if p.i == 0 {
		l.PushHead(elem)
		l.Seek(p, 0)
		return
	}
	if l.fits(p.lp, elem) {
		l.spliceAt(p, p.at, 0, ins, 1)
		return
	}
	l.cut(p)
	l.InsertBehind(p.i-1, elem)
	l.Seek(p, p.i)
}

// InsertBehind adds an element behind element i.
func (l List) InsertBehind(i uint64, elem []byte) {
	if i+1 == l.Root.N {
		l.PushTail(elem)
		return
	}
	var p Place
	l.Seek(&p, i)
	at := p.lp.Next(p.at)
	var buf [64]byte
	ins := packed.Entry(buf[:0], elem)
	if l.fits(p.lp, elem) {
		l.spliceAt(&p, at, 0, ins, 1)
		return
	}
	if p.lp.AtEnd(at) {
		// Between two blocks, the first of which is full.
		rank := p.first + uint64(p.lp.Len()) - uint64(l.view(Ref(l.Root.A)).Len())
		l.Root.N++
		l.tree().InsertAt(rank, NewItem(0, l.blockOf(elem, false), 1))
		l.settleAt(rank)
		return
	}
	l.Seek(&p, i+1)
	l.cut(&p)
	l.InsertBehind(i, elem)
}

// cut makes two blocks of the place's: the second begins with the element there. The place is not good afterwards.
func (l List) cut(p *Place) {
	if p.at == packed.HeaderBytes {
		return
	}
	n := p.lp.Len()
	left := int(p.i - p.first)
	lp := packed.New(make([]byte, 0, packed.EmptyBytes+len(p.lp)-p.at))
	lp = lp.Splice(packed.HeaderBytes, 0, p.lp[p.at:p.lp.End()], n-left)
	right := l.newBlock(lp, 0, false)
	count := uint64(n - left)
	l.spliceAt(p, p.at, p.lp.End()-p.at, nil, -(n - left))
	l.Root.N += count
	switch {
	case p.edge == lastEdge:
		// The left part is no longer the last.
		l.tree().Append(l.seal(Ref(l.Root.B)))
		l.Root.B = uint64(right)
		l.pressLast()
	case l.Root.B == 0:
		l.Root.B = uint64(right)
	default:
		rank := p.first + uint64(left) - uint64(l.view(Ref(l.Root.A)).Len())
		l.tree().InsertAt(rank, NewItem(0, right, int(count)))
		l.settleAt(rank)
	}
}

// Delete takes the element out, and goes to the one behind it; false: there is none.
func (l List) Delete(p *Place) bool {
	i := p.i
	l.DeleteRange(i, 1)
	return l.Seek(p, i)
}

// DeleteRange takes out n elements from element i on; there are as many.
func (l List) DeleteRange(i, n uint64) {
	if i == 0 {
		l.DropHead(n)
		return
	}
	if i+n == l.Root.N {
		l.DropTail(n)
		return
	}
	var p Place
	for n > 0 {
		l.Seek(&p, i)
		have := p.first + uint64(p.lp.Len()) - i
		k := min(have, n)
		n -= k
		if k < uint64(p.lp.Len()) {
			end := p.lp.Skip(p.at, int(k))
			l.spliceAt(&p, p.at, end-p.at, nil, -int(k))
			continue
		}
		// The whole block: one between, since there are elements before and behind, or the last.
		l.Root.N -= k
		if p.edge != 0 {
			l.DropNode(Ref(*l.edgeOf(&p)))
			l.nextTail()
			continue
		}
		l.DropNode(p.pos.Item().Ref())
		l.tree().Delete(&p.pos)
		l.unpressFirst()
		l.unpressLast()
	}
}

// Drop frees the whole List.
func (l List) Drop() {
	for _, at := range []*uint64{&l.Root.A, &l.Root.B} {
		if *at != 0 {
			l.DropNode(Ref(*at))
			*at = 0
		}
	}
	l.tree().Drop(l.DropNode)
	l.Root.N = 0
}

// CloneFrom makes l, which is empty, a copy of src, which may lie in another heap.
func (l List) CloneFrom(src List) {
	clone := func(r Ref) Ref {
		if src.pressed(r) {
			return l.newPressed(src.pressedBytes(r))
		}
		return l.newBlock(src.view(r), 0, false)
	}
	if r := Ref(src.Root.A); r != 0 {
		l.Root.A = uint64(clone(r))
	}
	if r := Ref(src.Root.B); r != 0 {
		l.Root.B = uint64(clone(r))
	}
	l.tree().CloneFrom(src.tree(), func(it Item) Ref { return clone(it.Ref()) })
	l.Root.N = src.Root.N
}
