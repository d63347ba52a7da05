package netio

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestBalance: a saturated loop shares its connections when a core is idle, and
// only then; when there is little to do all come back.
func TestBalance(t *testing.T) {
	h := newBook()
	var work atomic.Int64 // how long a PING takes, ns
	h.custom = func(c *Conn, r *Request) bool {
		for start := nanotime(); nanotime()-start < work.Load(); {
		}
		return false
	}
	s := listenTwo(t, h)
	var fake struct {
		sync.Mutex
		cpuTimes
		idle bool
	}
	s.cpuTimes = func() cpuTimes {
		fake.Lock()
		defer fake.Unlock()
		fake.all += 200
		fake.cpus = 2
		if fake.idle {
			fake.cpuTimes.idle += 100
		}
		return fake.cpuTimes
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(0) })
	work.Store(int64(100 * time.Microsecond))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		c := dial(t, s)
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if work.Load() == 0 {
					time.Sleep(5 * time.Millisecond) // a client with little to say
				}
				// A pipeline keeps the loop busy also while this goroutine
				// waits for a processor.
				const depth = 50
				c.send(t, strings.Repeat(request("PING"), depth))
				for range depth {
					c.want(t, "+PONG")
				}
			}
		})
	}
	on := func() (n [2]int) {
		h.conns.Range(func(_, v any) bool {
			n[v.(*Conn).Loop().Index()]++
			return true
		})
		return
	}
	until(t, "the loop is saturated", func() bool { return s.loops[0].load.Load() >= hotLoad })
	time.Sleep(5 * time.Duration(windowNanos)) // the absence of a move has no event
	if n := on(); n[1] != 0 {
		t.Errorf("moved without an idle core: %v", n)
	}
	fake.Lock()
	fake.idle = true
	fake.Unlock()
	until(t, "shared", func() bool { n := on(); return n[0] >= 3 && n[1] >= 3 })
	work.Store(0)
	until(t, "all back", func() bool { return on()[0] == 8 })
	close(stop)
	wg.Wait()
}

// listenTwo makes a server with two loops whatever the machine has.
func listenTwo(t *testing.T, h Handler) *Server {
	s, err := Listen(Config{Addrs: []string{"127.0.0.1:0"}, MaxLoops: 2}, h)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Loops()) < 2 {
		second, err := newLoop(s, 1)
		if err != nil {
			t.Fatal(err)
		}
		s.loops = append(s.loops, second)
		s.ended = make(chan *Loop, 2)
	}
	return s
}

// TestReadCPUs holds the parser against the machine's own file.
func TestReadCPUs(t *testing.T) {
	a := readCPUs()
	if a.cpus != usableAffinity() || a.all == 0 || a.idle > a.all {
		t.Fatalf("%+v", a)
	}
	until(t, "time passes", func() bool { return readCPUs().all > a.all })
	b := readCPUs()
	if got := idleCores(a, b); got < 0 || got > float64(a.cpus) {
		t.Errorf("%v cores idle of %d", got, a.cpus)
	}
	if got := idleCores(cpuTimes{idle: 100, all: 200, cpus: 4}, cpuTimes{idle: 150, all: 300, cpus: 4}); got != 2 {
		t.Errorf("%v, want 2", got)
	}
}
