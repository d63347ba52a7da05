package aof

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

func TestMemoryLog(t *testing.T) {
	w := newWakeups()
	tl := NewTail()
	tl.SetLimits(64<<20, 0)
	old := Ancestor{newID(), 900}
	o := Options{Memory: true, Shards: 4, RingBytes: 16 << 10, StartOffset: 1000, Tail: tl, Notify: w.notify, Ancestors: []Ancestor{old, {old.ID, 5000}}}
	l, rec, err := Open(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if l.OnDisk() || rec.Offset != 1000 || len(rec.ID) != 40 || rec.NeedsBase || len(rec.Ancestors) != 2 || rec.Ancestors[1].End != 1000 {
		t.Fatalf("%+v", rec)
	}
	// Off: bytes are dropped, and the log moves all the same.
	end := l.Append(0, 0, oneSet)
	if !l.Commit(GoalSync) || l.Synced() != end || l.Appended() != end {
		t.Fatalf("%+v", l.Stats())
	}
	if n, err := l.ReadAt(end, make([]byte, 10)); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatal(n, err)
	}
	if _, err := l.ReadAt(1000, make([]byte, 10)); !errors.Is(err, ErrTrimmed) || l.Oldest() != end {
		t.Fatal(err)
	}
	if _, err := l.BeginRewrite(l.Mark()); err == nil {
		t.Fatal("a rewrite without files")
	}
	l.SetPolicy(Always)
	tl.Start(l.Reserved())
	from := l.Reserved()
	var locks [4]sync.Mutex
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 3000 {
				sh := (g + i) % 4
				p := command("SET", fmt.Sprintf("g%d-%d", g, i), strings.Repeat("x", i*11%3000))
				for done := false; !done; {
					locks[sh].Lock()
					if l.Room(sh) {
						l.Append(sh, 0, p)
						done = true
					}
					locks[sh].Unlock()
					if !done || i%9 == 0 {
						l.Commit(Goal(i % 2))
					}
				}
			}
		}()
	}
	wg.Wait()
	end = l.Reserved()
	l.Commit(GoalSync)
	w.until(t, func() { l.WantSynced(end) }, func() bool { return l.Synced() == end })
	p := followed(t, tl, from)
	if bytes.Count(p, []byte("SET\r\n")) != 9000 || tl.End() != end {
		t.Fatal("records are missing")
	}
	for len(p) > 0 {
		n, _, fr, _ := scanCommand(p)
		if fr != frameWhole {
			t.Fatalf("%q", p[:min(len(p), 100)])
		}
		p = p[n:]
	}
	id := newID()
	if err := l.SetIdentity(id, []Ancestor{{rec.ID, end}}); err != nil || l.ID() != id || l.Ancestors()[0].ID != rec.ID {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if s := l.Stats(); s.Synced != end || s.Segments != 0 {
		t.Fatalf("%+v", s)
	}
}
