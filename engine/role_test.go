package engine

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/engine/config"
	"tidemark/engine/testclient"
)

// TestRoleGates: what is refused of clients on a replica, and on a primary without enough replicas.
func TestRoleGates(t *testing.T) {
	s := testServer(t, t.TempDir())
	c, other := dial(t, s), dial(t, s)
	c.Want("SET k v", "OK", "MULTI", "OK", "SET k w", "QUEUED")
	other.Want("MULTI", "OK", "GET k", "QUEUED")
	s.SetRole(Role{Replica: true})
	c.Want("EXEC", "-EXECABORT Transaction discarded because of: "+errReadOnly,
		"SET k w", "-"+errReadOnly, "GET k", "v", "DEL k", "-"+errReadOnly, "FLUSHALL", "-"+errReadOnly,
		"MULTI", "OK", "SET k w", "-"+errReadOnly, "EXEC", "-"+errExecAbort,
		"CONFIG SET replica-serve-stale-data no", "OK",
		"GET k", "-"+errMasterDown, "PING", "-"+errMasterDown, "SET k w", "-"+errReadOnly,
		"CONFIG GET dbfilename", "[dbfilename dump.rdb]", "SELECT 0", "OK")
	other.Want("EXEC", "-EXECABORT Transaction discarded because of: "+errMasterDown)
	if got := c.Do("HELLO 2"); !strings.Contains(got, "role replica") {
		t.Errorf("HELLO: %s", got)
	}
	s.SetRole(Role{Replica: true, LinkUp: true})
	c.Want("GET k", "v", "PING", "PONG", "SET k w", "-"+errReadOnly, "CONFIG SET replica-read-only no", "OK", "SET k w", "OK",
		"CONFIG SET replica-read-only yes", "OK", "SET k x", "-"+errReadOnly)
	s.SetEnoughReplicas(false) // means nothing on a replica
	c.Want("SET k x", "-"+errReadOnly)
	s.SetRole(Role{})
	c.Want("SET k x", "-"+errNoReplicas, "GET k", "w", "MULTI", "OK", "GET k", "QUEUED", "EXEC", "[w]")
	s.SetEnoughReplicas(true)
	c.Want("SET k x", "OK", "GET k", "x")
	if got := c.Do("HELLO 2"); !strings.Contains(got, "role master") {
		t.Errorf("HELLO: %s", got)
	}
}

// TestWritableReplica: what clients write on a replica is not in its log, and is gone after a restart.
func TestWritableReplica(t *testing.T) {
	dir := t.TempDir()
	s := testServer(t, dir, "--replica-read-only", "no")
	c := dial(t, s)
	c.Want("SET kept 1", "OK")
	s.SetRole(Role{Replica: true, LinkUp: true})
	end := s.store.Log().Reserved()
	c.Want("SET lost 1", "OK", "DEL kept", "1", "INCR n", "1", "MULTI", "OK", "SET a 1", "QUEUED", "SET b 1", "QUEUED", "EXEC", "[OK OK]",
		"MGET kept lost a b n", "[nil 1 1 1 1]")
	if now := s.store.Log().Reserved(); now != end {
		t.Errorf("the log of a replica grew from %d to %d by a client's writes", end, now)
	}
	s.SetRole(Role{})
	c.Want("SET own 1", "OK")
	stopServer(t, s)
	s = testServer(t, dir)
	dial(t, s).Want("MGET kept lost a b n own", "[1 nil nil nil nil 1]")
}

