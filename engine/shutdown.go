package engine

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tidemark/aof"
	"tidemark/engine/command"
	"tidemark/engine/config"
	"tidemark/netio"
)

// shutdown is the end of the server. Its order is what makes it clean: first writers are held and replicas given time to catch up
// (shutdown-timeout), which SHUTDOWN ABORT can end; then every client is held, so that nothing changes any more;
// then the dataset is saved where that is wanted (the only step that can refuse the shutdown, and let everybody go on); then the log
// is synced, which opens the gates of replies still waiting; then the connections are flushed and closed, and the log closed,
// which cuts its last segment to its true length.
type shutdown struct {
	mu      sync.Mutex
	running bool
	failed  chan struct{}           // closed when the one that is running, or ran last, does not take place
	waiting context.CancelCauseFunc // ends the wait for replicas; nil: there is none
	until   time.Time               // when that wait ends by itself
	ending  chan struct{}           // closed when the loops are about to be stopped
	done    chan struct{}           // closed when the server has ended

	awaits atomic.Bool   // syncLog waits for the log
	moved  chan struct{} // told then
}

var (
	errShutdownRuns  = errors.New("a shutdown is in progress already")
	errShutdownFails = errors.New("Errors trying to SHUTDOWN. Check logs.")

	// Why the wait for replicas ended before its time.
	errShutdownAborted = errors.New("aborted")
	errShutdownNow     = errors.New("now")
)

// flushAtEnd is how long clients may take to read their last replies.
const flushAtEnd = time.Second

// Shutdown ends the server as SHUTDOWN does, with its options in how, and returns when it has ended (Wait returns then, too). With
// an error the server goes on. It must not be called on an event loop's thread.
func (s *Server) Shutdown(how config.ShutdownFlags) error {
	st := &s.stop
	st.mu.Lock()
	if st.running {
		if st.waiting != nil && how&config.ShutdownNow != 0 {
			st.waiting(errShutdownNow)
		}
		st.mu.Unlock()
		return errShutdownRuns
	}
	st.running, st.failed = true, make(chan struct{})
	st.mu.Unlock()

	s.log.Warningf("User requested shutdown...")
	if how&config.ShutdownNow == 0 && !s.awaitReplicas() {
		s.log.Warningf("The shutdown was aborted.")
		s.goOn()
		return errShutdownFails
	}
	s.pause.forShutdown(holdAll)
	s.abandonLoading(true)
	if s.loading.gaveUp.Load() {
		how = how&^config.ShutdownSave | config.ShutdownNoSave | config.ShutdownForce // what is in memory is not the data
	}
	s.awaitLoops()
	if err := s.lastSave(how); err != nil {
		s.goOn()
		return err
	}
	s.ext.Stopping()
	s.dropSnapshot(kindAOF, kindRDB, kindStream)
	close(st.ending)
	s.net.Shutdown(flushAtEnd)
	if s.expiry.timer != nil {
		s.expiry.timer.Stop()
	}
	if err := s.closeLog(); err != nil {
		s.log.Warningf("Closing the AOF failed: %v", err)
	}
	s.log.Warningf("Tidemark is now ready to exit, bye bye...")
	close(st.done)
	return nil
}

// goOn lets everybody work again after a shutdown that does not take place.
func (s *Server) goOn() {
	s.abandonLoading(false)
	s.pause.forShutdown(holdNothing)
	s.stop.mu.Lock()
	s.stop.running = false
	close(s.stop.failed)
	s.stop.mu.Unlock()
}

// awaitOutcome waits for the outcome of the shutdown that is running: an error if the server goes on.
func (s *Server) awaitOutcome() error {
	s.stop.mu.Lock()
	failed := s.stop.failed
	s.stop.mu.Unlock()
	select {
	case <-s.stop.done:
		return nil
	case <-failed:
		return errShutdownFails
	}
}

