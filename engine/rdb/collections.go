package rdb

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/keyspace/intset"
	"tidemark/engine/keyspace/packed"
	"tidemark/engine/value"
)

// How collections are written: small ones as the bytes that they are, if version 10 has a type for that, large ones element by element.
//
//	list         quicklist 2 | blocks | 2, packed list | ...
//	set          intset | bytes |         or set | members | member | ...
//	sorted set   zset (listpack) | bytes | or zset 2 | members | member, score : 64, little-endian | ...
//	hash         hash (listpack) | bytes | or hash | fields | field, value | ...
//	             hash with field expiry (listpack) | earliest : 64, little-endian | bytes: field, value, expiry, ... the earliest in front |
//	             or hash with field expiry | earliest : 64 | fields | expiry - earliest + 1 as a length, 0: none | field, value | ...
//	stream       see stream.go
//
// The two with field expiry are written only for hashes that have a field which expires: they are what makes a file one of VersionFieldExpiry.
const (
	typeList        = 1
	typeSet         = 2
	typeZSetText    = 3
	typeHash        = 4
	typeZSet        = 5
	typeHashZipmap  = 9
	typeListZiplist = 10
	typeSetIntset   = 11
	typeZSetZiplist = 12
	typeHashZiplist = 13
	typeQuicklist   = 14
	typeHashPacked  = 16
	typeZSetPacked  = 17
	typeQuicklist2  = 18
	typeSetPacked   = 20

	typeHashExpiryOld       = 22 // before Redis 7.4.0: no earliest, and expiries in full
	typeHashExpiryPackedOld = 23
	typeHashExpiry          = 24
	typeHashExpiryPacked    = 25

	plainNode  = 1 // of a quicklist 2: a single element, not packed
	packedNode = 2
)

// pieceBytes is about how much AppendPiece appends at a time: some 0.1 to 0.3 ms.
const pieceBytes = 16 << 10

// Phases of a value's encoding, in keyspace.Progress.
const (
	phaseHead  = iota // nothing is written
	phaseElems        // At is the place in the collection
)

// typeOf chooses the type a value is written as.
func typeOf(s *keyspace.Shard, r keyspace.Ref) byte {
	enc := s.Encoding(r)
	switch s.Type(r) {
	case keyspace.String:
		return typeString
	case keyspace.List:
		return typeQuicklist2
	case keyspace.Set:
		if enc == keyspace.IntSet {
			return typeSetIntset
		}
		return typeSet
	case keyspace.ZSet:
		if enc == keyspace.ListPack {
			return typeZSetPacked
		}
		return typeZSet
	case keyspace.Hash:
		switch expires := s.FieldsDue(r) != keyspace.NoExpire; {
		case enc == keyspace.ListPack, enc == keyspace.ListPackEx && !expires:
			return typeHashPacked
		case enc == keyspace.ListPackEx:
			return typeHashExpiryPacked
		case expires:
			return typeHashExpiry
		}
		return typeHash
	case keyspace.Stream:
		return typeStream2
	}
	panic(fmt.Sprintf("BUG: rdb: no encoding of type %v", s.Type(r)))
}

