package engine

import (
	"unsafe"

	"tidemark/aof"
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
)

// transaction is what MULTI has queued.
type transaction struct {
	cmds    []command.Queued
	aborted bool  // a queued command was refused: EXEC will fail
	bytes   int64 // of effects in the log, at most
}

type watchedKey struct {
	db   int
	name []byte
}

// queue copies a request.
func (t *transaction) queue(d *command.Descriptor, args [][]byte, raw []byte) {
	q := command.Queued{Cmd: d, Args: make([][]byte, len(args))}
	if raw != nil {
		q.Raw = append([]byte(nil), raw...)
		base := uintptr(unsafe.Pointer(unsafe.SliceData(raw)))
		for i, a := range args {
			off := int(uintptr(unsafe.Pointer(unsafe.SliceData(a))) - base)
			if len(a) == 0 {
				off = 0
			}
			q.Args[i] = q.Raw[off : off+len(a) : off+len(a)]
		}
	} else {
		for i, a := range args {
			q.Args[i] = append([]byte(nil), a...)
		}
	}
	t.bytes += effectBytes(args)
	t.cmds = append(t.cmds, q)
}

// effectBytes is at least what a request takes in the log.
func effectBytes(args [][]byte) int64 {
	n := int64(64)
	for _, a := range args {
		n += int64(len(a)) + 16
	}
	return n
}

// mostQueued is how many bytes of effects a transaction may hold, whatever client-query-buffer-limit says: they stand in the log as one record.
const mostQueued = aof.MaxEffect / 2

// queueLimit is client-query-buffer-limit, which as in Redis counts what a transaction has queued.
func (s *Server) queueLimit() int64 {
	if v := s.cfg.Load().ClientQueryBufferBytes; v > 0 && v < mostQueued {
		return v
	}
	return mostQueued
}

func transactionCommands() []*command.Descriptor {
	return []*command.Descriptor{
		{
			Name: "multi", Arity: 1, Flags: command.NoScript | command.Loading | command.Stale | command.Fast | command.AllowBusy,
			Categories: command.CatTransaction, Immediate: true, Handler: multi,
			Group: "transactions", Since: "1.2.0", Complexity: "O(1)", Summary: "Starts a transaction: what follows is queued until EXEC.",
		},
		{
			Name: "exec", Arity: 1, Flags: command.NoScript | command.Loading | command.Stale | command.SkipSlowlog,
			Categories: command.CatTransaction, Immediate: true, Scope: command.ScopeOwn, Handler: exec,
			Group: "transactions", Since: "1.2.0", Complexity: "Depends on the queued commands", Summary: "Executes the queued commands atomically.",
		},
		{
			Name: "discard", Arity: 1, Flags: command.NoScript | command.Loading | command.Stale | command.Fast | command.AllowBusy,
			Categories: command.CatTransaction, Immediate: true, Handler: discard,
			Group: "transactions", Since: "2.0.0", Complexity: "O(N), when N is the number of queued commands", Summary: "Drops the queued commands and ends the transaction.",
		},
		{
			Name: "watch", Arity: -2, Flags: command.NoScript | command.Loading | command.Stale | command.Fast | command.AllowBusy,
			Categories: command.CatTransaction, Immediate: true, Handler: watchKeys,
			Keys:  []command.KeySpec{{Flags: command.KeyRO, Begin: 1, Last: -1, Step: 1}},
			Group: "transactions", Since: "2.2.0", Complexity: "O(1) for every key.", Summary: "Makes EXEC fail if one of the keys changes before it.",
			Args: []command.Arg{{Name: "key", Type: "key", Flags: command.Multiple}},
		},
		{
			Name: "unwatch", Arity: 1, Flags: command.NoScript | command.Loading | command.Stale | command.Fast | command.AllowBusy,
			Categories: command.CatTransaction, Handler: unwatchKeys,
			Group: "transactions", Since: "2.2.0", Complexity: "O(1)", Summary: "Forgets all watched keys.",
		},
	}
}

func multi(c *command.Ctx) {
	ss := c.Client.(*Session)
	if ss.multi != nil {
		c.W.Error("ERR MULTI calls can not be nested")
		return
	}
	ss.multi = &transaction{}
	c.W.OK()
}

