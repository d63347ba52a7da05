package value

import (
	"math"

	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/keyspace/packed"
)

// Fields that expire. What reads a hash is given the time now, in Unix ms: a field whose expiry is not later does not exist, though it may still be there.

// Always is the time at which no field has expired yet.
const Always = math.MinInt64

// MaxFieldExpiry is the latest expiry that a field may have (Unix ms), as in Redis.
const MaxFieldExpiry = 1<<48 - 1

// Field returns the value of a field of a hash. It is a view, or printed into buf.
func Field(s *keyspace.Shard, r keyspace.Ref, name []byte, now int64, buf *[20]byte) (val []byte, ok bool) {
	val, at, ok := FieldAt(s, r, name, buf)
	if at <= now && at != keyspace.NoExpire {
		return nil, false
	}
	return val, ok
}

// FieldAt returns the value of a field, and when it expires (Unix ms, or keyspace.NoExpire), also if that has gone by.
func FieldAt(s *keyspace.Shard, r keyspace.Ref, name []byte, buf *[20]byte) (val []byte, expireAt int64, ok bool) {
	switch s.Encoding(r) {
	case keyspace.ListPack:
		var enc [80]byte
		l := packed.List(s.Value(r))
		at := l.Find(packed.HeaderBytes, packed.Encode(enc[:0], name), 2)
		if at == 0 {
			return nil, keyspace.NoExpire, false
		}
		return l.Text(l.Next(at), buf), keyspace.NoExpire, true
	case keyspace.ListPackEx:
		var enc [80]byte
		l := s.Triples(r)
		at := l.Find(packed.HeaderBytes, packed.Encode(enc[:0], name), 3)
		if at == 0 {
			return nil, keyspace.NoExpire, false
		}
		at = l.Next(at)
		return l.Text(at, buf), TripleExpiry(l, l.Next(at)), true
	}
	c := s.Open(r)
	e := coll.Dict{Mem: &c}.Find(s.Hash(name), name)
	if e == 0 {
		return nil, keyspace.NoExpire, false
	}
	return coll.ValueOf(c.Space, e), coll.ExpiryOf(c.Space, e), true
}

// TripleExpiry reads the expiry that stands at a place of a ListPackEx.
func TripleExpiry(l packed.List, at int) int64 {
	if _, n, _ := l.Get(at); n != 0 {
		return n
	}
	return keyspace.NoExpire
}

// TriplePlace is where in a ListPackEx a field belongs that expires at (keyspace.NoExpire: never): behind those that do not expire later.
func TriplePlace(l packed.List, expireAt int64) int {
	if expireAt == keyspace.NoExpire {
		return l.End()
	}
	at := packed.HeaderBytes
	for !l.AtEnd(at) {
		x := l.Skip(at, 2)
		if t := TripleExpiry(l, x); t == keyspace.NoExpire || t > expireAt {
			break
		}
		at = l.Next(x)
	}
	return at
}

// AppendTriple appends a field as the three entries that it is in a ListPackEx.
func AppendTriple(dst, field, val []byte, expireAt int64) []byte {
	dst = packed.Entry(packed.Entry(dst, field), val)
	if expireAt == keyspace.NoExpire {
		expireAt = 0
	}
	return packed.EntryInt(dst, expireAt)
}

// EachField calls f with the fields of a hash and their values, in no order, until it says false. Those that have expired are left out.
func EachField(s *keyspace.Shard, r keyspace.Ref, now int64, f func(field, val []byte) bool) {
	if s.Encoding(r) == keyspace.ListPack {
		eachPair(s.Value(r), f)
		return
	}
	EachFieldAt(s, r, func(field, val []byte, at int64) bool {
		return at <= now && at != keyspace.NoExpire || f(field, val)
	})
}

// EachFieldAt is EachField of all fields, with their expiry (Unix ms, or keyspace.NoExpire).
func EachFieldAt(s *keyspace.Shard, r keyspace.Ref, f func(field, val []byte, expireAt int64) bool) {
	switch s.Encoding(r) {
	case keyspace.ListPack:
		eachPair(s.Value(r), func(field, val []byte) bool { return f(field, val, keyspace.NoExpire) })
		return
	case keyspace.ListPackEx:
		EachTriple(s.Triples(r), f)
		return
	}
	m := s.Open(r)
	eachElem(coll.Dict{Mem: &m}, func(e coll.Ref) bool {
		return f(coll.KeyOf(m.Space, e), coll.ValueOf(m.Space, e), coll.ExpiryOf(m.Space, e))
	})
}