// appendValue appends a value, or with p set a piece of it: p.More says whether there is more.
func (e *Encoder) appendValue(dst []byte, s *keyspace.Shard, r keyspace.Ref, p *keyspace.Progress) []byte {
	enc := s.Encoding(r)
	if !enc.IsRoot() {
		return e.appendSmall(dst, s, r, enc)
	}
	m := s.Open(r)
	if enc == keyspace.StreamTree {
		return e.appendStream(dst, &m, p)
	}
	limit := len(dst) + pieceBytes
	d := coll.Dict{Mem: &m}
	list := coll.List{Mem: &m}
	due := int64(keyspace.NoExpire)
	if s.Type(r) == keyspace.Hash {
		due = s.FieldsDue(r)
	}
	if p.Phase == phaseHead {
		if due != keyspace.NoExpire {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(due))
		}
		n := m.Root.N
		if enc == keyspace.QuickList {
			n = uint64(list.Blocks())
		}
		dst = appendLength(dst, n)
		p.Phase = phaseElems
	}
	p.More = true
	switch enc {
	case keyspace.HashTable:
		fields := s.Type(r) == keyspace.Hash
		for len(dst) < limit && p.More {
			p.At = d.Scan(p.At, func(r coll.Ref) {
				if due != keyspace.NoExpire {
					after := uint64(0)
					if at := coll.ExpiryOf(m.Space, r); at != keyspace.NoExpire {
						after = uint64(at - due + 1)
					}
					dst = appendLength(dst, after)
				}
				dst = appendString(dst, coll.KeyOf(m.Space, r), e.Compress)
				if fields {
					dst = appendString(dst, coll.ValueOf(m.Space, r), e.Compress)
				}
			})
			p.More = p.At != 0
		}
	case keyspace.SkipList:
		t := coll.Tree{Mem: &m}
		var pos coll.Pos
		for t.At(&pos, p.At); len(dst) < limit && pos.Valid(); t.Next(&pos) {
			r := pos.Item().Ref()
			dst = appendString(dst, coll.KeyOf(m.Space, r), e.Compress)
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(coll.ScoreOf(m.Space, r)))
			p.At++
		}
		p.More = p.At < m.Root.N
	case keyspace.QuickList:
		for len(dst) < limit && p.At < m.Root.N {
			lp, first := list.Block(p.At)
			dst = appendString(appendLength(dst, packedNode), lp, e.Compress)
			p.At = first + uint64(lp.Len())
		}
		p.More = p.At < m.Root.N
	}
	return dst
}

// appendSmall appends a value that is bytes.
func (e *Encoder) appendSmall(dst []byte, s *keyspace.Shard, r keyspace.Ref, enc keyspace.Encoding) []byte {
	v := s.Value(r)
	switch {
	case enc == keyspace.ListPackEx:
		v = s.Triples(r)
		if due := s.FieldsDue(r); due != keyspace.NoExpire {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(due))
		} else {
			v = value.Pairs(nil, v)
		}
	case s.Type(r) == keyspace.List:
		dst = appendLength(appendLength(dst, 1), packedNode)
	case s.Type(r) == keyspace.Set && enc == keyspace.ListPack: // version 10 has no type for it
		dst = appendLength(dst, uint64(packed.List(v).Len()))
		value.EachMember(s, r, func(m []byte) bool {
			dst = appendString(dst, m, e.Compress)
			return true
		})
		return dst
	}
	return appendString(dst, v, e.Compress)
}

// Form says how an Item gives a value.
type Form uint8

const (
	FormString Form = iota // Value is a string
	FormPacked             // Value is a packed list: of a small collection, or a block of a list
	FormIntset             // Value is an intset
	FormElems              // Elems are elements: of a hash field, value, ...; of a sorted set member, score (64 bits, little-endian), ...
	// Of a hash whose item says FieldsExpire, elements come in threes; the third is the expiry in Unix ms, 0 for none: an integer of a packed list, in
	// any order, or 64 bits, little-endian, of Elems.
	// Parts of a stream, in the order in which they come. Numbers are of 64 bits, little-endian; an ID is two of them.
	FormNode     // Value is a node's packed list; Elems: ID and number of entries
	FormStream   // Elems: last ID, deleted ID, entries added
	FormGroup    // Elems: name; last ID, entries read, 1 if those are not known
	FormPending  // of the group. Elems: ID, when delivered, how often
	FormConsumer // Elems: name; when seen, when active
	FormOwned    // pending for the consumer. Elems: ID
)

const (
	partElems = 256      // elements of one Item
	partBytes = 64 << 10 // of their bytes, if it is more than one
)

