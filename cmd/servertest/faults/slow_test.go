package faults

import (
	"fmt"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"tidemark/cmd/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// inject returns the strace command that runs a server with a rule on its
// fdatasync calls. The server stays the direct child (-D), so that signals and
// /proc find it; only the traced call costs anything (--seccomp-bpf).
func inject(t *testing.T, rule string) []string {
	t.Helper()
	return injectOn(t, "fdatasync,fsync,sync_file_range,msync", rule)
}

// injectOn is inject for other system calls.
func injectOn(t *testing.T, calls, rule string) []string {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		t.Fatalf("strace is needed to make the disk slow or broken and is not in PATH (Debian: apt-get install strace): %v", err)
	}
	return []string{path, "-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null",
		"-e", "trace=" + calls, "-e", "inject=" + calls + ":" + rule}
}

const delay = 150 * time.Millisecond

func slowServer(t *testing.T, policy string) *servertest.Server {
	return servertest.StartTidemark(t, servertest.Config{
		Args: []string{"--appendonly", "yes", "--appendfsync", policy, "--save", ""},
		Wrap: inject(t, fmt.Sprintf("delay_enter=%d", delay.Microseconds())),
	})
}

// With every sync delayed by D before it begins, whoever is told that a write is
// on disk, or is shown the value it wrote, cannot be told earlier than D after it was sent.
// That needs no clock of the server's and no knowledge of its insides.
func TestNothingIsAnsweredBeforeItsSync(t *testing.T) {
	srv := slowServer(t, "always")
	const writers, rounds = 4, 5
	start := time.Now()
	stop := make(chan struct{})
	var readers, work sync.WaitGroup
	for range 2 {
		c := srv.Connect(t)
		readers.Go(func() {
			last := [writers]string{}
			for {
				select {
				case <-stop:
					return
				default:
				}
				for w := range writers {
					r, err := c.Do("GET", fmt.Sprintf("k%d", w))
					if err != nil {
						t.Error(err)
						return
					}
					if r.Str != last[w] {
						// The writer may already have sent a newer value, so the time of
						// sending is in the value itself.
						at, err := strconv.ParseInt(r.Str, 10, 64)
						if err != nil {
							t.Errorf("read %s", r)
							return
						}
						if age := time.Since(start) - time.Duration(at); age < delay {
							t.Errorf("a reader saw a value %v after it was sent; no sync takes less than %v", age, delay)
						}
						last[w] = r.Str
					}
				}
			}
		})
	}
	for w := range writers {
		c := srv.Connect(t)
		work.Go(func() {
			for range rounds {
				at := time.Since(start)
				r, err := c.Do("SET", fmt.Sprintf("k%d", w), strconv.FormatInt(int64(at), 10))
				if err != nil || r.Str != "OK" {
					t.Errorf("SET: %v %v", r, err)
					return
				}
				if took := time.Since(start) - at; took < delay {
					t.Errorf("a write was acknowledged after %v; no sync takes less than %v", took, delay)
				}
			}
		})
	}
	work.Wait()
	close(stop)
	readers.Wait()
}

// The same for transactions and for several keys at once.
func TestBlocksAreNotAnsweredBeforeTheirSync(t *testing.T) {
	srv := slowServer(t, "always")
	c := srv.Connect(t)
	for _, commands := range [][][]string{
		{{"MSET", "a", "1", "b", "2"}},
		{{"MULTI"}, {"SET", "a", "1"}, {"GET", "a"}, {"EXEC"}},
		{{"SET", "a", "2"}, {"GET", "a"}, {"PING"}},
		{{"DEL", "a"}},
		{{"INCR", "n"}},
		{{"SETEX", "e", "100", "v"}},
		{{"FLUSHALL"}},
	} {
		begin := time.Now()
		for _, command := range commands {
			c.Queue(command...)
		}
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		for range commands {
			r, err := c.Receive()
			if err != nil || r.IsError() {
				t.Fatalf("%v: %v %v", commands, r, err)
			}
		}
		if took := time.Since(begin); took < delay {
			t.Errorf("%v was answered after %v; no sync takes less than %v", commands, took, delay)
		}
	}
}

