package aof

// A log takes over from another while the server runs (appendonly is switched, with replication going on): offsets and the Tail go on without
// a gap. What is appended to the new one waits in its rings until the old one has put its last bytes into the Tail:
//
//	all shards locked: new.TakeOver(old.Reserved()), writers go to new ── unlocked ── old.Close() ── new.Resume(tail)

// TakeOver makes a log that was opened without a Tail, Fresh or in memory, begin at off, and keeps what is appended to it in its rings until
// Resume. Nothing may have been appended yet. All shards must be locked. It does not wait for the disk.
func (l *Log) TakeOver(off int64) {
	l.appendRole.lock()
	if l.Appended() != l.Reserved() || l.stats.commits.Load() != 0 {
		panic("BUG: a log that was written to is to begin elsewhere")
	}
	l.o.StartOffset = off
	l.tail.Store(uint64(off)<<dbBits | dbUnknown)
	l.drain.off = off
	l.segMu.Lock()
	if l.active != nil {
		l.active.begin(off)
	}
	l.appended.Store(off)
	l.synced.Store(off)
	l.segMu.Unlock()
}

// Resume ends what TakeOver began, when the old log is closed. Before any other drainer can come by, the Tail is there. tail may be nil.
func (l *Log) Resume(tail *Tail) {
	l.joinTail(tail, l.o.StartOffset)
	for {
		_ = l.drainAll() // the health tells
		if l.appendRole.leave() {
			break
		}
	}
	if l.syncWanted.Load() > l.Synced() {
		l.handOver()
	}
	l.notifyAll()
}
