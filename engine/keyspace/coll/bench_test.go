package coll

import (
	"encoding/binary"
	"math"
	"testing"
	"time"
)

// BenchmarkDict fills a Dict with a million fields, finds them, replaces them, and empties it; bytes/elem is memory per element of 10+10
// bytes, max-µs the dearest single insertion.
func BenchmarkDict(b *testing.B) {
	const n = 1_000_000
	var key [10]byte
	val := []byte("0123456789")
	for b.Loop() {
		w := newWorld(b)
		d := Dict{w.mem()}
		lap := func(name string, f func(h uint64, key []byte)) {
			start := time.Now()
			for i := range n {
				binary.LittleEndian.PutUint64(key[:], uint64(i)*0x9e3779b97f4a7c15)
				f(testHash(key[:]), key[:])
			}
			b.ReportMetric(float64(time.Since(start).Nanoseconds())/n, name+"-ns")
		}
		lap("insert", func(h uint64, key []byte) { d.Insert(h, d.NewElem(Field, key, val, 0)) })
		b.ReportMetric(float64(w.heap.Used())/n, "bytes/elem")
		lap("find", func(h uint64, key []byte) {
			if d.Find(h, key) == 0 {
				b.Fatal("lost")
			}
		})
		lap("replace", func(h uint64, key []byte) { d.Replace(h, d.Find(h, key), d.NewElem(Field, key, val, 0)) })
		lap("random", func(h uint64, key []byte) { d.Random(w.rnd.Uint64) })
		lap("remove", func(h uint64, key []byte) { d.Remove(h, d.Find(h, key)) })
		w.empty()
	}
}

// BenchmarkTree does the same for a sorted set's two halves with random scores.
func BenchmarkTree(b *testing.B) {
	const n = 1_000_000
	var key [10]byte
	for b.Loop() {
		w := newWorld(b)
		d, tr := Dict{w.mem()}, &Tree{Mem: w.mem(), Tie: TieKey}
		lap := func(name string, f func(score float64, h uint64, key []byte)) {
			start := time.Now()
			for i := range n {
				x := uint64(i) * 0x9e3779b97f4a7c15
				binary.LittleEndian.PutUint64(key[:], x)
				f(float64(x>>20), testHash(key[:]), key[:])
			}
			b.ReportMetric(float64(time.Since(start).Nanoseconds())/n, name+"-ns")
		}
		lap("insert", func(score float64, h uint64, key []byte) {
			r := d.NewElem(Scored, key, nil, math.Float64bits(score))
			d.Insert(h, r)
			p := Probe{Key: ScoreKey(score), Tie: key}
			tr.Insert(&p, NewItem(p.Key, r, 1))
		})
		b.ReportMetric(float64(w.heap.Used())/n, "bytes/elem")
		var pos Pos
		lap("rank", func(score float64, h uint64, key []byte) {
			if tr.Seek(&pos, &Probe{Key: ScoreKey(score), Tie: key}); !pos.Valid() {
				b.Fatal("lost")
			}
		})
		lap("at", func(score float64, h uint64, key []byte) { tr.At(&pos, h%n) })
		lap("remove", func(score float64, h uint64, key []byte) {
			tr.Seek(&pos, &Probe{Key: ScoreKey(score), Tie: key})
			tr.Delete(&pos)
			d.Remove(h, d.Find(h, key))
		})
		w.empty()
	}
}
