package resp

import "bytes"

// inline takes one line of words off b.
func (p *Parser) inline(b []byte, args [][]byte) (int, [][]byte, error) {
	return p.inlineFrom(b, 0, args)
}

// inlineFrom does the same when b[:from] is known to hold no line feed.
func (p *Parser) inlineFrom(b []byte, from int, args [][]byte) (int, [][]byte, error) {
	nl := bytes.IndexByte(b[from:], '\n')
	if nl < 0 {
		if len(b) > maxLine {
			return 0, args, ErrInlineLine
		}
		return 0, args, nil
	}
	nl += from
	line := b[:nl]
	if nl > 0 && line[nl-1] == '\r' {
		line = line[:nl-1]
	}
	args, words, ok := SplitArgs(line, args, p.words[:0])
	p.words = words[:0]
	if cap(p.words) > maxLine {
		p.words = nil
	}
	if !ok {
		return 0, args[:0], ErrQuotes
	}
	return nl + 1, args, nil
}

// SplitArgs splits a line into words by the rules of Redis's configuration
// file and inline requests. Words are separated by white space. "double quotes" know
// \n \r \t \b \a, \xHH and a backslash before any other character; 'single
// quotes' know \'. A closing quote must be followed by white space or the end.
// A NUL byte ends the line.
//
// Words are appended to args; their bytes are appended to buf, which is returned
// too and which the words point into. ok is false when quotes do not balance.
func SplitArgs(line []byte, args [][]byte, buf []byte) (words [][]byte, out []byte, ok bool) {
	// A decoded word is never longer than its source: with this room buf is
	// not moved while words point into it.
	if cap(buf)-len(buf) < len(line) {
		buf = append(make([]byte, 0, len(buf)+len(line)), buf...)
	}
	for i := 0; ; {
		for i < len(line) && isSpace(line[i]) {
			i++
		}
		if i == len(line) || line[i] == 0 {
			return args, buf, true
		}
		start := len(buf)
		for i < len(line) && line[i] != 0 && !isSpace(line[i]) {
			switch line[i] {
			case '"':
				i, buf, ok = doubleQuoted(line, i+1, buf)
			case '\'':
				i, buf, ok = singleQuoted(line, i+1, buf)
			default:
				buf = append(buf, line[i])
				i++
				continue
			}
			if !ok || i < len(line) && line[i] != 0 && !isSpace(line[i]) {
				return args, buf, false
			}
		}
		args = append(args, buf[start:len(buf):len(buf)])
	}
}

// doubleQuoted decodes from the byte after the opening quote and returns the
// index after the closing one.
func doubleQuoted(line []byte, i int, buf []byte) (int, []byte, bool) {
	for i < len(line) && line[i] != 0 {
		ch := line[i]
		switch {
		case ch == '"':
			return i + 1, buf, true
		case ch == '\\' && i+3 < len(line) && line[i+1] == 'x' && isHex(line[i+2]) && isHex(line[i+3]):
			buf = append(buf, unhex(line[i+2])<<4|unhex(line[i+3]))
			i += 4
		case ch == '\\' && i+1 < len(line) && line[i+1] != 0:
			e := line[i+1]
			switch e {
			case 'n':
				e = '\n'
			case 'r':
				e = '\r'
			case 't':
				e = '\t'
			case 'b':
				e = '\b'
			case 'a':
				e = '\a'
			}
			buf = append(buf, e)
			i += 2
		default:
			buf = append(buf, ch)
			i++
		}
	}
	return i, buf, false
}

func singleQuoted(line []byte, i int, buf []byte) (int, []byte, bool) {
	for i < len(line) && line[i] != 0 {
		switch {
		case line[i] == '\'':
			return i + 1, buf, true
		case line[i] == '\\' && i+1 < len(line) && line[i+1] == '\'':
			buf = append(buf, '\'')
			i += 2
		default:
			buf = append(buf, line[i])
			i++
		}
	}
	return i, buf, false
}

func isSpace(ch byte) bool { return ch == ' ' || ch-'\t' <= '\r'-'\t' }

func isHex(ch byte) bool {
	return ch-'0' <= 9 || ch|0x20 >= 'a' && ch|0x20 <= 'f'
}

func unhex(ch byte) byte {
	if ch-'0' <= 9 {
		return ch - '0'
	}
	return ch | 0x20 - 'a' + 10
}
