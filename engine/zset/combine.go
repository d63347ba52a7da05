package zset

import (
	"bytes"
	"cmp"
	"math"
	"math/bits"
	"slices"
	"strconv"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/keyspace/intset"
	"tidemark/engine/keyspace/packed"
	"tidemark/engine/value"
)

// ZUNION, ZINTER, ZDIFF and their kin. The members of the result are gathered in a tally, which only ZUNION needs to search: an intersection or a
// difference has each member once because one of its sources has. Then they are sorted by score and member, and replied or stored.
//
// Sources may be sets, whose members have the score 1. As floating-point sums depend on their order, scores are added up in Redis's order: from
// the smallest source to the largest.

type combination uint8

const (
	union combination = iota
	intersection
	difference
)

// aggregate is what becomes of two scores of one member.
type aggregate uint8

const (
	sum aggregate = iota
	lowest
	highest
)

func (a aggregate) of(x, y float64) float64 {
	switch {
	case a == sum:
		return orZero(x + y)
	case a == lowest && y < x, a == highest && y > x:
		return y
	}
	return x
}

// orZero is what a score becomes that is no number: inf - inf, or inf * 0.
func orZero(f float64) float64 {
	if math.IsNaN(f) {
		return 0
	}
	return f
}

// source is a collection that is combined with others. It is good until its shard changes.
type source struct {
	s      *keyspace.Shard
	r      keyspace.Ref
	n      int // members
	weight float64
	enc    keyspace.Encoding
	step   int // entries of a packed list that belong to a member; 1: it is a set
	packed packed.List
	ints   intset.Set
	mem    coll.Mem // when it is large
	reader reader   // of each, and room for what it prints
	index  []uint32 // of a packed list that is searched often: places by the members' hashes, 0: none; a power of two
}

func (z *source) open(s *keyspace.Shard, r keyspace.Ref) {
	z.s, z.r, z.n, z.enc, z.step = s, r, value.Len(s, r), s.Encoding(r), 2
	if s.Type(r) == keyspace.Set {
		z.step = 1
	}
	switch z.enc {
	case keyspace.ListPack:
		z.packed = s.Value(r)
	case keyspace.IntSet:
		z.ints = intset.Set(s.Value(r))
	default:
		z.mem = s.Open(r)
	}
}

// find searches for a member, of which enc is the form it has in packed lists.
func (z *source) find(m, enc []byte, hash uint64) (score float64, ok bool) {
	switch z.enc {
	case keyspace.ListPack:
		at := z.place(enc, hash)
		switch {
		case at == 0:
			return 0, false
		case z.step == 1:
			return 1, true
		}
		return value.PackedScore(z.packed, z.packed.Next(at)), true
	case keyspace.IntSet:
		n, ok := value.ParseInt(m)
		if ok {
			_, ok = z.ints.Find(n)
		}
		return 1, ok
	}
	e := coll.Dict{Mem: &z.mem}.Find(hash, m)
	switch {
	case e == 0:
		return 0, false
	case z.step == 1:
		return 1, true
	}
	return coll.ScoreOf(z.mem.Space, e), true
}

// place searches for a member in a packed list.
func (z *source) place(enc []byte, hash uint64) (at int) {
	if z.index == nil {
		return z.packed.Find(packed.HeaderBytes, enc, z.step)
	}
	mask := uint64(len(z.index) - 1)
	for slot := hash >> 20 & mask; z.index[slot] != 0; slot = (slot + 1) & mask {
		if at = int(z.index[slot]); z.packed.Is(at, enc) {
			return at
		}
	}
	return 0
}

// makeIndex makes the index in room of at least indexRoom.
func (z *source) makeIndex(room []uint32) {
	clear(room)
	mask := uint64(len(room) - 1)
	var buf [20]byte
	for at := packed.HeaderBytes; !z.packed.AtEnd(at); at = z.packed.Skip(at, z.step) {
		slot := z.s.Hash(z.packed.Text(at, &buf)) >> 20 & mask
		for room[slot] != 0 {
			slot = (slot + 1) & mask
		}
		room[slot] = uint32(at)
	}
	z.index = room
}

