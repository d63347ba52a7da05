package command

import (
	"sync/atomic"
	"unsafe"

	"tidemark/aof"
	"tidemark/engine/keyspace"
	"tidemark/engine/value"
)

// Store is the keyspace with what the rules of running commands keep beside it. One per server.
type Store struct {
	KS    *keyspace.Keyspace
	Stats StoreStats
	// Limits say until when collections are small.
	Limits value.Limits

	// Loading: commands are replayed from disk. Keys do not expire by the clock then, only by the log's word.
	Loading atomic.Bool
	// LFU: the access word holds an LFU counter rather than an LRU clock (maxmemory-policy *-lfu).
	LFU atomic.Bool
	// OwnIntegers: OBJECT REFCOUNT does not pretend that small integers are shared, as Redis does not share them while maxmemory
	// with an LRU or LFU policy needs access times of their own.
	OwnIntegers atomic.Bool
	// LFULogFactor and LFUDecayMinutes are lfu-log-factor and lfu-decay-time.
	LFULogFactor, LFUDecayMinutes atomic.Int64
	// LazyExpire logs expired keys as UNLINK rather than DEL (lazyfree-lazy-expire).
	LazyExpire atomic.Bool
	// LazyServerDel logs a set that SPOP empties, and a key that RESTORE removes, as UNLINK rather than DEL (lazyfree-lazy-server-del).
	LazyServerDel atomic.Bool
	// MaxBulkBytes is proto-max-bulk-len: no command makes a string longer than that.
	MaxBulkBytes atomic.Int64
	// Following: this server is a replica. The log is its primary's stream, so what clients change here stays out of it; nothing is
	// removed because its time has come, though it reads as absent. SetFollowing changes it.
	Following atomic.Bool
	// HoldExpiry: keys whose time has come are hidden, but stay (CLIENT PAUSE).
	HoldExpiry atomic.Bool
	// LatencyTracking: the distribution of execution times is kept (latency-tracking).
	LatencyTracking atomic.Bool
	// NoActiveExpire stops active expiry (DEBUG SET-ACTIVE-EXPIRE 0).
	NoActiveExpire atomic.Bool
	// NoDumpSum lets RESTORE take payloads with wrong checksums (DEBUG SET-SKIP-CHECKSUM-VALIDATION 1).
	NoDumpSum atomic.Bool

	// Clients gives the bytes that wait in clients' input and output buffers, which count against maxmemory as in Redis. Set before the
	// first command is served; nil: there are no clients.
	Clients func() int64

	// FlushedAll is called within FLUSHALL, when everything is gone. Set before the first command is served, or nil.
	FlushedAll func(*Ctx)

	// NextExpiry is no later than the earliest expiry of all keys (Unix ms): commands lower it, active expiry raises it.
	NextExpiry atomic.Int64

	waiters atomic.Int64 // places in queues of keys that are waited for
	// How many keys are waited for, and how many of them by somebody who waits for a removal, too.
	waitedKeys, waitedGone atomic.Int64

	log    atomic.Pointer[aof.Log]
	gating atomic.Bool // replies wait for Synced rather than Appended
	rules  []shardRules
}

// StoreStats are the counters of INFO stats that commands move. Any goroutine may read them.
type StoreStats struct {
	Hits, Misses, ExpiredKeys, ExpiredFields, EvictedKeys, Commands, LazyFreed atomic.Int64
	Dirty                                                                      atomic.Int64 // changes since the last save
	PeakMemory                                                                 atomic.Int64 // bytes; NotePeak raises it
}

// NotePeak raises PeakMemory to the bytes in use now, if they are more, and returns it.
func (s *StoreStats) NotePeak(used int64) int64 {
	for {
		peak := s.PeakMemory.Load()
		if used <= peak || s.PeakMemory.CompareAndSwap(peak, used) {
			return max(used, peak)
		}
	}
}

// recentSlots is the size of a shard's table of recent writes (design D5). Two keys that share a slot only make a
// read wait for the later of the two.
const recentSlots = 256

// shardRules is guarded by the shard's lock.
type shardRules struct {
	recent  [recentSlots]int64 // log offset of the end of the last write to keys of this slot
	all     int64              // the same for writes to every key at once (FLUSHALL, SWAPDB)
	last    int64              // the same for any key
	watched map[watchKey][]*watch
	waiting *waitQueues // see block.go
}

type watchKey struct {
	db  int
	key string
}

type watch struct {
	w       *Watcher
	expired bool // the key was expired, but still there, when WATCH saw it
}

// Watcher is a connection's set of watched keys as one flag: Dirty is set when any of them changes.
type Watcher struct{ Dirty atomic.Bool }

// NewStore wraps a keyspace.
func NewStore(ks *keyspace.Keyspace) *Store {
	st := &Store{KS: ks, rules: make([]shardRules, ks.NumShards())}
	st.NextExpiry.Store(1<<63 - 1)
	st.MaxBulkBytes.Store(DefaultMaxBulkBytes)
	st.Limits.SetDefaults()
	st.LFULogFactor.Store(10)
	st.LFUDecayMinutes.Store(1)
	return st
}

