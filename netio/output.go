package netio

import (
	"time"

	"golang.org/x/sys/unix"
)

// Output: from the reply to the socket
//
// Positions count the bytes of all output since the connection began:
//
//	sent ≤ wbase ≤ wbase+len(W.B)
//
// Bytes before wbase that are not yet sent stand in chunks (a client that is
// slow to read); off is how much of the front buffer (the first chunk, or W.B) has been
// sent. Chunks are never copied together: an output of a gigabyte costs no pause.

const (
	outBufBytes     = 16 << 10  // capacity of a pooled buffer
	keepBufBytes    = 128 << 10 // a larger buffer does not go back to the pool
	flushEarlyBytes = 256 << 10 // Next writes when this much has gathered
	retireBytes     = 32 << 10  // unsent output from this length on becomes a chunk
	writeTurnBytes  = 1 << 20   // a connection's share of one turn
	maxGates        = 64        // then gates of one connection are merged
)

// gate: no byte from pos on leaves before the watermark has reached mark.
type gate struct{ pos, mark int64 }

// Gate lets no reply byte written from position pos of c.W.B on leave before
// Watermark() >= off. Replies keep their order. pos must not be below that of an earlier Gate.
func (c *Conn) Gate(pos int, off int64) {
	p := c.wbase + int64(pos)
	if n := len(c.gates); n > 0 {
		if last := &c.gates[n-1]; off <= last.mark {
			return // what follows the last gate waits for it anyway
		} else if p <= last.pos || n >= maxGates {
			last.mark = off
			return
		}
	}
	c.gates = append(c.gates, gate{p, off})
}

// end is the position behind all output.
func (c *Conn) end() int64 { return c.wbase + int64(len(c.W.B)) }

func (c *Conn) unsent() int64 { return c.end() - c.sent }

// open drops the gates that have opened and returns up to where output may leave.
func (c *Conn) open(watermark int64) int64 {
	k := 0
	for k < len(c.gates) && c.gates[k].mark <= watermark {
		k++
	}
	if k == len(c.gates) {
		c.gates = c.gates[:0]
		return c.end()
	}
	if k > 0 {
		c.gates = c.gates[:copy(c.gates, c.gates[k:])]
	}
	return max(c.gates[0].pos, c.sent)
}

// flushDirty writes what this turn's replies allow.
func (l *Loop) flushDirty() {
	if len(l.dirty) == 0 {
		return
	}
	w, known := int64(0), false
	// What is added from here on is for the next turn.
	l.dirty, l.dirtyNow = l.dirtyNow[:0], l.dirty
	for _, c := range l.dirtyNow {
		c.dirty = false
		if c.stop&stopDead != 0 {
			continue
		}
		if l.overflows(c) {
			continue
		}
		limit := c.end()
		if len(c.gates) > 0 {
			if !known {
				w, known = l.srv.handler.Watermark(), true
			}
			limit = c.open(w)
			if len(c.gates) > 0 && !c.gated {
				c.gated, l.gatedNew = true, true
				if c.round == l.gather.round {
					l.gather.returned++
				}
				l.gated = append(l.gated, c)
			}
		}
		l.leave(c, limit)
	}
	clear(l.dirtyNow)
	if l.gatedNew {
		l.gatedLen.Store(int32(len(l.gated)))
	}
}

// flushGated writes what the watermark has let go since the last time.
func (l *Loop) flushGated() {
	if len(l.gated) == 0 {
		return
	}
	w := l.srv.handler.Watermark()
	if w == l.lastMark && !l.gatedNew {
		return
	}
	l.lastMark, l.gatedNew = w, false
	l.gather.newRound()
	kept := l.gated[:0]
	for _, c := range l.gated {
		if c.stop&stopDead != 0 {
			c.gated = false
			continue
		}
		if len(c.gates) > 0 && c.gates[0].mark > w {
			kept = append(kept, c)
			continue
		}
		limit := c.open(w)
		if len(c.gates) > 0 {
			kept = append(kept, c)
		} else {
			c.gated = false
			c.round = l.gather.round
			l.gather.released++
		}
		l.leave(c, limit)
	}
	clear(l.gated[len(kept):])
	l.gated = kept
	l.gatedLen.Store(int32(len(kept)))
}

// flushEarly writes in the middle of Serve, so that a deep pipeline does not
// gather its replies in memory.
func (l *Loop) flushEarly(c *Conn) {
	if l.overflows(c) {
		return
	}
	limit := c.end()
	if len(c.gates) > 0 {
		limit = c.open(l.srv.handler.Watermark())
	}
	l.write(c, limit)
	if c.stop&(stopDead|stopDoomed) != 0 {
		return
	}
	c.retire(flushEarlyBytes / 2)
	if c.W.B == nil {
		c.W.B = l.getBuf()
	}
}

// retire turns W.B into a chunk when at least least bytes stand in it.
func (c *Conn) retire(least int) {
	if len(c.W.B) < least || len(c.W.B) == 0 {
		return
	}
	c.chunks = append(c.chunks, c.W.B)
	c.wbase += int64(len(c.W.B))
	c.W.B = nil
}