// EachTriple calls f with the fields of a ListPackEx, their values and their expiry (Unix ms, or keyspace.NoExpire), until it says false.
func EachTriple(l packed.List, f func(field, val []byte, expireAt int64) bool) {
	var bufs [2][20]byte
	for at := packed.HeaderBytes; !l.AtEnd(at); {
		v := l.Next(at)
		x := l.Next(v)
		if !f(l.Text(at, &bufs[0]), l.Text(v, &bufs[1]), TripleExpiry(l, x)) {
			return
		}
		at = l.Next(x)
	}
}

// Expired counts the fields of a hash that have expired and are still there.
func Expired(s *keyspace.Shard, r keyspace.Ref, now int64) int {
	if due := s.FieldsDue(r); due == keyspace.NoExpire || due > now {
		return 0
	}
	if s.Encoding(r) == keyspace.ListPackEx {
		n := 0
		EachTriple(s.Triples(r), func(_, _ []byte, at int64) bool {
			if at == keyspace.NoExpire || at > now {
				return false
			}
			n++
			return true
		})
		return n
	}
	m := s.Open(r)
	t := dueTree(&m)
	var p coll.Pos
	if t.Seek(&p, &coll.Probe{Key: uint64(now), Where: coll.AfterAll}); !p.Valid() {
		return int(t.Len())
	}
	return int(t.Rank(&p))
}

// dueTree has the fields of a large hash that expire, by time.
func dueTree(m *coll.Mem) coll.Tree { return coll.Tree{Mem: m, Tie: coll.TieKey} }

// newField makes the element of a field.
func newField(m *coll.Mem, field, val []byte, expireAt int64) coll.Ref {
	if expireAt == keyspace.NoExpire {
		return m.NewElem(coll.Field, field, val, 0)
	}
	return m.NewElem(coll.Expiring, field, val, uint64(expireAt))
}

// InsertField adds a field of hash h, which is not there yet, to a large hash.
func InsertField(m *coll.Mem, h uint64, field, val []byte, expireAt int64) {
	r := newField(m, field, val, expireAt)
	coll.Dict{Mem: m}.Insert(h, r)
	if expireAt != keyspace.NoExpire {
		insertDue(m, r, field, expireAt)
	}
}

func insertDue(m *coll.Mem, r coll.Ref, field []byte, expireAt int64) {
	t := dueTree(m)
	t.Insert(&coll.Probe{Key: uint64(expireAt), Tie: field}, coll.NewItem(uint64(expireAt), r, 1))
}

// seekDue goes to the item of a field that expires.
func seekDue(t *coll.Tree, p *coll.Pos, field []byte, expireAt int64) {
	t.Seek(p, &coll.Probe{Key: uint64(expireAt), Tie: field})
}

// ReplaceField gives a field of a large hash, whose element is old, another value and expiry. val may be a view of old.
func ReplaceField(m *coll.Mem, h uint64, old coll.Ref, val []byte, expireAt int64) {
	d, was := coll.Dict{Mem: m}, coll.ExpiryOf(m.Space, old)
	field := coll.KeyOf(m.Space, old)
	if was == expireAt {
		if v := coll.ValueOf(m.Space, old); len(v) == len(val) && d.EditableElem(h, old) {
			copy(v, val)
			return
		}
	}
	r := newField(m, field, val, expireAt)
	if was != keyspace.NoExpire {
		t := dueTree(m)
		var p coll.Pos
		seekDue(&t, &p, field, was)
		if was == expireAt {
			t.Set(&p, coll.NewItem(uint64(was), r, 1))
		} else {
			t.Delete(&p)
		}
	}
	d.Replace(h, old, r)
	if expireAt != keyspace.NoExpire && was != expireAt {
		insertDue(m, r, coll.KeyOf(m.Space, r), expireAt)
	}
}

// RemoveField takes the field whose element is old out of a large hash.
func RemoveField(m *coll.Mem, h uint64, old coll.Ref) {
	if was := coll.ExpiryOf(m.Space, old); was != keyspace.NoExpire {
		t := dueTree(m)
		var p coll.Pos
		seekDue(&t, &p, coll.KeyOf(m.Space, old), was)
		t.Delete(&p)
	}
	coll.Dict{Mem: m}.Remove(h, old)
}

