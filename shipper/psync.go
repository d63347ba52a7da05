package shipper

import (
	"bytes"
	"strings"

	"golang.org/x/sys/unix"

	"tidemark/aof"
	"tidemark/engine"
	"tidemark/engine/command"
	"tidemark/engine/config"
	"tidemark/netio"
)

// replicaOf gives what is known of a client as a replica, made if need be. Its loop.
func (sh *Shipper) replicaOf(ss *engine.Session) *replica {
	if r, ok := ss.Ext.(*replica); ok {
		return r
	}
	r := &replica{sh: sh, ss: ss, conn: ss.Conn(), bulk: -1, left: make(chan struct{})}
	ss.Ext = r
	return r
}

// replconf is REPLCONF: what a replica says of itself, and its acknowledgements.
func (sh *Shipper) replconf(c *command.Ctx) {
	w := c.W
	ss, ok := c.Client.(*engine.Session)
	if !ok {
		return // in the log, as GETACK: it is for replicas
	}
	if len(c.Args)%2 == 0 {
		w.Error(command.ErrSyntax)
		return
	}
	r := sh.replicaOf(ss)
	for i := 1; i < len(c.Args); i += 2 {
		v := c.Args[i+1]
		switch name := strings.ToLower(string(c.Args[i])); name {
		case "ack":
			// No reply, whatever it says.
			off, ok := command.ParseInt(v)
			if !ok || r.state.Load() < stateLoading {
				return
			}
			synced := int64(-1)
			if len(c.Args) > i+3 && command.Is(c.Args[i+2], "fack") {
				if n, ok := command.ParseInt(c.Args[i+3]); ok {
					synced = n
				}
			}
			sh.ack(r, off, synced)
			return
		case "getack":
			return // for replicas of ours; from a client it means nothing, as in Redis
		case "listening-port":
			port, ok := command.ParseInt(v)
			if !ok {
				w.Error(command.ErrNotInt)
				return
			}
			r.port = int(port)
		case "ip-address":
			if len(v) > 255 {
				w.Error("ERR REPLCONF ip-address provided by replica instance is too long: " + itoa(int64(len(v))) + " bytes")
				return
			}
			r.ip = string(v)
		case "capa":
			switch strings.ToLower(string(v)) {
			case "eof":
				r.eof = true
			case "psync2":
				r.psync2 = true
			case capability:
				r.swift = true
			case capaS2:
				r.framed = sh.config().ReplCompression != config.CompressNo
			}
		case "rdb-only":
			n, ok := command.ParseInt(v)
			if !ok {
				w.Error(command.ErrNotInt)
				return
			}
			if n < 0 || n > 1 {
				w.Error("ERR value is out of range, value must between 0 and 1")
				return
			}
			r.only = n == 1
		case "rdb-filter-only":
			// What is to be in the snapshot. There are no functions, so that nothing is left, whether they are asked for or not.
			for _, part := range strings.Fields(string(v)) {
				if !strings.EqualFold(part, "functions") {
					w.Error("ERR Unsupported rdb-filter-only option: " + string(bytes.ToValidUTF8([]byte(part), []byte("?"))))
					return
				}
			}
			r.bare = true
		case "version":
			// Redis 7.2 and later say it; nothing here depends on it.
		default:
			w.Error("ERR Unrecognized REPLCONF option: " + string(bytes.ToValidUTF8(c.Args[i], []byte("?"))))
			return
		}
	}
	w.OK()
}

// capability is what one tidemark tells another it can do: it acknowledges at once what it has applied, and syncs at once when asked
// to (REPLCONF GETACK in the stream).
const capability = "tidemark1"

// framing is what the answer to PSYNC says of the stream that follows: behind it nothing but what the replica asked for may stand.
func (r *replica) framing() string {
	if r.framed {
		return " " + capaS2
	}
	return ""
}

// psync is PSYNC id offset [FAILOVER], and SYNC.
func (sh *Shipper) psync(c *command.Ctx) {
	ss := c.Client.(*engine.Session)
	if ss.IsReplica() {
		return // once is enough; a late SYNC is ignored, as in Redis
	}
	id, next, ok := "?", int64(-1), true
	if command.Is(c.Args[0], "sync") {
		sh.replicaOf(ss).old = true
	} else {
		id = string(c.Args[1])
		next, ok = command.ParseInt(c.Args[2])
		if len(c.Args) > 3 {
			if !command.Is(c.Args[3], "failover") {
				c.W.Error(command.ErrSyntax)
				return
			}
			if refusal := sh.takeOver(ss, id, func() { sh.join(ss, id, next-1) }); refusal != "" {
				c.W.Error(refusal)
			}
			return
		}
	}
	if !ok && sh.unready() == "" {
		c.W.Error(command.ErrNotInt)
		return
	}
	sh.join(ss, id, next-1)
}

