package zset

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/value"
)

func zcardCommand() *command.Descriptor {
	return describe("zcard", "1.2.0", 2, command.ReadOnly|command.Fast, command.KeyRO, func(c *command.Ctx) {
		r, ok := find(c)
		switch {
		case !ok:
		case r == 0:
			c.W.Int(0)
		default:
			c.W.Int(int64(value.Len(c.Keys[0].Shard, r)))
		}
	}, "Counts the members of a sorted set", "O(1)")
}

func zscoreCommand() *command.Descriptor {
	return describe("zscore", "1.2.0", 3, command.ReadOnly|command.Fast, read, func(c *command.Ctx) {
		if r, ok := find(c); ok {
			writeScore(c, r, c.Args[2])
		}
	}, "Returns the score of a member of a sorted set", "O(1)", memberArg)
}

func zmscoreCommand() *command.Descriptor {
	return describe("zmscore", "6.2.0", -3, command.ReadOnly|command.Fast, read, func(c *command.Ctx) {
		r, ok := find(c)
		if !ok {
			return
		}
		c.W.Array(len(c.Args) - 2)
		for _, m := range c.Args[2:] {
			writeScore(c, r, m)
		}
	}, "Returns the scores of several members of a sorted set", "O(N) where N is the number of members asked for", membersArg)
}

// writeScore replies the score of a member. r may be 0.
func writeScore(c *command.Ctx, r keyspace.Ref, member []byte) {
	if r != 0 {
		if score, ok := value.Score(c.Keys[0].Shard, r, member); ok {
			c.W.Double(score)
			return
		}
	}
	c.W.Null()
}

func rankCommand(name, summary string, back bool) *command.Descriptor {
	d := describe(name, "2.0.0", -3, command.ReadOnly|command.Fast, read, func(c *command.Ctx) { zrank(c, back) }, summary, perN,
		memberArg, command.Arg{Name: "withscore", Type: "pure-token", Token: "WITHSCORE", Flags: command.Optional})
	d.History = [][2]string{{"7.2.0", "`WITHSCORE`."}}
	return d
}

func zrankCommand() *command.Descriptor {
	return rankCommand("zrank", "Returns how many members of a sorted set stand before a member", false)
}

func zrevrankCommand() *command.Descriptor {
	return rankCommand("zrevrank", "Returns how many members of a sorted set stand behind a member", true)
}

func zrank(c *command.Ctx, back bool) {
	if len(c.Args) > 4 {
		c.W.Error(command.WrongArity(c.Cmd))
		return
	}
	with := len(c.Args) == 4
	if with && !command.Is(c.Args[3], "withscore") {
		c.W.Error(command.ErrSyntax)
		return
	}
	r, ok := find(c)
	if !ok {
		return
	}
	if r != 0 {
		var z reader
		s := c.Keys[0].Shard
		z.open(s, r)
		if rank, score, ok := z.rank(s, r, c.Args[2]); ok {
			if back {
				rank = z.n - 1 - rank
			}
			if with {
				c.W.Array(2)
			}
			c.W.Int(int64(rank))
			if with {
				c.W.Double(score)
			}
			return
		}
	}
	if with {
		c.W.NullArray()
	} else {
		c.W.Null()
	}
}

// countCommand describes a command that counts the members within a range.
func countCommand(name, since, summary string, by by, typ string) *command.Descriptor {
	return describe(name, since, 4, command.ReadOnly|command.Fast, read, func(c *command.Ctx) {
		var p span
		if !p.parse(c, by, c.Args[2], c.Args[3]) {
			return
		}
		r, ok := find(c)
		if !ok {
			return
		}
		lo, hi := 0, 0
		if r != 0 {
			var z reader
			z.open(c.Keys[0].Shard, r)
			lo, hi = p.find(&z)
		}
		c.W.Int(int64(max(hi-lo, 0)))
	}, summary, perN, arg("min", typ), arg("max", typ))
}

func zcountCommand() *command.Descriptor {
	return countCommand("zcount", "2.0.0", "Counts the members of a sorted set within a range of scores", byScore, "double")
}

func zlexcountCommand() *command.Descriptor {
	return countCommand("zlexcount", "2.8.9", "Counts the members within a range of a sorted set whose members all have one score", byLex, "string")
}
