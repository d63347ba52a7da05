package generic

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/engine/command"
	"tidemark/engine/evict"
	"tidemark/engine/keyspace"
)

// request makes a random request over few keys and databases, so that commands meet each other's keys.
func request(rnd *rand.Rand) []string {
	key := func() string { return "k" + strconv.Itoa(rnd.IntN(8)) }
	db := func() string { return strconv.Itoa(rnd.IntN(3)) }
	pick := func(of ...string) string { return of[rnd.IntN(len(of))] }
	keys := func(name string) []string {
		a := []string{name}
		for range 1 + rnd.IntN(4) {
			a = append(a, key())
		}
		return a
	}
	cond := func(a ...string) []string {
		for range rnd.IntN(6) / 3 {
			a = append(a, pick("NX", "XX", "GT", "LT"))
		}
		return a
	}
	switch rnd.IntN(24) {
	case 0, 1, 2, 3, 4:
		return []string{"SET", key(), pick("1", "12345", "text", strings.Repeat("long", 20), strings.Repeat("large", 1000))}
	case 5:
		return keys(pick("DEL", "UNLINK"))
	case 6:
		return keys(pick("EXISTS", "TOUCH"))
	case 7:
		return []string{pick("TYPE", "TTL", "EXPIRETIME", "PERSIST", "GET"), key()}
	case 8, 9:
		return []string{pick("RENAME", "RENAMENX"), key(), key()}
	case 10, 11, 12:
		a := []string{"COPY", key(), key()}
		if rnd.IntN(2) == 0 {
			a = append(a, "DB", db())
		}
		if rnd.IntN(2) == 0 {
			a = append(a, "REPLACE")
		}
		return a
	case 13:
		return []string{"MOVE", key(), db()}
	case 14:
		return []string{"SELECT", db()}
	case 15, 16:
		return cond("EXPIRE", key(), pick("100", "1000", "100000", "-1", "0"))
	case 17:
		return cond("PEXPIREAT", key(), pick("4000000000000", "5000000000000", "1"))
	case 18:
		return []string{"SWAPDB", db(), db()}
	case 19:
		return []string{"OBJECT", pick("ENCODING"), key()}
	case 20:
		return []string{"DBSIZE"}
	case 21:
		return []string{"!KEYS", pick("*", "k?", "k[1-4]", "k[^5]")}
	case 22:
		if rnd.IntN(20) == 0 {
			return []string{pick("FLUSHDB", "FLUSHALL")}
		}
	}
	return []string{pick("EXPIRETIME", "GET"), key()}
}

func sortElements(reply string) string {
	el := strings.Fields(strings.Trim(reply, "[]"))
	slices.Sort(el)
	return strings.Join(el, " ")
}

// TestRandomAgainstRedis compares the replies to random sequences of commands.
func TestRandomAgainstRedis(t *testing.T) {
	s := startRedis(t)
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 1))
	e := newEngine(t, 16)
	var last []string
	for range 20_000 {
		a := request(rnd)
		name := a[0]
		a[0] = strings.TrimPrefix(name, "!")
		last = append(last, strings.Join(a, " "))
		ours, theirs := e.text(a...), s.text(a...)
		if name != a[0] {
			ours, theirs = sortElements(ours), sortElements(theirs)
		}
		if a[0] == "EXPIRETIME" && ours != theirs {
			// The two clocks were read apart.
			var x, y int64
			fmt.Sscanf(ours, "(integer) %d", &x)
			fmt.Sscanf(theirs, "(integer) %d", &y)
			if x > 0 && y > 0 && max(x-y, y-x) <= 1 {
				continue
			}
		}
		if a[0] == "TTL" && ours != theirs {
			var x, y int64
			fmt.Sscanf(ours, "(integer) %d", &x)
			fmt.Sscanf(theirs, "(integer) %d", &y)
			if x > 0 && y > 0 && max(x-y, y-x) <= 1 {
				continue
			}
		}
		if len(a) > 3 && strings.HasPrefix(a[0], "EXPIRE") && ours != theirs {
			// GT and LT between times a moment apart may go either way; put the two in step again.
			e.text("PERSIST", a[1])
			s.text("PERSIST", a[1])
			continue
		}
		if ours != theirs {
			t.Fatalf("seed %d: after %q\n ours %s\nredis %s", seed, last[max(0, len(last)-12):], ours, theirs)
		}
	}
}