// unready says why nobody can be served as a replica just now; empty: they can.
func (sh *Shipper) unready() string {
	switch {
	case sh.isReplica() && !sh.linkUp():
		return "NOMASTERLINK Can't SYNC while not connected with my master"
	case sh.failingOver():
		return "NOMASTERLINK Can't SYNC while failing over"
	}
	return ""
}

// join makes the client a replica that has the log called id up to offset off. Its loop.
func (sh *Shipper) join(ss *engine.Session, id string, off int64) {
	w := &ss.Conn().W
	if refusal := sh.unready(); refusal != "" {
		w.Error(refusal)
		return
	}
	if sh.srv.Streams() {
		sh.enlist(ss, id, off)
		return
	}
	conn := ss.Conn()
	conn.Hold()
	go func() {
		_, err := sh.stream()
		conn.Post(func(*netio.Conn) {
			if err == nil {
				sh.enlist(ss, id, off)
			} else {
				sh.log.Warningf("A replica cannot be served: %v", err)
				w.Error("ERR " + err.Error())
			}
			conn.Release()
			conn.Flush()
		})
	}()
}

// enlist is join when there is a stream.
func (sh *Shipper) enlist(ss *engine.Session, id string, off int64) {
	r, log, w := sh.replicaOf(ss), sh.srv.Log(), &ss.Conn().W
	if log == nil {
		r.conn.Kill() // it was dropped just now
		return
	}
	r.loop = r.conn.Loop()
	ss.MakeReplica()
	if sh.config().ReplDisableNoDelay {
		_ = unix.SetsockoptInt(r.conn.FD(), unix.IPPROTO_TCP, unix.TCP_NODELAY, 0) // only the packets get smaller if it fails
	}
	r.conn.OnWritable(func(*netio.Conn) { r.writable() })
	r.ackAt.Store(nowNanos())
	sh.enrol(r)
	sh.log.Noticef("Replica %s asks for synchronization", r.name())
	why := sh.whyFull(log, id, off)
	if r.only {
		why = "it wants nothing else"
	}
	if why != "" {
		sh.log.Noticef("Full resync requested by or needed for replica %s: %s", r.name(), why)
		sh.counts.full.Add(1)
		if id != "?" {
			sh.counts.partialRefused.Add(1)
		}
		r.whenSent(func() { sh.queue.wait(sh, r) })
		return
	}
	sh.counts.partial.Add(1)
	sh.log.Noticef("Partial resynchronization request from %s accepted. It continues at offset %d of %d", r.name(), off, log.Reserved())
	if r.psync2 {
		w.Simple("CONTINUE " + log.ID() + r.framing())
	} else {
		w.Simple("CONTINUE")
	}
	r.whenSent(func() { r.begin(off) })
}

// whyFull says why a replica that has the log called id up to offset off cannot just continue; empty: it can.
func (sh *Shipper) whyFull(log *aof.Log, id string, off int64) string {
	if id == "?" {
		return "it has nothing to continue from"
	}
	end := log.Reserved()
	if id != log.ID() {
		end = -1
		for _, a := range log.Ancestors() {
			if a.ID == id {
				end = min(a.End, log.Reserved())
				break
			}
		}
		if end < 0 {
			return "its replication id " + clean(id) + " is not one of ours"
		}
	}
	if off < 0 || off > end {
		return "it asks for offset " + itoa(off) + ", which our history, that of the id ends at " + itoa(end) + ", does not have"
	}
	oldest := sh.tail.First()
	if log.OnDisk() {
		oldest = min(oldest, log.OldestSeen())
	}
	if off < oldest {
		return "it asks for offset " + itoa(off) + ", and the oldest still held is " + itoa(oldest)
	}
	return ""
}

// clean makes an id that somebody sent fit for the log.
func clean(id string) string {
	if len(id) > 40 {
		id = id[:40]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, id)
}
