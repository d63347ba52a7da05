package engine

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/engine/config"
	"tidemark/engine/serverlog"
)

// testServer starts a server on a free port with its data in dir.
func testServer(t testing.TB, dir string, options ...string) *Server {
	t.Helper()
	return testServerWith(t, nil, dir, options...)
}

// testServerWith is testServer with an extension.
func testServerWith(t testing.TB, ext Extension, dir string, options ...string) *Server {
	t.Helper()
	args := append([]string{"--port", freePort(t), "--bind", "127.0.0.1", "--dir", dir, "--save", ""}, options...)
	inv, err := config.ParseArgs(args)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Read(inv, nil)
	if err != nil {
		t.Fatal(err)
	}
	log, err := serverlog.New(serverlog.Options{Path: filepath.Join(dir, "log")})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(cfg, log, ext)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.WaitLoaded(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stopServer(t, s)
		log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("the server's log:\n%s", text)
		}
	})
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

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// client speaks to a server; replies come as one line of text, arrays in brackets.
type client struct {
	t *testing.T
	c net.Conn
	r *bufio.Reader

	second bool   // made to find out why another client got no reply
	last   string // command sent
}

func dial(t *testing.T, s *Server) *client {
	t.Helper()
	c, err := net.Dial("tcp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { c.Close() })
	return &client{t: t, c: c, r: bufio.NewReader(c)}
}

func (c *client) send(line string) {
	c.t.Helper()
	c.last = line
	words := strings.Fields(line)
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	if _, err := c.c.Write([]byte(b.String())); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) reply() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		if addr := c.c.RemoteAddr().String(); !c.second {
			if n, err := net.Dial("tcp", addr); err == nil {
				o := &client{t: c.t, c: n, r: bufio.NewReader(n), second: true}
				n.SetDeadline(time.Now().Add(2 * time.Second))
				c.t.Logf("another client sees:\n%s\n%s", o.do("CLIENT LIST"), o.do("INFO persistence"))
				n.Close()
			}
		}
		c.t.Fatalf("no reply to %q: %v", c.last, err)
	}
	line = strings.TrimSuffix(line, "\r\n")
	n, _ := strconv.Atoi(line[1:])
	switch line[0] {
	case '$':
		if n < 0 {
			return "nil"
		}
		b := make([]byte, n+2)
		for at := 0; at < len(b); {
			m, err := c.r.Read(b[at:])
			if err != nil {
				c.t.Fatal(err)
			}
			at += m
		}
		return string(b[:n])
	case '*':
		if n < 0 {
			return "nil"
		}
		out := make([]string, n)
		for i := range out {
			out[i] = c.reply()
		}
		return "[" + strings.Join(out, " ") + "]"
	case '+', ':':
		return line[1:]
	}
	return line
}

func (c *client) do(line string) string {
	c.t.Helper()
	c.send(line)
	return c.reply()
}

// want runs commands and compares their replies: command, reply, command, reply ...
func (c *client) want(pairs ...string) {
	c.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if got := c.do(pairs[i]); got != pairs[i+1] {
			c.t.Fatalf("%s: %s, want %s", pairs[i], got, pairs[i+1])
		}
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// TestPipelineInOneRead: requests that arrive together are prepared together, before the first of them has been executed. What the first ones do to
// the later ones must hold all the same.
func TestPipelineInOneRead(t *testing.T) {
	s := testServer(t, t.TempDir(), "--requirepass", "secret")
	c := dial(t, s)
	pairs := []string{
		"GET a", "-NOAUTH Authentication required.", "AUTH secret", "OK", "SET a 1", "OK", "GET a", "1", "DEL a", "1", "GET a", "nil", "SET a 2", "OK",
		"SELECT 1", "OK", "GET a", "nil", "SET a other", "OK", "SWAPDB 0 1", "OK", "GET a", "2", "SELECT 0", "OK", "GET a", "other",
		"NOSUCH a", "-ERR unknown command 'NOSUCH', with args beginning with: 'a' ", "GET", "-ERR wrong number of arguments for 'get' command",
		"FLUSHALL", "OK", "GET a", "nil", "RPUSH l x", "1", "GET l", "-WRONGTYPE Operation against a key holding the wrong kind of value",
		"MULTI", "OK", "SET a 3", "QUEUED", "GET a", "QUEUED", "EXEC", "[OK 3]", "GET a", "3",
		"WATCH a", "OK", "SET a 4", "OK", "MULTI", "OK", "SET a 5", "QUEUED", "EXEC", "nil", "GET a", "4",
		"LPOP l", "x", "RENAME a b", "OK", "GET b", "4", "GET a", "nil", "RESET", "RESET", "GET b", "-NOAUTH Authentication required.",
	}
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		words := strings.Fields(pairs[i])
		fmt.Fprintf(&b, "*%d\r\n", len(words))
		for _, w := range words {
			fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
		}
	}
	c.c.Write([]byte(b.String()))
	for i := 0; i < len(pairs); i += 2 {
		c.last = pairs[i]
		if got := c.reply(); got != pairs[i+1] {
			t.Fatalf("%s: %s, want %s", pairs[i], got, pairs[i+1])
		}
	}
}