// TestReplicaExpiry: on a replica a key whose time has come reads as absent and stays, until the server is a primary again.
func TestReplicaExpiry(t *testing.T) {
	s := testServer(t, t.TempDir(), "--replica-read-only", "no")
	c := dial(t, s)
	c.Want("SET k v PX 30", "OK", "SET l v PX 30", "OK", "SET stays v", "OK")
	s.SetRole(Role{Replica: true, LinkUp: true})
	time.Sleep(80 * time.Millisecond)
	c.Want("GET k", "nil", "EXISTS k", "0", "TTL k", "-2", "TYPE k", "none", "STRLEN k", "0", "DBSIZE", "3", "KEYS *", "[stays]",
		"SCAN 0 COUNT 100", "[0 [stays]]", "RANDOMKEY", "stays", "GET k", "nil", "DBSIZE", "3",
		// A writer on a writable replica starts from nothing.
		"APPEND l x", "1", "GET l", "x", "TTL l", "-1",
		// An expiry in the past removes nothing.
		"PEXPIRE stays -1", "1", "GET stays", "nil", "DBSIZE", "3")
	if got := field(t, c.Do("INFO stats"), "expired_keys"); got != "1" { // l, by the writer
		t.Errorf("expired_keys: %s", got)
	}
	s.SetRole(Role{})
	testclient.Eventually(t, "the keys expire on a primary", func() bool { return c.Do("DBSIZE") == "1" })
}

// TestReplicaMaxMemory: a replica leaves it to its primary to evict, unless told otherwise.
func TestReplicaMaxMemory(t *testing.T) {
	s := testServer(t, t.TempDir(), "--replica-read-only", "no", "--maxmemory-policy", "allkeys-random")
	c := dial(t, s)
	s.SetRole(Role{Replica: true, LinkUp: true})
	c.Want("CONFIG SET maxmemory 1", "OK")
	for i := range 50 {
		c.Want("SET k"+strconv.Itoa(i)+" v", "OK")
	}
	c.Want("DBSIZE", "50", "CONFIG SET replica-ignore-maxmemory no", "OK")
	testclient.Eventually(t, "keys are evicted", func() bool { c.Do("PING"); return c.Do("DBSIZE") == "0" })
	c.Want("SET k v", "-"+errOOM, "CONFIG SET replica-ignore-maxmemory yes", "OK", "SET k v", "OK")
}

// TestSetRoleBesideWriters: becoming a replica is a clean cut: every write that was acknowledged is in the log, none that came later.
func TestSetRoleBesideWriters(t *testing.T) {
	dir := t.TempDir()
	s := testServer(t, dir, "--appendfsync", "no")
	const writers = 8
	acked := make([]int, writers)
	done := make(chan struct{}, writers)
	for w := range writers {
		c := dial(t, s)
		go func() {
			defer func() { done <- struct{}{} }()
			for n := 1; ; n++ {
				if got := c.Do("SET w" + strconv.Itoa(w) + " " + strconv.Itoa(n)); got == "-"+errReadOnly {
					return
				} else if got != "OK" {
					t.Errorf("SET: %s", got)
					return
				}
				acked[w] = n
			}
		}()
	}
	time.Sleep(50 * time.Millisecond)
	s.SetRole(Role{Replica: true})
	end := s.store.Log().Reserved()
	for range writers {
		<-done
	}
	if now := s.store.Log().Reserved(); now != end {
		t.Errorf("the log grew from %d to %d after SetRole had returned", end, now)
	}
	check := func(c *testclient.Client) {
		t.Helper()
		for w := range writers {
			if got := c.Do("GET w" + strconv.Itoa(w)); got != strconv.Itoa(acked[w]) {
				t.Errorf("writer %d: %s, acknowledged was %d", w, got, acked[w])
			}
		}
	}
	check(dial(t, s))
	stopServer(t, s)
	s = testServer(t, dir)
	check(dial(t, s))
}

// slow is an extension with replicas that never catch up.
type slow struct {
	noExtension
	asked chan struct{}
}

func (e *slow) AwaitReplicas(ctx context.Context) {
	e.asked <- struct{}{}
	<-ctx.Done()
}

