package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tidemark/engine/command/commandtest"
	"tidemark/engine/config"
	"tidemark/engine/testclient"
)

// testServer starts a server on a free port with its data in dir.
func testServer(t testing.TB, dir string, options ...string) *Server {
	t.Helper()
	return testServerWith(t, nil, dir, options...)
}

// testServerWith is testServer with an extension.
func testServerWith(t testing.TB, ext Extension, dir string, options ...string) *Server {
	t.Helper()
	cfg, log := testclient.Setup(t, dir, testclient.FreePort(t), options...)
	s, err := Start(cfg, log, ext)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.WaitLoaded(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopServer(t, s) })
	return s
}

func stopServer(t testing.TB, s *Server) {
	t.Helper()
	select {
	case <-s.stop.done:
		return
	default:
	}
	if err := s.Shutdown(config.ShutdownNoSave); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	s.Wait()
}

// dial connects a client to s.
func dial(t testing.TB, s *Server) *testclient.Client {
	t.Helper()
	return testclient.Dial(t, s.Addrs()[0].String())
}

// TestPipelineInOneRead: requests that arrive together are prepared together, before the first of them has been executed. What the first ones do to
// the later ones must hold all the same.
func TestPipelineInOneRead(t *testing.T) {
	s := testServer(t, t.TempDir(), "--requirepass", "secret")
	c := dial(t, s)
	c.WantAtOnce(
		"GET a", "-NOAUTH Authentication required.", "AUTH secret", "OK", "SET a 1", "OK", "GET a", "1", "DEL a", "1", "GET a", "nil", "SET a 2", "OK",
		"SELECT 1", "OK", "GET a", "nil", "SET a other", "OK", "SWAPDB 0 1", "OK", "GET a", "2", "SELECT 0", "OK", "GET a", "other",
		"NOSUCH a", "-ERR unknown command 'NOSUCH', with args beginning with: 'a' ", "GET", "-ERR wrong number of arguments for 'get' command",
		"FLUSHALL", "OK", "GET a", "nil", "RPUSH l x", "1", "GET l", "-WRONGTYPE Operation against a key holding the wrong kind of value",
		"MULTI", "OK", "SET a 3", "QUEUED", "GET a", "QUEUED", "EXEC", "[OK 3]", "GET a", "3",
		"WATCH a", "OK", "SET a 4", "OK", "MULTI", "OK", "SET a 5", "QUEUED", "EXEC", "nil", "GET a", "4",
		"LPOP l", "x", "RENAME a b", "OK", "GET b", "4", "GET a", "nil", "RESET", "RESET", "GET b", "-NOAUTH Authentication required.",
	)
}

func TestDataSurviveRestart(t *testing.T) {
	for _, policy := range []string{"always", "everysec", "no"} {
		t.Run(policy, func(t *testing.T) {
			dir := t.TempDir()
			s := testServer(t, dir, "--appendfsync", policy)
			c := dial(t, s)
			c.Want("SET a 1", "OK", "INCR a", "2", "SELECT 3", "OK", "SET b x", "OK", "SELECT 0", "OK", "APPEND a 0", "2",
				"MULTI", "OK", "SET c 3", "QUEUED", "SELECT 3", "QUEUED", "SET d 4", "QUEUED", "EXEC", "[OK OK OK]",
				"SELECT 0", "OK", "SET e 5 EX 100", "OK", "SET gone 1 PX 1", "OK", "DEL c", "1")
			stopServer(t, s)
			s = testServer(t, dir, "--appendfsync", policy)
			c = dial(t, s)
			c.Want("GET a", "20", "EXISTS c gone", "0", "SELECT 3", "OK", "MGET b d", "[x 4]", "SELECT 0", "OK")
			if ttl, _ := strconv.Atoi(c.Do("TTL e")); ttl < 90 || ttl > 100 {
				t.Errorf("TTL after restart: %d", ttl)
			}
		})
	}
}

func TestRewriteKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	s := testServer(t, dir)
	c := dial(t, s)
	for i := range 5000 {
		c.Send(fmt.Sprintf("SET key:%d value:%d", i, i))
	}
	for range 5000 {
		c.Reply()
	}
	stop := make(chan struct{})
	done := make(chan int)
	go func() { // writes go on during the rewrite
		w := dial(t, s)
		n := 0
		for {
			select {
			case <-stop:
				done <- n
				return
			default:
				n++
				w.Want("INCR counter", strconv.Itoa(n), fmt.Sprintf("SET key:%d changed:%d", n%5000, n), "OK")
			}
		}
	}()
	for range 3 {
		c.Do("BGREWRITEAOF")
		testclient.Eventually(t, "the rewrite ends", func() bool { return strings.Contains(c.Do("INFO persistence"), "aof_rewrite_in_progress:0") })
	}
	close(stop)
	n := <-done
	digest := c.Do("GET counter")
	if digest != strconv.Itoa(n) {
		t.Fatalf("counter %s, want %d", digest, n)
	}
	want := map[string]string{}
	for i := range 5000 {
		k := fmt.Sprintf("key:%d", i)
		want[k] = c.Do("GET " + k)
	}
	if !strings.Contains(c.Do("INFO persistence"), "aof_last_bgrewrite_status:ok") {
		t.Error("the rewrite failed")
	}
	stopServer(t, s)
	s = testServer(t, dir)
	c = dial(t, s)
	c.Want("GET counter", digest, "DBSIZE", "5001")
	for k, v := range want {
		if got := c.Do("GET " + k); got != v {
			t.Fatalf("%s: %s after restart, %s before", k, got, v)
		}
	}
}

func TestSwitchAppendOnly(t *testing.T) {
	dir := t.TempDir()
	s := testServer(t, dir, "--appendonly", "no")
	c := dial(t, s)
	c.Want("SET before 1", "OK", "CONFIG SET appendonly yes", "OK", "SET after 2", "OK")
	testclient.Eventually(t, "the first rewrite ends", func() bool {
		return strings.Contains(c.Do("INFO persistence"), "aof_rewrite_in_progress:0")
	})
	c.Want("CONFIG SET appendfsync always", "OK", "SET third 3", "OK", "CONFIG SET appendonly no", "OK", "SET lost 4", "OK")
	c.Want("CONFIG SET appendonly yes", "OK")
	testclient.Eventually(t, "the second rewrite ends", func() bool {
		return strings.Contains(c.Do("INFO persistence"), "aof_rewrite_in_progress:0")
	})
	c.Want("SET fifth 5", "OK")
	stopServer(t, s)
	s = testServer(t, dir)
	c = dial(t, s)
	c.Want("MGET before after third lost fifth", "[1 2 3 4 5]")
}

// TestRewriteWithLargeValues: values that the writer encodes, beside the walk, while they are changed, replaced and removed.
func TestRewriteWithLargeValues(t *testing.T) {
	dir := t.TempDir()
	s := testServer(t, dir)
	c := dial(t, s)
	const keys = 200
	for i := range keys {
		c.Do(fmt.Sprintf("SETRANGE key:%d %d x", i, 5000+i*900))
		c.Want(fmt.Sprintf("SET small:%d %d", i, i), "OK")
	}
	stop, done := make(chan struct{}), make(chan struct{})
	w := dial(t, s)
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			k := n * 7 % keys
			switch n % 4 {
			case 0:
				w.Do(fmt.Sprintf("SETRANGE key:%d %d changed:%d", k, n%5000, n))
			case 1:
				w.Do(fmt.Sprintf("APPEND key:%d appended:%d", k, n))
			case 2:
				w.Do(fmt.Sprintf("COPY key:%d key:%d REPLACE", k, (k+1)%keys))
			case 3:
				w.Do(fmt.Sprintf("DEL key:%d", k))
				w.Do(fmt.Sprintf("SETRANGE key:%d %d y", k, 9000+n%50000))
			}
		}
	}()
	for range 4 {
		c.Do("BGREWRITEAOF")
		testclient.Eventually(t, "the rewrite ends", func() bool { return strings.Contains(c.Do("INFO persistence"), "aof_rewrite_in_progress:0") })
		if !strings.Contains(c.Do("INFO persistence"), "aof_last_bgrewrite_status:ok") {
			t.Error("the rewrite failed")
		}
	}
	close(stop)
	<-done
	want := make([]string, keys)
	for i := range want {
		want[i] = c.Do(fmt.Sprintf("GET key:%d", i))
	}
	size := c.Do("DBSIZE")
	stopServer(t, s)
	c = dial(t, testServer(t, dir))
	c.Want("DBSIZE", size)
	for i := range want {
		if got := c.Do(fmt.Sprintf("GET key:%d", i)); got != want[i] {
			t.Fatalf("key:%d has %d bytes after the restart, %d before, or others", i, len(got), len(want[i]))
		}
	}
}

