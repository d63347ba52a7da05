package aof

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// simReplayer rebuilds the stream. A base of the simulation is "REDIS" and the offset at which it is exact.
type simReplayer struct {
	fs    *simFS
	base  int64
	bytes []byte // what was applied on top of it
	next  int64
}

func (r *simReplayer) LoadBase(path string) error {
	p, err := readSmall(r.fs, path, 1<<20)
	if err != nil {
		return err
	}
	r.base, err = strconv.ParseInt(strings.TrimLeft(strings.TrimPrefix(string(p), "REDIS"), "0"), 10, 64)
	if string(p) == "REDIS0000000000" {
		r.base, err = 0, nil
	}
	r.next = r.base
	return err
}

func (r *simReplayer) Apply(p []byte, off int64) (int, error) {
	if off != r.next {
		return 0, fmt.Errorf("applied at offset %d, expected %d", off, r.next)
	}
	r.bytes = append(r.bytes, p...)
	r.next += int64(len(p))
	return len(p), nil
}

// sim is one life after another of a log in one directory.
type sim struct {
	t      *testing.T
	rng    *rand.Rand
	fs     *simFS
	l      *Log
	stream []byte // everything appended, from offset 0
	synced int64  // highest Synced seen
	faults bool
	opened bool
	based  bool // what the log holds can be recovered: not opened Fresh, or the first base has been committed
	log    []string
}

func (s *sim) options() Options {
	return Options{FS: s.fs, Dir: "d", Shards: 4, RingBytes: 4096, SegmentBytes: 16 << 10, BatchBytes: 1 << (7 + s.rng.IntN(6)),
		Policy: Policy(s.rng.IntN(3)), LoadTruncated: true, MappedBytes: []int{-1, 300, 1 << 20}[s.rng.IntN(3)], manual: true,
		Logf: func(level byte, f string, a ...any) {
			s.log = append(s.log, fmt.Sprintf("%c "+f, append([]any{level}, a...)...))
		}}
}

func (s *sim) fail(format string, a ...any) {
	s.t.Helper()
	s.t.Fatalf(format+"\nlog:\n%s\nfiles:\n%s", append(a, strings.Join(s.log, "\n"), s.fs.list())...)
}

// start opens the log and checks what recovery found.
func (s *sim) start() {
	r := &simReplayer{fs: s.fs}
	o := s.options()
	s.based = s.rng.IntN(6) > 0
	o.Fresh, o.StartOffset = !s.based, int64(len(s.stream))
	l, rec, err := Open(o, r)
	if !s.based && err == nil {
		if s.l = l; rec.Offset != o.StartOffset {
			s.fail("fresh at %d, asked for %d", rec.Offset, o.StartOffset)
		}
		return
	}
	if err != nil {
		s.fail("false alarm: %v (synced %d, appended %d)", err, s.synced, len(s.stream))
	}
	s.l = l
	switch {
	case rec.Offset < s.synced:
		s.fail("recovered up to %d, but %d was synced", rec.Offset, s.synced)
	case rec.Offset > int64(len(s.stream)):
		s.fail("recovered up to %d, but only %d was appended", rec.Offset, len(s.stream))
	case r.next != rec.Offset && rec.Payload > 0:
		s.fail("applied up to %d, recovered %d", r.next, rec.Offset)
	case !bytes.Equal(r.bytes, s.stream[r.base:r.base+int64(len(r.bytes))]):
		s.fail("recovered something else than was appended, between %d and %d", r.base, rec.Offset)
	case r.base+int64(len(r.bytes)) != rec.Offset:
		s.fail("base at %d, %d bytes applied, but recovered up to %d", r.base, len(r.bytes), rec.Offset)
	}
	s.stream = s.stream[:rec.Offset]
	s.synced = rec.Offset
}

// see notes what a client could have been told.
func (s *sim) see() {
	if y := s.l.Synced(); y > s.synced && s.based {
		s.synced = y
	}
	if s.l.Synced() > s.l.Appended() || s.l.Appended() > s.l.Reserved() {
		s.fail("watermarks out of order")
	}
}

func (s *sim) append() {
	shard := s.rng.IntN(4)
	if !s.l.Room(shard) {
		s.l.Commit(GoalAppend)
		if !s.l.Room(shard) {
			if s.l.Err() == nil && !s.l.mustMove.Load() && !s.l.isFull.Load() {
				s.fail("no room although everything is drained")
			}
			return
		}
	}
	size := s.rng.IntN(60)
	switch s.rng.IntN(20) {
	case 0:
		size = 200 + s.rng.IntN(2000) // by reference
	case 1:
		size = 100 + s.rng.IntN(156)
	}
	p := command("SET", strconv.Itoa(len(s.stream)), strings.Repeat(string(rune('a'+s.rng.IntN(26))), size))
	db := s.rng.IntN(2)
	var sel []byte
	if d := int(s.l.tail.Load() & dbUnknown); d != db {
		sel = makeSelect(db)
	}
	// What is appended may be recovered from the moment it is in the ring.
	s.stream = append(append(s.stream, sel...), p...)
	if end := s.l.Append(shard, db, p); end != int64(len(s.stream)) {
		s.fail("end %d, expected %d", end, len(s.stream))
	}
}

