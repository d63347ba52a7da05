package stock

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"tidemark/cmd/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// tool runs one of the stock programs and returns its output.
func tool(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is needed and is not in PATH (Debian: apt-get install redis-server redis-tools): %v", name, err)
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func start(t *testing.T, args ...string) *servertest.Server {
	return servertest.StartTidemark(t, servertest.Config{Args: append([]string{"--appendonly", "yes", "--save", ""}, args...)})
}

func port(s *servertest.Server) string { return strconv.Itoa(s.Port) }

func TestRedisCLI(t *testing.T) {
	srv := start(t)
	out := tool(t, "SET greeting \"hello world\"\nGET greeting\nINCR n\nMULTI\nSET a 1\nEXEC\nTTL greeting\n", "redis-cli", "-p", port(srv))
	want := "OK\nhello world\n1\nOK\nQUEUED\nOK\n-1\n"
	if out != want {
		t.Errorf("redis-cli printed %q, want %q", out, want)
	}
	if out := tool(t, "", "redis-cli", "-3", "-p", port(srv), "GET", "greeting"); !strings.Contains(out, "hello world") {
		t.Errorf("redis-cli -3: %q", out)
	}
	if out := tool(t, "", "redis-cli", "-p", port(srv), "--scan", "--pattern", "g*"); out != "greeting\n" {
		t.Errorf("redis-cli --scan: %q", out)
	}
	if out := tool(t, "", "redis-cli", "-p", port(srv), "INFO", "server"); !strings.Contains(out, "tidemark_version:") || !strings.Contains(out, "redis_version:7.4.") {
		t.Errorf("INFO server:\n%s", out)
	}
	// Bulk loading, as people seed a server.
	var b []byte
	for i := range 5000 {
		b = servertest.AppendCommand(b, "SET", fmt.Sprintf("bulk:%d", i), "v")
	}
	if out := tool(t, string(b), "redis-cli", "-p", port(srv), "--pipe"); !strings.Contains(out, "errors: 0, replies: 5000") {
		t.Errorf("redis-cli --pipe: %s", out)
	}
}

func TestRedisBenchmark(t *testing.T) {
	for _, policy := range []string{"everysec", "always"} {
		srv := start(t, "--appendfsync", policy)
		out := tool(t, "", "redis-benchmark", "-p", port(srv), "-q", "-n", "20000", "-c", "50", "-P", "16", "-r", "1000", "-t", "ping,set,get,incr,mset")
		for _, name := range []string{"PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"} {
			if !strings.Contains(out, name+": ") {
				t.Errorf("appendfsync %s: no result for %s:\n%s", policy, name, out)
			}
		}
		if strings.Contains(strings.ToLower(out), "error") {
			t.Errorf("appendfsync %s:\n%s", policy, out)
		}
	}
}

// go-redis writes, the process is killed in the middle, and every write that the client was told of is there afterwards.
func TestGoRedisThroughAKill(t *testing.T) {
	srv := start(t, "--appendfsync", "always")
	ctx := context.Background()
	rdb := redis.NewClient(&redis.Options{Addr: srv.Addr, PoolSize: 8, MaxRetries: -1})
	defer rdb.Close()
	if err := rdb.Set(ctx, "k", "v", time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	if ttl := rdb.TTL(ctx, "k").Val(); ttl < 59*time.Minute || ttl > time.Hour {
		t.Errorf("TTL %v", ttl)
	}
	if _, err := rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Incr(ctx, "tx")
		p.Incr(ctx, "tx")
		return nil
	}); err != nil {
		t.Error(err)
	}
	err := rdb.Watch(ctx, func(tx *redis.Tx) error {
		rdb.Set(ctx, "watched", "changed", 0)
		_, err := tx.TxPipelined(ctx, func(p redis.Pipeliner) error { p.Set(ctx, "watched", "mine", 0); return nil })
		return err
	}, "watched")
	if !errors.Is(err, redis.TxFailedErr) {
		t.Errorf("a transaction on a changed key: %v", err)
	}
	var mu sync.Mutex
	acked := map[string]bool{}
	var wg sync.WaitGroup
	begun := make(chan struct{}, 8)
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("go:%d:%d", w, i)
				if rdb.Set(ctx, key, "v", 0).Err() != nil {
					return
				}
				mu.Lock()
				acked[key] = true
				mu.Unlock()
				if i == 50 {
					begun <- struct{}{}
				}
			}
		})
	}
	<-begun
	srv.Kill()
	wg.Wait()
	again, err := srv.Restart()
	if err != nil {
		t.Fatal(err)
	}
	defer again.Kill()
	t.Logf("%d writes acknowledged before the kill", len(acked))
	for key := range acked {
		if err := rdb.Get(ctx, key).Err(); err != nil {
			t.Errorf("acknowledged and lost: %s: %v", key, err)
		}
	}
	if n := rdb.Get(ctx, "tx").Val(); n != "2" {
		t.Errorf("tx = %s", n)
	}
}

