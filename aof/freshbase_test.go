package aof

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestBaseFileCrash takes the power away at every operation of an Open that begins with a received base, with everything that may
// survive: the next start finds the old content or the new, whole, and nothing of the other is left.
func TestBaseFileCrash(t *testing.T) {
	for _, had := range []string{"nothing", "a log", "a log without its base", "a crashed log"} {
		t.Run(had, func(t *testing.T) {
			oldFound, newFound, step := 0, 0, 1
			for done := false; !done; step++ {
				for seed := range uint64(12) {
					rng := rand.New(rand.NewPCG(seed, uint64(step)))
					s := newSim(t, rng, false)
					s.log = append(s.log, fmt.Sprintf("step %d, seed %d", step, seed))
					s.prepare(had)
					had := s.world
					s.fs.ops, s.fs.crashAt = 0, step
					lost := s.lost(s.receive)
					s.fs.crashAt = 0
					if done = !lost; lost {
						s.fs = s.fs.crash()
					} else if err := s.l.Close(); err != nil {
						s.fail("%v", err)
					}
					for s.based = false; !s.based; s.start() { // not receive again
						s.other, s.otherID = s.orNever()
					}
					if s.from == had.from {
						oldFound++
					} else {
						newFound++
					}
					for range 20 {
						s.append(true)
						s.l.Commit(GoalAppend)
					}
					if err := s.l.keeperStep(); err != nil {
						s.fail("%v", err)
					}
					if err := s.l.Close(); err != nil {
						s.fail("%v", err)
					}
					s.stock()
					// Nothing but what is in use is left.
					for name := range s.fs.names {
						used := name == "received.rdb" || strings.HasSuffix(name, ".manifest") || strings.HasSuffix(name, ".tidemark") ||
							strings.Contains(name, sparePrefix)
						for _, e := range append(append(s.l.meta.incr[:len(s.l.meta.incr):len(s.l.meta.incr)], s.l.meta.kept...), s.l.meta.base) {
							used = used || e != nil && name == "d/"+e.name
						}
						if !used {
							s.fail("%s is left behind", name)
						}
					}
				}
			}
			if step < 12 || oldFound < 12 || newFound < 12 {
				t.Fatalf("%d steps, the old content found %d times, the new %d times", step, oldFound, newFound)
			}
			t.Logf("%d steps, the old content found %d times, the new %d times", step, oldFound, newFound)
		})
	}
}

// orNever gives the world that a start is to look for, or one that it cannot find.
func (s *sim) orNever() (*world, string) {
	if s.other != nil {
		return s.other, s.otherID
	}
	return &world{}, "never"
}

// lost says whether the power went while f ran.
func (s *sim) lost(f func()) (lost bool) {
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(powerLoss); !ok {
				panic(p)
			}
			lost = true
		}
	}()
	f()
	return false
}

// prepare makes the directory one that was in use.
func (s *sim) prepare(had string) {
	if had == "nothing" {
		return
	}
	s.other, s.otherID = s.orNever()
	s.start()
	s.other = nil
	for i := range 60 {
		s.append(i%20 < 10)
		s.l.Commit(GoalSync)
		if i%10 == 0 {
			s.l.keeperStep()
		}
		if i%20 != 19 || had == "a log without its base" {
			continue
		}
		x := s.l.Mark()
		rw, err := s.l.BeginRewrite(x)
		if err != nil {
			s.fail("%v", err)
		}
		fmt.Fprintf(rw, "REDIS%010d %d", x, s.db())
		if err := rw.Commit(); err != nil {
			s.fail("%v", err)
		}
	}
	s.see()
	if had == "a crashed log" {
		s.fs = s.fs.crash()
	} else if err := s.l.Close(); err != nil {
		s.fail("%v", err)
	}
}

