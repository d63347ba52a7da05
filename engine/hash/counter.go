package hash

import (
	"strconv"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/longdouble"
	"tidemark/engine/value"
)

func hincrbyCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "hincrby", Arity: 4, Flags: command.Write | command.DenyOOM | command.Fast, Categories: command.CatHash,
		Keys: command.One(command.KeyRW | command.KeyAccess | command.KeyUpdate),
		Log:  command.LogRequest, Handler: hincrby,
		Group: "hash", Since: "2.0.0", Complexity: "O(1)",
		Summary: "Adds a number to the integer that is a field's value",
		Args:    []command.Arg{keyArg, fieldArg, {Name: "increment", Type: "integer"}},
	}
}

func hincrby(c *command.Ctx) {
	by, ok := c.Int(3)
	if !ok {
		return
	}
	r, ok := findForWrite(c)
	if !ok {
		return
	}
	k, field := &c.Keys[0], c.Args[2]
	n, until := int64(0), int64(keyspace.NoExpire)
	if r != 0 {
		var buf [20]byte
		v, at, there := value.FieldAt(k.Shard, r, field, &buf)
		if at != keyspace.NoExpire && at <= c.FieldNow() {
			r, there = c.ExpireField(k, r, field), false
		}
		if there {
			if n, ok = command.ParseInt(v); !ok {
				c.W.Error("ERR hash value is not an integer")
				return
			}
			until = at
		}
	}
	sum := n + by
	if by > 0 && sum < n || by < 0 && sum > n {
		c.W.Error(command.ErrOverflow)
		return
	}
	var a [20]byte
	text := strconv.AppendInt(a[:0], sum, 10)
	setOne(c, k, r, field, text, until)
	c.W.B = append(append(append(c.W.B, ':'), text...), '\r', '\n') // W.Int, without printing the number twice
}

// setOne gives a field a value that the command computed, and the expiry that it has.
func setOne(c *command.Ctx, k *command.Key, r keyspace.Ref, field, val []byte, until int64) {
	pair := [2][]byte{field, val}
	e := editor{c: c, k: k, s: k.Shard, r: r}
	e.openFor(pair[:])
	e.look(field)
	e.set(field, val, until)
	e.close()
	c.Changed(k)
}

func hincrbyfloatCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "hincrbyfloat", Arity: 4, Flags: command.Write | command.DenyOOM | command.Fast, Categories: command.CatHash,
		Keys: command.One(command.KeyRW | command.KeyAccess | command.KeyUpdate),
		Log:  command.LogEffect, Handler: hincrbyfloat, // the sum, so that no replica's arithmetic matters
		Group: "hash", Since: "2.6.0", Complexity: "O(1)",
		Summary: "Adds a floating point number to the one that is a field's value",
		Args:    []command.Arg{keyArg, fieldArg, {Name: "increment", Type: "double"}},
	}
}

var hsetWord = []byte("HSET")

func hincrbyfloat(c *command.Ctx) {
	var x, by longdouble.Number
	if !by.Parse(c.Args[3]) {
		c.W.Error(command.ErrNotFloat)
		return
	}
	if by.IsInf() {
		c.W.Error("ERR value is NaN or Infinity")
		return
	}
	r, ok := findForWrite(c)
	if !ok {
		return
	}
	k, field := &c.Keys[0], c.Args[2]
	until := int64(keyspace.NoExpire)
	if r != 0 {
		var buf [20]byte
		v, at, there := value.FieldAt(k.Shard, r, field, &buf)
		if at != keyspace.NoExpire && at <= c.FieldNow() {
			r, there = c.ExpireField(k, r, field), false
		}
		if there {
			if !x.Parse(v) {
				c.W.Error("ERR hash value is not a float")
				return
			}
			until = at
		}
	}
	if !x.Add(&by) {
		c.W.Error("ERR increment would produce NaN or Infinity")
		return
	}
	var a [64]byte
	sum := x.AppendTo(a[:0])
	setOne(c, k, r, field, sum, until)
	c.Effect(hsetWord, k.Name, field, sum)
	if until != keyspace.NoExpire { // which HSET takes away
		effectUntil(c, k, field, until)
	}
	c.W.Bulk(sum)
}
