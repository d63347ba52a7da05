package coll

import (
	"cmp"
	"math"
	"unsafe"

	"tidemark/engine/keyspace/packed"
)

// A Stream keeps entries in order of their IDs. Entries are packed into nodes, and the nodes are in a Tree by the ID of their first entry. A node weighs
// as much as it has entries that are not deleted, up to MaxWeight; but the last, where entries are added, only gets its weight when it is full.
//
//	head  | stamp : 32 | - : 32 | last ID | greatest deleted ID | first ID | added : 64 | groups : 64 |          Root.A names it
//	node  | stamp : 32 | - : 32 | sequence of the first ID : 64 | packed list | room |
//
// The packed list is the one that RDB files have:
//
//	| entries | of them deleted, besides | n | field 1 | ... | field n | 0 | entry ... |      n fields that most entries have
//	entry  | flags | ms - the node's | sequence - the node's | value 1 ... value n | elements before this one |
//	       | flags | ms - the node's | sequence - the node's | m | field, value ... | elements before this one |
//
// flags has 2 set when the entry has the node's fields, and 1 when it is deleted: it stays until the node goes, which it does with its last
// entry. Of what is deleted only the IDs of a node's first entry matter. Root.N counts the entries that are not deleted. The consumer groups
// are in streamgroup.go.
type Stream struct{ *Mem }

// StreamID is an entry's ID.
type StreamID struct{ Ms, Seq uint64 }

// MaxStreamID is the last of all IDs.
var MaxStreamID = StreamID{math.MaxUint64, math.MaxUint64}

// Compare orders IDs.
func (a StreamID) Compare(b StreamID) int {
	if a.Ms != b.Ms {
		return cmp.Compare(a.Ms, b.Ms)
	}
	return cmp.Compare(a.Seq, b.Seq)
}

// IsZero reports whether it is 0-0, which no entry has.
func (a StreamID) IsZero() bool { return a == StreamID{} }

// Next is the ID behind a; false: a is the last of all, and what comes next is 0-0.
func (a StreamID) Next() (StreamID, bool) {
	if a.Seq++; a.Seq == 0 {
		a.Ms++
		return a, a.Ms != 0
	}
	return a, true
}

// Prev is the ID before a; false: a is 0-0.
func (a StreamID) Prev() (StreamID, bool) {
	if a.Seq--; a.Seq == math.MaxUint64 {
		a.Ms--
		return a, a.Ms != math.MaxUint64
	}
	return a, true
}

// StreamHead is what a stream knows besides its entries.
type StreamHead struct {
	stamp   uint32
	_       uint32
	Last    StreamID // of the entry added last, or as XSETID said
	Deleted StreamID // the greatest that was deleted
	First   StreamID // of the first entry; 0-0: there is none
	Added   uint64   // entries that were ever added
	groups  treeWord
}

const (
	streamHeadBytes = int(unsafe.Sizeof(StreamHead{}))
	streamNode      = 16      // a node's header
	streamNodeMost  = 1 << 30 // bytes of a node's packed list, unless it is a single entry

	entryDeleted = 1
	entrySame    = 2
)

// Init makes the head of a stream that has nothing yet.
func (s Stream) Init() {
	r := s.NewNode(streamHeadBytes)
	stamp := *stampOf(s.Ptr(r))
	h := (*StreamHead)(s.Ptr(r))
	*h = StreamHead{stamp: stamp}
	s.Root.A = uint64(r)
}

// Head gives the head to read. It is good until the Stream changes.
func (s Stream) Head() *StreamHead { return (*StreamHead)(s.Ptr(Ref(s.Root.A))) }

// EditHead gives the head to write to.
func (s Stream) EditHead() *StreamHead {
	r := s.OwnNode(Ref(s.Root.A))
	s.Root.A = uint64(r)
	return (*StreamHead)(s.Ptr(r))
}

// Len counts the entries.
func (s Stream) Len() uint64 { return s.Root.N }

func (s Stream) nodes() Tree { return Tree{Mem: s.Mem, Wide: true} }

// Nodes counts the nodes, by a walk over the Tree's leaves: a millisecond for a million nodes.
func (s Stream) Nodes() int {
	t := s.nodes()
	return t.items()
}

