package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"tidemark/engine/command"
	"tidemark/netio"
)

// pause is CLIENT PAUSE: connections whose next request may not run now are held, with the request unread, and let go when the
// pause ends. Nobody looks at the clock for it: one runtime timer ends the pause, and holds looks at the time it is
// given when a request comes first.
//
// The shutdown pauses as well: writes while replicas catch up, everything while the last snapshot is written. So does a failover, writes alone.
type pause struct {
	// active is looked at for every command; everything else only while it is set.
	active atomic.Bool

	// changed is told, with mu held, when a pause begins and when it ends: while it lasts no key may be removed because its time
	// has come, since replicas would see it, and a pause promises them a dataset that stands still.
	changed func(on bool)

	mu       sync.Mutex
	all      bool  // every command, rather than writes alone
	until    int64 // Unix ms
	shutdown hold  // what the shutdown holds, whatever until says
	failover bool  // writes are held while a replica catches up to take over
	held     map[*Session]struct{}
	timer    *time.Timer
}

// hold is what is held.
type hold uint8

const (
	holdNothing hold = iota
	holdWrites
	holdAll
)

// start begins a pause, or extends the present one: the later end and the stricter mode hold.
func (p *pause) start(until int64, all bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until != 0 {
		until, all = max(until, p.until), all || p.all
	}
	p.until, p.all = until, all
	p.setActiveLocked(true)
	if p.timer != nil {
		p.timer.Stop()
	}
	// A wait too long for a timer is cut; the timer sets itself anew then.
	wait := min(max(until-nowMillis(), 0), int64(24*time.Hour/time.Millisecond))
	p.timer = time.AfterFunc(time.Duration(wait)*time.Millisecond, p.expired)
}

// stop ends a pause that CLIENT PAUSE began.
func (p *pause) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until, p.all = 0, false
	p.settleLocked()
}

// forShutdown holds what it is told to, until it is told otherwise.
func (p *pause) forShutdown(what hold) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shutdown = what
	p.settleLocked()
}

// forFailover holds writes until it is called with false.
func (p *pause) forFailover(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failover = on
	p.settleLocked()
}

// PauseWrites holds every client that is about to write, or lets them go: a failover waits for the replica that is to take over. Nothing expires and
// nothing is evicted meanwhile. When it has returned, commands that were let in before may still be running. Any goroutine.
func (s *Server) PauseWrites(on bool) { s.pause.forFailover(on) }

func (p *pause) expired() {
	p.mu.Lock()
	if p.until == 0 {
		p.mu.Unlock()
		return
	}
	if now := nowMillis(); now < p.until {
		p.timer.Reset(time.Duration(min(p.until-now, int64(24*time.Hour/time.Millisecond))) * time.Millisecond)
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	p.stop()
}

func (p *pause) setActiveLocked(on bool) {
	if p.active.Swap(on) != on && p.changed != nil {
		p.changed(on)
	}
}

// settleLocked lets everybody go: whom the pause still concerns will be held again by the request that is served anew.
func (p *pause) settleLocked() {
	if p.until == 0 && p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	p.setActiveLocked(p.until != 0 || p.shutdown != holdNothing || p.failover)
	for ss := range p.held {
		ss.conn.Post(func(c *netio.Conn) {
			ss.conn.SetIdleExempt(ss.Blocked() || ss.replica)
			c.Release()
		})
	}
	clear(p.held)
}

// holds reports whether the request must wait, and remembers the session if so. now is in Unix ms. Called on the session's loop, which
// then holds the connection.
func (p *pause) holds(ss *Session, d *command.Descriptor, now int64) bool {
	if ss.replica {
		return false // its acknowledgements
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	flags := d.Flags
	if d.Name == "exec" && ss.multi != nil {
		flags |= ss.multi.flags()
	}
	writes := flags&(command.Write|command.MayReplicate) != 0
	switch {
	case p.shutdown == holdAll:
	case (p.shutdown == holdWrites || p.failover) && writes:
	case p.until == 0 || now >= p.until:
		return false
	case p.all, writes:
	default:
		return false
	}
	if p.held == nil {
		p.held = map[*Session]struct{}{}
	}
	p.held[ss] = struct{}{}
	ss.conn.SetIdleExempt(true)
	return true
}

// forget drops a session whose connection closes.
func (p *pause) forget(ss *Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.held, ss)
}

// has reports whether the session is held.
func (p *pause) has(ss *Session) bool {
	if !p.active.Load() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.held[ss]
	return ok
}

// count is how many connections are held.
func (p *pause) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.held)
}

// state is what INFO clients shows: the reason, what is paused, and for how many ms more.
func (p *pause) state() (reason, actions string, ms int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.shutdown == holdAll:
		return "shutdown_in_progress", "all", 0
	case p.shutdown == holdWrites:
		return "shutdown_in_progress", "write", 0
	case p.failover:
		return "failover_in_progress", "write", 0
	case p.until == 0:
		return "none", "none", 0
	}
	actions = "write"
	if p.all {
		actions = "all"
	}
	return "client_pause", actions, max(p.until-nowMillis(), 0)
}

// flags is the union of the queued commands' flags.
func (t *transaction) flags() (f command.Flags) {
	for i := range t.cmds {
		f |= t.cmds[i].Cmd.Flags
	}
	return f
}
