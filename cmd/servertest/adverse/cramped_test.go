package adverse

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidemark/cmd/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// scale is TIDEMARK_ADVERSE.
func scale(t *testing.T) int { return int(servertest.Setting(t, "TIDEMARK_ADVERSE", 1)) }

func tool(t *testing.T, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is needed and is not in PATH (Debian: apt-get install %s): %v", name, pkg, err)
	}
	return path
}

// slowSyncs runs the server with every sync later by d.
func slowSyncs(t *testing.T, d time.Duration) []string {
	return []string{tool(t, "strace", "strace"), "-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync",
		"-e", fmt.Sprintf("inject=fdatasync:delay_enter=%d", d.Microseconds())}
}

// A server on one processor, or one that the Go runtime is to use only one or two of: every thread that runs a loop, commits, or stands by needs its
// turn there, and none may keep another from it.
func TestCramped(t *testing.T) {
	oneCPU := []string{tool(t, "taskset", "util-linux"), "-c", "0"}
	for _, x := range []struct {
		name string
		wrap []string
		env  []string
		args []string
	}{
		{"one CPU", oneCPU, nil, nil},
		{"one CPU, slow disk", append(oneCPU[:3:3], slowSyncs(t, 5*time.Millisecond)...), nil, nil},
		{"GOMAXPROCS=1", nil, []string{"GOMAXPROCS=1"}, nil},
		{"GOMAXPROCS=2", nil, []string{"GOMAXPROCS=2"}, nil},
		{"GOMAXPROCS=1, slow disk", slowSyncs(t, 5*time.Millisecond), []string{"GOMAXPROCS=1"}, nil},
		{"GOMAXPROCS=1, one CPU, small rings", oneCPU, []string{"GOMAXPROCS=1"}, []string{"--ring-size", "4kb", "--shards", "1"}},
		{"two loops asked for, one CPU", oneCPU, nil, []string{"--io-threads", "2"}},
		{"slow disk", slowSyncs(t, 20*time.Millisecond), nil, nil},
	} {
		for _, policy := range []string{"always", "everysec"} {
			t.Run(x.name+", "+policy, func(t *testing.T) {
				srv := servertest.StartTidemark(t, servertest.Config{Wrap: x.wrap, Env: x.env,
					Args: append([]string{"--appendonly", "yes", "--appendfsync", policy, "--save", ""}, x.args...)})
				l := newLoad(srv)
				l.run(t, time.Duration(scale(t))*time.Second)
				t.Log(l)
				if l.ops.Load() < 200 {
					t.Errorf("%d operations", l.ops.Load())
				}
				if worst := time.Duration(l.worst.Load()); worst > 2*time.Second {
					t.Errorf("an answer took %v", worst)
				}
				srv.Kill()
				again, err := srv.Restart()
				if err != nil {
					t.Fatal(err)
				}
				defer again.Kill()
				l.check(t, again)
			})
		}
	}
}

// load is writers that count up, each in a key of its own, and readers, for which no counter goes back.
type load struct {
	srv   *servertest.Server
	acked [writers]int64 // the writer's own until the end
	ops   atomic.Int64
	worst atomic.Int64 // ns
}

const (
	writers = 16
	readers = 4
)

func newLoad(srv *servertest.Server) *load { return &load{srv: srv} }

func (l *load) String() string {
	return fmt.Sprintf("%d operations, the slowest took %v", l.ops.Load(), time.Duration(l.worst.Load()))
}

// timed runs one exchange.
func (l *load) timed(f func() error) error {
	begin := time.Now()
	err := f()
	took := int64(time.Since(begin))
	for old := l.worst.Load(); took > old && !l.worst.CompareAndSwap(old, took); old = l.worst.Load() {
	}
	l.ops.Add(1)
	return err
}

func (l *load) run(t *testing.T, d time.Duration) {
	end := time.Now().Add(d)
	var wg sync.WaitGroup
	for w := range writers {
		c := l.srv.Connect(t)
		wg.Go(func() {
			depth := 1
			if w%4 == 3 {
				depth = 32
			}
			for time.Now().Before(end) {
				err := l.timed(func() error {
					for i := range depth {
						c.Queue("SET", fmt.Sprintf("w%d", w), strconv.FormatInt(l.acked[w]+int64(i)+1, 10))
					}
					if err := c.Flush(); err != nil {
						return err
					}
					for range depth {
						if r, err := c.Receive(); err != nil || r.Str != "OK" {
							return fmt.Errorf("SET: %v %v", r, err)
						}
					}
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
				l.acked[w] += int64(depth)
			}
		})
	}
	for range readers {
		c := l.srv.Connect(t)
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, 2))
			var seen [writers]int64
			for time.Now().Before(end) {
				w := rnd.IntN(writers)
				err := l.timed(func() error {
					r, err := c.Do("GET", fmt.Sprintf("w%d", w))
					if err != nil {
						return err
					}
					n, _ := strconv.ParseInt(r.Str, 10, 64)
					if n < seen[w] {
						return fmt.Errorf("w%d went back from %d to %d", w, seen[w], n)
					}
					seen[w] = n
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// check looks for what was acknowledged.
func (l *load) check(t *testing.T, srv *servertest.Server) {
	t.Helper()
	c := srv.Connect(t)
	for w, want := range l.acked {
		r := c.Must(t, "GET", fmt.Sprintf("w%d", w))
		if n, _ := strconv.ParseInt(r.Str, 10, 64); n < want {
			t.Errorf("acknowledged and lost: w%d is %d, acknowledged was %d", w, n, want)
		}
	}
}
