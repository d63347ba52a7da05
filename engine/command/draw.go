package command

import (
	"math"
	"math/bits"
	"strconv"

	"tidemark/engine/keyspace"
)

// What HRANDFIELD, SRANDMEMBER and ZRANDMEMBER have in common, and SPOP with them.

// maxDraws bounds how many elements one request may draw, with repetition: the reply is made in memory, under the shard's lock.
const maxDraws = 1 << 26

// DrawArgs reads the arguments of HRANDFIELD and its kin from the count on, and finds the key, which is of type t. The word with (in lower case;
// "": there is none) may stand behind the count: both is true then. A negative count draws with repetition. ok is false when there is nothing to draw: an
// error has been replied, or that there is nothing.
func (c *Ctx) DrawArgs(t keyspace.Type, with string) (r keyspace.Ref, count int64, both, ok bool) {
	fail := func(msg string) (keyspace.Ref, int64, bool, bool) {
		c.W.Error(msg)
		return 0, 0, false, false
	}
	if count, ok = ParseInt(c.Args[2]); !ok {
		return fail(ErrNotInt)
	}
	if count == math.MinInt64 {
		return fail("ERR value is out of range, value must between " + strconv.Itoa(-math.MaxInt64) + " and " + strconv.Itoa(math.MaxInt64))
	}
	both = len(c.Args) == 4
	if len(c.Args) > 4 || both && !Is(c.Args[3], with) {
		return fail(ErrSyntax)
	}
	if both && (count < -math.MaxInt64/2 || count > math.MaxInt64/2) {
		return fail("ERR value is out of range")
	}
	if r, ok = c.FindTyped(&c.Keys[0], t); !ok {
		return 0, 0, false, false
	}
	if r == 0 || count == 0 {
		c.W.Array(0)
		return 0, 0, false, false
	}
	if count < -maxDraws {
		return fail("ERR value is out of range")
	}
	return r, count, both, true
}

// Draws begins the reply of HRANDFIELD and its kin, and returns how many of a collection's have elements are to be drawn: the arguments are DrawArgs'.
func (c *Ctx) Draws(count int64, have uint64, both bool) uint64 {
	n := min(uint64(count), have)
	if count < 0 {
		n = uint64(-count)
	}
	if both && !c.W.RESP3 {
		c.W.Array(2 * int(n))
	} else {
		c.W.Array(int(n))
	}
	return n
}

// Below gives a random number below n.
func (c *Ctx) Below(n uint64) uint64 {
	hi, _ := bits.Mul64(c.Rand(), n)
	return hi
}

// A Sampler chooses some of the things that it is shown one after the other, every choice of as many being as likely.
type Sampler struct {
	c          *Ctx
	left, want uint64 // things to come, and how many of them are to be taken
}

// Sample chooses want of left things.
func (c *Ctx) Sample(want, left uint64) Sampler { return Sampler{c, left, want} }

// Take reports whether the next one is chosen: with the probability that makes up the number.
func (s *Sampler) Take() bool {
	yes := s.c.Below(s.left) < s.want
	s.left--
	if yes {
		s.want--
	}
	return yes
}

// Done reports that none of those to come will be chosen.
func (s *Sampler) Done() bool { return s.want == 0 }
