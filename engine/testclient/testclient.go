// Package testclient starts nothing and knows no server: it is what tests of a server in their own process need around it, a configuration, a port
// and a client.
package testclient

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/engine/config"
	"tidemark/engine/serverlog"
)

// Setup reads the options of a server on a loopback port with its data and its log in dir. The log is closed with the test, after what was registered
// with Cleanup later, and shown when the test has failed.
func Setup(t testing.TB, dir, port string, options ...string) (*config.Config, *serverlog.Logger) {
	t.Helper()
	inv, err := config.ParseArgs(append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", ""}, options...))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Read(inv, nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "log")
	log, err := serverlog.New(serverlog.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(path)
			t.Logf("the log of the server on port %s:\n%s", port, text)
		}
	})
	return cfg, log
}

// FreePort is a port of the loopback device that nobody listens on.
func FreePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// A Client speaks to a server. Replies come as text: arrays in brackets, "nil" for null, errors with their minus sign. A test that gets no reply
// within 20 seconds fails. Not safe for concurrent use.
type Client struct {
	Conn net.Conn
	R    *bufio.Reader // what arrives on Conn

	t      testing.TB
	second bool     // made to find out why another client got no reply
	sent   []string // commands without a reply so far
}

// Dial connects to addr; the connection goes with the test.
func Dial(t testing.TB, addr string) *Client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { conn.Close() })
	return &Client{t: t, Conn: conn, R: bufio.NewReader(conn)}
}

// Send sends a command, words with spaces between.
func (c *Client) Send(line string) {
	c.t.Helper()
	c.SendAll(line)
}

// SendAll sends commands in one write.
func (c *Client) SendAll(lines ...string) {
	c.t.Helper()
	var b strings.Builder
	for _, line := range lines {
		words := strings.Fields(line)
		fmt.Fprintf(&b, "*%d\r\n", len(words))
		for _, w := range words {
			fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
		}
	}
	c.sent = append(c.sent, lines...)
	if _, err := c.Conn.Write([]byte(b.String())); err != nil {
		c.t.Fatal(err)
	}
}

// Reply reads one reply, to the first of the commands sent that had none.
func (c *Client) Reply() string {
	c.t.Helper()
	reply := c.read()
	if len(c.sent) > 0 {
		c.sent = c.sent[1:]
	}
	return reply
}

func (c *Client) read() string {
	c.t.Helper()
	line, err := c.R.ReadString('\n')
	if err != nil {
		c.inquire()
		c.t.Fatalf("no reply to %.100q: %v", c.sent, err)
	}
	line = strings.TrimSuffix(line, "\r\n")
	n, _ := strconv.Atoi(line[1:])
	switch line[0] {
	case '$':
		if n < 0 {
			return "nil"
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(c.R, b); err != nil {
			c.t.Fatal(err)
		}
		return string(b[:n])
	case '*':
		if n < 0 {
			return "nil"
		}
		out := make([]string, n)
		for i := range out {
			out[i] = c.read()
		}
		return "[" + strings.Join(out, " ") + "]"
	case '+', ':':
		return line[1:]
	}
	return line
}

// inquire logs what another client hears about the server, when this one hears nothing.
func (c *Client) inquire() {
	if c.second {
		return
	}
	conn, err := net.DialTimeout("tcp", c.Conn.RemoteAddr().String(), 2*time.Second)
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Second))
	o := &Client{t: c.t, Conn: conn, R: bufio.NewReader(conn), second: true}
	c.t.Logf("another client sees:\n%s\n%s", o.Do("CLIENT LIST"), o.Do("INFO persistence"))
}

// Do sends a command and returns its reply.
func (c *Client) Do(line string) string {
	c.t.Helper()
	c.Send(line)
	return c.Reply()
}

// Want runs commands and compares their replies: command, reply, command, reply ...
func (c *Client) Want(pairs ...string) {
	c.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if got := c.Do(pairs[i]); got != pairs[i+1] {
			c.t.Fatalf("%s: %s, want %s", pairs[i], got, pairs[i+1])
		}
	}
}

// WantAtOnce is Want with all commands in one write.
func (c *Client) WantAtOnce(pairs ...string) {
	c.t.Helper()
	var commands []string
	for i := 0; i < len(pairs); i += 2 {
		commands = append(commands, pairs[i])
	}
	c.SendAll(commands...)
	for i, command := range commands {
		if got := c.Reply(); got != pairs[2*i+1] {
			c.t.Fatalf("%s: %s, want %s", command, got, pairs[2*i+1])
		}
	}
}

// Eventually waits up to five seconds for ok.
func Eventually(t testing.TB, what string, ok func() bool) {
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
