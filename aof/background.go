package aof

import (
	"errors"
	"fmt"
	"io/fs"
	"time"
)

const (
	// syncEvery is appendfsync everysec.
	syncEvery = time.Second
	// retryEvery is how often a full disk is tried again.
	retryEvery = 100 * time.Millisecond
	// keepSpares is how many files of earlier use are kept besides the one prepared.
	keepSpares = 1
)

// arm starts the syncer's clock: something is not durable, or not proven so. Idle, no clock runs.
func (l *Log) arm() {
	if !l.armed.Load() && !l.armed.Swap(true) {
		wake(l.syncer)
	}
}

// runSyncer is the goroutine for syncs that no caller is there to make: each second under everysec, wishes handed over, the
// closing batch when the log falls idle, a full disk, a failed one.
func (l *Log) runSyncer() {
	defer l.wg.Done()
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case <-l.quit:
			return
		case <-l.syncer:
		case <-timer.C:
		}
		if wait := l.syncerStep(time.Now()); wait > 0 {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
	}
}

// clock is the syncer's.
type clock struct {
	due       time.Time // of the next tick; zero: no clock runs
	idleSince int64     // Appended at the last tick, or -1
	synced    int64     // Synced at the last tick
	retry     time.Time // a full disk is not tried again before
}

// syncerStep does what is to be done at t and returns how long until the next step; 0: until woken.
func (l *Log) syncerStep(t time.Time) (wait time.Duration) {
	if l.mustMove.Load() {
		l.moveSuffix()
	}
	if l.isFull.Load() && !t.Before(l.clock.retry) {
		// Whether it fails again or not: the failure wakes this goroutine, which must not be the reason to try at once.
		l.clock.retry = t.Add(retryEvery)
		l.retryFull()
	}
	if l.handed.Load() && l.handed.Swap(false) {
		// Only then: whoever is just committing would otherwise find a role taken.
		if l.syncWanted.Load() > l.synced.Load() {
			l.Commit(GoalSync)
		} else if l.Pending(GoalAppend) {
			l.Commit(GoalAppend)
		}
	}
	c := &l.clock
	if l.armed.Load() && c.due.IsZero() {
		c.due = t.Add(syncEvery)
		c.idleSince = -1
	}
	if !c.due.IsZero() && !t.Before(c.due) {
		c.due = t.Add(syncEvery)
		l.armed.Store(false) // before the look: whoever appends after it arms again, and wakes this goroutine
		if l.tick() {
			c.due = time.Time{}
		} else {
			l.armed.Store(true)
		}
	}
	switch {
	case l.mustMove.Load() || l.isFull.Load():
		return retryEvery
	case !c.due.IsZero():
		return max(time.Until(c.due), 1)
	}
	return 0
}

// tick is what happens once a second while the log is in use. True: the clock may stop.
func (l *Log) tick() (idle bool) {
	if l.mustMove.Load() {
		return false
	}
	if l.isFull.Load() { // takes no more, but what it has taken need not wait for room
		if l.Policy() == EverySec {
			l.syncAppended()
		}
		return false
	}
	a, y := l.appended.Load(), l.synced.Load()
	stuck := a == l.clock.idleSince && y == l.clock.synced // for a whole tick: whoever should have committed did not
	l.clock.idleSince, l.clock.synced = a, y
	if stuck && l.Pending(GoalAppend) {
		l.Commit(GoalAppend)
		return false
	}
	if l.o.Memory {
		return !l.Pending(GoalAppend)
	}
	switch l.Policy() {
	case No:
		return !l.Pending(GoalAppend)
	case EverySec:
		if l.syncAppended() {
			return false
		}
	case Always:
		if l.Pending(GoalSync) {
			if stuck {
				l.Commit(GoalSync)
			}
			return false
		}
	}
	if !stuck {
		return false
	}
	l.closingBatch()
	return true
}

// syncAppended syncs what is appended, if it is not synced yet.
func (l *Log) syncAppended() bool {
	a := l.appended.Load()
	if a <= l.synced.Load() {
		return false
	}
	t := time.Now()
	l.raiseSyncWanted(a)
	l.commitSync()
	if time.Since(t) > syncEvery {
		l.stats.delayedFsync.Add(1)
	}
	return true
}

// closingBatch writes an empty batch whose synced field proves that everything before it was durable. Without it, damage
// to the last batches of a log that fell idle could pass for a torn tail.
func (l *Log) closingBatch() {
	if !l.appendRole.enter() {
		return // no longer idle
	}
	wrote := false
	for {
		s := l.active
		if !wrote && s.pos > 0 && s.proof < s.offset && l.synced.Load() == l.drain.off && l.Reserved() == l.drain.off &&
			!l.mustMove.Load() && !l.isFull.Load() {
			l.drain.vec = l.drain.vec[:0]
			if err := l.writeBatch(0); err != nil {
				_ = l.writeFailed(err)
			}
			wrote = true
		}
		if l.appendRole.leave() {
			break
		}
		_ = l.drainAll() // the health tells
	}
	if wrote && l.syncRole.enter() {
		for {
			_ = l.syncOnce() // the health tells
			if l.syncRole.leave() {
				break
			}
		}
	}
	l.serveOrphan()
}

