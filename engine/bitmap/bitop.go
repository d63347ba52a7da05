package bitmap

import (
	"bytes"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
)

func bitopCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "bitop", Arity: -4, Flags: command.Write | command.DenyOOM, Categories: command.CatBitmap,
		Keys: []command.KeySpec{
			{Flags: command.KeyOW | command.KeyUpdate, Begin: 2, Step: 1},
			{Flags: command.KeyRO | command.KeyAccess, Begin: 3, Last: -1, Step: 1},
		},
		Log: command.LogRequest, Handler: bitop,
		Group: "bitmap", Since: "2.6.0", Complexity: "O(N)",
		Summary: "Combines several strings bit by bit and stores the outcome under another key",
		Args: []command.Arg{{Name: "operation", Type: "oneof", Args: []command.Arg{
			{Name: "and", Type: "pure-token", Token: "AND"}, {Name: "or", Type: "pure-token", Token: "OR"},
			{Name: "xor", Type: "pure-token", Token: "XOR"}, {Name: "not", Type: "pure-token", Token: "NOT"}}},
			{Name: "destkey", Type: "key"},
			{Name: "key", Type: "key", KeySpec: 1, Flags: command.Multiple},
		},
	}
}

func bitop(c *command.Ctx) {
	var op operation
	switch name := c.Args[1]; {
	case command.Is(name, "and"):
		op = opAnd
	case command.Is(name, "or"):
		op = opOr
	case command.Is(name, "xor"):
		op = opXor
	case command.Is(name, "not"):
		op = opNot
		if len(c.Args) != 4 {
			c.W.Error("ERR BITOP NOT must be called with a single source key.")
			return
		}
	default:
		c.W.Error(command.ErrSyntax)
		return
	}
	dst, sources := &c.Keys[0], c.Keys[1:]
	for i := range sources {
		k := &sources[i]
		if r := c.Find(k); r != 0 && k.Shard.Type(r) != keyspace.String {
			c.W.Error(command.ErrWrongType)
			return
		}
	}
	// Finding a key may remove it as expired, which moves what views show: they are taken when all have been found.
	var room [8][]byte
	src, longest := views(c, sources, room[:0])
	c.W.Int(int64(longest))
	switch {
	case longest == 0:
		if r := c.FindForWrite(dst); r != 0 {
			dst.Shard.Delete(c.DB, dst.Hash, r)
			c.Changed(dst)
		}
	case longest > inPlace && !among(dst, sources):
		c.Overwrite(dst, nil, keyspace.Raw, keyspace.NoExpire)
		_, out := dst.Shard.Resize(c.DB, dst.Hash, dst.Shard.Find(c.DB, dst.Hash, dst.Name), longest)
		src, _ = views(c, sources, src[:0]) // what they showed may have moved
		combine(op, out, src)
	default:
		out := c.Scratch(longest)
		combine(op, out, src)
		c.Overwrite(dst, out, keyspace.Raw, keyspace.NoExpire)
	}
}

// inPlace is the length from which on a result is made where it will stay, rather than copied there.
const inPlace = 128 << 10

// views appends what the keys, which have been found before, hold; missing ones hold nothing.
func views(c *command.Ctx, keys []command.Key, out [][]byte) (src [][]byte, longest int) {
	for i := range keys {
		k := &keys[i]
		var v []byte
		if r := c.Peek(k); r != 0 {
			v = k.Shard.Value(r)
		}
		out = append(out, v)
		longest = max(longest, len(v))
	}
	return out, longest
}

func among(k *command.Key, keys []command.Key) bool {
	for i := range keys {
		if bytes.Equal(k.Name, keys[i].Name) {
			return true
		}
	}
	return false
}