// RemoveDue removes the fields of a hash, at most so many, whose expiry is not later than now, the earliest first. removed is called with the name
// of each before it goes. gone says that no field is left, and the key went too; otherwise r is the hash's entry now.
func RemoveDue(s *keyspace.Shard, db int, h uint64, r keyspace.Ref, now int64, most int, removed func(field []byte)) (_ keyspace.Ref, gone bool) {
	if due := s.FieldsDue(r); due == keyspace.NoExpire || due > now {
		return r, false
	}
	if s.Encoding(r) == keyspace.ListPackEx {
		l := s.Triples(r)
		var buf [20]byte
		n, at := 0, packed.HeaderBytes
		for n < most && !l.AtEnd(at) {
			x := l.Skip(at, 2)
			if t := TripleExpiry(l, x); t == keyspace.NoExpire || t > now {
				break
			}
			removed(l.Text(at, &buf))
			at = l.Next(x)
			n++
		}
		return removeTriples(s, db, h, r, l, packed.HeaderBytes, at, n)
	}
	e := s.Edit(db, h, r)
	t := dueTree(&e.Mem)
	for range most {
		if t.Empty() {
			break
		}
		var p coll.Pos
		t.First(&p)
		it := p.Item()
		if int64(it.Key) > now {
			break
		}
		field := coll.KeyOf(e.Space, it.Ref())
		removed(field)
		fh := s.Hash(field)
		t.Delete(&p)
		e.Dict().Remove(fh, it.Ref())
	}
	gone = s.Settle(&e)
	return r, gone
}

// removeTriples removes the n fields from at until end.
func removeTriples(s *keyspace.Shard, db int, h uint64, r keyspace.Ref, l packed.List, at, end, n int) (_ keyspace.Ref, gone bool) {
	if n == 0 {
		return r, false
	}
	if at == packed.HeaderBytes && l.AtEnd(end) {
		s.Delete(db, h, r)
		return 0, true
	}
	r, _ = s.SpliceTriples(db, h, r, at, end-at, nil, -3*n)
	return r, false
}

// RemoveExpired removes one field if its expiry is not later than now: done says that it did. gone and r are as with RemoveDue.
func RemoveExpired(s *keyspace.Shard, db int, h uint64, r keyspace.Ref, name []byte, now int64) (_ keyspace.Ref, done, gone bool) {
	if due := s.FieldsDue(r); due == keyspace.NoExpire || due > now {
		return r, false, false
	}
	if s.Encoding(r) == keyspace.ListPackEx {
		var enc [80]byte
		l := s.Triples(r)
		at := l.Find(packed.HeaderBytes, packed.Encode(enc[:0], name), 3)
		if at == 0 {
			return r, false, false
		}
		x := l.Skip(at, 2)
		if t := TripleExpiry(l, x); t == keyspace.NoExpire || t > now {
			return r, false, false
		}
		r, gone = removeTriples(s, db, h, r, l, at, l.Next(x), 1)
		return r, true, gone
	}
	m := s.Open(r)
	fh := s.Hash(name)
	old := coll.Dict{Mem: &m}.Find(fh, name)
	if old == 0 {
		return r, false, false
	}
	if at := coll.ExpiryOf(m.Space, old); at == keyspace.NoExpire || at > now {
		return r, false, false
	}
	e := s.Edit(db, h, r)
	RemoveField(&e.Mem, fh, old)
	gone = s.Settle(&e)
	return r, true, gone
}

// InOrder reports whether the fields of a ListPackEx stand as they must: the earliest expiry in front, those without one at the end.
func InOrder(l packed.List) bool {
	ok, last := true, int64(0)
	EachTriple(l, func(_, _ []byte, at int64) bool {
		if at == keyspace.NoExpire {
			at = math.MaxInt64
		}
		ok, last = at >= last, at
		return ok
	})
	return ok
}

// CheckTriples is CheckPacked of a list of fields, values and expiries. Only with deep they must be in order.
func CheckTriples(l packed.List, n int, deep bool) error {
	if n == 0 {
		return errEmpty
	}
	if n%3 != 0 {
		return errTriples
	}
	last := int64(0)
	var seen map[string]struct{}
	if deep {
		seen = make(map[string]struct{}, n/3)
	}
	var buf [20]byte
	for at := packed.HeaderBytes; !l.AtEnd(at); {
		x := l.Skip(at, 2)
		_, t, isInt := l.Get(x)
		if !isInt || t < 0 || t > MaxFieldExpiry {
			return errFieldExpiry
		}
		if deep {
			if t == 0 {
				t = math.MaxInt64
			}
			if t < last {
				return errFieldOrder
			}
			last = t
			f := l.Text(at, &buf)
			if _, twice := seen[string(f)]; twice {
				return errTwice
			}
			seen[string(f)] = struct{}{}
		}
		at = l.Next(x)
	}
	return nil
}
