package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"tidemark/aof"
	"tidemark/engine/keyspace"
	"tidemark/engine/rdb"
	"tidemark/netio"
)

// A snapshot is written without fork (design D9). All shards are locked for the moment that fixes the log offset X; then the
// first event loop walks over the shards in slices between its turns, and a goroutine writes what the slices produced. The walk is on the
// loop, not on a goroutine of its own, because a goroutine that the kernel deschedules while it holds a shard's lock
// would stop every client of that shard for a scheduler tick.

const (
	// snapshotSlice bounds the walk's share of a turn.
	snapshotSlice = 150 * time.Microsecond
	snapshotChunk = 256 << 10
	// snapshotQueue is how many chunks may wait for the disk; the walk pauses when it is full.
	snapshotQueue = 8
)

// ErrSnapshotRunning is what a second snapshot is refused with: there is one at a time, of any kind.
var ErrSnapshotRunning = errors.New("a background save or AOF rewrite is in progress")

// errGivenUp ends a snapshot that is no longer wanted: the server shuts down, appendonly is switched off, or the data were flushed.
var errGivenUp = errors.New("given up")

// sink takes a snapshot's bytes.
type sink interface {
	Write(p []byte) (int, error)
	Commit() error
	Abort()
}

// rewrite is the state of the one snapshot that may run, and of the last ones.
type rewrite struct {
	mu        sync.Mutex
	job       *snapshotJob // running; nil: none
	scheduled bool         // a rewrite shall follow the running save
	saveNext  bool         // a save shall follow the running rewrite
	// afterwards are called when what runs has ended.
	afterwards []func()

	aofRuns, rdbRuns       int64
	aofFailed, rdbFailed   bool
	aofSeconds, rdbSeconds int64 // of the last; -1: none yet
	lastSave               int64 // Unix s of the last successful save
	dirtyAtSave            int64

	// baseless: the AOF was switched on, and its first base is not written yet: a restart would find nothing of what is in it.
	baseless atomic.Bool
	// checkAt is the log offset at which automatic rewriting is next considered.
	checkAt atomic.Int64
}

// snapshotJob is one snapshot being written.
type snapshotJob struct {
	s       *Server
	kind    snapshotKind
	sn      *keyspace.Snapshot
	out     sink
	started time.Time
	dirty   int64
	at      streamPlace  // where the snapshot is exact
	keys    atomic.Int64 // encoded so far
	ended   chan struct{}

	// Of the walking loop.
	next  int // shard
	left  int // shards not finished
	done  []bool
	buf   []byte
	spare chan []byte

	chunks  chan []byte
	large   chan struct{} // large values wait for the writer, which encodes them itself
	failed  atomic.Bool   // the writer gave up
	stalled atomic.Bool   // the walk waits for the writer
}

type snapshotKind uint8

const (
	kindAOF snapshotKind = iota
	kindRDB
	kindStream // to replicas
)

func (k snapshotKind) String() string {
	return [...]string{"AOF rewrite", "DB save", "snapshot for replicas"}[k]
}

// startSave begins a background save to path (BGSAVE).
func (s *Server) startSave(path string) error {
	return s.startSnapshot(kindRDB, func(int64) (sink, error) { return newFileSink(path) })
}

// startSnapshot fixes the moment of a snapshot and sets the walk going. open is called with all shards locked.
func (s *Server) startSnapshot(kind snapshotKind, open func(offset int64) (sink, error)) error {
	r := &s.rewrite
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.job != nil {
		return ErrSnapshotRunning
	}
	ks := s.store.KS
	j := &snapshotJob{s: s, kind: kind, started: time.Now(), dirty: s.store.Stats.Dirty.Load(), left: ks.NumShards(),
		done: make([]bool, ks.NumShards()), chunks: make(chan []byte, snapshotQueue), spare: make(chan []byte, snapshotQueue+2),
		large: make(chan struct{}, 1), ended: make(chan struct{})}
	ks.LockAll()
	j.at = s.streamPlaceLocked()
	out, err := open(j.at.offset)
	if err == nil {
		e := s.encoder()
		j.sn = ks.BeginSnapshot(func(dst []byte, db int, sh *keyspace.Shard, r keyspace.Ref) []byte {
			j.keys.Add(1)
			return e.AppendEntry(dst, db, sh, r)
		})
		j.sn.InPieces(func(dst []byte, db int, sh *keyspace.Shard, r keyspace.Ref, p *keyspace.Progress) []byte {
			if !p.More {
				j.keys.Add(1)
			}
			return e.AppendPiece(dst, db, sh, r, p)
		})
		j.sn.SelectWith(rdb.AppendSelectDB)
		j.sn.LargeApart()
		j.sn.EndWith(j.giveBack)
	}
	ks.UnlockAll()
	if err != nil {
		return err
	}
	j.out = out
	r.job = j
	s.log.Noticef("Background %s started", kind)
	go j.write()
	s.net.Loops()[0].Post(j.walk)
	return nil
}

