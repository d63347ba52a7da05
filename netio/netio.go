// Package netio owns sockets, event loops, RESP parsing, output buffers and
// gates. It knows nothing of keys and commands: a Handler executes the requests.
//
// # Words
//
//   - loop: an epoll instance with its connections, timers and buffers. At any
//     moment at most one thread runs it; which one can change (see crew.go).
//   - turn: one pass of a loop: wait, read, serve, EndTurn, flush, Commit.
//   - gate: a position in a connection's output and a number; the bytes from that position on do
//     not leave before the handler's Watermark has reached the number.
//   - held: a connection whose requests are not parsed for the time being.
//
// # One turn
//
//	epoll_wait ─► for each ready connection: one read into the loop's buffer,
//	              Handler.Serve pulls requests with Conn.Next and appends replies
//	           ─► posted functions, Woken, timers
//	           ─► Handler.EndTurn says what is to be committed
//	           ─► replies whose gate is open: one write per connection
//	           ─► Handler.Commit, guarded by the standby thread; Handler.Committed
//	           ─► replies whose gate that has opened
//
// An idle connection owns no buffer: input is read into a buffer of the loop
// and only what is left of an incomplete request is kept; output buffers are lent from the
// loop's pool until they have been written.
//
// # Who may touch what
//
// A Loop's and a Conn's fields belong to the thread that runs the loop, except
// those that are atomic or said to be guarded by a mutex. There is no lock on the path of
// a request.
package netio

import "time"

// Handler is what the loops serve. All methods but Commit and Watermark run on the
// connection's loop, one at a time per loop; different loops call at once.
type Handler interface {
	// Accept is called for a new connection before its first byte is read;
	// it sets c.Session. A non-empty refusal (an error line without '-' and CRLF) is sent
	// and the connection closed, without a call of Close.
	Accept(c *Conn) (refusal string)
	// Serve executes the requests that stand complete in the input: it calls
	// c.Next until that returns false.
	Serve(c *Conn)
	// Close is called once, after the last Serve. The socket is still open;
	// err says why (io.EOF: the client left).
	Close(c *Conn, err error)
	// EndTurn is called when all ready connections were served and before
	// replies are flushed. It says what is to be committed.
	EndTurn(l *Loop) CommitMode
	// Commit plays the committer's role after a turn whose EndTurn asked for
	// it. It may block on the disk. Another thread may by then have taken the
	// loop over, so it must touch nothing of the loop or its connections. Several
	// threads can be in Commit at once. When it returns, loops with gated replies
	// look at the watermark; when that moves at another time, the handler calls
	// Loop.Wake.
	Commit()
	// Committed is called on the loop right after its own Commit has returned (CommitInline), unless another thread has taken the
	// loop over meanwhile. Output that it gives connections leaves in the same turn. It stands for Woken too: a
	// Wake from within that Commit, or from elsewhere while it ran, calls only this.
	Committed(l *Loop)
	// Watermark is the current value of the gates' watermark. Any goroutine.
	Watermark() int64
	// Woken runs on the loop after Wake (coalesced), before gated replies are
	// tried again.
	Woken(l *Loop)
}

// Mover is a Handler that wants to know when a connection changes its loop. Moved
// runs on the new loop, before anything else there that concerns c.
type Mover interface {
	Moved(c *Conn, from *Loop)
}

// CommitMode is EndTurn's answer.
type CommitMode uint8

const (
	// CommitNone: nothing to commit.
	CommitNone CommitMode = iota
	// CommitInline: by the loop's thread, guarded: the standby takes the
	// loop over when it lasts more than a millisecond.
	CommitInline
	// CommitHandoff: by another thread, while the loop goes on. Asking again
	// while that runs makes it run once more afterwards.
	CommitHandoff
)

// Config is what the loops need. Durations zero: off.
type Config struct {
	// Addrs are "ip:port". The ip may be "*" (every IPv4 address), "::*" or
	// "::" (every IPv6 address), and have a '-' in front: then it is left out when
	// the machine has no such address.
	Addrs     []string
	UnixPath  string
	UnixPerm  uint32 // mode of the socket's file; 0 leaves it to the umask
	Backlog   int    // 0: 511
	KeepAlive time.Duration
	MaxLoops  int // 0: one for each CPU the process may use
	Limits    Limits
	// Logf takes Redis's log levels: '.' debug, '-' verbose, '*' notice, '#' warning. It may be nil.
	Logf func(level byte, format string, args ...any)
}

// Limits can change while running (Server.SetLimits). Zero: no limit, except
// that MaxBulkBytes 0 means 512 MiB.
type Limits struct {
	MaxClients      int
	Idle            time.Duration // timeout
	MaxBulkBytes    int64         // proto-max-bulk-len
	MaxQueryBytes   int64         // client-query-buffer-limit
	OutputHardBytes int64         // client-output-buffer-limit normal hard
	OutputSoftBytes int64
	OutputSoftFor   time.Duration
}

// Request is one command as parsed. Args and Raw are views into the
// connection's input, valid until the next call of Next or the return of Serve.
type Request struct {
	Args [][]byte
	Raw  []byte // the request's bytes as received; nil for an inline command
	end  int    // of one parsed ahead: where it ends in Conn.in
}
