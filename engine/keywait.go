package engine

import (
	"time"

	"tidemark/engine/command"
	"tidemark/netio"
)

// keyWait is the Waiter of a client blocked on keys (BLPOP and its kin): see engine/command, block.go. Whatever loop changes such a key executes
// the client's command, and hands the reply over to the client's loop.
type keyWait struct {
	w           *command.KeyWaiter
	reply       []byte
	gate, wrote int64 // of the reply, as in command.Ctx
	how         End   // how the wait is to end if the command that is being executed for it finds nothing after all
	refusal     string
}

// WaitForKeys holds the client. It is called within its command's handler.
func (ss *Session) WaitForKeys(w *command.KeyWaiter, timeoutMs int64) {
	ss.Block(&keyWait{w: w}, time.Duration(timeoutMs)*time.Millisecond, false)
}

// Serve ends the wait with a reply. Any goroutine.
func (ss *Session) Serve(w *command.KeyWaiter, reply []byte, gate, wrote int64) {
	ss.conn.Post(func(*netio.Conn) {
		if k, ok := ss.blocking.waiter.(*keyWait); ok && k.w == w {
			k.reply, k.gate, k.wrote = reply, gate, wrote
			ss.endWait(EndReady)
		}
	})
}

// TimeUp ends the wait that could not be ended when it should have been, as the command was being executed. Any goroutine.
func (ss *Session) TimeUp(w *command.KeyWaiter) {
	ss.conn.Post(func(*netio.Conn) {
		if k, ok := ss.blocking.waiter.(*keyWait); ok && k.w == w {
			if k.how == EndRefused {
				ss.replyRefusal(k.refusal)
			}
			ss.finishWait(k.how)
		}
	})
}

// Claim implements Claimer.
func (k *keyWait) Claim(how End, refusal string) bool {
	if k.w.End() {
		return true
	}
	k.how, k.refusal = how, refusal
	return false
}

// Ended implements Waiter.
func (k *keyWait) Ended(ss *Session, how End) {
	switch how {
	case EndReady:
		if len(k.reply) > 0 && k.reply[0] == '-' {
			ss.srv.stats.failed(k.w.Command(), k.reply)
		}
		ss.deliver(k.reply, k.gate)
		if k.wrote != 0 {
			ss.lastWrite, ss.history = k.wrote, ss.srv.history.Load()
		}
		return
	case EndTimeout:
		k.w.None(&ss.conn.W)
	case EndGone:
		k.w.End() // if it is being tried, it is for the last time
	}
	ss.srv.store.Leave(k.w)
}

// deliver writes a reply that another loop made, and that waits for a log offset (0: for none).
func (ss *Session) deliver(reply []byte, gate int64) {
	pos := len(ss.conn.W.B)
	ss.conn.W.B = append(ss.conn.W.B, reply...)
	if gate != 0 && ss.reply == replyOn {
		ss.conn.Gate(pos, gate)
		ss.loop.gated, ss.loop.wrote = true, true // the turn looks at gates when it wrote
	}
}
