// Package resp reads requests and writes replies of the Redis serialization
// protocol, versions 2 and 3. Parsing is in place and allocates nothing.
package resp

import (
	"bytes"
	"errors"
	"math"
)

// How requests are parsed
//
// A request is either a "multibulk" (*2\r\n$3\r\nGET\r\n$1\r\na\r\n) or one
// "inline" line of words. Parsing is in place: the arguments are views into the
// caller's bytes. Two parsers share the work:
//
//   - the fast one (Parser.Parse) has no state. It either takes one whole
//     request from the front of the bytes, or says that the request is incomplete.
//   - the slow one (Partial) takes over at that moment. It remembers the
//     arguments it has passed and how many bytes must be there before going
//     on makes sense, so that a request that arrives in many pieces costs time linear in
//     its size, and a bulk of 512 MiB is never looked at before it is there.
//
// Leniences are Redis's: the byte after a CR is not looked at, nor are the two
// bytes after a bulk; counts of zero or less are skipped, and so are empty lines.
//
// Format: https://redis.io/docs/latest/develop/reference/protocol-spec/

// maxLine is how long a count line or an inline request may grow before its
// end must have been seen.
const maxLine = 64 << 10

// What a client may send before it has authenticated.
const (
	unauthArgs = 10
	unauthBulk = 16384
)

// Protocol errors; the reply is "-ERR Protocol error: " and the error's text.
var (
	ErrMultibulkLen    = errors.New("invalid multibulk length")
	ErrBulkLen         = errors.New("invalid bulk length")
	ErrMultibulkLine   = errors.New("too big mbulk count string")
	ErrBulkLine        = errors.New("too big bulk count string")
	ErrInlineLine      = errors.New("too big inline request")
	ErrQuotes          = errors.New("unbalanced quotes in request")
	ErrUnauthMultibulk = errors.New("unauthenticated multibulk length")
	ErrUnauthBulk      = errors.New("unauthenticated bulk length")
	ErrNotCommand      = errors.New("expected '*' at the start of a command") // ParseCommand only
)

// NotBulkError says that a bulk was expected and Got found.
type NotBulkError struct{ Got byte }

func (e NotBulkError) Error() string { return "expected '$', got '" + string([]byte{e.Got}) + "'" }

// notBulk holds the 256 errors ready, so that garbage costs no allocation.
var notBulk = func() (a [256]error) {
	for i := range a {
		a[i] = NotBulkError{byte(i)}
	}
	return
}()

// Parser parses requests. MaxBulk must be set. The zero value is otherwise
// ready. One Parser serves many connections, one after the other.
type Parser struct {
	MaxBulk int64  // longest bulk accepted (proto-max-bulk-len), bytes
	Unauth  bool   // apply the limits for clients that have not authenticated
	words   []byte // decoded words of the latest inline request
}

// Parse takes the first request off b, after skipping what is empty.
//
// skip bytes in front are filler and can be dropped whatever else is returned. n is the
// length of the request that follows; 0 means that it is incomplete. The
// arguments are appended to args[:0] and are views into b, or, of an inline
// request, into the Parser, valid until the next call. err is a protocol error: nothing after it
// can be understood.
func (p *Parser) Parse(b []byte, args [][]byte) (skip, n int, out [][]byte, inline bool, err error) {
	for skip < len(b) {
		r := b[skip:]
		if r[0] == '*' {
			n, out, err = p.multibulk(r, args[:0])
			if n > 0 && len(out) == 0 {
				skip += n
				continue
			}
			return skip, n, out, false, err
		}
		n, out, err = p.inline(r, args[:0])
		if n > 0 && len(out) == 0 {
			skip += n
			continue
		}
		return skip, n, out, true, err
	}
	return skip, 0, args[:0], false, nil
}

func (p *Parser) multibulk(b []byte, args [][]byte) (int, [][]byte, error) {
	var count, i int
	// Nearly every request has fewer than ten arguments and arrives whole.
	if len(b) > 3 && b[1]-'1' <= 8 && b[2] == '\r' {
		count, i = int(b[1]-'0'), 4
	} else {
		v, next, err := p.count(b)
		if next == 0 || err != nil {
			return 0, args, err
		}
		if v <= 0 {
			return next, args, nil
		}
		count, i = v, next
	}
	for ; count > 0; count-- {
		var size int
		// Room for "$dd\r\n" is not a condition for being complete, but a
		// request that lacks it takes the careful path below without harm.
		if i+4 < len(b) && b[i] == '$' && b[i+1]-'0' <= 9 {
			d := b[i+1] - '0'
			if b[i+2] == '\r' {
				size = int(d)
				i += 4
				goto sized
			}
			if e := b[i+2] - '0'; e <= 9 && d != 0 && b[i+3] == '\r' {
				size = int(d)*10 + int(e)
				i += 5
				goto sized
			}
		}
		{
			v, next, err := p.bulkLen(b, i)
			if next == 0 || err != nil {
				return 0, args, err
			}
			size, i = v, next
		}
	sized:
		end := i + size
		if end+2 > len(b) {
			return 0, args, nil
		}
		args = append(args, b[i:end:end])
		i = end + 2
	}
	return i, args, nil
}

// count reads the line "*n". next is 0 while it is incomplete.
func (p *Parser) count(b []byte) (v, next int, err error) {
	cr := bytes.IndexByte(b, '\r')
	if cr < 0 {
		if len(b) > maxLine {
			err = ErrMultibulkLine
		}
		return 0, 0, err
	}
	if cr+2 > len(b) {
		return 0, 0, nil
	}
	n, ok := ParseInt(b[1:cr])
	if !ok || n > math.MaxInt32 {
		return 0, 0, ErrMultibulkLen
	}
	if p.Unauth && n > unauthArgs {
		return 0, 0, ErrUnauthMultibulk
	}
	return int(n), cr + 2, nil
}

// bulkLen reads the line "$n" at b[i:]. next is 0 while it is incomplete.
func (p *Parser) bulkLen(b []byte, i int) (v, next int, err error) {
	if i >= len(b) {
		return 0, 0, nil
	}
	cr := bytes.IndexByte(b[i:], '\r')
	if cr < 0 {
		if len(b)-i > maxLine {
			err = ErrBulkLine
		}
		return 0, 0, err
	}
	cr += i
	if cr+2 > len(b) {
		return 0, 0, nil
	}
	if b[i] != '$' {
		return 0, 0, notBulk[b[i]]
	}
	n, ok := ParseInt(b[i+1 : cr])
	if !ok || n < 0 || n > p.MaxBulk {
		return 0, 0, ErrBulkLen
	}
	if p.Unauth && n > unauthBulk {
		return 0, 0, ErrUnauthBulk
	}
	return int(n), cr + 2, nil
}

// ParseInt reads a decimal integer by Redis's strict rules: an optional minus,
// no plus, no leading zero, no space, no "-0", within 64 bits.
func ParseInt(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	neg := b[0] == '-'
	d := b
	if neg {
		d = b[1:]
	}
	if len(d) == 0 || len(d) > 19 {
		return 0, false
	}
	if d[0] == '0' {
		return 0, len(b) == 1
	}
	var v uint64 // 19 digits fit
	for _, ch := range d {
		if ch -= '0'; ch > 9 {
			return 0, false
		}
		v = v*10 + uint64(ch)
	}
	if neg {
		if v > 1<<63 {
			return 0, false
		}
		return -int64(v), true
	}
	if v > math.MaxInt64 {
		return 0, false
	}
	return int64(v), true
}