// write sends up to the position limit, as far as the socket takes it, and
// closes the connection if that was what it waited for.
func (l *Loop) write(c *Conn, limit int64) {
	for budget := writeTurnBytes; c.sent < limit && !c.wantOut; {
		if budget <= 0 {
			c.Flush() // the rest in the next turn, after the others
			break
		}
		front := c.W.B
		if len(c.chunks) > 0 {
			front = c.chunks[0]
		}
		b := front[c.off:]
		if int64(len(b)) > limit-c.sent {
			b = b[:limit-c.sent]
		}
		if len(b) > writeTurnBytes {
			b = b[:writeTurnBytes]
		}
		n, errno := sysWrite(c.fd, b)
		if errno != 0 {
			switch errno {
			case unix.EINTR:
				continue
			case unix.EAGAIN:
				n = 0
			default:
				l.close(c, errno)
				return
			}
		}
		budget -= n
		c.sent += int64(n)
		if n > 0 {
			l.turnOut += int64(n)
			l.turnWrites++
		}
		c.off += n
		if c.off == len(front) {
			c.off = 0
			if len(c.chunks) > 0 {
				c.chunks[0] = nil
				if c.chunks = c.chunks[1:]; len(c.chunks) == 0 {
					c.chunks = nil
				}
				l.putBuf(front)
			} else {
				c.wbase += int64(len(front))
				c.W.B = nil
				l.putBuf(front)
			}
		}
		if n < len(b) {
			c.wantOut = true
			if err := l.poll.wantWrite(c.fd, c.tag, true); err != nil {
				l.close(c, err)
				return
			}
		}
	}
	l.weigh(c)
	if c.sent < c.end() {
		if !c.serving {
			c.retire(retireBytes)
		}
		l.checkOutput(c)
	} else {
		c.softOver = 0
		if c.W.B != nil && len(c.W.B) == 0 && !c.serving {
			l.putBuf(c.W.B)
			c.W.B = nil
		}
		if c.stop&stopClosing != 0 && !c.serving {
			l.close(c, c.closeErr)
		}
	}
}

// writable: the socket has room again.
func (l *Loop) writable(c *Conn) {
	if !c.wantOut {
		return
	}
	c.wantOut = false
	limit := c.end()
	if len(c.gates) > 0 {
		limit = c.open(l.srv.handler.Watermark())
	}
	l.write(c, limit)
	if !c.wantOut && c.stop&stopDead == 0 {
		if err := l.poll.wantWrite(c.fd, c.tag, false); err != nil {
			l.close(c, err)
			return
		}
		if c.sendWaits && c.onWritable != nil {
			c.sendWaits = false
			c.onWritable(c)
		}
	}
}

// overflows closes a connection whose replies exceed the hard limit before any of them is tried to be sent, as in Redis: whether it lives
// must not hang on how much the kernel takes. What fits in a first buffer does not count, so that no limit makes a server mute.
func (l *Loop) overflows(c *Conn) bool {
	if c.unsent() <= outBufBytes || l.limits.OutputHardBytes == 0 && c.limits == nil {
		return false
	}
	l.checkOutput(c)
	return c.stop&(stopDead|stopDoomed) != 0
}

// checkOutput closes a connection whose unsent output exceeds its limits.
func (l *Loop) checkOutput(c *Conn) {
	lim := OutputLimits{l.limits.OutputHardBytes, l.limits.OutputSoftBytes, l.limits.OutputSoftFor}
	if c.limits != nil {
		lim = *c.limits
	}
	n := c.unsent()
	over := lim.HardBytes > 0 && n > lim.HardBytes
	if lim.SoftBytes > 0 && n > lim.SoftBytes {
		if c.softOver == 0 {
			c.softOver = l.mono
			l.After(lim.SoftFor+time.Millisecond, func() {
				// It may be on another loop by now, then with nothing unsent.
				if c.loop.Load() == l && c.stop&stopDead == 0 && c.softOver != 0 {
					l.checkOutput(c)
				}
			})
		} else if l.mono-c.softOver > int64(lim.SoftFor) {
			over = true
		}
	} else {
		c.softOver = 0
	}
	if over {
		l.srv.stats.outputLimit.Add(1)
		l.srv.logf('#', "Client id=%d addr=%s scheduled to be closed ASAP for overcoming of output buffer limits: omem=%d", c.id, c.RemoteAddr(), n)
		l.close(c, ErrOutputLimit)
	}
}

// getBuf lends an output buffer.
func (l *Loop) getBuf() []byte {
	if n := len(l.bufs); n > 0 {
		b := l.bufs[n-1]
		l.bufs = l.bufs[:n-1]
		return b
	}
	return make([]byte, 0, outBufBytes)
}

// maxPooledBufs bounds the memory that a loop keeps for output buffers.
const maxPooledBufs = 1024

func (l *Loop) putBuf(b []byte) {
	if cap(b) >= outBufBytes && cap(b) <= keepBufBytes && len(l.bufs) < maxPooledBufs {
		l.bufs = append(l.bufs, b[:0])
	}
}
