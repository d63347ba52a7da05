package faults

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tidemark/cmd/servertest"
)

// A sync that fails once: the pages it should have written may be gone for good,
// and a second sync would not tell. Whatever the server does, no acknowledged write may be lost.
func TestOneFailedSync(t *testing.T) { failing(t, "error=EIO:when=40") }

// A disk whose syncs all fail from some moment on.
func TestEverySyncFails(t *testing.T) { failing(t, breakLater) }

// A device that is full in the moment of syncing (delayed allocation).
func TestSyncFindsNoRoom(t *testing.T) { failing(t, "error=ENOSPC:when=40..60") }

// failing writes until errors come or 400 writes are done, then checks reads, kills the server
// and looks for every acknowledged write after a restart on a sound disk.
func failing(t *testing.T, rule string) {
	dir := t.TempDir()
	srv := servertest.StartTidemark(t, servertest.Config{
		Dir: dir, Args: []string{"--appendonly", "yes", "--appendfsync", "always", "--save", ""}, Wrap: inject(t, rule)})
	c := srv.Connect(t)
	c.SetTimeout(patience)
	var acked []string
	var refusal string
	for i := range 400 {
		key := fmt.Sprintf("k%d", i)
		r, err := c.Do("SET", key, "v"+key)
		if err != nil {
			t.Fatalf("a write was neither acknowledged nor refused: %v\n%s", err, srv.Log())
		}
		if r.IsError() {
			refusal = r.Str
			c = srv.Connect(t) // the write may have been executed: then that is all its client hears
			break
		}
		acked = append(acked, key)
	}
	if len(acked) == 0 {
		t.Fatal("no write was acknowledged before the disk failed: the test shows nothing")
	}
	t.Logf("%d writes acknowledged; refusal %q", len(acked), refusal)
	if refusal != "" {
		if !strings.HasPrefix(refusal, "MISCONF") {
			t.Errorf("writes are refused with %q, expected MISCONF", refusal)
		}
		if r := c.Must(t, "GET", acked[0]); r.Str != "v"+acked[0] {
			t.Errorf("reads do not go on: %s", r)
		}
		// strace counts the calls of each thread by itself, so a fresh thread may revive the log, and fail again,
		// at any moment: INFO and the refusal must agree in one of a few looks.
		agreed := false
		for range 10 {
			info := c.Must(t, "INFO", "persistence").Str
			r, err := c.Do("SET", "revived", "v")
			if strings.Contains(info, "aof_last_write_status:err") || err != nil || !r.IsError() {
				agreed = true
				break
			}
		}
		if !agreed {
			t.Errorf("writes are refused and INFO does not tell:\n%s", c.Must(t, "INFO", "persistence"))
		}
	}
	srv.Kill()
	bin, err := servertest.Binary()
	if err != nil {
		t.Fatal(err)
	}
	again, err := servertest.Start(servertest.Config{Bin: bin, Dir: dir, Args: []string{"--appendonly", "yes", "--appendfsync", "always", "--save", ""}})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Kill()
	c = again.Connect(t)
	for _, key := range acked {
		if r := c.Must(t, "GET", key); r.Str != "v"+key {
			t.Errorf("acknowledged and lost: %s = %s", key, r)
		}
	}
	if r := c.Must(t, "SET", "after", "v"); r.Str != "OK" {
		t.Errorf("after the restart: %s", r)
	}
}

// patience is longer than any client has to wait for an answer on a disk that fails.
const patience = 5 * time.Second

// refused waits until a write on a new connection gets an error, and returns it.
func refused(t *testing.T, srv *servertest.Server, c *servertest.Client) string {
	t.Helper()
	c.SetTimeout(patience)
	for deadline := time.Now().Add(5 * patience); time.Now().Before(deadline); {
		r, err := c.Do("SET", "another", "v")
		if err != nil {
			c.Close()
			if c, err = srv.Dial(); err != nil {
				t.Fatalf("%v\n%s", err, srv.Log())
			}
			c.SetTimeout(patience)
			continue
		}
		if r.IsError() {
			return r.Str
		}
	}
	t.Fatalf("writes are neither acknowledged nor refused\n%s", srv.Log())
	return ""
}

// breakLater lets a server start, which takes some twenty syncs, before syncs fail. The tracer counts those of each thread by itself,
// and it may be one thread that makes them all.
const breakLater = "error=EIO:when=40+"

// Under everysec a failing sync stops WAITAOF from saying 1.
func TestWaitAOFOnABrokenDisk(t *testing.T) {
	srv := servertest.StartTidemark(t, servertest.Config{
		Args: []string{"--appendonly", "yes", "--appendfsync", "everysec", "--save", ""}, Wrap: inject(t, breakLater)})
	c := srv.Connect(t)
	for i := range 300 {
		r := c.Must(t, "SET", "k", fmt.Sprint(i))
		if r.IsError() {
			return // refused: nothing was promised
		}
		r = c.Must(t, "WAITAOF", "1", "0", "300")
		if r.IsError() || r.Elems[0].Int == 0 {
			return
		}
	}
	t.Error("WAITAOF said 1 three hundred times on a disk whose syncs fail from a thread's fortieth on")
}

// Nothing may burn the CPU while the disk is broken.
func TestBrokenDiskDoesNotSpin(t *testing.T) {
	srv := servertest.StartTidemark(t, servertest.Config{
		Args: []string{"--appendonly", "yes", "--appendfsync", "always", "--save", ""}, Wrap: inject(t, breakLater)})
	c := srv.Connect(t)
	c.SetTimeout(patience)
	for range 300 {
		if r, err := c.Do("SET", "k", "v"); err != nil || r.IsError() {
			break
		}
	}
	select {
	case <-srv.Done():
		return
	default:
	}
	idleCPU(t, srv, "on a broken disk")
}

// idleCPU fails when the server uses the processor for a second in which nobody asks it for anything it can do.
func idleCPU(t *testing.T, srv *servertest.Server, where string) {
	t.Helper()
	before, err := srv.CPU()
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // the interval over which the CPU time is taken
	after, err := srv.CPU()
	if err != nil {
		t.Fatal(err)
	}
	if used := after - before; used > 300*time.Millisecond {
		t.Errorf("%v of CPU in an idle second %s", used, where)
	}
}
