// Package workload makes the random commands that the differential and the
// replication tests send: every command that exists, on few keys, with odd values.
package workload

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// Databases is how many databases, from 0 on, the commands touch.
const Databases = 4

// A Generator makes random commands. Key and value spaces are small, so that
// commands meet each other's results; odd values are frequent, so that errors are met too.
// Not safe for concurrent use.
type Generator struct {
	Rnd   *rand.Rand
	NowMs int64 // the clock at generation, the base of absolute expiry times
	// Version is of which Redis the commands are: also those that are new in "7.4", or "8.0". "" is 7.0.
	Version string
	// Lasting: no field of a hash expires while the commands run. When one that has is removed, and until then counted, differs between servers.
	Lasting bool

	streamTop int // about the time in IDs of stream entries
}

// Op is one command and how its reply may be compared.
type Op struct {
	Args      []string
	Unordered bool
	Slack     int64 // by how much integers may differ: replies that depend on each server's clock
	Settle    bool  // wait until short expiries have certainly passed on both sides
	Exact     bool  // the command must not be made longer: its last word says how long it waits
	Numbers   bool  // bulk strings that are numbers are compared as such: scores, which Redis prints otherwise since 7.2
}

// A family makes the commands of one package of the engine. How often it is drawn goes by its weight.
type family struct {
	weight int
	make   func(*Generator, *Op)
}

// families is the one place where a family's commands are entered. Each has a file of its own here, but for the oldest.
var families = []family{
	{3, (*Generator).strings},
	{1, (*Generator).bitmaps},
	{2, (*Generator).generic},
	{1, (*Generator).expiries},
	{1, (*Generator).sessions},
	{2, (*Generator).lists},
	{2, (*Generator).hashes},
	{2, (*Generator).zsets},
	{1, (*Generator).hyperloglogs},
	{2, (*Generator).sets},
	{1, (*Generator).sorts},
	{1, (*Generator).positions},
	{2, (*Generator).streams},
}

func (g *Generator) pick(list ...string) string { return list[g.Rnd.IntN(len(list))] }

func (g *Generator) chance(percent int) bool { return g.Rnd.IntN(100) < percent }

func (g *Generator) number(n int) string { return strconv.Itoa(g.Rnd.IntN(n)) }

func (g *Generator) key() string { return "k" + g.number(12) }

func (g *Generator) keys(most int) []string {
	out := make([]string, 1+g.Rnd.IntN(most))
	for i := range out {
		out[i] = g.key()
	}
	return out
}

func (g *Generator) value() string {
	switch g.Rnd.IntN(12) {
	case 0:
		return ""
	case 1, 2, 3:
		return strconv.Itoa(g.Rnd.IntN(2000) - 1000)
	case 4:
		return strconv.FormatInt(int64(g.Rnd.Uint64()), 10)
	case 5:
		return g.pick("9223372036854775807", "-9223372036854775808", "9223372036854775808", "+5", "007", " 1", "1 ", "1e3", "3.0e3", "-0", "0x10", "inf", "nan")
	case 6:
		return strconv.FormatFloat(g.Rnd.NormFloat64()*100, 'f', g.Rnd.IntN(8), 64)
	case 7:
		return strings.Repeat(string(rune('a'+g.Rnd.IntN(26))), 40+g.Rnd.IntN(10)) // around embstr's limit
	case 8:
		return strings.Repeat("xy", g.Rnd.IntN(3000))
	case 9:
		b := make([]byte, g.Rnd.IntN(20))
		for i := range b {
			b[i] = byte(g.Rnd.Uint32())
		}
		return string(b)
	}
	return g.pick("foo", "bar", "hello world", "ohmytext", "mynewtext")
}

func (g *Generator) integer() string {
	switch g.Rnd.IntN(10) {
	case 0:
		return g.pick("9223372036854775807", "-9223372036854775808", "9223372036854775808", "abc", "1.5", "", " 1")
	case 1:
		return strconv.FormatInt(int64(g.Rnd.Uint64()), 10)
	}
	return strconv.Itoa(g.Rnd.IntN(200) - 100)
}

func (g *Generator) index() string {
	if g.chance(5) {
		return g.integer()
	}
	return strconv.Itoa(g.Rnd.IntN(60) - 20)
}

