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

// simReplayer rebuilds the stream. A base of the simulation is "REDIS", the offset at which it is exact, and the database the stream is in
// there. The value of each SET
// begins with the database that it belongs to.
type simReplayer struct {
	fs    *simFS
	base  int64
	bytes []byte // what was applied on top of it
	next  int64
	db    int
}

func (r *simReplayer) LoadBase(path string) error {
	p, err := readSmall(r.fs, path, 1<<20)
	if err != nil {
		return err
	}
	_, err = fmt.Sscanf(string(p), "REDIS%010d %d", &r.base, &r.db)
	r.next = r.base
	return err
}

func (r *simReplayer) Apply(p []byte, off int64) (int, error) {
	if off == NotLogged {
		db, ok := selected(p)
		if !ok {
			return 0, fmt.Errorf("%q is not part of the log", p)
		}
		r.db = db
		return len(p), nil
	}
	if off != r.next {
		return 0, fmt.Errorf("applied at offset %d, expected %d", off, r.next)
	}
	var err error
	r.db, err = rightDatabases(p, r.db)
	r.bytes = append(r.bytes, p...)
	r.next += int64(len(p))
	return len(p), err
}

// rightDatabases follows p from database db on and looks whether each SET comes to the one that it was meant for.
func rightDatabases(p []byte, db int) (int, error) {
	for len(p) > 0 {
		n, kind, fr, _ := scanCommand(p)
		if fr != frameWhole {
			return db, fmt.Errorf("not a command: %.100q", p)
		}
		if d, ok := selected(p[:n]); ok {
			db = d
		} else if kind == kindOther {
			words := bytes.Split(p[:n], []byte("\r\n"))
			if want, _, ok := bytes.Cut(words[6], []byte(":")); !ok || string(want) != strconv.Itoa(db) {
				return db, fmt.Errorf("%.100q came to database %d", p[:n], db)
			}
		}
		p = p[n:]
	}
	return db, nil
}

// world is what one directory, as a crash may leave it, stands for.
type world struct {
	stream []byte // everything appended, from offset 0
	from   int64  // what lies before is made up: the log began here with a base
	fromDB int    // the database the stream is in there
	synced int64  // highest Synced seen

	seen, seenDB int // db's: it knows that the stream is in seenDB at seen
}

// db gives the database at the end of the stream.
func (w *world) db() int {
	if w.seen <= int(w.from) || w.seen > len(w.stream) {
		w.seen, w.seenDB = int(w.from), w.fromDB
	}
	db, err := rightDatabases(w.stream[w.seen:], w.seenDB)
	if err != nil {
		panic(err)
	}
	w.seen, w.seenDB = len(w.stream), db
	return db
}

// sim is one life after another of a log in one directory.
type sim struct {
	t   *testing.T
	rng *rand.Rand
	fs  *simFS
	l   *Log
	world
	other   *world          // what the directory stands for if it is found under otherID: the power went while it was being replaced
	otherID string          //
	ids     map[string]bool // replication ids that may be found; empty: any
	parents map[string]string
	faults  bool
	opened  bool
	based   bool  // what the log holds can be recovered: not opened Fresh, or the first base has been committed
	oldest  int64 // when it was closed; -1: it was not, or not cleanly
	pin     *Pin
	tail    *Tail // of this life
	log     []string
}

func newSim(t *testing.T, rng *rand.Rand, faults bool) *sim {
	return &sim{t: t, rng: rng, fs: newSimFS(rng), faults: faults, ids: map[string]bool{}, parents: map[string]string{}, oldest: -1}
}

func (s *sim) options() Options {
	return Options{FS: s.fs, Dir: "d", Shards: 4, RingBytes: 4096, SegmentBytes: 16 << 10, BatchBytes: 1 << (7 + s.rng.IntN(6)),
		Policy: Policy(s.rng.IntN(3)), LoadTruncated: true, MappedBytes: []int{-1, 300, 1 << 20}[s.rng.IntN(3)], manual: true,
		HistoryBytes: []int64{0, 5 << 10, 60 << 10, 1 << 30}[s.rng.IntN(4)], Tail: s.tail,
		Logf: func(level byte, f string, a ...any) {
			s.log = append(s.log, fmt.Sprintf("%c "+f, append([]any{level}, a...)...))
		}}
}

