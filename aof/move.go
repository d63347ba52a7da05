package aof

import (
	"fmt"
	"slices"
)

// moveSuffix is what follows a failed write or fdatasync: everything since Synced is read back from the page cache,
// checked against the checksums, and written to a fresh segment. The syncer calls it, again and again while it fails.
func (l *Log) moveSuffix() {
	l.appendRole.lock()
	l.syncRole.lock()
	cause := *l.moveCause.Load()
	err := l.moveLocked()
	if err == nil {
		l.mustMove.Store(false)
	}
	l.syncRole.abandon()
	l.appendRole.abandon()
	if err != nil {
		kind := ErrFailed
		if isFull(err) {
			kind = ErrFull
		}
		l.setHealth(kind, fmt.Errorf("%w; saving the data to a fresh segment: %w", cause, err))
		return
	}
	l.logf('*', "aof: what was not on disk after %v is now in %s", cause, l.active.entry.name)
	l.setHealthy("aof: the disk works again, writes are accepted")
	l.wakeKeeper()
	wake(l.syncer)
	l.Commit(GoalSync)
}

// moveLocked does it; both roles are held.
func (l *Log) moveLocked() error {
	l.segMu.Lock()
	from := append([]*segment(nil), l.dirty...)
	l.segMu.Unlock()
	if l.active.pos > l.active.synced.pos || len(from) == 0 || l.active.pos == 0 {
		from = append(from, l.active)
	}
	// Held throughout: a rewrite commits before this or finds that it failed.
	l.metaMu.Lock()
	defer l.metaMu.Unlock()
	m := &l.meta
	if err := l.settleLocked(); err != nil {
		return err
	}
	// Always into a file that was made just now: a prepared one lies on the same blocks that may have failed before.
	s, err := l.growingSegmentLocked()
	if err != nil {
		return err
	}
	s.epoch = newEpoch()
	drop := func(err error) error {
		name := s.entry.name
		_ = s.close()
		_ = l.o.FS.Remove(l.path(name))
		return err
	}
	start := l.synced.Load()
	if m.base != nil {
		start = max(start, m.base.start) // what the base holds is on the disk with it
	}
	s.begin(start)
	for _, old := range from {
		if err := l.copyBatches(s, old); err != nil {
			return drop(err)
		}
	}
	if last := from[len(from)-1]; s.pos == 0 && last.pos > 0 {
		// Nothing was to be copied, and the record that could not be written comes next, without a SELECT of its own.
		if err := l.beginInside(s, last, last.pos); err != nil {
			return drop(err)
		}
	}
	if s.offset != l.appended.Load() {
		return drop(fmt.Errorf("the data read back ends at log offset %d, written was %d", s.offset, l.appended.Load()))
	}
	if err := s.file.Datasync(); err != nil {
		return drop(err)
	}
	epoch, end := s.epoch, s.position
	index := s.index
	// The segments behind Synced are replaced as a whole; the one that Synced lies in stays, and what it holds beyond is
	// superseded by the new one.
	kept := append([]*fileEntry(nil), m.incr...)
	var incr, gone []*fileEntry
	for _, e := range kept {
		replaced := false
		for _, old := range from {
			replaced = replaced || e == old.entry && old.synced.pos == 0
		}
		if l.next != nil && e == l.next.entry {
			replaced = true
		}
		if replaced {
			gone = append(gone, e)
		} else {
			incr = append(incr, e)
		}
	}
	m.incr = incr
	hist := m.hist
	m.hist = append(append([]*fileEntry(nil), hist...), gone...)
	if err := l.registerAs(s, epoch); err != nil {
		m.incr, m.hist = kept, hist
		_ = s.close() // the file stays: the manifest on the disk may name it
		return err
	}
	// Of what a base replaced nothing is saved: history that is not on the disk is none, whatever a later fdatasync says.
	for _, old := range from {
		if i := slices.Index(m.kept, old.entry); i >= 0 && old.pos > old.synced.pos {
			l.dropHistoryLocked(i + 1)
		}
	}
	s.begin(start)
	s.position, s.synced, s.index = end, end, index
	l.segMu.Lock()
	for _, e := range gone {
		e.typ = typeHistory
	}
	for _, old := range from {
		if old.synced.pos > 0 {
			old.position = old.synced
		}
		known := false
		for _, f := range l.full {
			known = known || f == old
		}
		if !known {
			l.full = append(l.full, old)
		}
		old.synced = old.position
	}
	if l.active.pos == l.active.synced.pos && l.active != from[len(from)-1] {
		l.full = append(l.full, l.active)
	}
	if next := l.takeNextLocked(); next != nil {
		next.synced = next.position
		l.full = append(l.full, next)
	}
	l.dirty = l.dirty[:0]
	l.active = s
	l.segMu.Unlock()
	l.failCut()
	l.synced.Store(end.offset)
	l.notify()
	return nil
}

