package set

import (
	"strconv"
	"strings"
	"testing"

	"tidemark/engine/command/commandtest"
)

// hot are the requests that must not allocate, each on a set of integers, a packed list and a table that exist.
var hot = []struct {
	name string
	args string
}{
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
	{"SDIFF", "SDIFF $ integers other"},
}

// coming are members that are added and removed, without the set changing its form.
var coming = map[string][]string{"integers": {"777", "12", "-3"}, "listed": {"777", "more", "-3"}, "large": {"777", "more:000000", "-3"}}

func loaded(tb testing.TB) *commandtest.Runner {
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
	if commandtest.Effort > 1 {
		t.Skip("the race detector has no word on allocations, and takes its time")
	}
	for key, members := range coming {
		r := loaded(t)
		for _, h := range hot {
			if key == "large" && h.name == "SDIFF" {
				continue // gathers what the others have
			}
			words := strings.Fields(strings.ReplaceAll(h.args, "$", key))
			r.Do(words...)
			r.Prepare(words...)
			if n := testing.AllocsPerRun(200, func() {
				r.C.W.B = r.C.W.B[:0]
				r.C.Run()
			}); n != 0 {
				t.Errorf("%s: %s allocates %v times", key, h.name, n)
			}
		}
		requests := [][]string{
			{"SADD", key, members[0]}, {"SREM", key, members[0]},
			{"SADD", key, members[1], members[2]}, {"SREM", key, members[1], members[2]},
			{"SADD", "key", members[0]}, {"SMOVE", "key", key, members[0]}, {"SMOVE", key, "key", members[0]}, {"SREM", "key", members[0]},
			{"SADD", "key", members[0]}, {"SPOP", "key"},
		}
		var args [][][]byte
		for _, w := range requests {
			args = append(args, commandtest.Words(w...))
		}
		if n := testing.AllocsPerRun(200, func() {
			for _, a := range args {
				r.PrepareArgs(a)
				r.C.Run()
			}
		}); n != 0 {
			t.Errorf("%s: members that come and go allocate %v times", key, n)
		}
		if want := map[string]string{"integers": "intset", "listed": "listpack", "large": "hashtable"}[key]; !strings.Contains(r.Do("OBJECT", "ENCODING", key), want) {
			t.Errorf("%s is no %s any more", key, want)
		}
	}
}

func BenchmarkCommands(b *testing.B) {
	for _, key := range []string{"integers", "listed", "large"} {
		for _, h := range hot {
			b.Run(h.name+"/"+key, func(b *testing.B) {
				r := loaded(b)
				r.Prepare(strings.Fields(strings.ReplaceAll(h.args, "$", key))...)
				b.ReportAllocs()
				for b.Loop() {
					r.C.W.B = r.C.W.B[:0]
					r.C.Run()
				}
			})
		}
		b.Run("SADDandSREM/"+key, func(b *testing.B) {
			r := loaded(b)
			add, rem := commandtest.Words("SADD", key, coming[key][0]), commandtest.Words("SREM", key, coming[key][0])
			b.ReportAllocs()
			for b.Loop() {
				r.PrepareArgs(add)
				r.C.Run()
				r.PrepareArgs(rem)
				r.C.Run()
			}
		})
	}
}
