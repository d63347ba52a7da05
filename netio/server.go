package netio

import (
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const defaultMaxBulk = 512 << 20

// Server is a set of event loops behind listeners. Methods may be called from any
// goroutine, only Shutdown, which waits for the loops, not from a Handler.
type Server struct {
	cfg      Config
	handler  Handler
	loops    []*Loop
	crew     crew
	limits   atomic.Pointer[Limits]
	numConns atomic.Int64
	nextID   atomic.Int64
	stats    counters

	cpuTimes func() cpuTimes // readCPUs, but in tests
	mover    Mover           // the handler, if it is one
	spread   atomic.Bool     // more than one loop has connections; see balance.go

	mu        sync.Mutex
	tcp       []*listener   // guarded by mu
	unix      *listener     // guarded by mu
	keepAlive time.Duration // guarded by mu
	running   bool          // guarded by mu
	ended     chan *Loop
	shutdown  sync.Once
}

// Listen opens the listeners. Nothing is served before Start.
func Listen(cfg Config, h Handler) (*Server, error) {
	if cfg.Backlog <= 0 {
		cfg.Backlog = defaultBacklog
	}
	n := usableCPUs()
	if cfg.MaxLoops > 0 {
		n = min(n, cfg.MaxLoops)
	}
	s := &Server{cfg: cfg, handler: h, keepAlive: cfg.KeepAlive, ended: make(chan *Loop, n)}
	s.mover, _ = h.(Mover)
	s.cpuTimes = readCPUs
	s.SetLimits(cfg.Limits)
	var err error
	if s.tcp, err = listenTCP(cfg.Addrs, cfg.Backlog, cfg.KeepAlive); err != nil {
		return nil, err
	}
	if cfg.UnixPath != "" {
		if s.unix, err = listenUnix(cfg.UnixPath, cfg.UnixPerm, cfg.Backlog); err != nil {
			s.closeUnstarted()
			return nil, err
		}
	}
	for i := range n {
		l, err := newLoop(s, i)
		if err != nil {
			s.closeUnstarted()
			return nil, err
		}
		s.loops = append(s.loops, l)
	}
	s.crew.init(s, n)
	return s, nil
}

func (s *Server) closeUnstarted() {
	for _, a := range s.tcp {
		closeFD(a.fd)
	}
	if s.unix != nil {
		closeFD(s.unix.fd)
	}
	for _, l := range s.loops {
		l.free()
	}
}

// Start starts the loops and returns.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running {
		return nil
	}
	s.running = true
	l := s.loops[0]
	for _, a := range s.listeners() {
		l.watchListener(a)
	}
	s.startLoopLocked(l)
	s.crew.appoint()
	return nil
}

// startLoopLocked gives the loop a thread unless it has one. s.mu must be held.
func (s *Server) startLoopLocked(l *Loop) {
	if !l.started {
		l.started = true
		s.crew.startLoop(l)
	}
}

func (s *Server) loopEnded(l *Loop) { s.ended <- l }

// listeners lists all; s.mu must be held.
func (s *Server) listeners() []*listener {
	ls := append([]*listener(nil), s.tcp...)
	if s.unix != nil {
		ls = append(ls, s.unix)
	}
	return ls
}

func (s *Server) logf(level byte, format string, args ...any) {
	if s.cfg.Logf != nil {
		s.cfg.Logf(level, format, args...)
	}
}

// SetLimits takes effect with each loop's next turn.
func (s *Server) SetLimits(l Limits) {
	if l.MaxBulkBytes <= 0 {
		l.MaxBulkBytes = defaultMaxBulk
	}
	s.limits.Store(&l)
	for _, l := range s.loops {
		l.signal(sigWake)
	}
}

// SetKeepAlive applies to connections accepted from now on.
func (s *Server) SetKeepAlive(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keepAlive = d
	for _, a := range s.tcp {
		if err := setKeepAlive(a.fd, d); err != nil {
			s.logf('#', "Setting keepalive of %v: %v", a.addr, err)
		}
	}
}

// Rebind replaces the TCP listeners (CONFIG SET bind / port). An address that
// is in both sets keeps its socket. On an error nothing has changed.
func (s *Server) Rebind(addrs []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var fresh []string
	var kept []*listener
	stay := map[*listener]bool{}
	for _, text := range addrs {
		ap, _, err := resolve(text)
		same := (*listener)(nil)
		for _, a := range s.tcp {
			if err == nil && !stay[a] && a.addr.(*net.TCPAddr).AddrPort() == ap {
				same = a
			}
		}
		if same == nil {
			fresh = append(fresh, text)
		} else {
			stay[same] = true
			kept = append(kept, same)
		}
	}
	opened, err := listenTCP(fresh, s.cfg.Backlog, s.keepAlive)
	if errors.Is(err, unix.EADDRINUSE) {
		// Perhaps only by ourselves: "*" and "127.0.0.1" cannot be listened on both. Those that are to go stop listening; should
		// it be somebody else after all, they begin again.
		leaving := slices.DeleteFunc(slices.Clone(s.tcp), func(a *listener) bool { return stay[a] })
		for _, a := range leaving {
			a.rest()
		}
		if opened, err = listenTCP(fresh, s.cfg.Backlog, s.keepAlive); err != nil {
			for _, a := range leaving {
				if again := a.resume(s.cfg.Backlog); again != nil {
					s.logf('#', "Listening again on %v: %v", a.addr, again)
				}
			}
		}
	}
	if err != nil {
		return err
	}
	old := s.tcp
	s.tcp = append(kept, opened...)
	if !s.running {
		for _, a := range old {
			if !stay[a] {
				closeFD(a.fd)
			}
		}
		return nil
	}
	s.loops[0].Post(func(l *Loop) {
		for _, a := range old {
			if !stay[a] {
				l.dropListener(a)
			}
		}
		for _, a := range opened {
			l.watchListener(a)
		}
	})
	return nil
}