// value begins to read a value of the type op.
func (d *Decoder) value(op byte, it *Item) (err error) {
	it.First, it.Last = true, true
	switch op {
	case typeString:
		it.Type = keyspace.String
		it.Value, err = d.string(&d.hold)
		return err
	case typeSetIntset:
		it.Type, it.Form = keyspace.Set, FormIntset
		if it.Value, err = d.string(&d.hold); err != nil {
			return err
		}
		n, err := intset.Check(it.Value)
		if err == nil && n == 0 {
			return errEmpty
		}
		return d.wrap(err)
	case typeHashPacked, typeHashZiplist, typeHashZipmap:
		it.Type = keyspace.Hash
		return d.packed(op, it)
	case typeZSetPacked, typeZSetZiplist:
		it.Type = keyspace.ZSet
		return d.packed(op, it)
	case typeSetPacked:
		it.Type = keyspace.Set
		return d.packed(op, it)
	case typeListZiplist:
		it.Type = keyspace.List
		return d.packed(op, it)
	case typeList, typeQuicklist, typeQuicklist2:
		it.Type = keyspace.List
	case typeSet:
		it.Type = keyspace.Set
	case typeZSet, typeZSetText:
		it.Type = keyspace.ZSet
	case typeHash:
		it.Type = keyspace.Hash
	case typeHashExpiry, typeHashExpiryPacked, typeHashExpiryOld, typeHashExpiryPackedOld:
		it.Type, it.FieldsExpire = keyspace.Hash, true
		if d.earliest, err = d.earliestExpiry(op); err != nil {
			return err
		}
		if op == typeHashExpiryPacked || op == typeHashExpiryPackedOld {
			return d.packed(op, it)
		}
	case typeStream, typeStream2, typeStream3:
		return d.stream(op, it)
	default:
		if int(op) < len(typeNames) && typeNames[op] != "" {
			return &UnsupportedError{Offset: d.start, Type: typeName(op), Key: string(it.Key[:min(len(it.Key), 256)])}
		}
		return d.fail("unknown type or opcode %d", op)
	}
	if d.left, err = d.plainLength(); err != nil {
		return err
	}
	if d.left == 0 {
		return errEmpty
	}
	d.op = op
	return d.part(it)
}

// wrap makes a FormatError of what is wrong with a value.
func (d *Decoder) wrap(err error) error {
	if err == nil {
		return nil
	}
	return d.fail("%v", err)
}

// part reads some of the elements that are left of a value.
func (d *Decoder) part(it *Item) (err error) {
	switch d.op {
	case typeQuicklist, typeQuicklist2:
		err = d.node(it)
	case typeStream, typeStream2, typeStream3:
		err = d.streamPart(it)
	default:
		it.Form = FormElems
		err = d.elems(it)
	}
	it.Last = d.left == 0
	return err
}

// elems reads elements that stand one by one.
func (d *Decoder) elems(it *Item) error {
	var data []byte
	var ends []int
	add := func() error {
		s, err := d.string(&d.hold)
		data = append(data, s...)
		ends = append(ends, len(data))
		return err
	}
	for n := 0; d.left > 0 && n < partElems && len(data) < partBytes; n++ {
		expireAt := int64(0)
		if d.op == typeHashExpiry || d.op == typeHashExpiryOld {
			var err error
			if expireAt, err = d.fieldExpiry(); err != nil {
				return err
			}
		}
		if err := add(); err != nil {
			return err
		}
		switch d.op {
		case typeHash:
			if err := add(); err != nil {
				return err
			}
		case typeHashExpiry, typeHashExpiryOld:
			if err := add(); err != nil {
				return err
			}
			data = binary.LittleEndian.AppendUint64(data, uint64(expireAt))
			ends = append(ends, len(data))
		case typeZSet, typeZSetText:
			score, err := d.score()
			if err != nil {
				return err
			}
			if math.IsNaN(score) {
				return d.fail("a score that is no number")
			}
			data = binary.LittleEndian.AppendUint64(data, math.Float64bits(score))
			ends = append(ends, len(data))
		}
		d.left--
	}
	it.Elems = make([][]byte, len(ends))
	from := 0
	for i, to := range ends {
		it.Elems[i] = data[from:to:to]
		from = to
	}
	return nil
}