// indexRoom is the size of an index, 0 when searching without one costs less; it will be searched so many times.
func (z *source) indexRoom(searches int) int {
	if z.enc != keyspace.ListPack || z.n < 8 || searches < 8 {
		return 0
	}
	return 2 << bits.Len(uint(z.n))
}

// each calls f with every member, a view that is good until f returns, until it says false. f is not kept.
func (z *source) each(f func(m []byte, score float64) bool) {
	switch {
	case z.n == 0:
	case z.step == 2:
		rd := &z.reader
		rd.open(z.s, z.r)
		rd.goTo(0)
		for i := 0; f(rd.member(), rd.score()); {
			if i++; i == z.n {
				return
			}
			rd.step(false)
		}
	case z.enc == keyspace.ListPack:
		for at := packed.HeaderBytes; !z.packed.AtEnd(at) && f(z.packed.Text(at, &z.reader.buf), 1); at = z.packed.Next(at) {
		}
	case z.enc == keyspace.IntSet:
		for i := 0; i < z.n && f(strconv.AppendInt(z.reader.buf[:0], z.ints.At(i), 10), 1); i++ {
		}
	default:
		var refs []coll.Ref
		visit := func(r coll.Ref) { refs = append(refs, r) }
		for cursor, first := uint64(0), true; first || cursor != 0; first = false {
			refs = refs[:0]
			cursor = coll.Dict{Mem: &z.mem}.Scan(cursor, visit)
			for _, r := range refs {
				if !f(coll.KeyOf(z.mem.Space, r), 1) {
					return
				}
			}
		}
	}
}

// A tally gathers members and their scores.
type tally struct {
	sources []source
	items   []item
	text    []byte   // the members
	table   []uint32 // of a union's items by hash, 1 more than the index, a power of two; otherwise the indexes of the sources
	enc     []byte
}

type item struct {
	hash     uint64
	score    float64
	from, to int // of the member in text
}

// tallies keeps a few that are not in use, unless they have grown large.
var tallies = make(chan *tally, 4)

const keptItems = 4096

func newTally() *tally {
	select {
	case t := <-tallies:
		return t
	default:
		return new(tally)
	}
}

func (t *tally) release() {
	if cap(t.items) > keptItems || cap(t.text) > 64*keptItems || cap(t.sources) > 64 {
		return
	}
	clear(t.sources)
	t.sources, t.items, t.text, t.table = t.sources[:0], t.items[:0], t.text[:0], t.table[:0]
	select {
	case tallies <- t:
	default:
	}
}

func (t *tally) member(i *item) []byte { return t.text[i.from:i.to] }

// add adds a member that is not there yet.
func (t *tally) add(m []byte, score float64) {
	t.text = append(t.text, m...)
	t.items = append(t.items, item{score: score, from: len(t.text) - len(m), to: len(t.text)})
}

// merge adds a member, or aggregates its score with what it has.
func (t *tally) merge(m []byte, hash uint64, score float64, a aggregate) {
	if 2*len(t.items) >= len(t.table) {
		t.grow()
	}
	mask := uint64(len(t.table) - 1)
	slot := hash >> 20 & mask
	for ; t.table[slot] != 0; slot = (slot + 1) & mask {
		if i := &t.items[t.table[slot]-1]; i.hash == hash && string(t.member(i)) == string(m) {
			i.score = a.of(i.score, score)
			return
		}
	}
	t.add(m, score)
	t.items[len(t.items)-1].hash = hash
	t.table[slot] = uint32(len(t.items))
}

// grow doubles the table.
func (t *tally) grow() {
	n := max(2*len(t.table), 64)
	t.table = slices.Grow(t.table[:0], n)[:n]
	clear(t.table)
	mask := uint64(n - 1)
	for i := range t.items {
		slot := t.items[i].hash >> 20 & mask
		for t.table[slot] != 0 {
			slot = (slot + 1) & mask
		}
		t.table[slot] = uint32(i + 1)
	}
}

