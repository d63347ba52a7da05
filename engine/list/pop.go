package list

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/value"
)

func popDescriptor(name, summary string, h func(*command.Ctx)) *command.Descriptor {
	return &command.Descriptor{
		Name: name, Arity: -2, Flags: command.Write | command.Fast, Categories: command.CatList,
		Keys: command.One(command.KeyRW | command.KeyAccess | command.KeyDelete),
		Log:  command.LogRequest, Handler: h,
		Group: "list", Since: "1.0.0", Summary: summary,
		Complexity: "O(N) where N is the number of elements returned.",
		Args:       []command.Arg{keyArg, {Name: "count", Type: "integer", Since: "6.2.0", Flags: command.Optional}},
		History:    [][2]string{{"6.2.0", "It takes a `count`."}},
	}
}

func lpopCommand() *command.Descriptor {
	return popDescriptor("lpop", "Takes the first elements out of a list and returns them", func(c *command.Ctx) { popArgs(c, head) })
}

func rpopCommand() *command.Descriptor {
	return popDescriptor("rpop", "Takes the last elements out of a list and returns them", func(c *command.Ctx) { popArgs(c, tail) })
}

func popArgs(c *command.Ctx, at end) {
	if len(c.Args) > 3 {
		c.W.Error(command.WrongArity(c.Cmd))
		return
	}
	k := &c.Keys[0]
	if len(c.Args) == 2 {
		r := c.FindForWrite(k)
		switch {
		case !c.IsType(k, r, keyspace.List):
		case r == 0:
			c.W.Null()
		default:
			pop(c, k, r, 1, at)
			c.Changed(k)
		}
		return
	}
	count, ok := command.ParseInt(c.Args[2])
	if !ok || count < 0 {
		c.W.Error("ERR value is out of range, must be positive")
		return
	}
	r, ok := c.FindTypedForWrite(k, keyspace.List)
	if !ok {
		return
	}
	if r == 0 {
		c.W.NullArray()
		return
	}
	popMany(c, k, r, count, at)
}

// popMany replies an array of up to count elements that it takes out of a list, and returns how many there were.
func popMany(c *command.Ctx, k *command.Key, r keyspace.Ref, count int64, at end) int {
	n := int(min(count, int64(value.Len(k.Shard, r))))
	c.W.Array(n)
	if n > 0 {
		pop(c, k, r, n, at)
		c.ChangedBy(k, n)
	}
	return n
}

// pop replies the n elements next to an end of a list, the one at the end first, and takes them out. There are as many.
func pop(c *command.Ctx, k *command.Key, r keyspace.Ref, n int, at end) {
	if at == head {
		reply(c, k.Shard, r, 0, n, false)
		remove(c, k, r, 0, n)
		return
	}
	have := value.Len(k.Shard, r)
	reply(c, k.Shard, r, have-1, n, true)
	remove(c, k, r, have-n, n)
}

func lmpopCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "lmpop", Arity: -4, Flags: command.Write | command.MovableKeys, Categories: command.CatList,
		Keys: []command.KeySpec{{Flags: command.KeyRW | command.KeyAccess | command.KeyDelete, Begin: 1, KeyNum: true, FirstKey: 1, Step: 1}},
		Log:  command.LogEffect, Handler: lmpop,
		Group: "list", Since: "7.0.0", Summary: "Takes elements out of the first list of several that is there, and returns them",
		Complexity: "O(N+M) where N is the number of keys and M the number of elements returned.",
		Args: []command.Arg{{Name: "numkeys", Type: "integer"}, {Name: "key", Type: "key", Flags: command.Multiple}, endArg("where"),
			{Name: "count", Type: "integer", Token: "COUNT", Flags: command.Optional}},
	}
}

func lmpop(c *command.Ctx) {
	if at, count, ok := c.ParseMpop(1, "left", "right"); ok && !mpop(c, count, end(at)) {
		c.W.NullArray()
	}
}

// mpop takes up to count elements out of the first of the request's keys that is there, and replies and logs that. False: none is, and nothing
// was replied.
func mpop(c *command.Ctx, count int64, at end) bool {
	k, r, ok := c.FirstForWrite(keyspace.List)
	if ok && r != 0 {
		c.W.Array(2)
		c.W.Bulk(k.Name)
		effectOfPops(c, k.Name, popMany(c, k, r, count, at), at)
	}
	return !ok || r != 0
}

func ltrimCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "ltrim", Arity: 4, Flags: command.Write, Categories: command.CatList,
		Keys: command.One(command.KeyRW | command.KeyDelete),
		Log:  command.LogRequest, Handler: ltrim,
		Group: "list", Since: "1.0.0", Summary: "Takes all elements out of a list but those of a range",
		Complexity: "O(N) where N is the number of elements taken out.",
		Args:       []command.Arg{keyArg, {Name: "start", Type: "integer"}, {Name: "stop", Type: "integer"}},
	}
}

func ltrim(c *command.Ctx) {
	start, ok := c.Int(2)
	if !ok {
		return
	}
	stop, ok := c.Int(3)
	if !ok {
		return
	}
	k := &c.Keys[0]
	r, ok := c.FindTypedForWrite(k, keyspace.List)
	if !ok {
		return
	}
	c.W.OK()
	if r == 0 {
		return
	}
	n := value.Len(k.Shard, r)
	from, to, some := clip(start, stop, n)
	if !some {
		remove(c, k, r, 0, n)
		c.ChangedBy(k, n)
		return
	}
	if behind := n - 1 - to; behind > 0 {
		remove(c, k, r, to+1, behind)
	}
	if from > 0 {
		r = k.Shard.Find(c.DB, k.Hash, k.Name) // another entry may have taken its place
		remove(c, k, r, 0, from)
	}
	c.ChangedBy(k, from+n-1-to)
}
