// Package longdouble is the arithmetic of INCRBYFLOAT and HINCRBYFLOAT: the sum of two texts, as the machine that Redis usually runs on
// computes and prints it.
package longdouble

import (
	"math/big"
	"math/bits"
	"strconv"
)

// Number is a number in the 80-bit extended format of x87, in which Redis on x86-64 adds up INCRBYFLOAT: 64 bits of
// mantissa and exponents from -16445 to 16384, rounded to nearest, ties to even. Its value is man * 2^exp; the top bit of man is set
// unless the number is zero.
//
// Integer arithmetic on 128 bits does what nearly all numbers need. big.Float, given the same precision, reads the others and prints
// those of 2^64 and above. Subnormal numbers keep more bits here than there; after 17 decimals no
// difference is left.
type Number struct {
	man uint64
	exp int
	neg bool
	inf bool
}

const (
	ldPrecision  = 64
	ldMaxExp     = 16384  // of a mantissa in [0.5, 1)
	ldMinExp     = -16444 // of the smallest subnormal
	ldMaxText    = 5 * 1024
	ldClampedExp = 99999
)

// Parse reads what C's strtold accepts in full, with no space around it. NaN, numbers out of range
// and numbers that would become zero are refused; infinities are not.
func (x *Number) Parse(b []byte) bool {
	*x = Number{}
	if len(b) == 0 || len(b) >= ldMaxText {
		return false
	}
	if b[0] == '+' || b[0] == '-' {
		x.neg, b = b[0] == '-', b[1:]
	}
	if x.parseShort(b) {
		return true
	}
	if isWord(b, "inf") || isWord(b, "infinity") {
		x.inf = true
		return true
	}
	text, base, ok := normalise(b)
	if !ok {
		return false
	}
	var f big.Float
	if _, _, err := f.SetPrec(ldPrecision).SetMode(big.ToNearestEven).Parse(text, base); err != nil || f.IsInf() {
		return false
	}
	if f.Sign() == 0 {
		x.man = 0
		return true
	}
	var m big.Float
	e := f.MantExp(&m)
	x.man, _ = m.SetMantExp(&m, 64).Uint64()
	x.exp = e - 64
	switch {
	case e > ldMaxExp:
		return false
	case e == ldMinExp-1: // half of the smallest subnormal is a tie and goes to zero, more goes to the subnormal
		return x.man > 1<<63
	}
	return e >= ldMinExp
}

// IsInf reports whether the number is an infinity.
func (x *Number) IsInf() bool { return x.inf }

// parseShort reads unsigned decimals of up to 38 digits whose power of ten is within 10^±19: digits and power are exact in
// 128 and 64 bits, so that their product or quotient is rounded once, as it must be.
func (x *Number) parseShort(b []byte) bool {
	var head, tail uint64 // 19 digits each
	digits, scale, point, i := 0, 0, false, 0
	for ; i < len(b); i++ {
		ch := b[i]
		if ch == '.' && !point {
			point = true
			continue
		}
		d := ch - '0'
		if d > 9 {
			break
		}
		switch digits++; {
		case digits <= 19:
			head = head*10 + uint64(d)
		case digits <= 38:
			tail = tail*10 + uint64(d)
		default:
			return false
		}
		if point {
			scale--
		}
	}
	if digits == 0 {
		return false
	}
	if i < len(b) {
		e, ok := shortExponent(b[i:])
		if !ok {
			return false
		}
		scale += e
	}
	hi, lo := uint64(0), head
	if digits > 19 {
		var carry uint64
		hi, lo = bits.Mul64(head, pow10[digits-19])
		lo, carry = bits.Add64(lo, tail, 0)
		hi += carry
	}
	switch {
	case hi|lo == 0:
	case scale < -19 || scale > 19 || scale > 0 && hi != 0:
		return false
	case scale < 0:
		x.quotient(hi, lo, pow10[-scale])
	case scale > 0:
		hi, lo = bits.Mul64(lo, pow10[scale])
		fallthrough
	default:
		x.set(hi, lo, 0)
	}
	return true
}

// shortExponent reads e, a sign and one or two digits.
func shortExponent(b []byte) (e int, ok bool) {
	if len(b) < 2 || b[0]|0x20 != 'e' {
		return 0, false
	}
	b = b[1:]
	neg := b[0] == '-'
	if neg || b[0] == '+' {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 2 {
		return 0, false
	}
	for _, ch := range b {
		if ch-'0' > 9 {
			return 0, false
		}
		e = e*10 + int(ch-'0')
	}
	if neg {
		e = -e
	}
	return e, true
}

var pow10 = func() (p [20]uint64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * 10
	}
	return p
}()

// quotient sets the number to hi:lo / d, rounded; neither is zero.
func (x *Number) quotient(hi, lo, d uint64) {
	exp := 0
	if hi == 0 {
		hi, lo, exp = lo, 0, -64
	}
	if z := bits.LeadingZeros64(hi); z != 0 {
		hi, lo, exp = hi<<z|lo>>(64-z), lo<<z, exp-z
	}
	z := bits.LeadingZeros64(d)
	d, exp = d<<z, exp+z
	first := uint64(0)
	if hi >= d {
		first, hi = 1, hi-d
	}
	q, r := bits.Div64(hi, lo, d)
	below, r := bits.Div64(r, 0, d)
	if r != 0 {
		below |= 1
	}
	// The quotient is first:q:below * 2^(exp-64).
	if first != 0 {
		below = q<<63 | below>>1 | below&1
		q = 1<<63 | q>>1
		exp++
	}
	x.set(q, below, exp-64)
}

