package coll

import (
	"bytes"
	"encoding/binary"
	"unsafe"

	"tidemark/engine/keyspace/arena"
)

// Consumer groups of a Stream. The head names a Tree of groups by name; a group names Trees of its consumers by name and of what is pending in it by
// ID; a consumer names a Tree of what of that is its own:
//
//	group    | stamp : 32 | - : 32 | name (Ref) : 64 | last ID | entries read : 64 | pending : 64 | consumers : 64 |
//	consumer | stamp : 32 | - : 32 | name (Ref) : 64 | seen, Unix ms : 64 | active, Unix ms : 64 | pending : 64 |
//	pending  | stamp : 32 | - : 32 | sequence of the ID : 64 | delivered, Unix ms : 64 | deliveries : 64 | consumer's name (Ref) : 64 |
//	name     | stamp : 32 | length : 32 | bytes |                                                      never changed
//
// A name's block tells consumers of a group from each other: their own blocks may be replaced by copies.

// GroupInfo is what a group knows besides its consumers and what is pending.
type GroupInfo struct {
	stamp     uint32
	_         uint32
	name      uint64
	Last      StreamID // delivered last
	Read      int64    // entries that were ever delivered up to Last; -1: unknown
	pending   treeWord
	consumers treeWord
}

// ConsumerInfo is what a consumer knows besides what is pending.
type ConsumerInfo struct {
	stamp   uint32
	_       uint32
	name    uint64
	Seen    int64 // when it last asked for something. Unix ms
	Active  int64 // when it last got something, -1: never. Unix ms
	pending treeWord
}

// Pending is an entry that was delivered and not acknowledged.
type Pending struct {
	stamp      uint32
	_          uint32
	seq        uint64
	Delivered  int64 // when, Unix ms
	Deliveries uint64
	owner      uint64
}

const nameHeader = 8

func bytesOf(s arena.Space, name uint64) []byte {
	p := s.Ptr(Ref(name))
	return unsafe.Slice((*byte)(unsafe.Add(p, nameHeader)), *(*uint32)(unsafe.Add(p, 4)))
}

// nameOf is the name of a group or consumer.
func nameOf(s arena.Space, r Ref) []byte { return bytesOf(s, *u64(s.Ptr(r), 8)) }

func tieName(s arena.Space, r Ref, tie []byte) int { return bytes.Compare(nameOf(s, r), tie) }

// nameKey is the front of a name as a number in the same order.
func nameKey(name []byte) uint64 {
	var b [8]byte
	copy(b[:], name)
	return binary.BigEndian.Uint64(b[:])
}

func (s Stream) newName(name []byte) uint64 {
	r := s.NewNode(nameHeader + len(name))
	*(*uint32)(unsafe.Add(s.Ptr(r), 4)) = uint32(len(name))
	copy(s.Heap.Bytes(r, nameHeader, len(name)), name)
	return uint64(r)
}

func (s Stream) named(at *treeWord) Tree { return Tree{Mem: s.Mem, Tie: tieName, at: at} }

func (s Stream) pendingIn(at *treeWord) Tree { return Tree{Mem: s.Mem, Wide: true, at: at} }

// find goes to the item of a name.
func (t *Tree) find(pos *Pos, name []byte) bool {
	key := nameKey(name)
	t.Seek(pos, &Probe{Key: key, Tie: name})
	return pos.Valid() && pos.Item().Key == key && bytes.Equal(nameOf(t.Space, pos.Item().Ref()), name)
}

// findID goes to the item of an ID.
func (t *Tree) findID(pos *Pos, id StreamID) bool {
	t.Seek(pos, &Probe{Key: id.Ms, Low: id.Seq})
	return pos.Valid() && pos.Item().Key == id.Ms && *lowOf(t.Ptr(pos.Item().Ref())) == id.Seq
}

// Group is a group of a Stream that was found. What it gives to read is good until the Stream changes; what was found by EditGroup may be written to
// and stays good when the group is changed by its own methods.
type Group struct {
	*GroupInfo
	s Stream
}

// Consumer is a consumer of a Group, as Group is a group of a Stream.
type Consumer struct {
	*ConsumerInfo
	g Group
}

// Groups counts the groups.
func (s Stream) Groups() int {
	t := s.named(&s.Head().groups)
	return int(t.Len())
}

// GroupAt gives group i in order of names.
func (s Stream) GroupAt(i int) Group {
	t := s.named(&s.Head().groups)
	var pos Pos
	t.At(&pos, uint64(i))
	return Group{(*GroupInfo)(s.Ptr(pos.Item().Ref())), s}
}