func (g *Generator) float() string {
	if g.chance(15) {
		return g.pick("inf", "-inf", "nan", "abc", "", "1e308", "-1e308", "1e-20", "1e17", "123456789012345678")
	}
	return strconv.FormatFloat(g.Rnd.NormFloat64()*1000, 'g', 1+g.Rnd.IntN(12), 64)
}

func (g *Generator) offset() string {
	if g.chance(5) {
		return g.pick("-1", "abc", "4294967296", "#1")
	}
	return g.number(400)
}

// expiry returns an option word and its value. Times are far away, past, wrong,
// or (settle) so short that they pass at once.
func (g *Generator) expiry(o *Op) (word, at string) {
	far := int64(1000 + g.Rnd.IntN(100000))
	switch g.Rnd.IntN(12) {
	case 0, 1:
		return g.pick("EX", "ex"), strconv.FormatInt(far, 10)
	case 2, 3:
		return "PX", strconv.FormatInt(far*1000, 10)
	case 4, 5:
		return "EXAT", strconv.FormatInt(g.NowMs/1000+far, 10)
	case 6, 7:
		return "PXAT", strconv.FormatInt(g.NowMs+far*1000+g.Rnd.Int64N(1000), 10)
	case 8:
		o.Settle = true
		return "PX", strconv.Itoa(1 + g.Rnd.IntN(3))
	case 9:
		return g.pick("EXAT", "PXAT"), "1"
	}
	return g.pick("EX", "PX", "EXAT", "PXAT"), g.pick("0", "-1", "abc", "9223372036854775807", "9223372036854775", "1.5")
}

// Next makes a command.
func (g *Generator) Next() Op {
	o := Op{}
	total := 0
	drawn := families
	if g.Version >= "7.4" {
		drawn = slices.Concat(families, newer)
	}
	for _, f := range drawn {
		total += f.weight
	}
	at := g.Rnd.IntN(total)
	for _, f := range drawn {
		if at -= f.weight; at < 0 {
			f.make(g, &o)
			break
		}
	}
	if g.chance(2) { // one word too few or too many
		if g.chance(50) && len(o.Args) > 1 && !drawsLots(o.Args[0]) {
			o.Args = o.Args[:len(o.Args)-1]
		} else if !o.Exact && (g.Version >= "7.4" || !strings.HasSuffix(o.Args[0], "RANK")) { // ZRANK may have one more since 7.2
			o.Args = append(o.Args, g.pick("extra", "NX", "GET", "5"))
		}
	}
	return o
}

// drawsLots reports whether the command picks at random when its count is left out: two servers then differ, and rightly.
func drawsLots(command string) bool {
	return strings.Contains(command, "RAND") || command == "SPOP"
}

func (o *Op) set(args ...string) { o.Args = append(o.Args[:0], args...) }
func (o *Op) add(args ...string) { o.Args = append(o.Args, args...) }

func (g *Generator) strings(o *Op) {
	addExpiry := func() {
		word, at := g.expiry(o)
		o.add(word, at)
	}
	switch g.Rnd.IntN(18) {
	case 0, 1, 2:
		o.set("SET", g.key(), g.value())
		if g.chance(30) {
			o.add(g.pick("NX", "XX", "nx"))
		}
		if g.chance(20) {
			o.add("GET")
		}
		if g.chance(40) {
			addExpiry()
		} else if g.chance(20) {
			o.add("KEEPTTL")
		}
	case 3, 4:
		o.set("GET", g.key())
	case 5:
		o.set("GETEX", g.key())
		if g.chance(60) {
			addExpiry()
		} else if g.chance(40) {
			o.add("PERSIST")
		}
	case 6:
		o.set(g.pick("GETDEL", "STRLEN"), g.key())
	case 7:
		o.set(g.pick("GETSET", "SETNX", "APPEND"), g.key(), g.value())
	case 8:
		o.set("MSET")
		for _, k := range g.keys(4) {
			o.add(k, g.value())
		}
	case 9:
		o.set("MSETNX")
		for _, k := range g.keys(2) {
			o.add(k, g.value())
		}
	case 10:
		o.set("MGET")
		o.add(g.keys(5)...)
	case 11:
		o.set(g.pick("INCR", "DECR"), g.key())
	case 12:
		o.set(g.pick("INCRBY", "DECRBY"), g.key(), g.integer())
	case 13:
		o.set("INCRBYFLOAT", g.key(), g.float())
	case 14:
		o.set("SETRANGE", g.key(), g.index(), g.value())
	case 15:
		o.set(g.pick("GETRANGE", "SUBSTR"), g.key(), g.index(), g.index())
	case 16:
		o.set("LCS", g.key(), g.key())
		switch g.Rnd.IntN(4) {
		case 0:
			o.add("LEN")
		case 1:
			o.add("IDX")
		case 2:
			o.add("IDX", "MINMATCHLEN", g.number(4), "WITHMATCHLEN")
		}
	case 17:
		if g.chance(50) {
			o.set("SETEX", g.key(), g.pick("1000", "5000", "0", "-1", "abc"), g.value())
		} else {
			o.set("PSETEX", g.key(), g.pick("1000000", "5000000", "0", "-1", "abc"), g.value())
		}
	}
}

