package engine

import "tidemark/netio"

// inBackground runs a command's work that waits for the disk or for other loops, so that this loop can go on meanwhile. The connection is held
// until it is done: its requests still run in order. work returns the error to reply, or "" for +OK. The handler that calls it
// replies nothing; it must not be within EXEC, whose locks work could wait for.
func (ss *Session) inBackground(work func() (refusal string)) { ss.inBackgroundSaying("OK", work) }

// InBackground is inBackground for the extension: work returns the error to reply, or "" for +OK, on a goroutine of its own while the
// client is held.
func (ss *Session) InBackground(work func() (refusal string)) { ss.inBackground(work) }

// inBackgroundSaying is inBackground with other words than OK.
func (ss *Session) inBackgroundSaying(done string, work func() (refusal string)) {
	d := ss.loop.ctx.Cmd
	ss.conn.HoldQuietly() // the reply is promised, also to a client that has finished writing
	ss.conn.SetIdleExempt(true)
	go func() {
		refusal := work()
		ss.conn.Post(func(conn *netio.Conn) {
			pos := len(conn.W.B)
			if refusal == "" {
				conn.W.Simple(done)
			} else {
				conn.W.Error(refusal)
				ss.srv.stats.failed(d, conn.W.B[pos:])
			}
			ss.dropLateReply(pos)
			conn.SetIdleExempt(false)
			conn.Release()
			conn.Flush()
		})
	}()
}

// dropLateReply applies CLIENT REPLY to a reply that was written after its command had returned, from position pos of the output on.
func (ss *Session) dropLateReply(pos int) {
	if ss.reply == replyOn {
		return
	}
	ss.conn.W.B = ss.conn.W.B[:pos]
	if ss.reply == replySkip {
		ss.reply = replyOn
	}
}