func (t *tally) union(a aggregate) {
	for i := range t.sources {
		z := &t.sources[i]
		z.each(func(m []byte, score float64) bool {
			t.merge(m, z.s.Hash(m), orZero(score*z.weight), a)
			return true
		})
	}
}

// intersect gathers the members that all sources have, up to limit of them when it is not 0.
func (t *tally) intersect(a aggregate, limit int64) {
	if len(t.sources) == 0 || t.sources[0].n == 0 {
		return
	}
	first, rest := &t.sources[0], t.sources[1:]
	hashed, packs := t.needs(rest, first.n)
	first.each(func(m []byte, score float64) bool {
		score = orZero(score * first.weight)
		hash := t.prepare(first.s, m, hashed, packs)
		for i := range rest {
			x, ok := rest[i].find(m, t.enc, hash)
			if !ok {
				return true
			}
			score = a.of(score, x*rest[i].weight)
		}
		t.add(m, score)
		return limit == 0 || int64(len(t.items)) < limit
	})
}

// subtract gathers the members of the first source that no other has.
func (t *tally) subtract() {
	first, rest := &t.sources[0], t.sources[1:]
	if first.n == 0 {
		return
	}
	hashed, packs := t.needs(rest, first.n)
	first.each(func(m []byte, score float64) bool {
		hash := t.prepare(first.s, m, hashed, packs)
		for i := range rest {
			if rest[i].n == 0 {
				continue
			}
			if _, ok := rest[i].find(m, t.enc, hash); ok {
				return true
			}
		}
		t.add(m, score)
		return true
	})
}

// needs makes the indexes for a number of searches in each source, and tells in what forms find wants a member: its hash, its packed form.
func (t *tally) needs(list []source, searches int) (hashed, packs bool) {
	room := 0
	for i := range list {
		room += list[i].indexRoom(searches)
	}
	t.table = slices.Grow(t.table[:0], room)[:room]
	for i, from := 0, 0; i < len(list); i++ {
		z := &list[i]
		n := z.indexRoom(searches)
		switch {
		case z.n == 0:
			continue
		case n > 0:
			z.makeIndex(t.table[from : from+n])
			from += n
		}
		packs = packs || z.enc == keyspace.ListPack
		hashed = hashed || n > 0 || z.enc == keyspace.HashTable || z.enc == keyspace.SkipList
	}
	return hashed, packs
}

func (t *tally) prepare(s *keyspace.Shard, m []byte, hashed, packs bool) (hash uint64) {
	if hashed {
		hash = s.Hash(m)
	}
	if packs {
		t.enc = packed.Encode(t.enc[:0], m)
	}
	return hash
}

// sort puts the items in the order of a sorted set.
func (t *tally) sort() {
	slices.SortFunc(t.items, func(a, b item) int {
		if a.score != b.score {
			return cmp.Compare(a.score, b.score)
		}
		return bytes.Compare(t.member(&a), t.member(&b))
	})
}

// combineRequest is what a command of this kind asks for.
type combineRequest struct {
	how    combination
	at     int  // the index of the argument that counts the keys
	card   bool // how many there are is wanted, no members
	agg    aggregate
	scores bool
	limit  int64
}

// find opens the sources in t; their weights are 1. If one of them is of another type, the error has been replied.
func (q *combineRequest) find(c *command.Ctx, t *tally, keys []command.Key) (ok bool) {
	for i := range keys {
		k := &keys[i]
		r := c.Find(k)
		if r != 0 {
			if typ := k.Shard.Type(r); typ != keyspace.ZSet && typ != keyspace.Set {
				c.W.Error(command.ErrWrongType)
				return false
			}
		}
		t.sources = append(t.sources, source{r: r, weight: 1})
	}
	// One that has expired may have been removed, and the others have moved.
	for i := range t.sources {
		if z := &t.sources[i]; z.r != 0 {
			k := &keys[i]
			z.open(k.Shard, k.Shard.Find(c.DB, k.Hash, k.Name))
		}
	}
	return true
}

