package list

import (
	"math"
	"strconv"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/keyspace/packed"
	"tidemark/engine/value"
)

func llenCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "llen", Arity: 2, Flags: command.ReadOnly | command.Fast, Categories: command.CatList,
		Keys:  command.One(command.KeyRO),
		Group: "list", Since: "1.0.0", Complexity: "O(1)", Handler: llen,
		Summary: "Returns the number of elements of a list",
		Args:    []command.Arg{keyArg},
	}
}

func llen(c *command.Ctx) {
	k := &c.Keys[0]
	r, ok := c.FindTyped(k, keyspace.List)
	if !ok {
		return
	}
	n := 0
	if r != 0 {
		n = value.Len(k.Shard, r)
	}
	c.W.Int(int64(n))
}

func lrangeCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "lrange", Arity: 4, Flags: command.ReadOnly, Categories: command.CatList,
		Keys:  command.One(command.KeyRO | command.KeyAccess),
		Group: "list", Since: "1.0.0", Handler: lrange,
		Complexity: "O(log(S)+N) where S is the number of elements of a large list and N is the number of elements in the range.",
		Summary:    "Returns a range of the elements of a list",
		Args:       []command.Arg{keyArg, {Name: "start", Type: "integer"}, {Name: "stop", Type: "integer"}},
	}
}

func lrange(c *command.Ctx) {
	start, ok := c.Int(2)
	if !ok {
		return
	}
	stop, ok := c.Int(3)
	if !ok {
		return
	}
	k := &c.Keys[0]
	r, ok := c.FindTyped(k, keyspace.List)
	if !ok {
		return
	}
	if r == 0 {
		c.W.Array(0)
		return
	}
	from, to, ok := clip(start, stop, value.Len(k.Shard, r))
	if !ok {
		c.W.Array(0)
		return
	}
	c.W.Array(to - from + 1)
	reply(c, k.Shard, r, from, to-from+1, false)
}

// reply writes n elements of a list from element i on, or, with back, back from it. There are as many.
func reply(c *command.Ctx, s *keyspace.Shard, r keyspace.Ref, i, n int, back bool) {
	var buf [20]byte
	if s.Encoding(r) == keyspace.ListPack {
		lp := packed.List(s.Value(r))
		replyPacked(c, lp, lp.At(i), n, back)
		return
	}
	m := s.Open(r)
	l := coll.List{Mem: &m}
	if n == 1 {
		switch uint64(i) {
		case 0:
			c.W.Bulk(l.Head(&buf))
			return
		case l.Len() - 1:
			c.W.Bulk(l.Tail(&buf))
			return
		}
	}
	for n > 0 {
		lp, first := l.Block(uint64(i))
		at := i - int(first)
		here := at + 1
		if !back {
			here = lp.Len() - at
		}
		here = min(here, n)
		replyPacked(c, lp, lp.At(at), here, back)
		n -= here
		if back {
			i -= here
		} else {
			i += here
		}
	}
}

// replyPacked writes n elements of a packed list from a place on.
func replyPacked(c *command.Ctx, lp packed.List, at, n int, back bool) {
	var buf [20]byte
	for ; n > 0; n-- {
		c.W.Bulk(lp.Text(at, &buf))
		if back {
			at = lp.Prev(at)
		} else {
			at = lp.Next(at)
		}
	}
}

func lindexCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "lindex", Arity: 3, Flags: command.ReadOnly, Categories: command.CatList,
		Keys:  command.One(command.KeyRO | command.KeyAccess),
		Group: "list", Since: "1.0.0", Handler: lindex,
		Complexity: "O(log(N)) where N is the number of elements of a large list; O(1) at both ends.",
		Summary:    "Returns an element of a list by its index",
		Args:       []command.Arg{keyArg, {Name: "index", Type: "integer"}},
	}
}

