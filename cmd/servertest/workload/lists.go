package workload

import "strconv"

// element is mostly one of few, so that there is something to find.
func (g *Generator) element() string {
	if g.chance(70) {
		return g.number(8)
	}
	return g.value()
}

func (g *Generator) elements(o *Op, most int) {
	for range 1 + g.Rnd.IntN(most) {
		o.add(g.element())
	}
}

func (g *Generator) lists(o *Op) {
	side := func() string { return g.pick("LEFT", "RIGHT", "RIGHT", "LEFT", "left", "up") }
	switch g.Rnd.IntN(22) {
	case 0, 1, 2, 3, 4:
		o.set(g.pick("LPUSH", "RPUSH"), g.key())
		g.elements(o, 12)
	case 5:
		o.set(g.pick("LPUSHX", "RPUSHX"), g.key())
		g.elements(o, 3)
	case 6:
		o.set(g.pick("LPOP", "RPOP"), g.key())
	case 7:
		o.set(g.pick("LPOP", "RPOP"), g.key(), g.pick("0", "1", "2", "3", "10", "-1", "x"))
	case 8:
		o.set("LMPOP", "2", g.key(), g.key(), side())
		if g.chance(50) {
			o.add("COUNT", g.pick("1", "3", "10", "0"))
		}
	case 9:
		o.set("LLEN", g.key())
	case 10:
		o.set("LRANGE", g.key(), g.index(), g.index())
	case 11:
		o.set("LRANGE", g.key(), "0", "-1")
	case 12:
		o.set("LINDEX", g.key(), g.index())
	case 13:
		o.set("LSET", g.key(), strconv.Itoa(g.Rnd.IntN(12)-6), g.element())
	case 14:
		o.set("LINSERT", g.key(), g.pick("BEFORE", "AFTER", "after"), g.element(), g.element())
	case 15:
		o.set("LREM", g.key(), strconv.Itoa(g.Rnd.IntN(7)-3), g.element())
	case 16:
		if g.chance(70) {
			o.set("LTRIM", g.key(), g.number(3), "-"+strconv.Itoa(1+g.Rnd.IntN(3)))
		} else {
			o.set("LTRIM", g.key(), g.index(), g.index())
		}
	case 17:
		o.set("LPOS", g.key(), g.element())
		if g.chance(50) {
			o.add("RANK", strconv.Itoa(g.Rnd.IntN(7)-3))
		}
		if g.chance(50) {
			o.add("COUNT", g.number(4))
		}
		if g.chance(30) {
			o.add("MAXLEN", g.number(20))
		}
	case 18:
		o.set("LMOVE", g.key(), g.key(), side(), side())
	case 19:
		o.set("RPOPLPUSH", g.key(), g.key())
	case 20, 21:
		// They wait in vain if they wait: nobody else is served meanwhile.
		o.Exact = true
		switch g.Rnd.IntN(4) {
		case 0, 1:
			o.set(g.pick("BLPOP", "BRPOP"))
			o.add(g.keys(3)...)
			o.add(g.timeout())
		case 2:
			o.set("BLMOVE", g.key(), g.key(), side(), side(), g.timeout())
			if g.chance(30) {
				o.set("BRPOPLPUSH", g.key(), g.key(), g.timeout())
			}
		case 3:
			o.set("BLMPOP", g.timeout(), "2", g.key(), g.key(), side())
			if g.chance(50) {
				o.add("COUNT", g.pick("1", "3", "10", "0"))
			}
		}
	}
}

// timeout is a short one, in seconds.
func (g *Generator) timeout() string {
	return g.pick("0.001", "0.001", "0.001", "0.002", "1e-3", "-1", "x", "nan")
}
