package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidemark/cmd/servertest"
)

// One large collection of each type is changed by several connections while it is saved and the log rewritten, over and over, and the server
// is killed in the middle. What it recovers is what a replica has that followed all along; a file that was saved meanwhile is the state of one
// moment; and a stock redis-server reads the same out of the file and out of the log.
//
// TIDEMARK_LARGE is the number of elements of each; there are a tenth as many kills as elsewhere, each with much more to compare.
func TestKillLargeCollections(t *testing.T) {
	seed := uint64(servertest.Setting(t, "TIDEMARK_SEED", time.Now().UnixNano()))
	elements := int(servertest.Setting(t, "TIDEMARK_LARGE", 30_000))
	rounds := int(servertest.Setting(t, "TIDEMARK_CRASHES", 15)+9) / 10
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 5))
	primary := servertest.StartTidemark(t, servertest.Config{Args: []string{"--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
		"--auto-aof-rewrite-percentage", "0", "--repl-backlog-size", "64mb", "--enable-debug-command", "yes"}})
	c := primary.Connect(t)
	for _, l := range larges {
		for from := 0; from < elements; from += 100 {
			c.Queue(l.add(from, 100)...)
		}
	}
	for from := 0; from < elements; from += 100 {
		c.Queue(append([]string{"SADD", "here"}, names(from, 100)...)...)
	}
	c.Queue("XGROUP", "CREATE", "stream", "group", "0")
	answered(t, c, elements/100*(len(larges)+1)+1)
	replica := servertest.StartTidemark(t, servertest.Config{Args: []string{"--appendonly", "no", "--save", "", "--enable-debug-command", "yes",
		"--replicaof", "127.0.0.1 " + strconv.Itoa(primary.Port)}})
	sameData(t, primary, replica)

	followed, images := 0, 0
	for round := 0; round < rounds || (followed == 0 || images == 0) && round < rounds+4; round++ {
		l := startLoad(primary, elements, rnd)
		saves := saveOverAndOver(primary)
		l.until(t, 1000)
		// A random moment is what is tested here, not something that could be waited for.
		moment := time.Duration(300+rnd.IntN(500)) * time.Millisecond
		if round >= rounds {
			moment *= 4 // the machine is slow: no save has ended so far
		}
		time.Sleep(moment)
		primary.Kill()
		l.wg.Wait()
		if what := l.problem.Load(); what != nil {
			t.Fatalf("seed %d: %s", seed, *what)
		}
		if err := <-saves; err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		images += checkImage(t, primary.Dir, elements)

		again, err := primary.Restart()
		if err != nil {
			t.Fatalf("seed %d, kill %d: %v", seed, round+1, err)
		}
		primary = again
		t.Cleanup(primary.Kill)
		sameData(t, primary, replica)
		if t.Failed() {
			t.Fatalf("seed %d, kill %d: the server had recovered this:\n%s", seed, round+1, primary.Log())
		}
		// A replica that was sent everything anew says nothing of the recovery. One that was ahead of the log has to be.
		c := primary.Connect(t)
		if field(t, c, "stats", "sync_partial_ok") != "0" {
			followed++
		}
		c.Close()
	}
	if followed == 0 {
		t.Error("after none of the kills the replica could go on from where it was")
	}
	if images == 0 {
		t.Error("no save ended")
	}
	t.Logf("%d recoveries compared with a replica that went on, %d files with one moment", followed, images)

	// What is left goes to redis-server, but for what 7.0 does not have. The log has a base and commands behind it.
	c = primary.Connect(t)
	for _, l := range larges {
		if enc := c.Must(t, "OBJECT", "ENCODING", l.key).Str; enc != "quicklist" && enc != "hashtable" && enc != "skiplist" && enc != "stream" {
			t.Errorf("%s is a %s by now: this is no test of large collections", l.key, enc)
		}
	}
	c.Must(t, "DEL", "fields", "fields:copy")
	c.Must(t, "BGREWRITEAOF")
	eventually(t, "the rewrite", func() bool {
		return field(t, c, "persistence", "aof_rewrite_in_progress")+field(t, c, "persistence", "aof_rewrite_scheduled") == "00"
	})
	for range 50 {
		for _, l := range larges[:len(larges)-1] {
			c.Queue(l.change(rnd, elements)...)
		}
		answered(t, c, len(larges)-1)
	}
	if r := c.Must(t, "SAVE"); r.IsError() {
		t.Fatal(r)
	}
	want := data(t, c)
	if err := primary.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, log := range []string{"no", "yes"} {
		redis := servertest.StartRedis(t, servertest.Config{Dir: primary.Dir, Args: []string{"--appendonly", log, "--aof-load-truncated", "no"}})
		if got := data(t, redis.Connect(t)); got != want {
			t.Errorf("seed %d: redis-server with appendonly %s has\n%s\ntidemark had\n%s", seed, log, got, want)
		}
		redis.Kill()
	}
}

