package netio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
)

func TestRequestsInPieces(t *testing.T) {
	s := serve(t, Config{}, newBook())
	c := dial(t, s)
	long := strings.Repeat("long", 20000)
	stream := request("SET", "a", "1") + "PING\r\n" + request("GET", "a") + "\r\n" + request("ECHO", long) + "ECHO \"x y\"\r\n" + request("RAW", "q")
	wants := []string{"+OK", "+PONG", "$1", "$" + long, "$x y", "$" + request("RAW", "q")}
	for _, size := range []int{1, 2, 3, 7, 100, 4096, 1 << 20} {
		pieces := stream
		if size < 10 {
			pieces = strings.Replace(stream, long, long[:500], 1)
			pieces = strings.Replace(pieces, "$80000", "$500", 1)
		}
		go func() {
			for p := pieces; p != ""; {
				n := min(size, len(p))
				if _, err := io.WriteString(c, p[:n]); err != nil {
					return
				}
				p = p[n:]
			}
		}()
		for _, w := range wants {
			if size < 10 && w == "$"+long {
				w = "$" + long[:500]
			}
			c.want(t, w)
		}
	}
}

func TestDeepPipeline(t *testing.T) {
	s := serve(t, Config{}, newBook())
	other := dial(t, s)
	c := dial(t, s)
	const n = 200_000
	one := request("COUNT")
	go io.WriteString(c, strings.Repeat(one, n))
	for i := 1; i <= n; i++ {
		c.want(t, ":"+strconv.Itoa(i))
		if i%20_000 == 0 {
			if got := other.do(t, "PING"); got != "+PONG" {
				t.Fatal(got)
			}
		}
	}
}

func TestLargeBulk(t *testing.T) {
	h := newBook()
	s := serve(t, Config{}, h)
	c := dial(t, s)
	sc := h.conn(t, c)
	big := bytes.Repeat([]byte("0123456789abcdef"), 3<<20) // 48 MiB
	go func() {
		fmt.Fprintf(c, "*2\r\n$4\r\nECHO\r\n$%d\r\n", len(big))
		for p := big; len(p) > 0; p = p[min(len(p), 100_000):] {
			if _, err := c.Write(p[:min(len(p), 100_000)]); err != nil {
				return
			}
		}
		io.WriteString(c, "\r\n"+request("PING"))
	}()
	c.want(t, "$"+string(big))
	c.want(t, "+PONG")
	// The buffers are gone again.
	st := make(chan ConnStats)
	sc.Post(func(c *Conn) { st <- c.Stats() })
	if st := <-st; st.QueryBuf+st.QueryBufFree+st.OutputMem > 64<<10 {
		t.Errorf("buffers kept: %+v", st)
	}
}

// TestLiar: an announced length costs nothing.
func TestLiar(t *testing.T) {
	h := newBook()
	s := serve(t, Config{}, h)
	c := dial(t, s)
	sc := h.conn(t, c)
	c.send(t, "*2\r\n$4\r\nECHO\r\n$536870912\r\nabc")
	until(t, "the bytes arrive", func() bool {
		st := make(chan ConnStats)
		sc.Post(func(c *Conn) { st <- c.Stats() })
		s := <-st
		if s.QueryBuf+s.QueryBufFree > 1<<20 {
			t.Fatalf("%+v", s)
		}
		return s.QueryBuf == 29
	})
	c.send(t, "def")
	until(t, "more bytes arrive", func() bool {
		st := make(chan ConnStats)
		sc.Post(func(c *Conn) { st <- c.Stats() })
		s := <-st
		return s.QueryBuf == 32 && s.QueryBufFree < 1<<20
	})
	until(t, "they are accounted for", func() bool { n := s.BufferedBytes(); return n >= 32 && n < 1<<20 })
	c.Close()
	until(t, "and given back", func() bool { return s.BufferedBytes() == 0 })
}

