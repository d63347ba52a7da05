package netio

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

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

// TestFailGated: replies that will never be let go are replaced by one error, wherever they stand in the output, and nothing that a client
// may have is lost.
func TestFailGated(t *testing.T) {
	h := newBook()
	h.custom = func(c *Conn, r *Request) bool {
		if string(r.Args[0]) != "GATED" {
			return false
		}
		c.Gate(len(c.W.B), 10)
		c.W.Simple("GATED")
		return true
	}
	s := serve(t, Config{}, h)
	fail := func() (n int) {
		done := make(chan int)
		s.Loops()[0].Post(func(l *Loop) { done <- l.FailGated("MISCONF no") })
		return <-done
	}
	big := func(n int) string { return strings.Repeat(request("BIG", "100000"), n) }
	for name, x := range map[string]struct {
		send   string
		before int // replies of BIG that are not gated
	}{
		"alone":            {request("GATED"), 0},
		"in the middle":    {request("PING") + request("GATED") + request("PING") + request("GATED"), 0},
		"after a chunk":    {big(9) + request("GATED"), 9},
		"before a chunk":   {request("GATED") + big(9), 0},
		"between chunks":   {big(9) + request("GATED") + big(9), 9},
		"behind the limit": {big(5) + strings.Repeat(request("GATED"), 3*maxGates), 5},
	} {
		other, c := dial(t, s), dial(t, s)
		other.do(t, "PING")
		c.send(t, x.send)
		for range x.before {
			if r := c.reply(t); len(r) != 100001 {
				t.Fatalf("%s: %.20q", name, r)
			}
		}
		if strings.HasPrefix(x.send, request("PING")) {
			c.want(t, "+PONG")
		}
		c.nothing(t)
		until(t, name+": the connection ends", func() bool { return fail() == 1 }) // at once, but for one that is being served
		c.want(t, "-MISCONF no")
		c.wantEnd(t)
		if err := <-h.closed; err != ErrGateFailed {
			t.Errorf("%s: %v", name, err)
		}
		if got := other.do(t, "PING"); got != "+PONG" {
			t.Errorf("%s: %q", name, got)
		}
		other.Close()
		<-h.closed
	}
	// A gate that has opened meanwhile is no longer one that fails.
	c := dial(t, s)
	c.send(t, request("GATED"))
	c.nothing(t)
	h.synced.Store(10)
	if n := fail(); n != 0 {
		t.Errorf("%d connections ended though the gate has opened", n)
	}
	s.Loops()[0].Wake()
	c.want(t, "+GATED")
	if got := c.do(t, "PING"); got != "+PONG" {
		t.Error(got)
	}
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

// TestLongestTurnHoldsTheCommit: for as long as a loop's thread is in a commit and nobody has taken the loop over, its clients wait.
func TestLongestTurnHoldsTheCommit(t *testing.T) {
	for _, took := range []time.Duration{600 * time.Microsecond, 50 * time.Millisecond} {
		h := newBook()
		h.mode.Store(int32(CommitInline))
		h.onlyNew = true
		h.commit = func(h *book) {
			w := h.written.Load()
			napFor(int64(took))
			h.raise(w)
		}
		s := serve(t, Config{MaxLoops: 1}, h)
		c := dial(t, s)
		for range 3 {
			c.do(t, "SET", "k", "v")
		}
		longest, taken := s.Stats().LongestTurnNanos, s.Stats().Takeovers
		if least := min(int64(took), guardNanos); longest < least || took < time.Millisecond/2 && taken > 0 {
			t.Errorf("commits of %v: the longest turn was %v, %d takeovers", took, time.Duration(longest), taken)
		}
		if took > 10*time.Millisecond && (taken == 0 || longest > int64(took)) {
			t.Errorf("commits of %v: the longest turn was %v, %d takeovers", took, time.Duration(longest), taken)
		}
	}
}
