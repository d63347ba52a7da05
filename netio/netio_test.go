package netio

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// book is the handler of the tests: a map behind a lock, and commands that
// exercise one mechanism each.
type book struct {
	mu     sync.Mutex
	data   map[string]string
	refuse string

	written, synced atomic.Int64
	mode            atomic.Int32               // CommitMode after a turn that wrote
	commit          func(h *book)              // what Commit does; nil: sync all at once
	custom          func(*Conn, *Request) bool // tried first
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
func (h *book) Woken(*Loop)      { h.woken.Add(1) }
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
	for c.Next(&r) {
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

// TestGates: replies keep their order, and none leaves before its mark.
func TestGates(t *testing.T) {
	h := newBook()
	h.custom = func(c *Conn, r *Request) bool {
		if string(r.Args[0]) != "GATED" {
			return false
		}
		mark, _ := strconv.ParseInt(string(r.Args[1]), 10, 64)
		c.Gate(len(c.W.B), mark)
		c.W.Int(mark)
		return true
	}
	s := serve(t, Config{}, h)
	c, d := dial(t, s), dial(t, s)
	raise := func(w int64) {
		h.synced.Store(w)
		s.Loops()[0].Wake()
	}
	c.send(t, request("PING")+request("GATED", "5")+request("PING")+request("GATED", "3")+request("GATED", "9")+request("PING"))
	d.send(t, request("GATED", "2")+request("GATED", "9"))
	c.want(t, "+PONG")
	c.nothing(t)
	raise(2)
	d.want(t, ":2")
	d.nothing(t)
	raise(4)
	c.nothing(t)
	raise(5)
	c.want(t, ":5")
	c.want(t, "+PONG")
	c.want(t, ":3")
	c.nothing(t)
	raise(9)
	c.want(t, ":9")
	c.want(t, "+PONG")
	d.want(t, ":9")

	// More gates than are kept apart, more output than a buffer holds.
	var b strings.Builder
	for i := 10; i < 5010; i++ {
		b.WriteString(request("GATED", strconv.Itoa(i)) + request("BIG", "1000"))
	}
	go io.WriteString(c, b.String())
	c.nothing(t)
	h.synced.Store(5000)
	until(t, "everything executed", func() bool {
		st := make(chan ConnStats)
		h.conns.Range(func(_, v any) bool {
			v.(*Conn).Post(func(c *Conn) { st <- c.Stats() })
			return true
		})
		n := int64(0)
		for range 2 {
			s := <-st
			n += int64(s.OutputMem) + s.TotalOut
		}
		s.Loops()[0].Wake()
		return n > 4000*1000
	})
	got := make(chan string)
	go func() {
		defer close(got)
		for {
			r, err := c.read()
			if err != nil {
				return
			}
			got <- r
		}
	}()
	for i := 10; i < 5010; i++ {
		if i > 4000 {
			raise(6000)
		}
		if r := <-got; r != ":"+strconv.Itoa(i) {
			t.Fatalf("%q, want :%d", r, i)
		}
		if r := <-got; len(r) != 1001 {
			t.Fatalf("%q", r)
		}
	}
	c.Close()
	for range got {
	}
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

// TestTakeover: while a commit blocks, however many times over, other
// connections are served by the standby, and gated replies come when it is done.
func TestTakeover(t *testing.T) {
	h := newBook()
	h.onlyNew = true
	var blocked atomic.Int32
	release := make(chan struct{})
	h.commit = func(h *book) {
		w := h.written.Load()
		blocked.Add(1)
		<-release
		h.raise(w)
	}
	h.mode.Store(int32(CommitInline))
	s := serve(t, Config{MaxLoops: 1}, h)
	let := sync.OnceFunc(func() { close(release) })
	t.Cleanup(let)
	reader := dial(t, s)
	var writers []*client
	const slow = 12 // more than there are threads: the last ones go to the committer
	for i := range slow {
		w := dial(t, s)
		writers = append(writers, w)
		w.send(t, request("SET", "k"+strconv.Itoa(i), "v"))
		until(t, "the write is executed", func() bool { return h.written.Load() > int64(i) })
		if i < s.crew.limit {
			until(t, "the commit blocks", func() bool { return int(blocked.Load()) > i })
		}
		if got := reader.do(t, "GET", "k"+strconv.Itoa(i)); got != "$v" {
			t.Fatal(got)
		}
		w.nothing(t)
	}
	if n := s.Stats().Takeovers; n != int64(s.crew.limit-1) {
		t.Errorf("%d takeovers", n)
	}
	let()
	for _, w := range writers {
		w.want(t, "+OK")
	}
	for range 100 {
		if got := writers[0].do(t, "SET", "a", "b"); got != "+OK" {
			t.Fatal(got)
		}
	}
	// The threads are bounded and reused.
	s.crew.mu.Lock()
	n := s.crew.count
	s.crew.mu.Unlock()
	if n > s.crew.limit {
		t.Errorf("%d threads, limit %d", n, s.crew.limit)
	}
}

// TestTakeoverUnderLoad: commits of very different length, many writers, every
// reply in order and none before its commit.
func TestTakeoverUnderLoad(t *testing.T) {
	for _, mode := range []CommitMode{CommitInline, CommitHandoff} {
		h := newBook()
		var role sync.Mutex
		var n atomic.Int64
		h.commit = func(h *book) {
			// Who finds the role taken leaves its wish to whoever plays it.
			for h.written.Load() != h.synced.Load() && role.TryLock() {
				w := h.written.Load()
				if n.Add(1)%20 == 0 {
					time.Sleep(4 * time.Millisecond) // the disk
				}
				h.raise(w)
				role.Unlock()
			}
		}
		h.mode.Store(int32(mode))
		s := serve(t, Config{}, h)
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				c := dial(t, s)
				for i := range 100 {
					for j := range 1 + i%5 {
						c.send(t, request("SET", fmt.Sprint(g), fmt.Sprint(i, j))+request("COUNT"))
					}
					for range 1 + i%5 {
						if r := c.reply(t); r != "+OK" {
							t.Error(r)
						}
						if r := c.reply(t); r[0] != ':' {
							t.Error(r)
						}
					}
				}
			})
		}
		wg.Wait()
		s.Shutdown(time.Second)
	}
}

