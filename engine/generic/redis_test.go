package generic

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tidemark/aof"
)

// logged is one command of a log, with the database it runs in.
type logged struct {
	db   int
	args []string
}

func (l logged) String() string { return fmt.Sprintf("[%d] %q", l.db, l.args) }

// parseLog reads commands as they stand in the log or in an AOF; MULTI, EXEC and SELECT are taken in.
func parseLog(t testing.TB, b []byte) (out []logged) {
	db := 0
	line := func() string {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			t.Fatalf("log ends within a line: %q", b)
		}
		l := strings.TrimRight(string(b[:i]), "\r")
		b = b[i+1:]
		return l
	}
	for len(b) > 0 {
		l := line()
		if l[0] == '#' {
			continue
		}
		n, err := strconv.Atoi(l[1:])
		if l[0] != '*' || err != nil {
			t.Fatalf("log has %q where a command begins", l)
		}
		args := make([]string, n)
		for i := range args {
			size, _ := strconv.Atoi(line()[1:])
			args[i] = string(b[:size])
			b = b[size+2:]
		}
		switch args[0] {
		case "MULTI", "EXEC":
		case "SELECT":
			db, _ = strconv.Atoi(args[1])
		default:
			out = append(out, logged{db, args})
		}
	}
	return out
}

// tape is a Replayer that keeps the log's bytes.
type tape struct{ b []byte }

func (*tape) LoadBase(string) error { return nil }
func (r *tape) Apply(p []byte, _ int64) (int, error) {
	r.b = append(r.b, p...)
	return len(p), nil
}

// withLog gives an engine a log; the function it returns closes the log and reads what is in it.
func withLog(t testing.TB, e *engine) func() []logged {
	o := aof.Options{Dir: filepath.Join(t.TempDir(), "log"), Shards: e.c.Store.KS.NumShards(), SegmentBytes: 1 << 20}
	l, _, err := aof.Open(o, &tape{})
	if err != nil {
		t.Fatal(err)
	}
	e.c.Store.SetLog(l)
	return func() []logged {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		var r tape
		l, _, err := aof.Open(o, &r)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		return parseLog(t, r.b)
	}
}

// TestSameLogAsRedis runs the scripts on both and compares what stands in the log with what Redis writes to its AOF, and
// after every command the counters of changes, hits and misses.
func TestSameLogAsRedis(t *testing.T) {
	dir := t.TempDir()
	s := startRedis(t, "--appendonly", "yes", "--dir", dir, "--appendfsync", "no", "--aof-use-rdb-preamble", "no")
	e := newEngine(t, 16)
	read := withLog(t, e)
	counter := func(section, field string) int64 {
		_, rest, _ := strings.Cut(s.text("INFO", section), field+":")
		n, err := strconv.ParseInt(rest[:strings.Index(rest, `\r`)], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	st := &e.c.Store.Stats
	for _, path := range scripts(t) {
		runScript(t, path, func(args ...string) string {
			got := e.text(args...)
			s.text(args...)
			e.c.Publish()
			if ours, theirs := st.Dirty.Load(), counter("persistence", "rdb_changes_since_last_save"); ours != theirs {
				t.Errorf("%q: %d changes, Redis counts %d", args, ours, theirs)
				st.Dirty.Store(theirs)
			}
			// Redis 7.0 counts a hit for each key that SCAN TYPE looks at; from 7.2 on it does not.
			if ours, theirs := st.Hits.Load(), counter("stats", "keyspace_hits"); ours != theirs && args[0] == "SCAN" {
				st.Hits.Store(theirs)
			} else if ours != theirs {
				t.Errorf("%q: %d hits, Redis counts %d", args, ours, theirs)
				st.Hits.Store(theirs)
			}
			if ours, theirs := st.Misses.Load(), counter("stats", "keyspace_misses"); ours != theirs {
				t.Errorf("%q: %d misses, Redis counts %d", args, ours, theirs)
				st.Misses.Store(theirs)
			}
			return got
		}, false)
		for _, c := range [][]string{{"FLUSHALL"}, {"SELECT", "0"}} {
			e.text(c...)
			s.text(c...)
		}
		e.c.Publish()
		st.Dirty.Store(counter("persistence", "rdb_changes_since_last_save"))
	}
	s.text("CONFIG", "SET", "appendonly", "no") // writes out what is buffered
	files, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) != 1 {
		t.Fatalf("incremental files of redis: %q, %v", files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	theirs, ours := parseLog(t, b), read()
	if len(ours) < 100 {
		t.Errorf("only %d commands in the log", len(ours))
	}
	for i := range min(len(ours), len(theirs)) {
		if !sameEffect(ours[i], theirs[i]) {
			t.Fatalf("log differs at command %d:\n ours %v\nredis %v\nafter %v", i, ours[i], theirs[i], ours[max(0, i-3):i])
		}
	}
	if len(ours) != len(theirs) {
		t.Errorf("%d commands in the log, redis has %d", len(ours), len(theirs))
	}
}

// sameEffect compares commands; times may be some seconds apart, and the conditions of EXPIRE, which Redis keeps although they
// held, do not matter.
func sameEffect(a, b logged) bool {
	if a.db != b.db || len(a.args) < 3 && len(a.args) != len(b.args) {
		return false
	}
	if a.args[0] == "PEXPIREAT" && b.args[0] == "PEXPIREAT" {
		x, _ := strconv.ParseFloat(a.args[2], 64)
		y, _ := strconv.ParseFloat(b.args[2], 64)
		return a.args[1] == b.args[1] && len(a.args) == 3 && math.Abs(x-y) < 10_000
	}
	if a.args[0] == "RESTORE" && b.args[0] == "RESTORE" {
		x, _ := strconv.ParseFloat(a.args[2], 64)
		y, _ := strconv.ParseFloat(b.args[2], 64)
		if math.Abs(x-y) < 10_000 {
			a.args[2] = b.args[2]
		}
	}
	return strings.Join(a.args, "\x00") == strings.Join(b.args, "\x00")
}
