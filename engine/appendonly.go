package engine

import (
	"errors"
	"time"

	"tidemark/aof"
	"tidemark/engine/config"
)

// The AOF is switched on and off while the server runs: by CONFIG SET appendonly, and on when a replica without one is promoted. While there is replication
// the stream goes on all the same: the log on disk and the one in memory take turns, each beginning where the other ends, under the same id.

// startRewrite begins a background rewrite of the AOF (BGREWRITEAOF). With appendonly off it writes a whole new AOF, as Redis does, which
// takes the disk's time; it must not be called on an event loop's thread then.
func (s *Server) startRewrite() error {
	log := s.store.Log()
	if log == nil || !log.OnDisk() {
		return s.writeAOF()
	}
	return s.startSnapshot(kindAOF, func(x int64) (sink, error) { return log.BeginRewrite(x) })
}

// writeAOF begins to write an AOF that ends with its base.
func (s *Server) writeAOF() error {
	s.configuring.Lock() // nobody switches appendonly meanwhile
	defer s.configuring.Unlock()
	if log := s.store.Log(); log != nil && log.OnDisk() {
		return errors.New("appendonly has just been switched on, which writes an AOF")
	}
	if s.snapshotRunning() != kindNone {
		return ErrSnapshotRunning
	}
	o := s.logOptions(s.cfg.Load())
	o.Fresh, o.ID, o.StartOffset, o.Tail = true, s.replicationID(), s.logOffset(), nil // what goes on is another log
	l, _, err := aof.Open(o, nil)
	if err != nil {
		return err
	}
	err = s.startSnapshot(kindAOF, func(int64) (sink, error) {
		out, err := l.BeginRewrite(l.Mark())
		return closingSink{out, l}, err
	})
	if err != nil {
		l.Close()
	}
	return err
}

// closingSink closes the log when its base is written.
type closingSink struct {
	sink
	log *aof.Log
}

func (c closingSink) Commit() error {
	return errors.Join(c.sink.Commit(), c.log.Close())
}

func (c closingSink) Abort() {
	c.sink.Abort()
	// Nothing was logged, and what the base would have held is still in memory: there is nothing to lose.
	_ = c.log.Close()
}

// switchAppendOnly brings the log to what v says. configuring is held. Not on an event loop's thread.
func (s *Server) switchAppendOnly(v *config.Values) error {
	old := s.store.Log()
	if on := old != nil && old.OnDisk(); on == v.AppendOnly {
		return nil
	}
	if !v.AppendOnly {
		s.dropSnapshot(kindAOF)
		s.rewrite.baseless.Store(false)
		if !s.tail.On() {
			return s.closeLog()
		}
		l, err := s.openMemoryLog(v)
		if err == nil {
			s.takeOver(old, l)
		}
		return err
	}
	s.awaitSnapshot(kindAOF) // BGREWRITEAOF, which has the directory
	if old == nil {
		s.newHistory() // what was written before is in no log
	}
	o := s.logOptions(v)
	o.Fresh, o.StartOffset = true, s.logEnd
	o.ID, o.Ancestors = s.identity()
	if old != nil {
		o.Tail = nil // until it has taken over
	}
	l, _, err := aof.Open(o, nil)
	if err != nil {
		return err
	}
	s.rewrite.baseless.Store(true)
	s.takeOver(old, l)
	if err = s.beginBase(); err != nil {
		off := *v
		off.AppendOnly = false
		err = errors.Join(err, s.switchAppendOnly(&off))
	}
	return err
}

// takeOver makes l the log in the place of old, which may be nil. Nobody waits but those whose replies wait for old.
func (s *Server) takeOver(old, l *aof.Log) {
	s.closing.Store(old)
	s.store.KS.LockAll()
	if old != nil {
		l.TakeOver(old.Reserved())
	}
	s.store.SetLog(l)
	s.store.KS.UnlockAll()
	if old == nil {
		return
	}
	if err := old.Close(); err != nil {
		s.log.Warningf("Closing the log that another takes over from: %v", err)
	}
	l.Resume(s.tail)
	s.closing.Store(nil)
	s.wakeInterested()
}

// DurableOffset is the log offset up to which a restart would find everything after a power loss; ok is false when there is no AOF, or its first base
// is still to be written: what is in it is worth nothing then. Any goroutine.
func (s *Server) DurableOffset() (off int64, ok bool) {
	log := s.store.Log()
	if log == nil || !log.OnDisk() || s.rewrite.baseless.Load() {
		return 0, false
	}
	return log.Synced(), true
}

// beginBase begins to write the first base of an AOF that was switched on, or has that done when the snapshot that is running has ended.
func (s *Server) beginBase() error {
	for {
		err := s.startRewrite()
		if !errors.Is(err, ErrSnapshotRunning) {
			return err
		}
		if s.scheduleRewrite() {
			s.log.Noticef("AOF was enabled but there is already another background operation. An AOF background was scheduled to start when possible.")
			return nil
		}
	}
}

// retryBase tries again to write a first base that could not be written.
func (s *Server) retryBase() {
	log := s.store.Log()
	if !s.rewrite.baseless.Load() || log == nil || !log.OnDisk() || s.loading.abandoned.Load() {
		return
	}
	if err := s.beginBase(); err != nil {
		s.log.Warningf("The first base of the AOF is still to be written: %v", err)
		time.AfterFunc(saveRetry, s.retryBase)
	}
}

// awaitSnapshot returns when no snapshot of that kind is being written. Not on an event loop's thread.
func (s *Server) awaitSnapshot(kind snapshotKind) {
	s.rewrite.mu.Lock()
	j := s.rewrite.job
	s.rewrite.mu.Unlock()
	if j != nil && j.kind == kind {
		<-j.ended
	}
}

// identity is the id of the log and its ancestors, or those of the one to come.
func (s *Server) identity() (id string, ancestors []aof.Ancestor) {
	if log := s.store.Log(); log != nil {
		return log.ID(), log.Ancestors()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.replID, s.ancestors
}

// newHistory lets the next log begin one of its own.
func (s *Server) newHistory() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replID, s.ancestors = randomID(), nil
}

// setHistory is what the next log has.
func (s *Server) setHistory(id string, ancestors []aof.Ancestor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replID, s.ancestors = id, ancestors
}

// restoreAOF switches the AOF on for a server that shall have one and has none, as its primary's data could not be loaded before it became a
// primary itself. Writes are refused until that is done. It is tried once a second, as nothing tells when a directory can be written to again. On a
// goroutine of its own.
func (s *Server) restoreAOF() {
	for said := false; ; time.Sleep(time.Second) {
		s.configuring.Lock()
		v := s.cfg.Load()
		if s.Role().Replica || !v.AppendOnly || s.loading.abandoned.Load() {
			s.setGate(gateNoAOF, false)
			s.configuring.Unlock()
			return
		}
		err := s.switchAppendOnly(v)
		if err == nil {
			s.setGate(gateNoAOF, false)
			s.configuring.Unlock()
			return
		}
		s.configuring.Unlock()
		if !said {
			said = true
			s.log.Warningf("The AOF cannot be opened, and writes are refused until it can: %v", err)
		}
	}
}
