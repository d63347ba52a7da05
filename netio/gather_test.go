package netio

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestGatherDecides(t *testing.T) {
	var g gather
	for range 100 {
		g.took(300_000)
	}
	if g.avg < 290_000 || g.avg > 300_000 {
		t.Errorf("average %d", g.avg)
	}
	g.newRound()
	g.released = 3
	if g.worthwhile(3) {
		t.Error("waits for three")
	}
	g.released = 25
	if !g.worthwhile(25) {
		t.Error("does not wait for the other half")
	}
	g.returned = 22
	if g.worthwhile(47) {
		t.Error("waits for a few")
	}
	g.returned = 0
	// Vain waits become rare, one that pays brings them back.
	for tries, pause := 0, 1; tries < 12; tries++ {
		g.judge(false)
		for range pause {
			if g.worthwhile(25) {
				t.Fatalf("try %d: impatient", tries)
			}
		}
		if !g.worthwhile(25) {
			t.Fatalf("try %d: gave up", tries)
		}
		pause = min(2*pause, maxPenalty)
	}
	g.judge(true)
	if !g.worthwhile(25) {
		t.Error("success does not count")
	}
	for range 100 {
		g.took(90_000)
	}
	if g.worthwhile(25) {
		t.Error("waits for a quick disk")
	}
}

// TestLooksBeforeItCommits: those who have their replies of the commit before and have sent again, while others were served, are in the same commit.
func TestLooksBeforeItCommits(t *testing.T) {
	h := newBook()
	h.mode.Store(int32(CommitInline))
	var mu sync.Mutex
	var commits []int64
	h.commit = func(h *book) {
		mu.Lock()
		defer mu.Unlock()
		w := h.written.Load()
		commits = append(commits, w-h.synced.Load())
		h.raise(w)
	}
	entered, release := make(chan struct{}), make(chan struct{})
	h.custom = func(c *Conn, r *Request) bool {
		if string(r.Args[0]) == "STALL" {
			entered <- struct{}{}
			<-release
			c.Gate(len(c.W.B), h.written.Add(1))
			c.W.OK()
			return true
		}
		return false
	}
	s := serve(t, Config{MaxLoops: 1}, h)
	staller := dial(t, s)
	var writers []*client
	for range minGather + 1 {
		writers = append(writers, dial(t, s))
	}
	const rounds = 20
	for range rounds {
		staller.send(t, request("STALL"))
		<-entered
		for _, w := range writers {
			w.send(t, request("SET", "k", "v"))
		}
		release <- struct{}{}
		for _, c := range append(writers, staller) {
			c.want(t, "+OK")
		}
	}
	mu.Lock()
	defer mu.Unlock()
	together := 0
	for _, n := range commits {
		if n == minGather+2 {
			together++
		}
	}
	// In the first round nobody has got a reply yet who could be missed; a loop that another thread has taken over may miss nobody, either.
	if together < rounds/2 {
		t.Errorf("writes in each commit: %d", commits)
	}
}

// BenchmarkGatedWriters: writes a second and per commit, by how long a commit takes.
func BenchmarkGatedWriters(b *testing.B) {
	for _, mode := range []CommitMode{CommitInline, CommitHandoff} {
		for _, disk := range []time.Duration{100 * time.Microsecond, 300 * time.Microsecond, time.Millisecond, 5 * time.Millisecond} {
			name := map[CommitMode]string{CommitInline: "inline", CommitHandoff: "handoff"}[mode]
			b.Run(fmt.Sprintf("%s/disk=%v", name, disk), func(b *testing.B) {
				h := newBook()
				var role sync.Mutex
				var commits atomic.Int64
				h.commit = func(h *book) {
					for h.written.Load() != h.synced.Load() && role.TryLock() {
						w := h.written.Load()
						napFor(int64(disk))
						commits.Add(1)
						h.raise(w)
						role.Unlock()
					}
				}
				h.mode.Store(int32(mode))
				s := serve(b, Config{MaxLoops: 1}, h)
				const clients = 50
				var wg sync.WaitGroup
				b.ResetTimer()
				for range clients {
					c := dial(b, s)
					c.SetDeadline(time.Time{})
					wg.Go(func() {
						for range b.N/clients + 1 {
							c.do(b, "SET", "a", "b")
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(h.written.Load())/b.Elapsed().Seconds(), "writes/s")
				b.ReportMetric(float64(h.written.Load())/float64(commits.Load()), "writes/commit")
			})
		}
	}
}
