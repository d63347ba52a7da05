package engine

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// savePoints is the directive save: a background save once a number of keys changed and so much time passed since the last one.
//
// Nothing looks at the clock for it. The end of a turn compares the count of changes with the next number that matters, and when it is
// reached a timer is set for the moment at which the save is due.
type savePoints struct {
	// next is the count of changes (StoreStats.Dirty) at which look must be called.
	next atomic.Int64
	// refuse: writes are refused, since the last save failed and stop-writes-on-bgsave-error is set.
	refuse atomic.Bool

	mu    sync.Mutex
	timer *time.Timer
	tried time.Time // when a save was last begun here
}

// saveRetry is how long after a save that failed the next is begun.
const saveRetry = 5 * time.Second

const errSaveFailed = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may " +
	"modify the data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting " +
	"fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error."

// turn is called at the end of every turn.
func (p *savePoints) turn(s *Server) {
	if s.store.Stats.Dirty.Load() >= p.next.Load() {
		p.look(s)
	}
}

// look sets the timer for the save that is due first, and begins it when that is now. It is called when enough keys changed, when a
// save ended, when the configuration changed and when the timer fires.
func (p *savePoints) look(s *Server) {
	v := s.cfg.Load()
	r := &s.rewrite
	r.mu.Lock()
	last, base, failed, busy := r.lastSave, r.dirtyAtSave, r.rdbFailed, r.job != nil
	r.mu.Unlock()
	if last == 0 {
		last = s.started.Unix()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse.Store(failed && v.StopWritesOnSaveError && len(v.Save) > 0)
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	next, due := int64(math.MaxInt64), time.Time{}
	changes, seconds := int64(0), int64(0)
	now := s.store.Stats.Dirty.Load()
	for _, x := range v.Save {
		if now-base < x.Changes {
			next = min(next, base+x.Changes)
			continue
		}
		if at := time.Unix(last+x.Seconds, 0); due.IsZero() || at.Before(due) {
			due, changes, seconds = at, x.Changes, x.Seconds
		}
	}
	p.next.Store(next)
	if due.IsZero() || busy || s.Loading() {
		return // the end of the running snapshot, or of loading, looks again
	}
	if failed {
		if at := p.tried.Add(saveRetry); at.After(due) {
			due = at
		}
	}
	if wait := time.Until(due); wait > 0 {
		p.timer = time.AfterFunc(min(wait, 24*time.Hour), func() { p.look(s) })
		return
	}
	p.tried = time.Now()
	go func() { // opening the file must not hold up a loop
		s.log.Noticef("%d changes in %d seconds. Saving...", changes, seconds)
		if err := s.startSave(s.rdbPath()); err != nil {
			s.log.Warningf("The background save did not start: %v", err)
			s.saveFailed()
		}
	}()
}

// saveFailed notes a save that could not even begin.
func (s *Server) saveFailed() {
	s.rewrite.mu.Lock()
	if s.rewrite.job == nil {
		s.rewrite.rdbFailed = true
	}
	s.rewrite.mu.Unlock()
	s.saves.look(s)
}
