package replication

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"tidemark/cmd/servertest/cluster"
)

// disturb lets random events happen for a while.
func (s *schedule) disturb() {
	events := []func(){s.badLink, s.badLink, s.badLink, s.pauseReplica, s.pausePrimary, s.killReplica, s.killReplica, s.stopReplica,
		s.rewrite, s.rewrite, s.toggleLog, s.dropLinks, s.repoint, s.fillDisk}
	for range s.rnd.IntN(5) {
		s.pause(200)
		events[s.rnd.IntN(len(events))]()
	}
	s.pause(400)
	// Some faults last until the phase has ended, some end before.
	for _, f := range s.healing {
		if s.rnd.IntN(2) == 0 {
			f()
		}
	}
	s.pause(200)
}

// pause sleeps for a random time: the random moment is what is tested.
func (s *schedule) pause(mostMillis int) {
	time.Sleep(time.Duration(s.rnd.IntN(mostMillis*1000)) * time.Microsecond)
}

// replica picks one of the nodes that are not the primary.
func (s *schedule) replica() *cluster.Node {
	for {
		if n := s.c.Nodes[s.rnd.IntN(len(s.c.Nodes))]; n != s.primary {
			return n
		}
	}
}

// forget notes that a replica may have lost what it had confirmed.
func (s *schedule) forget(n *cluster.Node) {
	s.lost[n] = true
	// What it had on its disk it still has, if it knows afterwards how far that goes.
	if !n.Program.KeepsOffset || n.Conf["appendonly"] != "yes" || s.small.under(n) {
		s.lostSynced[n] = true
	}
}

func (s *schedule) badLink() {
	n, f := s.replica(), cluster.RandomFault(s.rnd)
	s.note("the link from %s to %s is %s", n, n.Upstream, f)
	from, to := n.ID, n.Upstream.ID
	s.c.Fabric.Fail(from, to, f, s.rnd)
	s.healing = append(s.healing, func() {
		s.note("the link from %s is healed", n)
		s.c.Fabric.Heal(from, to)
	})
}

func (s *schedule) pauseReplica() {
	n := s.replica()
	if !n.Alive() {
		return
	}
	s.note("pause %s", n)
	n.Pause()
	s.healing = append(s.healing, func() {
		s.note("resume %s", n)
		n.Resume()
	})
}

func (s *schedule) pausePrimary() {
	s.note("pause the primary %s for a moment", s.primary)
	s.primary.Pause()
	s.pause(1500)
	s.primary.Resume()
}

func (s *schedule) killReplica() {
	n := s.replica()
	if !n.Alive() {
		return
	}
	s.note("kill %s", n)
	s.forget(n)
	n.Kill()
	s.revive(n)
}

func (s *schedule) stopReplica() {
	n := s.replica()
	if !n.Alive() || n.Paused() {
		return
	}
	s.note("stop %s", n)
	s.forget(n)
	if err := n.Stop(); err != nil && !s.small.fullUnder(n) { // redis aborts a replica that cannot write
		s.check(err)
	}
	s.revive(n)
}

// revive starts a node again now or later.
func (s *schedule) revive(n *cluster.Node) {
	start := func() {
		if !n.Alive() && !s.small.fullUnder(n) { // on a full disk a server may refuse to start
			s.note("start %s", n)
			s.check(n.Start())
		}
	}
	if s.rnd.IntN(2) == 0 {
		s.pause(100)
		start()
		return
	}
	s.healing = append(s.healing, start)
}

func (s *schedule) rewrite() {
	n := s.c.Nodes[s.rnd.IntN(len(s.c.Nodes))]
	if n.Alive() && !n.Paused() {
		r, err := n.Do(s.pick("BGREWRITEAOF", "BGREWRITEAOF", "BGSAVE"))
		s.note("a snapshot of %s: %s %v", n, r, err)
	}
}

// toggleLog switches a node's log on or off.
func (s *schedule) toggleLog() {
	n := s.c.Nodes[s.rnd.IntN(len(s.c.Nodes))]
	if !n.Alive() || n.Paused() || s.small.under(n) {
		return
	}
	to := map[string]string{"yes": "no", "no": "yes"}[n.Conf["appendonly"]]
	s.note("appendonly %s on %s", to, n)
	// What was confirmed as synced lies in a log that is let go, and the new one is not whole at once.
	s.lostSynced[n] = true
	s.check(n.Set("appendonly", to))
}

// dropLinks has a node close its replication connections itself.
func (s *schedule) dropLinks() {
	n := s.c.Nodes[s.rnd.IntN(len(s.c.Nodes))]
	if n.Alive() && !n.Paused() {
		kind := s.pick("replica", "master")
		r, err := n.Do("CLIENT", "KILL", "TYPE", kind)
		s.note("CLIENT KILL TYPE %s on %s: %s %v", kind, n, r, err)
	}
}

// repoint has a replica follow another node of the same history, so that chains come and go.
func (s *schedule) repoint() {
	n, to := s.replica(), s.c.Nodes[s.rnd.IntN(len(s.c.Nodes))]
	if !n.Alive() || n.Paused() || n == to || n.Upstream == to {
		return
	}
	for at := to; at != nil; at = at.Upstream {
		if at == n {
			return // it would be a circle
		}
	}
	// It follows another now; what it confirmed as a direct replica it may lose in a full sync from one that lags.
	s.lost[n], s.lostSynced[n] = true, true
	s.check(s.follow(n, to))
}

// fillDisk takes the room from a replica's disk.
func (s *schedule) fillDisk() {
	if s.small == nil {
		return
	}
	n := s.c.Nodes[len(s.c.Nodes)-1]
	if n == s.primary {
		return
	}
	s.note("the disk of %s is full", n)
	s.small.fill()
	// Redis ends a replica that cannot write; a restart then finds only what fitted.
	s.lost[n], s.lostSynced[n] = true, true
	s.healing = append(s.healing, func() {
		s.note("the disk of %s has room", n)
		s.small.empty()
	})
}

// smallDisk is a tmpfs that a test fills. The methods of nil do nothing.
type smallDisk struct {
	t       testing.TB
	dir     string
	ballast string
}

const smallDiskBytes = 400 << 20

func mountSmall(t testing.TB, dir string) *smallDisk {
	t.Helper()
	if err := syscall.Mount("tidemark-test", dir, "tmpfs", 0, fmt.Sprintf("size=%d", smallDiskBytes)); err != nil {
		t.Fatal(err)
	}
	d := &smallDisk{t, dir, filepath.Join(dir, "ballast")}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return d
}

// under reports whether a node's directory is on this disk.
func (d *smallDisk) under(n *cluster.Node) bool { return d != nil && n.Dir == d.dir }

// fullUnder reports whether it is, and full.
func (d *smallDisk) fullUnder(n *cluster.Node) bool {
	if !d.under(n) {
		return false
	}
	_, err := os.Stat(d.ballast)
	return err == nil
}

func (d *smallDisk) fill() {
	f, err := os.OpenFile(d.ballast, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return // no room even for that
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for range smallDiskBytes>>20 + 1 {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			return
		}
	}
}

func (d *smallDisk) empty() {
	if d != nil {
		os.Remove(d.ballast)
	}
}
