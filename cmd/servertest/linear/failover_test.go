package linear

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tidemark/cmd/servertest"
)

// confirm is what a client says behind each operation, and what the answer must be for the operation to count as done.
//
// The INCR is a fence: its offset lies behind everything that the operation wrote or saw, whoever wrote it, so a replica that has the fence has
// that. Without it a read could show what another client's unconfirmed write left, and the failover takes away.
type confirm struct {
	name    string
	command []string
	done    func(reply string) bool
	// restart: the replica is killed, too, and must come back from its own disk before it is promoted.
	restart bool
}

var confirms = []confirm{
	{"WAIT", []string{"WAIT", "1", "3000"}, func(s string) bool { return s == ":1" }, false},
	{"WAITAOF", []string{"WAITAOF", "0", "1", "3000"}, func(s string) bool { return strings.HasSuffix(s, ":1]") }, true},
}

// TestFailover: the primary is killed at random moments and its replica promoted; what was confirmed by WAIT or WAITAOF is there, and one order
// explains all answers.
func TestFailover(t *testing.T) {
	seed := uint64(servertest.Setting(t, "TIDEMARK_SEED", time.Now().UnixNano()))
	rounds := int(servertest.Setting(t, "TIDEMARK_HISTORIES", 2))
	for _, c := range confirms {
		t.Run(c.name, func(t *testing.T) {
			t.Logf("seed %d, %d histories", seed, rounds)
			rnd := rand.New(rand.NewPCG(seed, 7))
			args := []string{"--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--repl-diskless-sync-delay", "0"}
			primary := servertest.StartTidemark(t, servertest.Config{Args: args})
			replica := servertest.StartTidemark(t, servertest.Config{Args: args})
			follow(t, replica, primary)
			for round := range rounds {
				rec := &recorder{prefix: fmt.Sprintf("f%d", round), start: time.Now()}
				for range lives {
					primary, replica = rec.reign(t, c, primary, replica, rnd)
				}
				rec.readAll(t, primary)
				rec.check(t, seed)
			}
		})
	}
}

// follow makes a server the replica of another and waits until WAIT counts it.
func follow(t *testing.T, replica, primary *servertest.Server) {
	t.Helper()
	replica.Connect(t).Must(t, "REPLICAOF", "127.0.0.1", strconv.Itoa(primary.Port))
	c := primary.Connect(t)
	for end := time.Now().Add(20 * time.Second); ; {
		c.Must(t, "INCR", "fence")
		if c.Must(t, "WAIT", "1", "200").String() == ":1" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the replica does not come up\n%s", replica.Log())
		}
	}
}

// reign lets the clients work on the primary, kills it at a random moment, promotes the replica, and has the old primary follow it.
func (r *recorder) reign(t *testing.T, how confirm, primary, replica *servertest.Server, rnd *rand.Rand) (newPrimary, newReplica *servertest.Server) {
	t.Helper()
	var wg sync.WaitGroup
	for id := range clients {
		seed := rnd.Uint64()
		wg.Go(func() {
			if err := r.confirmed(primary, how, id, rand.New(rand.NewPCG(seed, 8))); err != nil {
				t.Error(err)
			}
		})
	}
	time.Sleep(time.Duration(20+rnd.IntN(100)) * time.Millisecond) // the random moment is the point
	primary.Kill()
	wg.Wait()
	if how.restart {
		replica.Kill()
		again, err := replica.Restart()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(again.Kill)
		replica = again
	} else {
		replica.Connect(t).Must(t, "REPLICAOF", "NO", "ONE")
	}
	back, err := primary.Restart()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(back.Kill)
	follow(t, back, replica)
	return replica, back
}

// confirmed works until the connection dies. What was not confirmed counts as not answered.
func (r *recorder) confirmed(srv *servertest.Server, how confirm, id int, rnd *rand.Rand) error {
	c, err := srv.Dial()
	if err != nil {
		return nil // killed before the connection stood
	}
	defer c.Close()
	for {
		in := r.random(rnd)
		commands := in.commands()
		for _, command := range append(commands[:len(commands):len(commands)], []string{"INCR", "fence"}, how.command) {
			c.Queue(command...)
		}
		call := r.now()
		err := c.Flush()
		var reply, fence, done servertest.Reply
		for range commands {
			if err == nil {
				reply, err = c.Receive()
			}
		}
		for _, to := range []*servertest.Reply{&fence, &done} {
			if err == nil {
				*to, err = c.Receive()
			}
		}
		if err != nil || !how.done(done.String()) {
			r.add(id, in, call, math.MaxInt64, output{unknown: true})
			if err != nil {
				return nil
			}
			continue
		}
		if s := reply.String(); reply.IsError() && !strings.Contains(s, "not an integer") {
			return fmt.Errorf("%v: %s", in, s)
		}
		r.add(id, in, call, r.now(), output{reply: reply.String()})
		time.Sleep(time.Duration(rnd.IntN(1500)) * time.Microsecond)
	}
}
