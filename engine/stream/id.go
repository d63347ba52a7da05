package stream

import (
	"bytes"
	"strconv"

	"tidemark/engine/command"
	"tidemark/engine/keyspace/coll"
)

type id = coll.StreamID

const errID = "ERR Invalid stream ID specified as stream command argument"

// maxIDText is the longest text of an ID, and more than that of any ID that is printed.
const maxIDText = 127

// idForm says how an ID may be written.
type idForm uint8

const (
	strict   idForm = 1 << iota // - and + are none
	autoSeq                     // ms-* is one
	upperEnd                    // what is left out is the greatest sequence, rather than 0
)

// parseID reads an ID: ms-seq, ms, - or +. auto says that the sequence is *.
func parseID(text []byte, form idForm) (n id, auto, ok bool) {
	if len(text) > maxIDText {
		return n, false, false
	}
	if i := bytes.IndexByte(text, 0); i >= 0 { // as a string of C ends
		text = text[:i]
	}
	if len(text) == 1 && form&strict == 0 {
		switch text[0] {
		case '-':
			return n, false, true
		case '+':
			return coll.MaxStreamID, false, true
		}
	}
	ms, seq, both := text, []byte(nil), false
	if i := bytes.IndexByte(text, '-'); i >= 0 {
		ms, seq, both = text[:i], text[i+1:], true
	}
	if n.Ms, ok = parseUint(ms); !ok {
		return n, false, false
	}
	switch {
	case !both && form&upperEnd != 0:
		n.Seq = coll.MaxStreamID.Seq
	case !both:
	case form&autoSeq != 0 && len(seq) == 1 && seq[0] == '*':
		return n, true, true
	default:
		n.Seq, ok = parseUint(seq)
	}
	return n, false, ok
}

// parseUint reads a number of 64 bits. Like Redis it takes what strtoull takes: spaces before, signs, leading zeros; but no text of a negative
// int64.
func parseUint(b []byte) (n uint64, ok bool) {
	if v, isInt := command.ParseInt(b); isInt {
		return uint64(v), v >= 0
	}
	for len(b) > 0 && (b[0] == ' ' || b[0] >= '\t' && b[0] <= '\r') {
		b = b[1:]
	}
	neg := false
	if len(b) > 0 && (b[0] == '+' || b[0] == '-') {
		neg = b[0] == '-'
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, false
	}
	for _, ch := range b {
		d := uint64(ch - '0')
		if d > 9 || n > (1<<64-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	if neg {
		n = -n
	}
	return n, true
}

// idArg parses argument i as an ID; when it is none the error is replied.
func idArg(c *command.Ctx, i int, form idForm) (n id, ok bool) {
	n, _, ok = parseID(c.Args[i], form)
	if !ok {
		c.W.Error(errID)
	}
	return n, ok
}

// bound parses argument i as an end of a range, which a ( before it leaves out. upper says which end it is.
func bound(c *command.Ctx, i int, upper bool) (n id, ok bool) {
	form := idForm(0)
	if upper {
		form = upperEnd
	}
	text := c.Args[i]
	open := len(text) > 1 && text[0] == '('
	if open {
		text = text[1:]
		form |= strict
	}
	if n, _, ok = parseID(text, form); !ok {
		c.W.Error(errID)
		return n, false
	}
	switch {
	case !open:
	case upper:
		if n, ok = n.Prev(); !ok {
			c.W.Error("ERR invalid end ID for the interval")
		}
	default:
		if n, ok = n.Next(); !ok {
			c.W.Error("ERR invalid start ID for the interval")
		}
	}
	return n, ok
}

func appendID(dst []byte, n id) []byte {
	dst = append(strconv.AppendUint(dst, n.Ms, 10), '-')
	if n.Seq < 10 {
		return append(dst, byte('0'+n.Seq))
	}
	return strconv.AppendUint(dst, n.Seq, 10)
}

// writeID writes an ID as a bulk string.
func writeID(c *command.Ctx, n id) {
	var buf [48]byte
	c.W.Bulk(appendID(buf[:0], n))
}

func appendUint(dst []byte, n uint64) []byte { return strconv.AppendUint(dst, n, 10) }

func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }
