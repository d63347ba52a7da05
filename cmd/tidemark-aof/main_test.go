package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidemark/aof"
)

type text struct{ bytes.Buffer }

func (t *text) LoadBase(string) error { return nil }

func (t *text) Apply(p []byte, _ int64) (int, error) { return t.Write(p) }

func record(i int) []byte {
	s := fmt.Sprintf("key%06d", i)
	return fmt.Appendf(nil, "*3\r\n$3\r\nSET\r\n$9\r\n%s\r\n$1\r\nx\r\n", s)
}

// fill writes n records, synced in tens, and gives the offsets behind each.
func fill(t *testing.T, dir string, n int, end func(l *aof.Log)) (ends []int64) {
	t.Helper()
	l, _, err := aof.Open(aof.Options{Dir: dir, SegmentBytes: 32 << 10, Policy: aof.Always, LoadTruncated: true}, &text{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		ends = append(ends, l.Append(0, 0, record(i)))
		if i%10 == 9 && !l.Commit(aof.GoalSync) {
			t.Fatal(l.Err())
		}
	}
	end(l)
	return ends
}

func closed(t *testing.T) func(l *aof.Log) {
	return func(l *aof.Log) {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func tool(args ...string) (code int, out string) {
	var b bytes.Buffer
	code = run(args, &b, &b)
	return code, b.String()
}

func load(t *testing.T, dir string) string {
	t.Helper()
	var r text
	l, _, err := aof.Open(aof.Options{Dir: dir}, &r)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return r.String()
}

func TestCheckAndRepair(t *testing.T) {
	data := t.TempDir()
	dir := filepath.Join(data, "appendonlydir")
	fill(t, dir, 1000, closed(t))
	if code, out := tool("check", data); code != 0 || !strings.Contains(out, "valid up to offset") {
		t.Fatal(code, out)
	}
	if code, out := tool("inspect", dir); code != 0 || !strings.Contains(out, "appendonly.aof.1.incr.aof") || !strings.Contains(out, "closed") {
		t.Fatal(code, out)
	}
	whole := load(t, dir)
	victim := filepath.Join(dir, "appendonly.aof.1.incr.aof")
	p, err := os.ReadFile(victim)
	if err != nil {
		t.Fatal(err)
	}
	p[len(p)/2] ^= 1
	if err := os.WriteFile(victim, p, 0o644); err != nil {
		t.Fatal(err)
	}
	code, out := tool("check", dir)
	if code != exitTrouble || !strings.Contains(out, victim) || !strings.Contains(out, "repair "+dir) {
		t.Fatal(code, out)
	}
	if code, out := tool("repair", dir); code != exitTrouble || !strings.Contains(out, "Nothing was changed") {
		t.Fatal(code, out)
	}
	if code, out := tool("repair", "--yes", dir); code != 0 || !strings.Contains(out, "tidemark-cut-1-appendonly.aof.1.incr.aof") {
		t.Fatal(code, out)
	}
	got := load(t, dir)
	if !strings.HasPrefix(whole, got) || len(got) == 0 || len(got) == len(whole) {
		t.Fatalf("after the repair %d of %d bytes are there", len(got), len(whole))
	}
	cut, err := os.ReadFile(filepath.Join(dir, "tidemark-cut-1-appendonly.aof.1.incr.aof"))
	if err != nil || !bytes.HasSuffix(p, cut) {
		t.Fatal("the backup is not what was cut", err)
	}
}

func TestRestore(t *testing.T) {
	dir := t.TempDir()
	ends := fill(t, dir, 1000, closed(t))
	whole := load(t, dir)
	for _, i := range []int{0, 5, 9, 10, 123, 998, 999} {
		for _, more := range []int64{0, 7} {
			to := filepath.Join(t.TempDir(), "new")
			code, out := tool("restore", "--to-offset", fmt.Sprint(ends[i]+more), dir, to)
			if code != 0 || !strings.Contains(out, fmt.Sprintf("offset %d\n", ends[i])) {
				t.Fatal(i, more, code, out)
			}
			if got := load(t, to); got != whole[:ends[i]] {
				t.Fatalf("to offset %d: %d bytes", ends[i], len(got))
			}
		}
	}
	to := filepath.Join(t.TempDir(), "new")
	if code, out := tool("restore", "--to-time", "2999-01-01T00:00:00Z", dir, to); code != 0 {
		t.Fatal(out)
	}
	if load(t, to) != whole {
		t.Fatal("a time in the future restores everything")
	}
	if code, out := tool("restore", "--to-offset", "100", dir, to); code != exitTrouble || !strings.Contains(out, "not empty") {
		t.Fatal(code, out)
	}
	if load(t, dir) != whole {
		t.Fatal("the source has changed")
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"fly", "x"}, {"check"}, {"restore", "x", "y"}, {"restore", "--to-time", "soon", ".", "y"}} {
		if code, out := tool(args...); code == 0 || out == "" {
			t.Fatal(args, code, out)
		}
	}
	if code, out := tool("check", t.TempDir()); code != exitTrouble || !strings.Contains(out, "holds appendonly.aof.manifest") {
		t.Fatal(code, out)
	}
}

// TestInspectReplica: what the directory of a server that took part in replication says of itself.
func TestInspectReplica(t *testing.T) {
	dir := t.TempDir()
	earlier := aof.Ancestor{ID: strings.Repeat("ab", 20), End: 100}
	l, _, err := aof.Open(aof.Options{Dir: dir, HistoryBytes: 1 << 20}, &text{})
	if err != nil {
		t.Fatal(err)
	}
	l.Follow(record(0), 3)
	l.Commit(aof.GoalSync)
	x := l.Mark()
	rw, err := l.BeginRewrite(x)
	if err == nil {
		_, err = rw.Write([]byte("REDIS0010\xff\x00\x00\x00\x00\x00\x00\x00\x00"))
	}
	if err == nil {
		err = rw.Commit()
	}
	if err == nil {
		err = l.SetIdentity(l.ID(), []aof.Ancestor{earlier})
	}
	if err != nil {
		t.Fatal(err)
	}
	end := l.Follow(record(1), 3)
	l.Commit(aof.GoalSync)
	closed(t)(l)
	code, out := tool("inspect", dir)
	if code != 0 || !strings.Contains(out, fmt.Sprintf("earlier    %s up to offset %d\n", earlier.ID, min(earlier.End, end))) ||
		!strings.Contains(out, "appendonly.aof.1.incr.aof          history") || !strings.Contains(out, fmt.Sprintf("valid up to offset %d", end)) {
		t.Fatal(code, out)
	}
	if code, out := tool("repair", "--yes", dir); code != 0 || strings.Contains(out, "cut ") {
		t.Fatal(code, out)
	}
	if _, again := tool("inspect", dir); again != out {
		t.Fatalf("a repair of what is sound changed it:\n%s\n%s", out, again)
	}
}