func TestHandoff(t *testing.T) {
	h := newBook()
	var runs atomic.Int32
	release := make(chan struct{})
	h.commit = func(h *book) {
		w := h.written.Load()
		runs.Add(1)
		<-release
		h.raise(w)
	}
	h.mode.Store(int32(CommitHandoff))
	s := serve(t, Config{}, h)
	a, b := dial(t, s), dial(t, s)
	a.send(t, request("SET", "k", "1"))
	until(t, "the commit runs", func() bool { return runs.Load() == 1 })
	b.send(t, request("SET", "k", "2")) // asks again during the run
	if got := dial(t, s).do(t, "GET", "k"); got != "$2" && got != "$1" {
		t.Fatal(got)
	}
	a.nothing(t)
	if runs.Load() != 1 {
		t.Fatal("two commits at once")
	}
	release <- struct{}{}
	a.want(t, "+OK")
	until(t, "it runs again", func() bool { return runs.Load() == 2 })
	b.nothing(t)
	close(release)
	b.want(t, "+OK")
	if n := s.Stats().Takeovers; n != 0 {
		t.Errorf("%d takeovers", n)
	}
}

func TestTimers(t *testing.T) {
	s := serve(t, Config{}, newBook())
	got := make(chan int, 10)
	s.Loops()[0].Post(func(l *Loop) {
		var stopped *Timer
		l.After(3*time.Millisecond, func() {
			got <- 2
			l.After(time.Millisecond, func() { got <- 3 })
		})
		l.After(time.Millisecond, func() {
			got <- 1
			stopped.Stop()
		})
		stopped = l.After(2500*time.Microsecond, func() { got <- 99 })
		for range 100 {
			l.After(time.Hour, func() { got <- 98 }).Stop()
		}
		l.After(time.Second/2, func() { got <- 4 })
		if len(l.timers) != 4 {
			t.Errorf("%d timers", len(l.timers))
		}
	})
	for want := 1; want <= 4; want++ {
		if n := <-got; n != want {
			t.Fatalf("timer %d, want %d", n, want)
		}
	}
}

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

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	h := newBook()
	s, err := Listen(Config{UnixPath: path, UnixPerm: 0o700}, h)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
	c := dial(t, s)
	if got := c.do(t, "PING"); got != "+PONG" {
		t.Error(got)
	}
	sc := h.conn(t, c)
	if !sc.IsUnix() || !sc.IsLoopback() || sc.RemoteAddr() != path+":0" || sc.LocalAddr() != path+":0" {
		t.Error(sc.RemoteAddr(), sc.LocalAddr())
	}
	s.Shutdown(0)
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Error("socket left behind: ", err)
	}
}