// TestRewriteWithoutAppendOnly: BGREWRITEAOF writes an AOF also when nothing is logged, and DEBUG LOADAOF reads it.
func TestRewriteWithoutAppendOnly(t *testing.T) {
	dir := t.TempDir()
	s := testServer(t, dir, "--appendonly", "no", "--enable-debug-command", "yes")
	c := dial(t, s)
	rewritten := func() {
		t.Helper()
		testclient.Eventually(t, "the rewrite ends", func() bool {
			return strings.Contains(c.Do("INFO persistence"), "aof_rewrite_in_progress:0")
		})
		if !strings.Contains(c.Do("INFO persistence"), "aof_last_bgrewrite_status:ok") {
			t.Fatal("the rewrite failed")
		}
	}
	if got := c.Do("DEBUG LOADAOF"); !strings.HasPrefix(got, "-ERR Error trying to load the AOF files") {
		t.Errorf("without an AOF: %s", got)
	}
	c.Want("SET k 1", "OK", "BGREWRITEAOF", "Background append only file rewriting started")
	rewritten()
	c.Want("SET k 2", "OK", "SET other 3", "OK", "DEBUG LOADAOF", "OK", "MGET k other", "[1 nil]")
	c.Want("SET k 4 PX 600000", "OK", "MULTI", "OK", "BGREWRITEAOF", "QUEUED", "EXEC", "[Background append only file rewriting scheduled]")
	testclient.Eventually(t, "the second rewrite", func() bool { return strings.Contains(c.Do("INFO persistence"), "aof_rewrites:2") })
	rewritten()
	c.Want("CONFIG SET appendonly yes", "OK", "APPEND k 5", "2")
	rewritten()
	stopServer(t, s)
	c = dial(t, testServer(t, dir, "--appendonly", "yes"))
	c.Want("GET k", "45", "DBSIZE", "1")
}

// TestSwitchOffAbortsRewrite: nothing is left of a rewrite, and it does not count as failed.
func TestSwitchOffAbortsRewrite(t *testing.T) {
	dir := t.TempDir()
	s := testServer(t, dir, "--enable-debug-command", "yes")
	c := dial(t, s)
	keys := 300000 / min(commandtest.Effort, 5)
	c.Want(fmt.Sprint("DEBUG POPULATE ", keys), "OK")
	c.SendAll("BGREWRITEAOF", "CONFIG SET appendonly no", "INFO persistence")
	if got := c.Reply(); got != "Background append only file rewriting started" {
		t.Fatal(got)
	}
	if got := c.Reply(); got != "OK" {
		t.Fatal(got)
	}
	info := c.Reply()
	for _, want := range []string{"aof_enabled:0", "aof_rewrite_in_progress:0", "aof_last_bgrewrite_status:ok"} {
		if !strings.Contains(info, want) {
			t.Errorf("%s is not in %s", want, info)
		}
	}
	c.Want("SET not logged", "OK", "CONFIG SET appendonly yes", "OK")
	testclient.Eventually(t, "the next rewrite ends", func() bool {
		return strings.Contains(c.Do("INFO persistence"), "aof_rewrite_in_progress:0")
	})
	if log, _ := os.ReadFile(filepath.Join(dir, "log")); !strings.Contains(string(log), "AOF rewrite is in progress; it is given up") {
		t.Errorf("the rewrite was not given up:\n%s", log)
	}
	stopServer(t, s)
	c = dial(t, testServer(t, dir))
	c.Want("DBSIZE", strconv.Itoa(keys+1), "GET not", "logged")
}

