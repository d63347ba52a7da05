package aof

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Log is open for appending. Methods are safe for concurrent use except as said.
type Log struct {
	o Options

	tail atomic.Uint64 // see tail.go; every writer swaps it
	_    [56]byte

	appended atomic.Int64 // stored by the append role
	synced   atomic.Int64 // stored by the sync role
	refBytes atomic.Int64 // bytes of effects by reference not yet drained
	drains   atomic.Int64 // see Drains
	policy   atomic.Uint32
	health   atomic.Pointer[healthError]
	closed   atomic.Bool
	_        [56]byte

	rings []ring
	arena []byte
	hints []atomic.Uint32 // shard that published the record at an offset; a hint, verified by the record itself

	appendRole   role
	syncRole     role
	syncWanted   atomic.Int64 // highest offset somebody wants synced
	orphanSync   atomic.Bool  // a caller that wants a sync found the append role taken: its holder sees to the sync
	mustMove     atomic.Bool  // a write or sync failed: nothing is written or synced until the suffix is in a fresh segment
	isFull       atomic.Bool  // a write found no room: only the syncer tries again
	nextReady    atomic.Bool  // next is set
	nextPrepared atomic.Bool  // and its blocks are written already

	want         atomic.Bool // one Notify for anything
	wantAppended atomic.Int64
	wantSynced   atomic.Int64

	tl      atomic.Pointer[Tail] // Options.Tail, or what Resume was given
	stageMu sync.Mutex           // guards ahead, and keeps the drainer from handing ring space back while somebody stages ahead
	ahead   ahead

	drain  drainState // the append role guards it
	direct direct     // the append role guards it
	cut    atomic.Int64
	cutBy  chan struct{} // told when a cut was reached or given up, and when that cannot happen because the disk failed
	cutMu  sync.Mutex    // guards changes of cut and of rewrite
	rw     *Rewrite      // the rewrite under way, if any

	segMu  sync.Mutex
	active *segment   // where batches go; changed by the append role under segMu
	dirty  []*segment // segments before active with batches not yet synced, oldest first
	full   []*segment // left behind by rotation, synced or not, not yet sealed; oldest first
	next   *segment   // prepared and registered, empty

	metaMu sync.Mutex
	ident  atomic.Pointer[identity] // of meta, for those who do not wait; metaMu guards changes
	meta   meta

	pinMu   sync.Mutex
	pins    []*Pin
	history atomic.Int64 // Options.HistoryBytes, or what SetHistoryBytes made of it
	keptEnd atomic.Int64 // where the oldest file of the history ends; the highest number if there is none

	syncer chan struct{} // wakes the syncer goroutine
	keeper chan struct{} // wakes the keeper goroutine
	handed atomic.Bool   // a role was given up with a wish unserved: the syncer commits
	armed  atomic.Bool   // the syncer's clock runs
	clock  clock         // the syncer's own
	unlock func() error  // gives the directory back
	quit   chan struct{}
	wg     sync.WaitGroup

	moveCause     atomic.Pointer[error]
	syncMarks     []mark // the sync role guards it
	appendedStart int64  // where the log continues after recovery

	syncCost atomic.Int64
	stats    counters

	lastFiles  atomic.Pointer[fileStats] // as Stats last saw them
	oldestSeen atomic.Int64              // as oldestLocked last found it
}

const noCut = int64(-1)

// neverWanted is the value of wantAppended and wantSynced when nobody waits.
const neverWanted = int64(1)<<62 - 1

// Open recovers the directory into r (creating it when absent) and opens the log at the end.
//
// An error names the file and the offset where something is wrong, and what to do about it. r may be nil with
// Options.Fresh, which replays nothing.
func Open(o Options, r Replayer) (*Log, *Recovery, error) {
	if err := o.fill(); err != nil {
		return nil, nil, err
	}
	l := &Log{
		o:      o,
		hints:  make([]atomic.Uint32, hintSlots),
		rings:  make([]ring, o.Shards),
		syncer: make(chan struct{}, 1),
		keeper: make(chan struct{}, 1),
		quit:   make(chan struct{}),
		cutBy:  make(chan struct{}, 1),
	}
	l.appendRole.init()
	l.syncRole.init()
	l.policy.Store(uint32(o.Policy))
	l.history.Store(o.HistoryBytes)
	l.cut.Store(noCut)
	l.wantAppended.Store(neverWanted)
	l.wantSynced.Store(neverWanted)
	if o.Memory {
		return l.openMemory()
	}
	if err := o.FS.MkdirAll(o.Dir); err != nil {
		return nil, nil, fmt.Errorf("aof: cannot create %s: %w", o.Dir, err)
	}
	var err error
	if l.unlock, err = lockDir(o.FS, o.Dir); err != nil {
		return nil, nil, err
	}
	opened := false
	defer func() {
		if !opened {
			_ = l.unlock() // the reason why it did not open matters more
		}
	}()
	rec, err := l.recover(r)
	if err != nil {
		return nil, nil, err
	}
	if err := l.initRings(rec.Offset); err != nil {
		return nil, nil, err
	}
	if o.BaseFile != "" {
		err = l.openOnBase(rec.Offset)
		rec.NeedsBase = false
	} else {
		err = l.openActive(rec.Offset)
	}
	if err != nil {
		freeOffHeap(l.arena)
		return nil, nil, err
	}
	opened = true
	l.showIdentity() // nobody else is there yet
	l.noteHistoryLocked()
	l.oldestLocked()
	l.joinTail(o.Tail, rec.Offset)
	if !o.manual {
		l.wg.Add(2)
		go l.runSyncer()
		go l.runKeeper()
	}
	l.wakeKeeper()
	return l, rec, nil
}

