package zset

import (
	"strconv"
	"strings"
	"testing"

	"tidemark/engine/command/commandtest"
)

// hot are the requests that must not allocate, each on a small and on a large sorted set; "/" separates steps.
var hot = []struct{ name, steps string }{
	{"ZADDSame", "ZADD $ 5 member:5"},
	{"ZADDMove", "ZADD $ 7.5 member:5 / ZADD $ 2 member:5"},
	{"ZADDSeveral", "ZADD $ 1 member:5 2 member:6 3 member:7 / ZADD $ 3 member:5 1 member:6 5 member:7"},
	{"ZADDZREM", "ZADD $ 5 new / ZREM $ new"},
	{"ZINCRBY", "ZINCRBY $ 0.5 member:7"},
	{"ZSCORE", "ZSCORE $ member:5"},
	{"ZMSCORE", "ZMSCORE $ member:5 none member:7"},
	{"ZCARD", "ZCARD $"},
	{"ZRANK", "ZRANK $ member:5 / ZREVRANK $ member:5 WITHSCORE"},
	{"ZCOUNT", "ZCOUNT $ (2 7"},
	{"ZLEXCOUNT", "ZLEXCOUNT $ - [member:7"},
	{"ZRANGE", "ZRANGE $ 2 8 WITHSCORES"},
	{"ZREVRANGE", "ZREVRANGE $ 2 8"},
	{"ZRANGEBYSCORE", "ZRANGEBYSCORE $ 2 (80 LIMIT 1 10"},
	{"ZRANGEREV", "ZRANGE $ +inf 3 BYSCORE REV LIMIT 1 5 WITHSCORES"},
	{"ZRANGEBYLEX", "ZRANGEBYLEX $ - + LIMIT 2 5"},
	{"ZPOPMIN", "ZADD $ -5 new / ZPOPMIN $"},
	{"ZPOPMAX", "ZADD $ 1e9 new / ZPOPMAX $ 1"},
	{"ZMPOP", "ZADD $ -5 new / ZMPOP 2 none $ MIN"},
	{"BZPOP", "ZADD $ -5 new / BZPOPMIN none $ 0 / ZADD $ 1e9 new / BZPOPMAX $ 1.5"},
	{"BZMPOP", "ZADD $ -5 new / BZMPOP 0 2 none $ MIN"},
	{"ZINTERCARD", "ZINTERCARD 2 $ $ LIMIT 100"},
	{"ZREMRANGEBYSCORE", "ZADD $ 1e9 new / ZREMRANGEBYSCORE $ 1e9 inf"},
	{"ZREMRANGEBYRANK", "ZADD $ 1e9 new / ZREMRANGEBYRANK $ -1 -1"},
	{"ZSCAN", "ZSCAN $ 0"},
	{"ZRANDMEMBER", "ZRANDMEMBER $ / ZRANDMEMBER $ -5 WITHSCORES"},
}

var sizes = map[string]int{"small": 10, "large": 10000}

func loaded(tb testing.TB, key string) *commandtest.Runner {
	r := commandtest.New(tb, families()...)
	for i := range sizes[key] {
		r.Do("ZADD", key, strconv.Itoa(i), "member:"+strconv.Itoa(i))
	}
	return r
}

// steps prepares requests; the function it returns runs them all.
func steps(r *commandtest.Runner, key, requests string) func() {
	var prepared [][][]byte
	for _, request := range strings.Split(requests, " / ") {
		var args [][]byte
		for _, w := range strings.Fields(strings.ReplaceAll(request, "$", key)) {
			args = append(args, []byte(w))
		}
		prepared = append(prepared, args)
	}
	return func() {
		for _, args := range prepared {
			r.PrepareArgs(args)
			r.C.Run()
		}
	}
}

func TestHotPathAllocatesNothing(t *testing.T) {
	if commandtest.Effort > 1 {
		t.Skip("the race detector has no word on allocations, and takes its time")
	}
	for key := range sizes {
		for _, h := range hot {
			r := loaded(t, key)
			run := steps(r, key, h.steps)
			run()
			if n := testing.AllocsPerRun(200, run); n != 0 {
				t.Errorf("%s on a %s sorted set allocates %v times", h.name, key, n)
			}
			if reply := string(r.C.W.B); reply == "" || reply[0] == '-' || reply == "$-1\r\n" || reply == "*0\r\n" {
				t.Errorf("%s of a %s sorted set: %q", h.name, key, reply)
			}
		}
	}
}

// combinations are requests on three sorted sets of 100 members each, two of which every second member is in.
var combinations = []string{"ZUNION 3 a b c WITHSCORES", "ZINTER 3 a b c WEIGHTS 1 2 3", "ZDIFF 3 a b c", "ZINTERCARD 3 a b c"}

func combined(tb testing.TB) *commandtest.Runner {
	r := commandtest.New(tb, families()...)
	for i := range 100 {
		r.Do("ZADD", "a", strconv.Itoa(i), "member:"+strconv.Itoa(i))
		r.Do("ZADD", "b", strconv.Itoa(i), "member:"+strconv.Itoa(2*i))
		r.Do("ZADD", "c", strconv.Itoa(i), "member:"+strconv.Itoa(4*i))
	}
	return r
}

func TestCombinationsAllocateNothing(t *testing.T) {
	if commandtest.Effort > 1 {
		t.Skip("the race detector has no word on allocations, and takes its time")
	}
	r := combined(t)
	for _, request := range combinations {
		run := steps(r, "", request)
		run()
		if n := testing.AllocsPerRun(200, run); n != 0 {
			t.Errorf("%s allocates %v times", request, n)
		}
	}
}

func BenchmarkCombinations(b *testing.B) {
	r := combined(b)
	for _, request := range append(combinations, "ZUNIONSTORE d 3 a b c", "ZINTERSTORE d 3 a b c", "ZDIFFSTORE d 3 a b c") {
		name, _, _ := strings.Cut(request, " ")
		b.Run(name, func(b *testing.B) {
			run := steps(r, "", request)
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
}

func BenchmarkCommands(b *testing.B) {
	for _, key := range []string{"small", "large"} {
		for _, h := range hot {
			b.Run(h.name+"/"+key, func(b *testing.B) {
				run := steps(loaded(b, key), key, h.steps)
				b.ReportAllocs()
				for b.Loop() {
					run()
				}
			})
		}
	}
}
