package netio

import (
	"errors"
	"io"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"tidemark/netio/resp"
)

// Reasons given to Handler.Close besides io.EOF and the socket's own errors.
var (
	ErrKilled      = errors.New("killed")
	ErrClosed      = errors.New("closed after the reply")
	ErrIdle        = errors.New("idle for longer than the timeout")
	ErrProtocol    = errors.New("protocol error")
	ErrQueryLimit  = errors.New("query buffer limit reached")
	ErrOutputLimit = errors.New("output buffer limit reached")
	ErrShutdown    = errors.New("server shut down")
)

// What keeps Next from returning requests; bits of Conn.stop.
const (
	stopHeld    = 1 << iota // Hold
	stopClosing             // closes once the output is flushed
	stopDoomed              // closes when Serve returns
	stopDead                // closed
)

// Conn is one client connection. Loop thread only, except as said.
type Conn struct {
	Session any         // the handler's
	W       resp.Writer // replies are appended here; netio takes them

	loop   atomic.Pointer[Loop] // where it is, or is going to
	home   atomic.Pointer[Loop] // where it is attached; nil on the way
	killed atomic.Bool
	srv    *Server
	id     int64
	fd     int
	tag    uint32 // tells events of this connection from those of an earlier one with the same fd

	stop       uint8
	unauth     bool
	quiet      bool // held for a reason of the server's: the end of input can wait
	idleExempt bool
	unix       bool
	adopted    bool // by Adopt: not a client
	pinned     bool // SetPinned
	raw        RawHandler

	// input; see input.go
	serving bool
	shared  bool // in is a view into the loop's buffer
	more    bool // own[ownPos:] may hold whole requests
	rd      bool // the socket may have something to read
	ended   bool // the peer has announced the end of its input
	queued  bool // in loop.ready
	budget  int32
	in      []byte // what is being served; in[pos:] is not yet parsed
	pos     int
	last    int    // where the request that Next returned last starts
	huge    bool   // own is not Go memory; see huge.go
	expect  int    // Expect
	own     []byte // what was left between turns, from ownPos on
	ownPos  int
	part    *resp.Partial

	// output; see output.go
	dirty    bool // in loop.dirty
	wantOut  bool // the socket was full: wait for EPOLLOUT
	gated    bool // in loop.gated
	linger   bool // Linger; and when it was said, on the loop's monotonic clock
	inLinger bool // in loop.lingering
	lingerAt int64
	round    uint32 // when the last gate opened; see gather.go
	off      int    // bytes of the front buffer already sent
	sent     int64
	wbase    int64 // position of W.B[0] in the stream of all output
	chunks   [][]byte
	gates    []gate
	softOver int64 // since when the soft output limit is exceeded, ns; 0: it is not
	limits   *OutputLimits
	held     int64 // what this connection has in Loop.held
	heldSeen atomic.Int64

	// direct sending; see send.go
	sendWaits  bool // Send took less than it was given
	onWritable func(c *Conn)

	created    int64 // Unix µs
	active     int64
	in64       int64
	peer       netip.AddrPort
	remoteText string
	localText  string
	closeErr   error
}

// OutputLimits are client-output-buffer-limit's three values. Zero: no limit.
type OutputLimits struct {
	HardBytes, SoftBytes int64
	SoftFor              time.Duration
}

// Hold stops parsing this connection's requests (a blocked client, CLIENT
// PAUSE): Next returns false. Release resumes, and Serve is called again if
// input is waiting. While held, a closed peer is still noticed.
func (c *Conn) Hold() { c.stop |= stopHeld; c.quiet = false }

// HoldQuietly is Hold for a reason that is the server's own, such as a full
// ring: that the client has finished writing is noticed only when its input
// has been served.
func (c *Conn) HoldQuietly() {
	c.stop |= stopHeld
	c.quiet = true
}

