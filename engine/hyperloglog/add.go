package hyperloglog

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
)

func pfaddCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "pfadd", Arity: -2, Flags: command.Write | command.DenyOOM | command.Fast, Categories: command.CatHyperLogLog,
		Keys: command.One(command.KeyRW | command.KeyInsert),
		Log:  command.LogRequest, Handler: pfadd,
		Group: "hyperloglog", Since: "2.8.9", Complexity: "O(1) for each element",
		Summary: "Adds elements to a HyperLogLog, creating it if need be, and says whether it has changed",
		Args:    []command.Arg{keyArg, {Name: "element", Type: "string", Flags: command.Optional | command.Multiple}},
	}
}

func pfadd(c *command.Ctx) {
	k := &c.Keys[0]
	e := editor{c: c, k: k, s: k.Shard, r: c.FindForWrite(k)}
	if !e.open() {
		return
	}
	for i, element := range c.Args[2:] {
		register, rank := place(element)
		if e.raise(register, rank) {
			continue
		}
		// Only what came before has been added: that is what the log must say.
		if e.changes > 0 {
			c.Effect(c.Args[:2+i]...)
			c.ChangedBy(k, e.changes)
		}
		c.W.Error(errCorrupt)
		return
	}
	if e.changes == 0 {
		c.W.Int(0)
		return
	}
	c.ChangedBy(k, e.changes)
	c.W.Int(1)
}

// An editor changes the HyperLogLog of a request's key in its place.
type editor struct {
	c       *command.Ctx
	k       *command.Key
	s       *keyspace.Shard
	r       keyspace.Ref // 0 before open: no such key yet
	v       []byte
	owned   bool // v may be written to
	changes int
}

// open begins, making a HyperLogLog if there is none. false: the key holds something else, and the error has been replied.
func (e *editor) open() (ok bool) {
	if e.r == 0 {
		e.r = e.s.PutString(e.c.DB, e.k.Hash, 0, e.k.Name, newSparse, keyspace.Raw, keyspace.NoExpire, e.c.AccessClock())
		e.own()
		e.changed()
		return true
	}
	if e.v, ok = check(e.c, e.k, e.r); ok && e.s.Encoding(e.r) != keyspace.Raw {
		e.own() // as in Redis, changed or not
	}
	return ok
}

// own makes v writable, and its encoding raw.
func (e *editor) own() {
	if !e.owned {
		e.r, e.v = e.s.Resize(e.c.DB, e.k.Hash, e.r, e.s.ValueLen(e.r))
		e.owned = true
	}
}

// changed notes that a register has changed: the estimate is out of date.
func (e *editor) changed() {
	e.changes++
	e.v[staleAt] |= stale
}

// raise makes a register at least rank. false: the HyperLogLog is corrupt.
func (e *editor) raise(register int, rank byte) bool {
	if e.v[formAt] == sparse {
		var x raiser
		switch x.raise(e.v[header:], register, rank, int(e.c.Store.Limits.HLLSparseBytes.Load())-header) {
		case kept:
			return true
		case edited:
			e.own()
			if x.n == x.to-x.from {
				copy(e.v[header+x.from:], x.ins())
			} else {
				e.r, e.v = e.s.Splice(e.c.DB, e.k.Hash, e.r, header+x.from, x.to-x.from, x.ins())
			}
			e.changed()
			return true
		case corrupt:
			return false
		}
		if !e.makeDense() {
			return false
		}
	}
	if denseGet(e.v, register) < rank {
		e.own()
		denseSet(e.v, register, rank)
		e.changed()
	}
	return true
}

// makeDense makes a sparse HyperLogLog dense. false: it is corrupt.
func (e *editor) makeDense() bool {
	v := e.c.Scratch(denseBytes)
	if !expand(v, e.v) {
		return false
	}
	e.replace(v)
	return true
}

// replace stores v, which is no view of the shard, as the value.
func (e *editor) replace(v []byte) {
	e.r = e.s.PutString(e.c.DB, e.k.Hash, e.r, e.k.Name, v, keyspace.Raw, e.s.ExpireAt(e.r), e.s.Access(e.r))
	e.owned = false
	e.own()
}
