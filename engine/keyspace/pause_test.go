package keyspace

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// threadTime is the calling thread's CPU time: unlike the wall clock it leaves out what other processes on the machine
// take, but it has the page faults and everything else the thread does for a call.
func threadTime(b *testing.B) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// longest gathers the dearest calls.
type longest struct{ d []time.Duration }

func (l *longest) add(d time.Duration) { l.d = append(l.d, d) }

func (l *longest) report(b *testing.B, name string) {
	slices.Sort(l.d)
	n := len(l.d)
	b.ReportMetric(float64(l.d[n-1].Nanoseconds())/1e3, name+"-max-µs")
	b.ReportMetric(float64(l.d[n-1-n/100000].Nanoseconds())/1e3, name+"-p99.999-µs")
	b.ReportMetric(float64(l.d[n-1-n/1000].Nanoseconds())/1e3, name+"-p99.9-µs")
}

// BenchmarkPauses reports the longest single calls, in CPU time of the calling thread, while 4 M keys come, get expiries, are
// snapshotted under writes, expire and go.
func BenchmarkPauses(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const n = 4_000_000
	for b.Loop() {
		ks := New(Options{Shards: 64, Databases: 16})
		var key [16]byte
		val := make([]byte, 64)
		timed := func(l *longest, f func()) {
			from := threadTime(b)
			f()
			l.add(threadTime(b) - from)
		}
		find := func(i int) (*Shard, uint64, Ref) {
			benchKey(&key, i)
			h := ks.Hash(key[:])
			s := ks.Shard(ks.ShardIndex(h))
			return s, h, s.Find(0, h, key[:])
		}
		var l longest
		for i := range n {
			s, h, r := find(i)
			timed(&l, func() { s.PutString(0, h, r, key[:], val, Raw, NoExpire, 0) })
		}
		l.report(b, "insert")

		l = longest{}
		for i := range n / 4 {
			s, h, r := find(i)
			timed(&l, func() { s.SetExpire(0, h, r, int64(h>>20)) })
		}
		l.report(b, "expire")

		l = longest{}
		var steps longest
		ks.LockAll()
		sn := ks.BeginSnapshot(func(dst []byte, db int, s *Shard, r Ref) []byte {
			return append(append(dst, s.Key(r)...), s.Value(r)...)
		})
		ks.UnlockAll()
		done := make([]bool, 64)
		var dst []byte
		for left, x := 64, 0; left > 0; {
			for i := range done {
				if !done[i] {
					timed(&steps, func() { dst, done[i] = sn.Step(i, dst[:0]) })
					if done[i] {
						left--
					}
				}
				for range 20 {
					x = (x*7 + 1234567) % n
					s, h, r := find(x)
					timed(&l, func() { s.PutString(0, h, r, key[:], val, Raw, s.ExpireAt(r), 0) })
				}
			}
		}
		sn.Close()
		steps.report(b, "step")
		l.report(b, "set-in-snapshot")

		l = longest{}
		for i := range 64 {
			s := ks.Shard(i)
			for s.NextExpiry() != NoExpire {
				timed(&l, func() {
					db, h, r := s.FirstExpired(1 << 62)
					s.Delete(db, h, r)
				})
			}
		}
		l.report(b, "expiry")

		l = longest{}
		for i := n / 4; i < n; i++ {
			s, h, r := find(i)
			timed(&l, func() { s.Delete(0, h, r) })
		}
		l.report(b, "delete")
		ks.Close()
	}
}
