package replication

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tidemark/cmd/servertest"
	"tidemark/cmd/servertest/cluster"
	"tidemark/cmd/servertest/history"
	"tidemark/cmd/servertest/workload"
)

// ledgerDB is where the ledgers' keys are: no random command goes there.
const ledgerDB = "9"

// mostReplicas bounds the counts of confirmations that are told apart.
const mostReplicas = 4

// ledger is one writer that knows what it was promised.
type ledger struct {
	*history.History

	mu sync.Mutex
	// received[k] is how many operations at least k replicas were said to have, synced[k] to have on their disks.
	received, synced [mostReplicas + 1]int
}

func (l *ledger) confirm(counts *[mostReplicas + 1]int, replicas int64, ops int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k := 1; k <= min(int(replicas), mostReplicas); k++ {
		counts[k] = max(counts[k], ops)
	}
}

// floor is how many operations must have survived when so many replicas may have lost what they had received,
// and so many what they had synced.
func (l *ledger) floor(lostReceived, lostSynced int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	floor := 0
	if lostReceived < mostReplicas {
		floor = l.received[lostReceived+1]
	}
	if lostSynced < mostReplicas {
		floor = max(floor, l.synced[lostSynced+1])
	}
	return floor
}

// settle compares with what the primary holds, from where the ledger goes on. Whatever was confirmed before is forgotten.
func (l *ledger) settle(got map[string]string, floor int) error {
	l.forget()
	return l.Keep(got, floor)
}

// converged notes that no server holds an older state than the present one.
func (l *ledger) converged() {
	l.forget()
	l.Rebase()
}

func (l *ledger) forget() {
	l.mu.Lock()
	l.received, l.synced = [mostReplicas + 1]int{}, [mostReplicas + 1]int{}
	l.mu.Unlock()
}

// kept reads the ledger's keys, all at one moment.
func (l *ledger) kept(n *cluster.Node) (map[string]string, error) {
	c, err := n.Dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if r, err := c.Do("SELECT", ledgerDB); err != nil || r.IsError() {
		return nil, fmt.Errorf("%s: SELECT: %v %w", n, r, err)
	}
	keys := l.AllKeys()
	r, err := c.Do(append([]string{"MGET"}, keys...)...)
	if err != nil || r.IsError() {
		return nil, fmt.Errorf("%s: MGET: %v %w", n, r, err)
	}
	out := map[string]string{}
	for i, e := range r.Elems {
		if !e.IsNull() {
			out[keys[i]] = e.Str
		}
	}
	return out, nil
}

// burst is a set of clients that write to one life of one node.
type burst struct {
	stop    chan struct{}
	wg      sync.WaitGroup
	mu      sync.Mutex
	conns   []*servertest.Client
	errs    []error
	written atomic.Int64 // operations of the ledgers that were answered
	random  atomic.Int64 // random commands that were answered
	waits   atomic.Int64 // confirmations of at least one replica
}

// begin starts writers on a node: every ledger, and so many clients with random commands. replicas is how many
// the ledgers may wait for.
func begin(n *cluster.Node, ledgers []*ledger, chaos, replicas int, rnd *rand.Rand) *burst {
	b := &burst{stop: make(chan struct{})}
	run := func(f func(c *servertest.Client, rnd *rand.Rand) error) {
		c, err := n.Dial()
		if err != nil {
			b.fail(err)
			return
		}
		b.conns = append(b.conns, c)
		mine := rand.New(rand.NewPCG(rnd.Uint64(), 7))
		b.wg.Go(func() {
			defer c.Close()
			if err := f(c, mine); err != nil {
				b.fail(err)
			}
		})
	}
	for _, l := range ledgers {
		run(func(c *servertest.Client, rnd *rand.Rand) error {
			return b.ledger(c, l, n.Program.WaitAOF, replicas, rnd)
		})
	}
	for range chaos {
		run(func(c *servertest.Client, rnd *rand.Rand) error {
			return b.chaos(c, n.HidesOverflow(), n.FieldExpiry(), rnd)
		})
	}
	return b
}

func (b *burst) fail(err error) {
	b.mu.Lock()
	b.errs = append(b.errs, err)
	b.mu.Unlock()
}

// end lets the writers finish what they have begun.
func (b *burst) end() error {
	close(b.stop)
	b.wg.Wait()
	return errors.Join(b.errs...)
}

// abort ends them at once, whatever they wait for.
func (b *burst) abort() error {
	close(b.stop)
	for _, c := range b.conns {
		c.NetConn().SetDeadline(time.Unix(1, 0))
		c.Close()
	}
	b.wg.Wait()
	return errors.Join(b.errs...)
}

