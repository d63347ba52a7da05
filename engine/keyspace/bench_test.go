package keyspace

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
)

// benchKeyspace has n keys of 16 bytes with values of 64, as the figures of the project ask for.
func benchKeyspace(b testing.TB, n int) *Keyspace {
	ks := New(Options{Shards: 64, Databases: 16})
	b.Cleanup(ks.Close)
	var key [16]byte
	val := make([]byte, 64)
	for i := range n {
		benchKey(&key, i)
		h := ks.Hash(key[:])
		ks.Shard(ks.ShardIndex(h)).PutString(0, h, 0, key[:], val, Raw, NoExpire, 0)
	}
	return ks
}

func benchKey(key *[16]byte, i int) {
	copy(key[:], "key:")
	for p := 15; p >= 4; p-- {
		key[p] = byte('0' + i%10)
		i /= 10
	}
}

func BenchmarkLock(b *testing.B) {
	ks := New(Options{Shards: 1, Databases: 1})
	defer ks.Close()
	s := ks.Shard(0)
	for b.Loop() {
		s.Lock()
		_ = s.Index()
		s.Unlock()
	}
}

func BenchmarkHash(b *testing.B) {
	for _, n := range []int{4, 16, 32, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := newHasher(1)
			p := make([]byte, n)
			var x uint64
			for b.Loop() {
				binary.LittleEndian.PutUint32(p, uint32(x))
				x += h.hash(p)
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, n := range []int{1000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ks := benchKeyspace(b, n)
			rnd := rand.New(rand.NewPCG(1, 1))
			var key [16]byte
			var sum byte
			b.ReportAllocs()
			for b.Loop() {
				benchKey(&key, int(rnd.Uint64()>>33)%n)
				h := ks.Hash(key[:])
				s := ks.Shard(ks.ShardIndex(h))
				s.Lock()
				r := s.Find(0, h, key[:])
				sum += s.Value(r)[0]
				s.Unlock()
			}
		})
	}
}

func BenchmarkSet(b *testing.B) {
	for _, n := range []int{1000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ks := benchKeyspace(b, n)
			rnd := rand.New(rand.NewPCG(1, 1))
			var key [16]byte
			val := make([]byte, 64)
			b.ReportAllocs()
			for b.Loop() {
				benchKey(&key, int(rnd.Uint64()>>33)%n)
				h := ks.Hash(key[:])
				s := ks.Shard(ks.ShardIndex(h))
				s.Lock()
				r := s.Find(0, h, key[:])
				s.PutString(0, h, r, key[:], val, Raw, NoExpire, 0)
				s.Unlock()
			}
		})
	}
}

// BenchmarkFill inserts new keys into a growing keyspace.
func BenchmarkFill(b *testing.B) {
	ks := benchKeyspace(b, 0)
	var key [16]byte
	val := make([]byte, 64)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		benchKey(&key, i)
		i++
		h := ks.Hash(key[:])
		s := ks.Shard(ks.ShardIndex(h))
		s.Lock()
		r := s.Find(0, h, key[:])
		s.PutString(0, h, r, key[:], val, Raw, NoExpire, 0)
		s.Unlock()
	}
}

// BenchmarkChurn deletes and inserts.
func BenchmarkChurn(b *testing.B) {
	const n = 1_000_000
	ks := benchKeyspace(b, n)
	var key [16]byte
	val := make([]byte, 64)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		benchKey(&key, i)
		h := ks.Hash(key[:])
		s := ks.Shard(ks.ShardIndex(h))
		s.Lock()
		s.Delete(0, h, s.Find(0, h, key[:]))
		s.Unlock()
		benchKey(&key, i+n)
		h = ks.Hash(key[:])
		s = ks.Shard(ks.ShardIndex(h))
		s.Lock()
		s.PutString(0, h, 0, key[:], val, Raw, NoExpire, 0)
		s.Unlock()
		i++
	}
}

// BenchmarkExpire sets random expiries of a million keys, then takes keys out in order of expiry and puts them back.
func BenchmarkExpire(b *testing.B) {
	const n = 1_000_000
	ks := benchKeyspace(b, n)
	rnd := rand.New(rand.NewPCG(1, 1))
	var key [16]byte
	set := func(b *testing.B, i int) {
		benchKey(&key, i)
		h := ks.Hash(key[:])
		s := ks.Shard(ks.ShardIndex(h))
		s.Lock()
		s.SetExpire(0, h, s.Find(0, h, key[:]), int64(rnd.Uint64N(1e9)))
		s.Unlock()
	}
	for i := range n {
		set(b, i)
	}
	b.Run("SetExpire", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			set(b, int(rnd.Uint64()>>33)%n)
		}
	})
	val := make([]byte, 64)
	b.Run("ExpireOne", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			s := ks.Shard(i & 63)
			i++
			s.Lock()
			db, h, r := s.FirstExpired(1e18)
			copy(key[:], s.Key(r))
			s.Delete(db, h, r)
			s.Unlock()
			b.StopTimer()
			s.Lock()
			s.PutString(0, h, 0, key[:], val, Raw, int64(rnd.Uint64N(1e9)), 0)
			s.Unlock()
			b.StartTimer()
		}
	})
}

// BenchmarkSnapshot walks a million keys.
func BenchmarkSnapshot(b *testing.B) {
	const n = 1_000_000
	ks := benchKeyspace(b, n)
	var dst []byte
	enc := func(dst []byte, db int, s *Shard, r Ref) []byte {
		return append(append(dst, s.Key(r)...), s.Value(r)...)
	}
	for b.Loop() {
		ks.LockAll()
		sn := ks.BeginSnapshot(enc)
		ks.UnlockAll()
		for i := range ks.NumShards() {
			for done := false; !done; {
				dst, done = sn.Step(i, dst[:0])
			}
		}
		sn.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/key")
}
