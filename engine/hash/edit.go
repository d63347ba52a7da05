package hash

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/keyspace/packed"
	"tidemark/engine/value"
)

// An editor changes the hash of a request's key, which may not exist yet:
//
//	e := editor{c: c, k: k, s: k.Shard, r: r}
//	e.open(more, bytes)   // what is to come
//	e.look(field)         // e.there
//	e.set(field, value, keyspace.NoExpire) // where look was
//	e.close()
//
// A small hash is edited in place when one field is to come, which is a search and a move of what lies behind it; for
// several it is copied to the Ctx's scratch memory and stored once. One with fields that expire (keyspace.ListPackEx) is edited in place always, since
// its fields have an order to keep.
type editor struct {
	c *command.Ctx
	k *command.Key
	s *keyspace.Shard
	r keyspace.Ref // 0: no such key yet

	form form
	list packed.List // small; a copy in the scratch memory when the form is copied; triples when it is inTriples
	c1   keyspace.Coll
	c2   *keyspace.Coll // a Draft

	there bool     // what look found
	until int64    // when that expires, Unix ms, or keyspace.NoExpire
	at    int      // small: the place of the field, or of the end
	gone  bool     // its last field was removed, and the key with it
	elem  coll.Ref // large
	fh    uint64   // large: hash of the field
}

// form is where an editor's hash is.
type form uint8

const (
	inPlace   form = iota // a packed list, the value of r
	inTriples             // a ListPackEx, the value of r
	copied                // a packed list in the scratch memory
	large                 // c1 is open
	draft                 // c2 will become the key's value
)

// maxPacked bounds the bytes of a small hash, however large hash-max-listpack-value is.
const maxPacked = 1 << 30

// open begins, for the given number of fields, whose names and values make at most so many bytes as entries. long says that one of them is too
// long for a small hash.
func (e *editor) open(fields, bytes int, long bool) {
	lim := &e.c.Store.Limits
	long = long || int64(fields) > lim.HashEntries.Load() || bytes > maxPacked
	switch {
	case e.r == 0 && long:
		e.form, e.c2 = draft, e.s.Draft(e.c.DB, keyspace.Hash, keyspace.HashTable)
	case e.r == 0:
		e.form, e.list = copied, packed.New(e.c.Scratch(packed.EmptyBytes + bytes)[:0])
	case e.s.Encoding(e.r) == keyspace.HashTable:
		e.edit()
	case e.s.Encoding(e.r) == keyspace.ListPackEx:
		l := e.s.Triples(e.r)
		if long || len(l)+bytes+fields*maxExpiryBytes > maxPacked {
			e.expand()
			return
		}
		e.form, e.list = inTriples, l
	default:
		l := packed.List(e.s.Value(e.r))
		if long || len(l)+bytes > maxPacked {
			e.expand()
			return
		}
		e.form, e.list = inPlace, l
		if fields > 1 {
			e.form, e.list = copied, append(e.c.Scratch(len(l) + bytes)[:0], l...)
		}
	}
}

// maxExpiryBytes is the most that the expiry of a field takes in a ListPackEx.
const maxExpiryBytes = 10

// openThere begins to change or remove fields that are there.
func (e *editor) openThere() {
	switch e.s.Encoding(e.r) {
	case keyspace.HashTable:
		e.edit()
	case keyspace.ListPackEx:
		e.form, e.list = inTriples, e.s.Triples(e.r)
	default:
		e.form, e.list = inPlace, e.s.Value(e.r)
	}
}

// tooLong reports whether a field or value keeps a hash from being small.
func (e *editor) tooLong(p []byte) bool { return int64(len(p)) > e.c.Store.Limits.HashValue.Load() }

func (e *editor) edit() {
	e.form, e.c1 = large, e.s.Edit(e.c.DB, e.k.Hash, e.r)
}

// expand makes a small hash, which stands under the key as it is, a large one.
func (e *editor) expand() {
	e.r = value.Expand(e.s, e.c.DB, e.k.Hash, e.r, &e.c.Store.Limits)
	e.edit()
}

// mem is the memory of a large hash.
func (e *editor) mem() *coll.Mem {
	if e.form == draft {
		return &e.c2.Mem
	}
	return &e.c1.Mem
}

// look searches for a field.
func (e *editor) look(field []byte) {
	e.until = keyspace.NoExpire
	if e.gone {
		e.there = false
		return
	}
	if e.form >= large {
		m := e.mem()
		e.fh = e.s.Hash(field)
		e.elem = coll.Dict{Mem: m}.Find(e.fh, field)
		if e.there = e.elem != 0; e.there {
			e.until = coll.ExpiryOf(m.Space, e.elem)
		}
		return
	}
	var buf [160]byte
	step := 2
	if e.form == inTriples {
		step = 3
	}
	e.at = e.list.Find(packed.HeaderBytes, packed.Encode(buf[:0], field), step)
	switch e.there = e.at != 0; {
	case !e.there:
		e.at = e.list.End()
	case step == 3:
		e.until = value.TripleExpiry(e.list, e.list.Skip(e.at, 2))
	}
}

