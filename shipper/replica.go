package shipper

import (
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"tidemark/aof"
	"tidemark/engine"
	"tidemark/netio"
)

// replica is a client of ours that said it is one, from its first REPLCONF or PSYNC on.
type replica struct {
	sh   *Shipper
	ss   *engine.Session
	conn *netio.Conn
	loop *netio.Loop // a replica's connection stays where it is

	// What it said of itself. Its loop writes them before PSYNC; read by others afterwards.
	port   int
	ip     string
	eof    bool // takes a snapshot of unknown length
	psync2 bool
	old    bool // it said SYNC rather than PSYNC: it is told neither id nor offset, and may never acknowledge anything (redis-cli --rdb, --replica)
	only   bool // it wants a snapshot and nothing behind it (REPLCONF rdb-only)
	bare   bool // without data: rdb-filter-only names what a snapshot of ours never has
	swift  bool // acknowledges at once: a tidemark, which need not be asked
	framed bool // the stream goes in frames, see frame.go; decided when it says it can

	state atomic.Int32

	received atomic.Int64 // what it has applied, by its own word
	synced   atomic.Int64 // what it has on its disk; 0: it has not said
	ackAt    atomic.Int64 // Unix ns of its latest word
	probeOff atomic.Int64 // the lag in time is measured with this offset
	probeAt  atomic.Int64 // since when it was there to be sent, Unix ns; 0: no measurement runs
	lagNanos atomic.Int64 // the latest measurement
	sentOff  atomic.Int64 // log offset up to which bytes were handed to the socket
	bytesIn  atomic.Int64 // of the log, handed to the link
	bytesOut atomic.Int64 // that they became on it

	// The loop's while online, the goroutine's in bulk.
	off   int64 // log offset of the next byte to read from the log
	buf   []byte
	pos   int // buf[pos:end] is read and not sent
	end   int
	plain []byte // of a framed stream: what was read, before it is framed
	zip   []byte // the compressor's
	// pressed counts down the pieces that are compressed since the socket last did not take everything.
	pressed int
	then    func() // to be called once all replies have left; its loop's

	// For pace.go, its loop's but for holding.
	fedAt   int64        // when a piece last left, Unix ns
	pacer   *netio.Timer // nil: never needed
	holding atomic.Bool  // something is held back, or was a moment ago

	cursor *aof.Cursor // holds what the Tail has from off on; nil: none. Set under mu
	pin    *aof.Pin    // holds what the segments have from off on; nil: none. Set under mu

	heavySince time.Time // since when more than the soft output limit has been held for it; zero: it has not. Its loop's

	closed atomic.Bool   // the connection has gone; set under mu
	left   chan struct{} // closed then

	mu   sync.Mutex
	bulk int // guarded by mu: the bulk goroutine's duplicate of the socket, -1: none
}

// The states of a replica.
const (
	stateHandshake   int32 = iota // it has not said PSYNC yet
	stateWaiting                  // for a snapshot to begin
	stateSnapshot                 // it is being sent one
	stateTransmitted              // it has all it wanted, and is to hang up
	stateLoading                  // it has it, and has not acknowledged it
	stateBehind                   // a goroutine sends it what only the segments hold
	stateOnline                   // its loop feeds it from the Tail
)

func stateName(s int32) string {
	switch s {
	case stateWaiting:
		return "wait_bgsave"
	case stateSnapshot, stateLoading:
		return "send_bulk"
	case stateTransmitted:
		return "rdb_transmitted"
	}
	return "online"
}

const (
	// feedBytes is how much of the log one write takes.
	feedBytes = 128 << 10
	// pressedFor is for how many pieces compression goes on after the socket did not take one whole (repl-compression auto).
	pressedFor = 64
	// feedTurn bounds what a replica is sent in one turn of its loop.
	feedTurn = 1 << 20
)

// addr is how the replica is reached: what it announced, or where it comes from.
func (r *replica) addr() (ip string, port int) {
	if r.ip != "" {
		return r.ip, r.port
	}
	host, _, err := net.SplitHostPort(r.conn.RemoteAddr())
	if err != nil {
		host = r.conn.RemoteAddr()
	}
	return host, r.port
}

func (r *replica) name() string {
	ip, port := r.addr()
	return net.JoinHostPort(ip, strconv.Itoa(port))
}

// online reports whether the replica counts as one that is fed.
func (r *replica) online() bool { return r.state.Load() >= stateBehind }

// lag is how long ago the replica was last heard of.
func (r *replica) lag(now time.Time) time.Duration {
	return now.Sub(time.Unix(0, r.ackAt.Load()))
}

