package strings

import (
	"strconv"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
)

func getCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "get", Arity: 2, Flags: command.ReadOnly | command.Fast, Categories: command.CatString,
		Keys:  command.One(command.KeyRO | command.KeyAccess),
		Group: "string", Since: "1.0.0", Complexity: "O(1)", Handler: get,
		Summary: "Returns the string stored under a key",
		Args:    []command.Arg{keyArg},
	}
}

func get(c *command.Ctx) {
	if r, v, ok := c.FindString(&c.Keys[0]); ok {
		bulkOrNull(c, r, v)
	}
}

func mgetCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "mget", Arity: -2, Flags: command.ReadOnly | command.Fast, Categories: command.CatString,
		Keys:  []command.KeySpec{{Flags: command.KeyRO | command.KeyAccess, Begin: 1, Last: -1, Step: 1}},
		Group: "string", Since: "1.0.0", Complexity: "O(N) where N is the number of keys to retrieve.", Handler: mget,
		Summary: "Returns the strings stored under several keys",
		Args:    []command.Arg{{Name: "key", Type: "key", Flags: command.Multiple}},
		Tips:    []string{"request_policy:multi_shard"},
	}
}

func mget(c *command.Ctx) {
	c.W.Array(len(c.Keys))
	for i := range c.Keys {
		k := &c.Keys[i]
		r := c.Find(k)
		if r == 0 || k.Shard.Type(r) != keyspace.String {
			c.W.Null()
			continue
		}
		c.W.Bulk(k.Shard.Value(r))
	}
}

func getsetCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "getset", Arity: 3, Flags: command.Write | command.DenyOOM | command.Fast, Categories: command.CatString,
		Keys: command.One(command.KeyRW | command.KeyAccess | command.KeyUpdate),
		Log:  command.LogRequest, Handler: getset,
		Group: "string", Since: "1.0.0", Complexity: "O(1)",
		Summary:  "Stores a string under a key and returns the one it replaces",
		Args:     []command.Arg{keyArg, valueArg},
		DocFlags: []string{"deprecated"}, Deprecated: "6.2.0", ReplacedBy: "`SET` with the `!GET` argument",
	}
}

func getset(c *command.Ctx) {
	k, v := &c.Keys[0], c.Args[2]
	r, old, ok := c.FindString(k)
	if !ok {
		return
	}
	bulkOrNull(c, r, old)
	c.Replace(k, r, v, command.StringEncoding(v), keyspace.NoExpire)
}

func getdelCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "getdel", Arity: 2, Flags: command.Write | command.Fast, Categories: command.CatString,
		Keys: command.One(command.KeyRW | command.KeyAccess | command.KeyDelete),
		Log:  command.LogEffect, Handler: getdel,
		Group: "string", Since: "6.2.0", Complexity: "O(1)",
		Summary: "Returns the string stored under a key and removes the key",
		Args:    []command.Arg{keyArg},
	}
}

func getdel(c *command.Ctx) {
	k := &c.Keys[0]
	r, v, ok := c.FindString(k)
	if !ok {
		return
	}
	bulkOrNull(c, r, v)
	if r != 0 {
		k.Shard.Delete(c.DB, k.Hash, r)
		c.Changed(k)
		c.Effect(delWord, k.Name)
	}
}

func getexCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "getex", Arity: -2, Flags: command.Write | command.Fast, Categories: command.CatString,
		Keys: []command.KeySpec{{
			Notes: "it is written to when the expiry changes",
			Flags: command.KeyRW | command.KeyAccess | command.KeyUpdate, Begin: 1, Step: 1,
		}},
		Log: command.LogEffect, Handler: getex,
		Group: "string", Since: "6.2.0", Complexity: "O(1)",
		Summary: "Returns the string stored under a key and sets or clears its expiry",
		Args: []command.Arg{keyArg,
			{Name: "expiration", Type: "oneof", Flags: command.Optional, Args: []command.Arg{
				{Name: "seconds", Type: "integer", Token: "EX"},
				{Name: "milliseconds", Type: "integer", Token: "PX"},
				{Name: "unix-time-seconds", Type: "unix-time", Token: "EXAT"},
				{Name: "unix-time-milliseconds", Type: "unix-time", Token: "PXAT"},
				{Name: "persist", Type: "pure-token", Token: "PERSIST"},
			}},
		},
	}
}

func getex(c *command.Ctx) {
	kind, timeArg := noExpiry, 0
	for i := 2; i < len(c.Args); i++ {
		k := expiryOption(c.Args[i])
		if k == noExpiry || k == keepExpiry || kind != noExpiry && kind != k {
			c.W.Error(command.ErrSyntax)
			return
		}
		if kind = k; k.hasTime() {
			if i++; i == len(c.Args) {
				c.W.Error(command.ErrSyntax)
				return
			}
			timeArg = i
		}
	}
	k := &c.Keys[0]
	r, v, ok := c.FindString(k)
	if !ok {
		return
	}
	if r == 0 {
		c.W.Null()
		return
	}
	if !kind.hasTime() {
		c.W.Bulk(v)
		if kind == dropExpiry && k.Shard.ExpireAt(r) != keyspace.NoExpire {
			k.Shard.SetExpire(c.DB, k.Hash, r, keyspace.NoExpire)
			c.Changed(k)
			c.Effect(persistWord, k.Name)
		}
		return
	}
	at, ok := deadline(c, kind, c.Args[timeArg])
	if !ok {
		return
	}
	c.W.Bulk(v)
	if c.Past(at) {
		c.RemovePast(k, r)
		return
	}
	k.Shard.SetExpire(c.DB, k.Hash, r, at)
	c.Changed(k)
	if c.Logged() {
		var a [20]byte
		c.Effect(pexpireatWord, k.Name, strconv.AppendInt(a[:0], at, 10))
	}
}