func (s *sim) fail(format string, a ...any) {
	s.t.Helper()
	s.t.Fatalf(format+"\nlog:\n%s\nfiles:\n%s", append(a, strings.Join(s.log, "\n"), s.fs.list())...)
}

// newID draws an id that descends from another.
func (s *sim) newID(parent string) (string, []Ancestor) {
	id := newID()
	s.parents[id] = parent
	return id, []Ancestor{{parent, int64(len(s.stream)) + s.rng.Int64N(5000)}}
}

// start opens the log and checks what recovery found.
func (s *sim) start() {
	kind := s.rng.IntN(10)
	if s.other != nil {
		kind = 9 // find out first which world it is
	}
	oldest := s.oldest
	s.oldest, s.pin, s.tail = -1, nil, NewTail()
	switch kind {
	case 0: // AOF switched on at run time
		o := s.options()
		o.Fresh, o.StartOffset = true, int64(len(s.stream))
		o.ID, o.Ancestors = s.newID(newID())
		l, rec, err := Open(o, nil)
		if err != nil {
			s.fail("fresh: %v", err)
		}
		if s.l, s.based = l, false; rec.Offset != o.StartOffset || rec.ID != o.ID {
			s.fail("fresh at %d, asked for %d", rec.Offset, o.StartOffset)
		}
		return
	case 1:
		s.receive()
		return
	}
	r := &simReplayer{fs: s.fs}
	l, rec, err := Open(s.options(), r)
	if err != nil {
		s.fail("false alarm: %v (synced %d, appended %d)", err, s.synced, len(s.stream))
	}
	s.l, s.based = l, true
	if s.other != nil {
		if rec.ID == s.otherID {
			s.world = *s.other
			s.ids = map[string]bool{s.otherID: true}
			if r.base != s.from {
				s.fail("the new base is not there")
			}
		}
		s.other = nil
	}
	switch {
	case rec.Offset < s.synced:
		s.fail("recovered up to %d, but %d was synced", rec.Offset, s.synced)
	case rec.Offset > int64(len(s.stream)):
		s.fail("recovered up to %d, but only %d was appended", rec.Offset, len(s.stream))
	case r.next != rec.Offset && rec.Payload > 0:
		s.fail("applied up to %d, recovered %d", r.next, rec.Offset)
	case r.base < s.from:
		s.fail("the base of another time, exact at %d", r.base)
	case !bytes.Equal(r.bytes, s.stream[r.base:r.base+int64(len(r.bytes))]):
		s.fail("recovered something else than was appended, between %d and %d", r.base, rec.Offset)
	case r.base+int64(len(r.bytes)) != rec.Offset:
		s.fail("base at %d, %d bytes applied, but recovered up to %d", r.base, len(r.bytes), rec.Offset)
	case len(s.ids) > 0 && !s.ids[rec.ID] && !s.ids["any"] || l.ID() != rec.ID:
		s.fail("the replication id is %s, expected one of %v", rec.ID, s.ids)
	case s.parents[rec.ID] != "" && (len(rec.Ancestors) == 0 || rec.Ancestors[0].ID != s.parents[rec.ID] || rec.Ancestors[0].End > rec.Offset):
		s.fail("the ancestors of %s are %+v at offset %d, expected %s", rec.ID, rec.Ancestors, rec.Offset, s.parents[rec.ID])
	}
	s.stream = s.stream[:rec.Offset]
	s.synced = rec.Offset
	s.ids = map[string]bool{rec.ID: true}
	if db := s.db(); r.db != db {
		s.fail("after recovery the stream is in database %d, not %d", r.db, db)
	}
	if oldest >= 0 && l.Oldest() != oldest {
		s.fail("when it was closed, the log could be read from offset %d on, now %d", oldest, l.Oldest())
	}
	s.read()
}

