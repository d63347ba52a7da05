package rdb

import (
	"encoding/binary"
	"errors"
	"math"

	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/keyspace/packed"
)

// How streams are written; lengths stand for all numbers but those of 64 bits:
//
//	stream     nodes | node ... | entries | last ID | first ID | greatest deleted ID | entries added | groups | group ... |
//	node       string: ID, big-endian | string: packed list (see coll.Stream) |
//	ID         ms | sequence |
//	group      name | last ID | entries read | pending | entry ... | consumers | consumer ... |
//	entry      ID : 128, big-endian | delivered, Unix ms : 64, little-endian | deliveries |
//	consumer   name | seen, Unix ms : 64 | pending | ID : 128 ... |
//
// The first version (5.0) lacks first and deleted ID, entries added and read; the third (7.2) has when a consumer was active behind when it was
// seen. The second is written.
const (
	typeStream  = 15
	typeStream2 = 19
	typeStream3 = 21
)

// Phases of a stream's encoding, behind phaseElems, in which At is the node's place (coll.Stream.NodeAt). From phaseGroup on it is the group's number; N has the consumer's
// above, and the place among what is pending below.
const (
	phaseGroup = phaseElems + 1 + iota
	phasePending
	phaseConsumer
	phaseOwned

	consumerAt = 40
)

func appendStreamID(dst []byte, id coll.StreamID) []byte {
	return appendLength(appendLength(dst, id.Ms), id.Seq)
}

func appendRawID(dst []byte, id coll.StreamID) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, id.Ms), id.Seq)
}

// appendStream appends a piece of a stream.
func (e *Encoder) appendStream(dst []byte, m *coll.Mem, p *keyspace.Progress) []byte {
	s := coll.Stream{Mem: m}
	limit := len(dst) + pieceBytes
	p.More = true
	for len(dst) < limit && p.More {
		switch p.Phase {
		case phaseHead:
			dst = appendLength(dst, uint64(s.Nodes()))
			p.Phase = phaseElems
		case phaseElems:
			if id, lp, next, ok := s.NodeAt(p.At); ok {
				dst = appendRawID(appendLength(dst, 16), id)
				dst = appendString(dst, lp, e.Compress)
				p.At = next
				continue
			}
			h := s.Head()
			dst = appendLength(dst, s.Len())
			dst = appendStreamID(appendStreamID(appendStreamID(dst, h.Last), h.First), h.Deleted)
			dst = appendLength(appendLength(dst, h.Added), uint64(s.Groups()))
			p.Phase, p.At = phaseGroup, 0
		default:
			dst = e.appendGroup(dst, s, p, limit)
		}
	}
	return dst
}

// appendGroup appends what stands next of the groups.
func (e *Encoder) appendGroup(dst []byte, s coll.Stream, p *keyspace.Progress, limit int) []byte {
	if p.At == uint64(s.Groups()) {
		p.More = false
		return dst
	}
	g := s.GroupAt(int(p.At))
	number, place := int(p.N>>consumerAt), p.N&(1<<consumerAt-1)
	var at coll.PendingPlace
	switch p.Phase {
	case phaseGroup:
		dst = appendStreamID(appendString(dst, g.Name(), e.Compress), g.Last)
		dst = appendLength(appendLength(dst, uint64(g.Read)), uint64(g.Pending()))
		p.Phase, p.N = phasePending, 0
	case phasePending:
		ok := g.At(&at, place)
		for ; ok && len(dst) < limit; ok = g.Next(&at) {
			dst = binary.LittleEndian.AppendUint64(appendRawID(dst, at.ID), uint64(at.Delivered))
			dst = appendLength(dst, at.Deliveries)
			p.N++
		}
		if !ok {
			dst = appendLength(dst, uint64(g.Consumers()))
			p.Phase, p.N = phaseConsumer, 0
		}
	case phaseConsumer:
		if number == g.Consumers() {
			p.Phase, p.N = phaseGroup, 0
			p.At++
			break
		}
		c := g.ConsumerAt(number)
		dst = binary.LittleEndian.AppendUint64(appendString(dst, c.Name(), e.Compress), uint64(c.Seen))
		dst = appendLength(dst, uint64(c.Pending()))
		p.Phase = phaseOwned
	case phaseOwned:
		ok := g.ConsumerAt(number).At(&at, place)
		for ; ok && len(dst) < limit; ok = g.Next(&at) {
			dst = appendRawID(dst, at.ID)
			p.N++
		}
		if !ok {
			p.Phase, p.N = phaseConsumer, uint64(number+1)<<consumerAt
		}
	}
	return dst
}

