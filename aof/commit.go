package aof

import (
	"errors"
	"hash/crc32"
	"syscall"
	"time"
)

// How often the holder of a role serves the wishes of others before it hands them to the syncer goroutine: an event
// loop's thread has connections of its own.
const (
	appendRounds = 16
	syncRounds   = 2
)

// Commit brings everything published before the call to the goal. If another thread plays the role, the wish is left with
// it and Commit returns at once with done=false: Notify tells when it happened (WantAppended, WantSynced; look again
// after asking). It also returns false when a record before the caller's is reserved but not yet published: its writer is
// between the two, and calls Commit itself. May block for as long as the disk does: event loops call it guarded.
func (l *Log) Commit(g Goal) (done bool) {
	target := l.Reserved()
	if g == GoalAppend || l.o.Memory {
		if l.appended.Load() < target {
			l.commitAppend()
		}
		l.serveOrphan()
		return l.appended.Load() >= target
	}
	if l.synced.Load() >= target {
		return true
	}
	l.raiseSyncWanted(target)
	if l.appended.Load() < target {
		l.orphanSync.Store(true)
		if !l.commitAppend() {
			return l.synced.Load() >= target
		}
		// The flag stays: somebody else may have raised it meanwhile, and served for nothing it costs little.
	}
	l.commitSync()
	return l.synced.Load() >= target
}

func (l *Log) raiseSyncWanted(off int64) {
	for {
		old := l.syncWanted.Load()
		if old >= off || l.syncWanted.CompareAndSwap(old, off) {
			return
		}
	}
}

// serveOrphan sees to the sync of a caller that found the append role taken. Every holder of that role calls it after
// leaving, unless it syncs anyway.
func (l *Log) serveOrphan() {
	if l.orphanSync.Load() && l.orphanSync.Swap(false) {
		l.commitSync()
	}
}

// commitAppend drains, unless another thread does, which then drains once more.
func (l *Log) commitAppend() bool {
	if !l.appendRole.enter() {
		l.stageAhead()
		return false
	}
	for round := 0; ; round++ {
		if l.drainAll() != nil { // the health tells
			l.stageAhead()
		}
		if l.appendRole.leave() {
			break
		}
		if round == appendRounds {
			l.appendRole.abandon()
			l.handOver()
			break
		}
	}
	if l.appended.Load() > l.synced.Load() {
		l.arm()
	}
	return true
}

// commitSync syncs what is appended, unless another thread does, which then syncs once more.
func (l *Log) commitSync() {
	if !l.syncRole.enter() {
		return
	}
	for round := 1; ; round++ {
		if l.syncWanted.Load() > l.synced.Load() {
			_ = l.syncOnce() // the health tells
		}
		if l.syncRole.leave() {
			return
		}
		if round == syncRounds {
			l.syncRole.abandon()
			l.handOver()
			return
		}
		if l.Pending(GoalAppend) {
			l.commitAppend()
		}
	}
}

// drainState belongs to the append role.
type drainState struct {
	off     int64    // offset of the next record
	stream  int      // of the batch being written: the database another server's stream is in before it; -1: it is our own
	vec     [][]byte // payloads of the batch being written, views into rings
	touched []*ring  // rings they came from
	heads   []int64  // per ring: offset of its head, or -1 if not looked at
	stage   []byte   // header and small records of the batch being written
	iov     [][]byte
	whole   [1][]byte // the payload of a batch that lies in stage in one piece
}

const (
	// maxRecords bounds the views of one batch.
	maxRecords = 8192
	// copyBytes is the length up to which copying a record into the stage is cheaper than an iovec of its own.
	copyBytes = 4096
	// holeSpins is how often the drainer looks again for a record that is reserved but not published.
	holeSpins = 32
)

func (d *drainState) init(l *Log) {
	d.off = l.appendedStart
	d.vec = make([][]byte, 0, 256)
	d.heads = make([]int64, len(l.rings))
	for i := range d.heads {
		d.heads[i] = -1
	}
	d.touched = make([]*ring, 0, len(l.rings))
}

// drainAll moves everything published into segments. The append role must be held.
func (l *Log) drainAll() error {
	if l.mustMove.Load() {
		return ErrFailed
	}
	if l.isFull.Load() {
		return ErrFull
	}
	d := &l.drain
	target := l.Reserved()
	if waiting := target - d.off; waiting > l.stats.usedHighMark.Load() {
		l.stats.usedHighMark.Store(waiting)
	}
	for {
		if !l.o.Memory {
			l.considerCut()
		}
		if d.off == l.cut.Load() {
			if err := l.rotate(); err != nil {
				l.dropCut(err)
			}
		}
		if d.off >= target {
			return nil
		}
		n := l.gather()
		if n == 0 {
			if d.off == l.cut.Load() {
				continue
			}
			return nil // a hole: its writer comes by
		}
		if l.o.Memory {
			l.passBatch(n)
		} else if err := l.writeBatch(n); err != nil {
			for _, r := range d.touched {
				r.rewind()
			}
			for i := range d.heads {
				d.heads[i] = -1
			}
			d.touched = d.touched[:0]
			return l.writeFailed(err)
		}
		l.releaseBatch(n)
		l.notify()
	}
}

