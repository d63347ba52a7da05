package zset

import (
	"math"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/keyspace/packed"
	"tidemark/engine/value"
)

// An editor changes the sorted set of a request's key, which may not exist yet:
//
//	e := editor{c: c, k: k, s: k.Shard, r: r}
//	e.open(members, bytes)   // what is to come
//	e.look(member)           // e.there, e.score
//	e.set(member, score)     // where look was
//	e.close()
//
// A small sorted set is edited in place when one member is to come; for several it is copied to the Ctx's scratch memory and stored once.
type editor struct {
	c *command.Ctx
	k *command.Key
	s *keyspace.Shard
	r keyspace.Ref // 0: no such key yet

	form    form
	list    packed.List // small; a copy in the scratch memory when the form is copied
	c1      keyspace.Coll
	c2      *keyspace.Coll // a Draft
	changed bool

	there bool    // what look found
	score float64 // and the member's score
	at    int     // small: the place of the member
	elem  coll.Ref
	hash  uint64 // large: of the member
	pos   coll.Pos
	enc   [80]byte
	ins   [160]byte
}

// form is where an editor's sorted set is.
type form uint8

const (
	inPlace form = iota // a packed list, the value of r
	copied              // a packed list in the scratch memory
	large               // c1 is open
	draft               // c2 will become the key's value
)

// scoreRoom is how many bytes the entry of a score takes at most.
const scoreRoom = 32

// open begins. The members that may come make at most so many bytes with their scores; longest is the length of the first of them.
func (e *editor) open(members, bytes, longest int) {
	lim := &e.c.Store.Limits
	switch {
	case e.r == 0 && (int64(members) > lim.ZSetEntries.Load() || int64(longest) > lim.ZSetValue.Load()):
		e.form, e.c2 = draft, e.s.Draft(e.c.DB, keyspace.ZSet, keyspace.SkipList)
	case e.r == 0:
		e.form, e.list = copied, packed.New(e.c.Scratch(packed.EmptyBytes + bytes)[:0])
	case e.s.Encoding(e.r) == keyspace.SkipList:
		e.edit()
	default:
		e.form, e.list = inPlace, e.s.Value(e.r)
		if int64(members) > lim.ZSetEntries.Load() {
			e.grow()
		} else if members > 1 {
			e.form, e.list = copied, append(e.c.Scratch(len(e.list) + bytes)[:0], e.list...)
		}
	}
}

func (e *editor) edit() {
	e.form, e.c1 = large, e.s.Edit(e.c.DB, e.k.Hash, e.r)
}

// grow makes the sorted set large, whatever its size. What look found is forgotten, but for e.there.
func (e *editor) grow() {
	if e.form == inPlace {
		e.r = value.Expand(e.s, e.c.DB, e.k.Hash, e.r, &e.c.Store.Limits)
		e.edit()
		return
	}
	l := e.list
	e.form, e.c2 = draft, e.s.Draft(e.c.DB, keyspace.ZSet, keyspace.SkipList)
	var buf [20]byte
	for at := packed.HeaderBytes; !l.AtEnd(at); at = l.Skip(at, 2) {
		e.add(l.Text(at, &buf), value.PackedScore(l, l.Next(at)))
	}
}

// coll is the large sorted set.
func (e *editor) coll() *keyspace.Coll {
	if e.form == draft {
		return e.c2
	}
	return &e.c1
}

// look searches for a member.
func (e *editor) look(member []byte) {
	if e.form >= large {
		m := &e.coll().Mem
		e.hash = e.s.Hash(member)
		e.elem = coll.Dict{Mem: m}.Find(e.hash, member)
		if e.there = e.elem != 0; e.there {
			e.score = coll.ScoreOf(m.Space, e.elem)
		}
		return
	}
	e.at = e.list.Find(packed.HeaderBytes, packed.Encode(e.enc[:0], member), 2)
	if e.there = e.at != 0; e.there {
		e.score = value.PackedScore(e.list, e.list.Next(e.at))
	}
}

// set gives the member that look searched for a score.
func (e *editor) set(member []byte, score float64) {
	e.changed = true
	if e.form < large && !e.there {
		lim := &e.c.Store.Limits
		if int64(e.list.Len()/2) >= lim.ZSetEntries.Load() || int64(len(member)) > lim.ZSetValue.Load() {
			e.grow()
		}
	}
	switch {
	case e.form < large:
		if e.there {
			e.splice(e.at, e.list.Skip(e.at, 2)-e.at, nil, -2)
		}
		var num [scoreRoom]byte
		ins := packed.Entry(packed.Entry(e.ins[:0], member), value.AppendScore(num[:0], score))
		_, at := placeBefore(e.list, &coll.Probe{Key: coll.ScoreKey(score), Tie: member})
		e.splice(at, 0, ins, 2)
	case e.there:
		e.move(member, score)
	default:
		e.add(member, score)
	}
}

// splice is List.Splice where the list lies.
func (e *editor) splice(at, del int, ins []byte, delta int) {
	if e.form == inPlace {
		e.r, e.list = e.s.SpliceList(e.c.DB, e.k.Hash, e.r, at, del, ins, delta)
	} else {
		e.list = e.list.Splice(at, del, ins, delta)
	}
}