// streamState is where the reading of a stream has come to.
type streamState struct {
	step      streamStep
	nodes     uint64 // to come, and so on
	groups    uint64
	pending   uint64
	consumers uint64
	owned     uint64
	all       uint64 // what is pending in the group and not yet a consumer's
	entries   uint64
	added     uint64
	node      coll.StreamID // of the latest node
	last      coll.StreamID // of the latest entry, or of what is pending
}

type streamStep uint8

const (
	readNodes streamStep = iota
	readGroups
	readPending
	readConsumers
	readOwned
)

// stream begins to read a stream.
func (d *Decoder) stream(op byte, it *Item) (err error) {
	it.Type = keyspace.Stream
	d.op, d.streaming = op, streamState{}
	if d.streaming.nodes, err = d.plainLength(); err != nil {
		return err
	}
	return d.part(it)
}

// streamPart reads a node, the head, a group, a consumer, or some of what is pending.
func (d *Decoder) streamPart(it *Item) (err error) {
	s := &d.streaming
	d.left = 1
	switch s.step {
	case readNodes:
		if s.nodes > 0 {
			s.nodes--
			return d.streamNode(it)
		}
		err = d.streamHead(it)
		s.step = readGroups
	case readGroups:
		s.groups--
		err = d.group(it)
		s.step = readPending
	case readPending:
		err = d.pendings(it, &s.pending)
	case readConsumers:
		s.consumers--
		err = d.consumer(it)
		s.step = readOwned
	case readOwned:
		err = d.pendings(it, &s.owned)
	}
	if err != nil {
		return err
	}
	// Lists that are empty, or have come to their end.
	if s.step == readPending && s.pending == 0 {
		if s.consumers, err = d.plainLength(); err != nil {
			return err
		}
		s.step = readConsumers
	}
	if s.step == readOwned && s.owned == 0 {
		s.step = readConsumers
	}
	if s.step == readConsumers && s.consumers == 0 {
		if s.all != 0 {
			return d.fail("a group has %d entries pending that are no consumer's", s.all)
		}
		s.step = readGroups
	}
	if s.step == readGroups && s.groups == 0 {
		d.left = 0
	}
	return nil
}

func (d *Decoder) streamID() (id coll.StreamID, err error) {
	if id.Ms, err = d.plainLength(); err == nil {
		id.Seq, err = d.plainLength()
	}
	return id, err
}

// number64 reads 64 bits.
func (d *Decoder) number64() (uint64, error) {
	if err := d.need(8); err != nil {
		return 0, err
	}
	d.pos += 8
	return binary.LittleEndian.Uint64(d.buf[d.pos-8:]), nil
}

// rawID reads 128 bits. IDs come in order: it lies behind d.streaming.last.
func (d *Decoder) rawID() (id coll.StreamID, err error) {
	if err := d.need(16); err != nil {
		return id, err
	}
	id = rawStreamID(d.buf[d.pos:])
	d.pos += 16
	if id.Compare(d.streaming.last) <= 0 {
		return id, d.fail("ID %d-%d is pending out of order", id.Ms, id.Seq)
	}
	d.streaming.last = id
	return id, nil
}

func rawStreamID(p []byte) coll.StreamID {
	return coll.StreamID{Ms: binary.BigEndian.Uint64(p), Seq: binary.BigEndian.Uint64(p[8:])}
}

