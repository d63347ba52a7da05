package keyspace

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"
)

// rss returns the process's resident bytes.
func rss(t testing.TB) int64 {
	t.Helper()
	p, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseInt(strings.Fields(string(p))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n * int64(os.Getpagesize())
}

// TestMemoryComesBack: what was deleted or flushed is given back to the system, and counters return to zero.
func TestMemoryComesBack(t *testing.T) {
	ks := New(Options{Shards: 8, Databases: 4})
	defer ks.Close()
	var key [16]byte
	const n = 600_000 / min(effort, 2)
	peak := int64(0)
	val := make([]byte, 200)
	put := func(db int) {
		for i := range n {
			benchKey(&key, i)
			h := ks.Hash(key[:])
			s := ks.Shard(ks.ShardIndex(h))
			s.PutString(db, h, s.Find(db, h, key[:]), key[:], val, Raw, NoExpire, 0)
		}
		peak = ks.Memory().Mapped
		if used := ks.Used(); used < n*216 || used > n*250 {
			t.Fatalf("%d bytes used for %d keys", used, n)
		}
	}
	settle := func(what string) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; runtime.Gosched() {
			m := ks.Memory()
			if m.PendingFree == 0 && m.Mapped < peak/2 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("after %s: %+v, the peak was %d", what, m, peak)
			}
		}
		if m := ks.Memory(); m.Used != 0 || m.Tables != 0 || m.Large != 0 || m.ExpiryIndex != 0 || ks.Used() != 0 {
			t.Fatalf("after %s: %+v", what, m)
		}
	}
	for _, wait := range []bool{false, true} {
		put(1)
		for i := range ks.NumShards() {
			ks.Shard(i).Flush(1, wait)
		}
		settle("FLUSHDB")
	}
	put(2)
	for i := range n {
		benchKey(&key, i)
		h := ks.Hash(key[:])
		s := ks.Shard(ks.ShardIndex(h))
		s.Delete(2, h, s.Find(2, h, key[:]))
	}
	settle("DEL of everything")
}

// TestHotPathDoesNotAllocate on the Go heap.
func TestHotPathDoesNotAllocate(t *testing.T) {
	ks := benchKeyspace(t, 10_000)
	var key [16]byte
	val := make([]byte, 64)
	i := 0
	if n := testing.AllocsPerRun(20_000, func() {
		benchKey(&key, i%10_000)
		i++
		h := ks.Hash(key[:])
		s := ks.Shard(ks.ShardIndex(h))
		s.Lock()
		r := s.Find(3, h, key[:])
		r = s.PutString(3, h, r, key[:], val[:i%64], EmbStr, NoExpire, 7)
		r = s.SetExpire(3, h, r, int64(i))
		r, v := s.Resize(3, h, r, 80)
		v[3]++
		if i%3 == 0 {
			s.Delete(3, h, r)
		}
		s.Unlock()
	}); n > 0 {
		t.Errorf("%v allocations for each round", n)
	}
}

// BenchmarkTenMillion fills in 10 M keys of 16 B + 64 B once and reports memory per key, the longest single
// insertion, and how long FLUSHALL ASYNC holds the locks.
func BenchmarkTenMillion(b *testing.B) {
	const n = 10_000_000
	for b.Loop() {
		runtime.GC()
		debug.FreeOSMemory()
		before := rss(b)
		ks := New(Options{Shards: 64, Databases: 16})
		var key [16]byte
		val := make([]byte, 64)
		var longest time.Duration
		over := 0
		start := time.Now()
		last := start
		for i := range n {
			benchKey(&key, i)
			h := ks.Hash(key[:])
			s := ks.Shard(ks.ShardIndex(h))
			s.Lock()
			r := s.Find(0, h, key[:])
			s.PutString(0, h, r, key[:], val, Raw, NoExpire, 0)
			s.Unlock()
			now := time.Now()
			d := now.Sub(last)
			longest = max(longest, d)
			if d > 100*time.Microsecond {
				over++
			}
			last = now
		}
		b.ReportMetric(float64(time.Since(start).Nanoseconds())/n, "ns/insert")
		m := ks.Memory()
		b.ReportMetric(float64(rss(b)-before)/n, "RSS-B/key")
		b.ReportMetric(float64(m.Used)/n, "used-B/key")
		b.ReportMetric(float64(m.Tables)/n, "table-B/key")
		b.ReportMetric(float64(m.Free)/n, "free-B/key")
		b.ReportMetric(float64(m.Mapped)/n, "mapped-B/key")
		b.ReportMetric(float64(longest.Microseconds()), "longest-insert-µs")
		b.ReportMetric(float64(over), "inserts>100µs")
		start = time.Now()
		ks.LockAll()
		for i := range ks.NumShards() {
			ks.Shard(i).Flush(0, false)
		}
		ks.UnlockAll()
		b.ReportMetric(float64(time.Since(start).Microseconds()), "flush-µs")
		for ks.Memory().PendingFree > 0 || ks.Memory().Free > 64<<20 {
			runtime.Gosched()
		}
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "returned-ms")
		b.ReportMetric(float64(rss(b)-before)/1e6, "RSS-after-MB")
		ks.Close()
	}
}
