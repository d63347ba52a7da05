package set

import (
	"cmp"
	"slices"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/value"
)

// What SINTER, SUNION and SDIFF have in common: operands reads the sets, result takes the members, to be replied, stored, or only counted.
// None of them keeps members but the result itself, with one exception in difference: the sets stay where they are, and are asked.

const (
	interCost = "O(N*M) worst case where N is the number of members of the smallest set and M the number of sets"
	unionCost = "O(N) where N is the number of members of all the sets"
)

func algebra(name, summary, cost string, handler func(*command.Ctx)) *command.Descriptor {
	d := describe(name, "1.0.0", -2, command.ReadOnly, read, handler, summary, cost)
	d.Args = []command.Arg{keysArg}
	d.Keys = []command.KeySpec{{Flags: read, Begin: 1, Last: -1, Step: 1}}
	d.Tips = []string{"nondeterministic_output_order"}
	return d
}

func algebraStore(name, summary, cost string, handler func(*command.Ctx)) *command.Descriptor {
	from := keysArg
	from.KeySpec = 1
	d := describe(name, "1.0.0", -3, command.Write|command.DenyOOM, 0, handler, summary, cost)
	d.Args = []command.Arg{{Name: "destination", Type: "key"}, from}
	d.Keys = []command.KeySpec{{Flags: command.KeyOW | command.KeyUpdate, Begin: 1, Step: 1}, {Flags: read, Begin: 2, Last: -1, Step: 1}}
	return d
}

func sinterCommand() *command.Descriptor {
	return algebra("sinter", "Returns the members that all of several sets have", interCost, func(c *command.Ctx) { reply(c, intersection) })
}

func sinterstoreCommand() *command.Descriptor {
	return algebraStore("sinterstore", "Stores the members that all of several sets have as another set", interCost,
		func(c *command.Ctx) { store(c, intersection) })
}

func sunionCommand() *command.Descriptor {
	return algebra("sunion", "Returns the members that any of several sets has", unionCost, func(c *command.Ctx) { reply(c, union) })
}

func sunionstoreCommand() *command.Descriptor {
	return algebraStore("sunionstore", "Stores the members that any of several sets has as another set", unionCost,
		func(c *command.Ctx) { store(c, union) })
}

func sdiffCommand() *command.Descriptor {
	return algebra("sdiff", "Returns the members of a set that none of several others has", unionCost, func(c *command.Ctx) { reply(c, difference) })
}

func sdiffstoreCommand() *command.Descriptor {
	return algebraStore("sdiffstore", "Stores the members of a set that none of several others has as another set", unionCost,
		func(c *command.Ctx) { store(c, difference) })
}

func sintercardCommand() *command.Descriptor {
	d := describe("sintercard", "7.0.0", -3, command.ReadOnly|command.MovableKeys, 0, sintercard,
		"Counts the members that all of several sets have", interCost)
	d.Args = []command.Arg{{Name: "numkeys", Type: "integer"}, keysArg, {Name: "limit", Type: "integer", Token: "LIMIT", Flags: command.Optional}}
	d.Keys = []command.KeySpec{{Flags: read, Begin: 1, KeyNum: true, FirstKey: 1, Step: 1}}
	return d
}

func sintercard(c *command.Ctx) {
	keys, ok := command.ParseInt(c.Args[1])
	if !ok || keys < 1 {
		c.W.Error("ERR numkeys should be greater than 0")
		return
	}
	if keys > int64(len(c.Args)-2) {
		c.W.Error("ERR Number of keys can't be greater than number of args")
		return
	}
	o := result{c: c, kind: counted}
	for i := int(keys) + 2; i < len(c.Args); i += 2 {
		if !command.Is(c.Args[i], "limit") || i+1 == len(c.Args) {
			c.W.Error(command.ErrSyntax)
			return
		}
		n, ok := command.ParseInt(c.Args[i+1])
		if !ok || n < 0 {
			c.W.Error("ERR LIMIT can't be negative")
			return
		}
		o.limit = int(n)
	}
	var few [fewSets]source
	ops, ok := operandsOf(c, c.Keys, few[:0])
	if !ok {
		return
	}
	ops.intersect(&o)
	c.W.Int(int64(o.n))
}

