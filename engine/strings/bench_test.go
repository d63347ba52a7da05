package strings

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"tidemark/engine/command/commandtest"
)

// hot are the requests that must not allocate, each on keys that exist.
var hot = []struct {
	name string
	args []string
}{
	{"GET", []string{"GET", "key:000000012345"}},
	{"SET", []string{"SET", "key:000000012345", pad}},
	{"SETInt", []string{"SET", "key:000000012345", "1234567"}},
	{"SETNX", []string{"SETNX", "key:000000012345", pad}},
	{"SETPX", []string{"SET", "key:000000012345", pad, "PX", "100000"}},
	{"INCR", []string{"INCR", "counter"}},
	{"INCRBY", []string{"INCRBY", "counter", "12"}},
	{"MGET", []string{"MGET", "key:000000012345", "counter", "none", "key:000000012346"}},
	{"MSET", []string{"MSET", "key:000000012345", pad, "key:000000012346", pad}},
	{"SETRANGE", []string{"SETRANGE", "key:000000012345", "5", "abcdef"}},
	{"GETRANGE", []string{"GETRANGE", "key:000000012345", "5", "-5"}},
	{"STRLEN", []string{"STRLEN", "key:000000012345"}},
	{"GETEX", []string{"GETEX", "key:000000012345", "PX", "100000"}},
	{"GETSET", []string{"GETSET", "key:000000012345", pad}},
}

const pad = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func loaded(tb testing.TB) *commandtest.Runner {
	r := commandtest.New(tb, families()...)
	for i := range 20000 {
		r.Do("SET", "key:0000000"+strconv.Itoa(10000+i), pad)
	}
	r.Do("SET", "counter", "10")
	return r
}

func TestHotPathAllocatesNothing(t *testing.T) {
	r := loaded(t)
	for _, h := range hot {
		r.Do(h.args...)
		r.Prepare(h.args...)
		if n := testing.AllocsPerRun(200, func() {
			r.C.W.B = r.C.W.B[:0]
			r.C.Run()
		}); n != 0 {
			t.Errorf("%s allocates %v times", h.name, n)
		}
	}
	r.Do("SET", "log", "x")
	r.Prepare("APPEND", "log", "more")
	if n := testing.AllocsPerRun(200, func() {
		r.C.W.B = r.C.W.B[:0]
		r.C.Run()
	}); n != 0 {
		t.Errorf("APPEND allocates %v times", n)
	}
}

func BenchmarkCommands(b *testing.B) {
	for _, h := range hot {
		b.Run(h.name, func(b *testing.B) {
			r := loaded(b)
			r.Do(h.args...)
			r.Prepare(h.args...)
			b.ReportAllocs()
			for b.Loop() {
				r.C.W.B = r.C.W.B[:0]
				r.C.Run()
			}
		})
	}
	b.Run("INCRBYFLOAT", func(b *testing.B) {
		r := loaded(b)
		r.Prepare("INCRBYFLOAT", "f", "0.1")
		b.ReportAllocs()
		for b.Loop() {
			r.C.W.B = r.C.W.B[:0]
			r.C.Run()
		}
	})
	for _, form := range []string{"LEN", "IDX"} {
		b.Run("LCS"+form, func(b *testing.B) { // the largest table that is allowed
			r := commandtest.New(b, families()...)
			rnd := rand.New(rand.NewPCG(1, 1))
			word := make([]byte, 11000)
			for _, key := range []string{"x", "y"} {
				for i := range word {
					word[i] = byte('a' + rnd.IntN(20))
				}
				r.Do("SET", key, string(word))
			}
			r.Prepare("LCS", "x", "y", form)
			for b.Loop() {
				r.C.W.B = r.C.W.B[:0]
				r.C.Run()
			}
		})
	}
	b.Run("APPEND", func(b *testing.B) {
		r := loaded(b)
		r.Prepare("APPEND", "log", "0123456789")
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if i%100000 == 0 {
				r.Do("DEL", "log")
				r.Prepare("APPEND", "log", "0123456789")
			}
			r.C.W.B = r.C.W.B[:0]
			r.C.Run()
		}
	})
}
