package shipper

import (
	"time"

	"tidemark/engine/config"
	"tidemark/netio"
)

// The heartbeat runs once a second while there is somebody to be heard of: replicas, or a primary. Without either no clock runs.

const beatEvery = time.Second

// beatLocked sets the heartbeat going. mu must be held.
func (sh *Shipper) beatLocked() {
	if sh.beat == nil && !sh.stopped {
		sh.pinged.CompareAndSwap(0, time.Now().UnixNano()) // the first PING comes after the first period
		sh.beat = time.AfterFunc(beatEvery, sh.heartbeat)
	}
}

func (sh *Shipper) heartbeat() {
	now := time.Now()
	v := sh.config()
	sh.mu.Lock()
	replicas, primary := sh.replicas, sh.link == nil
	alone := !sh.lonely.IsZero() && v.BacklogTTLSeconds > 0 && now.Sub(sh.lonely) > time.Duration(v.BacklogTTLSeconds)*time.Second
	if len(replicas) == 0 && (sh.lonely.IsZero() || alone) {
		sh.beat = nil
		sh.lonely = time.Time{}
	} else if !sh.stopped {
		sh.beat = time.AfterFunc(beatEvery, sh.heartbeat)
	}
	sh.mu.Unlock()
	if alone && primary && len(replicas) == 0 {
		sh.log.Noticef("Replication backlog freed after %d seconds without connected replicas.", v.BacklogTTLSeconds)
		sh.srv.DropStream()
		return
	}
	if primary && now.Sub(time.Unix(0, sh.pinged.Load())) >= time.Duration(v.ReplPingSeconds)*time.Second {
		for _, r := range replicas {
			if r.online() {
				sh.pinged.Store(now.UnixNano())
				sh.say(pingBytes)
				break
			}
		}
	}
	for _, r := range replicas {
		r.conn.Post(func(*netio.Conn) { r.beat(now) })
	}
	sh.countGood()
}

var (
	pingBytes   = []byte("*1\r\n$4\r\nPING\r\n")
	getAckBytes = []byte("*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n")
)

// say puts a command for replicas into the stream.
func (sh *Shipper) say(p []byte) {
	sh.srv.Net().Loops()[0].Post(func(l *netio.Loop) {
		if _, ok := sh.srv.AppendToStream(p); ok {
			sh.srv.CommitSoon(l, false)
		}
	})
}

// beat keeps a waiting replica alive, and ends the link to one that has fallen silent. Its loop.
func (r *replica) beat(now time.Time) {
	switch r.state.Load() {
	case stateWaiting:
		r.mu.Lock() // against the goroutine that is about to send the snapshot
		if r.state.Load() == stateWaiting {
			_, _ = r.conn.Send([]byte("\n")) // an error closes the connection
		}
		r.mu.Unlock()
	case stateTransmitted, stateLoading, stateOnline, stateBehind:
		if r.old && r.state.Load() != stateTransmitted {
			return
		}
		heard := max(r.ackAt.Load(), r.conn.Stats().LastActive*1e9)
		if now.Sub(time.Unix(0, heard)) > r.sh.timeout() {
			r.sh.log.Warningf("Disconnecting timedout replica: %s", r.name())
			r.conn.Kill()
		}
	}
	if r.tooHeavy(now) {
		r.sh.log.Warningf("Replica %s is closed: more was held for it than the soft limit of client-output-buffer-limit, for longer than that allows", r.name())
		r.conn.Kill()
	}
}

// tooHeavy reports whether the memory held for the replica beyond the backlog has been above the soft limit for too long. The hard limit is the Tail's. Its loop,
// once a second.
func (r *replica) tooHeavy(now time.Time) bool {
	v := r.sh.config()
	limit := v.OutputLimits[config.ClassReplica]
	log := r.sh.srv.Log()
	held := int64(0)
	r.mu.Lock()
	if r.cursor != nil && log != nil && !log.OnDisk() {
		held = r.sh.tail.End() - r.cursor.Offset()
	}
	r.mu.Unlock()
	if limit.SoftBytes == 0 || limit.SoftSeconds == 0 || held <= max(limit.SoftBytes, v.ReplBacklogBytes) {
		r.heavySince = time.Time{}
		return false
	}
	if r.heavySince.IsZero() {
		r.heavySince = now
	}
	return now.Sub(r.heavySince) >= time.Duration(limit.SoftSeconds)*time.Second
}

// countGood tells the engine whether there are as many replicas in touch as min-replicas-to-write asks for.
func (sh *Shipper) countGood() { sh.countGoodBy(sh.config()) }

func (sh *Shipper) countGoodBy(v *config.Values) {
	sh.srv.SetEnoughReplicas(v.MinReplicas == 0 || v.MinReplicasMaxLagSeconds == 0 || int64(sh.good(v)) >= v.MinReplicas)
}

// good is the number of replicas that have been heard of within min-replicas-max-lag.
func (sh *Shipper) good(v *config.Values) int {
	now, limit := time.Now(), time.Duration(v.MinReplicasMaxLagSeconds)*time.Second
	n := 0
	for _, r := range *sh.all.Load() {
		if r.state.Load() == stateOnline && r.lag(now) <= limit {
			n++
		}
	}
	return n
}