// set gives the field that look searched for a value and an expiry (Unix ms, or keyspace.NoExpire). For an expiry the hash must have become one of
// fields that expire before: triples does that. val may be a view of the field's present value when that is in a large hash.
func (e *editor) set(field, val []byte, expireAt int64) {
	switch {
	case e.form >= large:
		e.setLarge(field, val, expireAt)
		return
	case e.form == inTriples:
		e.setTriple(field, val, expireAt)
		return
	}
	del, more := 0, 2
	var buf [320]byte
	ins := buf[:0]
	if e.there {
		e.at = e.list.Next(e.at)
		del, more = e.list.Next(e.at)-e.at, 0
	} else {
		ins = packed.Entry(ins, field)
	}
	ins = packed.Entry(ins, val)
	if e.form == inPlace {
		e.r, e.list = e.s.SpliceList(e.c.DB, e.k.Hash, e.r, e.at, del, ins, more)
	} else {
		e.list = e.list.Splice(e.at, del, ins, more)
	}
}

// setTriple puts a field where its expiry belongs.
func (e *editor) setTriple(field, val []byte, expireAt int64) {
	var buf [320]byte
	if e.there && e.until == expireAt {
		at := e.list.Next(e.at)
		e.splice(at, e.list.Next(at)-at, packed.Entry(buf[:0], val), 0)
		return
	}
	// The new before the old goes: the hash is never empty.
	to := value.TriplePlace(e.list, expireAt)
	ins := value.AppendTriple(buf[:0], field, val, expireAt)
	e.splice(to, 0, ins, 3)
	if !e.there {
		return
	}
	if to <= e.at {
		e.at += len(ins)
	}
	e.splice(e.at, e.list.Skip(e.at, 3)-e.at, nil, -3)
}

func (e *editor) splice(at, del int, ins []byte, delta int) {
	e.r, e.list = e.s.SpliceTriples(e.c.DB, e.k.Hash, e.r, at, del, ins, delta)
}

// triples makes a small hash that was opened in place one whose fields may expire.
func (e *editor) triples() {
	if e.form != inPlace {
		return
	}
	l := value.Triples(e.c.Scratch(len(e.list) + e.list.Len()*2)[:0], e.list)
	e.r = e.s.SetTriples(e.c.DB, e.k.Hash, e.r, l)
	e.form, e.list = inTriples, e.s.Triples(e.r)
}

func (e *editor) setLarge(field, val []byte, expireAt int64) {
	m := e.mem()
	if e.there {
		value.ReplaceField(m, e.fh, e.elem, val, expireAt)
	} else {
		value.InsertField(m, e.fh, field, val, expireAt)
	}
	if e.form == draft {
		e.s.Relieve(e.c2)
	} else {
		e.s.Relieve(&e.c1)
	}
}

// val returns the value of the field that look found: a view, or printed into buf.
func (e *editor) val(buf *[20]byte) []byte {
	if e.form >= large {
		return coll.ValueOf(e.mem().Space, e.elem)
	}
	return e.list.Text(e.list.Next(e.at), buf)
}

// alive is look for a field that has not expired; one that has is removed on the occasion, and e.there is false.
func (e *editor) alive(field []byte) bool {
	e.look(field)
	if e.there && e.until != keyspace.NoExpire && e.until <= e.c.FieldNow() {
		e.remove()
		e.c.FieldExpired(e.k, field)
		e.there, e.until = false, keyspace.NoExpire
	}
	return e.there
}

// expire gives the field that look found an expiry (Unix ms, or keyspace.NoExpire).
func (e *editor) expire(field []byte, expireAt int64) {
	if e.form == inPlace {
		e.triples()
		e.look(field)
	}
	var buf [20]byte
	e.set(field, e.val(&buf), expireAt)
}

// remove removes the field that look found. If the hash was its only field's it goes with its key, and e.gone says so; close does nothing then.
func (e *editor) remove() {
	if e.form == large {
		m := e.mem()
		value.RemoveField(m, e.fh, e.elem)
		e.gone = m.Root.N == 0 && e.s.Settle(&e.c1)
		return
	}
	step := 2
	if e.form == inTriples {
		step = 3
	}
	next := e.list.Skip(e.at, step)
	if e.at == packed.HeaderBytes && e.list.AtEnd(next) {
		e.s.Delete(e.c.DB, e.k.Hash, e.r)
		e.gone = true
		return
	}
	if e.form == inTriples {
		e.splice(e.at, next-e.at, nil, -3)
	} else {
		e.r, e.list = e.s.SpliceList(e.c.DB, e.k.Hash, e.r, e.at, next-e.at, nil, -2)
	}
}

// close ends what open began.
func (e *editor) close() {
	if e.gone {
		return
	}
	switch e.form {
	case large:
		e.s.Settle(&e.c1)
		return
	case draft:
		e.s.Attach(e.c2, e.k.Hash, 0, e.k.Name, keyspace.NoExpire, e.c.AccessClock())
		return
	case copied:
		if e.r != 0 {
			e.r = e.s.Shrink(e.c.DB, e.k.Hash, e.r, keyspace.ListPack, e.list)
		} else {
			e.r = e.s.Put(e.c.DB, e.k.Hash, 0, e.k.Name, keyspace.Hash, keyspace.ListPack, e.list, keyspace.NoExpire, e.c.AccessClock())
		}
	}
	fields := e.list.Len() / 2
	if e.form == inTriples {
		fields = e.list.Len() / 3
	}
	if int64(fields) > e.c.Store.Limits.HashEntries.Load() {
		value.Expand(e.s, e.c.DB, e.k.Hash, e.r, &e.c.Store.Limits)
	}
}
