package engine

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidemark/engine/testclient"
	"tidemark/netio"
)

// tailBytes is what the tail holds from an offset on.
func tailBytes(t *testing.T, s *Server, from int64) []byte {
	t.Helper()
	end := s.store.Log().Reserved()
	testclient.Eventually(t, "the tail has everything", func() bool { return s.tail.End() == end })
	b := make([]byte, end-from)
	for at := 0; at < len(b); {
		n, err := s.tail.Read(from+int64(at), b[at:])
		if err != nil || n == 0 {
			t.Fatalf("reading the tail at %d: %d, %v", from+int64(at), n, err)
		}
		at += n
	}
	return b
}

// TestSwitchUnderStream: the stream goes on without a gap while the AOF is switched off and on under writers, and what was acknowledged is in it and, in the
// end, in the AOF.
func TestSwitchUnderStream(t *testing.T) {
	dir := t.TempDir()
	s := testServer(t, dir, "--appendfsync", "always", "--repl-backlog-size", "256mb", "--enable-debug-command", "yes")
	if _, err := s.EnsureStream(); err != nil {
		t.Fatal(err)
	}
	id, from := s.ReplicationID(), s.store.Log().Reserved()
	var stop atomic.Bool
	var wg sync.WaitGroup
	acked := make([]int, 8)
	for w := range acked {
		c := dial(t, s)
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n := 1; !stop.Load(); n++ {
				if got := c.Do(fmt.Sprintf("SET w%d %d", w, n)); got != "OK" {
					t.Errorf("SET: %s", got)
					return
				}
				acked[w] = n
			}
		}()
	}
	admin := dial(t, s)
	for range 8 {
		admin.Want("CONFIG SET appendonly no", "OK")
		if log := s.store.Log(); log == nil || log.OnDisk() {
			t.Fatal("the log is not in memory")
		}
		if got := field(t, admin.Do("INFO persistence"), "aof_enabled"); got != "0" {
			t.Errorf("aof_enabled:%s", got)
		}
		time.Sleep(3 * time.Millisecond)
		admin.Want("CONFIG SET appendonly yes", "OK")
		if log := s.store.Log(); log == nil || !log.OnDisk() {
			t.Fatal("the log is not on disk")
		}
		time.Sleep(3 * time.Millisecond)
	}
	stop.Store(true)
	wg.Wait()
	if got := s.ReplicationID(); got != id {
		t.Errorf("the id became %s, it was %s", got, id)
	}
	testclient.Eventually(t, "the base is written", func() bool { return strings.Contains(admin.Do("INFO persistence"), "aof_rewrite_in_progress:0") })
	stream, digest := tailBytes(t, s, from), admin.Do("DEBUG DIGEST")
	stopServer(t, s)
	s = testServer(t, dir)
	c := dial(t, s)
	for w, n := range acked {
		if got := c.Do(fmt.Sprintf("GET w%d", w)); got != strconv.Itoa(n) {
			t.Errorf("writer %d: %s after the restart, acknowledged was %d", w, got, n)
		}
	}
	other := testServer(t, t.TempDir(), "--enable-debug-command", "yes")
	other.SetRole(Role{Replica: true, LinkUp: true})
	feed(t, other, 0, stream, func() int { return 100_000 })
	dial(t, other).Want("DEBUG DIGEST", digest)
}

// TestFollowerThroughExchange: a replica's AOF is switched off and on while the stream comes.
func TestFollowerThroughExchange(t *testing.T) {
	dir := t.TempDir()
	s := testServer(t, dir, "--repl-backlog-size", "64mb")
	if _, err := s.EnsureStream(); err != nil {
		t.Fatal(err)
	}
	s.SetRole(Role{Replica: true, LinkUp: true})
	onLoop(s, func(l *netio.Loop) { s.WantProgress(l, true) })
	var stream []byte
	for i := range 20_000 {
		stream = fmt.Appendf(stream, "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$%d\r\n%d\r\n", len(strconv.Itoa(i)), i)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		admin := dial(t, s)
		for range 10 {
			admin.Want("CONFIG SET appendonly no", "OK", "CONFIG SET appendonly yes", "OK")
		}
	}()
	feed(t, s, 0, stream, func() int { return 500 })
	<-done
	if got := tailBytes(t, s, 0); !bytes.Equal(got, stream) {
		t.Errorf("the tail has %d bytes and is not the stream of %d", len(got), len(stream))
	}
	c := dial(t, s)
	testclient.Eventually(t, "the base is written", func() bool { return strings.Contains(c.Do("INFO persistence"), "aof_rewrite_in_progress:0") })
	stopServer(t, s)
	dial(t, testServer(t, dir)).Want("GET a", "19999")
}

