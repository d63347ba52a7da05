package shipper

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/engine/testclient"
)

// digest is the data of a server in a form that compares: every key of every database with its value and expiry.
func (s *server) digest() string {
	s.t.Helper()
	c := dial(s.t, s)
	var b strings.Builder
	for db := range 4 {
		c.Want(fmt.Sprintf("SELECT %d", db), "OK")
		keys := strings.Fields(strings.Trim(c.Do("KEYS *"), "[]"))
		if len(keys) == 0 {
			continue
		}
		b.WriteString(fmt.Sprintf("db%d %d keys\n", db, len(keys)))
		sortStrings(keys)
		for _, k := range keys {
			b.WriteString(k + "=" + c.Do("GET "+k) + " " + c.Do("PEXPIRETIME "+k) + "\n")
		}
	}
	return b.String()
}

// awaitEqual waits until the replica is where the primary is, and compares their data.
func awaitEqual(t *testing.T, p, r *server) {
	t.Helper()
	a, b := dial(t, p), dial(t, r)
	offset := func(c *testclient.Client) string {
		for _, line := range strings.Split(c.Do("INFO replication"), "\n") {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), "master_repl_offset:"); ok {
				return v
			}
		}
		return "?"
	}
	defer func() {
		if t.Failed() {
			t.Logf("primary:\n%s\nreplica:\n%s", a.Do("INFO replication"), b.Do("INFO replication"))
		}
	}()
	testclient.Eventually(t, "the replica is where the primary is", func() bool { x := offset(a); return x == offset(b) && x == offset(a) })
	if x, y := p.digest(), r.digest(); x != y {
		t.Errorf("offset %s: primary and replica differ:\n%s\n%s", offset(a), firstDifference(x, y), "")
	}
}

func firstDifference(x, y string) string {
	a, b := strings.Split(x, "\n"), strings.Split(y, "\n")
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			other := "nothing"
			if i < len(b) {
				other = b[i]
			}
			return fmt.Sprintf("line %d: %.200s | %.200s", i, a[i], other)
		}
	}
	return "the replica has more"
}

func sortStrings(s []string) {
	for i := range s {
		for j := i; j > 0 && s[j] < s[j-1]; j-- {
			s[j], s[j-1] = s[j-1], s[j]
		}
	}
}

// scribble writes n random commands, pipelined.
func scribble(t *testing.T, s *server, seed uint64, n int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	c := dial(t, s)
	sent := 0
	for range n {
		k := "k" + strconv.Itoa(rng.IntN(300))
		switch rng.IntN(12) {
		case 0:
			c.Send(fmt.Sprintf("SELECT %d", rng.IntN(4)))
		case 1:
			c.Send("INCR n" + k)
		case 2:
			c.Send("DEL " + k)
		case 3:
			c.Send(fmt.Sprintf("SET %s %d PX %d", k, rng.Uint64(), 1000000+rng.IntN(100000)))
		case 4:
			c.Send("MSET " + k + " a " + k + "b b " + k + "c c")
		case 5:
			c.Send("MULTI")
			c.Send("APPEND " + k + " x")
			c.Send("RENAME " + k + " " + k + "r")
			c.Send("EXEC")
			sent += 3
		case 6:
			c.Send("INCRBYFLOAT f" + k + " 0.1")
		case 7:
			c.Send("SET " + k + " " + strings.Repeat("v", rng.IntN(5000)))
		default:
			c.Send(fmt.Sprintf("SET %s %d", k, rng.Uint64()))
		}
		sent++
		for sent > 50 {
			c.Reply()
			sent--
		}
	}
	for ; sent > 0; sent-- {
		c.Reply()
	}
}

// TestReplicate: full synchronisation under writes, partial after cuts, in all combinations of AOF.
func TestReplicate(t *testing.T) {
	for _, aof := range [][2]string{{"yes", "yes"}, {"no", "no"}, {"yes", "no"}, {"no", "yes"}} {
		t.Run(aof[0]+"-"+aof[1], func(t *testing.T) {
			p := start(t, t.TempDir(), "--appendonly", aof[0])
			r := start(t, t.TempDir(), "--appendonly", aof[1])
			scribble(t, p, 1, 2000)
			done := make(chan bool)
			go func() {
				defer close(done)
				scribble(t, p, 2, 4000)
			}()
			r.follow(p)
			<-done
			awaitEqual(t, p, r)
			for i := range 3 {
				dial(t, p).Do("CLIENT KILL TYPE replica")
				scribble(t, p, uint64(3+i), 500)
				r.awaitLink()
				awaitEqual(t, p, r)
			}
			for i, s := range []*server{p, r} {
				if on, want := s.field("aof_enabled"), map[string]string{"yes": "1", "no": "0"}[aof[i]]; on != want {
					t.Errorf("appendonly %s, and INFO says aof_enabled:%s", aof[i], on)
				}
			}
			if full := p.field("sync_full"); full != "1" {
				t.Errorf("%s full synchronisations", full)
			}
			if ok := p.field("sync_partial_ok"); ok != "3" {
				t.Errorf("%s partial synchronisations", ok)
			}
		})
	}
}

