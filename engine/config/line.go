package config

import (
	"errors"
	"strings"
)

var errQuotes = errors.New("Unbalanced quotes in configuration line")

// SplitLine splits a line into arguments the way Redis's configuration files and inline commands are split: at
// white space, with "..." (\n \r \t \a \b \xHH, and \ before any other byte for that byte) and '...' (\' only) holding a
// piece together. A closing quote must end its argument. Quotes may open in the middle of one.
func SplitLine(line string) ([]string, error) {
	var args []string
	i := 0
	for {
		for i < len(line) && isSpace(line[i]) {
			i++
		}
		if i == len(line) || line[i] == 0 {
			return args, nil
		}
		arg, next, ok := splitOne(line, i)
		if !ok {
			return nil, errQuotes
		}
		args = append(args, arg)
		i = next
	}
}

func splitOne(line string, i int) (arg string, next int, ok bool) {
	var b strings.Builder
	for i < len(line) {
		switch c := line[i]; c {
		case ' ', '\n', '\r', '\t', 0:
			return b.String(), i, true
		case '"', '\'':
			i++
			for {
				if i == len(line) {
					return "", i, false
				}
				if line[i] == c {
					break
				}
				if c == '"' {
					i = unescape(&b, line, i)
				} else {
					if line[i] == '\\' && i+1 < len(line) && line[i+1] == '\'' {
						i++
					}
					b.WriteByte(line[i])
					i++
				}
			}
			i++
			if i < len(line) && !isSpace(line[i]) {
				return "", i, false
			}
			return b.String(), i, true
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String(), i, true
}

// unescape appends the one byte that stands at line[i] inside double quotes and returns where the next one begins.
func unescape(b *strings.Builder, line string, i int) int {
	if line[i] != '\\' || i+1 == len(line) {
		b.WriteByte(line[i])
		return i + 1
	}
	c := line[i+1]
	if c == 'x' && i+3 < len(line) {
		hi, ok1 := hexDigit(line[i+2])
		lo, ok2 := hexDigit(line[i+3])
		if ok1 && ok2 {
			b.WriteByte(hi<<4 | lo)
			return i + 4
		}
	}
	switch c {
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'b':
		c = '\b'
	case 'a':
		c = '\a'
	}
	b.WriteByte(c)
	return i + 2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// Quote writes s as one argument that SplitLine reads back, bare when that is possible.
func Quote(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || r == '"' || r == '\'' || r == '\\' || r == '#'
	}) {
		return s
	}
	return quoted(s)
}

// quoted writes s in double quotes.
func quoted(s string) string {
	const hex = "0123456789abcdef"
	b := []byte{'"'}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\r':
			b = append(b, '\\', 'r')
		case c == '\t':
			b = append(b, '\\', 't')
		case c < ' ' || c >= 0x7f:
			b = append(b, '\\', 'x', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return string(append(b, '"'))
}

// optionLine is how Redis shows an option of the command line: all but its name in quotes.
func optionLine(args []string) string {
	line := args[0]
	for _, a := range args[1:] {
		line += " " + quoted(a)
	}
	return line
}

func quoteAll(args []string) string {
	q := make([]string, len(args))
	for i, a := range args {
		q[i] = Quote(a)
	}
	return strings.Join(q, " ")
}