// awaitReplicas holds writers until the replicas have all there is, for as long as shutdown-timeout says. False: SHUTDOWN ABORT was said.
func (s *Server) awaitReplicas() bool {
	st := &s.stop
	timeout := time.Duration(s.cfg.Load().ShutdownTimeout) * time.Second
	if timeout <= 0 || s.Loading() {
		return true
	}
	ctx, end := context.WithTimeout(context.Background(), timeout)
	defer end()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	st.mu.Lock()
	st.waiting, st.until = cancel, time.Now().Add(timeout)
	st.mu.Unlock()
	s.pause.forShutdown(holdWrites)
	s.awaitLoops()
	s.ext.AwaitReplicas(ctx)
	st.mu.Lock()
	defer st.mu.Unlock()
	st.waiting = nil
	return context.Cause(ctx) != errShutdownAborted
}

// abortShutdown ends the wait for replicas, and the shutdown with it. False: no shutdown waits.
func (s *Server) abortShutdown() bool {
	s.stop.mu.Lock()
	defer s.stop.mu.Unlock()
	if s.stop.waiting == nil {
		return false
	}
	s.stop.waiting(errShutdownAborted)
	return true
}

// lastSave brings to the disk what the shutdown's options and the configuration say. With FORCE it only complains.
func (s *Server) lastSave(how config.ShutdownFlags) error {
	force := how&config.ShutdownForce != 0
	v := s.cfg.Load()
	if !s.awaitFirstBase(how) {
		if !force {
			s.log.Warningf("Writing initial AOF, can't exit.")
			return errShutdownFails
		}
		s.log.Warningf("Writing initial AOF. Exit anyway.")
	}
	if log := s.store.Log(); log != nil && log.OnDisk() {
		s.log.Noticef("Calling fsync() on the AOF file.")
		if err := s.syncLog(log); err != nil {
			s.log.Warningf("The AOF could not be synced before the shutdown: %v", err)
			if !force {
				return errShutdownFails
			}
		}
		for _, l := range s.net.Loops() {
			l.Wake() // replies that waited for the sync may leave
		}
	}
	if how&config.ShutdownSave != 0 || len(v.Save) > 0 && how&config.ShutdownNoSave == 0 {
		s.log.Noticef("Saving the final RDB snapshot before exiting.")
		if err := s.saveRDB(filepath.Join(v.Dir, v.DBFilename)); err != nil {
			if !force {
				s.log.Warningf("Error trying to save the DB, can't exit: %v", err)
				return errShutdownFails
			}
			s.log.Warningf("Error trying to save the DB, exiting all the same: %v", err)
		}
	}
	return nil
}

// awaitFirstBase gives the first base of an AOF that was switched on shutdown-timeout to be written. False: it is not, and the AOF is worth nothing:
// all data would be lost.
func (s *Server) awaitFirstBase(how config.ShutdownFlags) bool {
	limit := time.Now().Add(time.Duration(s.cfg.Load().ShutdownTimeout) * time.Second)
	for grace := 10; s.rewrite.baseless.Load(); {
		s.rewrite.mu.Lock()
		j := s.rewrite.job
		s.rewrite.mu.Unlock()
		left := time.Until(limit)
		if left <= 0 || how&config.ShutdownNow != 0 {
			return false
		}
		if j == nil { // between a save and the rewrite that follows it, or none follows
			if grace--; grace < 0 {
				return false
			}
			time.Sleep(10 * time.Millisecond)
			continue
		}
		select {
		case <-j.ended:
		case <-time.After(left):
		}
	}
	return true
}

// syncLog returns when everything published is on the disk, or cannot be brought there.
func (s *Server) syncLog(log *aof.Log) error {
	st := &s.stop
	st.awaits.Store(true)
	defer st.awaits.Store(false)
	for log.Pending(aof.GoalSync) {
		if err := log.Err(); err != nil {
			return err
		}
		if log.Commit(aof.GoalSync) {
			continue
		}
		// Somebody else commits, and has our wish; it takes as long as the disk does.
		log.WantNotify()
		if log.Pending(aof.GoalSync) && log.Err() == nil {
			<-st.moved
		}
	}
	return nil
}

// logMoved tells syncLog that the log has got on, or failed.
func (st *shutdown) logMoved() {
	if !st.awaits.Load() {
		return
	}
	select {
	case st.moved <- struct{}{}:
	default:
	}
}

// dropSnapshot makes a snapshot of one of the kinds that is being written give up, and waits for its end; its file goes. It must not be called on
// an event loop's thread.
func (s *Server) dropSnapshot(kinds ...snapshotKind) {
	j := s.giveUpSnapshot(kinds...)
	if j == nil {
		return
	}
	select {
	case <-j.ended:
	case <-time.After(flushAtEnd): // the disk stands still; the file stays behind under its temporary name
	}
}

