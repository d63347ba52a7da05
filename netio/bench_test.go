package netio

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// quickly is a handler without locks or maps: what remains is the loops' cost.
type quickly struct{ *book }

func (quickly) Accept(*Conn) string      { return "" }
func (quickly) Close(*Conn, error)       {}
func (quickly) EndTurn(*Loop) CommitMode { return CommitNone }
func (quickly) Serve(c *Conn) {
	var r Request
	for {
		c.Ahead()
		if !c.Next(&r) {
			break
		}
		c.W.Bulk(r.Args[len(r.Args)-1])
	}
}

// BenchmarkEcho is one connection's round trip with n requests in the pipeline.
func BenchmarkEcho(b *testing.B) {
	for _, depth := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("pipeline=%d", depth), func(b *testing.B) {
			s := serve(b, Config{}, quickly{newBook()})
			c := dial(b, s)
			in := []byte(strings.Repeat(request("ECHO", strings.Repeat("x", 64)), depth))
			out := make([]byte, depth*len("$64\r\n"+"\r\n")+depth*64)
			c.SetDeadline(time.Time{})
			b.ReportAllocs()
			for i := 0; i < b.N; i += depth {
				if _, err := c.Write(in); err != nil {
					b.Fatal(err)
				}
				for n := 0; n < len(out); {
					k, err := c.Conn.Read(out[n:])
					if err != nil {
						b.Fatal(err)
					}
					n += k
				}
			}
		})
	}
}

// BenchmarkPingBesideSlowCommits: how long others wait while every commit takes
// 50 ms, on the loop's thread and handed off.
func BenchmarkPingBesideSlowCommits(b *testing.B) {
	for name, mode := range map[string]CommitMode{"inline": CommitInline, "handoff": CommitHandoff} {
		b.Run(name, func(b *testing.B) {
			h := newBook()
			var role sync.Mutex
			h.commit = func(h *book) {
				for h.written.Load() != h.synced.Load() && role.TryLock() {
					w := h.written.Load()
					time.Sleep(50 * time.Millisecond)
					h.raise(w)
					role.Unlock()
				}
			}
			h.mode.Store(int32(mode))
			s := serve(b, Config{MaxLoops: 1}, h)
			stop := make(chan struct{})
			var wg sync.WaitGroup
			for range 4 {
				w := dial(b, s)
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
							w.do(b, "SET", "a", "b")
						}
					}
				})
			}
			c := dial(b, s)
			c.SetDeadline(time.Time{})
			var took []time.Duration
			for b.Loop() {
				t := time.Now()
				c.do(b, "PING")
				took = append(took, time.Since(t))
			}
			close(stop)
			wg.Wait()
			slices.Sort(took)
			at := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))]) / 1e3 }
			b.ReportMetric(at(0.5), "p50-µs")
			b.ReportMetric(at(0.999), "p99.9-µs")
			b.ReportMetric(at(1), "max-µs")
			b.ReportMetric(float64(s.Stats().Takeovers), "takeovers")
		})
	}
}
