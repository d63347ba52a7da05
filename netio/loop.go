package netio

import (
	"math"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"tidemark/netio/resp"
)

const (
	maxEvents    = 256
	yieldNanos   = 5e6  // how often a busy loop lets the scheduler run (design D3b)
	longWait     = 20e6 // after a wait of that length the processor was taken away in any case
	maxKeptParts = 64
)

// Bits of Loop.signals.
const (
	sigWake = 1 << iota
	sigPost
	sigStop
)

// Loop is one event loop. It may be run by different threads over time, never
// by two at once.
type Loop struct {
	Data any // the handler's

	srv   *Server
	index int
	poll  poller
	event int // eventfd

	// guard tells who runs the loop: even: the thread that runs it; odd: that
	// thread is in Handler.Commit, and whoever adds 1 by compare-and-swap first
	// (it on return, or the standby) has the loop. See crew.go.
	guard    atomic.Uint64
	commitAt atomic.Int64 // when guard became odd, on the monotonic clock

	signals atomic.Uint32
	asleep  atomic.Bool // blocked in poll.wait: signals need the eventfd
	postMu  sync.Mutex
	posts   []func(*Loop) // guarded by postMu
	started bool          // guarded by Server.mu

	// What follows belongs to the thread that runs the loop.
	now                   int64 // wall clock, Unix µs
	mono                  int64 // monotonic clock, ns
	turnStart             int64
	turnTook              int64 // the latest turn, up to its commit
	served                int   // connections served since the clock was read
	lastYield             int64
	cpuAt                 int64 // when cpuFrom was read
	cpuFrom               int64 // what the thread that runs the loop had used of its CPU then, ns
	spin                  int   // how well not blocking has paid
	limits                *Limits
	parser                resp.Parser
	args                  [][]byte
	ahead                 []Request // what Conn.Ahead has parsed of the connection that is served, ...
	aheadAt               int       // ... of which so many were taken
	aheadArgs             [][]byte
	rbuf                  []byte
	events                []event
	slots                 []*Conn // by descriptor
	conns                 int
	nextTag               uint32
	ready                 []*Conn // have more to do in the next turn
	dirty                 []*Conn // have output to write at the end of the turn
	dirtyNow              []*Conn
	gated                 []*Conn // have output that waits for a gate
	gatedNew              bool
	lastMark              int64
	lingering             []*Conn // have output that may wait for more; see linger.go
	gather                gather
	timers                []*Timer
	postsNow              []func(*Loop)
	bufs                  [][]byte
	parts                 []*resp.Partial
	acceptors             map[int]*listener
	turnIn                int64
	turnOut               int64
	turnReads, turnWrites int64
	held                  int64 // in buffers of this loop's connections, bytes
	blocked               int64 // time spent blocked in this window of balance.go
	window                int64 // when it began
	hot, cool             int   // windows in a row that were full, or nearly empty
	cpus                  cpuTimes
	idleAt                int64 // when connections are next looked at for the idle timeout
	stopAt                int64 // shutting down: when unsent output is given up; 0: not
	stopped               bool

	bytesIn, bytesOut, longest atomic.Int64
	reads, writes              atomic.Int64
	turns, turnNanos, mostCPU  atomic.Int64
	heldSeen                   atomic.Int64 // held, as of the end of the latest turn
	gatedLen                   atomic.Int32 // len(gated), for the committer
	load                       atomic.Int32 // share of the latest window spent working, 1/1000
	loadAt                     atomic.Int64 // when that window ended
}

func newLoop(s *Server, index int) (*Loop, error) {
	p, err := newEpoll()
	if err != nil {
		return nil, err
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		p.close()
		return nil, os.NewSyscallError("eventfd", err)
	}
	l := &Loop{srv: s, index: index, poll: p, event: fd, events: make([]event, maxEvents),
		rbuf: make([]byte, readBufBytes), args: make([][]byte, 0, 64),
		ahead: make([]Request, 0, mostAhead), aheadArgs: make([][]byte, 0, 2*argsAhead), acceptors: map[int]*listener{}}
	l.limits = s.limits.Load()
	l.readClock()
	// Edge-triggered: the eventfd never needs to be read.
	if err := p.add(fd, 0); err != nil {
		l.free()
		return nil, err
	}
	return l, nil
}

func (l *Loop) free() {
	l.poll.close()
	closeFD(l.event)
}

// Index is the loop's number in Server.Loops.
func (l *Loop) Index() int { return l.index }

// Now is the wall clock in Unix µs as of the latest readiness event (or a few
// connections before it); no system call. Loop thread only.
func (l *Loop) Now() int64 { return l.now }

// Wake makes the loop call Handler.Woken and flush open gates. Any goroutine;
// coalesced; no allocation.
func (l *Loop) Wake() { l.signal(sigWake) }

// Post runs f on the loop, in the order of the calls. Any goroutine. Functions posted
// after Shutdown are dropped.
func (l *Loop) Post(f func(l *Loop)) {
	l.postMu.Lock()
	l.posts = append(l.posts, f)
	l.postMu.Unlock()
	l.signal(sigPost)
}

