package zset

import (
	"strconv"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
)

func zremCommand() *command.Descriptor {
	d := describe("zrem", "1.2.0", -3, command.Write|command.Fast, command.KeyRW|command.KeyDelete, zrem,
		"Removes members of a sorted set", "O(M*log(N)) where N is the number of members and M the number of those to be removed", membersArg)
	d.History = [][2]string{{"2.4.0", "Several members at once."}}
	return d
}

func zrem(c *command.Ctx) {
	r, ok := findForWrite(c)
	if !ok {
		return
	}
	if r == 0 {
		c.W.Int(0)
		return
	}
	k := &c.Keys[0]
	e := editor{c: c, k: k, s: k.Shard, r: r}
	if k.Shard.Encoding(r) == keyspace.SkipList {
		e.edit()
	} else {
		e.list = k.Shard.Value(r)
	}
	n, gone := 0, false
	for _, m := range c.Args[2:] {
		if e.look(m); e.there {
			n++
			if gone = e.remove(m); gone {
				break
			}
		}
	}
	if !gone {
		e.close()
	}
	if n > 0 {
		c.ChangedBy(k, n)
	}
	c.W.Int(int64(n))
}

// removeRange describes a command that removes a range of members.
func removeRange(name, since, summary string, by by, from, to command.Arg) *command.Descriptor {
	return describe(name, since, 4, command.Write, command.KeyRW|command.KeyDelete, func(c *command.Ctx) {
		var p span
		if !p.parse(c, by, c.Args[2], c.Args[3]) {
			return
		}
		r, ok := findForWrite(c)
		if !ok {
			return
		}
		n := 0
		if r != 0 {
			var z reader
			k := &c.Keys[0]
			z.open(k.Shard, r)
			if lo, hi := p.find(&z); lo < hi {
				n = hi - lo
				removeRanks(c, k, r, lo, hi)
				c.ChangedBy(k, n)
			}
		}
		c.W.Int(int64(n))
	}, summary, perM, from, to)
}

func zremrangebyrankCommand() *command.Descriptor {
	return removeRange("zremrangebyrank", "2.0.0", "Removes the members of a sorted set within a range of ranks", byRank,
		arg("start", "integer"), arg("stop", "integer"))
}

func zremrangebyscoreCommand() *command.Descriptor {
	return removeRange("zremrangebyscore", "1.2.0", "Removes the members of a sorted set within a range of scores", byScore,
		arg("min", "double"), arg("max", "double"))
}

func zremrangebylexCommand() *command.Descriptor {
	return removeRange("zremrangebylex", "2.8.9", "Removes the members within a range from a sorted set whose members all have one score", byLex,
		arg("min", "string"), arg("max", "string"))
}

func popCommand(name, summary string, most bool) *command.Descriptor {
	return describe(name, "5.0.0", -2, command.Write|command.Fast, command.KeyRW|command.KeyAccess|command.KeyDelete,
		func(c *command.Ctx) { zpop(c, most) },
		summary, "O(log(N)*M) where N is the number of members and M the number of those returned",
		command.Arg{Name: "count", Type: "integer", Flags: command.Optional})
}

func zpopminCommand() *command.Descriptor {
	return popCommand("zpopmin", "Takes the members with the lowest scores out of a sorted set, and returns them", false)
}

func zpopmaxCommand() *command.Descriptor {
	return popCommand("zpopmax", "Takes the members with the highest scores out of a sorted set, and returns them", true)
}

func zpop(c *command.Ctx, most bool) {
	count, given := int64(1), len(c.Args) == 3
	if len(c.Args) > 3 {
		c.W.Error(command.ErrSyntax)
		return
	}
	if given {
		var ok bool
		if count, ok = command.ParseInt(c.Args[2]); !ok || count < 0 {
			c.W.Error("ERR value is out of range, must be positive")
			return
		}
	}
	r, ok := findForWrite(c)
	if !ok {
		return
	}
	if r == 0 || count == 0 {
		c.W.Array(0)
		return
	}
	pop(c, &c.Keys[0], r, count, most, given && c.W.RESP3)
}

// pop takes up to count members out at an end and replies them with their scores, each pair in an array of its own if nested. It returns how many.
func pop(c *command.Ctx, k *command.Key, r keyspace.Ref, count int64, most, nested bool) int {
	var z reader
	z.open(k.Shard, r)
	n := int(min(count, int64(z.n)))
	if nested {
		c.W.Array(n)
	} else {
		c.W.Array(2 * n)
	}
	take(c, k, r, &z, n, most, nested)
	return n
}

// take is pop of n members of an open sorted set, which has as many, without the head of the reply.
func take(c *command.Ctx, k *command.Key, r keyspace.Ref, z *reader, n int, most, nested bool) {
	lo, hi := 0, n
	if most {
		lo, hi = z.n-n, z.n
		z.goTo(z.n - 1)
	} else {
		z.goTo(0)
	}
	for i := range n {
		if i > 0 {
			z.step(most)
		}
		if nested {
			c.W.Array(2)
		}
		c.W.Bulk(z.member())
		c.W.Double(z.score())
	}
	removeRanks(c, k, r, lo, hi)
	c.ChangedBy(k, n)
}

func zmpopCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "zmpop", Arity: -4, Flags: command.Write | command.MovableKeys, Categories: command.CatSortedSet,
		Keys: []command.KeySpec{{Flags: command.KeyRW | command.KeyAccess | command.KeyDelete, Begin: 1, KeyNum: true, FirstKey: 1, Step: 1}},
		Log:  command.LogEffect, Handler: zmpop,
		Group: "sorted-set", Since: "7.0.0", Summary: "Takes members out of the first sorted set of several that is there, and returns them",
		Complexity: "O(K) + O(M*log(N)) where K is the number of keys, N the number of members and M the number of those returned",
		Args: []command.Arg{arg("numkeys", "integer"), {Name: "key", Type: "key", Flags: command.Multiple},
			either("where", "", 0, "min", "MIN", "max", "MAX"), {Name: "count", Type: "integer", Token: "COUNT", Flags: command.Optional}},
	}
}

var zpopminWord, zpopmaxWord = []byte("ZPOPMIN"), []byte("ZPOPMAX")

func popWord(most bool) []byte {
	if most {
		return zpopmaxWord
	}
	return zpopminWord
}

func zmpop(c *command.Ctx) {
	if most, count, ok := c.ParseMpop(1, "min", "max"); ok && !mpop(c, count, most) {
		c.W.NullArray()
	}
}

// mpop takes up to count members out of the first of the request's keys that is there, and replies and logs that. False: none is, and nothing
// was replied.
func mpop(c *command.Ctx, count int64, most bool) bool {
	k, r, ok := c.FirstForWrite(keyspace.ZSet)
	if ok && r != 0 {
		c.W.Array(2)
		c.W.Bulk(k.Name)
		n := pop(c, k, r, count, most, true)
		if c.Logged() {
			var num [20]byte
			c.Effect(popWord(most), k.Name, strconv.AppendInt(num[:0], int64(n), 10))
		}
	}
	return !ok || r != 0
}
