package strings

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"tidemark/engine/command/commandtest"
)

// hot are the requests that must not allocate, each on keys that exist.
var hot = []commandtest.Case{
	{"GET", "GET $"},
	{"SET", "SET $ " + pad},
	{"SETInt", "SET $ 1234567"},
	{"SETNX", "SETNX $ " + pad},
	{"SETPX", "SET $ " + pad + " PX 100000"},
	{"INCR", "INCR counter"},
	{"INCRBY", "INCRBY counter 12"},
	{"MGET", "MGET $ counter none key:000000012346"},
	{"MSET", "MSET $ " + pad + " key:000000012346 " + pad},
	{"SETRANGE", "SETRANGE $ 5 abcdef"},
	{"GETRANGE", "GETRANGE $ 5 -5"},
	{"STRLEN", "STRLEN $"},
	{"GETEX", "GETEX $ PX 100000"},
	{"GETSET", "GETSET $ " + pad},
}

const pad = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func loaded(tb testing.TB, _ string) *commandtest.Runner {
	r := commandtest.New(tb, families()...)
	for i := range 20000 {
		r.Do("SET", "key:0000000"+strconv.Itoa(10000+i), pad)
	}
	r.Do("SET", "counter", "10")
	return r
}

const key = "key:000000012345"

func TestHotPathAllocatesNothing(t *testing.T) {
	r := loaded(t, key)
	for _, c := range hot {
		r.AllocatesNothing(c, key)
	}
	r.AllocatesNothing(commandtest.Case{"APPEND", "APPEND $ more"}, "log")
}

func BenchmarkCommands(b *testing.B) {
	commandtest.Benchmark(b, hot, loaded, key)
	b.Run("INCRBYFLOAT", func(b *testing.B) {
		r := loaded(b, key)
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
		r := loaded(b, key)
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
