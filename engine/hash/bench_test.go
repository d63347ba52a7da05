package hash

import (
	"strconv"
	"strings"
	"testing"

	"tidemark/engine/command/commandtest"
)

const pad = "0123456789abcdef0123456789abcdef0123456789abcdef"

// hot are the requests that must not allocate, each on a small and on a large hash that exists.
var hot = []struct {
	name string
	args string
}{
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
var hotExpiring = []struct {
	name string
	args string
}{
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
	fillKey(r, key)
	for i := range 400 { // no shard is empty: its first key costs more
		r.Do("HSET", "other:"+strconv.Itoa(i), "f", "v")
	}
	return r
}

func fillKey(r *commandtest.Runner, key string) {
	for i := range sizes[key] {
		r.Do("HSET", key, "field:"+strconv.Itoa(i), pad)
	}
	r.Do("HSET", key, "n", "10", "f", "1.5")
}

func TestHotPathAllocatesNothing(t *testing.T) {
	if commandtest.Effort > 1 {
		t.Skip("the race detector has no word on allocations, and takes its time")
	}
	for key := range sizes {
		r := loaded(t, key)
		for _, h := range hot {
			if key == "large" && h.name == "HRANDFIELDSample" {
				continue // remembers what it has drawn
			}
			words := strings.Fields(strings.ReplaceAll(h.args, "$", key))
			r.Do(words...)
			r.Prepare(words...)
			if n := testing.AllocsPerRun(200, func() {
				r.C.W.B = r.C.W.B[:0]
				r.C.Run()
			}); n != 0 {
				t.Errorf("%s on a %s hash allocates %v times", h.name, key, n)
			}
		}
		r.Do("HPEXPIRE", key, "1000000", "FIELDS", "1", "n")
		for _, h := range hotExpiring {
			words := strings.Fields(strings.ReplaceAll(h.args, "$", key))
			r.Do(words...)
			r.Prepare(words...)
			if n := testing.AllocsPerRun(200, func() {
				r.C.W.B = r.C.W.B[:0]
				r.C.Run()
			}); n != 0 {
				t.Errorf("%s on a %s hash with fields that expire allocates %v times", h.name, key, n)
			}
		}
		r.Do("DEL", key)
		fillKey(r, key)
		// A field that comes and goes, and a key.
		set, del := commandtest.Words("HSET", key, "new", pad), commandtest.Words("HDEL", key, "new")
		if key == "small" {
			set[1], del[1] = []byte("once"), []byte("once")
		}
		if n := testing.AllocsPerRun(200, func() {
			r.PrepareArgs(set)
			r.C.Run()
			r.PrepareArgs(del)
			r.C.Run()
		}); n != 0 {
			t.Errorf("HSET and HDEL of a field of a %s hash allocate %v times", key, n)
		}
	}
}

func BenchmarkCommands(b *testing.B) {
	for _, key := range []string{"small", "large"} {
		for _, h := range hot {
			if key == "large" && h.name == "HGETALL" {
				continue
			}
			b.Run(h.name+"/"+key, func(b *testing.B) {
				r := loaded(b, key)
				r.Prepare(strings.Fields(strings.ReplaceAll(h.args, "$", key))...)
				b.ReportAllocs()
				for b.Loop() {
					r.C.W.B = r.C.W.B[:0]
					r.C.Run()
				}
			})
		}
		for _, h := range hotExpiring {
			if key == "large" && h.name == "HGETALL" {
				continue
			}
			b.Run("Expiring/"+h.name+"/"+key, func(b *testing.B) {
				r := loaded(b, key)
				r.Do("HPEXPIRE", key, "1000000", "FIELDS", "1", "n")
				r.Prepare(strings.Fields(strings.ReplaceAll(h.args, "$", key))...)
				b.ReportAllocs()
				for b.Loop() {
					r.C.W.B = r.C.W.B[:0]
					r.C.Run()
				}
			})
		}
	}
}
