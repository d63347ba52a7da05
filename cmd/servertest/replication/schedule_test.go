package replication

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidemark/cmd/servertest"
	"tidemark/cmd/servertest/cluster"
)

// patience is how long nodes may take to come together once nothing disturbs them. Much of it is the kernel's:
// after a cut of some seconds it sends again only some seconds later.
const patience = 45 * time.Second

// gaveUp is what a redis-server says that, as a replica, ends itself after a disk that was full, even if it has room again (replica-ignore-disk-write-errors).
const gaveUp = "Replica was unable to write command to disk"

func TestSchedules(t *testing.T) {
	seed := firstSeed(t)
	for _, p := range pairings() {
		t.Run(p.String(), func(t *testing.T) {
			for i := range uint64(servertest.Setting(t, "TIDEMARK_SCHEDULES", 3)) {
				t.Run(strconv.FormatUint(seed+i, 10), func(t *testing.T) { newSchedule(t, p, seed+i).run() })
			}
		})
	}
}

// schedule is one sequence of phases. In each, clients write to the primary while random events happen; then
// the phase ends in peace, in a restart of the primary, or in a failover.
type schedule struct {
	t       *testing.T
	rnd     *rand.Rand
	seed    uint64
	c       *cluster.Cluster
	primary *cluster.Node
	ledgers []*ledger
	begun   time.Time
	trace   []string
	small   *smallDisk // under the last node, in some schedules

	// Of the present phase:
	b *burst
	// lost are replicas that may have lost what they had received; lostSynced those that may have lost even what they had on disk.
	lost, lostSynced map[*cluster.Node]bool
	healing          []func() // what ends the faults of this phase
}

const (
	ledgers = 3
	chaos   = 2
	phases  = 4
)

func newSchedule(t *testing.T, p pairing, seed uint64) *schedule {
	s := &schedule{t: t, rnd: rand.New(rand.NewPCG(seed, 11)), seed: seed, begun: time.Now()}
	programs := []cluster.Program{p.primary}
	for range 1 + s.rnd.IntN(3) {
		programs = append(programs, p.replica)
	}
	var fabric cluster.Fabric
	if os.Geteuid() == 0 && s.rnd.IntN(2) == 0 {
		fabric = cluster.NewNamespaces(t, len(programs))
	} else {
		fabric = cluster.NewProxies(t, len(programs))
	}
	s.c = cluster.New(t, fabric, "", programs...)
	s.primary = s.c.Nodes[0]
	if os.Geteuid() == 0 && s.rnd.IntN(4) == 0 {
		s.small = mountSmall(t, s.c.Nodes[len(programs)-1].Dir)
	}
	for i := range ledgers {
		s.ledgers = append(s.ledgers, newLedger(i))
	}
	for i, n := range s.c.Nodes {
		n.Conf["appendonly"] = s.pick("yes", "yes", "no")
		n.Conf["appendfsync"] = s.pick("always", "everysec", "no")
		n.Conf["repl-backlog-size"] = s.pick("16kb", "256kb", "4mb")
		for _, name := range slices.Sorted(maps.Keys(n.Program.Vary)) {
			n.Conf[name] = s.pick(n.Program.Vary[name]...)
		}
		if i > 0 {
			n.Upstream = s.primary
			if i > 1 && s.rnd.IntN(3) == 0 {
				n.Upstream = s.c.Nodes[i-1]
			}
		}
		s.note("%s follows %v: %T %v", n, n.Upstream, fabric, n.Conf)
		s.check(n.Start())
	}
	return s
}

func (s *schedule) pick(list ...string) string { return list[s.rnd.IntN(len(list))] }

func (s *schedule) note(format string, args ...any) {
	s.trace = append(s.trace, fmt.Sprintf("%8.3fs ", time.Since(s.begun).Seconds())+fmt.Sprintf(format, args...))
}

