package shipper

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"tidemark/aof"
	"tidemark/engine"
	"tidemark/engine/config"
	"tidemark/netio"
)

// link is our side of the connection to a primary. Its goroutine dials, shakes hands and receives snapshots, and then gives the socket to an
// event loop, which runs the stream (stream.go); when that ends, it begins again.
type link struct {
	sh       *Shipper
	host     string
	port     int
	answer   chan<- error // FAILOVER: the primary is to become one by our asking, and whoever waits here is told; nil once told
	accepted atomic.Bool  // it has

	state    atomic.Int32
	lastIO   atomic.Int64 // Unix ns: when the primary was last heard of
	downAt   atomic.Int64 // Unix s: since when the link is down
	loading  atomic.Int64 // bytes of a snapshot received so far
	total    atomic.Int64 // bytes of the snapshot, 0: not known
	reads    atomic.Int64 // bytes of the stream applied
	wire     atomic.Int64 // bytes on the link that they came as
	mustFull bool         // what is in memory is no state of the log: only a snapshot helps

	stop    chan struct{}
	stopped sync.Once
	ended   chan struct{} // closed when the goroutine has ended

	mu   sync.Mutex
	sock net.Conn    // guarded by mu: while shaking hands or receiving
	conn *netio.Conn // guarded by mu: while streaming
}

// The states of a link, as ROLE calls them.
const (
	linkConnect int32 = iota
	linkConnecting
	linkHandshake
	linkSync
	linkConnected
)

var linkNames = [...]string{"connect", "connecting", "handshake", "sync", "connected"}

// retryAfter is how long after a failure the primary is tried again.
const retryAfter = time.Second

func newLink(sh *Shipper, host string, port int) *link {
	k := &link{sh: sh, host: host, port: port, stop: make(chan struct{}), ended: make(chan struct{})}
	k.downAt.Store(time.Now().Unix())
	return k
}

func (k *link) addr() string { return net.JoinHostPort(k.host, strconv.Itoa(k.port)) }

// end stops the link, and returns when nothing of it is at work any more. Not on a loop's thread.
func (k *link) end() {
	k.stopped.Do(func() {
		close(k.stop)
		k.mu.Lock()
		if k.sock != nil {
			k.sock.Close()
		}
		if k.conn != nil {
			k.conn.Kill()
		}
		k.mu.Unlock()
	})
	<-k.ended
}

func (k *link) over() bool {
	select {
	case <-k.stop:
		return true
	default:
		return false
	}
}

// run is the link's goroutine.
func (k *link) run() {
	defer close(k.ended)
	sh := k.sh
	for first := true; ; first = false {
		if !first {
			select {
			case <-k.stop:
				return
			case <-time.After(retryAfter):
			}
		}
		k.state.Store(linkConnecting)
		sh.log.Noticef("Connecting to MASTER %s", k.addr())
		for {
			err := k.once()
			sh.linkDown(k)
			k.tell(err)
			if k.over() {
				return
			}
			if err == nil {
				continue // the stream ended: at once again, as most often it is only the connection
			}
			sh.log.Warningf("Replication from %s: %v", k.addr(), err)
			break
		}
		k.state.Store(linkConnect)
	}
}

// tell gives the outcome of FAILOVER to whoever waits for it. The link's goroutine.
func (k *link) tell(err error) {
	if k.answer == nil {
		return
	}
	k.accepted.Store(err == nil)
	k.answer <- err
	k.answer = nil
}

