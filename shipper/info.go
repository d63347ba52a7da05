package shipper

import (
	"fmt"
	"strings"

	"tidemark/engine"
)

// InfoReplication writes INFO's section replication: Redis's fields, and the watermarks of both sides.
func (sh *Shipper) InfoReplication(t *engine.InfoText) {
	v := sh.config()
	now := nowNanos()
	sh.mu.Lock()
	k := sh.link
	sh.mu.Unlock()
	log := sh.srv.Log()
	end := sh.offset()
	if k == nil {
		t.Str("role", "master")
	} else {
		t.Str("role", "slave")
		t.Str("master_host", k.host)
		t.Int("master_port", int64(k.port))
		state := k.state.Load()
		up := state == linkConnected
		t.Str("master_link_status", map[bool]string{true: "up", false: "down"}[up])
		since := int64(-1)
		if at := k.lastIO.Load(); up && at != 0 {
			since = (now - at) / 1e9
		}
		t.Int("master_last_io_seconds_ago", since)
		t.Flag("master_sync_in_progress", state == linkSync)
		t.Int("slave_read_repl_offset", end)
		t.Int("slave_repl_offset", end)
		if state == linkSync {
			total, got := k.total.Load(), k.loading.Load()
			t.Int("master_sync_total_bytes", total)
			t.Int("master_sync_read_bytes", got)
			t.Int("master_sync_left_bytes", total-got)
			perc := float64(0)
			if total > 0 {
				perc = 100 * float64(got) / float64(total)
			}
			t.Float("master_sync_perc", perc, 2)
			t.Int("master_sync_last_io_seconds_ago", (now-k.lastIO.Load())/1e9)
		}
		if !up {
			t.Int("master_link_down_since_seconds", max(now/1e9-k.downAt.Load(), 0))
		}
		t.Int("slave_priority", v.ReplicaPriority)
		t.Flag("slave_read_only", v.ReplicaReadOnly)
		t.Flag("replica_announced", v.ReplicaAnnounced)
	}
	replicas := *sh.all.Load()
	t.Int("connected_slaves", int64(len(replicas)))
	if v.MinReplicas > 0 && v.MinReplicasMaxLagSeconds > 0 {
		t.Int("min_slaves_good_slaves", int64(sh.good(v)))
	}
	for i, r := range replicas {
		ip, port := r.addr()
		state := r.state.Load()
		received, synced := r.received.Load(), r.synced.Load()
		lag := int64(0)
		if r.online() {
			lag = (now - r.ackAt.Load()) / 1e9
		}
		t.Str(fmt.Sprintf("slave%d", i), fmt.Sprintf("ip=%s,port=%d,state=%s,offset=%d,lag=%d,sent=%d,synced=%d,lag_bytes=%d,lag_ms=%d,log_bytes=%d,link_bytes=%d",
			ip, port, stateName(state), received, lag, r.sentOff.Load(), synced, max(end-received, 0), r.behind(now).Milliseconds(), r.bytesIn.Load(), r.bytesOut.Load()))
	}
	t.Str("master_failover_state", sh.failoverState())
	id, id2, end2 := sh.srv.ReplicationID(), strings.Repeat("0", 40), int64(-1)
	if log != nil {
		id = log.ID()
		if a := log.Ancestors(); len(a) > 0 {
			id2, end2 = a[0].ID, a[0].End+1
		}
	}
	t.Str("master_replid", id)
	t.Str("master_replid2", id2)
	t.Int("master_repl_offset", end)
	t.Int("second_repl_offset", end2)
	on := sh.tail.On()
	t.Flag("repl_backlog_active", on)
	t.Int("repl_backlog_size", v.ReplBacklogBytes)
	first, held := int64(0), int64(0)
	if on {
		first, held = sh.tail.First()+1, sh.tail.End()-sh.tail.First()
	}
	t.Int("repl_backlog_first_byte_offset", first)
	t.Int("repl_backlog_histlen", held)
	if log != nil {
		oldest := log.Reserved() - held
		if log.OnDisk() {
			oldest = min(oldest, log.OldestSeen())
		}
		t.Int("repl_log_oldest_offset", oldest)
	}
	if k != nil && log != nil {
		// Received is what was read from the link and executed, which is one step here.
		t.Int("replica_applied_offset", end)
		t.Int("replica_appended_offset", log.Appended())
		if log.OnDisk() {
			t.Int("replica_synced_offset", log.Synced())
			t.Int("replica_unsynced_bytes", end-log.Synced())
		}
		if at := k.lastIO.Load(); at != 0 {
			t.Int("master_last_io_ms_ago", (now-at)/1e6)
		}
		t.Int("replica_stream_bytes", k.reads.Load())
		t.Int("replica_link_bytes", k.wire.Load())
	}
}

// Stats are what other sections of INFO show of replication.
func (sh *Shipper) Stats() engine.ReplicationStats {
	st := engine.ReplicationStats{SyncFull: sh.counts.full.Load(), SyncPartialOK: sh.counts.partial.Load(), SyncPartialErr: sh.counts.partialRefused.Load()}
	if sh.tail.On() {
		keep := sh.config().ReplBacklogBytes
		st.BacklogBytes = min(sh.tail.Bytes(), keep)
		st.BufferBytes = sh.tail.Bytes() - st.BacklogBytes
	}
	return st
}

// ResetStats is CONFIG RESETSTAT.
func (sh *Shipper) ResetStats() {
	sh.counts.full.Store(0)
	sh.counts.partial.Store(0)
	sh.counts.partialRefused.Store(0)
}
