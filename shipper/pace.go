package shipper

import "time"

// Pacing: larger pieces while nobody waits
//
// Under load every turn of the primary's loop ends with some kilobytes for each replica. Sent as they come, each piece costs both sides system calls and
// a wake-up, and the replica a batch in its log and an acknowledgement. Nobody misses them while no client waits for replicas. Then a piece leaves
//
//   - at once, if the last one left paceNanos ago or longer: a write in a quiet moment never waits;
//   - when paceBytes have gathered;
//   - otherwise paceNanos after the last one, by a timer that runs only while something is held back.
//
// A client that waits for replicas (WAIT, WAITAOF) ends the calm for calmNanos: it has whatever is held back sent, and nothing is
// held back for a while, as most often it is going to wait for its next write, too.

const (
	paceNanos = 500_000 // Shipper.paceNanos
	paceBytes = 64 << 10
	calmNanos = 100_000_000
)

// hurry says that a client waits until replicas have everything up to off. On the client's loop.
func (sh *Shipper) hurry(off, now int64) {
	sh.wantedAt.Store(now)
	for old := sh.wanted.Load(); off > old && !sh.wanted.CompareAndSwap(old, off); old = sh.wanted.Load() {
	}
	for _, r := range *sh.all.Load() {
		if r.holding.Load() {
			r.loop.Wake()
		}
	}
}

// hurried reports whether a client waits for what comes at off, or one has waited lately.
func (sh *Shipper) hurried(off, now int64) bool {
	if sh.wanted.Load() > off {
		return true
	}
	ago := now - sh.wantedAt.Load()
	return 0 <= ago && ago < calmNanos
}

// holdsBack decides whether what there is to be sent waits for more, and sees to it that it is sent in time. Its loop, while online.
func (r *replica) holdsBack(now int64) bool {
	n := r.sh.tail.End() - r.off
	ago := now - r.fedAt
	if n <= 0 || n >= paceBytes || ago >= r.sh.paceNanos || ago < 0 {
		return false
	}
	r.holding.Store(true) // before the look: whoever comes to wait behind it wakes this loop
	if r.sh.hurried(r.off, now) {
		return false
	}
	r.probe(r.off+1, now)
	if wait := time.Duration(r.sh.paceNanos - ago); r.pacer == nil {
		r.pacer = r.loop.After(wait, r.paced)
	} else if !r.pacer.Runs() {
		r.pacer.Restart(wait)
	}
	return true
}

// paced is called by the timer.
func (r *replica) paced() {
	if r.state.Load() == stateOnline {
		r.feed(nowNanos())
	}
}