// once goes from the dial to the end of the stream. nil: there was a stream, and it has ended.
func (k *link) once() error {
	conn, err := k.dial()
	if err != nil {
		return err
	}
	defer func() {
		k.mu.Lock()
		k.sock = nil
		k.mu.Unlock()
		conn.Close()
	}()
	h := &handshake{k: k, conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
	k.state.Store(linkHandshake)
	if err := h.greet(); err != nil {
		return err
	}
	if err := h.psync(); err != nil {
		return err
	}
	return k.stream(h)
}

func (k *link) dial() (net.Conn, error) {
	d := net.Dialer{Timeout: k.sh.timeout(), KeepAlive: -1}
	if a := k.sh.config().BindSourceAddr; a != "" {
		ip := net.ParseIP(a)
		if ip == nil {
			return nil, fmt.Errorf("bind-source-addr %q is no IP address", a)
		}
		d.LocalAddr = &net.TCPAddr{IP: ip}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // a host that is down answers nothing for as long as the timeout lasts
		select {
		case <-k.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	conn, err := d.DialContext(ctx, "tcp", k.addr())
	if err != nil {
		return nil, fmt.Errorf("cannot connect: %w; is the primary up, and may this host reach it?", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over() {
		conn.Close()
		return nil, errors.New("the link was ended")
	}
	k.sock = conn
	return conn, nil
}

// handshake is the dialogue before the stream.
type handshake struct {
	k      *link
	conn   net.Conn
	in     *bufio.Reader
	offer  string // id asked for in PSYNC; ? for none
	off    int64  // log offset where the stream goes on
	db     int    // database that it is in there
	framed bool   // the stream comes in frames
}

// maxLine bounds what a primary may say in one line.
const maxLine = 1024

// line reads one line, past the empty ones that keep a link alive.
func (h *handshake) line() (string, error) {
	for {
		_ = h.conn.SetReadDeadline(time.Now().Add(h.k.sh.timeout()))
		b, err := h.in.ReadSlice('\n')
		if err == bufio.ErrBufferFull || len(b) > maxLine {
			return "", errors.New("it sends a line without end: that is no Redis server")
		}
		if err != nil {
			return "", fmt.Errorf("reading its reply: %w", err)
		}
		h.k.lastIO.Store(nowNanos())
		if s := strings.TrimRight(string(b), "\r\n"); s != "" {
			return s, nil
		}
	}
}

func (h *handshake) say(args ...string) error {
	b := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, a := range args {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(a), a)
	}
	_ = h.conn.SetWriteDeadline(time.Now().Add(h.k.sh.timeout()))
	if _, err := h.conn.Write(b); err != nil {
		return fmt.Errorf("sending %s: %w", args[0], err)
	}
	return nil
}

func (h *handshake) ask(args ...string) (string, error) {
	if err := h.say(args...); err != nil {
		return "", err
	}
	return h.line()
}

// greet says who we are.
func (h *handshake) greet() error {
	v := h.k.sh.config()
	reply, err := h.ask("PING")
	if err != nil {
		return err
	}
	if reply[0] != '+' && !strings.HasPrefix(reply, "-NOAUTH") && !strings.HasPrefix(reply, "-NOPERM") &&
		!strings.HasPrefix(reply, "-ERR operation not permitted") {
		return fmt.Errorf("it answers PING with %q", clip(reply))
	}
	if v.MasterAuth != "" {
		args := []string{"AUTH", v.MasterAuth}
		if v.MasterUser != "" {
			args = []string{"AUTH", v.MasterUser, v.MasterAuth}
		}
		if reply, err = h.ask(args...); err != nil {
			return err
		}
		if reply[0] == '-' {
			return fmt.Errorf("it refuses masteruser and masterauth: %s", clip(reply[1:]))
		}
	}
	port := v.Port
	if v.ReplicaAnnouncePort != 0 {
		port = v.ReplicaAnnouncePort
	}
	words := [][]string{{"REPLCONF", "listening-port", itoa(port)}}
	if v.ReplicaAnnounceIP != "" {
		words = append(words, []string{"REPLCONF", "ip-address", v.ReplicaAnnounceIP})
	}
	words = append(words, []string{"REPLCONF", "capa", "eof", "capa", "psync2", "capa", capability},
		[]string{"REPLCONF", "version", engine.RedisVersion})
	if v.ReplCompression != config.CompressNo {
		words = append(words, []string{"REPLCONF", "capa", capaS2})
	}
	for _, w := range words {
		if reply, err = h.ask(w...); err != nil {
			return err
		}
		if reply[0] == '-' {
			if strings.HasPrefix(reply, "-NOAUTH") {
				return fmt.Errorf("it wants a password: set masterauth (%s)", clip(reply[1:]))
			}
			h.k.sh.log.Verbosef("The primary does not understand %s %s: %s", w[0], w[1], clip(reply[1:]))
		}
	}
	return nil
}

func clip(s string) string {
	if len(s) > 200 {
		s = s[:200]
	}
	return s
}

// psync asks to go on where we are, and receives a snapshot when that cannot be.
func (h *handshake) psync() error {
	k, sh := h.k, h.k.sh
	log, err := sh.stream()
	if err != nil {
		return err
	}
	h.offer, h.off = "?", 0
	args := []string{"PSYNC", "?", "-1"}
	if !k.mustFull {
		h.offer, h.off, h.db = log.ID(), log.Reserved(), sh.srv.StreamDB()
		args = []string{"PSYNC", h.offer, itoa(h.off + 1)}
		sh.log.Noticef("Trying a partial resynchronization (request %s:%d).", h.offer, h.off+1)
	}
	if k.answer != nil {
		args = append(args, "FAILOVER")
	}
	reply, err := h.ask(args...)
	if err != nil {
		return err
	}
	words := strings.Fields(reply)
	switch {
	case words[0] == "+CONTINUE" && !k.mustFull:
		id := log.ID()
		if len(words) > 1 {
			id = words[1]
		}
		if len(id) != 40 {
			return fmt.Errorf("it continues under the id %q, which is none", clip(id))
		}
		k.tell(nil)
		h.framed = len(words) > 2 && words[2] == capaS2
		if id != log.ID() {
			sh.log.Noticef("The primary has got another replication id: %s", clean(id))
			if err := log.SetIdentity(id, append([]aof.Ancestor{{ID: log.ID(), End: h.off}}, log.Ancestors()...)); err != nil {
				return err
			}
			sh.dropReplicas() // they shall learn of it, too
		}
		sh.log.Noticef("MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.")
		return nil
	case words[0] == "+FULLRESYNC" && len(words) >= 3:
		off, err := strconv.ParseInt(words[2], 10, 64)
		if err != nil || off < 0 || len(words[1]) != 40 {
			return fmt.Errorf("it answers PSYNC with %q", clip(reply))
		}
		k.tell(nil)
		sh.log.Noticef("Full resync from master: %s:%d", clean(words[1]), off)
		h.framed = len(words) > 3 && words[3] == capaS2
		return h.receive(words[1], off)
	}
	return fmt.Errorf("it answers PSYNC with %q", clip(reply))
}

// withConn calls f with the connection that streams, if the loop has it already.
func (k *link) withConn(f func(*netio.Conn)) {
	k.mu.Lock()
	c := k.conn
	k.mu.Unlock()
	if c != nil {
		f(c)
	}
}

// stream has a loop run the stream, and returns when that has ended.
func (k *link) stream(h *handshake) error {
	rest, _ := h.in.Peek(h.in.Buffered())
	st := &stream{k: k, f: k.sh.srv.NewFollower(h.db), framed: h.framed, closed: make(chan error, 1)}
	st.acked, st.fsynced = -1, -1
	tcp, ok := h.conn.(*net.TCPConn)
	if !ok {
		return errors.New("BUG: a link that is not TCP")
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	fd, dupErr := -1, error(nil)
	if err := raw.Control(func(s uintptr) { fd, dupErr = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return err
	}
	if dupErr != nil {
		return dupErr
	}
	k.lastIO.Store(nowNanos())
	err = k.sh.srv.AdoptRaw(fd, func(c *netio.Conn) {
		c.Session = st
		st.conn = c
		k.mu.Lock()
		k.conn = c
		k.mu.Unlock()
		if k.over() {
			c.Kill()
			return
		}
		k.state.Store(linkConnected)
		k.sh.linkIsUp(k)
		c.Preload(rest)
		st.begin(c)
	})
	if err != nil {
		return err
	}
	// Nothing of it is read or written here any more; the loop has a descriptor of its own.
	h.conn.Close()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-st.closed:
			k.mu.Lock()
			k.conn = nil
			k.mu.Unlock()
			if err != nil && err != io.EOF && !k.over() {
				return fmt.Errorf("connection with the primary lost: %w", err)
			}
			if !k.over() {
				k.sh.log.Noticef("Connection with master lost.")
			}
			return nil
		case <-tick.C:
			if time.Duration(nowNanos()-k.lastIO.Load()) > k.sh.timeout() {
				k.sh.log.Warningf("MASTER timeout: no data nor PING received...")
				k.withConn((*netio.Conn).Kill)
				continue
			}
			k.withConn(func(c *netio.Conn) { c.Post(func(*netio.Conn) { st.ack(true) }) })
		}
	}
}