// giveUpSnapshot is dropSnapshot without the wait. It returns the snapshot that gives up, or nil.
func (s *Server) giveUpSnapshot(kinds ...snapshotKind) *snapshotJob {
	r := &s.rewrite
	r.mu.Lock()
	defer r.mu.Unlock()
	j := r.job
	if slices.Contains(kinds, kindAOF) {
		r.scheduled = false
	}
	if slices.Contains(kinds, kindRDB) {
		r.saveNext = false
	}
	if j == nil || !slices.Contains(kinds, j.kind) {
		return nil
	}
	s.log.Warningf("A background %s is in progress; it is given up.", j.kind)
	j.failed.Store(true)
	return j
}

// awaitLoops returns when every event loop has come to the end of the turn it was in, or been stopped: a request that was let in before the call
// has then been executed. Not on an event loop's thread.
func (s *Server) awaitLoops() {
	loops := s.loopStates()
	passed := make(chan struct{}, len(loops))
	for _, ls := range loops {
		ls.l.Post(func(*netio.Loop) { passed <- struct{}{} })
	}
	for range loops {
		select {
		case <-passed:
		case <-s.stop.ending:
			return
		}
	}
}

func (s *Server) shutdownCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "shutdown", Arity: -1, Scope: command.ScopeOwn, Handler: s.shutdownRequest,
		Flags: command.Admin | command.NoScript | command.Loading | command.Stale | command.NoMulti | command.AllowBusy,
		Group: "server", Since: "1.0.0", Summary: "Saves what is to be saved and ends the server.",
		Complexity: "O(N) when saving, where N is the total number of keys in all databases when saving data, otherwise O(1)",
		History:    [][2]string{{"7.0.0", "Added the `NOW`, `FORCE` and `ABORT` modifiers."}},
		Args: []command.Arg{
			{Name: "save-selector", Type: "oneof", Flags: command.Optional, Args: []command.Arg{
				{Name: "nosave", Type: "pure-token", Token: "NOSAVE"}, {Name: "save", Type: "pure-token", Token: "SAVE"}}},
			{Name: "now", Type: "pure-token", Token: "NOW", Flags: command.Optional, Since: "7.0.0"},
			{Name: "force", Type: "pure-token", Token: "FORCE", Flags: command.Optional, Since: "7.0.0"},
			{Name: "abort", Type: "pure-token", Token: "ABORT", Flags: command.Optional, Since: "7.0.0"},
		},
	}
}

// shutdownRequest is SHUTDOWN. It answers only when there is an error: otherwise the connection closes.
func (s *Server) shutdownRequest(c *command.Ctx) {
	var how config.ShutdownFlags
	abort := false
	for _, a := range c.Args[1:] {
		switch {
		case command.Is(a, "nosave"):
			how |= config.ShutdownNoSave
		case command.Is(a, "save"):
			how |= config.ShutdownSave
		case command.Is(a, "now"):
			how |= config.ShutdownNow
		case command.Is(a, "force"):
			how |= config.ShutdownForce
		case command.Is(a, "abort"):
			abort = true
		default:
			c.W.Error(command.ErrSyntax)
			return
		}
	}
	if abort && how != 0 || how&config.ShutdownSave != 0 && how&config.ShutdownNoSave != 0 {
		c.W.Error(command.ErrSyntax)
		return
	}
	if abort {
		if s.abortShutdown() {
			c.W.OK()
		} else {
			c.W.Error("ERR No shutdown in progress.")
		}
		return
	}
	ss := c.Client.(*Session)
	ss.stopping = true
	ss.conn.Hold()
	ss.conn.SetIdleExempt(true)
	go func() {
		err := s.Shutdown(how)
		if err == errShutdownRuns {
			err = s.awaitOutcome()
		}
		if err == nil {
			return
		}
		ss.conn.Post(func(conn *netio.Conn) {
			ss.stopping = false
			conn.W.Error("ERR " + err.Error())
			conn.SetIdleExempt(false)
			conn.Release()
			conn.Flush()
			ss.publish()
		})
	}()
}