// FindGroup looks a group up for reading.
func (s Stream) FindGroup(name []byte) (g Group, ok bool) {
	t := s.named(&s.Head().groups)
	var pos Pos
	if !t.find(&pos, name) {
		return g, false
	}
	return Group{(*GroupInfo)(s.Ptr(pos.Item().Ref())), s}, true
}

// EditGroup looks a group up for changing.
func (s Stream) EditGroup(name []byte) (g Group, ok bool) {
	t := s.named(&s.EditHead().groups)
	var pos Pos
	if !t.find(&pos, name) {
		return g, false
	}
	return Group{(*GroupInfo)(s.Ptr(s.ownItem(&t, &pos))), s}, true
}

// ownItem makes the block of an item one that may be written to.
func (s Stream) ownItem(t *Tree, pos *Pos) Ref {
	it := pos.Item()
	r := s.OwnNode(it.Ref())
	if r != it.Ref() {
		t.Set(pos, NewItem(it.Key, r, 1))
	}
	return r
}

// AddGroup makes a group of a name that there is none of.
func (s Stream) AddGroup(name []byte, last StreamID, read int64) Group {
	t := s.named(&s.EditHead().groups)
	r := s.NewNode(int(unsafe.Sizeof(GroupInfo{})))
	g := (*GroupInfo)(s.Ptr(r))
	*g = GroupInfo{stamp: g.stamp, name: s.newName(name), Last: last, Read: read}
	p := Probe{Key: nameKey(name), Tie: name}
	t.Insert(&p, NewItem(p.Key, r, 1))
	return Group{g, s}
}

// DropGroup removes a group; false: there is none of the name.
func (s Stream) DropGroup(name []byte) bool {
	t := s.named(&s.EditHead().groups)
	var pos Pos
	if !t.find(&pos, name) {
		return false
	}
	r := s.ownItem(&t, &pos)
	s.freeGroup(r)
	t.Delete(&pos)
	return true
}

func (s Stream) freeGroup(r Ref) {
	g := (*GroupInfo)(s.Ptr(r))
	// The trees are not taken down node by node in g, which a hold may want as it is.
	pending, consumers := g.pending, g.consumers
	t := s.named(&consumers)
	t.Drop(func(r Ref) {
		c := (*ConsumerInfo)(s.Ptr(r))
		own := c.pending
		o := s.pendingIn(&own)
		o.leaveAll(nodesAlone)
		s.DropNode(Ref(c.name))
		s.DropNode(r)
	})
	p := s.pendingIn(&pending)
	p.leaveAll(equalBlocks)
	s.DropNode(Ref(g.name))
	s.DropNode(r)
}

func (s Stream) dropGroups() {
	groups := s.Head().groups
	t := s.named(&groups)
	t.Drop(s.freeGroup)
}

// Name is the group's name: a view.
func (g Group) Name() []byte { return bytesOf(g.s.Space, g.name) }

// Consumers counts the consumers.
func (g Group) Consumers() int {
	t := g.s.named(&g.consumers)
	return int(t.Len())
}

// ConsumerAt gives consumer i in order of names.
func (g Group) ConsumerAt(i int) Consumer {
	t := g.s.named(&g.consumers)
	var pos Pos
	t.At(&pos, uint64(i))
	return Consumer{(*ConsumerInfo)(g.s.Ptr(pos.Item().Ref())), g}
}

// FindConsumer looks a consumer up for reading.
func (g Group) FindConsumer(name []byte) (c Consumer, ok bool) {
	t := g.s.named(&g.consumers)
	var pos Pos
	if !t.find(&pos, name) {
		return c, false
	}
	return Consumer{(*ConsumerInfo)(g.s.Ptr(pos.Item().Ref())), g}, true
}

// EditConsumer looks a consumer up for changing, of a group that may be changed.
func (g Group) EditConsumer(name []byte) (c Consumer, ok bool) {
	t := g.s.named(&g.consumers)
	var pos Pos
	if !t.find(&pos, name) {
		return c, false
	}
	return Consumer{(*ConsumerInfo)(g.s.Ptr(g.s.ownItem(&t, &pos))), g}, true
}

