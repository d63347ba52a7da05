package netio

import ()

// Raw connections
//
// A connection adopted with a RawHandler as its Session is served bytes instead of requests: a replication link, whose stream is
// looked at as a whole. The input stands in one buffer of the connection's own, which it keeps while it lives:
//
//	own[:ownPos]   taken (Advance)
//	own[ownPos:]   Input; what is not taken is offered again, with what has come behind it
//
// The buffer grows with what is left untaken. There is no limit: the handler knows what its peer may send, and closes.

// RawHandler is the Session of a raw connection. Both methods run on the connection's loop.
type RawHandler interface {
	// ServeRaw takes from c.Input what it can use (c.Advance). It is called when bytes have come, after Release, and in the next turn
	// after Again. Output is appended to c.W and leaves at the end of the turn.
	ServeRaw(c *Conn)
	// Close is called once, in the place of Handler.Close. The socket is still open; err says why.
	Close(c *Conn, err error)
}

// rawTurnBytes is the most that one turn reads from a raw connection.
const rawTurnBytes = 256 << 10

// Input is what a raw connection's peer has sent and Advance has not taken. It is borrowed until ServeRaw returns. Only within ServeRaw.
func (c *Conn) Input() []byte { return c.own[c.ownPos:] }

// Preload puts bytes that were read from the socket elsewhere in front of what will come; ServeRaw is called with them in the loop's next turn. p is
// copied. Only within Adopt's begin.
func (c *Conn) Preload(p []byte) {
	c.own = append(c.own, p...)
	c.more = len(c.own) > 0
}

// Advance takes n bytes from the front of Input. Only within ServeRaw.
func (c *Conn) Advance(n int) {
	if n < 0 || n > len(c.own)-c.ownPos {
		panic("BUG: Advance beyond the input")
	}
	c.ownPos += n
}

// Again has ServeRaw called in the next turn with what it leaves, though nothing more may have come: the handler has done its share of
// this turn. Only within ServeRaw.
func (c *Conn) Again() { c.more = true }

// Expect says that ServeRaw can do nothing before Input holds n bytes: it is called again only then, and room is made for them at once. It holds until
// then, or until Expect is called anew. Only within ServeRaw.
func (c *Conn) Expect(n int) { c.expect = n }

// readRaw does one read and serves.
func (l *Loop) readRaw(c *Conn) {
	n := l.receive(c, c.rawRoom())
	if n == 0 {
		return
	}
	c.own = c.own[:len(c.own)+n]
	if len(c.own)-c.ownPos < c.expect {
		l.weigh(c)
		return
	}
	l.serveRaw(c)
}

// rawRoom makes space behind the input.
func (c *Conn) rawRoom() []byte {
	have := len(c.own) - c.ownPos
	if c.ownPos > 0 {
		copy(c.own, c.own[c.ownPos:])
		c.own, c.ownPos = c.own[:have], 0
	}
	if c.expect > hugeBytes && cap(c.own) < c.expect {
		// Address space for all of it: memory is taken as data arrive, and nothing is ever copied to a larger place.
		if b := mapHuge(c.expect + rawTurnBytes); b != nil {
			b = append(b, c.own...)
			c.dropOwn()
			c.own, c.huge = b, true
		}
	} else if have <= rawTurnBytes && (c.huge || cap(c.own) > 4*rawTurnBytes) {
		// What was long has been taken.
		b := append(make([]byte, 0, 2*rawTurnBytes), c.own...)
		c.dropOwn()
		c.own = b
	}
	if cap(c.own)-have < rawTurnBytes/2 {
		b := append(make([]byte, 0, max(2*cap(c.own), 2*rawTurnBytes)), c.own...)
		c.dropOwn()
		c.own = b
	}
	return c.own[have:min(cap(c.own), have+rawTurnBytes)]
}

// serveRaw hands the input to the handler.
func (l *Loop) serveRaw(c *Conn) {
	if c.killed.Load() {
		return // the post that closes it is on its way
	}
	if c.W.B == nil {
		c.W.B = l.getBuf()
	}
	c.serving, c.more = true, false
	c.expect = 0
	l.tick()
	c.raw.ServeRaw(c)
	c.serving = false
	if c.stop&stopDoomed != 0 {
		c.stop &^= stopDoomed
		l.close(c, c.closeErr)
		return
	}
	left := len(c.own) - c.ownPos
	if left == 0 {
		if c.own, c.ownPos = c.own[:0], 0; c.huge || cap(c.own) > 4*rawTurnBytes {
			c.dropOwn()
		}
	} else if c.stop&stopHeld != 0 {
		c.more = true // offered again by Release
	}
	l.weigh(c)
	if len(c.W.B) == 0 && len(c.gates) == 0 && len(c.chunks) == 0 {
		l.putBuf(c.W.B)
		c.W.B = nil
		if c.stop&stopClosing != 0 {
			c.Flush()
		}
	} else {
		c.Flush()
	}
}
