package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"tidemark/engine/command"
	"tidemark/engine/config"
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
	reply   replyMode

	noEvict atomic.Bool  // CLIENT NO-EVICT
	kept    atomic.Int64 // bytes of queued commands and watched keys; see reckon

	multi        *transaction // queued commands; nil outside MULTI
	watching     []watchedKey
	watchedBytes int64
	watcher      command.Watcher
	history      int64 // Server.history at the last write
	lastWrite    int64 // log offset of the end of this connection's last write: what WAITAOF waits for
	blocking     blocking
	stopping     bool // waits for the outcome of its SHUTDOWN
	replica      bool // MakeReplica
	Ext          any  // the extension's own; only the session's loop touches it

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
	replyOffNext  // this one's reply is the last: the client has become a replica
)

// published is what CLIENT LIST and INFO show of a session to other loops; written at the end of each batch of requests.
type published struct {
	mu      sync.Mutex
	name    string
	libName string
	libVer  string
	db      int
	multi   int // queued commands, -1 outside MULTI
	watch   int
	resp    int
	cmd     *command.Descriptor
	flags   string
	user    string
	net     netio.ConnStats
	addr    string
	laddr   string
	fd      int
	kind    clientType
	blocked bool
	timed   bool // blocked with a timeout
}

// SessionOf is the client that a command runs for; nil when the server itself runs it.
func SessionOf(c *command.Ctx) *Session {
	ss, _ := c.Client.(*Session)
	return ss
}

// Server is the server that the session is a client of. Any goroutine.
func (ss *Session) Server() *Server { return ss.srv }

// Conn is the session's connection. Any goroutine, for those of its methods that any goroutine may call.
func (ss *Session) Conn() *netio.Conn { return ss.conn }

// ID is the client's id, which is never used twice. Any goroutine.
func (ss *Session) ID() int64 { return ss.id }

// LastWrite is the log offset of the end of the connection's last write; 0: it has written nothing. The session's loop.
//
// kept is false when this server has ceased to be the primary since, so that the offset may by now be that of something else.
func (ss *Session) LastWrite() (off int64, kept bool) {
	return ss.lastWrite, ss.lastWrite == 0 || ss.history == ss.srv.history.Load()
}

// MakeReplica makes the client a replica, within the handler of the command that asked for it: from the next command on nothing is replied, so that what the
// extension writes to the connection is all it gets. It has no idle timeout, stays on its loop, has the output limits of the
// class replica, and is shown as a replica by CLIENT LIST. There is no way back.
func (ss *Session) MakeReplica() {
	if ss.replica {
		return
	}
	ss.replica = true
	ss.reply = replyOffNext
	ss.conn.SetIdleExempt(true)
	ss.conn.SetPinned(true)
	ss.conn.SetOutputLimits(replicaLimits(ss.srv.cfg.Load()))
	ss.pub.mu.Lock()
	ss.pub.kind = typeReplica
	ss.pub.mu.Unlock()
}

// IsReplica reports whether MakeReplica was called. The session's loop.
func (ss *Session) IsReplica() bool { return ss.replica }

func replicaLimits(v *config.Values) *netio.OutputLimits {
	o := v.OutputLimits[config.ClassReplica]
	return &netio.OutputLimits{HardBytes: o.HardBytes, SoftBytes: o.SoftBytes, SoftFor: time.Duration(o.SoftSeconds) * time.Second}
}

// setReplicaLimits gives every replica the output limits of a changed configuration.
func (s *Server) setReplicaLimits(v *config.Values) {
	lim := replicaLimits(v)
	for _, ss := range s.clients.all() {
		if ss.class() == typeReplica {
			ss.conn.Post(func(c *netio.Conn) { c.SetOutputLimits(lim) })
		}
	}
}

// AddLink makes the connection to this server's primary, a raw one whose Session is the extension's own, known to CLIENT LIST and CLIENT KILL. On the
// connection's loop; RemoveLink when it closes. The session runs no commands.
func (s *Server) AddLink(c *netio.Conn) *Session {
	ss := &Session{srv: s, conn: c, id: c.ID(), user: "default", authed: true}
	ss.pub.addr, ss.pub.laddr, ss.pub.fd, ss.pub.kind = c.RemoteAddr(), c.LocalAddr(), c.FD(), typeMaster
	ss.publish()
	s.clients.add(ss)
	return ss
}

// RemoveLink undoes AddLink. Any goroutine.
func (s *Server) RemoveLink(ss *Session) { s.clients.remove(ss) }

// Publish brings what CLIENT LIST shows of a link up to date. The connection's loop.
func (ss *Session) Publish() { ss.publish() }

// publish copies what others may see.
func (ss *Session) publish() {
	p := &ss.pub
	p.mu.Lock()
	p.db, p.cmd, p.user = ss.db, ss.lastCmd, ss.user
	p.multi = -1
	if ss.multi != nil {
		p.multi = len(ss.multi.cmds)
	}
	p.watch = len(ss.watching)
	p.resp = 2
	if ss.conn.W.RESP3 {
		p.resp = 3
	}
	p.blocked = ss.Blocked() || ss.stopping
	p.timed = ss.blocking.timer != nil
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
