package netio

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// Input: from the socket to the request
//
// A connection without unparsed bytes owns no input buffer. Its socket is read
// into the loop's buffer and served from there; what is left of an incomplete request
// is copied to the connection's own. The next read puts it back in front of the
// loop's buffer, unless it is long or known to become so: then the socket is read into
// the connection's buffer, which grows as data arrives and not as announced.

const (
	readBufBytes   = 64 << 10
	turnRequests   = 1024          // a connection's share of one turn
	mostAhead      = 16            // requests that Ahead parses
	argsAhead      = 4 * mostAhead // with so many arguments it parses no more
	bigReadBytes   = 256 << 10     // most that is read of a large bulk in one turn
	hugeBytes      = 1 << 20       // a request known to be longer gets pages of its own
	keepOwnBytes   = 4 << 10       // a larger buffer is dropped once it is empty
	directMinBytes = 16 << 10      // leftovers from this length on are not copied to and fro
)

// step gives the connection its share of the turn.
func (l *Loop) step(c *Conn) {
	if c.stop != 0 {
		return
	}
	if c.raw != nil {
		if c.more {
			l.serveRaw(c)
		} else if c.rd {
			l.readRaw(c)
		}
	} else if c.more {
		c.more = false
		c.in, c.pos, c.shared = c.own, c.ownPos, false
		l.serve(c)
	} else if c.rd {
		l.read(c)
	}
	if c.stop == 0 && (c.more || c.rd) {
		l.enqueue(c)
	}
}

func (l *Loop) enqueue(c *Conn) {
	if !c.queued {
		c.queued = true
		l.ready = append(l.ready, c)
	}
}

// read does one read and serves what has become complete by it.
func (l *Loop) read(c *Conn) {
	have := len(c.own) - c.ownPos
	need := 0
	if c.part != nil {
		need = c.part.Need()
	}
	var dst []byte
	direct := have > directMinBytes || need > readBufBytes
	if direct {
		dst = c.room(have, need)
	} else {
		copy(l.rbuf, c.own[c.ownPos:])
		dst = l.rbuf[have:]
	}
	n := l.receive(c, dst)
	if n == 0 {
		return
	}
	if direct {
		c.own = c.own[:len(c.own)+n]
		if have+n < need {
			l.weigh(c)
			l.checkQuery(c, have+n)
			return
		}
		// One read may bring the rest of a request together with what puts it beyond the limit.
		if l.checkQuery(c, need) {
			return
		}
		c.in, c.pos, c.shared = c.own, 0, false
	} else {
		if have+n < need {
			l.keep(c, l.rbuf[:have+n])
			l.weigh(c)
			l.checkQuery(c, have+n)
			return
		}
		c.in, c.pos, c.shared = l.rbuf[:have+n], 0, true
	}
	l.serve(c)
}

// receive does one read of the socket into dst and returns how many bytes came. None came when it has 0: it has then done what follows from that,
// which may be that c is closed.
func (l *Loop) receive(c *Conn, dst []byte) int {
	n, errno := sysRead(c.fd, dst)
	if n <= 0 {
		switch {
		case n == 0 && errno == 0:
			l.eof(c)
		case errno == unix.EAGAIN:
			c.rd = false
		case errno == unix.EINTR:
		default:
			l.close(c, errno)
		}
		return 0
	}
	// With edge triggering there is no further event for what is left in the
	// socket. A short read has emptied it; if the end of input was announced, it comes
	// with a read of zero.
	if n < len(dst) && !c.ended {
		c.rd = false
	}
	l.turnIn += int64(n)
	l.turnReads++
	c.in64 += int64(n)
	c.active = l.now
	return n
}

// room makes space behind the leftover in the connection's own buffer.
func (c *Conn) room(have, need int) []byte {
	if c.ownPos > 0 {
		copy(c.own, c.own[c.ownPos:])
		c.own = c.own[:have]
		c.ownPos = 0
	}
	if need > hugeBytes && !c.huge {
		// Address space for all of it at once: memory is taken as data
		// arrives, and nothing is ever copied to a larger place.
		if b := mapHuge(need); b != nil {
			b = append(b, c.own...)
			c.dropOwn()
			c.own, c.huge = b, true
		}
	}
	if cap(c.own)-have < readBufBytes && cap(c.own) < need || cap(c.own) == have {
		size := min(max(2*cap(c.own), 2*readBufBytes), max(need, have+readBufBytes))
		b := append(make([]byte, 0, size), c.own...)
		c.dropOwn()
		c.own = b
	}
	end := min(cap(c.own), have+bigReadBytes)
	return c.own[have:end]
}

// eof: the client will send nothing more. What it has been promised is
// still sent: `printf 'SET a b\r\n' | nc` wants its reply, gated or not.
func (l *Loop) eof(c *Conn) {
	c.rd = false
	if c.unsent() > 0 {
		c.stop |= stopClosing
		c.closeErr = io.EOF
		c.Flush()
		return
	}
	l.close(c, io.EOF)
}

// endedHeld: the client waits for something, and has finished writing. Nobody can tell whether it still listens, so it waits no longer.
func (c *Conn) endedHeld() bool { return c.ended && c.stop == stopHeld && !c.quiet }