func (b *burst) stopped() bool {
	select {
	case <-b.stop:
		return true
	default:
		return false
	}
}

// ends are error replies that a server gives when its part has changed under the client. From then on it refuses
// everything, so the history has no hole.
func ends(r servertest.Reply) bool {
	what := strings.TrimPrefix(r.Str, "EXECABORT Transaction discarded because of: ")
	for _, code := range []string{"READONLY", "UNBLOCKED", "MASTERDOWN", "LOADING", "ERR WAIT cannot", "ERR WAITAOF cannot"} {
		if strings.HasPrefix(what, code) {
			return true
		}
	}
	return false
}

// ledger writes operations and has them confirmed now and then.
func (b *burst) ledger(c *servertest.Client, l *ledger, waitAOF bool, replicas int, rnd *rand.Rand) error {
	if r, err := c.Do("SELECT", ledgerDB); err != nil || r.IsError() {
		return nil // gone before it began
	}
	state := l.State()
	sent := l.Acknowledged() // the server has all of them: the ledger was settled with it
	for !b.stopped() {
		var batch []history.Operation
		for range 1 + rnd.IntN(1+rnd.IntN(12)) {
			op := l.Next(rnd, state)
			batch = append(batch, op)
			for _, command := range op.Commands {
				c.Queue(command...)
			}
		}
		if c.Flush() != nil {
			return nil
		}
		for _, op := range batch {
			for _, command := range op.Commands {
				r, err := c.Receive()
				if err != nil {
					return nil
				}
				if r.IsError() {
					if ends(r) {
						return nil
					}
					return fmt.Errorf("ledger %d: %.80q: %s", l.ID, command, r)
				}
			}
			l.Acknowledge()
			sent++
			b.written.Add(1)
		}
		if replicas == 0 || rnd.IntN(3) == 0 {
			continue
		}
		if ok, err := b.wait(c, l, sent, waitAOF && rnd.IntN(2) == 0, 1+rnd.IntN(replicas), rnd); !ok || err != nil {
			return err
		}
	}
	return nil
}

// wait asks how many replicas have the first ops operations, and notes it.
func (b *burst) wait(c *servertest.Client, l *ledger, ops int, aof bool, replicas int, rnd *rand.Rand) (more bool, err error) {
	ms := strconv.Itoa(1 + rnd.IntN(300))
	words := []string{"WAIT", strconv.Itoa(replicas), ms}
	if aof {
		words = []string{"WAITAOF", "0", strconv.Itoa(replicas), ms}
	}
	r, err := c.Do(words...)
	if err != nil || ends(r) {
		return false, nil
	}
	switch {
	case !aof && r.Kind == servertest.Integer:
		l.confirm(&l.received, r.Int, ops)
		b.waits.Add(min(r.Int, 1))
	case aof && r.Kind == servertest.Array && len(r.Elems) == 2:
		l.confirm(&l.synced, r.Elems[1].Int, ops)
		b.waits.Add(min(r.Elems[1].Int, 1))
	default:
		return false, fmt.Errorf("%v: %s", words, r)
	}
	return true, nil
}

// chaos sends random commands, whatever comes back; with noFail without OVERFLOW FAIL, with newer also those that are new in 7.4 and 8.0.
func (b *burst) chaos(c *servertest.Client, noFail, newer bool, rnd *rand.Rand) error {
	gen := workload.Generator{Rnd: rnd}
	if newer {
		gen.Version = "8.0" // an error where the primary is a redis-server that is older
	}
	for !b.stopped() {
		n := 1 + rnd.IntN(20)
		for range n {
			gen.NowMs = time.Now().UnixMilli()
			args := gen.Next().Args
			for noFail && slices.Contains(args, "FAIL") {
				args = gen.Next().Args
			}
			if strings.EqualFold(args[0], "FLUSHALL") { // it would take the ledgers with it
				args[0] = "FLUSHDB"
			}
			c.Queue(args...)
		}
		if c.Flush() != nil {
			return nil
		}
		for range n {
			if _, err := c.Receive(); err != nil {
				return nil
			}
			b.random.Add(1)
		}
	}
	return nil
}

func newLedger(id int) *ledger { return &ledger{History: history.New(id)} }

// freshLedgers are for servers that have lost everything.
func freshLedgers(old []*ledger) []*ledger {
	var out []*ledger
	for _, l := range old {
		out = append(out, newLedger(l.ID))
	}
	return out
}
