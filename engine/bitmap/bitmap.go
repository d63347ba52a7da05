// Package bitmap is the commands that see a string as an array of bits: SETBIT, BITCOUNT, BITPOS, BITOP, BITFIELD.
//
// Bit 0 is the most significant bit of byte 0. Absent bytes are zero: a missing key is a bitmap without bits, and writing beyond
// the end grows the string. What SETBIT and BITFIELD have written to is encoded raw, changed or not, as in Redis.
//
// https://redis.io/docs/latest/commands/?group=bitmap
package bitmap

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
)

// Commands returns the descriptors of the family. Each call makes new ones: a table writes into them.
func Commands() []*command.Descriptor {
	return []*command.Descriptor{
		setbitCommand(), getbitCommand(), bitcountCommand(), bitposCommand(), bitopCommand(), bitfieldCommand(), bitfieldROCommand(),
	}
}

var keyArg = command.Arg{Name: "key", Type: "key"}

const errBitOffset = "ERR bit offset is not an integer or out of range"

// bitOffset parses the position of a bit. With width > 0 it may be given as #n, the n-th field of that width. ok is false
// when the error has been replied.
func bitOffset(c *command.Ctx, arg []byte, width int64) (off int64, ok bool) {
	unit := int64(1)
	if width > 0 && len(arg) > 0 && arg[0] == '#' {
		arg, unit = arg[1:], width
	}
	n, ok := command.ParseInt(arg)
	if !ok || n < 0 || n > (1<<62)/unit || n*unit>>3 >= c.MaxBulk() {
		c.W.Error(errBitOffset)
		return 0, false
	}
	return n * unit, true
}

// grown returns a writable view of the string of k with room for n bytes at least; r and v are what FindStringForWrite gave.
func grown(c *command.Ctx, k *command.Key, r keyspace.Ref, v []byte, n int) []byte {
	if r == 0 {
		r = k.Shard.PutString(c.DB, k.Hash, 0, k.Name, nil, keyspace.Raw, keyspace.NoExpire, c.AccessClock())
	}
	_, v = k.Shard.Resize(c.DB, k.Hash, r, max(n, len(v)))
	return v
}

func setbitCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "setbit", Arity: 4, Flags: command.Write | command.DenyOOM, Categories: command.CatBitmap,
		Keys: command.One(command.KeyRW | command.KeyAccess | command.KeyUpdate),
		Log:  command.LogRequest, Handler: setbit,
		Group: "bitmap", Since: "2.2.0", Complexity: "O(1)",
		Summary: "Sets or clears one bit of the string stored under a key, and returns what it was",
		Args:    []command.Arg{keyArg, {Name: "offset", Type: "integer"}, {Name: "value", Type: "integer"}},
	}
}

func setbit(c *command.Ctx) {
	off, ok := bitOffset(c, c.Args[2], 0)
	if !ok {
		return
	}
	if len(c.Args[3]) != 1 || c.Args[3][0]&^1 != '0' {
		c.W.Error("ERR bit is not an integer or out of range")
		return
	}
	bit := c.Args[3][0] & 1
	k := &c.Keys[0]
	r, v, ok := c.FindStringForWrite(k)
	if !ok {
		return
	}
	at, shift := int(off>>3), uint(7-off&7)
	changed := at >= len(v)
	var old byte
	if !changed {
		old = v[at] >> shift & 1
		changed = old != bit
	}
	if changed || k.Shard.Encoding(r) != keyspace.Raw {
		v = grown(c, k, r, v, at+1)
		v[at] = v[at]&^(1<<shift) | bit<<shift
	}
	if changed {
		c.Changed(k)
	}
	c.W.Int(int64(old))
}

func getbitCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "getbit", Arity: 3, Flags: command.ReadOnly | command.Fast, Categories: command.CatBitmap,
		Keys:  command.One(command.KeyRO | command.KeyAccess),
		Group: "bitmap", Since: "2.2.0", Complexity: "O(1)", Handler: getbit,
		Summary: "Returns one bit of the string stored under a key",
		Args:    []command.Arg{keyArg, {Name: "offset", Type: "integer"}},
	}
}

func getbit(c *command.Ctx) {
	off, ok := bitOffset(c, c.Args[2], 0)
	if !ok {
		return
	}
	_, v, ok := c.FindString(&c.Keys[0])
	if !ok {
		return
	}
	var bit byte
	if at := off >> 3; at < int64(len(v)) {
		bit = v[at] >> uint(7-off&7) & 1
	}
	c.W.Int(int64(bit))
}