// score reads a score: 64 bits, or before version 8 as text.
func (d *Decoder) score() (float64, error) {
	if d.op == typeZSet {
		if err := d.need(8); err != nil {
			return 0, err
		}
		d.pos += 8
		return math.Float64frombits(binary.LittleEndian.Uint64(d.buf[d.pos-8:])), nil
	}
	n, err := d.byte()
	if err != nil {
		return 0, err
	}
	switch n {
	case 253:
		return math.NaN(), nil
	case 254:
		return math.Inf(1), nil
	case 255:
		return math.Inf(-1), nil
	}
	if err := d.need(int(n)); err != nil {
		return 0, err
	}
	text := string(d.buf[d.pos : d.pos+int(n)])
	d.pos += int(n)
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0, d.fail("%.40q is no score", text)
	}
	return f, nil
}

// node reads a node of a quicklist.
func (d *Decoder) node(it *Item) error {
	d.left--
	kind := uint64(packedNode)
	var err error
	if d.op == typeQuicklist2 {
		if kind, err = d.plainLength(); err != nil {
			return err
		}
	}
	switch kind {
	case packedNode:
		return d.packed(d.op, it)
	case plainNode:
		v, err := d.string(&d.hold)
		if err != nil {
			return err
		}
		if len(v) == 0 {
			return d.fail("a list's node of an element without bytes")
		}
		it.Form, it.Elems = FormElems, [][]byte{append([]byte(nil), v...)}
		return nil
	}
	return d.fail("a list's node of unknown kind %d", kind)
}

// packed reads a string that holds a packed list, or what was in its place in earlier versions, and makes a packed list of it.
func (d *Decoder) packed(op byte, it *Item) error {
	v, err := d.string(&d.hold)
	if err != nil {
		return err
	}
	it.Form = FormPacked
	var l packed.List
	switch op {
	case typeHashZipmap:
		l, err = fromZipmap(v)
	case typeListZiplist, typeQuicklist, typeHashZiplist, typeZSetZiplist:
		l, err = fromZiplist(v)
	default:
		l = v
	}
	if err != nil {
		return d.wrap(err)
	}
	n, canonical, err := packed.Check(l)
	if err != nil {
		return d.wrap(err)
	}
	if n == 0 {
		return errEmpty
	}
	if !canonical {
		l = packed.Canonical(l)
	}
	it.Value = l
	if it.FieldsExpire {
		return d.wrap(value.CheckTriples(l, n, d.deep))
	}
	return d.wrap(value.CheckPacked(l, n, it.Type, d.deep))
}

// earliestExpiry reads what stands before the fields of a hash that expire.
func (d *Decoder) earliestExpiry(op byte) (int64, error) {
	if op == typeHashExpiryOld || op == typeHashExpiryPackedOld {
		return 1, nil // expiries are given in full
	}
	if err := d.need(8); err != nil {
		return 0, err
	}
	d.pos += 8
	at := binary.LittleEndian.Uint64(d.buf[d.pos-8:])
	if at > value.MaxFieldExpiry {
		return 0, d.fail("the earliest expiry of a field is %d, which is too late", at)
	}
	return int64(at), nil
}

// fieldExpiry reads when a field expires: Unix ms, 0: never.
func (d *Decoder) fieldExpiry() (int64, error) {
	n, err := d.plainLength()
	if err != nil || n == 0 {
		return 0, err
	}
	if n > value.MaxFieldExpiry || d.earliest+int64(n)-1 > value.MaxFieldExpiry {
		return 0, d.fail("a field that expires too late")
	}
	return max(d.earliest+int64(n)-1, 1), nil
}