func discard(c *command.Ctx) {
	ss := c.Client.(*Session)
	if ss.multi == nil {
		c.W.Error("ERR DISCARD without MULTI")
		return
	}
	ss.endMulti(c)
	c.W.OK()
}

func watchKeys(c *command.Ctx) {
	ss := c.Client.(*Session)
	if ss.multi != nil {
		c.W.Error("ERR WATCH inside MULTI is not allowed")
		return
	}
	if !ss.watcher.Dirty.Load() {
	next:
		for i := range c.Keys {
			k := &c.Keys[i]
			for _, x := range ss.watching {
				if x.db == c.DB && string(x.name) == string(k.Name) {
					continue next
				}
			}
			r := k.Shard.Find(c.DB, k.Hash, k.Name)
			expired := r != 0 && c.Expired(k.Shard, r)
			c.Store.Watch(c.DB, k, expired, &ss.watcher)
			ss.watching = append(ss.watching, watchedKey{c.DB, append([]byte(nil), k.Name...)})
			ss.watchedBytes += int64(len(k.Name)) + watchBytes
		}
		ss.reckon()
	}
	c.W.OK()
}

func unwatchKeys(c *command.Ctx) {
	if ss, ok := c.Client.(*Session); ok && !c.InBlock() {
		ss.unwatch(c.Store)
	}
	c.W.OK()
}

// unwatch forgets all watched keys. No shard may be locked by the caller.
func (ss *Session) unwatch(st *command.Store) {
	for _, x := range ss.watching {
		k := st.MakeKey(x.name)
		k.Shard.Lock()
		st.Unwatch(x.db, &k, &ss.watcher)
		k.Shard.Unlock()
	}
	ss.watching, ss.watchedBytes = nil, 0
	ss.reckon()
	ss.watcher.Dirty.Store(false)
}

func (ss *Session) endMulti(c *command.Ctx) {
	ss.multi = nil
	ss.unwatch(c.Store)
}

// exec runs the queue as one block: all its locks are taken first, its effects stand in the log as one MULTI..EXEC.
func exec(c *command.Ctx) {
	ss := c.Client.(*Session)
	t := ss.multi
	if t == nil {
		c.W.Error("ERR EXEC without MULTI")
		return
	}
	if t.aborted {
		ss.endMulti(c)
		c.W.Error(errExecAbort)
		return
	}
	if refusal := ss.srv.refuseBlock(c, t); refusal != "" {
		ss.endMulti(c)
		c.W.Error(refusal)
		return
	}
	self := c.Cmd
	watched := make([][]byte, 0, len(ss.watching))
	for _, x := range ss.watching {
		watched = append(watched, x.name)
	}
	stale := false
	ok := c.Atomically(t.cmds, watched, func() bool {
		stale = ss.watchedChanged(c)
		return !stale
	}, func() {
		c.W.Array(len(t.cmds))
		for i := range t.cmds {
			q := &t.cmds[i]
			c.Cmd, c.Args, c.Raw = q.Cmd, q.Args, q.Raw
			pos := len(c.W.B)
			c.Run()
			if len(c.W.B) > pos && c.W.B[pos] == '-' {
				ss.srv.stats.failed(q.Cmd, c.W.B[pos:])
			}
		}
	})
	c.Cmd = self
	if !ok {
		c.NoRoom()
		return
	}
	ss.endMulti(c)
	if stale {
		c.W.NullArray()
	}
}

// watchedChanged reports whether a watched key changed since WATCH, or expired by now. Its shards are locked.
func (ss *Session) watchedChanged(c *command.Ctx) bool {
	if ss.watcher.Dirty.Load() {
		return true
	}
	for _, x := range ss.watching {
		k := c.Store.MakeKey(x.name)
		if c.Store.SawExpired(x.db, &k, &ss.watcher) {
			continue
		}
		if r := k.Shard.Find(x.db, k.Hash, k.Name); r != 0 && k.Shard.ExpireAt(r) != keyspace.NoExpire && c.Expired(k.Shard, r) {
			return true
		}
	}
	return false
}
