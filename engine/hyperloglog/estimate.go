package hyperloglog

import "math"

// A histogram counts the registers of each value.
type histogram [64]uint32

// estimate is how many different elements were seen, after Otmar Ertl, "New cardinality estimation algorithms for HyperLogLog
// sketches" (arXiv:1702.01284), algorithm 6. Conversions to float64 keep compilers from fusing operations: every machine comes to the
// same number, which is redis-server's.
func (h *histogram) estimate() uint64 {
	const (
		m     = float64(registers)
		alpha = 0.721347520444481703680 // 1 / (2 ln 2)
	)
	z := float64(m * tau((m-float64(h[maxRank]))/m))
	for k := maxRank - 1; k >= 1; k-- {
		z = (z + float64(h[k])) * 0.5
	}
	z += float64(m * sigma(float64(h[0])/m))
	return uint64(math.Round(alpha * m * m / z))
}

// sigma is x + Σ x^(2^k) 2^(k-1), for k from 1 on.
func sigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	y, z := 1.0, x
	for before := math.NaN(); z != before; {
		x *= x
		before = z
		z += float64(x * y)
		y += y
	}
	return z
}

// tau is (1 - x - Σ (1 - x^(2^-k))² 2^-k) / 3, for k from 1 on.
func tau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	y, z := 1.0, 1-x
	for before := math.NaN(); z != before; {
		x = math.Sqrt(x)
		before = z
		y *= 0.5
		z -= float64(float64((1-x)*(1-x)) * y)
	}
	return z / 3
}
