package keyspace

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestScanGuarantee scans while the table grows and shrinks around a set of keys that stay: each of them must be visited.
func TestScanGuarantee(t *testing.T) {
	ks := New(Options{Shards: 1, Databases: 1})
	defer ks.Close()
	s := ks.Shard(0)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	put := func(k string) {
		h := ks.Hash([]byte(k))
		s.PutString(0, h, s.Find(0, h, []byte(k)), []byte(k), []byte("v"), Raw, NoExpire, 0)
	}
	del := func(k string) {
		h := ks.Hash([]byte(k))
		if r := s.Find(0, h, []byte(k)); r != 0 {
			s.Delete(0, h, r)
		}
	}
	const stay = 500
	for i := range stay {
		put(fmt.Sprint("stay", i))
	}
	for _, most := range []int{0, 100, 3000, 60000} {
		extra := 0
		for round := range 6 {
			seen := map[string]int{}
			cursor, calls := uint64(0), 0
			for {
				cursor = s.Scan(0, cursor, func(r Ref) { seen[string(s.Key(r))]++ })
				calls++
				if cursor == 0 {
					break
				}
				if cursor >= 1<<48 {
					t.Fatalf("cursor %#x does not fit 48 bits", cursor)
				}
				for n := rnd.IntN(1 + most/50); n > 0; n-- {
					if round%2 == 0 && extra < most {
						put(fmt.Sprint("extra", extra))
						extra++
					} else if round%2 == 1 && extra > 0 {
						extra--
						del(fmt.Sprint("extra", extra))
					}
				}
			}
			for i := range stay {
				if seen[fmt.Sprint("stay", i)] == 0 {
					t.Fatalf("with up to %d others: key %d was not visited in %d calls", most, i, calls)
				}
			}
			if most == 0 {
				for k, n := range seen {
					if n != 1 {
						t.Fatalf("key %s visited %d times in a table that did not change", k, n)
					}
				}
			}
			if err := s.Check(); err != nil {
				t.Fatal(err)
			}
		}
		for extra > 0 {
			extra--
			del(fmt.Sprint("extra", extra))
		}
	}
}

// TestScanAnyCursor: a cursor from a client may be anything.
func TestScanAnyCursor(t *testing.T) {
	ks := New(Options{Shards: 1, Databases: 1})
	defer ks.Close()
	s := ks.Shard(0)
	for i := range 1000 {
		k := fmt.Append(nil, i)
		s.PutString(0, ks.Hash(k), 0, k, k, Raw, NoExpire, 0)
	}
	for range 10000 {
		c := rand.Uint64() >> rand.IntN(64)
		if n := s.Scan(0, c, func(Ref) {}); n != 0 && n <= c {
			t.Fatalf("scan from %#x goes back to %#x", c, n)
		}
	}
}

func TestRandomIsEven(t *testing.T) {
	ks := New(Options{Shards: 1, Databases: 1, Seed: 5})
	defer ks.Close()
	s := ks.Shard(0)
	const n = 3000
	for i := range n {
		k := fmt.Append(nil, i)
		s.PutString(0, ks.Hash(k), 0, k, k, Raw, NoExpire, 0)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	seen := map[string]int{}
	const draws = 100 * n
	for range draws {
		seen[string(s.Key(s.Random(0, rnd.Uint64)))]++
	}
	for i := range n {
		// 100 expected, deviation 10: six deviations either way.
		if c := seen[fmt.Sprint(i)]; c < 40 || c > 160 {
			t.Errorf("key %d drawn %d times, 100 expected", i, c)
		}
	}
	// A table almost emptied still answers.
	for i := range n - 1 {
		k := fmt.Append(nil, i)
		h := ks.Hash(k)
		s.Delete(0, h, s.Find(0, h, k))
	}
	if r := s.Random(0, rnd.Uint64); r == 0 || string(s.Key(r)) != fmt.Sprint(n-1) {
		t.Errorf("the one key left is not found")
	}
}