// A directory that tidemark leaves, closed or killed, rewritten or not, satisfies
// redis-check-aof and serves a stock redis-server with the same data.
func TestStockRedisTakesTheDirectory(t *testing.T) {
	for _, c := range []struct {
		name    string
		rewrite bool
		end     func(s *servertest.Server) error
	}{
		{"closed", false, func(s *servertest.Server) error { return s.Stop() }},
		{"closed after a rewrite", true, func(s *servertest.Server) error { return s.Stop() }},
		{"killed and recovered", false, func(s *servertest.Server) error {
			// The tail of a killed server is zeros up to the segment's end; recovery trims it.
			s.Kill()
			again, err := s.Restart()
			if err != nil {
				return err
			}
			return again.Stop()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := start(t, "--appendfsync", "always")
			cl := srv.Connect(t)
			want := populate(t, cl)
			if c.rewrite {
				cl.Must(t, "BGREWRITEAOF")
				waitFor(t, "the rewrite", func() bool {
					info := cl.Must(t, "INFO", "persistence").Str
					return strings.Contains(info, "aof_rewrite_in_progress:0") && strings.Contains(info, "aof_rewrite_scheduled:0")
				})
				cl.Must(t, "SET", "after-rewrite", "v")
				want["0/after-rewrite"] = "v -1"
			}
			if err := c.end(srv); err != nil {
				t.Fatal(err)
			}
			manifests, err := filepath.Glob(filepath.Join(srv.Dir, "*", "*.manifest"))
			if err != nil || len(manifests) != 1 {
				t.Fatalf("manifests: %v %v", manifests, err)
			}
			if out := tool(t, "", "redis-check-aof", manifests[0]); !strings.Contains(out, "All AOF files and manifest are valid") {
				t.Errorf("redis-check-aof:\n%s", out)
			}
			redis := servertest.StartRedis(t, servertest.Config{Dir: srv.Dir, Args: []string{"--appendonly", "yes", "--aof-load-truncated", "no"}})
			got := state(t, redis.Connect(t))
			for k, v := range want {
				if got[k] != v {
					t.Errorf("%s: stock redis has %.60q, tidemark had %.60q", k, got[k], v)
				}
			}
			if len(got) != len(want) {
				t.Errorf("stock redis has %d keys, tidemark had %d", len(got), len(want))
			}
		})
	}
}

// The other way round: tidemark serves what a stock redis-server has left.
func TestTidemarkTakesRedisDirectory(t *testing.T) {
	redis := servertest.StartRedis(t, servertest.Config{Args: []string{"--appendonly", "yes"}})
	c := redis.Connect(t)
	want := populate(t, c)
	if err := redis.Stop(); err != nil {
		t.Fatal(err)
	}
	srv := servertest.StartTidemark(t, servertest.Config{Dir: redis.Dir, Args: []string{"--appendonly", "yes", "--save", ""}})
	got := state(t, srv.Connect(t))
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: tidemark has %.60q, stock redis had %.60q", k, got[k], v)
		}
	}
	if len(got) != len(want) {
		t.Errorf("tidemark has %d keys, stock redis had %d", len(got), len(want))
	}
}

// TestRedisGoesOnAfterAKill: a stock redis-server takes over from a tidemark that was killed, and tidemark from it. Each has all the other wrote.
func TestRedisGoesOnAfterAKill(t *testing.T) {
	for _, policy := range []string{"everysec", "no"} {
		t.Run(policy, func(t *testing.T) {
			srv := start(t, "--appendfsync", policy)
			c := srv.Connect(t)
			want := populate(t, c)
			// What is prepared for the next segment stands behind the one in use by then.
			waitFor(t, "a spare segment", func() bool {
				return strings.Contains(c.Must(t, "INFO", "persistence").Str, "tidemark_spare_segments:1")
			})
			srv.Kill()
			for round := range 2 {
				redis := servertest.StartRedis(t, servertest.Config{Dir: srv.Dir, Args: []string{"--appendonly", "yes"}})
				rc := redis.Connect(t)
				rc.Must(t, "SELECT", "4")
				for i := range 50 {
					rc.Must(t, "SET", fmt.Sprintf("redis:%d:%d", round, i), strings.Repeat("y", i))
					want[fmt.Sprintf("4/redis:%d:%d", round, i)] = strings.Repeat("y", i) + " -1"
				}
				if err := redis.Stop(); err != nil {
					t.Fatal(err)
				}
				again := servertest.StartTidemark(t, servertest.Config{Dir: srv.Dir, Args: []string{"--appendonly", "yes", "--appendfsync", policy, "--save", ""}})
				tc := again.Connect(t)
				if got := state(t, tc); !maps.Equal(got, want) {
					t.Fatalf("round %d: tidemark has %d keys of %d", round, len(got), len(want))
				}
				tc.Must(t, "SET", fmt.Sprintf("ours:%d", round), "z")
				want[fmt.Sprintf("0/ours:%d", round)] = "z -1"
				again.Kill()
			}
		})
	}
}

