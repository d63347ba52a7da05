package resp

import (
	"math"
	"strconv"
)

// Writer appends replies to a byte slice in RESP2 or RESP3. The zero value
// writes RESP2 into a nil slice. A Writer is not safe for concurrent use.
//
// Formats: https://redis.io/docs/latest/develop/reference/protocol-spec/
type Writer struct {
	B     []byte // the replies so far; owned by the Writer's owner
	RESP3 bool   // the connection said HELLO 3
}

// OK appends +OK.
func (w *Writer) OK() { w.B = append(w.B, "+OK\r\n"...) }

// Simple appends a simple string. s must hold neither CR nor LF.
func (w *Writer) Simple(s string) {
	w.B = append(w.B, '+')
	w.B = append(w.B, s...)
	w.B = append(w.B, '\r', '\n')
}

// Error appends an error reply. msg starts with its code ("ERR ...",
// "WRONGTYPE ..."), without the leading dash. CR and LF within become spaces,
// so that a message quoting client input cannot break the protocol.
func (w *Writer) Error(msg string) {
	w.B = append(w.B, '-')
	for i := 0; i < len(msg); i++ {
		ch := msg[i]
		if ch == '\r' || ch == '\n' {
			ch = ' '
		}
		w.B = append(w.B, ch)
	}
	w.B = append(w.B, '\r', '\n')
}

// Int appends an integer.
func (w *Writer) Int(n int64) { w.header(':', n) }

func (w *Writer) header(kind byte, n int64) {
	switch u := uint64(n); {
	case u < 10:
		w.B = append(w.B, kind, byte('0'+u), '\r', '\n')
	case u < 100: // the length of most bulk strings
		w.B = append(w.B, kind, byte('0'+u/10), byte('0'+u%10), '\r', '\n')
	default:
		w.B = appendLong(w.B, kind, n)
	}
}

// pairs are the numbers below 100, two digits each.
const pairs = "00010203040506070809" + "10111213141516171819" + "20212223242526272829" + "30313233343536373839" + "40414243444546474849" +
	"50515253545556575859" + "60616263646566676869" + "70717273747576777879" + "80818283848586878889" + "90919293949596979899"

// appendLong appends a header of more than two digits as one piece, which is quicker than its parts one after the other.
func appendLong(b []byte, kind byte, n int64) []byte {
	a := [24]byte{22: '\r', 23: '\n'}
	i, u := 22, uint64(n)
	if n < 0 {
		u = -u
	}
	for ; u >= 100; u /= 100 {
		i -= 2
		p := u % 100 * 2
		a[i], a[i+1] = pairs[p], pairs[p+1]
	}
	if u >= 10 {
		i--
		a[i] = byte('0' + u%10)
		u /= 10
	}
	i--
	a[i] = byte('0' + u)
	if n < 0 {
		i--
		a[i] = '-'
	}
	i--
	a[i] = kind
	return append(b, a[i:]...)
}

// Bulk appends a bulk string. b is copied.
func (w *Writer) Bulk(b []byte) {
	w.header('$', int64(len(b)))
	w.B = append(w.B, b...)
	w.B = append(w.B, '\r', '\n')
}

// BulkString appends a bulk string.
func (w *Writer) BulkString(s string) {
	w.header('$', int64(len(s)))
	w.B = append(w.B, s...)
	w.B = append(w.B, '\r', '\n')
}

// BulkInt appends n in decimal as a bulk string.
func (w *Writer) BulkInt(n int64) {
	var a [20]byte
	w.Bulk(strconv.AppendInt(a[:0], n, 10))
}

// Null appends the absent value: $-1 in RESP2, _ in RESP3.
func (w *Writer) Null() {
	if w.RESP3 {
		w.B = append(w.B, "_\r\n"...)
	} else {
		w.B = append(w.B, "$-1\r\n"...)
	}
}

// NullArray appends the absent array: *-1 in RESP2, _ in RESP3.
func (w *Writer) NullArray() {
	if w.RESP3 {
		w.B = append(w.B, "_\r\n"...)
	} else {
		w.B = append(w.B, "*-1\r\n"...)
	}
}

// Array appends the header of an array of n elements; the caller appends them.
func (w *Writer) Array(n int) { w.header('*', int64(n)) }

// Map appends the header of a map of n pairs; RESP2 gets a flat array of 2n.
func (w *Writer) Map(n int) {
	if w.RESP3 {
		w.header('%', int64(n))
	} else {
		w.header('*', int64(2*n))
	}
}

