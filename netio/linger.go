package netio

// Lingering: one write for two replies
//
// A client that sends a write and a WAIT for it in one packet gets two replies, the second of them some 100 µs after the first. Written as they come they
// cost two system calls, which are more than half of the server's time by then, and wake the client twice. So the first one
// may linger: it leaves with what follows, or after lingerNanos, so that a client whose wait is long has it all the same.

// lingerNanos is about the longest that a reply lingers. A replica's acknowledgement takes a tenth of it.
const lingerNanos = 1_000_000

// Linger says that the reply to the request that the connection is held for will soon follow: until Release, but for about a millisecond at most, what has been
// replied so far need not leave. Loop thread.
func (c *Conn) Linger() {
	c.linger, c.lingerAt = true, c.l().mono
}

// leave is write for output that may linger.
func (l *Loop) leave(c *Conn, limit int64) {
	if !c.linger || c.stop&stopHeld == 0 || c.stop&stopClosing != 0 || c.wantOut || c.unsent() > outBufBytes || l.mono-c.lingerAt >= lingerNanos {
		l.write(c, limit)
		return
	}
	if c.inLinger {
		return
	}
	c.inLinger = true
	l.lingering = append(l.lingering, c)
	if len(l.lingering) == 1 {
		l.After(lingerNanos, l.endLinger)
	}
}

// endLinger writes what has lingered for long enough.
func (l *Loop) endLinger() {
	kept := l.lingering[:0]
	for _, c := range l.lingering {
		switch {
		case c.stop&stopDead != 0 || !c.linger || c.unsent() == 0:
			c.inLinger = false
		case l.mono-c.lingerAt < lingerNanos:
			kept = append(kept, c)
		default:
			c.inLinger, c.linger = false, false
			c.Flush()
		}
	}
	clear(l.lingering[len(kept):])
	if l.lingering = kept; len(kept) > 0 {
		l.After(lingerNanos/2, l.endLinger)
	}
}
