package aof

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// command encodes one command as RESP.
func command(words ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	return b.Bytes()
}

// tape is a Replayer that keeps what it is given.
type tape struct {
	base  string
	bytes []byte
	start int64
	any   bool
	next  int64
	db    int // as the last preamble said
	t     testing.TB
}

func (r *tape) LoadBase(path string) error { r.base = path; return nil }

func (r *tape) Apply(p []byte, off int64) (int, error) {
	if off == NotLogged {
		db, ok := selected(p)
		if r.db = db; !ok {
			return 0, fmt.Errorf("%q is not part of the log", p)
		}
		return len(p), nil
	}
	if !r.any {
		r.any, r.start, r.next = true, off, off
	}
	if off != r.next {
		return 0, fmt.Errorf("offset %d follows %d", off, r.next)
	}
	r.bytes = append(r.bytes, p...)
	r.next = off + int64(len(p))
	return len(p), nil
}

func openT(t testing.TB, o Options) (*Log, *Recovery, *tape) {
	t.Helper()
	r := &tape{t: t}
	if o.Logf == nil {
		o.Logf = func(level byte, f string, a ...any) { t.Logf("%c "+f, append([]any{level}, a...)...) }
	}
	l, rec, err := Open(o, r)
	if err != nil {
		t.Fatal(err)
	}
	return l, rec, r
}

func TestAppendCommitReopen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "appendonlydir")
	o := Options{Dir: dir, Shards: 4, RingBytes: 64 << 10, SegmentBytes: 1 << 20, Policy: Always, LoadTruncated: true}
	l, rec, _ := openT(t, o)
	if rec.Existed || rec.Offset != 0 || !rec.NeedsBase || len(rec.ID) != 40 {
		t.Fatalf("%+v", rec)
	}
	var want bytes.Buffer
	db := -1
	add := func(shard, d int, p []byte) {
		if d != db {
			want.Write(makeSelect(d))
			db = d
		}
		want.Write(p)
		if !l.Room(shard) {
			t.Fatal("no room")
		}
		if end := l.Append(shard, d, p); end != int64(want.Len()) {
			t.Fatalf("end %d, want %d", end, want.Len())
		}
	}
	for i := range 20000 {
		add(i%4, i/500%20, command("SET", fmt.Sprint("key", i), strings.Repeat("v", i%300)))
		if i%100 == 0 {
			add(3, 0, command("SET", "large", strings.Repeat("L", 20000)))
		}
		if i%7 == 0 && !l.Commit(GoalSync) {
			t.Fatal("not committed", l.Err())
		}
		if l.Synced() > l.Appended() || l.Appended() > l.Reserved() {
			t.Fatal("watermarks out of order")
		}
		if l.tail.Load()&dbUnknown == dbUnknown { // a rotation: the stream names its database again
			db = -1
		}
	}
	if !l.Commit(GoalSync) {
		t.Fatal("not committed", l.Err())
	}
	st := l.Stats()
	t.Logf("%+v", st)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, rec2, r := openT(t, o)
	if !bytes.Equal(r.bytes, want.Bytes()) {
		t.Fatalf("replayed %d bytes, want %d", len(r.bytes), want.Len())
	}
	if rec2.Offset != int64(want.Len()) || rec2.ID != rec.ID || rec2.Truncated != 0 || rec2.Payload != int64(want.Len()) {
		t.Fatalf("%+v", rec2)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	out, _ := exec.Command("ls", "-l", dir).CombinedOutput()
	t.Logf("%s", out)
	m, _ := os.ReadFile(filepath.Join(dir, "appendonly.aof.manifest"))
	sc, _ := os.ReadFile(filepath.Join(dir, "appendonly.aof.tidemark"))
	t.Logf("%s\n%s", m, sc)
}

func TestManyWriters(t *testing.T) {
	dir := t.TempDir()
	o := Options{Dir: dir, Shards: 8, RingBytes: 16 << 10, SegmentBytes: 1 << 20, Policy: Always, LoadTruncated: true}
	l, _, _ := openT(t, o)
	var locks [8]sync.Mutex
	var wg sync.WaitGroup
	const each = 3000
	for g := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range each {
				sh := (g*7 + i) % 8
				p := command("SET", fmt.Sprintf("g%d-%d", g, i), strings.Repeat("x", i%700))
				for {
					locks[sh].Lock()
					if l.Room(sh) {
						l.Append(sh, 0, p)
						locks[sh].Unlock()
						break
					}
					locks[sh].Unlock()
					l.Commit(GoalAppend)
				}
				if i%16 == 0 {
					l.Commit(GoalSync)
				} else if i%3 == 0 {
					l.Commit(GoalAppend)
				}
			}
		}()
	}
	wg.Wait()
	l.Commit(GoalSync)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l.Synced() != l.Reserved() {
		t.Fatalf("synced %d, reserved %d", l.Synced(), l.Reserved())
	}
	l, rec, r := openT(t, o)
	if rec.Offset != r.next || bytes.Count(r.bytes, []byte("SET\r\n")) != 4*each {
		t.Fatalf("%+v %d", rec, bytes.Count(r.bytes, []byte("SET\r\n")))
	}
	for g := range 4 { // every writer's own order
		last := 0
		for i := range each {
			at := bytes.Index(r.bytes[last:], fmt.Appendf(nil, "\r\ng%d-%d\r\n", g, i))
			if at < 0 {
				t.Fatalf("writer %d: %d does not follow its predecessor", g, i)
			}
			last += at
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDirectoryInUse(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	l, _, _ := openT(t, o)
	if _, _, err := Open(o, &tape{}); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), o.Dir) {
		t.Fatal(err)
	}
	if _, err := Repair(nil, o.Dir, ""); !errors.Is(err, ErrInUse) {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, _, _ = openT(t, o)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFirstStartInterrupted: until there is a base or a byte of log, there is no AOF: the caller loads its RDB again.
func TestFirstStartInterrupted(t *testing.T) {
	o := Options{Dir: t.TempDir(), LoadTruncated: true}
	for range 2 {
		l, rec, _ := openT(t, o)
		if rec.Existed || !rec.NeedsBase {
			t.Fatalf("%+v", rec)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l, _, _ := openT(t, o)
	emptyLog(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, rec, _ := openT(t, o)
	if !rec.Existed || rec.NeedsBase {
		t.Fatalf("%+v", rec)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