// large is one of the collections.
type large struct {
	key    string
	add    func(from, n int) []string
	change func(rnd *rand.Rand, elements int) []string
}

func name(i int) string { return fmt.Sprintf("element:%d", i) }

func names(from, n int) (out []string) {
	for i := range n {
		out = append(out, name(from+i))
	}
	return out
}

// spread interleaves the names with what value gives for each; ahead says that the value comes first.
func spread(names []string, ahead bool, value func(i int) string) (out []string) {
	for i, n := range names {
		if ahead {
			out = append(out, value(i), n)
		} else {
			out = append(out, n, value(i))
		}
	}
	return out
}

// choose returns one of some commands, each with its weight before it.
func choose(rnd *rand.Rand, weighted ...any) []string {
	sum := 0
	for i := 0; i < len(weighted); i += 2 {
		sum += weighted[i].(int)
	}
	at := rnd.IntN(sum)
	i := 0
	for at -= weighted[0].(int); at >= 0; at -= weighted[i].(int) {
		i += 2
	}
	return weighted[i+1].([]string)
}

// larges stay at about their size: what is added and removed, some of both by many at once, is in balance there. fields, which redis-server 7.0 does not know, is the last.
var larges = []large{
	{"list", func(from, n int) []string { return append([]string{"RPUSH", "list"}, names(from, n)...) },
		func(rnd *rand.Rand, elements int) []string {
			x, y := name(rnd.IntN(elements)), strconv.Itoa(rnd.IntN(elements/2)-elements/4)
			return choose(rnd, 300, []string{"RPUSH", "list", x}, 300, []string{"LPUSH", "list", x}, 300, []string{"LPOP", "list"}, 300, []string{"RPOP", "list"},
				300, []string{"LSET", "list", y, x}, 5, []string{"LREM", "list", "1", x}, 5, []string{"LINSERT", "list", "BEFORE", x, "inserted"},
				50, append([]string{"LPUSH", "list"}, names(0, 50)...), 1, []string{"LTRIM", "list", "0", strconv.Itoa(elements)})
		}},
	{"set", func(from, n int) []string { return append([]string{"SADD", "set"}, names(from, n)...) },
		func(rnd *rand.Rand, elements int) []string {
			at := rnd.IntN(2 * elements)
			return choose(rnd, 500, []string{"SADD", "set", name(at)}, 400, []string{"SREM", "set", name(at)}, 300, []string{"SPOP", "set"},
				50, append([]string{"SADD", "set"}, names(at, 50)...), 1, []string{"SPOP", "set", strconv.Itoa(elements / 20)})
		}},
	{"hash", func(from, n int) []string {
		return append([]string{"HSET", "hash"}, spread(names(from, n), false, strconv.Itoa)...)
	},
		func(rnd *rand.Rand, elements int) []string {
			at := rnd.IntN(2 * elements)
			return choose(rnd, 500, []string{"HSET", "hash", name(at), strings.Repeat("v", rnd.IntN(30))}, 500, []string{"HDEL", "hash", name(at)},
				300, []string{"HINCRBY", "hash", "count:" + strconv.Itoa(at), "7"}, 20, append([]string{"HDEL", "hash"}, names(at, 50)...))
		}},
	{"zset", func(from, n int) []string {
		return append([]string{"ZADD", "zset"}, spread(names(from, n), true, func(i int) string { return strconv.Itoa((from + i) * 7919 % 10007) })...)
	},
		func(rnd *rand.Rand, elements int) []string {
			at := rnd.IntN(2 * elements)
			rank := rnd.IntN(elements)
			return choose(rnd, 500, []string{"ZADD", "zset", strconv.Itoa(rnd.IntN(10007)), name(at)}, 500, []string{"ZREM", "zset", name(at)},
				300, []string{"ZINCRBY", "zset", "0.5", name(at)}, 100, []string{"ZPOPMIN", "zset"},
				10, append([]string{"ZADD", "zset"}, spread(names(at, 50), true, strconv.Itoa)...),
				1, []string{"ZREMRANGEBYRANK", "zset", strconv.Itoa(rank), strconv.Itoa(rank + elements/50)})
		}},
	{"stream", func(from, n int) []string {
		return append([]string{"XADD", "stream", strconv.Itoa(from) + "-1"}, spread(names(from, n), false, strconv.Itoa)...)
	},
		func(rnd *rand.Rand, elements int) []string {
			id := strconv.Itoa(rnd.IntN(elements)/100*100) + "-1"
			return choose(rnd, 500, []string{"XADD", "stream", "*", "at", name(rnd.IntN(elements))}, 300, []string{"XREADGROUP", "GROUP", "group", "first", "COUNT", "5", "STREAMS", "stream", ">"},
				100, []string{"XAUTOCLAIM", "stream", "group", "second", "0", "0", "COUNT", "3"}, 5, []string{"XACK", "stream", "group", id},
				5, []string{"XDEL", "stream", id}, 50, []string{"XADD", "stream", "MAXLEN", "~", strconv.Itoa(elements / 2), "*", "at", "trimmed"})
		}},
	{"fields", func(from, n int) []string {
		return append([]string{"HSET", "fields"}, spread(names(from, n), false, strconv.Itoa)...)
	},
		func(rnd *rand.Rand, elements int) []string {
			at := rnd.IntN(2 * elements)
			return choose(rnd, 500, []string{"HSET", "fields", name(at), "again"}, 300, []string{"HPEXPIRE", "fields", strconv.Itoa(1 + rnd.IntN(200)), "FIELDS", "1", name(at)},
				300, []string{"HEXPIRE", "fields", "9999", "FIELDS", "1", name(at)}, 100, []string{"HPERSIST", "fields", "FIELDS", "1", name(at)},
				100, []string{"HDEL", "fields", name(at)}, 20, append([]string{"HPEXPIRE", "fields", "50", "FIELDS", "50"}, names(at, 50)...))
		}},
}

