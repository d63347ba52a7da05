package aof

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestFollow: what is followed stands in the log as it came, with sizes on both sides of every limit, and the first effect of our own
// names its database.
func TestFollow(t *testing.T) {
	for _, memory := range []bool{false, true} {
		tl := NewTail()
		tl.SetLimits(1<<30, 0)
		tl.Start(5000)
		o := Options{Dir: t.TempDir(), Shards: 2, RingBytes: 64 << 10, SegmentBytes: 256 << 10, Fresh: true, StartOffset: 5000, Tail: tl, Memory: memory}
		l, _, _ := openT(t, o)
		var want []byte
		for i := range 1000 {
			var p []byte
			for n := rand.IntN(4) * rand.IntN(20000); ; {
				p = append(p, command("SET", fmt.Sprint(i), strings.Repeat("v", rand.IntN(3000)))...)
				if len(p) > n {
					break
				}
			}
			for !l.Room(0) {
				l.Commit(GoalAppend)
			}
			want = append(want, p...)
			if end := l.Follow(p, i%5); end != 5000+int64(len(want)) || l.Reserved() != end {
				t.Fatal(end, len(want))
			}
			clear(p) // it was copied
			if i%3 == 0 {
				l.Commit(GoalAppend)
			}
		}
		if l.Follow(nil, 3) != l.Reserved() {
			t.Fatal("nothing is something")
		}
		l.Append(1, 2, oneSet)
		want = append(append(want, makeSelect(2)...), oneSet...)
		l.Commit(GoalAppend)
		if l.refBytes.Load() != 0 {
			t.Fatal("bytes by reference are kept")
		}
		if !bytes.Equal(followed(t, tl, 5000), want) {
			t.Fatal("the tail differs from what was followed")
		}
		if !memory {
			p := make([]byte, len(want))
			if n, err := l.ReadAt(5000, p); err != nil || n != len(p) || !bytes.Equal(p, want) {
				t.Fatal("the log differs from what was followed", n, err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFollowAllocatesNothing(t *testing.T) {
	for _, size := range []int{100, 10 << 10, 250 << 10} {
		l, _, _ := openT(t, Options{Memory: true})
		p := command("SET", "key", strings.Repeat("v", size))
		step := func() {
			if l.Room(0) {
				l.Follow(p, 3)
			}
			if !l.Commit(GoalAppend) {
				t.Fatal(l.Err())
			}
		}
		step()
		if n := testing.AllocsPerRun(500, step); n > 0.01 {
			t.Fatalf("%v allocations for %d bytes", n, size)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
