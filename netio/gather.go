package netio

import "golang.org/x/sys/unix"

// Gathering: more replies per commit
//
// Clients that wait for their replies fall into step with the commits, and into two
// halves: while the requests of one half are being committed, those of the other
// arrive, and are committed next, while the first half's clients are on their way back. Each
// commit serves half of the clients, for ever. Waiting a fraction of a commit's
// time for those who have just got their reply lets both halves fall together:
// then half as many commits do (measured with 50 clients: see
// BenchmarkGatedWriters). Before that a look that does not wait takes in whoever is there already, whatever the disk.
//
// A wait is taken only when enough connections whose gate opened with the last commit
// have not been heard of since, and while it pays: each wait that did not bring half
// of them back doubles the number of commits until the next try.

const (
	minGather  = 4         // that many must be missing
	maxLoopNap = 500_000   // longest wait of a loop, ns
	maxNap     = 2_000_000 // and of the committer, on very slow disks
	// Quicker disks are not waited for: there it costs more than it brings. The
	// committer is woken through a futex and wakes the loop in turn, so its bound is higher.
	minAvgLoop      = 200_000
	minAvgCommitter = 600_000
	maxPenalty      = 256 // most commits between two tries
)

// gather decides when to wait. It belongs to a loop, or to the committer.
type gather struct {
	round    uint32 // counts openings of gates
	released int    // connections whose gate opened in this round ...
	returned int    // ... and those of them that are gated anew
	avg      int64  // moving average of a commit's time, ns
	penalty  int    // commits to let pass after a vain wait
	pause    int    // of which so many are left
}

func (g *gather) newRound() {
	g.round++
	g.released, g.returned = 0, 0
}

func (g *gather) took(nanos int64) {
	g.avg += (nanos - g.avg) / 8
}

func (g *gather) nap() int64 { return min(g.avg/2, maxLoopNap) }

// missing is how many have not come back.
func (g *gather) missing() int { return g.released - g.returned }

// worthwhile: with now connections waiting for the commit, so many are missing
// that waiting for them is worth it.
func (g *gather) worthwhile(now int) bool {
	return g.missing() >= minGather && 4*g.missing() >= now && g.patient(minAvgLoop)
}

// patient: the disk's average is at least minAvg, and no vain wait was too recent.
func (g *gather) patient(minAvg int64) bool {
	if g.pause > 0 {
		g.pause--
		return false
	}
	return g.released >= minGather && g.avg >= minAvg
}

// judge says whether the wait has paid.
func (g *gather) judge(paid bool) {
	if paid {
		g.penalty = 0
		return
	}
	g.penalty = min(max(2*g.penalty, 1), maxPenalty)
	g.pause = g.penalty
}

// gatherMore comes before an inline commit: it looks once more for those who have just got their reply, and naps for them if that is worthwhile. While
// one half of the clients was served, the requests of the other arrived. It returns what is to be committed now.
func (l *Loop) gatherMore() CommitMode {
	mode := CommitInline
	if l.gather.missing() >= minGather && !l.late() {
		mode = l.serveMore()
	}
	if mode == CommitInline && l.gather.worthwhile(len(l.gated)) {
		missing := l.gather.missing()
		nap := l.gather.nap()
		napFor(nap)
		l.blocked += nap
		mode = l.serveMore()
		l.gather.judge(2*l.gather.missing() <= missing)
	}
	return mode
}

// serveMore serves who has come since the turn ended, and returns what is to be committed then.
func (l *Loop) serveMore() CommitMode {
	n := l.poll.wait(l.events, 0)
	l.readClock()
	if n == 0 {
		return CommitInline
	}
	l.dispatchAll(n)
	l.publishHeld()
	mode := l.srv.handler.EndTurn(l)
	l.flushDirty()
	if mode == CommitNone {
		return CommitInline // for what the turn had before this look
	}
	return mode
}

// waitForMore is the committer's: ended is when the commit before returned.
func (k *crew) waitForMore(g *gather, ended int64) {
	until := ended + max(g.nap(), min(g.avg/4, maxNap))
	if nanotime() >= until || !g.patient(minAvgCommitter) {
		return
	}
	// In steps, as a short wait is often enough. The first one comes before the
	// first look: the loops have yet to flush what has just been committed.
	for step := (until - ended) / 4; ; {
		napFor(step)
		if nanotime() >= until || 10*k.gated() >= 9*g.released {
			break
		}
	}
	g.judge(4*k.gated() >= 3*g.released)
}

// napFor sleeps without the runtime's timers, which are no better than a millisecond when the
// processor is otherwise idle.
func napFor(nanos int64) {
	ts := unix.NsecToTimespec(nanos)
	unix.Nanosleep(&ts, nil)
}

// setTimerSlack makes this thread's timeouts exact; by default the kernel may
// add 50 µs.
func setTimerSlack() { unix.Prctl(unix.PR_SET_TIMERSLACK, 1000, 0, 0, 0) }

// gated is how many connections wait for a gate.
func (k *crew) gated() (n int) {
	for _, l := range k.s.loops {
		n += int(l.gatedLen.Load())
	}
	return
}
