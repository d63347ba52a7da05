package engine

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"tidemark/engine/command"
	"tidemark/netio"
)

const (
	errNoAuth     = "NOAUTH Authentication required."
	errOOM        = "OOM command not allowed when used memory > 'maxmemory'."
	errExecAbort  = "EXECABORT Transaction discarded because of previous errors."
	errNotInMulti = "ERR Command not allowed inside a transaction"
)

// do runs one request of ss. False: it could not run now, stays in the input, and the connection is held.
func (ls *loopState) do(ss *Session, req *netio.Request, at *placed) bool {
	c, s := ls.ctx, ls.srv
	w := c.W
	pos := len(w.B)
	if s.clientEvict.limit.Load() != 0 && !s.evictBefore(ss) {
		return true
	}
	d, args, raw := at.d, req.Args, req.Raw
	if d == nil && s.isHTTP(ss, args) {
		return true
	}
	if refusal := s.refuse(ss, d, at.unknownSub, args); refusal != "" {
		if d != nil {
			d.CountRejected()
		}
		if d != nil && d.Name == "exec" { // also outside a transaction, as in Redis
			ss.endMulti(c)
			refusal = "EXECABORT Transaction discarded because of: " + strings.TrimPrefix(refusal, "ERR ")
		} else if ss.multi != nil {
			ss.multi.aborted = true
		}
		s.stats.errors.count(refusal)
		w.Error(refusal)
		ls.settleReply(ss, pos)
		return true
	}
	// Any command makes room, as in Redis: what a client does not read takes memory, too.
	if !s.memoryAllows(c) && d.Flags&command.DenyOOM != 0 {
		if ss.multi != nil {
			ss.multi.aborted = true
		}
		d.CountRejected()
		s.stats.errors.count(errOOM)
		w.Error(errOOM)
		ls.settleReply(ss, pos)
		return true
	}
	if s.pause.active.Load() && s.pause.holds(ss, d, c.Now) {
		ss.conn.Hold()
		return false
	}
	if ss.multi != nil && !d.Immediate {
		if ss.multi.bytes+effectBytes(args) > s.queueLimit() {
			s.log.Warningf("Closing client that reached max query buffer length: id=%d addr=%s, %d bytes are queued in its transaction",
				ss.id, ss.pub.addr, ss.multi.bytes)
			ss.conn.Kill()
			return true
		}
		ss.multi.queue(d, args, raw)
		ss.reckon()
		w.Simple("QUEUED")
		ls.settleReply(ss, pos)
		return true
	}
	c.Cmd, c.Args, c.Raw = d, args, raw
	if !c.RunAt(&at.key) {
		ls.wantRoom = true
		ls.parked = append(ls.parked, ss)
		ss.conn.HoldQuietly() // a client that has said all it has to say may have shut its half down
		return false
	}
	ss.lastCmd = d
	if ls.flushedAll {
		ls.flushedAll = false
		ls.afterFlushAll(ss)
	}
	if c.Wrote != 0 {
		ss.lastWrite, ss.history = c.Wrote, s.history.Load()
		c.Wrote, ls.wrote = 0, true
	} else {
		ls.read = true
		if c.Gate != 0 {
			if refusal := s.refuseRead(); refusal != "" {
				w.B = w.B[:pos]
				w.Error(refusal)
				c.Gate = 0
			}
		}
	}
	if len(w.B) > pos {
		if w.B[pos] == '-' {
			s.stats.failed(d, w.B[pos:])
		}
		ls.settleReply(ss, pos)
	} else if ss.reply == replyOffNext {
		ss.reply = replyOff
	}
	c.Gate = 0
	return true
}

// settleReply applies CLIENT REPLY to the reply that starts at pos, and lets it wait for its gate.
func (ls *loopState) settleReply(ss *Session, pos int) {
	if ss.reply != replyOn {
		switch ss.reply {
		case replyOff:
			ls.ctx.W.B = ls.ctx.W.B[:pos]
			return
		case replySkip:
			ls.ctx.W.B = ls.ctx.W.B[:pos]
			ss.reply = replyOn
			return
		case replyOffNext:
			ss.reply = replyOff
		case replySkipNext:
			ss.reply = replySkip
			ls.ctx.W.B = ls.ctx.W.B[:pos]
			return
		}
	}
	if ls.ctx.Gate != 0 {
		ss.conn.Gate(pos, ls.ctx.Gate)
		ls.gated = true
	}
}

