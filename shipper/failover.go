package shipper

import (
	"errors"
	"time"

	"tidemark/engine"
	"tidemark/engine/command"
	"tidemark/netio"
)

// failover is a FAILOVER under way: writes are paused until a replica has everything, then that replica is asked to become the primary and
// we follow it.
//
// https://redis.io/docs/latest/commands/failover/
type failover struct {
	target   *replica // nil: whichever is there first
	force    bool
	deadline time.Time     // zero: none
	abort    chan struct{} // closed to abort it
	ended    chan struct{} // closed when nothing of it is left
	begun    bool          // guarded by Shipper.mu: the replica is being asked
}

var (
	errAborted      = errors.New("it was aborted")
	errFailoverLate = errors.New("the timeout was reached before a replica had everything")
)

func (sh *Shipper) failingOver() bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.failover != nil
}

func (sh *Shipper) failoverState() string {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	switch {
	case sh.failover == nil:
		return "no-failover"
	case sh.failover.begun:
		return "failover-in-progress"
	}
	return "waiting-for-sync"
}

// failoverCommand is FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT ms].
func (sh *Shipper) failoverCommand(c *command.Ctx) {
	f := &failover{abort: make(chan struct{}), ended: make(chan struct{})}
	host, port, timeout, abort := "", int64(0), int64(0), false
	for i := 1; i < len(c.Args); i++ {
		left := len(c.Args) - i - 1
		switch {
		case command.Is(c.Args[i], "timeout") && left >= 1 && timeout == 0:
			var ok bool
			if timeout, ok = command.ParseInt(c.Args[i+1]); !ok {
				c.W.Error(command.ErrNotInt)
				return
			}
			if timeout <= 0 {
				c.W.Error("ERR FAILOVER timeout must be greater than 0")
				return
			}
			i++
		case command.Is(c.Args[i], "abort") && !abort:
			abort = true
		case command.Is(c.Args[i], "to") && left >= 2 && host == "":
			var ok bool
			if port, ok = command.ParseInt(c.Args[i+2]); !ok {
				c.W.Error(command.ErrNotInt)
				return
			}
			host = string(c.Args[i+1])
			i += 2
		case command.Is(c.Args[i], "force") && !f.force:
			f.force = true
		default:
			c.W.Error(command.ErrSyntax)
			return
		}
	}
	if abort {
		if host != "" || timeout != 0 || f.force || len(c.Args) != 2 {
			c.W.Error("ERR FAILOVER with abort option cannot be used with other options.") // Redis takes them and ignores them
			return
		}
		sh.abortFailover(c)
		return
	}
	if c.InBlock() {
		c.W.Error("ERR FAILOVER is not possible inside a transaction: it pauses writes and waits for a replica")
		return
	}
	if refusal := sh.beginFailover(f, host, int(port), timeout); refusal != "" {
		c.W.Error(refusal)
		return
	}
	c.W.OK()
}

func (sh *Shipper) abortFailover(c *command.Ctx) {
	sh.mu.Lock()
	f := sh.failover
	if f != nil {
		select {
		case <-f.abort:
		default:
			close(f.abort)
		}
	}
	sh.mu.Unlock()
	if f == nil {
		c.W.Error("ERR No failover in progress.")
		return
	}
	if c.InBlock() {
		c.W.OK()
		return
	}
	c.Client.(*engine.Session).InBackground(func() string {
		<-f.ended
		return ""
	})
}

func (sh *Shipper) beginFailover(f *failover, host string, port int, timeout int64) (refusal string) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	switch {
	case sh.failover != nil:
		return "ERR FAILOVER already in progress."
	case sh.link != nil:
		return "ERR FAILOVER is not valid when server is a replica."
	case len(sh.replicas) == 0:
		return "ERR FAILOVER requires connected replicas."
	case f.force && (timeout == 0 || host == ""):
		return "ERR FAILOVER with force option requires both a timeout and target HOST and IP."
	}
	if host != "" {
		for _, r := range sh.replicas {
			if ip, p := r.addr(); ip == host && p == port {
				f.target = r
			}
		}
		if f.target == nil {
			return "ERR FAILOVER target HOST and PORT is not a replica."
		}
		if !f.target.online() {
			return "ERR FAILOVER target replica is not online."
		}
	}
	if timeout > 0 {
		f.deadline = time.Now().Add(time.Duration(timeout) * time.Millisecond)
	}
	sh.failover = f
	go sh.runFailover(f)
	return ""
}

