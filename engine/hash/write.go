package hash

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/packed"
)

func pairsArg() command.Arg {
	return command.Arg{Name: "data", Type: "block", Flags: command.Multiple, Args: []command.Arg{fieldArg, valueArg}}
}

func hsetCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "hset", Arity: -4, Flags: command.Write | command.DenyOOM | command.Fast, Categories: command.CatHash,
		Keys: command.One(command.KeyRW | command.KeyUpdate),
		Log:  command.LogRequest, Handler: func(c *command.Ctx) {
			if n, ok := setPairs(c); ok {
				c.W.Int(int64(n))
			}
		},
		Group: "hash", Since: "2.0.0", Complexity: "O(1) for each field, so O(N) for N fields",
		Summary: "Gives fields of a hash their values",
		Args:    []command.Arg{keyArg, pairsArg()},
		History: [][2]string{{"4.0.0", "Several fields at once."}},
	}
}

func hmsetCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "hmset", Arity: -4, Flags: command.Write | command.DenyOOM | command.Fast, Categories: command.CatHash,
		Keys: command.One(command.KeyRW | command.KeyUpdate),
		Log:  command.LogRequest, Handler: func(c *command.Ctx) {
			if _, ok := setPairs(c); ok {
				c.W.OK()
			}
		},
		Group: "hash", Since: "2.0.0", Complexity: "O(N) where N is the number of fields",
		Summary:  "Gives fields of a hash their values",
		Args:     []command.Arg{keyArg, pairsArg()},
		DocFlags: []string{"deprecated"}, Deprecated: "4.0.0", ReplacedBy: "`HSET` with multiple field-value pairs",
	}
}

// setPairs is HSET; it returns the number of fields that are new, or false when the error has been replied.
func setPairs(c *command.Ctx) (added int, ok bool) {
	if len(c.Args)%2 != 0 {
		c.W.Error(command.WrongArity(c.Cmd))
		return 0, false
	}
	r, ok := findForWrite(c)
	if !ok {
		return 0, false
	}
	k := &c.Keys[0]
	e := editor{c: c, k: k, s: k.Shard, r: r}
	pairs := c.Args[2:]
	e.openFor(pairs)
	for i := 0; i < len(pairs); i += 2 {
		e.look(pairs[i])
		if !e.there {
			added++
		}
		e.set(pairs[i], pairs[i+1], keyspace.NoExpire)
	}
	e.close()
	c.ChangedBy(k, len(pairs)/2)
	return added, true
}

// openFor opens for fields and their values.
func (e *editor) openFor(pairs [][]byte) {
	bytes, long := 0, false
	for _, p := range pairs {
		bytes += packed.EntryBytes(p)
		long = long || e.tooLong(p)
	}
	e.open(len(pairs)/2, bytes, long)
}

func hsetnxCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "hsetnx", Arity: 4, Flags: command.Write | command.DenyOOM | command.Fast, Categories: command.CatHash,
		Keys: command.One(command.KeyRW | command.KeyInsert),
		Log:  command.LogRequest, Handler: hsetnx,
		Group: "hash", Since: "2.0.0", Complexity: "O(1)",
		Summary: "Gives a field of a hash a value if there is no such field yet",
		Args:    []command.Arg{keyArg, fieldArg, valueArg},
	}
}

func hsetnx(c *command.Ctx) {
	r, ok := findForWrite(c)
	if !ok {
		return
	}
	k := &c.Keys[0]
	if r != 0 {
		if has(c, r, c.Args[2]) {
			c.W.Int(0)
			return
		}
		r = c.ExpireField(k, r, c.Args[2])
	}
	e := editor{c: c, k: k, s: k.Shard, r: r}
	e.openFor(c.Args[2:])
	e.look(c.Args[2])
	e.set(c.Args[2], c.Args[3], keyspace.NoExpire)
	e.close()
	c.Changed(k)
	c.W.Int(1)
}

func hdelCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "hdel", Arity: -3, Flags: command.Write | command.Fast, Categories: command.CatHash,
		Keys: command.One(command.KeyRW | command.KeyDelete),
		Log:  command.LogRequest, Handler: hdel,
		Group: "hash", Since: "2.0.0", Complexity: "O(N) where N is the number of fields to be removed",
		Summary: "Removes fields of a hash",
		Args:    []command.Arg{keyArg, fieldsArg},
		History: [][2]string{{"2.4.0", "Several fields at once."}},
	}
}

func hdel(c *command.Ctx) {
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
	e.openThere()
	n := 0
	for _, field := range c.Args[2:] {
		if e.look(field); e.there { // whether it has expired is not asked, as in Redis
			n++
			e.remove()
		}
	}
	if e.form == large {
		e.close()
	}
	if n > 0 {
		c.ChangedBy(k, n)
	}
	c.W.Int(int64(n))
}