// releaseBatch hands what gather took back to the writers.
func (l *Log) releaseBatch(n int) {
	d := &l.drain
	d.off += int64(n)
	var refs int64
	l.stageMu.Lock()
	for _, r := range d.touched {
		refs += r.release()
	}
	l.stageMu.Unlock()
	d.touched = d.touched[:0]
	clear(d.vec)
	if refs > 0 {
		l.refBytes.Add(-refs)
	}
	l.drains.Add(1)
}

// gather takes consecutive records from the rings into vec, up to a batch, a cut or a hole, and returns their length.
func (l *Log) gather() (n int) {
	d := &l.drain
	d.vec = d.vec[:0]
	off := d.off
	for len(d.vec) < maxRecords {
		i := l.find(off)
		// The cut is looked at after the record was seen: whoever sets one has every shard locked, so a record behind the
		// cut is published after it.
		if i < 0 || off == l.cut.Load() {
			break
		}
		r := &l.rings[i]
		size := r.length(&r.cur)
		if n > 0 && n+size > l.o.BatchBytes {
			break
		}
		if n == 0 {
			d.stream = r.stream(&r.cur)
		}
		if !r.touched {
			r.touched = true
			d.touched = append(d.touched, r)
		}
		d.heads[i] = -1
		d.vec = append(d.vec, r.take(&r.cur))
		n += size
		off += int64(size)
	}
	return n
}

// find gives the ring whose head is the record at off, or -1.
func (l *Log) find(off int64) int {
	i := int(l.hints[uint64(off)>>3&hintMask].Load())
	if l.rings[i].head(&l.rings[i].cur) == off {
		return i
	}
	d := &l.drain
	for spin := 0; spin < holeSpins && off < l.Reserved(); spin++ {
		for i, h := range d.heads {
			if h == off {
				return i
			}
		}
		for i, h := range d.heads {
			if h < 0 {
				h = l.rings[i].head(&l.rings[i].cur)
				d.heads[i] = h
				if h == off {
					return i
				}
			}
		}
	}
	return -1
}

// writeBatch stores the header and vec, n bytes, at the end of the active segment. The append role must be held.
func (l *Log) writeBatch(n int) error {
	d, s := &l.drain, l.active
	if s.pos == 0 && n > 0 && d.stream > 0 {
		if err := l.writePreamble(s, d.stream); err != nil {
			return err
		}
	}
	h := header{epoch: s.epoch, offset: d.off, synced: l.synced.Load(), length: uint32(n), unixMS: now()}
	total := headerBytes + n
	var crc uint32
	if total <= l.o.MappedBytes && s.pos+int64(total) <= s.prepared && l.Policy() == Always && s.populate(total) {
		m := s.mapping.Bytes()[s.pos : s.pos+int64(total)]
		putHeader(m, &h)
		at := headerBytes
		for _, p := range d.vec {
			at += copy(m[at:], p)
		}
		crc = sum(m, m[headerBytes:])
		putCRC(m, crc)
		l.stage(d.vec)
	} else if ok, err := l.writeDirect(s, &h, total, &crc); err != nil {
		return err
	} else if !ok {
		if d.stage == nil {
			stage, err := offHeap(headerBytes + max(l.o.BatchBytes, copyBytes)) // a single record may exceed the batch size
			if err != nil {
				return err
			}
			d.stage = stage
		}
		putHeader(d.stage, &h)
		crc = crc32.Update(0, castagnoli, d.stage[:headerCRC])
		from, at := 0, headerBytes
		d.iov = d.iov[:0]
		for _, p := range d.vec {
			if len(p) <= copyBytes {
				at += copy(d.stage[at:], p)
				continue
			}
			crc = crc32.Update(crc, castagnoli, d.stage[max(from, headerBytes):at])
			crc = crc32.Update(crc, castagnoli, p)
			d.iov = append(d.iov, d.stage[from:at], p)
			from = at
		}
		crc = crc32.Update(crc, castagnoli, d.stage[max(from, headerBytes):at])
		putCRC(d.stage, crc)
		var err error
		if len(d.iov) == 0 {
			d.whole[0] = d.stage[headerBytes:at]
			l.stage(d.whole[:])
			_, err = s.file.WriteAt(d.stage[:at], s.pos)
		} else {
			l.stage(d.vec)
			d.iov = append(d.iov, d.stage[from:at])
			err = s.file.WriteVec(d.iov, s.pos)
			clear(d.iov)
		}
		if err != nil {
			return err
		}
	}
	l.segMu.Lock()
	s.wrote(int64(total), n, crc, h.synced, d.off)
	l.appended.Store(d.off + int64(n))
	l.segMu.Unlock()
	l.stats.commits.Add(1)
	l.stats.committed.Add(int64(total))
	l.stats.commitSizes.add(int64(total))
	return nil
}

