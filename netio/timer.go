package netio

import "time"

// Timer fires once on its loop, and once more for each Restart. No goroutine. Loop thread only.
type Timer struct {
	l    *Loop
	when int64 // on the loop's monotonic clock, ns
	at   int   // index in the heap, -1 when it is not there
	f    func()
}

// After calls f on the loop once d has passed. Loop thread only (also from
// Post). The Timer keeps f.
func (l *Loop) After(d time.Duration, f func()) *Timer {
	t := &Timer{l: l, at: -1, f: f}
	t.Restart(d)
	return t
}

// Restart has a timer that has fired or was stopped call its function again, once d has passed. It allocates nothing. A timer that still runs
// must not be restarted.
func (t *Timer) Restart(d time.Duration) {
	l := t.l
	t.when, t.at = nanotime()+int64(max(d, 0)), len(l.timers)
	l.timers = append(l.timers, t)
	l.timerUp(t.at)
}

// Runs reports whether the timer is yet to fire.
func (t *Timer) Runs() bool { return t.at >= 0 }

// Stop keeps the timer from firing. Stopping a timer that has fired is allowed.
func (t *Timer) Stop() {
	if t.at < 0 {
		return
	}
	l, i := t.l, t.at
	last := len(l.timers) - 1
	l.timerSwap(i, last)
	l.timers[last] = nil
	l.timers = l.timers[:last]
	if i < last {
		l.timerDown(i)
		l.timerUp(i)
	}
	t.at = -1
}

// fireTimers runs what is due. A timer that one of them sets for now waits for
// the next turn, so that a turn ends.
func (l *Loop) fireTimers(now int64) {
	for len(l.timers) > 0 && l.timers[0].when <= now {
		t := l.timers[0]
		t.Stop()
		t.f()
	}
}

func (l *Loop) timerSwap(i, j int) {
	h := l.timers
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

func (l *Loop) timerUp(i int) {
	for i > 0 {
		up := (i - 1) / 2
		if l.timers[up].when <= l.timers[i].when {
			return
		}
		l.timerSwap(i, up)
		i = up
	}
}

func (l *Loop) timerDown(i int) {
	for {
		kid := 2*i + 1
		if kid >= len(l.timers) {
			return
		}
		if r := kid + 1; r < len(l.timers) && l.timers[r].when < l.timers[kid].when {
			kid = r
		}
		if l.timers[i].when <= l.timers[kid].when {
			return
		}
		l.timerSwap(i, kid)
		i = kid
	}
}
