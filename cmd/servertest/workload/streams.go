package workload

import (
	"fmt"
	"strconv"
)

// streamKey is one of a few keys that mostly hold streams.
func (g *Generator) streamKey() string {
	if g.chance(8) {
		return g.key()
	}
	return "k" + g.number(4) + "stream"
}

// streamID is mostly one of those added lately.
func (g *Generator) streamID() string {
	if g.chance(4) {
		return g.pick("-", "+", "$", ">", "", "x", "5-", "0", "0-0", "18446744073709551615", "1-1-1")
	}
	id := strconv.Itoa(max(0, g.streamTop-g.Rnd.IntN(40)))
	if g.chance(60) {
		id += "-" + g.number(3)
	}
	return id
}

// readID is streamID for XREAD, to which + means something since 7.4.
func (g *Generator) readID() string {
	if id := g.streamID(); id != "+" {
		return id
	}
	return "$"
}

func (g *Generator) streamBound() string {
	if g.chance(35) {
		return g.pick("-", "+")
	}
	return g.pick("", "", "(") + g.streamID()
}

// trim adds the words that trim a stream.
func (g *Generator) trim(o *Op) {
	by := g.pick("MAXLEN", "MINID")
	o.add(by)
	approx := g.chance(40)
	if approx {
		o.add("~")
	} else if g.chance(30) {
		o.add("=")
	}
	if by == "MINID" {
		o.add(strconv.Itoa(max(0, g.streamTop-20-g.Rnd.IntN(40))))
	} else {
		o.add(g.number(40))
	}
	if approx && g.chance(30) {
		o.add("LIMIT", g.pick("0", "1", "50", "1000", "-1"))
	}
}

// group and consumer names are few. Consumers that read are none of those that XGROUP CREATECONSUMER makes: 7.0 does not make a consumer that
// finds nothing to read.
func (g *Generator) group() string    { return g.pick("g", "g", "h") }
func (g *Generator) consumer() string { return g.pick("alice", "bob", "carol") }

func (g *Generator) streams(o *Op) {
	if g.streamTop == 0 {
		g.streamTop = 100
	}
	k := g.streamKey()
	switch g.Rnd.IntN(26) {
	case 0, 1, 2, 3, 4, 5, 6:
		g.streamTop += g.Rnd.IntN(3)
		if o.set("XADD", k); g.chance(15) {
			o.add("NOMKSTREAM")
		}
		if g.chance(15) {
			g.trim(o)
		}
		switch id := strconv.Itoa(g.streamTop); {
		case g.chance(10):
			o.add(g.streamID())
		case g.chance(30):
			o.add(id + "-*")
		default:
			o.add(id + "-" + g.number(3))
		}
		for range 1 + g.Rnd.IntN(3) {
			o.add(g.pick("a", "b", "field"), g.value())
		}
	case 7, 8:
		o.set("XDEL", k)
		for range 1 + g.Rnd.IntN(4) {
			o.add(g.streamID())
		}
	case 9:
		o.set("XTRIM", k)
		g.trim(o)
	case 10:
		o.set("XLEN", k)
	case 11, 12:
		o.set(g.pick("XRANGE", "XREVRANGE"), k, g.streamBound(), g.streamBound())
		if g.chance(40) {
			o.add("COUNT", g.pick("1", "3", "100", "0", "-1"))
		}
	case 13:
		// Above all IDs there were: only since 7.2 one below an entry that was deleted is refused. (The scripts have that.)
		if o.set("XSETID", k, strconv.Itoa(g.streamTop+1+g.Rnd.IntN(3))); g.chance(50) {
			o.add("ENTRIESADDED", g.pick("1", "1000", "-1"))
		}
	case 14:
		o.set("XREAD")
		if g.chance(40) {
			o.add("COUNT", g.pick("1", "2", "0"))
		}
		if g.chance(5) {
			o.add("BLOCK", "1")
		}
		o.add("STREAMS", k, g.streamKey(), g.readID(), g.readID())
	case 15:
		o.set("XGROUP", g.pick("CREATE", "CREATE", "SETID"), k, g.group(), g.pick("$", "0", g.streamID()))
		if g.chance(60) && o.Args[1] == "CREATE" {
			o.add("MKSTREAM")
		}
		if g.chance(20) {
			o.add("ENTRIESREAD", g.pick("-1", "0", "7", "-2"))
		}
	case 16:
		switch g.Rnd.IntN(6) {
		case 0:
			o.set("XGROUP", "DESTROY", k, g.group())
		case 1:
			o.set("XGROUP", "DELCONSUMER", k, g.group(), g.consumer())
		default:
			o.set("XGROUP", g.pick("CREATECONSUMER", "DELCONSUMER"), k, g.group(), g.pick("yves", "zoe"))
		}
	case 17, 18, 19, 20:
		o.set("XREADGROUP", "GROUP", g.group(), g.consumer())
		if g.chance(60) {
			o.add("COUNT", g.pick("1", "2", "5", "0"))
		}
		if g.chance(10) {
			o.add("NOACK")
		}
		id := g.pick(">", ">", ">", "0")
		if g.chance(5) {
			id = g.readID()
		}
		o.add("STREAMS", k, id)
	case 21:
		o.set("XACK", k, g.group(), g.streamID(), g.streamID(), g.streamID())
	case 22:
		o.set("XPENDING", k, g.group())
		if g.chance(60) {
			if g.chance(30) {
				o.add("IDLE", g.pick("0", "100000000"))
			}
			if o.add(g.streamBound(), g.streamBound(), g.pick("10", "1", "0")); g.chance(40) {
				o.add(g.consumer())
			}
			o.Slack = 300_000
		}
	case 23, 24:
		o.set("XCLAIM", k, g.group(), g.consumer(), g.pick("0", "0", "100000000"))
		for range 1 + g.Rnd.IntN(3) {
			o.add(g.streamID())
		}
		if g.chance(40) {
			o.add(g.pick("FORCE", "JUSTID", "force"))
		}
		if g.chance(20) {
			o.add("RETRYCOUNT", g.number(9))
		}
		if g.chance(10) {
			o.add("LASTID", g.streamID())
		}
		if g.chance(10) {
			o.add("TIME", fmt.Sprint(g.NowMs-500_000_000))
		}
	case 25:
		if o.set("XAUTOCLAIM", k, g.group(), g.consumer(), g.pick("0", "100000000"), g.streamBound()); g.chance(50) {
			o.add("COUNT", g.pick("1", "3", "100", "0"))
		}
		if g.chance(30) {
			o.add("JUSTID")
		}
	}
}