func TestDataSurviveRestart(t *testing.T) {
	for _, policy := range []string{"always", "everysec", "no"} {
		t.Run(policy, func(t *testing.T) {
			dir := t.TempDir()
			s := testServer(t, dir, "--appendfsync", policy)
			c := dial(t, s)
			c.want("SET a 1", "OK", "INCR a", "2", "SELECT 3", "OK", "SET b x", "OK", "SELECT 0", "OK", "APPEND a 0", "2",
				"MULTI", "OK", "SET c 3", "QUEUED", "SELECT 3", "QUEUED", "SET d 4", "QUEUED", "EXEC", "[OK OK OK]",
				"SELECT 0", "OK", "SET e 5 EX 100", "OK", "SET gone 1 PX 1", "OK", "DEL c", "1")
			stopServer(t, s)
			s = testServer(t, dir, "--appendfsync", policy)
			c = dial(t, s)
			c.want("GET a", "20", "EXISTS c gone", "0", "SELECT 3", "OK", "MGET b d", "[x 4]", "SELECT 0", "OK")
			if ttl, _ := strconv.Atoi(c.do("TTL e")); ttl < 90 || ttl > 100 {
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
		c.send(fmt.Sprintf("SET key:%d value:%d", i, i))
	}
	for range 5000 {
		c.reply()
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
				w.want("INCR counter", strconv.Itoa(n), fmt.Sprintf("SET key:%d changed:%d", n%5000, n), "OK")
			}
		}
	}()
	for range 3 {
		c.do("BGREWRITEAOF")
		eventually(t, "the rewrite ends", func() bool { return strings.Contains(c.do("INFO persistence"), "aof_rewrite_in_progress:0") })
	}
	close(stop)
	n := <-done
	digest := c.do("GET counter")
	if digest != strconv.Itoa(n) {
		t.Fatalf("counter %s, want %d", digest, n)
	}
	want := map[string]string{}
	for i := range 5000 {
		k := fmt.Sprintf("key:%d", i)
		want[k] = c.do("GET " + k)
	}
	if !strings.Contains(c.do("INFO persistence"), "aof_last_bgrewrite_status:ok") {
		t.Error("the rewrite failed")
	}
	stopServer(t, s)
	s = testServer(t, dir)
	c = dial(t, s)
	c.want("GET counter", digest, "DBSIZE", "5001")
	for k, v := range want {
		if got := c.do("GET " + k); got != v {
			t.Fatalf("%s: %s after restart, %s before", k, got, v)
		}
	}
}

func TestSwitchAppendOnly(t *testing.T) {
	dir := t.TempDir()
	s := testServer(t, dir, "--appendonly", "no")
	c := dial(t, s)
	c.want("SET before 1", "OK", "CONFIG SET appendonly yes", "OK", "SET after 2", "OK")
	eventually(t, "the first rewrite ends", func() bool {
		return strings.Contains(c.do("INFO persistence"), "aof_rewrite_in_progress:0")
	})
	c.want("CONFIG SET appendfsync always", "OK", "SET third 3", "OK", "CONFIG SET appendonly no", "OK", "SET lost 4", "OK")
	c.want("CONFIG SET appendonly yes", "OK")
	eventually(t, "the second rewrite ends", func() bool {
		return strings.Contains(c.do("INFO persistence"), "aof_rewrite_in_progress:0")
	})
	c.want("SET fifth 5", "OK")
	stopServer(t, s)
	s = testServer(t, dir)
	c = dial(t, s)
	c.want("MGET before after third lost fifth", "[1 2 3 4 5]")
}

// TestRewriteWithLargeValues: values that the writer encodes, beside the walk, while they are changed, replaced and removed.
func TestRewriteWithLargeValues(t *testing.T) {
	dir := t.TempDir()
	s := testServer(t, dir)
	c := dial(t, s)
	const keys = 200
	for i := range keys {
		c.do(fmt.Sprintf("SETRANGE key:%d %d x", i, 5000+i*900))
		c.want(fmt.Sprintf("SET small:%d %d", i, i), "OK")
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
				w.do(fmt.Sprintf("SETRANGE key:%d %d changed:%d", k, n%5000, n))
			case 1:
				w.do(fmt.Sprintf("APPEND key:%d appended:%d", k, n))
			case 2:
				w.do(fmt.Sprintf("COPY key:%d key:%d REPLACE", k, (k+1)%keys))
			case 3:
				w.do(fmt.Sprintf("DEL key:%d", k))
				w.do(fmt.Sprintf("SETRANGE key:%d %d y", k, 9000+n%50000))
			}
		}
	}()
	for range 4 {
		c.do("BGREWRITEAOF")
		eventually(t, "the rewrite ends", func() bool { return strings.Contains(c.do("INFO persistence"), "aof_rewrite_in_progress:0") })
		if !strings.Contains(c.do("INFO persistence"), "aof_last_bgrewrite_status:ok") {
			t.Error("the rewrite failed")
		}
	}
	close(stop)
	<-done
	want := make([]string, keys)
	for i := range want {
		want[i] = c.do(fmt.Sprintf("GET key:%d", i))
	}
	size := c.do("DBSIZE")
	stopServer(t, s)
	c = dial(t, testServer(t, dir))
	c.want("DBSIZE", size)
	for i := range want {
		if got := c.do(fmt.Sprintf("GET key:%d", i)); got != want[i] {
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
		eventually(t, "the rewrite ends", func() bool {
			return strings.Contains(c.do("INFO persistence"), "aof_rewrite_in_progress:0")
		})
		if !strings.Contains(c.do("INFO persistence"), "aof_last_bgrewrite_status:ok") {
			t.Fatal("the rewrite failed")
		}
	}
	if got := c.do("DEBUG LOADAOF"); !strings.HasPrefix(got, "-ERR Error trying to load the AOF files") {
		t.Errorf("without an AOF: %s", got)
	}
	c.want("SET k 1", "OK", "BGREWRITEAOF", "Background append only file rewriting started")
	rewritten()
	c.want("SET k 2", "OK", "SET other 3", "OK", "DEBUG LOADAOF", "OK", "MGET k other", "[1 nil]")
	c.want("SET k 4 PX 600000", "OK", "MULTI", "OK", "BGREWRITEAOF", "QUEUED", "EXEC", "[Background append only file rewriting scheduled]")
	eventually(t, "the second rewrite", func() bool { return strings.Contains(c.do("INFO persistence"), "aof_rewrites:2") })
	rewritten()
	c.want("CONFIG SET appendonly yes", "OK", "APPEND k 5", "2")
	rewritten()
	stopServer(t, s)
	c = dial(t, testServer(t, dir, "--appendonly", "yes"))
	c.want("GET k", "45", "DBSIZE", "1")
}