// AddConsumer makes a consumer of a name that there is none of. Times are Unix ms; active is -1 if it never was.
func (g Group) AddConsumer(name []byte, seen, active int64) Consumer {
	t := g.s.named(&g.consumers)
	r := g.s.NewNode(int(unsafe.Sizeof(ConsumerInfo{})))
	c := (*ConsumerInfo)(g.s.Ptr(r))
	*c = ConsumerInfo{stamp: c.stamp, name: g.s.newName(name), Seen: seen, Active: active}
	p := Probe{Key: nameKey(name), Tie: name}
	t.Insert(&p, NewItem(p.Key, r, 1))
	return Consumer{c, g}
}

// DropConsumer removes a consumer with what is pending for it, which it counts; false: there is none of the name.
func (g Group) DropConsumer(name []byte) (pending int, ok bool) {
	t := g.s.named(&g.consumers)
	var pos, at Pos
	if !t.find(&pos, name) {
		return 0, false
	}
	r := g.s.ownItem(&t, &pos)
	c := (*ConsumerInfo)(g.s.Ptr(r))
	all, own := g.s.pendingIn(&g.pending), g.s.pendingIn(&c.pending)
	pending = int(own.Len())
	if n := int(all.Len()); pending >= 64 && pending >= n/8 {
		all.without(&own)
	} else {
		var walk Pos
		for own.First(&walk); walk.Valid(); own.Next(&walk) {
			it := walk.Item()
			all.findID(&at, StreamID{it.Key, *lowOf(g.s.Ptr(it.Ref()))})
			all.Delete(&at)
		}
	}
	own.leaveAll(equalBlocks)
	g.s.DropNode(Ref(c.name))
	g.s.DropNode(r)
	t.Delete(&pos)
	return pending, true
}

// Name is the consumer's name: a view.
func (c Consumer) Name() []byte { return bytesOf(c.g.s.Space, c.name) }

// Pending counts what is pending in the group.
func (g Group) Pending() int {
	t := g.s.pendingIn(&g.pending)
	return int(t.Len())
}

// Pending counts what is pending for the consumer.
func (c Consumer) Pending() int {
	t := c.g.s.pendingIn(&c.pending)
	return int(t.Len())
}

// PendingPlace is a place among what is pending: in a group, or for a consumer. It is good until what is pending changes.
type PendingPlace struct {
	ID StreamID
	*Pending
	pos Pos
}

func (g Group) read(p *PendingPlace) bool {
	if !p.pos.Valid() {
		return false
	}
	it := p.pos.Item()
	p.Pending = (*Pending)(g.s.Ptr(it.Ref()))
	p.ID = StreamID{it.Key, p.seq}
	return true
}

// Seek goes to the first that is pending in the group whose ID is not less than id; false: there is none.
func (g Group) Seek(p *PendingPlace, id StreamID) bool {
	t := g.s.pendingIn(&g.pending)
	t.Seek(&p.pos, &Probe{Key: id.Ms, Low: id.Seq})
	return g.read(p)
}

// Seek is Group.Seek for what is pending for the consumer.
func (c Consumer) Seek(p *PendingPlace, id StreamID) bool {
	t := c.g.s.pendingIn(&c.pending)
	t.Seek(&p.pos, &Probe{Key: id.Ms, Low: id.Seq})
	return c.g.read(p)
}

// At goes to number i of what is pending in the group.
func (g Group) At(p *PendingPlace, i uint64) bool {
	t := g.s.pendingIn(&g.pending)
	t.At(&p.pos, i)
	return g.read(p)
}

// At goes to number i of what is pending for the consumer.
func (c Consumer) At(p *PendingPlace, i uint64) bool {
	t := c.g.s.pendingIn(&c.pending)
	t.At(&p.pos, i)
	return c.g.read(p)
}

// Next goes to the next, in the group or for the consumer, as p is.
func (g Group) Next(p *PendingPlace) bool {
	t := Tree{Mem: g.s.Mem}
	t.Next(&p.pos)
	return g.read(p)
}

// Next is Group.Next.
func (c Consumer) Next(p *PendingPlace) bool { return c.g.Next(p) }

// LastPending is the ID of the last that is pending in the group, which has some.
func (g Group) LastPending() StreamID {
	t := g.s.pendingIn(&g.pending)
	var pos Pos
	t.Last(&pos)
	return StreamID{pos.Item().Key, *lowOf(g.s.Ptr(pos.Item().Ref()))}
}

// Owner is the name of the consumer that p is pending for: a view. ok false: it is nobody's, which only loading sees.
func (g Group) Owner(p *PendingPlace) (name []byte, ok bool) {
	if p.owner == 0 {
		return nil, false
	}
	return bytesOf(g.s.Space, p.owner), true
}

