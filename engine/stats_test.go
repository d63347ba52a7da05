package engine

import (
	"fmt"
	"math"
	"testing"
)

// TestRates: the rates are those of the last 1.6 s, as long as samples come, and fall to nothing when they cease to.
func TestRates(t *testing.T) {
	var r rates
	if x := r.perSecond(sample{at: 1e6, commands: 100}); x != (rate{}) {
		t.Errorf("without a sample: %v", x)
	}
	now, total := int64(50e6), int64(0)
	at := func() sample { return sample{now, total, 10 * total, 20 * total, 2 * total, 6000 * total} }
	check := func(what string, want float64) {
		t.Helper()
		x := r.perSecond(at())
		if ops := x.commands; math.Abs(ops-want) > want/50+0.01 || math.Abs(x.in-10*ops) > 1e-6*x.in || math.Abs(x.out-20*ops) > 1e-6*x.out ||
			math.Abs(x.turns-2*ops) > 1e-6*x.turns || x.turnMicros != 3 {
			t.Errorf("%s: %+v, want %v", what, x, want)
		}
	}
	r.add(at())
	for range 10 { // the first second, at 1000 commands a second
		now += 100_000
		total += 100
		r.add(at())
	}
	check("after a second", 1000)
	for range 40 { // four more, at 5000
		now += 100_000
		total += 500
		r.add(at())
		r.add(sample{at: now + 1, commands: 1 << 40}) // too soon after: another loop's
	}
	check("after five", 5000)
	now += 100e6
	total += 1
	check("after a pause of 100 s", 0.01)
	r.add(at())
	now += 2e6
	total += 20
	check("and 2 s later", 10)
	r.reset()
	r.add(at())
	now += 500_000
	total += 50
	check("half a second after a reset", 100)
}

// TestErrorPrefixes: a client that makes up errors cannot make the table grow without end, and what is in it still counts.
func TestErrorPrefixes(t *testing.T) {
	var e errorStats
	e.count("ERR one")
	for i := range 10 * maxErrorPrefixes {
		e.countBytes(fmt.Appendf(nil, "CODE%d text", i))
	}
	e.countBytes([]byte("ERR two"))
	e.count("ERR")
	list := e.list()
	if len(list) != maxErrorPrefixes {
		t.Errorf("%d prefixes", len(list))
	}
	if last := list[len(list)-1]; last != (errorCount{"ERR", 3}) {
		t.Errorf("last: %v", last)
	}
	if n := e.total.Load(); n != 10*maxErrorPrefixes+3 {
		t.Errorf("%d errors in all", n)
	}
	line := []byte("ERR three")
	if n := testing.AllocsPerRun(100, func() { e.countBytes(line) }); n != 0 {
		t.Errorf("%v allocations to count an error", n)
	}
	e.reset()
	if len(e.list()) != 0 || e.total.Load() != 0 {
		t.Error("reset left something")
	}
}