// TestSwitchOffAbortsRewrite: nothing is left of a rewrite, and it does not count as failed.
func TestSwitchOffAbortsRewrite(t *testing.T) {
	dir := t.TempDir()
	s := testServer(t, dir, "--enable-debug-command", "yes")
	c := dial(t, s)
	c.want("DEBUG POPULATE 300000", "OK")
	c.send("BGREWRITEAOF")
	c.send("CONFIG SET appendonly no")
	c.send("INFO persistence")
	if got := c.reply(); got != "Background append only file rewriting started" {
		t.Fatal(got)
	}
	if got := c.reply(); got != "OK" {
		t.Fatal(got)
	}
	info := c.reply()
	for _, want := range []string{"aof_enabled:0", "aof_rewrite_in_progress:0", "aof_last_bgrewrite_status:ok"} {
		if !strings.Contains(info, want) {
			t.Errorf("%s is not in %s", want, info)
		}
	}
	c.want("SET not logged", "OK", "CONFIG SET appendonly yes", "OK")
	eventually(t, "the next rewrite ends", func() bool {
		return strings.Contains(c.do("INFO persistence"), "aof_rewrite_in_progress:0")
	})
	if log, _ := os.ReadFile(filepath.Join(dir, "log")); !strings.Contains(string(log), "AOF rewrite is in progress; it is given up") {
		t.Errorf("the rewrite was not given up:\n%s", log)
	}
	stopServer(t, s)
	c = dial(t, testServer(t, dir))
	c.want("DBSIZE", "300001", "GET not", "logged")
}

