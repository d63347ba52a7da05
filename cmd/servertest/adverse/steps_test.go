package adverse

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tidemark/cmd/servertest"
)

// The steps of a rewrite and of a rotation are the system calls that change the directory. The server is killed at the first, the second, ... call of
// each kind, by strace, or the call fails once with EIO and the server is killed later. Whatever was acknowledged must be there afterwards, and the
// directory must take another rewrite.
//
// The number of a call counts those of one thread, so one number may stand for different steps in different runs; all runs together see them all.
func TestDeathAtEachStep(t *testing.T) {
	calls := []string{"renameat", "unlinkat", "ftruncate", "fallocate", "openat", "fsync", "fdatasync", "pwrite64", "close"}
	const most = 60 // calls of one kind that are counted: fdatasync and pwrite64 go on for ever under load
	seed := uint64(servertest.Setting(t, "TIDEMARK_SEED", time.Now().UnixNano()))
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 7))
	for _, policy := range []string{"always", "everysec"} {
		for _, what := range []string{"rewrite", "rotation"} {
			for _, how := range []string{"signal=KILL", "error=EIO"} {
				t.Run(what+", "+policy+", "+how, func(t *testing.T) {
					if scale(t) == 1 {
						for range 3 {
							call, n := calls[rnd.IntN(len(calls))], 1+rnd.IntN(6)
							step{policy: policy, what: what, call: call, how: how, n: n}.run(t)
						}
						return
					}
					for _, call := range calls {
						for n := 1; n <= most; n++ {
							if reached := (step{policy: policy, what: what, call: call, how: how, n: n}).run(t); !reached {
								break
							}
							if n > 12 && (call == "fdatasync" || call == "pwrite64" || call == "close") {
								n += rnd.IntN(20)
							}
						}
					}
				})
			}
		}
	}
}

type step struct {
	policy, what, call, how string
	n                       int
}

func (s step) String() string {
	return fmt.Sprintf("%s under %s, %s at %s number %d", s.what, s.policy, s.how, s.call, s.n)
}

// run reports whether the server met the call in question.
func (s step) run(t *testing.T) (reached bool) {
	t.Helper()
	srv := servertest.StartTidemark(t, servertest.Config{Args: []string{"--appendonly", "yes", "--appendfsync", s.policy, "--save", "",
		"--aof-segment-size", "1mb", "--auto-aof-rewrite-percentage", "0"}})
	w := newWriter(srv)
	if !w.write(500) {
		t.Fatalf("%v: the server ended before it was touched\n%s", s, srv.Log())
	}
	tracer := attach(t, srv, s.call, fmt.Sprintf("%s:when=%d", s.how, s.n))
	defer tracer.end()
	c := srv.Connect(t)
	rewrites := 0
	if s.what == "rewrite" {
		c.Do("BGREWRITEAOF") // an error: it died of it already
		rewrites = 1
	}
	// Enough for three rotations, and until the rewrite is over.
	alive := true
	for deadline := time.Now().Add(20 * time.Second); alive; {
		alive = w.write(200)
		if w.bytes < 3<<20 {
			continue
		}
		r, err := c.Do("INFO", "persistence")
		if err != nil || rewrites == 0 || !strings.Contains(r.Str, "aof_rewrite_in_progress:1") {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("%v: the rewrite does not end\n%s", s, srv.Log())
			break
		}
	}
	reached = tracer.injected()
	t.Logf("%v: reached %v, alive %v, %d of %d acknowledged", s, reached, alive, w.acked, w.sent)
	srv.Kill() // also to wait for the end
	again, err := srv.Restart()
	if err != nil {
		t.Errorf("%v: %v", s, err)
		return reached
	}
	defer again.Kill()
	w.check(t, s.String(), again)
	// The directory is sound enough for another rewrite, and another start.
	c = again.Connect(t)
	c.Must(t, "SET", "after", "v")
	if r := c.Must(t, "BGREWRITEAOF"); r.IsError() {
		t.Errorf("%v: BGREWRITEAOF after the restart: %s", s, r)
	}
	for deadline := time.Now().Add(20 * time.Second); strings.Contains(c.Must(t, "INFO", "persistence").Str, "aof_rewrite_in_progress:1"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%v: the rewrite after the restart does not end\n%s", s, again.Log())
		}
	}
	if !strings.Contains(c.Must(t, "INFO", "persistence").Str, "aof_last_bgrewrite_status:ok") {
		t.Errorf("%v: the rewrite after the restart failed\n%s", s, again.Log())
	}
	again.Kill()
	last, err := again.Restart()
	if err != nil {
		t.Errorf("%v: the second restart: %v", s, err)
		return reached
	}
	w.check(t, s.String(), last)
	last.Kill()
	return reached
}