// walk encodes for one slice of time and posts itself again.
func (j *snapshotJob) walk(l *netio.Loop) {
	start := time.Now()
	for idle := 0; j.left > 0 && !j.failed.Load(); {
		if len(j.buf) >= snapshotChunk && !j.pass() {
			j.stalled.Store(true)
			if len(j.chunks) < snapshotQueue && j.stalled.Swap(false) {
				continue
			}
			return // the writer posts the walk when it has taken a chunk
		}
		switch {
		case j.done[j.next]:
			idle++
		case j.sn.LargeWaiting(j.next):
			idle++
			select {
			case j.large <- struct{}{}:
			default:
			}
		default:
			idle = 0
			var done bool
			if j.buf, done = j.sn.Step(j.next, j.buf); done {
				j.done[j.next] = true
				j.left--
			}
		}
		if idle >= len(j.done) { // all that is left waits for large values
			j.stalled.Store(true)
			if (j.failed.Load() || !j.largeEverywhere()) && j.stalled.Swap(false) {
				idle = 0
				continue
			}
			return // the writer posts the walk when it has encoded them
		}
		if j.next++; j.next == len(j.done) {
			j.next = 0
		}
		if time.Since(start) > snapshotSlice && j.left > 0 {
			l.Post(j.walk)
			return
		}
	}
	if !j.failed.Load() && !j.pass() {
		j.stalled.Store(true)
		if len(j.chunks) < snapshotQueue && j.stalled.Swap(false) {
			l.Post(j.walk)
		}
		return
	}
	close(j.chunks)
}

// largeEverywhere reports whether each shard that is not done has large values waiting.
func (j *snapshotJob) largeEverywhere() bool {
	for i, done := range j.done {
		if !done && !j.sn.LargeWaiting(i) {
			return false
		}
	}
	return true
}

// pass hands the buffer to the writer; false when its queue is full.
func (j *snapshotJob) pass() bool {
	if len(j.buf) == 0 {
		return true
	}
	select {
	case j.chunks <- j.buf:
	default:
		return false
	}
	select {
	case b := <-j.spare:
		j.buf = b[:0]
	default:
		j.buf = make([]byte, 0, snapshotChunk+64<<10)
	}
	return true
}

// giveBack calls some, in slices on the first loop, until it reports false: what a collection let go of while the snapshot had it can be millions of blocks.
func (j *snapshotJob) giveBack(some func() (more bool)) {
	given := make(chan struct{})
	var slice func(l *netio.Loop)
	slice = func(l *netio.Loop) {
		for start := time.Now(); some(); {
			if time.Since(start) > snapshotSlice {
				l.Post(slice)
				return
			}
		}
		close(given)
	}
	j.s.net.Loops()[0].Post(slice)
	select {
	case <-given:
	case <-j.s.stop.ending: // the loop turns no more
	}
}

// writerPause follows as much work at large collections where there is one processor only. A thread that is busy without a break is given whole slices of the
// scheduler's, and an event loop on the same processor stands still for 3 to 4 ms at a time; a piece takes 0.1 to 0.3 ms. Coming after the loop by priority (nice)
// instead does not do: the Go runtime has threads wait, spinning, for one that was descheduled while it allocates.
const writerPause = 250 * time.Microsecond

// writerChunk is how many bytes of large collections are written at a time.
const writerChunk = 64 << 10

// nap sleeps for less than a millisecond, which is as short as the runtime's timers are where the processor is idle otherwise. The runtime is not told, as it
// would take the goroutine's place in the scheduler away and give it back, some thousand times a second; if it needs the goroutine, its signal ends the sleep.
func nap(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
}

