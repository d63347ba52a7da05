package crash

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidemark/cmd/servertest"
	"tidemark/cmd/servertest/history"
)

func TestMain(m *testing.M) { servertest.Main(m) }

const (
	writers = 8
	readers = 2
)

// Under always nothing acknowledged and nothing seen may be lost, whatever dies.
func TestKillAlways(t *testing.T) {
	loop(t, "always", int(servertest.Setting(t, "TIDEMARK_CRASHES", 15)))
}

// Under everysec a process that dies loses nothing either: what was acknowledged
// is in the page cache. (A power loss is another matter; docs/durability.md.)
func TestKillEverysec(t *testing.T) {
	loop(t, "everysec", int(servertest.Setting(t, "TIDEMARK_CRASHES", 15)+2)/3)
}

func loop(t *testing.T, policy string, crashes int) {
	seed := uint64(servertest.Setting(t, "TIDEMARK_SEED", time.Now().UnixNano()))
	t.Logf("seed %d, %d crashes", seed, crashes)
	rnd := rand.New(rand.NewPCG(seed, 2))
	histories := make([]*history.History, writers)
	for i := range histories {
		histories[i] = history.New(i)
	}
	srv := servertest.StartTidemark(t, servertest.Config{Args: []string{
		"--appendonly", "yes", "--appendfsync", policy, "--save", "", "--auto-aof-rewrite-percentage", "0"}})
	var acked int64
	for crash := 1; crash <= crashes; crash++ {
		acked += burst(t, srv, histories, rnd)
		again, err := srv.Restart()
		if err != nil {
			t.Fatalf("seed %d, crash %d: %v", seed, crash, err)
		}
		srv = again
		t.Cleanup(srv.Kill)
		c := srv.Connect(t)
		for _, h := range histories {
			if err := h.Settle(kept(t, c, h)); err != nil {
				t.Fatalf("seed %d, crash %d under %s: %v\n%s", seed, crash, policy, err, srv.Log())
			}
		}
		c.Close()
	}
	if acked == 0 {
		t.Fatal("no write was ever acknowledged")
	}
	t.Logf("%d acknowledged operations survived %d kills", acked, crashes)
}

// kept reads a writer's keys.
func kept(t *testing.T, c *servertest.Client, h *history.History) map[string]string {
	out := map[string]string{}
	keys := h.AllKeys()
	for i, r := range c.Must(t, append([]string{"MGET"}, keys...)...).Elems {
		if !r.IsNull() {
			out[keys[i]] = r.Str
		}
	}
	return out
}

// burst lets writers and readers work until the server is killed at a random
// moment, and returns how many operations were acknowledged.
func burst(t *testing.T, srv *servertest.Server, histories []*history.History, rnd *rand.Rand) int64 {
	var wg sync.WaitGroup
	var acked atomic.Int64
	stop := make(chan struct{})
	problems := make(chan error, writers+readers)
	for _, h := range histories {
		seed := rnd.Uint64()
		wg.Go(func() {
			if err := write(srv, h, rand.New(rand.NewPCG(seed, 3)), &acked, stop); err != nil {
				problems <- err
			}
		})
	}
	for range readers {
		seed := rnd.Uint64()
		wg.Go(func() {
			if err := read(srv, histories, rand.New(rand.NewPCG(seed, 4)), stop); err != nil {
				problems <- err
			}
		})
	}
	if rnd.IntN(4) == 0 { // a rewrite under way is one more thing to be killed in
		if c, err := srv.Dial(); err == nil {
			c.Do("BGREWRITEAOF")
			c.Close()
		}
	}
	// A random moment is what is tested here, not something that could be waited for.
	time.Sleep(time.Duration(5+rnd.IntN(250)) * time.Millisecond)
	srv.Kill()
	close(stop)
	wg.Wait()
	close(problems)
	for err := range problems {
		t.Error(err)
	}
	return acked.Load()
}

// write sends pipelines of random depth until the server is gone.
func write(srv *servertest.Server, h *history.History, rnd *rand.Rand, acked *atomic.Int64, stop <-chan struct{}) error {
	c, err := srv.Dial()
	if err != nil {
		return nil // killed before the connection stood
	}
	defer c.Close()
	state := h.State()
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		var batch []history.Operation
		for range 1 + rnd.IntN(1+rnd.IntN(24)) {
			op := h.Next(rnd, state)
			batch = append(batch, op)
			for _, command := range op.Commands {
				c.Queue(command...)
			}
		}
		if c.Flush() != nil {
			return nil
		}
		for _, op := range batch {
			for i := range op.Commands {
				r, err := c.Receive()
				if err != nil {
					return nil
				}
				if r.IsError() {
					return fmt.Errorf("writer %d: %v: %s", h.ID, op.Commands[i], r)
				}
			}
			h.Acknowledge()
			acked.Add(1)
		}
	}
}

// read looks at random keys and notes what was seen: it must not be taken back by the crash.
func read(srv *servertest.Server, histories []*history.History, rnd *rand.Rand, stop <-chan struct{}) error {
	c, err := srv.Dial()
	if err != nil {
		return nil
	}
	defer c.Close()
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		h := histories[rnd.IntN(len(histories))]
		keys := []string{h.Counter(), h.Key(rnd.IntN(history.Keys)), h.Key(rnd.IntN(history.Keys))}
		r, err := c.Do(append([]string{"MGET"}, keys...)...)
		if err != nil {
			return nil
		}
		if r.IsError() || len(r.Elems) != len(keys) {
			return fmt.Errorf("MGET: %s", r)
		}
		for i, e := range r.Elems {
			if !e.IsNull() {
				if err := h.Observe(keys[i], e.Str); err != nil {
					return err
				}
			}
		}
	}
}