// TestSwitchOnBesideSave: appendonly is switched on while a save runs; the base follows the save.
func TestSwitchOnBesideSave(t *testing.T) {
	dir := t.TempDir()
	s := testServer(t, dir, "--appendonly", "no", "--rdb-key-save-delay", "1000000", "--enable-debug-command", "yes")
	c := dial(t, s)
	c.Want("DEBUG POPULATE 100", "OK", "BGSAVE", "Background saving started", "CONFIG SET appendonly yes", "OK", "SET k v", "OK")
	info := c.Do("INFO persistence")
	if got := field(t, info, "aof_enabled") + field(t, info, "aof_rewrite_scheduled") + field(t, info, "rdb_bgsave_in_progress"); got != "111" {
		t.Errorf("enabled, scheduled, saving: %s", got)
	}
	c.Want("CONFIG SET rdb-key-save-delay 0", "OK")
	testclient.Eventually(t, "the base is written", func() bool { return field(t, c.Do("INFO persistence"), "aof_rewrites") == "1" })
	stopServer(t, s)
	c = dial(t, testServer(t, dir))
	c.Want("GET k", "v", "DBSIZE", "101")
}

// TestFirstBaseIsRetried: when the first base of an AOF that was switched on cannot be written, that is tried again until it can.
func TestFirstBaseIsRetried(t *testing.T) {
	dir := t.TempDir()
	s := testServer(t, dir, "--appendonly", "no")
	c := dial(t, s)
	aof := filepath.Join(dir, "appendonlydir")
	// In the way of the file that becomes the base.
	block := filepath.Join(aof, fmt.Sprintf("temp-rewriteaof-bg-%d.rdb", os.Getpid()))
	if err := os.MkdirAll(filepath.Join(block, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.Want("SET k v", "OK", "CONFIG SET appendonly yes", "OK")
	testclient.Eventually(t, "the rewrite fails", func() bool { return field(t, c.Do("INFO persistence"), "aof_last_bgrewrite_status") == "err" })
	if err := os.RemoveAll(block); err != nil {
		t.Fatal(err)
	}
	c.Want("SET l w", "OK")
	for end := time.Now().Add(2 * saveRetry); field(t, c.Do("INFO persistence"), "aof_last_bgrewrite_status") != "ok"; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the base is never written")
		}
	}
	stopServer(t, s)
	dial(t, testServer(t, dir)).Want("MGET k l", "[v w]")
}

// TestHistoryOverRestarts: a primary begins a history of its own at each start and knows the one before; a replica stays in its primary's.
func TestHistoryOverRestarts(t *testing.T) {
	for _, aof := range []string{"yes", "no"} {
		t.Run("appendonly "+aof, func(t *testing.T) {
			dir := t.TempDir()
			start := func(more ...string) *Server {
				return testServer(t, dir, append([]string{"--appendonly", aof, "--repl-backlog-size", "1mb"}, more...)...)
			}
			s := start()
			if _, err := s.EnsureStream(); err != nil {
				t.Fatal(err)
			}
			c := dial(t, s)
			c.Want("SELECT 5", "OK", "SET k v", "OK", "SAVE", "OK")
			id, end := s.ReplicationID(), s.store.Log().Reserved()
			stopServer(t, s)

			s = start()
			log := s.store.Log()
			if log == nil || log.OnDisk() != (aof == "yes") || log.Reserved() != end {
				t.Fatalf("the log does not go on at %d: %+v", end, log)
			}
			if a := log.Ancestors(); log.ID() == id || s.ReplicationID() != log.ID() || len(a) == 0 || a[0].ID != id || a[0].End != end {
				t.Errorf("id %s (%s), ancestors %v; it was %s up to %d", log.ID(), s.ReplicationID(), a, id, end)
			}
			second := log.ID()
			dial(t, s).Want("SAVE", "OK")
			stopServer(t, s)

			s = start("--replicaof", "127.0.0.1 1")
			log = s.store.Log()
			if log.ID() != second || log.Reserved() != end {
				t.Errorf("a replica has id %s at %d, it was %s at %d", log.ID(), log.Reserved(), second, end)
			}
			if s.Role().Replica {
				t.Error("the engine follows nobody by itself")
			}
			stopServer(t, s)
		})
	}
}

