package aof

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// rewritten writes n records and a base behind them.
func rewritten(t *testing.T, l *Log, want []byte, n int) []byte {
	t.Helper()
	for i := range n {
		settled(t, l, l.nextReady.Load) // segments of the size asked for
		for !l.Room(0) {
			l.Commit(GoalAppend)
		}
		if l.tail.Load()&dbUnknown != 0 {
			want = append(want, makeSelect(0)...)
		}
		p := command("SET", fmt.Sprint("key", i), strings.Repeat("v", 1000))
		want = append(want, p...)
		l.Append(0, 0, p)
		l.Commit(GoalAppend)
	}
	if l.Policy() != No {
		l.Commit(GoalSync)
	}
	emptyLog(t, l)
	return want
}

// settled waits for the keeper, which announces nothing.
func settled(t *testing.T, l *Log, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			l.metaMu.Lock()
			defer l.metaMu.Unlock()
			t.Fatalf("it does not settle:\n%s\n%s", l.meta.manifest(), l.meta.sidecar())
		}
	}
}

func historyFiles(t *testing.T, l *Log) (n int, bytes int64) {
	t.Helper()
	l.metaMu.Lock()
	defer l.metaMu.Unlock()
	if len(l.meta.hist) > 0 {
		return -1, 0
	}
	for _, e := range l.meta.kept {
		if e.state != stateClosed {
			return -1, 0
		}
		n++
		bytes += e.end - e.start
		if _, err := os.Stat(l.path(e.name)); err != nil {
			t.Fatal(err)
		}
	}
	return n, bytes
}