// entries is how many entries of a node are not deleted.
func (s Stream) entries(r Ref) uint64 { return uint64(intAt(s.nodeView(r), packed.HeaderBytes)) }

// nodeItem makes the item of a node.
func nodeItem(ms uint64, r Ref, entries uint64) Item {
	return NewItem(ms, r, int(min(entries, MaxWeight)))
}

func lowOf(p unsafe.Pointer) *uint64 { return u64(p, lowAt) }

// nodeList is the packed list of a node; its capacity is all of the node's room.
func (s Stream) nodeList(r Ref) packed.List {
	b := s.Heap.Bytes(r, streamNode, s.SizeOf(r)-streamNode)
	return b[:*(*uint32)(unsafe.Pointer(&b[0]))]
}

// nodeView is nodeList for reading, also by a Mem whose heap is none (keyspace.Shard.Open).
func (s Stream) nodeView(r Ref) packed.List {
	p := unsafe.Add(s.Ptr(r), streamNode)
	return unsafe.Slice((*byte)(p), *(*uint32)(p))
}

// NodeAt gives a node: the ID that its entries' are relative to, and its packed list, a view. The first node is at 0, the one behind it at next.
func (s Stream) NodeAt(at uint64) (id StreamID, lp packed.List, next uint64, ok bool) {
	t := s.nodes()
	var pos Pos
	if t.At(&pos, at); !pos.Valid() {
		return id, nil, at, false
	}
	it := pos.Item()
	return StreamID{it.Key, *lowOf(s.Ptr(it.Ref()))}, s.nodeView(it.Ref()), at + uint64(it.Weight()), true
}

// AppendNode adds a node as CheckStreamNode has approved of it, with so many entries, behind all others: what loading does. FindFirst must follow
// the last of them.
func (s Stream) AppendNode(id StreamID, lp packed.List, entries int) {
	t := s.nodes()
	t.Append(nodeItem(id.Ms, s.newNode(id, lp), uint64(entries)))
	s.Root.N += uint64(entries)
}

// newNode makes a node without room to spare.
func (s Stream) newNode(id StreamID, lp packed.List) Ref {
	r := s.NewNode(streamNode + len(lp))
	*lowOf(s.Ptr(r)) = id.Seq
	copy(s.Heap.Bytes(r, streamNode, len(lp)), lp)
	return r
}

// own returns the packed list of the node at a place, which may be written to and grow by so many bytes. A node that has to be another for that
// gets room for up to most bytes.
func (s Stream) own(t *Tree, pos *Pos, more, most int) packed.List {
	it := pos.Item()
	r := it.Ref()
	lp := s.nodeList(r)
	if s.Editable(r) && len(lp)+more <= cap(lp) {
		return lp
	}
	size := len(lp) + more
	if size > cap(lp) {
		size = max(size, min(2*len(lp), most))
	}
	n := s.NewNode(streamNode + size)
	*lowOf(s.Ptr(n)) = *lowOf(s.Ptr(r))
	copy(s.Heap.Bytes(n, streamNode, len(lp)), lp)
	s.DropNode(r)
	t.Set(pos, NewItem(it.Key, n, it.Weight()))
	return s.nodeList(n)
}

// setInt writes an integer in the place of another. The list has room for it.
func setInt(lp packed.List, at int, v int64) packed.List {
	var buf [16]byte
	return lp.Splice(at, lp.Next(at)-at, packed.EntryInt(buf[:0], v), 0)
}

func intAt(lp packed.List, at int) int64 {
	_, v, _ := lp.Get(at)
	return v
}

// Append adds an entry with an ID behind the last. fields is field, value, ...; a node is full with so many bytes or entries (0: no
// such limit; stream-node-max-bytes, stream-node-max-entries).
func (s Stream) Append(id StreamID, fields [][]byte, maxBytes, maxEntries int64) {
	if maxBytes == 0 || maxBytes > streamNodeMost {
		maxBytes = streamNodeMost
	}
	t := s.nodes()
	var pos Pos
	t.Last(&pos)
	if !pos.Valid() || !s.appendTo(&t, &pos, id, fields, maxBytes, maxEntries) {
		if pos.Valid() {
			s.seal(&t, &pos)
		}
		t.Append(s.begin(id, fields))
	}
	h := s.EditHead()
	if s.Root.N++; s.Root.N == 1 {
		h.First = id
	}
	h.Added++
	h.Last = id
}