func TestAddresses(t *testing.T) {
	h := newBook()
	s := serve(t, Config{Addrs: []string{"127.0.0.1:0", "-192.0.2.77:0"}}, h)
	if len(s.Addrs()) != 1 {
		t.Fatal(s.Addrs())
	}
	c := dial(t, s)
	sc := h.conn(t, c)
	if got := sc.RemoteAddr(); got != c.LocalAddr().String() {
		t.Errorf("%q, want %q", got, c.LocalAddr())
	}
	done := make(chan string)
	sc.Post(func(sc *Conn) { done <- sc.LocalAddr() })
	if got := <-done; got != c.RemoteAddr().String() {
		t.Errorf("%q, want %q", got, c.RemoteAddr())
	}
	if !sc.IsLoopback() || sc.IsUnix() || sc.FD() <= 0 || sc.Loop() != s.Loops()[0] {
		t.Error("wrong about itself")
	}
	for _, bad := range []string{"192.0.2.77:0", "127.0.0.1", "127.0.0.1:x", "nosuchhost.invalid:1"} {
		if s, err := Listen(Config{Addrs: []string{"127.0.0.1:0", bad}}, h); err == nil {
			s.Shutdown(0)
			t.Errorf("%s: no error", bad)
		}
	}
}

func TestRebind(t *testing.T) {
	s := serve(t, Config{}, newBook())
	c := dial(t, s)
	first := s.Addrs()[0].String()
	if err := s.Rebind([]string{first, "127.0.0.2:0"}); err != nil {
		t.Fatal(err)
	}
	dial(t, s).do(t, "PING")
	if err := s.Rebind([]string{"192.0.2.77:0"}); err == nil {
		t.Error("no error")
	}
	dial(t, s).do(t, "PING")
	if err := s.Rebind([]string{"127.0.0.2:0"}); err != nil {
		t.Fatal(err)
	}
	dial(t, s).do(t, "PING")
	until(t, "the old listener closes", func() bool {
		n, err := net.Dial("tcp", first)
		if err == nil {
			n.Close()
		}
		return err != nil
	})
	if got := c.do(t, "PING"); got != "+PONG" {
		t.Error(got)
	}
}

