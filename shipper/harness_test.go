package shipper

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/engine"
	"tidemark/engine/config"
	"tidemark/engine/serverlog"
)

// server is a server of the test's own process, with replication.
type server struct {
	t    testing.TB
	s    *engine.Server
	sh   *Shipper
	dir  string
	port string
	args []string
	tune func(*Shipper) // before it starts; nil: nothing
}

// start starts a server with its data in dir; it ends with the test.
func start(t testing.TB, dir string, options ...string) *server {
	t.Helper()
	s := &server{t: t, dir: dir, port: freePort(t), args: options}
	s.run()
	return s
}

func (s *server) run() {
	t := s.t
	t.Helper()
	args := append([]string{"--port", s.port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--repl-diskless-sync-delay", "0"}, s.args...)
	inv, err := config.ParseArgs(args)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Read(inv, nil)
	if err != nil {
		t.Fatal(err)
	}
	log, err := serverlog.New(serverlog.Options{Path: filepath.Join(s.dir, "log")})
	if err != nil {
		t.Fatal(err)
	}
	s.sh = New()
	if s.tune != nil {
		s.tune(s.sh)
	}
	if s.s, err = engine.Start(cfg, log, s.sh); err != nil {
		t.Fatal(err)
	}
	if err := s.s.WaitLoaded(); err != nil {
		t.Fatal(err)
	}
	srv := s.s
	t.Cleanup(func() {
		if s.s == srv {
			s.stop()
		}
		log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			t.Logf("the log of the server on port %s:\n%s", s.port, text)
		}
	})
}

// stop ends the server.
func (s *server) stop() {
	s.t.Helper()
	if s.s == nil {
		return
	}
	if err := s.s.Shutdown(config.ShutdownNoSave | config.ShutdownNow); err != nil {
		s.t.Errorf("shutdown: %v", err)
	}
	s.s.Wait()
	s.s = nil
}

// follow makes s a replica of p and waits for the link.
func (s *server) follow(p *server) {
	s.t.Helper()
	dial(s.t, s).want("REPLICAOF 127.0.0.1 "+p.port, "OK")
	s.awaitLink()
}

func (s *server) awaitLink() {
	s.t.Helper()
	c := dial(s.t, s)
	eventually(s.t, "the link is up", func() bool { return strings.Contains(c.do("INFO replication"), "master_link_status:up") })
}

// field is a line of INFO.
func (s *server) field(name string) string {
	s.t.Helper()
	for _, line := range strings.Split(dial(s.t, s).do("INFO everything"), "\n") {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && k == name {
			return v
		}
	}
	return ""
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func dial(t testing.TB, s *server) *client {
	t.Helper()
	c, err := net.Dial("tcp", "127.0.0.1:"+s.port)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { c.Close() })
	return &client{t: t, c: c, r: bufio.NewReader(c)}
}

func (c *client) send(line string) {
	c.t.Helper()
	c.last = line
	words := strings.Fields(line)
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	if _, err := c.c.Write([]byte(b.String())); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) reply() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		if addr := c.c.RemoteAddr().String(); !c.second {
			if n, err := net.Dial("tcp", addr); err == nil {
				o := &client{t: c.t, c: n, r: bufio.NewReader(n), second: true}
				n.SetDeadline(time.Now().Add(2 * time.Second))
				c.t.Logf("another client sees:\n%s\n%s", o.do("CLIENT LIST"), o.do("INFO persistence"))
				n.Close()
			}
		}
		c.t.Fatalf("no reply to %q: %v", c.last, err)
	}
	line = strings.TrimSuffix(line, "\r\n")
	n, _ := strconv.Atoi(line[1:])
	switch line[0] {
	case '$':
		if n < 0 {
			return "nil"
		}
		b := make([]byte, n+2)
		for at := 0; at < len(b); {
			m, err := c.r.Read(b[at:])
			if err != nil {
				c.t.Fatal(err)
			}
			at += m
		}
		return string(b[:n])
	case '*':
		if n < 0 {
			return "nil"
		}
		out := make([]string, n)
		for i := range out {
			out[i] = c.reply()
		}
		return "[" + strings.Join(out, " ") + "]"
	case '+', ':':
		return line[1:]
	}
	return line
}

func (c *client) do(line string) string {
	c.t.Helper()
	c.send(line)
	return c.reply()
}

// want runs commands and compares their replies: command, reply, command, reply ...
func (c *client) want(pairs ...string) {
	c.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if got := c.do(pairs[i]); got != pairs[i+1] {
			c.t.Fatalf("%s: %s, want %s", pairs[i], got, pairs[i+1])
		}
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// client speaks to a server; replies come as one line of text, arrays in brackets.
type client struct {
	t testing.TB
	c net.Conn
	r *bufio.Reader

	second bool   // made to find out why another client got no reply
	last   string // command sent
}
