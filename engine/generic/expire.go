package generic

import (
	"math"
	"strconv"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
)

var expire = &command.Descriptor{
	Name: "expire", Arity: -3, Flags: command.Write | command.Fast, Categories: command.CatKeyspace,
	Keys: command.One(command.KeyRW | command.KeyUpdate), Log: command.LogEffect,
	Handler: func(c *command.Ctx) { setExpiry(c, 1000, c.Now) },
	Group:   "generic", Since: "1.0.0", Summary: "Lets a key expire after a number of seconds.",
	Complexity: "O(1)", Args: expireArgs("seconds", "integer"), History: expireHistory,
}

var pexpire = &command.Descriptor{
	Name: "pexpire", Arity: -3, Flags: command.Write | command.Fast, Categories: command.CatKeyspace,
	Keys: command.One(command.KeyRW | command.KeyUpdate), Log: command.LogEffect,
	Handler: func(c *command.Ctx) { setExpiry(c, 1, c.Now) },
	Group:   "generic", Since: "2.6.0", Summary: "Lets a key expire after a number of milliseconds.",
	Complexity: "O(1)", Args: expireArgs("milliseconds", "integer"), History: expireHistory,
}

var expireAt = &command.Descriptor{
	Name: "expireat", Arity: -3, Flags: command.Write | command.Fast, Categories: command.CatKeyspace,
	Keys: command.One(command.KeyRW | command.KeyUpdate), Log: command.LogEffect,
	Handler: func(c *command.Ctx) { setExpiry(c, 1000, 0) },
	Group:   "generic", Since: "1.2.0", Summary: "Lets a key expire at a Unix time in seconds.",
	Complexity: "O(1)", Args: expireArgs("unix-time-seconds", "unix-time"), History: expireHistory,
}

var pexpireAt = &command.Descriptor{
	Name: "pexpireat", Arity: -3, Flags: command.Write | command.Fast, Categories: command.CatKeyspace,
	Keys: command.One(command.KeyRW | command.KeyUpdate), Log: command.LogEffect,
	Handler: func(c *command.Ctx) { setExpiry(c, 1, 0) },
	Group:   "generic", Since: "2.6.0", Summary: "Lets a key expire at a Unix time in milliseconds.",
	Complexity: "O(1)", Args: expireArgs("unix-time-milliseconds", "unix-time"), History: expireHistory,
}

func expireArgs(name, typ string) []command.Arg {
	return []command.Arg{{Name: "key", Type: "key"}, {Name: name, Type: typ},
		{Name: "condition", Type: "oneof", Since: "7.0.0", Flags: command.Optional, Args: []command.Arg{
			{Name: "nx", Type: "pure-token", Token: "NX"}, {Name: "xx", Type: "pure-token", Token: "XX"},
			{Name: "gt", Type: "pure-token", Token: "GT"}, {Name: "lt", Type: "pure-token", Token: "LT"}}}}
}

var expireHistory = [][2]string{{"7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`."}}

// Conditions of EXPIRE and its kin.
const (
	onlyVolatile   = 1 << iota // XX
	onlyPersistent             // NX
	onlyLater                  // GT
	onlyEarlier                // LT
)

// setExpiry is EXPIRE, PEXPIRE, EXPIREAT and PEXPIREAT: argument 2 counts units of so many ms from base (Unix ms).
func setExpiry(c *command.Ctx, unit, base int64) {
	cond, ok := expireCondition(c)
	if !ok {
		return
	}
	at, ok := c.Int(2)
	if !ok {
		return
	}
	if at > math.MaxInt64/unit || at < math.MinInt64/unit || at*unit > math.MaxInt64-base {
		c.W.Error(command.ErrExpire(c.Cmd.Name))
		return
	}
	at = at*unit + base
	k := &c.Keys[0]
	r := c.FindForWrite(k)
	if r == 0 || !allowed(cond, k.Shard.ExpireAt(r), at) {
		c.W.Int(0)
		return
	}
	if c.Past(at) {
		c.RemovePast(k, r)
		c.W.Int(1)
		return
	}
	// The keyspace knows no negative times (-1 says that there is none); during replay one is as good as another.
	k.Shard.SetExpire(c.DB, k.Hash, r, max(at, 0))
	if c.Logged() {
		var a [20]byte
		c.Effect(pexpireatWord, k.Name, strconv.AppendInt(a[:0], at, 10))
	}
	c.Changed(k)
	c.W.Int(1)
}

var pexpireatWord = []byte("PEXPIREAT")

