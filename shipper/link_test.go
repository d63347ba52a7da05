package shipper

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tidemark/engine/testclient"
)

// deafPort is a port where a connection is neither accepted nor refused, as on a host that is down.
func deafPort(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(at.(*unix.SockaddrInet4).Port)
	for range 8 { // until its queue is full
		c, err := net.DialTimeout("tcp", "127.0.0.1:"+port, 200*time.Millisecond)
		if err != nil {
			return port
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("this kernel goes on accepting connections on a full queue")
	return ""
}

// TestPromotedWhileDialling: a primary that does not answer at all keeps nobody from becoming one himself, or from following another.
func TestPromotedWhileDialling(t *testing.T) {
	p, r := start(t, t.TempDir()), start(t, t.TempDir())
	deaf := deafPort(t)
	c := dial(t, r)
	for _, next := range []string{"NO ONE", "127.0.0.1 " + p.port} {
		c.Want("REPLICAOF 127.0.0.1 "+deaf, "OK")
		testclient.Eventually(t, "the replica to connect", func() bool { return strings.Contains(c.Do("ROLE"), "connecting") })
		begun := time.Now()
		c.Want("REPLICAOF "+next, "OK")
		if d := time.Since(begun); d > 2*time.Second {
			t.Errorf("REPLICAOF %s took %v", next, d)
		}
	}
	r.awaitLink()
}

// TestFailoverAborted: when FAILOVER ABORT is answered, nothing of the failover is left.
func TestFailoverAborted(t *testing.T) {
	p := start(t, t.TempDir())
	// A replica that never acknowledges what comes.
	mute, c := dial(t, p), dial(t, p)
	mute.Want("REPLCONF listening-port 1 capa eof capa psync2", "OK")
	mute.Send("PSYNC ? -1")
	testclient.Eventually(t, "the snapshot was sent", func() bool { return strings.Contains(c.Do("INFO replication"), "state=send_bulk") })
	mute.Send("REPLCONF ACK 0")
	testclient.Eventually(t, "the replica is online", func() bool { return strings.Contains(c.Do("INFO replication"), "state=online") })
	for range 20 {
		c.Want("SET a 1", "OK", "FAILOVER", "OK")
		if info := c.Do("INFO replication"); !strings.Contains(info, "master_failover_state:waiting-for-sync") {
			t.Fatal(info)
		}
		c.Want("FAILOVER ABORT", "OK")
		if info := c.Do("INFO replication"); !strings.Contains(info, "master_failover_state:no-failover") || !strings.Contains(info, "role:master") {
			t.Fatal("after FAILOVER ABORT:\n", info)
		}
	}
	c.Want("MULTI", "OK", "FAILOVER ABORT", "QUEUED", "EXEC", "[-ERR No failover in progress.]", "FAILOVER", "OK",
		"MULTI", "OK", "FAILOVER ABORT", "QUEUED", "EXEC", "[OK]") // without waiting for the end there
	testclient.Eventually(t, "the failover ends", func() bool { return strings.Contains(c.Do("INFO replication"), "no-failover") })
	c.Want("SET a 2", "OK")
}
