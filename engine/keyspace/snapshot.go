package keyspace

import (
	"sync/atomic"
	"unsafe"

	"tidemark/engine/keyspace/arena"
)

// Snapshots. At BeginSnapshot every table gets a walk in order of position. What lies before the walk's position has been
// encoded; of what lies ahead, a call that is about to change or remove an entry encodes it first, into the shard's
// buffer of pre-images, and marks it with the snapshot's epoch; entries born ahead of the walk are marked at birth. The walk
// skips marked entries and takes their mark off, so a completed snapshot leaves no marks. One that is closed early leaves some: the
// next one has another of seven epochs, and when those run out Close finishes the walk without encoding.
//
// A flushed table is kept, unreachable for commands, until its walk is done. SWAPDB exchanges tables, and a walk belongs to its
// table, with the number of the database it was at the beginning.
//
// Large values are not encoded under the shard's lock. Their entry is copied, key and all but not the value, into a ghost, and the
// value's block is held: whoever wants to write to it or free it leaves it to the ghost and goes on with a block of his own. Step
// encodes ghosts without the lock. So it is with large collections: the ghost has a copy of the root, and a hold (see package coll)
// keeps what the root names as it is while the collection changes. InPieces has them encoded a piece at a time.

// An Encoder appends the serialised entry to dst (used by snapshots; RDB is the engine's business). It may look at entry r only, and
// must not mutate the shard: its lock may be held or not. It is called by Step and by whatever goroutine changes an
// entry, several at once.
type Encoder func(dst []byte, db int, s *Shard, r Ref) []byte

// Progress is where the encoding of a value in pieces has come to. It begins as the zero value; what its fields but More mean is the
// encoder's business.
type Progress struct {
	More  bool // there is more to come
	Phase int
	At    uint64
	N     uint64
}

// A Piecemeal appends the next piece, of some 16 KiB at most unless a single element is larger, of the serialised entry to dst. It is
// called with the same p until p.More is false. Otherwise it is as Encoder.
type Piecemeal func(dst []byte, db int, s *Shard, r Ref, p *Progress) []byte

// Snapshot is an exact image of the keyspace at the moment BeginSnapshot was called (design D9): every entry is
// encoded once, as it was then. An entry about to be changed or removed that was not yet visited is encoded first.
// Entries created since are left out.
type Snapshot struct {
	ks      *Keyspace
	enc     Encoder
	sel     func(dst []byte, db int) []byte
	pieces  Piecemeal
	apart   bool // large values are left to StepLarge
	ender   func(some func() (more bool))
	epoch   uint64
	shards  []shardSnap
	counts  [][2]int
	fields  bool // a hash had fields that expire
	pending atomic.Int64
	left    atomic.Int64 // shards not finished
}

type shardSnap struct {
	sn     *Snapshot
	tables []*tableSnap
	pre    []byte
	preDB  int // database of the latest pre-image in pre, -1 if there is none
	done   bool

	part    *ghost               // the first of queue when StepLarge has encoded pieces of it; StepLarge's own
	queue   []*ghost             // not yet encoded
	waiting atomic.Int32         // its length
	warmth  uint64               // the sum of what was read only to warm the cache
	ghosts  map[arena.Ref]*ghost // by the block of the value they hold
	ended   []*hold              // of collections that were encoded; to be ended when no lock is held
}

// ghost is an entry as it was, for the snapshot only.
type ghost struct {
	t     *table
	db    int
	r     Ref // its own block
	block arena.Ref
	alone bool     // the entry has let go of the block
	hold  *hold    // of a collection, instead of block
	p     Progress // of its encoding
}

type tableSnap struct {
	t        *table
	db       int
	pos      uint64 // entries of lower positions have been encoded
	detached bool
}

const (
	stepEntries = 128      // work of one Step under the lock
	stepBytes   = 32 << 10 // of keys and values
	stepBuckets = 1024
	numEpochs   = 7
	largeValue  = 8 << 10 // bytes from which a value is encoded without the lock
)

// BeginSnapshot starts a snapshot. All shards must be locked. One at a time: a second begins only after Close.
// FLUSHALL, SWAPDB during a snapshot keep it exact.
func (ks *Keyspace) BeginSnapshot(enc Encoder) *Snapshot {
	ks.epoch = ks.epoch%numEpochs + 1
	sn := &Snapshot{ks: ks, enc: enc, epoch: ks.epoch, shards: make([]shardSnap, len(ks.shards)), counts: make([][2]int, ks.databases),
		fields: ks.FieldsExpire()}
	if !ks.snapshot.CompareAndSwap(nil, sn) {
		panic("BUG: keyspace: a snapshot is running")
	}
	sn.left.Store(int64(len(ks.shards)))
	for i := range ks.shards {
		s, ss := &ks.shards[i], &sn.shards[i]
		ss.sn, ss.preDB = sn, -1
		for db, t := range s.tables {
			if t == nil || t.n == 0 {
				continue
			}
			sn.counts[db][0] += t.n
			sn.counts[db][1] += t.index.n
			t.snap = &tableSnap{t: t, db: db}
			ss.tables = append(ss.tables, t.snap)
		}
		s.snap = ss
	}
	return sn
}

