package netio

import "errors"

// ErrGateFailed is the reason given to Handler.Close for a connection that FailGated closed.
var ErrGateFailed = errors.New("closed because replies could not be given")

// FailGated ends the connections of the loop that have replies behind a gate which has not opened: the handler knows that it
// may never open. What stands before the gate still leaves, then line as an error reply (without '-' and CRLF) in the place of the first reply behind
// it, then the connection closes. The others behind it get none: the client must take all of them for undecided. It returns how many
// connections it ended. Loop thread.
func (l *Loop) FailGated(line string) (n int) {
	w := l.srv.handler.Watermark()
	for _, c := range l.gated {
		if c.stop&stopDead != 0 || len(c.gates) == 0 {
			continue
		}
		if c.open(w); len(c.gates) == 0 {
			continue // it leaves with the next flush
		}
		c.cutOutput(c.gates[0].pos)
		c.gates = c.gates[:0]
		if c.W.B == nil {
			c.W.B = l.getBuf()
		}
		c.W.Error(line)
		c.stop |= stopClosing
		c.closeErr = ErrGateFailed
		c.Flush()
		n++
	}
	return n
}

// cutOutput drops the output from position end on, of which nothing has been sent.
func (c *Conn) cutOutput(end int64) {
	if end >= c.wbase {
		c.W.B = c.W.B[:end-c.wbase]
		return
	}
	at := c.sent - int64(c.off) // the position of the front chunk
	for i, ch := range c.chunks {
		if left := end - at; left <= int64(len(ch)) {
			c.chunks[i] = ch[:left]
			clear(c.chunks[i+1:])
			c.chunks = c.chunks[:i+1]
			break
		}
		at += int64(len(ch))
	}
	c.l().putBuf(c.W.B)
	c.W.B, c.wbase = nil, end
}
