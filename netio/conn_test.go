package netio

import (
	"bufio"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestKill(t *testing.T) {
	h := newBook()
	h.custom = func(c *Conn, r *Request) bool {
		if string(r.Args[0]) != "KILLME" {
			return false
		}
		c.Kill()
		return true
	}
	s := serve(t, Config{}, h)
	c, d := dial(t, s), dial(t, s)
	sc := h.conn(t, c)
	sc.Kill()
	sc.Kill()
	c.wantEnd(t)
	if err := <-h.closed; err != ErrKilled {
		t.Error(err)
	}
	d.send(t, request("KILLME")+request("SET", "after", "1"))
	d.wantEnd(t)
	if err := <-h.closed; err != ErrKilled {
		t.Error(err)
	}
	if got := dial(t, s).do(t, "GET", "after"); got != "$-1" {
		t.Errorf("executed after Kill: %q", got)
	}
}

func TestHold(t *testing.T) {
	h := newBook()
	h.custom = func(c *Conn, r *Request) bool {
		n := c.Session.(*int)
		if string(r.Args[0]) == "BLOCK" && *n == 0 {
			*n++
			c.Unread()
			c.Hold()
			return true
		}
		if string(r.Args[0]) == "BLOCK" {
			c.W.BulkString("retried " + string(r.Args[1]))
			return true
		}
		return false
	}
	s := serve(t, Config{}, h)
	c := dial(t, s)
	sc := h.conn(t, c)
	c.send(t, request("PING")+request("BLOCK", "x")+request("PING"))
	c.want(t, "+PONG")
	c.nothing(t)
	c.send(t, request("ECHO", "later"))
	c.nothing(t)
	sc.Post(func(c *Conn) {
		if !c.Held() {
			t.Error("not held")
		}
		c.Release()
	})
	c.want(t, "$retried x")
	c.want(t, "+PONG")
	c.want(t, "$later")

	// An inline request can be put back too.
	c2 := dial(t, s)
	sc2 := h.conn(t, c2)
	c2.send(t, "BLOCK \"a b\"\r\n")
	c2.nothing(t)
	sc2.Post(func(c *Conn) { c.Release() })
	c2.want(t, "$retried a b")

	// A held client that leaves is noticed, also with input waiting.
	c3 := dial(t, s)
	h.conn(t, c3)
	c3.send(t, request("BLOCK", "x"))
	c3.nothing(t)
	c3.send(t, request("PING"))
	c3.Close()
	if err := <-h.closed; err != io.EOF {
		t.Error(err)
	}
}

// TestHeldAfterEnd: a client that says something which holds it, and in the same breath that it has finished, is noticed although no
// further event comes. It gets what it was promised before.
func TestHeldAfterEnd(t *testing.T) {
	h := newBook()
	h.custom = func(c *Conn, r *Request) bool {
		switch string(r.Args[0]) {
		case "BLOCK":
			c.Hold()
		case "GATED":
			c.Gate(len(c.W.B), 10)
			c.W.Simple("GATED")
		default:
			return false
		}
		return true
	}
	s := serve(t, Config{}, h)
	for _, promised := range []string{"", "PING", "GATED"} {
		c := dial(t, s)
		h.conn(t, c)
		began, release := make(chan struct{}), make(chan struct{})
		s.Loops()[0].Post(func(*Loop) { close(began); <-release }) // so that data and end come with one event
		<-began
		if promised != "" {
			c.send(t, request(promised))
		}
		c.send(t, request("BLOCK"))
		c.Conn.(*net.TCPConn).CloseWrite()
		close(release)
		switch promised {
		case "PING":
			c.want(t, "+PONG")
		case "GATED":
			until(t, "it is held", func() bool { return s.Loops()[0].gatedLen.Load() == 1 })
			if len(h.closed) > 0 {
				t.Error("closed before what it was promised could leave")
			}
			h.synced.Store(10)
			s.Loops()[0].Wake()
			c.want(t, "+GATED")
		}
		c.wantEnd(t)
		if err := <-h.closed; err != io.EOF {
			t.Errorf("%q: %v", promised, err)
		}
	}
}

// TestHoldQuietly: a full ring must not cost a client its pipeline because it
// has nothing more to say.
func TestHoldQuietly(t *testing.T) {
	h := newBook()
	h.custom = func(c *Conn, r *Request) bool {
		if n := c.Session.(*int); string(r.Args[0]) == "FULL" && *n == 0 {
			*n++
			c.Unread()
			c.HoldQuietly()
			return true
		}
		return false
	}
	s := serve(t, Config{}, h)
	c := dial(t, s)
	sc := h.conn(t, c)
	c.send(t, request("FULL")+request("PING"))
	c.nothing(t)
	c.send(t, request("ECHO", "unread"))
	c.Conn.(*net.TCPConn).CloseWrite()
	c.nothing(t)
	sc.Post(func(c *Conn) { c.Release() })
	c.want(t, "-ERR unknown command 'FULL'")
	c.want(t, "+PONG")
	c.want(t, "$unread")
	c.wantEnd(t)
}

// TestMigration: connections that are moved between loops at every
// opportunity lose, repeat and reorder nothing, and Kill finds them.
func TestMigration(t *testing.T) {
	h := newBook()
	s := listenTwo(t, h)
	s.Start()
	t.Cleanup(func() { s.Shutdown(0) })
	stop := make(chan struct{})
	var mover sync.WaitGroup
	mover.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			done := make(chan struct{})
			from, to := s.Loops()[i%2], s.Loops()[1-i%2]
			s.activate(from)
			s.activate(to)
			from.Post(func(l *Loop) {
				l.moveSome(to, l.conns)
				close(done)
			})
			<-done
		}
	})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			c := dial(t, s)
			n := 0
			for i := range 300 {
				depth := 1 + i%7
				c.send(t, strings.Repeat(request("COUNT"), depth))
				for range depth {
					n++
					c.want(t, ":"+strconv.Itoa(n))
				}
			}
			h.conn(t, c).Kill()
			c.wantEnd(t)
		})
	}
	wg.Wait()
	close(stop)
	mover.Wait()
	if n := s.Stats().Migrations; n == 0 {
		t.Error("nothing moved")
	}
	if s.NumConns() != 0 {
		t.Errorf("%d connections left", s.NumConns())
	}
}

// TestAdopt: a socket that was dialed is served like an accepted one.
func TestAdopt(t *testing.T) {
	h := newBook()
	s := serve(t, Config{Limits: Limits{MaxClients: 1}}, h)
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
	defer far.Close()
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
	if err := s.Adopt(fd, func(c *Conn) {
		c.Session = new(int)
		c.W.Simple("HELLO")
		c.Flush()
	}); err != nil {
		t.Fatal(err)
	}
	c := &client{far, bufio.NewReader(far)}
	c.want(t, "+HELLO")
	if got := c.do(t, "COUNT"); got != ":1" {
		t.Error(got)
	}
	if s.NumConns() != 0 {
		t.Error("counted as a client")
	}
	far.Close()
	if err := <-h.closed; err != io.EOF {
		t.Error(err)
	}
}
