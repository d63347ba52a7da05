package evict

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/aof"
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
)

func newCtx(t testing.TB, shards int) *command.Ctx {
	ks := keyspace.New(keyspace.Options{Shards: shards, Databases: 16})
	t.Cleanup(ks.Close)
	return command.NewCtx(command.NewStore(ks), command.NewTable())
}

// put stores a key last accessed idle seconds ago.
func put(c *command.Ctx, db int, name string, at int64, access uint32) {
	k := c.Store.MakeKey([]byte(name))
	k.Shard.Lock()
	defer k.Shard.Unlock()
	k.Shard.PutString(db, k.Hash, k.Shard.Find(db, k.Hash, k.Name), k.Name, make([]byte, 100), keyspace.Raw, at, access)
}

func has(c *command.Ctx, db int, name string) bool {
	k := c.Store.MakeKey([]byte(name))
	k.Shard.Lock()
	defer k.Shard.Unlock()
	return k.Shard.Find(db, k.Hash, k.Name) != 0
}

func count(c *command.Ctx) (n int) {
	for i := range c.Store.KS.NumShards() {
		for db := range c.Store.KS.Databases() {
			n += c.Store.KS.Shard(i).Len(db)
		}
	}
	return n
}

// evictUntil calls Free until only n keys are left.
func evictUntil(t *testing.T, e *Evictor, c *command.Ctx, n int) {
	t.Helper()
	for count(c) > n {
		before := count(c)
		if !e.Free(c, 1) || count(c) != before-1 {
			t.Fatalf("Free with %d keys left them at %d", before, count(c))
		}
	}
}

func TestPoliciesChoose(t *testing.T) {
	const n = 4000
	now := time.Now().UnixMilli()
	word := map[bool]func(i int) uint32{ // the higher i, the more the key deserves to stay
		false: func(i int) uint32 { return uint32(now/1000-int64(n-i)) & 0xffffff },
		true:  func(i int) uint32 { return uint32(now/60000)&0xffff<<8 | uint32(i*255/n) },
	}
	for p := AllKeysLRU; p <= VolatileTTL; p++ {
		for _, shards := range []int{1, 64} {
			t.Run(fmt.Sprintf("%s/%d", p, shards), func(t *testing.T) {
				c := newCtx(t, shards)
				c.Store.LFU.Store(p.LFU())
				e := New()
				e.SetPolicy(p)
				volatile := func(i int) bool { return p.Volatile() && i%2 == 0 }
				for i := range n {
					at := keyspace.NoExpire
					if volatile(i) {
						at = now + 1e6 + int64(i)*1000
					}
					put(c, i%3, fmt.Sprint("key", i), at, word[p.LFU()](i))
				}
				gone := n / 4 // of all, or half of the volatile ones
				evictUntil(t, e, c, n-gone)
				if got := c.Store.Stats.EvictedKeys.Load(); got != int64(gone) {
					t.Errorf("evicted_keys is %d, %d are gone", got, gone)
				}
				sum := 0
				for i := range n {
					if has(c, i%3, fmt.Sprint("key", i)) {
						continue
					}
					sum += i
					if p.Volatile() && !volatile(i) {
						t.Fatalf("key %d is gone and had no expiry", i)
					}
				}
				// The mean rank of what went: half of n if chance chose, n/8 (n/4 where only every other key could
				// go) if the order was exact.
				mean, exact := sum/gone, n/8
				if p.Volatile() {
					exact = n / 4
				}
				switch p {
				case AllKeysRandom, VolatileRandom:
					if mean < n*4/10 || mean > n*6/10 {
						t.Errorf("mean rank %d of %d: not random", mean, n)
					}
				default:
					if mean > exact*3/2 {
						t.Errorf("mean rank %d of %d, in exact order it were %d", mean, n, exact)
					}
				}
			})
		}
	}
}

func TestNothingToEvict(t *testing.T) {
	c := newCtx(t, 16)
	e := New()
	put(c, 0, "a", keyspace.NoExpire, 0)
	if e.Free(c, 1) {
		t.Error("noeviction made room")
	}
	if !e.Free(c, 0) || !e.Free(c, -5) {
		t.Error("nothing was needed")
	}
	for _, p := range []Policy{VolatileLRU, VolatileLFU, VolatileRandom, VolatileTTL} {
		e.SetPolicy(p)
		if e.Free(c, 1) {
			t.Errorf("%s made room without a volatile key", p)
		}
	}
	e.SetPolicy(AllKeysRandom)
	if e.Free(c, 1<<40) {
		t.Error("freed 1 TiB")
	}
	if count(c) != 0 {
		t.Error("something is left")
	}
}

