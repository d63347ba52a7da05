package aof

import (
	"fmt"
	"math"
	"slices"
	"sync/atomic"
)

// A rewrite replaces segments by a base. What it replaced is history: whoever still reads it by offset (a replica that is behind,
// one that comes back after a while) would otherwise have to begin anew after every rewrite. So replaced segments stay, as
// type h in the manifest, until nobody has a Pin on them and Options.HistoryBytes newer bytes of history are there. They adjoin
// each other, and the last of them ends where the base is exact:
//
//	history                       live
//	+----------+----------+       +----------+---------
//	| #4       | #5       |  base | #6       | #7 ...       log offsets ──►
//	+----------+----------+   x   +----------+---------
//	^ Oldest              ^ x     ^ x
//
// Stock Redis deletes files of type h when it starts; then there is no history, and nothing else is amiss. The sidecar says of each
// which replication id it belongs to: segments of another life may end at x by chance.

// SetHistoryBytes changes how much of the log stays readable without a pin in files that a rewrite replaced. What is beyond goes in the
// background.
func (l *Log) SetHistoryBytes(n int64) {
	l.history.Store(n)
	l.wakeKeeper()
}

// Pin keeps the files that hold log offsets from its own on. Methods are safe for concurrent use.
type Pin struct {
	l   *Log
	off atomic.Int64
}

// Pin keeps what ReadAt gives from off on, over rewrites, until the pin is closed or the log is. It cannot bring back what has gone:
// when Oldest is at or below off after Pin returned, everything is there and stays.
func (l *Log) Pin(off int64) *Pin {
	p := &Pin{l: l}
	p.off.Store(off)
	l.pinMu.Lock()
	l.pins = append(l.pins, p)
	l.pinMu.Unlock()
	return p
}

// Offset is where the pin is.
func (p *Pin) Offset() int64 { return p.off.Load() }

// Advance gives up what lies below off.
func (p *Pin) Advance(off int64) {
	old := p.off.Swap(off)
	if end := p.l.keptEnd.Load(); old < end && off >= end {
		p.l.wakeKeeper()
	}
}

// Close gives everything up. Closing twice does no harm.
func (p *Pin) Close() {
	l := p.l
	l.pinMu.Lock()
	if i := slices.Index(l.pins, p); i >= 0 {
		l.pins = slices.Delete(l.pins, i, i+1)
	}
	l.pinMu.Unlock()
	if l.keptEnd.Load() != math.MaxInt64 {
		l.wakeKeeper()
	}
}

// lowestPin is the lowest offset that is pinned.
func (l *Log) lowestPin() int64 {
	l.pinMu.Lock()
	defer l.pinMu.Unlock()
	low := int64(math.MaxInt64)
	for _, p := range l.pins {
		low = min(low, p.off.Load())
	}
	return low
}

// trimHistory lets go of what nobody needs any more.
func (l *Log) trimHistory() {
	l.metaMu.Lock()
	defer l.metaMu.Unlock()
	l.trimHistoryLocked()
}

// trimHistoryLocked keeps the newest files of the history for as long as they are needed and adjoin; recycleHistory removes the
// others. metaMu must be held.
func (l *Log) trimHistoryLocked() {
	m := &l.meta
	keep := len(m.kept)
	if keep == 0 {
		return
	}
	pin := l.lowestPin()
	next, newer := m.base.start, int64(0)
	l.segMu.Lock()
	for ; keep > 0 && (newer < l.history.Load() || pin < next); keep-- {
		e := m.kept[keep-1]
		if l.endOf(e) != next || e.tail > 0 {
			break // another server's commands are in between, or what an fdatasync failed to make durable
		}
		newer += next - e.start
		next = e.start
	}
	l.segMu.Unlock()
	if keep == 0 {
		l.noteHistoryLocked()
		return
	}
	l.dropHistoryLocked(keep)
}

// dropHistoryLocked has the n oldest files of the history deleted. metaMu must be held.
func (l *Log) dropHistoryLocked(n int) {
	m := &l.meta
	l.segMu.Lock()
	for _, e := range m.kept[:n] {
		e.lineage, e.kept = "", false
	}
	l.segMu.Unlock()
	m.hist = append(m.hist[:len(m.hist):len(m.hist)], m.kept[:n]...)
	m.kept = slices.Clone(m.kept[n:])
	l.noteHistoryLocked()
}

// noteHistoryLocked tells pins where the oldest file of the history ends. metaMu must be held.
func (l *Log) noteHistoryLocked() {
	end := int64(math.MaxInt64)
	if k := l.meta.kept; len(k) > 1 {
		end = k[1].start
	} else if len(k) == 1 {
		end = l.meta.base.start
	}
	l.keptEnd.Store(end)
}

// endOf gives the log offset behind a segment that the log has left, sealed or not; 0: it is not known. metaMu and segMu must be held.
func (l *Log) endOf(e *fileEntry) int64 {
	for _, s := range l.full {
		if s.entry == e {
			return s.offset
		}
	}
	return e.end
}

// adoptHistory finds what can be kept of the files that the manifest calls history, once the log is loaded.
func (ld *loader) adoptHistory() {
	m := ld.meta
	if m.base == nil || ld.rec.Foreign {
		return
	}
	next := m.base.start
	for found := true; found; {
		found = false
		for i, e := range m.hist {
			if e.lineage != m.id || e.state != stateClosed || e.tail > 0 || e.end != next || e.start >= e.end || e.start < 0 {
				continue
			}
			if size, err := fileSize(ld.fs, join(ld.dir, e.name)); err != nil || size < e.length {
				continue
			}
			m.hist = slices.Delete(m.hist, i, i+1)
			m.kept = slices.Insert(m.kept, 0, e)
			next, found = e.start, true
			break
		}
	}
	var files []FileInfo
	for _, e := range m.kept {
		files = append(files, FileInfo{Name: e.name, Type: "history", State: "history", Seq: e.seq, Epoch: e.epoch, Start: e.start, End: e.end,
			Bytes: e.length, Size: e.length})
	}
	ld.seen = append(files, ld.seen...)
}

func fileSize(fsys FS, name string) (int64, error) {
	f, err := fsys.OpenRead(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Size()
}

// index verifies a file of the history that was not loaded when the log was opened, before the first byte of it is read.
func (l *Log) index(e *fileEntry) error {
	f, err := l.o.FS.OpenRead(l.path(e.name))
	if err != nil {
		return err
	}
	defer f.Close()
	w := walker{file: f, size: e.length, epoch: e.epoch, off: e.start, limit: maxOffset}
	if err := w.run(func([]byte, int64) error { return nil }); err != nil {
		return err
	}
	if w.pos < e.length || w.chain != e.chain || w.off != e.end {
		if w.why == "" {
			w.why = fmt.Sprintf("the checksum over its batches is %08x, recorded was %08x", w.chain, e.chain)
		}
		err = &DamageError{File: l.path(e.name), Pos: w.pos, Offset: w.off, Why: w.why, Dir: l.o.Dir}
	}
	l.metaMu.Lock()
	defer l.metaMu.Unlock()
	i := slices.Index(l.meta.kept, e)
	switch {
	case i < 0:
		return ErrTrimmed
	case err != nil:
		l.logf('#', "aof: the history up to offset %d is given up: %v", e.end, err)
		l.dropHistoryLocked(i + 1)
		l.wakeKeeper()
		return ErrTrimmed
	}
	e.index = w.index
	return nil
}
