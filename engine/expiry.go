package engine

import (
	"sync/atomic"
	"time"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/netio"
)

// expiry is active expiry: one timer on the first loop, set for the earliest expiry of all shards. Nothing runs while no key is
// due; when many are, they go in slices, so that no turn grows long.
//
// next and armedAt are in Unix ms, noneDue when there is none. Any loop may bring armedAt forward (rearmExpiry); only the first
// loop touches the timer and ctx.
type expiry struct {
	ctx     *command.Ctx
	timer   *netio.Timer
	armedAt atomic.Int64
	shard   int // where the next slice starts
}

const (
	noneDue = 1<<63 - 1
	// expirySlice bounds one slice; between two slices the loop serves its clients.
	expirySlice = 500 * time.Microsecond
	expiryBatch = 16 // keys under one hold of a shard's lock
)

// startExpiry prepares active expiry; the end of loading sets the timer.
func (s *Server) startExpiry() {
	s.expiry.ctx = command.NewCtx(s.store, s.table)
	s.expiry.armedAt.Store(noneDue)
	s.pause.changed = func(on bool) {
		s.store.HoldExpiry.Store(on)
		if !on {
			s.net.Loops()[0].Post(s.armExpiry)
		}
	}
}

// earliestExpiry looks at all shards.
func (s *Server) earliestExpiry() int64 {
	first := int64(noneDue)
	for i := 0; i < s.store.KS.NumShards(); i++ {
		sh := s.store.KS.Shard(i)
		sh.Lock()
		if at := sh.NextExpiry(); at != keyspace.NoExpire {
			first = min(first, at)
		}
		sh.Unlock()
	}
	return first
}

// rearmExpiry is called at the end of each turn: a write may have brought the earliest expiry forward.
func (s *Server) rearmExpiry() {
	next := s.store.NextExpiry.Load()
	for {
		armed := s.expiry.armedAt.Load()
		if next >= armed {
			return
		}
		if s.expiry.armedAt.CompareAndSwap(armed, next) {
			s.net.Loops()[0].Post(func(l *netio.Loop) { s.armExpiry(l) })
			return
		}
	}
}

// armExpiry sets the timer for the earliest expiry. First loop only.
func (s *Server) armExpiry(l *netio.Loop) {
	e := &s.expiry
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
	next := s.store.NextExpiry.Load()
	e.armedAt.Store(next)
	if next == noneDue || s.store.NoActiveExpire.Load() {
		return
	}
	wait := time.Duration(max(next-nowMillis(), 0)) * time.Millisecond
	e.timer = l.After(min(wait, 24*time.Hour), func() { s.expireDue(l) })
}

// expireDue removes what is due for one slice of time, and goes on in the next turn when there is more.
func (s *Server) expireDue(l *netio.Loop) {
	e := &s.expiry
	e.timer = nil
	if s.store.HoldExpiry.Load() || s.Loading() || s.store.Following.Load() {
		return // the end of the pause, of loading, or of being a replica arms the timer again
	}
	start := time.Now()
	e.ctx.Now = start.UnixMilli()
	n := s.store.KS.NumShards()
	ls := s.stateOf(l)
	// Learnt anew below: whoever sets an earlier expiry meanwhile lowers it again.
	s.store.NextExpiry.Store(noneDue)
	more := false
	for i := 0; i < n; i++ {
		at := (e.shard + i) % n
		for !more {
			done, stuck := e.ctx.ExpireDue(at, expiryBatch)
			ls.expiryStuck = ls.expiryStuck || stuck
			if done < expiryBatch {
				break
			}
			if time.Since(start) > expirySlice {
				more = true
				e.shard = at
			}
		}
		if more {
			break
		}
	}
	if e.ctx.Wrote != 0 {
		e.ctx.Wrote, ls.wrote = 0, true
	}
	e.ctx.Publish()
	s.stats.expiryNanos.Add(int64(time.Since(start)))
	first := s.earliestExpiry()
	s.store.LowerNextExpiry(first)
	if more {
		s.stats.expirySlicesFull.Add(1)
		e.armedAt.Store(0)
		e.timer = l.After(0, func() { s.expireDue(l) })
		return
	}
	if ls.expiryStuck {
		// What is due cannot go now. The log says when it can, and retry arms the timer then; until then no timer is armed.
		e.armedAt.Store(0)
		ls.awaitLog()
		return
	}
	s.armExpiry(l)
}

func nowMillis() int64 { return time.Now().UnixMilli() }
