package aof

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"
)

func BenchmarkRoomAppend(b *testing.B) {
	for _, size := range []int{16, 60, 100} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			l, _, _ := openT(b, Options{Dir: b.TempDir(), Shards: 64, RingBytes: 32 << 10, SegmentBytes: 64 << 20, Policy: No})
			p := command("SET", "key:0000000001", strings.Repeat("v", size))
			b.ReportAllocs()
			var spent time.Duration
			n := 0
			for b.Loop() { // 1024 records; what the drain takes is not counted
				start := time.Now()
				for i := range 1024 {
					if sh := i & 63; l.Room(sh) {
						l.Append(sh, 0, p)
					}
				}
				spent += time.Since(start)
				n += 1024
				l.Commit(GoalAppend)
			}
			b.ReportMetric(float64(spent)/float64(n), "ns/append")
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkDrain is Append and Commit(GoalAppend) at different numbers of records a turn, per record: with the tail off, with it on, and
// without files.
func BenchmarkDrain(b *testing.B) {
	for _, turn := range []int{1, 16, 128, 1024} {
		for _, kind := range []string{"off", "on", "memory"} {
			b.Run(fmt.Sprintf("%d/%s", turn, kind), func(b *testing.B) { benchmarkDrain(b, turn, kind) })
		}
	}
}

func benchmarkDrain(b *testing.B, turn int, kind string) {
	tl := NewTail()
	if kind != "off" {
		tl.Start(0)
	}
	l, _, _ := openT(b, Options{Dir: b.TempDir(), Shards: 64, RingBytes: 256 << 10, SegmentBytes: 64 << 20, Policy: No, Tail: tl,
		Memory: kind == "memory"})
	p := command("SET", "key:0000000001", strings.Repeat("v", 64))
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		sh := i * 7 & 63
		i++
		if !l.Room(sh) {
			l.Commit(GoalAppend)
		}
		l.Append(sh, 0, p)
		if i%turn == 0 {
			l.Commit(GoalAppend)
		}
	}
	b.StopTimer()
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkFollow is one Follow and Commit(GoalAppend), per byte of the stream: through the ring and by reference, without files (where
// it is the cost of getting the bytes to the drainer) and with.
func BenchmarkFollow(b *testing.B) {
	for _, kind := range []string{"memory", "off", "on"} {
		for _, size := range []int{256, 4 << 10, 15 << 10, 64 << 10, 256 << 10} {
			b.Run(fmt.Sprintf("%s/%d", kind, size), func(b *testing.B) {
				tl := NewTail()
				if kind == "on" {
					tl.Start(0)
				}
				l, _, _ := openT(b, Options{Dir: b.TempDir(), RingBytes: 256 << 10, SegmentBytes: 64 << 20, Policy: No, Tail: tl, Memory: kind == "memory"})
				one := command("SET", "key:0000000001", strings.Repeat("v", 64))
				p := bytes.Repeat(one, max(1, size/len(one)))
				b.SetBytes(int64(len(p)))
				b.ReportAllocs()
				for b.Loop() {
					if l.Room(0) {
						l.Follow(p, 0)
					}
					l.Commit(GoalAppend)
				}
				b.StopTimer()
				if err := l.Close(); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

// BenchmarkTail is what the drainer pays for a batch and a sender for reading it, in memory.
func BenchmarkTail(b *testing.B) {
	for _, size := range []int{100, 4 << 10, 64 << 10} {
		v := [][]byte{bytes.Repeat([]byte("v"), size)}
		b.Run(fmt.Sprintf("stage/%d", size), func(b *testing.B) {
			tl := NewTail()
			tl.Start(0)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for off := int64(0); b.Loop(); off += int64(size) {
				tl.stage(off, v)
			}
		})
		b.Run(fmt.Sprintf("read/%d", size), func(b *testing.B) {
			tl := NewTail()
			tl.Start(0)
			for off := int64(0); off < 1<<20; off += int64(size) {
				tl.stage(off, v)
			}
			p := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			off := tl.First()
			for b.Loop() {
				n, err := tl.Read(off, p)
				if err != nil {
					b.Fatal(err)
				}
				if off += int64(n); off == tl.End() {
					off = tl.First()
				}
			}
		})
	}
}

// BenchmarkReadAt is what a reader pays who is behind, at batches of different sizes.
func BenchmarkReadAt(b *testing.B) {
	for _, turn := range []int{1, 64} {
		b.Run(fmt.Sprintf("batch%d", turn), func(b *testing.B) {
			l, _, _ := openT(b, Options{Dir: b.TempDir(), RingBytes: 1 << 20, Policy: No})
			one := command("SET", "key:0000000001", strings.Repeat("v", 64))
			for i := 0; l.Reserved() < 64<<20; i++ {
				for !l.Room(0) {
					l.Commit(GoalAppend)
				}
				l.Append(0, 0, one)
				if i%turn == 0 {
					l.Commit(GoalAppend)
				}
			}
			l.Commit(GoalAppend)
			p := make([]byte, 256<<10)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for off := int64(0); b.Loop(); {
				n, err := l.ReadAt(off, p)
				if err != nil {
					b.Fatal(err)
				}
				if off += int64(n); off >= l.Appended()-int64(len(p)) {
					off = 0
				}
			}
			b.StopTimer()
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkCommitSync is one record and Commit(GoalSync), beside a bare pwrite and fdatasync of the same bytes into a prepared
// file on the same disk.
func BenchmarkCommitSync(b *testing.B) {
	for _, size := range []int{128, 4096, 65536, 1 << 20} {
		for _, way := range []struct {
			name   string
			mapped int
			cached bool
		}{{"direct", -1, false}, {"pwrite", -1, true}, {"mapped", 1 << 30, true}} {
			b.Run(fmt.Sprintf("%s/%d", way.name, size), func(b *testing.B) {
				dir := b.TempDir()
				l, _, _ := openT(b, Options{Dir: dir, Shards: 4, RingBytes: 4 << 20, Policy: Always, MappedBytes: way.mapped, NoDirect: way.cached,
					BatchBytes: 4 << 20})
				for !l.nextReady.Load() {
					time.Sleep(time.Millisecond)
				}
				p := command("SET", "key:0000000001", strings.Repeat("v", size))
				l.Append(0, 0, p)
				l.Commit(GoalSync)
				l.Append(0, 0, p)
				l.Commit(GoalSync)
				f, err := os.Create(filepath.Join(dir, "bare"))
				if err != nil {
					b.Fatal(err)
				}
				defer f.Close()
				bare := &osFile{File: f, fd: int(f.Fd())}
				if err := l.zeroFill(bare, "bare", 0); err != nil {
					b.Fatal(err)
				}
				var ours, theirs []float64
				at := int64(0)
				for b.Loop() {
					t := time.Now()
					l.Append(0, 0, p)
					if !l.Commit(GoalSync) {
						b.Fatal("not synced")
					}
					ours = append(ours, float64(time.Since(t)))
					t = time.Now()
					if _, err := bare.WriteAt(p, at); err != nil {
						b.Fatal(err)
					}
					if err := bare.Datasync(); err != nil {
						b.Fatal(err)
					}
					theirs = append(theirs, float64(time.Since(t)))
					if at += int64(len(p)); at+int64(len(p)) > l.o.SegmentBytes {
						at = 0
					}
				}
				sort.Float64s(ours)
				sort.Float64s(theirs)
				b.ReportMetric(ours[len(ours)/2]/1e3, "p50-µs")
				b.ReportMetric(ours[len(ours)*99/100]/1e3, "p99-µs")
				b.ReportMetric(theirs[len(theirs)/2]/1e3, "bare-p50-µs")
				b.ReportMetric(ours[len(ours)/2]/theirs[len(theirs)/2], "x-bare")
				if err := l.Close(); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

// BenchmarkRecovery replays 256 MiB of SETs into a Replayer that does nothing.
func BenchmarkRecovery(b *testing.B) {
	for _, turn := range []int{1, 64} {
		b.Run(fmt.Sprintf("batch%d", turn), func(b *testing.B) {
			dir := b.TempDir()
			o := Options{Dir: dir, Shards: 4, RingBytes: 1 << 20, Policy: No}
			l, _, _ := openT(b, o)
			p := command("SET", "key:0000000001", strings.Repeat("v", 64))
			n := int64(0)
			for i := 0; n < 256<<20; i++ {
				for !l.Room(0) {
					l.Commit(GoalAppend)
				}
				l.Append(0, 0, p)
				n += int64(len(p))
				if i%turn == 0 {
					l.Commit(GoalAppend)
				}
			}
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(n)
			for b.Loop() {
				l, _, err := Open(o, nothing{})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := l.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

type nothing struct{}

func (nothing) LoadBase(string) error                { return nil }
func (nothing) Apply(p []byte, _ int64) (int, error) { return len(p), nil }
