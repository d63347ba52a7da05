package aof

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// faultFS is the operating system's with scripted delays and errors.
type faultFS struct {
	OSFS
	sync  atomic.Pointer[func(name string) error] // before an fdatasync
	write atomic.Pointer[func(name string, n int) error]
	alloc atomic.Pointer[func(name string) error]
	// direct is write for writes past the page cache only.
	direct atomic.Pointer[func(name string, n int) error]
}

func (f *faultFS) wrap(file File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return &faultFile{file.(*osFile), f}, nil
}

func (f *faultFS) Open(name string) (File, error) { return f.wrap(f.OSFS.Open(name)) }

func (f *faultFS) Create(name string) (File, error) {
	if h := f.alloc.Load(); h != nil {
		if err := (*h)(name); err != nil {
			return nil, err
		}
	}
	return f.wrap(f.OSFS.Create(name))
}

func (f *faultFS) OpenDirect(name string) (DirectFile, error) {
	d, err := f.OSFS.OpenDirect(name)
	if err != nil {
		return nil, err
	}
	return &faultDirect{d, f, name}, nil
}

type faultDirect struct {
	DirectFile
	fs   *faultFS
	name string
}

func (f *faultDirect) WriteBlocks(p []byte, off int64) error {
	if h := f.fs.write.Load(); h != nil {
		if err := (*h)(filepath.Base(f.name), len(p)); err != nil {
			return err
		}
	}
	if h := f.fs.direct.Load(); h != nil {
		if err := (*h)(filepath.Base(f.name), len(p)); err != nil {
			return err
		}
	}
	return f.DirectFile.WriteBlocks(p, off)
}

type faultFile struct {
	*osFile
	fs *faultFS
}

func (f *faultFile) Datasync() error {
	if h := f.fs.sync.Load(); h != nil {
		if err := (*h)(filepath.Base(f.Name())); err != nil {
			return err
		}
	}
	return f.osFile.Datasync()
}

func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	if h := f.fs.write.Load(); h != nil {
		if err := (*h)(filepath.Base(f.Name()), len(p)); err != nil {
			return 0, err
		}
	}
	return f.osFile.WriteAt(p, off)
}

func (f *faultFile) WriteVec(v [][]byte, off int64) error {
	if h := f.fs.write.Load(); h != nil {
		if err := (*h)(filepath.Base(f.Name()), len(v)); err != nil {
			return err
		}
	}
	return f.osFile.WriteVec(v, off)
}

// wakeups counts Notify calls and lets a test wait for what they announce.
type wakeups struct {
	mu sync.Mutex
	c  *sync.Cond
	n  int
}

func newWakeups() *wakeups {
	w := &wakeups{}
	w.c = sync.NewCond(&w.mu)
	return w
}

func (w *wakeups) notify() {
	w.mu.Lock()
	w.n++
	w.mu.Unlock()
	w.c.Broadcast()
}

// until asks for notice and looks again, as an event loop does.
func (w *wakeups) until(t *testing.T, want func(), ok func() bool) {
	t.Helper()
	deadline := time.AfterFunc(10*time.Second, w.c.Broadcast)
	defer deadline.Stop()
	start := time.Now()
	for {
		w.mu.Lock()
		n := w.n
		w.mu.Unlock()
		want()
		if ok() {
			return
		}
		w.mu.Lock()
		for w.n == n && time.Since(start) < 10*time.Second {
			w.c.Wait()
		}
		w.mu.Unlock()
		if time.Since(start) >= 10*time.Second {
			t.Fatal("no notice came within 10 s")
		}
	}
}

// full is a disk without room for the next write.
func full() func(name string, n int) error {
	return func(name string, n int) error { return &os.PathError{Op: "write", Path: name, Err: syscall.ENOSPC} }
}

var oneSet = command("SET", "key", "value")

