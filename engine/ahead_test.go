package engine

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/netio"
)

// TestElements: which commands name elements, and where. The request is the shortest with two elements, without options.
func TestElements(t *testing.T) {
	want := map[string]string{
		"hdel": "2+1", "hexists": "2", "hget": "2", "hincrby": "2", "hincrbyfloat": "2", "hmget": "2+1", "hmset": "2+2", "hset": "2+2", "hsetnx": "2", "hstrlen": "2",
		"hexpire": "5+1", "hpexpire": "5+1", "hexpireat": "5+1", "hpexpireat": "5+1", "hpersist": "4+1", "httl": "4+1", "hpttl": "4+1",
		"hexpiretime": "4+1", "hpexpiretime": "4+1", "hgetdel": "4+1", "hgetex": "4+1", "hsetex": "4+2",
		"sadd": "2+1", "sismember": "2", "smismember": "2+1", "srem": "2+1",
		"zadd": "3+2", "zincrby": "3", "zmscore": "2+1", "zrank": "2", "zrem": "2+1", "zrevrank": "2", "zscore": "2",
		"geoadd": "4+3", "geohash": "2+1", "geopos": "2+1", "georadiusbymember_ro": "2",
	}
	s := testServer(t, t.TempDir())
	words := strings.Fields("name 1 2 3 4 5 6 7")
	args := make([][]byte, len(words))
	for i, w := range words {
		args[i] = []byte(w)
	}
	got := map[string]string{}
	for _, d := range s.table.All() {
		if d.SoleKey(args) != 1 {
			continue
		}
		var two [2][]byte
		switch e := d.Elements(args, two[:0]); len(e) {
		case 1:
			got[d.Name] = string(e[0])
		case 2:
			got[d.Name] = fmt.Sprintf("%s+%d", e[0], e[1][0]-e[0][0])
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("elements of\n%v\nwant\n%v", got, want)
	}
}

// TestAheadOfElements: whatever the collections are that the requests of a pipeline are for, and however many elements they name, the replies are
// those of requests that come one by one.
func TestAheadOfElements(t *testing.T) {
	s := testServer(t, t.TempDir())
	c := dial(t, s)
	send := func(requests []string) (replies []string) {
		c.SendAll(requests...)
		for range requests {
			replies = append(replies, c.Reply())
		}
		return replies
	}
	for _, n := range []int{5, 2000} {
		var requests, want []string
		then := func(request, reply string) { requests, want = append(requests, request), append(want, reply) }
		for i := range n {
			then(fmt.Sprintf("HSET h f%d v%d", i, i), "1")
			then(fmt.Sprintf("ZADD z %d f%d x f%d", i, i, i), "-ERR value is not a valid float")
			then(fmt.Sprintf("ZADD z %d f%d", i, i), "1")
			then(fmt.Sprintf("SADD s f%d f%d", i, i), "1")
		}
		for i := range n {
			then(fmt.Sprintf("HGET h f%d", i), fmt.Sprintf("v%d", i))
		}
		for i := range n {
			then(fmt.Sprintf("HMGET h f%d none f%d none none", i, i), fmt.Sprintf("[v%d nil v%d nil nil]", i, i))
			then(fmt.Sprintf("HGET h none%d", i), "nil")
			then(fmt.Sprintf("HGET s f%d", i), "-WRONGTYPE Operation against a key holding the wrong kind of value")
			then(fmt.Sprintf("HGET nosuch f%d", i), "nil")
		}
		for i := range n {
			then(fmt.Sprintf("ZSCORE z f%d", i), fmt.Sprint(i))
		}
		for i := range n {
			then(fmt.Sprintf("SREM s f%d", i), "1")
		}
		then("DEL h z", "2")
		then("EXISTS s h z", "0")
		for i, got := range send(requests) {
			if got != want[i] {
				t.Fatalf("%s gave %s, want %s", requests[i], got, want[i])
			}
		}
	}
}

// pipeline makes requests for fields of a hash of n: next draws 16 fields, run looks ahead and executes.
func pipeline(tb testing.TB, n int) (next, run func()) {
	s := testServer(tb, tb.TempDir(), "--appendonly", "no")
	ls := &loopState{srv: s, ctx: command.NewCtx(s.store, s.table), elems: ahead{lock: true}}
	c := ls.ctx
	do := func(d *command.Descriptor, args [][]byte, k *command.Key) {
		c.Cmd, c.Args, c.W.B = d, args, c.W.B[:0]
		if !c.RunAt(k) || c.W.B[0] == '-' {
			tb.Fatalf("%q: %q", args, c.W.B)
		}
	}
	set := [][]byte{[]byte("hset"), []byte("h"), nil, []byte("0123456789abcdef")}
	for i := range n {
		set[2] = fmt.Appendf(nil, "f%07d", i)
		ls.place(&ls.ahead[0], set)
		do(ls.ahead[0].d, set, &ls.ahead[0].key)
	}
	reqs := make([]netio.Request, keyspace.MostAhead)
	for i := range reqs {
		reqs[i].Args = [][]byte{[]byte("hget"), []byte("h"), make([]byte, 8)}
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	next = func() {
		for i := range reqs {
			reqs[i].Args[2] = fmt.Appendf(reqs[i].Args[2][:0], "f%07d", rnd.IntN(n))
		}
	}
	run = func() {
		ls.lookAhead(reqs)
		for i := range reqs {
			do(ls.ahead[i].d, reqs[i].Args, &ls.ahead[i].key)
		}
	}
	next()
	return next, run
}

func TestLookAheadDoesNotAllocate(t *testing.T) {
	for _, n := range []int{10, 10_000} {
		_, run := pipeline(t, n)
		run()
		if a := testing.AllocsPerRun(200, run); a != 0 {
			t.Errorf("16 HGET of a hash of %d allocate %v times", n, a)
		}
	}
}

// BenchmarkPipeline is HGET by pipelines of 16, with what prepares for them and without the network. Per request.
func BenchmarkPipeline(b *testing.B) {
	for _, n := range []int{10, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			next, run := pipeline(b, n)
			b.ResetTimer()
			for i := 0; i < b.N; i += keyspace.MostAhead {
				next()
				run()
			}
		})
	}
}
