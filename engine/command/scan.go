package command

import (
	"bytes"
	"math/bits"
	"strconv"

	"tidemark/engine/glob"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
)

// What SCAN, HSCAN, SSCAN and ZSCAN have in common: their arguments, and a reply whose number of elements is known last.

// Cursor parses argument i as a cursor, as redis-server does; when it is none the error is replied and ok is false. A cursor is an unsigned 64-bit number
// in decimal. What is written as an integer usually is must not be negative. Otherwise there may be white space before it and a sign, - counts down from 2^64;
// it ends at a zero byte.
func (c *Ctx) Cursor(i int) (n uint64, ok bool) {
	if v, usual := ParseInt(c.Args[i]); usual {
		if v < 0 {
			c.W.Error(errCursor)
		}
		return uint64(v), v >= 0
	}
	b, _, _ := bytes.Cut(c.Args[i], zeroByte)
	b = bytes.TrimLeft(b, " \t\n\v\f\r")
	if len(b) == 0 {
		c.W.Error(errCursor)
		return 0, false
	}
	digits := b
	if b[0] == '+' || b[0] == '-' {
		digits = b[1:]
	}
	ok = len(digits) > 0
	for _, ch := range digits {
		d := uint64(ch - '0')
		hi, lo := bits.Mul64(n, 10)
		if d > 9 || hi != 0 || lo+d < lo {
			ok = false
			break
		}
		n = lo + d
	}
	if !ok {
		c.W.Error(errCursor)
	}
	if b[0] == '-' {
		n = -n
	}
	return n, ok
}

const errCursor = "ERR invalid cursor"

var zeroByte = []byte{0}

// ScanWord is the option that only one command of the SCAN family takes.
type ScanWord uint8

// The options that ScanOptions reads beside MATCH and COUNT.
const (
	ScanPlain    ScanWord = iota // no other: SSCAN, ZSCAN
	ScanType                     // TYPE: SCAN
	ScanNoValues                 // NOVALUES: HSCAN
)

// ScanOptions are the options of a command of the SCAN family.
type ScanOptions struct {
	Count    int64  // at least 1
	Pattern  []byte // borrowed from the request
	Any      bool   // there is no pattern, or one that everything matches
	Type     []byte // nil: there is none
	NoValues bool
}

// ScanOptions parses the arguments from i on; when they are wrong the error is replied and ok is false.
func (c *Ctx) ScanOptions(i int, word ScanWord) (o ScanOptions, ok bool) {
	o.Count, o.Any = 10, true
	for ; i < len(c.Args); i++ {
		more := i+1 < len(c.Args)
		switch a := c.Args[i]; {
		case more && Is(a, "count"):
			i++
			if o.Count, ok = c.Int(i); !ok {
				return o, false
			}
			if o.Count < 1 {
				c.W.Error(ErrSyntax)
				return o, false
			}
		case more && Is(a, "match"):
			i++
			o.Pattern = c.Args[i]
			o.Any = len(o.Pattern) == 1 && o.Pattern[0] == '*'
		case more && word == ScanType && Is(a, "type"):
			i++
			o.Type = c.Args[i]
		case Is(a, "novalues"):
			if word != ScanNoValues {
				c.W.Error("ERR NOVALUES option can only be used in HSCAN")
				return o, false
			}
			o.NoValues = true
		default:
			c.W.Error(ErrSyntax)
			return o, false
		}
	}
	return o, true
}

// A KeyScan is a request of HSCAN, SSCAN or ZSCAN.
type KeyScan struct {
	ScanOptions
	c      *Ctx
	cursor uint64
	at     int   // where the reply's elements begin
	n      int64 // how many there are
}

// ScanKey reads the arguments of HSCAN and its kin, and finds the key, which is of type t. ok is false when the reply has been given: an error, or that
// there is nothing.
func (c *Ctx) ScanKey(t keyspace.Type, word ScanWord) (s KeyScan, r keyspace.Ref, ok bool) {
	s.c, s.at = c, len(c.W.B)
	if s.cursor, ok = c.Cursor(2); !ok {
		return s, 0, false
	}
	if r, ok = c.FindTyped(&c.Keys[0], t); !ok {
		return s, 0, false
	}
	if r == 0 {
		c.ScanReply(s.at, 0, 0)
		return s, 0, false
	}
	s.ScanOptions, ok = c.ScanOptions(3, word)
	return s, r, ok
}

// Wants reports whether an element's name matches the pattern.
func (s *KeyScan) Wants(name []byte) bool { return s.Any || glob.Match(s.Pattern, name) }

// Show replies a name, or what goes with it.
func (s *KeyScan) Show(b []byte) {
	s.c.W.Bulk(b)
	s.n++
}

// Whole ends the reply of a collection that has been shown whole.
func (s *KeyScan) Whole() { s.c.ScanReply(s.at, 0, s.n) }

// Part calls look for the next elements of a large collection, as many as the request wants to be looked at, and ends the reply.
func (s *KeyScan) Part(d *coll.Dict, look func(coll.Ref)) {
	seen := int64(0)
	count := func(r coll.Ref) {
		seen++
		look(r)
	}
	for more := true; more && seen < s.Count; more = s.cursor != 0 {
		s.cursor = d.Scan(s.cursor, count)
	}
	s.c.ScanReply(s.at, s.cursor, s.n)
}

// ScanReply completes the reply of a SCAN: next is the cursor, and the n elements were written from at on.
func (c *Ctx) ScanReply(at int, next uint64, n int64) {
	var a, b [64]byte
	num := strconv.AppendUint(b[:0], next, 10)
	h := append(a[:0], "*2\r\n$"...)
	h = strconv.AppendInt(h, int64(len(num)), 10)
	h = append(append(append(h, '\r', '\n'), num...), "\r\n*"...)
	h = append(strconv.AppendInt(h, n, 10), '\r', '\n')
	c.prepend(at, h)
}

// PrependArray puts the header of an array of n elements before the elements, which were written from at on before their
// number was known.
func (c *Ctx) PrependArray(at int, n int64) { c.prependHeader(at, '*', n) }

// PrependSet is PrependArray for a set.
func (c *Ctx) PrependSet(at int, n int64) {
	if c.W.RESP3 {
		c.prependHeader(at, '~', n)
	} else {
		c.prependHeader(at, '*', n)
	}
}

func (c *Ctx) prependHeader(at int, kind byte, n int64) {
	var a [24]byte
	c.prepend(at, append(strconv.AppendInt(append(a[:0], kind), n, 10), '\r', '\n'))
}

// PrependBulk puts a short bulk string before what was written from at on.
func (c *Ctx) PrependBulk(at int, b []byte) {
	var a [96]byte
	h := append(strconv.AppendInt(append(a[:0], '$'), int64(len(b)), 10), '\r', '\n')
	c.prepend(at, append(append(h, b...), '\r', '\n'))
}

// PrependMap is PrependArray for a map of n pairs, which RESP2 gets as an array of all keys and values.
func (c *Ctx) PrependMap(at int, n int64) {
	var a [24]byte
	h := append(a[:0], '*')
	if c.W.RESP3 {
		h[0] = '%'
	} else {
		n *= 2
	}
	c.prepend(at, append(strconv.AppendInt(h, n, 10), '\r', '\n'))
}

func (c *Ctx) prepend(at int, h []byte) {
	w := c.W
	end := len(w.B)
	w.B = append(w.B, h...)
	copy(w.B[at+len(h):], w.B[at:end])
	copy(w.B[at:], h)
}