func lindex(c *command.Ctx) {
	k := &c.Keys[0]
	r := c.Find(k)
	switch {
	case !c.IsType(k, r, keyspace.List):
		return
	case r == 0:
		c.W.Null()
		return
	}
	i, ok := c.Int(2)
	if !ok {
		return
	}
	at, ok := index(i, value.Len(k.Shard, r))
	if !ok {
		c.W.Null()
		return
	}
	reply(c, k.Shard, r, at, 1, false)
}

func lposCommand() *command.Descriptor {
	option := func(name, token string) command.Arg {
		return command.Arg{Name: name, Type: "integer", Token: token, Flags: command.Optional}
	}
	return &command.Descriptor{
		Name: "lpos", Arity: -3, Flags: command.ReadOnly, Categories: command.CatList,
		Keys:  command.One(command.KeyRO | command.KeyAccess),
		Group: "list", Since: "6.0.6", Handler: lpos,
		Complexity: "O(N) where N is the number of elements looked at: those of the list, or MAXLEN.",
		Summary:    "Returns the indexes at which an element stands in a list",
		Args:       []command.Arg{keyArg, elementArg, option("rank", "RANK"), option("num-matches", "COUNT"), option("len", "MAXLEN")},
	}
}

func lpos(c *command.Ctx) {
	rank, count, most := int64(1), int64(-1), int64(0)
	for i := 3; i < len(c.Args); i += 2 {
		word, last := c.Args[i], i+1 == len(c.Args)
		switch {
		case command.Is(word, "rank") && !last:
			var ok bool
			if rank, ok = c.Int(i + 1); !ok {
				return
			}
			if rank == math.MinInt64 {
				c.W.Error("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807")
				return
			}
			if rank == 0 {
				c.W.Error(errRank)
				return
			}
		case command.Is(word, "count") && !last:
			var ok bool
			if count, ok = command.ParseInt(c.Args[i+1]); !ok || count < 0 {
				c.W.Error("ERR COUNT can't be negative")
				return
			}
		case command.Is(word, "maxlen") && !last:
			var ok bool
			if most, ok = command.ParseInt(c.Args[i+1]); !ok || most < 0 {
				c.W.Error("ERR MAXLEN can't be negative")
				return
			}
		default:
			c.W.Error(command.ErrSyntax)
			return
		}
	}
	k := &c.Keys[0]
	r := c.Find(k)
	if r == 0 {
		if count < 0 {
			c.W.Null()
		} else {
			c.W.Array(0)
		}
		return
	}
	if !c.IsType(k, r, keyspace.List) {
		return
	}
	mark := len(c.W.B)
	found := positions(c, k, r, rank, count, most)
	switch {
	case count >= 0:
		insertArray(c, mark, found)
	case found == 0:
		c.W.Null()
	}
}

const errRank = "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list"

// positions replies the indexes of an element that LPOS asks for, and counts them.
func positions(c *command.Ctx, k *command.Key, r keyspace.Ref, rank, count, most int64) (found int) {
	enc, _ := encoded(c, c.Args[2], 0)
	var m coll.Mem
	small, large := open(k.Shard, r, &m)
	i, back := 0, rank < 0
	if back {
		i, rank = value.Len(k.Shard, r)-1, -rank
	}
	if count < 0 {
		count = 1
	}
	var cu cursor
	ok := cu.seek(small, large, i)
	for looked := int64(0); ok && (most == 0 || looked < most); looked++ {
		if cu.is(enc) {
			if rank--; rank <= 0 {
				c.W.Int(int64(cu.i))
				if found++; int64(found) == count {
					return found
				}
			}
		}
		ok = cu.step(large, back)
	}
	return found
}

// insertArray puts the header of an array of n elements before the elements, which were written from mark on.
func insertArray(c *command.Ctx, mark, n int) {
	var num [24]byte
	h := append(num[:0], '*')
	h = strconv.AppendInt(h, int64(n), 10)
	h = append(h, '\r', '\n')
	size := len(c.W.B)
	c.W.B = append(c.W.B, h...)
	copy(c.W.B[mark+len(h):], c.W.B[mark:size])
	copy(c.W.B[mark:], h)
}
