package aof

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
)

// position is a batch boundary in a segment.
type position struct {
	pos    int64  // bytes of the file before it
	offset int64  // log offset there
	chain  uint32 // checksum over the checksums of the batches before it
}

// segment is one incremental file while it is written.
//
//	0                    synced.pos           pos            prepared
//	+--------------------+--------------------+--------------+
//	| batches, durable   | batches, page cache| zeros, or an |  beyond prepared the file grows with each write:
//	|                    |                    | earlier use  |  slower, and right
//	+--------------------+--------------------+--------------+
type segment struct {
	entry    *fileEntry
	file     File
	mapping  Mapping    // of [0, prepared); nil without Options.MappedBytes
	direct   DirectFile // nil: there are no direct writes, or it is not prepared
	prepared int64      // bytes whose blocks are allocated, written and synced
	epoch    uint32

	// position is where the next batch goes. The append role changes it, under segMu.
	position
	synced position // the sync role changes it, under segMu
	proof  int64    // highest synced field in a header: batches before it are known to have been durable
	start  int64    // log offset of the first byte
	index  []position
}

// mark is what a sync under way will have covered.
type mark struct {
	seg *segment
	position
}

func (s *segment) mark() mark { return mark{s, s.position} }

// indexEvery is the distance in bytes between remembered batch boundaries, for readers by offset.
const indexEvery = 64 << 10

// wrote accounts for a batch. segMu must be held.
func (s *segment) wrote(total int64, n int, crc uint32, synced, off int64) {
	if len(s.index) == 0 || s.pos-s.index[len(s.index)-1].pos >= indexEvery {
		s.index = append(s.index, position{pos: s.pos, offset: off})
	}
	s.pos += total
	s.offset = off + int64(n)
	s.chain = chainCRC(s.chain, crc)
	s.proof = synced
}

// populate makes the place of the next n bytes writable without a fault. False: use a system call to write instead.
func (s *segment) populate(n int) bool {
	return s.mapping != nil && s.mapping.Populate(int(s.pos), n) == nil
}

// newEpoch draws the number that tells this use of a file from earlier ones. It is random rather than counted so that a
// client cannot forge a header inside a value.
func newEpoch() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails, as crypto/rand documents
	return binary.LittleEndian.Uint32(b[:])
}

// openActive starts a segment at off: recovery never continues in a file that may hold the remains of unsynced batches.
func (l *Log) openActive(off int64) error {
	l.metaMu.Lock()
	defer l.metaMu.Unlock()
	var s *segment
	var err error
	if l.Policy() == Always {
		if s, err = l.takeSpareLocked(); err != nil {
			return err
		}
	}
	if s == nil {
		if s, err = l.growingSegmentLocked(); err != nil {
			return err
		}
	}
	if err := l.registerLocked(s); err != nil {
		_ = s.close()
		return err
	}
	s.begin(off)
	l.active = s
	return nil
}

// begin makes s the segment whose first byte is at off.
func (s *segment) begin(off int64) {
	s.start = off
	s.entry.start = off
	s.position = position{offset: off}
	s.synced = s.position
}

// closeDirect: an error could say nothing, as Datasync has the last word.
func (s *segment) closeDirect() {
	if s.direct != nil {
		_ = s.direct.Close()
		s.direct = nil
	}
}

func (s *segment) close() error {
	var err error
	if s.mapping != nil {
		err = s.mapping.Unmap()
		s.mapping = nil
	}
	s.closeDirect()
	if s.file != nil {
		if e := s.file.Close(); err == nil {
			err = e
		}
	}
	return err
}

// growingSegmentLocked makes a segment without preparation: every write to it grows the file.
func (l *Log) growingSegmentLocked() (*segment, error) {
	name := l.meta.spareName()
	f, err := l.o.FS.Create(l.path(name))
	if err != nil {
		return nil, fmt.Errorf("aof: cannot create a segment: %w", err)
	}
	return &segment{file: f, entry: &fileEntry{name: name}}, nil
}

// takeSpareLocked opens a file left from an earlier use, prepared already; nil if there is none. metaMu must be held.
func (l *Log) takeSpareLocked() (*segment, error) {
	for len(l.meta.spares) > 0 {
		name := l.meta.spares[len(l.meta.spares)-1]
		l.meta.spares = l.meta.spares[:len(l.meta.spares)-1]
		f, err := l.o.FS.Open(l.path(name))
		if err != nil {
			return nil, err
		}
		size, err := f.Size()
		if err != nil {
			f.Close()
			return nil, err
		}
		if size != l.o.SegmentBytes {
			f.Close()
			if err := l.o.FS.Remove(l.path(name)); err != nil {
				return nil, err
			}
			continue
		}
		s := &segment{file: f, entry: &fileEntry{name: name}}
		if err := l.mapPrepared(s, size); err != nil {
			f.Close()
			return nil, err
		}
		return s, nil
	}
	return nil, nil
}

// mapPrepared notes that [0, size) is allocated, and maps it if stores may go through a mapping.
func (l *Log) mapPrepared(s *segment, size int64) error {
	s.prepared = size
	l.openDirect(s)
	if l.o.MappedBytes == 0 {
		return nil
	}
	m, err := s.file.Map(size)
	if err != nil {
		return err
	}
	s.mapping = m
	return nil
}

// registerLocked gives a segment its epoch, its name and its place in sidecar and manifest, durably, before the first batch
// is written to it. metaMu must be held.
func (l *Log) registerLocked(s *segment) error { return l.registerAs(s, newEpoch()) }

