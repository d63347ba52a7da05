package netio

import (
	"bytes"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Balance: how many loops are active
//
// Two loops that share the cores with the clients cost more per operation than
// one (design D3b: 12.7 µs against 7.8). So everybody is on loop 0 until that is
// saturated while a core is idle; then every second connection moves to another
// loop. When two loops together have little to do, the second's connections move
// back.
//
// Each loop measures itself in windows of 100 ms, at the end of a turn: a loop without
// work measures nothing and is not woken for it.

const (
	windowNanos  = int64(100 * time.Millisecond)
	hotLoad      = 900 // 1/1000 of a window
	hotWindows   = 3   // that many in a row before anybody moves
	coolLoad     = 600 // two loops together below this ...
	coolWindows  = 30  // ... for that many windows: one will do
	idleShare    = 0.6 // of a core, that must be idle before another loop starts
	staleWindows = 10  // a load measured longer ago counts as zero
)

// balance closes a window.
func (l *Loop) balance() {
	span := l.mono - l.window
	load := int32(1000 - min(1000*l.blocked/span, 1000))
	l.window, l.blocked = l.mono, 0
	l.load.Store(load)
	l.loadAt.Store(l.mono)
	s := l.srv
	if len(s.loops) == 1 {
		return
	}
	switch {
	case load >= hotLoad && l.conns > 1 && span < 2*windowNanos:
		l.cool = 0
		if l.hot++; l.hot == hotWindows-1 {
			l.cpus = s.cpuTimes()
		}
		if l.hot < hotWindows {
			return
		}
		l.hot = 0
		if idleCores(l.cpus, s.cpuTimes()) < idleShare {
			return
		}
		if t := s.leastLoaded(); t != l && t.loadNow(l.mono) < hotLoad/2 {
			s.activate(t)
			s.spread.Store(true)
			l.moveSome(t, l.conns/2)
		}
	case l.index > 0 && load+s.loops[0].loadNow(l.mono) < coolLoad:
		l.hot = 0
		if l.cool++; l.cool >= coolWindows && l.conns > 0 {
			l.cool = 0
			s.spread.Store(false)
			l.moveSome(s.loops[0], l.conns)
		}
	default:
		l.hot, l.cool = 0, 0
	}
}

// loadNow is the loop's load as of its latest window, zero if that is long ago.
func (l *Loop) loadNow(now int64) int32 {
	if now-l.loadAt.Load() > staleWindows*windowNanos {
		return 0
	}
	return l.load.Load()
}

func (s *Server) leastLoaded() *Loop {
	now := nanotime()
	best := s.loops[0]
	for _, l := range s.loops[1:] {
		if l.loadNow(now) < best.loadNow(now) {
			best = l
		}
	}
	s.activate(best)
	return best
}

// activate gives a loop its thread.
func (s *Server) activate(l *Loop) {
	s.mu.Lock()
	s.startLoopLocked(l)
	s.mu.Unlock()
}

// moveSome moves up to n connections, those that have nothing under way.
func (l *Loop) moveSome(t *Loop, n int) {
	// Every second one, as clients of one kind tend to connect in a row.
	stride := 1
	if n < l.conns {
		stride = 2
	}
	seen := 0
	for _, c := range l.slots {
		if c == nil {
			continue
		}
		if seen++; n > 0 && seen%stride == 0 && c.movable() {
			l.move(c, t)
			n--
		}
	}
}

func (c *Conn) movable() bool {
	return c.stop == 0 && !c.pinned && c.raw == nil && !c.queued && !c.more && !c.dirty && !c.gated && !c.inLinger && !c.wantOut && c.unsent() == 0 && len(c.gates) == 0
}

// move hands a movable connection to another loop.
func (l *Loop) move(c *Conn, t *Loop) {
	c.home.Store(nil)
	l.poll.remove(c.fd)
	l.slots[c.fd] = nil
	l.conns--
	l.held -= c.held
	c.held = 0 // the other loop weighs it when it serves it
	l.srv.stats.migrations.Add(1)
	attach := func(t *Loop) {
		if err := t.attach(c); err != nil {
			t.orphan(c, err)
			return
		}
		if t.srv.mover != nil {
			t.srv.mover.Moved(c, l)
		}
	}
	c.loop.Store(t)
	t.Post(attach)
}

// usableCPUs counts the CPUs that the process may use: its affinity mask, and what
// the runtime has found out of cgroup limits.
func usableCPUs() int { return min(usableAffinity(), runtime.GOMAXPROCS(0)) }

func usableAffinity() int {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return 1
	}
	return max(set.Count(), 1)
}

// cpuTimes are the idle and all ticks of the CPUs that the process may use.
type cpuTimes struct {
	idle, all uint64
	cpus      int
}

// idleCores is how many cores were idle between two readings.
func idleCores(a, b cpuTimes) float64 {
	if b.all <= a.all || a.cpus != b.cpus {
		return 0
	}
	return float64(b.idle-a.idle) / float64(b.all-a.all) * float64(b.cpus)
}

// readCPUs reads /proc/stat; the zero value where it cannot be read.
// Format: https://man7.org/linux/man-pages/man5/proc_stat.5.html
func readCPUs() (t cpuTimes) {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return
	}
	fd, err := unix.Open("/proc/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	buf := make([]byte, 64<<10)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return
	}
	for line := range bytes.Lines(buf[:n]) {
		f := bytes.Fields(line)
		if len(f) < 6 || !bytes.HasPrefix(f[0], []byte("cpu")) {
			break
		}
		cpu, err := strconv.Atoi(string(f[0][3:]))
		if err != nil || !set.IsSet(cpu) {
			continue
		}
		t.cpus++
		// guest times (from the ninth on) are part of user time.
		for i, v := range f[1:min(len(f), 9)] {
			x, _ := strconv.ParseUint(string(v), 10, 64)
			t.all += x
			if i == 3 || i == 4 { // idle, iowait
				t.idle += x
			}
		}
	}
	return
}
