package command

import (
	"bytes"
	"math"
	"math/big"
	"strconv"
	"time"
	"unsafe"

	"tidemark/engine/value"
)

// Errors whose wording clients and test suites rely on.
const (
	ErrSyntax     = "ERR syntax error"
	ErrWrongType  = "WRONGTYPE Operation against a key holding the wrong kind of value"
	ErrNotInt     = "ERR value is not an integer or out of range"
	ErrNotFloat   = "ERR value is not a valid float"
	ErrNoSuchKey  = "ERR no such key"
	ErrOutOfRange = "ERR index out of range"
	ErrDBIndex    = "ERR DB index is out of range"
	ErrSameObject = "ERR source and destination objects are the same"
	ErrOverflow   = "ERR increment or decrement would overflow"
	ErrStringSize = "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
)

// ErrExpire is the error of an expiry that is zero, negative or too large for command (lower case name).
func ErrExpire(command string) string { return "ERR invalid expire time in '" + command + "' command" }

// ParseInt parses a decimal int64 exactly as it would be printed: no plus, no leading zeros, no space.
func ParseInt(b []byte) (int64, bool) { return value.ParseInt(b) }

// ParseFloat parses a finite or infinite double in C's notation (hexadecimal too); NaN and surrounding space are refused.
func ParseFloat(b []byte) (float64, bool) {
	if len(b) == 0 || len(b) > 256 {
		return 0, false
	}
	for _, ch := range b {
		if ch == '_' || ch == ' ' {
			return 0, false
		}
	}
	s := unsafe.String(&b[0], len(b))
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		if e, ok := err.(*strconv.NumError); !ok || e.Err != strconv.ErrRange || f == 0 {
			return 0, false
		}
		return 0, false
	}
	return f, !math.IsNaN(f)
}

// Int parses argument i; when it is no integer the error is replied and ok is false.
func (c *Ctx) Int(i int) (n int64, ok bool) {
	if n, ok = ParseInt(c.Args[i]); !ok {
		c.W.Error(ErrNotInt)
	}
	return n, ok
}

// WrongArity is the reply to a request with too few or too many arguments.
func WrongArity(d *Descriptor) string {
	return "ERR wrong number of arguments for '" + d.FullName() + "' command"
}

// appendCommand appends a request in the form it has in the log.
func appendCommand(b []byte, args [][]byte) []byte {
	b = append(b, '*')
	b = strconv.AppendInt(b, int64(len(args)), 10)
	b = append(b, '\r', '\n')
	for _, a := range args {
		b = append(b, '$')
		b = strconv.AppendInt(b, int64(len(a)), 10)
		b = append(b, '\r', '\n')
		b = append(b, a...)
		b = append(b, '\r', '\n')
	}
	return b
}

// ParseMpop reads the arguments of LMPOP and ZMPOP, of which i is the number of keys. After the keys stands which end of a collection to take from,
// first or last (in lower case; atLast: the latter), and maybe a count, 1 if not. If they are wrong, the error has been replied.
func (c *Ctx) ParseMpop(i int, first, last string) (atLast bool, count int64, ok bool) {
	fail := func(msg string) (bool, int64, bool) {
		c.W.Error(msg)
		return false, 0, false
	}
	keys, ok := ParseInt(c.Args[i])
	if !ok || keys < 1 {
		return fail("ERR numkeys should be greater than 0")
	}
	if keys >= int64(len(c.Args)-i-1) {
		return fail(ErrSyntax)
	}
	i += int(keys) + 1
	atLast = Is(c.Args[i], last)
	if !atLast && !Is(c.Args[i], first) {
		return fail(ErrSyntax)
	}
	for i++; i < len(c.Args); i += 2 {
		if count > 0 || !Is(c.Args[i], "count") || i+1 == len(c.Args) {
			return fail(ErrSyntax)
		}
		if count, ok = ParseInt(c.Args[i+1]); !ok || count < 1 {
			return fail("ERR count should be greater than 0")
		}
	}
	return atLast, max(count, 1), true
}

// Timeout parses argument i as a timeout in ms, 0 meaning none; ok is false when it is none, and the error has been replied.
func (c *Ctx) Timeout(i int) (ms int64, ok bool) {
	ms, ok = ParseInt(c.Args[i])
	switch {
	case !ok:
		c.W.Error("ERR timeout is not an integer or out of range")
	case ms < 0:
		c.W.Error("ERR timeout is negative")
		ok = false
	case ms > longestWaitMs:
		c.W.Error("ERR timeout is out of range")
		ok = false
	}
	return ms, ok
}

// Seconds parses argument i as a timeout in seconds, which may have a fraction, and returns it in ms, rounded up; 0 means none. ok is false
// when it is none, and the error has been replied.
func (c *Ctx) Seconds(i int) (ms int64, ok bool) {
	f, ok := ParseFloat(c.Args[i])
	if !ok || f == 0 && len(c.Args[i]) > 1 {
		if f, ok = parseOddFloat(c.Args[i]); !ok {
			c.W.Error("ERR timeout is not a float or out of range")
			return 0, false
		}
	}
	f = math.Ceil(f * 1000)
	switch {
	case f < 0:
		c.W.Error("ERR timeout is negative")
		return 0, false
	case f >= float64(math.MaxInt64-c.Now):
		c.W.Error("ERR timeout is out of range")
		return 0, false
	}
	return min(int64(f), longestWaitMs), true
}

// longestWaitMs is a century and more, and fits into a time.Duration.
const longestWaitMs = 1 << 62 / int64(time.Millisecond)

// parseOddFloat parses what C reads as a long double and ParseFloat refuses: hexadecimal numbers without an exponent, and numbers too large or too
// small for a double, which become infinite or the smallest there is.
func parseOddFloat(b []byte) (float64, bool) {
	digits := bytes.TrimLeft(b, "+-")
	if len(digits) == 0 || len(digits) > 5<<10 || len(b) > len(digits)+1 || bytes.IndexByte(b, '_') >= 0 {
		return 0, false
	}
	if digits[0] == '0' && len(digits) > 1 && bytes.IndexByte([]byte("bBoO"), digits[1]) >= 0 { // notations that C does not have
		return 0, false
	}
	x, _, err := big.ParseFloat(string(b), 0, 64, big.ToNearestEven)
	if err != nil {
		return 0, false
	}
	f, _ := x.Float64()
	if f == 0 {
		f = float64(x.Sign()) * math.SmallestNonzeroFloat64
	}
	return f, true
}
