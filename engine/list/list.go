// Package list is the list family: pushes and pops at either end, ranges, and changes by index or element, and the commands that
// wait for an element.
//
// A small list is a packed list, a large one a coll.List; package value has the limits. As in Redis, a list grows out of the small form by what
// a command is about to add, by the length of its bytes, and comes back to it when elements are taken out and half of the limit is enough. Every
// command reproduces its own effect, but for LMPOP and those that wait, which are logged as the pop or move that it came to.
//
// Behaviour, order of checks and error texts were taken from redis-server by experiment.
// https://redis.io/docs/latest/commands/?group=list
package list

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/keyspace/packed"
	"tidemark/engine/value"
)

// Commands returns the descriptors of the family. Each call makes new ones: a table writes into them.
func Commands() []*command.Descriptor {
	return []*command.Descriptor{
		lpushCommand(), rpushCommand(), lpushxCommand(), rpushxCommand(),
		lpopCommand(), rpopCommand(), lmpopCommand(),
		llenCommand(), lrangeCommand(), lindexCommand(), lposCommand(),
		lsetCommand(), linsertCommand(), lremCommand(), ltrimCommand(),
		lmoveCommand(), rpoplpushCommand(),
		blpopCommand(), brpopCommand(), blmoveCommand(), brpoplpushCommand(), blmpopCommand(),
	}
}

// The arguments most commands of the family begin with.
var (
	keyArg     = command.Arg{Name: "key", Type: "key"}
	elementArg = command.Arg{Name: "element", Type: "string"}
)

// endArg describes an argument that names one of a list's ends.
func endArg(name string) command.Arg {
	return command.Arg{Name: name, Type: "oneof", Args: []command.Arg{
		{Name: "left", Type: "pure-token", Token: "LEFT"}, {Name: "right", Type: "pure-token", Token: "RIGHT"}}}
}

// end is one of the two ends of a list.
type end bool

const (
	head end = false
	tail end = true
)

// endOf parses the name of an end; when it is none, the error has been replied.
func endOf(c *command.Ctx, arg []byte) (e end, ok bool) {
	switch {
	case command.Is(arg, "left"):
		return head, true
	case command.Is(arg, "right"):
		return tail, true
	}
	c.W.Error(command.ErrSyntax)
	return head, false
}

// open gives a list for reading, small or large: one of the results is nil (small), or has no Mem (large). m is room for the latter.
func open(s *keyspace.Shard, r keyspace.Ref, m *coll.Mem) (small packed.List, large coll.List) {
	if s.Encoding(r) == keyspace.ListPack {
		return s.Value(r), coll.List{}
	}
	*m = s.Open(r)
	return nil, coll.List{Mem: m}
}

// cursor is a place in a list, small or large, for reading.
type cursor struct {
	i     int // index of the element
	small packed.List
	at    int // place in small
	large coll.Place
}

// seek goes to element i, and reports whether there is one. small and l are from open.
func (cu *cursor) seek(small packed.List, l coll.List, i int) bool {
	cu.i, cu.small = i, small
	if small != nil {
		cu.at = small.At(i)
		return cu.at != 0
	}
	return l.Seek(&cu.large, uint64(i))
}

// step goes to the next element, or back to the one before, and reports whether there is one; if not, the cursor is of no more use.
func (cu *cursor) step(l coll.List, back bool) bool {
	if back {
		cu.i--
		if cu.small != nil {
			cu.at = cu.small.Prev(cu.at)
			return cu.at != 0
		}
		return l.Prev(&cu.large)
	}
	cu.i++
	if cu.small != nil {
		cu.at = cu.small.Next(cu.at)
		return !cu.small.AtEnd(cu.at)
	}
	return l.Next(&cu.large)
}

// is reports whether the element is the one that packed.Encode made enc of.
func (cu *cursor) is(enc []byte) bool {
	if cu.small != nil {
		return cu.small.Is(cu.at, enc)
	}
	return cu.large.Is(enc)
}

// clip turns the start and stop of a range, which count from the end when negative, into indexes within n elements. ok is false when the range is
// empty.
func clip(start, stop int64, n int) (from, to int, ok bool) {
	size := int64(n)
	if start < 0 {
		start = max(start+size, 0)
	}
	if stop < 0 {
		stop += size
	}
	if start > stop || start >= size {
		return 0, 0, false
	}
	return int(start), int(min(stop, size-1)), true
}

// index turns an index that counts from the end when negative into one within n elements.
func index(i int64, n int) (at int, ok bool) {
	if i < 0 {
		i += int64(n)
	}
	return int(i), i >= 0 && i < int64(n)
}

// Room for the encoded form of an element, beside its bytes.
const entryRoom = 10

// encoded is an element as cursor.is wants it, in the Ctx's scratch memory, of which rest is what is left: at least more bytes.
func encoded(c *command.Ctx, elem []byte, more int) (enc, rest []byte) {
	buf := c.Scratch(len(elem) + entryRoom + more)
	cut := len(elem) + entryRoom
	return packed.Encode(buf[:0:cut], elem), buf[cut:]
}

// settle ends a change that took elements out of a large list, or made them shorter: the list may have become empty, or small again.
func settle(c *command.Ctx, k *command.Key, r keyspace.Ref, co *keyspace.Coll) {
	if !k.Shard.Settle(co) {
		shrink(c, k, r)
	}
}

// shrink makes a large list small again if it is time.
func shrink(c *command.Ctx, k *command.Key, r keyspace.Ref) {
	m := k.Shard.Open(r)
	l := coll.List{Mem: &m}
	if lp := l.Sole(); lp != nil && c.Store.Limits.ShrunkList(int(l.Len()), len(lp)) {
		k.Shard.Shrink(c.DB, k.Hash, r, keyspace.ListPack, lp)
	}
}

// remove takes n elements out of a list, n > 0, from element i on: there are as many. The key goes with the last of them.
func remove(c *command.Ctx, k *command.Key, r keyspace.Ref, i, n int) {
	s := k.Shard
	have := value.Len(s, r)
	if n == have {
		s.Delete(c.DB, k.Hash, r)
		return
	}
	if s.Encoding(r) == keyspace.ListPack {
		lp := packed.List(s.Value(r))
		at, to := packed.HeaderBytes, lp.End()
		if i > 0 {
			at = lp.At(i)
		}
		if i+n < have {
			to = lp.Skip(at, n)
		}
		s.SpliceList(c.DB, k.Hash, r, at, to-at, nil, -n)
		return
	}
	co := s.Edit(c.DB, k.Hash, r)
	co.List(c.Store.Limits.ListRules()).DeleteRange(uint64(i), uint64(n))
	settle(c, k, r, &co)
}
