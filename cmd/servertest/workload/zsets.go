package workload

import "strconv"

// member is mostly one of few.
func (g *Generator) member() string {
	if g.chance(85) {
		return g.pick("m", "n") + g.number(10)
	}
	return g.value()
}

// score is one that every version prints the same: short in base two. It is not -0: a packed list does not keep the sign, in Redis as in tidemark, while a
// skiplist does, and redis-server makes one of a small sorted set for SORT. (The scripts have it.)
func (g *Generator) score() string {
	if g.chance(8) {
		return g.pick("inf", "-inf", "nan", "abc", "", "1e12", "1e400", "0", "0x10", "4503599627370497")
	}
	return strconv.FormatFloat(float64(g.Rnd.IntN(80)-40)/4, 'f', -1, 64)
}

// lexKey is one of a few keys that hold members of one score, as ranges by member want them.
func (g *Generator) lexKey() string { return "k" + g.number(2) + "lex" }

// ends makes a range by rank (0), score (1) or member (2).
func (g *Generator) ends(by int) (from, to string) {
	end := func() string {
		switch by {
		case 0:
			return strconv.Itoa(g.Rnd.IntN(16) - 6)
		case 1:
			return g.pick("", "(") + g.score()
		}
		return g.pick("-", "+", "["+g.member(), "("+g.member(), "["+g.member(), "x")
	}
	return end(), end()
}

func (g *Generator) limit(o *Op) {
	if g.chance(30) {
		o.add("LIMIT", strconv.Itoa(g.Rnd.IntN(6)-1), strconv.Itoa(g.Rnd.IntN(6)-1))
	}
}

func (g *Generator) zsets(o *Op) {
	by := g.Rnd.IntN(3)
	from, to := g.ends(by)
	key := g.key
	if by == 2 {
		key = g.lexKey
	}
	switch g.Rnd.IntN(23) {
	case 0, 1, 2:
		o.set("ZADD", g.key())
		for range g.Rnd.IntN(3) * g.Rnd.IntN(2) {
			o.add(g.pick("NX", "XX", "GT", "LT", "CH", "INCR", "ch"))
		}
		for range 1 + g.Rnd.IntN(8) {
			o.add(g.score(), g.member())
		}
	case 3:
		o.set("ZADD", g.lexKey())
		for range 1 + g.Rnd.IntN(8) {
			o.add("0", g.member())
		}
	case 4:
		o.set("ZINCRBY", g.key(), g.score(), g.member())
	case 5:
		o.set("ZREM", key(), g.member(), g.member())
	case 6:
		o.set(g.pick("ZSCORE", "ZRANK", "ZREVRANK"), key(), g.member())
	case 7:
		o.set("ZMSCORE", g.key(), g.member(), g.member())
	case 8:
		o.set("ZCARD", key())
	case 9, 10, 11:
		o.set("ZRANGE", key(), from, to)
		if g.chance(20) {
			o.set("ZRANGESTORE", key(), key(), from, to)
		}
		if by > 0 {
			o.add(g.pick("BYSCORE", "BYSCORE", "byscore"))
			if by == 2 {
				o.Args[len(o.Args)-1] = "BYLEX"
			}
			g.limit(o)
		}
		if g.chance(50) {
			o.add(g.pick("REV", "WITHSCORES", "rev"))
		}
	case 12:
		from, to = g.ends(1)
		o.set(g.pick("ZRANGEBYSCORE", "ZREVRANGEBYSCORE"), g.key(), from, to)
		g.limit(o)
		if g.chance(50) {
			o.add("WITHSCORES")
		}
	case 13:
		from, to = g.ends(2)
		o.set(g.pick("ZRANGEBYLEX", "ZREVRANGEBYLEX"), g.lexKey(), from, to)
		g.limit(o)
	case 14:
		from, to = g.ends(0)
		o.set("ZREVRANGE", g.key(), from, to)
		if g.chance(50) {
			o.add("WITHSCORES")
		}
	case 15:
		if g.chance(50) {
			from, to = g.ends(1)
			o.set("ZCOUNT", g.key(), from, to)
		} else {
			from, to = g.ends(2)
			o.set("ZLEXCOUNT", g.lexKey(), from, to)
		}
	case 16:
		o.set([]string{"ZREMRANGEBYRANK", "ZREMRANGEBYSCORE", "ZREMRANGEBYLEX"}[by], key(), from, to)
	case 17:
		o.set(g.pick("ZPOPMIN", "ZPOPMAX"), key())
		if g.chance(50) {
			o.add(g.pick("0", "1", "2", "3", "-1", "x"))
		}
	case 18:
		o.set("ZMPOP", "2", g.key(), g.key(), g.pick("MIN", "MAX", "max", "up"))
		if g.chance(50) {
			o.add("COUNT", g.pick("1", "3", "10", "0"))
		}
	case 19:
		o.set("ZSCAN", g.key(), "0", "COUNT", "1000")
		o.Unordered = true
		if g.chance(50) {
			o.set("ZRANDMEMBER", g.key(), "10000")
		}
	case 20:
		o.Exact = true
		if g.chance(60) {
			o.set(g.pick("BZPOPMIN", "BZPOPMAX"), g.key(), g.key(), g.timeout())
			break
		}
		o.set("BZMPOP", g.timeout(), "2", g.key(), g.key(), g.pick("MIN", "MAX", "max", "up"))
		if g.chance(50) {
			o.add("COUNT", g.pick("1", "3", "10", "0"))
		}
	case 21, 22:
		n := 1 + g.Rnd.IntN(3)
		if g.chance(50) {
			o.set(g.pick("ZUNION", "ZINTER", "ZDIFF", "ZINTERCARD"), strconv.Itoa(n))
		} else {
			o.set(g.pick("ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE"), g.key(), strconv.Itoa(n))
		}
		for range n {
			o.add(g.key())
		}
		if g.chance(40) {
			o.add("WEIGHTS")
			for range n {
				o.add(g.pick("1", "2", "-1", "0.5", "0", "inf", "x"))
			}
		}
		if g.chance(40) {
			o.add("AGGREGATE", g.pick("SUM", "MIN", "MAX", "min"))
		}
		if g.chance(20) {
			o.add(g.pick("WITHSCORES", "LIMIT"))
		}
	}
}