// set takes the 128-bit number hi:lo * 2^exp, which is not zero, rounded to its 64 top bits. The last bit of lo may stand for
// anything below it.
func (x *Number) set(hi, lo uint64, exp int) {
	if hi == 0 {
		hi, lo = lo, 0
		exp -= 64
	}
	if z := bits.LeadingZeros64(hi); z != 0 {
		hi, lo = hi<<z|lo>>(64-z), lo<<z
		exp -= z
	}
	if lo > 1<<63 || lo == 1<<63 && hi&1 != 0 {
		if hi++; hi == 0 {
			hi = 1 << 63
			exp++
		}
	}
	x.man, x.exp = hi, exp+64
}

// Add puts the sum into x; false when it is not finite.
func (x *Number) Add(y *Number) bool {
	if x.inf || y.inf {
		return false
	}
	a, b := *x, *y
	if b.man == 0 {
		return true
	}
	if a.man == 0 {
		*x = b
		return true
	}
	if a.exp < b.exp || a.exp == b.exp && a.man < b.man {
		a, b = b, a
	}
	bh, bl := b.man, uint64(0)
	switch d := a.exp - b.exp; {
	case d == 0:
	case d < 64:
		bh, bl = bh>>d, bh<<(64-d)
	case d < 128:
		lost := bh<<(128-d) != 0 && d > 64
		bh, bl = 0, bh>>(d-64)
		if lost {
			bl |= 1
		}
	default:
		bh, bl = 0, 1
	}
	x.neg = a.neg
	if a.neg == b.neg {
		lo, hi := bl, a.man
		hi, carry := bits.Add64(hi, bh, 0)
		exp := a.exp - 64
		if carry != 0 {
			lo = hi<<63 | lo>>1 | lo&1
			hi = 1<<63 | hi>>1
			exp++
		}
		x.set(hi, lo, exp)
	} else {
		lo, borrow := bits.Sub64(0, bl, 0)
		hi, _ := bits.Sub64(a.man, bh, borrow)
		if hi|lo == 0 {
			*x = Number{}
			return true
		}
		x.set(hi, lo, a.exp-64)
	}
	return x.exp+64 <= ldMaxExp
}

// AppendTo prints the number with up to 17 decimals, without an exponent, trailing zeros or a negative zero.
func (x *Number) AppendTo(b []byte) []byte {
	const decimals = 17
	var whole, part uint64 // part in units of 10^-17
	switch s := -x.exp; {
	case x.man == 0:
	case s < 0:
		var f big.Float
		f.SetPrec(ldPrecision).SetUint64(x.man)
		f.SetMantExp(&f, x.exp)
		if x.neg {
			b = append(b, '-')
		}
		return f.Append(b, 'f', 0) // there is no fraction
	case s == 0:
		whole = x.man
	case s < 64:
		whole = x.man >> s
		hi, lo := bits.Mul64(x.man&(1<<s-1), pow10[decimals])
		part = shiftRound(hi, lo, s)
	case s < 128:
		hi, lo := bits.Mul64(x.man, pow10[decimals])
		part = shiftRound(hi, lo, s)
	}
	if part == pow10[decimals] {
		whole++
		part = 0
	}
	if x.neg && whole|part != 0 {
		b = append(b, '-')
	}
	b = strconv.AppendUint(b, whole, 10)
	if part == 0 {
		return b
	}
	at := len(b)
	b = strconv.AppendUint(b, pow10[decimals]+part, 10)
	b[at] = '.' // in place of the 1 that kept the leading zeros
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	return b
}

// shiftRound returns hi:lo / 2^s, which fits, rounded half to even; 0 < s < 128.
func shiftRound(hi, lo uint64, s int) uint64 {
	var q, rest, below uint64 // rest: the bits cut off, at the top; below: more of them
	switch {
	case s < 64:
		q, rest = hi<<(64-s)|lo>>s, lo<<(64-s)
	case s == 64:
		q, rest = hi, lo
	default:
		q, rest, below = hi>>(s-64), hi<<(128-s)|lo>>(s-64), lo<<(128-s)
	}
	if rest > 1<<63 || rest == 1<<63 && (below != 0 || q&1 != 0) {
		q++
	}
	return q
}

func isWord(s []byte, word string) bool {
	if len(s) != len(word) {
		return false
	}
	for i := range s {
		if s[i]|0x20 != word[i] {
			return false
		}
	}
	return true
}

// normalise checks an unsigned number in C's notation, and returns it in the one big.Float.Parse reads in that base. An exponent
// beyond all bounds is cut to one that is still out of range.
func normalise(s []byte) (text string, base int, ok bool) {
	base, mark := 10, byte('e')
	if len(s) > 2 && s[0] == '0' && s[1]|0x20 == 'x' {
		base, mark, s = 16, 'p', s[2:]
	}
	digits, point, i := 0, false, 0
	for ; i < len(s); i++ {
		ch := s[i]
		if ch == '.' && !point {
			point = true
			continue
		}
		hex := base == 16 && 'a' <= ch|0x20 && ch|0x20 <= 'f'
		if ch-'0' > 9 && !hex {
			break
		}
		digits++
	}
	if digits == 0 {
		return "", 0, false
	}
	out := append(make([]byte, 0, len(s)+8), s[:i]...)
	if i == len(s) {
		return string(out), base, true
	}
	if s[i]|0x20 != mark {
		return "", 0, false
	}
	i++
	neg := false
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		neg = s[i] == '-'
		i++
	}
	if i == len(s) {
		return "", 0, false
	}
	exp := 0
	for ; i < len(s); i++ {
		d := s[i] - '0'
		if d > 9 {
			return "", 0, false
		}
		exp = min(exp*10+int(d), ldClampedExp)
	}
	out = append(out, mark)
	if neg {
		out = append(out, '-')
	}
	return string(strconv.AppendInt(out, int64(exp), 10)), base, true
}
