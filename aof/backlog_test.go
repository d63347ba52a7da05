package aof

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// streamByte is what the log of these tests has at an offset.
func streamByte(off int64) byte { return byte(off*7 ^ off>>8 ^ off>>16) }

// stream gives n bytes of it.
func stream(off int64, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = streamByte(off + int64(i))
	}
	return p
}

// pieces tears p as a batch does.
func pieces(p []byte) (v [][]byte) {
	for len(p) > 0 {
		n := 1 + rand.IntN(len(p))
		v = append(v, p[:n])
		p = p[n:]
	}
	return v
}

func readTail(t *testing.T, tl *Tail, off int64, n int) {
	t.Helper()
	p := make([]byte, n+10)
	k, err := tl.Read(off, p[:n])
	if err != nil || k != min(n, int(tl.End()-off)) || !bytes.Equal(p[:k], stream(off, k)) {
		t.Fatalf("Read(%d, %d bytes) gives %d, %v; held is [%d, %d)", off, n, k, err, tl.First(), tl.End())
	}
}

func TestTail(t *testing.T) {
	tl := NewTail()
	const keep = 200 << 10
	tl.SetLimits(keep, 0)
	tl.stage(0, [][]byte{stream(0, 10)})
	if _, err := tl.Read(0, make([]byte, 1)); tl.On() || tl.End() != 0 || tl.Bytes() != 0 || !errors.Is(err, ErrTrimmed) {
		t.Fatal("something is kept although it is off", err)
	}
	told := 0
	tl.Notify(func() { told++ })
	start := int64(12345)
	tl.Start(start)
	tl.Start(99)
	end := start
	for range 400 {
		// What lies before the start, or was staged already, is left out.
		again := min(rand.Int64N(3000), end)
		n := int(again) + 1 + rand.IntN(20000)
		if rand.IntN(50) == 0 {
			n += 300 << 10
		}
		tl.stage(end-again, pieces(stream(end-again, n)))
		end += int64(n) - again
		if tl.End() != end || tl.First() > max(start, end-keep) || tl.First() < max(start, end-keep-2*tailBlock) {
			t.Fatalf("held is [%d, %d), staged up to %d", tl.First(), tl.End(), end)
		}
		for range 5 {
			readTail(t, tl, tl.First()+rand.Int64N(end-tl.First()), 1+rand.IntN(150<<10))
		}
		readTail(t, tl, tl.First(), 1)
		if n, err := tl.Read(end, make([]byte, 5)); n != 0 || err != nil {
			t.Fatal(n, err)
		}
		for _, off := range []int64{tl.First() - 1, -1} {
			if _, err := tl.Read(off, make([]byte, 5)); !errors.Is(err, ErrTrimmed) {
				t.Fatal(off, err)
			}
		}
		if tl.Bytes() > keep+(2+freeBlocks)*tailBlock {
			t.Fatalf("%d bytes in use", tl.Bytes())
		}
	}
	if told != 400 {
		t.Fatalf("told %d times", told)
	}
	tl.stage(end-100, [][]byte{stream(end-100, 100)})
	if told != 400 {
		t.Fatal("told of nothing")
	}
	// A gap: nothing of before continues.
	tl.stage(end+1000, [][]byte{stream(end+1000, 10)})
	if tl.First() != end+1000 || tl.End() != end+1010 {
		t.Fatal(tl.First(), tl.End())
	}
	readTail(t, tl, end+1000, 10)
	// Less memory at once.
	tl.stage(end+1010, [][]byte{stream(end+1010, 20<<20)})
	tl.SetLimits(100, 0)
	if tl.End()-tl.First() > 100+tailBlock || tl.Bytes() > (2+freeBlocks)*tailBlock {
		t.Fatal(tl.First(), tl.End(), tl.Bytes())
	}
	tl.Stop()
	if _, err := tl.Read(end+1000, make([]byte, 1)); tl.On() || tl.Bytes() != 0 || !errors.Is(err, ErrTrimmed) {
		t.Fatal(err)
	}
	tl.Start(7)
	tl.stage(7, [][]byte{stream(7, 10)})
	readTail(t, tl, 7, 10)
}

