package replication

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"tidemark/cmd/servertest/cluster"
	"tidemark/cmd/servertest/link"
)

// Single situations, each of which a schedule or reasoning has shown to be dangerous.

// startNodes starts nodes that follow nobody.
func startNodes(t *testing.T, conf map[string]string, programs ...cluster.Program) (*cluster.Cluster, *cluster.Proxies) {
	t.Helper()
	fabric := cluster.NewProxies(t, len(programs))
	c := cluster.New(t, fabric, "", programs...)
	for _, n := range c.Nodes {
		n.Conf["appendonly"] = "no"
		for k, v := range conf {
			n.Conf[k] = v
		}
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
	}
	return c, fabric
}

// each runs a test with all pairings side by side: most of it is waiting.
func each(t *testing.T, f func(t *testing.T, p pairing)) {
	for _, p := range pairings() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			f(t, p)
		})
	}
}

// A server with a long history of its own becomes the replica of one with a short history. What it remembers of
// its own offsets must not hold up anybody.
func TestFollowingAShorterHistory(t *testing.T) {
	each(t, func(t *testing.T, p pairing) {
		for _, log := range []string{"no", "yes"} {
			c, _ := startNodes(t, map[string]string{"appendonly": log}, p.primary, p.replica, p.replica)
			short, long, third := c.Nodes[0], c.Nodes[1], c.Nodes[2]
			// A replica of its own, so that there is a history.
			if err := third.Follow(long); err != nil {
				t.Fatal(err)
			}
			for range 50 {
				do(t, long, "SET", "k", strings.Repeat("x", 10000))
			}
			do(t, short, "SET", "k", "short")
			if err := c.Converged(patience); err != nil {
				t.Fatal(err)
			}
			if err := long.Follow(short); err != nil {
				t.Fatal(err)
			}
			if err := c.Converged(patience); err != nil {
				t.Fatalf("appendonly %s: %v", log, err)
			}
			do(t, short, "SET", "k", "still short")
			if err := c.Converged(patience); err != nil {
				t.Fatalf("appendonly %s: %v", log, err)
			}
			for _, n := range c.Nodes {
				if r, err := n.Do("GET", "k"); err != nil || r.Str != "still short" {
					t.Errorf("appendonly %s: %s has %v, %v", log, n, r, err)
				}
				n.Kill()
			}
		}
	})
}

// A replica that the primary's death finds ahead of the primary's log must not keep what only it knows, when the
// primary comes back and goes on in another way, at the same offsets.
func TestReplicaAheadOfItsPrimary(t *testing.T) {
	each(t, func(t *testing.T, p pairing) {
		if !p.primary.KeepsOffset {
			t.Skip("a primary that begins a new history with each start cannot mistake an old replica for one of its own")
		}
		for _, cut := range []bool{true, false} {
			aheadOfItsPrimary(t, p, cut)
		}
	})
}

func aheadOfItsPrimary(t *testing.T, p pairing, cut bool) {
	fabric := cluster.NewProxies(t, 2)
	c := cluster.New(t, fabric, "", p.primary, p.replica)
	primary, replica := c.Nodes[0], c.Nodes[1]
	replica.Upstream = primary
	primary.Conf["appendonly"], primary.Conf["appendfsync"], replica.Conf["appendonly"] = "yes", "everysec", "no"
	// Every write to a file is late: replicas have its bytes long before.
	primary.Wrap = strace(t, "pwrite64:delay_enter=700000")
	for _, n := range c.Nodes {
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
	}
	do(t, primary, "SET", "k", "agreed")
	if err := c.Converged(patience); err != nil {
		t.Fatal(err)
	}
	w, err := primary.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.Queue("SET", "k", "only the replica knows this")
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(650 * time.Millisecond); ; time.Sleep(time.Millisecond) {
		if r, err := replica.Do("GET", "k"); err != nil || r.Str != "agreed" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the write has not come to the replica while it was on its way to the primary's disk: shipping waits for the disk")
		}
	}
	if cut {
		fabric.Link(1, 0).Cut()
	}
	primary.Kill()
	primary.Wrap = nil
	if err := primary.Start(); err != nil {
		t.Fatal(err)
	}
	if r, err := primary.Do("GET", "k"); err != nil || r.Str != "agreed" {
		t.Fatalf("the primary has %v, %v: the write was not late, and the test shows nothing", r, err)
	}
	do(t, primary, "SET", "k", "what became of it afterwards")
	do(t, primary, "SET", "l", "more")
	c.Heal()
	if err := c.Converged(patience); err != nil {
		t.Errorf("cut %v: %v", cut, err)
	}
}

