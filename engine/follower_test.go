package engine

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tidemark/engine/testclient"
	"tidemark/netio"
)

// logBytes are all bytes of a server's log from offset from on.
func logBytes(t testing.TB, s *Server, from int64) []byte {
	t.Helper()
	log := s.store.Log()
	if err := s.syncLog(log); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, log.Appended()-from)
	for at := 0; at < len(b); {
		n, err := log.ReadAt(from+int64(at), b[at:])
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
		at += n
	}
	return b
}

// onLoop runs f on the server's first loop.
func onLoop(s *Server, f func(l *netio.Loop)) {
	done := make(chan struct{})
	s.net.Loops()[0].Post(func(l *netio.Loop) { f(l); close(done) })
	<-done
}

// feed applies a stream in pieces of random lengths, as a link would.
func feed(t testing.TB, s *Server, db int, stream []byte, piece func() int) (f *Follower) {
	t.Helper()
	f = s.NewFollower(db)
	at, have := 0, 0
	for at < len(stream) {
		if have < len(stream) {
			have = min(len(stream), have+piece())
		}
		var n int
		var err error
		onLoop(s, func(l *netio.Loop) { n, err = f.Apply(stream[at:have]); s.CommitSoon(l, false) })
		if err != nil {
			t.Fatalf("at byte %d: %v", at, err)
		}
		if n == 0 && have == len(stream) && !f.Blocked() {
			t.Fatalf("%d bytes are left over: %.200q", len(stream)-at, stream[at:])
		}
		if need := f.Need(); n == 0 && need > 0 && need <= have-at {
			t.Fatalf("Need says %d bytes, and %d were there", need, have-at)
		}
		at += n
	}
	return f
}

// randomWrites has a server execute writes of every kind.
func randomWrites(t testing.TB, s *Server, rnd *rand.Rand, n int) {
	t.Helper()
	c := dial(t.(*testing.T), s)
	big := strings.Repeat("x", 100_000)
	few := false // commands of several keys: at times none, as whatever stands in a batch with one of them is not dealt to lanes
	one := func() string {
		k := "k" + strconv.Itoa(rnd.IntN(200))
		kind := rnd.IntN(14)
		for few && (kind <= 1 || kind == 7 || kind == 10) {
			kind = rnd.IntN(14)
		}
		switch kind {
		case 0:
			return "DEL " + k
		case 1:
			return "MSET " + k + " a k" + strconv.Itoa(rnd.IntN(200)) + " b"
		case 2:
			return "SELECT " + strconv.Itoa(rnd.IntN(3))
		case 3:
			return "INCR n" + strconv.Itoa(rnd.IntN(20))
		case 4:
			return "PEXPIRE " + k + " " + strconv.Itoa(rnd.IntN(50))
		case 5:
			return "APPEND " + k + " " + strconv.Itoa(rnd.Int())
		case 6:
			return "SET " + k + " " + big[:rnd.IntN(len(big))]
		case 7:
			return "RENAME " + k + " k" + strconv.Itoa(rnd.IntN(200))
		case 8:
			return "SETBIT bits " + strconv.Itoa(rnd.IntN(5000)) + " 1"
		case 9:
			return "PFADD hll" + strconv.Itoa(rnd.IntN(3)) + " " + strconv.Itoa(rnd.IntN(1000))
		case 10:
			return "PFCOUNT hll" + strconv.Itoa(rnd.IntN(3)) // no write, and in the log all the same
		}
		return "SET " + k + " " + strconv.Itoa(rnd.Int())
	}
	for i := range n {
		few = i/200%2 == 1
		switch rnd.IntN(40) {
		case 0:
			c.Do("MULTI")
			for range rnd.IntN(150) {
				c.Do(one())
			}
			c.Do("EXEC")
		case 1:
			if rnd.IntN(20) == 0 {
				c.Do("FLUSHDB")
			} else {
				c.Do("SWAPDB 0 1")
			}
		default:
			c.Do(one())
		}
	}
}