// SelectWith sets what Step's output says in front of each run of entries of one database (for RDB: SELECTDB). Entries of
// different databases, shards and pre-images interleave, so every output of Step begins with it. To be called before the shards
// are unlocked after BeginSnapshot.
func (sn *Snapshot) SelectWith(f func(dst []byte, db int) []byte) { sn.sel = f }

// birthEpoch returns the mark of an entry about to be born.
func (s *Shard) birthEpoch(t *table, h uint64) uint64 {
	if t.snap == nil || position(h) < t.snap.pos {
		return 0
	}
	return s.snap.sn.epoch
}

// touch is called before an entry changes.
func (s *Shard) touch(t *table, h uint64, r Ref) {
	if t.snap != nil {
		s.preImage(t, h, r)
	}
}

func (s *Shard) preImage(t *table, h uint64, r Ref) {
	w := s.entry(r).word()
	sn := s.snap.sn
	if position(h) < t.snap.pos || *w>>epochShift&7 == sn.epoch {
		return
	}
	*w = *w&^epochMask | sn.epoch<<epochShift
	if e := s.entry(r); e.rooted() || e.valueLen() >= largeValue {
		s.snap.conjure(s, t, r)
		return
	}
	before := len(s.snap.pre)
	if sn.sel != nil && s.snap.preDB != t.snap.db {
		s.snap.preDB = t.snap.db
		s.snap.pre = sn.sel(s.snap.pre, t.snap.db)
	}
	s.snap.pre = sn.enc(s.snap.pre, t.snap.db, s, r)
	sn.pending.Add(int64(len(s.snap.pre) - before))
}

// conjure makes a ghost of an entry whose value lies apart, or is a collection.
func (ss *shardSnap) conjure(s *Shard, t *table, r Ref) {
	e := entry{t.Ptr(r)}
	size := e.size()
	g := &ghost{t: t, db: t.snap.db, r: t.Alloc(size)}
	t.held += int64(t.SizeOf(g.r))
	ss.queue = append(ss.queue, g)
	ss.waiting.Add(1)
	if e.rooted() {
		copy(t.Bytes(g.r, 0, size), unsafe.Slice((*byte)(e.p), size))
		g.hold = s.newHold(t, e.root())
		return
	}
	b, l := e.block()
	g.block = arena.Ref(*b)
	*l |= heldIt
	copy(t.Bytes(g.r, 0, size), unsafe.Slice((*byte)(e.p), size))
	if ss.ghosts == nil {
		ss.ghosts = make(map[arena.Ref]*ghost)
	}
	ss.ghosts[g.block] = g
	ss.sn.pending.Add(int64(e.valueLen()))
}

// ghostOf returns the ghost that holds the block of an entry's value, if there is one.
func (s *Shard) ghostOf(e entry) *ghost {
	b, l := e.block()
	if *l&heldIt == 0 {
		return nil
	}
	if s.snap != nil {
		if g := s.snap.ghosts[arena.Ref(*b)]; g != nil {
			return g
		}
	}
	*l &^= heldIt // the snapshot is past it
	return nil
}

// banish frees a ghost, and the value if nobody else has it.
func (ss *shardSnap) banish(s *Shard, g *ghost) {
	t := g.t
	if g.hold != nil {
		ss.ended = append(ss.ended, g.hold)
	} else {
		ss.sn.pending.Add(-int64(entry{t.Ptr(g.r)}.valueLen()))
		delete(ss.ghosts, g.block)
	}
	ss.waiting.Add(-1)
	t.held -= int64(t.SizeOf(g.r))
	t.Free(g.r)
	if g.alone {
		t.held -= int64(t.SizeOf(g.block))
		t.Free(g.block)
	}
	if t.snap == nil || !t.snap.detached {
		s.publish(t)
	}
}

// encodeGhost encodes the first of the queue, or a piece of it, and reports whether there is more. The lock is held, and released while
// encoding.
func (ss *shardSnap) encodeGhost(s *Shard, dst []byte) (out []byte, more bool) {
	if len(ss.queue) == 0 {
		return dst, false
	}
	g := ss.queue[0] // stays there until it is encoded: the walk waits for the queue to be empty
	s.mu.Unlock()
	dst = ss.appendPiece(s, g, dst)
	s.mu.Lock()
	if g.p.More {
		return dst, true
	}
	return dst, ss.encoded(s)
}

