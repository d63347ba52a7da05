package hash

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/packed"
	"tidemark/engine/value"
)

// reader describes a command that only reads.
func reader(name, since, summary, complexity string, arity int, flags command.Flags, keyFlags command.KeyFlags, handler func(*command.Ctx), args ...command.Arg) *command.Descriptor {
	return &command.Descriptor{
		Name: name, Arity: arity, Flags: command.ReadOnly | flags, Categories: command.CatHash,
		Keys: command.One(command.KeyRO | keyFlags), Handler: handler,
		Group: "hash", Since: since, Complexity: complexity, Summary: summary,
		Args: append([]command.Arg{keyArg}, args...),
	}
}

const perSize = "O(N) where N is the number of fields of the hash"

// has reports whether a hash has a field that has not expired.
func has(c *command.Ctx, r keyspace.Ref, field []byte) bool {
	var buf [20]byte
	_, ok := value.Field(c.Keys[0].Shard, r, field, c.FieldNow(), &buf)
	return ok
}

// read returns the value of a field: a view, or printed into buf. One whose time has come is removed on the occasion: r is the hash's entry after that, 0 if it
// is gone.
func read(c *command.Ctx, r *keyspace.Ref, field []byte, buf *[20]byte) (val []byte, ok bool) {
	if *r == 0 {
		return nil, false
	}
	k := &c.Keys[0]
	if val, ok = value.Field(k.Shard, *r, field, c.FieldNow(), buf); !ok {
		*r = c.ExpireField(k, *r, field)
	}
	return val, ok
}

func hgetCommand() *command.Descriptor {
	return reader("hget", "2.0.0", "Returns the value of a field of a hash", "O(1)", 3, command.Fast, command.KeyAccess, hget, fieldArg)
}

func hget(c *command.Ctx) {
	if r, ok := find(c); ok {
		writeField(c, &r, c.Args[2])
	}
}

// writeField replies the value of a field. r may be 0, and is after that as read says.
func writeField(c *command.Ctx, r *keyspace.Ref, field []byte) {
	var buf [20]byte
	if v, there := read(c, r, field, &buf); there {
		c.W.Bulk(v)
	} else {
		c.W.Null()
	}
}

func hmgetCommand() *command.Descriptor {
	return reader("hmget", "2.0.0", "Returns the values of several fields of a hash", "O(N) where N is the number of fields asked for",
		-3, command.Fast, command.KeyAccess, hmget, fieldsArg)
}

func hmget(c *command.Ctx) {
	r, ok := find(c)
	if !ok {
		return
	}
	c.W.Array(len(c.Args) - 2)
	for _, field := range c.Args[2:] {
		writeField(c, &r, field)
	}
}

// all describes HGETALL, HKEYS, HVALS.
func all(name, summary string, fields, values bool) *command.Descriptor {
	d := reader(name, "2.0.0", summary, perSize, 2, 0, command.KeyAccess, func(c *command.Ctx) {
		if r, ok := find(c); ok {
			writeAll(c, r, fields, values)
		}
	})
	d.Tips = []string{"nondeterministic_output_order"}
	return d
}

func hgetallCommand() *command.Descriptor {
	return all("hgetall", "Returns all fields of a hash with their values", true, true)
}

func hkeysCommand() *command.Descriptor {
	return all("hkeys", "Returns the names of all fields of a hash", true, false)
}

func hvalsCommand() *command.Descriptor {
	return all("hvals", "Returns the values of all fields of a hash", false, true)
}

func writeAll(c *command.Ctx, r keyspace.Ref, fields, values bool) {
	s, n := c.Keys[0].Shard, 0
	if r != 0 {
		n = value.Len(s, r) - value.Expired(s, r, c.FieldNow())
	}
	if fields && values {
		c.W.Map(n)
	} else {
		c.W.Array(n)
	}
	if n == 0 {
		return
	}
	each(c, r, func(f, v []byte) bool {
		if fields {
			c.W.Bulk(f)
		}
		if values {
			c.W.Bulk(v)
		}
		return true
	})
}

// each is value.EachField without a buffer of its own. A field whose time has come is left out, and stays: a reply that is all of a hash is no occasion
// to go through it twice.
func each(c *command.Ctx, r keyspace.Ref, f func(field, val []byte) bool) {
	s, now := c.Keys[0].Shard, c.FieldNow()
	enc := s.Encoding(r)
	if enc == keyspace.HashTable {
		value.EachField(s, r, now, f)
		return
	}
	buf := c.Scratch(40)
	a, b := (*[20]byte)(buf), (*[20]byte)(buf[20:])
	var l packed.List
	if enc == keyspace.ListPackEx {
		l = s.Triples(r)
	} else {
		l = s.Value(r)
	}
	for at := packed.HeaderBytes; !l.AtEnd(at); {
		v := l.Next(at)
		next := l.Next(v)
		if enc == keyspace.ListPackEx {
			until := value.TripleExpiry(l, next)
			next = l.Next(next)
			if until <= now && until != keyspace.NoExpire {
				at = next
				continue
			}
		}
		if !f(l.Text(at, a), l.Text(v, b)) {
			return
		}
		at = next
	}
}

func hlenCommand() *command.Descriptor {
	return reader("hlen", "2.0.0", "Counts the fields of a hash", "O(1)", 2, command.Fast, 0, func(c *command.Ctx) {
		r, ok := find(c)
		switch {
		case !ok:
		case r == 0:
			c.W.Int(0)
		default:
			c.W.Int(int64(value.Len(c.Keys[0].Shard, r)))
		}
	})
}

func hexistsCommand() *command.Descriptor {
	return reader("hexists", "2.0.0", "Tells whether a hash has a field", "O(1)", 3, command.Fast, 0, func(c *command.Ctx) {
		r, ok := find(c)
		switch {
		case !ok:
		default:
			var buf [20]byte
			n := int64(0)
			if _, there := read(c, &r, c.Args[2], &buf); there {
				n = 1
			}
			c.W.Int(n)
		}
	}, fieldArg)
}

func hstrlenCommand() *command.Descriptor {
	return reader("hstrlen", "3.2.0", "Tells how many bytes the value of a field has", "O(1)", 3, command.Fast, 0, func(c *command.Ctx) {
		r, ok := find(c)
		if !ok {
			return
		}
		var buf [20]byte
		v, _ := read(c, &r, c.Args[2], &buf)
		c.W.Int(int64(len(v)))
	}, fieldArg)
}