// TestRebindOverlapping: "*" and one of its addresses exclude each other, so that the old listener must go before the new one comes; when
// that one cannot come, the old one must be back.
func TestRebindOverlapping(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(free.Addr().(*net.TCPAddr).Port)
	free.Close()
	s := serve(t, Config{Addrs: []string{"*:" + port}}, newBook())
	answers := func() {
		t.Helper()
		n, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		n.SetDeadline(time.Now().Add(10 * time.Second))
		b := make([]byte, 7)
		if _, err := n.Write([]byte("PING\r\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(n, b); err != nil || string(b) != "+PONG\r\n" {
			t.Fatalf("%q, %v", b, err)
		}
	}
	answers()
	if err := s.Rebind([]string{"127.0.0.1:" + port, "192.0.2.77:" + port}); err == nil {
		t.Fatal("no error")
	}
	if got := s.Addrs()[0].String(); got != "0.0.0.0:"+port {
		t.Errorf("listens on %s", got)
	}
	answers()
	for _, addr := range []string{"127.0.0.1", "*", "127.0.0.1"} {
		if err := s.Rebind([]string{addr + ":" + port}); err != nil {
			t.Fatal(err)
		}
		answers()
	}
}

func TestMaxClients(t *testing.T) {
	h := newBook()
	s := serve(t, Config{Limits: Limits{MaxClients: 2}}, h)
	a, b := dial(t, s), dial(t, s)
	a.do(t, "PING")
	b.do(t, "PING")
	c := dial(t, s)
	c.want(t, "-ERR max number of clients reached")
	c.wantEnd(t)
	if st := s.Stats(); st.Rejected != 1 || st.Accepted != 2 {
		t.Errorf("%+v", st)
	}
	a.Close()
	<-h.closed
	until(t, "room again", func() bool { return s.NumConns() < 2 })
	if got := dial(t, s).do(t, "PING"); got != "+PONG" {
		t.Error(got)
	}
}

func TestRefusal(t *testing.T) {
	h := newBook()
	h.refuse = "DENIED go away"
	s := serve(t, Config{}, h)
	c := dial(t, s)
	c.want(t, "-DENIED go away")
	c.wantEnd(t)
	if s.NumConns() != 0 || len(h.closed) != 0 {
		t.Error("a refused connection was counted or closed")
	}
}

func TestIdleTimeout(t *testing.T) {
	h := newBook()
	s := serve(t, Config{Limits: Limits{Idle: 10 * time.Millisecond}}, h)
	c := dial(t, s)
	exempt := dial(t, s)
	h.conn(t, exempt).Post(func(c *Conn) { c.SetIdleExempt(true) })
	c.do(t, "PING")
	c.wantEnd(t)
	if err := <-h.closed; err != ErrIdle {
		t.Error(err)
	}
	if got := exempt.do(t, "PING"); got != "+PONG" {
		t.Error(got)
	}
}

// TestIdleCostsNothing: no turn without an event.
func TestIdleCostsNothing(t *testing.T) {
	h := newBook()
	h.mode.Store(int32(CommitInline))
	s := serve(t, Config{}, h)
	for range 200 {
		dial(t, s).do(t, "SET", "a", "b")
	}
	until(t, "the standby goes to sleep", func() bool { return !s.crew.watching.Load() })
	before := h.turns.Load()
	time.Sleep(200 * time.Millisecond) // the absence of events has no event
	if n := h.turns.Load() - before; n != 0 {
		t.Errorf("%d turns while idle", n)
	}
	if s.crew.watching.Load() {
		t.Error("the standby woke up")
	}
}

func TestShutdownFlushes(t *testing.T) {
	h := newBook()
	s := serve(t, Config{}, h)
	c := dial(t, s)
	const size = 20 << 20
	c.send(t, request("BIG", strconv.Itoa(size)))
	if _, err := c.r.Peek(1); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { s.Shutdown(20 * time.Second); close(done) }()
	if got := c.reply(t); len(got) != size+1 {
		t.Error(len(got))
	}
	c.wantEnd(t)
	<-done
	if err := <-h.closed; err != ErrShutdown && err != io.EOF {
		t.Error(err)
	}
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

// TestOutOfDescriptors: no busy loop while there are none, service once there are.
func TestOutOfDescriptors(t *testing.T) {
	h := newBook()
	s := serve(t, Config{}, h)
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	a := dial(t, s)
	a.do(t, "PING")
	// The client's socket exists and gets the number below the limit; the
	// server's end of it would need the next.
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	low := was
	low.Cur = uint64(fd) + 1
	for n := range fd { // fill the gaps below
		if _, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0); err != nil {
			if err := unix.Dup3(fd, n, unix.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			defer unix.Close(n)
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	restore := sync.OnceFunc(func() { unix.Setrlimit(unix.RLIMIT_NOFILE, &was) })
	defer restore()
	ap := s.Addrs()[0].(*net.TCPAddr)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: ap.Port, Addr: [4]byte(ap.IP.To4())}); err != nil {
		t.Fatal(err)
	}
	paused := func() (p bool) {
		done := make(chan struct{})
		s.Loops()[0].Post(func(l *Loop) {
			for _, a := range l.acceptors {
				p = p || a.paused
			}
			close(done)
		})
		<-done
		return
	}
	until(t, "the listener rests", paused)
	if got := a.do(t, "PING"); got != "+PONG" {
		t.Fatal(got)
	}
	before := h.turns.Load()
	time.Sleep(acceptRest * 2) // the absence of events has no event
	if n := h.turns.Load() - before; n > 6 {
		t.Errorf("%d turns while out of descriptors", n)
	}
	restore()
	until(t, "accepted", func() bool { return s.NumConns() == 2 })
}

// TestIdleMemory: an idle connection owns no buffers.
func TestIdleMemory(t *testing.T) {
	h := newBook()
	s := serve(t, Config{}, h)
	const n = 1000
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var fds []int
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	ap := s.Addrs()[0].(*net.TCPAddr)
	before := heap()
	in, out := []byte(request("PING")), make([]byte, 16)
	for range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: ap.Port, Addr: [4]byte(ap.IP.To4())}); err != nil {
			t.Fatal(err)
		}
		unix.Write(fd, in)
		if k, err := unix.Read(fd, out); k != 7 {
			t.Fatal(k, err)
		}
	}
	per := (int64(heap()) - int64(before)) / n
	t.Logf("%d bytes of heap per idle connection", per)
	if per > 2048 {
		t.Errorf("%d bytes of heap per idle connection", per)
	}
}

// TestNoAllocation: a round trip allocates nothing on the server's side.
func TestNoAllocation(t *testing.T) {
	s := serve(t, Config{}, quickly{newBook()})
	ap := s.Addrs()[0].(*net.TCPAddr)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: ap.Port, Addr: [4]byte(ap.IP.To4())}); err != nil {
		t.Fatal(err)
	}
	in := []byte(strings.Repeat(request("ECHO", "0123456789"), 16))
	out := make([]byte, 16*len("$10\r\n0123456789\r\n"))
	trip := func() {
		if _, err := unix.Write(fd, in); err != nil {
			t.Fatal(err)
		}
		for n := 0; n < len(out); {
			k, err := unix.Read(fd, out[n:])
			if k <= 0 {
				t.Fatal(k, err)
			}
			n += k
		}
	}
	trip()
	if n := testing.AllocsPerRun(500, trip); n != 0 {
		t.Errorf("%v allocations per round trip", n)
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
