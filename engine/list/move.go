package list

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/value"
)

func moveDescriptor(name, since string, arity int, h func(*command.Ctx), args ...command.Arg) *command.Descriptor {
	return &command.Descriptor{
		Name: name, Arity: arity, Flags: command.Write | command.DenyOOM, Categories: command.CatList,
		Keys: []command.KeySpec{
			{Flags: command.KeyRW | command.KeyAccess | command.KeyDelete, Begin: 1, Step: 1},
			{Flags: command.KeyRW | command.KeyInsert, Begin: 2, Step: 1},
		},
		Log: command.LogRequest, Handler: h,
		Group: "list", Since: since, Complexity: "O(1)",
		Args: append([]command.Arg{{Name: "source", Type: "key"}, {Name: "destination", Type: "key", KeySpec: 1}}, args...),
	}
}

func lmoveCommand() *command.Descriptor {
	d := moveDescriptor("lmove", "6.2.0", 5, lmove, endArg("wherefrom"), endArg("whereto"))
	d.Summary = "Takes an element from one end of a list to one end of another, or the same, and returns it"
	return d
}

func rpoplpushCommand() *command.Descriptor {
	d := moveDescriptor("rpoplpush", "1.2.0", 3, func(c *command.Ctx) { moveOrNull(c, tail, head) })
	d.Summary = "Takes the last element of a list to the front of another, or the same, and returns it"
	d.DocFlags, d.Deprecated, d.ReplacedBy = []string{"deprecated"}, "6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments"
	return d
}

func lmove(c *command.Ctx) {
	from, ok := endOf(c, c.Args[3])
	if !ok {
		return
	}
	to, ok := endOf(c, c.Args[4])
	if !ok {
		return
	}
	moveOrNull(c, from, to)
}

func moveOrNull(c *command.Ctx, from, to end) {
	if _, there := move(c, from, to); !there {
		c.W.Null()
	}
}

// move moves an element between the request's first two keys and replies it, or an error. It reports whether it did, and whether there is a
// source: if not, nothing was replied.
func move(c *command.Ctx, from, to end) (moved, there bool) {
	src, dst := &c.Keys[0], &c.Keys[1]
	// The destination first: if it has expired it is removed here, and what src is found to be stays good.
	c.Peek(dst)
	r := c.FindForWrite(src)
	if r == 0 {
		return false, false
	}
	if !c.IsType(src, r, keyspace.List) {
		return false, true
	}
	d, ok := c.FindTypedForWrite(dst, keyspace.List)
	if !ok {
		return false, true
	}
	n := value.Len(src.Shard, r)
	i := 0
	if from == tail {
		i = n - 1
	}
	mark := len(c.W.B)
	reply(c, src.Shard, r, i, 1, false)
	if d == r && src.Shard == dst.Shard && n == 1 {
		c.Changed(src) // the element comes to stand where it stood
		return true, true
	}
	remove(c, src, r, i, 1)
	// The element is in the reply, and stays there whatever becomes of the lists.
	elem := bulkIn(c.W.B[mark:])
	push(c, dst, dst.Shard.Find(c.DB, dst.Hash, dst.Name), [][]byte{elem}, to)
	c.Changed(dst)
	if d != r || src.Shard != dst.Shard {
		c.AlsoChangedIn(c.DB, src)
	}
	return true, true
}

// bulkIn returns the bytes of a bulk string as a reply has it: $3\r\nabc\r\n.
func bulkIn(b []byte) []byte {
	at := 1
	for b[at] != '\n' {
		at++
	}
	return b[at+1 : len(b)-2]
}