func TestCursors(t *testing.T) {
	tl := NewTail()
	const keep, held = 100 << 10, 1 << 20
	tl.SetLimits(keep, held)
	tl.Start(0)
	tl.attach(0, true)
	end := int64(0)
	add := func(n int) {
		tl.stage(end, [][]byte{stream(end, n)})
		end += int64(n)
	}
	add(1000)
	// What is reserved may not be drained yet.
	ahead, err := tl.NewCursor(1001)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := tl.Read(1001, make([]byte, 1)); n != 0 || err != nil {
		t.Fatalf("reading beyond the end: %d, %v", n, err)
	}
	ahead.Close()
	slow, err := tl.NewCursor(500)
	if err != nil {
		t.Fatal(err)
	}
	quick, err := tl.NewCursor(500)
	if err != nil {
		t.Fatal(err)
	}
	for end < 1000<<10 {
		add(10000)
		quick.Advance(end)
		readTail(t, tl, slow.Offset(), 100)
		if tl.First() > slow.Offset() {
			t.Fatal("what a cursor holds was let go")
		}
	}
	// What it gives up goes, also when nothing is added.
	before := tl.Bytes()
	slow.Advance(end - 200<<10)
	if low := end - 200<<10; tl.First() > low || tl.First() < low-tailBlock || tl.Bytes() >= before {
		t.Fatalf("held is [%d, %d) in %d bytes, the slowest is at %d", tl.First(), end, tl.Bytes(), low)
	}
	readTail(t, tl, slow.Offset(), 1000)
	// Overrun: it holds nothing any more.
	for end-slow.Offset() <= keep+held+tailBlock {
		add(30000)
		quick.Advance(end)
	}
	if _, err := tl.Read(slow.Offset(), make([]byte, 1)); !errors.Is(err, ErrTrimmed) {
		t.Fatal(err)
	}
	add(tailBlock)
	add(tailBlock)
	if end-tl.First() > keep+3*tailBlock {
		t.Fatalf("%d bytes are held for nobody", end-tl.First())
	}
	if _, err := tl.NewCursor(slow.Offset()); !errors.Is(err, ErrTrimmed) {
		t.Fatal(err)
	}
	slow.Close()
	slow.Close()
	// Closing lets go, too.
	quick.Advance(tl.First())
	for range 10 {
		add(tailBlock)
	}
	if end-tl.First() < 8*tailBlock {
		t.Fatal("not held", tl.First(), end)
	}
	quick.Close()
	if end-tl.First() > keep+tailBlock {
		t.Fatalf("%d bytes are held after the last cursor was closed", end-tl.First())
	}
	// With a log on disk cursors hold nothing.
	tl.attach(end, false)
	c, err := tl.NewCursor(tl.First())
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		add(tailBlock)
	}
	if end-tl.First() > keep+2*tailBlock {
		t.Fatal("held although the log is on disk")
	}
	tl.Stop()
	c.Advance(end)
	c.Close()
	if _, err := tl.NewCursor(0); !errors.Is(err, ErrTrimmed) {
		t.Fatal(err)
	}
	// A log that continues somewhere else.
	tl.Start(100)
	tl.attach(200, false)
	if tl.First() != 200 || tl.End() != 200 {
		t.Fatal(tl.First(), tl.End())
	}
}