// TestUnloggedWritesBreakHistory: what is written while there is no log is in no history, so that the next log has a new id.
func TestUnloggedWritesBreakHistory(t *testing.T) {
	s := testServer(t, t.TempDir(), "--appendonly", "no")
	c := dial(t, s)
	for _, begin := range []func(){
		func() {
			if _, err := s.EnsureStream(); err != nil {
				t.Fatal(err)
			}
		},
		func() { c.Want("CONFIG SET appendonly yes", "OK") },
	} {
		if _, err := s.EnsureStream(); err != nil {
			t.Fatal(err)
		}
		before := s.ReplicationID()
		s.DropStream()
		c.Want("CONFIG SET appendonly no", "OK", "SET k v", "OK")
		begin()
		if log := s.store.Log(); log.ID() == before || len(log.Ancestors()) > 0 {
			t.Errorf("id %s, ancestors %v after writes that were not logged; the id was %s", log.ID(), log.Ancestors(), before)
		}
	}
}

// TestPromotedWithoutAOF: a server that shall have an AOF and lost it as a replica gets one when it becomes a primary, before it takes writes.
func TestPromotedWithoutAOF(t *testing.T) {
	dir := t.TempDir()
	s := testServer(t, dir)
	c := dial(t, s)
	c.Want("SET old v", "OK")
	s.SetRole(Role{Replica: true})
	if err := s.closeLog(); err != nil { // as ReplaceData does, whose loading then fails
		t.Fatal(err)
	}
	s.flushEverything()
	if log, err := s.EnsureStream(); err != nil || log.OnDisk() {
		t.Fatalf("%v", err)
	}
	s.SetRole(Role{})
	testclient.Eventually(t, "writes are accepted", func() bool {
		got := c.Do("SET new v")
		if got != "OK" && got != "-"+errNoAOF {
			t.Fatal(got)
		}
		return got == "OK"
	})
	if !s.store.Log().OnDisk() {
		t.Error("a write was accepted without an AOF")
	}
	testclient.Eventually(t, "the base is written", func() bool { return strings.Contains(c.Do("INFO persistence"), "aof_rewrite_in_progress:0") })
	stopServer(t, s)
	dial(t, testServer(t, dir)).Want("MGET old new", "[nil v]")
}

// TestRewriteBesideMemoryLog: BGREWRITEAOF with appendonly off writes an AOF and leaves the stream alone.
func TestRewriteBesideMemoryLog(t *testing.T) {
	dir := t.TempDir()
	s := testServer(t, dir, "--appendonly", "no", "--repl-backlog-size", "64mb")
	if _, err := s.EnsureStream(); err != nil {
		t.Fatal(err)
	}
	c := dial(t, s)
	c.Want("SET a 1", "OK", "BGREWRITEAOF", "Background append only file rewriting started", "SET b 2", "OK")
	testclient.Eventually(t, "it ends", func() bool { return field(t, c.Do("INFO persistence"), "aof_rewrites") == "1" })
	c.Want("SET c 3", "OK")
	if got := tailBytes(t, s, 0); bytes.Count(got, []byte("SET")) != 3 {
		t.Errorf("%q", got)
	}
	stopServer(t, s)
	dial(t, testServer(t, dir)).Want("GET a", "1")
}

// TestDurableOffset: until its first base is written an AOF that was switched on promises nothing, and the server does not end by itself.
func TestDurableOffset(t *testing.T) {
	s := testServer(t, t.TempDir(), "--appendonly", "no", "--rdb-key-save-delay", "1000000", "--enable-debug-command", "yes",
		"--shutdown-timeout", "0")
	c := dial(t, s)
	if _, ok := s.DurableOffset(); ok {
		t.Error("durable without an AOF")
	}
	c.Want("DEBUG POPULATE 100", "OK", "CONFIG SET appendonly yes", "OK", "SET k v", "OK")
	if err := s.syncLog(s.store.Log()); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.DurableOffset(); ok {
		t.Error("durable without a base")
	}
	if err := s.Shutdown(0); err != errShutdownFails {
		t.Errorf("a shutdown that loses everything: %v", err)
	}
	c.Want("CONFIG SET rdb-key-save-delay 0", "OK")
	testclient.Eventually(t, "the base is written", func() bool { _, ok := s.DurableOffset(); return ok })
	if off, _ := s.DurableOffset(); off != s.store.Log().Reserved() {
		t.Errorf("durable up to %d of %d", off, s.store.Log().Reserved())
	}
	c.Want("CONFIG SET appendonly no", "OK")
	if _, ok := s.DurableOffset(); ok {
		t.Error("durable with the AOF off")
	}
}
