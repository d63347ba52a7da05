package aof

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestRewriteUnderWrites: writers on all shards, one that follows another server, commits of both goals, policy changes, readers from
// memory and from pinned files, INFO, and one rewrite after another. What is loaded afterwards is the last base and exactly what
// followed it, and both readers have seen the same log from its first byte on.
func TestRewriteUnderWrites(t *testing.T) {
	w := newWakeups()
	tl := NewTail()
	tl.SetLimits(1<<30, 0)
	tl.Start(0)
	o := Options{Dir: t.TempDir(), Shards: 8, RingBytes: 16 << 10, SegmentBytes: 128 << 10, Policy: Always, LoadTruncated: true, Notify: w.notify,
		Tail: tl, HistoryBytes: 10 << 10}
	l, _, _ := openT(t, o)
	const writers, each = 4, 4000
	var locks [8]sync.Mutex
	var next [writers]int // of each writer; its shard's lock guards it in turn, all of them for a snapshot
	var wg sync.WaitGroup
	for g := range writers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range each {
				sh := (g*5 + i*3) % 8
				p := command("SET", fmt.Sprintf("g%d-%d", g, i), strings.Repeat("x", i*7%900))
				for done := false; !done; {
					locks[sh].Lock()
					if l.Room(sh) {
						l.Append(sh, i%2, p)
						next[g] = i + 1
						done = true
					}
					locks[sh].Unlock()
					if !done {
						l.Commit(GoalAppend)
					}
				}
				switch i % 12 {
				case 0:
					l.Commit(GoalSync)
				case 4, 8:
					l.Commit(GoalAppend)
				}
			}
		}()
	}
	stop := make(chan struct{})
	wg.Add(1)
	go func() {
		defer wg.Done()
		for i := range 500 {
			p := bytes.Repeat(command("SET", fmt.Sprintf("f%d", i), "x"), 1+i%120)
			for done := false; !done; {
				for i := range locks {
					locks[i].Lock()
				}
				if l.Room(0) {
					l.Follow(p, 2)
					done = true
				}
				for i := range locks {
					locks[i].Unlock()
				}
				l.Commit(GoalAppend)
			}
		}
	}()
	var others sync.WaitGroup
	others.Add(4)
	pin := l.Pin(0)
	if l.Oldest() != 0 {
		t.Fatal(l.Oldest())
	}
	var fromFiles, fromMemory []byte
	go func() {
		defer others.Done()
		p := make([]byte, 100<<10)
		for off := int64(0); ; {
			stopped := closed(stop)
			n, err := l.ReadAt(off, p)
			fromFiles = append(fromFiles, p[:n]...)
			off += int64(n)
			pin.Advance(off)
			switch {
			case errors.Is(err, io.EOF) && stopped:
				pin.Close()
				return
			case err != nil && !errors.Is(err, io.EOF):
				t.Errorf("at offset %d, which is pinned: %v", off, err)
				return
			}
		}
	}()
	go func() {
		defer others.Done()
		p := make([]byte, 30<<10)
		for off := int64(0); ; {
			stopped := closed(stop)
			n, err := tl.Read(off, p)
			if err != nil {
				t.Errorf("in memory at offset %d: %v", off, err)
				return
			}
			fromMemory = append(fromMemory, p[:n]...)
			off += int64(n)
			if n == 0 && stopped {
				return
			}
		}
	}()
	var last [writers]int
	x, rewrites := int64(0), 0
	go func() {
		defer others.Done()
		for stopped := false; !stopped; {
			select {
			case <-stop:
				stopped = true // one more, with nobody writing
			default:
			}
			for i := range locks {
				locks[i].Lock()
			}
			at := l.Mark()
			rw, err := l.BeginRewrite(at)
			snap := next
			for i := range locks {
				locks[i].Unlock()
			}
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := fmt.Fprintf(rw, "REDIS%d", at); err != nil {
				t.Error(err)
			}
			if rewrites%5 == 4 {
				rw.Abort()
			} else if err := rw.Commit(); err != nil {
				t.Error(err)
			} else {
				last, x = snap, at
			}
			rewrites++
		}
	}()
	go func() {
		defer others.Done()
		p := make([]byte, 64<<10)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			l.SetPolicy(Policy(i % 3))
			if s := l.Stats(); s.Synced > s.Appended || s.Appended > s.Reserved {
				t.Errorf("%+v", s)
			}
			off := l.Oldest()
			n, err := l.ReadAt(off, p)
			if err == nil && n > 0 && p[0] != '*' {
				t.Errorf("at offset %d: %q", off, p[:min(n, 20)])
			}
			w.until(t, func() { l.WantAppended(l.Appended() + 1) }, func() bool { return l.Pending(GoalAppend) || i%2 == 0 || closed(stop) })
		}
	}()
	wg.Wait()
	l.Commit(GoalAppend)
	end := l.Reserved()
	w.until(t, func() { l.WantAppended(end) }, func() bool { return l.Appended() == end })
	close(stop)
	w.notify()
	others.Wait()
	if t.Failed() {
		return
	}
	if int64(len(fromFiles)) != end || !bytes.Equal(fromFiles, fromMemory) {
		t.Fatalf("of %d bytes %d were read from files and %d from memory", end, len(fromFiles), len(fromMemory))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, rec, r := openT(t, o)
	defer l.Close()
	if r.any && r.start != x || rec.NeedsBase {
		t.Fatalf("%+v: replay begins at %d, the base is exact at %d", rec, r.start, x)
	}
	for g := range writers {
		at := 0
		for i := range each {
			k := bytes.Index(r.bytes[at:], fmt.Appendf(nil, "\r\ng%d-%d\r\n", g, i))
			if i < last[g] {
				if k >= 0 {
					t.Fatalf("writer %d: record %d is in the base and in the log", g, i)
				}
				continue
			}
			if k < 0 {
				t.Fatalf("writer %d: record %d of %d is missing, the base ends before %d", g, i, each, last[g])
			}
			at += k
		}
	}
	t.Logf("%d rewrites", rewrites)
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestRole: whoever waits for a role gets it, whatever way its holders give it up, and two never have it at once.
func TestRole(t *testing.T) {
	var r role
	r.init()
	var holders, got atomic.Int32
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 2000 {
				if g < 3 {
					r.lock()
				} else if !r.enter() {
					continue
				}
				if holders.Add(1) != 1 {
					t.Error("two have the role")
				}
				got.Add(1)
				if i%64 == 0 {
					runtime.Gosched()
				}
				holders.Add(-1)
				if i%3 == 0 {
					r.abandon()
					continue
				}
				for !r.leave() {
				}
			}
		}()
	}
	wg.Wait()
	if got.Load() < 6000 || r.state.Load() != roleIdle || r.waiting.Load() != 0 {
		t.Fatal(got.Load(), r.state.Load(), r.waiting.Load())
	}
}