// seal gives a node that is full no more room than it needs, and its weight.
func (s Stream) seal(t *Tree, pos *Pos) {
	it := pos.Item()
	r := it.Ref()
	lp := s.nodeList(r)
	if cap(lp)-len(lp) > cap(lp)/8 {
		n := s.newNode(StreamID{it.Key, *lowOf(s.Ptr(r))}, lp)
		s.DropNode(r)
		r = n
	}
	t.Set(pos, nodeItem(it.Key, r, s.entries(r)))
}

// begin makes a node of one entry.
func (s Stream) begin(id StreamID, fields [][]byte) Item {
	n := len(fields) / 2
	size := packed.EmptyBytes + 3*2 + 3*2 + packed.EntryIntBytes(int64(n)) + packed.EntryIntBytes(int64(n)+3)
	for _, f := range fields {
		size += packed.EntryBytes(f)
	}
	r := s.NewNode(streamNode + size)
	*lowOf(s.Ptr(r)) = id.Seq
	lp := packed.New(s.Heap.Bytes(r, streamNode, size)[:0]).AppendInt(1).AppendInt(0).AppendInt(int64(n))
	for i := 0; i < len(fields); i += 2 {
		lp = lp.Append(fields[i])
	}
	lp = lp.AppendInt(0).AppendInt(entrySame).AppendInt(0).AppendInt(0)
	for i := 1; i < len(fields); i += 2 {
		lp = lp.Append(fields[i])
	}
	lp.AppendInt(int64(n) + 3)
	return NewItem(id.Ms, r, 1)
}

// appendTo adds an entry to the last node, if that is not full.
func (s Stream) appendTo(t *Tree, pos *Pos, id StreamID, fields [][]byte, maxBytes, maxEntries int64) bool {
	it := pos.Item()
	lp := s.nodeList(it.Ref())
	size := int64(len(lp))
	for _, f := range fields {
		size += int64(len(f))
	}
	deletedAt := lp.Next(packed.HeaderBytes)
	count := intAt(lp, packed.HeaderBytes)
	if size >= maxBytes || maxEntries > 0 && count+intAt(lp, deletedAt) >= maxEntries {
		return false
	}
	n := int64(len(fields) / 2)
	same := hasFields(lp, lp.Next(deletedAt), fields)
	ms, seq := int64(id.Ms-it.Key), int64(id.Seq-*lowOf(s.Ptr(it.Ref())))
	elements := 3 + n
	if !same {
		elements += n + 1
	}
	more := 2 + packed.EntryIntBytes(ms) + packed.EntryIntBytes(seq) + packed.EntryIntBytes(elements)
	if !same {
		more += packed.EntryIntBytes(n)
	}
	for i, f := range fields {
		if i&1 == 1 || !same {
			more += packed.EntryBytes(f)
		}
	}
	lp = s.own(t, pos, more+8, int(min(maxBytes, 1<<20))) // 8: the count may take more bytes
	lp = setInt(lp, packed.HeaderBytes, count+1)
	w := []byte(lp[:len(lp)-1])
	if same {
		w = packed.EntryInt(w, entrySame)
	} else {
		w = packed.EntryInt(w, 0)
	}
	w = packed.EntryInt(packed.EntryInt(w, ms), seq)
	if !same {
		w = packed.EntryInt(w, n)
	}
	for i, f := range fields {
		if i&1 == 1 || !same {
			w = packed.Entry(w, f)
		}
	}
	w = append(packed.EntryInt(w, elements), 0xff)
	packed.List(w).SetHeader(int(elements) + 1)
	return true
}

// hasFields reports whether the fields of a node, whose number stands at a place, are those of an entry.
func hasFields(lp packed.List, at int, fields [][]byte) bool {
	if intAt(lp, at) != int64(len(fields)/2) {
		return false
	}
	var buf [20]byte
	for i := 0; i < len(fields); i += 2 {
		at = lp.Next(at)
		if string(lp.Text(at, &buf)) != string(fields[i]) {
			return false
		}
	}
	return true
}