func (l *Loop) signal(bit uint32) {
	if l.signals.Or(bit)&bit == 0 && l.asleep.Load() {
		ring(l.event)
	}
}

func (l *Loop) readClock() {
	t := time.Now()
	l.now = t.UnixMicro()
	l.mono = int64(t.Sub(clockBase))
	l.served = 0
}

// clockConns is how many connections are served on one reading of the clock.
const clockConns = 8

func (l *Loop) tick() {
	if l.served++; l.served >= clockConns {
		l.readClock()
	}
}

// run turns the loop until it ends, or until another thread has taken it over:
// then lost is true and nothing of the loop may be touched any more.
func (l *Loop) run() (lost bool) {
	l.cpuAt = math.MinInt64 // of another thread
	l.gatedNew = true
	l.flushGated()
	for !l.stopped {
		n := l.wait()
		l.turnStart = l.mono
		if l.cpuAt < l.mono-cpuStale {
			l.cpuAt, l.cpuFrom = l.mono, threadCPU()
		}
		l.limits = l.srv.limits.Load()
		l.parser.MaxBulk = l.limits.MaxBulkBytes
		// Those left over from the turn before come first.
		l.runReady()
		l.dispatchAll(n)
		l.runSignals()
		if len(l.timers) > 0 {
			l.fireTimers(l.mono)
		}
		if l.limits.Idle > 0 && l.mono >= l.idleAt {
			l.closeIdle()
		}
		if l.stopAt != 0 {
			l.tryStop()
		}
		l.publishHeld()
		mode := l.srv.handler.EndTurn(l)
		l.flushDirty()
		if mode == CommitInline {
			mode = l.gatherMore()
		}
		l.account()
		switch mode {
		case CommitInline:
			if !l.srv.crew.commit(l) {
				return true
			}
			if l.signals.And(^uint32(sigWake))&sigWake != 0 {
				l.gatedNew = true
			}
			l.srv.handler.Committed(l)
			l.flushDirty()
		case CommitHandoff:
			l.srv.crew.handoff()
		}
		l.flushGated()
		if l.mono-l.window >= windowNanos && l.stopAt == 0 {
			l.balance()
		}
	}
	return false
}

// wait fills l.events, blocking only when there is nothing to do.
func (l *Loop) wait() int {
	timeout := int64(-1)
	if len(l.timers) > 0 {
		timeout = max(l.timers[0].when-l.mono, 0)
	}
	if l.limits.Idle > 0 && l.conns > 0 {
		timeout = least(timeout, max(l.idleAt-l.mono, 0))
	}
	if l.stopAt != 0 {
		timeout = least(timeout, int64(time.Millisecond))
	}
	if len(l.ready) > 0 || len(l.dirty) > 0 || l.signals.Load() != 0 {
		timeout = 0
	}
	if l.mono-l.lastYield > yieldNanos {
		runtime.Gosched()
		l.lastYield = l.mono
	}
	if timeout == 0 || l.spin > 0 {
		n := l.poll.wait(l.events, 0)
		if n > 0 || timeout == 0 {
			if n > 0 && l.spin < 8 {
				l.spin++
			}
			l.readClock()
			return n
		}
		l.spin -= 4
	} else if l.spin < 0 {
		l.spin++
	}
	l.asleep.Store(true)
	n := 0
	if l.signals.Load() == 0 {
		n = l.poll.wait(l.events, timeout)
	}
	l.asleep.Store(false)
	before := l.mono
	l.readClock()
	l.blocked += l.mono - before
	if l.mono-before > longWait {
		// A shorter wait is no yield: to the runtime's monitor thread it is one more part of the same time slice, at whose end, after 10 ms, it
		// takes the processor away, and then looks every 20 µs.
		l.lastYield = l.mono
	}
	if n > 1 {
		l.spin++
	}
	return n
}

func least(a, b int64) int64 {
	if a < 0 || b < a {
		return b
	}
	return a
}

func (l *Loop) dispatchAll(n int) {
	for i := range l.events[:n] {
		l.dispatch(&l.events[i])
	}
}

func (l *Loop) dispatch(ev *event) {
	fd := int(ev.Fd)
	if ev.Pad == 0 {
		if a := l.acceptors[fd]; a != nil {
			l.accept(a)
		}
		return // or the eventfd: runSignals follows
	}
	if fd >= len(l.slots) {
		return
	}
	c := l.slots[fd]
	if c == nil || c.tag != uint32(ev.Pad) {
		return // of a connection that was closed in this turn
	}
	if ev.Events&(evEnd|evBroken) != 0 {
		c.ended = true
		if ev.Events&evBroken != 0 && c.stop&stopClosing != 0 {
			l.close(c, c.closeErr)
			return
		}
		if c.stop&stopHeld != 0 && ev.Events&evBroken != 0 {
			l.close(c, nil)
			return
		}
		if c.endedHeld() {
			l.eof(c)
			return
		}
	}
	if ev.Events&evWrite != 0 {
		l.writable(c)
	}
	if ev.Events&(evRead|evEnd|evBroken) != 0 {
		c.rd = true
		switch {
		case c.queued:
		case l.late():
			l.enqueue(c)
		default:
			l.step(c)
		}
	}
}

