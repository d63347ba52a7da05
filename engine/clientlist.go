package engine

import (
	"slices"
	"strconv"

	"tidemark/engine/command"
)

func sortSessions(list []*Session) {
	slices.SortFunc(list, func(a, b *Session) int { return int(a.id - b.id) })
}

// sessionBytes is about what a session and its connection take beside their buffers.
const sessionBytes = 1400

// appendClient appends the line that CLIENT LIST shows of a session. now is in Unix s. Any goroutine.
func appendClient(b []byte, ss *Session, now int64) []byte {
	str := func(name, value string) {
		b = append(b, name...)
		b = append(b, value...)
	}
	num := func(name string, v int64) {
		b = append(b, name...)
		b = strconv.AppendInt(b, v, 10)
	}
	p := &ss.pub
	p.mu.Lock()
	defer p.mu.Unlock()
	num("id=", ss.id)
	str(" addr=", p.addr)
	str(" laddr=", p.laddr)
	num(" fd=", int64(p.fd))
	str(" name=", p.name)
	num(" age=", max(now-p.net.Created, 0))
	num(" idle=", max(now-p.net.LastActive, 0))
	str(" flags=", ss.flagsLocked())
	num(" db=", int64(p.db))
	str("", " sub=0 psub=0 ssub=0")
	num(" multi=", int64(p.multi))
	num(" watch=", int64(p.watch))
	num(" qbuf=", int64(p.net.QueryBuf))
	num(" qbuf-free=", int64(p.net.QueryBufFree))
	// Arguments are views into the query buffer: they take nothing of their own.
	str("", " argv-mem=0")
	num(" multi-mem=", ss.kept.Load())
	num(" rbs=", int64(p.net.OutputMem))
	num(" rbp=", int64(p.net.OutputMem))
	num(" obl=", int64(p.net.OutputBuf))
	num(" oll=", int64(p.net.OutputList))
	num(" omem=", int64(outputListBytes(p)))
	num(" tot-mem=", ss.memory())
	str(" events=", "r")
	cmd := "NULL"
	if p.cmd != nil {
		cmd = p.cmd.FullName()
	}
	str(" cmd=", cmd)
	str(" user=", p.user)
	str("", " redir=-1")
	num(" resp=", int64(p.resp))
	str(" lib-name=", p.libName)
	str(" lib-ver=", p.libVer)
	return b
}

// outputListBytes is what pending output takes beyond the first buffer.
func outputListBytes(p *published) int {
	if p.net.OutputList == 0 {
		return 0
	}
	return p.net.OutputMem
}

// flagsLocked gives the letters of CLIENT LIST's flags; pub is locked.
// https://redis.io/docs/latest/commands/client-list/
func (ss *Session) flagsLocked() string {
	var f []byte
	p := &ss.pub
	switch p.kind {
	case typeReplica:
		f = append(f, 'S')
	case typeMaster:
		f = append(f, 'M')
	}
	if p.multi >= 0 {
		f = append(f, 'x')
	}
	if p.blocked || ss.srv.pause.has(ss) {
		f = append(f, 'b')
	}
	if p.watch > 0 && ss.watcher.Dirty.Load() {
		f = append(f, 'd')
	}
	if ss.conn.IsUnix() {
		f = append(f, 'U')
	}
	f = append(f, p.flags...)
	if len(f) == 0 {
		return "N"
	}
	return string(f)
}

// showFlags publishes the flags that are set by commands.
func (ss *Session) showFlags() {
	flags := ""
	if ss.noEvict.Load() {
		flags += "e"
	}
	if ss.noTouch {
		flags += "T"
	}
	ss.pub.mu.Lock()
	ss.pub.flags = flags
	ss.pub.mu.Unlock()
}

func (ss *Session) setName(name []byte) {
	ss.pub.mu.Lock()
	ss.pub.name = string(name)
	ss.pub.mu.Unlock()
}

// publishRunning is publish in the middle of a command that will show the session.
func (ss *Session) publishRunning(c *command.Ctx) {
	was := ss.lastCmd
	ss.lastCmd, ss.db = c.Cmd, c.DB
	ss.publish()
	ss.lastCmd = was
}

// validName says whether a client's name is fit for CLIENT LIST: no space, no control characters.
func validName(name []byte) bool {
	for _, ch := range name {
		if ch < '!' || ch > '~' {
			return false
		}
	}
	return true
}
