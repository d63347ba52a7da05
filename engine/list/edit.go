package list

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/keyspace/packed"
	"tidemark/engine/value"
)

func lsetCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "lset", Arity: 4, Flags: command.Write | command.DenyOOM, Categories: command.CatList,
		Keys: command.One(command.KeyRW | command.KeyUpdate),
		Log:  command.LogRequest, Handler: lset,
		Group: "list", Since: "1.0.0",
		Complexity: "O(log(N)) where N is the number of elements of a large list.",
		Summary:    "Replaces an element of a list by its index",
		Args:       []command.Arg{keyArg, {Name: "index", Type: "integer"}, elementArg},
	}
}

func lset(c *command.Ctx) {
	k, elem := &c.Keys[0], c.Args[3]
	s := k.Shard
	r := c.FindForWrite(k)
	if r == 0 {
		c.W.Error(command.ErrNoSuchKey)
		return
	}
	if !c.IsType(k, r, keyspace.List) {
		return
	}
	i, ok := c.Int(2)
	if !ok {
		return
	}
	at, ok := index(i, value.Len(s, r))
	if !ok {
		c.W.Error(command.ErrOutOfRange)
		return
	}
	if r, small := grow(c, k, r, elem); small {
		lp := packed.List(s.Value(r))
		from := lp.At(at)
		s.SpliceList(c.DB, k.Hash, r, from, lp.Next(from)-from, entry(c, elem), 0)
	} else {
		co := s.Edit(c.DB, k.Hash, r)
		l := co.List(c.Store.Limits.ListRules())
		var p coll.Place
		l.Seek(&p, uint64(at))
		l.Set(&p, elem)
		settle(c, k, r, &co)
	}
	c.Changed(k)
	c.W.OK()
}

// grow makes a small list large if it would not stay small with one element more. It returns the entry, and whether the list is small.
func grow(c *command.Ctx, k *command.Key, r keyspace.Ref, elem []byte) (keyspace.Ref, bool) {
	if k.Shard.Encoding(r) != keyspace.ListPack {
		return r, false
	}
	lp := packed.List(k.Shard.Value(r))
	if c.Store.Limits.SmallList(lp.Len()+1, len(lp)+len(elem)) {
		return r, true
	}
	return value.Expand(k.Shard, c.DB, k.Hash, r, &c.Store.Limits), false
}

// entry makes an entry of a packed list in scratch memory.
func entry(c *command.Ctx, elem []byte) []byte {
	return packed.Entry(c.Scratch(len(elem) + entryRoom)[:0], elem)
}

func linsertCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "linsert", Arity: 5, Flags: command.Write | command.DenyOOM, Categories: command.CatList,
		Keys: command.One(command.KeyRW | command.KeyInsert),
		Log:  command.LogRequest, Handler: linsert,
		Group: "list", Since: "2.2.0",
		Complexity: "O(N) where N is the number of elements before the pivot.",
		Summary:    "Puts an element before or behind another one of a list",
		Args: []command.Arg{keyArg, {Name: "where", Type: "oneof", Args: []command.Arg{
			{Name: "before", Type: "pure-token", Token: "BEFORE"}, {Name: "after", Type: "pure-token", Token: "AFTER"}}},
			{Name: "pivot", Type: "string"}, elementArg},
	}
}

func linsert(c *command.Ctx) {
	behind := command.Is(c.Args[2], "after")
	if !behind && !command.Is(c.Args[2], "before") {
		c.W.Error(command.ErrSyntax)
		return
	}
	k, elem := &c.Keys[0], c.Args[4]
	s := k.Shard
	r, ok := c.FindTypedForWrite(k, keyspace.List)
	if !ok {
		return
	}
	if r == 0 {
		c.W.Int(0)
		return
	}
	i := find(c, k, r, c.Args[3])
	if i < 0 {
		c.W.Int(-1)
		return
	}
	n := value.Len(s, r)
	if behind {
		i++
	}
	if r, small := grow(c, k, r, elem); small {
		lp := packed.List(s.Value(r))
		at := lp.End()
		if i < n {
			at = lp.At(i)
		}
		s.SpliceList(c.DB, k.Hash, r, at, 0, entry(c, elem), 1)
	} else {
		co := s.Edit(c.DB, k.Hash, r)
		l := co.List(c.Store.Limits.ListRules())
		if i == 0 {
			l.PushHead(elem)
		} else {
			l.InsertBehind(uint64(i-1), elem)
		}
		s.Settle(&co)
	}
	c.Changed(k)
	c.W.Int(int64(n + 1))
}

