package engine

import (
	"time"

	"tidemark/engine/command"
	"tidemark/netio"
)

const errNoLocal = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."

// waiter is a client blocked in WAIT or WAITAOF until watermarks reach its last write. Waiters cost no thread and no polling:
// the loop looks at them when a watermark moved, and a timer of the loop ends them.
type waiter struct {
	ss       *Session
	off      int64 // log offset to be reached
	local    int64 // WAITAOF's numlocal
	replicas int64
	aof      bool
	timer    *netio.Timer
}

// waiterList is the waiters of one loop.
type waiterList struct {
	ls   *loopState
	list []*waiter
}

func (wl *waiterList) len() int { return len(wl.list) }

func (wl *waiterList) add(w *waiter) { wl.list = append(wl.list, w) }

func (wl *waiterList) remove(w *waiter) {
	if w.timer != nil {
		w.timer.Stop()
	}
	for i, x := range wl.list {
		if x == w {
			wl.list = append(wl.list[:i], wl.list[i+1:]...)
			return
		}
	}
}

// check answers those whose watermarks are reached.
func (wl *waiterList) check() {
	if len(wl.list) == 0 {
		return
	}
	keep := wl.list[:0]
	for _, w := range wl.list {
		if local, replicas := w.reached(); local >= w.local && replicas >= w.replicas || w.hopeless() {
			w.finish()
		} else {
			keep = append(keep, w)
		}
	}
	clear(wl.list[len(keep):])
	wl.list = keep
}

// reached counts who has the write: this server's disk, and replicas.
func (w *waiter) reached() (local, replicas int64) {
	if log := w.ss.srv.store.Log(); log != nil && log.Synced() >= w.off {
		local = 1
	}
	return local, 0
}

// hopeless: it waits for a log that was switched off meanwhile, as CONFIG SET appendonly no does.
func (w *waiter) hopeless() bool { return w.local > 0 && w.ss.srv.store.Log() == nil }

func (w *waiter) reply() {
	if w.hopeless() {
		w.ss.conn.W.Error(errNoLocal)
		return
	}
	local, replicas := w.reached()
	if !w.aof {
		w.ss.conn.W.Int(replicas)
		return
	}
	w.ss.conn.W.Array(2)
	w.ss.conn.W.Int(local)
	w.ss.conn.W.Int(replicas)
}

// finish replies and lets the client go on. The caller takes it off the list.
func (w *waiter) finish() {
	if w.timer != nil {
		w.timer.Stop()
	}
	ss := w.ss
	pos := len(ss.conn.W.B)
	w.reply()
	ss.dropLateReply(pos)
	w.release()
}

func (w *waiter) release() {
	w.ss.blocked = nil
	w.ss.conn.SetIdleExempt(false)
	w.ss.conn.Release()
	w.ss.conn.Flush()
	w.ss.publish()
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
	ss := c.Client.(*Session)
	w.ss, w.off = ss, ss.lastWrite
	local, replicas := w.reached()
	if local >= w.local && replicas >= w.replicas || c.InBlock() {
		w.reply()
		return
	}
	ls := ss.loop
	ss.blocked = w
	ss.conn.Hold()
	ss.conn.SetIdleExempt(true)
	ls.waiters.add(w)
	ls.interest.Store(true)
	if w.local > 0 {
		ls.wantSync = true // rather than at the next full second
	}
	if ms > 0 {
		w.timer = ls.l.After(time.Duration(ms)*time.Millisecond, func() {
			ls.waiters.remove(w)
			w.finish()
		})
	}
}
