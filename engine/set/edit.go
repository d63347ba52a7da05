package set

import (
	"strconv"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/keyspace/intset"
	"tidemark/engine/keyspace/packed"
)

// An editor changes the set of a key, which may not exist yet:
//
//	e := editor{c: c, k: k, s: k.Shard, r: r}
//	e.open(members)       // what is to be added
//	added := e.add(m)
//	e.close()
//
// A small set is edited in place when one member is to come; for several it is copied to the Ctx's scratch memory and stored once.
type editor struct {
	c *command.Ctx
	k *command.Key
	s *keyspace.Shard
	r keyspace.Ref // 0: no such key yet

	form   form
	copied bool       // ints or list is in the scratch memory
	stale  bool       // and has changed
	ints   intset.Set // of integers
	list   packed.List
	c1     keyspace.Coll
	c2     *keyspace.Coll // a Draft
	taken  int            // bytes of the scratch memory that ints has
	bytes  int            // what the members to come make as entries of a packed list, but for those that are too long for one
}

// form is what a set is made of.
type form uint8

const (
	integers form = iota
	listed
	large
	draft // of an editor: what will be large when it is closed
)

const (
	// maxPacked bounds the bytes of a packed list, however large set-max-listpack-value is; maxIntegers the members of a set of integers.
	maxPacked   = 1 << 30
	maxIntegers = 1 << 30

	// intEntryBytes is the most that an integer takes in a packed list.
	intEntryBytes = 10
)

func (e *editor) maxIntegers() int64 { return min(e.c.Store.Limits.SetIntset.Load(), maxIntegers) }

// fits reports whether a packed list of n members, of so many bytes, may have m added.
func (e *editor) fits(n, bytes int, m []byte) bool {
	lim := &e.c.Store.Limits
	return int64(n) < lim.SetEntries.Load() && int64(len(m)) <= lim.SetValue.Load() && bytes+len(m) <= maxPacked
}

// open begins. As in Redis, a command that brings more members than a small set may have makes a large one at once, though it may bring the same
// member several times.
func (e *editor) open(members [][]byte) {
	n, lim := int64(len(members)), &e.c.Store.Limits
	if e.r == 0 {
		_, isInt := packed.ParseInt(members[0])
		switch {
		case isInt && n <= e.maxIntegers():
			e.copyInts(nil, members)
		case n <= lim.SetEntries.Load():
			e.measure(members)
			e.form, e.copied, e.list = listed, true, packed.New(e.c.Scratch(packed.EmptyBytes + e.bytes)[:0])
		default:
			e.form, e.c2 = draft, e.s.Draft(e.c.DB, keyspace.Set, keyspace.HashTable)
		}
		return
	}
	switch e.s.Encoding(e.r) {
	case keyspace.IntSet:
		if e.form, e.ints = integers, e.s.Value(e.r); n > e.maxIntegers() {
			e.grow()
		} else if n > 1 {
			e.copyInts(e.ints, members)
		} else {
			e.measure(members)
		}
	case keyspace.ListPack:
		if e.form, e.list = listed, e.s.Value(e.r); n > lim.SetEntries.Load() {
			e.grow()
		} else if n > 1 {
			e.measure(members)
			e.copied, e.list = true, append(e.c.Scratch(len(e.list) + e.bytes)[:0], e.list...)
		}
	default:
		e.edit()
	}
}

// openToRemove is open for what only takes members out.
func (e *editor) openToRemove() {
	switch e.s.Encoding(e.r) {
	case keyspace.IntSet:
		e.form, e.ints = integers, e.s.Value(e.r)
	case keyspace.ListPack:
		e.form, e.list = listed, e.s.Value(e.r)
	default:
		e.edit()
	}
}

func (e *editor) edit() {
	e.form, e.c1 = large, e.s.Edit(e.c.DB, e.k.Hash, e.r)
}

// measure sets bytes.
func (e *editor) measure(members [][]byte) {
	most := e.c.Store.Limits.SetValue.Load()
	for _, m := range members {
		if int64(len(m)) <= most {
			e.bytes += packed.EntryBytes(m)
		}
	}
}