// TestFollower: the stream of one server, cut into pieces anywhere, gives another the same data and the same log.
func TestFollower(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	primary := testServer(t, t.TempDir(), "--enable-debug-command", "yes", "--appendfsync", "no")
	randomWrites(t, primary, rnd, 1500)
	time.Sleep(60 * time.Millisecond) // expiries
	pc := dial(t, primary)
	testclient.Eventually(t, "what expires has expired", func() bool {
		return field(t, pc.Do("INFO keyspace")+"\r\ndbx:", "dbx") == "" && !strings.Contains(pc.Do("INFO keyspace"), "expires=1")
	})
	stream := logBytes(t, primary, 0)
	want := pc.Do("DEBUG DIGEST")
	for name, piece := range map[string]func() int{
		"all":    func() int { return len(stream) },
		"turns":  func() int { return 256 << 10 },
		"random": func() int { return 1 + rnd.IntN(20_000) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := testServer(t, dir, "--enable-debug-command", "yes", "--appendfsync", "always", "--ring-size", "65536")
			s.SetRole(Role{Replica: true, LinkUp: true})
			feed(t, s, 0, stream, piece)
			c := dial(t, s)
			if got := c.Do("DEBUG DIGEST"); got != want {
				t.Errorf("digest %s, the primary's is %s", got, want)
			}
			if got := logBytes(t, s, 0); !bytes.Equal(got, stream) {
				t.Errorf("the log has %d bytes and is not the stream of %d", len(got), len(stream))
			}
			db := s.StreamDB()
			stopServer(t, s)
			s = testServer(t, dir, "--enable-debug-command", "yes")
			if got := dial(t, s).Do("DEBUG DIGEST"); got != want {
				t.Errorf("digest after a restart %s, the primary's is %s", got, want)
			}
			s.SetRole(Role{Replica: true})
			if got := s.StreamDB(); got != db {
				t.Errorf("after a restart the stream is in database %d, it was in %d", got, db)
			}
		})
	}
}

// TestFollowerBytewise: an effect is executed when its last byte is there, and no sooner.
func TestFollowerBytewise(t *testing.T) {
	s := testServer(t, t.TempDir(), "--enable-debug-command", "yes")
	s.SetRole(Role{Replica: true, LinkUp: true})
	c := dial(t, s)
	cmd := func(words ...string) string {
		var b strings.Builder
		fmt.Fprintf(&b, "*%d\r\n", len(words))
		for _, w := range words {
			fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
		}
		return b.String()
	}
	var steps = []struct{ stream, query, before, after string }{
		{"\r\n\n" + cmd("SELECT", "2"), "DBSIZE", "0", "0"},
		{cmd("SET", "a", "1"), "GET a", "nil", "1"},
		{cmd("MULTI") + cmd("SET", "a", "2") + cmd("SET", "b", "2") + "\r\n" + cmd("EXEC"), "MGET a b", "[1 nil]", "[2 2]"},
		{cmd("PING") + cmd("REPLCONF", "GETACK", "*") + cmd("PUBLISH", "x", "y") + cmd("set", "a", "3"), "GET a", "2", "3"},
		{cmd("MULTI") + cmd("SELECT", "0") + cmd("SET", "zero", "1") + cmd("EXEC") + cmd("SELECT", "2") + cmd("MSET", "a", "4", "b", "4"), "MGET a b", "[3 2]", "[4 4]"},
		{cmd("SET", "late", "1", "PXAT", "1000"), "EXISTS late", "0", "0"}, // expired long ago: it is there, but reads as absent
	}
	f := s.NewFollower(0)
	c.Do("SELECT 2")
	for _, x := range steps {
		c.Want(x.query, x.before)
		at := 0
		for have := 1; have <= len(x.stream); have++ {
			var n int
			var err error
			onLoop(s, func(l *netio.Loop) { n, err = f.Apply([]byte(x.stream[at:have])); s.CommitSoon(l, false) })
			if err != nil {
				t.Fatal(err)
			}
			if at += n; at == len(x.stream) && have < at {
				t.Fatal("executed before it was there")
			}
			if have == len(x.stream)-1 {
				c.Want(x.query, x.before)
			}
		}
		if at != len(x.stream) {
			t.Fatalf("%q is left", x.stream[at:])
		}
		c.Want(x.query, x.after)
	}
	c.Want("DBSIZE", "3")
	if !f.GetAck() || f.GetAck() {
		t.Error("REPLCONF GETACK was not told, or twice")
	}
	if f.DB() != 2 || s.StreamDB() != 2 {
		t.Errorf("the stream is in database %d, or %d", f.DB(), s.StreamDB())
	}
}

