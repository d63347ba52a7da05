package resp

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// Doubles are laid out as in Redis since 7.2.
func TestDoubles(t *testing.T) {
	for want, f := range map[string]float64{
		"0": 0, "-0": math.Copysign(0, -1), "inf": math.Inf(1), "-inf": math.Inf(-1), "nan": math.NaN(), "3": 3, "-17": -17, "0.1": 0.1, "-2.5": -2.5,
		"3.141": 3.141, "100000000000000000": 1e17, "4000000000000000000": 4e18, "1e+19": 1e19, "1e+20": 1e20, "123456789012345680000": 123456789012345680000,
		"1e-7": 1e-7, "0.000001": 1e-6, "0.00012": 0.00012, "1.2345e-7": 1.2345e-7, "-1e-300": -1e-300, "1.7976931348623157e+308": math.MaxFloat64,
		"5e-324": 5e-324, "0.3333333333333333": 1.0 / 3, "1234567.5": 1234567.5,
	} {
		if got := string(AppendDouble(nil, f)); got != want {
			t.Errorf("%g: %s, want %s", f, got, want)
		}
	}
	for range 100000 {
		f := math.Float64frombits(rand.Uint64())
		got, err := strconv.ParseFloat(string(AppendDouble(nil, f)), 64)
		if err != nil || got != f && !math.IsNaN(f) {
			t.Fatalf("%x reads back as %x, %v", f, got, err)
		}
	}
}