// copyInts copies a set of integers, nil for a new one, to the scratch memory, wide enough for all members to come.
func (e *editor) copyInts(old intset.Set, members [][]byte) {
	e.measure(members)
	width, n := 2, 0
	if old != nil {
		width, n = old.Width(), old.Len()
	}
	for _, m := range members {
		if v, ok := packed.ParseInt(m); ok {
			width = max(width, intset.WidthOf(v))
		}
	}
	e.taken = intset.HeaderBytes + (n+len(members))*width
	e.form, e.copied = integers, true
	e.ints = intset.NewWide(e.c.Scratch(e.taken)[:0:e.taken], width)
	for i := range n {
		e.ints = e.ints.Entry(e.ints, old.At(i))
	}
	e.ints.SetLen(n)
}

// add adds a member; false: it is there already.
func (e *editor) add(m []byte) bool {
	switch e.form {
	case integers:
		if v, ok := packed.ParseInt(m); ok {
			return e.addInt(v, m)
		}
		if !e.pack(m) {
			e.grow()
			return e.addLarge(m)
		}
		e.append(m)
		return true
	case listed:
		var buf [160]byte
		if len(m) < len(e.list) && e.list.Find(packed.HeaderBytes, packed.Encode(buf[:0], m), 1) != 0 {
			return false
		}
		if !e.fits(e.list.Len(), len(e.list), m) {
			e.grow()
			return e.addLarge(m)
		}
		e.append(m)
		return true
	}
	return e.addLarge(m)
}

func (e *editor) addInt(v int64, m []byte) bool {
	i, there := e.ints.Find(v)
	if there {
		return false
	}
	n := e.ints.Len()
	if int64(n) >= e.maxIntegers() {
		e.grow()
		return e.addLarge(m)
	}
	e.stale = true
	switch {
	case e.copied:
		e.ints, _ = e.ints.Add(v)
	case intset.WidthOf(v) > e.ints.Width():
		wide := e.ints.Widen(e.c.Scratch(intset.HeaderBytes + 8*(n+1))[:0], v)
		e.r = e.s.Shrink(e.c.DB, e.k.Hash, e.r, keyspace.IntSet, wide)
		e.ints = e.s.Value(e.r)
	default:
		var buf [8]byte
		e.r, e.ints = e.splice(intset.HeaderBytes+i*e.ints.Width(), 0, e.ints.Entry(buf[:0], v))
		e.ints.SetLen(n + 1)
	}
	return true
}

func (e *editor) splice(at, del int, ins []byte) (keyspace.Ref, intset.Set) {
	r, v := e.s.Splice(e.c.DB, e.k.Hash, e.r, at, del, ins)
	return r, intset.Set(v)
}

// pack makes a packed list of a set of integers, if m may be added to it then.
func (e *editor) pack(m []byte) bool {
	n := e.ints.Len()
	if !e.fits(n, n*intEntryBytes, m) {
		return false
	}
	var buf [20]byte
	if most := e.c.Store.Limits.SetValue.Load(); n > 0 && most < int64(len(buf)) {
		// The longest is at one end or the other.
		if int64(len(strconv.AppendInt(buf[:0], e.ints.At(0), 10))) > most || int64(len(strconv.AppendInt(buf[:0], e.ints.At(n-1), 10))) > most {
			return false
		}
	}
	room := packed.EmptyBytes + n*intEntryBytes + e.bytes
	e.list = packed.New(e.c.Scratch(e.taken + room)[e.taken:e.taken])
	for i := range n {
		e.list = e.list.AppendInt(e.ints.At(i))
	}
	e.form, e.copied, e.stale = listed, true, true
	return true
}

// append adds a member that is not there to a packed list.
func (e *editor) append(m []byte) {
	if e.copied {
		e.list, e.stale = e.list.Append(m), true
		return
	}
	var buf [160]byte
	e.r, e.list = e.s.SpliceList(e.c.DB, e.k.Hash, e.r, e.list.End(), 0, packed.Entry(buf[:0], m), 1)
}