// OwnedBy reports whether it is pending for the consumer.
func (p *PendingPlace) OwnedBy(c Consumer) bool { return p.owner == c.name }

// Find goes to what is pending under an ID.
func (g Group) Find(p *PendingPlace, id StreamID) bool { return g.Seek(p, id) && p.ID == id }

// Deliver notes that an entry is pending for a consumer (nil: for nobody yet, as in loading), whether or not it was pending before. Group and consumer may be changed.
func (g Group) Deliver(id StreamID, c *Consumer, delivered int64, deliveries uint64) {
	s := g.s
	all := s.pendingIn(&g.pending)
	var pos Pos
	if !all.findID(&pos, id) {
		r := s.NewNode(int(unsafe.Sizeof(Pending{})))
		p := (*Pending)(s.Ptr(r))
		*p = Pending{stamp: p.stamp, seq: id.Seq, Delivered: delivered, Deliveries: deliveries}
		insertID(&all, id, r)
		if c != nil {
			p.owner = c.name
			own := s.pendingIn(&c.pending)
			insertID(&own, id, r)
		}
		return
	}
	g.deliver(&all, &pos, id, c, delivered, deliveries)
}

// deliver gives what is pending, at a place in the group's tree, to a consumer.
func (g Group) deliver(all *Tree, pos *Pos, id StreamID, c *Consumer, delivered int64, deliveries uint64) {
	s := g.s
	before := pos.Item().Ref()
	r := s.ownItem(all, pos)
	p := (*Pending)(s.Ptr(r))
	p.Delivered, p.Deliveries = delivered, deliveries
	if c == nil {
		return
	}
	var at Pos
	switch p.owner {
	case c.name:
		if r == before {
			return
		}
		own := s.pendingIn(&c.pending)
		own.findID(&at, id)
		own.Set(&at, NewItem(id.Ms, r, 1))
		return
	case 0:
	default:
		g.disown(p.owner, id)
	}
	p.owner = c.name
	own := s.pendingIn(&c.pending)
	insertID(&own, id, r)
}

// insertID adds an item by its ID, mostly behind all others.
func insertID(t *Tree, id StreamID, r Ref) {
	t.Insert(&Probe{Key: id.Ms, Low: id.Seq}, NewItem(id.Ms, r, 1))
}

// disown takes an ID out of a consumer's tree.
func (g Group) disown(owner uint64, id StreamID) {
	c, ok := g.EditConsumer(bytesOf(g.s.Space, owner))
	if !ok {
		panic("BUG: coll: something is pending for a consumer that does not exist")
	}
	own := g.s.pendingIn(&c.pending)
	var at Pos
	if own.findID(&at, id) {
		own.Delete(&at)
	}
}

// Ack removes what is pending under an ID; false: nothing is. The group may be changed.
func (g Group) Ack(id StreamID) bool {
	all := g.s.pendingIn(&g.pending)
	var pos Pos
	if !all.findID(&pos, id) {
		return false
	}
	r := pos.Item().Ref()
	if owner := (*Pending)(g.s.Ptr(r)).owner; owner != 0 {
		g.disown(owner, id)
	}
	all.Delete(&pos)
	g.s.DropNode(r)
	return true
}

func (s Stream) cloneGroups(src Stream) {
	for i := range src.Groups() {
		from := src.GroupAt(i)
		g := s.AddGroup(from.Name(), from.Last, from.Read)
		for j := range from.Consumers() {
			c := from.ConsumerAt(j)
			g.AddConsumer(c.Name(), c.Seen, c.Active)
		}
		all := s.pendingIn(&g.pending)
		var c Consumer
		last := uint64(0)
		var p PendingPlace
		for ok := from.Seek(&p, StreamID{}); ok; ok = from.Next(&p) {
			r := s.NewNode(int(unsafe.Sizeof(Pending{})))
			n := (*Pending)(s.Ptr(r))
			*n = Pending{stamp: n.stamp, seq: p.seq, Delivered: p.Delivered, Deliveries: p.Deliveries}
			all.Append(NewItem(p.ID.Ms, r, 1))
			if p.owner == 0 {
				continue
			}
			if p.owner != last {
				c, _ = g.EditConsumer(bytesOf(src.Space, p.owner))
				last = p.owner
			}
			n.owner = c.name
			own := s.pendingIn(&c.pending)
			own.Append(NewItem(p.ID.Ms, r, 1))
		}
	}
}