// retryFull tries again to write what waits in the rings.
func (l *Log) retryFull() {
	l.appendRole.lock()
	l.isFull.Store(false)
	for {
		err := l.drainAll()
		if l.appendRole.leave() {
			if err == nil && !l.isFull.Load() {
				l.handed.Store(true) // whoever wanted a sync was refused it
				l.setHealthy("aof: there is room on the disk again, writes are accepted")
				l.wakeKeeper()
			}
			return
		}
	}
}

// runKeeper is the goroutine for everything about files that is done ahead of need or after the fact.
func (l *Log) runKeeper() {
	defer l.wg.Done()
	var retry <-chan time.Time
	pause := time.Second
	for {
		select {
		case <-l.quit:
			return
		case <-l.keeper:
		case <-retry:
		}
		retry = nil
		if err := l.keeperStep(); err == nil {
			pause = time.Second
		} else if !errors.Is(err, ErrClosed) {
			if pause == time.Second {
				l.logf('#', "aof: preparing a segment failed, the active one grows instead: %v", err)
			}
			retry = time.After(pause)
			pause = min(2*pause, time.Minute)
		}
	}
}

// keeperStep does everything that can be done now.
func (l *Log) keeperStep() error {
	if l.Policy() == No {
		l.syncLeft()
	}
	l.sealFull()
	l.trimHistory()
	if err := l.recycleHistory(); err != nil {
		return err
	}
	return l.prepareNext()
}

// syncLeft syncs the segments that rotation left behind. Where nobody else syncs, they could never be sealed, nor what a rewrite
// replaced removed.
func (l *Log) syncLeft() {
	l.segMu.Lock()
	left := len(l.dirty) > 0
	l.segMu.Unlock()
	if left {
		l.raiseSyncWanted(l.appended.Load())
		l.commitSync()
	}
}

// sealFull seals the segments that rotation left behind, once they are synced.
func (l *Log) sealFull() {
	for {
		l.segMu.Lock()
		var s *segment
		replaced := false // by a rewrite; if it becomes so from here on, sealing does no harm
		if len(l.full) > 0 && (len(l.dirty) == 0 || l.dirty[0] != l.full[0]) && l.full[0].synced.pos == l.full[0].pos {
			s = l.full[0]
			replaced = s.entry.typ == typeHistory && !s.entry.kept
		}
		l.segMu.Unlock()
		if s == nil {
			return
		}
		var err error
		switch {
		case replaced:
			err = s.close()
		case s.pos == 0:
			err = l.unregister(s)
		default:
			err = l.seal(s)
		}
		if err != nil {
			// It stays as it is: recovery finds its end from its batches, as after a crash.
			l.logf('#', "aof: sealing %s: %v", l.path(s.entry.name), err)
			_ = s.close()
			l.metaMu.Lock()
			s.entry.length, s.entry.end, s.entry.index = s.pos, s.offset, s.index // readers still find it
			l.metaMu.Unlock()
		}
		l.segMu.Lock()
		l.full = append(l.full[:0], l.full[1:]...)
		l.segMu.Unlock()
	}
}

// prepareNext has a segment registered before it is needed. Under Always it is one whose blocks are written already, so that
// a commit changes no metadata. Otherwise nothing waits for a single commit, a file that grows is right, and writing
// everything twice would only cost.
func (l *Log) prepareNext() error {
	if l.mustMove.Load() || l.isFull.Load() {
		return nil
	}
	prepared := l.Policy() == Always
	if l.nextReady.Load() {
		if !prepared || l.nextPrepared.Load() {
			return nil
		}
		l.segMu.Lock()
		s := l.takeNextLocked()
		l.segMu.Unlock()
		if s != nil {
			if err := l.unregister(s); err != nil {
				return err
			}
		}
	}
	var s *segment
	var err error
	l.metaMu.Lock()
	name := ""
	if prepared {
		s, err = l.takeSpareLocked()
		name = l.meta.spareName()
	} else {
		s, err = l.growingSegmentLocked()
	}
	l.metaMu.Unlock()
	if err != nil {
		return err
	}
	if s == nil {
		if s, err = l.prepareFile(name); err != nil {
			_ = l.o.FS.Remove(l.path(name))
			return err
		}
	} else if prepared && s.direct == nil {
		l.warm(s.file, s.prepared)
	}
	l.metaMu.Lock()
	defer l.metaMu.Unlock()
	if err := l.registerLocked(s); err != nil {
		_ = s.close()
		return err
	}
	l.segMu.Lock()
	l.next = s
	l.nextPrepared.Store(s.prepared > 0)
	l.nextReady.Store(true)
	l.segMu.Unlock()
	return nil
}