// keys finds the sources among the request's keys. If the number of keys is wrong, the error has been replied.
func (q *combineRequest) keys(c *command.Ctx) (keys []command.Key, ok bool) {
	n, ok := c.Int(q.at)
	switch {
	case !ok:
		return nil, false
	case n < 1:
		c.W.Error("ERR at least 1 input key is needed for '" + c.Cmd.FullName() + "' command")
		return nil, false
	case n > int64(len(c.Args)-q.at-1):
		c.W.Error(command.ErrSyntax)
		return nil, false
	}
	return c.Keys[len(c.Keys)-int(n):], true
}

// options reads what follows the keys. If it is wrong, the error has been replied.
func (q *combineRequest) options(c *command.Ctx, t *tally) (ok bool) {
	store := q.at > 1
	for i := q.at + 1 + len(t.sources); i < len(c.Args); i++ {
		a, left := c.Args[i], len(c.Args)-i-1
		switch {
		case q.how != difference && !q.card && left >= len(t.sources) && command.Is(a, "weights"):
			for j := range t.sources {
				i++
				w, inexact, ok := parseDouble(c.Args[i])
				if t.sources[j].weight = w; !ok || inexact {
					c.W.Error("ERR weight value is not a float")
					return false
				}
			}
		case q.how != difference && !q.card && left >= 1 && command.Is(a, "aggregate"):
			i++
			switch a := c.Args[i]; {
			case command.Is(a, "sum"):
				q.agg = sum
			case command.Is(a, "min"):
				q.agg = lowest
			case command.Is(a, "max"):
				q.agg = highest
			default:
				c.W.Error(command.ErrSyntax)
				return false
			}
		case !store && !q.card && command.Is(a, "withscores"):
			q.scores = true
		case q.card && left >= 1 && command.Is(a, "limit"):
			i++
			if q.limit, ok = command.ParseInt(c.Args[i]); !ok || q.limit < 0 {
				c.W.Error("ERR LIMIT can't be negative")
				return false
			}
		default:
			c.W.Error(command.ErrSyntax)
			return false
		}
	}
	return true
}

// gather does all but what the command does with the result. If ok is false, the error has been replied.
func (q *combineRequest) gather(c *command.Ctx, t *tally) (ok bool) {
	keys, ok := q.keys(c)
	if !ok || !q.find(c, t, keys) || !q.options(c, t) {
		return false
	}
	if q.how != difference {
		slices.SortStableFunc(t.sources, func(a, b source) int { return cmp.Compare(a.n, b.n) })
	}
	switch q.how {
	case union:
		t.union(q.agg)
	case intersection:
		t.intersect(q.agg, q.limit)
	case difference:
		t.subtract()
	}
	return true
}

// combine is ZUNION, ZINTER and ZDIFF.
func combine(c *command.Ctx, how combination) {
	t := newTally()
	defer t.release()
	q := combineRequest{how: how, at: 1}
	if !q.gather(c, t) {
		return
	}
	t.sort()
	if q.scores && !c.W.RESP3 {
		c.W.Array(2 * len(t.items))
	} else {
		c.W.Array(len(t.items))
	}
	for i := range t.items {
		if q.scores && c.W.RESP3 {
			c.W.Array(2)
		}
		c.W.Bulk(t.member(&t.items[i]))
		if q.scores {
			c.W.Double(t.items[i].score)
		}
	}
}

// combineStore is ZUNIONSTORE, ZINTERSTORE and ZDIFFSTORE.
func combineStore(c *command.Ctx, how combination) {
	c.Peek(&c.Keys[0]) // as in zrangestore
	t := newTally()
	defer t.release()
	q := combineRequest{how: how, at: 2}
	if !q.gather(c, t) {
		return
	}
	t.sort()
	b := value.NewBuilder(c.Keys[0].Shard, c.DB, keyspace.ZSet, &c.Store.Limits)
	for i := range t.items {
		b.AddNewScored(t.member(&t.items[i]), t.items[i].score)
	}
	store(c, b)
}

