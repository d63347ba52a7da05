package netio

import "golang.org/x/sys/unix"

// Direct sending, for connections whose output is a stream that lies in memory elsewhere (a replica's): it goes from there to the
// socket without being copied into an output buffer first, and the sender, not the connection, keeps what the socket does not take.

// Send writes p to the socket, as far as that takes it at once, and returns how much it took. What stands in W goes first; until all of that
// has left, Send takes nothing. When it took less than p, the function given to OnWritable is called once there is room again. An error has
// closed the connection, or will when Serve returns. p is not kept. Loop thread.
func (c *Conn) Send(p []byte) (n int, err error) {
	if c.stop&(stopDead|stopDoomed) != 0 {
		return 0, ErrClosed
	}
	if !c.Sent() {
		if c.stop&(stopDead|stopDoomed) != 0 {
			return 0, ErrClosed
		}
		return 0, nil
	}
	l := c.l()
	for {
		var errno unix.Errno
		if n, errno = sysWrite(c.fd, p); errno == unix.EINTR {
			continue
		} else if errno == unix.EAGAIN {
			n = 0
		} else if errno != 0 {
			l.close(c, errno)
			return 0, errno
		}
		break
	}
	c.sent += int64(n)
	c.wbase += int64(n)
	if n > 0 {
		l.turnOut += int64(n)
		l.turnWrites++
	}
	if n < len(p) {
		c.sendWaits, c.wantOut = true, true
		if err := l.poll.wantWrite(c.fd, c.tag, true); err != nil {
			l.close(c, err)
			return n, err
		}
	}
	return n, nil
}

// Sent writes what stands in W and reports whether all of it has left, so that somebody else may write to the socket. If it has not, the function
// given to OnWritable is called once there is room. Loop thread.
func (c *Conn) Sent() bool {
	if c.unsent() > 0 && !c.wantOut && c.stop&(stopDead|stopDoomed) == 0 {
		c.l().write(c, c.end())
	}
	if c.stop&(stopDead|stopDoomed) != 0 {
		return false
	}
	if c.wantOut || c.unsent() > 0 {
		c.sendWaits = true
		return false
	}
	return true
}

// OnWritable sets what is called, on the loop, when a connection that did not take all that Send was given has room again.
func (c *Conn) OnWritable(f func(c *Conn)) { c.onWritable = f }
