package netio

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// The crew: which thread runs which loop
//
// Committing is a role that the loop's own thread plays at the end of a turn
// (design D3a): that is cheaper than handing each commit to another thread, as long as the disk is
// quick. When it is not, the loop must not wait. So the thread announces
// the commit in Loop.guard (even to odd) before it begins, and a standby looks at
// the guards every millisecond for as long as commits happen:
//
//	loop's thread   guard 2k → 2k+1    Commit ......................    2k+1 → 2k+2: it still has the loop
//	standby                                   older than 1 ms: 2k+1 → 2k+2: the standby has it
//
// One compare-and-swap decides. The standby then appoints the next standby and runs
// the loop from the top of a turn. The old thread, when Commit returns, finds the swap fail,
// wakes the loop, so that gates that opened are flushed, and waits in the pool.
//
// Threads are goroutines locked to their thread. They sleep in futexes, not in the
// Go scheduler: waking a locked goroutine costs two thread switches there.
// Without commits everybody sleeps without a timeout.

const (
	guardNanos   = 1_000_000 // a commit older than this loses the loop
	watchIdle    = 10        // looks without a commit after which the standby goes to sleep
	spareThreads = 2         // beyond one per loop and the standby
)

// seat is a futex that one thread sleeps on.
type seat struct{ word uint32 }

func (s *seat) rouse() {
	if atomic.SwapUint32(&s.word, 1) == 0 {
		futexRouse(&s.word)
	}
}

// sleep returns after rouse, or after nanos (0: no limit). It takes the wake-up.
func (s *seat) sleep(nanos int64) {
	if atomic.SwapUint32(&s.word, 0) == 1 {
		return
	}
	futexSleep(&s.word, 0, nanos)
	atomic.SwapUint32(&s.word, 0)
}

// worker is a thread of the crew.
type worker struct {
	seat  seat
	watch atomic.Bool // be the standby
	leave atomic.Bool // end
}

type crew struct {
	s        *Server
	wg       sync.WaitGroup
	stop     atomic.Bool
	watching atomic.Bool            // the standby looks; otherwise it must be roused
	standby  atomic.Pointer[worker] // nil: none, all threads are busy

	// Handoff: 0 idle, 1 running or about to, 2 to run once more.
	want      atomic.Uint32
	committer seat
	begun     sync.Once

	mu    sync.Mutex
	idle  []*worker // guarded by mu
	count int       // workers, guarded by mu
	limit int
}

func (k *crew) init(s *Server, loops int) {
	k.s = s
	k.limit = loops + 1 + spareThreads
	// Every one of them, and the committer, may be blocked in a system call
	// while the rest of the process needs a processor.
	if need := k.limit + 2; runtime.GOMAXPROCS(0) < need {
		runtime.GOMAXPROCS(need)
	}
}

// spawn runs f on a thread of its own.
func (k *crew) spawn(f func()) {
	k.wg.Add(1)
	go func() {
		defer k.wg.Done()
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		setTimerSlack()
		calmTracer()
		f()
	}()
}

// startLoop gives the loop a thread.
func (k *crew) startLoop(l *Loop) {
	k.mu.Lock()
	k.count++
	k.mu.Unlock()
	k.spawn(func() { k.work(&worker{}, l) })
}

// work is a worker's life: run a loop until it is lost, wait in the pool, be the
// standby, take a loop over.
func (k *crew) work(w *worker, l *Loop) {
	for {
		if l != nil {
			if !l.run() {
				l.srv.loopEnded(l)
				break
			}
			l = nil
			if !k.park(w) {
				break
			}
		}
		for !w.watch.Load() && !w.leave.Load() {
			w.seat.sleep(0)
		}
		if w.leave.Load() {
			break
		}
		w.watch.Store(false)
		if l = k.watch(w); l == nil {
			break
		}
	}
	k.mu.Lock()
	k.count--
	k.mu.Unlock()
}

// park puts a worker in the pool, or makes it the standby when there is none.
// False: it is not needed.
func (k *crew) park(w *worker) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stop.Load() {
		return false
	}
	if k.standby.Load() == nil {
		w.watch.Store(true)
		k.standby.Store(w)
		k.watching.Store(true)
		return true
	}
	if len(k.idle) >= spareThreads {
		return false
	}
	k.idle = append(k.idle, w)
	return true
}