// appendPiece encodes a ghost, or a piece of it. No lock is needed.
func (ss *shardSnap) appendPiece(s *Shard, g *ghost, dst []byte) []byte {
	if ss.sn.sel != nil && !g.p.More {
		dst = ss.sn.sel(dst, g.db)
	}
	if ss.sn.pieces != nil {
		return ss.sn.pieces(dst, g.db, s, g.r, &g.p)
	}
	return ss.sn.enc(dst, g.db, s, g.r)
}

// encoded takes the first of the queue out of it, and reports whether there are more.
func (ss *shardSnap) encoded(s *Shard) (more bool) {
	g := ss.queue[0]
	ss.queue[0] = nil
	if ss.queue = ss.queue[1:]; len(ss.queue) == 0 {
		ss.queue = nil
	}
	ss.banish(s, g)
	return len(ss.queue) > 0
}

// InPieces has large values and collections encoded by f instead, a piece at a time: each StepLarge appends one piece. To be called before
// the shards are unlocked after BeginSnapshot.
func (sn *Snapshot) InPieces(f Piecemeal) { sn.pieces = f }

// takeEnded gives the holds that endAll is to end once no shard is locked.
func (ss *shardSnap) takeEnded() []*hold {
	ended := ss.ended
	ss.ended = nil
	return ended
}

func (sn *Snapshot) endAll(ended []*hold) {
	for _, h := range ended {
		if sn.ender != nil && sn.ks.endSome(h) {
			sn.ender(func() bool { return sn.ks.endSome(h) })
			continue
		}
		for sn.ks.endSome(h) {
		}
	}
}

// EndWith leaves it to f to give back what a collection let go of while it was held, if that is much: f calls what it is given until that reports false, and
// then returns. Each call locks a shard for some 5 µs, so f can have them made where nobody is descheduled with the lock. To be called before the
// shards are unlocked after BeginSnapshot.
func (sn *Snapshot) EndWith(f func(some func() (more bool))) { sn.ender = f }

// LargeApart leaves large values to StepLarge: Step, which an event loop may call, then never encodes one. A shard is
// not done before StepLarge has had its large values. To be called before the shards are unlocked after BeginSnapshot.
func (sn *Snapshot) LargeApart() { sn.apart = true }

// StepLarge encodes one of the large values that shard i has waiting, if any, or a piece of one, and reports whether there is more. It holds the
// lock only to take the value and, after its last piece, to let it go. Nothing else may stand between the pieces of a value. It may run beside Step, but
// not beside itself or Close.
func (sn *Snapshot) StepLarge(i int, dst []byte) (out []byte, more bool) {
	s, ss := &sn.ks.shards[i], &sn.shards[i]
	if ss.waiting.Load() == 0 {
		return dst, false
	}
	if ss.part == nil {
		s.mu.Lock()
		ss.part = ss.queue[0]
		s.mu.Unlock()
	}
	if dst = ss.appendPiece(s, ss.part, dst); ss.part.p.More {
		return dst, true
	}
	ss.part = nil
	s.mu.Lock()
	more = ss.encoded(s)
	ended := ss.takeEnded()
	s.mu.Unlock()
	sn.endAll(ended)
	return dst, more
}

// LargeWaiting reports whether shard i has large values waiting. It takes no lock.
func (sn *Snapshot) LargeWaiting(i int) bool { return sn.shards[i].waiting.Load() > 0 }

// Step locks shard i briefly (bounded by some 100 µs of work), appends encoded entries to dst, and reports whether the shard is
// finished. Large values are encoded without the lock, several of them in one call if writes wait for them to be. Callers go round the
// shards so that no shard's pre-images pile up. Step and Close must not run at once.
func (sn *Snapshot) Step(i int, dst []byte) (out []byte, done bool) {
	s, ss := &sn.ks.shards[i], &sn.shards[i]
	s.mu.Lock()
	dst, done = ss.step(s, dst)
	ended := ss.takeEnded()
	s.mu.Unlock()
	sn.endAll(ended)
	return dst, done
}

// step is Step under the lock.
func (ss *shardSnap) step(s *Shard, dst []byte) (out []byte, done bool) {
	sn := ss.sn
	if ss.done {
		return dst, true
	}
	if !sn.apart {
		for more := true; more; {
			dst, more = ss.encodeGhost(s, dst)
		}
	}
	// From here on the lock is not released: nothing can be added to the pre-images before the walk decides that it is done.
	if n := len(ss.pre); n > 0 {
		dst = append(dst, ss.pre...)
		sn.pending.Add(-int64(n))
		ss.pre, ss.preDB = ss.pre[:0], -1
		if cap(ss.pre) > 1<<20 {
			ss.pre = nil
		}
	}
	dst = ss.walk(s, dst, sn.enc)
	if len(ss.tables) > 0 {
		return dst, false
	}
	ss.finish(s)
	return dst, true
}