func (sh *Shipper) runFailover(f *failover) {
	defer close(f.ended)
	sh.log.Noticef("FAILOVER requested")
	sh.srv.PauseWrites(true)
	err := sh.handOverTo(f)
	if err != nil {
		sh.log.Noticef("Failover aborted: %v", err)
	} else {
		sh.log.Noticef("Failover finished: this server follows the replica now")
	}
	sh.mu.Lock()
	sh.failover = nil
	sh.mu.Unlock()
	sh.srv.PauseWrites(false)
}

func (sh *Shipper) handOverTo(f *failover) error {
	// Stock replicas acknowledge once a second unless they are asked.
	sh.say(getAckBytes)
	r, err := sh.awaitEqual(f)
	if err != nil {
		return err
	}
	sh.mu.Lock()
	f.begun = true
	sh.mu.Unlock()
	host, port := r.addr()
	sh.log.Noticef("Failover target is %s", r.name())
	answer := make(chan error, 1)
	if err := sh.followPrimary(host, port, answer); err != nil {
		return err
	}
	var late <-chan time.Time
	if !f.deadline.IsZero() {
		// The deadline is for the waiting; the answer gets as long as any link.
		late = time.After(max(time.Until(f.deadline), sh.timeout()))
	}
	select {
	case err = <-answer:
	case <-f.abort:
		err = errAborted
	case <-late:
		err = errors.New("the replica did not answer in time")
	}
	if err != nil {
		sh.stayPrimary()
	}
	return err
}

// awaitEqual waits for a replica that has everything.
func (sh *Shipper) awaitEqual(f *failover) (*replica, error) {
	var late <-chan time.Time
	if !f.deadline.IsZero() {
		t := time.NewTimer(time.Until(f.deadline))
		defer t.Stop()
		late = t.C
	}
	for {
		end := sh.offset()
		for _, r := range *sh.all.Load() {
			if (f.target == nil || r == f.target) && r.online() && r.received.Load() >= end {
				return r, nil
			}
		}
		if f.target != nil && f.target.closed.Load() {
			return nil, errors.New("the connection with the target was lost")
		}
		select {
		case <-sh.acks:
		case <-f.abort:
			return nil, errAborted
		case <-late:
			if f.force {
				sh.log.Noticef("The failover's timeout is over; the target takes over without having everything, as FORCE says")
				return f.target, nil
			}
			return nil, errFailoverLate
		case <-time.After(time.Second): // a replica may have gone without a word
		}
	}
}

// stayPrimary undoes followPrimary: nobody has taken over, so our history goes on as it was.
func (sh *Shipper) stayPrimary() {
	sh.changing.Lock()
	defer sh.changing.Unlock()
	k := sh.endLink()
	if k != nil && k.accepted.Load() {
		// It did after all: what it does from now on is its history, not ours. Following it is what is left.
		sh.startLink(newLink(sh, k.host, k.port))
		return
	}
	sh.srv.SetRole(engine.Role{})
	sh.setPrimary("", 0)
	sh.countGood()
}

// takeOver is the other side: the primary that we follow wants us to take its place. then goes on when that is done.
func (sh *Shipper) takeOver(ss *engine.Session, id string, then func()) (refusal string) {
	if log := sh.srv.Log(); log == nil || id != log.ID() {
		return "ERR PSYNC FAILOVER replid must match my replid."
	}
	if !sh.isReplica() {
		then()
		return ""
	}
	conn := ss.Conn()
	conn.Hold()
	go func() {
		err := sh.promote("failover request from " + conn.RemoteAddr())
		conn.Post(func(*netio.Conn) {
			if err != nil {
				conn.W.Error("ERR " + err.Error())
			} else {
				then()
			}
			conn.Release()
			conn.Flush()
		})
	}()
	return ""
}