// writer sets keys, each to a value that names it, and remembers which were acknowledged.
type writer struct {
	srv    *servertest.Server
	c      *servertest.Client
	acked  int // keys 0 to acked-1
	sent   int
	bytes  int
	filler string
}

func newWriter(srv *servertest.Server) *writer {
	return &writer{srv: srv, filler: strings.Repeat("x", 1000)}
}

// write sets so many more keys. False: the server is gone. A write that is refused, or that ends its connection with an error, is one that was not
// acknowledged.
func (w *writer) write(n int) bool {
	for n > 0 {
		if w.c == nil {
			c, err := w.srv.Dial()
			if err != nil {
				return false
			}
			w.c = c
		}
		depth := min(n, 16)
		from := w.sent
		for i := range depth {
			k := strconv.Itoa(from + i)
			w.c.Queue("SET", "k"+k, k+w.filler)
		}
		w.sent += depth
		if w.c.Flush() != nil {
			w.c.Close()
			w.c = nil
			continue
		}
		for i := range depth {
			r, err := w.c.Receive()
			if err != nil {
				w.c.Close()
				w.c = nil
				break
			}
			if r.Str == "OK" && w.acked == from+i {
				w.acked++ // in a row from the first on: those behind a refused one are not looked for
			}
			w.bytes += len(w.filler)
		}
		n -= depth
	}
	return true
}

func (w *writer) check(t *testing.T, what string, srv *servertest.Server) {
	t.Helper()
	c := srv.Connect(t)
	const batch = 500
	for from := 0; from < w.sent; from += batch {
		n := min(batch, w.sent-from)
		for i := range n {
			c.Queue("GET", "k"+strconv.Itoa(from+i))
		}
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			r, err := c.Receive()
			if err != nil {
				t.Fatal(err)
			}
			if want := strconv.Itoa(from+i) + w.filler; r.Str != want && (from+i < w.acked || !r.IsNull()) {
				t.Errorf("%s: k%d is %.20s, %d were acknowledged", what, from+i, r, w.acked)
				return
			}
		}
	}
}

// tracer is a strace that is attached to a server.
type tracer struct {
	cmd  *exec.Cmd
	mu   sync.Mutex
	said bytes.Buffer
}

func (x *tracer) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.said.Write(p)
}

func (x *tracer) contains(s string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return strings.Contains(x.said.String(), s)
}

// injected reports whether the rule has applied.
func (x *tracer) injected() bool { return x.contains("(INJECTED") || x.contains("killed by SIGKILL") }

// attach injects a rule on one system call of a running server.
func attach(t *testing.T, srv *servertest.Server, call, rule string) *tracer {
	t.Helper()
	x := &tracer{}
	x.cmd = exec.Command(tool(t, "strace", "strace"), "-f", "-p", strconv.Itoa(srv.PID()), "-e", "trace="+call, "-e", "inject="+call+":"+rule)
	x.cmd.Stderr = x
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); !x.contains(" attached"); time.Sleep(time.Millisecond) {
		if x.contains("not permitted") {
			x.end()
			t.Skip("attaching strace to a process needs root (or kernel.yama.ptrace_scope=0); CI runs this test as root")
		}
		if time.Now().After(deadline) {
			x.end()
			t.Fatalf("strace does not attach: %s", x.said.String())
		}
	}
	return x
}

func (x *tracer) end() {
	x.cmd.Process.Kill()
	x.cmd.Wait()
}
