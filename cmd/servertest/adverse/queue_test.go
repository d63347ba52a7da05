package adverse

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidemark/cmd/servertest"
	"tidemark/cmd/servertest/cluster"
)

// Clients on several loops push, take and move elements between a few lists, most of them waiting; some leave while they wait, are killed or told
// to stop waiting. No element comes twice, none is lost but what a client was served that left before it could read it, and a stock replica, the
// server after a restart and the server before have the same lists.
func TestQueues(t *testing.T) {
	seed := uint64(servertest.Setting(t, "TIDEMARK_SEED", time.Now().UnixNano()))
	t.Logf("seed %d", seed)
	for _, policy := range []string{"everysec", "always"} {
		t.Run(policy, func(t *testing.T) {
			srv := servertest.StartTidemark(t, servertest.Config{Args: []string{"--io-threads", "3", "--appendonly", "yes", "--appendfsync", policy, "--save", ""}})
			replica := servertest.StartRedis(t, servertest.Config{Args: []string{"--replicaof", "127.0.0.1 " + strconv.Itoa(srv.Port)}})
			q := &queues{t: t, srv: srv, got: map[string]string{}}
			var producers, consumers sync.WaitGroup
			for i := range 6 {
				rnd := rand.New(rand.NewPCG(seed, uint64(i)))
				producers.Go(func() { q.produce(i, 1500*scale(t), rnd) })
			}
			stop := make(chan struct{})
			for i := range 40 {
				rnd := rand.New(rand.NewPCG(seed, uint64(100+i)))
				consumers.Go(func() { q.consume(fmt.Sprint("consumer", i), rnd, stop) })
			}
			consumers.Go(func() { q.disturb(rand.New(rand.NewPCG(seed, 99)), stop) })
			producers.Wait()
			close(stop)
			consumers.Wait()
			q.produce(99, 300, rand.New(rand.NewPCG(seed, 98))) // which stays
			admin := srv.Connect(t)
			left := 0
			for i := range lists {
				for _, e := range admin.Must(t, "LRANGE", listKey(i), "0", "-1").Strings() {
					q.took(e, "what is left in "+listKey(i))
					left++
				}
			}
			missing := int(q.pushed.Load()) - len(q.got)
			t.Logf("%d pushed, %d left, %d waits given up or cut short, %d elements served to clients that had gone", q.pushed.Load(), left, q.cut.Load(), missing)
			if missing < 0 || missing > int(q.abandoned.Load()) {
				t.Errorf("%d elements are missing; clients left %d times while they waited", missing, q.abandoned.Load())
			}
			if q.cut.Load() == 0 || q.abandoned.Load() == 0 || len(q.got)-left < 1000 || left < 300 {
				t.Error("the test shows nothing")
			}
			q.settled(admin, replica)
		})
	}
}

const lists = 5

func listKey(i int) string { return "list" + strconv.Itoa(i) }

func anyList(rnd *rand.Rand) string { return listKey(rnd.IntN(lists)) }

// queues is what the clients of a run have done together.
type queues struct {
	t         *testing.T
	srv       *servertest.Server
	pushed    atomic.Int64
	cut       atomic.Int64 // waits that ended without an element
	abandoned atomic.Int64 // requests without a reply
	mu        sync.Mutex
	got       map[string]string // elements, and who has them
}

func (q *queues) took(e, who string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if first := q.got[e]; first != "" {
		q.t.Errorf("%s went to %s and to %s", e, first, who)
	}
	q.got[e] = who
}

