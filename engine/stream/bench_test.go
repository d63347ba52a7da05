package stream

import (
	"runtime"
	"strconv"
	"testing"

	"tidemark/engine/command/commandtest"
)

// hot are the requests that must not allocate, each on a small and on a large stream.
var hot = []commandtest.Case{
	{"XADD", "XADD $ * temperature 20 humidity 50"},
	{"XADDOther", "XADD $ * field value number 17"},
	{"XADDMAXLEN", "XADD $ MAXLEN ~ 1000 * temperature 20 humidity 50"},
	{"XADDMAXLENExact", "XADD $ MAXLEN 50 * temperature 20 humidity 50"},
	{"XADDXDEL", "XADD $ * temperature 20 humidity 50 / XDEL $ 17-1 18-1"},
	{"XLEN", "XLEN $"},
	{"XRANGE", "XRANGE $ 3 9"},
	{"XREVRANGE", "XREVRANGE $ + - COUNT 5"},
	{"XREAD", "XREAD COUNT 5 STREAMS $ 3"},
	{"XREADGROUP", "XADD $ * temperature 20 humidity 50 / XREADGROUP GROUP g c COUNT 2 STREAMS $ >"},
	{"XREADGROUPHistory", "XREADGROUP GROUP g d COUNT 5 STREAMS $ 0"},
	{"XACK", "XREADGROUP GROUP g d COUNT 1 STREAMS $ 0 / XACK $ g 1 2-0 3-0"},
	{"XCLAIM", "XCLAIM $ g d 0 4-0 5-0 / XCLAIM $ g d 0 4-0 5-0 JUSTID FORCE"},
	{"XAUTOCLAIM", "XAUTOCLAIM $ g d 0 0 COUNT 2"},
	{"XPENDING", "XPENDING $ g / XPENDING $ g - + 10 d"},
	{"XTRIM", "XADD $ * temperature 20 humidity 50 / XTRIM $ MAXLEN 30"},
}

var sizes = map[string]int{"small": 10, "large": 10000}

func loaded(tb testing.TB, key string) *commandtest.Runner {
	r := commandtest.New(tb, families()...)
	for i := range sizes[key] {
		r.Do("XADD", key, strconv.Itoa(i+1), "temperature", strconv.Itoa(i%40), "humidity", strconv.Itoa(i%100))
	}
	r.Do("XGROUP", "CREATE", key, "g", "0")
	r.Do("XREADGROUP", "GROUP", "g", "d", "STREAMS", key, ">")
	return r
}

func TestHotPathAllocatesNothing(t *testing.T) {
	for key := range sizes {
		for _, c := range hot {
			loaded(t, key).AllocatesNothing(c, key)
		}
	}
}

// TestTrimmedStreamAllocatesNothing: nor does a stream with a heap of its own as nodes and leaves of its tree come and go. Up to eight nodes go one by one,
// and not by way of coll.Remains, whose list is Go's. That is too rare for AllocsPerRun, which rounds down.
func TestTrimmedStreamAllocatesNothing(t *testing.T) {
	const entries = 60_000
	r := commandtest.New(t, families()...)
	for range entries {
		r.Do("XADD", "s", "*", "temperature", "20", "humidity", "50")
	}
	next := r.Steps("XADD $ MAXLEN ~ "+strconv.Itoa(entries)+" * temperature 20 humidity 50", "s")
	add := func() {
		next()
		for r.C.Store.KS.Compact(200) { // what an event loop does
		}
	}
	for range entries {
		add()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range entries {
		add()
	}
	runtime.ReadMemStats(&after)
	if n := after.Mallocs - before.Mallocs; n > 3 && commandtest.Effort == 1 { // the runtime may make one by itself, and with the race detector more
		t.Errorf("%d allocations while %d entries came and as many went", n, entries)
	}
}

func BenchmarkCommands(b *testing.B) { commandtest.Benchmark(b, hot, loaded, "small", "large") }