// A result takes the members that a computation gives.
type result struct {
	c     *command.Ctx
	kind  kind
	n     int
	limit int // of them, when they are counted; 0: none
	b     *value.Builder
}

type kind uint8

const (
	replied kind = iota
	stored       // built by b
	counted
)

// add takes a member that it has not been given before.
func (o *result) add(p *probe) {
	switch o.n++; o.kind {
	case replied:
		o.c.W.Bulk(p.bytes())
	case stored:
		o.b.AddMember(p.bytes())
	}
}

// full reports that more members would change nothing.
func (o *result) full() bool { return o.kind == counted && o.n == o.limit && o.limit > 0 }

type operation uint8

const (
	intersection operation = iota
	union
	difference
)

func (o *operands) compute(what operation, out *result) {
	switch what {
	case intersection:
		o.intersect(out)
	case union:
		o.unite(out)
	case difference:
		o.subtract(out)
	}
}

func reply(c *command.Ctx, what operation) {
	var few [fewSets]source
	ops, ok := operandsOf(c, c.Keys, few[:0])
	if !ok {
		return
	}
	at := len(c.W.B)
	o := result{c: c}
	ops.compute(what, &o)
	c.PrependSet(at, int64(o.n))
}

// store stores what is computed under the request's first key, whatever stands there, and replies how much it is. When it is nothing, the key
// goes.
func store(c *command.Ctx, what operation) {
	k := &c.Keys[0]
	c.Peek(k) // if it has expired it is removed here: nothing may be while sets are read and the result is built
	var few [fewSets]source
	ops, ok := operandsOf(c, c.Keys[1:], few[:0])
	if !ok {
		return
	}
	b := value.NewBuilder(k.Shard, c.DB, keyspace.Set, &c.Store.Limits)
	ops.compute(what, &result{c: c, kind: stored, b: b})
	n, old := b.Len(), k.Shard.Find(c.DB, k.Hash, k.Name)
	switch {
	case n > 0:
		b.Put(k.Hash, old, k.Name, keyspace.NoExpire, c.AccessClock())
		c.Changed(k)
	case old != 0:
		k.Shard.Delete(c.DB, k.Hash, old)
		c.Changed(k)
	}
	c.W.Int(int64(n))
}

// operands are the sets of a request that there are, in its order.
type operands struct {
	c       *command.Ctx
	all     []source
	missing bool // there is none under one of the keys
	first   bool // but under the first there is one
}

// fewSets is how many sets a request may name without anything being allocated.
const fewSets = 6

// operandsOf looks keys up; all is the memory to use. If one of them is no set, ok is false, and the error has been replied.
func operandsOf(c *command.Ctx, keys []command.Key, all []source) (o operands, ok bool) {
	o.c = c
	for i := range keys {
		r := c.Find(&keys[i])
		if !c.IsType(&keys[i], r, keyspace.Set) {
			return o, false
		}
		o.missing = o.missing || r == 0
		o.first = o.first || r != 0 && i == 0
	}
	// Once more: a key that had expired was removed, which made what was found before it stale.
	for i := range keys {
		k := &keys[i]
		r := k.Shard.Find(c.DB, k.Hash, k.Name)
		if r != 0 && !c.Expired(k.Shard, r) {
			all = append(all, open(k.Shard, r))
		}
	}
	o.all = all
	return o, true
}

// index makes the packed lists among sets ready to be searched so often each.
func (o *operands) index(sets []source, searches int) {
	if searches < indexFrom {
		return
	}
	n := 0
	for i := range sets {
		n += sets[i].indexBytes()
	}
	room := o.c.Scratch(n)
	for i := range sets {
		if n := sets[i].indexBytes(); n > 0 {
			sets[i].makeIndex(room[:n])
			room = room[n:]
		}
	}
}

func bySize(x, y source) int { return cmp.Compare(x.n, y.n) }