// TestClientBuffersCount: what clients have sent and not yet been sent is used memory, and makes keys go.
func TestClientBuffersCount(t *testing.T) {
	s := testServer(t, t.TempDir(), "--appendonly", "no", "--maxmemory", "20mb", "--maxmemory-policy", "allkeys-lru",
		"--enable-debug-command", "yes")
	c := dial(t, s)
	c.Want("DEBUG POPULATE 1000 key 5000", "OK", "DBSIZE", "1000")
	used := s.store.UsedMemory()
	unfinished := dial(t, s)
	fmt.Fprintf(unfinished.Conn, "*2\r\n$4\r\nECHO\r\n$%d\r\n", 100<<20)
	if _, err := unfinished.Conn.Write(make([]byte, 18<<20)); err != nil {
		t.Fatal(err)
	}
	testclient.Eventually(t, "the bytes are used memory", func() bool { return s.store.UsedMemory() > used+17<<20 })
	testclient.Eventually(t, "reading makes keys go", func() bool { // each command has a bounded time for it
		c.Do("GET none")
		n, _ := strconv.Atoi(c.Do("DBSIZE"))
		return n < 900
	})
	unfinished.Conn.Close()
	testclient.Eventually(t, "the memory is free again", func() bool { return s.store.UsedMemory() <= used })
}

// TestFlushAllSaves: with save points, what was flushed does not come back from the RDB file, and no change waits for a save.
func TestFlushAllSaves(t *testing.T) {
	dir := t.TempDir()
	s := testServer(t, dir, "--appendonly", "no", "--save", "3600 1000")
	c := dial(t, s)
	clean := func() {
		t.Helper()
		if info := c.Do("INFO persistence"); !strings.Contains(info, "rdb_changes_since_last_save:0") {
			t.Errorf("changes are left: %s", info)
		}
	}
	c.Want("SET k 1", "OK", "SAVE", "OK", "SET k 2", "OK", "FLUSHALL", "OK")
	clean()
	c.Want("SET k 3", "OK", "BGSAVE", "Background saving started", "MULTI", "OK", "SET j 1", "QUEUED", "FLUSHALL SYNC", "QUEUED", "EXEC", "[OK OK]")
	clean()
	c.Want("FLUSHALL NONSENSE", "-ERR syntax error")
	s.Shutdown(config.ShutdownNoSave)
	c = dial(t, testServer(t, dir, "--appendonly", "no"))
	c.Want("DBSIZE", "0")
}

// TestFlushAllEndsSave: a save that is under way is of data that are gone; it ends, and has not failed.
func TestFlushAllEndsSave(t *testing.T) {
	dir := t.TempDir()
	s := testServer(t, dir, "--appendonly", "no", "--rdb-key-save-delay", "1000000", "--enable-debug-command", "yes")
	c := dial(t, s)
	c.Want("DEBUG POPULATE 100", "OK", "BGSAVE", "Background saving started", "FLUSHALL", "OK")
	testclient.Eventually(t, "the save ends", func() bool { return strings.Contains(c.Do("INFO persistence"), "rdb_bgsave_in_progress:0") })
	if info := c.Do("INFO persistence"); !strings.Contains(info, "rdb_last_bgsave_status:ok") || !strings.Contains(info, "rdb_changes_since_last_save:100") {
		t.Error(info)
	}
	if _, err := os.Stat(filepath.Join(dir, "dump.rdb")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the save left its file: %v", err)
	}
	// Nor does it keep anybody from writing while the emptied data are saved.
	c = dial(t, testServer(t, t.TempDir(), "--appendonly", "no", "--rdb-key-save-delay", "1000000", "--enable-debug-command", "yes", "--save", "3600 1000"))
	c.Want("DEBUG POPULATE 100", "OK", "BGSAVE", "Background saving started")
	go func() { _, _ = c.Conn.Write([]byte("FLUSHALL\r\n")) }()
	w := dial(t, s)
	for range 2000 {
		w.Want("SET k v", "OK")
	}
	if got := c.Reply(); got != "OK" {
		t.Error(got)
	}
}

