package zset

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/value"
)

// limitArg describes LIMIT, sortArgs BYSCORE, BYLEX and REV.
func limitArg(since string) command.Arg {
	return command.Arg{Name: "limit", Type: "block", Token: "LIMIT", Flags: command.Optional, Since: since,
		Args: []command.Arg{arg("offset", "integer"), arg("count", "integer")}}
}

func sortArgs(since string) []command.Arg {
	return []command.Arg{either("sortby", since, command.Optional, "byscore", "BYSCORE", "bylex", "BYLEX"), flag("rev", "REV", since), limitArg(since)}
}

func zrangeCommand() *command.Descriptor {
	d := rangeCommand("zrange", "1.2.0", "Returns the members of a sorted set within a range of ranks, scores or members", rangeRequest{open: true},
		append(append([]command.Arg{arg("start", "string"), arg("stop", "string")}, sortArgs("6.2.0")...), withScoresArg)...)
	d.History = [][2]string{{"6.2.0", "`REV`, `BYSCORE`, `BYLEX` and `LIMIT`."}}
	return d
}

func zrevrangeCommand() *command.Descriptor {
	return older(rangeCommand("zrevrange", "1.2.0", "Returns the members of a sorted set within a range of ranks, from the highest score on",
		rangeRequest{rev: true}, arg("start", "integer"), arg("stop", "integer"), withScoresArg), "`ZRANGE` with the `REV` argument")
}

func zrangebyscoreCommand() *command.Descriptor {
	with := withScoresArg
	with.Since = "2.0.0"
	d := older(rangeCommand("zrangebyscore", "1.0.5", "Returns the members of a sorted set within a range of scores",
		rangeRequest{by: byScore}, arg("min", "double"), arg("max", "double"), with, limitArg("")), "`ZRANGE` with the `BYSCORE` argument")
	d.History = [][2]string{{"2.0.0", "`WITHSCORES`."}}
	return d
}

func zrevrangebyscoreCommand() *command.Descriptor {
	d := older(rangeCommand("zrevrangebyscore", "2.2.0", "Returns the members of a sorted set within a range of scores, from the highest on",
		rangeRequest{by: byScore, rev: true}, arg("max", "double"), arg("min", "double"), withScoresArg, limitArg("")), "`ZRANGE` with the `REV` and `BYSCORE` arguments")
	d.History = [][2]string{{"2.1.6", "The ends may be excluded."}}
	return d
}

func zrangebylexCommand() *command.Descriptor {
	return older(rangeCommand("zrangebylex", "2.8.9", "Returns the members within a range of a sorted set whose members all have one score",
		rangeRequest{by: byLex}, arg("min", "string"), arg("max", "string"), limitArg("")), "`ZRANGE` with the `BYLEX` argument")
}

func zrevrangebylexCommand() *command.Descriptor {
	return older(rangeCommand("zrevrangebylex", "2.8.9", "Returns the members within a range of a sorted set whose members all have one score, backwards",
		rangeRequest{by: byLex, rev: true}, arg("max", "string"), arg("min", "string"), limitArg("")), "`ZRANGE` with the `REV` and `BYLEX` arguments")
}

// older marks a command as one that another replaces.
func older(d *command.Descriptor, by string) *command.Descriptor {
	d.DocFlags, d.Deprecated, d.ReplacedBy = []string{"deprecated"}, "6.2.0", by
	return d
}

func rangeCommand(name, since, summary string, q rangeRequest, args ...command.Arg) *command.Descriptor {
	return describe(name, since, -4, command.ReadOnly, read, func(c *command.Ctx) { zrange(c, q) }, summary, perM, args...)
}

// A rangeRequest is what a command of the ZRANGE family asks for.
type rangeRequest struct {
	by     by
	rev    bool
	open   bool // by and rev may be chosen
	scores bool // WITHSCORES
	offset int64
	limit  int64 // negative: none
	span   span
}

