package resp

import (
	"bytes"
	"strconv"
	"strings"
)

// The reference parser: slow, without state, written from the protocol's
// description alone. The tests hold the real ones against it.

type refRequest struct {
	args   []string
	inline bool
}

// refParse reads the first thing in s. n is 0 while it is incomplete; a request
// without arguments has n > 0 and no args.
func refParse(s string, maxBulk int64, unauth bool) (req refRequest, n int, err string) {
	if s == "" {
		return
	}
	if s[0] != '*' {
		i := strings.IndexByte(s, '\n')
		if i < 0 {
			if len(s) > 65536 {
				err = "too big inline request"
			}
			return
		}
		words, ok := refSplit(strings.TrimSuffix(s[:i], "\r"))
		if !ok {
			return req, 0, "unbalanced quotes in request"
		}
		return refRequest{words, true}, i + 1, ""
	}
	pos := 0
	line := func(tooBig string) (string, bool) {
		i := strings.IndexByte(s[pos:], '\r')
		if i < 0 {
			if len(s)-pos > 65536 {
				err = tooBig
			}
			return "", false
		}
		if pos+i+2 > len(s) {
			return "", false
		}
		l := s[pos : pos+i]
		pos += i + 2
		return l, true
	}
	l, ok := line("too big mbulk count string")
	if !ok {
		return
	}
	count, ok := refInt(l[1:])
	if !ok || count > 1<<31-1 {
		return req, 0, "invalid multibulk length"
	}
	if unauth && count > 10 {
		return req, 0, "unauthenticated multibulk length"
	}
	for range max(count, 0) {
		if pos >= len(s) {
			return refRequest{}, 0, ""
		}
		l, ok := line("too big bulk count string")
		if !ok {
			return refRequest{}, 0, err
		}
		if l == "" || l[0] != '$' {
			// l is empty when a CR stands where the dollar should.
			return refRequest{}, 0, "expected '$', got '" + string([]byte(s[pos-len(l)-2:])[:1]) + "'"
		}
		size, ok := refInt(l[1:])
		if !ok || size < 0 || size > maxBulk {
			return refRequest{}, 0, "invalid bulk length"
		}
		if unauth && size > 16384 {
			return refRequest{}, 0, "unauthenticated bulk length"
		}
		if int64(len(s)-pos) < size+2 {
			return refRequest{}, 0, ""
		}
		req.args = append(req.args, s[pos:pos+int(size)])
		pos += int(size) + 2
	}
	return req, pos, ""
}

// refInt: strict means that writing the number again gives the same text.
func refInt(s string) (int64, bool) {
	v, err := strconv.ParseInt(s, 10, 64)
	return v, err == nil && strconv.FormatInt(v, 10) == s
}

// refSplit is a state machine over the line's bytes.
func refSplit(s string) (words []string, ok bool) {
	s, _, _ = strings.Cut(s, "\x00")
	space := func(b byte) bool { return strings.IndexByte(" \t\n\v\f\r", b) >= 0 }
	for {
		s = strings.TrimLeft(s, " \t\n\v\f\r")
		if s == "" {
			return words, true
		}
		var w bytes.Buffer
		for s != "" && !space(s[0]) {
			q := s[0]
			s = s[1:]
			if q != '"' && q != '\'' {
				w.WriteByte(q)
				continue
			}
			closed := false
			for s != "" && !closed {
				switch {
				case s[0] == q:
					closed = true
					s = s[1:]
				case q == '\'' && strings.HasPrefix(s, `\'`):
					w.WriteByte('\'')
					s = s[2:]
				case q == '"' && len(s) >= 4 && s[:2] == `\x` && refHex(s[2:4]) >= 0:
					w.WriteByte(byte(refHex(s[2:4])))
					s = s[4:]
				case q == '"' && len(s) >= 2 && s[0] == '\\':
					if i := strings.IndexByte("nrtba", s[1]); i >= 0 {
						w.WriteByte("\n\r\t\b\a"[i])
					} else {
						w.WriteByte(s[1])
					}
					s = s[2:]
				default:
					w.WriteByte(s[0])
					s = s[1:]
				}
			}
			if !closed || s != "" && !space(s[0]) {
				return nil, false
			}
		}
		words = append(words, w.String())
	}
}

func refHex(s string) int {
	v, err := strconv.ParseUint(s, 16, 8)
	if err != nil {
		return -1
	}
	return int(v)
}