func (d *Decoder) streamNode(it *Item) error {
	s := &d.streaming
	key, err := d.string(&d.hold)
	if err != nil {
		return err
	}
	if len(key) != 16 {
		return d.fail("the ID of a stream's node has %d bytes rather than 16", len(key))
	}
	id := rawStreamID(key)
	v, err := d.string(&d.hold)
	if err != nil {
		return err
	}
	lp := packed.List(v)
	_, canonical, err := packed.Check(lp)
	if err != nil {
		return d.wrap(err)
	}
	if !canonical {
		lp = packed.Canonical(lp)
	}
	n, first, last, err := coll.CheckStreamNode(id, lp)
	if err != nil {
		return d.wrap(err)
	}
	if s.entries > 0 && (id.Compare(s.node) <= 0 || n > 0 && first.Compare(s.last) <= 0) {
		return d.fail("node %d-%d of a stream is out of order", id.Ms, id.Seq)
	}
	if n > 0 {
		s.node, s.last = id, last
	}
	s.entries += uint64(n)
	it.Form, it.Value = FormNode, lp
	it.Elems = [][]byte{appendNumbers(nil, id.Ms, id.Seq, uint64(n))}
	return nil
}

func appendNumbers(dst []byte, numbers ...uint64) []byte {
	for _, n := range numbers {
		dst = binary.LittleEndian.AppendUint64(dst, n)
	}
	return dst
}

// numberAt is number i of those that appendNumbers made.
func numberAt(p []byte, i int) uint64 { return binary.LittleEndian.Uint64(p[8*i:]) }

func idAt(p []byte, i int) coll.StreamID {
	return coll.StreamID{Ms: numberAt(p, i), Seq: numberAt(p, i+1)}
}

func (d *Decoder) streamHead(it *Item) error {
	s := &d.streaming
	n, err := d.plainLength()
	if err != nil {
		return err
	}
	if n != s.entries {
		return d.fail("a stream of %d entries says it has %d", s.entries, n)
	}
	last, err := d.streamID()
	if err != nil {
		return err
	}
	if s.entries > 0 && last.Compare(s.last) < 0 {
		return d.fail("the last ID of a stream, %d-%d, lies before its last entry", last.Ms, last.Seq)
	}
	deleted := coll.StreamID{}
	s.added = n
	if d.op != typeStream {
		if _, err = d.streamID(); err == nil { // of the first entry, which is there
			if deleted, err = d.streamID(); err == nil {
				s.added, err = d.plainLength()
			}
		}
	}
	if err == nil {
		s.groups, err = d.plainLength()
	}
	it.Form = FormStream
	it.Elems = [][]byte{appendNumbers(nil, last.Ms, last.Seq, deleted.Ms, deleted.Seq, s.added)}
	return err
}

func (d *Decoder) group(it *Item) error {
	s := &d.streaming
	name, err := d.string(&d.hold)
	if err != nil {
		return err
	}
	it.Elems = [][]byte{append([]byte(nil), name...), nil}
	last, err := d.streamID()
	if err != nil {
		return err
	}
	old, read := uint64(1), uint64(math.MaxUint64)
	if d.op != typeStream {
		old = 0
		if read, err = d.plainLength(); err != nil {
			return err
		}
		if int64(read) < -1 {
			return d.fail("group %.40q has read %d entries", name, int64(read))
		}
	}
	s.pending, err = d.plainLength()
	s.all, s.last = s.pending, coll.StreamID{}
	it.Form = FormGroup
	it.Elems[1] = appendNumbers(nil, last.Ms, last.Seq, read, old)
	return err
}