func (g *Generator) bitmaps(o *Op) {
	switch g.Rnd.IntN(8) {
	case 0:
		o.set("SETBIT", g.key(), g.offset(), g.pick("0", "1", "1", "2"))
	case 1:
		o.set("GETBIT", g.key(), g.offset())
	case 2:
		o.set("BITCOUNT", g.key())
		if g.chance(70) {
			o.add(g.index(), g.index())
			if g.chance(50) {
				o.add(g.pick("BIT", "BYTE", "bit"))
			}
		}
	case 3:
		o.set("BITPOS", g.key(), g.pick("0", "1"))
		if g.chance(70) {
			o.add(g.index())
			if g.chance(70) {
				o.add(g.index())
				if g.chance(50) {
					o.add(g.pick("BIT", "BYTE"))
				}
			}
		}
	case 4:
		if g.chance(25) {
			o.set("BITOP", "NOT", g.key(), g.key())
		} else {
			o.set("BITOP", g.pick("AND", "OR", "XOR", "xor"), g.key())
			o.add(g.keys(3)...)
		}
	case 5, 6:
		o.set("BITFIELD", g.key())
		for range g.Rnd.IntN(4) {
			typ := g.pick("u", "i") + strconv.Itoa(1+g.Rnd.IntN(64))
			off := g.offset()
			if g.chance(20) {
				off = "#" + g.number(8)
			}
			switch g.Rnd.IntN(4) {
			case 0:
				o.add("GET", typ, off)
			case 1:
				o.add("SET", typ, off, g.integer())
			case 2:
				o.add("INCRBY", typ, off, g.integer())
			case 3:
				o.add("OVERFLOW", g.pick("WRAP", "SAT", "FAIL"), "INCRBY", typ, off, g.integer())
			}
		}
	case 7:
		o.set("BITFIELD_RO", g.key(), "GET", g.pick("u8", "i5", "u63", "i64"), g.offset())
	}
}

func (g *Generator) generic(o *Op) {
	// DBSIZE is left out: it counts keys that have expired and not yet been removed.
	switch g.Rnd.IntN(11) {
	case 0, 1, 2:
		o.set(g.pick("DEL", "UNLINK", "EXISTS", "TOUCH"))
		o.add(g.keys(3)...)
	case 3:
		o.set(g.pick("RENAME", "RENAMENX"), g.key(), g.key())
	case 4, 5:
		o.set("COPY", g.key(), g.key())
		if g.chance(30) {
			o.add("DB", g.number(Databases))
		}
		if g.chance(50) {
			o.add("REPLACE")
		}
	case 6:
		o.set("MOVE", g.key(), g.number(Databases))
	case 7:
		o.set("KEYS", g.pick("*", "k?", "k1*", "k[0-5]", "k[^3]", "x*"))
		o.Unordered = true
	case 8:
		o.set("OBJECT", "ENCODING", g.key())
	case 9:
		o.set("TYPE", g.key())
	case 10:
		switch {
		case g.chance(20):
			o.set(g.pick("FLUSHDB", "FLUSHALL"), g.pick("SYNC", "ASYNC"))
		case g.chance(40):
			o.set("SWAPDB", g.number(Databases), g.number(Databases))
		default:
			o.set("SCAN", "0", "COUNT", "1000", "MATCH", g.pick("*", "k1*"))
			o.Unordered = true
		}
	}
}