// Addrs are the listeners' addresses, TCP first.
func (s *Server) Addrs() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	var as []net.Addr
	for _, a := range s.listeners() {
		as = append(as, a.addr)
	}
	return as
}

// Loops lists all loops, also those that have no connections. The slice is
// shared and must not be changed.
func (s *Server) Loops() []*Loop { return s.loops }

// NumConns counts open client connections.
func (s *Server) NumConns() int { return int(s.numConns.Load()) }

// StopAccepting closes the listeners, before loop 0's next turn ends. It does
// not wait for that.
func (s *Server) StopAccepting() {
	s.mu.Lock()
	ls := s.listeners()
	s.tcp, s.unix = nil, nil
	running := s.running
	s.mu.Unlock()
	if !running {
		for _, a := range ls {
			closeFD(a.fd)
		}
		return
	}
	if len(ls) == 0 {
		return
	}
	s.loops[0].Post(func(l *Loop) {
		for _, a := range ls {
			l.dropListener(a)
		}
	})
}

// Shutdown closes connections after flushing what can be flushed within d, and
// ends the loops. It waits for all threads, also for one that is in Handler.Commit.
// A second call waits for the first.
func (s *Server) Shutdown(d time.Duration) {
	s.shutdown.Do(func() { s.end(d) })
}

func (s *Server) end(d time.Duration) {
	s.StopAccepting()
	s.mu.Lock()
	running := s.running
	started := 0
	for _, l := range s.loops {
		if l.started {
			started++
		}
	}
	s.mu.Unlock()
	if running {
		at := nanotime() + int64(d)
		for _, l := range s.loops {
			l.Post(func(l *Loop) { l.stopAt = max(at, 1) })
		}
		for range started {
			<-s.ended
		}
		s.crew.end()
	}
	for _, l := range s.loops {
		l.free()
	}
}

// admit makes a connection of an accepted socket. On loop 0's thread.
func (s *Server) admit(l *Loop, fd int, sa unix.Sockaddr, isUnix bool) {
	if max := l.limits.MaxClients; max > 0 && s.numConns.Load() >= int64(max) {
		s.stats.rejected.Add(1)
		sysWrite(fd, []byte("-ERR max number of clients reached\r\n"))
		closeFD(fd)
		return
	}
	s.stats.accepted.Add(1)
	c := &Conn{srv: s, id: s.nextID.Add(1), fd: fd, unix: isUnix, peer: addrPort(sa), created: l.now, active: l.now}
	c.loop.Store(l)
	if refusal := s.handler.Accept(c); refusal != "" {
		s.stats.rejected.Add(1)
		sysWrite(fd, []byte("-"+refusal+"\r\n"))
		closeFD(fd)
		c.stop |= stopDead // Post and Kill may have been called
		c.home.Store(l)
		return
	}
	s.numConns.Add(1)
	if err := l.attach(c); err != nil {
		l.orphan(c, err)
		return
	}
	if s.spread.Load() && c.movable() && l.stopAt == 0 {
		if t := s.leastLoaded(); t != l {
			l.move(c, t)
		}
	}
}

// Adopt serves a socket that was opened elsewhere, such as one that this process
// dialed (a replication link). The server owns fd from now on. begin takes the
// place of Handler.Accept: it runs on the loop before the first byte is read and sets the
// Session; a RawHandler there makes the connection a raw one, without output limits unless it sets some.
// The connection counts neither as a client nor against MaxClients, and has no
// idle timeout. Any goroutine, while the server runs.
func (s *Server) Adopt(fd int, begin func(c *Conn)) error {
	if err := unix.SetNonblock(fd, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	peer, err := unix.Getpeername(fd)
	if err != nil {
		return os.NewSyscallError("getpeername", err)
	}
	s.loops[0].Post(func(l *Loop) {
		c := &Conn{srv: s, id: s.nextID.Add(1), fd: fd, peer: addrPort(peer), created: l.now, active: l.now,
			adopted: true, idleExempt: true}
		c.loop.Store(l)
		begin(c)
		if c.raw, _ = c.Session.(RawHandler); c.raw != nil && c.limits == nil {
			c.limits = &OutputLimits{}
		}
		if err := l.attach(c); err != nil {
			l.orphan(c, err)
		} else if c.more {
			l.enqueue(c)
		}
	})
	return nil
}

// orphan ends a connection that could not be put on the loop.
func (l *Loop) orphan(c *Conn, err error) {
	l.srv.logf('#', "Registering client connection: %v", err)
	c.stop |= stopDead
	c.home.Store(l)
	if !c.adopted {
		l.srv.numConns.Add(-1)
	}
	c.tellClosed(err)
	closeFD(c.fd)
}
