package zset

import (
	"math"

	"tidemark/engine/command"
	"tidemark/engine/keyspace/packed"
)

func zaddCommand() *command.Descriptor {
	d := describe("zadd", "1.2.0", -4, command.Write|command.DenyOOM|command.Fast, command.KeyRW|command.KeyUpdate,
		func(c *command.Ctx) { zadd(c, addOptions{}) },
		"Adds members to a sorted set, or changes their scores", "O(log(N)) for each member, where N is the number of members",
		either("condition", "3.0.2", command.Optional, "nx", "NX", "xx", "XX"),
		either("comparison", "6.2.0", command.Optional, "gt", "GT", "lt", "LT"),
		flag("change", "CH", "3.0.2"), flag("increment", "INCR", "3.0.2"),
		command.Arg{Name: "data", Type: "block", Flags: command.Multiple, Args: []command.Arg{arg("score", "double"), memberArg}})
	d.History = [][2]string{{"2.4.0", "Several members at once."}, {"3.0.2", "`XX`, `NX`, `CH` and `INCR`."}, {"6.2.0", "`GT` and `LT`."}}
	return d
}

// addOptions are the options of ZADD.
type addOptions struct{ nx, xx, gt, lt, ch, incr bool }

// zadd is ZADD, and with incr set ZINCRBY, whose score may be an option's word as well: there is no pair then.
func zadd(c *command.Ctx, o addOptions) {
	i := 2
words:
	for ; i < len(c.Args); i++ {
		switch a := c.Args[i]; {
		case command.Is(a, "nx"):
			o.nx = true
		case command.Is(a, "xx"):
			o.xx = true
		case command.Is(a, "gt"):
			o.gt = true
		case command.Is(a, "lt"):
			o.lt = true
		case command.Is(a, "ch"):
			o.ch = true
		case command.Is(a, "incr"):
			o.incr = true
		default:
			break words
		}
	}
	pairs := c.Args[i:]
	switch {
	case len(pairs) == 0 || len(pairs)%2 != 0:
		c.W.Error(command.ErrSyntax)
	case o.nx && o.xx:
		c.W.Error("ERR XX and NX options at the same time are not compatible")
	case o.gt && o.nx || o.lt && o.nx || o.gt && o.lt:
		c.W.Error("ERR GT, LT, and/or NX options at the same time are not compatible")
	case o.incr && len(pairs) > 2:
		c.W.Error("ERR INCR option supports a single increment-element pair")
	default:
		add(c, pairs, o)
	}
}

func zincrbyCommand() *command.Descriptor {
	return describe("zincrby", "1.2.0", 4, command.Write|command.DenyOOM|command.Fast, command.KeyRW|command.KeyAccess|command.KeyUpdate,
		func(c *command.Ctx) { zadd(c, addOptions{incr: true}) },
		"Adds a number to the score of a member of a sorted set", perN, arg("increment", "integer"), memberArg)
}

// add is ZADD of pairs of score and member.
func add(c *command.Ctx, pairs [][]byte, o addOptions) {
	bytes, score := 0, 0.0
	for i := 0; i < len(pairs); i += 2 {
		var ok bool
		if score, ok = parseScore(c, pairs[i]); !ok {
			return
		}
		bytes += scoreRoom + packed.EntryBytes(pairs[i+1])
	}
	r, ok := findForWrite(c)
	if !ok {
		return
	}
	k := &c.Keys[0]
	added, updated, processed := 0, 0, false
	if r != 0 || !o.xx {
		e := editor{c: c, k: k, s: k.Shard, r: r}
		e.open(len(pairs)/2, bytes, len(pairs[1]))
		for i := 0; i < len(pairs); i += 2 {
			if len(pairs) > 2 {
				score, _, _ = parseDouble(pairs[i])
			}
			m := pairs[i+1]
			e.look(m)
			if !e.there && o.xx || e.there && o.nx {
				continue
			}
			if e.there {
				if o.incr {
					score += e.score
				}
				if math.IsNaN(score) {
					e.close()
					c.W.Error("ERR resulting score is not a number (NaN)")
					return
				}
				if o.lt && score >= e.score || o.gt && score <= e.score {
					continue
				}
			}
			processed = true
			switch {
			case !e.there:
				added++
				e.set(m, score)
			case score != e.score:
				updated++
				e.set(m, score)
			}
		}
		e.close()
	}
	if n := added + updated; n > 0 {
		c.ChangedBy(k, n)
	}
	switch {
	case o.incr && processed:
		c.W.Double(score)
	case o.incr:
		c.W.Null()
	case o.ch:
		c.W.Int(int64(added + updated))
	default:
		c.W.Int(int64(added))
	}
}
