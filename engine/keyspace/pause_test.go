package keyspace

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tidemark/engine/keyspace/coll"
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

// BenchmarkCollectionPauses reports the longest single calls on one sorted set of 4 M members: what adds to it, what changes it while a snapshot has it,
// the snapshot's own steps under the lock, giving the key to another shard, and removing it.
func BenchmarkCollectionPauses(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const n = 4_000_000
	for b.Loop() {
		ks := New(Options{Shards: 2, Databases: 1})
		timed := func(l *longest, f func()) {
			from := threadTime(b)
			f()
			l.add(threadTime(b) - from)
		}
		place := func(name string) (*Shard, uint64, Ref) {
			h := ks.Hash([]byte(name))
			s := ks.Shard(ks.ShardIndex(h))
			return s, h, s.Find(0, h, []byte(name))
		}
		s, h, _ := place("zset")
		c := s.Draft(0, ZSet, SkipList)
		s.Attach(c, h, 0, []byte("zset"), NoExpire, 0)
		var key [16]byte
		add := func(l *longest, i int) {
			benchKey(&key, i)
			mh, score := ks.Hash(key[:]), float64(uint32(i)*2654435761)
			timed(l, func() {
				s, h, r := place("zset")
				c := s.Edit(0, h, r)
				d, t := c.Dict(), c.Members()
				if old := d.Find(mh, key[:]); old != 0 {
					var pos coll.Pos
					t.Seek(&pos, &coll.Probe{Key: coll.ScoreKey(coll.ScoreOf(c.Space, old)), Tie: key[:]})
					t.Delete(&pos)
					d.Remove(mh, old)
				}
				e := d.NewElem(coll.Scored, key[:], nil, math.Float64bits(score))
				d.Insert(mh, e)
				p := coll.Probe{Key: coll.ScoreKey(score), Tie: key[:]}
				t.Insert(&p, coll.NewItem(p.Key, e, 1))
				s.Settle(&c)
			})
		}
		var l longest
		for i := range n {
			add(&l, i)
		}
		l.report(b, "add")
		b.ReportMetric(float64(ks.Memory().Used)/n, "bytes/member")

		ks.LockAll()
		sn := ks.BeginSnapshot(func(dst []byte, db int, s *Shard, r Ref) []byte { return dst })
		sn.LargeApart()
		sn.InPieces(func(dst []byte, db int, s *Shard, r Ref, p *Progress) []byte {
			m := s.Open(r)
			t := coll.Tree{Mem: &m}
			var pos coll.Pos
			for t.At(&pos, p.At); pos.Valid() && len(dst) < 64<<10; t.Next(&pos) {
				dst = append(dst, coll.KeyOf(m.Space, pos.Item().Ref())...)
				p.At++
			}
			p.More = pos.Valid()
			return dst
		})
		ks.UnlockAll()
		l = longest{}
		var steps longest
		var dst []byte
		for left, i := 2, 0; left > 0; {
			left = 2
			for j := range 2 {
				var done bool
				timed(&steps, func() { dst, done = sn.Step(j, dst[:0]) })
				if done {
					left--
				}
				if sn.LargeWaiting(j) {
					dst, _ = sn.StepLarge(j, dst[:0])
				}
			}
			for range 50 {
				i = (i*7 + 1234567) % n
				add(&l, i)
			}
		}
		sn.Close()
		l.report(b, "change-in-snapshot")
		steps.report(b, "step")

		l = longest{}
		other := "other"
		for i := 0; ; i++ {
			if o, _, _ := place(other); o != s {
				break
			}
			other = fmt.Sprint("other", i)
		}
		o, oh, _ := place(other)
		s, h, r := place("zset")
		var moved Ref
		timed(&l, func() { moved = s.Move(0, h, r, o, 0, oh, []byte(other)) })
		timed(&l, func() { o.Delete(0, oh, moved) })
		b.ReportMetric(float64(l.d[0].Nanoseconds())/1e3, "rename-µs")
		b.ReportMetric(float64(l.d[1].Nanoseconds())/1e3, "delete-µs")
		ks.Close()
	}
}

// BenchmarkHousing reports what it takes to give a collection that has grown by elements of 16 bytes a heap of its own: the median.
func BenchmarkHousing(b *testing.B) {
	for _, typ := range []struct {
		Type
		Encoding
	}{{Set, HashTable}, {Hash, HashTable}, {ZSet, SkipList}} {
		b.Run(fmt.Sprint(typ.Type), func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			var took []time.Duration
			for b.Loop() {
				ks := New(Options{Shards: 2, Databases: 1})
				for j := range 20 {
					name := fmt.Appendf(nil, "collection %d", j)
					h := ks.Hash(name)
					s := ks.Shard(ks.ShardIndex(h))
					s.Attach(s.Draft(0, typ.Type, typ.Encoding), h, 0, name, NoExpire, 0)
					var key [16]byte
					for i, housed := 0, false; !housed; i++ {
						benchKey(&key, i)
						mh, score := ks.Hash(key[:]), float64(uint32(i)*2654435761)
						c := s.Edit(0, h, s.Find(0, h, name))
						d := c.Dict()
						switch typ.Type {
						case Set:
							d.Insert(mh, d.NewElem(coll.Member, key[:], nil, 0))
						case Hash:
							d.Insert(mh, d.NewElem(coll.Field, key[:], key[:], 0))
						case ZSet:
							e, t := d.NewElem(coll.Scored, key[:], nil, math.Float64bits(score)), c.Members()
							d.Insert(mh, e)
							p := coll.Probe{Key: coll.ScoreKey(score), Tie: key[:]}
							t.Insert(&p, coll.NewItem(p.Key, e, 1))
						}
						from := threadTime(b)
						s.Settle(&c)
						if housed = c.Root.Home != 0; housed {
							took = append(took, threadTime(b)-from)
						}
					}
				}
				ks.Close()
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "housing-µs")
		})
	}
}
