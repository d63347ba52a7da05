package strings

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
)

// setKeyFlags: without GET the old value is overwritten unseen.
func setKeyFlags(args [][]byte) command.KeyFlags {
	for _, a := range args[min(3, len(args)):] {
		if command.Is(a, "get") {
			return command.KeyRW | command.KeyAccess | command.KeyUpdate
		}
	}
	return command.KeyOW | command.KeyUpdate
}

func setCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "set", Arity: -3, Flags: command.Write | command.DenyOOM, Categories: command.CatString,
		Keys: []command.KeySpec{{
			Notes: "it is read, too, when the GET option is given",
			Flags: command.KeyRW | command.KeyAccess | command.KeyUpdate | command.KeyVariable, Begin: 1, Step: 1,
			Refine: setKeyFlags,
		}},
		KeyUse: setKeyUse,
		Log:    command.LogRequest, Handler: set,
		Group: "string", Since: "1.0.0", Complexity: "O(1)",
		Summary: "Stores a string under a key, replacing whatever stood there",
		Args: []command.Arg{keyArg, valueArg,
			{Name: "condition", Type: "oneof", Since: "2.6.12", Flags: command.Optional, Args: []command.Arg{
				{Name: "nx", Type: "pure-token", Token: "NX"},
				{Name: "xx", Type: "pure-token", Token: "XX"},
			}},
			{Name: "get", Type: "pure-token", Token: "GET", Since: "6.2.0", Flags: command.Optional},
			{Name: "expiration", Type: "oneof", Flags: command.Optional, Args: []command.Arg{
				{Name: "seconds", Type: "integer", Token: "EX", Since: "2.6.12"},
				{Name: "milliseconds", Type: "integer", Token: "PX", Since: "2.6.12"},
				{Name: "unix-time-seconds", Type: "unix-time", Token: "EXAT", Since: "6.2.0"},
				{Name: "unix-time-milliseconds", Type: "unix-time", Token: "PXAT", Since: "6.2.0"},
				{Name: "keepttl", Type: "pure-token", Token: "KEEPTTL", Since: "6.0.0"},
			}},
		},
		History: [][2]string{
			{"2.6.12", "Options EX, PX, NX and XX."},
			{"6.0.0", "Option KEEPTTL."},
			{"6.2.0", "Options GET, EXAT and PXAT."},
			{"7.0.0", "NX and GET may stand together."},
		},
	}
}

// setKeyUse: without GET the old value is not read.
func setKeyUse(args [][]byte) command.KeyFlags {
	for _, a := range args[min(3, len(args)):] {
		if command.Is(a, "get") {
			return command.KeyRW | command.KeyAccess | command.KeyUpdate
		}
	}
	return command.KeyOW | command.KeyUpdate
}

func set(c *command.Ctx) {
	if len(c.Args) == 3 {
		v := c.Args[2]
		c.Overwrite(&c.Keys[0], v, command.StringEncoding(v), keyspace.NoExpire)
		c.W.OK()
		return
	}
	setWithOptions(c)
}

func setWithOptions(c *command.Ctx) {
	var nx, xx, get bool
	kind, timeArg := noExpiry, 0
	for i := 3; i < len(c.Args); i++ {
		a := c.Args[i]
		switch k := expiryOption(a); {
		case k != noExpiry && k != dropExpiry && (kind == noExpiry || kind == k):
			if k.hasTime() {
				if i++; i == len(c.Args) {
					c.W.Error(command.ErrSyntax)
					return
				}
				timeArg = i
			}
			kind = k
		case command.Is(a, "nx") && !xx:
			nx = true
		case command.Is(a, "xx") && !nx:
			xx = true
		case command.Is(a, "get"):
			get = true
		default:
			c.W.Error(command.ErrSyntax)
			return
		}
	}
	at := keyspace.NoExpire
	if kind.hasTime() {
		var ok bool
		if at, ok = deadline(c, kind, c.Args[timeArg]); !ok {
			return
		}
	}
	k, v := &c.Keys[0], c.Args[2]
	var r keyspace.Ref
	if get {
		var old []byte
		var ok bool
		if r, old, ok = c.FindString(k); !ok {
			return
		}
		bulkOrNull(c, r, old)
	} else {
		r = c.FindForWrite(k)
	}
	if nx && r != 0 || xx && r == 0 {
		if !get {
			c.W.Null()
		}
		return
	}
	if !get {
		c.W.OK()
	}
	if kind.hasTime() && c.Past(at) {
		c.RemovePast(k, r)
		return
	}
	if kind == keepExpiry && r != 0 {
		at = k.Shard.ExpireAt(r)
	}
	c.Replace(k, r, v, command.StringEncoding(v), at)
	switch {
	case kind == keepExpiry:
		if nx || xx || get {
			c.Effect(setWord, k.Name, v, keepttlWord)
		}
	case kind == atMillis && !nx && !xx && !get: // the request says it all
	default:
		logSet(c, k.Name, v, at)
	}
}