// populate writes strings of all kinds into several databases and returns the state.
func populate(t *testing.T, c *servertest.Client) map[string]string {
	t.Helper()
	c.Must(t, "SELECT", "0")
	for i := range 300 {
		c.Must(t, "SET", fmt.Sprintf("k%d", i), strings.Repeat("x", i*7))
	}
	c.Must(t, "SET", "large", strings.Repeat("0123456789", 300000))
	c.Must(t, "SET", "bin\x00\r\n\xff", "\x00\r\n*1\r\n$4\r\nPING\r\n#")
	c.Must(t, "INCRBYFLOAT", "f", "3.14")
	c.Must(t, "INCRBY", "n", "-42")
	c.Must(t, "SET", "e", "v", "PXAT", "4102444800123")
	c.Must(t, "SET", "gone", "v", "PXAT", "4102444800123", "GET")
	c.Must(t, "GETDEL", "gone")
	c.Must(t, "SETBIT", "bits", "1000", "1")
	c.Must(t, "MULTI")
	c.Must(t, "SET", "in-multi", "1")
	c.Must(t, "APPEND", "in-multi", "2")
	c.Must(t, "EXEC")
	c.Must(t, "SELECT", "9")
	c.Must(t, "MSET", "a", "1", "b", "2")
	c.Must(t, "RENAME", "a", "c")
	c.Must(t, "SELECT", "3")
	c.Must(t, "SET", "x", "y")
	c.Must(t, "COPY", "x", "x", "DB", "5")
	return state(t, c)
}

func state(t *testing.T, c *servertest.Client) map[string]string {
	t.Helper()
	out := map[string]string{}
	for db := range 16 {
		c.Must(t, "SELECT", strconv.Itoa(db))
		for _, k := range c.Must(t, "KEYS", "*").Strings() {
			out[strconv.Itoa(db)+"/"+k] = c.Must(t, "GET", k).Str + " " + c.Must(t, "PEXPIRETIME", k).String()[1:]
		}
	}
	c.Must(t, "SELECT", "0")
	return out
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen within 20 s", what)
		}
	}
}

// SIGTERM and SHUTDOWN end the server with status 0 and keep everything.
func TestShutdown(t *testing.T) {
	for name, end := range map[string]func(s *servertest.Server, c *servertest.Client){
		"SIGTERM":         func(s *servertest.Server, c *servertest.Client) { s.Signal(syscall.SIGTERM) },
		"SIGINT":          func(s *servertest.Server, c *servertest.Client) { s.Signal(syscall.SIGINT) },
		"SHUTDOWN":        func(s *servertest.Server, c *servertest.Client) { c.Do("SHUTDOWN") },
		"SHUTDOWN NOSAVE": func(s *servertest.Server, c *servertest.Client) { c.Do("SHUTDOWN", "NOSAVE") },
		"SHUTDOWN NOW":    func(s *servertest.Server, c *servertest.Client) { c.Do("SHUTDOWN", "NOW", "FORCE") },
	} {
		t.Run(name, func(t *testing.T) {
			srv := start(t, "--appendfsync", "no")
			c := srv.Connect(t)
			for i := range 1000 {
				c.Must(t, "SET", fmt.Sprintf("k%d", i), "v")
			}
			end(srv, c)
			select {
			case <-srv.Done():
			case <-time.After(20 * time.Second):
				t.Fatalf("still running after 20 s\n%s", srv.Log())
			}
			if code := srv.ExitCode(); code != 0 {
				t.Errorf("exit status %d\n%s", code, srv.Log())
			}
			again, err := srv.Restart()
			if err != nil {
				t.Fatal(err)
			}
			defer again.Kill()
			if n := again.Connect(t).Must(t, "DBSIZE").Int; n != 1000 {
				t.Errorf("%d keys of 1000 are left", n)
			}
		})
	}
}