// turnNanos bounds what a turn serves: those who come later wait for the next,
// so that replies leave and commits begin.
const turnNanos = 1_000_000

func (l *Loop) late() bool { return l.mono-l.turnStart > turnNanos }

// runReady gives those a share that were left with work in an earlier turn.
func (l *Loop) runReady() {
	if len(l.ready) == 0 {
		return
	}
	n := len(l.ready) // those added meanwhile are for the next turn
	i := 0
	for ; i < n && (i == 0 || !l.late()); i++ {
		c := l.ready[i]
		c.queued = false
		l.step(c)
	}
	k := copy(l.ready, l.ready[i:])
	clear(l.ready[k:])
	l.ready = l.ready[:k]
}

func (l *Loop) runSignals() {
	if l.signals.Load() == 0 {
		return
	}
	sig := l.signals.Swap(0)
	if sig&sigPost != 0 {
		l.postMu.Lock()
		l.posts, l.postsNow = l.postsNow[:0], l.posts
		l.postMu.Unlock()
		for i, f := range l.postsNow {
			l.postsNow[i] = nil
			f(l)
		}
	}
	if sig&sigWake != 0 {
		l.srv.handler.Woken(l)
		l.gatedNew = true
	}
}

// publishHeld lets Server.BufferedBytes see what this loop's connections hold by now. Loop thread.
func (l *Loop) publishHeld() {
	if l.held != l.heldSeen.Load() {
		l.heldSeen.Store(l.held)
	}
}

// account publishes the turn's figures.
func (l *Loop) account() {
	if l.turnIn > 0 {
		l.bytesIn.Add(l.turnIn)
		l.reads.Add(l.turnReads)
		l.turnIn, l.turnReads = 0, 0
	}
	if l.turnOut > 0 {
		l.bytesOut.Add(l.turnOut)
		l.writes.Add(l.turnWrites)
		l.turnOut, l.turnWrites = 0, 0
	}
	l.publishHeld()
	l.readClock()
	d := l.mono - l.turnStart
	l.turns.Add(1)
	l.turnNanos.Add(d)
	l.turnTook = d
	l.turnLasted(d)
	if d > l.mostCPU.Load() { // it has not used more than it took
		l.mostCPU.Store(max(l.mostCPU.Load(), min(d, threadCPU()-l.cpuFrom)))
	}
}

// cpuStale is how old a reading of the thread's CPU time may be at the beginning of a turn: reading it is a system call, and what was used since counts as the
// turn's.
const cpuStale = 100_000

// turnLasted notes a turn's length, if it is the longest so far. Whoever runs the loop.
func (l *Loop) turnLasted(nanos int64) {
	if nanos > l.longest.Load() {
		l.longest.Store(nanos)
	}
}

// closeIdle closes who has been silent for longer than the timeout, once a second.
func (l *Loop) closeIdle() {
	l.idleAt = l.mono + int64(time.Second)
	limit := l.now - l.limits.Idle.Microseconds()
	for _, c := range l.slots {
		if c != nil && c.active < limit && !c.idleExempt && c.stop == 0 {
			l.srv.logf('-', "Closing idle client: id=%d addr=%s", c.id, c.RemoteAddr())
			l.close(c, ErrIdle)
		}
	}
}

// tryStop ends the loop once everything is flushed or the time is up.
func (l *Loop) tryStop() {
	late := l.mono >= l.stopAt
	for _, c := range l.slots {
		if c == nil {
			continue
		}
		if late || c.unsent() == 0 {
			l.close(c, ErrShutdown)
		} else if c.stop&stopClosing == 0 {
			c.stop |= stopClosing
			c.closeErr = ErrShutdown
			c.Flush()
		}
	}
	l.postMu.Lock()
	l.stopped = l.conns == 0 && len(l.posts) == 0 // a post may bring a connection
	l.postMu.Unlock()
}

// attach puts a connection on the loop. Loop thread.
func (l *Loop) attach(c *Conn) error {
	if l.nextTag++; l.nextTag == 0 {
		l.nextTag = 1 // 0 is for descriptors that are no connection
	}
	c.tag = l.nextTag
	for c.fd >= len(l.slots) {
		l.slots = append(l.slots, make([]*Conn, max(64, len(l.slots)))...)
	}
	if err := l.poll.add(c.fd, c.tag); err != nil {
		return err
	}
	l.slots[c.fd] = c
	l.conns++
	c.home.Store(l)
	return nil
}

func (l *Loop) getPart() *resp.Partial {
	if n := len(l.parts); n > 0 {
		t := l.parts[n-1]
		l.parts = l.parts[:n-1]
		return t
	}
	return new(resp.Partial)
}

func (l *Loop) putPart(t *resp.Partial) {
	t.Reset()
	if len(l.parts) < maxKeptParts {
		l.parts = append(l.parts, t)
	}
}
