package engine

import (
	"time"

	"tidemark/engine/command"
)

const errNoLocal = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."

// waiter is what WAIT and WAITAOF wait for: that watermarks reach the client's last write.
type waiter struct {
	off      int64 // log offset to be reached
	local    int64 // WAITAOF's numlocal
	replicas int64
	aof      bool
}

// Ready reports whether enough have the write, or never will.
func (w *waiter) Ready(ss *Session) bool {
	local, replicas := w.reached(ss)
	return local >= w.local && replicas >= w.replicas || w.hopeless(ss)
}

// Ended replies who has the write.
func (w *waiter) Ended(ss *Session, how End) {
	if how == EndReady || how == EndTimeout {
		w.reply(ss)
	}
}

// reached counts who has the write: this server's disk, and replicas.
func (w *waiter) reached(ss *Session) (local, replicas int64) {
	if log := ss.srv.store.Log(); log != nil && log.Synced() >= w.off {
		local = 1
	}
	return local, 0
}

// hopeless: it waits for a log that was switched off meanwhile, as CONFIG SET appendonly no does.
func (w *waiter) hopeless(ss *Session) bool { return w.local > 0 && ss.srv.store.Log() == nil }

func (w *waiter) reply(ss *Session) {
	out := &ss.conn.W
	if w.hopeless(ss) {
		out.Error(errNoLocal)
		return
	}
	local, replicas := w.reached(ss)
	if !w.aof {
		out.Int(replicas)
		return
	}
	out.Array(2)
	out.Int(local)
	out.Int(replicas)
}

func waitCommands() []*command.Descriptor {
	return []*command.Descriptor{
		{
			Name: "wait", Arity: 3, Flags: command.Blocking, Categories: command.CatConnection, Handler: wait,
			Group: "generic", Since: "3.0.0", Complexity: "O(1)",
			Summary: "Blocks until so many replicas have this connection's writes; returns how many have.",
			Args:    []command.Arg{{Name: "numreplicas", Type: "integer"}, {Name: "timeout", Type: "integer"}},
			Tips:    []string{"request_policy:all_shards", "response_policy:agg_min"},
		},
		{
			Name: "waitaof", Arity: 4, Flags: command.Blocking, Categories: command.CatConnection, Handler: waitaof,
			Group: "generic", Since: "7.2.0", Complexity: "O(1)",
			Summary: "Blocks until this connection's writes are on this server's disk and on that of so many replicas.",
			Args: []command.Arg{{Name: "numlocal", Type: "integer"}, {Name: "numreplicas", Type: "integer"},
				{Name: "timeout", Type: "integer"}},
			Tips: []string{"request_policy:all_shards", "response_policy:agg_min"},
		},
	}
}

func wait(c *command.Ctx) {
	n, ok := c.Int(1)
	if !ok {
		return
	}
	ms, ok := timeoutArg(c, 2)
	if !ok {
		return
	}
	block(c, &waiter{replicas: n}, ms)
}

func waitaof(c *command.Ctx) {
	local, ok := c.Int(1)
	if !ok {
		return
	}
	if local < 0 || local > 1 {
		c.W.Error("ERR value is out of range, value must between 0 and 1")
		return
	}
	replicas, ok := c.Int(2)
	if !ok {
		return
	}
	if replicas < 0 {
		c.W.Error("ERR value is out of range, must be positive")
		return
	}
	ms, ok := timeoutArg(c, 3)
	if !ok {
		return
	}
	if local > 0 && c.Store.Log() == nil {
		c.W.Error(errNoLocal)
		return
	}
	block(c, &waiter{local: local, replicas: replicas, aof: true}, ms)
}

// timeoutArg parses a timeout in ms; 0 waits for ever.
func timeoutArg(c *command.Ctx, i int) (ms int64, ok bool) {
	ms, ok = command.ParseInt(c.Args[i])
	switch {
	case !ok:
		c.W.Error("ERR timeout is not an integer or out of range")
	case ms < 0:
		c.W.Error("ERR timeout is negative")
		ok = false
	case ms > 1<<62/int64(time.Millisecond):
		c.W.Error("ERR timeout is out of range")
		ok = false
	}
	return ms, ok
}

// block answers at once when it can or must (within EXEC), and otherwise holds the client.
func block(c *command.Ctx, w *waiter, ms int64) {
	ss := SessionOf(c)
	w.off = ss.lastWrite
	local, replicas := w.reached(ss)
	if local >= w.local && replicas >= w.replicas || c.InBlock() {
		w.reply(ss)
		return
	}
	ss.Block(w, time.Duration(ms)*time.Millisecond, w.local > 0)
}
