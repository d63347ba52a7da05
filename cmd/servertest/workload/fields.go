package workload

import "strconv"

// newer are families of commands that are new in 7.4 or later.
var newer = []family{
	{2, (*Generator).expiringFields},
}

// expiringFields makes commands on fields of hashes that expire, among the keys of hashes.
func (g *Generator) expiringFields(o *Op) {
	key := "h" + g.number(8)
	if g.chance(10) {
		key = g.key()
	}
	fields := func() {
		n := 1 + g.Rnd.IntN(4)
		o.add("FIELDS", strconv.Itoa(n))
		for range n {
			o.add(g.field())
		}
	}
	pairs := func() {
		n := 1 + g.Rnd.IntN(4)
		o.add("FIELDS", strconv.Itoa(n))
		for range n {
			o.add(g.field(), g.value())
		}
	}
	kinds := 10
	if g.Version < "8.0" {
		kinds = 5
	}
	switch g.Rnd.IntN(kinds) {
	case 0, 1, 2:
		word, at := g.fieldExpiry(o)
		o.set(map[byte]string{'E': "HEXPIRE", 'P': "HPEXPIRE"}[word[0]&^0x20], key, at)
		if len(word) > 2 {
			o.Args[0] += "AT"
		}
		if g.chance(40) {
			o.add(g.pick("NX", "XX", "GT", "LT", "nx"))
		}
		fields()
	case 3:
		o.set(g.pick("HTTL", "HPTTL", "HEXPIRETIME", "HPEXPIRETIME"), key)
		fields()
		o.Slack = 2000
	case 4:
		o.set("HPERSIST", key)
		fields()
	case 5, 6:
		o.set("HGETEX", key)
		switch g.Rnd.IntN(3) {
		case 0:
			o.add("PERSIST")
		case 1:
			word, at := g.fieldExpiry(o)
			o.add(word, at)
		}
		fields()
	case 7, 8:
		o.set("HSETEX", key)
		if g.chance(30) {
			o.add(g.pick("FNX", "FXX"))
		}
		switch g.Rnd.IntN(3) {
		case 0:
			o.add("KEEPTTL")
		case 1:
			word, at := g.fieldExpiry(o)
			o.add(word, at)
		}
		pairs()
	case 9:
		o.set("HGETDEL", key)
		fields()
	}
}

// fieldExpiry is expiry, but for short ones where fields are to last.
func (g *Generator) fieldExpiry(o *Op) (word, at string) {
	word, at = g.expiry(o)
	if g.Lasting && o.Settle {
		o.Settle = false
		return "PXAT", "1"
	}
	return word, at
}