// TestShutdownAwaitsReplicas: writers wait while replicas catch up; ABORT lets them go on, NOW and the end of the time end the server.
func TestShutdownAwaitsReplicas(t *testing.T) {
	e := &slow{asked: make(chan struct{}, 10)}
	s := testServerWith(t, e, t.TempDir(), "--shutdown-timeout", "3600")
	c, w, d := dial(t, s), dial(t, s), dial(t, s)
	c.Want("SHUTDOWN ABORT", "-ERR No shutdown in progress.")
	failed := make(chan error, 1)
	go func() { failed <- s.Shutdown(0) }()
	<-e.asked
	c.Want("GET k", "nil")
	w.Send("SET k v")
	testclient.Eventually(t, "a writer is held", func() bool { return strings.Contains(c.Do("INFO clients"), "blocked_clients:1\r\n") })
	info := c.Do("INFO server") + c.Do("INFO clients")
	if ms, _ := strconv.Atoi(field(t, info, "shutdown_in_milliseconds")); ms < 3000_000 || ms > 3600_000 {
		t.Errorf("shutdown_in_milliseconds: %d", ms)
	}
	if got := field(t, info, "paused_reason") + " " + field(t, info, "paused_actions"); got != "shutdown_in_progress write" {
		t.Error(got)
	}
	c.Want("SHUTDOWN ABORT", "OK")
	if err := <-failed; !errors.Is(err, errShutdownFails) {
		t.Errorf("an aborted shutdown: %v", err)
	}
	if got := w.Reply(); got != "OK" {
		t.Error(got)
	}
	// A second one waits for the outcome of the first.
	d.Send("SHUTDOWN")
	<-e.asked
	w.Send("SHUTDOWN NOSAVE")
	testclient.Eventually(t, "who shuts down counts as blocked", func() bool { return strings.Contains(c.Do("INFO clients"), "blocked_clients:2\r\n") })
	if list := c.Do("CLIENT LIST"); !strings.Contains(list, " flags=b ") {
		t.Error(list)
	}
	c.Want("SHUTDOWN ABORT", "OK")
	if got := d.Reply(); got != "-ERR "+errShutdownFails.Error() {
		t.Error(got)
	}
	if got := w.Reply(); got != "-ERR "+errShutdownFails.Error() {
		t.Error(got)
	}
	d.Want("PING", "PONG")
	if info := c.Do("INFO clients"); !strings.Contains(info, "blocked_clients:0\r\n") {
		t.Error(info)
	}
	go s.Shutdown(0)
	<-e.asked
	if err := s.Shutdown(config.ShutdownNow); !errors.Is(err, errShutdownRuns) {
		t.Errorf("a second shutdown: %v", err)
	}
	s.Wait()

	s = testServerWith(t, e, t.TempDir(), "--shutdown-timeout", "1")
	start := time.Now()
	if err := s.Shutdown(0); err != nil || time.Since(start) < time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
	<-e.asked
	s = testServerWith(t, e, t.TempDir(), "--shutdown-timeout", "1")
	if err := s.Shutdown(config.ShutdownNow); err != nil || len(e.asked) != 0 {
		t.Errorf("SHUTDOWN NOW waited for replicas, or failed: %v", err)
	}
}

// TestPauseForFailover: writers wait, readers and replicas do not.
func TestPauseForFailover(t *testing.T) {
	s := testServer(t, t.TempDir())
	c, w := dial(t, s), dial(t, s)
	c.Want("CLIENT PAUSE 100000 WRITE", "OK")
	s.PauseWrites(true)
	w.Send("SET k v")
	testclient.Eventually(t, "the writer is held", func() bool { return strings.Contains(c.Do("INFO clients"), "blocked_clients:1\r\n") })
	if got := field(t, c.Do("INFO clients"), "paused_reason"); got != "failover_in_progress" {
		t.Error(got)
	}
	s.PauseWrites(false)
	testclient.Eventually(t, "the pause is the client's again", func() bool { return field(t, c.Do("INFO clients"), "paused_reason") == "client_pause" })
	testclient.Eventually(t, "the writer is held again", func() bool { return strings.Contains(c.Do("INFO clients"), "blocked_clients:1\r\n") })
	s.PauseWrites(true)
	c.Want("CLIENT UNPAUSE", "OK", "GET k", "nil")
	s.PauseWrites(false)
	if got := w.Reply(); got != "OK" {
		t.Error(got)
	}
}
