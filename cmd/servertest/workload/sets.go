package workload

// sets makes commands on sets. Chance is kept out of the replies: SPOP and SRANDMEMBER ask for all there is, or for a set of one member.
func (g *Generator) sets(o *Op) {
	key := func() string {
		if g.chance(10) {
			return g.key()
		}
		return "s" + g.number(8)
	}
	member := func() string {
		switch {
		case g.chance(50):
			return g.number(30)
		case g.chance(10): // longer as text than in a packed list
			return g.pick("9223372036854775807", "-9223372036854775808", "-9223372036854775807", "4611686018427387904")
		}
		return g.member()
	}
	members := func(most int) {
		for range 1 + g.Rnd.IntN(most) {
			o.add(member())
		}
	}
	keys := func() {
		for range 1 + g.Rnd.IntN(4) {
			o.add(key())
		}
	}
	switch g.Rnd.IntN(18) {
	case 0, 1, 2, 3:
		o.set("SADD", key())
		members(12)
	case 4, 5:
		o.set("SREM", key())
		members(6)
	case 6:
		o.set("SISMEMBER", key(), member())
	case 7:
		o.set("SMISMEMBER", key())
		members(4)
	case 8:
		o.set("SCARD", key())
	case 9:
		o.set("SMEMBERS", key())
		o.Unordered = true
	case 10:
		o.set("SMOVE", key(), key(), member())
	case 11, 12:
		o.set(g.pick("SINTER", "SUNION", "SDIFF"))
		keys()
		o.Unordered = true
	case 13, 14:
		o.set(g.pick("SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"), key())
		keys()
	case 15:
		o.set("SINTERCARD", "2", key(), key())
		if g.chance(50) {
			o.add(g.pick("LIMIT", "limit"), g.pick("0", "1", "2", "10", "-1", "x"))
		}
	case 16:
		switch g.Rnd.IntN(3) {
		case 0:
			o.set("SSCAN", key(), "0", "COUNT", "1000", "MATCH", g.pick("*", "m*", "[0-9]*"))
		case 1:
			o.set("SRANDMEMBER", key(), "100000")
		case 2:
			o.set("SPOP", key(), g.pick("100000", "100000", "0", "-1", "x"))
		}
		o.Unordered = true
	case 17:
		// The families of generic commands and of expiry know only the other keys.
		switch g.Rnd.IntN(4) {
		case 0:
			o.set("COPY", key(), key(), "REPLACE")
		case 1:
			o.set("RENAME", key(), key())
		case 2:
			o.set(g.pick("EXPIRE", "EXPIRE", "PERSIST"), key())
			if o.Args[0] == "EXPIRE" {
				o.add(g.pick("1000", "5000", "-1", "0"))
			}
		case 3:
			o.set(g.pick("DEL", "TYPE", "UNLINK"), key())
		}
	}
}