// receive begins anew with a data set that came from a primary.
func (s *sim) receive() {
	x := s.rng.Int64N(20000)
	w := &world{stream: make([]byte, x), from: x, fromDB: s.rng.IntN(3), synced: x}
	o := s.options()
	o.Fresh, o.StartOffset, o.BaseFile, o.BaseDB = true, x, "received.rdb", w.fromDB
	o.ID, o.Ancestors = s.newID(newID())
	f, err := s.fs.Create(o.BaseFile)
	if err == nil {
		_, err = fmt.Fprintf(writerAt{f}, "REDIS%010d 0", x) // BaseDB says it
	}
	if err != nil {
		s.fail("%v", err)
	}
	s.other, s.otherID = w, o.ID
	l, rec, err := Open(o, nil)
	if err != nil || rec.Offset != x || rec.ID != o.ID || rec.NeedsBase {
		s.fail("%v, %+v", err, rec)
	}
	s.l, s.world, s.based, s.other, s.ids = l, *w, true, nil, map[string]bool{o.ID: true}
}

type writerAt struct{ f File }

func (w writerAt) Write(p []byte) (int, error) { return w.f.WriteAt(p, 0) }

// see notes what a client could have been told.
func (s *sim) see() {
	if y := s.l.Synced(); y > s.synced && s.based {
		s.synced = y
	}
	if s.l.Synced() > s.l.Appended() || s.l.Appended() > s.l.Reserved() {
		s.fail("watermarks out of order")
	}
	if s.pin != nil && !s.faults && s.l.Oldest() > s.pin.Offset() {
		s.fail("offset %d is pinned, but the log begins at %d", s.pin.Offset(), s.l.Oldest())
	}
}

// read looks at all that can be read by offset.
func (s *sim) read() {
	off := s.l.Oldest()
	if off < s.from {
		s.fail("the log can be read from %d on, but begins at %d", off, s.from)
	}
	p := make([]byte, 1+s.rng.IntN(5000))
	for off < s.l.Appended() {
		n, err := s.l.ReadAt(off, p)
		if err != nil || !bytes.Equal(p[:n], s.stream[off:off+int64(n)]) {
			s.fail("reading at offset %d: %d bytes, %v: %.100q, expected %.100q", off, n, err, p[:n], s.stream[off:])
		}
		off += int64(n)
	}
	s.readTail()
}

// readTail looks at what is in memory: the same, up to what is appended at least, whatever the disk did.
func (s *sim) readTail() {
	if !s.tail.On() {
		return
	}
	first, end := s.tail.First(), s.tail.End()
	p := make([]byte, end-first)
	n, err := s.tail.Read(first, p)
	if err != nil || n != len(p) || end > int64(len(s.stream)) || !bytes.Equal(p, s.stream[first:end]) || end < s.l.Appended() && first < s.l.Appended() {
		s.fail("in memory is [%d, %d), appended %d, reserved %d: %d bytes, %v", first, end, s.l.Appended(), s.l.Reserved(), n, err)
	}
}

