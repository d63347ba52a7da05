package hash

import (
	"strconv"
	"testing"

	"tidemark/engine/command/commandtest"
)

const pad = "0123456789abcdef0123456789abcdef0123456789abcdef"

// hot are the requests that must not allocate, each on a small and on a large hash that exists.
var hot = []commandtest.Case{
	{"HGET", "HGET $ field:5"},
	{"HGETMiss", "HGET $ none"},
	{"HSET", "HSET $ field:5 " + pad},
	{"HSETOtherLength", "HSET $ field:5 " + pad + "x"},
	{"HSETSeveral", "HSET $ field:5 " + pad + " field:6 12345 field:7 " + pad},
	{"HMGET", "HMGET $ field:5 field:7 none"},
	{"HGETALL", "HGETALL $"},
	{"HLEN", "HLEN $"},
	{"HEXISTS", "HEXISTS $ field:5"},
	{"HSTRLEN", "HSTRLEN $ field:5"},
	{"HINCRBY", "HINCRBY $ n 1"},
	{"HINCRBYFLOAT", "HINCRBYFLOAT $ f 0.5"},
	{"HSETNX", "HSETNX $ field:5 x"},
	{"HDELMiss", "HDEL $ none"},
	{"HSCAN", "HSCAN $ 0"},
	{"HRANDFIELD", "HRANDFIELD $"},
	{"HRANDFIELDRepeated", "HRANDFIELD $ -5"},
	{"HRANDFIELDSample", "HRANDFIELD $ 6"},
	{"HTTL", "HTTL $ FIELDS 2 field:5 none"},
}

// hotExpiring are those on a hash that has fields which expire. HPEXPIRE comes first: it makes the hash one.
var hotExpiring = []commandtest.Case{
	{"HPEXPIRE", "HPEXPIRE $ 1000000 FIELDS 2 field:5 field:6"},
	{"HPERSIST", "HPERSIST $ FIELDS 1 field:4"},
	{"HGETEX", "HGETEX $ EX 50000 FIELDS 2 field:5 field:7"},
	{"HSETEX", "HSETEX $ EX 60000 FIELDS 1 field:8 " + pad},
	{"HSETEXKeep", "HSETEX $ KEEPTTL FIELDS 1 field:8 " + pad},
	{"HGET", "HGET $ field:5"},
	{"HSET", "HSET $ field:3 " + pad},
	{"HGETALL", "HGETALL $"},
	{"HTTL", "HTTL $ FIELDS 2 field:5 none"},
	{"HINCRBY", "HINCRBY $ n 1"},
	{"HSCAN", "HSCAN $ 0"},
	{"HRANDFIELD", "HRANDFIELD $"},
}

var sizes = map[string]int{"small": 10, "large": 10000}

func loaded(tb testing.TB, key string) *commandtest.Runner {
	r := commandtest.New(tb, families()...)
	for i := range sizes[key] {
		r.Do("HSET", key, "field:"+strconv.Itoa(i), pad)
	}
	r.Do("HSET", key, "n", "10", "f", "1.5")
	for i := range 400 { // no shard is empty: its first key costs more
		r.Do("HSET", "other:"+strconv.Itoa(i), "f", "v")
	}
	return r
}

// expiring has a field that expires in the hash.
func expiring(tb testing.TB, key string) *commandtest.Runner {
	r := loaded(tb, key)
	r.Do("HPEXPIRE", key, "1000000", "FIELDS", "1", "n")
	return r
}

func TestHotPathAllocatesNothing(t *testing.T) {
	for key := range sizes {
		r := loaded(t, key)
		for _, c := range hot {
			if key == "large" && c.Name == "HRANDFIELDSample" {
				continue // remembers what it has drawn
			}
			r.AllocatesNothing(c, key)
		}
		r = expiring(t, key)
		for _, c := range hotExpiring {
			r.AllocatesNothing(c, key)
		}
	}
	// A field that comes and goes, and a key.
	loaded(t, "large").AllocatesNothing(commandtest.Case{"a field that comes and goes", "HSET $ new " + pad + " / HDEL $ new"}, "large")
	loaded(t, "small").AllocatesNothing(commandtest.Case{"a key that comes and goes", "HSET $ new " + pad + " / HDEL $ new"}, "once")
}

func BenchmarkCommands(b *testing.B) {
	commandtest.Benchmark(b, hot, loaded, "small", "large")
	b.Run("Expiring", func(b *testing.B) { commandtest.Benchmark(b, hotExpiring, expiring, "small", "large") })
}
