package netio

import "time"

// Timer fires once on its loop. No goroutine. Loop thread only.
type Timer struct {
	l    *Loop
	when int64 // on the loop's monotonic clock, ns
	at   int   // index in the heap, -1 when it is not there
	f    func()
}

// After calls f on the loop once d has passed. Loop thread only (also from
// Post). A Timer keeps f until it has fired or been stopped.
func (l *Loop) After(d time.Duration, f func()) *Timer {
	t := &Timer{l: l, when: nanotime() + int64(max(d, 0)), at: len(l.timers), f: f}
	l.timers = append(l.timers, t)
	l.timerUp(t.at)
	return t
}

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
	t.at, t.f = -1, nil
}

// fireTimers runs what is due. A timer that one of them sets for now waits for
// the next turn, so that a turn ends.
func (l *Loop) fireTimers(now int64) {
	for len(l.timers) > 0 && l.timers[0].when <= now {
		t := l.timers[0]
		f := t.f
		t.Stop()
		f()
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