// write is the writing goroutine.
func (j *snapshotJob) write() {
	shared, paused := runtime.NumCPU() == 1, time.Now()
	w := &rdbWriter{out: j.out, checksum: j.s.cfg.Load().RDBChecksum}
	err := w.begin(j.s, j.kind, j.at)
	if err != nil {
		j.failed.Store(true)
	}
	// Not grown as it is filled: the runtime's sweeper waits, spinning, for a thread that was descheduled while it allocates after a collection.
	own := make([]byte, 0, 2*writerChunk)
	delayed := int64(0) // keys that rdb-key-save-delay has been taken for
	for open := true; open; {
		var b []byte
		select {
		case b, open = <-j.chunks:
			if !open {
				continue
			}
			if err == nil {
				if err = w.write(b); err != nil {
					j.failed.Store(true)
				}
			}
			select {
			case j.spare <- b:
			default:
			}
		case <-j.large:
			for i := range j.s.store.KS.NumShards() {
				for more := true; more && err == nil && !j.failed.Load(); {
					if more = j.sn.LargeWaiting(i); more {
						own, _ = j.sn.StepLarge(i, own)
					}
					if len(own) >= writerChunk || !more {
						if err = w.write(own); err != nil {
							j.failed.Store(true)
						}
						if own = own[:0]; cap(own) > 4*snapshotChunk {
							own = make([]byte, 0, 2*writerChunk)
						}
					}
					if shared && time.Since(paused) > writerPause {
						nap(writerPause)
						paused = time.Now()
					}
				}
			}
		}
		if j.stalled.Swap(false) {
			j.s.net.Loops()[0].Post(j.walk)
		}
		if keys := j.keys.Load(); err == nil && keys > delayed {
			j.s.keyDelay(keySaveDelay, keys-delayed, &j.failed)
			delayed = keys
		}
	}
	if err == nil && j.failed.Load() {
		err = errGivenUp
	}
	if err == nil {
		err = w.end()
	}
	j.sn.Close()
	if err == nil {
		err = j.out.Commit()
	} else {
		j.out.Abort()
	}
	j.finish(err)
}

func (j *snapshotJob) finish(err error) {
	s, r := j.s, &j.s.rewrite
	seconds := int64(time.Since(j.started).Seconds())
	r.mu.Lock()
	r.job = nil
	switch j.kind {
	case kindAOF:
		r.aofRuns++
		r.aofFailed, r.aofSeconds = err != nil && !errors.Is(err, errGivenUp), seconds
	case kindRDB:
		if errors.Is(err, errGivenUp) {
			break // it says nothing of the disk
		}
		r.rdbRuns++
		r.rdbFailed, r.rdbSeconds = err != nil, seconds
		if err == nil {
			r.lastSave, r.dirtyAtSave = time.Now().Unix(), j.dirty
		}
	}
	if j.kind == kindAOF && err == nil {
		r.baseless.Store(false)
	}
	again := r.baseless.Load() && j.kind == kindAOF && !errors.Is(err, errGivenUp)
	rewriteNext, saveNext, ended := r.scheduled, r.saveNext, r.afterwards
	r.scheduled, r.saveNext, r.afterwards = false, false, nil
	r.mu.Unlock()
	if err != nil {
		s.log.Warningf("Background %s failed: %v", j.kind, err)
	} else {
		s.log.Noticef("Background %s finished successfully", j.kind)
	}
	r.checkAt.Store(0)
	close(j.ended)
	s.WakeWaiters() // for DurableOffset
	s.saves.look(s)
	if rewriteNext {
		if err := s.startRewrite(); err != nil {
			s.log.Warningf("A scheduled AOF rewrite did not start: %v", err)
		}
	}
	if saveNext {
		if err := s.startSave(s.rdbPath()); err != nil {
			s.log.Warningf("A scheduled background save did not start: %v", err)
		}
	}
	if again {
		time.AfterFunc(saveRetry, s.retryBase)
	}
	for _, f := range ended {
		f()
	}
}

// scheduleRewrite lets a rewrite follow the save that is running. False: nothing is running.
func (s *Server) scheduleRewrite() bool {
	s.rewrite.mu.Lock()
	defer s.rewrite.mu.Unlock()
	if s.rewrite.job == nil || s.rewrite.job.kind == kindAOF {
		return false
	}
	s.rewrite.scheduled = true
	return true
}

// scheduleSave lets a save follow the rewrite that is running. False: none is.
func (s *Server) scheduleSave() bool {
	s.rewrite.mu.Lock()
	defer s.rewrite.mu.Unlock()
	if s.rewrite.job == nil || s.rewrite.job.kind != kindAOF {
		return false
	}
	s.rewrite.saveNext = true
	return true
}

