package zset

import (
	"bytes"
	"sort"
	"strconv"
	"unsafe"

	"tidemark/engine/command"
	"tidemark/engine/keyspace/coll"
)

const (
	errScoreRange = "ERR min or max is not a float"
	errLexRange   = "ERR min or max not valid string range item"
)

// by is what the ends of a range are.
type by uint8

const (
	byRank by = iota
	byScore
	byLex
)

// A span is a range of members as a request gives it.
type span struct {
	by       by
	from, to int64      // byRank; from the end when negative
	lo, hi   coll.Probe // byScore: the members between them. byLex: without Key, which is the score that all members have
	all      bool       // byLex: lo is "-"
	upTo     bool       // byLex: hi is "+"
	none     bool       // byLex: lo is "+", or hi is "-"
}

// parse reads the ends of a range. If they are wrong, the error has been replied.
func (p *span) parse(c *command.Ctx, by by, from, to []byte) (ok bool) {
	p.by = by
	switch by {
	case byRank:
		if p.from, ok = command.ParseInt(from); ok {
			p.to, ok = command.ParseInt(to)
		}
		if !ok {
			c.W.Error(command.ErrNotInt)
		}
	case byScore:
		if ok = scoreBound(&p.lo, from, coll.BeforeAll, coll.AfterAll) && scoreBound(&p.hi, to, coll.AfterAll, coll.BeforeAll); !ok {
			c.W.Error(errScoreRange)
		}
	default:
		least, most := false, false
		ok = lexBound(&p.lo, from, coll.Exactly, coll.Behind, &p.all, &most)
		p.none = most
		ok = ok && lexBound(&p.hi, to, coll.Behind, coll.Exactly, &least, &p.upTo)
		if p.none = p.none || least; !ok {
			c.W.Error(errLexRange)
		}
	}
	return ok
}

// scoreBound reads a score, or one behind "(", which excludes it.
func scoreBound(p *coll.Probe, b []byte, closed, open coll.Where) bool {
	p.Where = closed
	if len(b) > 0 && b[0] == '(' {
		p.Where = open
		b = b[1:]
	}
	for len(b) > 0 && (b[0] == ' ' || b[0] >= '\t' && b[0] <= '\r') {
		b = b[1:]
	}
	if len(b) == 0 { // as C's strtod has it
		p.Key = coll.ScoreKey(0)
		return true
	}
	f, _, ok := parseDouble(b)
	p.Key = coll.ScoreKey(f)
	return ok
}

// lexBound reads a member behind "[" or "(", or one of the ends "-" and "+".
func lexBound(p *coll.Probe, b []byte, closed, open coll.Where, least, most *bool) bool {
	switch {
	case len(b) == 1 && b[0] == '-':
		*least = true
	case len(b) == 1 && b[0] == '+':
		*most = true
	case len(b) > 0 && b[0] == '[':
		p.Where, p.Tie = closed, b[1:]
	case len(b) > 0 && b[0] == '(':
		p.Where, p.Tie = open, b[1:]
	default:
		return false
	}
	return true
}

// find turns the range into ranks from lo to hi, hi itself not included; nothing lies within it when lo is not less.
func (p *span) find(z *reader) (lo, hi int) {
	switch p.by {
	case byRank:
		n := int64(z.n)
		from, to := p.from, p.to
		if from < 0 {
			from = max(from+n, 0)
		}
		if to < 0 {
			to += n
		}
		if from > to || from >= n {
			return 0, 0
		}
		return int(from), int(min(to, n-1)) + 1
	case byScore:
		if p.lo.Key > p.hi.Key {
			return 0, 0
		}
		if lo = z.before(&p.lo); lo == z.n {
			return lo, lo
		}
		return lo, z.before(&p.hi)
	}
	if p.none {
		return 0, 0
	}
	if !p.all || !p.upTo {
		z.goTo(0)
		p.lo.Key = coll.ScoreKey(z.score())
		p.hi.Key = p.lo.Key
		if z.goTo(z.n - 1); coll.ScoreKey(z.score()) != p.lo.Key {
			return p.findMixed(z)
		}
	}
	if hi = z.n; !p.all {
		lo = z.before(&p.lo)
	}
	if !p.upTo {
		hi = z.before(&p.hi)
	}
	return lo, hi
}

// findMixed is find by members in a sorted set of several scores, of which Redis promises nothing: but when the members are in order all the same,
// it finds them.
func (p *span) findMixed(z *reader) (lo, hi int) {
	if z.large {
		if !p.all {
			lo = sort.Search(z.n, func(i int) bool { z.goTo(i); return !liesBefore(z.member(), &p.lo) })
		}
		if hi = z.n; !p.upTo {
			hi = sort.Search(z.n, func(i int) bool { z.goTo(i); return !liesBefore(z.member(), &p.hi) })
		}
		return lo, hi
	}
	z.goTo(0)
	for !p.all && lo < z.n && liesBefore(z.member(), &p.lo) {
		if lo++; lo < z.n {
			z.step(false)
		}
	}
	for hi = lo; hi < z.n && (p.upTo || liesBefore(z.member(), &p.hi)); {
		if hi++; hi < z.n {
			z.step(false)
		}
	}
	return lo, hi
}

// liesBefore reports whether a member lies before the end of a range by members, whatever its score.
func liesBefore(m []byte, p *coll.Probe) bool {
	c := bytes.Compare(m, p.Tie)
	return c < 0 || c == 0 && p.Where == coll.Behind
}

// parseDouble reads a number in C's notation. tiny or huge (inexact) says that it lies beyond what a float64 can hold and f is 0 or infinite. NaN is
// refused.
func parseDouble(b []byte) (f float64, inexact, ok bool) {
	if len(b) == 0 || len(b) > 1024 {
		return 0, false, false
	}
	hex, exp, digits := false, false, false
	for i, ch := range b {
		switch {
		case ch == '_':
			return 0, false, false
		case (ch == 'x' || ch == 'X') && i > 0 && b[i-1] == '0':
			hex = true
		case !hex && (ch == 'e' || ch == 'E'), ch == 'p' || ch == 'P':
			exp = true
		case !exp && (ch >= '1' && ch <= '9' || hex && (ch|0x20 >= 'a' && ch|0x20 <= 'f')):
			digits = true
		}
	}
	var room [1040]byte
	if hex && !exp { // Go wants an exponent
		b = append(append(room[:0], b...), "p0"...)
	}
	f, err := strconv.ParseFloat(unsafe.String(&b[0], len(b)), 64)
	if err != nil {
		if e, is := err.(*strconv.NumError); !is || e.Err != strconv.ErrRange {
			return 0, false, false
		}
		return f, true, true
	}
	return f, f == 0 && digits, f == f
}

// parseScore reads a score that a request gives; when it is none, the error has been replied.
func parseScore(c *command.Ctx, b []byte) (f float64, ok bool) {
	f, inexact, ok := parseDouble(b)
	if ok = ok && !inexact; !ok {
		c.W.Error(command.ErrNotFloat)
	}
	return f, ok
}