// Release ends Hold. Waiting input is served in the next turn.
func (c *Conn) Release() {
	if c.stop&stopHeld == 0 {
		return
	}
	c.stop &^= stopHeld
	c.linger = false
	if c.stop == 0 && !c.serving && (c.more || c.rd) {
		c.l().enqueue(c)
	}
}

// Held reports whether the connection is held.
func (c *Conn) Held() bool { return c.stop&stopHeld != 0 }

// CloseAfterReply closes once what has been written is flushed.
func (c *Conn) CloseAfterReply() {
	c.stop |= stopClosing
	c.closeErr = ErrClosed
	if !c.serving {
		c.Flush()
	}
}

// Kill closes at once: no further request is executed and unsent output is
// dropped. Any goroutine.
func (c *Conn) Kill() {
	if c.killed.Swap(true) {
		return
	}
	c.Post(func(c *Conn) { c.l().close(c, ErrKilled) })
}

// Post runs f on the connection's loop, wherever it is by then; not at all when
// the connection has closed. Any goroutine.
func (c *Conn) Post(f func(c *Conn)) {
	c.loop.Load().Post(func(l *Loop) {
		switch {
		case c.home.Load() != l:
			// It has moved, or is coming and this function was quicker.
			c.Post(f)
		case c.stop&stopDead == 0:
			f(c)
		}
	})
}

// Flush has late replies written at the end of the turn. Loop thread, at any
// time; replies appended during Serve need it not.
func (c *Conn) Flush() {
	if !c.dirty && c.stop&stopDead == 0 {
		c.dirty = true
		l := c.l()
		l.dirty = append(l.dirty, c)
	}
}

// SetAuthenticated false applies the limits for clients that have not
// authenticated (10 arguments, bulks of 16 KiB). The default is true.
func (c *Conn) SetAuthenticated(v bool) {
	c.unauth = !v
	if c.serving {
		l := c.l()
		l.parser.Unauth = !v
		l.ahead = l.ahead[:l.aheadAt] // parsed by the other rules
	}
}

// SetIdleExempt takes the connection out of the idle timeout.
func (c *Conn) SetIdleExempt(v bool) { c.idleExempt = v }

// SetPinned true keeps the connection on its loop: balancing moves others.
func (c *Conn) SetPinned(v bool) { c.pinned = v }

// SetOutputLimits gives the connection limits of its own instead of those of
// Limits (for the pubsub and replica classes); nil goes back.
func (c *Conn) SetOutputLimits(o *OutputLimits) { c.limits = o }

// ID is unique in the process and never reused. Any goroutine.
func (c *Conn) ID() int64 { return c.id }

// Loop is the connection's loop. Any goroutine; it may change between turns, so
// a function posted to it must look again (Conn.Post does).
func (c *Conn) Loop() *Loop { return c.loop.Load() }

// l is Loop on the loop's thread.
func (c *Conn) l() *Loop { return c.loop.Load() }

// FD is the socket's descriptor, valid until Handler.Close has returned.
func (c *Conn) FD() int { return c.fd }

// IsUnix reports whether the client came through the unix socket.
func (c *Conn) IsUnix() bool { return c.unix }

// IsLoopback reports whether the client is on this machine (for protected-mode).
func (c *Conn) IsLoopback() bool { return c.unix || c.peer.Addr().Unmap().IsLoopback() }

// RemoteAddr is "ip:port", or "path:0" for a unix socket, as Redis writes it.
func (c *Conn) RemoteAddr() string {
	if c.remoteText == "" {
		if c.unix {
			c.remoteText = c.srv.cfg.UnixPath + ":0"
		} else {
			c.remoteText = addrText(c.peer)
		}
	}
	return c.remoteText
}

// LocalAddr is this side's address, written like RemoteAddr.
func (c *Conn) LocalAddr() string {
	if c.localText == "" {
		if c.unix {
			c.localText = c.srv.cfg.UnixPath + ":0"
		} else if sa, err := unix.Getsockname(c.fd); err == nil {
			c.localText = addrText(addrPort(sa))
		}
	}
	return c.localText
}