// TestTailReaders: readers of all speeds beside the writer, limits that change, and everything forgotten now and then.
func TestTailReaders(t *testing.T) {
	tl := NewTail()
	tl.SetLimits(300<<10, 0)
	tl.Start(0)
	var stop atomic.Bool
	var wg sync.WaitGroup
	var read, trimmed atomic.Int64
	for g := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			p := make([]byte, []int{100, 5000, 70 << 10, 250 << 10}[g])
			off := int64(0)
			for !stop.Load() {
				n, err := tl.Read(off, p)
				if err != nil {
					trimmed.Add(1)
					off = tl.First()
					continue
				}
				if !bytes.Equal(p[:n], stream(off, n)) {
					t.Errorf("something else between %d and %d", off, off+int64(n))
					return
				}
				read.Add(int64(n))
				off += int64(n)
			}
		}()
	}
	end := int64(0)
	for start := time.Now(); time.Since(start) < 500*time.Millisecond; {
		n := 1 + rand.IntN(20000)
		tl.stage(end, pieces(stream(end, n)))
		end += int64(n)
		switch rand.IntN(300) {
		case 0:
			tl.Stop()
			end += rand.Int64N(100000) - 50000
			end = max(end, 0)
			tl.Start(end)
		case 1:
			tl.SetLimits(rand.Int64N(1<<20), 0)
		}
	}
	stop.Store(true)
	wg.Wait()
	if read.Load() == 0 || trimmed.Load() == 0 {
		t.Fatalf("read %d bytes, trimmed %d times", read.Load(), trimmed.Load())
	}
}

func TestTailAllocatesNothing(t *testing.T) {
	tl := NewTail()
	tl.Start(0)
	tl.attach(0, true)
	v := [][]byte{stream(0, 3000)}
	p := make([]byte, 5000)
	end := int64(0)
	step := func() {
		tl.stage(end, v)
		if n, err := tl.Read(end, p); n != 3000 || err != nil {
			t.Fatal(n, err)
		}
		end += 3000
	}
	for range 1000 {
		step()
	}
	if n := testing.AllocsPerRun(2000, step); n > 0 {
		t.Fatalf("%v allocations", n)
	}
}

// followed reads everything a Tail has from off on.
func followed(t *testing.T, tl *Tail, off int64) []byte {
	t.Helper()
	p := make([]byte, tl.End()-off)
	if n, err := tl.Read(off, p); err != nil || n != len(p) {
		t.Fatal(n, err)
	}
	return p
}