func TestTransactions(t *testing.T) {
	s := testServer(t, t.TempDir(), "--appendfsync", "always")
	a, b := dial(t, s), dial(t, s)
	a.Want("SET k 1", "OK", "WATCH k", "OK", "MULTI", "OK", "INCR k", "QUEUED")
	b.Want("SET k 5", "OK")
	a.Want("EXEC", "nil", "GET k", "5")
	a.Want("WATCH k", "OK", "MULTI", "OK", "INCR k", "QUEUED", "INCR nosuch extra", "-ERR wrong number of arguments for 'incr' command",
		"EXEC", "-EXECABORT Transaction discarded because of previous errors.", "GET k", "5")
	a.Want("MULTI", "OK", "INCR k", "QUEUED", "APPEND k x", "QUEUED", "INCR k", "QUEUED",
		"EXEC", "[6 2 -ERR value is not an integer or out of range]", "GET k", "6x",
		"EXEC", "-ERR EXEC without MULTI", "DISCARD", "-ERR DISCARD without MULTI")
}

func TestActiveExpiry(t *testing.T) {
	s := testServer(t, t.TempDir())
	c := dial(t, s)
	for i := range 3000 {
		c.Send(fmt.Sprintf("SET k%d v PX 30", i))
	}
	for range 3000 {
		c.Reply()
	}
	c.Want("SET later v EX 100", "OK")
	testclient.Eventually(t, "all expired keys are gone", func() bool { return c.Do("DBSIZE") == "1" })
	if !strings.Contains(c.Do("INFO stats"), "expired_keys:3000") {
		t.Error("INFO does not count them")
	}
}

func TestReadersNeverSeeUnsyncedValues(t *testing.T) {
	s := testServer(t, t.TempDir(), "--appendfsync", "always")
	w, r := dial(t, s), dial(t, s)
	for i := range 300 {
		w.Send("SET k " + strconv.Itoa(i))
		got := r.Do("GET k")
		synced := s.store.Log().Synced()
		k := s.store.MakeKey([]byte("k"))
		k.Shard.Lock()
		// Whoever has been told the new value must find it on the disk: nothing was written since.
		if got == strconv.Itoa(i) && synced < s.store.Log().Reserved() {
			t.Errorf("value %s was read with Synced %d of %d", got, synced, s.store.Log().Reserved())
		}
		k.Shard.Unlock()
		w.Reply()
	}
}

func TestTransactionsAreBounded(t *testing.T) {
	s := testServer(t, t.TempDir(), "--client-query-buffer-limit", "1mb")
	c := dial(t, s)
	c.Want("MULTI", "OK")
	value := strings.Repeat("x", 100_000)
	for range 10 {
		c.Want("SET k "+value, "QUEUED")
	}
	c.Send("SET k " + value)
	if _, err := c.R.ReadByte(); err == nil {
		t.Fatal("the transaction may grow beyond client-query-buffer-limit")
	}
	dial(t, s).Want("EXISTS k", "0", "PING", "PONG")
}

// TestBlockWithoutKeys: a transaction of nothing but writes that name no key locks no shard. They are answered as outside of one.
func TestBlockWithoutKeys(t *testing.T) {
	c := dial(t, testServer(t, t.TempDir(), "--appendonly", "yes"))
	for _, command := range []string{"XREADGROUP GROUP g c COUNT 1 COUNT 1", "LMPOP 0 k LEFT", "ZMPOP x k MIN", "BLMPOP 0 0 k LEFT"} {
		outside := c.Do(command)
		c.Want("MULTI", "OK", command, "QUEUED", "EXEC", "["+outside+"]")
	}
}
