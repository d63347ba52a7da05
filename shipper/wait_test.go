package shipper

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/engine/testclient"
)

func TestWaitAOF(t *testing.T) {
	s := start(t, t.TempDir(), "--appendfsync", "everysec")
	c := dial(t, s)
	start := time.Now()
	for i := range 20 {
		c.Want("SET k "+strconv.Itoa(i), "OK", "WAITAOF 1 0 0", "[1 0]")
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("20 rounds took %v: a waiter must make the log sync at once", d)
	}
	c.Want("WAITAOF 1 1 20", "[1 0]", "WAIT 1 20", "0",
		"MULTI", "OK", "SET k x", "QUEUED", "WAITAOF 0 1 0", "QUEUED", "EXEC", "[OK [1 0]]",
		"WAITAOF 2 0 0", "-ERR value is out of range, value must between 0 and 1",
		"WAITAOF 1 -1 0", "-ERR value is out of range, must be positive",
		"WAITAOF 1 0 -1", "-ERR timeout is negative",
		"CONFIG SET appendonly no", "OK",
		"WAITAOF 1 0 0", "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.")
	fresh := dial(t, s)
	fresh.Want("WAITAOF 0 0 0", "[0 0]")
}

// TestWaitReplyModes: CLIENT REPLY also applies to what a client that waited is told at last.
func TestWaitReplyModes(t *testing.T) {
	s := start(t, t.TempDir(), "--appendfsync", "no")
	c := dial(t, s)
	for _, wait := range []string{"WAITAOF 1 1 20", "WAIT 1 20"} {
		for _, line := range []string{"CLIENT REPLY SKIP", wait, "ECHO one", "ECHO two"} {
			c.Send(line)
		}
		for _, want := range []string{"one", "two"} {
			if got := c.Reply(); got != want {
				t.Fatalf("after a skipped %s: %s, want %s", wait, got, want)
			}
		}
		for _, line := range []string{"CLIENT REPLY OFF", wait, "ECHO unheard", "CLIENT REPLY ON"} {
			c.Send(line)
		}
		if got := c.Reply(); got != "OK" {
			t.Fatalf("%s with replies off: %s, want only the OK of CLIENT REPLY ON", wait, got)
		}
		c.Want("ECHO three", "three")
	}
}

// TestWaitAOFSwitchedOff: who waits for the log is told when it is switched off, even if the own write had been synced.
func TestWaitAOFSwitchedOff(t *testing.T) {
	s := start(t, t.TempDir(), "--appendfsync", "no")
	c, admin := dial(t, s), dial(t, s)
	c.Want("SET k v", "OK", "WAITAOF 1 0 0", "[1 0]")
	c.Send("WAITAOF 1 1 0")
	testclient.Eventually(t, "the client waits", func() bool {
		return strings.Contains(admin.Do("INFO clients"), "blocked_clients:1")
	})
	admin.Want("CONFIG SET appendonly no", "OK")
	if got := c.Reply(); got != "-"+errNoLocal {
		t.Errorf("WAITAOF replied %s", got)
	}
	c.Want("PING", "PONG")
}

// TestWaitReplicas: WAIT and WAITAOF with a replica.
func TestWaitReplicas(t *testing.T) {
	p, r := start(t, t.TempDir()), start(t, t.TempDir())
	r.follow(p)
	c := dial(t, p)
	begun := time.Now()
	for i := range 50 {
		c.Want("SET k "+strconv.Itoa(i), "OK", "WAIT 1 0", "1", "SET k2 "+strconv.Itoa(i), "OK", "WAITAOF 1 1 0", "[1 1]")
	}
	if d := time.Since(begun); d > 5*time.Second {
		t.Errorf("50 rounds took %v: acknowledgements must come at once", d)
	}
	dial(t, r).Want("GET k", "49", "WAIT 1 0", "-"+errWaitReplica, "WAITAOF 0 1 0", "-"+errWaitAOFReplica,
		"SET k 1", "-READONLY You can't write against a read only replica.")
	c.Want("SET k x", "OK", "WAIT 2 300", "1", "WAITAOF 1 2 1000", "[1 1]",
		"MULTI", "OK", "SET k y", "QUEUED", "WAIT 1 0", "QUEUED", "EXEC", "[OK 1]") // as of before EXEC, as in Redis
	// Who waits when the server becomes a replica is told, and has to connect anew.
	other := dial(t, p)
	other.Want("SET k z", "OK")
	c.Want("SET k z", "OK")
	c.Send("WAIT 2 0")
	admin := dial(t, p)
	testclient.Eventually(t, "the client waits", func() bool { return strings.Contains(admin.Do("INFO clients"), "blocked_clients:1") })
	dial(t, r).Want("REPLICAOF NO ONE", "OK")
	admin.Want("REPLICAOF 127.0.0.1 "+r.port, "OK")
	if got := c.Reply(); got != "-"+errRoleChanged {
		t.Errorf("WAIT replied %s", got)
	}
	if _, err := c.R.ReadByte(); err == nil {
		t.Error("the client that waited was not disconnected")
	}
	// As a primary again it cannot say who has what was written before.
	testclient.Eventually(t, "the link is up", func() bool { return strings.Contains(admin.Do("INFO replication"), "master_link_status:up") })
	admin.Want("REPLICAOF NO ONE", "OK")
	r.follow(p)
	other.Want("WAIT 1 0", "0", "SET k q", "OK", "WAIT 1 0", "1")
}