// check ends the schedule on an error, with all that led to it. What the nodes wrote to their logs is kept in a directory.
func (s *schedule) check(err error) {
	s.t.Helper()
	if err == nil {
		return
	}
	var lost *net.OpError
	if errors.As(err, &lost) || errors.Is(err, io.EOF) { // whatever else is wrong counts
		for _, n := range s.c.Nodes {
			if n.Program.Name == cluster.Redis.Name && n.Server() != nil && strings.Contains(n.Server().Log(), gaveUp) {
				s.t.Skipf("TIDEMARK_SEED=%d: %s, which is no tidemark, ended itself, as its disk had been full: %v", s.seed, n, err)
			}
		}
	}
	where := s.keepLogs()
	s.t.Fatalf("TIDEMARK_SEED=%d TIDEMARK_SCHEDULES=1: %v\n%s\nthe nodes' logs are in %s", s.seed, err, strings.Join(s.trace, "\n"), where)
}

// keepLogs writes the nodes' logs into a directory that stays. Go programs are asked for their stacks first.
func (s *schedule) keepLogs() string {
	dir, err := os.MkdirTemp("", fmt.Sprintf("tidemark-schedule-%d-", s.seed))
	if err != nil {
		return err.Error()
	}
	for _, n := range s.c.Nodes {
		if n.Server() == nil {
			continue
		}
		if n.Alive() && n.Program.Name == cluster.Tidemark.Name {
			n.Resume()
			n.Server().Signal(syscall.SIGQUIT)
			select {
			case <-n.Server().Done():
			case <-time.After(2 * time.Second):
			}
		}
		if err := os.WriteFile(filepath.Join(dir, n.String()), []byte(n.Server().Log()), 0o644); err != nil {
			return err.Error()
		}
	}
	return dir
}

func (s *schedule) run() {
	s.t.Logf("%d nodes", len(s.c.Nodes))
	var written, random, waits int64
	for phase := range phases {
		s.note("phase %d", phase)
		s.lost, s.lostSynced, s.healing = map[*cluster.Node]bool{}, map[*cluster.Node]bool{}, nil
		s.b = begin(s.primary, s.ledgers, chaos, len(s.replicas()), s.rnd)
		s.disturb()
		s.end()
		written, random, waits = written+s.b.written.Load(), random+s.b.random.Load(), waits+s.b.waits.Load()
		if phase == phases-1 || s.rnd.IntN(2) == 0 {
			s.converge()
		}
	}
	s.fromDisk()
	s.note("%d ledger operations, %d random commands, %d waits confirmed", written, random, waits)
	s.t.Logf("%d ledger operations, %d random commands, %d waits confirmed", written, random, waits)
	if written == 0 || random == 0 {
		s.check(fmt.Errorf("nothing was written"))
	}
}

// replicas are the living nodes that follow the primary directly.
func (s *schedule) replicas() []*cluster.Node {
	var out []*cluster.Node
	for _, n := range s.c.Nodes {
		if n.Upstream == s.primary && n.Alive() {
			out = append(out, n)
		}
	}
	return out
}

// heal ends all faults of the phase and starts what does not run.
func (s *schedule) heal() {
	for _, f := range s.healing {
		f()
	}
	s.healing = nil
	s.c.Heal()
	s.small.empty()
	for _, n := range s.c.Nodes {
		if !n.Alive() {
			s.note("start %s", n)
			s.check(n.Start())
		}
	}
}

// converge has all nodes come to the same data.
func (s *schedule) converge() {
	s.heal()
	s.check(s.c.Converged(patience))
	for _, l := range s.ledgers {
		l.converged()
	}
	s.note("converged")
}

// settleLedgers compares what the primary holds with what was promised.
func (s *schedule) settleLedgers(floor func(l *ledger) int) {
	for _, l := range s.ledgers {
		got, err := l.kept(s.primary)
		s.check(err)
		if err := l.settle(got, floor(l)); err != nil {
			s.check(fmt.Errorf("%s: %w", s.primary, err))
		}
	}
}

func acknowledged(l *ledger) int { return l.Acknowledged() }

// end ends the phase in one of the possible ways.
func (s *schedule) end() {
	ways := []func(){s.peace, s.peace, s.restartPrimary, s.restartPrimary, s.failover, s.failover, s.failover, s.handover}
	ways[s.rnd.IntN(len(ways))]()
}

