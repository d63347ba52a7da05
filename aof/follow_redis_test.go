package aof

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// checked has redis-check-aof look at a directory.
func checked(t *testing.T, aofDir string) {
	t.Helper()
	check, err := exec.LookPath("redis-check-aof")
	if err != nil {
		t.Fatal("redis-check-aof is not installed: apt-get install redis-tools, there is nothing to compare with otherwise")
	}
	if out, err := exec.Command(check, filepath.Join(aofDir, "appendonly.aof.manifest")).CombinedOutput(); err != nil {
		t.Fatalf("redis-check-aof: %v\n%s", err, out)
	}
}

// TestStockRedisLoadsAFollower: a replica's directory, whose base and segments begin while the stream is in database 3, with a
// segment that a failed fdatasync had begun in the middle, and with files of type h.
func TestStockRedisLoadsAFollower(t *testing.T) {
	dir := t.TempDir()
	received := filepath.Join(dir, "received.rdb")
	if err := os.WriteFile(received, emptyBase, 0o644); err != nil {
		t.Fatal(err)
	}
	fsys := &faultFS{}
	o := Options{FS: fsys, Dir: filepath.Join(dir, "appendonlydir"), RingBytes: 64 << 10, SegmentBytes: 64 << 10, HistoryBytes: 1 << 30,
		LoadTruncated: true}
	fresh := o
	fresh.Fresh, fresh.StartOffset, fresh.BaseFile, fresh.BaseDB = true, 4000, received, 3
	l, _, err := Open(fresh, nil)
	if err != nil {
		t.Fatal(err)
	}
	keys := 0
	add := func(n int) {
		for range n {
			settled(t, l, l.nextReady.Load)
			l.Follow(command("SET", fmt.Sprint("key", keys), strings.Repeat("v", 1000)), 3)
			keys++
			l.Commit(GoalAppend)
		}
		l.Commit(GoalSync)
	}
	add(100)
	rewritten := func() {
		emptyLog(t, l)
		keys = 0
	}
	rewritten() // a base without the keys: they are not loaded again from history
	add(150)
	l.moveCause.Store(&os.ErrInvalid)
	l.moveSuffix()
	add(50)
	// Promoted: effects of our own say where they belong.
	l.Append(0, 0, oneSet)
	l.Commit(GoalSync)
	settled(t, l, func() bool { n, _ := historyFiles(t, l); return n > 1 })
	oldest, end := l.Oldest(), l.Reserved()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	checked(t, o.Dir)
	l, rec, r := openT(t, o)
	if l.Oldest() != oldest || oldest != 4000 || rec.Offset != end || r.db != 3 || bytes.Count(r.bytes, []byte("SET\r\n")) != keys+1 {
		t.Fatalf("%+v, readable from %d on, database %d", rec, l.Oldest(), r.db)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	preambles := 0
	for _, e := range l.meta.incr {
		p, err := os.ReadFile(l.path(e.name))
		if err != nil {
			t.Fatal(err)
		}
		preambles += bytes.Count(p, []byte(preambleMagic))
	}
	if preambles < 3 {
		t.Fatalf("%d segments begin with a preamble", preambles)
	}
	// A restored copy has them, too.
	copied := filepath.Join(dir, "copy", "appendonlydir")
	if off, err := Restore(nil, o.Dir, "", copied, RestoreTo{Offset: end - int64(len(oneSet)) - 23}); err != nil || off != end-int64(len(oneSet))-23 {
		t.Fatal(off, err)
	}
	for _, where := range []string{dir, filepath.Join(dir, "copy")} {
		checked(t, filepath.Join(where, "appendonlydir"))
		ask, stop := redis(t, where)
		ask("DBSIZE") // which is answered when all is loaded; INFO is at any time
		if got := ask("INFO", "keyspace"); !strings.Contains(got, fmt.Sprintf("db3:keys=%d,", keys)) || strings.Contains(got, "db0:keys=1,") != (where == dir) ||
			strings.Contains(got, "db1") {
			t.Fatalf("%s: expected %d keys in database 3, INFO says %q", where, keys, got)
		}
		stop()
	}
	// It has deleted the history, which is all that is gone.
	l, rec, r = openT(t, o)
	if rec.Offset != end || rec.Foreign || rec.ID != l.ID() || bytes.Count(r.bytes, []byte("SET\r\n")) != keys+1 || l.Oldest() <= oldest {
		t.Fatalf("after redis-server had it: %+v, readable from %d on", rec, l.Oldest())
	}
	for off := l.Oldest(); off < end; {
		p := make([]byte, 100<<10)
		n, err := l.ReadAt(off, p)
		if err != nil {
			t.Fatal(err)
		}
		off += int64(n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRepairWithHistory: the tools know the files and leave what is sound.
func TestRepairWithHistory(t *testing.T) {
	o := Options{Dir: t.TempDir(), RingBytes: 64 << 10, SegmentBytes: 64 << 10, HistoryBytes: 1 << 30, LoadTruncated: true}
	l, _, _ := openT(t, o)
	want := rewritten(t, l, nil, 200)
	settled(t, l, func() bool { n, _ := historyFiles(t, l); return n > 1 })
	for range 100 {
		l.Append(0, 0, oneSet)
		l.Commit(GoalSync)
	}
	id, end := l.ID(), l.Reserved()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	rep, err := Inspect(nil, o.Dir, "")
	if err != nil || rep.Err != nil || rep.Files[0].Type != "history" || rep.Files[0].Start != 0 || rep.Offset != end {
		t.Fatalf("%v, %+v", err, rep)
	}
	last := l.meta.incr[len(l.meta.incr)-1]
	p, err := os.ReadFile(l.path(last.name))
	if err != nil {
		t.Fatal(err)
	}
	p[len(p)/2] ^= 1
	if err := os.WriteFile(l.path(last.name), p, 0o644); err != nil {
		t.Fatal(err)
	}
	if cuts, err := Repair(nil, o.Dir, ""); err != nil || len(cuts) != 1 {
		t.Fatal(cuts, err)
	}
	l, rec, _ := openT(t, o)
	if rec.Offset >= end || rec.Offset < int64(len(want)) || l.Oldest() != 0 {
		t.Fatalf("%+v, readable from %d on", rec, l.Oldest())
	}
	if rec.ID == id || len(rec.Ancestors) != 1 || rec.Ancestors[0] != (Ancestor{id, rec.Offset}) {
		t.Fatalf("what was cut may live on under %s: %+v", id, rec)
	}
	q := make([]byte, len(want))
	if n, err := l.ReadAt(0, q); err != nil || n != len(q) || !bytes.Equal(q, want) {
		t.Fatal(n, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