func faultLog(t *testing.T, p Policy) (*Log, *faultFS, *wakeups, Options) {
	t.Helper()
	fsys, w := &faultFS{}, newWakeups()
	o := Options{FS: fsys, Dir: t.TempDir(), Shards: 2, RingBytes: 64 << 10, SegmentBytes: 128 << 10, Policy: p, LoadTruncated: true,
		Notify: w.notify, Logf: func(level byte, f string, a ...any) { t.Logf("%c "+f, append([]any{level}, a...)...) }}
	l, _, err := Open(o, &tape{})
	if err != nil {
		t.Fatal(err)
	}
	return l, fsys, w, o
}

func replayed(t *testing.T, o Options) []byte {
	t.Helper()
	o.FS = nil
	l, _, r := openT(t, o)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return r.bytes
}

func TestSyncNeverAheadOfDisk(t *testing.T) {
	l, fsys, w, _ := faultLog(t, Always)
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	slow := func(name string) error {
		if strings.Contains(name, "incr") || strings.Contains(name, "spare") {
			once.Do(func() { close(entered) })
			<-release
		}
		return nil
	}
	for !l.nextReady.Load() {
		l.wakeKeeper()
		time.Sleep(time.Millisecond) // the keeper announces nothing
	}
	fsys.sync.Store(&slow)
	first := l.Append(0, 0, oneSet)
	done := make(chan bool)
	go func() { done <- l.Commit(GoalSync) }()
	<-entered
	// While another thread is inside fdatasync: appending goes on, nothing is called synced, and nobody waits.
	second := l.Append(1, 0, oneSet)
	if !l.Commit(GoalAppend) || l.Appended() != second {
		t.Fatal("appending waits for the disk")
	}
	if l.Commit(GoalSync) {
		t.Fatal("synced before fdatasync returned")
	}
	if l.Synced() != 0 || !l.Pending(GoalSync) || l.Pending(GoalAppend) {
		t.Fatal("watermarks", l.Stats())
	}
	close(release)
	if !<-done || l.Synced() < first {
		t.Fatal("not synced")
	}
	// The wish of the second was left with the first thread.
	w.until(t, func() { l.WantSynced(second) }, func() bool { return l.Synced() >= second })
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestEverySecond(t *testing.T) {
	l, _, w, _ := faultLog(t, EverySec)
	end := l.Append(0, 0, oneSet)
	if !l.Commit(GoalAppend) || l.Synced() == end {
		t.Fatal("append under everysec")
	}
	start := time.Now()
	w.until(t, func() { l.WantSynced(end) }, func() bool { return l.Synced() >= end })
	if d := time.Since(start); d > 3*time.Second {
		t.Fatalf("synced after %v", d)
	}
	// Idle, a closing batch proves what was synced, and the clock stops.
	proven := func() bool {
		l.segMu.Lock()
		defer l.segMu.Unlock()
		return l.active.proof == end && l.active.synced.pos == l.active.pos
	}
	for deadline := time.Now().Add(10 * time.Second); !proven() || l.armed.Load(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("proven %v, the clock runs %v", proven(), l.armed.Load())
		}
	}
	// Changing to always syncs what is pending.
	end = l.Append(0, 0, oneSet)
	l.Commit(GoalAppend)
	l.SetPolicy(Always)
	w.until(t, func() { l.WantSynced(end) }, func() bool { return l.Synced() >= end })
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSyncFails(t *testing.T) {
	l, fsys, w, o := faultLog(t, Always)
	var want bytes.Buffer
	add := func() (end int64) {
		if l.tail.Load()&dbUnknown != 0 {
			want.Write(makeSelect(0))
		}
		want.Write(oneSet)
		return l.Append(0, 0, oneSet)
	}
	add()
	if !l.Commit(GoalSync) {
		t.Fatal("not synced")
	}
	for !l.nextReady.Load() {
		time.Sleep(time.Millisecond) // the keeper syncs too, and announces nothing
	}
	// One failing fdatasync: what was not durable goes to a fresh segment and service goes on.
	var n atomic.Int64
	once := func(name string) error {
		if !strings.HasPrefix(name, "temp-") && n.Add(1) == 1 {
			return &os.PathError{Op: "fdatasync", Path: name, Err: syscall.EIO}
		}
		return nil
	}
	fsys.sync.Store(&once)
	synced := l.Synced()
	end := add()
	if l.Commit(GoalSync) || l.Synced() != synced {
		t.Fatal("acknowledged although fdatasync failed")
	}
	w.until(t, func() { l.WantSynced(end) }, func() bool { return l.Synced() >= end })
	if l.Err() != nil {
		t.Fatal(l.Err())
	}
	// A disk on which nothing can be made durable any more.
	dead := func(name string) error { return &os.PathError{Op: "fdatasync", Path: name, Err: syscall.EIO} }
	fsys.sync.Store(&dead)
	end = add()
	if l.Commit(GoalSync) {
		t.Fatal("acknowledged although fdatasync failed")
	}
	w.until(t, l.WantNotify, func() bool { return l.Err() != nil })
	if err := l.Err(); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "incr.aof") {
		t.Fatal(err)
	}
	if l.Commit(GoalSync) || l.Commit(GoalAppend) != (l.Appended() >= end) || l.Synced() >= end {
		t.Fatal("acknowledged although the disk failed")
	}
	// It comes back.
	fsys.sync.Store(nil)
	w.until(t, func() { l.WantSynced(end) }, func() bool { return l.Synced() >= end })
	w.until(t, l.WantNotify, func() bool { return l.Err() == nil })
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := replayed(t, o); !bytes.Equal(got, want.Bytes()) {
		t.Fatalf("replayed %q, want %q", got, want.Bytes())
	}
}

