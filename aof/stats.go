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

// Stats reads the counters. RingUsedMax is the highest fill seen by a call of Stats or by a drain that found a ring
// half full.
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
		FullStalls:     c.fullStalls.Load(),
		DelayedFsync:   c.delayedFsync.Load(),
		CommitSizes:    c.commitSizes.load(),
		SyncTimes:      c.syncTimes.load(),
	}
	for i := range l.rings {
		s.RingUsed += l.rings[i].used()
	}
	for {
		old := c.usedHighMark.Load()
		if old >= s.RingUsed || c.usedHighMark.CompareAndSwap(old, s.RingUsed) {
			break
		}
	}
	s.RingUsedMax = c.usedHighMark.Load()
	l.metaMu.Lock()
	m := &l.meta
	if m.base != nil {
		s.BaseBytes = m.base.length
	}
	s.CurrentBytes = s.BaseBytes
	for _, e := range m.incr {
		if e.state != stateActive {
			s.CurrentBytes += e.length + e.tail
		}
	}
	s.Segments, s.SpareSegments = int64(len(m.incr)), int64(len(m.spares))
	l.segMu.Lock()
	for _, f := range l.full {
		s.CurrentBytes += f.pos
	}
	s.CurrentBytes += l.active.pos
	if l.next != nil {
		s.Segments--
		s.SpareSegments++
	}
	l.segMu.Unlock()
	l.metaMu.Unlock()
	return s
}