func (d *Decoder) consumer(it *Item) error {
	s := &d.streaming
	name, err := d.string(&d.hold)
	if err != nil {
		return err
	}
	it.Elems = [][]byte{append([]byte(nil), name...), nil}
	seen, err := d.number64()
	if err != nil {
		return err
	}
	active := seen
	if d.op == typeStream3 {
		if active, err = d.number64(); err != nil {
			return err
		}
	}
	if s.owned, err = d.plainLength(); err != nil {
		return err
	}
	if s.owned > s.all {
		return d.fail("consumer %.40q has %d entries pending, more than its group", it.Elems[0], s.owned)
	}
	s.all -= s.owned
	s.last = coll.StreamID{}
	it.Form = FormConsumer
	it.Elems[1] = appendNumbers(nil, seen, active)
	return nil
}

// pendings reads some of what is pending: in a group, or for a consumer.
func (d *Decoder) pendings(it *Item, left *uint64) error {
	it.Form = FormPending
	if left == &d.streaming.owned {
		it.Form = FormOwned
	}
	for ; *left > 0 && len(it.Elems) < partElems; *left-- {
		id, err := d.rawID()
		if err != nil {
			return err
		}
		if it.Form == FormOwned {
			it.Elems = append(it.Elems, appendNumbers(nil, id.Ms, id.Seq))
			continue
		}
		at, err := d.number64()
		if err != nil {
			return err
		}
		n, err := d.plainLength()
		if err != nil {
			return err
		}
		it.Elems = append(it.Elems, appendNumbers(nil, id.Ms, id.Seq, at, n))
	}
	return nil
}

// streamLoader is what a Loader has of a stream.
type streamLoader struct {
	c        *keyspace.Coll
	group    []byte // the names of those that parts are about
	consumer []byte
}

var (
	errNameTwice = errors.New("a stream has two groups of a name, or a group two consumers")
	errUnowned   = errors.New("what is pending for a consumer is not pending in its group, or for another consumer too")
)

func (l *Loader) beginStream() {
	l.stream.c = l.s.Draft(l.db, keyspace.Stream, keyspace.StreamTree)
	l.stream.c.Stream().Init()
}

// addStream takes a part of a stream.
func (l *Loader) addStream(it *Item) error {
	o := &l.stream
	s := o.c.Stream()
	var g coll.Group
	if it.Form == FormPending || it.Form == FormConsumer || it.Form == FormOwned {
		g, _ = s.EditGroup(o.group)
	}
	switch it.Form {
	case FormNode:
		if n := numberAt(it.Elems[0], 2); n > 0 {
			s.AppendNode(idAt(it.Elems[0], 0), it.Value, int(n))
		}
	case FormStream:
		s.FindFirst()
		h := s.EditHead()
		h.Last, h.Deleted, h.Added = idAt(it.Elems[0], 0), idAt(it.Elems[0], 2), numberAt(it.Elems[0], 4)
	case FormGroup:
		o.group = it.Elems[0]
		if _, twice := s.FindGroup(o.group); twice {
			return errNameTwice
		}
		last, read := idAt(it.Elems[1], 0), int64(numberAt(it.Elems[1], 2))
		if numberAt(it.Elems[1], 3) != 0 { // from a server that did not count
			read = s.Distance(last)
		}
		s.AddGroup(o.group, last, read)
	case FormPending:
		for _, e := range it.Elems {
			g.Deliver(idAt(e, 0), nil, int64(numberAt(e, 2)), numberAt(e, 3))
		}
	case FormConsumer:
		o.consumer = it.Elems[0]
		if _, twice := g.FindConsumer(o.consumer); twice {
			return errNameTwice
		}
		g.AddConsumer(o.consumer, int64(numberAt(it.Elems[1], 0)), int64(numberAt(it.Elems[1], 1)))
	case FormOwned:
		c, _ := g.EditConsumer(o.consumer)
		var p coll.PendingPlace
		for _, e := range it.Elems {
			id := idAt(e, 0)
			if !g.Find(&p, id) {
				return errUnowned
			}
			if _, taken := g.Owner(&p); taken {
				return errUnowned
			}
			g.Deliver(id, &c, p.Delivered, p.Deliveries)
		}
	default:
		return errOddPart
	}
	l.s.Relieve(o.c)
	return nil
}
