package netio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
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

// TestAhead: what Ahead shows is what Next returns, whatever else stands in the stream and however it is cut.
func TestAhead(t *testing.T) {
	h := newBook()
	var shown [][]string
	most := 0
	text := func(r *Request) []string { return append(strings.Split(fmt.Sprintf("%s", r.Args), " "), string(r.Raw)) }
	h.ahead = func(c *Conn) {
		reqs := c.Ahead()
		if len(reqs) > 0 && len(shown) > 0 {
			t.Errorf("%d requests shown while %d were left", len(reqs), len(shown))
		}
		for i := range reqs {
			shown = append(shown, text(&reqs[i]))
		}
		most = max(most, len(reqs))
	}
	h.custom = func(c *Conn, r *Request) bool {
		if len(shown) > 0 {
			if want := shown[0]; !slices.Equal(text(r), want) {
				t.Errorf("request %.100q, was shown as %.100q", text(r), want)
			}
			shown = shown[1:]
		}
		if r.Raw != nil && c.last+len(r.Raw) != c.pos {
			t.Errorf("request of %d bytes at %d, the next is at %d", len(r.Raw), c.last, c.pos)
		}
		return false
	}
	s := serve(t, Config{MaxLoops: 1}, h)
	rnd := rand.New(rand.NewPCG(4, 5))
	for range 20 {
		c := dial(t, s)
		var in strings.Builder
		var want []string
		for i := range 200 {
			word := fmt.Sprint(i)
			switch rnd.IntN(12) {
			case 0:
				fmt.Fprintf(&in, "ECHO %s\r\n", word)
			case 1:
				fmt.Fprintf(&in, "*0\r\n\r\n%s", request("ECHO", word))
			case 2:
				in.WriteString(request(append([]string{"ECHO", word}, make([]string, rnd.IntN(200))...)...))
			case 3:
				word = strings.Repeat("x", rnd.IntN(1<<16))
				fallthrough
			default:
				in.WriteString(request("ECHO", word))
			}
			want = append(want, "$"+word)
		}
		stream := in.String()
		go func() {
			for len(stream) > 0 {
				n := min(1+rnd.IntN(40_000), len(stream))
				io.WriteString(c, stream[:n])
				stream = stream[n:]
			}
		}()
		for _, w := range want {
			c.want(t, w)
		}
	}
	s.Shutdown(0)
	if most != mostAhead {
		t.Errorf("at most %d requests at once", most)
	}
}

// TestAheadOfLimits: a client that loses its rights in the middle of a pipeline has lost them for what was parsed ahead.
func TestAheadOfLimits(t *testing.T) {
	h := newBook()
	h.custom = func(c *Conn, r *Request) bool {
		if string(r.Args[0]) == "RESET" {
			c.SetAuthenticated(false)
			c.W.Simple("RESET")
			return true
		}
		return false
	}
	s := serve(t, Config{}, h)
	for range 2 { // one of them looks ahead
		c := dial(t, s)
		c.send(t, request("PING")+request("RESET")+request("PING")+request(append([]string{"ECHO", "x"}, make([]string, 20)...)...))
		c.want(t, "+PONG")
		c.want(t, "+RESET")
		c.want(t, "+PONG")
		c.want(t, "-ERR Protocol error: unauthenticated multibulk length")
		c.wantEnd(t)
	}
}

// TestAheadAllocates: nothing, once requests of that length have come.
func TestAheadAllocates(t *testing.T) {
	h := newBook()
	s := serve(t, Config{}, h)
	l := s.Loops()[0]
	for _, args := range []int{2, 30, 1000} {
		in := []byte(strings.Repeat(request(append([]string{"ECHO"}, make([]string, args)...)...), 40))
		c := &Conn{srv: s, in: in, serving: true}
		c.loop.Store(l)
		done := make(chan struct{})
		l.Post(func(l *Loop) {
			defer close(done)
			l.parser.MaxBulk = 1 << 20
			var r Request
			if n := testing.AllocsPerRun(10, func() {
				l.ahead, l.aheadAt, c.pos, c.budget = l.ahead[:0], 0, 0, 1000
				for range 40 {
					c.Ahead()
					if !c.Next(&r) {
						panic("a request is missing")
					}
				}
			}); n != 0 {
				t.Errorf("%v allocations for 40 requests of %d arguments", n, args)
			}
			l.ahead, l.aheadAt = l.ahead[:0], 0
		})
		<-done
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
