package geo

import "math"

// Sine, cosine and arc sine to the nearest float64, but for about one case in ten thousand. The functions of package math are further off,
// which would show: GEOSEARCHSTORE with STOREDIST stores distances with all their digits, and redis-server's library rounds
// nearly all of them to the nearest.
//
// An angle is i/64 + r, |r| <= 1/128. With the sines and cosines of i/64 known to twice the precision, what is left are short series
// in r, of which the first term alone needs an exact product.

// A wide is a number of about 106 bits: hi + lo, hi being the sum's nearest float64.
type wide struct{ hi, lo float64 }

// twoSum is a + b, and what rounding took from it.
func twoSum(a, b float64) wide {
	s := a + b
	t := s - a
	return wide{s, (a - (s - t)) + (b - t)}
}

func (a wide) add(b wide) wide {
	s := twoSum(a.hi, b.hi)
	return twoSum(s.hi, s.lo+(a.lo+b.lo))
}

func (a wide) neg() wide { return wide{-a.hi, -a.lo} }

func (a wide) mul(b wide) wide {
	p := a.hi * b.hi
	return twoSum(p, math.FMA(a.hi, b.hi, -p)+(float64(a.hi*b.lo)+float64(a.lo*b.hi)))
}

func (a wide) div(n float64) wide {
	q := a.hi / n
	return twoSum(q, (math.FMA(-q, n, a.hi)+a.lo)/n)
}

const angleSteps = 64

// angle is the sine and the cosine of i/64.
type angle struct{ sin, cos wide }

// angles reach over π/2.
var angles = func() (t [102]angle) {
	// The first step by its series, the others by the sum of angles.
	x := wide{1.0 / angleSteps, 0}
	one := angle{x, wide{1, 0}}
	term := x
	for n := 2.0; n < 20; n += 2 {
		term = term.mul(x).div(n).neg()
		one.cos = one.cos.add(term)
		term = term.mul(x).div(n + 1)
		one.sin = one.sin.add(term)
	}
	// The cosine's terms were made from the sine's: x·x/2, then ·x/3 and so on, the sign changing with each pair.
	t[0] = angle{wide{0, 0}, wide{1, 0}}
	for i := 1; i < len(t); i++ {
		a := t[i-1]
		t[i].sin = a.sin.mul(one.cos).add(a.cos.mul(one.sin))
		t[i].cos = a.cos.mul(one.cos).add(a.sin.mul(one.sin).neg())
	}
	return t
}()

// series gives sin r = r + r·p and cos r = 1 + q.
func series(r float64) (p, q float64) {
	s := r * r
	p = s * (-1.0/6 + s*(1.0/120+s*(-1.0/5040+s*(1.0/362880))))
	q = s * (-1.0/2 + s*(1.0/24+s*(-1.0/720+s*(1.0/40320))))
	return p, q
}

// wideSin is the sine of x + tail, 0 <= x <= π/2, tail far smaller than x. hi and lo are not normalised: their sum is to be rounded.
func wideSin(x, tail float64) (hi, lo float64) {
	i := int(x*angleSteps + 0.5)
	r := x - float64(i)/angleSteps // exact
	p, q := series(r)
	a := &angles[i]
	c := a.cos.hi * r
	s := twoSum(a.sin.hi, c)
	lo = math.FMA(a.cos.hi, r, -c)
	lo += a.sin.hi*q + c*p
	lo += a.sin.lo + a.cos.lo*r
	lo += tail * (a.cos.hi - a.sin.hi*r)
	return s.hi, s.lo + lo
}

// π and half of it.
var (
	pi     = wide{math.Pi, 1.2246467991473532e-16}
	halfPi = wide{math.Pi / 2, 6.123233995736766e-17}
)

// sin is the sine of x, |x| <= π.
func sin(x float64) float64 {
	y, tail := math.Abs(x), 0.0
	if y > math.Pi/2 {
		y, tail = pi.hi-y, pi.lo
		if y <= 0 {
			y, tail = tail, 0
		}
	}
	hi, lo := wideSin(y, tail)
	return math.Copysign(hi+lo, x)
}

// cos is the cosine of x, |x| <= π/2.
func cos(x float64) float64 {
	x = math.Abs(x)
	i := int(x*angleSteps + 0.5)
	r := x - float64(i)/angleSteps
	p, q := series(r)
	a := &angles[i]
	c := a.sin.hi * r
	s := twoSum(a.cos.hi, -c)
	lo := -math.FMA(a.sin.hi, r, -c)
	lo += a.cos.hi*q - c*p
	lo += a.cos.lo - a.sin.lo*r
	return s.hi + (s.lo + lo)
}

// asin is the arc sine of y, 0 <= y <= 1; NaN beyond.
func asin(y float64) float64 {
	if !(y <= 1) {
		return math.NaN()
	}
	if y <= 0.5 {
		z, more := refine(y, 0)
		return z + more
	}
	// π/2 - 2 asin √((1-y)/2)
	t := (1 - y) / 2 // exact
	w := math.Sqrt(t)
	tail := 0.0
	if w > 0 {
		tail = math.FMA(-w, w, t) / (2 * w)
	}
	z, more := refine(w, tail)
	s := twoSum(halfPi.hi, -2*z)
	return s.hi + (s.lo + (halfPi.lo - 2*more))
}

// refine is the arc sine of w + tail, w <= 1/2, by one step of Newton's from where package math gets to.
func refine(w, tail float64) (z, more float64) {
	z = math.Asin(w)
	hi, lo := wideSin(z, 0)
	return z, ((w - hi) - lo + tail) / math.Sqrt(1-w*w)
}