// FixedMemory is what the store takes before it holds a key. Bytes.
func (st *Store) FixedMemory() int64 {
	return int64(len(st.rules)) * int64(unsafe.Sizeof(shardRules{}))
}

// ClientMemory is what waits in clients' buffers. Bytes.
func (st *Store) ClientMemory() int64 {
	if st.Clients == nil {
		return 0
	}
	return st.Clients()
}

// UsedMemory is what maxmemory is held against: the data, with all that finding and expiring them takes, and clients' buffers. Bytes.
func (st *Store) UsedMemory() int64 { return st.FixedMemory() + st.KS.Used() + st.ClientMemory() }

// Log is where effects go, or nil when nothing is logged.
func (st *Store) Log() *aof.Log { return st.log.Load() }

// SetLog switches logging on, or with nil off. All shards must be locked: a write sees one or the other.
func (st *Store) SetLog(l *aof.Log) { st.log.Store(l) }

// ForgetOffsets forgets when keys were written last: the log begins anew. All shards must be locked.
func (st *Store) ForgetOffsets() {
	for i := range st.rules {
		r := &st.rules[i]
		r.recent, r.all, r.last = [recentSlots]int64{}, 0, 0
	}
}

// SetFollowing makes the log another server's stream, or this server's own again. All shards must be locked: a write is in the log or not.
func (st *Store) SetFollowing(on bool) { st.Following.Store(on) }

// SetGating says whether replies wait for Synced (appendfsync always), or only for Appended. Offsets of writes are kept
// either way, so that it may be switched on at any time.
func (st *Store) SetGating(on bool) { st.gating.Store(on) }

// Gating reports whether replies wait for Synced.
func (st *Store) Gating() bool { return st.gating.Load() }

// Watch registers w for a key. The key's shard must be locked.
func (st *Store) Watch(db int, k *Key, expired bool, w *Watcher) {
	r := &st.rules[k.Shard.Index()]
	if r.watched == nil {
		r.watched = map[watchKey][]*watch{}
	}
	id := watchKey{db, string(k.Name)}
	r.watched[id] = append(r.watched[id], &watch{w, expired})
}

// Unwatch takes w off a key. The key's shard must be locked.
func (st *Store) Unwatch(db int, k *Key, w *Watcher) {
	r := &st.rules[k.Shard.Index()]
	id := watchKey{db, string(k.Name)}
	list := r.watched[id]
	for i, x := range list {
		if x.w == w {
			list = append(list[:i], list[i+1:]...)
			break
		}
	}
	if len(list) == 0 {
		delete(r.watched, id)
	} else {
		r.watched[id] = list
	}
}

// touch marks the watchers of a key; byExpiry spares those that saw it expired already.
func (r *shardRules) touch(db int, key []byte, byExpiry bool) {
	for _, x := range r.watched[watchKey{db, string(key)}] {
		if !byExpiry || !x.expired {
			x.w.Dirty.Store(true)
		}
	}
}

// SawExpired reports whether w watches the key as one that has expired but is still there, so that its removal is no
// change. The key's shard must be locked.
func (st *Store) SawExpired(db int, k *Key, w *Watcher) bool {
	for _, x := range st.rules[k.Shard.Index()].watched[watchKey{db, string(k.Name)}] {
		if x.w == w {
			return x.expired
		}
	}
	return false
}

// TouchDB marks the watchers of a database's keys that are about to change because it is emptied, or exchanged for
// other (SWAPDB; -1: none), at the time now (Unix ms). A key that has expired counts as absent. All shards must be
// locked, and the databases not yet emptied or swapped.
func (st *Store) TouchDB(db, other int, now int64) {
	for i := range st.rules {
		s := st.KS.Shard(i)
		for id, list := range st.rules[i].watched {
			if id.db != db {
				continue
			}
			key := []byte(id.key)
			h := st.KS.Hash(key)
			before := s.Find(db, h, key) != 0
			after, stale := false, false // the key that comes is there; and has expired
			if other >= 0 {
				if r := s.Find(other, h, key); r != 0 {
					after = true
					at := s.ExpireAt(r)
					stale = at != keyspace.NoExpire && at <= now && !st.Loading.Load()
				}
			}
			if !before && !after {
				continue
			}
			for _, x := range list {
				switch gone := x.expired || !before; {
				case gone && !after:
					x.expired = false // what was left of it goes, too
				case gone && stale:
					x.expired = true
				default:
					x.w.Dirty.Store(true)
				}
			}
		}
	}
}

// MakeKey gives the place of a key outside a request. Name is kept, not copied.
func (st *Store) MakeKey(name []byte) Key {
	k := Key{Name: name}
	st.Locate(&k)
	return k
}

// Locate finds the place of a key by its Name.
func (st *Store) Locate(k *Key) {
	k.Hash = st.KS.Hash(k.Name)
	k.Shard = st.KS.Shard(st.KS.ShardIndex(k.Hash))
}

// LowerNextExpiry notes that a key expires at (Unix ms).
func (st *Store) LowerNextExpiry(at int64) {
	for {
		next := st.NextExpiry.Load()
		if at >= next || st.NextExpiry.CompareAndSwap(next, at) {
			return
		}
	}
}
