package engine

import (
	"sync"
	"sync/atomic"

	"tidemark/aof"
	"tidemark/engine/config"
	"tidemark/netio"
)

// The log as the stream of replication: what package shipper needs of it. The log exists, in memory if appendonly is off, as long as there are
// replicas or a primary; its newest bytes are in the Tail then.

// Log is the log, or nil: there is no AOF and no replication. Any goroutine.
func (s *Server) Log() *aof.Log { return s.store.Log() }

// Tail is the log's newest bytes. It is the same for the life of the server.
func (s *Server) Tail() *aof.Tail { return s.tail }

// Streams reports whether EnsureStream has nothing to do.
func (s *Server) Streams() bool { return s.store.Log() != nil && s.tail.On() }

// EnsureStream gives the log, and sees to it that there is one and that the Tail holds what is added from now on. Without an AOF it is one in memory
// under a new id. Not on a loop's thread: it may wait for a change of the configuration.
func (s *Server) EnsureStream() (*aof.Log, error) {
	s.configuring.Lock()
	defer s.configuring.Unlock()
	if s.store.Log() == nil {
		s.newHistory() // what was written before is in no log
	}
	return s.ensureStream()
}

// ensureStream is EnsureStream with configuring held.
func (s *Server) ensureStream() (*aof.Log, error) {
	v := s.cfg.Load()
	s.limitTail(v)
	log := s.store.Log()
	if log == nil {
		var err error
		if log, err = s.openMemoryLog(v); err != nil {
			return nil, err
		}
	}
	s.store.KS.LockAll()
	defer s.store.KS.UnlockAll()
	s.tail.Start(log.Reserved())
	s.store.SetLog(log)
	return log, nil
}

// limitTail sets what the Tail keeps for replicas that come back, and, without an AOF, for slow ones.
func (s *Server) limitTail(v *config.Values) {
	held := v.OutputLimits[config.ClassReplica].HardBytes
	if held == 0 {
		held = 1 << 60 // no limit, as for the output of any client
	}
	s.tail.SetLimits(v.ReplBacklogBytes, held)
}

// openMemoryLog opens a log without files where the last one ended, or one that is to take over from that which is open.
func (s *Server) openMemoryLog(v *config.Values) (*aof.Log, error) {
	o := aof.Options{
		Memory: true, Shards: s.store.KS.NumShards(), RingBytes: int(v.RingBytes), StartOffset: s.logEnd, Logf: s.log.Logf, Notify: s.notify,
	}
	if s.store.Log() == nil {
		o.Tail = s.tail
	}
	o.ID, o.Ancestors = s.identity()
	log, _, err := aof.Open(o, nil)
	return log, err
}

// DropStream is called when there is no replication any more: the Tail is emptied, and a log in memory ends. Not on a loop's thread.
func (s *Server) DropStream() {
	s.configuring.Lock()
	defer s.configuring.Unlock()
	s.tail.Stop()
	if log := s.store.Log(); log != nil && !log.OnDisk() {
		_ = s.closeLog() // it has no file that could fail
	}
}

// StreamDB is the database that the stream is in at the end of the log: of a replica what its primary selected last. A primary's next effect
// carries its SELECT wherever somebody begins to read, so there it is 0.
func (s *Server) StreamDB() int {
	if !s.store.Following.Load() {
		return 0
	}
	return int(s.followDB.Load())
}

// AwaitAppended returns when log has appended the byte at off, another log has taken its place, or quit is closed; at times also for no reason: look again.
// Not on a loop's thread.
func (s *Server) AwaitAppended(log *aof.Log, off int64, quit <-chan struct{}) {
	moved := s.watchers.add()
	defer s.watchers.remove(moved)
	log.WantAppended(off + 1)
	if log.Appended() > off || s.store.Log() != log { // while it was not listened to
		return
	}
	select {
	case <-moved:
	case <-quit:
	}
}

// logWatchers are goroutines that wait for the log to move.
type logWatchers struct {
	count atomic.Int32 // of list
	mu    sync.Mutex
	list  map[chan struct{}]struct{} // guarded by mu
}

func (w *logWatchers) add() chan struct{} {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.list == nil {
		w.list = map[chan struct{}]struct{}{}
	}
	w.list[c] = struct{}{}
	w.count.Store(int32(len(w.list)))
	return c
}

func (w *logWatchers) remove(c chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.list, c)
	w.count.Store(int32(len(w.list)))
}

// tell wakes them all.
func (w *logWatchers) tell() {
	if w.count.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.list {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// AdoptRaw has a loop serve a socket to a primary: begin runs there first and sets the connection's Session, a netio.RawHandler.
func (s *Server) AdoptRaw(fd int, begin func(*netio.Conn)) error { return s.net.Adopt(fd, begin) }

// ReplicationID is the id of the log, or of what comes if there is none.
func (s *Server) ReplicationID() string { return s.replicationID() }

// AppendToStream puts a command that changes nothing (PING, REPLCONF GETACK) into the log, and returns the offset of its end; ok is false when
// there is no log or no room. Any goroutine; on a loop's thread the turn ends with a commit.
func (s *Server) AppendToStream(p []byte) (end int64, ok bool) {
	sh := s.store.KS.Shard(0)
	sh.Lock()
	defer sh.Unlock()
	log := s.store.Log()
	if log == nil || !log.Room(0) {
		return 0, false
	}
	return log.Append(0, aof.AnyDB, p), true
}

// CommitSoon has the loop commit when its turn ends, as something was put into the log; with sync also to the disk. On the loop's thread.
func (s *Server) CommitSoon(l *netio.Loop, sync bool) {
	ls := s.stateOf(l)
	ls.wrote = true
	if sync {
		ls.wantSync = true
	}
}

// WantRoom has the loop commit when its turn ends, and woken when the log has room again, or accepts writes again. On the loop's thread.
func (s *Server) WantRoom(l *netio.Loop) { s.stateOf(l).awaitLog() }

// SnapshotSink takes a snapshot for replicas. One goroutine calls Write, Commit and Abort.
type SnapshotSink interface {
	// Begin is called with all shards locked: the snapshot is exact at the log offset, and everything after it is still to be written. An
	// error ends the matter.
	Begin(offset int64) error
	// Write is given the RDB. The first call has what stands in front of the data, and nothing else.
	Write(p []byte) (int, error)
	Commit() error
	Abort()
}

// StreamSnapshot writes a snapshot, as an RDB, to out. It returns when it has begun, or with ErrSnapshotRunning. There must be a log.
func (s *Server) StreamSnapshot(out SnapshotSink) error {
	return s.startSnapshot(kindStream, func(offset int64) (sink, error) { return out, out.Begin(offset) })
}

// WhenSnapshotEnds has f called when the snapshot that is running has ended, or at once.
func (s *Server) WhenSnapshotEnds(f func()) {
	s.rewrite.mu.Lock()
	if s.rewrite.job != nil {
		s.rewrite.afterwards = append(s.rewrite.afterwards, f)
		s.rewrite.mu.Unlock()
		return
	}
	s.rewrite.mu.Unlock()
	f()
}

// RandomID makes a replication id.
func RandomID() string { return randomID() }