// warm brings a file of earlier use into the page cache: a small write to a page that is not there reads it first.
func (l *Log) warm(f File, size int64) {
	buf := make([]byte, 256<<10)
	for at := int64(0); at < size && !l.closed.Load(); at += int64(len(buf)) {
		if _, err := readFull(f, buf, at); err != nil {
			return // the write will tell
		}
	}
}

var zeros [blockBytes]byte

// prepareFile makes a file of SegmentBytes whose every block is allocated, written and synced.
func (l *Log) prepareFile(name string) (*segment, error) {
	f, err := l.o.FS.Create(l.path(name))
	if err != nil {
		return nil, err
	}
	s := &segment{file: f, entry: &fileEntry{name: name}}
	if err = l.zeroFill(f, name, 0); err == nil {
		err = l.mapPrepared(s, l.o.SegmentBytes)
	}
	if err != nil {
		_ = s.close()
		return nil, err
	}
	return s, nil
}

// zeroFill writes [from, SegmentBytes) of the file with zeros, past the page cache if that can be done: that is a fraction of the work,
// and it is done while commits go on.
func (l *Log) zeroFill(f File, name string, from int64) error {
	if err := f.Allocate(l.o.SegmentBytes); err != nil {
		return err
	}
	from, err := l.zeroFillDirect(name, from)
	if err != nil {
		return err
	}
	// In blocks of 4 KiB: larger writes make large folios in the page cache, and then one small store sends all of such a folio to
	// the disk.
	const stretch = 2 << 20
	for off := from; off < l.o.SegmentBytes; {
		n := min(blockBytes-off%blockBytes, l.o.SegmentBytes-off)
		if _, err := f.WriteAt(zeros[:n], off); err != nil {
			return err
		}
		off += n
		if off%stretch == 0 {
			if l.closed.Load() {
				return ErrClosed
			}
			if err := f.StartWriteback(off-stretch, stretch); err != nil {
				return err
			}
		}
	}
	return f.Datasync()
}

// zeroFillDirect does it for the whole blocks from from on, and returns how far it came.
func (l *Log) zeroFillDirect(name string, from int64) (int64, error) {
	d := l.directFS()
	if d == nil || from%directAlign != 0 {
		return from, nil
	}
	f, err := d.OpenDirect(l.path(name))
	if err != nil {
		return from, nil // the other way, then
	}
	defer f.Close()
	// So much at a time that a commit in between does not wait long.
	mem, zeros, err := alignedMem(256 << 10)
	if err != nil {
		return from, nil
	}
	defer freeOffHeap(mem)
	for from < l.o.SegmentBytes {
		if l.closed.Load() {
			return from, ErrClosed
		}
		n := min(int64(len(zeros)), l.o.SegmentBytes-from)
		if err := f.WriteBlocks(zeros[:n], from); errors.Is(err, errNoDirect) {
			return from, nil
		} else if err != nil {
			return from, err
		}
		from += n
	}
	return from, nil
}

// recycleHistory deletes the files a rewrite replaced, keeping a spare of them.
func (l *Log) recycleHistory() error {
	l.segMu.Lock()
	waiting := len(l.full)
	l.segMu.Unlock()
	l.metaMu.Lock()
	err := l.settleLocked()
	hist := l.meta.hist
	spares := len(l.meta.spares)
	l.metaMu.Unlock()
	if err != nil {
		return err
	}
	if len(hist) == 0 || waiting > 0 {
		return nil
	}
	for _, e := range hist {
		if e.state == stateActive || e.state == stateClosed {
			if spares < keepSpares && l.Policy() == Always {
				if err := l.recycle(e); err == nil {
					spares++
					continue
				}
			}
		}
		if err := l.o.FS.Remove(l.path(e.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing a file the rewrite replaced: %w", err)
		}
	}
	l.metaMu.Lock()
	defer l.metaMu.Unlock()
	l.meta.hist = l.meta.hist[len(hist):]
	if err := l.saveManifestLocked(); err != nil {
		l.meta.hist = append(hist, l.meta.hist...)
		return err
	}
	return l.saveSidecarLocked()
}

// recycle makes a replaced segment a spare: its blocks need not be allocated again.
func (l *Log) recycle(e *fileEntry) error {
	f, err := l.o.FS.Open(l.path(e.name))
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	if size > l.o.SegmentBytes {
		if err := f.Truncate(l.o.SegmentBytes); err != nil {
			return err
		}
		size = l.o.SegmentBytes
	}
	if err := l.zeroFill(f, e.name, size); err != nil {
		return err
	}
	l.metaMu.Lock()
	defer l.metaMu.Unlock()
	name := l.meta.spareName()
	if err := l.o.FS.Rename(l.path(e.name), l.path(name)); err != nil {
		return err
	}
	l.meta.spares = append(l.meta.spares, name)
	return nil
}
