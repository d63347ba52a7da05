package netio

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestSlowReader(t *testing.T) {
	h := newBook()
	s := serve(t, Config{}, h)
	slow, other := dial(t, s), dial(t, s)
	sc := h.conn(t, slow)
	const n, size = 100, 1 << 20
	slow.send(t, strings.Repeat(request("BIG", strconv.Itoa(size)), n))
	until(t, "all executed", func() bool {
		if got := other.do(t, "PING"); got != "+PONG" {
			t.Fatal(got)
		}
		st := make(chan ConnStats)
		sc.Post(func(c *Conn) { st <- c.Stats() })
		s := <-st
		return int64(s.OutputMem)+s.TotalOut >= n*size
	})
	// The kernel's buffers take a few MB of it.
	until(t, "the rest is accounted for", func() bool { b := s.BufferedBytes(); return b > n*size/2 && b <= n*(size+16) })
	want := "$" + string(make([]byte, size))
	for range n {
		slow.want(t, want)
	}
	until(t, "the memory is given back", func() bool { return s.BufferedBytes() == 0 })
	before := s.Stats()
	if got := slow.do(t, "PING"); got != "+PONG" {
		t.Fatal(got)
	}
	until(t, "the turns are counted", func() bool {
		after := s.Stats()
		return after.Turns > before.Turns && after.TurnNanos > before.TurnNanos
	})
}

func TestOutputLimits(t *testing.T) {
	h := newBook()
	s := serve(t, Config{Limits: Limits{OutputHardBytes: 8 << 20}}, h)
	slow := dial(t, s)
	slow.send(t, strings.Repeat(request("BIG", "1000000"), 50))
	if err := <-h.closed; err != ErrOutputLimit {
		t.Errorf("hard limit: %v", err)
	}
	s.SetLimits(Limits{OutputSoftBytes: 1 << 20, OutputSoftFor: time.Millisecond})
	slow = dial(t, s)
	slow.send(t, strings.Repeat(request("BIG", "1000000"), 50))
	until(t, "soft limit", func() bool {
		// The soft limit is looked at when there is more output.
		slow.Write([]byte(request("PING")))
		return len(h.closed) > 0
	})
	if err := <-h.closed; err != ErrOutputLimit {
		t.Errorf("soft limit: %v", err)
	}
	if n := s.Stats().OutputLimitCloses; n != 2 {
		t.Errorf("%d closes counted", n)
	}
	// A limit of its own replaces the common one.
	own := dial(t, s)
	h.conn(t, own).Post(func(c *Conn) { c.SetOutputLimits(&OutputLimits{}) })
	own.send(t, strings.Repeat(request("BIG", "1000000"), 50)+request("PING"))
	for range 50 {
		own.reply(t)
	}
	own.want(t, "+PONG")
}

// TestEndOfInputKeepsReplies: a client that has closed its writing side gets
// its gated replies.
func TestEndOfInputKeepsReplies(t *testing.T) {
	h := newBook()
	release := make(chan struct{})
	h.commit = func(h *book) { w := h.written.Load(); <-release; h.raise(w) }
	h.mode.Store(int32(CommitHandoff))
	s := serve(t, Config{}, h)
	c := dial(t, s)
	c.send(t, request("SET", "a", "b"))
	c.Conn.(*net.TCPConn).CloseWrite()
	c.nothing(t)
	close(release)
	c.want(t, "+OK")
	c.wantEnd(t)
}

func TestCloseAfterReply(t *testing.T) {
	h := newBook()
	s := serve(t, Config{}, h)
	c := dial(t, s)
	c.send(t, request("BIG", "3000000")+request("QUIT")+request("SET", "x", "y"))
	if r := c.reply(t); len(r) != 3000001 {
		t.Fatal(len(r))
	}
	c.want(t, "+OK")
	c.wantEnd(t)
	d := dial(t, s)
	if got := d.do(t, "GET", "x"); got != "$-1" {
		t.Error("executed after CloseAfterReply")
	}
	h.conn(t, d).Post(func(c *Conn) {
		c.W.Simple("bye")
		c.CloseAfterReply()
	})
	d.want(t, "+bye")
	d.wantEnd(t)
}

func TestLateReply(t *testing.T) {
	h := newBook()
	s := serve(t, Config{}, h)
	c := dial(t, s)
	h.conn(t, c).Post(func(c *Conn) {
		c.W.Simple("late")
		c.Flush()
		c.Flush()
	})
	c.want(t, "+late")
}
