// Package link is a TCP proxy whose connections fail on demand, byte by byte:
// where package netns loses packets, which TCP repairs, this one resets connections, holds
// bytes back, ends a stream in the middle of a message, and changes bytes on purpose.
//
//	client ── link ── server
//
// It needs no privileges. "Up" is the way from the client to the server, "down" the way back. For
// replication the client is the replica: its acknowledgements go up, the stream comes down.
package link

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Way is a direction.
type Way int

// The two directions.
const (
	Up   Way = iota // from the client to the server
	Down            // from the server to the client
)

// Link is a proxy. Its methods are safe for concurrent use.
type Link struct {
	Port   int // where clients connect, on 127.0.0.1
	target string
	dial   func(addr string) (net.Conn, error)
	l      net.Listener
	wg     sync.WaitGroup

	mu     sync.Mutex
	moved  *sync.Cond // of mu: a fault was changed, or the link closed
	closed bool
	down   bool // new connections are reset
	ways   [2]way
	pipes  map[*pipe]struct{}
	count  int // connections accepted so far
}

// way is the state of one direction, of all connections.
type way struct {
	stalled bool
	delay   time.Duration
	rate    int64 // bytes per second, 0 without limit
	after   int64 // bytes that still pass before the connection that carries them is ended; -1 without limit
	rewrite func(p []byte) []byte
	carried int64
}

// pipe is one connection through the link.
type pipe struct {
	client, server net.Conn
}

// New starts a link to a server's address for the duration of a test.
func New(t testing.TB, target string) *Link {
	t.Helper()
	k := &Link{target: target, pipes: map[*pipe]struct{}{},
		dial: func(addr string) (net.Conn, error) { return net.DialTimeout("tcp", addr, 5*time.Second) }}
	k.moved = sync.NewCond(&k.mu)
	k.ways[Up].after, k.ways[Down].after = -1, -1
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k.l, k.Port = l, l.Addr().(*net.TCPAddr).Port
	k.wg.Go(k.accept)
	t.Cleanup(k.Close)
	return k
}

// Close ends the link and its connections.
func (k *Link) Close() {
	k.l.Close()
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.Reset()
	k.moved.Broadcast()
	k.wg.Wait()
}

// Heal takes all faults away. Bytes that were held back flow again.
func (k *Link) Heal() {
	k.change(func() {
		k.down = false
		for i := range k.ways {
			w := &k.ways[i]
			w.stalled, w.delay, w.rate, w.after, w.rewrite = false, 0, 0, -1, nil
		}
	})
}

func (k *Link) change(f func()) {
	k.mu.Lock()
	f()
	k.mu.Unlock()
	k.moved.Broadcast()
}

// Cut resets all connections, and new ones until Heal.
func (k *Link) Cut() {
	k.change(func() { k.down = true })
	k.Reset()
}

// Reset resets the connections that stand; new ones are welcome.
func (k *Link) Reset() {
	k.mu.Lock()
	pipes := k.pipes
	k.pipes = map[*pipe]struct{}{}
	k.mu.Unlock()
	for p := range pipes {
		p.reset()
	}
	k.moved.Broadcast()
}

// Stall holds back what goes one way, from now on: the connection stands and carries nothing.
func (k *Link) Stall(w Way) { k.change(func() { k.ways[w].stalled = true }) }

// Delay makes bytes late by d. What is sent in that time arrives together.
func (k *Link) Delay(w Way, d time.Duration) { k.change(func() { k.ways[w].delay = d }) }

// Rate limits one way to so many bytes per second.
func (k *Link) Rate(w Way, bytesPerSecond int64) {
	k.change(func() { k.ways[w].rate = bytesPerSecond })
}

// CutAfter lets n more bytes pass one way, of all connections together, and ends the
// connection that would carry more, once: the next one is sound.
func (k *Link) CutAfter(w Way, n int64) { k.change(func() { k.ways[w].after = n }) }

// Rewrite has every piece of bytes that goes one way pass through f, which returns what goes on
// in its place. f sees pieces as they come off the socket, one at a time, and must not call the link.
func (k *Link) Rewrite(w Way, f func(p []byte) []byte) {
	k.change(func() { k.ways[w].rewrite = f })
}

// Carried returns how many bytes have gone one way.
func (k *Link) Carried(w Way) int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ways[w].carried
}

// Connections returns how many connections have been accepted so far, and how many of them stand.
func (k *Link) Connections() (accepted, standing int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.count, len(k.pipes)
}

func (k *Link) accept() {
	for {
		c, err := k.l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of descriptors: some will be closed
			continue
		}
		k.wg.Go(func() { k.serve(c) })
	}
}

func (k *Link) serve(c net.Conn) {
	p := &pipe{client: c}
	k.mu.Lock()
	refuse := k.down || k.closed
	k.mu.Unlock()
	if !refuse {
		var err error
		p.server, err = k.dial(k.target)
		refuse = err != nil
	}
	k.mu.Lock()
	refuse = refuse || k.down || k.closed
	if !refuse {
		k.count++
		k.pipes[p] = struct{}{}
	}
	k.mu.Unlock()
	if refuse {
		p.reset()
		return
	}
	done := make(chan struct{})
	go func() {
		k.copy(p, Up, p.client, p.server)
		close(done)
	}()
	k.copy(p, Down, p.server, p.client)
	<-done
	k.mu.Lock()
	delete(k.pipes, p)
	k.mu.Unlock()
	p.client.Close()
	p.server.Close()
}

// copy carries bytes one way until the connection ends. An orderly end is passed on as one; a reset too.
func (k *Link) copy(p *pipe, w Way, from, to net.Conn) {
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if n > 0 && !k.pass(p, w, b[:n], to) {
			p.reset()
			return
		}
		if err == nil {
			continue
		}
		if k.waitStall(p, w) && errors.Is(err, io.EOF) {
			to.(*net.TCPConn).CloseWrite()
			return
		}
		p.reset()
		return
	}
}

// waitStall waits while a way is stalled and returns whether the connection is still wanted.
func (k *Link) waitStall(p *pipe, w Way) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		if _, wanted := k.pipes[p]; !wanted || k.closed {
			return false
		}
		if !k.ways[w].stalled {
			return true
		}
		k.moved.Wait()
	}
}

// pass carries one piece and returns whether the connection goes on.
func (k *Link) pass(p *pipe, w Way, b []byte, to net.Conn) bool {
	k.mu.Lock()
	delay, rate := k.ways[w].delay, k.ways[w].rate
	k.mu.Unlock()
	if rate > 0 {
		delay += time.Duration(float64(len(b)) / float64(rate) * float64(time.Second))
	}
	if delay > 0 {
		time.Sleep(delay)
	}
	if !k.waitStall(p, w) {
		return false
	}
	k.mu.Lock()
	s := &k.ways[w]
	if s.rewrite != nil {
		b = s.rewrite(b)
	}
	cut := s.after >= 0 && int64(len(b)) > s.after
	if cut {
		b = b[:s.after]
	}
	if cut {
		s.after = -1
	} else if s.after >= 0 {
		s.after -= int64(len(b))
	}
	s.carried += int64(len(b))
	k.mu.Unlock()
	if _, err := to.Write(b); err != nil {
		return false
	}
	if cut {
		// What was sent shall arrive before the end does: an orderly close flushes, a reset would discard.
		to.(*net.TCPConn).CloseWrite()
		time.Sleep(5 * time.Millisecond)
	}
	return !cut
}

// reset ends both ends with a RST.
func (p *pipe) reset() {
	for _, c := range []net.Conn{p.client, p.server} {
		if c != nil {
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	}
}
