package strings

import (
	"math"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
)

func appendCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "append", Arity: 3, Flags: command.Write | command.DenyOOM | command.Fast, Categories: command.CatString,
		Keys: command.One(command.KeyRW | command.KeyInsert),
		Log:  command.LogRequest, Handler: appendTo,
		Group: "string", Since: "2.0.0",
		Complexity: "O(1) amortised: room to grow is kept behind the value.",
		Summary:    "Appends to the string stored under a key, creating the key if need be",
		Args:       []command.Arg{keyArg, valueArg},
	}
}

func appendTo(c *command.Ctx) {
	k, tail := &c.Keys[0], c.Args[2]
	r, v, ok := c.FindStringForWrite(k)
	if !ok {
		return
	}
	if r == 0 {
		c.Replace(k, 0, tail, command.StringEncoding(tail), keyspace.NoExpire)
		c.W.Int(int64(len(tail)))
		return
	}
	n := len(v)
	if !c.FitsBulk(int64(n) + int64(len(tail))) {
		return
	}
	_, v = k.Shard.Resize(c.DB, k.Hash, r, n+len(tail))
	copy(v[n:], tail)
	c.Changed(k)
	c.W.Int(int64(len(v)))
}

func strlenCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "strlen", Arity: 2, Flags: command.ReadOnly | command.Fast, Categories: command.CatString,
		Keys:  command.One(command.KeyRO),
		Group: "string", Since: "2.2.0", Complexity: "O(1)", Handler: strlen,
		Summary: "Returns the length of the string stored under a key",
		Args:    []command.Arg{keyArg},
	}
}

func strlen(c *command.Ctx) {
	if _, v, ok := c.FindString(&c.Keys[0]); ok {
		c.W.Int(int64(len(v)))
	}
}

func setrangeCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "setrange", Arity: 4, Flags: command.Write | command.DenyOOM, Categories: command.CatString,
		Keys: command.One(command.KeyRW | command.KeyUpdate),
		Log:  command.LogRequest, Handler: setrange,
		Group: "string", Since: "2.2.0",
		Complexity: "O(M) with M being the length of the value argument; amortised, when the string grows.",
		Summary:    "Overwrites part of the string stored under a key, which grows with zero bytes if need be",
		Args:       []command.Arg{keyArg, {Name: "offset", Type: "integer"}, valueArg},
	}
}

func setrange(c *command.Ctx) {
	off, ok := c.Int(2)
	if !ok {
		return
	}
	if off < 0 {
		c.W.Error("ERR offset is out of range")
		return
	}
	k, part := &c.Keys[0], c.Args[3]
	r, v, ok := c.FindStringForWrite(k)
	if !ok {
		return
	}
	if len(part) == 0 {
		c.W.Int(int64(len(v)))
		return
	}
	if off > math.MaxInt64-int64(len(part)) {
		c.W.Error(command.ErrStringSize)
		return
	}
	end := off + int64(len(part))
	if !c.FitsBulk(end) {
		return
	}
	n := max(len(v), int(end))
	if r == 0 {
		r = k.Shard.PutString(c.DB, k.Hash, 0, k.Name, nil, keyspace.Raw, keyspace.NoExpire, c.AccessClock())
	}
	_, v = k.Shard.Resize(c.DB, k.Hash, r, n)
	copy(v[off:], part)
	c.Changed(k)
	c.W.Int(int64(n))
}

func getrangeCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "getrange", Arity: 4, Flags: command.ReadOnly, Categories: command.CatString,
		Keys:  command.One(command.KeyRO | command.KeyAccess),
		Group: "string", Since: "2.4.0", Handler: getrange,
		Complexity: "O(N) where N is the length of the returned string.",
		Summary:    "Returns a part of the string stored under a key",
		Args:       []command.Arg{keyArg, {Name: "start", Type: "integer"}, {Name: "end", Type: "integer"}},
	}
}

func substrCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "substr", Arity: 4, Flags: command.ReadOnly, Categories: command.CatString,
		Keys:  command.One(command.KeyRO | command.KeyAccess),
		Group: "string", Since: "1.0.0", Handler: getrange,
		Complexity: "O(N) where N is the length of the returned string.",
		Summary:    "Returns a part of the string stored under a key",
		Args:       []command.Arg{keyArg, {Name: "start", Type: "integer"}, {Name: "end", Type: "integer"}},
		DocFlags:   []string{"deprecated"}, Deprecated: "2.0.0", ReplacedBy: "`GETRANGE`",
	}
}

func getrange(c *command.Ctx) {
	start, ok := c.Int(2)
	if !ok {
		return
	}
	end, ok := c.Int(3)
	if !ok {
		return
	}
	_, v, ok := c.FindString(&c.Keys[0])
	if !ok {
		return
	}
	n := int64(len(v))
	if start < 0 && end < 0 && start > end {
		c.W.Bulk(nil)
		return
	}
	if start < 0 {
		start = max(start+n, 0)
	}
	if end < 0 {
		end = max(end+n, 0) // an end before the string still takes its first byte, as in Redis
	}
	end = min(end, n-1)
	if start > end {
		c.W.Bulk(nil)
		return
	}
	c.W.Bulk(v[start : end+1])
}
