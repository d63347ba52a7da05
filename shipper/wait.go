package shipper

import (
	"time"

	"tidemark/engine"
	"tidemark/engine/command"
	"tidemark/netio"
)

// WAIT and WAITAOF are waiters on watermarks: the log's own Synced, and Received and Synced of the replicas. They are looked at by the loop of
// their client when one of these has moved.
//
// https://redis.io/docs/latest/commands/wait/ and https://redis.io/docs/latest/commands/waitaof/

const (
	errNoLocal     = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."
	errWaitReplica = "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is configured to be " +
		"writable (which is not the default) writes to replicas are just local and are not propagated."
	errWaitAOFReplica = "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local and are " +
		"not propagated."
	errRoleChanged = "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"
)

// waiter is one client in WAIT or WAITAOF.
type waiter struct {
	sh       *Shipper
	off      int64 // log offset to be reached: the end of the client's last write
	local    int64 // WAITAOF's numlocal
	replicas int64
	aof      bool
}

// reached counts who has the write: our disk, and replicas.
func (w *waiter) reached() (local, replicas int64) {
	if w.aof {
		if durable, ok := w.sh.srv.DurableOffset(); ok && durable >= w.off {
			local = 1
		}
	}
	for _, r := range *w.sh.all.Load() {
		if !r.online() {
			continue
		}
		if w.aof && r.synced.Load() >= w.off || !w.aof && r.received.Load() >= w.off {
			replicas++
		}
	}
	return local, replicas
}

// hopeless: it waits for an AOF that was switched off meanwhile.
func (w *waiter) hopeless() bool {
	if w.local == 0 {
		return false
	}
	log := w.sh.srv.Log()
	return log == nil || !log.OnDisk()
}

// Ready reports whether enough have the write, or never will.
func (w *waiter) Ready(*engine.Session) bool {
	local, replicas := w.reached()
	return local >= w.local && replicas >= w.replicas || w.hopeless()
}

// Ended replies who has the write.
func (w *waiter) Ended(ss *engine.Session, how engine.End) {
	if how != engine.EndReady && how != engine.EndTimeout {
		return
	}
	out := &ss.Conn().W
	if w.hopeless() {
		out.Error(errNoLocal)
		return
	}
	local, replicas := w.reached()
	if !w.aof {
		out.Int(replicas)
		return
	}
	out.Array(2)
	out.Int(local)
	out.Int(replicas)
}

func (sh *Shipper) wait(c *command.Ctx) {
	n, ok := c.Int(1)
	if !ok {
		return
	}
	ms, ok := c.Timeout(2)
	if !ok {
		return
	}
	if sh.isReplica() {
		c.W.Error(errWaitReplica)
		return
	}
	sh.block(c, &waiter{sh: sh, replicas: n}, ms)
}

func (sh *Shipper) waitaof(c *command.Ctx) {
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
	ms, ok := c.Timeout(3)
	if !ok {
		return
	}
	if sh.isReplica() {
		c.W.Error(errWaitAOFReplica)
		return
	}
	w := &waiter{sh: sh, local: local, replicas: replicas, aof: true}
	if w.hopeless() {
		c.W.Error(errNoLocal)
		return
	}
	sh.block(c, w, ms)
}

// noSuchOffset is what nobody has: the client's last write belongs to a history that this server has left, so nobody can be said to have it.
const noSuchOffset = 1<<63 - 1

// block answers at once when it can or must (within EXEC), and otherwise holds the client.
func (sh *Shipper) block(c *command.Ctx, w *waiter, ms int64) {
	ss := c.Client.(*engine.Session)
	var kept bool
	if w.off, kept = ss.LastWrite(); !kept {
		w.off = noSuchOffset
	}
	if c.InBlock() || !kept || w.Ready(ss) {
		w.Ended(ss, engine.EndReady)
		return
	}
	ss.Block(w, time.Duration(ms)*time.Millisecond, w.local > 0)
	ss.Conn().Linger() // the reply to the write, if it came along, and this one leave together
	if w.replicas > 0 {
		sh.hurry(w.off, c.Now*1_000_000)
	}
	sh.askFor(ss.Conn().Loop(), w)
}

// askFor notes that replicas are to be asked for their acknowledgement when the turn ends: a stock replica acknowledges once a second by
// itself, and a tidemark at once, but it syncs by its own policy.
func (sh *Shipper) askFor(l *netio.Loop, w *waiter) {
	if w.replicas == 0 || sh.asked.Load() >= w.off && sh.asked.Load() > 0 {
		return
	}
	for _, r := range *sh.all.Load() {
		if r.online() && (!r.swift && r.received.Load() < w.off || w.aof && r.synced.Load() < w.off) {
			sh.srv.AskTurn(l)
			return
		}
	}
}

// TurnEnds asks the replicas, once for all clients of the turn. It reports whether it has put something into the log.
func (sh *Shipper) TurnEnds(l *netio.Loop) bool {
	end, ok := sh.srv.AppendToStream(getAckBytes)
	if !ok {
		sh.srv.AskTurn(l) // the ring is full: the next turn asks
		return false
	}
	sh.asked.Store(end)
	return true
}

// ack takes an acknowledgement. On the replica's loop.
func (sh *Shipper) ack(r *replica, off, synced int64) {
	if log := sh.srv.Log(); log != nil {
		// Nobody can have what was not written: an overstatement must not become an answer of WAIT.
		end := log.Reserved()
		off, synced = min(off, end), min(synced, end)
	}
	if r.acked(off, synced, nowNanos()) {
		sh.srv.WakeWaiters()
		select {
		case sh.acks <- struct{}{}:
		default:
		}
	}
	if r.state.Load() == stateLoading {
		sh.log.Noticef("Synchronization with replica %s succeeded", r.name())
		r.toOnline()
		sh.countGood()
	}
}