// life runs until the power goes or it is closed. It returns false when it was closed.
func (s *sim) life() (lost bool) {
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(powerLoss); !ok {
				panic(p)
			}
			lost = true
		}
	}()
	s.opened = false
	s.start()
	s.opened = true
	at := time.Unix(0, 0)
	var rw *Rewrite
	for n := s.rng.IntN(200); n > 0; n-- {
		switch k := s.rng.IntN(100); {
		case k < 60:
			s.append()
		case k < 75:
			s.l.Commit(GoalSync)
		case k < 85:
			s.l.Commit(GoalAppend)
		case k < 90:
			if err := s.l.keeperStep(); err != nil && !s.faults {
				s.fail("keeper: %v", err)
			}
		case k < 95:
			at = at.Add(time.Duration(s.rng.IntN(1500)) * time.Millisecond)
			s.l.syncerStep(at)
		case k < 96:
			s.l.SetPolicy(Policy(s.rng.IntN(3)))
		case k < 98 && rw == nil:
			x := s.l.Mark()
			var err error
			if rw, err = s.l.BeginRewrite(x); err != nil {
				if !s.faults {
					s.fail("rewrite: %v", err)
				}
				rw = nil
				break
			}
			fmt.Fprintf(rw, "REDIS%010d", x)
		case rw != nil:
			if s.rng.IntN(4) == 0 {
				rw.Abort()
			} else if err := rw.Commit(); err == nil {
				s.based = true
			} else if !s.faults {
				s.fail("rewrite: %v", err)
			}
			rw = nil
		}
		s.see()
	}
	if s.rng.IntN(3) == 0 {
		s.fs.crashAt = s.fs.ops + 1 + s.rng.IntN(20) // while it closes, perhaps
	}
	err := s.l.Close()
	if err == nil && s.l.Synced() != s.l.Reserved() {
		s.fail("closed without an error at %d, reserved %d", s.l.Synced(), s.l.Reserved())
	}
	if err != nil && !s.faults {
		s.fail("close: %v", err)
	}
	s.see()
	return false
}

// crashes is how many power losses the test simulates: TIDEMARK_POWERLOSSES, or a few thousand.
func crashes(t testing.TB) int {
	n := 3000
	if v := os.Getenv("TIDEMARK_POWERLOSSES"); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	} else if testing.Short() {
		n = 300
	}
	return n
}

func simulate(t *testing.T, seed uint64, faults bool) (lost int) {
	rng := rand.New(rand.NewPCG(seed, 1))
	s := &sim{t: t, rng: rng, fs: newSimFS(rng), faults: faults}
	s.fs.torn = rng.IntN(2) == 0
	s.log = append(s.log, fmt.Sprintf("TIDEMARK_SEED=%d", seed))
	for range 12 {
		s.fs.ops, s.fs.crashAt = 0, 1+rng.IntN(400)
		s.fs.script = nil
		if faults && rng.IntN(2) == 0 {
			s.fs.script = s.faultScript()
		}
		lossy := s.life()
		s.log = append(s.log, fmt.Sprintf("-- power lost %v at operation %d, synced %d", lossy, s.fs.ops, s.synced))
		if lossy {
			lost++
			s.fs = s.fs.crash()
		} else {
			s.fs.script = nil
		}
	}
	return lost
}

// faultScript makes some operations of a life fail, once it has opened.
func (s *sim) faultScript() func(op, name string) error {
	kind := s.rng.IntN(3)
	from := 20 + s.rng.IntN(100)
	to := from + 1 + s.rng.IntN(30)
	n := 0
	return func(op, name string) error {
		if !s.opened {
			return nil
		}
		n++
		if n < from || n >= to {
			return nil
		}
		switch {
		case kind == 0 && op == "sync":
			return &os.PathError{Op: "fdatasync", Path: name, Err: syscall.EIO}
		case kind == 1 && (op == "write" || op == "create" || op == "allocate"):
			return &os.PathError{Op: op, Path: name, Err: syscall.ENOSPC}
		case kind == 2 && (op == "write" || op == "sync"):
			return &os.PathError{Op: op, Path: name, Err: syscall.EIO}
		}
		return nil
	}
}