func (g *Generator) expiries(o *Op) {
	switch g.Rnd.IntN(5) {
	case 0, 1:
		word, at := g.expiry(o)
		command := map[string]string{"EX": "EXPIRE", "PX": "PEXPIRE", "EXAT": "EXPIREAT", "PXAT": "PEXPIREAT"}[strings.ToUpper(word)]
		o.set(command, g.key(), at)
		if g.chance(40) {
			o.add(g.pick("NX", "XX", "GT", "LT", "gt"))
		}
	case 2:
		o.set(g.pick("TTL", "EXPIRETIME"), g.key())
		o.Slack = 2
	case 3:
		o.set(g.pick("PTTL", "PEXPIRETIME"), g.key())
		o.Slack = 2000
	case 4:
		o.set("PERSIST", g.key())
	}
}

func (g *Generator) field() string {
	switch g.Rnd.IntN(12) {
	case 0:
		return g.value()
	case 1, 2, 3:
		return g.number(40)
	}
	return "field:" + g.number(30)
}

func (g *Generator) hashes(o *Op) {
	// Keys of their own most of the time: a key that is a string now answers only with errors.
	key := "h" + g.number(8)
	if g.chance(10) {
		key = g.key()
	}
	switch g.Rnd.IntN(14) {
	case 0, 1, 2:
		o.set(g.pick("HSET", "HSET", "HMSET"), key)
		for range 1 + g.Rnd.IntN(5) {
			o.add(g.field(), g.value())
		}
	case 3:
		o.set("HSETNX", key, g.field(), g.value())
	case 4, 5:
		o.set("HDEL", key)
		for range 1 + g.Rnd.IntN(6) {
			o.add(g.field())
		}
	case 6, 7:
		o.set(g.pick("HGET", "HEXISTS", "HSTRLEN"), key, g.field())
	case 8:
		o.set("HMGET", key, g.field(), g.field())
	case 9:
		o.set(g.pick("HGETALL", "HKEYS", "HVALS", "HLEN"), key)
		o.Unordered = true
	case 10:
		o.set("HINCRBY", key, g.field(), g.integer())
	case 11:
		o.set("HINCRBYFLOAT", key, g.field(), g.float())
	case 12:
		if g.chance(50) {
			o.set("HSCAN", key, "0", "COUNT", "1000", "MATCH", g.pick("*", "field:1*", "[0-9]*"))
			if g.Version >= "7.4" && g.chance(50) {
				o.add("NOVALUES")
			}
		} else {
			o.set("HRANDFIELD", key, "100000")
			if g.chance(50) {
				o.add("WITHVALUES")
			}
		}
		o.Unordered = true
	case 13:
		// The family of generic commands knows only the other keys.
		switch g.Rnd.IntN(4) {
		case 0:
			o.set("COPY", key, "h"+g.number(8), "REPLACE")
		case 1:
			o.set("RENAME", key, "h"+g.number(8))
		case 2:
			word, at := g.expiry(o)
			o.set(map[string]string{"EX": "EXPIRE", "PX": "PEXPIRE", "EXAT": "EXPIREAT", "PXAT": "PEXPIREAT"}[strings.ToUpper(word)], key, at)
		case 3:
			o.set(g.pick("DEL", "TYPE", "PERSIST", "UNLINK"), key)
		}
	}
}

func (g *Generator) sessions(o *Op) {
	switch g.Rnd.IntN(8) {
	case 0, 1, 2:
		o.set(g.pick("MULTI", "EXEC", "EXEC", "EXEC", "DISCARD", "MULTI"))
	case 3, 4:
		o.set("WATCH")
		o.add(g.keys(2)...)
	case 5:
		o.set("SELECT", g.number(Databases))
	case 6:
		o.set(g.pick("PING", "ECHO"), g.value())
	case 7:
		o.set(g.pick("nosuch", "OBJECT", "SET", "LCS", "BITOP", "UNWATCH"), g.value())
	}
}

func (o Op) String() string {
	parts := make([]string, len(o.Args))
	for i, a := range o.Args {
		parts[i] = strconv.Quote(a)
		if len(a) > 60 {
			parts[i] = fmt.Sprintf("%q...(%d)", a[:60], len(a))
		}
	}
	return strings.Join(parts, " ")
}