// strace returns the command that injects a fault into a server's system calls; the server stays the direct child.
func strace(t *testing.T, inject string) []string {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		t.Fatalf("strace is needed to make the disk slow and is not in PATH (Debian: apt-get install strace): %v", err)
	}
	call, _, _ := strings.Cut(inject, ":")
	return []string{path, "-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=" + call, "-e", "inject=" + inject}
}

// WAITAOF counts a replica when its disk has the write, not before: with every sync there late by delay,
// no answer may come earlier.
func TestWaitAOFOfASlowReplica(t *testing.T) {
	const delay = 150 * time.Millisecond
	each(t, func(t *testing.T, p pairing) {
		if !p.primary.WaitAOF || !p.replica.WaitAOF {
			t.Skip("redis-server 7.0 has no WAITAOF and does not say what it has synced")
		}
		for _, policy := range []string{"everysec", "always", "no"} {
			fabric := cluster.NewProxies(t, 2)
			c := cluster.New(t, fabric, "", p.primary, p.replica)
			primary, replica := c.Nodes[0], c.Nodes[1]
			replica.Upstream = primary
			for _, n := range c.Nodes {
				n.Conf["appendonly"], n.Conf["appendfsync"] = "yes", policy
			}
			replica.Wrap = strace(t, fmt.Sprintf("fdatasync:delay_enter=%d", delay.Microseconds()))
			for _, n := range c.Nodes {
				if err := n.Start(); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Converged(patience); err != nil {
				t.Fatal(err)
			}
			for i := range 5 {
				begin := time.Now()
				do(t, primary, "SET", "k", fmt.Sprint(i))
				r, err := primary.Do("WAITAOF", "0", "1", "9000")
				if err != nil || len(r.Elems) != 2 || r.Elems[1].Int != 1 {
					t.Fatalf("%s: WAITAOF 0 1 9000: %v %v", policy, r, err)
				}
				took := time.Since(begin)
				if took < delay {
					t.Errorf("%s: WAITAOF says after %v that the replica's disk has it; no sync there takes less than %v", policy, took, delay)
				}
				if took > 10*delay {
					t.Errorf("%s: WAITAOF took %v, with syncs of %v", policy, took, delay)
				}
			}
			for _, n := range c.Nodes {
				n.Kill()
			}
		}
	})
}

// A connection that stands and carries nothing any more is noticed by either side within repl-timeout.
func TestHalfOpenLinks(t *testing.T) {
	each(t, func(t *testing.T, p pairing) {
		until := func(n *cluster.Node, field, want string) {
			t.Helper()
			var got string
			for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
				f, err := n.Info("replication")
				if err != nil {
					t.Fatal(err)
				}
				if got = f[field]; got == want {
					return
				}
			}
			t.Errorf("%s: %s is %q, not %q", n, field, got, want)
		}
		c, k := startPair(t, p)
		primary, replica := c.Nodes[0], c.Nodes[1]
		k.Stall(link.Down)
		until(replica, "master_link_status", "down")
		k.Heal()
		if err := c.Converged(patience); err != nil {
			t.Fatal(err)
		}
		k.Stall(link.Up)
		until(primary, "connected_slaves", "0")
		k.Heal()
		if err := c.Converged(patience); err != nil {
			t.Fatal(err)
		}
	})
}