// settled checks, when all clients have gone, that nobody is said to wait any more, and that the replica and the server after a restart have what the
// server has.
func (q *queues) settled(admin *servertest.Client, replica *servertest.Server) {
	t, srv := q.t, q.srv
	t.Helper()
	info := admin.Must(t, "INFO", "clients").Str
	for _, want := range []string{"blocked_clients:0", "total_blocking_keys:0"} {
		if !strings.Contains(info, "\r\n"+want+"\r\n") {
			t.Errorf("when all have gone, it is not %s:\n%s", want, info)
		}
	}
	before, err := cluster.Dump(admin)
	if err != nil {
		t.Fatal(err)
	}
	follower := replica.Connect(t)
	var differences []string
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		state, err := cluster.Dump(follower)
		if err == nil {
			if differences = cluster.Differences(before, state); len(differences) == 0 {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("the replica differs (%v): %v", err, differences)
		}
	}
	if err := srv.Stop(); err != nil {
		t.Fatal(err)
	}
	again, err := srv.Restart()
	if err != nil {
		t.Fatal(err)
	}
	defer again.Kill()
	after, err := cluster.Dump(again.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	if differences := cluster.Differences(before, after); len(differences) > 0 {
		t.Errorf("after a restart: %v", differences)
	}
}

// produce pushes elements, in several ways.
func (q *queues) produce(id, n int, rnd *rand.Rand) {
	c, err := q.srv.Dial()
	if err != nil {
		q.t.Error(err)
		return
	}
	defer c.Close()
	for i := 0; i < n; {
		args := []string{[]string{"LPUSH", "RPUSH"}[rnd.IntN(2)], anyList(rnd)}
		for range 1 + rnd.IntN(3) {
			args = append(args, fmt.Sprintf("%d.%d", id, i))
			i++
		}
		elements := int64(len(args) - 2)
		var requests [][]string
		switch rnd.IntN(6) {
		case 0:
			requests = [][]string{{"MULTI"}, args, {"LMOVE", args[1], anyList(rnd), "LEFT", "RIGHT"}, {"EXEC"}}
		case 1: // it comes by another name
			aside := fmt.Sprint("aside", id)
			args[1] = aside
			requests = [][]string{args, {"RENAMENX", aside, anyList(rnd)}, {"LMOVE", aside, anyList(rnd), "LEFT", "LEFT"},
				{"LMOVE", aside, anyList(rnd), "LEFT", "LEFT"}, {"RPOPLPUSH", aside, anyList(rnd)}}
		default:
			requests = [][]string{args}
		}
		for _, r := range requests {
			c.Queue(r...)
		}
		if err := c.Flush(); err != nil {
			q.t.Error(err)
			return
		}
		for _, args := range requests {
			if r, err := c.Receive(); err != nil || r.IsError() && args[0] != "RENAMENX" {
				q.t.Errorf("%v: %v %v", args, r, err)
				return
			}
		}
		q.pushed.Add(elements)
		if rnd.IntN(4) == 0 { // let the lists run dry
			time.Sleep(time.Duration(rnd.IntN(2000)) * time.Microsecond)
		}
	}
}

// wait sends the requests that next makes, one at a time until stop, and hands what comes back to got, but for waits that ended in vain. It leaves now
// and then, and comes back, also when it was killed: the elements that such a request may have been served, lose, count as abandoned.
func (q *queues) wait(rnd *rand.Rand, stop chan struct{}, next func(timeout string) (args []string, lose int64), got func(args []string, r servertest.Reply) error) {
	var c *servertest.Client
	defer func() {
		if c != nil {
			c.Close()
		}
	}()
	for {
		select {
		case <-stop:
			return
		default:
		}
		if c == nil {
			var err error
			if c, err = q.srv.Dial(); err != nil {
				q.t.Error(err)
				return
			}
		}
		args, lose := next([]string{"0.001", "0.005", "0.02", "0.1"}[rnd.IntN(4)])
		c.Queue(args...)
		err := c.Flush()
		leaves := err == nil && rnd.IntN(40) == 0
		if leaves {
			time.Sleep(time.Duration(rnd.IntN(1000)) * time.Microsecond)
			if rnd.IntN(2) == 0 {
				c.NetConn().(*net.TCPConn).SetLinger(0)
			}
		}
		var r servertest.Reply
		if err == nil && !leaves {
			r, err = c.Receive()
		}
		switch {
		case leaves || err != nil: // killed
			c.Close()
			c = nil
			q.abandoned.Add(lose)
		case r.IsNull() || r.IsError() && strings.HasPrefix(r.Str, "UNBLOCKED "):
			q.cut.Add(1)
		default:
			if err := got(args, r); err != nil {
				q.t.Errorf("%v: %v", args, err)
				return
			}
		}
	}
}

// consume takes and moves elements, and waits for them, until stop.
func (q *queues) consume(name string, rnd *rand.Rand, stop chan struct{}) {
	q.wait(rnd, stop, func(timeout string) ([]string, int64) {
		side := []string{"LEFT", "RIGHT"}[rnd.IntN(2)]
		switch rnd.IntN(6) {
		case 0, 1:
			return []string{[]string{"BLPOP", "BRPOP"}[rnd.IntN(2)], anyList(rnd), anyList(rnd), anyList(rnd), timeout}, 1
		case 2:
			return []string{"BLPOP", anyList(rnd), timeout}, 1
		case 3:
			return []string{"BLMPOP", timeout, "2", anyList(rnd), anyList(rnd), side, "COUNT", "3"}, 3
		case 4:
			return []string{"BLMOVE", anyList(rnd), anyList(rnd), side, "LEFT", timeout}, 1
		}
		return []string{"BRPOPLPUSH", anyList(rnd), anyList(rnd), timeout}, 1
	}, func(args []string, r servertest.Reply) error {
		if r.IsError() {
			return errors.New(r.Str)
		}
		q.served(args[0], r, name)
		return nil
	})
}

// served counts what a client was served by a command.
func (q *queues) served(command string, r servertest.Reply, name string) {
	switch command {
	case "BLPOP", "BRPOP", "BZPOPMIN":
		q.took(r.Elems[1].Str, name)
	case "BLMPOP":
		for _, e := range r.Elems[1].Strings() {
			q.took(e, name)
		}
	case "BZMPOP":
		for _, e := range r.Elems[1].Elems {
			q.took(e.Elems[0].Str, name)
		}
	case "XREADGROUP":
		for _, e := range r.Elems[0].Elems[1].Elems {
			q.took(e.Elems[1].Elems[1].Str, name)
		}
	}
}

// disturb kills clients, and ends waits.
func (q *queues) disturb(rnd *rand.Rand, stop chan struct{}) {
	c, err := q.srv.Dial()
	if err != nil {
		q.t.Error(err)
		return
	}
	defer c.Close()
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(rnd.IntN(4)) * time.Millisecond):
		}
		r, err := c.Do("CLIENT", "LIST", "TYPE", "NORMAL")
		if err != nil {
			q.t.Error(err)
			return
		}
		var waiting []string
		for line := range strings.Lines(r.Str) {
			id, _, _ := strings.Cut(strings.TrimPrefix(line, "id="), " ")
			if strings.Contains(line, " flags=b ") {
				waiting = append(waiting, id)
			}
		}
		if len(waiting) == 0 {
			continue
		}
		id := waiting[rnd.IntN(len(waiting))]
		args := [][]string{{"CLIENT", "KILL", "ID", id}, {"CLIENT", "UNBLOCK", id}, {"CLIENT", "UNBLOCK", id, "ERROR"}}[rnd.IntN(3)]
		if _, err := c.Do(args...); err != nil {
			q.t.Error(err)
			return
		}
	}
}
