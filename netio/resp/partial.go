package resp

// span is one argument of a request that is still arriving, relative to the
// request's first byte.
type span struct{ off, size int }

// Partial is a request of which only a part has arrived. The zero value stands
// for a request of which nothing has been seen. Positions are relative to the
// request's first byte, so the caller may move the bytes between calls.
type Partial struct {
	need  int // bytes without which nothing new can be said
	pos   int // everything before has been parsed; 0: the count line is missing
	left  int // arguments still missing
	bulk  int // length of the argument at pos, -1 when its line has not been read
	spans []span
}

// maxKeptSpans bounds the memory that an idle Partial keeps.
const maxKeptSpans = 1024

// Reset forgets the request.
func (t *Partial) Reset() {
	s := t.spans[:0]
	if cap(s) > maxKeptSpans {
		s = nil
	}
	*t = Partial{spans: s}
}

// Need is how many bytes, counted from the request's first, must be there
// before Resume can get further. It is at most the request's length.
func (t *Partial) Need() int { return t.need }

// Resume goes on with the request at the front of b, which holds at least what
// earlier calls saw. n is its length once it is complete, 0 before. The
// arguments are appended to args[:0], as by Parser.Parse. After n > 0 or an error the
// Partial must be Reset.
//
// An inline request is given to Parse as soon as its line is complete; a request
// without arguments may come back with n > 0.
func (p *Parser) Resume(t *Partial, b []byte, args [][]byte) (n int, out [][]byte, inline bool, err error) {
	out = args[:0]
	if len(b) == 0 || len(b) < t.need {
		return 0, out, false, nil
	}
	if b[0] != '*' {
		n, out, err = p.inlineFrom(b, t.pos, out)
		if n == 0 && err == nil {
			t.pos, t.need = len(b), len(b)+1
		}
		return n, out, true, err
	}
	if t.pos == 0 {
		v, next, err := p.count(b)
		if err != nil {
			return 0, out, false, err
		}
		if next == 0 {
			t.need = len(b) + 1
			return 0, out, false, nil
		}
		t.pos, t.left, t.bulk = next, v, -1
	}
	for t.left > 0 {
		if t.bulk < 0 {
			size, next, err := p.bulkLen(b, t.pos)
			if err != nil {
				return 0, out, false, err
			}
			if next == 0 {
				t.need = len(b) + 1
				return 0, out, false, nil
			}
			t.bulk, t.pos = size, next
		}
		if len(b)-t.pos < t.bulk+2 {
			t.need = t.pos + t.bulk + 2
			return 0, out, false, nil
		}
		t.spans = append(t.spans, span{t.pos, t.bulk})
		t.pos += t.bulk + 2
		t.left--
		t.bulk = -1
	}
	for _, s := range t.spans {
		e := s.off + s.size
		out = append(out, b[s.off:e:e])
	}
	return t.pos, out, false, nil
}