// Reads of untouched keys, and PING, never wait for another connection's sync.
func TestReadsDoNotWaitForAnothersSync(t *testing.T) {
	srv := slowServer(t, "always")
	w, r := srv.Connect(t), srv.Connect(t)
	r.Must(t, "SET", "quiet", "v")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := w.Do("SET", "busy", "v"); err != nil {
				t.Error(err)
				return
			}
		}
	})
	slow, n := 0, 200
	var worst time.Duration
	for range n {
		begin := time.Now()
		if got := r.Must(t, "GET", "quiet"); got.Str != "v" {
			t.Fatal(got)
		}
		took := time.Since(begin)
		worst = max(worst, took)
		if took > delay/2 {
			slow++
		}
		time.Sleep(time.Millisecond)
	}
	close(stop)
	wg.Wait()
	// The machine may pause once; a server that makes readers wait does so every time.
	if slow > n/20 {
		t.Errorf("%d of %d reads of an untouched key took more than %v (worst %v): they waited for a sync", slow, n, delay/2, worst)
	}
}

// WAITAOF's 1 means on disk, under every policy.
func TestWaitAOFTellsTheTruth(t *testing.T) {
	for _, policy := range []string{"everysec", "no", "always"} {
		t.Run(policy, func(t *testing.T) {
			srv := slowServer(t, policy)
			c := srv.Connect(t)
			for i := range 4 {
				begin := time.Now()
				c.Queue("SET", "k", strconv.Itoa(i))
				c.Queue("WAITAOF", "1", "0", "10000")
				if err := c.Flush(); err != nil {
					t.Fatal(err)
				}
				if r, err := c.Receive(); err != nil || r.Str != "OK" {
					t.Fatal(r, err)
				}
				r, err := c.Receive()
				if err != nil || r.String() != "[:1, :0]" {
					t.Fatalf("WAITAOF 1 0 10000: %v %v", r, err)
				}
				if took := time.Since(begin); took < delay {
					t.Errorf("WAITAOF answered 1 after %v; no sync takes less than %v", took, delay)
				}
			}
			if policy == "always" {
				return // there the SET itself has waited
			}
			// A timeout shorter than the sync: not on disk, and it says so.
			c.Must(t, "SET", "k", "short")
			begin := time.Now()
			if r := c.Must(t, "WAITAOF", "1", "0", "20"); r.String() != "[:0, :0]" {
				t.Errorf("WAITAOF 1 0 20 with syncs of %v: %s", delay, r)
			}
			if took := time.Since(begin); took > delay {
				t.Errorf("a timeout of 20 ms was answered after %v", took)
			}
			if r := c.Must(t, "WAITAOF", "1", "0", "0"); r.String() != "[:1, :0]" {
				t.Errorf("WAITAOF 1 0 0: %s", r)
			}
		})
	}
}

// A shutdown waits for the sync that is under way: whoever wrote gets the answer, and the write is there.
func TestShutdownWaitsForTheSync(t *testing.T) {
	for _, policy := range []string{"always", "everysec"} {
		t.Run(policy, func(t *testing.T) {
			srv := slowServer(t, policy)
			const writers = 8
			var clients [writers]*servertest.Client
			for i := range clients {
				clients[i] = srv.Connect(t)
				clients[i].Queue("SET", fmt.Sprintf("k%d", i), "v")
				if err := clients[i].Flush(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(delay / writers) // so that one sync is under way while others are asked for
			}
			begin := time.Now()
			if err := srv.Stop(); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took > 20*delay {
				t.Errorf("the shutdown took %v with syncs of %v", took, delay)
			}
			for i, c := range clients {
				if r, err := c.Receive(); err != nil || r.Str != "OK" {
					t.Errorf("writer %d: %v %v", i, r, err)
				}
			}
			again, err := srv.Restart()
			if err != nil {
				t.Fatal(err)
			}
			defer again.Kill()
			if r := again.Connect(t).Must(t, "DBSIZE"); r.Int != writers {
				t.Errorf("%d keys of %d", r.Int, writers)
			}
		})
	}
}
