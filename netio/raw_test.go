package netio

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// echo is a raw handler whose messages are a length (4 bytes) and so many bytes; it answers each with its length and the sum of its bytes.
type echo struct {
	held, calls, most atomic.Int64
	hold              func(c *Conn) bool // says to hold before the next message
	slow              bool               // takes one message a turn
	expect            bool
	closed            chan error
}

func (e *echo) ServeRaw(c *Conn) {
	e.calls.Add(1)
	for {
		in := c.Input()
		e.most.Store(max(e.most.Load(), int64(len(in))))
		if len(in) < 4 {
			return
		}
		n := int(binary.BigEndian.Uint32(in))
		if len(in) < 4+n {
			if e.expect {
				c.Expect(4 + n)
			}
			return
		}
		if e.hold != nil && e.hold(c) {
			e.held.Add(1)
			c.HoldQuietly()
			return
		}
		sum := uint32(0)
		for _, b := range in[4 : 4+n] {
			sum += uint32(b)
		}
		c.W.B = binary.BigEndian.AppendUint32(c.W.B, uint32(n))
		c.W.B = binary.BigEndian.AppendUint32(c.W.B, sum)
		c.Advance(4 + n)
		if e.slow {
			c.Again()
			return
		}
	}
}

func (e *echo) Close(c *Conn, err error) { e.closed <- err }

// adopted gives the far end of a connection that the server has adopted.
func adopted(t *testing.T, s *Server, begin func(c *Conn)) net.Conn {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	n, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	far.SetDeadline(time.Now().Add(20 * time.Second))
	f, err := n.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	n.Close()
	fd, err := unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := s.Adopt(fd, begin); err != nil {
		t.Fatal(err)
	}
	return far
}

func message(n int) (b []byte, sum uint32) {
	b = binary.BigEndian.AppendUint32(nil, uint32(n))
	for i := range n {
		b = append(b, byte(i*7))
		sum += uint32(byte(i * 7))
	}
	return b, sum
}

// TestRaw: messages of all sizes, cut anywhere, reach a raw handler whole, whether it says how much it needs or not.
func TestRaw(t *testing.T) {
	for _, e := range []*echo{{}, {expect: true}, {slow: true}, {expect: true, slow: true}} {
		e.closed = make(chan error, 1)
		s := serve(t, Config{}, newBook())
		far := adopted(t, s, func(c *Conn) { c.Session = e })
		sizes := []int{0, 1, 3, 100, 65536, 5, 700_000, 2, 1_500_000, 1, 30, 5_000_000}
		for range 2000 {
			sizes = append(sizes, 50)
		}
		sizes = append(sizes, 300_000, 7)
		go func() {
			var all []byte
			for _, n := range sizes {
				b, _ := message(n)
				all = append(all, b...)
			}
			for step := 1; len(all) > 0; step = step%90_000 + 4999 {
				n := min(step, len(all))
				if _, err := far.Write(all[:n]); err != nil {
					t.Error(err)
					return
				}
				all = all[n:]
			}
		}()
		r := bufio.NewReader(far)
		for i, n := range sizes {
			var got [8]byte
			if _, err := io.ReadFull(r, got[:]); err != nil {
				t.Fatalf("%+v: message %d: %v", e, i, err)
			}
			_, sum := message(n)
			if a, b := binary.BigEndian.Uint32(got[:]), binary.BigEndian.Uint32(got[4:]); a != uint32(n) || b != sum {
				t.Fatalf("%+v: message %d of %d bytes: got %d, sum %d, want %d", e, i, n, a, b, sum)
			}
		}
		far.Close()
		if err := <-e.closed; err != io.EOF {
			t.Error(err)
		}
	}
}

