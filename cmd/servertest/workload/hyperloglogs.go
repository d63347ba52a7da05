package workload

import "strconv"

// hll is one of a few keys that mostly hold HyperLogLogs.
func (g *Generator) hll() string {
	if g.chance(10) {
		return g.key()
	}
	return "k" + g.number(6) + "hll"
}

// damagedHLL is a key of damaged HyperLogLogs, which are only read: a PFADD of redis-server that meets the damage says so after it has changed what comes
// before, and tells no replica of it.
const damagedHLL = "damagedhll"

// hllSource is what PFCOUNT and PFMERGE read.
func (g *Generator) hllSource() string {
	if g.chance(5) {
		return damagedHLL
	}
	return g.hll()
}

func (g *Generator) hyperloglogs(o *Op) {
	switch g.Rnd.IntN(12) {
	case 0, 1, 2, 3, 4:
		o.set("PFADD", g.hll())
		for range g.Rnd.IntN([]int{3, 10, 150}[g.Rnd.IntN(3)]) {
			if g.chance(90) {
				o.add(strconv.Itoa(g.Rnd.IntN(5000)))
			} else {
				o.add(g.value())
			}
		}
	case 5, 6:
		o.set("PFCOUNT", g.hllSource())
	case 7:
		o.set("PFCOUNT", g.hllSource(), g.hllSource())
	case 8:
		o.set("PFMERGE", g.hll())
		for range g.Rnd.IntN(3) {
			o.add(g.hllSource())
		}
	case 9:
		o.set("PFDEBUG", g.pick("ENCODING", "ENCODING", "TODENSE", "GETREG", "what"), g.hll())
	case 10:
		switch g.Rnd.IntN(4) {
		case 0:
			o.set("GET", g.hll())
		case 1:
			o.set("COPY", g.hll(), g.hll(), "REPLACE")
		case 2:
			o.set("SET", damagedHLL, "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80"+g.pick("\x7f\xff", "\x3f", "", "\xff\xff\x00\x7f\xf6"))
		case 3:
			o.set("APPEND", damagedHLL, g.pick("\x00", "\x80", "x"))
		}
	case 11:
		o.set(g.pick("DEL", "OBJECT"))
		if o.Args[0] == "OBJECT" {
			o.add("ENCODING")
		}
		o.add(g.hll())
	}
}
