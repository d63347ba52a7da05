package keyspace

import (
	"encoding/binary"
	"unsafe"

	"tidemark/engine/keyspace/arena"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/keyspace/packed"
)

// Hashes with fields that expire. What a small one (ListPackEx) is made of stands in threes, those that expire first in front, those that never do at the end:
//
//	ListPackEx | place in the index of hashes, plus 1 : 32 | packed list of field, value, expiry (Unix ms, 0: none) |
//
// A large one (HashTable) has in its Tree those elements that expire, by time, and its place in the index, plus 1, in Root.C. So the earliest
// expiry of either is at hand without looking for it, and the index of its table says which hash is due first. A hash without such
// fields is in no index, and costs nothing for that.

const (
	exHeader   = 4 // bytes of a ListPackEx before the list
	encMask    = uint64(15) << encShift
	listPackEx = uint64(ListPackEx) << encShift
)

// fieldsAt is where an entry has its place in the index of hashes, plus 1: nil for what is no hash, or one that has none.
func (e entry) fieldsAt(s arena.Space) *uint32 {
	switch w := *e.word(); {
	case w&encMask == listPackEx:
		return (*uint32)(unsafe.Pointer(unsafe.SliceData(e.value(s))))
	case w&rootIt != 0 && Type(w>>typeShift&7) == Hash:
		return (*uint32)(unsafe.Pointer(&e.root().C))
	}
	return nil
}

// fieldsDue is the earliest expiry of the fields of an entry that has fieldsAt, or NoExpire.
func (e entry) fieldsDue(s arena.Space) int64 {
	if e.rooted() {
		if r := e.root(); r.HasTree() {
			return int64(coll.FirstKey(s, r))
		}
		return NoExpire
	}
	l := packed.List(e.value(s)[exHeader:])
	if _, at, _ := l.Get(l.Skip(packed.HeaderBytes, 2)); at != 0 {
		return at
	}
	return NoExpire
}

// settleFields brings the index of hashes up to date with an entry that has fieldsAt.
func (s *Shard) settleFields(db int, t *table, r Ref) {
	e := entry{t.Ptr(r)}
	place, at := e.fieldsAt(t.Space), e.fieldsDue(t.Space)
	switch i := int(*place) - 1; {
	case i < 0 && at == NoExpire:
		return
	case i < 0:
		t.fields.add(t, r, at)
	case at == NoExpire:
		*place = 0
		t.fields.remove(t, i)
	default:
		it := t.fields.item(t, i)
		it.r = r
		if it.at == at {
			return
		}
		t.fields.move(t, i, at)
	}
	s.fieldsChanged(db, t)
}

// inheritFields gives entry n the place in the index of hashes of the entry that it supersedes, which stands at was (nil: it had none).
func (s *Shard) inheritFields(db int, t *table, was *uint32, n Ref) {
	at := uint32(0)
	if was != nil {
		at = *was
	}
	if is := (entry{t.Ptr(n)}).fieldsAt(t.Space); is != nil {
		*is = at
		s.settleFields(db, t, n)
	} else if at != 0 {
		*was = 0
		t.fields.remove(t, int(at-1))
		s.fieldsChanged(db, t)
	}
}

// Triples is a view of what a small hash with fields that may expire (ListPackEx) is made of: field, value, expiry in Unix ms (0: none), the earliest in
// front, those without at the end. It is valid until the next mutating call on the shard. Not to be written to.
func (s *Shard) Triples(r Ref) packed.List { return packed.List(s.entry(r).value(s.Space)[exHeader:]) }

// PutTriples is Put of a ListPackEx. list may be a view of the shard.
func (s *Shard) PutTriples(db int, h uint64, r Ref, key []byte, list packed.List, expireAt int64, access uint32) Ref {
	t := s.table(db)
	epoch := uint64(0)
	if r == 0 {
		epoch = s.birthEpoch(t, h)
	} else {
		s.touch(t, h, r)
		epoch = *s.entry(r).word() >> epochShift & 7
	}
	p := put{Hash, ListPackEx, access, epoch, expireAt, key, nil, exHeader + len(list)}
	n := t.build(&p)
	v := t.setLength(n, exHeader+len(list))
	binary.LittleEndian.PutUint32(v, 0)
	copy(v[exHeader:], list)
	if r == 0 {
		s.enter(db, t, h, n, expireAt)
		return n
	}
	s.supersede(db, t, h, r, n, true)
	s.publish(t)
	return n
}

// SetTriples is PutTriples with the key, expiry and access that entry r has.
func (s *Shard) SetTriples(db int, h uint64, r Ref, list packed.List) Ref {
	e := s.entry(r)
	return s.PutTriples(db, h, r, e.keyBytes(), list, s.ExpireAt(r), uint32(*e.word()&accessMask))
}

// SpliceTriples is SpliceList for a ListPackEx, whose triples must stay in order; one at least is left.
func (s *Shard) SpliceTriples(db int, h uint64, r Ref, at, del int, ins []byte, delta int) (Ref, packed.List) {
	r, v := s.Splice(db, h, r, exHeader+at, del, ins)
	l := packed.List(v[exHeader:])
	l.SetHeader(delta)
	s.settleFields(db, s.tables[db], r)
	return r, l
}

// FieldsDue returns the earliest expiry (Unix ms) of the fields of a hash, or NoExpire. It is cheap: it looks for nothing.
func (s *Shard) FieldsDue(r Ref) int64 {
	e := s.entry(r)
	if e.fieldsAt(s.Space) == nil {
		return NoExpire
	}
	return e.fieldsDue(s.Space)
}
