package aof

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// directLog opens a log whose active segment takes direct writes.
func directLog(t *testing.T) (*Log, *faultFS, *wakeups, Options) {
	t.Helper()
	l, fsys, w, o := faultLog(t, Always)
	ready := func() {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); !l.nextReady.Load(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("no segment is prepared")
			}
		}
	}
	ready()
	l.Append(0, 0, oneSet)
	l.Commit(GoalSync) // goes over to it
	l.Append(0, 0, oneSet)
	l.Commit(GoalSync)
	ready() // the next: the keeper is at rest
	if l.active.direct == nil {
		t.Skip("no direct writes on this file system")
	}
	return l, fsys, w, o
}

// TestDirectWritesReadBack: batches of all sizes, through both ways in turns, are read back as they were written.
func TestDirectWritesReadBack(t *testing.T) {
	l, fsys, w, o := directLog(t)
	var want []byte
	refuse := func(string, int) error { return errNoDirect }
	for i := 0; i < 300; i++ {
		p := command("SET", "k", strings.Repeat(string(rune('a'+i%26)), i*37%6000))
		end := l.Append(i%2, 0, p)
		want = append(want, p...)
		if i%7 == 3 {
			l.SetPolicy(EverySec) // through the page cache
		}
		l.Commit(GoalSync)
		w.until(t, func() { l.WantSynced(end) }, func() bool { return l.Synced() >= end })
		l.SetPolicy(Always)
	}
	fsys.direct.Store(&refuse)
	end := l.Append(0, 0, oneSet)
	want = append(want, oneSet...)
	l.Commit(GoalSync)
	w.until(t, func() { l.WantSynced(end) }, func() bool { return l.Synced() >= end })
	if l.Err() != nil {
		t.Fatal(l.Err())
	}
	fsys.direct.Store(nil)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got := bytes.ReplaceAll(replayed(t, o), makeSelect(0), nil) // at the start of each segment
	if !bytes.Equal(got, append(bytes.Repeat(oneSet, 2), want...)) {
		t.Fatal("what is read back differs from what was written")
	}
}

// TestFailedSyncAfterDirectWrite: a disk that loses what a failed fdatasync was to make durable. Nothing of it is in the page cache, so it
// must come from memory.
func TestFailedSyncAfterDirectWrite(t *testing.T) {
	l, fsys, w, o := directLog(t)
	name := filepath.Join(o.Dir, l.active.entry.name)
	at := l.active.pos
	opened := filepath.Base(l.active.file.(*faultFile).Name()) // it has been renamed since
	var failed atomic.Bool
	lose := func(synced string) error {
		if synced != opened || failed.Swap(true) { // other files are synced in the background
			return nil
		}
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := f.WriteAt(make([]byte, 1000), at); err != nil {
			return err
		}
		return syscall.EIO
	}
	fsys.sync.Store(&lose)
	end := l.Append(0, 0, oneSet)
	if l.Commit(GoalSync) {
		t.Fatal("synced although fdatasync failed")
	}
	w.until(t, func() { l.WantSynced(end) }, func() bool { return l.Synced() >= end })
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := bytes.ReplaceAll(replayed(t, o), makeSelect(0), nil); !bytes.Equal(got, bytes.Repeat(oneSet, 3)) {
		t.Fatalf("recovered %q", got)
	}
}
