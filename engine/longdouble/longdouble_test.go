package longdouble

import (
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tidemark/engine/command/commandtest"
)

func (x *Number) big() *big.Float {
	f := new(big.Float).SetPrec(ldPrecision).SetUint64(x.man)
	f.SetMantExp(f, x.exp)
	if x.neg {
		f.Neg(f)
	}
	return f
}

func bigText(f *big.Float) string {
	s := f.Text('f', 17)
	s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	if s == "-0" {
		s = "0"
	}
	return s
}

// The integer arithmetic against big.Float in the same precision: reading, adding, printing.
func TestLongDoubleAgainstBigFloat(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 3))
	random := func() Number {
		return Number{man: rnd.Uint64()>>(rnd.IntN(2)*rnd.IntN(60)) | 1, exp: -rnd.IntN(140) + 5, neg: rnd.IntN(2) == 0}
	}
	for range 100000 {
		text := commandtest.Number(rnd)
		var x Number
		if x.Parse([]byte(text)) && !x.inf && strings.Trim(text, "0123456789.-+e") == "" {
			want, _, err := big.ParseFloat(strings.TrimPrefix(text, "+"), 10, ldPrecision, big.ToNearestEven)
			if err != nil || x.big().Cmp(want) != 0 {
				t.Fatalf("seed %d: %q is %v, want %v (%v)", seed, text, x.big(), want, err)
			}
		}
		a, b := random(), random()
		// Normalised, as Parse leaves them.
		a.set(a.man, 0, a.exp-64)
		b.set(b.man, 0, b.exp-64)
		if rnd.IntN(4) == 0 {
			b.man, b.exp, b.neg = a.man^uint64(rnd.IntN(4)), a.exp, !a.neg
		}
		want := new(big.Float).SetPrec(ldPrecision).Add(a.big(), b.big())
		sum := a
		if !sum.Add(&b) {
			t.Fatalf("seed %d: %v + %v is not finite", seed, a, b)
		}
		if sum.big().Cmp(want) != 0 {
			t.Fatalf("seed %d: %v + %v is %v, want %v", seed, a.big(), b.big(), sum.big(), want)
		}
		if got, want := string(sum.AppendTo(nil)), bigText(want); got != want {
			t.Fatalf("seed %d: %v is printed %s, want %s", seed, sum, got, want)
		}
	}
}
