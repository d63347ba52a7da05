package commandtest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// Redis is a redis-server of the test's own, without persistence, on a unix socket.
type Redis struct {
	conn net.Conn
	r    *bufio.Reader
	tb   testing.TB
	buf  []byte
}

// StartRedis starts one, with further options as on its command line; it ends with the test.
func StartRedis(tb testing.TB, options ...string) *Redis {
	tb.Helper()
	dir := tb.TempDir()
	sock := filepath.Join(dir, "s")
	options = append([]string{"--port", "0", "--unixsocket", sock, "--save", "", "--appendonly", "no", "--dir", dir}, options...)
	cmd := exec.Command("redis-server", options...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		tb.Fatalf("redis-server is needed for this test (apt install redis-server): %v", err)
	}
	done := make(chan struct{})
	go func() {
		cmd.Wait()
		close(done)
	}()
	tb.Cleanup(func() {
		cmd.Process.Kill()
		<-done
	})
	deadline := time.Now().Add(10 * time.Second)
	for {
		conn, err := net.Dial("unix", sock)
		if err == nil {
			tb.Cleanup(func() { conn.Close() })
			return &Redis{conn: conn, r: bufio.NewReaderSize(conn, 1<<16), tb: tb}
		}
		select {
		case <-done:
			tb.Fatalf("redis-server ended:\n%s", out.String())
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			tb.Fatalf("redis-server does not answer: %v", err)
		}
	}
}

// Do sends a request and returns the bytes of its reply.
func (s *Redis) Do(args [][]byte) string {
	s.tb.Helper()
	b := fmt.Appendf(s.buf[:0], "*%d\r\n", len(args))
	for _, a := range args {
		b = fmt.Appendf(b, "$%d\r\n", len(a))
		b = append(append(b, a...), '\r', '\n')
	}
	s.buf = b
	if _, err := s.conn.Write(b); err != nil {
		s.tb.Fatal(err)
	}
	var out bytes.Buffer
	if err := s.reply(&out); err != nil {
		s.tb.Fatalf("%q: %v", args, err)
	}
	return out.String()
}

// reply copies one reply, elements and all.
func (s *Redis) reply(out *bytes.Buffer) error {
	line, err := s.r.ReadSlice('\n')
	if err != nil {
		return err
	}
	out.Write(line)
	kind := line[0]
	n, err := strconv.Atoi(string(bytes.TrimRight(line[1:], "\r\n")))
	switch kind {
	case '$', '=':
		if err != nil {
			return err
		}
		if n >= 0 {
			_, err = io.CopyN(out, s.r, int64(n)+2)
			return err
		}
	case '*', '~', '>', '%':
		if err != nil {
			return err
		}
		if kind == '%' {
			n *= 2
		}
		for ; n > 0; n-- {
			if err := s.reply(out); err != nil {
				return err
			}
		}
	}
	return nil
}