// add adds a member to a large sorted set.
func (e *editor) add(member []byte, score float64) {
	c := e.coll()
	r := c.NewElem(coll.Scored, member, nil, math.Float64bits(score))
	coll.Dict{Mem: &c.Mem}.Insert(e.s.Hash(member), r)
	e.plant(member, score, r)
	e.s.Relieve(c)
}

func (e *editor) plant(member []byte, score float64, r coll.Ref) {
	t := e.coll().Members()
	p := coll.Probe{Key: coll.ScoreKey(score), Tie: member}
	t.Insert(&p, coll.NewItem(p.Key, r, 1))
}

// move gives the member of a large sorted set that look found another score.
func (e *editor) move(member []byte, score float64) {
	c := e.coll()
	e.uproot(member)
	r := c.NewElem(coll.Scored, member, nil, math.Float64bits(score))
	coll.Dict{Mem: &c.Mem}.Replace(e.hash, e.elem, r)
	e.plant(member, score, r)
}

// uproot takes the member that look found out of the tree.
func (e *editor) uproot(member []byte) {
	t := e.coll().Members()
	t.Seek(&e.pos, &coll.Probe{Key: coll.ScoreKey(e.score), Tie: member})
	t.Delete(&e.pos)
}

// remove removes the member that look found, from a sorted set that is in place or large. gone says that it was the only one, and the
// key went with it; the editor is closed then.
func (e *editor) remove(member []byte) (gone bool) {
	if e.form == large {
		e.uproot(member)
		coll.Dict{Mem: &e.c1.Mem}.Remove(e.hash, e.elem)
		return e.c1.Root.N == 0 && e.s.Settle(&e.c1)
	}
	next := e.list.Skip(e.at, 2)
	if e.at == packed.HeaderBytes && e.list.AtEnd(next) {
		e.s.Delete(e.c.DB, e.k.Hash, e.r)
		return true
	}
	e.splice(e.at, next-e.at, nil, -2)
	return false
}

// close ends what open began. What remove said is gone must not be closed. A sorted set that would be empty is not made.
func (e *editor) close() {
	switch {
	case e.form == large:
		e.s.Settle(&e.c1)
	case e.form == draft && !e.changed:
		e.s.Discard(e.c2)
	case e.form == draft && e.r != 0:
		e.s.Grow(e.c2, e.k.Hash, e.r)
	case e.form == draft:
		e.s.Attach(e.c2, e.k.Hash, 0, e.k.Name, keyspace.NoExpire, e.c.AccessClock())
	case e.form == copied && e.changed && e.r != 0:
		e.s.Shrink(e.c.DB, e.k.Hash, e.r, keyspace.ListPack, e.list)
	case e.form == copied && e.changed:
		e.s.Put(e.c.DB, e.k.Hash, 0, e.k.Name, keyspace.ZSet, keyspace.ListPack, e.list, keyspace.NoExpire, e.c.AccessClock())
	}
}

// removeRanks removes the members from rank lo to hi, hi not included, lo < hi. The key goes with the last of them.
func removeRanks(c *command.Ctx, k *command.Key, r keyspace.Ref, lo, hi int) {
	s := k.Shard
	n := value.Len(s, r)
	if hi-lo == n {
		s.Delete(c.DB, k.Hash, r)
		return
	}
	if s.Encoding(r) == keyspace.ListPack {
		l := packed.List(s.Value(r))
		at, to := l.At(2*lo), l.End()
		if hi < n {
			to = l.At(2 * hi)
		}
		s.SpliceList(c.DB, k.Hash, r, at, to-at, nil, -2*(hi-lo))
		return
	}
	if n-(hi-lo) <= (hi-lo)/keepWhen {
		keepFew(c, k, r, lo, hi)
		return
	}
	co := s.Edit(c.DB, k.Hash, r)
	t, d := co.Members(), co.Dict()
	var pos coll.Pos
	for range hi - lo {
		t.At(&pos, uint64(lo))
		elem := pos.Item().Ref()
		h := s.Hash(coll.KeyOf(co.Space, elem))
		t.Delete(&pos)
		d.Remove(h, elem)
	}
	s.Settle(&co)
}

// keepWhen says from how many times as many members removed as left on a new sorted set is made of those that are left, rather than that each is taken out.
// Both take about a microsecond a member; what a large sorted set was made of is given back as a whole.
const keepWhen = 2

// keepFew removes the members from rank lo to hi out of a large sorted set, and makes a new one of the others.
func keepFew(c *command.Ctx, k *command.Key, r keyspace.Ref, lo, hi int) {
	s := k.Shard
	b := value.NewBuilder(s, c.DB, keyspace.ZSet, &c.Store.Limits)
	b.Begin(keyspace.SkipList) // it stays that, however few are left
	m := s.Open(r)
	t := coll.Tree{Mem: &m, Tie: coll.TieKey}
	var pos coll.Pos
	for t.First(&pos); pos.Valid() && lo > 0; lo-- {
		e := pos.Item().Ref()
		b.AddNewScored(coll.KeyOf(m.Space, e), coll.ScoreOf(m.Space, e))
		t.Next(&pos)
	}
	for t.At(&pos, uint64(hi)); pos.Valid(); t.Next(&pos) {
		e := pos.Item().Ref()
		b.AddNewScored(coll.KeyOf(m.Space, e), coll.ScoreOf(m.Space, e))
	}
	b.Put(k.Hash, r, k.Name, s.ExpireAt(r), s.Access(r))
}
