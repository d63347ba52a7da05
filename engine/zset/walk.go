package zset

import (
	"math"
	"strconv"

	"tidemark/engine/command"
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
	o, r, ok := c.ScanKey(keyspace.ZSet, command.ScanPlain)
	if !ok {
		return
	}
	var num [40]byte
	if s := c.Keys[0].Shard; s.Encoding(r) == keyspace.ListPack {
		var z reader
		z.open(s, r)
		z.goTo(0)
		room := c.Scratch(64) // what the pattern is held against must not lie on the stack
		for i := range z.n {
			if i > 0 {
				z.step(false)
			}
			if m := append(room[:0], z.member()...); o.Wants(m) {
				o.Show(m)
				o.Show(resp.AppendDouble(num[:0], z.score()))
			}
		}
		o.Whole()
		return
	}
	m := c.Keys[0].Shard.Open(r)
	o.Part(&coll.Dict{Mem: &m}, func(r coll.Ref) {
		if key := coll.KeyOf(m.Space, r); o.Wants(key) {
			o.Show(key)
			o.Show(appendLong(num[:0], coll.ScoreOf(m.Space, r)))
		}
	})
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
	z.goTo(int(c.Below(uint64(z.n))))
	c.W.Bulk(z.member())
}

func randomMembers(c *command.Ctx) {
	r, count, scores, ok := c.DrawArgs(keyspace.ZSet, "withscores")
	if !ok {
		return
	}
	var z reader
	z.open(c.Keys[0].Shard, r)
	n := int(c.Draws(count, uint64(z.n), scores))
	switch {
	case count < 0:
		for range n {
			z.goTo(int(c.Below(uint64(z.n))))
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
		rank := c.Below(uint64(z.n))
		if _, twice := seen[rank]; !twice {
			seen[rank] = struct{}{}
			z.goTo(int(rank))
			z.write(c, scores)
		}
	}
}

// sample writes n different members in one walk over the sorted set.
func (z *reader) sample(c *command.Ctx, n int, scores bool) {
	z.goTo(0)
	for s := c.Sample(uint64(n), uint64(z.n)); ; z.step(false) {
		if s.Take() {
			z.write(c, scores)
		}
		if s.Done() {
			break
		}
	}
}
