package resp

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// TestIntegers: numbers of every length, at the borders of each and between them, and the headers that have them.
func TestIntegers(t *testing.T) {
	check := func(n int64) {
		t.Helper()
		var w Writer
		w.Int(n)
		w.Array(int(n))
		if want := fmt.Sprintf(":%d\r\n*%d\r\n", n, n); string(w.B) != want {
			t.Errorf("%q, not %q", w.B, want)
		}
	}
	for n := int64(1); ; n *= 10 {
		for _, d := range []int64{-1, 0, 1} {
			check(n + d)
			check(-n + d)
		}
		check(rand.Int64N(n))
		if n > math.MaxInt64/10 {
			break
		}
	}
	check(math.MaxInt64)
	check(math.MinInt64)
	check(math.MinInt64 + 1)
}

// BenchmarkInt is for 16 numbers of seven digits.
func BenchmarkInt(b *testing.B) {
	var w Writer
	for b.Loop() {
		w.B = w.B[:0]
		for i := range int64(16) {
			w.Int(1_000_000 + i)
		}
	}
}