// Set appends the header of a set of n elements; an array in RESP2.
func (w *Writer) Set(n int) {
	if w.RESP3 {
		w.header('~', int64(n))
	} else {
		w.header('*', int64(n))
	}
}

// Push appends the header of an out-of-band push of n elements; an array in RESP2.
func (w *Writer) Push(n int) {
	if w.RESP3 {
		w.header('>', int64(n))
	} else {
		w.header('*', int64(n))
	}
}

// Attribute appends the header of an attribute of n pairs. Only RESP3 has it:
// the caller must not use it otherwise.
func (w *Writer) Attribute(n int) { w.header('|', int64(n)) }

// Bool appends a boolean; RESP2 gets the integer 1 or 0.
func (w *Writer) Bool(b bool) {
	switch {
	case w.RESP3 && b:
		w.B = append(w.B, "#t\r\n"...)
	case w.RESP3:
		w.B = append(w.B, "#f\r\n"...)
	case b:
		w.Int(1)
	default:
		w.Int(0)
	}
}

// Double appends a floating point number, as AppendDouble has it; RESP2 gets it as a bulk string.
func (w *Writer) Double(f float64) {
	var a [40]byte
	b := AppendDouble(a[:0], f)
	if !w.RESP3 {
		w.Bulk(b)
		return
	}
	w.B = append(w.B, ',')
	w.B = append(w.B, b...)
	w.B = append(w.B, '\r', '\n')
}

// AppendDouble appends the shortest text that reads back as the same number, laid out as Redis does since 7.2: integers that an int64 holds with
// some room to spare in full, what is neither very large nor very small without an exponent.
func AppendDouble(b []byte, f float64) []byte {
	switch {
	case math.IsInf(f, 1):
		return append(b, "inf"...)
	case math.IsInf(f, -1):
		return append(b, "-inf"...)
	case math.IsNaN(f):
		return append(b, "nan"...)
	case f == 0 && math.Signbit(f):
		return append(b, "-0"...)
	case f == math.Trunc(f) && math.Abs(f) < 1<<62:
		return strconv.AppendInt(b, int64(f), 10)
	}
	// d.ddde±x, of which the digits and the exponent are taken.
	var a [32]byte
	e := strconv.AppendFloat(a[:0], math.Abs(f), 'e', -1, 64)
	var digits [20]byte
	n, i := 0, 0
	for ; e[i] != 'e'; i++ {
		if e[i] != '.' {
			digits[n] = e[i]
			n++
		}
	}
	exp := 0
	for _, ch := range e[i+2:] {
		exp = exp*10 + int(ch-'0')
	}
	if e[i+1] == '-' {
		exp = -exp
	}
	if f < 0 {
		b = append(b, '-')
	}
	d, k := digits[:n], exp-n+1 // the number is d times ten to the k
	switch {
	case k >= 0 && exp < n+7:
		b = append(b, d...)
		for range k {
			b = append(b, '0')
		}
		return b
	case k < 0 && (k > -7 || max(exp, -exp) < 4):
		if exp < 0 {
			b = append(b, "0."...)
			for range -exp - 1 {
				b = append(b, '0')
			}
			return append(b, d...)
		}
		b = append(append(b, d[:exp+1]...), '.')
		return append(b, d[exp+1:]...)
	}
	b = append(b, d[0])
	if n > 1 {
		b = append(append(b, '.'), d[1:]...)
	}
	b = append(b, 'e')
	if exp < 0 {
		exp = -exp
		b = append(b, '-')
	} else {
		b = append(b, '+')
	}
	return strconv.AppendInt(b, int64(exp), 10)
}

// BigNumber appends a decimal integer of any size; a bulk string in RESP2.
func (w *Writer) BigNumber(s string) {
	if !w.RESP3 {
		w.BulkString(s)
		return
	}
	w.B = append(w.B, '(')
	w.B = append(w.B, s...)
	w.B = append(w.B, '\r', '\n')
}

// Verbatim appends text with its three-letter format ("txt", "mkd"); a bulk
// string without the format in RESP2.
func (w *Writer) Verbatim(format, s string) {
	if !w.RESP3 {
		w.BulkString(s)
		return
	}
	w.header('=', int64(len(s)+4))
	w.B = append(w.B, format...)
	w.B = append(w.B, ':')
	w.B = append(w.B, s...)
	w.B = append(w.B, '\r', '\n')
}