func zintercard(c *command.Ctx) {
	t := newTally()
	defer t.release()
	q := combineRequest{how: intersection, at: 1, card: true}
	if q.gather(c, t) {
		c.W.Int(int64(len(t.items)))
	}
}

func combineCommand(name, since, verb string, how combination, complexity string) *command.Descriptor {
	d := &command.Descriptor{
		Name: name, Arity: -3, Flags: command.ReadOnly | command.MovableKeys, Categories: command.CatSortedSet,
		Keys:    []command.KeySpec{{Flags: read, Begin: 1, KeyNum: true, FirstKey: 1, Step: 1}},
		Handler: func(c *command.Ctx) { combine(c, how) },
		Group:   "sorted-set", Since: since, Summary: "Returns the " + verb + " of several sorted sets", Complexity: complexity,
		Args: []command.Arg{arg("numkeys", "integer"), {Name: "key", Type: "key", Flags: command.Multiple}},
	}
	if how != difference {
		d.Args = append(d.Args, command.Arg{Name: "weight", Type: "integer", Token: "WEIGHTS", Flags: command.Optional | command.Multiple},
			command.Arg{Name: "aggregate", Type: "oneof", Token: "AGGREGATE", Flags: command.Optional, Args: []command.Arg{
				{Name: "sum", Type: "pure-token", Token: "SUM"}, {Name: "min", Type: "pure-token", Token: "MIN"}, {Name: "max", Type: "pure-token", Token: "MAX"}}})
	}
	d.Args = append(d.Args, withScoresArg)
	return d
}

const (
	unionCost      = "O(N)+O(M*log(M)) where N is the number of members of all sources and M that of the result"
	interCost      = "O(N*K)+O(M*log(M)) where N is the number of members of the smallest source, K the number of sources and M the number of members of the result"
	differenceCost = "O(N*K)+O(M*log(M)) where N is the number of members of the first source, K the number of sources and M the number of members of the result"
)

func zunionCommand() *command.Descriptor {
	return combineCommand("zunion", "6.2.0", "union", union, unionCost)
}

func zinterCommand() *command.Descriptor {
	return combineCommand("zinter", "6.2.0", "intersection", intersection, interCost)
}

func zdiffCommand() *command.Descriptor {
	return combineCommand("zdiff", "6.2.0", "difference", difference, differenceCost)
}

// storing makes the command that stores the result of another.
func storing(d *command.Descriptor, name, since string, how combination) *command.Descriptor {
	d.Name, d.Since, d.Arity, d.Flags = name, since, -4, command.Write|command.DenyOOM|command.MovableKeys
	d.Keys[0].Begin = 2
	d.Keys = append([]command.KeySpec{{Flags: command.KeyOW | command.KeyUpdate, Begin: 1, Step: 1}}, d.Keys...)
	d.Log, d.Handler = command.LogRequest, func(c *command.Ctx) { combineStore(c, how) }
	d.Summary = "Stores" + d.Summary[len("Returns"):]
	d.Args[1].KeySpec = 1
	d.Args = append([]command.Arg{{Name: "destination", Type: "key"}}, d.Args[:len(d.Args)-1]...)
	return d
}

func zunionstoreCommand() *command.Descriptor {
	return storing(zunionCommand(), "zunionstore", "2.0.0", union)
}

func zinterstoreCommand() *command.Descriptor {
	return storing(zinterCommand(), "zinterstore", "2.0.0", intersection)
}

func zdiffstoreCommand() *command.Descriptor {
	return storing(zdiffCommand(), "zdiffstore", "6.2.0", difference)
}

func zintercardCommand() *command.Descriptor {
	d := zinterCommand()
	d.Name, d.Since, d.Handler = "zintercard", "7.0.0", zintercard
	d.Summary = "Counts the members of the intersection of several sorted sets"
	d.Complexity = "O(N*K) where N is the number of members of the smallest source and K the number of sources"
	d.Args = append(d.Args[:2], command.Arg{Name: "limit", Type: "integer", Token: "LIMIT", Flags: command.Optional})
	return d
}