// probe begins to measure the lag in time, which ends when the replica acknowledges off, unless a measurement runs. Its loop.
func (r *replica) probe(off, now int64) {
	if r.probeAt.Load() == 0 {
		r.probeOff.Store(off)
		r.probeAt.Store(now)
	}
}

// behind is for how long now something has been waiting for the replica's acknowledgement, or was when it last came.
func (r *replica) behind(now int64) time.Duration {
	if at := r.probeAt.Load(); at != 0 {
		return time.Duration(max(now-at, r.lagNanos.Load()))
	}
	return time.Duration(r.lagNanos.Load())
}

// acked takes REPLCONF ACK (and FACK, -1: not said). Its loop.
func (r *replica) acked(off, synced int64, now int64) (moved bool) {
	r.ackAt.Store(now)
	if at := r.probeAt.Load(); at != 0 && off >= r.probeOff.Load() {
		r.lagNanos.Store(now - at)
		r.probeAt.Store(0)
	}
	if off > r.received.Load() {
		r.received.Store(off)
		moved = true
	}
	if synced > r.synced.Load() {
		r.synced.Store(synced)
		moved = true
	}
	return moved
}

// whenSent calls f when all replies so far have left: a bulk goroutine goes past what the connection still has to write. Its loop, while a
// command of the replica's is executed; f is called later, on the loop.
func (r *replica) whenSent(f func()) {
	r.then = f
	r.conn.Post(func(*netio.Conn) { r.writable() })
}

// writable is called when there may be room in the socket. Its loop.
func (r *replica) writable() {
	if f := r.then; f != nil {
		if r.conn.Sent() {
			r.then = nil
			f()
		}
		return
	}
	if r.state.Load() == stateOnline {
		r.feed(nowNanos())
	}
}

// begin makes the replica one that is fed from off on. Its loop.
func (r *replica) begin(off int64) {
	r.off = off
	r.sentOff.Store(off)
	r.toOnline()
}

// toOnline has the loop feed the replica, or a goroutine when the Tail no longer holds what comes next. Its loop.
func (r *replica) toOnline() {
	if r.closed.Load() {
		return
	}
	if r.cursor == nil {
		c, err := r.sh.tail.NewCursor(r.off)
		if err != nil {
			r.fallBehind()
			return
		}
		r.mu.Lock()
		r.cursor = c
		r.mu.Unlock()
	}
	r.state.Store(stateOnline)
	r.sh.feeds(r.loop).add(r)
	r.sh.settle(r.loop)
	r.feed(nowNanos())
}

// feed sends what there is, as far as the socket takes it. Its loop, while online.
func (r *replica) feed(now int64) {
	for sent := 0; r.state.Load() == stateOnline && !r.closed.Load(); {
		if r.pos == r.end {
			if sent >= feedTurn {
				r.loop.Wake() // the rest in the next turn, after the clients
				return
			}
			if sent == 0 && r.holdsBack(now) {
				return
			}
			r.holding.Store(false)
			n, err := r.read()
			if err != nil {
				r.fallBehind()
				return
			}
			if n == 0 {
				return
			}
			r.fedAt = now
			r.probe(r.off, now)
			r.cursor.Advance(r.off)
		}
		n, err := r.conn.Send(r.buf[r.pos:r.end])
		if err != nil {
			return
		}
		r.pos += n
		sent += n
		if r.pos < r.end {
			r.pressed = pressedFor
			return // OnWritable goes on
		}
		r.sentOff.Store(r.off)
	}
}

// read puts the next piece of the Tail into buf, framed if that was agreed on, and returns how many bytes of the log it is.
func (r *replica) read() (n int, err error) {
	if r.buf == nil {
		r.buf = make([]byte, feedBytes)
	}
	if !r.framed {
		n, err = r.sh.tail.Read(r.off, r.buf[:feedBytes])
		r.pos, r.end = 0, n
	} else {
		if r.plain == nil {
			r.plain = make([]byte, feedBytes)
		}
		if n, err = r.sh.tail.Read(r.off, r.plain); n > 0 {
			r.buf, r.zip = appendFrame(r.buf[:0], r.plain[:n], r.zip, r.compresses())
			r.pos, r.end = 0, len(r.buf)
			r.pressed--
		}
	}
	if n > 0 {
		r.off += int64(n)
		r.bytesIn.Add(int64(n))
		r.bytesOut.Add(int64(r.end))
	}
	return n, err
}

