package adverse

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidemark/cmd/servertest"
)

// Thousands of clients that wait for the disk at once, with timeouts before and after the sync, and many that leave while they wait: each answer is
// true, others are served meanwhile, and nothing of those that left stays behind.
func TestThousandsOfWaiters(t *testing.T) {
	const clients = 2000
	rounds := 2 * scale(t)
	seed := uint64(servertest.Setting(t, "TIDEMARK_SEED", time.Now().UnixNano()))
	t.Logf("seed %d", seed)
	for _, policy := range []string{"everysec", "always"} {
		t.Run(policy, func(t *testing.T) {
			const delay = 30 * time.Millisecond
			srv := servertest.StartTidemark(t, servertest.Config{Wrap: slowSyncs(t, delay),
				Args: []string{"--appendonly", "yes", "--appendfsync", policy, "--save", "", "--tcp-backlog", "4096"}})
			admin := srv.Connect(t)
			var worst atomic.Int64
			stop := make(chan struct{})
			var prober, crowd sync.WaitGroup
			probe := srv.Connect(t)
			prober.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(5 * time.Millisecond):
					}
					begin := time.Now()
					if r, err := probe.Do("PING"); err != nil || r.Str != "PONG" {
						t.Errorf("PING: %v %v", r, err)
						return
					}
					worst.Store(max(worst.Load(), int64(time.Since(begin))))
				}
			})
			var answered, timedOut, left atomic.Int64
			for i := range clients {
				rnd := rand.New(rand.NewPCG(seed, uint64(i)))
				crowd.Go(func() {
					var c *servertest.Client
					for round := range rounds {
						if c == nil {
							var err error
							if c, err = srv.Dial(); err != nil {
								t.Error(err)
								return
							}
						}
						timeout := []int{0, 1, 5, 40, 200}[rnd.IntN(5)]
						c.Queue("SET", fmt.Sprintf("k%d", i), fmt.Sprint(round))
						c.Queue("WAITAOF", "1", "0", fmt.Sprint(timeout))
						begin := time.Now()
						if err := c.Flush(); err != nil {
							t.Error(err)
							return
						}
						switch rnd.IntN(10) {
						case 0, 1: // leaves while it waits
							time.Sleep(time.Duration(rnd.IntN(20)) * time.Millisecond)
							if rnd.IntN(2) == 0 {
								c.NetConn().(*net.TCPConn).SetLinger(0)
							}
							c.Close()
							c = nil
							left.Add(1)
							continue
						}
						if r, err := c.Receive(); err != nil || r.Str != "OK" {
							t.Errorf("SET: %v %v", r, err)
							return
						}
						r, err := c.Receive()
						if err != nil || len(r.Elems) != 2 {
							t.Errorf("WAITAOF: %v %v", r, err)
							return
						}
						took := time.Since(begin)
						switch r.Elems[0].Int {
						case 1:
							answered.Add(1)
							if took < delay {
								t.Errorf("WAITAOF said 1 after %v; no sync takes less than %v", took, delay)
							}
						default:
							timedOut.Add(1)
							if timeout == 0 || took < time.Duration(timeout)*time.Millisecond {
								t.Errorf("WAITAOF with a timeout of %d ms said 0 after %v", timeout, took)
							}
						}
					}
					if c != nil {
						c.Close()
					}
				})
			}
			crowd.Wait()
			close(stop)
			prober.Wait()
			t.Logf("%d answers of 1, %d timeouts, %d left; the slowest PING took %v", answered.Load(), timedOut.Load(), left.Load(), time.Duration(worst.Load()))
			if answered.Load() == 0 || left.Load() == 0 || policy == "everysec" && timedOut.Load() == 0 {
				t.Error("the test shows nothing")
			}
			if worst := time.Duration(worst.Load()); worst > 2*time.Second {
				t.Errorf("a PING took %v", worst)
			}
			for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				info := admin.Must(t, "INFO", "clients").Str
				if strings.Contains(info, "connected_clients:2\r") && strings.Contains(info, "blocked_clients:0\r") &&
					strings.Contains(info, "clients_in_timeout_table:0\r") {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("what is left when all have gone:\n%s", info)
				}
			}
			before, err := srv.CPU()
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second) // the interval over which the CPU time is taken
			after, err := srv.CPU()
			if err != nil {
				t.Fatal(err)
			}
			if used := after - before; used > 200*time.Millisecond {
				t.Errorf("%v of CPU in a second after all have gone", used)
			}
		})
	}
}