// appoint finds a standby; with the limit of threads reached there is none
// until a commit returns, and commits are handed off.
func (k *crew) appoint() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stop.Load() {
		k.standby.Store(nil)
		return
	}
	// The new standby starts by looking, as a commit may be under way.
	k.watching.Store(true)
	if n := len(k.idle); n > 0 {
		w := k.idle[n-1]
		k.idle = k.idle[:n-1]
		w.watch.Store(true)
		k.standby.Store(w)
		w.seat.rouse()
		return
	}
	if k.count >= k.limit {
		k.standby.Store(nil)
		return
	}
	k.count++
	w := &worker{}
	w.watch.Store(true)
	k.standby.Store(w)
	k.spawn(func() { k.work(w, nil) })
}

// watch is the standby's duty. It returns the loop taken over, or nil at the end.
func (k *crew) watch(w *worker) *Loop {
	loops := k.s.loops
	seen := make([]uint64, len(loops))
	quiet := 0
	for !k.stop.Load() {
		busy := false
		// A commit that begins while it sleeps is seen at the next look, when it is at most
		// guardNanos old; the look after that is timed for the rest.
		next := int64(guardNanos)
		for i, l := range loops {
			g := l.guard.Load()
			if g != seen[i] {
				seen[i], busy = g, true
			}
			if g&1 == 0 {
				continue
			}
			busy = true
			age := nanotime() - l.commitAt.Load()
			if age < guardNanos {
				next = min(next, guardNanos-age)
				continue
			}
			if l.guard.CompareAndSwap(g, g+1) {
				k.s.stats.takeovers.Add(1)
				l.blocked += age
				l.gather.took(age)
				l.turnLasted(l.turnTook + age)
				k.appoint()
				return l
			}
		}
		if busy {
			quiet = 0
		} else {
			quiet++
		}
		if quiet < watchIdle {
			w.seat.sleep(next)
			continue
		}
		k.watching.Store(false)
		for i, l := range loops {
			busy = busy || l.guard.Load() != seen[i]
		}
		if !busy {
			w.seat.sleep(0)
		}
		k.watching.Store(true)
		quiet = 0
	}
	return nil
}

// commit runs Handler.Commit on the loop's thread. False: the loop has been
// taken over meanwhile.
func (k *crew) commit(l *Loop) bool {
	w := k.standby.Load()
	if w == nil {
		// All threads are in slow commits. The committer's thread, which is not one
		// of them, takes the wish, and the loop goes on.
		k.handoff()
		return true
	}
	began := nanotime()
	l.commitAt.Store(began)
	g := l.guard.Add(1)
	if !k.watching.Load() {
		w.seat.rouse()
	}
	k.s.handler.Commit()
	if !l.guard.CompareAndSwap(g, g+1) {
		k.tell(nil) // l too
		return false
	}
	k.tell(l)
	// Waiting for the disk is no reason to start another loop.
	took := nanotime() - began
	l.blocked += took
	l.gather.took(took)
	l.turnLasted(l.turnTook + took)
	return true
}

// tell wakes the loops, all but one, that have gated replies: the commit that has
// just returned may have been theirs as well. A loop that gates a reply at this
// moment looks at the watermark once more before it sleeps.
func (k *crew) tell(but *Loop) {
	for _, l := range k.s.loops {
		if l != but && l.gatedLen.Load() > 0 {
			l.Wake()
		}
	}
}

// handoff has Handler.Commit run by the committer's thread.
func (k *crew) handoff() {
	for {
		switch v := k.want.Load(); v {
		case 0:
			if k.want.CompareAndSwap(0, 1) {
				k.begun.Do(func() { k.spawn(k.commitLoop) })
				k.committer.rouse()
				return
			}
		case 1:
			if k.want.CompareAndSwap(1, 2) {
				return
			}
		default:
			return
		}
	}
}

func (k *crew) commitLoop() {
	var g gather
	var ended int64
	for {
		for k.want.Load() == 0 {
			if k.stop.Load() {
				return
			}
			k.committer.sleep(0)
		}
		// Those served by the commit before are about to ask again.
		k.waitForMore(&g, ended)
		k.want.Store(1)
		start := nanotime()
		k.s.handler.Commit()
		ended = nanotime()
		g.took(ended - start)
		g.released = k.gated()
		k.want.CompareAndSwap(1, 0)
		k.tell(nil)
	}
}

// end lets every thread that runs no loop go, and waits for all.
func (k *crew) end() {
	k.stop.Store(true)
	k.mu.Lock()
	for _, w := range k.idle {
		w.leave.Store(true)
		w.seat.rouse()
	}
	k.idle = nil
	if w := k.standby.Load(); w != nil {
		w.seat.rouse()
	}
	k.mu.Unlock()
	k.committer.rouse()
	k.wg.Wait()
}
