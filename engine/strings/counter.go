package strings

import (
	"math"
	"strconv"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/longdouble"
)

func counter(name, since, summary string, arity int, handler func(*command.Ctx), args ...command.Arg) *command.Descriptor {
	return &command.Descriptor{
		Name: name, Arity: arity, Flags: command.Write | command.DenyOOM | command.Fast, Categories: command.CatString,
		Keys: command.One(command.KeyRW | command.KeyAccess | command.KeyUpdate),
		Log:  command.LogRequest, Handler: handler,
		Group: "string", Since: since, Complexity: "O(1)", Summary: summary,
		Args: append([]command.Arg{keyArg}, args...),
	}
}

func incrCommand() *command.Descriptor {
	return counter("incr", "1.0.0", "Adds one to the integer stored under a key", 2,
		func(c *command.Ctx) { add(c, 1) })
}

func decrCommand() *command.Descriptor {
	return counter("decr", "1.0.0", "Subtracts one from the integer stored under a key", 2,
		func(c *command.Ctx) { add(c, -1) })
}

func incrbyCommand() *command.Descriptor {
	return counter("incrby", "1.0.0", "Adds a number to the integer stored under a key", 3, func(c *command.Ctx) {
		if n, ok := c.Int(2); ok {
			add(c, n)
		}
	}, command.Arg{Name: "increment", Type: "integer"})
}

func decrbyCommand() *command.Descriptor {
	return counter("decrby", "1.0.0", "Subtracts a number from the integer stored under a key", 3, func(c *command.Ctx) {
		n, ok := c.Int(2)
		if !ok {
			return
		}
		if n == math.MinInt64 {
			c.W.Error("ERR decrement would overflow")
			return
		}
		add(c, -n)
	}, command.Arg{Name: "decrement", Type: "integer"})
}

func add(c *command.Ctx, by int64) {
	k := &c.Keys[0]
	r, v, ok := c.FindStringForWrite(k)
	if !ok {
		return
	}
	var n int64
	at := keyspace.NoExpire
	if r != 0 {
		if n, ok = command.ParseInt(v); !ok {
			c.W.Error(command.ErrNotInt)
			return
		}
		at = k.Shard.ExpireAt(r)
	}
	sum := n + by
	if by > 0 && sum < n || by < 0 && sum > n {
		c.W.Error(command.ErrOverflow)
		return
	}
	var a [20]byte
	text := strconv.AppendInt(a[:0], sum, 10)
	c.Replace(k, r, text, keyspace.Int, at)
	c.W.B = append(append(append(c.W.B, ':'), text...), '\r', '\n') // W.Int, without printing the number twice
}

func incrbyfloatCommand() *command.Descriptor {
	d := counter("incrbyfloat", "2.6.0", "Adds a floating point number to the one stored under a key", 3, incrbyfloat,
		command.Arg{Name: "increment", Type: "double"})
	d.Log = command.LogEffect // the sum, so that no replica's arithmetic matters
	return d
}

func incrbyfloat(c *command.Ctx) {
	k := &c.Keys[0]
	r, v, ok := c.FindStringForWrite(k)
	if !ok {
		return
	}
	var x, y longdouble.Number
	at := keyspace.NoExpire
	if r != 0 {
		if ok = x.Parse(v); ok {
			at = k.Shard.ExpireAt(r)
		}
	}
	if !ok || !y.Parse(c.Args[2]) {
		c.W.Error(command.ErrNotFloat)
		return
	}
	if !x.Add(&y) {
		c.W.Error("ERR increment would produce NaN or Infinity")
		return
	}
	var a [64]byte
	sum := x.AppendTo(a[:0])
	enc := keyspace.EmbStr // never int, whole number or not
	if command.StringEncoding(sum) == keyspace.Raw {
		enc = keyspace.Raw
	}
	c.Replace(k, r, sum, enc, at)
	c.Effect(setWord, k.Name, sum, keepttlWord)
	c.W.Bulk(sum)
}