func expireCondition(c *command.Ctx) (cond int, ok bool) {
	for _, a := range c.Args[3:] {
		switch {
		case command.Is(a, "nx"):
			cond |= onlyPersistent
		case command.Is(a, "xx"):
			cond |= onlyVolatile
		case command.Is(a, "gt"):
			cond |= onlyLater
		case command.Is(a, "lt"):
			cond |= onlyEarlier
		default:
			c.W.Error("ERR Unsupported option " + string(a))
			return 0, false
		}
	}
	if cond&onlyPersistent != 0 && cond != onlyPersistent {
		c.W.Error("ERR NX and XX, GT or LT options at the same time are not compatible")
		return 0, false
	}
	if cond&onlyLater != 0 && cond&onlyEarlier != 0 {
		c.W.Error("ERR GT and LT options at the same time are not compatible")
		return 0, false
	}
	return cond, true
}

// allowed says whether the conditions let a key that expires at now (or not: NoExpire) expire at then. No expiry counts
// as later than any.
func allowed(cond int, now, then int64) bool {
	volatile := now != keyspace.NoExpire
	switch {
	case cond&onlyPersistent != 0 && volatile,
		cond&onlyVolatile != 0 && !volatile,
		cond&onlyLater != 0 && (!volatile || then <= now),
		cond&onlyEarlier != 0 && volatile && then >= now:
		return false
	}
	return true
}

var persist = &command.Descriptor{
	Name: "persist", Arity: 2, Flags: command.Write | command.Fast, Categories: command.CatKeyspace,
	Keys: command.One(command.KeyRW | command.KeyUpdate), Log: command.LogRequest,
	Handler: func(c *command.Ctx) {
		k := &c.Keys[0]
		r := c.FindForWrite(k)
		if r == 0 || k.Shard.ExpireAt(r) == keyspace.NoExpire {
			c.W.Int(0)
			return
		}
		k.Shard.SetExpire(c.DB, k.Hash, r, keyspace.NoExpire)
		c.Changed(k)
		c.W.Int(1)
	},
	Group: "generic", Since: "2.2.0", Summary: "Takes a key's expiry away.",
	Complexity: "O(1)", Args: keyArg,
}

var ttl = &command.Descriptor{
	Name: "ttl", Arity: 2, Flags: command.ReadOnly | command.Fast, Categories: command.CatKeyspace,
	Keys:    command.One(command.KeyRO | command.KeyAccess),
	Handler: func(c *command.Ctx) { replyExpiry(c, true, true) },
	Group:   "generic", Since: "1.0.0", Summary: "Tells in how many seconds a key expires.",
	Complexity: "O(1)", Args: keyArg,
	Tips: []string{"nondeterministic_output"}, History: ttlHistory,
}

var pttl = &command.Descriptor{
	Name: "pttl", Arity: 2, Flags: command.ReadOnly | command.Fast, Categories: command.CatKeyspace,
	Keys:    command.One(command.KeyRO | command.KeyAccess),
	Handler: func(c *command.Ctx) { replyExpiry(c, false, true) },
	Group:   "generic", Since: "2.6.0", Summary: "Tells in how many milliseconds a key expires.",
	Complexity: "O(1)", Args: keyArg,
	Tips: []string{"nondeterministic_output"}, History: ttlHistory,
}

var expireTime = &command.Descriptor{
	Name: "expiretime", Arity: 2, Flags: command.ReadOnly | command.Fast, Categories: command.CatKeyspace,
	Keys:    command.One(command.KeyRO | command.KeyAccess),
	Handler: func(c *command.Ctx) { replyExpiry(c, true, false) },
	Group:   "generic", Since: "7.0.0", Summary: "Tells the Unix time in seconds at which a key expires.",
	Complexity: "O(1)", Args: keyArg,
}

var pexpireTime = &command.Descriptor{
	Name: "pexpiretime", Arity: 2, Flags: command.ReadOnly | command.Fast, Categories: command.CatKeyspace,
	Keys:    command.One(command.KeyRO | command.KeyAccess),
	Handler: func(c *command.Ctx) { replyExpiry(c, false, false) },
	Group:   "generic", Since: "7.0.0", Summary: "Tells the Unix time in milliseconds at which a key expires.",
	Complexity: "O(1)", Args: keyArg,
}

var ttlHistory = [][2]string{{"2.8.0", "Added the -2 reply."}}

// replyExpiry replies when the key expires: -2 when there is no key, -1 when it does not. Seconds are rounded to the nearest.
func replyExpiry(c *command.Ctx, seconds, relative bool) {
	k := &c.Keys[0]
	r := c.FindUntouched(k)
	if r == 0 {
		c.W.Int(-2)
		return
	}
	at := k.Shard.ExpireAt(r)
	if at == keyspace.NoExpire {
		c.W.Int(-1)
		return
	}
	if relative {
		at = max(at-c.Now, 0)
	}
	if seconds {
		at = int64((uint64(at) + 500) / 1000)
	}
	c.W.Int(at)
}
