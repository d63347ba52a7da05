package list

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/packed"
	"tidemark/engine/value"
)

func pushDescriptor(name, since, summary string, h func(*command.Ctx)) *command.Descriptor {
	element := elementArg
	element.Flags = command.Multiple
	return &command.Descriptor{
		Name: name, Arity: -3, Flags: command.Write | command.DenyOOM | command.Fast, Categories: command.CatList,
		Keys: command.One(command.KeyRW | command.KeyInsert),
		Log:  command.LogRequest, Handler: h,
		Group: "list", Since: since, Summary: summary,
		Complexity: "O(1) for each element.",
		Args:       []command.Arg{keyArg, element},
		History:    [][2]string{{"2.4.0", "It takes several elements."}},
	}
}

func lpushCommand() *command.Descriptor {
	return pushDescriptor("lpush", "1.0.0", "Puts elements before the first of a list, creating the list if need be",
		func(c *command.Ctx) { pushArgs(c, head, true) })
}

func rpushCommand() *command.Descriptor {
	return pushDescriptor("rpush", "1.0.0", "Puts elements behind the last of a list, creating the list if need be",
		func(c *command.Ctx) { pushArgs(c, tail, true) })
}

func lpushxCommand() *command.Descriptor {
	d := pushDescriptor("lpushx", "2.2.0", "Puts elements before the first of a list that exists",
		func(c *command.Ctx) { pushArgs(c, head, false) })
	d.History[0][0] = "4.0.0"
	return d
}

func rpushxCommand() *command.Descriptor {
	d := pushDescriptor("rpushx", "2.2.0", "Puts elements behind the last of a list that exists",
		func(c *command.Ctx) { pushArgs(c, tail, false) })
	d.History[0][0] = "4.0.0"
	return d
}

// pushArgs is all four commands.
func pushArgs(c *command.Ctx, at end, create bool) {
	k := &c.Keys[0]
	r, ok := c.FindTypedForWrite(k, keyspace.List)
	if !ok {
		return
	}
	if r == 0 && !create {
		c.W.Int(0)
		return
	}
	elems := c.Args[2:]
	n := push(c, k, r, elems, at)
	c.ChangedBy(k, len(elems))
	c.W.Int(int64(n))
}

// push adds elements at an end of a list, one after the other, and returns how many there are then. r is the list's entry, 0 when there is none. The
// elements must not be views of the shard or of scratch memory.
func push(c *command.Ctx, k *command.Key, r keyspace.Ref, elems [][]byte, at end) int {
	s := k.Shard
	if r != 0 && s.Encoding(r) != keyspace.ListPack {
		return pushLarge(c, k, r, elems, at)
	}
	bytes := 0
	for _, e := range elems {
		bytes += len(e)
	}
	n, size := 0, packed.EmptyBytes
	if r != 0 {
		lp := packed.List(s.Value(r))
		n, size = lp.Len(), len(lp)
	}
	if n += len(elems); !c.Store.Limits.SmallList(n, size+bytes) {
		if r == 0 {
			return create(c, k, elems, at)
		}
		return pushLarge(c, k, value.Expand(s, c.DB, k.Hash, r, &c.Store.Limits), elems, at)
	}
	buf := c.Scratch(packed.EmptyBytes + bytes + len(elems)*entryRoom)[:0]
	if r == 0 {
		lp := packed.New(buf)
		for i := range elems {
			lp = lp.Append(elems[place(i, len(elems), at)])
		}
		s.Put(c.DB, k.Hash, 0, k.Name, keyspace.List, keyspace.ListPack, lp, keyspace.NoExpire, c.AccessClock())
		return n
	}
	for i := range elems {
		buf = packed.Entry(buf, elems[place(i, len(elems), at)])
	}
	where := packed.HeaderBytes
	if at == tail {
		where = size - 1
	}
	s.SpliceList(c.DB, k.Hash, r, where, 0, buf, len(elems))
	return n
}

// place is which of n elements stands at place i of them once all have been pushed: at the head they come to stand in reverse.
func place(i, n int, at end) int {
	if at == head {
		return n - 1 - i
	}
	return i
}

// pushLarge is push to a large list.
func pushLarge(c *command.Ctx, k *command.Key, r keyspace.Ref, elems [][]byte, at end) int {
	co := k.Shard.Edit(c.DB, k.Hash, r)
	pushTo(c, k, &co, elems, at)
	n := int(co.Root.N)
	k.Shard.Settle(&co)
	return n
}

// create makes a large list of elements that are too many for a small one.
func create(c *command.Ctx, k *command.Key, elems [][]byte, at end) int {
	co := k.Shard.Draft(c.DB, keyspace.List, keyspace.QuickList)
	pushTo(c, k, co, elems, at)
	n := int(co.Root.N)
	k.Shard.Attach(co, k.Hash, 0, k.Name, keyspace.NoExpire, c.AccessClock())
	return n
}

func pushTo(c *command.Ctx, k *command.Key, co *keyspace.Coll, elems [][]byte, at end) {
	l := co.List(c.Store.Limits.ListRules())
	for _, e := range elems {
		if at == head {
			l.PushHead(e)
		} else {
			l.PushTail(e)
		}
		k.Shard.Relieve(co)
	}
}
