package aof

import (
	"strings"
	"testing"
	"time"
)

func TestIdentity(t *testing.T) {
	o := Options{Dir: t.TempDir(), LoadTruncated: true}
	l, rec, _ := openT(t, o)
	if len(rec.Ancestors) > 0 || len(l.Ancestors()) > 0 {
		t.Fatalf("%+v", rec)
	}
	end := l.Append(0, 0, oneSet)
	l.Commit(GoalSync)
	var many []Ancestor
	for i := range 10 {
		many = append(many, Ancestor{newID(), int64(100 - i)})
	}
	many[0].End = end - 5
	id := newID()
	if err := l.SetIdentity(id, many); err != nil {
		t.Fatal(err)
	}
	check := func(gotID string, got []Ancestor) {
		t.Helper()
		if gotID != id || len(got) != 8 || got[0] != many[0] || got[7].ID != many[7].ID {
			t.Fatal(gotID, got)
		}
		for _, a := range got[1:] {
			if a.End > end {
				t.Fatal(got, end)
			}
		}
	}
	if a := l.Ancestors(); a[1] != many[1] {
		t.Fatal(a)
	}
	// Durable when it returns: what a process that dies now leaves behind.
	sc, err := readSmall(OSFS{}, l.path("appendonly.aof.tidemark"), 1<<20)
	if err != nil || !strings.Contains(string(sc), id) || strings.Count(string(sc), "ancestor ") != 8 {
		t.Fatalf("%v\n%s", err, sc)
	}
	for _, bad := range []string{"", "short", strings.Repeat("a", 39) + "\n", strings.Repeat("a", 41)} {
		if l.SetIdentity(bad, nil) == nil || l.SetIdentity(newID(), []Ancestor{{bad, 1}}) == nil {
			t.Fatalf("%q is taken", bad)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	rep, err := Inspect(nil, o.Dir, "")
	if err != nil || rep.Err != nil {
		t.Fatal(err, rep.Err)
	}
	check(rep.ID, rep.Ancestors)
	l, rec, _ = openT(t, o)
	check(rec.ID, rec.Ancestors)
	check(l.ID(), l.Ancestors())
	// Of a log opened Fresh the identity comes with its base, and until then a start finds the old one.
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	fresh := o
	fresh.Fresh, fresh.ID, fresh.StartOffset, fresh.Ancestors = true, newID(), 5000, []Ancestor{{newID(), 4000}}
	for _, commit := range []bool{false, true} {
		l, rec, err := Open(fresh, nil)
		if err != nil || rec.ID != fresh.ID || rec.Ancestors[0] != fresh.Ancestors[0] {
			t.Fatal(err, rec)
		}
		if commit {
			emptyLog(t, l)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l, rec, _ = openT(t, o)
		if !commit {
			check(rec.ID, rec.Ancestors)
		} else if rec.ID != fresh.ID || len(rec.Ancestors) != 1 || rec.Ancestors[0] != fresh.Ancestors[0] {
			t.Fatalf("%+v", rec)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOldSidecar: one that was written before there were ancestors, history and databases of bases.
func TestOldSidecar(t *testing.T) {
	m := &meta{id: newID(), base: &fileEntry{name: "b", typ: typeBase, start: 17}, incr: []*fileEntry{
		{name: "y", typ: typeIncr, state: stateClosed, epoch: 1, length: 2, chain: 3, start: 4, end: 5, tail: 6}}}
	text := string(m.sidecar())
	for _, word := range []string{"ancestor", "history", " db "} {
		if strings.Contains(text, word) {
			t.Fatalf("%q is written although there is none:\n%s", word, text)
		}
	}
	sc, err := parseSidecar([]byte(text))
	if err != nil || sc.id != m.id || len(sc.ancestors) > 0 || sc.known["b"].db != 0 || sc.known["y"].lineage != "" {
		t.Fatalf("%v %+v", err, sc)
	}
}

// TestLookWithoutWaiting: event loops ask who the log is and what it holds while files are being exchanged, which takes the disk's time.
func TestLookWithoutWaiting(t *testing.T) {
	l, _, _ := openT(t, Options{Dir: t.TempDir()})
	defer l.Close()
	l.Append(0, 0, oneSet)
	l.Commit(GoalSync)
	id, oldest := l.ID(), l.Oldest()
	l.metaMu.Lock()
	done := make(chan bool)
	go func() { done <- l.ID() == id && len(l.Ancestors()) == 0 && l.OldestSeen() == oldest }()
	select {
	case same := <-done:
		if !same {
			t.Error("it says something else meanwhile")
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits")
	}
	l.metaMu.Unlock()
	if got := l.OldestSeen(); got != oldest {
		t.Errorf("OldestSeen is %d, Oldest %d", got, oldest)
	}
}
