package set

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/value"
)

// writeBool replies 1 or 0, in RESP3 as well.
func writeBool(c *command.Ctx, yes bool) {
	if yes {
		c.W.Int(1)
	} else {
		c.W.Int(0)
	}
}

func sismemberCommand() *command.Descriptor {
	return describe("sismember", "1.0.0", 3, command.ReadOnly|command.Fast, command.KeyRO, func(c *command.Ctx) {
		if r, ok := find(c); ok {
			writeBool(c, r != 0 && value.Has(c.Keys[0].Shard, r, c.Args[2]))
		}
	}, "Tells whether a set has a member", "O(1)", memberArg)
}

func smismemberCommand() *command.Descriptor {
	return describe("smismember", "6.2.0", -3, command.ReadOnly|command.Fast, read, func(c *command.Ctx) {
		r, ok := find(c)
		if !ok {
			return
		}
		c.W.Array(len(c.Args) - 2)
		for _, m := range c.Args[2:] {
			writeBool(c, r != 0 && value.Has(c.Keys[0].Shard, r, m))
		}
	}, "Tells which of several members a set has", "O(N) where N is the number of members asked for", membersArg)
}

func scardCommand() *command.Descriptor {
	return describe("scard", "1.0.0", 2, command.ReadOnly|command.Fast, command.KeyRO, func(c *command.Ctx) {
		r, ok := find(c)
		switch {
		case !ok:
		case r == 0:
			c.W.Int(0)
		default:
			c.W.Int(int64(value.Len(c.Keys[0].Shard, r)))
		}
	}, "Counts the members of a set", "O(1)")
}

func smembersCommand() *command.Descriptor {
	d := describe("smembers", "1.0.0", 2, command.ReadOnly, read, smembers,
		"Returns all members of a set", "O(N) where N is the number of members")
	d.Tips = []string{"nondeterministic_output_order"}
	return d
}

func smembers(c *command.Ctx) {
	r, ok := find(c)
	if !ok {
		return
	}
	if r == 0 {
		c.W.Set(0)
		return
	}
	x := open(c.Keys[0].Shard, r)
	c.W.Set(x.n)
	writeAll(c, &x)
}

// writeAll replies the members of a set.
func writeAll(c *command.Ctx, x *source) {
	var p probe
	w := x.walk()
	for w.next(&p) {
		c.W.Bulk(p.bytes())
	}
}

func sscanCommand() *command.Descriptor {
	d := describe("sscan", "2.8.0", -3, command.ReadOnly, read, sscan,
		"Walks over the members of a set a few at a time", "O(1) a call, O(N) for the whole walk, where N is the number of members",
		command.Arg{Name: "cursor", Type: "integer"},
		command.Arg{Name: "pattern", Type: "pattern", Token: "MATCH", Flags: command.Optional},
		command.Arg{Name: "count", Type: "integer", Token: "COUNT", Flags: command.Optional})
	d.Tips = []string{"nondeterministic_output"}
	return d
}

// sscan gives a small set whole. The cursor of a large one is Dict.Scan's.
func sscan(c *command.Ctx) {
	o, r, ok := c.ScanKey(keyspace.Set, command.ScanPlain)
	if !ok {
		return
	}
	x := open(c.Keys[0].Shard, r)
	show := func(m []byte) {
		if o.Wants(m) {
			o.Show(m)
		}
	}
	if x.form != large {
		var p probe
		w := x.walk()
		for w.next(&p) {
			m := p.bytes()
			show(append(c.Scratch(len(m))[:0], m...)) // p itself would be allocated
		}
		o.Whole()
		return
	}
	o.Part(&coll.Dict{Mem: &x.mem}, func(r coll.Ref) { show(coll.KeyOf(x.mem.Space, r)) })
}