// grow makes a draft of a small set.
func (e *editor) grow() {
	e.c2 = e.s.Draft(e.c.DB, keyspace.Set, keyspace.HashTable)
	var buf [20]byte
	if e.form == integers {
		for i := range e.ints.Len() {
			e.insert(e.c2, strconv.AppendInt(buf[:0], e.ints.At(i), 10))
		}
	} else {
		for at := packed.HeaderBytes; !e.list.AtEnd(at); at = e.list.Next(at) {
			e.insert(e.c2, e.list.Text(at, &buf))
		}
	}
	e.form = draft
}

// insert adds a member that is not there to a large set.
func (e *editor) insert(l *keyspace.Coll, m []byte) {
	l.Dict().Insert(e.s.Hash(m), l.NewElem(coll.Member, m, nil, 0))
	e.s.Relieve(l)
}

func (e *editor) addLarge(m []byte) bool {
	l := &e.c1
	if e.form == draft {
		l = e.c2
	}
	d, h := l.Dict(), e.s.Hash(m)
	if d.Find(h, m) != 0 {
		return false
	}
	d.Insert(h, l.NewElem(coll.Member, m, nil, 0))
	e.s.Relieve(l)
	return true
}

// remove takes a member out. gone says that it was the only one, and that the set went with its key; the editor is closed then.
func (e *editor) remove(m []byte) (there, gone bool) {
	switch e.form {
	case integers:
		v, ok := packed.ParseInt(m)
		if !ok {
			return false, false
		}
		i, found := e.ints.Find(v)
		if !found {
			return false, false
		}
		return true, e.removeInt(i)
	case listed:
		var buf [160]byte
		if e.list.TooLong(m) {
			return false, false
		}
		at := e.list.Find(packed.HeaderBytes, packed.Encode(buf[:0], m), 1)
		if at == 0 {
			return false, false
		}
		return true, e.removeEntry(at)
	}
	h := e.s.Hash(m)
	r := e.c1.Dict().Find(h, m)
	if r == 0 {
		return false, false
	}
	return true, e.removeElem(h, r)
}

// removeInt takes out member i of a set of integers.
func (e *editor) removeInt(i int) (gone bool) {
	n, w := e.ints.Len(), e.ints.Width()
	if n == 1 {
		e.s.Delete(e.c.DB, e.k.Hash, e.r)
		return true
	}
	e.r, e.ints = e.splice(intset.HeaderBytes+i*w, w, nil)
	e.ints.SetLen(n - 1)
	return false
}

// removeEntry takes out the member at a place of a packed list.
func (e *editor) removeEntry(at int) (gone bool) {
	next := e.list.Next(at)
	if at == packed.HeaderBytes && e.list.AtEnd(next) {
		e.s.Delete(e.c.DB, e.k.Hash, e.r)
		return true
	}
	e.r, e.list = e.s.SpliceList(e.c.DB, e.k.Hash, e.r, at, next-at, nil, -1)
	return false
}

// removeElem takes out an element, whose key has hash h, of a large set.
func (e *editor) removeElem(h uint64, r coll.Ref) (gone bool) {
	e.c1.Dict().Remove(h, r)
	return e.c1.Root.N == 0 && e.s.Settle(&e.c1)
}

// close ends what open or openToRemove began. What remove said is gone must not be closed.
func (e *editor) close() {
	switch {
	case e.form == large:
		e.s.Settle(&e.c1)
	case e.form == draft && e.r != 0:
		e.s.Grow(e.c2, e.k.Hash, e.r)
	case e.form == draft:
		e.s.Attach(e.c2, e.k.Hash, 0, e.k.Name, keyspace.NoExpire, e.c.AccessClock())
	case e.copied && e.stale:
		enc, val := keyspace.ListPack, []byte(e.list)
		if e.form == integers {
			enc, val = keyspace.IntSet, e.ints
		}
		if e.r != 0 {
			e.s.Shrink(e.c.DB, e.k.Hash, e.r, enc, val)
		} else {
			e.s.Put(e.c.DB, e.k.Hash, 0, e.k.Name, keyspace.Set, enc, val, keyspace.NoExpire, e.c.AccessClock())
		}
	}
}