// TestClientBuffersCount: what clients have sent and not yet been sent is used memory, and makes keys go.
func TestClientBuffersCount(t *testing.T) {
	s := testServer(t, t.TempDir(), "--appendonly", "no", "--maxmemory", "20mb", "--maxmemory-policy", "allkeys-lru",
		"--enable-debug-command", "yes")
	c := dial(t, s)
	c.want("DEBUG POPULATE 1000 key 5000", "OK", "DBSIZE", "1000")
	used := s.store.UsedMemory()
	unfinished := dial(t, s)
	fmt.Fprintf(unfinished.c, "*2\r\n$4\r\nECHO\r\n$%d\r\n", 100<<20)
	if _, err := unfinished.c.Write(make([]byte, 18<<20)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the bytes are used memory", func() bool { return s.store.UsedMemory() > used+17<<20 })
	eventually(t, "reading makes keys go", func() bool { // each command has a bounded time for it
		c.do("GET none")
		n, _ := strconv.Atoi(c.do("DBSIZE"))
		return n < 900
	})
	unfinished.c.Close()
	eventually(t, "the memory is free again", func() bool { return s.store.UsedMemory() <= used })
}

// TestFlushAllSaves: with save points, what was flushed does not come back from the RDB file, and no change waits for a save.
func TestFlushAllSaves(t *testing.T) {
	dir := t.TempDir()
	s := testServer(t, dir, "--appendonly", "no", "--save", "3600 1000")
	c := dial(t, s)
	clean := func() {
		t.Helper()
		if info := c.do("INFO persistence"); !strings.Contains(info, "rdb_changes_since_last_save:0") {
			t.Errorf("changes are left: %s", info)
		}
	}
	c.want("SET k 1", "OK", "SAVE", "OK", "SET k 2", "OK", "FLUSHALL", "OK")
	clean()
	c.want("SET k 3", "OK", "BGSAVE", "Background saving started", "MULTI", "OK", "SET j 1", "QUEUED", "FLUSHALL SYNC", "QUEUED", "EXEC", "[OK OK]")
	clean()
	c.want("FLUSHALL NONSENSE", "-ERR syntax error")
	s.Shutdown(config.ShutdownNoSave)
	c = dial(t, testServer(t, dir, "--appendonly", "no"))
	c.want("DBSIZE", "0")
}

// TestFlushAllEndsSave: a save that is under way is of data that are gone; it ends, and has not failed.
func TestFlushAllEndsSave(t *testing.T) {
	dir := t.TempDir()
	s := testServer(t, dir, "--appendonly", "no", "--rdb-key-save-delay", "1000000", "--enable-debug-command", "yes")
	c := dial(t, s)
	c.want("DEBUG POPULATE 100", "OK", "BGSAVE", "Background saving started", "FLUSHALL", "OK")
	eventually(t, "the save ends", func() bool { return strings.Contains(c.do("INFO persistence"), "rdb_bgsave_in_progress:0") })
	if info := c.do("INFO persistence"); !strings.Contains(info, "rdb_last_bgsave_status:ok") || !strings.Contains(info, "rdb_changes_since_last_save:100") {
		t.Error(info)
	}
	if _, err := os.Stat(filepath.Join(dir, "dump.rdb")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the save left its file: %v", err)
	}
	// Nor does it keep anybody from writing while the emptied data are saved.
	c = dial(t, testServer(t, t.TempDir(), "--appendonly", "no", "--rdb-key-save-delay", "1000000", "--enable-debug-command", "yes", "--save", "3600 1000"))
	c.want("DEBUG POPULATE 100", "OK", "BGSAVE", "Background saving started")
	go func() { _, _ = c.c.Write([]byte("FLUSHALL\r\n")) }()
	w := dial(t, s)
	for range 2000 {
		w.want("SET k v", "OK")
	}
	if got := c.reply(); got != "OK" {
		t.Error(got)
	}
}

func TestTransactions(t *testing.T) {
	s := testServer(t, t.TempDir(), "--appendfsync", "always")
	a, b := dial(t, s), dial(t, s)
	a.want("SET k 1", "OK", "WATCH k", "OK", "MULTI", "OK", "INCR k", "QUEUED")
	b.want("SET k 5", "OK")
	a.want("EXEC", "nil", "GET k", "5")
	a.want("WATCH k", "OK", "MULTI", "OK", "INCR k", "QUEUED", "INCR nosuch extra", "-ERR wrong number of arguments for 'incr' command",
		"EXEC", "-EXECABORT Transaction discarded because of previous errors.", "GET k", "5")
	a.want("MULTI", "OK", "INCR k", "QUEUED", "APPEND k x", "QUEUED", "INCR k", "QUEUED",
		"EXEC", "[6 2 -ERR value is not an integer or out of range]", "GET k", "6x",
		"EXEC", "-ERR EXEC without MULTI", "DISCARD", "-ERR DISCARD without MULTI")
}

func TestActiveExpiry(t *testing.T) {
	s := testServer(t, t.TempDir())
	c := dial(t, s)
	for i := range 3000 {
		c.send(fmt.Sprintf("SET k%d v PX 30", i))
	}
	for range 3000 {
		c.reply()
	}
	c.want("SET later v EX 100", "OK")
	eventually(t, "all expired keys are gone", func() bool { return c.do("DBSIZE") == "1" })
	if !strings.Contains(c.do("INFO stats"), "expired_keys:3000") {
		t.Error("INFO does not count them")
	}
}

func TestReadersNeverSeeUnsyncedValues(t *testing.T) {
	s := testServer(t, t.TempDir(), "--appendfsync", "always")
	w, r := dial(t, s), dial(t, s)
	for i := range 300 {
		w.send("SET k " + strconv.Itoa(i))
		got := r.do("GET k")
		synced := s.store.Log().Synced()
		k := s.store.MakeKey([]byte("k"))
		k.Shard.Lock()
		// Whoever has been told the new value must find it on the disk: nothing was written since.
		if got == strconv.Itoa(i) && synced < s.store.Log().Reserved() {
			t.Errorf("value %s was read with Synced %d of %d", got, synced, s.store.Log().Reserved())
		}
		k.Shard.Unlock()
		w.reply()
	}
}

func TestTransactionsAreBounded(t *testing.T) {
	s := testServer(t, t.TempDir(), "--client-query-buffer-limit", "1mb")
	c := dial(t, s)
	c.want("MULTI", "OK")
	value := strings.Repeat("x", 100_000)
	for range 10 {
		c.want("SET k "+value, "QUEUED")
	}
	c.send("SET k " + value)
	if _, err := c.r.ReadByte(); err == nil {
		t.Fatal("the transaction may grow beyond client-query-buffer-limit")
	}
	dial(t, s).want("EXISTS k", "0", "PING", "PONG")
}

// TestBlockWithoutKeys: a transaction of nothing but writes that name no key locks no shard. They are answered as outside of one.
func TestBlockWithoutKeys(t *testing.T) {
	c := dial(t, testServer(t, t.TempDir(), "--appendonly", "yes"))
	for _, command := range []string{"XREADGROUP GROUP g c COUNT 1 COUNT 1", "LMPOP 0 k LEFT", "ZMPOP x k MIN", "BLMPOP 0 0 k LEFT"} {
		outside := c.do(command)
		c.want("MULTI", "OK", command, "QUEUED", "EXEC", "["+outside+"]")
	}
}