func TestPowerLoss(t *testing.T) {
	want := crashes(t)
	base := uint64(time.Now().UnixNano())
	if v := os.Getenv("TIDEMARK_SEED"); v != "" {
		base, _ = strconv.ParseUint(v, 10, 64)
	}
	t.Logf("seeds from %d", base)
	lost := 0
	for seed := base; lost < want; seed++ {
		lost += simulate(t, seed, false)
	}
}

func TestPowerLossWithFaults(t *testing.T) {
	want := crashes(t)
	base := uint64(time.Now().UnixNano())
	if v := os.Getenv("TIDEMARK_SEED"); v != "" {
		base, _ = strconv.ParseUint(v, 10, 64)
	}
	t.Logf("seeds from %d", base)
	lost := 0
	for seed := base; lost < want; seed++ {
		lost += simulate(t, seed, true)
	}
}

// TestDamage flips a bit in data of which the log knows that it was durable: that must never pass for a torn tail.
func TestDamage(t *testing.T) {
	base := uint64(time.Now().UnixNano())
	if v := os.Getenv("TIDEMARK_SEED"); v != "" {
		base, _ = strconv.ParseUint(v, 10, 64)
	}
	t.Logf("seeds from %d", base)
	flips := 0
	for seed := base; flips < crashes(t)/3; seed++ {
		rng := rand.New(rand.NewPCG(seed, 2))
		s := &sim{t: t, rng: rng, fs: newSimFS(rng)}
		s.log = append(s.log, fmt.Sprintf("TIDEMARK_SEED=%d", seed))
		s.fs.crashAt = 30 + rng.IntN(300)
		if s.life() {
			s.fs = s.fs.crash()
		}
		s.fs.crashAt = 0
		lost := rng.IntN(2) == 0
		for s.start(); !s.based; s.start() {
		}
		for range 1 + rng.IntN(50) {
			s.append()
			if rng.IntN(3) == 0 {
				s.l.Commit(GoalSync)
			}
			if rng.IntN(8) == 0 {
				s.l.keeperStep()
			}
		}
		if !s.l.Commit(GoalSync) {
			s.fail("not synced: %v", s.l.Err())
		}
		s.l.closingBatch()
		if err := s.l.keeperStep(); err != nil { // seals what rotation left behind
			s.fail("keeper: %v", err)
		}
		s.see()
		// Every file and how many of its bytes are proven.
		type proven struct {
			name string
			n    int64
		}
		var files []proven
		if lost {
			for _, e := range s.l.meta.incr {
				if e.state == stateClosed && e.length > 0 {
					files = append(files, proven{e.name, e.length})
				}
			}
			for _, f := range append(s.l.full, s.l.active) {
				h := int64(0) // the closing batch itself is not proven
				if f == s.l.active {
					h = headerBytes
				}
				if f.pos > h {
					files = append(files, proven{f.entry.name, f.pos - h})
				}
			}
			s.fs = s.fs.crash()
		} else {
			if err := s.l.Close(); err != nil {
				s.fail("close: %v", err)
			}
			for _, e := range s.l.meta.incr {
				if e.length > 0 {
					files = append(files, proven{e.name, e.length})
				}
			}
		}
		f := files[rng.IntN(len(files))]
		at := rng.Int64N(f.n)
		s.fs.names["d/"+f.name].cur[at] ^= 1 << rng.IntN(8)
		_, _, err := Open(s.options(), &simReplayer{fs: s.fs})
		var damage *DamageError
		if !errors.As(err, &damage) {
			s.fail("a bit flipped at byte %d of %s went unnoticed: %v", at, f.name, err)
		}
		// Where a segment's first batch is damaged, the log ends behind the segment before it.
		if damage.File == "d/"+f.name && damage.Pos > at || damage.File > "d/"+f.name && len(damage.File) >= len("d/"+f.name) {
			s.fail("a bit flipped at byte %d of %s was reported as %v", at, f.name, err)
		}
		if _, err := Repair(s.fs, "d", ""); err != nil {
			s.fail("repair: %v", err)
		}
		r := &simReplayer{fs: s.fs}
		l, rec, err := Open(s.options(), r)
		if err != nil || rec.Offset < r.base || !bytes.Equal(r.bytes, s.stream[r.base:rec.Offset]) || rec.Offset < damage.Offset && r.base == 0 {
			s.fail("after the repair: %v, %+v, base %d, damage at %d", err, rec, r.base, damage.Offset)
		}
		if err := l.Close(); err != nil {
			s.fail("close after the repair: %v", err)
		}
		flips++
	}
}
