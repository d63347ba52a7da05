package set

import (
	"strconv"
	"strings"
	"testing"

	"tidemark/engine/command/commandtest"
)

// hot are the requests that must not allocate, each on a set of integers, a packed list and a table that exist.
var hot = []commandtest.Case{
	{"SADDThere", "SADD $ 5"},
	{"SISMEMBER", "SISMEMBER $ 5"},
	{"SISMEMBERMiss", "SISMEMBER $ none"},
	{"SMISMEMBER", "SMISMEMBER $ 5 7 none"},
	{"SCARD", "SCARD $"},
	{"SREMMiss", "SREM $ 1000000 none"},
	{"SMEMBERS", "SMEMBERS $"},
	{"SRANDMEMBER", "SRANDMEMBER $"},
	{"SRANDMEMBERRepeated", "SRANDMEMBER $ -5"},
	{"SSCAN", "SSCAN $ 0"},
	{"SINTER", "SINTER $ integers other"},
	{"SINTERCARD", "SINTERCARD 2 $ integers LIMIT 5"},
	{"SUNION", "SUNION $ integers other"},
	{"SDIFF", "SDIFF $ other"},
}

// coming are members that are added and removed, without the set changing its form.
var coming = map[string][]string{"integers": {"777", "12 -3"}, "listed": {"777", "more -3"}, "large": {"777", "more:000000 -3"}}

const comeAndGo = "SADD $ MEMBERS / SREM $ MEMBERS"

func loaded(tb testing.TB, _ string) *commandtest.Runner {
	r := commandtest.New(tb, families()...)
	for i := range 100 {
		r.Do("SADD", "integers", strconv.Itoa(3*i))
		r.Do("SADD", "other", strconv.Itoa(5*i))
	}
	r.Do("SADD", "listed", "word")
	for i := range 60 {
		r.Do("SADD", "listed", strconv.Itoa(i), "word:"+strconv.Itoa(i))
	}
	for i := range 5000 {
		r.Do("SADD", "large", strconv.Itoa(i), "member:"+strconv.Itoa(i))
	}
	for i := range 400 { // no shard is empty: its first key costs more
		r.Do("SADD", "more:"+strconv.Itoa(i), "m")
	}
	return r
}

func TestHotPathAllocatesNothing(t *testing.T) {
	for key, encoding := range map[string]string{"integers": "intset", "listed": "listpack", "large": "hashtable"} {
		r := loaded(t, key)
		for _, c := range hot {
			if key == "large" && c.Name == "SDIFF" {
				continue // gathers what the others have
			}
			r.AllocatesNothing(c, key)
		}
		for _, members := range coming[key] {
			r.AllocatesNothing(commandtest.Case{"SADD and SREM", strings.ReplaceAll(comeAndGo, "MEMBERS", members)}, key)
		}
		r.AllocatesNothing(commandtest.Case{"SMOVE", "SADD key 777 / SMOVE key $ 777 / SMOVE $ key 777 / SREM key 777"}, key)
		r.AllocatesNothing(commandtest.Case{"SPOP", "SADD key 777 / SPOP key"}, key)
		if got := r.Do("OBJECT", "ENCODING", key); !strings.Contains(got, encoding) {
			t.Errorf("%s is no %s any more: %s", key, encoding, got)
		}
	}
}

func BenchmarkCommands(b *testing.B) {
	commandtest.Benchmark(b, hot, loaded, "integers", "listed", "large")
	for key, members := range coming {
		commandtest.Benchmark(b, []commandtest.Case{{"SADDandSREM", strings.ReplaceAll(comeAndGo, "MEMBERS", members[0])}}, loaded, key)
	}
}

// BenchmarkConversion has a set of 300,000 integers become a table.
func BenchmarkConversion(b *testing.B) {
	const n = 300_000
	for b.Loop() {
		b.StopTimer()
		r := commandtest.New(b, families()...)
		r.C.Store.Limits.SetIntset.Store(n)
		for i := range n {
			r.Do("SADD", "s", strconv.Itoa(i*7))
		}
		b.StartTimer()
		r.Do("SADD", "s", "x")
		if got := r.Do("OBJECT", "ENCODING", "s"); !strings.Contains(got, "hashtable") {
			b.Fatal(got)
		}
	}
}