// TestTailDoesNotWaitForTheDisk: while a write to the segment does not return, what comes into the rings is in the tail as soon as somebody
// commits it, small and by reference, and not twice in the end.
func TestTailDoesNotWaitForTheDisk(t *testing.T) {
	fsys, w := &faultFS{}, newWakeups()
	tl := NewTail()
	tl.SetLimits(1<<30, 0)
	tl.Start(0)
	o := Options{FS: fsys, Dir: t.TempDir(), Shards: 3, RingBytes: 64 << 10, SegmentBytes: 1 << 20, Policy: EverySec, Notify: w.notify, Tail: tl,
		LoadTruncated: true}
	l, _, err := Open(o, &tape{})
	if err != nil {
		t.Fatal(err)
	}
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	stuck := func(name string, _ int) error {
		if strings.HasPrefix(name, "temp-") {
			return nil // a manifest: the drainer would not be the one that is stuck
		}
		once.Do(func() { close(entered) })
		<-release
		return nil
	}
	fsys.write.Store(&stuck)
	l.Append(1, 0, oneSet)
	done := make(chan bool)
	go func() { done <- l.Commit(GoalAppend) }()
	<-entered
	var told atomic.Int64
	tl.Notify(func() { told.Add(1) })
	var end int64
	for i := range 200 {
		p := oneSet
		if i%20 == 0 {
			p = command("SET", "large", strings.Repeat("x", 10000)) // by reference
		}
		end = l.Append(i*i%3, i%2, p)
		if i%2 == 0 {
			if l.Commit(GoalAppend) || tl.End() != end {
				t.Fatalf("in the tail is what lies before %d, reserved %d, appended %d", tl.End(), end, l.Appended())
			}
		}
	}
	l.Commit(GoalSync)
	if l.Appended() != 0 || tl.End() != end || told.Load() < 100 {
		t.Fatal(l.Appended(), tl.End(), end, told.Load())
	}
	fsys.write.Store(nil)
	close(release)
	<-done
	w.until(t, func() { l.WantAppended(end) }, func() bool { return l.Appended() == end })
	want := make([]byte, end)
	if n, err := l.ReadAt(0, want); err != nil || n != len(want) || !bytes.Equal(followed(t, tl, 0), want) {
		t.Fatal("the tail differs from the log", n, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestTailHasTheLog: what is staged is the log, byte for byte, and it is there before it is written, once, whatever the disk says.
func TestTailHasTheLog(t *testing.T) {
	fsys, w := &faultFS{}, newWakeups()
	tl := NewTail()
	tl.SetLimits(1<<30, 0)
	o := Options{FS: fsys, Dir: t.TempDir(), Shards: 2, RingBytes: 64 << 10, SegmentBytes: 128 << 10, Policy: Always, LoadTruncated: true,
		Notify: w.notify, Tail: tl}
	l, _, err := Open(o, &tape{})
	if err != nil {
		t.Fatal(err)
	}
	l.Append(0, 0, oneSet)
	l.Commit(GoalSync)
	l.Append(0, 0, oneSet)
	from := l.Reserved()
	tl.Start(from) // what is not drained yet lies before it
	for i := range 2000 {
		for !l.Room(i % 2) {
			l.Commit(GoalAppend)
		}
		l.Append(i%2, i%3, command("SET", fmt.Sprint(i), strings.Repeat("x", i*13%9000)))
		if i%5 == 0 {
			l.Commit(GoalSync)
		}
	}
	l.Commit(GoalSync)
	same := func(end int64) {
		t.Helper()
		want := make([]byte, end-from)
		if n, err := l.ReadAt(from, want); err != nil || n != len(want) {
			t.Fatal(n, err)
		}
		if got := followed(t, tl, from)[:len(want)]; !bytes.Equal(got, want) {
			t.Fatal("the tail differs from the log")
		}
	}
	if tl.End() != l.Appended() {
		t.Fatal(tl.End(), l.Appended())
	}
	same(tl.End())
	// A full disk: the batch is in the tail, and once the disk has room it is not there twice.
	full := full()
	fsys.write.Store(&full)
	end := l.Append(0, 0, oneSet)
	if l.Commit(GoalSync) || tl.End() != end || l.Appended() == end {
		t.Fatal(tl.End(), end, l.Appended())
	}
	end = l.Append(1, 0, oneSet)
	if l.Commit(GoalSync) || tl.End() != end {
		t.Fatal("what can be executed while the disk is full is not sent on", tl.End(), end)
	}
	fsys.write.Store(nil)
	w.until(t, func() { l.WantSynced(end) }, func() bool { return l.Synced() >= end })
	if tl.End() != end {
		t.Fatal(tl.End(), end)
	}
	same(end)
	// It closes with a disk that takes nothing: the tail has all that was reserved, and the next log goes on there.
	fsys.write.Store(&full)
	l.Append(0, 0, oneSet)
	l.Commit(GoalSync)
	end = l.Append(1, 0, oneSet)
	if err := l.Close(); err == nil {
		t.Fatal("closed without an error")
	}
	if tl.End() != end || l.Reserved() != end {
		t.Fatal(tl.End(), end)
	}
	m, rec, err := Open(Options{Memory: true, Tail: tl, StartOffset: end, ID: l.ID()}, nil)
	if err != nil || rec.Offset != end || rec.ID != l.ID() || m.ID() != l.ID() || rec.NeedsBase {
		t.Fatal(err, rec)
	}
	end = m.Append(0, 0, oneSet)
	m.Commit(GoalAppend)
	if tl.First() > from || tl.End() != end || !bytes.HasSuffix(followed(t, tl, from), append(makeSelect(0), oneSet...)) {
		t.Fatalf("held is [%d, %d), %q", tl.First(), tl.End(), followed(t, tl, from))
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}
