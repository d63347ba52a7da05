package engine

import (
	"time"

	"tidemark/netio"
)

// A blocked client waits without a thread and without polling: its connection is held, its loop keeps it on a list, and its wait ends by
// whoever brings about what it waits for (Session.Unblock, or WakeWaiters for a Poller), by a timer of the loop, by CLIENT UNBLOCK, by a
// change of the server's role, or because the connection closes. Everything here runs on the client's loop, except as said: a held
// connection stays on its loop.

// Waiter is what a blocked client waits for.
type Waiter interface {
	// Ended is called once, when the wait is over. With EndReady and EndTimeout it writes the reply to ss.Conn().W.
	Ended(ss *Session, how End)
}

// Poller is a Waiter that is asked whether it is over whenever its loop is woken (WakeWaiters, a watermark of the log).
type Poller interface {
	Waiter
	Ready(ss *Session) bool
}

// Claimer is a Waiter that another loop may be about to end. Before its wait ends for another reason than EndReady and EndGone, Claim is
// asked; when it says false, the wait goes on until that other loop has done what it does.
type Claimer interface {
	Waiter
	Claim(how End, refusal string) bool
}

// End is how a wait ended.
type End uint8

const (
	EndReady   End = iota // what it waited for has come
	EndTimeout            // the time is up, or CLIENT UNBLOCK said so
	EndRefused            // an error has been replied already
	EndGone               // the connection has closed
)

// blocking is a session's part of it; the zero value is that of a client that does not wait.
type blocking struct {
	waiter Waiter
	poller Poller // the waiter, if it is one
	timer  *netio.Timer
	sync   bool
	at     int // index in the loop's list
}

// Block holds the client until w ends, for at most timeout (0: for ever). Only within a command's handler that replied nothing, and not within
// EXEC (Ctx.InBlock). With sync the log is brought to the disk at once, rather than when appendfsync says.
func (ss *Session) Block(w Waiter, timeout time.Duration, sync bool) {
	if ss.blocking.waiter != nil {
		panic("BUG: a client that waits already is to wait")
	}
	ls, b := ss.loop, &ss.blocking
	b.waiter, b.sync = w, sync
	b.poller, _ = w.(Poller)
	ss.conn.Hold()
	ss.conn.SetIdleExempt(true)
	list := ls.blockedList(b)
	b.at = len(*list)
	*list = append(*list, ss)
	if b.poller != nil {
		ls.interest.Store(true)
	}
	if sync {
		ls.syncWaiters++
		ls.wantSync = true
	}
	if timeout > 0 {
		b.timer = ls.l.After(timeout, func() { ss.endWait(EndTimeout) })
	}
}

// Blocked reports whether the client waits.
func (ss *Session) Blocked() bool { return ss.blocking.waiter != nil }

// Unblock ends the wait: what the client waited for has come. Nothing happens when it does not wait.
func (ss *Session) Unblock() {
	if ss.Blocked() {
		ss.endWait(EndReady)
	}
}

// refuseWait ends the wait with an error.
func (ss *Session) refuseWait(msg string) {
	if c, ok := ss.blocking.waiter.(Claimer); ok && !c.Claim(EndRefused, msg) {
		return
	}
	ss.replyRefusal(msg)
	ss.finishWait(EndRefused)
}

func (ss *Session) replyRefusal(msg string) {
	pos := len(ss.conn.W.B)
	ss.conn.W.Error(msg)
	ss.srv.stats.failed(ss.lastCmd, ss.conn.W.B[pos:])
	ss.dropLateReply(pos)
}

// endWait ends the wait, unless another loop is about to.
func (ss *Session) endWait(how End) {
	if c, ok := ss.blocking.waiter.(Claimer); ok && how == EndTimeout && !c.Claim(how, "") {
		return
	}
	ss.finishWait(how)
}

// finishWait ends the wait and, unless the connection has closed, lets the client go on.
func (ss *Session) finishWait(how End) {
	ls, b := ss.loop, ss.blocking
	if b.timer != nil {
		b.timer.Stop()
	}
	list := ls.blockedList(&b)
	last := len(*list) - 1
	moved := (*list)[last]
	(*list)[b.at] = moved
	moved.blocking.at = b.at
	(*list)[last] = nil
	*list = (*list)[:last]
	if b.sync {
		ls.syncWaiters--
	}
	ss.blocking = blocking{}
	pos := len(ss.conn.W.B)
	b.waiter.Ended(ss, how)
	if how == EndGone {
		return
	}
	ss.dropLateReply(pos)
	ss.conn.SetIdleExempt(ss.replica)
	ss.conn.Release()
	ss.conn.Flush()
	ss.publish()
}

// blockedList is where a waiting session of that kind stands.
func (ls *loopState) blockedList(b *blocking) *[]*Session {
	if b.poller != nil {
		return &ls.polled
	}
	return &ls.waiting
}

// checkWaiters asks those that poll.
func (ls *loopState) checkWaiters() {
	for i := len(ls.polled) - 1; i >= 0; i-- { // whoever ends is replaced by the last, which was asked already
		if ss := ls.polled[i]; ss.blocking.poller.Ready(ss) {
			ss.endWait(EndReady)
		}
	}
}

// UnblockAll ends every wait with an error and closes the connections: what they wait for can no longer come, as the server has become a replica. Any
// goroutine; the loops do it in their next turns.
func (s *Server) UnblockAll(msg string) {
	for _, ls := range s.loopStates() {
		ls.l.Post(func(*netio.Loop) {
			for _, list := range []*[]*Session{&ls.polled, &ls.waiting} {
				for i := len(*list) - 1; i >= 0; i-- {
					ss := (*list)[i]
					ss.refuseWait(msg)
					ss.conn.CloseAfterReply()
				}
			}
		})
	}
}

// unblockRequest is CLIENT UNBLOCK for one client, from any loop.
func (ss *Session) unblockRequest(withError bool) {
	ss.conn.Post(func(*netio.Conn) {
		switch {
		case !ss.Blocked():
		case withError:
			ss.refuseWait("UNBLOCKED client unblocked via CLIENT UNBLOCK")
		default:
			ss.endWait(EndTimeout)
		}
	})
}
