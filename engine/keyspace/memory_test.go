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