// TestChain: a replica of a replica, and what becomes of it when the middle is promoted.
func TestChain(t *testing.T) {
	a, b, c := start(t, t.TempDir()), start(t, t.TempDir()), start(t, t.TempDir(), "--appendonly", "no")
	scribble(t, a, 1, 500)
	b.follow(a)
	c.follow(b)
	scribble(t, a, 2, 1000)
	awaitEqual(t, a, b)
	awaitEqual(t, a, c)
	dial(t, b).Want("REPLICAOF NO ONE", "OK")
	scribble(t, b, 3, 500)
	c.awaitLink()
	awaitEqual(t, b, c)
	// The old primary becomes a replica of the new one without starting over.
	a.follow(b)
	awaitEqual(t, b, a)
	if got := b.field("sync_partial_ok"); got != "2" {
		t.Errorf("%s partial and %s full synchronisations with the promoted server", got, b.field("sync_full"))
	}
}

// TestBehind: a replica that the Tail has left behind is fed from the segments; one without segments has to start over.
func TestBehind(t *testing.T) {
	for _, aof := range []string{"yes", "no"} {
		t.Run(aof, func(t *testing.T) {
			p := start(t, t.TempDir(), "--appendonly", aof, "--repl-backlog-size", "16kb",
				"--client-output-buffer-limit", "replica 100kb 0 0")
			r := start(t, t.TempDir())
			scribble(t, p, 1, 100)
			r.follow(p)
			awaitEqual(t, p, r)
			port := r.port
			dial(t, r).Want("REPLICAOF 127.0.0.1 1", "OK") // out of reach
			scribble(t, p, 2, 3000)
			dial(t, r).Want("REPLICAOF 127.0.0.1 "+p.port, "OK")
			r.awaitLink()
			awaitEqual(t, p, r)
			want := "1"
			if aof == "no" {
				want = "2"
			}
			if full := p.field("sync_full"); full != want {
				t.Errorf("%s full synchronisations, want %s (port %s)", full, want, port)
			}
		})
	}
}

// TestRestartReplica: a replica that was restarted goes on where its log ends.
func TestRestartReplica(t *testing.T) {
	p, r := start(t, t.TempDir()), start(t, t.TempDir())
	r.follow(p)
	scribble(t, p, 1, 1000)
	awaitEqual(t, p, r)
	r.stop()
	scribble(t, p, 2, 1000)
	r.args = append(r.args, "--replicaof", "127.0.0.1 "+p.port)
	r.run()
	r.awaitLink()
	awaitEqual(t, p, r)
	if full := p.field("sync_full"); full != "1" {
		t.Errorf("%s full synchronisations: a restart must not cost one", full)
	}
}

// TestRestartPrimary: so does the replica of a primary that was restarted.
func TestRestartPrimary(t *testing.T) {
	p, r := start(t, t.TempDir()), start(t, t.TempDir())
	r.follow(p)
	scribble(t, p, 1, 1000)
	awaitEqual(t, p, r)
	id := p.field("master_replid")
	p.stop()
	p.run()
	scribble(t, p, 2, 1000)
	r.awaitLink()
	awaitEqual(t, p, r)
	if full := p.field("sync_full"); full != "0" {
		t.Errorf("%s full synchronisations: a restart must not cost one", full)
	}
	if p.field("master_replid") == id || p.field("master_replid2") != id {
		t.Error("the replication id is the same after a restart, or forgotten: what a crash lost could be taken for what came after it")
	}
}