func addrText(a netip.AddrPort) string {
	return a.Addr().Unmap().String() + ":" + strconv.Itoa(int(a.Port()))
}

// ConnStats is what CLIENT LIST shows. Bytes, Unix s.
type ConnStats struct {
	Created, LastActive              int64
	QueryBuf, QueryBufFree           int
	OutputBuf, OutputList, OutputMem int
	TotalIn, TotalOut                int64
}

// Stats describes the connection. Loop thread.
func (c *Conn) Stats() ConnStats {
	s := ConnStats{Created: c.created / 1e6, LastActive: c.active / 1e6, TotalIn: c.in64, TotalOut: c.sent}
	if c.serving {
		s.QueryBuf = len(c.in) - c.last
		if !c.shared { // otherwise it is the loop's
			s.QueryBufFree = cap(c.in) - len(c.in)
		}
	} else {
		s.QueryBuf = len(c.own) - c.ownPos
		s.QueryBufFree = cap(c.own) - len(c.own)
	}
	if c.huge {
		s.QueryBufFree = 0 // address space, not memory
	}
	s.OutputBuf = len(c.W.B)
	s.OutputList = len(c.chunks)
	s.OutputMem = cap(c.W.B)
	for _, ch := range c.chunks {
		s.OutputMem += cap(ch)
	}
	if len(c.chunks) == 0 {
		s.OutputBuf -= c.off
	}
	return s
}

// weigh brings Loop.held up to date with what the connection's buffers take. Loop thread.
func (l *Loop) weigh(c *Conn) {
	n := int64(cap(c.own))
	if c.huge {
		n = int64(len(c.own)) // the rest is address space
	}
	n += c.unsent()
	was := c.held
	if n == was {
		return
	}
	l.held += n - was
	c.held = n
	if (n|was)>>10 != 0 { // smaller ones are not worth the store
		c.heldSeen.Store(n)
		if d := l.held - l.heldSeen.Load(); d > heldSlack || d < -heldSlack {
			l.heldSeen.Store(l.held) // otherwise at the end of the turn
		}
	}
}

// heldSlack is how wrong Server.BufferedBytes may be for a loop in the middle of a turn.
const heldSlack = 64 << 10

// Buffered is what the connection's buffers take for input that is not complete and output that is not sent, to a KiB, in bytes. Any goroutine.
func (c *Conn) Buffered() int64 { return c.heldSeen.Load() }

// Killed reports whether Kill was called. Any goroutine.
func (c *Conn) Killed() bool { return c.killed.Load() }

// tellClosed tells the handler, or a raw connection's own.
func (c *Conn) tellClosed(err error) {
	if c.raw != nil {
		c.raw.Close(c, err)
	} else {
		c.srv.handler.Close(c, err)
	}
}

// close ends the connection now, or when Serve returns if it is being served.
func (l *Loop) close(c *Conn, err error) {
	if c.stop&stopDead != 0 {
		return
	}
	if c.serving {
		if c.stop&stopDoomed == 0 {
			c.stop |= stopDoomed
			c.closeErr = err
		}
		return
	}
	if err == nil {
		err = io.EOF
	}
	c.stop |= stopDead
	c.tellClosed(err)
	// The number of the descriptor is reused the moment it is closed, maybe by
	// a connection of another loop: the slot must be free by then.
	l.slots[c.fd] = nil
	l.conns--
	if !c.adopted {
		l.srv.numConns.Add(-1)
	}
	closeFD(c.fd)
	l.putBuf(c.W.B)
	c.W.B, c.chunks, c.gates = nil, nil, nil
	c.in = nil
	c.dropOwn()
	l.held -= c.held
	c.held = 0
	if c.part != nil {
		l.putPart(c.part)
		c.part = nil
	}
}
