package zset

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/netio/resp"
)

// The commands that wait for a member. What they take is logged as the pop that it came to.

var timeoutArg = arg("timeout", "double")

func bzpopCommand(name, summary string, most bool) *command.Descriptor {
	key := keyArg
	key.Flags = command.Multiple
	return &command.Descriptor{
		Name: name, Arity: -3, Flags: command.Write | command.Blocking | command.Fast, Categories: command.CatSortedSet,
		Keys: []command.KeySpec{{Flags: command.KeyRW | command.KeyAccess | command.KeyDelete, Begin: 1, Last: -2, Step: 1}},
		Log:  command.LogEffect, Handler: func(c *command.Ctx) { bzpop(c, most) },
		Group: "sorted-set", Since: "5.0.0", Summary: summary, Complexity: perN,
		Args:    []command.Arg{key, timeoutArg},
		History: [][2]string{{"6.0.0", "The timeout may have a fraction."}},
	}
}

func bzpopminCommand() *command.Descriptor {
	return bzpopCommand("bzpopmin", "Takes the member with the lowest score out of the first sorted set of several that is there, or waits for one", false)
}

func bzpopmaxCommand() *command.Descriptor {
	return bzpopCommand("bzpopmax", "Takes the member with the highest score out of the first sorted set of several that is there, or waits for one", true)
}

func bzpop(c *command.Ctx, most bool) {
	ms, ok := c.Seconds(len(c.Args) - 1)
	if !ok {
		return
	}
	k, r, ok := c.FirstForWrite(keyspace.ZSet)
	switch {
	case !ok:
	case r == 0:
		wait(c, ms)
	default:
		c.W.Array(3)
		c.W.Bulk(k.Name)
		var z reader
		z.open(k.Shard, r)
		take(c, k, r, &z, 1, most, false)
		c.Effect(popWord(most), k.Name)
	}
}

// wait has the command tried again when one of its keys has become a sorted set.
func wait(c *command.Ctx, ms int64) {
	c.BlockOn(command.Waiting{Type: keyspace.ZSet, TimeoutMs: ms, None: (*resp.Writer).NullArray})
}

func bzmpopCommand() *command.Descriptor {
	d := zmpopCommand()
	d.Name, d.Arity, d.Flags, d.Handler = "bzmpop", -5, d.Flags|command.Blocking, bzmpop
	d.Keys[0].Begin = 2
	d.Args = append([]command.Arg{timeoutArg}, d.Args...)
	d.Summary = "Takes members out of the first sorted set of several that is there, or waits for one"
	return d
}

func bzmpop(c *command.Ctx) {
	most, count, ok := c.ParseMpop(2, "min", "max")
	if !ok {
		return
	}
	if ms, ok := c.Seconds(1); ok && !mpop(c, count, most) {
		wait(c, ms)
	}
}