// peace: the writers end by themselves.
func (s *schedule) peace() {
	s.note("peace")
	s.check(s.b.end())
	s.settleLedgers(acknowledged)
}

// restartPrimary kills the primary, or ends it in good order, and starts it on its log. What was answered must be there.
// Replicas meet a primary that may know less than they do.
func (s *schedule) restartPrimary() {
	p := s.primary
	if !p.LogReady() || !p.Program.AppendsFirst && p.Conf["appendfsync"] != "always" {
		s.note("%s has no log to restart from", p)
		s.peace()
		return
	}
	if s.rnd.IntN(3) == 0 {
		s.note("stop and start the primary %s", p)
		s.check(p.Stop())
	} else {
		s.note("kill and start the primary %s", p)
		p.Kill()
	}
	s.check(s.b.abort())
	s.check(p.Start())
	s.settleLedgers(acknowledged)
}

// failover makes another node the primary: the present one is killed, stopped where it stands, or cut off while its clients go on.
// What so many replicas have confirmed that one of those left must have it, must be there.
func (s *schedule) failover() {
	old := s.primary
	want, err := old.Position()
	s.check(err)
	durable := old.LogReady() && (old.Program.AppendsFirst || old.Conf["appendfsync"] == "always")
	way := s.pick("kill", "kill", "kill", "pause", "isolate")
	s.note("failover: %s the primary %s", way, old)
	switch way {
	case "kill":
		old.Kill()
		s.check(s.b.abort())
	case "pause":
		old.Pause()
	case "isolate":
		for _, n := range s.c.Nodes {
			if n != old {
				s.c.Fabric.Fail(n.ID, old.ID, cluster.Cut, s.rnd)
			}
		}
	}
	// Confirmations from here on do not count: they may be of a replica that is not chosen.
	floors := s.floors()
	best, bestFloor := s.candidate(old, want.ID, floors)
	if best == nil {
		s.note("no replica can take over")
		if way != "kill" {
			s.heal()
			s.peace()
			return
		}
		s.check(old.Start())
		if durable {
			s.settleLedgers(acknowledged)
			return
		}
		// It may have lost anything, and so will they: begin anew.
		r, err := old.Do("FLUSHALL")
		s.note("FLUSHALL: %s %v", r, err)
		s.check(err)
		s.ledgers = freshLedgers(s.ledgers)
		s.converge()
		return
	}
	s.note("promote %s", best)
	s.check(best.Promote())
	if way != "kill" {
		time.Sleep(time.Duration(s.rnd.IntN(100)) * time.Millisecond) // clients of the old one go on meanwhile
		s.check(s.b.abort())
	}
	s.primary = best
	s.settleLedgers(func(l *ledger) int { return bestFloor[l] })
	for _, n := range s.c.Nodes {
		if n == best {
			continue
		}
		if n == old {
			s.check(s.follow(n, best))
		} else if n.Upstream == old || n.Upstream == best || s.rnd.IntN(2) == 0 {
			s.check(s.follow(n, best))
		}
	}
	s.untangle()
}

// follow makes a node, alive or not, follow another.
func (s *schedule) follow(n, primary *cluster.Node) error {
	s.note("%s follows %s", n, primary)
	n.Resume()
	if !n.Alive() {
		n.Upstream = primary
		s.small.empty() // on a full disk a server may refuse to start
		return n.Start()
	}
	return n.Follow(primary)
}

// untangle points nodes whose chain does not end at the primary to it.
func (s *schedule) untangle() {
	for _, n := range s.c.Nodes {
		at := n
		for steps := 0; at.Upstream != nil && steps < len(s.c.Nodes); steps++ {
			at = at.Upstream
		}
		if at != s.primary {
			s.check(s.follow(n, s.primary))
		}
	}
}

// floors returns, for each ledger, what it must be found to hold if so many replicas are out.
func (s *schedule) floors() map[*ledger]func(lost, lostSynced int) int {
	out := map[*ledger]func(int, int) int{}
	for _, l := range s.ledgers {
		var table [mostReplicas + 1][mostReplicas + 1]int
		for i := range table {
			for j := range table[i] {
				table[i][j] = l.floor(i, j)
			}
		}
		out[l] = func(lost, lostSynced int) int { return table[min(lost, mostReplicas)][min(lostSynced, mostReplicas)] }
	}
	return out
}

