package list

import (
	"strconv"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/netio/resp"
)

// The commands that wait for an element. What they take is logged as the pop or the move that it came to.

func bpopDescriptor(name, summary string, at end) *command.Descriptor {
	key := keyArg
	key.Flags = command.Multiple
	return &command.Descriptor{
		Name: name, Arity: -3, Flags: command.Write | command.Blocking, Categories: command.CatList,
		Keys: []command.KeySpec{{Flags: command.KeyRW | command.KeyAccess | command.KeyDelete, Begin: 1, Last: -2, Step: 1}},
		Log:  command.LogEffect, Handler: func(c *command.Ctx) { bpop(c, at) },
		Group: "list", Since: "2.0.0", Summary: summary,
		Complexity: "O(N) where N is the number of keys.",
		Args:       []command.Arg{key, timeoutArg},
		History:    [][2]string{{"6.0.0", "The timeout may have a fraction."}},
	}
}

var timeoutArg = command.Arg{Name: "timeout", Type: "double"}

func blpopCommand() *command.Descriptor {
	return bpopDescriptor("blpop", "Takes the first element out of the first list of several that is there, or waits for one", head)
}

func brpopCommand() *command.Descriptor {
	return bpopDescriptor("brpop", "Takes the last element out of the first list of several that is there, or waits for one", tail)
}

func bpop(c *command.Ctx, at end) {
	ms, ok := c.Seconds(len(c.Args) - 1)
	if !ok {
		return
	}
	k, r, ok := c.FirstForWrite(keyspace.List)
	switch {
	case !ok:
	case r == 0:
		wait(c, c.Keys, ms)
	default:
		c.W.Array(2)
		c.W.Bulk(k.Name)
		pop(c, k, r, 1, at)
		c.Changed(k)
		c.Effect(popWord(at), k.Name)
	}
}

// wait has the command tried again when one of the keys has become a list.
func wait(c *command.Ctx, keys []command.Key, ms int64) {
	c.BlockOn(command.Waiting{Keys: keys, Type: keyspace.List, TimeoutMs: ms, None: (*resp.Writer).NullArray})
}

func popWord(at end) []byte {
	if at == tail {
		return rpopWord
	}
	return lpopWord
}

var lpopWord, rpopWord = []byte("LPOP"), []byte("RPOP")

func blmpopCommand() *command.Descriptor {
	d := lmpopCommand()
	d.Name, d.Arity, d.Flags, d.Handler = "blmpop", -5, d.Flags|command.Blocking, blmpop
	d.Keys[0].Begin = 2
	d.Args = append([]command.Arg{timeoutArg}, d.Args...)
	d.Summary = "Takes elements out of the first list of several that is there, or waits for one"
	return d
}

func blmpop(c *command.Ctx) {
	at, count, ok := c.ParseMpop(2, "left", "right")
	if !ok {
		return
	}
	if ms, ok := c.Seconds(1); ok && !mpop(c, count, end(at)) {
		wait(c, c.Keys, ms)
	}
}

func blmoveCommand() *command.Descriptor {
	d := moveDescriptor("blmove", "6.2.0", 6, blmove, endArg("wherefrom"), endArg("whereto"), timeoutArg)
	d.Flags |= command.Blocking
	d.Log = command.LogEffect
	d.Summary = "Takes an element from one end of a list to one end of another, or the same, and returns it, or waits for one"
	return d
}

func brpoplpushCommand() *command.Descriptor {
	d := moveDescriptor("brpoplpush", "2.2.0", 4, func(c *command.Ctx) { bmove(c, tail, head, 3) }, timeoutArg)
	d.Flags |= command.Blocking
	d.Log = command.LogEffect
	d.Summary = "Takes the last element of a list to the front of another, or the same, and returns it, or waits for one"
	d.DocFlags, d.Deprecated, d.ReplacedBy = []string{"deprecated"}, "6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments"
	d.History = [][2]string{{"6.0.0", "The timeout may have a fraction."}}
	return d
}

func blmove(c *command.Ctx) {
	from, ok := endOf(c, c.Args[3])
	if !ok {
		return
	}
	to, ok := endOf(c, c.Args[4])
	if !ok {
		return
	}
	bmove(c, from, to, 5)
}

// bmove moves an element or waits for one; the timeout is argument i, and what stands before it belongs to the move.
func bmove(c *command.Ctx, from, to end, i int) {
	ms, ok := c.Seconds(i)
	if !ok {
		return
	}
	moved, there := move(c, from, to)
	switch src, dst := c.Keys[0].Name, c.Keys[1].Name; {
	case !there && c.InBlock() && !c.Trying():
		c.W.Null() // which differs from that of a wait in vain in RESP2
	case !there:
		wait(c, c.Keys[:1], ms)
	case moved && i > 3:
		c.Effect(lmoveWord, src, dst, c.Args[3], c.Args[4])
	case moved:
		c.Effect(rpoplpushWord, src, dst)
	}
}

var lmoveWord, rpoplpushWord = []byte("LMOVE"), []byte("RPOPLPUSH")

// effectOfPops logs that n elements were taken out at an end of a list.
func effectOfPops(c *command.Ctx, key []byte, n int, at end) {
	if c.Logged() {
		var num [20]byte
		c.Effect(popWord(at), key, strconv.AppendInt(num[:0], int64(n), 10))
	}
}
