package aof

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestReadAt(t *testing.T) {
	o := Options{Dir: t.TempDir(), Shards: 2, RingBytes: 64 << 10, SegmentBytes: 128 << 10, Policy: No, LoadTruncated: true}
	l, _, _ := openT(t, o)
	var want []byte
	base := int64(0)
	check := func() {
		t.Helper()
		if got := l.Oldest(); got != base {
			t.Fatalf("oldest %d, want %d", got, base)
		}
		for range 50 {
			off := base + rand.Int64N(l.Appended()-base)
			p := make([]byte, 1+rand.IntN(200<<10))
			n, err := l.ReadAt(off, p)
			if w := min(len(p), int(l.Appended()-off)); err != nil || n != w || !bytes.Equal(p[:n], want[off:off+int64(n)]) {
				t.Fatalf("ReadAt(%d, %d bytes): %d, %v; want %d", off, len(p), n, err, w)
			}
		}
		if n, err := l.ReadAt(l.Appended(), make([]byte, 10)); n != 0 || !errors.Is(err, io.EOF) {
			t.Fatal(n, err)
		}
		if base > 0 {
			if _, err := l.ReadAt(base-1, make([]byte, 10)); !errors.Is(err, ErrTrimmed) {
				t.Fatal(err)
			}
		}
	}
	add := func(n int) {
		for i := range n {
			p := command("SET", "k", strings.Repeat(string(rune('a'+i%26)), rand.IntN(3000)))
			for !l.Room(i % 2) {
				l.Commit(GoalAppend)
			}
			if l.tail.Load()&dbUnknown != 0 {
				want = append(want, makeSelect(0)...)
			}
			want = append(want, p...)
			l.Append(i%2, 0, p)
			if rand.IntN(5) == 0 {
				l.Commit(GoalAppend)
			}
		}
		l.Commit(GoalSync)
	}
	add(500)
	check()
	base = l.Mark()
	rw, err := l.BeginRewrite(base)
	if err != nil {
		t.Fatal(err)
	}
	add(300)
	if err := rw.Commit(); err != nil {
		t.Fatal(err)
	}
	check()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, _, _ = openT(t, o)
	add(100)
	check()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