// refuse gives the error of a request that may not run, in the order Redis checks.
func (s *Server) refuse(ss *Session, d *command.Descriptor, unknownSub bool, args [][]byte) string {
	if d == nil {
		return unknownCommand(args)
	}
	if unknownSub {
		return fmt.Sprintf("ERR unknown subcommand '%s'. Try %s HELP.", quoted(args[1], mostQuoted), strings.ToUpper(d.Name))
	}
	if d.Arity > 0 && len(args) != d.Arity || len(args) < -d.Arity {
		return command.WrongArity(d)
	}
	if !ss.authed && d.Flags&command.NoAuth == 0 && s.needAuth.Load() {
		return errNoAuth
	}
	if ss.multi != nil && d.Flags&command.NoMulti != 0 {
		return errNotInMulti
	}
	if d.Flags&command.Write != 0 {
		if log := s.store.Log(); log != nil {
			if err := log.Err(); err != nil {
				return misconf(err)
			}
		}
		if s.saves.refuse.Load() {
			return errSaveFailed
		}
	}
	if gates := s.gates.Load(); gates != 0 {
		return gateRefusal(gates, d.Flags, d.Flags)
	}
	return ""
}

func misconf(err error) string {
	return "MISCONF Errors writing to the AOF file: " + err.Error()
}

// isHTTP closes a connection whose client speaks HTTP: as likely as not a page in somebody's browser that posts commands to a server it cannot
// reach by itself. Nothing behind this request is executed, and no reply leaves.
func (s *Server) isHTTP(ss *Session, args [][]byte) bool {
	if !command.Is(args[0], "post") && !command.Is(args[0], "host:") {
		return false
	}
	now := time.Now().Unix()
	if last := s.httpSeen.Load(); now-last >= 60 && s.httpSeen.CompareAndSwap(last, now) {
		s.log.Warningf("Possible SECURITY ATTACK detected. A client (addr=%s) sends POST or Host: as a request of HTTP does, perhaps a browser that a "+
			"page misuses to reach this server. Connection aborted.", ss.pub.addr)
	}
	ss.conn.Kill()
	return true
}

func unknownCommand(args [][]byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "ERR unknown command '%s', with args beginning with: ", quoted(args[0], mostQuoted))
	start := b.Len()
	for _, a := range args[1:] {
		room := mostQuoted - (b.Len() - start)
		if room <= 0 {
			break
		}
		fmt.Fprintf(&b, "'%s' ", quoted(a, room))
	}
	return b.String()
}

// mostQuoted is how many bytes of a command's name, and of its arguments together, an error repeats.
const mostQuoted = 128

// quoted is what errors repeat of an argument: at most so many bytes, and nothing from a zero byte on, as in Redis.
func quoted(a []byte, most int) []byte {
	if i := bytes.IndexByte(a, 0); i >= 0 {
		a = a[:i]
	}
	return a[:min(most, len(a))]
}

// refuseBlock gives the error of a transaction that may not run as a whole.
func (s *Server) refuseBlock(c *command.Ctx, t *transaction) string {
	var flags command.Flags
	common := ^command.Flags(0)
	for i := range t.cmds {
		flags |= t.cmds[i].Cmd.Flags
		common &= t.cmds[i].Cmd.Flags
	}
	why := ""
	if flags&command.Write != 0 {
		if log := s.store.Log(); log != nil && log.Err() != nil {
			why = misconf(log.Err())
		}
		if why == "" && s.saves.refuse.Load() {
			why = errSaveFailed
		}
	}
	if gates := s.gates.Load(); why == "" && gates != 0 {
		why = gateRefusal(gates, flags, common)
	}
	if why == "" && flags&command.DenyOOM != 0 && !s.memoryAllows(c) {
		why = errOOM
	}
	if why == "" {
		return ""
	}
	return "EXECABORT Transaction discarded because of: " + why
}
