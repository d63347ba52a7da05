package workload

import "strconv"

// hll is one of a few keys that mostly hold HyperLogLogs.
func (g *Generator) hll() string {
	if g.chance(10) {
		return g.key()
	}
	return "k" + g.number(6) + "hll"
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
		o.set("PFCOUNT", g.hll())
	case 7:
		o.set("PFCOUNT", g.hll(), g.hll())
	case 8:
		o.set("PFMERGE", g.hll())
		for range g.Rnd.IntN(3) {
			o.add(g.hll())
		}
	case 9:
		o.set("PFDEBUG", g.pick("ENCODING", "ENCODING", "TODENSE", "GETREG", "what"), g.hll())
	case 10:
		ways := 4
		if g.Replicated {
			ways = 2
		}
		switch g.Rnd.IntN(ways) {
		case 0:
			o.set("GET", g.hll())
		case 1:
			o.set("COPY", g.hll(), g.hll(), "REPLACE")
		case 2:
			o.set("SET", g.hll(), "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80"+g.pick("\x7f\xff", "\x3f", "", "\xff\xff\x00\x7f\xf6"))
		case 3:
			o.set("APPEND", g.hll(), g.pick("\x00", "\x80", "x"))
		}
	case 11:
		o.set(g.pick("DEL", "OBJECT"))
		if o.Args[0] == "OBJECT" {
			o.add("ENCODING")
		}
		o.add(g.hll())
	}
}
