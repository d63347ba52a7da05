package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidemark/engine/config"
	"tidemark/engine/testclient"
)

// startOnly is testServer without waiting for the data.
func startOnly(t *testing.T, dir string, options ...string) *Server {
	t.Helper()
	cfg, log := testclient.Setup(t, dir, testclient.FreePort(t), options...)
	s, err := Start(cfg, log, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopServer(t, s) })
	return s
}

// filled leaves a directory with so many keys in an RDB file, and with AOF if asked to.
func filled(t *testing.T, keys int, aof string) string {
	t.Helper()
	dir := t.TempDir()
	s := testServer(t, dir, "--appendonly", aof, "--enable-debug-command", "yes")
	c := dial(t, s)
	c.Want("DEBUG POPULATE "+strconv.Itoa(keys), "OK", "SET last 1", "OK", "SAVE", "OK")
	if aof == "yes" {
		c.Want("BGREWRITEAOF", "Background append only file rewriting started")
		testclient.Eventually(t, "the rewrite ends", func() bool { return strings.Contains(c.Do("INFO persistence"), "aof_rewrite_in_progress:0") })
		c.Want("SET last 2", "OK")
	}
	stopServer(t, s)
	return dir
}

func field(t *testing.T, info, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut("\r\n"+info, "\r\n"+name+":")
	if !ok {
		t.Fatalf("INFO has no %s:\n%s", name, info)
	}
	v, _, _ := strings.Cut(rest, "\r\n")
	return v
}

// TestLoading: while the data are loaded, clients are served what needs no data, and INFO says how far it is.
func TestLoading(t *testing.T) {
	for _, aof := range []string{"no", "yes"} {
		dir := filled(t, 3000, aof)
		s := startOnly(t, dir, "--appendonly", aof, "--key-load-delay", "2000", "--enable-debug-command", "yes")
		c := dial(t, s)
		c.Want("GET last", "-"+errLoading, "SET last 3", "-"+errLoading, "PING", "-"+errLoading, "TTL k", "-"+errLoading,
			"SELECT 1", "OK", "SELECT 0", "OK", "ECHO x", "x", "CONFIG SET maxmemory 100mb", "OK", "CONFIG SET appendfsync always", "OK",
			"CONFIG SET appendonly yes", "-"+errLoading, "DEBUG RELOAD", "-"+errLoading, "DEBUG POPULATE 5", "-"+errLoading,
			"MULTI", "OK", "GET last", "-"+errLoading, "EXEC", "-"+errExecAbort, "BGSAVE", "-"+errLoading)
		testclient.Eventually(t, "some bytes are loaded", func() bool { return field(t, c.Do("INFO persistence"), "loading_loaded_bytes") != "0" })
		info := c.Do("INFO persistence")
		for name, want := range map[string]string{"loading": "1", "async_loading": "0"} {
			if got := field(t, info, name); got != want {
				t.Errorf("%s is %s", name, got)
			}
		}
		total, _ := strconv.Atoi(field(t, info, "loading_total_bytes"))
		loaded, _ := strconv.Atoi(field(t, info, "loading_loaded_bytes"))
		if loaded <= 0 || loaded >= total {
			t.Errorf("%d of %d bytes are loaded", loaded, total)
		}
		start, _ := strconv.ParseInt(field(t, info, "loading_start_time"), 10, 64)
		if d := time.Now().Unix() - start; d < 0 || d > 20 {
			t.Errorf("loading_start_time is %d s ago", d)
		}
		if perc, err := strconv.ParseFloat(field(t, info, "loading_loaded_perc"), 64); err != nil || perc <= 0 || perc > 100 {
			t.Errorf("loading_loaded_perc: %s", field(t, info, "loading_loaded_perc"))
		}
		field(t, info, "loading_eta_seconds")
		c.Want("CONFIG SET key-load-delay 0", "OK")
		if err := s.WaitLoaded(); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"no": "1", "yes": "2"}[aof]
		c.Want("GET last", want, "DBSIZE", "3001", "CONFIG GET appendfsync", "[appendfsync always]")
		info = c.Do("INFO persistence")
		if field(t, info, "loading") != "0" || strings.Contains(info, "loading_start_time") {
			t.Errorf("after loading:\n%s", info)
		}
		if got := field(t, info, "rdb_last_load_keys_loaded"); got != "3001" {
			t.Errorf("rdb_last_load_keys_loaded is %s", got)
		}
		if aof == "yes" {
			if got := s.store.Log().Policy().String(); got != "always" {
				t.Errorf("the log's policy is %s: what was set while loading is lost", got)
			}
		}
		stopServer(t, s)
	}
}