// considerRewrite starts a rewrite when the AOF has grown as auto-aof-rewrite-percentage and -min-size say. It is called at the end
// of turns that wrote; checkAt keeps it from looking each time.
func (s *Server) considerRewrite(log *aof.Log) {
	at := s.rewrite.checkAt.Load()
	if log.Appended() < at || !s.rewrite.checkAt.CompareAndSwap(at, 1<<62) {
		return
	}
	v := s.cfg.Load()
	if v.RewritePercentage == 0 || !log.OnDisk() {
		return
	}
	st := log.Stats()
	threshold := max(v.RewriteMinBytes, max(st.BaseBytes, 1)*(100+v.RewritePercentage)/100)
	if st.CurrentBytes < threshold {
		s.rewrite.checkAt.Store(log.Appended() + threshold - st.CurrentBytes)
		return
	}
	go func() {
		s.log.Noticef("Starting automatic rewriting of AOF on %d%% growth", (st.CurrentBytes-st.BaseBytes)*100/max(st.BaseBytes, 1))
		if err := s.startRewrite(); err != nil {
			s.rewrite.checkAt.Store(log.Appended() + 1<<20)
		}
	}()
}

// rewriteNow writes the base of a new AOF while the data are being loaded, that is, while they do not change.
func (s *Server) rewriteNow(log *aof.Log) error {
	at := s.streamPlaceLocked()
	out, err := log.BeginRewrite(at.offset)
	if err != nil {
		return err
	}
	if err := s.writeRDB(out, kindAOF, at, true); err != nil {
		out.Abort()
		return err
	}
	return out.Commit()
}

// saveRDB saves to path before it returns (SAVE, SHUTDOWN SAVE, DEBUG RELOAD). No shard may be locked by the caller: it locks them all,
// so that the file is exact, unless clients are kept out as it is.
func (s *Server) saveRDB(path string) error {
	start := time.Now()
	dirty := s.store.Stats.Dirty.Load()
	out, err := newFileSink(path)
	if err != nil {
		return err
	}
	if s.Loading() {
		err = s.writeRDB(out, kindRDB, s.streamPlaceLocked(), true)
	} else {
		s.store.KS.LockAll()
		err = s.writeRDB(out, kindRDB, s.streamPlaceLocked(), false)
		s.store.KS.UnlockAll()
	}
	if err != nil {
		out.Abort()
		return err
	}
	if err := out.Commit(); err != nil {
		return err
	}
	r := &s.rewrite
	r.mu.Lock()
	r.rdbRuns++
	r.rdbFailed, r.rdbSeconds = false, int64(time.Since(start).Seconds())
	r.lastSave, r.dirtyAtSave = time.Now().Unix(), dirty
	r.mu.Unlock()
	s.saves.look(s)
	s.log.Noticef("DB saved on disk")
	return nil
}

// reload is DEBUG RELOAD: the data go through an RDB file and back. Not on an event loop's thread.
func (s *Server) reload(save, flush bool) error {
	if err := s.beginLoading(0); err != nil {
		return err
	}
	defer s.endLoading()
	if save {
		if err := s.saveRDB(s.rdbPath()); err != nil {
			return err
		}
	}
	if flush {
		s.flushEverything()
	}
	if info, err := os.Stat(s.rdbPath()); err == nil {
		s.loading.total.Store(info.Size())
	}
	_, found, err := s.loadRDBFile(false)
	if err == nil && !found {
		err = fmt.Errorf("%s: no such file", s.rdbPath())
	}
	return err
}

// loadAOF is DEBUG LOADAOF: the data are dropped and read again from the log's files, also when appendonly is off. Not on an event loop's
// thread; s.configuring is held by the caller.
func (s *Server) loadAOF() error {
	v := s.cfg.Load()
	log := s.store.Log()
	on := log != nil && log.OnDisk()
	if log != nil && !on {
		return errors.New("appendonly is off, and the data are being replicated")
	}
	if !on {
		if _, err := os.Stat(filepath.Join(v.Dir, v.AppendDirname, v.AppendFilename+".manifest")); err != nil {
			return fmt.Errorf("there is no AOF to load: %w", err)
		}
	}
	if err := s.beginLoading(s.bytesToLoad()); err != nil {
		return err
	}
	defer s.endLoading()
	s.dropSnapshot(kindAOF)
	if err := s.closeLog(); err != nil {
		return err
	}
	s.flushEverything()
	l, _, err := s.openLog(v)
	if err != nil {
		return err
	}
	if on {
		s.switchLog(l)
		return nil
	}
	return l.Close()
}

func (s *Server) flushEverything() {
	ks := s.store.KS
	ks.LockAll()
	defer ks.UnlockAll()
	for db := 0; db < ks.Databases(); db++ {
		s.store.TouchDB(db, -1, time.Now().UnixMilli())
		for i := 0; i < ks.NumShards(); i++ {
			ks.Shard(i).Flush(db, false)
		}
	}
}

// logOffset is the end of the log, 0 without one.
func (s *Server) logOffset() int64 {
	if log := s.store.Log(); log != nil {
		return log.Reserved()
	}
	return 0
}