// intersect gives the members that all sets have: it walks over the smallest, and asks the others, the smaller first.
func (o *operands) intersect(out *result) {
	if o.missing {
		return
	}
	slices.SortStableFunc(o.all, bySize)
	least, others := &o.all[0], o.all[1:]
	if out.kind == stored && least.form != integers {
		out.b.PackIntegers()
	}
	searches := least.n
	if out.limit > 0 {
		searches = min(searches, out.limit)
	}
	o.index(others, searches)
	var p probe
	w := least.walk()
members:
	for !out.full() && w.next(&p) {
		for i := range others {
			if x := &others[i]; !x.same(least) && !x.has(&p) {
				continue members
			}
		}
		out.add(&p)
	}
}

// unite gives the members that any set has. Either a member is asked for in the sets before its own, the largest of which comes first, or all
// are gathered in one set: that of the result, or one that is dropped then.
func (o *operands) unite(out *result) {
	b := out.b
	if out.kind != stored {
		slices.SortStableFunc(o.all, func(x, y source) int { return bySize(y, x) })
		asked, total := 0, 0
		for i := range o.all {
			asked += i * o.all[i].n
			total += o.all[i].n
		}
		if asked > gatherCost*total {
			b = value.NewBuilder(o.all[0].s, o.c.DB, keyspace.Set, &o.c.Store.Limits)
			defer b.Discard()
		} else if n := len(o.all); n > 1 {
			o.index(o.all[:n-1], total-o.all[0].n)
		}
	}
	var p probe
	for i := range o.all {
		x, before := &o.all[i], o.all[:i]
		if x.among(before) {
			continue
		}
		w := x.walk()
		for w.next(&p) {
			switch {
			case out.kind == stored:
				b.AddMember(p.bytes())
			case b != nil && b.AddMember(p.bytes()), b == nil && !anyHas(before, &p):
				out.add(&p)
			}
		}
	}
}

// gatherCost is how many times as much it takes to add a member to a set as to ask for it.
const gatherCost = 3

// among reports whether the set is one of several.
func (x *source) among(sets []source) bool {
	for i := range sets {
		if sets[i].same(x) {
			return true
		}
	}
	return false
}

func anyHas(sets []source, p *probe) bool {
	for i := range sets {
		if sets[i].has(p) {
			return true
		}
	}
	return false
}

// subtract gives the members of the first set that no other has.
func (o *operands) subtract(out *result) {
	if !o.first {
		return
	}
	x, others := &o.all[0], o.all[1:]
	if x.among(others) {
		return
	}
	total := 0
	for i := range others {
		total += others[i].n
	}
	if out.kind == stored && x.n*len(o.all)/2 > x.n+total {
		out.b.Begin(o.rebuilt(x))
	}
	var p probe
	// Each member is asked for in all the other sets, the largest first; or, when there are many and they have little in them, in a set of all
	// that is in them.
	if asked := x.n * len(others); asked > x.n+gatherCost*total {
		gathered := make(map[string]struct{}, total)
		for i := range others {
			w := others[i].walk()
			for w.next(&p) {
				gathered[string(p.bytes())] = struct{}{}
			}
		}
		w := x.walk()
		for w.next(&p) {
			if _, there := gathered[string(p.bytes())]; !there {
				out.add(&p)
			}
		}
		return
	}
	slices.SortStableFunc(others, func(x, y source) int { return bySize(y, x) })
	o.index(others, x.n)
	w := x.walk()
	for w.next(&p) {
		if !anyHas(others, &p) {
			out.add(&p)
		}
	}
}

// rebuilt is what a set becomes when its members are added one by one. Where Redis copies the first set of a difference, and takes out of the copy
// what the others have, the result is kept as the copy was.
func (o *operands) rebuilt(x *source) keyspace.Encoding {
	lim := &o.c.Store.Limits
	if int64(x.n) > max(lim.SetIntset.Load(), lim.SetEntries.Load()) {
		return keyspace.HashTable
	}
	b := value.NewBuilder(x.s, o.c.DB, keyspace.Set, lim)
	defer b.Discard()
	var p probe
	w := x.walk()
	for w.next(&p) {
		b.AddMember(p.bytes())
	}
	return b.Encoding()
}