// StreamPlace is a place in a Stream: that of an entry. It is good until the Stream changes.
type StreamPlace struct {
	ID StreamID
	N  int // fields of the entry

	pos      Pos
	lp       packed.List
	master   StreamID // what IDs are relative to
	fields   int      // of the node
	fieldsAt int      // the place of the first of them
	firstAt  int      // of the first entry
	at       int      // of the entry
	data     int      // of its first field or value
	same     bool
	deleted  bool
}

// enter makes the place one in the node that pos is at.
func (s Stream) enter(p *StreamPlace) {
	it := p.pos.Item()
	p.lp, p.master = s.nodeView(it.Ref()), StreamID{it.Key, *lowOf(s.Ptr(it.Ref()))}
	p.enterList()
}

func (p *StreamPlace) enterList() {
	at := p.lp.Skip(packed.HeaderBytes, 2)
	p.fields = int(intAt(p.lp, at))
	p.fieldsAt = p.lp.Next(at)
	p.firstAt = p.lp.Next(p.lp.Skip(p.fieldsAt, p.fields))
}

// read reads the entry at a place in the node.
func (p *StreamPlace) read(at int) {
	lp := p.lp
	flags := lp[at]
	p.at = at
	p.same, p.deleted = flags&entrySame != 0, flags&entryDeleted != 0
	at += 2
	p.ID.Ms = p.master.Ms + uint64(intAt(lp, at))
	at = lp.Next(at)
	p.ID.Seq = p.master.Seq + uint64(intAt(lp, at))
	at = lp.Next(at)
	p.N = p.fields
	if !p.same {
		p.N = int(intAt(lp, at))
		at = lp.Next(at)
	}
	p.data = at
}

// behind is the place in the node behind the entry.
func (p *StreamPlace) behind() int {
	n := p.N
	if !p.same {
		n *= 2
	}
	return p.lp.Next(p.lp.Skip(p.data, n))
}

// before is the place in the node of the entry before a place, 0 when there is none.
func (p *StreamPlace) before(at int) int {
	if at <= p.firstAt {
		return 0
	}
	at = p.lp.Prev(at)
	for n := intAt(p.lp, at); n > 0; n-- {
		at = p.lp.Prev(at)
	}
	return at
}

// Seek goes to the first entry whose ID is not less than id; false: there is none.
func (s Stream) Seek(p *StreamPlace, id StreamID) bool {
	t := s.nodes()
	if t.SeekBefore(&p.pos, &Probe{Key: id.Ms, Low: id.Seq, Where: Behind}); !p.pos.Valid() {
		t.First(&p.pos)
	}
	if !p.pos.Valid() {
		return false
	}
	s.enter(p)
	return s.forward(&t, p, p.firstAt, id)
}

func (s Stream) forward(t *Tree, p *StreamPlace, at int, id StreamID) bool {
	for {
		for ; !p.lp.AtEnd(at); at = p.behind() {
			if p.read(at); !p.deleted && p.ID.Compare(id) >= 0 {
				return true
			}
		}
		if t.Next(&p.pos); !p.pos.Valid() {
			return false
		}
		s.enter(p)
		at = p.firstAt
	}
}

// SeekBack goes to the last entry whose ID is not greater than id; false: there is none.
func (s Stream) SeekBack(p *StreamPlace, id StreamID) bool {
	t := s.nodes()
	if t.SeekBefore(&p.pos, &Probe{Key: id.Ms, Low: id.Seq, Where: Behind}); !p.pos.Valid() {
		return false
	}
	s.enter(p)
	return s.backward(&t, p, p.before(p.lp.End()), id)
}

func (s Stream) backward(t *Tree, p *StreamPlace, at int, id StreamID) bool {
	for {
		for ; at != 0; at = p.before(at) {
			if p.read(at); !p.deleted && p.ID.Compare(id) <= 0 {
				return true
			}
		}
		if t.Prev(&p.pos); !p.pos.Valid() {
			return false
		}
		s.enter(p)
		at = p.before(p.lp.End())
	}
}

// Next goes to the next entry, Prev to the one before; false: there is none.
func (s Stream) Next(p *StreamPlace) bool {
	t := s.nodes()
	return s.forward(&t, p, p.behind(), StreamID{})
}

// Prev goes to the entry before.
func (s Stream) Prev(p *StreamPlace) bool {
	t := s.nodes()
	return s.backward(&t, p, p.before(p.at), MaxStreamID)
}

