package netio

import (
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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
