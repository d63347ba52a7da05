package strings

import "math/big"

// longDouble is the 80-bit extended format of x87, in which Redis on x86-64 keeps the numbers of INCRBYFLOAT: 64 bits of
// mantissa, exponents from -16445 to 16384. big.Float rounds alike when it is given that precision, so only the
// limits of the exponent, the notation C accepts and the way the sum is printed are left to this file. Subnormal
// numbers keep more bits here than there; no difference is left after 17 decimals.
type longDouble struct{ f big.Float }

const (
	ldPrecision  = 64
	ldMaxExp     = 16384  // of a mantissa in [0.5, 1)
	ldMinExp     = -16444 // of the smallest subnormal
	ldMaxText    = 5 * 1024
	ldClampedExp = 99999
)

// parse reads what C's strtold accepts in full, with no space around it. NaN, numbers out of range
// and numbers that would become zero are refused; infinities are not.
func (x *longDouble) parse(b []byte) bool {
	if len(b) == 0 || len(b) >= ldMaxText {
		return false
	}
	x.f.SetPrec(ldPrecision).SetMode(big.ToNearestEven)
	if x.parseShort(b) {
		return true
	}
	sign, s := false, b
	if s[0] == '+' || s[0] == '-' {
		sign, s = s[0] == '-', s[1:]
	}
	if isWord(s, "inf") || isWord(s, "infinity") {
		x.f.SetInf(sign)
		return true
	}
	text, base, ok := normalise(s)
	if !ok {
		return false
	}
	if _, _, err := x.f.Parse(text, base); err != nil || x.f.IsInf() {
		return false
	}
	if x.f.Sign() != 0 && !x.inRange() {
		return false
	}
	if sign {
		x.f.Neg(&x.f)
	}
	return true
}

// parseShort reads the plain decimals that nearly all numbers are: up to 18 digits and a point. The digits and the power of
// ten are exact in 64 bits, so that their quotient is rounded once, as it must be.
func (x *longDouble) parseShort(b []byte) bool {
	sign := b[0] == '-'
	if sign {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 19 {
		return false
	}
	var n uint64
	point, digits := -1, 0
	for i, ch := range b {
		switch {
		case ch-'0' <= 9:
			n = n*10 + uint64(ch-'0')
			digits++
		case ch == '.' && point < 0:
			point = i
		default:
			return false
		}
	}
	if digits == 0 || digits > 18 {
		return false
	}
	x.f.SetUint64(n)
	if point >= 0 && point < len(b)-1 && n != 0 {
		var d big.Float
		d.SetPrec(ldPrecision).SetUint64(pow10(len(b) - 1 - point))
		x.f.Quo(&x.f, &d)
	}
	if sign {
		x.f.Neg(&x.f)
	}
	return true
}

func pow10(n int) uint64 {
	p := uint64(1)
	for ; n > 0; n-- {
		p *= 10
	}
	return p
}

// inRange reports whether the number, which is not zero, is neither too large nor rounds to zero.
func (x *longDouble) inRange() bool {
	var m big.Float
	e := x.f.MantExp(&m)
	if e > ldMaxExp {
		return false
	}
	if e == ldMinExp-1 { // half of the smallest subnormal is a tie and goes to zero, more goes to the subnormal
		half, _ := m.Abs(&m).Float64()
		return half > 0.5
	}
	return e >= ldMinExp
}

// add puts the sum into x; false when it is not finite.
func (x *longDouble) add(y *longDouble) bool {
	if x.f.IsInf() || y.f.IsInf() {
		return false
	}
	x.f.Add(&x.f, &y.f)
	return x.f.Sign() == 0 || x.f.MantExp(nil) <= ldMaxExp
}

// appendTo prints the number with up to 17 decimals, without an exponent, trailing zeros or a negative zero.
func (x *longDouble) appendTo(b []byte) []byte {
	at := len(b)
	b = x.f.Append(b, 'f', 17)
	n := len(b)
	for b[n-1] == '0' {
		n--
	}
	if b[n-1] == '.' {
		n--
	}
	b = b[:n]
	if string(b[at:]) == "-0" {
		b = append(b[:at], '0')
	}
	return b
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
	for p := 10000; p > 0; p /= 10 {
		out = append(out, byte('0'+exp/p%10))
	}
	return string(out), base, true
}
