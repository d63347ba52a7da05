package netio

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// book is the handler of the tests: a map behind a lock, and commands that
// exercise one mechanism each.
type book struct {
	mu     sync.Mutex
	data   map[string]string
	refuse string

	written, synced atomic.Int64
	mode            atomic.Int32 // CommitMode after a turn that wrote
	committed       func(l *Loop)
	commit          func(h *book)              // what Commit does; nil: sync all at once
	custom          func(*Conn, *Request) bool // tried first
	ahead           func(*Conn)                // before each Next
	woken, turns    atomic.Int64
	onlyNew         bool // ask for a commit only after a turn that wrote
	asked           atomic.Int64

	conns  sync.Map // id → *Conn
	closed chan error
}

func newBook() *book { return &book{data: map[string]string{}, closed: make(chan error, 20000)} }

func (h *book) Accept(c *Conn) string {
	if h.refuse == "" {
		h.conns.Store(c.ID(), c)
		c.Session = new(int)
	}
	return h.refuse
}

func (h *book) Close(c *Conn, err error) {
	h.conns.Delete(c.ID())
	h.closed <- err
}

func (h *book) Woken(*Loop) { h.woken.Add(1) }

func (h *book) Committed(l *Loop) {
	if h.committed != nil {
		h.committed(l)
	}
}

func (h *book) Watermark() int64 { return h.synced.Load() }

func (h *book) EndTurn(l *Loop) CommitMode {
	h.turns.Add(1)
	if w := h.written.Load(); w == h.synced.Load() || h.onlyNew && h.asked.Swap(w) == w {
		return CommitNone
	}
	return CommitMode(h.mode.Load())
}

func (h *book) Commit() {
	if h.commit != nil {
		h.commit(h)
		return
	}
	h.raise(h.written.Load())
}

func (h *book) raise(w int64) {
	for {
		old := h.synced.Load()
		if w <= old || h.synced.CompareAndSwap(old, w) {
			return
		}
	}
}

func (h *book) Serve(c *Conn) {
	var r Request
	for h.next(c, &r) {
		if h.custom != nil && h.custom(c, &r) {
			continue
		}
		a := r.Args
		switch strings.ToUpper(string(a[0])) {
		case "PING":
			c.W.Simple("PONG")
		case "ECHO":
			c.W.Bulk(a[1])
		case "RAW":
			c.W.Bulk(r.Raw)
		case "SET":
			h.mu.Lock()
			h.data[string(a[1])] = string(a[2])
			h.mu.Unlock()
			if h.mode.Load() != int32(CommitNone) {
				c.Gate(len(c.W.B), h.written.Add(1))
			}
			c.W.OK()
		case "GET":
			h.mu.Lock()
			v, ok := h.data[string(a[1])]
			h.mu.Unlock()
			if ok {
				c.W.BulkString(v)
			} else {
				c.W.Null()
			}
		case "COUNT": // numbers the connection's requests
			n := c.Session.(*int)
			*n++
			c.W.Int(int64(*n))
		case "BIG":
			n, _ := strconv.Atoi(string(a[1]))
			c.W.Bulk(make([]byte, n))
		case "ID":
			c.W.Int(c.ID())
		case "QUIT":
			c.W.OK()
			c.CloseAfterReply()
		default:
			c.W.Error("ERR unknown command '" + string(a[0]) + "'")
		}
	}
}

// next is c.Next; every other connection's requests are parsed ahead.
func (h *book) next(c *Conn, r *Request) bool {
	if h.ahead != nil {
		h.ahead(c)
	} else if c.ID()%2 == 0 {
		c.Ahead()
	}
	return c.Next(r)
}

// conn waits until the server knows the client's connection.
func (h *book) conn(t testing.TB, cl *client) *Conn {
	t.Helper()
	id, err := strconv.ParseInt(cl.do(t, "ID")[1:], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := h.conns.Load(id)
	return c.(*Conn)
}

func serve(t testing.TB, cfg Config, h Handler) *Server {
	t.Helper()
	if cfg.Addrs == nil {
		cfg.Addrs = []string{"127.0.0.1:0"}
	}
	s, err := Listen(cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown(0) })
	return s
}

type client struct {
	net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, s *Server) *client {
	t.Helper()
	a := s.Addrs()[0]
	n, err := net.Dial(a.Network(), a.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	n.SetDeadline(time.Now().Add(30 * time.Second))
	return &client{n, bufio.NewReaderSize(n, 64<<10)}
}

func request(args ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b.String()
}

func (c *client) send(t testing.TB, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

// reply reads one reply: its first line, and a bulk's content after a space.
func (c *client) reply(t testing.TB) string {
	t.Helper()
	s, err := c.read()
	if err != nil {
		t.Fatal("reading a reply: ", err)
	}
	return s
}

func (c *client) read() (string, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSuffix(line, "\r\n")
	if line[0] == '$' && line != "$-1" {
		n, err := strconv.Atoi(line[1:])
		if err != nil {
			return "", err
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(c.r, b); err != nil {
			return "", err
		}
		return "$" + string(b[:n]), nil
	}
	return line, nil
}

func (c *client) do(t testing.TB, args ...string) string {
	t.Helper()
	c.send(t, request(args...))
	return c.reply(t)
}

func (c *client) want(t testing.TB, want string) {
	t.Helper()
	if got := c.reply(t); got != want {
		t.Fatalf("reply %.100q, want %.100q", got, want)
	}
}

// wantEnd: the server closes without a further byte.
func (c *client) wantEnd(t testing.TB) {
	t.Helper()
	if b, err := c.r.ReadByte(); err == nil {
		t.Fatalf("got byte %q, want the end", b)
	} else if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		t.Fatal("not closed")
	}
}

// nothing: no reply is there, and none can come without further events. It asks the
// loop itself: two turns have passed since the request was sent.
func (c *client) nothing(t testing.TB) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
	b, err := c.r.ReadByte()
	if err == nil {
		t.Fatalf("got byte %q too early", b)
	}
	if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(30 * time.Second))
}

// until waits for a condition that no event announces.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: ", what)
		}
	}
}