// writePreamble begins a segment in a database other than 0, where the log is in the middle of another server's stream. The
// append role must be held.
func (l *Log) writePreamble(s *segment, db int) error {
	p := selectFor(db)
	h := header{epoch: s.epoch, offset: s.offset, synced: l.synced.Load(), length: uint32(len(p)), unixMS: now(), preamble: true}
	buf := make([]byte, headerBytes, headerBytes+maxSelect)
	putHeader(buf, &h)
	buf = append(buf, p...)
	crc := sum(buf, p)
	putCRC(buf, crc)
	if _, err := s.file.WriteAt(buf, s.pos); err != nil {
		return err
	}
	l.segMu.Lock()
	s.wrote(int64(len(buf)), 0, crc, h.synced, s.offset)
	l.segMu.Unlock()
	l.stats.committed.Add(int64(len(buf)))
	return nil
}

// considerCut decides on a rotation: once the active segment is nearly full (the records that wait in the rings still go
// to it, which is what the last eighth is for), and when it grows with each write although under Always a prepared one is
// ready. The append role must be held.
func (l *Log) considerCut() {
	s := l.active
	size := s.prepared
	if size == 0 {
		size = l.o.SegmentBytes
	}
	upgrade := s.prepared == 0 && l.nextPrepared.Load() && l.Policy() == Always
	if s.pos < size-size/8 && !upgrade || !l.nextReady.Load() {
		return
	}
	l.cutMu.Lock()
	if l.cut.Load() == noCut {
		l.cut.Store(l.Mark())
	}
	l.cutMu.Unlock()
}

// dropCut goes on in the active segment, which may well have room, when no other could be made: the rewrite that wanted
// the cut fails. The append role must be held.
func (l *Log) dropCut(err error) {
	l.failCut()
	l.logf('#', "aof: cannot change to a new segment, the rewrite is given up: %v", err)
}

// failCut gives up the cut that is ahead, and with it the rewrite that wanted one. The append role must be held.
func (l *Log) failCut() {
	l.cutMu.Lock()
	l.cut.Store(noCut)
	if l.rw != nil {
		l.rw.failed = true
	}
	l.cutMu.Unlock()
	wake(l.cutBy)
}

// writeFailed judges an error of a write and sets the health. It returns the error to report.
func (l *Log) writeFailed(err error) error {
	if isFull(err) {
		l.setFull(err)
		return ErrFull
	}
	l.setMustMove(err)
	return ErrFailed
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// syncOnce makes everything appended durable. The sync role must be held.
func (l *Log) syncOnce() error {
	if l.mustMove.Load() {
		return ErrFailed
	}
	l.segMu.Lock()
	a := l.appended.Load()
	marks := l.syncMarks[:0]
	for _, s := range l.dirty {
		marks = append(marks, s.mark())
	}
	if s := l.active; s.pos > s.synced.pos {
		marks = append(marks, s.mark())
	}
	l.syncMarks = marks
	l.segMu.Unlock()
	for i := range marks {
		t := time.Now()
		err := marks[i].seg.file.Datasync()
		l.countSync(time.Since(t))
		if err != nil {
			l.setMustMove(err)
			return ErrFailed
		}
		l.segMu.Lock()
		s := marks[i].seg
		s.synced = marks[i].position
		if len(l.dirty) > 0 && l.dirty[0] == s && s.pos == s.synced.pos {
			l.dirty = append(l.dirty[:0], l.dirty[1:]...)
			l.wakeKeeper() // to seal it
		}
		l.segMu.Unlock()
	}
	clear(marks)
	l.synced.Store(a)
	l.notify()
	return nil
}

func (l *Log) countSync(d time.Duration) {
	n := int64(d)
	c := &l.stats
	c.syncs.Add(1)
	c.syncNanos.Add(n)
	c.syncLast.Store(n)
	if n > c.syncMax.Load() {
		c.syncMax.Store(n)
	}
	c.syncTimes.add(n)
	old := l.syncCost.Load()
	if old == 0 {
		l.syncCost.Store(n)
	} else {
		l.syncCost.Store(old + (n-old)/8)
	}
}
