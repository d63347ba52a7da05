package replication

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/cmd/servertest/cluster"
	"tidemark/cmd/servertest/link"
)

// The tests below plant a fault that the checks of this package are for, and demand that it is seen.

// startPair starts a primary and a replica over proxies and waits until they agree.
func startPair(t *testing.T, p pairing) (*cluster.Cluster, *link.Link) {
	t.Helper()
	fabric := cluster.NewProxies(t, 2)
	c := cluster.New(t, fabric, "", p.primary, p.replica)
	c.Nodes[1].Upstream = c.Nodes[0]
	for _, n := range c.Nodes {
		n.Conf["appendonly"] = "no"
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Converged(patience); err != nil {
		t.Fatal(err)
	}
	return c, fabric.Link(1, 0)
}

func do(t *testing.T, n *cluster.Node, words ...string) {
	t.Helper()
	if r, err := n.Do(words...); err != nil || r.IsError() {
		t.Fatalf("%v: %v %v", words, r, err)
	}
}

// Bytes changed on the way, as if the replica executed something else.
func TestNoticesAChangedCommand(t *testing.T) {
	each(t, func(t *testing.T, p pairing) {
		c, k := startPair(t, p)
		k.Rewrite(link.Down, func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("original"), []byte("falsehood")[:8]) })
		do(t, c.Nodes[0], "SET", "k", "original")
		if err := c.Converged(patience); !errors.Is(err, cluster.ErrDiverged) {
			t.Errorf("a replica that was told another value: %v", err)
		}
	})
}

// A command that never arrives, though the offsets agree.
func TestNoticesADroppedCommand(t *testing.T) {
	each(t, func(t *testing.T, p pairing) {
		c, k := startPair(t, p)
		command := regexp.MustCompile(`(?s)\*3\r\n\$6\r\nAPPEND\r\n\$1\r\nk\r\n\$1\r\nb\r\n`)
		k.Rewrite(link.Down, func(b []byte) []byte {
			return command.ReplaceAllFunc(b, func(m []byte) []byte { return bytes.Repeat([]byte("\n"), len(m)) })
		})
		do(t, c.Nodes[0], "SET", "k", "a")
		do(t, c.Nodes[0], "APPEND", "k", "b")
		do(t, c.Nodes[0], "APPEND", "k", "c")
		if err := c.Converged(patience); !errors.Is(err, cluster.ErrDiverged) {
			t.Errorf("a replica that missed a command: %v", err)
		}
	})
}

// A replica that is written to besides.
func TestNoticesAStrayWrite(t *testing.T) {
	each(t, func(t *testing.T, p pairing) {
		c, _ := startPair(t, p)
		do(t, c.Nodes[1], "CONFIG", "SET", "replica-read-only", "no")
		do(t, c.Nodes[1], "SET", "stray", "v")
		if err := c.Converged(patience); !errors.Is(err, cluster.ErrDiverged) {
			t.Errorf("a replica that was written to: %v", err)
		}
	})
}

// A link that carries nothing.
func TestNoticesAReplicaThatStaysBehind(t *testing.T) {
	each(t, func(t *testing.T, p pairing) {
		c, k := startPair(t, p)
		k.Stall(link.Down)
		do(t, c.Nodes[0], "SET", "k", "v")
		if err := c.Converged(time.Second); err == nil || errors.Is(err, cluster.ErrDiverged) {
			t.Errorf("a replica that hears nothing: %v", err)
		}
	})
}

// Acknowledgements that claim more than the replica has.
func TestNoticesAWaitThatOverstates(t *testing.T) {
	each(t, func(t *testing.T, p pairing) {
		c, k := startPair(t, p)
		k.Stall(link.Down)
		ack := regexp.MustCompile(`(?s)\$3\r\nACK\r\n\$\d+\r\n(\d+)\r\n`)
		k.Rewrite(link.Up, func(b []byte) []byte {
			return ack.ReplaceAllFunc(b, func(m []byte) []byte {
				n, err := strconv.ParseInt(string(ack.FindSubmatch(m)[1]), 10, 64)
				if err != nil {
					return m
				}
				claim := strconv.FormatInt(n+1e9, 10)
				return []byte("$3\r\nACK\r\n$" + strconv.Itoa(len(claim)) + "\r\n" + claim + "\r\n")
			})
		})
		// Only the few acknowledgements before repl-timeout count, and each only for a WAIT that is under way.
		c.Nodes[0].Program.WaitAOF = false
		l := newLedger(0)
		b := begin(c.Nodes[0], []*ledger{l}, 0, 1, rand.New(rand.NewPCG(1, 1)))
		for deadline := time.Now().Add(patience); b.waits.Load() == 0; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				info, err := c.Nodes[0].Info("replication")
				t.Fatalf("WAIT was never confirmed by the forged acknowledgements: the test shows nothing. %d operations were written; %v %v\n%s",
					b.written.Load(), info, err, c.Nodes[1].Server().Log())
			}
		}
		c.Nodes[0].Kill()
		if err := b.abort(); err != nil {
			t.Fatal(err)
		}
		if err := c.Nodes[1].Promote(); err != nil {
			t.Fatal(err)
		}
		got, err := l.kept(c.Nodes[1])
		if err != nil {
			t.Fatal(err)
		}
		if err := l.settle(got, l.floor(0, 0)); err == nil || !strings.Contains(err.Error(), "LOST WRITES") {
			t.Errorf("confirmed writes that the promoted replica never had: %v", err)
		}
	})
}

// What must be there depends on who confirmed it and who is left.
func TestFloor(t *testing.T) {
	l := newLedger(0)
	l.confirm(&l.received, 1, 30)
	l.confirm(&l.received, 2, 20)
	l.confirm(&l.received, 1, 10) // an older confirmation changes nothing
	l.confirm(&l.synced, 1, 25)
	l.confirm(&l.synced, 2, 5)
	for _, c := range []struct{ lost, lostSynced, want int }{
		{0, 0, 30}, {1, 0, 25}, {1, 1, 20}, {2, 0, 25}, {2, 1, 5}, {2, 2, 0}, {9, 9, 0},
	} {
		if got := l.floor(c.lost, c.lostSynced); got != c.want {
			t.Errorf("%d of the replicas lost what they received, %d what they synced: %d operations must be left, not %d", c.lost, c.lostSynced, c.want, got)
		}
	}
}