func bulkOrNull(c *command.Ctx, r keyspace.Ref, v []byte) {
	if r == 0 {
		c.W.Null()
	} else {
		c.W.Bulk(v)
	}
}

func setnxCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "setnx", Arity: 3, Flags: command.Write | command.DenyOOM | command.Fast, Categories: command.CatString,
		Keys: command.One(command.KeyOW | command.KeyInsert),
		Log:  command.LogRequest, Handler: setnx,
		Group: "string", Since: "1.0.0", Complexity: "O(1)",
		Summary:  "Stores a string under a key that does not exist yet",
		DocFlags: []string{"deprecated"}, Deprecated: "2.6.12", ReplacedBy: "`SET` with the `NX` argument",
		Args: []command.Arg{keyArg, valueArg},
	}
}

func setnx(c *command.Ctx) {
	k, v := &c.Keys[0], c.Args[2]
	if c.FindForWrite(k) != 0 {
		c.W.Int(0)
		return
	}
	c.Replace(k, 0, v, command.StringEncoding(v), keyspace.NoExpire)
	c.W.Int(1)
}

func setexCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "setex", Arity: 4, Flags: command.Write | command.DenyOOM, Categories: command.CatString,
		Keys: command.One(command.KeyOW | command.KeyUpdate),
		Log:  command.LogEffect, Handler: func(c *command.Ctx) { setWithExpiry(c, inSeconds) },
		Group: "string", Since: "2.0.0", Complexity: "O(1)",
		Summary:  "Stores a string that expires after so many seconds",
		DocFlags: []string{"deprecated"}, Deprecated: "2.6.12", ReplacedBy: "`SET` with the `EX` argument",
		Args: []command.Arg{keyArg, {Name: "seconds", Type: "integer"}, valueArg},
	}
}

func psetexCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "psetex", Arity: 4, Flags: command.Write | command.DenyOOM, Categories: command.CatString,
		Keys: command.One(command.KeyOW | command.KeyUpdate),
		Log:  command.LogEffect, Handler: func(c *command.Ctx) { setWithExpiry(c, inMillis) },
		Group: "string", Since: "2.6.0", Complexity: "O(1)",
		Summary:  "Stores a string that expires after so many milliseconds",
		DocFlags: []string{"deprecated"}, Deprecated: "2.6.12", ReplacedBy: "`SET` with the `PX` argument",
		Args: []command.Arg{keyArg, {Name: "milliseconds", Type: "integer"}, valueArg},
	}
}

func setWithExpiry(c *command.Ctx, kind expiryKind) {
	at, ok := deadline(c, kind, c.Args[2])
	if !ok {
		return
	}
	k, v := &c.Keys[0], c.Args[3]
	c.Overwrite(k, v, command.StringEncoding(v), at)
	logSet(c, k.Name, v, at)
	c.W.OK()
}

func msetCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "mset", Arity: -3, Flags: command.Write | command.DenyOOM, Categories: command.CatString,
		Keys: []command.KeySpec{{Flags: command.KeyOW | command.KeyUpdate, Begin: 1, Last: -1, Step: 2}},
		Log:  command.LogRequest, Handler: mset,
		Group: "string", Since: "1.0.1", Complexity: "O(N) where N is the number of keys to set.",
		Summary: "Stores several strings at once",
		Args:    pairArgs(),
		Tips:    []string{"request_policy:multi_shard", "response_policy:all_succeeded"},
	}
}

func msetnxCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "msetnx", Arity: -3, Flags: command.Write | command.DenyOOM, Categories: command.CatString,
		Keys: []command.KeySpec{{Flags: command.KeyOW | command.KeyInsert, Begin: 1, Last: -1, Step: 2}},
		Log:  command.LogRequest, Handler: msetnx,
		Group: "string", Since: "1.0.1", Complexity: "O(N) where N is the number of keys to set.",
		Summary: "Stores several strings at once, but only when none of the keys exists",
		Args:    pairArgs(),
	}
}

func pairArgs() []command.Arg {
	return []command.Arg{{Name: "data", Type: "block", Flags: command.Multiple, Args: []command.Arg{keyArg, valueArg}}}
}

func mset(c *command.Ctx) {
	if pairs(c) {
		storePairs(c)
		c.W.OK()
	}
}

func msetnx(c *command.Ctx) {
	if !pairs(c) {
		return
	}
	for i := range c.Keys {
		if c.FindForWrite(&c.Keys[i]) != 0 {
			c.W.Int(0)
			return
		}
	}
	storePairs(c)
	c.W.Int(1)
}

func pairs(c *command.Ctx) bool {
	if len(c.Args)%2 == 0 {
		c.W.Error(command.WrongArity(c.Cmd))
		return false
	}
	return true
}

func storePairs(c *command.Ctx) {
	for i := range c.Keys {
		k := &c.Keys[i]
		v := c.Args[k.Arg+1]
		c.Overwrite(k, v, command.StringEncoding(v), keyspace.NoExpire)
	}
}
