package keyspace

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestCompaction deletes most keys at random: compaction is asked for once, and gives most of the memory back.
func TestCompaction(t *testing.T) {
	ks := New(Options{Shards: 4, Databases: 2})
	defer ks.Close()
	told := 0
	ks.OnSparse(func() { told++ })
	const n = 300_000 / min(effort, 3)
	key := func(i int) []byte { return fmt.Appendf(nil, "key:%08d", i) }
	val := make([]byte, 150)
	for i := range n {
		at := NoExpire
		if i%3 == 0 {
			at = int64(i)
		}
		size := 150
		if i%50 == 0 {
			size = 3000
			val = append(val[:150], make([]byte, 2850)...)
		}
		copy(val, key(i))
		h := ks.Hash(key(i))
		ks.Shard(ks.ShardIndex(h)).PutString(1, h, 0, key(i), val[:size], Raw, at, 0)
	}
	if told > 0 {
		t.Error("compaction is wanted while the keyspace only grows")
	}
	full := ks.pool.Stats().Spans
	rnd := rand.New(rand.NewPCG(1, 1))
	var kept []int
	for _, i := range rnd.Perm(n) {
		if len(kept) < n/10 {
			kept = append(kept, i)
			continue
		}
		h := ks.Hash(key(i))
		s := ks.Shard(ks.ShardIndex(h))
		s.Delete(1, h, s.Find(1, h, key(i)))
	}
	sparse := ks.pool.Stats().Spans
	if told != 1 {
		t.Fatalf("compaction is wanted %d times", told)
	}
	steps := 0
	for ks.Compact(100) {
		steps++
	}
	dense := ks.pool.Stats().Spans
	t.Logf("spans: %d KiB full, %d after deleting, %d after %d steps; %d used", full>>10, sparse>>10, dense>>10, steps, ks.Used()>>10)
	if dense > 2*ks.Used()+8<<20 || dense > sparse/2 {
		t.Errorf("%d bytes of spans for %d used, %d before", dense, ks.Used(), sparse)
	}
	for i := range ks.NumShards() {
		if err := ks.Shard(i).Check(); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range kept {
		h := ks.Hash(key(i))
		s := ks.Shard(ks.ShardIndex(h))
		if r := s.Find(1, h, key(i)); r == 0 || string(s.Value(r)[:12]) != string(key(i)) {
			t.Fatalf("key %d is lost or changed", i)
		}
	}
	if ks.Compact(100) && ks.compactor.running {
		t.Error("a second pass finds something to do")
	}
}
