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
//	e.set(field, value)   // where look was
//	e.close()
//
// A small hash is edited in place when one field is to come, which is a search and a move of what lies behind it; for
// several it is copied to the Ctx's scratch memory and stored once.
type editor struct {
	c *command.Ctx
	k *command.Key
	s *keyspace.Shard
	r keyspace.Ref // 0: no such key yet

	form form
	list packed.List // small; a copy in the scratch memory when the form is copied
	c1   keyspace.Coll
	c2   *keyspace.Coll // a Draft

	there bool     // what look found
	at    int      // small: the place of the field, or of the end
	elem  coll.Ref // large
	fh    uint64   // large: hash of the field
}

// form is where an editor's hash is.
type form uint8

const (
	inPlace form = iota // a packed list, the value of r
	copied              // a packed list in the scratch memory
	large               // c1 is open
	draft               // c2 will become the key's value
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
	if e.form >= large {
		m := e.mem()
		e.fh = e.s.Hash(field)
		e.elem = coll.Dict{Mem: m}.Find(e.fh, field)
		e.there = e.elem != 0
		return
	}
	var buf [160]byte
	e.at = e.list.Find(packed.HeaderBytes, packed.Encode(buf[:0], field), 2)
	if e.there = e.at != 0; !e.there {
		e.at = e.list.End()
	}
}

// set gives the field that look searched for a value.
func (e *editor) set(field, val []byte) {
	if e.form >= large {
		e.setLarge(field, val)
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

func (e *editor) setLarge(field, val []byte) {
	m := e.mem()
	d := coll.Dict{Mem: m}
	if !e.there {
		d.Insert(e.fh, m.NewElem(coll.Field, field, val, 0))
	} else if old := coll.ValueOf(m.Space, e.elem); len(val) == len(old) && d.EditableElem(e.fh, e.elem) {
		copy(old, val)
	} else {
		d.Replace(e.fh, e.elem, m.NewElem(coll.Field, field, val, 0))
	}
	if e.form == draft {
		e.s.Relieve(e.c2)
	} else {
		e.s.Relieve(&e.c1)
	}
}

// remove removes the field that look found. gone says that the hash was its only field's, and went with its key; the editor is closed then.
func (e *editor) remove() (gone bool) {
	if e.form == large {
		m := e.mem()
		coll.Dict{Mem: m}.Remove(e.fh, e.elem)
		return m.Root.N == 0 && e.s.Settle(&e.c1)
	}
	next := e.list.Skip(e.at, 2)
	if e.at == packed.HeaderBytes && e.list.AtEnd(next) {
		e.s.Delete(e.c.DB, e.k.Hash, e.r)
		return true
	}
	e.r, e.list = e.s.SpliceList(e.c.DB, e.k.Hash, e.r, e.at, next-e.at, nil, -2)
	return false
}

// close ends what open began. What remove said is gone must not be closed.
func (e *editor) close() {
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
	if int64(e.list.Len()/2) > e.c.Store.Limits.HashEntries.Load() {
		value.Expand(e.s, e.c.DB, e.k.Hash, e.r, &e.c.Store.Limits)
	}
}