// TestFailover: FAILOVER hands over to the replica, which the old primary follows.
func TestFailover(t *testing.T) {
	p, r := start(t, t.TempDir()), start(t, t.TempDir())
	c := dial(t, p)
	c.Want("FAILOVER", "-ERR FAILOVER requires connected replicas.", "FAILOVER ABORT", "-ERR No failover in progress.")
	r.follow(p)
	scribble(t, p, 1, 1000)
	c.Want("FAILOVER TO 127.0.0.1 1", "-ERR FAILOVER target HOST and PORT is not a replica.",
		"FAILOVER TO 127.0.0.1 "+r.port+" FORCE", "-ERR FAILOVER with force option requires both a timeout and target HOST and IP.",
		"FAILOVER TIMEOUT 0", "-ERR FAILOVER timeout must be greater than 0",
		"FAILOVER TO 127.0.0.1 "+r.port+" TIMEOUT 5000", "OK")
	testclient.Eventually(t, "the roles are exchanged", func() bool {
		return r.field("role") == "master" && p.field("role") == "slave" && p.field("master_link_status") == "up" &&
			p.field("master_failover_state") == "no-failover"
	})
	scribble(t, r, 2, 500)
	awaitEqual(t, r, p)
	c.Want("SET x 1", "-READONLY You can't write against a read only replica.")
	if full := r.field("sync_full"); full != "0" {
		t.Errorf("%s full synchronisations", full)
	}
}

// TestReplicaExpiry: on a replica only the primary's word removes a key, and none that has expired is shown.
func TestReplicaExpiry(t *testing.T) {
	p, r := start(t, t.TempDir(), "--enable-debug-command", "yes"), start(t, t.TempDir())
	r.follow(p)
	c, d := dial(t, p), dial(t, r)
	c.Want("DEBUG SET-ACTIVE-EXPIRE 0", "OK", "SET k v PX 60", "OK", "WAIT 1 0", "1")
	time.Sleep(80 * time.Millisecond)
	d.Want("GET k", "nil", "EXISTS k", "0", "DBSIZE", "1")
	c.Want("GET k", "nil", "WAIT 1 0", "1")
	testclient.Eventually(t, "the primary's word arrives", func() bool { return d.Do("DBSIZE") == "0" })
}

// TestMinReplicas: writes are refused for want of replicas.
func TestMinReplicas(t *testing.T) {
	p, r := start(t, t.TempDir(), "--min-replicas-to-write", "1"), start(t, t.TempDir())
	c := dial(t, p)
	c.Want("SET k v", "-NOREPLICAS Not enough good replicas to write.", "GET k", "nil")
	r.follow(p)
	testclient.Eventually(t, "writes are accepted", func() bool { return c.Do("SET k v") == "OK" })
	r.stop()
	testclient.Eventually(t, "writes are refused", func() bool { return strings.HasPrefix(c.Do("SET k v"), "-NOREPLICAS") })
	c.Want("CONFIG SET min-replicas-to-write 0", "OK", "SET k v", "OK")
}

// TestCompression: the stream between two that both want it is compressed, and arrives all the same, from the Tail and from the segments.
func TestCompression(t *testing.T) {
	p := start(t, t.TempDir(), "--repl-compression", "yes", "--repl-backlog-size", "16kb")
	r := start(t, t.TempDir(), "--repl-compression", "auto")
	plain := start(t, t.TempDir())
	r.follow(p)
	plain.follow(p)
	scribble(t, p, 1, 3000)
	awaitEqual(t, p, r)
	awaitEqual(t, p, plain)
	dial(t, r).Want("REPLICAOF 127.0.0.1 1", "OK") // out of reach
	scribble(t, p, 2, 3000)
	dial(t, r).Want("REPLICAOF 127.0.0.1 "+p.port, "OK")
	r.awaitLink()
	scribble(t, p, 3, 500)
	awaitEqual(t, p, r)
	stream, _ := strconv.Atoi(r.field("replica_stream_bytes"))
	link, _ := strconv.Atoi(r.field("replica_link_bytes"))
	if stream == 0 || link == 0 || link > stream/2 {
		t.Errorf("%d bytes of the stream came as %d", stream, link)
	}
	if full := p.field("sync_full"); full != "2" {
		t.Errorf("%s full synchronisations", full)
	}
	// Both sides count the same bytes, of the present link.
	text := dial(t, p).Do("INFO replication")
	_, text, ok := strings.Cut(text, "port="+r.port)
	text, _, _ = strings.Cut(text, "\r\n")
	if want := "link_bytes=" + r.field("replica_link_bytes"); !ok || !strings.HasSuffix(text, want) {
		t.Errorf("the primary says %q, the replica %s", text, want)
	}
}