// fallBehind has a goroutine read the segments until the Tail holds what comes next. Its loop.
func (r *replica) fallBehind() {
	log := r.sh.srv.Log()
	if log == nil || !log.OnDisk() {
		r.sh.log.Warningf("Replica %s has fallen further behind than the backlog and the output limit for replicas allow, and must start over", r.name())
		r.conn.Kill()
		return
	}
	r.state.Store(stateBehind)
	r.sh.feeds(r.loop).remove(r)
	r.sh.settle(r.loop)
	r.mu.Lock()
	r.releaseLocked(false)
	if r.pin == nil {
		r.pin = log.Pin(r.off)
	}
	pin := r.pin
	r.mu.Unlock()
	go r.catchUp(log, pin)
}

// releaseLocked lets go of what is held for the replica in memory, and with segments also on the disk. mu must be held.
func (r *replica) releaseLocked(segments bool) {
	if r.cursor != nil {
		r.cursor.Close()
		r.cursor = nil
	}
	if segments && r.pin != nil {
		r.pin.Close()
		r.pin = nil
	}
}

// catchUp sends from the segments, which pin keeps, until the Tail holds what comes next. It is the bulk goroutine. The pin is closed
// at any moment, with the connection; to advance it does no harm then.
func (r *replica) catchUp(log *aof.Log, pin *aof.Pin) {
	out, err := r.newBulk()
	if err == nil {
		err = out.write(r.buf[r.pos:r.end])
		r.pos, r.end = 0, 0
		var c *aof.Cursor
		if err == nil {
			c, err = r.sendSegments(log, pin, out)
		}
		out.close()
		if err == nil {
			r.handOver(c)
			return
		}
	}
	r.giveUp(err)
}

func (r *replica) sendSegments(log *aof.Log, pin *aof.Pin, out *bulkWriter) (*aof.Cursor, error) {
	buf := make([]byte, bulkBytes)
	for {
		// First the cursor, then the reading: between the two the Tail may drop nothing that is needed.
		if c, err := r.sh.tail.NewCursor(r.off); err == nil {
			return c, nil
		}
		n, err := log.ReadAt(r.off, buf)
		switch {
		case n > 0:
		case r.sh.srv.Log() != log:
			return nil, errLogSwitched
		case err == io.EOF:
			// The Tail begins behind what is appended just now: somebody is at it, or the disk is stuck.
			if !log.Commit(aof.GoalAppend) {
				r.sh.srv.AwaitAppended(log, r.off, r.left)
			}
			if r.closed.Load() {
				return nil, errHungUp
			}
			continue
		default:
			return nil, err
		}
		if err := r.writeBulk(out, buf[:n]); err != nil {
			return nil, err
		}
		r.off += int64(n)
		r.sentOff.Store(r.off)
		pin.Advance(r.off)
	}
}

// writeBulk sends a stretch of the log, framed if that was agreed on. In bulk the link is what counts.
func (r *replica) writeBulk(out *bulkWriter, p []byte) error {
	r.bytesIn.Add(int64(len(p)))
	if !r.framed {
		r.bytesOut.Add(int64(len(p)))
		return out.write(p)
	}
	for len(p) > 0 {
		n := min(len(p), feedBytes)
		r.pressed = pressedFor
		r.buf, r.zip = appendFrame(r.buf[:0], p[:n], r.zip, r.compresses())
		p = p[n:]
		r.bytesOut.Add(int64(len(r.buf)))
		if err := out.write(r.buf); err != nil {
			return err
		}
	}
	return nil
}

// handOver ends the bulk goroutine's part: the loop goes on.
func (r *replica) handOver(c *aof.Cursor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() {
		c.Close()
		return
	}
	r.cursor = c
	r.pin.Close()
	r.pin = nil
	r.conn.Post(func(*netio.Conn) { r.toOnline() })
}

// giveUp ends the connection for a reason of a bulk goroutine's.
func (r *replica) giveUp(err error) {
	if !r.closed.Load() {
		r.sh.log.Warningf("Connection with replica %s is closed: %v", r.name(), err)
	}
	r.conn.Kill()
}

// gone is called on the loop when the connection has closed.
func (r *replica) gone() {
	r.mu.Lock()
	r.closed.Store(true)
	close(r.left)
	if r.bulk >= 0 {
		_ = unix.Shutdown(r.bulk, unix.SHUT_RDWR) // whatever the goroutine waits for in it ends
	}
	r.releaseLocked(true)
	r.mu.Unlock()
	if r.pacer != nil {
		r.pacer.Stop()
	}
	r.sh.feeds(r.loop).remove(r)
	r.sh.settle(r.loop)
}

func nowNanos() int64 { return time.Now().UnixNano() }
