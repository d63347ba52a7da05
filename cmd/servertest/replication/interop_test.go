package replication

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/cmd/servertest"
	"tidemark/cmd/servertest/cluster"
	"tidemark/cmd/servertest/workload"
)

// Each program replicates from each: a full sync and partial ones under write load, restarts of either side in
// every way, and an exchange of the parts.
func TestInterop(t *testing.T) {
	seed := firstSeed(t)
	for _, p := range pairings() {
		t.Run(p.String(), func(t *testing.T) { interop(t, p, rand.New(rand.NewPCG(seed, 13))) })
	}
}

func interop(t *testing.T, p pairing, rnd *rand.Rand) {
	fabric := cluster.NewProxies(t, 2)
	c := cluster.New(t, fabric, "", p.primary, p.replica)
	primary, replica := c.Nodes[0], c.Nodes[1]
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%v\n--- primary:\n%s\n--- replica:\n%s", err, tail(primary), tail(replica))
		}
	}
	for _, n := range c.Nodes {
		n.Conf["appendonly"], n.Conf["appendfsync"], n.Conf["repl-backlog-size"] = "yes", "always", "64mb"
	}
	ok(primary.Start())
	populate(t, primary, rnd)
	ledgers := []*ledger{newLedger(0), newLedger(1)}
	load := func(during func()) {
		t.Helper()
		b := begin(primary, ledgers, chaos, 1, rnd)
		time.Sleep(50 * time.Millisecond) // some load comes before, some during, some after
		during()
		time.Sleep(50 * time.Millisecond)
		ok(b.end())
		if b.written.Load() == 0 || b.random.Load() == 0 {
			t.Fatal("nothing was written")
		}
		ok(c.Converged(patience))
		for _, l := range ledgers {
			got, err := l.kept(replica)
			ok(err)
			ok(l.settle(got, l.Acknowledged()))
			l.converged()
		}
	}
	replica.Upstream = primary
	load(func() { ok(replica.Start()) })
	before := syncs(t, primary)
	if before.full == 0 {
		t.Errorf("a new replica made no full sync: %+v", before)
	}

	load(func() {
		for range 5 {
			fabric.Link(1, 0).Reset()
			time.Sleep(time.Duration(rnd.IntN(1300)) * time.Millisecond) // redis tries again once a second
		}
	})
	after := syncs(t, primary)
	if after.partial == before.partial || after.full != before.full {
		t.Errorf("after lost connections: %+v, before %+v", after, before)
	}

	load(func() {
		replica.Kill()
		ok(replica.Start())
	})
	load(func() {
		ok(replica.Stop())
		ok(replica.Start())
	})
	if again := syncs(t, primary); p.replica.KeepsOffset && again.full != after.full {
		t.Errorf("a replica that knows its offset was sent everything when it restarted: %+v, before %+v", again, after)
	}
	restart := func(end func() error) {
		t.Helper()
		b := begin(primary, ledgers, chaos, 1, rnd)
		time.Sleep(100 * time.Millisecond)
		ok(end())
		ok(b.abort())
		ok(primary.Start())
		for _, l := range ledgers {
			got, err := l.kept(primary)
			ok(err)
			ok(l.settle(got, l.Acknowledged()))
		}
		load(func() {})
	}
	restart(func() error { primary.Kill(); return nil })
	restart(primary.Stop)

	ok(replica.Promote())
	ok(primary.Follow(replica))
	primary, replica = replica, primary
	load(func() {})
}

func tail(n *cluster.Node) string {
	if n.Server() == nil {
		return ""
	}
	log := n.Server().Log()
	return log[max(0, len(log)-3000):]
}

// populate writes data of every kind, some of it large.
func populate(t *testing.T, n *cluster.Node, rnd *rand.Rand) {
	t.Helper()
	c, err := n.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	gen := workload.Generator{Rnd: rnd, NowMs: time.Now().UnixMilli()}
	for range 40 {
		for range 100 {
			c.Queue(gen.Next().Args...)
		}
		receive(t, c, 100, false)
	}
	c.Queue("DISCARD") // should one be open
	receive(t, c, 1, false)
	const keys = 20000
	for db := range 3 {
		c.Queue("SELECT", strconv.Itoa(db+10))
		for i := range keys {
			c.Queue("SET", "bulk:"+strconv.Itoa(i), strings.Repeat("v", i%97))
			if i%1000 == 999 {
				c.Queue("PEXPIREAT", "bulk:"+strconv.Itoa(i), "4102444800123")
			}
		}
		receive(t, c, 1+keys+keys/1000, true)
	}
	c.Queue("SET", "large", strings.Repeat("0123456789abcdef", 1<<20))
	c.Queue("SET", "bin\x00\r\n\xff", "\x00\r\n*1\r\n$4\r\nPING\r\n")
	receive(t, c, 2, true)
}

func receive(t *testing.T, c *servertest.Client, n int, strict bool) {
	t.Helper()
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	for range n {
		if r, err := c.Receive(); err != nil || strict && r.IsError() {
			t.Fatal(r, err)
		}
	}
}

// synced counts the syncs that a primary has granted.
type synced struct{ full, partial int64 }

func syncs(t *testing.T, n *cluster.Node) synced {
	t.Helper()
	f, err := n.Info("stats")
	if err != nil {
		t.Fatal(err)
	}
	var s synced
	if _, err := fmt.Sscan(f["sync_full"]+" "+f["sync_partial_ok"], &s.full, &s.partial); err != nil {
		t.Fatalf("INFO stats, sync_full %q, sync_partial_ok %q: %v", f["sync_full"], f["sync_partial_ok"], err)
	}
	return s
}