// parse reads the ends at argument i and the options behind them. If they are wrong, the error has been replied.
func (q *rangeRequest) parse(c *command.Ctx, i int, store bool) (ok bool) {
	q.limit = -1
	from, to := c.Args[i], c.Args[i+1]
	chosen := !q.open
	rev := chosen
	for i += 2; i < len(c.Args); i++ {
		switch a := c.Args[i]; {
		case !store && command.Is(a, "withscores"):
			q.scores = true
		case command.Is(a, "limit") && i+2 < len(c.Args):
			if q.offset, ok = c.Int(i + 1); ok {
				q.limit, ok = c.Int(i + 2)
			}
			if !ok {
				return false
			}
			i += 2
		case !rev && command.Is(a, "rev"):
			q.rev, rev = true, true
		case !chosen && command.Is(a, "bylex"):
			q.by, chosen = byLex, true
		case !chosen && command.Is(a, "byscore"):
			q.by, chosen = byScore, true
		default:
			c.W.Error(command.ErrSyntax)
			return false
		}
	}
	if q.limit != -1 && q.by == byRank {
		c.W.Error("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
		return false
	}
	if q.scores && q.by == byLex {
		c.W.Error("ERR syntax error, WITHSCORES not supported in combination with BYLEX")
		return false
	}
	if q.rev && q.by != byRank {
		from, to = to, from
	}
	return q.span.parse(c, q.by, from, to)
}

// find goes to the first member that the request asks for, and returns how many it wants; step(q.rev) goes to the others.
func (q *rangeRequest) find(z *reader) int {
	lo, hi := 0, 0
	if q.rev && q.by == byRank { // the ranks count from the other end
		if lo, hi = q.span.find(z); lo < hi {
			lo, hi = z.n-hi, z.n-lo
		}
	} else {
		lo, hi = q.span.find(z)
	}
	n := hi - lo
	if q.by != byRank {
		if q.offset < 0 || q.offset >= int64(n) {
			return 0
		}
		n -= int(q.offset)
		if q.limit >= 0 {
			n = int(min(int64(n), q.limit))
		}
		lo, hi = lo+int(q.offset), hi-int(q.offset)
	}
	switch {
	case n <= 0:
		return 0
	case q.rev:
		z.goTo(hi - 1)
	default:
		z.goTo(lo)
	}
	return n
}

func zrange(c *command.Ctx, q rangeRequest) {
	if !q.parse(c, 2, false) {
		return
	}
	r, ok := find(c)
	if !ok {
		return
	}
	if r == 0 {
		c.W.Array(0)
		return
	}
	var z reader
	z.open(c.Keys[0].Shard, r)
	n := q.find(&z)
	if q.scores && !c.W.RESP3 {
		c.W.Array(2 * n)
	} else {
		c.W.Array(n)
	}
	for i := range n {
		if i > 0 {
			z.step(q.rev)
		}
		z.write(c, q.scores)
	}
}

func zrangestoreCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "zrangestore", Arity: -5, Flags: command.Write | command.DenyOOM, Categories: command.CatSortedSet,
		Keys: []command.KeySpec{{Flags: command.KeyOW | command.KeyUpdate, Begin: 1, Step: 1}, {Flags: read, Begin: 2, Step: 1}},
		Log:  command.LogRequest, Handler: zrangestore,
		Group: "sorted-set", Since: "6.2.0", Summary: "Stores the members of a sorted set within a range as another sorted set",
		Complexity: perM,
		Args: append([]command.Arg{{Name: "dst", Type: "key"}, {Name: "src", Type: "key", KeySpec: 1}, arg("min", "string"), arg("max", "string")},
			sortArgs("")...),
	}
}

func zrangestore(c *command.Ctx) {
	q := rangeRequest{open: true}
	if !q.parse(c, 3, true) {
		return
	}
	c.Peek(&c.Keys[0]) // if it has expired it goes now: not while a result is built
	src := &c.Keys[1]
	r, ok := c.FindTyped(src, keyspace.ZSet)
	if !ok {
		return
	}
	b := value.NewBuilder(c.Keys[0].Shard, c.DB, keyspace.ZSet, &c.Store.Limits)
	if r != 0 {
		var z reader
		z.open(src.Shard, r)
		n := q.find(&z)
		for i := range n {
			if i > 0 {
				z.step(q.rev)
			}
			b.AddScored(z.member(), z.score())
		}
	}
	store(c, b)
}

// store puts what was built under the request's first key, whatever stood there, and replies how much it is. When it is nothing, the key goes.
func store(c *command.Ctx, b *value.Builder) {
	k := &c.Keys[0]
	old := c.Peek(k)
	n := b.Len()
	switch {
	case n > 0:
		b.Put(k.Hash, old, k.Name, keyspace.NoExpire, c.AccessClock())
		c.Changed(k)
	case old != 0:
		k.Shard.Delete(c.DB, k.Hash, old)
		c.Changed(k)
	}
	c.W.Int(int64(n))
}