// TestFollowerErrors: what cannot be followed is refused with the place, and nothing of it is executed; what came before is.
func TestFollowerErrors(t *testing.T) {
	for stream, want := range map[string]string{
		"*1\r\n$4\r\nNOPE\r\n":                           "unknown command 'NOPE'",
		"*2\r\n$6\r\nSELECT\r\n$2\r\n99\r\n":             "SELECT 99",
		"*1\r\n$3\r\nSET\r\n":                            "wrong number of arguments",
		"+OK\r\n":                                        "expected '*'",
		"*1\r\n$x\r\n":                                   "",
		"*2\r\n$3\r\nGET\r\n$9000000000000\r\nx":         "more than",
		"*1\r\n$5\r\nMULTI\r\n*1\r\n$4\r\nNOPE\r\n" + ex: "unknown command 'NOPE'",
		"*1\r\n$5\r\nMULTI\r\n*x\r\n":                    "",
	} {
		s := testServer(t, t.TempDir())
		s.SetRole(Role{Replica: true, LinkUp: true})
		good := "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n"
		p := []byte(good + stream)
		var n int
		var err error
		onLoop(s, func(l *netio.Loop) {
			f := s.NewFollower(0)
			defer s.CommitSoon(l, false)
			for err == nil && n < len(p) {
				var used int
				if used, err = f.Apply(p[n:]); used == 0 && err == nil {
					break
				}
				n += used
			}
		})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "at log offset ") {
			t.Errorf("%q: %v, want %q", stream, err, want)
		}
		if n != len(good) {
			t.Errorf("%q: %d bytes were taken, %d are good", stream, n, len(good))
		}
		dial(t, s).Want("GET a", "1", "DBSIZE", "1")
		if got := string(logBytes(t, s, 0)); got != good {
			t.Errorf("the log is %q", got)
		}
	}
}

const ex = "*1\r\n$4\r\nEXEC\r\n"

// TestFollowerReaders: under appendfsync always nobody sees on a replica what is not on its disk; beside a snapshot and a rewrite nothing tears.
func TestFollowerReaders(t *testing.T) {
	primary := testServer(t, t.TempDir(), "--enable-debug-command", "yes", "--appendfsync", "no")
	pc := dial(t, primary)
	pc.Do("SELECT 1") // rewrites then begin in the middle of a database
	const rounds = 3000
	for i := 1; i <= rounds; i++ {
		pc.Do("MULTI")
		pc.Do(fmt.Sprintf("SET a %d", i))
		pc.Do(fmt.Sprintf("SET b %d", i))
		pc.Do("EXEC")
	}
	stream := logBytes(t, primary, 0)
	dir := t.TempDir()
	s := testServer(t, dir, "--appendfsync", "always", "--enable-debug-command", "yes")
	s.SetRole(Role{Replica: true, LinkUp: true})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		c := dial(t, s)
		c.Do("SELECT 1")
		wg.Add(1)
		go func() {
			defer wg.Done()
			last := 0
			for {
				select {
				case <-stop:
					return
				default:
				}
				got := c.Do("MGET a b")
				var a, b int
				if fmt.Sscanf(got, "[%d %d]", &a, &b); a != b || a < last {
					t.Errorf("%s after %d", got, last)
					return
				}
				if log := s.store.Log(); a > 0 && log.Synced() < int64(a)*40 { // a transaction takes more than 40 bytes
					t.Errorf("saw %d when only %d bytes were on the disk", a, log.Synced())
				}
				last = a
			}
		}()
	}
	admin := dial(t, s)
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			select {
			case <-stop:
				return
			default:
				admin.Do("BGREWRITEAOF")
				time.Sleep(3 * time.Millisecond)
			}
		}
	}()
	feed(t, s, 0, stream, func() int { return 700 })
	close(stop)
	wg.Wait()
	if got := logBytes(t, s, s.store.Log().Oldest()); !bytes.HasSuffix(stream, got) {
		t.Error("the log after rewrites is not the stream's end")
	}
	testclient.Eventually(t, "the rewrites end", func() bool { return strings.Contains(admin.Do("INFO persistence"), "aof_rewrite_in_progress:0") })
	stopServer(t, s)
	s = testServer(t, dir)
	s.SetRole(Role{Replica: true})
	if got := s.StreamDB(); got != 1 {
		t.Errorf("after a rewrite and a restart the stream is in database %d", got)
	}
	dial(t, s).Want("SELECT 1", "OK", "MGET a b", fmt.Sprintf("[%d %d]", rounds, rounds))
}

// TestPromotion: a server that ceases to follow in the middle of a database writes its own effects with their SELECT.
func TestPromotion(t *testing.T) {
	dir := t.TempDir()
	s := testServer(t, dir)
	s.SetRole(Role{Replica: true, LinkUp: true})
	stream := []byte("*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n")
	feed(t, s, 0, stream, func() int { return len(stream) })
	s.SetRole(Role{})
	c := dial(t, s)
	c.Want("SELECT 3", "OK", "SET b 2", "OK", "SELECT 0", "OK", "SET c 3", "OK")
	if got := string(logBytes(t, s, int64(len(stream)))); !strings.HasPrefix(got, "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n") {
		t.Errorf("%q", got)
	}
	stopServer(t, s)
	s = testServer(t, dir)
	c = dial(t, s)
	c.Want("GET c", "3", "SELECT 3", "OK", "MGET a b", "[1 2]")
}
