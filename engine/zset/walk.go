package zset

import (
	"math"
	"math/bits"
	"strconv"

	"tidemark/engine/command"
	"tidemark/engine/glob"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/netio/resp"
)

func zscanCommand() *command.Descriptor {
	d := describe("zscan", "2.8.0", -3, command.ReadOnly, read, zscan, "Walks over the members of a sorted set a few at a time",
		"O(1) a call, O(N) for the whole walk, where N is the number of members", arg("cursor", "integer"),
		command.Arg{Name: "pattern", Type: "pattern", Token: "MATCH", Flags: command.Optional},
		command.Arg{Name: "count", Type: "integer", Token: "COUNT", Flags: command.Optional})
	d.Tips = []string{"nondeterministic_output"}
	return d
}

// zscan gives a small sorted set whole. The cursor of a large one is Dict.Scan's.
func zscan(c *command.Ctx) {
	cursor, ok := c.Cursor(2)
	if !ok {
		return
	}
	r, ok := find(c)
	if !ok {
		return
	}
	at := len(c.W.B)
	if r == 0 {
		c.ScanReply(at, 0, 0)
		return
	}
	o, ok := c.ScanOptions(3, command.ScanPlain)
	if !ok {
		return
	}
	s, n := c.Keys[0].Shard, int64(0)
	var num [40]byte
	if s.Encoding(r) == keyspace.ListPack {
		var z reader
		z.open(s, r)
		z.goTo(0)
		room := c.Scratch(64) // what the pattern is held against must not lie on the stack
		for i := range z.n {
			if i > 0 {
				z.step(false)
			}
			if m := append(room[:0], z.member()...); o.Any || glob.Match(o.Pattern, m) {
				c.W.Bulk(m)
				c.W.Bulk(resp.AppendDouble(num[:0], z.score()))
				n += 2
			}
		}
		c.ScanReply(at, 0, n)
		return
	}
	m := s.Open(r)
	d := coll.Dict{Mem: &m}
	for seen := int64(0); seen < o.Count; {
		cursor = d.Scan(cursor, func(r coll.Ref) {
			seen++
			if key := coll.KeyOf(m.Space, r); o.Any || glob.Match(o.Pattern, key) {
				c.W.Bulk(key)
				c.W.Bulk(appendLong(num[:0], coll.ScoreOf(m.Space, r)))
				n += 2
			}
		})
		if cursor == 0 {
			break
		}
	}
	c.ScanReply(at, cursor, n)
}

// appendLong appends a score as ZSCAN gives those of large sorted sets: with 17 digits.
func appendLong(b []byte, f float64) []byte {
	if math.IsInf(f, 0) {
		return resp.AppendDouble(b, f)
	}
	return strconv.AppendFloat(b, f, 'g', 17, 64)
}

func zrandmemberCommand() *command.Descriptor {
	d := describe("zrandmember", "6.2.0", -2, command.ReadOnly, read, zrandmember, "Returns random members of a sorted set",
		"O(N) where N is the number of members returned", command.Arg{Name: "options", Type: "block", Flags: command.Optional, Args: []command.Arg{
			arg("count", "integer"), withScoresArg}})
	d.Tips = []string{"nondeterministic_output"}
	return d
}

// maxDraws bounds how many members one request may draw, with repetition: the reply is made in memory, under the shard's lock.
const maxDraws = 1 << 26

func zrandmember(c *command.Ctx) {
	if len(c.Args) > 2 {
		randomMembers(c)
		return
	}
	r, ok := find(c)
	if !ok {
		return
	}
	if r == 0 {
		c.W.Null()
		return
	}
	var z reader
	z.open(c.Keys[0].Shard, r)
	z.goTo(int(below(c, uint64(z.n))))
	c.W.Bulk(z.member())
}

// below gives a random number below n.
func below(c *command.Ctx, n uint64) uint64 {
	hi, _ := bits.Mul64(c.Rand(), n)
	return hi
}

func randomMembers(c *command.Ctx) {
	count, ok := c.DrawCount(2)
	if !ok {
		return
	}
	scores := len(c.Args) == 4
	if len(c.Args) > 4 || scores && !command.Is(c.Args[3], "withscores") {
		c.W.Error(command.ErrSyntax)
		return
	}
	if scores && (count < -math.MaxInt64/2 || count > math.MaxInt64/2) {
		c.W.Error("ERR value is out of range")
		return
	}
	r, ok := find(c)
	if !ok {
		return
	}
	if r == 0 || count == 0 {
		c.W.Array(0)
		return
	}
	if count < -maxDraws {
		c.W.Error("ERR value is out of range")
		return
	}
	var z reader
	z.open(c.Keys[0].Shard, r)
	n := int(min(count, int64(z.n)))
	if count < 0 {
		n = int(-count)
	}
	if scores && !c.W.RESP3 {
		c.W.Array(2 * n)
	} else {
		c.W.Array(n)
	}
	switch {
	case count < 0:
		for range n {
			z.goTo(int(below(c, uint64(z.n))))
			z.write(c, scores)
		}
	case z.large && n < z.n/4:
		z.distinct(c, n, scores)
	default:
		z.sample(c, n, scores)
	}
}

// write replies the present member, with its score if wanted.
func (z *reader) write(c *command.Ctx, scores bool) {
	if scores && c.W.RESP3 {
		c.W.Array(2)
	}
	c.W.Bulk(z.member())
	if scores {
		c.W.Double(z.score())
	}
}

// distinct writes n different members, a small part of the sorted set, by drawing again what was drawn before.
func (z *reader) distinct(c *command.Ctx, n int, scores bool) {
	seen := make(map[uint64]struct{}, n)
	for len(seen) < n {
		rank := below(c, uint64(z.n))
		if _, twice := seen[rank]; !twice {
			seen[rank] = struct{}{}
			z.goTo(int(rank))
			z.write(c, scores)
		}
	}
}

// sample writes n different members in one walk over the sorted set. Of the members that are left, each is taken with the probability that
// makes up the number, so that every choice of n is as likely.
func (z *reader) sample(c *command.Ctx, n int, scores bool) {
	z.goTo(0)
	for left := z.n; n > 0; left-- {
		if below(c, uint64(left)) < uint64(n) {
			n--
			z.write(c, scores)
		}
		if n > 0 {
			z.step(false)
		}
	}
}
