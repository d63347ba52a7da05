// Package evict removes keys to stay below maxmemory.
//
// Redis's policies are approximations: instead of keeping all keys in order of their last access, a few are sampled and the
// best candidate among them goes. So it is here, with Redis's other improvement: good candidates that were not the best
// stay in a small pool and compete with the next samples, which brings a sample of five close to the exact order.
//
// The candidates' keys are copied into the pool and looked up again when their turn comes: a key may have been
// removed or used since. Locks: the evictor's own, then one shard's at a time; never two shards', and never the
// evictor's under a shard's.
package evict

import (
	"sync"
	"sync/atomic"
	"time"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
)

// Evictor makes room. One per server; safe for concurrent use.
type Evictor struct {
	policy  atomic.Uint32
	samples atomic.Int64
	lazy    atomic.Bool

	mu   sync.Mutex
	pool [poolSize]candidate // the first n by rising score; guarded by mu, as is the rest
	n    int
	next int // the shard from which on the last search in turn goes on
}

const (
	poolSize       = 16
	defaultSamples = 5
	// budget bounds one call of Free, so that a turn of an event loop that makes room stays short. What remains to
	// be freed is left to the calls that follow.
	budget = 300 * time.Microsecond
	// checkEvery is how many keys are removed between looks at the clock.
	checkEvery = 8
)

// candidate is a key that might go. The higher the score the sooner.
type candidate struct {
	score int64
	db    int
	key   []byte // its own bytes; the buffer stays when the place is empty
}

// New returns an Evictor that evicts nothing.
func New() *Evictor {
	e := &Evictor{}
	e.samples.Store(defaultSamples)
	return e
}

// SetPolicy is maxmemory-policy. The caller sets Store.LFU to match.
func (e *Evictor) SetPolicy(p Policy) {
	if Policy(e.policy.Swap(uint32(p))) == p {
		return
	}
	e.mu.Lock() // scores of one policy mean nothing to another
	defer e.mu.Unlock()
	e.n = 0
}

// Policy returns the policy.
func (e *Evictor) Policy() Policy { return Policy(e.policy.Load()) }

// SetSamples is maxmemory-samples; less than 1 counts as 1.
func (e *Evictor) SetSamples(n int) { e.samples.Store(int64(max(n, 1))) }

// SetLazy is lazyfree-lazy-eviction: evictions are logged as UNLINK rather than DEL.
func (e *Evictor) SetLazy(on bool) { e.lazy.Store(on) }

// Free removes keys until some need bytes are free. It takes at most a fraction of a millisecond: ok is true when that
// was enough, or when only more time is needed, which later calls will have; false when the policy leaves nothing to
// remove. No command may be running on c; a gate that c carries afterwards is that of the removals.
func (e *Evictor) Free(c *command.Ctx, need int64) (ok bool) {
	if need <= 0 {
		return true
	}
	p := e.Policy()
	if p == NoEviction {
		return false
	}
	start := time.Now()
	c.Now = start.UnixMilli()
	e.mu.Lock()
	defer e.mu.Unlock()
	for n := 0; need > 0; n++ {
		if n%checkEvery == checkEvery-1 && time.Since(start) > budget {
			return true
		}
		freed, done := e.one(c, p)
		switch done {
		case command.EvictNoRoom:
			return true // the command finds no room either, and waits
		case command.NotEvicted:
			return false
		}
		need -= freed
	}
	return true
}

// one removes one key; NotEvicted: there is none to remove.
func (e *Evictor) one(c *command.Ctx, p Policy) (freed int64, done command.Eviction) {
	// A candidate may have gone or have been used since it was sampled, so the first may not do.
	for range 2 * poolSize {
		e.sample(c, p)
		if e.n == 0 {
			break
		}
		e.n--
		x := &e.pool[e.n]
		freed, done = c.Evict(x.db, x.key, e.lazy.Load(), func(s *keyspace.Shard, r keyspace.Ref) bool {
			return (!p.Volatile() || s.ExpireAt(r) != keyspace.NoExpire) && score(c, p, s, r) >= x.score
		})
		if done != command.NotEvicted {
			return freed, done
		}
	}
	return 0, command.NotEvicted
}

// sample brings new candidates into the pool.
func (e *Evictor) sample(c *command.Ctx, p Policy) {
	want := int(e.samples.Load())
	n := c.Store.KS.NumShards()
	mask := n - 1
	if p == AllKeysRandom || p == VolatileRandom {
		want = 1
	}
	// Random shards first. Where keys, or volatile keys, are few, most shards may have none: then all are searched in turn.
	got := 0
	for tries := 0; got < want && tries < 2*want; tries++ {
		got += e.sampleShard(c, p, int(c.Rand())&mask)
	}
	if got > 0 {
		return
	}
	for range n {
		e.next = (e.next + 1) & mask
		if e.sampleShard(c, p, e.next) > 0 {
			return
		}
	}
}

// sampleShard offers the pool one random entry of a shard, and returns how many it found: 0 or 1.
func (e *Evictor) sampleShard(c *command.Ctx, p Policy, i int) int {
	s := c.Store.KS.Shard(i)
	s.Lock()
	defer s.Unlock()
	if p == VolatileTTL {
		// The expiry index knows the soonest of the shard; no need to guess.
		db, _, r := s.FirstExpired(1<<63 - 1)
		if r == 0 {
			return 0
		}
		e.offer(c, p, s, db, r)
		return 1
	}
	count := s.Len
	if p.Volatile() {
		count = s.Expires
	}
	dbs, total := c.Store.KS.Databases(), uint64(0)
	for db := range dbs {
		total += uint64(count(db))
	}
	if total == 0 {
		return 0
	}
	rank := c.Rand() % total
	for db := range dbs {
		in := uint64(count(db))
		if rank >= in {
			rank -= in
			continue
		}
		var r keyspace.Ref
		if p.Volatile() {
			r = s.RandomVolatile(db, c.Rand)
		} else {
			r = s.Random(db, c.Rand)
		}
		e.offer(c, p, s, db, r)
		return 1
	}
	return 0
}

// score is how much an entry deserves to go.
func score(c *command.Ctx, p Policy, s *keyspace.Shard, r keyspace.Ref) int64 {
	switch p {
	case AllKeysLRU, VolatileLRU:
		return c.IdleSeconds(s.Access(r))
	case AllKeysLFU, VolatileLFU:
		return 255 - int64(c.LFUCount(s.Access(r)))
	case VolatileTTL:
		return -s.ExpireAt(r)
	}
	return 0
}

// offer puts an entry into the pool, if there is room or it is better than the worst there.
func (e *Evictor) offer(c *command.Ctx, p Policy, s *keyspace.Shard, db int, r keyspace.Ref) {
	sc, key := score(c, p, s, r), s.Key(r)
	at := e.n // its place: behind those that are worse
	for i := e.n - 1; i >= 0; i-- {
		x := &e.pool[i]
		if x.db == db && string(x.key) == string(key) {
			return // it competes already
		}
		if x.score >= sc {
			at = i
		}
	}
	var free candidate
	if e.n == poolSize {
		if at == 0 {
			return
		}
		free = e.pool[0] // the worst gives way
		at--
		copy(e.pool[:at], e.pool[1:at+1])
	} else {
		free = e.pool[e.n]
		copy(e.pool[at+1:e.n+1], e.pool[at:e.n])
		e.n++
	}
	free.score, free.db = sc, db
	free.key = append(free.key[:0], key...)
	e.pool[at] = free
}