// Find goes to the entry of an ID.
func (s Stream) Find(p *StreamPlace, id StreamID) bool { return s.Seek(p, id) && p.ID == id }

// FieldWalk goes over the fields of an entry:
//
//	w := p.Fields()
//	for f, v, ok := w.Next(&fbuf, &vbuf); ok; f, v, ok = w.Next(&fbuf, &vbuf) { ... }
type FieldWalk struct {
	lp   packed.List
	name int
	val  int
	same bool
	left int
}

// Fields begins a walk over the entry's fields.
func (p *StreamPlace) Fields() FieldWalk {
	w := FieldWalk{lp: p.lp, name: p.data, val: p.data, same: p.same, left: p.N}
	if p.same {
		w.name = p.fieldsAt
	}
	return w
}

// Next gives the next field and its value: views of the stream, or of the buffers. ok false: there is none.
func (w *FieldWalk) Next(fbuf, vbuf *[20]byte) (field, value []byte, ok bool) {
	if w.left == 0 {
		return nil, nil, false
	}
	w.left--
	field = w.lp.Text(w.name, fbuf)
	if w.name = w.lp.Next(w.name); !w.same {
		w.val = w.name
	}
	value = w.lp.Text(w.val, vbuf)
	if w.val = w.lp.Next(w.val); !w.same {
		w.name = w.val
	}
	return field, value, true
}

// Delete removes the entry of an ID; false: there is none.
func (s Stream) Delete(id StreamID) bool {
	var p StreamPlace
	if !s.Find(&p, id) {
		return false
	}
	t := s.nodes()
	if count := intAt(p.lp, packed.HeaderBytes); count == 1 {
		s.DropNode(p.pos.Item().Ref())
		t.Delete(&p.pos)
	} else {
		lp := s.own(&t, &p.pos, 8, 0)
		lp[p.at] |= entryDeleted
		countDeleted(lp, count, 1)
		s.weigh(&t, &p.pos)
	}
	s.Root.N--
	if s.Head().First == id {
		s.FindFirst()
	}
	return true
}

// weigh gives a node its weight.
func (s Stream) weigh(t *Tree, pos *Pos) {
	it := pos.Item()
	t.Set(pos, nodeItem(it.Key, it.Ref(), s.entries(it.Ref())))
}

// countDeleted notes in a node's head that n of count entries were deleted. The list has 8 bytes of room.
func countDeleted(lp packed.List, count, n int64) {
	lp = setInt(lp, packed.HeaderBytes, count-n)
	at := lp.Next(packed.HeaderBytes)
	setInt(lp, at, intAt(lp, at)+n)
}

// FindFirst sets the first ID to what it is.
func (s Stream) FindFirst() {
	var p StreamPlace
	id := StreamID{}
	if s.Seek(&p, id) {
		id = p.ID
	}
	s.EditHead().First = id
}

// Distance is how many entries were ever added up to an ID, that of an entry or not, as far as that can be told: -1 otherwise.
func (s Stream) Distance(id StreamID) int64 {
	h := s.Head()
	if h.Added == 0 {
		return 0
	}
	if s.Root.N == 0 && id.Compare(h.Last) < 1 {
		return int64(h.Added)
	}
	switch c := id.Compare(h.Last); {
	case c == 0:
		return int64(h.Added)
	case c > 0:
		return -1
	}
	if h.Deleted.IsZero() || h.Deleted.Compare(h.First) < 0 { // nothing is missing from the first entry on
		switch id.Compare(h.First) {
		case -1:
			return int64(h.Added - s.Root.N)
		case 0:
			return int64(h.Added-s.Root.N) + 1
		}
	}
	return -1
}

// Gap reports whether an entry behind an ID may have been deleted.
func (s Stream) Gap(id StreamID) bool {
	h := s.Head()
	return s.Root.N > 0 && !h.Deleted.IsZero() && id.Compare(h.Deleted) <= 0
}

// StreamTrim says what Trim removes.
type StreamTrim struct {
	ByID   bool
	MinID  StreamID // what lies before it
	MaxLen uint64   // or what is more than so many
	Approx bool     // whole nodes only
	Limit  uint64   // and no more than so many entries; 0: no limit
}