// registerAs is registerLocked for a segment that has batches under an epoch already. The sidecar knows the name before there is a
// file of it, and the manifest last: what a crash leaves in between is removed by the next start.
func (l *Log) registerAs(s *segment, epoch uint32) error {
	m := &l.meta
	m.maxIncr++
	old := s.entry.name
	s.epoch = epoch
	e := &fileEntry{name: fmt.Sprintf("%s.%d.incr.aof", l.o.Name, m.maxIncr), seq: m.maxIncr, typ: typeIncr, state: stateActive,
		epoch: s.epoch, start: unknownOffset}
	m.incr = append(m.incr, e)
	err := l.saveSidecarLocked()
	if err == nil {
		err = l.o.FS.Rename(l.path(old), l.path(e.name))
	}
	if err == nil {
		s.entry = e
		err = l.o.FS.SyncDir(l.o.Dir)
	}
	if err == nil {
		err = l.saveManifestLocked()
	}
	if err != nil {
		m.incr = m.incr[:len(m.incr)-1]
		if s.entry == e {
			m.doubtful = append(m.doubtful, e)
		}
	}
	return err
}

// rotate changes over to the next segment at the cut, which the drainer has reached. The append role must be held.
func (l *Log) rotate() error {
	old := l.active
	if old.pos == 0 && (old.prepared > 0 || !l.nextPrepared.Load()) {
		l.reachedCut() // nothing before the cut is in this segment: it serves as the next
		return nil
	}
	l.segMu.Lock()
	s := l.takeNextLocked()
	l.segMu.Unlock()
	if s == nil {
		// Nothing is prepared: the system is short of time or of room. One that is being registered just now must be waited
		// for: the manifest names segments in the order of their use.
		l.metaMu.Lock()
		l.segMu.Lock()
		s = l.takeNextLocked()
		l.segMu.Unlock()
		var err error
		if s == nil {
			if s, err = l.growingSegmentLocked(); err == nil {
				if err = l.registerLocked(s); err != nil {
					_ = s.close()
				}
			}
		}
		l.metaMu.Unlock()
		if err != nil {
			return err
		}
	}
	l.segMu.Lock()
	s.begin(l.drain.off)
	if old.pos > old.synced.pos {
		l.dirty = append(l.dirty, old)
	}
	l.full = append(l.full, old)
	l.active = s
	l.segMu.Unlock()
	l.reachedCut()
	l.wakeKeeper()
	return nil
}

// reachedCut: the log is divided where the drainer is. A rewrite may have asked for a later cut meanwhile, which is still ahead then.
func (l *Log) reachedCut() {
	l.cut.CompareAndSwap(l.drain.off, noCut)
	wake(l.cutBy)
}

// takeNextLocked gives the segment that is prepared, or nil. segMu must be held.
func (l *Log) takeNextLocked() *segment {
	s := l.next
	l.next = nil
	l.nextReady.Store(false)
	l.nextPrepared.Store(false)
	return s
}

// sealForClose trims every segment to its true length and leaves a directory that stock Redis loads. Both roles are held
// and the goroutines have ended.
func (l *Log) sealForClose() error {
	var first error
	keep := func(err error) {
		if first == nil {
			first = err
		}
	}
	l.sealFull()
	if l.next != nil {
		keep(l.unregister(l.next))
		l.next = nil
	}
	s := l.active
	if s.pos > s.synced.pos || len(l.dirty) > 0 {
		// Not synced: what is there stays as it is, for recovery to judge.
		keep(s.close())
		for _, d := range l.full {
			keep(d.close())
		}
		l.full = nil
		return first
	}
	l.metaMu.Lock()
	empty := s.pos == 0 && (l.meta.base != nil || len(l.meta.incr) > 1) && !l.meta.detached
	l.metaMu.Unlock()
	if empty {
		keep(l.unregister(s))
		return first
	}
	keep(l.seal(s))
	return first
}

// seal trims a fully synced segment, closes it, and records its length and checksum beside the manifest.
func (l *Log) seal(s *segment) error {
	if s.mapping != nil {
		if err := s.mapping.Unmap(); err != nil {
			return err
		}
		s.mapping = nil
	}
	s.closeDirect()
	if err := s.file.Truncate(s.pos); err != nil {
		return err
	}
	if err := s.file.Datasync(); err != nil {
		return err
	}
	if err := s.file.Close(); err != nil {
		return err
	}
	l.metaMu.Lock()
	defer l.metaMu.Unlock()
	e := s.entry
	e.state, e.length, e.chain, e.end = stateClosed, s.pos, s.chain, s.offset
	e.index = s.index
	return l.saveSidecarLocked()
}

// unregister takes an unused segment out of the manifest and keeps its file as a spare.
func (l *Log) unregister(s *segment) error {
	if err := s.close(); err != nil {
		return err
	}
	l.metaMu.Lock()
	defer l.metaMu.Unlock()
	m := &l.meta
	incr, kept := m.incr, m.kept
	is := func(e *fileEntry) bool { return e == s.entry }
	m.incr = slices.DeleteFunc(slices.Clone(incr), is)
	m.kept = slices.DeleteFunc(slices.Clone(kept), is) // a rewrite may have come in between
	if err := l.saveManifestLocked(); err != nil {
		m.incr, m.kept = incr, kept // the manifest may still name it, so the sidecar must
		return err
	}
	// The sidecar last: it makes sure that the name is gone, or finds it again after a crash.
	if s.prepared == 0 {
		if err := l.o.FS.Remove(l.path(s.entry.name)); err != nil {
			return err
		}
		return l.saveSidecarLocked()
	}
	name := m.spareName()
	if err := l.o.FS.Rename(l.path(s.entry.name), l.path(name)); err != nil {
		return err
	}
	m.spares = append(m.spares, name)
	return l.saveSidecarLocked()
}