// TestRawExpect: a handler that waits for a long message is called when it is there, not for each read of it.
func TestRawExpect(t *testing.T) {
	e := &echo{expect: true, closed: make(chan error, 1)}
	s := serve(t, Config{}, newBook())
	far := adopted(t, s, func(c *Conn) { c.Session = e })
	const n = 20 << 20
	b, _ := message(n)
	go far.Write(b)
	var got [8]byte
	if _, err := io.ReadFull(far, got[:]); err != nil {
		t.Fatal(err)
	}
	if k := e.calls.Load(); k > 3 {
		t.Errorf("called %d times for one message", k)
	}
}

// TestRawHold: while it is held nothing is read and nothing lost, also not that the peer has left.
func TestRawHold(t *testing.T) {
	var conn atomic.Pointer[Conn]
	var open atomic.Bool
	e := &echo{closed: make(chan error, 1), hold: func(c *Conn) bool { conn.Store(c); return !open.Load() }}
	s := serve(t, Config{}, newBook())
	far := adopted(t, s, func(c *Conn) { c.Session = e })
	b, _ := message(100)
	far.Write(bytes.Repeat(b, 5))
	until(t, "it is held", func() bool { return e.held.Load() == 1 })
	far.Write(b)
	far.(*net.TCPConn).CloseWrite()
	time.Sleep(20 * time.Millisecond)
	if n := e.held.Load(); n != 1 {
		t.Fatalf("served %d times while held", n)
	}
	open.Store(true)
	conn.Load().Post(func(c *Conn) { c.Release() })
	got, err := io.ReadAll(far)
	if err != nil || len(got) != 6*8 {
		t.Fatalf("%d bytes of answers, %v", len(got), err)
	}
	if err := <-e.closed; err != io.EOF {
		t.Error(err)
	}
}

// TestRawKill: a killed raw connection is served nothing more, and told so.
func TestRawKill(t *testing.T) {
	var conn atomic.Pointer[Conn]
	e := &echo{closed: make(chan error, 1)}
	s := serve(t, Config{}, newBook())
	far := adopted(t, s, func(c *Conn) { c.Session = e; conn.Store(c) })
	until(t, "it is adopted", func() bool { return conn.Load() != nil })
	conn.Load().Kill()
	if err := <-e.closed; err != ErrKilled {
		t.Error(err)
	}
	if _, err := far.Read(make([]byte, 1)); err != io.EOF {
		t.Error(err)
	}
}

// TestPinned: balancing leaves a pinned connection where it is.
func TestPinned(t *testing.T) {
	c := &Conn{}
	if !c.movable() {
		t.Fatal("a connection that does nothing is not movable")
	}
	c.SetPinned(true)
	if c.movable() {
		t.Error("a pinned connection is movable")
	}
}

// TestCommitted: what Committed gives a connection leaves in the same turn, and a Wake during the commit calls it instead of Woken.
func TestCommitted(t *testing.T) {
	h := newBook()
	h.mode.Store(int32(CommitInline))
	h.onlyNew = true
	var wc atomic.Pointer[Conn]
	var loop atomic.Pointer[Loop]
	var told atomic.Int64
	h.commit = func(h *book) {
		h.raise(h.written.Load())
		loop.Load().Wake()
	}
	h.committed = func(l *Loop) {
		wc.Load().W.Int(told.Add(1))
		wc.Load().Flush()
	}
	s := serve(t, Config{MaxLoops: 1}, h)
	loop.Store(s.Loops()[0])
	watcher := dial(t, s)
	watcher.do(t, "PING")
	wc.Store(h.conn(t, watcher))
	c := dial(t, s)
	before := h.woken.Load()
	for i := range 20 {
		if got := c.do(t, "SET", "a", "b"); got != "+OK" {
			t.Fatal(got)
		}
		if got := watcher.reply(t); got != ":"+strconv.Itoa(i+1) {
			t.Fatalf("after %d commits the watcher has %q", i+1, got)
		}
	}
	// One more is possible: a commit handed off for want of a standby.
	if n := h.woken.Load() - before; n > 2 {
		t.Errorf("%d calls of Woken for 20 commits that Committed followed", n)
	}
}