// TestShutdownWhileLoading: SHUTDOWN ends a server that is still loading, and leaves the files as they were.
func TestShutdownWhileLoading(t *testing.T) {
	for _, aof := range []string{"no", "yes"} {
		dir := filled(t, 3000, aof)
		before, err := os.ReadFile(filepath.Join(dir, "dump.rdb"))
		if err != nil {
			t.Fatal(err)
		}
		s := startOnly(t, dir, "--appendonly", aof, "--key-load-delay", "100000")
		c := dial(t, s)
		c.Want("GET last", "-"+errLoading)
		start := time.Now()
		c.Send("SHUTDOWN SAVE")
		if err := s.WaitLoaded(); !errors.Is(err, ErrStopped) {
			t.Errorf("WaitLoaded: %v", err)
		}
		s.Wait()
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("it took %v", d)
		}
		after, err := os.ReadFile(filepath.Join(dir, "dump.rdb"))
		if err != nil || string(before) != string(after) {
			t.Errorf("the RDB file was written, or went: %v", err)
		}
		s = testServer(t, dir, "--appendonly", aof)
		dial(t, s).Want("DBSIZE", "3001")
		stopServer(t, s)
	}
}

// TestLoadFails: a server whose data cannot be loaded says why, and ends.
func TestLoadFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "dump.rdb"), []byte("REDIS0011 and then nonsense"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := startOnly(t, dir, "--appendonly", "no")
	if err := s.WaitLoaded(); err == nil || !strings.Contains(err.Error(), "dump.rdb") {
		t.Errorf("WaitLoaded: %v", err)
	}
	s.Wait()
}

// TestLoadAOFBesideWriters: DEBUG LOADAOF while others write loses nothing that was acknowledged, now or at the next start.
func TestLoadAOFBesideWriters(t *testing.T) {
	dir := t.TempDir()
	s := testServer(t, dir, "--enable-debug-command", "yes", "--appendfsync", "no")
	admin := dial(t, s)
	var stop atomic.Bool
	const writers = 8
	acked, refused := make([]int, writers), make([]int, writers)
	done := make(chan struct{}, writers)
	for w := range writers {
		c := dial(t, s)
		go func() {
			defer func() { done <- struct{}{} }()
			for n := 1; !stop.Load(); n++ {
				switch got := c.Do(fmt.Sprintf("SET w%d %d", w, n)); got {
				case "OK":
					acked[w] = n
				case "-" + errLoading:
					refused[w]++
				default:
					t.Errorf("SET: %s", got)
					return
				}
			}
		}()
	}
	for range 20 {
		admin.Want("DEBUG LOADAOF", "OK", "DEBUG RELOAD", "OK")
		time.Sleep(5 * time.Millisecond)
	}
	stop.Store(true)
	for range writers {
		<-done
	}
	check := func(c *testclient.Client) {
		t.Helper()
		for w := range writers {
			if got := c.Do(fmt.Sprintf("GET w%d", w)); got != strconv.Itoa(acked[w]) {
				t.Errorf("writer %d: %s, acknowledged was %d", w, got, acked[w])
			}
		}
	}
	check(admin)
	stopServer(t, s)
	s = testServer(t, dir)
	check(dial(t, s))
	t.Logf("acknowledged %v, refused %v", acked, refused)
}

// TestShutdownBeforeLoading: a server that is ended between its first client and its first loaded key does not save that it has nothing.
func TestShutdownBeforeLoading(t *testing.T) {
	dir := filled(t, 10, "no")
	for range 20 {
		s := startOnly(t, dir, "--appendonly", "no")
		if err := s.Shutdown(config.ShutdownSave); err != nil {
			t.Fatal(err)
		}
		s.Wait()
	}
	dial(t, testServer(t, dir, "--appendonly", "no")).Want("DBSIZE", "11")
}
