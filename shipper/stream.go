package shipper

import (
	"strconv"

	"tidemark/engine"
	"tidemark/netio"
)

// stream is the primary's stream on the event loop that owns its socket: what comes is applied, and acknowledged.
type stream struct {
	k       *link
	conn    *netio.Conn
	f       *engine.Follower
	framed  bool
	plain   []byte // of a framed stream: taken out of frames, and not yet applied
	again   bool   // what is in plain was not applied for want of room
	acked   int64  // what was acknowledged last, -1: nothing yet
	fsynced int64
	closed  chan error
}

// begin acknowledges where we are, which also makes the primary begin. On the loop.
func (st *stream) begin(c *netio.Conn) {
	st.k.sh.follow(c.Loop(), st)
	st.ack(true)
}

// ServeRaw applies what has come.
func (st *stream) ServeRaw(c *netio.Conn) {
	st.k.lastIO.Store(nowNanos())
	if !st.framed {
		n := st.take(c, c.Input())
		st.k.wire.Add(int64(n))
		c.Advance(n)
		if need := st.f.Need(); need > 0 {
			c.Expect(need)
		}
		return
	}
	// One frame after the other, so that no more is taken out than can be applied.
	for {
		if !st.again {
			plain, n, err := takeFrame(st.plain, c.Input())
			if err != nil {
				st.refuse(c, err)
				return
			}
			if n == 0 {
				return
			}
			st.plain = plain
			st.k.wire.Add(int64(n))
			c.Advance(n)
		}
		n := st.take(c, st.plain)
		st.plain = append(st.plain[:0], st.plain[n:]...)
		if st.again = st.f.Blocked() || st.f.More(); st.again {
			return
		}
	}
}

// take applies the whole effects at the front of p and acknowledges them.
func (st *stream) take(c *netio.Conn, p []byte) int {
	n, err := st.f.Apply(p)
	st.k.reads.Add(int64(n))
	if err != nil {
		st.refuse(c, err)
		return n
	}
	switch {
	case st.f.Blocked():
		c.HoldQuietly()
		c.Again() // when it is released
	case st.f.More():
		c.Again()
	}
	asked := st.f.GetAck()
	if n > 0 || st.f.Blocked() || asked {
		st.k.sh.srv.CommitSoon(c.Loop(), asked)
	}
	st.ack(asked)
	return n
}

// refuse ends the link for good: what this server cannot execute it cannot follow either, and going on would be another history.
func (st *stream) refuse(c *netio.Conn, err error) {
	st.k.sh.log.Warningf("The primary's stream cannot be applied: %v. The link ends, and begins anew with a snapshot", err)
	st.k.mustFull = true
	c.Kill()
}

// ack acknowledges what has been applied and synced since the last time; with must also when that is nothing. On the loop.
func (st *stream) ack(must bool) {
	off, synced := st.f.Applied(), int64(-1)
	if durable, ok := st.k.sh.srv.DurableOffset(); ok {
		synced = min(durable, off)
	}
	if off <= st.acked && synced <= st.fsynced && !must {
		return
	}
	st.acked, st.fsynced = off, synced
	b := st.conn.W.B
	if synced < 0 {
		b = append(b, "*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n"...)
		b = appendBulkInt(b, off)
	} else {
		b = append(b, "*5\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n"...)
		b = appendBulkInt(b, off)
		b = append(b, "$4\r\nFACK\r\n"...)
		b = appendBulkInt(b, synced)
	}
	st.conn.W.B = b
	st.conn.Flush()
}

func appendBulkInt(b []byte, n int64) []byte {
	var d [20]byte
	s := strconv.AppendInt(d[:0], n, 10)
	b = append(b, '$')
	b = strconv.AppendInt(b, int64(len(s)), 10)
	b = append(b, '\r', '\n')
	b = append(b, s...)
	return append(b, '\r', '\n')
}

// progress is called on the loop when the log moved: what waited for room goes on, and what is synced is acknowledged.
func (st *stream) progress() {
	if st.f.RoomMade() {
		st.conn.Release()
	}
	st.ack(false)
}

// Close is called by the loop.
func (st *stream) Close(c *netio.Conn, err error) {
	st.k.sh.unfollow(c.Loop(), st)
	st.closed <- err
}
