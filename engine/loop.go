package engine

import (
	"io"
	"sync/atomic"

	"tidemark/aof"
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/netio"
)

// loopState is what one event loop keeps of the engine: the context its commands run in, and who waits on it. Only the loop
// touches it, but for interest.
type loopState struct {
	srv    *Server
	l      *netio.Loop
	ctx    *command.Ctx
	req    netio.Request
	ahead  [keyspace.MostAhead]placed
	hashes [keyspace.MostAhead]uint64
	elems  ahead

	// What the turn did; EndTurn reads and clears it.
	wrote, read, gated, wantRoom, wantSync bool
	flushedAll                             bool // FLUSHALL was executed just now
	askTurn                                bool // the extension wants to be asked

	parked []*Session // held by a full ring
	// expiryStuck: keys are due, but the log takes nothing. Of the first loop.
	expiryStuck bool
	drains      int64 // Log.Drains when those that found no room were last let go

	// Blocked clients, see blocked.go: those that are asked when the loop is woken, and the others. How many of them wait for a sync.
	polled, waiting []*Session
	syncWaiters     int

	failing    *netio.Timer // runs while the log fails, see failing.go
	evictLater *netio.Timer // see clientevict.go
	// interest is set while something on this loop waits for a watermark: a notification then wakes the loop.
	interest atomic.Bool
	// progress is set while the extension wants LoopProgress to be called.
	progress atomic.Bool
}

func (s *Server) stateOf(l *netio.Loop) *loopState {
	if l.Data == nil {
		ls := &loopState{srv: s, l: l, ctx: command.NewCtx(s.store, s.table), elems: ahead{lock: true}}
		l.Data = ls
		s.mu.Lock()
		s.loops = append(s.loops, ls)
		s.mu.Unlock()
	}
	return l.Data.(*loopState)
}

// Accept makes a session of a new connection.
func (s *Server) Accept(c *netio.Conn) (refusal string) {
	if s.protected.Load() && !c.IsUnix() && !c.IsLoopback() {
		return errProtected
	}
	ss := &Session{srv: s, conn: c, id: c.ID(), user: "default", authed: !s.needAuth.Load()}
	ss.pub.addr, ss.pub.laddr, ss.pub.fd = c.RemoteAddr(), c.LocalAddr(), c.FD()
	ss.publish()
	c.SetAuthenticated(ss.authed)
	c.Session = ss
	s.clients.add(ss)
	return ""
}

// Serve runs the requests that stand complete in the connection's input.
func (s *Server) Serve(c *netio.Conn) {
	ls := s.stateOf(c.Loop())
	ss := c.Session.(*Session)
	ss.loop = ls
	x := ls.ctx
	x.Client, x.W, x.DB, x.NoTouch = ss, &c.W, ss.db, ss.noTouch
	x.Now = ls.l.Now() / 1000
	for {
		reqs := c.Ahead()
		ls.lookAhead(reqs)
		i := 0
		for ; (i == 0 || i < len(reqs)) && c.Next(&ls.req); i++ {
			at := &ls.ahead[i]
			if i == len(reqs) {
				ls.place(at, ls.req.Args)
			}
			if !ls.do(ss, &ls.req, at) {
				c.Unread()
				i = 0
				break
			}
			ss.db = x.DB
		}
		if i == 0 || i < len(reqs) {
			break
		}
	}
	ss.publish()
}

// placed is what is known of a request before it is executed.
type placed struct {
	d          *command.Descriptor
	unknownSub bool
	key        command.Key // the only key, if Name is set
}

func (ls *loopState) place(at *placed, args [][]byte) {
	at.d, at.unknownSub = ls.srv.table.Resolve(args)
	at.key.Name = nil
	if at.d != nil {
		if i := at.d.SoleKey(args); i > 0 {
			at.key = ls.ctx.Store.MakeKey(args[i])
			at.key.Arg = i
		}
	}
}

