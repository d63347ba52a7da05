package netns

import (
	"bufio"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// pair makes two hosts and an echo server on the second, and connects from the first.
func pair(t *testing.T) (*Network, *Host, *Host, net.Conn) {
	n, hosts := New(t, "a", "b")
	a, b := hosts[0], hosts[1]
	l, err := b.Listen(b.Addr + ":7000")
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
			go io.Copy(c, c)
		}
	}()
	c, err := a.Dial(b.Addr + ":7000")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return n, a, b, c
}

// echo sends a byte and returns how long it took to come back; false when it did not within patience.
func echo(t *testing.T, c net.Conn, patience time.Duration) (time.Duration, bool) {
	t.Helper()
	begin := time.Now()
	if _, err := c.Write([]byte{'x'}); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(begin.Add(patience))
	_, err := io.ReadFull(c, make([]byte, 1))
	return time.Since(begin), err == nil
}

func TestDelayAndCut(t *testing.T) {
	n, a, b, c := pair(t)
	if _, ok := echo(t, c, 5*time.Second); !ok {
		t.Fatal("a sound link carries nothing")
	}
	n.SetBoth(a, b, Fault{Delay: 60 * time.Millisecond})
	if took, ok := echo(t, c, 5*time.Second); !ok || took < 120*time.Millisecond {
		t.Errorf("two delays of 60 ms: %v after %v", ok, took)
	}
	n.SetBoth(a, b, Fault{})
	// Cut in one direction: the byte arrives, the answer does not, and comes once the link is whole.
	before := n.Carried(a, b)
	n.Set(b, a, Fault{Cut: true})
	if _, ok := echo(t, c, 300*time.Millisecond); ok {
		t.Error("an answer came through a cut link")
	}
	if n.Carried(a, b) == before {
		t.Error("the other direction was cut as well")
	}
	n.Set(b, a, Fault{})
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Errorf("after the link was healed: %v", err)
	}
	n.SetBoth(a, b, Fault{Cut: true})
	if _, ok := echo(t, c, 300*time.Millisecond); ok {
		t.Error("an answer came through a link that is cut both ways")
	}
}

// Bytes arrive whole and in order whatever the link loses: TCP sees to it, which shows that the switch does carry
// TCP's own repair.
func TestLoss(t *testing.T) {
	n, a, b, c := pair(t)
	n.SetBoth(a, b, Fault{Loss: 0.05, Delay: time.Millisecond})
	const size = 1 << 20
	go func() {
		w := bufio.NewWriterSize(c, 1<<16)
		for i := range size {
			w.WriteByte(byte(i * 31 >> 3))
		}
		w.Flush()
	}()
	c.SetReadDeadline(time.Now().Add(60 * time.Second))
	got, err := io.ReadAll(io.LimitReader(c, size))
	if err != nil || len(got) != size {
		t.Fatalf("%d bytes of %d: %v", len(got), size, err)
	}
	for i := range got {
		if got[i] != byte(i*31>>3) {
			t.Fatalf("byte %d is %d", i, got[i])
		}
	}
}

// Hosts are apart from the test's own namespace and from other networks, and no thread of the test stays in one.
func TestApart(t *testing.T) {
	own, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	_, _, b, _ := pair(t)
	_, others := New(t, "c")
	if c, err := others[0].DialTimeout(b.Addr+":7000", 300*time.Millisecond); err == nil {
		c.Close()
		t.Error("a host of another network answers")
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if ip, _, err := net.ParseCIDR(a.String()); err == nil && ip.String() == b.Addr {
			t.Errorf("%s is an address of the test's own namespace", b.Addr)
		}
	}
	for range 200 {
		seen := make(chan string)
		go func() {
			ns, err := os.Readlink("/proc/thread-self/ns/net")
			if err != nil {
				ns = err.Error()
			}
			seen <- ns
		}()
		if ns := <-seen; ns != own {
			t.Fatalf("a goroutine of the test runs in %s, not in %s", ns, own)
		}
	}
}

// A link of a limited rate takes as long as it should, whatever TCP does to find out what it is.
func TestRate(t *testing.T) {
	n, a, b, c := pair(t)
	const size, rate = 1 << 20, 2 << 20
	n.Set(a, b, Fault{Rate: rate})
	begin := time.Now()
	go c.Write(make([]byte, size))
	c.SetReadDeadline(begin.Add(60 * time.Second))
	if _, err := io.ReadFull(c, make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin)
	if least := time.Duration(size)*time.Second/rate - queueTime; took < least || took > 20*least {
		t.Errorf("%d bytes at %d a second took %v", size, rate, took)
	}
}