func TestDiskFull(t *testing.T) {
	l, fsys, w, o := faultLog(t, Always)
	full := full()
	none := func(name string) error { return &os.PathError{Op: "open", Path: name, Err: syscall.ENOSPC} }
	fsys.write.Store(&full)
	fsys.alloc.Store(&none)
	var end int64
	n := 0
	for l.Room(0) { // writers go on until their ring is full, or look at Err before
		end = l.Append(0, 0, oneSet)
		n++
		if l.Commit(GoalSync) {
			t.Fatal("acknowledged on a full disk")
		}
	}
	if err := l.Err(); !errors.Is(err, ErrFull) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if l.Stats().FullStalls == 0 {
		t.Fatal("no stall counted")
	}
	fsys.write.Store(nil)
	fsys.alloc.Store(nil)
	w.until(t, l.WantNotify, func() bool { return l.Err() == nil })
	w.until(t, func() { l.WantSynced(end) }, func() bool { return l.Synced() >= end })
	if !l.Room(0) {
		t.Fatal("no room after the disk has")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := bytes.Count(replayed(t, o), oneSet); got != n {
		t.Fatalf("%d of %d records", got, n)
	}
}

// A full disk is tried again now and then, not as fast as it says no.
func TestFullDiskIsTriedAtIntervals(t *testing.T) {
	l, fsys, w, _ := faultLog(t, EverySec)
	var tries atomic.Int64
	full := func(name string, n int) error {
		tries.Add(1)
		return &os.PathError{Op: "write", Path: name, Err: syscall.ENOSPC}
	}
	fsys.write.Store(&full)
	end := l.Append(0, 0, oneSet)
	if l.Commit(GoalAppend) {
		t.Fatal("appended on a full disk")
	}
	const span = 5 * retryEvery
	time.Sleep(span) // the interval over which tries are counted
	if n := tries.Load(); n < 2 || n > int64(2*span/retryEvery) {
		t.Errorf("%d tries in %v, expected one every %v", n, span, retryEvery)
	}
	fsys.write.Store(nil)
	w.until(t, func() { l.WantAppended(end) }, func() bool { return l.Appended() >= end })
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// A full disk takes no more, but what was written before is still synced within the second that everysec promises.
func TestFullDiskIsSyncedAllTheSame(t *testing.T) {
	l, fsys, w, _ := faultLog(t, EverySec)
	end := l.Append(0, 0, oneSet)
	if !l.Commit(GoalAppend) {
		t.Fatal("not appended")
	}
	full := full()
	fsys.write.Store(&full)
	more := l.Append(0, 0, oneSet)
	if l.Commit(GoalAppend) {
		t.Fatal("appended on a full disk")
	}
	if l.Synced() >= end {
		t.Fatal("synced before the disk was full: the test shows nothing")
	}
	w.until(t, func() { l.WantSynced(end) }, func() bool { return l.Synced() >= end })
	if err := l.Err(); !errors.Is(err, ErrFull) || l.Synced() >= more {
		t.Fatalf("synced up to %d of %d: %v", l.Synced(), more, err)
	}
	fsys.write.Store(nil)
	w.until(t, func() { l.WantSynced(more) }, func() bool { return l.Synced() >= more })
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFresh(t *testing.T) {
	dir := t.TempDir()
	o := Options{Dir: dir, Shards: 1, SegmentBytes: 64 << 10, Policy: Always, LoadTruncated: true}
	l, rec, _ := openT(t, o)
	l.Append(0, 0, command("SET", "old", "1"))
	l.Commit(GoalSync)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	old := replayed(t, o)
	fresh := o
	fresh.Fresh, fresh.StartOffset, fresh.ID = true, 5000, strings.Repeat("a", 40)
	for _, commit := range []bool{false, true} {
		l, rec2, err := Open(fresh, nil)
		if err != nil {
			t.Fatal(err)
		}
		if rec2.Offset != 5000 || rec2.ID != fresh.ID || !rec2.NeedsBase || !rec2.Existed {
			t.Fatalf("%+v", rec2)
		}
		l.Append(0, 0, command("SET", "before", "1"))
		rw, err := l.BeginRewrite(l.Mark())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.BeginRewrite(l.Mark()); err == nil {
			t.Fatal("two rewrites at once")
		}
		x := l.Reserved()
		if _, err := rw.Write([]byte("REDIS-base")); err != nil {
			t.Fatal(err)
		}
		l.Append(0, 0, command("SET", "after", "1"))
		if !l.Commit(GoalSync) {
			t.Fatal(l.Err())
		}
		if commit {
			if err := rw.Commit(); err != nil {
				t.Fatal(err)
			}
		} else {
			rw.Abort()
		}
		end := l.Reserved()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l, rec3, r := openT(t, o)
		if !commit { // the old content is still what counts
			if !bytes.Equal(r.bytes, old) || rec3.ID != rec.ID {
				t.Fatalf("%+v %q", rec3, r.bytes)
			}
		} else if r.base == "" || !bytes.Equal(r.bytes, append(makeSelect(0), command("SET", "after", "1")...)) || r.start != x ||
			rec3.Offset != end || rec3.ID != fresh.ID || rec3.NeedsBase {
			t.Fatalf("%+v %q", rec3, r.bytes)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	names, err := OSFS{}.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if n, ok := numbered(name, "appendonly.aof.", ".incr.aof"); ok && n < 2 {
			t.Fatalf("history was not removed: %v", names)
		}
	}
}

// TestFreshWithoutBase: the first base never came, and there was no AOF before.
func TestFreshWithoutBase(t *testing.T) {
	dir := t.TempDir()
	l, _, err := Open(Options{Dir: dir, Fresh: true, StartOffset: 100, Policy: Always}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.Append(0, 0, oneSet)
	l.Commit(GoalSync)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, rec, r := openT(t, Options{Dir: dir})
	if rec.Existed || !rec.NeedsBase || len(r.bytes) > 0 || rec.Offset != 0 {
		t.Fatalf("%+v %q", rec, r.bytes)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := OSFS{}.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if name == "appendonly.aof.1.incr.aof" {
			t.Fatalf("left behind: %v", names)
		}
	}
}

// TestByReference sends effects that no ring can hold.
func TestByReference(t *testing.T) {
	o := Options{Dir: t.TempDir(), Shards: 2, RingBytes: 16 << 10, SegmentBytes: 1 << 20, RefBytes: 3 << 20, Policy: Always, LoadTruncated: true}
	l, _, _ := openT(t, o)
	var want []byte
	for i := range 20 {
		p := command("SET", fmt.Sprint("large", i), strings.Repeat(string(rune('a'+i)), 1<<20))
		for !l.Room(i % 2) {
			if i < 3 {
				t.Fatal("no room below the limit")
			}
			l.Commit(GoalAppend)
		}
		if d := l.tail.Load() & dbUnknown; d != uint64(i%3) {
			want = append(want, makeSelect(i%3)...)
		}
		want = append(want, p...)
		l.Append(i%2, i%3, p)
	}
	if l.refBytes.Load() <= 0 {
		t.Fatal("nothing travelled by reference")
	}
	if !l.Commit(GoalSync) {
		t.Fatal(l.Err())
	}
	if l.refBytes.Load() != 0 {
		t.Fatal("bytes by reference are kept")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(replayed(t, o), want) {
		t.Fatal("replayed something else")
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	l, _, _ := openT(t, Options{Dir: t.TempDir(), Shards: 2, Policy: No})
	defer l.Close()
	p := command("SET", "key", strings.Repeat("v", 100))
	l.Append(0, 0, p)
	l.Commit(GoalAppend)
	for !l.nextReady.Load() {
		time.Sleep(time.Millisecond) // the keeper allocates, and announces nothing
	}
	if n := testing.AllocsPerRun(1000, func() {
		if l.Room(0) {
			l.Append(0, 0, p)
		}
		if !l.Commit(GoalAppend) {
			t.Fatal(l.Err())
		}
	}); n > 0.01 {
		t.Fatalf("%v allocations", n)
	}
}

// TestRewriteOnFullDisk: a rewrite that finds no room fails, and the log goes on in the segment it has.
func TestRewriteOnFullDisk(t *testing.T) {
	l, fsys, w, o := faultLog(t, EverySec)
	add := func() {
		end := l.Append(0, 0, oneSet)
		l.Commit(GoalAppend)
		w.until(t, func() { l.WantAppended(end) }, func() bool { return l.Appended() >= end })
	}
	add()
	// Nothing is at hand for the time after the cut either.
	l.metaMu.Lock()
	l.segMu.Lock()
	next := l.takeNextLocked()
	l.segMu.Unlock()
	l.metaMu.Unlock()
	if next != nil {
		if err := l.unregister(next); err != nil {
			t.Fatal(err)
		}
	}
	none := func(name string) error { return &os.PathError{Op: "open", Path: name, Err: syscall.ENOSPC} }
	fsys.alloc.Store(&none)
	rw, err := l.BeginRewrite(l.Mark())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rw.Write(make([]byte, rewriteBuffer)); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	add()
	if err := rw.Commit(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	add()
	if l.Err() != nil {
		t.Fatal(l.Err())
	}
	fsys.alloc.Store(nil)
	if rw, err = l.BeginRewrite(l.Mark()); err != nil {
		t.Fatal(err)
	}
	rw.Abort()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := bytes.Count(replayed(t, o), oneSet); got != 3 {
		t.Fatalf("%d of 3 records", got)
	}
}

// TestAlwaysUpgrades: a log that goes from everysec to always changes over to a segment whose blocks are written already.
func TestAlwaysUpgrades(t *testing.T) {
	l, _, _, o := faultLog(t, EverySec)
	l.Append(0, 0, oneSet)
	l.Commit(GoalSync)
	if l.active.prepared != 0 {
		t.Fatal("prepared under everysec")
	}
	l.SetPolicy(Always)
	for deadline := time.Now().Add(10 * time.Second); !l.nextPrepared.Load(); time.Sleep(time.Millisecond) { // the keeper announces nothing
		if time.Now().After(deadline) {
			t.Fatal("nothing is prepared under always")
		}
	}
	l.Append(0, 0, oneSet)
	l.Commit(GoalSync)
	l.appendRole.lock()
	prepared := l.active.prepared
	l.appendRole.leave()
	if prepared == 0 {
		t.Fatal("the active segment still grows")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := bytes.Count(replayed(t, o), oneSet); got != 2 {
		t.Fatalf("%d of 2 records", got)
	}
}
