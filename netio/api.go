// Package netio owns sockets, event loops, RESP parsing, output buffers and gates.
//
// CONTRACT FILE: signatures the other packages build on; the implementation replaces the panics.
package netio

import (
	"net"
	"time"

	"tidemark/netio/resp"
)

// Handler is what the loops serve. All methods but Commit run on the connection's loop, one at a time per loop.
type Handler interface {
	// Accept is called for a new connection before its first byte is read; it sets c.Session. A non-empty refusal is sent
	// (a whole error line without '-' and CRLF) and the connection closed.
	Accept(c *Conn) (refusal string)
	// Serve executes the requests that stand complete in the input: it calls c.Next until that returns false.
	Serve(c *Conn)
	// Close is called once, after the last Serve. The socket is still open; err says why (io.EOF: the client left).
	Close(c *Conn, err error)
	// EndTurn is called when all ready connections were served and before replies are flushed. It says what is to be committed.
	EndTurn(l *Loop) CommitMode
	// Commit plays the committer's role after a turn whose EndTurn asked for it. It may block on the disk. Another thread may
	// by then have taken the loop over, so it must touch nothing of the loop or its connections.
	Commit()
	// Watermark is the current value of the gates' watermark (for aof: Synced).
	Watermark() int64
	// Woken runs on the loop after Wake (coalesced), before gated replies are tried again.
	Woken(l *Loop)
}

// CommitMode is EndTurn's answer.
type CommitMode uint8

const (
	CommitNone    CommitMode = iota
	CommitInline             // by the loop's thread, guarded: the standby takes the loop over when it lasts more than 1 ms
	CommitHandoff            // by the standby thread, while the loop goes on
)

// Config is what the loops need. Durations zero: off.
type Config struct {
	Addrs     []string // "ip:port"
	UnixPath  string
	UnixPerm  uint32
	Backlog   int
	KeepAlive time.Duration
	MaxLoops  int
	Limits    Limits
	Logf      func(level byte, format string, args ...any)
}

// Limits can change while running (Server.SetLimits).
type Limits struct {
	MaxClients      int
	Idle            time.Duration // timeout
	MaxBulkBytes    int64         // proto-max-bulk-len
	MaxQueryBytes   int64         // client-query-buffer-limit
	OutputHardBytes int64         // client-output-buffer-limit normal hard
	OutputSoftBytes int64
	OutputSoftFor   time.Duration
}

// Server is a set of event loops behind listeners.
type Server struct{}

// Listen opens the listeners. Nothing is served before Serve.
func Listen(cfg Config, h Handler) (*Server, error) { panic("contract") }

// Serve starts the loops and returns.
func (s *Server) Start() error                 { panic("contract") }
func (s *Server) SetLimits(l Limits)           { panic("contract") }
func (s *Server) SetKeepAlive(d time.Duration) { panic("contract") }

// Rebind replaces the TCP listeners (CONFIG SET bind / port).
func (s *Server) Rebind(addrs []string) error { panic("contract") }
func (s *Server) Addrs() []net.Addr           { panic("contract") }
func (s *Server) Loops() []*Loop              { panic("contract") }

// NumConns counts open client connections.
func (s *Server) NumConns() int { panic("contract") }

// StopAccepting closes listeners; Shutdown closes connections after flushing what can be flushed within d, and ends the loops.
func (s *Server) StopAccepting()           { panic("contract") }
func (s *Server) Shutdown(d time.Duration) { panic("contract") }

// Loop is one event loop. It may be run by different threads over time, never by two at once.
type Loop struct {
	Data any /* the handler's */
}

func (l *Loop) Index() int { panic("contract") }

// Now is the wall clock in Unix µs as of the latest readiness event; no system call.
func (l *Loop) Now() int64 { panic("contract") }

// Wake makes the loop call Handler.Woken and flush open gates. Any goroutine; coalesced; no allocation.
func (l *Loop) Wake() { panic("contract") }

// Post runs f on the loop. Any goroutine.
func (l *Loop) Post(f func(l *Loop)) { panic("contract") }

// Timer fires once on its loop. No goroutine. Loop thread only.
type Timer struct{}

func (l *Loop) After(d time.Duration, f func()) *Timer { panic("contract") }
func (t *Timer) Stop()                                 { panic("contract") }

// Request is one command as parsed. Args and Raw are views into the connection's input, valid until the next call of Next
// or the return of Serve.
type Request struct {
	Args [][]byte
	Raw  []byte // the request's bytes as received; nil for an inline command
}

// Conn is one client connection. Loop thread only, except as said.
type Conn struct {
	Session any         // the handler's
	W       resp.Writer // replies are appended here; netio takes them
}

// Next parses the next request. False: nothing complete is left, or the connection is held, closing, or out of protocol
// (netio replies and closes by itself).
func (c *Conn) Next(r *Request) bool { panic("contract") }

// Gate lets no reply byte written from position pos of c.W.B on leave before Watermark() >= off. Replies keep their order.
func (c *Conn) Gate(pos int, off int64) { panic("contract") }

// Hold stops parsing this connection's requests (a blocked client, a full ring, CLIENT PAUSE): Next returns false. Release resumes, and
// Serve is called again if input is waiting. While held, a closed peer is still noticed.
func (c *Conn) Hold()      { panic("contract") }
func (c *Conn) Release()   { panic("contract") }
func (c *Conn) Held() bool { panic("contract") }

// Unread puts the request that Next returned last back, so that Next returns it again after Release.
func (c *Conn) Unread() { panic("contract") }

// CloseAfterReply closes once what has been written is flushed.
func (c *Conn) CloseAfterReply() { panic("contract") }

// Kill closes at once. Any goroutine.
func (c *Conn) Kill() { panic("contract") }

// Push writes out-of-band or late replies: any time on the loop thread, flushes at the end of the turn.
func (c *Conn) Flush() { panic("contract") }

func (c *Conn) ID() int64          { panic("contract") } // never reused
func (c *Conn) Loop() *Loop        { panic("contract") } // any goroutine; may change between turns
func (c *Conn) FD() int            { panic("contract") }
func (c *Conn) RemoteAddr() string { panic("contract") } // "ip:port" or "path:0"; cached string
func (c *Conn) LocalAddr() string  { panic("contract") }
func (c *Conn) IsUnix() bool       { panic("contract") }
func (c *Conn) IsLoopback() bool   { panic("contract") } // for protected-mode
// SetLimitsExempt takes the connection out of the idle timeout and output limits.
func (c *Conn) SetIdleExempt(v bool) { panic("contract") }

// ConnStats is what CLIENT LIST shows. Bytes, Unix s.
type ConnStats struct {
	Created, LastActive              int64
	QueryBuf, QueryBufFree           int
	OutputBuf, OutputList, OutputMem int
	TotalIn, TotalOut                int64
}

func (c *Conn) Stats() ConnStats { panic("contract") }

// Stats sums over all loops.
type Stats struct {
	Accepted, Rejected, BytesIn, BytesOut, QueryLimitCloses, OutputLimitCloses int64
	LongestTurnNanos                                                           int64
}

func (s *Server) Stats() Stats { panic("contract") }
