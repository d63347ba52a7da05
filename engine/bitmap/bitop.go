package bitmap

import (
	"sync"

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
		Args: []command.Arg{{Name: "operation", Type: "string"}, {Name: "destkey", Type: "key"},
			{Name: "key", Type: "key", KeySpec: 1, Flags: command.Multiple},
		},
	}
}

// scratch lends buffers for results: the sources are views of shards that storing the result changes. Larger ones
// than maxScratch are left to the garbage collector.
var scratch = sync.Pool{New: func() any { return new(work) }}

const maxScratch = 1 << 20

type work struct {
	buf []byte
	src [][]byte
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
	w := scratch.Get().(*work)
	longest := 0
	for i := range sources {
		k := &sources[i]
		var v []byte
		if r := c.Peek(k); r != 0 {
			v = k.Shard.Value(r)
		}
		w.src = append(w.src, v)
		longest = max(longest, len(v))
	}
	if longest == 0 {
		if r := c.FindForWrite(dst); r != 0 {
			dst.Shard.Delete(c.DB, dst.Hash, r)
			c.Changed(dst)
		}
	} else {
		if cap(w.buf) < longest {
			w.buf = make([]byte, longest)
		}
		out := w.buf[:longest]
		combine(op, out, w.src)
		c.Overwrite(dst, out, keyspace.Raw, keyspace.NoExpire)
	}
	clear(w.src)
	w.src = w.src[:0]
	if cap(w.buf) > maxScratch {
		w.buf = nil
	}
	scratch.Put(w)
	c.W.Int(int64(longest))
}