func TestProtocolErrors(t *testing.T) {
	h := newBook()
	s := serve(t, Config{}, h)
	bystander := dial(t, s)
	for in, want := range map[string]string{
		"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n": "-ERR Protocol error: expected '$', got 'f'",
		"*1\r\n$-10\r\n":                         "-ERR Protocol error: invalid bulk length",
		"*3000000000\r\n":                        "-ERR Protocol error: invalid multibulk length",
		"set \"a\r\n":                            "-ERR Protocol error: unbalanced quotes in request",
		strings.Repeat("x", 70000):               "-ERR Protocol error: too big inline request",
		"*1" + strings.Repeat("1", 70000):        "-ERR Protocol error: too big mbulk count string",
		"*1\r\n$" + strings.Repeat("1", 70000):   "-ERR Protocol error: too big bulk count string",
	} {
		c := dial(t, s)
		c.send(t, request("PING")+in)
		c.want(t, "+PONG")
		c.want(t, want)
		c.wantEnd(t)
		if err := <-h.closed; !errors.Is(err, ErrProtocol) {
			t.Errorf("%.20q: closed with %v", in, err)
		}
		if got := bystander.do(t, "PING"); got != "+PONG" {
			t.Fatal(got)
		}
	}
}

func TestUnauthenticated(t *testing.T) {
	h := newBook()
	s := serve(t, Config{}, h)
	for in, want := range map[string]string{
		"*11\r\n":          "-ERR Protocol error: unauthenticated multibulk length",
		"*2\r\n$16385\r\n": "-ERR Protocol error: unauthenticated bulk length",
	} {
		c := dial(t, s)
		h.conn(t, c).Post(func(c *Conn) { c.SetAuthenticated(false) })
		if got := c.do(t, "PING"); got != "+PONG" {
			t.Fatal(got)
		}
		c.send(t, in)
		c.want(t, want)
		c.wantEnd(t)
	}
}

func TestHalfCommandThenEnd(t *testing.T) {
	h := newBook()
	s := serve(t, Config{}, h)
	c := dial(t, s)
	c.send(t, "*2\r\n$3\r\nGE")
	c.Close()
	if err := <-h.closed; err != io.EOF {
		t.Errorf("closed with %v", err)
	}
	until(t, "no connection", func() bool { return s.NumConns() == 0 })
}

func TestQueryLimit(t *testing.T) {
	h := newBook()
	s := serve(t, Config{Limits: Limits{MaxQueryBytes: 1 << 20}}, h)
	c := dial(t, s)
	c.send(t, "*2\r\n$4\r\nECHO\r\n$10000000\r\n")
	go io.Copy(c, bytes.NewReader(make([]byte, 5<<20)))
	if err := <-h.closed; err != ErrQueryLimit {
		t.Errorf("closed with %v", err)
	}
	if n := s.Stats().QueryLimitCloses; n != 1 {
		t.Errorf("%d counted", n)
	}
}

// TestQueryLimitInOneRead: the bytes beyond the limit and the end of the request come together.
func TestQueryLimitInOneRead(t *testing.T) {
	h := newBook()
	s := serve(t, Config{Limits: Limits{MaxQueryBytes: 1 << 20}}, h)
	c := dial(t, s)
	sc := h.conn(t, c)
	req := request("ECHO", string(make([]byte, 1<<20)))
	c.send(t, req[:len(req)-100])
	until(t, "the first part arrives", func() bool {
		st := make(chan ConnStats)
		sc.Post(func(c *Conn) { st <- c.Stats() })
		return (<-st).QueryBuf == len(req)-100
	})
	c.send(t, req[len(req)-100:])
	if err := <-h.closed; err != ErrQueryLimit {
		t.Errorf("closed with %v", err)
	}
	ok := dial(t, s)
	want := string(make([]byte, 1<<20-64))
	if got := ok.do(t, "ECHO", want); got != "$"+want {
		t.Errorf("a request of just less than the limit: %.40q", got)
	}
}
