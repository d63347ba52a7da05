package set

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/value"
)

func saddCommand() *command.Descriptor {
	d := describe("sadd", "1.0.0", -3, command.Write|command.DenyOOM|command.Fast, command.KeyRW|command.KeyInsert, sadd,
		"Adds members to a set", "O(1) for each member, so O(N) for N members", membersArg)
	d.History = [][2]string{{"2.4.0", "Several members at once."}}
	return d
}

func sadd(c *command.Ctx) {
	r, ok := findForWrite(c)
	if !ok {
		return
	}
	k := &c.Keys[0]
	n := addTo(c, k, r, c.Args[2:])
	if n > 0 {
		c.ChangedBy(k, n)
	}
	c.W.Int(int64(n))
}

// addTo adds members to the set at a key, or (r 0) to a new one, and returns how many are new.
func addTo(c *command.Ctx, k *command.Key, r keyspace.Ref, members [][]byte) (n int) {
	e := editor{c: c, k: k, s: k.Shard, r: r}
	e.open(members)
	for _, m := range members {
		if e.add(m) {
			n++
		}
	}
	e.close()
	return n
}

func sremCommand() *command.Descriptor {
	d := describe("srem", "1.0.0", -3, command.Write|command.Fast, command.KeyRW|command.KeyDelete, srem,
		"Removes members of a set", "O(N) where N is the number of members to be removed", membersArg)
	d.History = [][2]string{{"2.4.0", "Several members at once."}}
	return d
}

func srem(c *command.Ctx) {
	r, ok := findForWrite(c)
	if !ok {
		return
	}
	if r == 0 {
		c.W.Int(0)
		return
	}
	k := &c.Keys[0]
	n := removeFrom(c, k, r, c.Args[2:])
	if n > 0 {
		c.ChangedBy(k, n)
	}
	c.W.Int(int64(n))
}

// removeFrom takes members out of the set at a key, and returns how many were there.
func removeFrom(c *command.Ctx, k *command.Key, r keyspace.Ref, members [][]byte) (n int) {
	e := editor{c: c, k: k, s: k.Shard, r: r}
	e.openToRemove()
	for _, m := range members {
		there, gone := e.remove(m)
		if there {
			n++
		}
		if gone {
			return n
		}
	}
	e.close()
	return n
}

func smoveCommand() *command.Descriptor {
	d := describe("smove", "1.0.0", 4, command.Write|command.Fast, 0, smove,
		"Takes a member out of a set into another", "O(1)", command.Arg{Name: "destination", Type: "key", KeySpec: 1}, memberArg)
	d.Args[0].Name = "source"
	d.Keys = []command.KeySpec{
		{Flags: command.KeyRW | command.KeyAccess | command.KeyDelete, Begin: 1, Step: 1},
		{Flags: command.KeyRW | command.KeyInsert, Begin: 2, Step: 1},
	}
	return d
}

func smove(c *command.Ctx) {
	src, dst := &c.Keys[0], &c.Keys[1]
	// The destination first: if it has expired it is removed here, and what src is found to be stays good.
	c.Peek(dst)
	r := c.FindForWrite(src)
	if r == 0 {
		c.W.Int(0)
		return
	}
	if !c.IsType(src, r, keyspace.Set) {
		return
	}
	d, ok := c.FindTypedForWrite(dst, keyspace.Set)
	if !ok {
		return
	}
	if d == r && src.Shard == dst.Shard { // nothing moves
		writeBool(c, value.Has(src.Shard, r, c.Args[3]))
		return
	}
	member := c.Args[3:4]
	if removeFrom(c, src, r, member) == 0 {
		c.W.Int(0)
		return
	}
	c.Changed(src)
	if addTo(c, dst, dst.Shard.Find(c.DB, dst.Hash, dst.Name), member) > 0 {
		c.Changed(dst)
	}
	c.W.Int(1)
}