// TestSwitchAppendOnly: appendonly is switched on either side under writes; the link stays, and nothing is lost.
func TestSwitchAppendOnly(t *testing.T) {
	for _, first := range []string{"yes", "no"} {
		t.Run(first, func(t *testing.T) {
			p, r := start(t, t.TempDir(), "--appendonly", first), start(t, t.TempDir(), "--appendonly", first)
			r.follow(p)
			done := make(chan bool)
			go func() {
				defer close(done)
				scribble(t, p, 1, 6000)
			}()
			other := map[string]string{"yes": "no", "no": "yes"}
			for i, v := 0, first; i < 4; i++ {
				v = other[v]
				dial(t, r).Want("CONFIG SET appendonly "+v, "OK")
				dial(t, p).Want("CONFIG SET appendonly "+v, "OK")
				if got := p.field("aof_enabled"); got != map[string]string{"yes": "1", "no": "0"}[v] {
					t.Errorf("aof_enabled is %s after appendonly %s", got, v)
				}
				testclient.Eventually(t, "the rewrite ends", func() bool {
					return p.field("aof_rewrite_in_progress") == "0" && r.field("aof_rewrite_in_progress") == "0"
				})
			}
			<-done
			awaitEqual(t, p, r)
			if full := p.field("sync_full"); full != "1" {
				t.Errorf("%s full synchronisations", full)
			}
			if first == "yes" { // the AOF is on again: what it holds is all there is
				want := r.digest()
				r.stop()
				r.run()
				if got := r.digest(); got != want {
					t.Errorf("after a restart: %s", firstDifference(want, got))
				}
			}
		})
	}
}

// TestStartsAsReplica: a snapshot from the primary may arrive while the server is still starting.
func TestStartsAsReplica(t *testing.T) {
	p := start(t, t.TempDir())
	dial(t, p).Want("SET k v", "OK")
	for range 8 {
		r := start(t, t.TempDir(), "--appendonly", "yes", "--replicaof", "127.0.0.1", p.port)
		dial(t, r).Want("SET k mine", "-READONLY You can't write against a read only replica.")
		r.awaitLink()
		awaitEqual(t, p, r)
	}
}

// TestReplicaLeavesInBulk: connections of replicas that are far behind end at any moment while the segments are sent to them.
func TestReplicaLeavesInBulk(t *testing.T) {
	p := start(t, t.TempDir(), "--repl-backlog-size", "16kb", "--appendfsync", "no")
	first := dial(t, p)
	first.Want("REPLCONF capa eof capa psync2", "OK")
	first.Send("PSYNC ? -1")
	full := strings.Fields(first.Reply()) // +FULLRESYNC id offset
	if len(full) != 3 {
		t.Fatalf("PSYNC: %q", full)
	}
	w := dial(t, p)
	for range 64 {
		w.Send("SET k " + strings.Repeat("x", 256<<10))
		w.Reply()
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		c := dial(t, p)
		c.Want("REPLCONF capa eof capa psync2", "OK")
		c.Send("PSYNC " + full[1] + " 1")
		if r := c.Reply(); !strings.HasPrefix(r, "CONTINUE") {
			t.Fatalf("PSYNC: %q", r)
		}
		if _, err := io.CopyN(io.Discard, c.R, rng.Int64N(8<<20)); err != nil {
			t.Fatal(err)
		}
		c.Conn.(*net.TCPConn).SetLinger(0)
		c.Conn.Close()
	}
	dial(t, p).Want("PING", "PONG")
}

// TestStuckReplica: a replica that reads nothing costs the primary no more memory than the limits allow, and stops nobody.
func TestStuckReplica(t *testing.T) {
	for _, aof := range []string{"yes", "no"} {
		t.Run(aof, func(t *testing.T) {
			p := start(t, t.TempDir(), "--appendonly", aof, "--repl-backlog-size", "64kb", "--client-output-buffer-limit", "replica 1mb 0 0",
				"--repl-timeout", "2")
			stuckReplica(t, p)
			c := dial(t, p)
			value := strings.Repeat("v", 50_000)
			most := int64(0)
			for i := range 1200 { // 60 MB
				c.Want(fmt.Sprintf("SET k%d %s", i%20, value), "OK")
				most = max(most, p.s.Tail().Bytes())
			}
			if most > 3<<20 {
				t.Errorf("the Tail took %d bytes", most)
			}
			testclient.Eventually(t, "the silent replica is closed", func() bool { return p.field("connected_slaves") == "0" })
		})
	}
}