// Trim removes entries from the front, and returns how many.
func (s Stream) Trim(o *StreamTrim) (removed uint64) {
	if s.Root.N == 0 || !o.ByID && s.Root.N <= o.MaxLen || o.ByID && s.Head().First.Compare(o.MinID) >= 0 {
		return 0
	}
	t := s.nodes()
	var p StreamPlace
	for nodes := 0; s.Root.N > 0 && (o.ByID || s.Root.N > o.MaxLen); {
		if t.First(&p.pos); !p.pos.Valid() {
			break
		}
		s.enter(&p)
		count := uint64(intAt(p.lp, packed.HeaderBytes))
		if o.Limit > 0 && removed+count > o.Limit {
			break
		}
		whole := !o.ByID && s.Root.N-count >= o.MaxLen
		if o.ByID {
			p.read(p.before(p.lp.End()))
			whole = p.ID.Compare(o.MinID) < 0
		}
		if whole {
			s.DropNode(p.pos.Item().Ref())
			t.Delete(&p.pos)
			s.Root.N -= count
			removed += count
			if nodes++; nodes == trimAhead {
				removed += s.trimNodes(&t, o, removed)
			}
			continue
		}
		if !o.Approx {
			removed += s.trimNode(&t, &p, o)
		}
		break
	}
	if removed > 0 {
		s.FindFirst()
	}
	return removed
}

// trimAhead is how many nodes Trim removes one by one before it looks for how many there are to remove.
const trimAhead = 8

// trimNodes is Trim of as many whole nodes as their weights tell may go: in O(log n) but for what leaving them takes. So many entries were removed before.
func (s Stream) trimNodes(t *Tree, o *StreamTrim, before uint64) (removed uint64) {
	var pos, last Pos
	t.Last(&last)
	if !last.Valid() || t.Len()-uint64(last.Item().Weight())+s.entries(last.Item().Ref()) != s.Root.N {
		return 0 // a node has more entries than a weight can say
	}
	var most uint64
	if !o.ByID {
		most = s.Root.N - o.MaxLen
	} else if t.SeekBefore(&pos, &Probe{Key: o.MinID.Ms, Low: o.MinID.Seq, Where: Behind}); pos.Valid() {
		most = t.Rank(&pos)
	}
	if o.Limit > 0 {
		most = min(most, o.Limit-before)
	}
	if t.At(&pos, most); !pos.Valid() {
		pos = last
	}
	if removed = t.Rank(&pos); removed > 0 {
		t.cut(&pos, false)
		s.Root.N -= removed
	}
	return removed
}

// trimNode is Trim within a node.
func (s Stream) trimNode(t *Tree, p *StreamPlace, o *StreamTrim) (removed uint64) {
	count := intAt(p.lp, packed.HeaderBytes)
	p.lp = s.own(t, &p.pos, 8, 0)
	for at := p.firstAt; !p.lp.AtEnd(at) && (o.ByID || s.Root.N > o.MaxLen); at = p.behind() {
		p.read(at)
		if p.deleted {
			continue
		}
		if o.ByID && p.ID.Compare(o.MinID) >= 0 {
			break
		}
		p.lp[at] |= entryDeleted
		s.Root.N--
		removed++
	}
	if int64(removed) == count { // what is left is deleted
		s.DropNode(p.pos.Item().Ref())
		t.Delete(&p.pos)
		return removed
	}
	countDeleted(p.lp, count, int64(removed))
	s.weigh(t, &p.pos)
	return removed
}

// Drop frees the whole Stream.
func (s Stream) Drop() {
	s.dropGroups()
	t := s.nodes()
	t.Drop(s.DropNode)
	s.DropNode(Ref(s.Root.A))
	s.Root.N, s.Root.A = 0, 0
}

// CloneFrom makes s, which is empty, a copy of src, which may lie in another heap.
func (s Stream) CloneFrom(src Stream) {
	s.Init()
	h, from := s.EditHead(), src.Head()
	h.Last, h.Deleted, h.First, h.Added = from.Last, from.Deleted, from.First, from.Added
	t, old := s.nodes(), src.nodes()
	t.CloneFrom(&old, func(it Item) Ref {
		id := StreamID{it.Key, *lowOf(src.Ptr(it.Ref()))}
		return s.newNode(id, src.nodeView(it.Ref()))
	})
	s.Root.N = src.Root.N
	s.cloneGroups(src)
}