// entries lists every entry of a keyspace, expired or not.
func entries(ks *keyspace.Keyspace) []string {
	var out []string
	for i := range ks.NumShards() {
		s := ks.Shard(i)
		for db := range ks.Databases() {
			for cursor := uint64(0); ; {
				cursor = s.Scan(db, cursor, func(r keyspace.Ref) {
					out = append(out, fmt.Sprintf("%d %s %s %s %d", db, s.Key(r), s.Value(r), s.Encoding(r), s.ExpireAt(r)))
				})
				if cursor == 0 {
					break
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

// TestReplayGivesTheSame replays the log of random commands, at a clock by which everything has expired, and compares the keyspaces.
func TestReplayGivesTheSame(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 2))
	e := newEngine(t, 16)
	read := withLog(t, e)
	ev := evict.New()
	e.now = 1_000_000_000_000
	for range 20_000 {
		a := request(rnd)
		a[0] = strings.TrimPrefix(a[0], "!")
		if a[0] == "EXPIRE" && rnd.IntN(2) == 0 {
			a[0] = "PEXPIRE"
		}
		e.do(a...)
		e.now += int64(rnd.IntN(50)) // keys do expire under way
		if rnd.IntN(50) == 0 {
			ev.SetPolicy(evict.Policy(rnd.IntN(8)))
			ev.Free(e.c, 1)
		}
	}
	if n := e.c.Store.Stats.EvictedKeys.Load(); n < 50 {
		t.Errorf("only %d keys were evicted on the way", n)
	}
	cmds := read()
	f := newEngine(t, 4)
	f.c.Replay = true
	f.now = 9_000_000_000_000
	for _, l := range cmds {
		f.c.DB = l.db
		if reply := f.do(l.args...); reply[0] == '-' {
			t.Fatalf("seed %d: replay of %v: %s", seed, l, reply)
		}
	}
	ours, theirs := entries(e.c.Store.KS), entries(f.c.Store.KS)
	if !slices.Equal(ours, theirs) {
		t.Errorf("seed %d: after replay\n%q\nbefore\n%q", seed, theirs, ours)
	}
	for i := range 16 {
		if err := e.c.Store.KS.Shard(i).Check(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// TestScanGuarantee: what is there during the whole of a walk is seen by it, while the tables grow and shrink under it.
func TestScanGuarantee(t *testing.T) {
	for _, shards := range []int{1, 16, 1024} {
		seed := uint64(time.Now().UnixNano())
		rnd := rand.New(rand.NewPCG(seed, 3))
		e := newEngine(t, shards)
		stable := map[string]bool{}
		for i := range 3000 {
			k := fmt.Sprint("stable", i)
			stable[k] = true
			e.do("SET", k, "v")
		}
		for round := range 4 {
			seen := map[string]int{}
			extra := 0
			growing := round%2 == 0
			if !growing {
				for extra < 10_000 {
					e.do("SET", fmt.Sprint("extra", extra), "v")
					extra++
				}
			}
			cursor, calls := "0", 0
			for {
				next, keys := scanReply(t, e.do("SCAN", cursor, "COUNT", fmt.Sprint(1+rnd.IntN(100))))
				for _, k := range keys {
					seen[k]++
					if !stable[k] && !strings.HasPrefix(k, "extra") {
						t.Fatalf("seed %d: key %q never was", seed, k)
					}
				}
				if n, err := strconv.ParseUint(next, 10, 64); err != nil || n >= 1<<53 {
					t.Fatalf("seed %d: cursor %s does not fit a double", seed, next)
				}
				if cursor = next; cursor == "0" {
					break
				}
				if calls++; calls > 1_000_000 {
					t.Fatalf("seed %d: the walk does not end", seed)
				}
				for range rnd.IntN(200) {
					if growing && extra < 10_000 {
						e.do("SET", fmt.Sprint("extra", extra), "v")
						extra++
					} else if !growing && extra > 0 {
						extra--
						e.do("DEL", fmt.Sprint("extra", extra))
					}
				}
			}
			for k := range stable {
				if seen[k] == 0 {
					t.Fatalf("seed %d: %d shards, round %d: %s was not seen", seed, shards, round, k)
				}
			}
			for ; extra > 0; extra-- {
				e.do("DEL", fmt.Sprint("extra", extra-1))
			}
		}
	}
}

func scanReply(t *testing.T, b string) (cursor string, keys []string) {
	f := strings.Split(b, "\r\n") // *2 $n cursor *k ($n key)*
	if f[0] != "*2" || f[3] != fmt.Sprint("*", (len(f)-5)/2) {
		t.Fatalf("reply %q", b)
	}
	for i := 5; i < len(f); i += 2 {
		keys = append(keys, f[i])
	}
	return f[2], keys
}

// TestWalksMeetExpiredKeys: SCAN, KEYS and RANDOMKEY do not show keys that have expired and await removal; SCAN and RANDOMKEY
// remove those they meet, each with a DEL of its own in the log.
func TestWalksMeetExpiredKeys(t *testing.T) {
	e := newEngine(t, 16)
	read := withLog(t, e)
	fill := func() {
		e.do("FLUSHALL")
		e.now = 1000
		for i := range 200 {
			k := fmt.Sprint(i)
			e.do("SET", k, "v")
			if i != 77 {
				e.do("PEXPIRE", k, "10")
			}
		}
		e.now = 1010
	}
	is := func(want string, cmd ...string) {
		t.Helper()
		if got := e.text(cmd...); got != want {
			t.Errorf("%q: %s, want %s", cmd, got, want)
		}
	}
	fill()
	is(`["77"]`, "KEYS", "*")
	is("(integer) 200", "DBSIZE")
	for range 10 {
		is(`"77"`, "RANDOMKEY")
	}
	is(`["0" ["77"]]`, "SCAN", "0", "COUNT", "1000")
	is("(integer) 1", "DBSIZE")
	fill()
	is(`["0" []]`, "SCAN", "0", "COUNT", "1000", "TYPE", "nosuchtype")
	is("(integer) 1", "DBSIZE")
	fill()
	e.do("DEL", "77")
	for i := range 1000 {
		if is("(nil)", "RANDOMKEY"); e.text("DBSIZE") == "(integer) 0" {
			break
		} else if i == 999 {
			t.Error("RANDOMKEY does not remove what it meets")
		}
	}
	// While expiry is held they stay, and are hidden all the same.
	fill()
	e.c.Store.HoldExpiry.Store(true)
	is(`["0" ["77"]]`, "SCAN", "0", "COUNT", "1000")
	is(`"77"`, "RANDOMKEY")
	is("(integer) 200", "DBSIZE")
	e.c.Store.HoldExpiry.Store(false)
	dels := 0
	for _, l := range read() {
		if l.args[0] == "DEL" {
			dels++
		}
	}
	if want := 199 + 199 + 200; dels != want {
		t.Errorf("%d DEL in the log, want %d", dels, want)
	}
}

// TestExpiredKeyInTheWay: a write that puts an entry where an expired one still stands removes that first, even while expiry
// is held.
func TestExpiredKeyInTheWay(t *testing.T) {
	for _, cmd := range []string{"RENAME a x", "RENAMENX a x", "COPY a x", "COPY a x DB 1", "MOVE a 1", "SET x v", "EXPIRE x 10", "DEL x"} {
		e := newEngine(t, 4)
		e.now = 1000
		for _, db := range []string{"1", "0"} {
			e.do("SELECT", db)
			for _, k := range []string{"x", "a"} {
				if k == "x" || db == "0" || cmd == "MOVE a 1" {
					e.do("SET", k, "old")
				}
				if k == "x" || db == "1" {
					e.do("PEXPIRE", k, "10")
				}
			}
		}
		e.now = 2000
		e.c.Store.HoldExpiry.Store(true)
		if reply := e.do(strings.Fields(cmd)...); reply[0] == '-' {
			t.Errorf("%s: %s", cmd, reply)
		}
		names := map[string]int{}
		for _, entry := range entries(e.c.Store.KS) {
			f := strings.Fields(entry)
			names[f[0]+" "+f[1]]++
		}
		for name, n := range names {
			if n > 1 {
				t.Errorf("%s: %d entries of %s", cmd, n, name)
			}
		}
		for i := range 4 {
			if err := e.c.Store.KS.Shard(i).Check(); err != nil {
				t.Errorf("%s: %v", cmd, err)
			}
		}
	}
}

// TestStaleWatchedKeys: the removal of a key that had expired already when WATCH saw it is no change.
func TestStaleWatchedKeys(t *testing.T) {
	for _, tc := range []struct {
		stale []int // databases where w stands expired
		live  []int // where it lives
		watch int   // watched there
		run   string
		dirty bool
	}{
		{[]int{0}, nil, 0, "FLUSHDB", false}, {[]int{1}, nil, 1, "SWAPDB 0 1", false}, {[]int{0}, nil, 1, "SWAPDB 0 1", false},
		{[]int{0, 1}, nil, 1, "SWAPDB 0 1", false}, {[]int{1}, []int{0}, 1, "SWAPDB 0 1", true}, {[]int{0}, []int{1}, 1, "SWAPDB 0 1", true},
		{[]int{0}, nil, 0, "EXISTS w", false}, {[]int{0}, nil, 0, "DEL w", false}, {[]int{0}, nil, 0, "SET w v", true},
		{[]int{0}, nil, 0, "SCAN 0 COUNT 100", false},
	} {
		e := newEngine(t, 4)
		e.now = 1000
		for _, db := range append(tc.stale, tc.live...) {
			e.do("SELECT", fmt.Sprint(db))
			e.do("SET", "w", "v")
			if slices.Contains(tc.stale, db) {
				e.do("PEXPIRE", "w", "10")
			}
		}
		e.do("SELECT", "0")
		e.now = 2000
		k := e.c.Store.MakeKey([]byte("w"))
		var w command.Watcher
		e.c.Store.Watch(tc.watch, &k, slices.Contains(tc.stale, tc.watch), &w)
		e.do(strings.Fields(tc.run)...)
		if w.Dirty.Load() != tc.dirty {
			t.Errorf("%+v: dirty %v", tc, w.Dirty.Load())
		}
		if tc.run == "SWAPDB 0 1" && slices.Contains(tc.stale, 0) && e.c.Store.SawExpired(tc.watch, &k, &w) == tc.dirty {
			t.Errorf("%+v: what came is expired, the watch does not know", tc)
		}
	}
}

// TestScanTakesAnyCursor: whatever a client sends is a place to go on from.
func TestScanTakesAnyCursor(t *testing.T) {
	for _, shards := range []int{1, 64} {
		e := newEngine(t, shards)
		for i := range 1000 {
			e.do("SET", fmt.Sprint(i), "v")
		}
		seed := uint64(time.Now().UnixNano())
		rnd := rand.New(rand.NewPCG(seed, 4))
		for range 2000 {
			cursor := strconv.FormatUint(rnd.Uint64()>>rnd.IntN(64), 10)
			for calls := 0; ; calls++ {
				next, _ := scanReply(t, e.do("SCAN", cursor, "COUNT", "100"))
				if next == "0" {
					break
				}
				if calls > 1000 {
					t.Fatalf("seed %d: from %s the walk does not end", seed, cursor)
				}
				cursor = next
			}
		}
	}
}

func TestRandomKeyReachesAll(t *testing.T) {
	e := newEngine(t, 16)
	seen := map[string]int{}
	for i := range 20 {
		e.do("SET", fmt.Sprint(i), "v")
	}
	for range 4000 {
		seen[e.text("RANDOMKEY")]++
	}
	for k, n := range seen {
		if n < 100 || n > 400 { // 200 expected, deviation 14
			t.Errorf("%s came %d times of 4000", k, n)
		}
	}
	if len(seen) != 20 {
		t.Errorf("%d of 20 keys seen", len(seen))
	}
}

func TestWatchers(t *testing.T) {
	for _, tc := range []struct {
		db    int // of the watched key w
		run   string
		dirty bool
	}{
		{0, "DEL w", true}, {0, "DEL x", false}, {1, "DEL w", false}, {0, "UNLINK nokey w", true},
		{0, "EXISTS w", false}, {0, "TOUCH w", false}, {0, "EXPIRE w 10", true}, {0, "EXPIRE w 10 XX", false}, {0, "PERSIST w", false},
		{0, "EXPIRE w 0", true},
		{0, "RENAME w y", true}, {0, "RENAME x w", true}, {0, "RENAMENX x w", false}, {0, "RENAME w w", false},
		{0, "COPY w y", false}, {0, "COPY x w", false}, {0, "COPY x w REPLACE", true}, {1, "COPY x w DB 1 REPLACE", true},
		{0, "COPY x w DB 1", false}, {1, "MOVE w 1", false}, {0, "MOVE w 1", false}, {0, "MOVE w 2", true}, {2, "MOVE w 2", true},
		{0, "SWAPDB 0 1", true}, {1, "SWAPDB 0 1", true}, {0, "SWAPDB 0 5", true}, {5, "SWAPDB 5 0", true}, {5, "SWAPDB 5 6", false}, {2, "SWAPDB 0 1", false},
		{0, "SWAPDB 0 0", false},
		{0, "FLUSHDB", true}, {1, "FLUSHDB", false}, {1, "FLUSHALL ASYNC", true}, {3, "FLUSHALL", false},
	} {
		e := newEngine(t, 4)
		for _, cmd := range []string{"SET w 1", "SET x 1", "SELECT 1", "SET w 1", "SELECT 0"} {
			e.do(strings.Fields(cmd)...)
		}
		k := e.c.Store.MakeKey([]byte("w"))
		var w command.Watcher
		e.c.Store.Watch(tc.db, &k, false, &w)
		e.do(strings.Fields(tc.run)...)
		if w.Dirty.Load() != tc.dirty {
			t.Errorf("watching w in %d: %s: dirty %v", tc.db, tc.run, w.Dirty.Load())
		}
	}
}

// TestAtomicToObservers: a key under rename, move or exchange is never seen twice and never missed, whoever looks.
func TestAtomicToObservers(t *testing.T) {
	e := newEngine(t, 16)
	e.do("SET", "a", "v")
	stop, done := make(chan bool), make(chan bool)
	go func() {
		defer close(done)
		w := &engine{t: t, c: command.NewCtx(e.c.Store, e.table), table: e.table}
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			from, to := "abcdefgh"[i%8:i%8+1], "abcdefgh"[(i+1)%8:(i+1)%8+1]
			w.do("RENAME", from, to)
			if i%8 == 7 {
				w.do("SWAPDB", "0", "1")
				w.do("SWAPDB", "1", "0")
			}
		}
	}()
	in1 := 0
	for range 2000 {
		n := e.text("KEYS", "*")
		if len(n) > len(`["a"]`) {
			t.Errorf("KEYS saw %s", n)
		}
		switch got := e.text("DBSIZE"); got {
		case "(integer) 0":
			in1++
		case "(integer) 1":
		default:
			t.Errorf("DBSIZE %s", got)
		}
		switch got := e.text("EXISTS", "a", "b", "c", "d", "e", "f", "g", "h"); got {
		case "(integer) 0", "(integer) 1":
		default:
			t.Errorf("EXISTS %s", got)
		}
	}
	close(stop)
	<-done
	if got := e.text("EXISTS", "a", "b", "c", "d", "e", "f", "g", "h"); got != "(integer) 1" {
		t.Errorf("in the end %s, and %d times in database 1", got, in1)
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	for _, logs := range []bool{false, true} {
		e := newEngine(t, 16)
		// Tables and expiry indexes that come into being and vanish again would allocate.
		e.now = 1_000_000
		for i := range 1000 {
			e.do("SET", fmt.Sprint("other", i), "v")
			e.do("EXPIRE", fmt.Sprint("other", i), "100000")
		}
		if logs {
			defer withLog(t, e)()
		}
		for _, line := range []string{"DEL k", "DEL a b c", "UNLINK k", "EXISTS k", "EXISTS k k j", "TYPE k", "TOUCH k", "EXPIRE k 1000", "PEXPIRE k 1000 LT",
			"EXPIRE k 0", "TTL k", "PTTL k", "PERSIST k", "OBJECT ENCODING k", "RENAME k j"} {
			var reqs [][][]byte
			for _, cmd := range []string{"SET k value", "SET a value", "EXPIRE k 100000", line} {
				var req [][]byte
				for _, a := range strings.Fields(cmd) {
					req = append(req, []byte(a))
				}
				reqs = append(reqs, req)
			}
			e.now = 1_000_000
			all := func() {
				for _, req := range reqs {
					e.run(req)
				}
			}
			all()
			if n := testing.AllocsPerRun(100, all); n != 0 {
				t.Errorf("log %v: %s: %v allocations", logs, line, n)
			}
		}
	}
}

func BenchmarkDelExistsExpire(b *testing.B) {
	for _, line := range []string{"EXISTS k", "TTL k", "EXPIRE k 1000", "DEL nokey", "SCAN 0"} {
		b.Run(line, func(b *testing.B) {
			e := newEngine(b, 256)
			for i := range 10_000 {
				e.do("SET", fmt.Sprint(i), "v")
			}
			e.do("SET", "k", "v")
			var req [][]byte
			for _, a := range strings.Fields(line) {
				req = append(req, []byte(a))
			}
			e.now = 1_000_000
			b.ReportAllocs()
			for b.Loop() {
				e.run(req)
			}
		})
	}
}