// candidate picks the direct replica of old that is furthest in the history with this id, and tells how much it
// must hold. nil when there is none.
func (s *schedule) candidate(old *cluster.Node, id string, floors map[*ledger]func(int, int) int) (*cluster.Node, map[*ledger]int) {
	var best *cluster.Node
	var at cluster.Position
	for _, n := range s.c.Nodes {
		if n.Upstream != old {
			continue
		}
		var p cluster.Position
		usable := n.Alive() && !n.Paused() && !s.small.fullUnder(n)
		if usable {
			var err error
			p, err = n.Position()
			s.check(err)
			loading, err := n.Info("persistence")
			s.check(err)
			repl, err := n.Info("replication")
			s.check(err)
			usable = p.ID == id && loading["loading"] == "0" && loading["async_loading"] != "1" && repl["master_sync_in_progress"] == "0"
		}
		s.note("candidate %s: usable %v at %+v, may have lost %v, from its disk %v", n, usable, p, s.lost[n], s.lostSynced[n])
		if !usable {
			s.lost[n], s.lostSynced[n] = true, true
			continue
		}
		if best == nil || p.Offset > at.Offset {
			best, at = n, p
		}
	}
	must := map[*ledger]int{}
	for l, f := range floors {
		must[l] = f(len(s.lost), len(s.lostSynced))
	}
	return best, must
}

// handover has the primary itself pass its part on, by FAILOVER: nothing that was answered is lost.
func (s *schedule) handover() {
	s.heal()
	if len(s.replicas()) == 0 {
		s.peace()
		return
	}
	old := s.primary
	s.note("FAILOVER of %s", old)
	r, err := old.Do("FAILOVER", "TIMEOUT", "10000")
	s.check(err)
	if r.IsError() {
		s.note("refused: %s", r)
		s.peace()
		return
	}
	var next *cluster.Node
	for deadline := time.Now().Add(25 * time.Second); next == nil; time.Sleep(5 * time.Millisecond) {
		f, err := old.Info("replication")
		s.check(err)
		if f["master_failover_state"] == "no-failover" {
			if f["role"] == "master" {
				s.note("the failover was given up")
				s.peace()
				return
			}
			for _, n := range s.replicas() {
				g, err := n.Info("replication")
				s.check(err)
				if g["role"] == "master" {
					next = n
				}
			}
		}
		if time.Now().After(deadline) {
			s.check(fmt.Errorf("FAILOVER has led nowhere: %v", f))
		}
	}
	s.check(s.b.end())
	s.primary = next
	next.Upstream = nil
	s.note("%s has taken over", next)
	s.settleLedgers(acknowledged)
	for _, n := range s.c.Nodes {
		if n != next && (n == old || n.Upstream == old) {
			s.check(s.follow(n, next))
		}
	}
	s.untangle()
}

// fromDisk kills a replica at the end and starts it alone on its log: it must be the primary's data.
func (s *schedule) fromDisk() {
	i := slices.IndexFunc(s.c.Nodes, func(n *cluster.Node) bool {
		return n != s.primary && n.Conf["appendonly"] == "yes" && n.LogReady() &&
			(n.Program.AppendsFirst || n.Conf["appendfsync"] == "always")
	})
	if i < 0 {
		return
	}
	n := s.c.Nodes[i]
	s.note("%s from its disk alone", n)
	n.Kill()
	n.Upstream = nil
	s.check(n.Start())
	var d []string
	for range 5 {
		want, err := s.primary.Dump()
		s.check(err)
		got, err := n.Dump()
		s.check(err)
		if d = cluster.Differences(want, got); d == nil {
			return
		}
		time.Sleep(200 * time.Millisecond) // keys that expire just now
	}
	files, _ := filepath.Glob(filepath.Join(n.Dir, "*", "*"))
	s.check(fmt.Errorf("%s holds other data after a kill and a restart from %v, compared with %s:\n  %s", n, files, s.primary, strings.Join(d, "\n  ")))
}