// lookAhead prepares for the requests of a pipeline: it finds their commands and has the processor fetch what looking up their keys, and the
// elements of a large collection, will touch, so that the cache misses of all of them overlap. Whatever else they will do is seen when each is executed.
func (ls *loopState) lookAhead(reqs []netio.Request) {
	n := 0
	for i := range reqs {
		at := &ls.ahead[i]
		ls.place(at, reqs[i].Args)
		if at.key.Name != nil && (n == 0 || at.key.Hash != ls.hashes[n-1]) {
			ls.hashes[n] = at.key.Hash
			n++
		}
	}
	if n > 1 {
		ls.srv.store.KS.Ahead(ls.ctx.DB, ls.hashes[:n])
	}
	for i := range reqs {
		if at := &ls.ahead[i]; at.key.Name != nil {
			ls.elems.add(ls.ctx.DB, at.d, reqs[i].Args, &at.key)
		}
	}
	ls.elems.fetch()
}

// Close forgets a connection.
func (s *Server) Close(c *netio.Conn, err error) {
	ss, ok := c.Session.(*Session)
	if !ok {
		return
	}
	ls := s.stateOf(c.Loop())
	if ss.Blocked() {
		ss.endWait(EndGone)
	}
	for i, p := range ls.parked {
		if p == ss {
			ls.parked = append(ls.parked[:i], ls.parked[i+1:]...)
			break
		}
	}
	s.pause.forget(ss)
	ss.multi = nil
	ss.unwatch(s.store)
	s.clients.remove(ss)
	if ss.Ext != nil {
		s.ext.Closed(ss)
	}
	if err != nil && err != io.EOF {
		s.log.Verbosef("Client %d at %s closed: %v", ss.id, ss.pub.addr, err)
	}
}

// EndTurn says what the turn's writes need before their replies may leave (design D3a): under always a sync, by this thread when the turn
// held nothing but writes and the disk is quick, by the standby otherwise, so that readers are not held up.
func (s *Server) EndTurn(l *netio.Loop) netio.CommitMode {
	ls := s.stateOf(l)
	ls.ctx.Publish()
	s.stats.turn(s, l.Now())
	s.saves.turn(s)
	s.rearmExpiry()
	if ls.askTurn {
		ls.askTurn = false
		if s.ext.TurnEnds(l) {
			ls.wrote = true
		}
	}
	ls.evictAfter()
	if ls.ctx.Wrote != 0 { // evicted for a command that was then refused
		ls.ctx.Wrote, ls.wrote = 0, true
	}
	if !ls.wrote && !ls.wantRoom && !ls.wantSync {
		ls.read = false
		return netio.CommitNone
	}
	log := s.store.Log()
	if log == nil {
		ls.retry()
		ls.awaitClose()
		ls.wrote, ls.read, ls.gated, ls.wantRoom, ls.wantSync = false, false, false, false, false
		return netio.CommitNone
	}
	mode := netio.CommitInline
	if ls.wantSync {
		s.syncWanted.Store(true)
	}
	if (ls.wantSync || log.Policy() == aof.Always) && (ls.read && !ls.wantSync || log.SyncCost() > slowSyncNanos) {
		mode = netio.CommitHandoff
	}
	if ls.gated || ls.wantRoom || ls.wantSync {
		ls.interest.Store(true)
		if ls.gated {
			ls.watchHealth(log)
		}
	}
	ls.wrote, ls.read, ls.gated, ls.wantRoom, ls.wantSync = false, false, false, false, false
	return mode
}

// slowSyncNanos: a disk slower than this is left to the standby from the start (measured, design D3a).
const slowSyncNanos = 400_000

// Commit plays the committer's role. It must not touch any loop's state: the loop that asked may be run by another thread by now.
func (s *Server) Commit() {
	log := s.store.Log()
	if log == nil {
		return
	}
	goal := aof.GoalAppend
	if log.Policy() == aof.Always || s.syncWanted.Swap(false) {
		goal = aof.GoalSync
	}
	if !log.Commit(goal) {
		// Another thread is at it, or the disk is stuck or full: whoever ends that notifies. While the rings are not drained a loop that
		// was woken would find no more room than before, ask again, and so on for ever.
		log.WantNotify()
		if log.Pending(aof.GoalAppend) {
			return
		}
	}
	s.wakeInterested()
	s.considerRewrite(log)
}

