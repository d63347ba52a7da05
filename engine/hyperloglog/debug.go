package hyperloglog

import (
	"fmt"
	"math"
	"math/rand/v2"

	"tidemark/engine/command"
)

func pfdebugCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "pfdebug", Arity: 3, Flags: command.Write | command.DenyOOM | command.Admin, Categories: command.CatHyperLogLog,
		Keys: []command.KeySpec{{Flags: command.KeyRW | command.KeyAccess, Begin: 2, Step: 1}},
		Log:  command.LogRequest, Handler: pfdebug,
		Group: "hyperloglog", Since: "2.8.9", Complexity: "O(1): a HyperLogLog has a fixed size",
		Summary:  "Shows what a HyperLogLog is made of, for tests",
		Args:     []command.Arg{{Name: "subcommand", Type: "string"}, keyArg},
		DocFlags: []string{"syscmd"},
	}
}

func pfdebug(c *command.Ctx) {
	k := &c.Keys[0]
	e := editor{c: c, k: k, s: k.Shard, r: c.FindForWrite(k)}
	if e.r == 0 {
		c.W.Error("ERR The specified key does not exist")
		return
	}
	if !e.open() {
		return
	}
	switch word := c.Args[1]; {
	case command.Is(word, "getreg"):
		if _, ok := e.debugDense(); !ok {
			return
		}
		c.W.Array(registers)
		for i := range registers {
			c.W.Int(int64(denseGet(e.v, i)))
		}
	case command.Is(word, "decode"):
		if e.v[formAt] != sparse {
			c.W.Error("ERR HLL encoding is not sparse")
			return
		}
		text, ok := appendText(nil, e.v[header:])
		if !ok {
			c.W.Error(errCorrupt)
			return
		}
		c.W.Bulk(text)
	case command.Is(word, "encoding"):
		c.W.Simple([]string{dense: "dense", sparse: "sparse"}[e.v[formAt]])
	case command.Is(word, "todense"):
		if converted, ok := e.debugDense(); ok {
			c.W.Int(int64(converted))
		}
	default:
		c.W.Error(fmt.Sprintf("ERR Unknown PFDEBUG subcommand '%s'", word))
	}
}

// debugDense makes the HyperLogLog dense, and reports 1 if it was not. If it is corrupt, the error has been replied.
func (e *editor) debugDense() (converted int, ok bool) {
	if e.v[formAt] == dense {
		return 0, true
	}
	if !e.makeDense() {
		e.c.W.Error(errCorrupt)
		return 0, false
	}
	e.c.Changed(e.k)
	return 1, true
}

func pfselftestCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "pfselftest", Arity: 1, Flags: command.Admin, Categories: command.CatHyperLogLog,
		Group: "hyperloglog", Since: "2.8.9", Complexity: "O(1), some hundredths of a second", Handler: pfselftest,
		Summary:  "Tests the implementation of HyperLogLogs",
		DocFlags: []string{"syscmd"},
	}
}

func pfselftest(c *command.Ctx) {
	if err := selftest(rand.New(rand.NewPCG(c.Rand(), c.Rand()))); err != nil {
		c.W.Error("TESTFAILED " + err.Error())
		return
	}
	c.W.OK()
}

// selftest writes registers and reads them back, in both forms, and holds estimates against the truth.
func selftest(rnd *rand.Rand) error {
	d := make([]byte, denseBytes)
	var regs [registers]byte
	for range 10 {
		for i := range regs {
			regs[i] = byte(rnd.IntN(64))
			denseSet(d, i, regs[i])
		}
		for i, want := range regs {
			if got := denseGet(d, i); got != want {
				return fmt.Errorf("register %d is %d, want %d", i, got, want)
			}
		}
	}

	d = make([]byte, denseBytes)
	s := append([]byte(nil), newSparse...)
	const most = 1_000_000
	var element [8]byte
	seed := rnd.Uint64()
	next := 1
	for n := 1; n <= most; n++ {
		for i := range element {
			element[i] = byte((uint64(n) ^ seed) >> (8 * i))
		}
		i, rank := place(element[:])
		if denseGet(d, i) < rank {
			denseSet(d, i, rank)
		}
		if s != nil {
			var x raiser
			switch x.raise(s[header:], i, rank, 8192) {
			case edited:
				s = append(append(append([]byte(nil), s[:header+x.from]...), x.ins()...), s[header+x.to:]...)
			case tooMuch:
				s = nil
			case corrupt:
				return fmt.Errorf("the sparse form is corrupt after %d elements", n)
			}
		}
		if n != next {
			continue
		}
		next *= 10
		var h histogram
		h.addDense(d)
		estimate := h.estimate()
		if s != nil {
			var hs histogram
			if !hs.addSparse(s[header:]) || hs != h {
				return fmt.Errorf("the sparse form differs from the dense one after %d elements", n)
			}
		}
		// Six standard errors, and what counts for little when there are few elements.
		if off := math.Abs(float64(estimate) - float64(n)); off > math.Ceil(6*1.04/math.Sqrt(registers)*float64(n)) {
			return fmt.Errorf("the estimate of %d elements is %d", n, estimate)
		}
	}
	return nil
}