// TestSnapshotOfKnownLength: who does not say that it takes anything else gets the snapshot with its length, and the stream without having to
// acknowledge: with PSYNC a replica of before Redis 4, with SYNC a client that only reads.
func TestSnapshotOfKnownLength(t *testing.T) {
	for _, aof := range []string{"yes", "no"} {
		p := start(t, t.TempDir(), "--appendonly", aof)
		w := dial(t, p)
		w.Want("SET before 1", "OK")
		for _, words := range []string{"SYNC", "PSYNC ? -1"} {
			c := dial(t, p)
			c.Send(words)
			line := func() string {
				for {
					l, err := c.R.ReadString('\n')
					if err != nil {
						t.Fatal(err)
					}
					if l != "\n" { // it says that it is still there
						return strings.TrimSpace(l)
					}
				}
			}
			head := line()
			if words != "SYNC" {
				if !strings.HasPrefix(head, "+FULLRESYNC ") {
					t.Fatalf("%s: %q", words, head)
				}
				head = line()
			}
			n, err := strconv.Atoi(strings.TrimPrefix(head, "$"))
			if err != nil {
				t.Fatalf("%s: %q", words, head)
			}
			image := make([]byte, n)
			if _, err := io.ReadFull(c.R, image); err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(image, []byte("REDIS0")) || !bytes.Contains(image, []byte("before")) || image[n-9] != 0xff {
				t.Errorf("%s: %q is no RDB", words, image)
			}
			w.Want("SET after "+words[:4], "OK")
			want := "*3\r\n$3\r\nSET\r\n$5\r\nafter\r\n$4\r\n" + words[:4] + "\r\n"
			got := make([]byte, 0, 200)
			for !bytes.HasSuffix(got, []byte(want)) { // behind a SELECT, and a PING perhaps
				b, err := c.R.ReadByte()
				if err != nil {
					t.Fatal(err)
				}
				if got = append(got, b); len(got) > 500 {
					t.Fatalf("%s: the stream goes on with %q", words, got)
				}
			}
			c.Conn.Close()
		}
		if names, _ := filepath.Glob(filepath.Join(p.dir, "temp-replica*")); len(names) > 0 {
			t.Errorf("left behind: %q", names)
		}
	}
}

// stuckReplica is one that takes the snapshot, and from then on neither reads nor says anything.
func stuckReplica(t *testing.T, p *server) *testclient.Client {
	t.Helper()
	stuck := dial(t, p)
	stuck.Want("REPLCONF capa eof capa psync2", "OK")
	stuck.Send("PSYNC ? -1")
	for { // the snapshot, up to its second mark
		line, err := stuck.R.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if mark, ok := strings.CutPrefix(strings.TrimSpace(line), "$EOF:"); ok {
			for got := ""; !strings.HasSuffix(got, mark); {
				b, err := stuck.R.ReadByte()
				if err != nil {
					t.Fatal(err)
				}
				got += string(b)
			}
			break
		}
	}
	testclient.Eventually(t, "the replica is fed", func() bool {
		stuck.Send("REPLCONF ACK 0") // the primary hears it only once it knows that it has sent all
		return strings.Contains(p.field("slave0"), "state=online")
	})
	return stuck
}

// TestReplicaOutputLimits: without an AOF what a slow replica needs is in memory, as much as client-output-buffer-limit says. Zero is no limit; what is above the soft
// one for long enough closes the replica, even one that says that it is alive.
func TestReplicaOutputLimits(t *testing.T) {
	p := start(t, t.TempDir(), "--appendonly", "no", "--repl-backlog-size", "64kb", "--client-output-buffer-limit", "replica 0 0 0")
	stuck := stuckReplica(t, p)
	c := dial(t, p)
	value := strings.Repeat("v", 50_000)
	for i := range 600 { // 30 MB, of which the kernel takes some
		c.Want(fmt.Sprintf("SET k%d %s", i%20, value), "OK")
	}
	if p.field("connected_slaves") != "1" || p.s.Tail().Bytes() < 10<<20 {
		t.Fatalf("without a limit %s replicas are left, and %d bytes", p.field("connected_slaves"), p.s.Tail().Bytes())
	}
	fmt.Fprintf(c.Conn, "*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$26\r\nclient-output-buffer-limit\r\n$15\r\nreplica 0 1mb 2\r\n")
	if got := c.Reply(); got != "OK" {
		t.Fatal(got)
	}
	begun := time.Now()
	for p.field("connected_slaves") != "0" {
		stuck.Send("REPLCONF ACK 0")
		if time.Sleep(20 * time.Millisecond); time.Since(begun) > 10*time.Second {
			t.Fatal("the soft limit closes nobody")
		}
	}
	if d := time.Since(begun); d < 1500*time.Millisecond {
		t.Errorf("it was closed after %v", d)
	}
	testclient.Eventually(t, "its memory is given back", func() bool { return p.s.Tail().Bytes() < 1<<20 })
}