// TestBaseFileFails: an error on the way is reported, and the directory is one or the other.
func TestBaseFileFails(t *testing.T) {
	var names []string
	for step := 1; ; step++ {
		s := newSim(t, rand.New(rand.NewPCG(1, uint64(step))), true)
		s.prepare("a log")
		n := 0
		s.fs.script = func(op, name string) error {
			if n++; n != step {
				return nil
			}
			names = append(names, op+" "+name)
			return &fs.PathError{Op: op, Path: name, Err: syscall.EIO}
		}
		f, err := s.fs.Create("received.rdb")
		if err == nil {
			_, err = f.WriteAt([]byte("REDIS0000077777 0"), 0)
		}
		o := s.options()
		o.Fresh, o.StartOffset, o.BaseFile, o.ID = true, 77777, "received.rdb", newID()
		var l *Log
		if err == nil {
			l, _, err = Open(o, nil)
		}
		s.fs.script = nil
		if err == nil {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if n < step {
				break
			}
			continue // it did not matter
		}
		if !errors.Is(err, syscall.EIO) {
			t.Fatal(err)
		}
		r := &simReplayer{fs: s.fs}
		l, rec, err := Open(s.options(), r)
		if err != nil || rec.ID == o.ID && rec.Offset != 77777 || rec.ID != o.ID && rec.Offset != int64(len(s.stream)) {
			t.Fatalf("after an error at %s: %v, %+v", names[len(names)-1], err, rec)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(names) < 10 {
		t.Fatal(names)
	}
}

func TestBaseFileOptions(t *testing.T) {
	dir := t.TempDir()
	for why, o := range map[string]Options{
		"not opened fresh": {Dir: dir, BaseFile: "x"},
		"no database":      {Dir: dir, Fresh: true, BaseFile: "x", BaseDB: -1},
		"not consist of":   {Dir: dir, Fresh: true, ID: "short"},
		"no such file":     {Dir: dir, Fresh: true, BaseFile: filepath.Join(dir, "x")},
	} {
		if _, _, err := Open(o, nil); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%v, want %q", err, why)
		}
	}
}

// TestReceivedBase goes through it on a real disk: a replica's directory, what it says of itself, and what comes after.
func TestReceivedBase(t *testing.T) {
	dir := t.TempDir()
	o := Options{Dir: filepath.Join(dir, "aof"), SegmentBytes: 64 << 10, HistoryBytes: 1 << 20, LoadTruncated: true}
	l, _, _ := openT(t, o)
	l.Append(0, 0, oneSet)
	l.Commit(GoalSync)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	received := filepath.Join(dir, "temp-received.rdb")
	if err := os.WriteFile(received, emptyBase, 0o644); err != nil {
		t.Fatal(err)
	}
	fresh := o
	fresh.Fresh, fresh.StartOffset, fresh.BaseFile, fresh.BaseDB, fresh.ID = true, 9000, received, 7, newID()
	fresh.Ancestors = []Ancestor{{newID(), 8000}}
	l, rec, err := Open(fresh, nil)
	if err != nil || rec.NeedsBase || !rec.Existed || rec.Offset != 9000 || rec.ID != fresh.ID || l.Oldest() != 9000 {
		t.Fatal(err, rec)
	}
	for i := range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		var r *tape
		l, rec, r = openT(t, o)
		if rec.NeedsBase || !rec.Existed || rec.Offset != 9000 || rec.ID != fresh.ID || len(rec.Ancestors) != 1 || rec.Ancestors[0] != fresh.Ancestors[0] ||
			r.base == "" || r.db != 7 || len(r.bytes) > 0 {
			t.Fatalf("start %d: %+v, %+v", i, rec, r)
		}
	}
	end := l.Follow(oneSet, 7)
	l.Commit(GoalSync)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, rec, r := openT(t, o)
	if rec.Offset != end || r.db != 7 || string(r.bytes) != string(oneSet) || r.start != 9000 {
		t.Fatalf("%+v, %+v", rec, r)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := OSFS{}.ReadDir(o.Dir)
	if err != nil || len(names) != 4 {
		t.Fatal(err, names)
	}
}