// Watermark is what gates wait for.
func (s *Server) Watermark() int64 {
	log := s.store.Log()
	if old := s.closing.Load(); old != nil {
		// What another log takes over from, if any does: the replies that wait for it go on waiting.
		if synced := old.Synced(); log == nil || synced < old.Reserved() {
			return synced
		}
	}
	if log != nil {
		if log.Policy() == aof.Always {
			return log.Synced()
		}
		// In the page cache: a process that dies loses nothing that it acknowledged or showed.
		return log.Appended()
	}
	return 1<<63 - 1 // the log was switched off: nothing waits for it any more
}

// Committed looks at what the loop's own commit has moved.
func (s *Server) Committed(l *netio.Loop) {
	ls := s.stateOf(l)
	if ls.interest.Load() {
		s.look(ls)
	}
	if ls.progress.Load() {
		s.ext.LoopProgress(l)
	}
}

// notify is called by the log when a watermark moved for somebody, or room was made.
func (s *Server) notify() {
	s.wakeInterested()
	s.stop.logMoved()
}

func (s *Server) wakeInterested() {
	for _, ls := range s.loopStates() {
		if ls.interest.Load() || ls.progress.Load() {
			ls.l.Wake()
		}
	}
	s.watchers.tell()
}

// Woken tries again what waited for the log.
func (s *Server) Woken(l *netio.Loop) {
	ls := s.stateOf(l)
	s.look(ls)
	if ls.progress.Load() {
		s.ext.LoopProgress(l)
	}
}

// look tries again what waited for the log, or for others.
func (s *Server) look(ls *loopState) {
	// Whoever still waits hears of the log's end, too, which no watermark tells.
	ls.retry()
	ls.interest.Store(len(ls.polled) > 0 || len(ls.parked) > 0 || ls.expiryStuck)
	ls.checkWaiters()
	log := s.store.Log()
	if log == nil {
		ls.awaitClose()
		return
	}
	ls.watchHealth(log)
	goal := aof.GoalAppend
	if log.Policy() == aof.Always || ls.syncWaiters > 0 {
		goal = aof.GoalSync
	}
	if !log.Pending(goal) {
		return
	}
	// Not there yet, or there is more by now. A notification is given once: ask for the next before looking again.
	ls.interest.Store(true)
	log.WantNotify()
	if !log.Pending(goal) {
		ls.l.Wake()
	}
}

// awaitClose has the loop woken when a log that was switched off has been closed: replies may still wait for its last sync, and nobody
// commits any more.
func (ls *loopState) awaitClose() {
	if ls.srv.closing.Load() == nil {
		return
	}
	ls.interest.Store(true)
	if ls.srv.closing.Load() == nil { // just now: look again
		ls.l.Wake()
	}
}

// awaitLog has the loop woken when the log has room again, or accepts writes again.
func (ls *loopState) awaitLog() {
	log := ls.srv.store.Log()
	if log != nil && log.Err() == nil {
		ls.wantRoom = true
		return
	}
	// Asking a log that fails for room would be answered at once, again and again. That it has recovered it tells everybody.
	ls.interest.Store(true)
	if log = ls.srv.store.Log(); log == nil || log.Err() == nil {
		ls.l.Wake()
	}
}

// retry goes on with what the log had no room for, if that can have changed: trying in vain would only ask for room again.
func (ls *loopState) retry() {
	log := ls.srv.store.Log()
	failing := log != nil && log.Err() != nil
	if log != nil && !failing {
		d := log.Drains()
		if d == ls.drains {
			return
		}
		ls.drains = d
	}
	if ls.expiryStuck && !failing {
		ls.expiryStuck = false
		ls.srv.armExpiry(ls.l)
	}
	parked := ls.parked // when the log fails they are refused
	ls.parked = nil
	for _, ss := range parked {
		ss.conn.Release()
	}
}