// copyBatches appends what old holds beyond its synced position to s, under s's epoch.
func (l *Log) copyBatches(s, old *segment) error {
	var buf []byte
	for pos := old.synced.pos; pos < old.pos; {
		h, p, direct := l.batchInMemory(old, pos)
		var err error
		if !direct {
			if h, p, err = readBatch(old.file, pos, buf); err == nil {
				buf = p[:cap(p)]
			}
		}
		if err == nil && h.epoch != old.epoch {
			err = errNoBatch
		}
		if err == nil && s.pos == 0 && (h.length == 0 || h.offset < s.offset && h.offset+h.counted() <= s.offset) {
			pos += headerBytes + int64(len(p)) // in the base, or nothing
			continue
		}
		if err == nil && s.pos > 0 && h.preamble {
			pos += headerBytes + int64(len(p)) // the stream is in that database anyway
			continue
		}
		if err == nil && h.offset != s.offset {
			err = errNoBatch
		}
		if err != nil {
			return fmt.Errorf("%s at byte %d (log offset %d) cannot be read back: %w", l.path(old.entry.name), pos, s.offset, err)
		}
		if s.pos == 0 && pos > 0 {
			if err := l.beginInside(s, old, pos); err != nil {
				return err
			}
		}
		pos += headerBytes + int64(len(p))
		var head [headerBytes]byte
		h.epoch = s.epoch
		h.synced = min(h.synced, l.synced.Load())
		putHeader(head[:], &h)
		crc := sum(head[:], p)
		putCRC(head[:], crc)
		if _, err := s.file.WriteAt(head[:], s.pos); err != nil {
			return err
		}
		if _, err := s.file.WriteAt(p, s.pos+headerBytes); err != nil {
			return err
		}
		s.wrote(headerBytes+int64(len(p)), int(h.counted()), crc, h.synced, h.offset)
	}
	return nil
}

// beginInside begins s where old is at byte pos, in the middle: stock Redis begins every file at database 0.
func (l *Log) beginInside(s, old *segment, pos int64) error {
	db, err := databaseAt(old.file, pos)
	if err == nil && db > 0 {
		err = l.writePreamble(s, db)
	}
	if err != nil {
		return fmt.Errorf("which database %s is in at byte %d (log offset %d): %w", l.path(old.entry.name), pos, s.offset, err)
	}
	return nil
}

// databaseAt gives the database the stream is in at a batch boundary of a segment.
func databaseAt(f File, end int64) (db int, err error) {
	var buf []byte
	for pos := int64(0); pos < end; {
		_, p, err := readBatch(f, pos, buf)
		if err != nil {
			return 0, err
		}
		buf = p[:cap(p)]
		pos += headerBytes + int64(len(p))
		for len(p) > 0 {
			n, _, fr, _ := scanCommand(p)
			if fr != frameWhole {
				return 0, errNoBatch
			}
			if d, ok := selected(p[:n]); ok {
				db = d
			}
			p = p[n:]
		}
	}
	return db, nil
}