// load is several connections that change the collections until the server is gone.
type load struct {
	wg      sync.WaitGroup
	written atomic.Int64
	problem atomic.Pointer[string]
}

func startLoad(s *servertest.Server, elements int, rnd *rand.Rand) *load {
	l := &load{}
	for range 4 {
		rnd := rand.New(rand.NewPCG(rnd.Uint64(), 6))
		l.wg.Go(func() {
			c, err := s.Dial()
			if err != nil {
				return // killed before the connection stood
			}
			defer c.Close()
			for l.problem.Load() == nil {
				const batch = 20
				var sent [batch][]string
				for i := range sent {
					sent[i] = l.next(rnd, elements)
					c.Queue(sent[i]...)
				}
				if c.Flush() != nil {
					return
				}
				for i := range sent {
					r, err := c.Receive()
					if err != nil {
						return
					}
					if r.IsError() && !harmless(r) {
						what := fmt.Sprintf("%.100q: %s", sent[i], r.Str)
						l.problem.Store(&what)
					}
				}
				l.written.Add(batch)
			}
		})
	}
	return l
}

// next is a change of an element; seldom of a whole collection; or a member that changes sets, of which it is always in one.
func (l *load) next(rnd *rand.Rand, elements int) []string {
	at := larges[rnd.IntN(len(larges))]
	switch n := rnd.IntN(6000); {
	case n < 2:
		return []string{"COPY", at.key, at.key + ":copy", "REPLACE"}
	case n == 2:
		return []string{"DEL", at.key + ":copy"}
	case n == 3:
		return []string{"RENAME", at.key + ":copy", at.key}
	case n < 1000:
		from, to := "here", "there"
		if n&1 == 0 {
			from, to = to, from
		}
		return []string{"SMOVE", from, to, name(rnd.IntN(elements))}
	}
	return at.change(rnd, elements)
}