func (ss *shardSnap) finish(s *Shard) {
	ss.done = true
	ss.pre = nil
	s.snap = nil
	ss.sn.left.Add(-1)
}

// walk goes on by a step's worth. Without an encoder it only takes marks off.
func (ss *shardSnap) walk(s *Shard, dst []byte, enc Encoder) []byte {
	entries, size, selected := stepEntries, stepBytes, -1
	for buckets := stepBuckets; buckets > 0 && entries > 0 && size > 0 && len(ss.tables) > 0; buckets-- {
		ts := ss.tables[len(ss.tables)-1]
		t := ts.t
		if t.n == 0 || ts.pos >= 1<<posBits {
			if len(ss.queue) > 0 {
				break // its ghosts, which live in its arena, first
			}
			ss.tables = ss.tables[:len(ss.tables)-1]
			t.snap = nil
			if ts.detached {
				s.ks.release(t, false)
			}
			continue
		}
		g, b := t.locate(ts.pos)
		from, to := g.bounds(ts.pos, b)
		ss.warmth += t.warm(g, b)
		t.homed(g, b, func(r Ref) {
			e := s.entry(r)
			if from < ts.pos && position(s.ks.hash.hash(e.keyBytes())) < ts.pos {
				return // the bucket was another when its first part was passed
			}
			entries--
			w := e.word()
			mark := *w >> epochShift & 7
			if mark != 0 {
				*w &^= epochMask
			}
			if mark != ss.sn.epoch && enc != nil {
				if e.rooted() || e.valueLen() >= largeValue {
					ss.conjure(s, t, r)
					return
				}
				size -= e.size()
				if ss.sn.sel != nil && selected != ts.db {
					selected = ts.db
					dst = ss.sn.sel(dst, ts.db)
				}
				dst = enc(dst, ts.db, s, r)
			}
		})
		ts.pos = to
	}
	return dst
}

// PendingBytes is the memory held by pre-images not yet fetched by Step.
func (sn *Snapshot) PendingBytes() int64 { return sn.pending.Load() }

// Counts returns keys and volatile keys per database as of the snapshot (for RDB's RESIZEDB).
func (sn *Snapshot) Counts(db int) (keys, expires int) {
	return sn.counts[db][0], sn.counts[db][1]
}

// FieldsExpire reports whether any hash has a field that expires, as of the snapshot.
func (sn *Snapshot) FieldsExpire() bool { return sn.fields }

// Close ends the snapshot, finished or not. Locks shards itself, briefly.
func (sn *Snapshot) Close() {
	ks := sn.ks
	if ks.snapshot.Load() != sn {
		return // closed before
	}
	if sn.left.Load() == 0 {
		ks.aborted = 0
	} else if ks.aborted++; ks.aborted == numEpochs-1 {
		// The epochs run out: take all marks off.
		for i := range sn.shards {
			for done := false; !done; {
				done = sn.clean(i)
			}
		}
		ks.aborted = 0
	} else {
		for i := range sn.shards {
			sn.abandon(i)
		}
	}
	ks.snapshot.Store(nil)
}

// forget frees all ghosts unencoded.
func (ss *shardSnap) forget(s *Shard) {
	for _, g := range ss.queue {
		ss.banish(s, g)
	}
	ss.queue, ss.part = nil, nil
}

func (sn *Snapshot) clean(i int) bool {
	s, ss := &sn.ks.shards[i], &sn.shards[i]
	s.mu.Lock()
	if !ss.done {
		ss.forget(s)
		ss.walk(s, nil, nil)
		if len(ss.tables) == 0 {
			ss.finish(s)
		}
	}
	done, ended := ss.done, ss.takeEnded()
	s.mu.Unlock()
	sn.endAll(ended)
	return done
}

func (sn *Snapshot) abandon(i int) {
	s, ss := &sn.ks.shards[i], &sn.shards[i]
	s.mu.Lock()
	if !ss.done {
		ss.drop(s)
	}
	ended := ss.takeEnded()
	s.mu.Unlock()
	sn.endAll(ended)
}

// drop ends the shard's part of a snapshot that is not wanted any more.
func (ss *shardSnap) drop(s *Shard) {
	ss.forget(s)
	for _, ts := range ss.tables {
		ts.t.snap = nil
		if ts.detached {
			s.ks.release(ts.t, false)
		}
	}
	ss.tables = nil
	ss.finish(s)
}
