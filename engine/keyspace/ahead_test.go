package keyspace

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// BenchmarkGetAhead is BenchmarkGet by pipelines of 16, with Ahead before each and without. Per key.
func BenchmarkGetAhead(b *testing.B) {
	for _, n := range []int{1000, 100_000, 1_000_000} {
		for _, ahead := range []bool{true, false} {
			b.Run(fmt.Sprintf("%d/%v", n, ahead), func(b *testing.B) {
				ks := benchKeyspace(b, n)
				rnd := rand.New(rand.NewPCG(1, 1))
				var keys [MostAhead][16]byte
				var hashes [MostAhead]uint64
				var sum byte
				b.ReportAllocs()
				for i := 0; i < b.N; i += MostAhead {
					for j := range keys {
						benchKey(&keys[j], int(rnd.Uint64()>>33)%n)
						hashes[j] = ks.Hash(keys[j][:])
					}
					if ahead {
						ks.Ahead(0, hashes[:])
					}
					for j, h := range hashes {
						s := ks.Shard(ks.ShardIndex(h))
						s.Lock()
						sum += s.Value(s.Find(0, h, keys[j][:]))[0]
						s.Unlock()
					}
				}
			})
		}
	}
}

// TestAheadBesideWrites: Ahead holds no lock, and whatever becomes of the memory it looks at must not harm it: tables that grow, shrink and are
// flushed, entries so large that they have mappings of their own, which go.
func TestAheadBesideWrites(t *testing.T) {
	ks := New(Options{Shards: 2, Databases: 2})
	defer ks.Close()
	key := func(i int) []byte { return fmt.Appendf(nil, "key:%d", i) }
	const keys = 20_000
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(rand.Uint64(), 1))
			for {
				select {
				case <-stop:
					return
				default:
				}
				var hashes [MostAhead]uint64
				for i := range hashes {
					hashes[i] = ks.Hash(key(rnd.IntN(keys)))
				}
				ks.Ahead(rnd.IntN(2), hashes[:rnd.IntN(MostAhead+1)])
			}
		})
	}
	huge := make([]byte, 3<<20) // a key with a mapping of its own
	rnd := rand.New(rand.NewPCG(2, 3))
	with := func(db int, key []byte, f func(s *Shard, h uint64, r Ref)) {
		h := ks.Hash(key)
		s := ks.Shard(ks.ShardIndex(h))
		s.Lock()
		f(s, h, s.Find(db, h, key))
		s.Unlock()
	}
	for end := time.Now().Add(time.Second / effort); time.Now().Before(end); {
		db, n := rnd.IntN(2), rnd.IntN(keys)
		for i := range n {
			with(db, key(i), func(s *Shard, h uint64, r Ref) {
				s.PutString(db, h, r, key(i), []byte("value"), Raw, NoExpire, 0)
			})
		}
		huge[0]++
		for range 2 {
			with(db, huge, func(s *Shard, h uint64, r Ref) {
				if r == 0 {
					s.PutString(db, h, 0, huge, nil, Raw, NoExpire, 0)
				} else {
					s.Delete(db, h, r)
				}
			})
		}
		switch rnd.IntN(3) {
		case 0:
			for i := range n {
				with(db, key(i), func(s *Shard, h uint64, r Ref) { s.Delete(db, h, r) })
			}
		case 1:
			for i := range ks.NumShards() {
				s := ks.Shard(i)
				s.Lock()
				s.Flush(db, rnd.IntN(2) == 0)
				s.Unlock()
			}
		case 2:
			ks.LockAll()
			ks.SwapDB(0, 1)
			ks.UnlockAll()
		}
	}
	close(stop)
	wg.Wait()
	for i := range ks.NumShards() {
		if err := ks.Shard(i).Check(); err != nil {
			t.Error(err)
		}
	}
}

// TestAheadSeesDirectory: what Ahead fetches is what Find touches. Fetching cannot be seen, so this looks at the directory it goes by.
func TestAheadSeesDirectory(t *testing.T) {
	ks := New(Options{Shards: 1, Databases: 1})
	defer ks.Close()
	s := ks.Shard(0)
	s.Lock()
	defer s.Unlock()
	check := func(n int) {
		t.Helper()
		tab := s.tables[0]
		switch d := tab.seen.Load(); {
		case d == nil:
			if n > 0 {
				t.Fatalf("%d keys: no directory is seen", n)
			}
		case n == 0:
			t.Fatal("an empty table's directory is seen")
		case d.depth != tab.depth || &d.segs[0] != &tab.dir[0] || len(d.segs) != len(tab.dir):
			t.Fatalf("%d keys: a directory of depth %d is seen, the table's is %d", n, d.depth, tab.depth)
		}
	}
	var key [16]byte
	const n = 5000
	for i := range n {
		benchKey(&key, i)
		s.PutString(0, ks.Hash(key[:]), 0, key[:], nil, Raw, NoExpire, 0)
		check(i + 1)
	}
	for i := range n {
		benchKey(&key, i)
		h := ks.Hash(key[:])
		s.Delete(0, h, s.Find(0, h, key[:]))
		check(n - i - 1)
	}
}
