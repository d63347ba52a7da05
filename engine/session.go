package engine

import (
	"sync"

	"tidemark/engine/command"
	"tidemark/netio"
)

// Session is one client: what the server knows of a connection beyond its socket. It belongs to the
// loop that serves the connection; only the fields of pub and the atomics may be looked at by others.
type Session struct {
	srv  *Server
	conn *netio.Conn
	loop *loopState // the loop it is served by now

	id      int64
	db      int
	authed  bool
	user    string
	noTouch bool
	noEvict bool
	reply   replyMode

	multi     *transaction // queued commands; nil outside MULTI
	watching  []watchedKey
	watcher   command.Watcher
	lastWrite int64 // log offset of the end of this connection's last write: what WAITAOF waits for
	blocked   *waiter

	lastCmd *command.Descriptor
	pub     published
}

// replyMode is CLIENT REPLY.
type replyMode uint8

const (
	replyOn replyMode = iota
	replyOff
	replySkipNext // SKIP was said: the next command's reply is dropped
	replySkip     // this one's
)

// published is what CLIENT LIST and INFO show of a session to other loops; written at the end of each batch of requests.
type published struct {
	mu       sync.Mutex
	name     string
	libName  string
	libVer   string
	db       int
	multi    int // queued commands, -1 outside MULTI
	multiMem int // bytes of the queued commands
	watch    int
	resp     int
	cmd      *command.Descriptor
	flags    string
	user     string
	net      netio.ConnStats
	addr     string
	laddr    string
	fd       int
	blocked  bool
	timed    bool // blocked with a timeout
}

// publish copies what others may see.
func (ss *Session) publish() {
	p := &ss.pub
	p.mu.Lock()
	p.db, p.cmd, p.user = ss.db, ss.lastCmd, ss.user
	p.multi, p.multiMem = -1, 0
	if ss.multi != nil {
		p.multi, p.multiMem = len(ss.multi.cmds), int(ss.multi.bytes)
	}
	p.watch = len(ss.watching)
	p.resp = 2
	if ss.conn.W.RESP3 {
		p.resp = 3
	}
	p.blocked = ss.blocked != nil
	p.timed = p.blocked && ss.blocked.timer != nil
	p.net = ss.conn.Stats()
	p.mu.Unlock()
}

// clients is the registry of open connections, for CLIENT LIST and KILL.
type clients struct {
	mu   sync.Mutex
	byID map[int64]*Session
}

func (r *clients) add(ss *Session) {
	r.mu.Lock()
	r.byID[ss.id] = ss
	r.mu.Unlock()
}

func (r *clients) remove(ss *Session) {
	r.mu.Lock()
	delete(r.byID, ss.id)
	r.mu.Unlock()
}

// all returns the open sessions in the order of their ids.
func (r *clients) all() []*Session {
	r.mu.Lock()
	out := make([]*Session, 0, len(r.byID))
	for _, ss := range r.byID {
		out = append(out, ss)
	}
	r.mu.Unlock()
	sortSessions(out)
	return out
}

// each calls f for every open session, in no order, with the registry locked.
func (r *clients) each(f func(*Session)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ss := range r.byID {
		f(ss)
	}
}

func (r *clients) get(id int64) *Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byID[id]
}