// TestHistory: what a rewrite replaces stays readable as far as the option says, also after a restart, under every policy, and
// the files beyond it go.
func TestHistory(t *testing.T) {
	for _, policy := range []Policy{EverySec, Always, No} {
		t.Run(policy.String(), func(t *testing.T) {
			o := Options{Dir: t.TempDir(), RingBytes: 64 << 10, SegmentBytes: 64 << 10, Policy: policy, LoadTruncated: true, HistoryBytes: 100 << 10}
			l, _, _ := openT(t, o)
			var want []byte
			same := func() {
				t.Helper()
				from := l.Oldest()
				p := make([]byte, l.Appended()-from)
				if n, err := l.ReadAt(from, p); err != nil || n != len(p) || !bytes.Equal(p, want[from:]) {
					t.Fatalf("from %d on: %d of %d bytes, %v", from, n, len(p), err)
				}
				if _, err := l.ReadAt(from-1, p); from > 0 && !errors.Is(err, ErrTrimmed) {
					t.Fatal(err)
				}
			}
			for i := range 4 {
				want = rewritten(t, l, want, 60+i)
				same()
				settled(t, l, func() bool { n, size := historyFiles(t, l); return n >= 0 && size <= o.HistoryBytes+2*o.SegmentBytes })
				if i > 1 && int64(len(want))-l.Oldest() < o.HistoryBytes { // 180 KB were written
					t.Fatal("too little is kept")
				}
				same()
				oldest := l.Oldest()
				if i%2 == 1 {
					if err := l.Close(); err != nil {
						t.Fatal(err)
					}
					l, _, _ = openT(t, o)
					if l.Oldest() != oldest {
						t.Fatalf("it could be read from %d on, after a restart from %d", oldest, l.Oldest())
					}
					same()
				}
			}
			if s := l.Stats(); s.HistoryBytes < o.HistoryBytes {
				t.Fatalf("%+v", s)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			// With less, or none, the rest goes at the next start.
			o.HistoryBytes = 0
			l, _, _ = openT(t, o)
			settled(t, l, func() bool { n, _ := historyFiles(t, l); return n == 0 })
			if l.Oldest() != int64(len(want)) {
				t.Fatal(l.Oldest(), len(want))
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			names, err := OSFS{}.ReadDir(o.Dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				if _, ok := numbered(name, "appendonly.aof.", ".incr.aof"); ok {
					t.Fatalf("left behind: %v", names)
				}
			}
		})
	}
}

func TestPin(t *testing.T) {
	o := Options{Dir: t.TempDir(), RingBytes: 64 << 10, SegmentBytes: 64 << 10, LoadTruncated: true}
	l, _, _ := openT(t, o)
	want := rewritten(t, l, nil, 200)
	if l.Oldest() != int64(len(want)) {
		t.Fatal("kept without a pin")
	}
	from := l.Oldest()
	low, high := l.Pin(from), l.Pin(from)
	want = rewritten(t, l, want, 200)
	middle := l.Oldest() + 100<<10
	high.Advance(middle)
	want = rewritten(t, l, want, 200)
	settled(t, l, func() bool { n, _ := historyFiles(t, l); return n > 0 })
	if l.Oldest() != from {
		t.Fatal(l.Oldest(), from)
	}
	p := make([]byte, int64(len(want))-from)
	if n, err := l.ReadAt(from, p); err != nil || n != len(p) || !bytes.Equal(p, want[from:]) {
		t.Fatal(n, err)
	}
	l.SetHistoryBytes(1 << 30)
	low.Close()
	low.Close()
	if l.trimHistory(); l.Oldest() != from {
		t.Fatal("it goes although the history may be that long")
	}
	l.SetHistoryBytes(0)
	settled(t, l, func() bool { return l.Oldest() > from })
	if l.Oldest() > middle || l.Oldest() < middle-o.SegmentBytes {
		t.Fatal(l.Oldest(), middle)
	}
	// Advancing is enough.
	high.Advance(int64(len(want)) - 10)
	settled(t, l, func() bool { return l.Oldest() > middle })
	high.Close()
	settled(t, l, func() bool { n, _ := historyFiles(t, l); return n == 0 })
	if l.Oldest() != int64(len(want)) {
		t.Fatal(l.Oldest(), len(want))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestHistoryIsVerified: a file of the history is looked through before anything of it is given to anybody. Damage there gives up
// what lies before it and nothing else.
func TestHistoryIsVerified(t *testing.T) {
	o := Options{Dir: t.TempDir(), RingBytes: 64 << 10, SegmentBytes: 64 << 10, LoadTruncated: true, HistoryBytes: 1 << 30}
	l, _, _ := openT(t, o)
	want := rewritten(t, l, nil, 500)
	settled(t, l, func() bool { n, _ := historyFiles(t, l); return n > 6 })
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	middle := l.meta.kept[2]
	for _, missing := range []bool{false, true} {
		name := l.path(middle.name)
		p, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if p[5000] ^= 1; missing {
			err = os.Remove(name)
		} else {
			err = os.WriteFile(name, p, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		l, _, _ := openT(t, o)
		if !missing {
			if l.Oldest() != 0 {
				t.Fatal(l.Oldest())
			}
			if _, err := l.ReadAt(middle.start+10, make([]byte, 100)); !errors.Is(err, ErrTrimmed) {
				t.Fatal(err)
			}
		}
		if l.Oldest() != middle.end {
			t.Fatal(l.Oldest(), middle.end)
		}
		q := make([]byte, int64(len(want))-middle.end)
		if n, err := l.ReadAt(middle.end, q); err != nil || n != len(q) || !bytes.Equal(q, want[middle.end:]) {
			t.Fatal(n, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		middle = l.meta.kept[1]
	}
}

// TestRewriteReplacesForeignFiles: another server's increments are in the base, and go with it.
func TestRewriteReplacesForeignFiles(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"appendonly.aof.1.base.rdb": string(emptyBase), "appendonly.aof.1.incr.aof": string(makeSelect(0)) + string(oneSet),
		"appendonly.aof.manifest": "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"} {
		if err := os.WriteFile(dir+"/"+name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o := Options{Dir: dir, LoadTruncated: true, HistoryBytes: 1 << 20}
	l, rec, r := openT(t, o)
	if bytes.Count(r.bytes, oneSet) != 1 || !rec.Foreign {
		t.Fatalf("%+v %q", rec, r.bytes)
	}
	x := l.Reserved()
	rewritten(t, l, nil, 0)
	l.Append(0, 0, oneSet)
	l.Commit(GoalSync)
	if l.Oldest() != x {
		t.Fatal(l.Oldest(), x)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, rec, r = openT(t, o)
	if bytes.Count(r.bytes, oneSet) != 1 || r.start != x || rec.Foreign {
		t.Fatalf("%+v, replay begins at %d, the base is exact at %d: %q", rec, r.start, x, r.bytes)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
