package aof

import (
	"math/bits"
	"sync/atomic"
)

// Stats for INFO. Bytes, counts, ns.
type Stats struct {
	Reserved, Appended, Synced                      int64
	BaseBytes, CurrentBytes                         int64 // aof_base_size, aof_current_size
	Commits, Syncs, CommittedBytes                  int64
	SyncNanosTotal, SyncNanosMax, SyncNanosLast     int64
	RingCapacity, RingUsed, RingUsedMax, FullStalls int64
	Segments, SpareSegments                         int64
	HistoryBytes                                    int64 // of the log, in files that a rewrite replaced and that can be read still
	DelayedFsync                                    int64
	// CommitSizes[i] counts batches of [2^i, 2^(i+1)) bytes, SyncTimes[i] syncs of [2^i, 2^(i+1)) ns.
	CommitSizes, SyncTimes [40]int64
}

type histogram [40]atomic.Int64

func (h *histogram) add(v int64) {
	i := bits.Len64(uint64(max(v, 1))) - 1
	h[min(i, len(h)-1)].Add(1)
}

func (h *histogram) load() (v [40]int64) {
	for i := range h {
		v[i] = h[i].Load()
	}
	return v
}

type counters struct {
	commits, committed                     atomic.Int64
	syncs, syncNanos, syncMax, syncLast    atomic.Int64
	fullStalls, delayedFsync, usedHighMark atomic.Int64
	commitSizes, syncTimes                 histogram
}

// fileStats is the part of Stats that metaMu guards.
type fileStats struct {
	base, sealed     int64 // bytes
	segments, spares int64
	history          int64
}

// Stats reads the counters. RingUsed is what waits in the rings, with their own headers; RingUsedMax the most log bytes a
// drain found waiting. It never waits for the disk: while files are being changed it reports them as they were before.
func (l *Log) Stats() Stats {
	c := &l.stats
	s := Stats{
		Synced:         l.Synced(), // in this order, so that Reserved ≥ Appended ≥ Synced holds in what is reported
		Appended:       l.Appended(),
		Reserved:       l.Reserved(),
		Commits:        c.commits.Load(),
		CommittedBytes: c.committed.Load(),
		Syncs:          c.syncs.Load(),
		SyncNanosTotal: c.syncNanos.Load(),
		SyncNanosMax:   c.syncMax.Load(),
		SyncNanosLast:  c.syncLast.Load(),
		RingCapacity:   int64(len(l.rings)) * int64(l.o.RingBytes),
		RingUsedMax:    c.usedHighMark.Load(),
		FullStalls:     c.fullStalls.Load(),
		DelayedFsync:   c.delayedFsync.Load(),
		CommitSizes:    c.commitSizes.load(),
		SyncTimes:      c.syncTimes.load(),
	}
	for i := range l.rings {
		s.RingUsed += l.rings[i].used()
	}
	if l.metaMu.TryLock() {
		f := l.fileStatsLocked()
		l.metaMu.Unlock()
		l.lastFiles.Store(&f)
	}
	if f := l.lastFiles.Load(); f != nil {
		s.BaseBytes, s.CurrentBytes, s.Segments, s.SpareSegments = f.base, f.base+f.sealed, f.segments, f.spares
		s.HistoryBytes = f.history
	}
	if l.o.Memory {
		return s
	}
	l.segMu.Lock()
	s.CurrentBytes += l.active.pos
	l.segMu.Unlock()
	return s
}

// fileStatsLocked counts the files; metaMu must be held.
func (l *Log) fileStatsLocked() (f fileStats) {
	m := &l.meta
	if m.base != nil {
		f.base = m.base.length
	}
	for _, e := range m.incr {
		if e.state != stateActive {
			f.sealed += e.length + e.tail
		}
	}
	f.segments, f.spares = int64(len(m.incr)), int64(len(m.spares))
	if len(m.kept) > 0 {
		f.history = m.base.start - m.kept[0].start
	}
	l.segMu.Lock()
	defer l.segMu.Unlock()
	for _, s := range l.full {
		if s.entry.state == stateActive && s.entry.typ == typeIncr {
			f.sealed += s.pos
		}
	}
	if l.next != nil {
		f.segments--
		f.spares++
	}
	return f
}