// find returns the index of the first element that equals elem, -1 if there is none.
func find(c *command.Ctx, k *command.Key, r keyspace.Ref, elem []byte) int {
	enc, _ := encoded(c, elem, 0)
	var m coll.Mem
	small, large := open(k.Shard, r, &m)
	var cu cursor
	for ok := cu.seek(small, large, 0); ok; ok = cu.step(large, false) {
		if cu.is(enc) {
			return cu.i
		}
	}
	return -1
}

func lremCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "lrem", Arity: 4, Flags: command.Write, Categories: command.CatList,
		Keys: command.One(command.KeyRW | command.KeyDelete),
		Log:  command.LogRequest, Handler: lrem,
		Group: "list", Since: "1.0.0",
		Complexity: "O(N+M*log(N)) where N is the number of elements and M the number of those taken out.",
		Summary:    "Takes elements that equal a given one out of a list",
		Args:       []command.Arg{keyArg, {Name: "count", Type: "integer"}, elementArg},
	}
}

func lrem(c *command.Ctx) {
	count, ok := c.Int(2)
	if !ok {
		return
	}
	k := &c.Keys[0]
	r, ok := c.FindTypedForWrite(k, keyspace.List)
	if !ok {
		return
	}
	if r == 0 {
		c.W.Int(0)
		return
	}
	from, most := matches(c, k, r, c.Args[3], count)
	if most == 0 {
		c.W.Int(0)
		return
	}
	var n int
	if k.Shard.Encoding(r) == keyspace.ListPack {
		n = removeSmall(c, k, r, c.Args[3], from, most)
	} else {
		n = removeLarge(c, k, r, c.Args[3], from, most)
	}
	c.ChangedBy(k, n)
	c.W.Int(int64(n))
}

// matches tells which elements LREM takes out: those that equal elem, from element from on, at most so many. None: 0.
func matches(c *command.Ctx, k *command.Key, r keyspace.Ref, elem []byte, count int64) (from, most int) {
	n := value.Len(k.Shard, r)
	if count >= 0 {
		if from = find(c, k, r, elem); from < 0 {
			return 0, 0
		}
		if count == 0 || count > int64(n) {
			return from, n
		}
		return from, int(count)
	}
	// From the end: as many as are met going back, all of which stand at or behind the last one met.
	enc, _ := encoded(c, elem, 0)
	var m coll.Mem
	small, large := open(k.Shard, r, &m)
	var cu cursor
	for ok := cu.seek(small, large, n-1); ok; ok = cu.step(large, true) {
		if cu.is(enc) {
			from = cu.i
			most++
			if count++; count == 0 {
				break
			}
		}
	}
	return from, most
}

// removeSmall takes up to most elements that equal elem out of a small list, the first of which is element from. It returns how many there were.
func removeSmall(c *command.Ctx, k *command.Key, r keyspace.Ref, elem []byte, from, most int) int {
	s := k.Shard
	lp := packed.List(s.Value(r))
	enc, rest := encoded(c, elem, len(lp))
	rest = rest[:0]
	start := lp.At(from)
	at, n := start, 0
	for n < most && !lp.AtEnd(at) {
		next := lp.Next(at)
		if lp.Is(at, enc) {
			n++
		} else {
			rest = append(rest, lp[at:next]...)
		}
		at = next
	}
	if n == lp.Len() {
		s.Delete(c.DB, k.Hash, r)
	} else {
		s.SpliceList(c.DB, k.Hash, r, start, at-start, rest, -n)
	}
	return n
}

// removeLarge is removeSmall for a large list.
func removeLarge(c *command.Ctx, k *command.Key, r keyspace.Ref, elem []byte, from, most int) int {
	enc, _ := encoded(c, elem, 0)
	co := k.Shard.Edit(c.DB, k.Hash, r)
	l := co.List(c.Store.Limits.ListRules())
	var p coll.Place
	n := 0
	for ok := l.Seek(&p, uint64(from)); ok && n < most; {
		if !p.Is(enc) {
			ok = l.Next(&p)
			continue
		}
		at, run := p.Index(), 1
		for n+run < most && l.Next(&p) && p.Is(enc) {
			run++
		}
		l.DeleteRange(at, uint64(run))
		n += run
		ok = l.Seek(&p, at)
	}
	settle(c, k, r, &co)
	return n
}
