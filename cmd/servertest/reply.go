package servertest

import (
	"sort"
	"strconv"
	"strings"
)

// Kind is the type byte of a RESP value.
type Kind byte

// The RESP types. Null stands for RESP2's $-1 and RESP3's _ alike, NullArray
// for RESP2's *-1, which RESP3 no longer has.
const (
	Simple    Kind = '+'
	Error     Kind = '-'
	Integer   Kind = ':'
	Bulk      Kind = '$'
	Array     Kind = '*'
	Null      Kind = '_'
	NullArray Kind = 'A'
	Bool      Kind = '#'
	Double    Kind = ','
	BigNumber Kind = '('
	BlobError Kind = '!'
	Verbatim  Kind = '='
	Map       Kind = '%'
	Set       Kind = '~'
	Push      Kind = '>'
)

// Reply is one RESP value.
type Reply struct {
	Kind  Kind
	Str   string  // the text of every scalar kind, as received
	Int   int64   // of Integer
	Elems []Reply // of Array, Set, Push; keys and values in turn of Map
}

// IsError reports whether the reply is an error.
func (r Reply) IsError() bool { return r.Kind == Error || r.Kind == BlobError }

// IsNull reports whether the reply is one of the absent values.
func (r Reply) IsNull() bool { return r.Kind == Null || r.Kind == NullArray }

// String returns the canonical form:
//
//	+OK   -ERR text   :42   "bulk\r\n"   (nil)   (nil array)   #true   ,1.5
//	(123   =txt:"text"   [a, b]   {k: v, k: v}   ~[a, b]   >[a, b]
func (r Reply) String() string {
	var b strings.Builder
	r.write(&b)
	return b.String()
}

func (r Reply) write(b *strings.Builder) {
	list := func(open string, elems []Reply) {
		b.WriteString(open)
		for i, e := range elems {
			if i > 0 {
				b.WriteString(", ")
			}
			e.write(b)
		}
		b.WriteByte(']')
	}
	switch r.Kind {
	case Simple, Error:
		b.WriteByte(byte(r.Kind))
		b.WriteString(r.Str)
	case BlobError:
		b.WriteString("-!")
		b.WriteString(r.Str)
	case Integer:
		b.WriteByte(':')
		b.WriteString(strconv.FormatInt(r.Int, 10))
	case Bulk:
		b.WriteString(Quote(r.Str))
	case Verbatim:
		b.WriteByte('=')
		format, text, _ := strings.Cut(r.Str, ":")
		b.WriteString(format + ":" + Quote(text))
	case Null:
		b.WriteString("(nil)")
	case NullArray:
		b.WriteString("(nil array)")
	case Bool:
		if r.Str == "t" {
			b.WriteString("#true")
		} else {
			b.WriteString("#false")
		}
	case Double, BigNumber:
		b.WriteByte(byte(r.Kind))
		b.WriteString(r.Str)
	case Array:
		list("[", r.Elems)
	case Set:
		list("~[", r.Elems)
	case Push:
		list(">[", r.Elems)
	case Map:
		b.WriteByte('{')
		for i := 0; i+1 < len(r.Elems); i += 2 {
			if i > 0 {
				b.WriteString(", ")
			}
			r.Elems[i].write(b)
			b.WriteString(": ")
			r.Elems[i+1].write(b)
		}
		b.WriteByte('}')
	default:
		b.WriteString("(unknown kind " + strconv.Quote(string(rune(r.Kind))) + ")")
	}
}

// Sorted returns the reply with the elements of every array, set and push in
// the order of their canonical forms, and maps in the order of their keys.
func (r Reply) Sorted() Reply {
	elems := make([]Reply, len(r.Elems))
	for i, e := range r.Elems {
		elems[i] = e.Sorted()
	}
	if r.Kind == Map {
		pairs := make([][2]Reply, 0, len(elems)/2)
		for i := 0; i+1 < len(elems); i += 2 {
			pairs = append(pairs, [2]Reply{elems[i], elems[i+1]})
		}
		sort.SliceStable(pairs, func(i, j int) bool { return pairs[i][0].String() < pairs[j][0].String() })
		elems = elems[:0]
		for _, p := range pairs {
			elems = append(elems, p[0], p[1])
		}
	} else {
		sort.SliceStable(elems, func(i, j int) bool { return elems[i].String() < elems[j].String() })
	}
	r.Elems = elems
	return r
}

// Strings returns the texts of an array's elements.
func (r Reply) Strings() []string {
	out := make([]string, len(r.Elems))
	for i, e := range r.Elems {
		out[i] = e.Str
	}
	return out
}

// Quote writes s in double quotes as redis-cli does: printable ASCII as it is,
// the rest as \n, \r, \t, \a, \b, \\, \" or \xHH.
func Quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '\\', '"':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		case '\a':
			b.WriteString(`\a`)
		case '\b':
			b.WriteString(`\b`)
		default:
			if c >= 0x20 && c < 0x7f {
				b.WriteByte(c)
			} else {
				const hex = "0123456789abcdef"
				b.WriteString(`\x`)
				b.WriteByte(hex[c>>4])
				b.WriteByte(hex[c&15])
			}
		}
	}
	b.WriteByte('"')
	return b.String()
}

// SameNumbers reports whether two replies are equal but for how numbers are printed: 0.1 and 0.10000000000000001 are the same.
func SameNumbers(a, b Reply) bool {
	if a.String() == b.String() {
		return true
	}
	if a.Kind != b.Kind || len(a.Elems) != len(b.Elems) {
		return false
	}
	if len(a.Elems) == 0 {
		x, err1 := strconv.ParseFloat(a.Str, 64)
		y, err2 := strconv.ParseFloat(b.Str, 64)
		return err1 == nil && err2 == nil && x == y && (a.Kind == Bulk || a.Kind == Double)
	}
	for i := range a.Elems {
		if !SameNumbers(a.Elems[i], b.Elems[i]) {
			return false
		}
	}
	return true
}
