package zset

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"tidemark/engine/command/commandtest"
)

// hot are the requests that must not allocate, each on a small and on a large sorted set.
var hot = []commandtest.Case{
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

func TestHotPathAllocatesNothing(t *testing.T) {
	for key := range sizes {
		for _, c := range hot {
			loaded(t, key).AllocatesNothing(c, key)
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
	r := combined(t)
	for _, request := range combinations {
		r.AllocatesNothing(commandtest.Case{Name: request, Requests: request}, "")
	}
}

func BenchmarkCombinations(b *testing.B) {
	r := combined(b)
	for _, request := range append(combinations, "ZUNIONSTORE d 3 a b c", "ZINTERSTORE d 3 a b c", "ZDIFFSTORE d 3 a b c") {
		name, _, _ := strings.Cut(request, " ")
		b.Run(name, func(b *testing.B) {
			run := r.Steps(request, "")
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
}

func BenchmarkCommands(b *testing.B) { commandtest.Benchmark(b, hot, loaded, "small", "large") }

// BenchmarkRemoveMost removes all but one of a million members.
func BenchmarkRemoveMost(b *testing.B) {
	const n = 1_000_000
	for b.Loop() {
		b.StopTimer()
		r := commandtest.New(b, families()...)
		for i := range n {
			r.Do("ZADD", "z", strconv.Itoa(i*7919%n), fmt.Sprintf("member:%07d", i))
		}
		b.StartTimer()
		if got := r.Do("ZREMRANGEBYRANK", "z", "0", "-2"); got != fmt.Sprintf(":%d\r\n", n-1) {
			b.Fatal(got)
		}
	}
}