func (s *sim) append(follow bool) {
	shard := s.rng.IntN(4)
	if follow {
		shard = 0
	}
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
	set := func(db int) []byte {
		return command("SET", strconv.Itoa(len(s.stream)), fmt.Sprintf("%d:%s", db, strings.Repeat(string(rune('a'+s.rng.IntN(26))), size)))
	}
	if follow {
		before := s.db()
		var p []byte
		for db := before; len(p) == 0 || s.rng.IntN(2) == 0; {
			if s.rng.IntN(4) == 0 {
				db = s.rng.IntN(3)
				p = append(p, makeSelect(db)...)
			}
			p = append(p, set(db)...)
		}
		s.stream = append(s.stream, p...)
		if end := s.l.Follow(p, before); end != int64(len(s.stream)) {
			s.fail("end %d, expected %d", end, len(s.stream))
		}
		return
	}
	db := s.rng.IntN(2)
	p := set(db)
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

// stock looks at the files of a closed directory as stock Redis does: each of them begins at database 0.
func (s *sim) stock() {
	p, err := readSmall(s.fs, "d/appendonly.aof.manifest", 1<<20)
	if err != nil {
		return // no AOF yet
	}
	m, err := parseManifest(p)
	if err != nil {
		s.fail("%v", err)
	}
	for _, e := range m.incr {
		p, err := readSmall(s.fs, "d/"+e.name, 1<<20)
		if err != nil {
			s.fail("%v", err)
		}
		var plain []byte
		for len(p) > 0 {
			n, kind, fr, _ := scanCommand(p)
			if fr != frameWhole {
				s.fail("%s has something else than commands: %.100q", e.name, p)
			}
			if kind != kindAnnotation {
				plain = append(plain, p[:n]...)
			}
			p = p[n:]
		}
		if _, err := rightDatabases(plain, 0); err != nil {
			s.fail("stock Redis loads %s wrongly: %v", e.name, err)
		}
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
	follow := s.rng.IntN(2) == 0
	for n := s.rng.IntN(200); n > 0; n-- {
		switch k := s.rng.IntN(110); {
		case k < 60:
			s.append(follow)
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
			fmt.Fprintf(rw, "REDIS%010d %d", x, s.db())
		case k < 100 && rw != nil:
			if s.rng.IntN(4) == 0 {
				rw.Abort()
				rw = nil
				break
			}
			if len(s.ids) == 0 {
				s.ids["any"] = true // there is no AOF yet
			}
			s.ids[s.l.ID()] = true // of a log opened Fresh the base brings it
			if err := rw.Commit(); err == nil {
				s.based, s.ids = true, map[string]bool{s.l.ID(): true}
			} else if !s.faults {
				s.fail("rewrite: %v", err)
			}
			rw = nil
		case k < 102:
			follow = !follow // promoted, or the other way round
			if !s.based {
				break
			}
			id, ancestors := s.newID(s.l.ID())
			s.ids[id] = true
			if err := s.l.SetIdentity(id, ancestors); err == nil {
				s.ids = map[string]bool{id: true}
			} else if !s.faults {
				s.fail("identity: %v", err)
			}
		case k < 104 && s.pin == nil:
			s.pin = s.l.Pin(s.l.Oldest())
		case k < 106 && s.pin != nil:
			s.pin.Advance(s.pin.Offset() + s.rng.Int64N(s.l.Appended()-s.pin.Offset()+1))
		case k < 107 && s.pin != nil:
			s.pin.Close()
			s.pin = nil
		case k < 109:
			s.read()
		case s.tail.On() && s.rng.IntN(3) == 0:
			s.tail.Stop()
		default:
			s.tail.Start(s.l.Reserved())
		}
		s.see()
	}
	if s.rng.IntN(3) == 0 {
		s.fs.crashAt = s.fs.ops + 1 + s.rng.IntN(20) // while it closes, perhaps
	}
	if s.pin != nil && s.rng.IntN(2) == 0 {
		s.pin.Close()
		s.pin = nil
	}
	oldest := s.l.Oldest()
	err := s.l.Close()
	if s.readTail(); s.tail.On() && s.tail.End() != s.l.Reserved() {
		s.fail("closed with %v, in memory up to %d of %d", err, s.tail.End(), s.l.Reserved())
	}
	if err == nil && s.fs.script == nil && s.based {
		s.oldest = oldest
		s.stock()
	}
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
	s := newSim(t, rng, faults)
	s.fs.noDirect = rng.IntN(3) == 0
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
	kind := s.rng.IntN(4)
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
		case kind == 3 && (op == "syncdir" || op == "rename" || op == "remove" || op == "truncate") && s.rng.IntN(3) == 0:
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
		s := newSim(t, rng, false)
		s.log = append(s.log, fmt.Sprintf("TIDEMARK_SEED=%d", seed))
		s.fs.crashAt = 30 + rng.IntN(300)
		if s.life() {
			s.fs = s.fs.crash()
		}
		s.fs.crashAt = 0
		lost := rng.IntN(2) == 0
		for s.start(); !s.based; s.start() {
		}
		follow := rng.IntN(2) == 0
		for range 1 + rng.IntN(50) {
			s.append(follow)
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
