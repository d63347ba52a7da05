// Package keyspace holds every key and value outside the Go heap.
//
// A Keyspace is cut into shards by the low bits of a key's hash. A shard has one lock, and for each database a
// table with its own arena heap and expiry index, made when first written to:
//
//	Keyspace ── Shard (lock) ── table (per database) ── directory ── segment ── bucket ── entry
//	    │                            └── heap, expiry index
//	    └── arena.Pool: chunks and spans that all heaps draw from
//
// That a table owns a whole heap makes FLUSHDB, FLUSHALL and SWAPDB exchange pointers: the blocks of a flushed table
// go back as whole spans, without being looked at. For the same reason a collection of more than 384 KiB has a heap of its own.
//
// Locks. Shard locks are taken in ascending order; under one, the arena takes the pool's lock for moments. Methods of Shard
// want its lock held except Lock, TryLock, Index. Nothing in the package blocks on the system under a shard lock.
//
// Borrowed bytes. Key, Value and Resize return views of the arena, valid until the next mutating call on the shard,
// and in any case only while its lock is held.
package keyspace

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"tidemark/engine/keyspace/arena"
)

// Options configures a Keyspace.
type Options struct {
	Shards    int    // a power of two, at most 65,536
	Databases int    // 1 to 4096
	Seed      uint64 // of the hash; 0 takes a random one
}

// Keyspace is all databases of a server, in shards.
type Keyspace struct {
	shards     []Shard
	mask       uint64
	databases  int
	hash       hasher
	pool       *arena.Pool
	snapshot   atomic.Pointer[Snapshot]
	epoch      uint64 // of the latest snapshot, 1 to 7
	aborted    int    // epochs that may still be on entries
	used       atomic.Int64
	freedLater atomic.Int64 // values
	compactor  compactor
	reader     *arena.Heap             // empty: collections are read through it
	hashOf     func(key []byte) uint64 // Hash
	holds      atomic.Uint32           // the number of the latest hold
}

// Shard is a slice of the keyspace. All methods but Lock, TryLock and Index want the shard's lock held.
type Shard struct {
	mu sync.Mutex
	arena.Space
	ks     *Keyspace
	index  int
	tables []*table   // by database; nil until written to
	keys   due        // the earliest expiry of a key
	fields due        // the same of a hash's field
	snap   *shardSnap // while a snapshot runs
	pub    shardStats
	_      [64]byte // a neighbour's lock must not share the line
}

// New returns an empty keyspace. Options out of range panic: they come from code, not from a person.
func New(o Options) *Keyspace {
	if o.Shards < 1 || o.Shards > 1<<16 || bits.OnesCount(uint(o.Shards)) != 1 || o.Databases < 1 || o.Databases > 4096 {
		panic(fmt.Sprintf("BUG: keyspace options out of range: %+v", o))
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64() | 1
	}
	ks := &Keyspace{shards: make([]Shard, o.Shards), mask: uint64(o.Shards - 1), databases: o.Databases,
		hash: newHasher(o.Seed), pool: arena.NewPool()}
	ks.reader, ks.hashOf = ks.pool.NewHeap(), ks.Hash
	for i := range ks.shards {
		s := &ks.shards[i]
		s.ks, s.index, s.Space = ks, i, ks.pool.Space()
		s.keys, s.fields = due{-1, NoExpire}, due{-1, NoExpire}
		s.tables = make([]*table, o.Databases)
	}
	return ks
}

// Close unmaps everything. No method may be called afterwards.
func (ks *Keyspace) Close() { ks.pool.Close() }

// NumShards returns the number of shards.
func (ks *Keyspace) NumShards() int { return len(ks.shards) }

// Databases returns the number of databases.
func (ks *Keyspace) Databases() int { return ks.databases }

// FieldsExpire reports whether any hash has a field that expires. All shards must be locked, or nobody writes.
func (ks *Keyspace) FieldsExpire() bool {
	for i := range ks.shards {
		if ks.shards[i].fields.db >= 0 {
			return true
		}
	}
	return false
}

// Shard returns shard i.
func (ks *Keyspace) Shard(i int) *Shard { return &ks.shards[i] }

// Hash returns the seeded 64-bit hash of a key.
func (ks *Keyspace) Hash(key []byte) uint64 { return ks.hash.hash(key) }

// Hash is Keyspace.Hash: elements of collections are found by it as well.
func (s *Shard) Hash(key []byte) uint64 { return s.ks.hash.hash(key) }

// ShardIndex returns the shard that holds keys of hash h (from the low bits; tables use the high ones).
func (ks *Keyspace) ShardIndex(h uint64) int { return int(h & ks.mask) }

// LockAll locks every shard in ascending order.
func (ks *Keyspace) LockAll() {
	for i := range ks.shards {
		ks.shards[i].mu.Lock()
	}
}

// UnlockAll undoes LockAll.
func (ks *Keyspace) UnlockAll() {
	for i := range ks.shards {
		ks.shards[i].mu.Unlock()
	}
}

// SwapDB exchanges two databases. All shards must be locked.
func (ks *Keyspace) SwapDB(a, b int) {
	for i := range ks.shards {
		s := &ks.shards[i]
		s.tables[a], s.tables[b] = s.tables[b], s.tables[a]
		for _, d := range []*due{&s.keys, &s.fields} {
			switch d.db {
			case a:
				d.db = b
			case b:
				d.db = a
			}
		}
		for _, t := range []*table{s.tables[a], s.tables[b]} {
			if t != nil && t.remains {
				s.noticeRemains(t) // the pass may be between the two
			}
		}
	}
}

// Index is the shard's number.
func (s *Shard) Index() int { return s.index }

// Lock locks the shard.
func (s *Shard) Lock() { s.mu.Lock() }

// TryLock locks the shard if nobody has it.
func (s *Shard) TryLock() bool { return s.mu.TryLock() }

// Unlock unlocks the shard.
func (s *Shard) Unlock() { s.mu.Unlock() }