// until waits until so many commands have been answered.
func (l *load) until(t *testing.T, n int64) {
	t.Helper()
	eventually(t, "the load", func() bool { return l.written.Load() >= n || l.problem.Load() != nil })
}

// saveOverAndOver saves and rewrites, one after the other, until the server is gone; the channel has what went wrong.
func saveOverAndOver(s *servertest.Server) <-chan error {
	done := make(chan error, 1)
	go func() {
		defer close(done)
		c, err := s.Dial()
		if err != nil {
			return
		}
		defer c.Close()
		for i := 0; ; i++ {
			r, err := c.Do([]string{"BGSAVE", "BGREWRITEAOF"}[i%2])
			if err != nil {
				return
			}
			if r.IsError() && !strings.Contains(r.Str, "in progress") && !strings.Contains(r.Str, "Another child process is active") {
				done <- fmt.Errorf("%s", r.Str)
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	return done
}

// checkImage loads the file that the last save left, if one ended, into a server of its own: each of the members that change sets is in one.
func checkImage(t *testing.T, dir string, elements int) int {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(dir, "dump.rdb"))
	if os.IsNotExist(err) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	own := t.TempDir()
	if err := os.WriteFile(filepath.Join(own, "dump.rdb"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	s := servertest.StartTidemark(t, servertest.Config{Dir: own, Args: []string{"--appendonly", "no", "--save", ""}})
	defer s.Kill()
	c := s.Connect(t)
	if n := c.Must(t, "SCARD", "here").Int + c.Must(t, "SCARD", "there").Int; n != int64(elements) {
		t.Errorf("the saved file has %d of the %d members that change sets", n, elements)
	}
	if n := c.Must(t, "SUNIONSTORE", "both", "here", "there").Int; n != int64(elements) {
		t.Errorf("the saved file has %d different members of the %d that change sets", n, elements)
	}
	return 1
}

// sameData waits until the replica is where the primary is, and compares. Nobody writes, but fields may expire meanwhile.
func sameData(t *testing.T, primary, replica *servertest.Server) {
	t.Helper()
	p, r := primary.Connect(t), replica.Connect(t)
	defer p.Close()
	defer r.Close()
	var has [2]string
	same := func() bool {
		if field(t, r, "replication", "master_link_status") != "up" {
			return false
		}
		at := field(t, p, "replication", "master_repl_offset")
		if field(t, r, "replication", "slave_repl_offset") != at {
			return false
		}
		has = [2]string{data(t, p), data(t, r)}
		return has[0] == has[1]
	}
	for deadline := time.Now().Add(15 * time.Second); !same(); time.Sleep(20 * time.Millisecond) {
		if time.Now().Before(deadline) {
			continue
		}
		t.Errorf("the primary has\n%s\nthe replica\n%s", has[0], has[1])
		for _, key := range p.Must(t, "KEYS", "*").Strings() {
			if a, b := p.Must(t, "DEBUG", "DIGEST-VALUE", key), r.Must(t, "DEBUG", "DIGEST-VALUE", key); a.String() != b.String() {
				t.Errorf("%s: the primary has %v, the replica %v", key, a, b)
			}
		}
		return
	}
}

// data is the digest of everything, and what it does not tell of: the stream's group.
func data(t *testing.T, c *servertest.Client) string {
	t.Helper()
	return fmt.Sprint(c.Must(t, "DEBUG", "DIGEST"), c.Must(t, "XINFO", "GROUPS", "stream"), c.Must(t, "XPENDING", "stream", "group"))
}

// field is a line of INFO.
func field(t *testing.T, c *servertest.Client, section, name string) string {
	t.Helper()
	_, rest, found := strings.Cut(c.Must(t, "INFO", section).Str, "\n"+name+":")
	if !found {
		return ""
	}
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// harmless says of an error that the random choice is its cause: a place that the list does not have, a copy that nobody has made.
func harmless(r servertest.Reply) bool {
	return strings.Contains(r.Str, "index out of range") || strings.Contains(r.Str, "no such key")
}

// answered sends what is queued and reads so many replies.
func answered(t *testing.T, c *servertest.Client, n int) {
	t.Helper()
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	for range n {
		r, err := c.Receive()
		if err != nil || r.IsError() && !harmless(r) {
			t.Fatal(r, err)
		}
	}
}
