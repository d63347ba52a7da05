package link

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// echoThrough starts an echo server behind a link and returns the link and a connection through it.
func echoThrough(t *testing.T) (*Link, func() net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	k := New(t, l.Addr().String())
	return k, func() net.Conn {
		c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(k.Port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
}

// ask sends s and returns what came back within patience.
func ask(c net.Conn, s string, patience time.Duration) (string, error) {
	if _, err := c.Write([]byte(s)); err != nil {
		return "", err
	}
	c.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, len(s))
	n, err := io.ReadFull(c, b)
	return string(b[:n]), err
}

func TestFaults(t *testing.T) {
	k, dial := echoThrough(t)
	c := dial()
	if got, err := ask(c, "hello", 5*time.Second); got != "hello" {
		t.Fatal(got, err)
	}
	k.Stall(Down)
	if got, _ := ask(c, "held", 100*time.Millisecond); got != "" {
		t.Errorf("%q came through a stalled way", got)
	}
	if up, down := k.Carried(Up), k.Carried(Down); up != 9 || down != 5 {
		t.Errorf("up %d, down %d", up, down)
	}
	k.Heal()
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	b := make([]byte, 4)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "held" {
		t.Errorf("after healing %q, %v", b, err)
	}
	k.Delay(Up, 50*time.Millisecond)
	begin := time.Now()
	if got, err := ask(c, "late", 5*time.Second); got != "late" || time.Since(begin) < 50*time.Millisecond {
		t.Error(got, err, time.Since(begin))
	}
	k.Heal()
	k.Rewrite(Down, bytes.ToUpper)
	if got, err := ask(c, "loud", 5*time.Second); got != "LOUD" {
		t.Error(got, err)
	}
	k.Heal()
	k.CutAfter(Down, 3)
	if got, err := ask(c, "truncated", 5*time.Second); got != "tru" || err == nil {
		t.Errorf("%q, %v after a cut behind three bytes", got, err)
	}
	c = dial()
	if got, err := ask(c, "again", 5*time.Second); got != "again" {
		t.Errorf("a cut is for one connection: %q, %v", got, err)
	}
	k.Cut()
	if _, err := ask(c, "x", 5*time.Second); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("a cut connection ends with %v", err)
	}
	// The connection may be accepted and then reset, or be reset while it is being made.
	if c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(k.Port)); err == nil {
		if got, err := ask(c, "x", 5*time.Second); got != "" {
			t.Errorf("through a cut link came %q, %v", got, err)
		}
		c.Close()
	}
	k.Heal()
	c = dial()
	if got, err := ask(c, "healed", 5*time.Second); got != "healed" {
		t.Error(got, err)
	}
	if accepted, standing := k.Connections(); accepted != 3 || standing != 1 {
		t.Errorf("%d accepted, %d standing", accepted, standing)
	}
}

func TestRate(t *testing.T) {
	k, dial := echoThrough(t)
	k.Rate(Up, 1<<20)
	c := dial()
	begin := time.Now()
	if _, err := ask(c, string(make([]byte, 200<<10)), 5*time.Second); err != nil || time.Since(begin) < 150*time.Millisecond {
		t.Errorf("200 KiB at 1 MiB/s took %v, %v", time.Since(begin), err)
	}
}