// TestFewVolatile: the one volatile key is found among many shards and databases.
func TestFewVolatile(t *testing.T) {
	for p := VolatileLRU; p <= VolatileTTL; p++ {
		c := newCtx(t, 256)
		e := New()
		e.SetPolicy(p)
		for i := range 1000 {
			put(c, i%16, fmt.Sprint(i), keyspace.NoExpire, 0)
		}
		put(c, 7, "it", time.Now().UnixMilli()+1e6, 0)
		if !e.Free(c, 1) || has(c, 7, "it") || count(c) != 1000 {
			t.Errorf("%s: not found", p)
		}
	}
}

// TestUsedCandidateStays: a key sampled earlier and used since is not evicted for what it was.
func TestUsedCandidateStays(t *testing.T) {
	c := newCtx(t, 1)
	e := New()
	e.SetPolicy(AllKeysLRU)
	now := time.Now().UnixMilli()
	old := uint32(now/1000-5000) & 0xffffff
	for i := range 10 {
		put(c, 0, fmt.Sprint(i), keyspace.NoExpire, old)
	}
	evictUntil(t, e, c, 9) // the pool holds some of the others now
	for i := range 10 {
		if name := fmt.Sprint(i); has(c, 0, name) {
			put(c, 0, name, keyspace.NoExpire, uint32(now/1000)&0xffffff)
		}
	}
	put(c, 0, "stale", keyspace.NoExpire, uint32(now/1000-100)&0xffffff)
	e.SetSamples(1000) // so that the stale one is seen
	if !e.Free(c, 1) || has(c, 0, "stale") {
		t.Error("a key in use went instead of the stale one")
	}
}

// TestBudget: a call that has much to free returns before it has.
func TestBudget(t *testing.T) {
	c := newCtx(t, 16)
	e := New()
	e.SetPolicy(AllKeysLRU)
	for i := range 100_000 {
		put(c, 0, fmt.Sprint(i), keyspace.NoExpire, 0)
	}
	if !e.Free(c, 1<<40) || count(c) == 0 || count(c) == 100_000 {
		t.Errorf("%d keys left", count(c))
	}
}

func TestWatchersSeeEviction(t *testing.T) {
	c := newCtx(t, 4)
	e := New()
	e.SetPolicy(AllKeysRandom)
	put(c, 3, "a", keyspace.NoExpire, 0)
	k := c.Store.MakeKey([]byte("a"))
	var here, elsewhere command.Watcher
	k.Shard.Lock()
	c.Store.Watch(3, &k, false, &here)
	c.Store.Watch(0, &k, false, &elsewhere)
	k.Shard.Unlock()
	if !e.Free(c, 1) || !here.Dirty.Load() || elsewhere.Dirty.Load() {
		t.Error("the watcher of the evicted key, and only that, is to know")
	}
}

// TestLogWithoutRoom: when the log can take no more, nothing is removed behind its back, and that is no reason to refuse writes.
func TestLogWithoutRoom(t *testing.T) {
	c := newCtx(t, 1)
	l, _, err := aof.Open(aof.Options{Dir: filepath.Join(t.TempDir(), "log"), RingBytes: 4096, SegmentBytes: 1 << 20, Fresh: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c.Store.SetLog(l)
	e := New()
	e.SetPolicy(AllKeysRandom)
	for i := range 1000 {
		put(c, 0, fmt.Sprint(i), keyspace.NoExpire, 0)
	}
	before := 1001
	for count(c) < before {
		before = count(c)
		if !e.Free(c, 1<<40) {
			t.Fatal("Free says that nothing is left to remove")
		}
	}
	if before == 1000 || before == 0 {
		t.Fatalf("%d keys left of 1000", before)
	}
	for l.Pending(aof.GoalAppend) {
		l.Commit(aof.GoalAppend)
	}
	if e.Free(c, 1); count(c) != before-1 {
		t.Error("room in the log did not let eviction go on")
	}
}

func TestParsePolicy(t *testing.T) {
	for p := NoEviction; p <= VolatileTTL; p++ {
		if got, err := ParsePolicy(p.String()); err != nil || got != p {
			t.Errorf("%s: %v, %v", p, got, err)
		}
	}
	if _, err := ParsePolicy("allkeys"); err == nil || !strings.Contains(err.Error(), "volatile-ttl") {
		t.Errorf("unknown policy: %v", err)
	}
}

func BenchmarkFree(b *testing.B) {
	for _, p := range []Policy{AllKeysLRU, AllKeysRandom} {
		b.Run(p.String(), func(b *testing.B) {
			c := newCtx(b, 256)
			e := New()
			e.SetPolicy(p)
			b.ReportAllocs()
			const batch = 50_000
			for i := 0; i < b.N; i++ {
				if i%batch == 0 {
					b.StopTimer()
					for j := range 2 * batch {
						put(c, 0, fmt.Sprint(j), keyspace.NoExpire, uint32(j))
					}
					b.StartTimer()
				}
				e.Free(c, 1)
			}
		})
	}
}
