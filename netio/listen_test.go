package netio

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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