// initRings makes the rings of a log that continues at off.
func (l *Log) initRings(off int64) error {
	o := &l.o
	arena, err := offHeap(o.Shards * o.RingBytes)
	if err != nil {
		return fmt.Errorf("aof: %d rings of %d bytes: %w", o.Shards, o.RingBytes, err)
	}
	l.arena = arena
	for i := range l.rings {
		l.rings[i].init(arena[i*o.RingBytes : (i+1)*o.RingBytes : (i+1)*o.RingBytes])
	}
	l.appendedStart = off
	l.drain.init(l)
	l.tail.Store(uint64(off)<<dbBits | dbUnknown)
	l.appended.Store(off)
	l.synced.Store(off)
	return nil
}

// Close drains, syncs, trims the active segment to its true length. Nobody may append any more.
func (l *Log) Close() error {
	if l.closed.Swap(true) {
		return ErrClosed
	}
	close(l.quit)
	l.wg.Wait()
	var err error
	l.appendRole.lock()
	l.syncRole.lock()
	// The roles are never given back: a late Commit leaves its wish and returns.
	if e := l.drainAll(); e != nil {
		err = e
	}
	// What could not be written any more is in the Tail all the same: replicas were promised it, and the log that follows begins at
	// its end. From here on nobody looks into the rings.
	l.stageMu.Lock()
	l.stageLocked()
	if !l.o.Memory {
		if e := l.syncOnce(); e != nil && err == nil {
			err = e
		}
		if e := l.sealForClose(); e != nil && err == nil {
			err = e
		}
		if e := l.unlock(); e != nil && err == nil {
			err = e
		}
	}
	l.notifyAll()
	freeOffHeap(l.arena)
	if l.direct.mem != nil {
		freeOffHeap(l.direct.mem)
	}
	return err
}

// lockDir takes the directory if the file system can.
func lockDir(fsys FS, dir string) (unlock func() error, err error) {
	if lk, ok := fsys.(DirLocker); ok {
		return lk.LockDir(dir)
	}
	return func() error { return nil }, nil
}

// Reserved is the offset handed out to writers so far.
func (l *Log) Reserved() int64 { return int64(l.tail.Load() >> dbBits) }

// Appended is the offset up to which the log is in segments: it survives the end of the process.
func (l *Log) Appended() int64 { return l.appended.Load() }

// Synced is the offset up to which the log is on the disk.
func (l *Log) Synced() int64 { return l.synced.Load() }

// Pending reports whether something published is not yet appended (or with GoalSync, not yet synced).
func (l *Log) Pending(g Goal) bool {
	if g == GoalSync {
		return l.Synced() < l.Reserved()
	}
	return l.Appended() < l.Reserved()
}

// Drains changes whenever room is handed back to the rings. Whoever found no room (Room) does so again while it is what it was when
// he last looked at it before.
func (l *Log) Drains() int64 { return l.drains.Load() }

// SyncCost is the moving average of fdatasync, ns.
func (l *Log) SyncCost() int64 { return l.syncCost.Load() }

// Policy is the appendfsync in force.
func (l *Log) Policy() Policy { return Policy(l.policy.Load()) }

// SetPolicy changes appendfsync. Going to Always, everything pending is synced in the background at once; a caller that
// must know when follows with Commit(GoalSync).
func (l *Log) SetPolicy(p Policy) {
	l.policy.Store(uint32(p))
	if p == Always {
		l.raiseSyncWanted(l.Reserved())
		l.handOver()
	}
	l.wakeKeeper()
	l.arm()
}

// WantNotify asks for one Notify call at the next move of Appended or Synced, freed room, or change of health. Look
// again after asking: what happened before the call is not told.
func (l *Log) WantNotify() { l.want.Store(true) }

// WantAppended asks for one Notify call when Appended reaches off or the health changes. Look again after asking.
func (l *Log) WantAppended(off int64) { lower(&l.wantAppended, off) }

// WantSynced is WantAppended for Synced.
func (l *Log) WantSynced(off int64) { lower(&l.wantSynced, off) }

func lower(a *atomic.Int64, v int64) {
	for {
		old := a.Load()
		if old <= v || a.CompareAndSwap(old, v) {
			return
		}
	}
}

// notify tells whoever asked that a watermark moved.
func (l *Log) notify() {
	told := false
	if l.want.Load() && l.want.Swap(false) {
		told = true
	}
	if a := l.wantAppended.Load(); a <= l.appended.Load() && l.wantAppended.CompareAndSwap(a, neverWanted) {
		told = true
	}
	if s := l.wantSynced.Load(); s <= l.synced.Load() && l.wantSynced.CompareAndSwap(s, neverWanted) {
		told = true
	}
	if told {
		l.o.Notify()
	}
}

// notifyAll tells everybody: the health changed.
func (l *Log) notifyAll() {
	l.want.Store(false)
	l.wantAppended.Store(neverWanted)
	l.wantSynced.Store(neverWanted)
	l.o.Notify()
}

func (l *Log) path(name string) string { return filepath.Join(l.o.Dir, name) }

func (l *Log) logf(level byte, format string, args ...any) { l.o.Logf(level, format, args...) }

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (l *Log) wakeKeeper() { wake(l.keeper) }

// handOver has the syncer commit.
func (l *Log) handOver() {
	l.handed.Store(true)
	wake(l.syncer)
}

// now is the time stamped into headers.
func now() int64 { return time.Now().UnixMilli() }
