package bitmap

import (
	"strings"
	"testing"

	"tidemark/engine/command/commandtest"
)

func TestHotPathAllocatesNothing(t *testing.T) {
	r := commandtest.New(t, families()...)
	r.Do("SETBIT", "b", "100000", "1")
	r.Do("SET", "x", strings.Repeat("\x55", 1000))
	r.Do("SET", "y", strings.Repeat("\x33", 999))
	for _, request := range []string{
		"SETBIT b 4711 1", "GETBIT b 4711", "BITCOUNT b", "BITPOS b 1",
		"BITOP XOR d x y", "BITFIELD b INCRBY u13 77 1 GET i64 3", "BITFIELD_RO b GET u8 0",
	} {
		r.AllocatesNothing(commandtest.Case{request, request}, "")
	}
}

func BenchmarkCommands(b *testing.B) {
	const size = 1 << 20
	r := commandtest.New(b, families()...)
	r.Do("SET", "x", strings.Repeat("\x55", size))
	r.Do("SET", "y", strings.Repeat("\x33", size))
	r.Do("SET", "zeros", strings.Repeat("\x00", size))
	bench := func(name string, bytes int64, args ...string) {
		b.Run(name, func(b *testing.B) {
			r.Do(args...)
			r.Prepare(args...)
			b.SetBytes(bytes)
			b.ReportAllocs()
			for b.Loop() {
				r.C.W.B = r.C.W.B[:0]
				r.C.Run()
			}
		})
	}
	bench("SETBIT", 0, "SETBIT", "b", "4711", "1")
	bench("GETBIT", 0, "GETBIT", "b", "4711")
	bench("BITFIELD", 0, "BITFIELD", "b", "INCRBY", "u13", "77", "1")
	bench("BITCOUNT", size, "BITCOUNT", "x")
	bench("BITPOS", size, "BITPOS", "zeros", "1")
	bench("BITOPAND", 2*size, "BITOP", "AND", "d", "x", "y")
	bench("BITOPNOT", size, "BITOP", "NOT", "d", "x")
}
