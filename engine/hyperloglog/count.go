package hyperloglog

import (
	"encoding/binary"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
)

func pfcountCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "pfcount", Arity: -2, Flags: command.ReadOnly | command.MayReplicate, Categories: command.CatHyperLogLog,
		Keys: []command.KeySpec{{
			Notes: "RW because the estimate that is made is stored with the key, and replicated",
			Flags: command.KeyRW | command.KeyAccess, Begin: 1, Last: -1, Step: 1,
		}},
		Log: command.LogRequest, Handler: pfcount,
		Group: "hyperloglog", Since: "2.8.9",
		Complexity: "O(1) for one key, whose estimate is kept until it changes; O(N) where N is the number of keys, with a large constant, for several",
		Summary:    "Estimates how many different elements were added to HyperLogLogs, taken together",
		Args:       []command.Arg{{Name: "key", Type: "key", Flags: command.Multiple}},
	}
}

func pfcount(c *command.Ctx) {
	if len(c.Keys) > 1 {
		countSeveral(c)
		return
	}
	k := &c.Keys[0]
	r := c.Find(k)
	if r == 0 {
		c.W.Int(0)
		return
	}
	v, ok := check(c, k, r)
	if !ok {
		return
	}
	if k.Shard.Encoding(r) != keyspace.Raw && c.MayChange() {
		r, v = k.Shard.Resize(c.DB, k.Hash, r, len(v)) // as in Redis, changed or not
	}
	if v[staleAt]&stale == 0 {
		c.W.Int(int64(binary.LittleEndian.Uint64(v[8:])))
		return
	}
	var h histogram
	if v[formAt] == dense {
		h.addDense(v)
	} else if !h.addSparse(v[header:]) {
		c.W.Error(errCorrupt)
		return
	}
	n := h.estimate()
	if c.MayChange() {
		_, v = k.Shard.Resize(c.DB, k.Hash, r, len(v))
		binary.LittleEndian.PutUint64(v[8:], n)
		c.Changed(k)
	}
	c.W.Int(int64(n))
}

func countSeveral(c *command.Ctx) {
	regs, _ := plain(c)
	for i := range c.Keys {
		if _, ok := merge(c, regs, &c.Keys[i]); !ok {
			return
		}
	}
	var h histogram
	h.addPlain(regs)
	c.W.Int(int64(h.estimate()))
}

// plain gives registers of a byte each, all 0, and room for a dense HyperLogLog, both in the Ctx's scratch memory.
func plain(c *command.Ctx) (regs *[registers]byte, room []byte) {
	b := c.Scratch(registers + denseBytes)
	clear(b[:registers])
	return (*[registers]byte)(b), b[registers:]
}

// merge raises registers to those of a key; there may be no such key. If it is no HyperLogLog, the error has been replied.
func merge(c *command.Ctx, regs *[registers]byte, k *command.Key) (form byte, ok bool) {
	r := c.Find(k)
	if r == 0 {
		return sparse, true
	}
	v, ok := check(c, k, r)
	if !ok {
		return 0, false
	}
	if v[formAt] == dense {
		mergeDense(regs, v)
	} else if !mergeSparse(regs, v[header:]) {
		c.W.Error(errCorrupt)
		return 0, false
	}
	return v[formAt], true
}