// A rewrite that asks for its cut while the drainer is changing over at an earlier one, for size, gets it: otherwise the segment that holds what
// follows the base would count as replaced by it.
func TestCutWhileRotating(t *testing.T) {
	o := Options{Dir: t.TempDir(), Shards: 1, RingBytes: 64 << 10, SegmentBytes: 1 << 20, Policy: EverySec, LoadTruncated: true}
	l, _, _ := openT(t, o)
	for i := range 20 {
		l.Append(0, 0, command("SET", "before", fmt.Sprint(i)))
		l.Commit(GoalSync)
		l.segMu.Lock() // where rotate comes to once it has begun
		l.cut.Store(l.Mark())
		l.Append(0, 0, command("SET", "between", fmt.Sprint(i)))
		rotated := make(chan struct{})
		go func() {
			defer close(rotated)
			l.Commit(GoalAppend)
		}()
		time.Sleep(3 * time.Millisecond) // if the drainer has not come so far by then, this round shows nothing
		rw, err := l.BeginRewrite(l.Mark())
		if err != nil {
			t.Fatal(err)
		}
		l.segMu.Unlock()
		<-rotated
		l.Append(0, 0, command("SET", "after", fmt.Sprint(i)))
		if _, err := fmt.Fprint(rw, "REDIS"); err != nil {
			t.Fatal(err)
		}
		if err := rw.Commit(); err != nil {
			t.Fatal(err)
		}
		l.segMu.Lock()
		start := l.active.start
		l.segMu.Unlock()
		if start < rw.Offset() {
			t.Fatalf("round %d: the base is of offset %d, the segment that continues it begins at %d", i, rw.Offset(), start)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