// serve hands c.in[c.pos:] to the handler and keeps what is left.
func (l *Loop) serve(c *Conn) {
	if c.W.B == nil {
		c.W.B = l.getBuf()
	}
	l.parser.Unauth = c.unauth
	l.ahead, l.aheadAt = l.ahead[:0], 0
	c.budget = turnRequests
	c.serving, c.more = true, true
	l.tick()
	l.srv.handler.Serve(c)
	c.serving = false
	left := c.in[c.pos:]
	if !c.shared {
		c.own, c.ownPos = c.in, c.pos
	}
	c.in = nil
	if c.stop&stopDoomed != 0 {
		c.stop &^= stopDoomed
		l.close(c, c.closeErr)
		return
	}
	switch {
	case len(left) == 0:
		c.more = false
		c.dropOwn()
	case c.shared:
		l.keep(c, left)
	}
	l.weigh(c)
	if !c.more && len(left) > 0 {
		l.checkQuery(c, len(left))
	}
	if c.endedHeld() {
		l.eof(c) // the end came together with the request that holds it, and no event will tell of it again
	}
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

// keep copies the leftover to the connection's own buffer.
func (l *Loop) keep(c *Conn, left []byte) {
	if cap(c.own) < len(left) || cap(c.own) > keepOwnBytes && len(left) <= keepOwnBytes {
		c.dropOwn()
		c.own = make([]byte, 0, (len(left)+511)&^511)
	}
	c.own = append(c.own[:0], left...)
	c.ownPos = 0
}

func (c *Conn) dropOwn() {
	if c.huge {
		c.huge = false
		// Giving back half a gigabyte takes the kernel milliseconds.
		go unmapHuge(c.own)
	}
	c.own, c.ownPos = nil, 0
}

// checkQuery closes a connection whose request takes n bytes already, if that is more than it may.
func (l *Loop) checkQuery(c *Conn, n int) (closed bool) {
	if max := l.limits.MaxQueryBytes; max > 0 && int64(n) > max && c.stop&stopDead == 0 {
		l.srv.stats.queryLimit.Add(1)
		l.srv.logf('#', "Closing client that reached max query buffer length: id=%d addr=%s qbuf=%d", c.id, c.RemoteAddr(), n)
		l.close(c, ErrQueryLimit)
		return true
	}
	return false
}

// Ahead parses the next few requests without taking them: Next returns these, unless it returns false. It stops before an inline command
// and before whatever is incomplete or wrong, and returns nothing while there are still requests that an earlier call has parsed. The
// handler may use it to prepare for several requests at once. They are valid until the next call of Ahead or the return of Serve.
func (c *Conn) Ahead() []Request {
	l := c.l()
	if l.aheadAt < len(l.ahead) || !c.serving || c.part != nil {
		return nil
	}
	l.ahead, l.aheadAt = l.ahead[:0], 0
	store := l.aheadArgs
	for at := c.pos; len(l.ahead) < mostAhead && at < len(c.in) && c.in[at] == '*' && len(store) < argsAhead; {
		b := c.in[at:]
		skip, n, args, inline, err := l.parser.Parse(b, store[len(store):])
		if n == 0 || inline || err != nil {
			break
		}
		if have := len(store) + len(args); have <= cap(store) {
			store = store[:have]
		} else {
			store = make([][]byte, 0, have+argsAhead)
			l.aheadArgs = store
		}
		at += skip + n
		l.ahead = append(l.ahead, Request{Args: args, Raw: b[skip : skip+n : skip+n], end: at})
	}
	return l.ahead
}

// Next parses the next request. False: nothing complete is left, or the
// connection's share of the turn is used up, or it is held, closing, or out of
// protocol (netio replies and closes by itself).
func (c *Conn) Next(r *Request) bool {
	if c.stop != 0 || c.killed.Load() || !c.serving {
		return false
	}
	if len(c.W.B) > flushEarlyBytes {
		c.l().flushEarly(c)
		if c.stop != 0 {
			return false
		}
	}
	if c.budget <= 0 {
		return false
	}
	c.budget--
	l := c.l()
	if l.aheadAt < len(l.ahead) {
		a := &l.ahead[l.aheadAt]
		l.aheadAt++
		c.last, c.pos = a.end-len(a.Raw), a.end
		*r = *a
		return true
	}
	if c.part != nil {
		return c.resume(l, r)
	}
	b := c.in[c.pos:]
	skip, n, args, inline, err := l.parser.Parse(b, l.args)
	l.args = args[:0]
	c.pos += skip
	if n == 0 {
		if err != nil {
			c.protocolError(err)
			return false
		}
		c.more = false
		if skip < len(b) {
			c.part = l.getPart()
			_, _, _, err = l.parser.Resume(c.part, b[skip:], nil)
			if err != nil {
				c.protocolError(err)
			}
		}
		return false
	}
	c.last = c.pos
	c.pos += n
	r.Args = args
	if inline {
		r.Raw = nil
	} else {
		r.Raw = b[skip : skip+n : skip+n]
	}
	return true
}

// resume goes on with a request that came in pieces.
func (c *Conn) resume(l *Loop, r *Request) bool {
	b := c.in[c.pos:]
	n, args, inline, err := l.parser.Resume(c.part, b, l.args)
	if cap(args) > 0 {
		l.args = args[:0]
	}
	if err != nil {
		c.protocolError(err)
		return false
	}
	if n == 0 {
		c.more = false
		return false
	}
	l.putPart(c.part)
	c.part = nil
	if len(args) == 0 {
		c.pos += n
		return c.Next(r)
	}
	c.last = c.pos
	c.pos += n
	r.Args = args
	r.Raw = nil
	if !inline {
		r.Raw = b[:n:n]
	}
	return true
}

// Unread puts the request that Next returned last back, so that Next returns it
// again after Release. Only between Next and the return of Serve, together with Hold.
func (c *Conn) Unread() { c.pos = c.last }

func (c *Conn) protocolError(err error) {
	c.srv.logf('-', "Protocol error (%v) from client: id=%d addr=%s", err, c.id, c.RemoteAddr())
	c.W.Error("ERR Protocol error: " + err.Error())
	c.stop |= stopClosing
	c.closeErr = errors.Join(ErrProtocol, err)
	c.pos = len(c.in)
}
