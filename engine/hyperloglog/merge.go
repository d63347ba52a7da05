package hyperloglog

import (
	"slices"

	"tidemark/engine/command"
)

func pfmergeCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "pfmerge", Arity: -2, Flags: command.Write | command.DenyOOM, Categories: command.CatHyperLogLog,
		Keys: []command.KeySpec{
			{Flags: command.KeyRW | command.KeyAccess | command.KeyInsert, Begin: 1, Step: 1},
			{Flags: command.KeyRO | command.KeyAccess, Begin: 2, Last: -1, Step: 1},
		},
		Log: command.LogRequest, Handler: pfmerge,
		Group: "hyperloglog", Since: "2.8.9", Complexity: "O(N) where N is the number of HyperLogLogs, with a large constant",
		Summary: "Merges HyperLogLogs into one",
		Args: []command.Arg{{Name: "destkey", Type: "key"},
			{Name: "sourcekey", Type: "key", KeySpec: 1, Flags: command.Optional | command.Multiple}},
	}
}

func pfmerge(c *command.Ctx) {
	regs, room := plain(c)
	toDense := false
	for i := range c.Keys {
		form, ok := merge(c, regs, &c.Keys[i])
		if !ok {
			return
		}
		toDense = toDense || form == dense
	}
	k := &c.Keys[0]
	e := editor{c: c, k: k, s: k.Shard, r: c.FindForWrite(k)}
	e.open()
	if !toDense {
		e.own()
		toDense = !e.raiseAll(regs, room)
	}
	if toDense {
		if e.v[formAt] == sparse {
			copy(room, e.v[:header])
			room[formAt] = dense
			e.replace(room)
		}
		e.own()
		pack(e.v, regs) // the destination's own were among those that were merged
	}
	e.changed()
	c.Changed(k)
	c.W.OK()
}

// raiseAll raises the registers of a sparse HyperLogLog, which has been read before and is not corrupt, in order: how its runs come out depends on that.
// false: it cannot hold them.
func (e *editor) raiseAll(regs *[registers]byte, room []byte) bool {
	most := int(e.c.Store.Limits.HLLSparseBytes.Load())
	v := append(room[:0], e.v...)
	var x raiser
	for i, rank := range regs {
		if rank == 0 {
			continue
		}
		switch x.raise(v[header:], i, rank, most-header) {
		case edited:
			v = slices.Replace(v, header+x.from, header+x.to, x.ins()...)
		case tooMuch:
			return false
		}
	}
	e.replace(v)
	return true
}
