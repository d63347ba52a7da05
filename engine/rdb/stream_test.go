package rdb

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/keyspace/packed"
)

// streamsIn makes streams in a redis-server, with consumer groups, deleted entries and nodes of several sizes, and returns their keys.
func streamsIn(r *redis, rnd *rand.Rand) (keys []string) {
	for _, size := range []int{0, 1, 5, 300, 20000} {
		for _, groups := range []int{0, 1, 4} {
			key := fmt.Sprintf("stream:%d:%d", size, groups)
			keys = append(keys, key)
			r.do("CONFIG", "SET", "stream-node-max-entries", strconv.Itoa([]int{100, 7, 0}[rnd.IntN(3)]))
			r.do("XGROUP", "CREATE", key, "temporary", "0", "MKSTREAM")
			r.do("XGROUP", "DESTROY", key, "temporary")
			for i := range size {
				args := []string{"XADD", key, fmt.Sprintf("%d-%d", i/3+1, i%3+1)}
				for j := range 1 + rnd.IntN(3) {
					args = append(args, "field"+strconv.Itoa(j+rnd.IntN(20)/19), strings.Repeat("v", rnd.IntN(8))+strconv.Itoa(rnd.IntN(100000)))
				}
				r.do(args...)
			}
			for range size / 10 {
				r.do("XDEL", key, fmt.Sprintf("%d-%d", rnd.IntN(size/3+1), rnd.IntN(4)))
			}
			for g := range groups {
				name := strings.Repeat("group", g) + strconv.Itoa(g)
				r.do("XGROUP", "CREATE", key, name, strconv.Itoa(rnd.IntN(size/6+1)))
				for c := range g * 2 {
					consumer := "consumer" + strconv.Itoa(c*c)
					r.do("XGROUP", "CREATECONSUMER", key, name, consumer)
					r.do("XREADGROUP", "GROUP", name, consumer, "COUNT", strconv.Itoa(1+rnd.IntN(size/4+1)), "STREAMS", key, ">")
				}
				for range size / 20 {
					r.do("XACK", key, name, fmt.Sprintf("%d-%d", rnd.IntN(size/3+1), rnd.IntN(4)))
				}
			}
		}
	}
	r.do("CONFIG", "SET", "stream-node-max-entries", "100")
	return keys
}

// TestStreamsAgainstRedis: a stream goes from redis-server to here and back without a difference, by DUMP and in files.
func TestStreamsAgainstRedis(t *testing.T) {
	r := startRedis(t, t.TempDir(), "--rdbcompression", "no")
	w := newShardWorld(t)
	keys := streamsIn(r, rand.New(rand.NewPCG(1, 2)))
	dumps := map[string]string{}
	for _, key := range keys {
		dumps[key] = r.do("DUMP", key)
		ref, err := w.restore(key, []byte(dumps[key]))
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		if ours := AppendDump(nil, w.s, ref, false); string(ours) != dumps[key] {
			t.Errorf("%s: %d bytes of ours differ from %d of redis's", key, len(ours), len(dumps[key]))
		}
		full := r.do("XINFO", "STREAM", key, "FULL", "COUNT", "0")
		if reply := r.do("RESTORE", key, "0", string(AppendDump(nil, w.s, ref, true)), "REPLACE"); reply != "+OK" {
			t.Fatalf("%s: redis refuses our payload: %s", key, reply)
		}
		if got := r.do("XINFO", "STREAM", key, "FULL", "COUNT", "0"); got != full {
			t.Errorf("%s: redis has\n%.2000s\nof our payload, and had\n%.2000s", key, got, full)
		}
	}
	if err := w.s.Check(); err != nil {
		t.Fatal(err)
	}

	// Whole files.
	file := save(t, w.ks, &Encoder{Compress: true}, SaveOptions{Checksum: true})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "dump.rdb"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	again := startRedis(t, dir, "--rdbcompression", "no")
	r.do("SAVE")
	theirs, err := os.ReadFile(filepath.Join(r.dir, "dump.rdb"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range [][]byte{theirs, file} {
		w.s.Flush(0, true)
		w.load(t, file)
		for _, key := range keys {
			ref := w.s.Find(0, w.s.Hash([]byte(key)), []byte(key))
			if ref == 0 {
				t.Fatalf("%s is lost", key)
			}
			if ours := AppendDump(nil, w.s, ref, false); string(ours) != dumps[key] {
				t.Errorf("%s: loaded from a file it is another", key)
			}
			if got := again.do("DUMP", key); got != dumps[key] {
				t.Errorf("%s: redis has another of our file", key)
			}
		}
		if err := w.s.Check(); err != nil {
			t.Fatal(err)
		}
	}
}

// richStream makes a stream here with n entries, all of which are pending in a group.
func richStream(w *shardWorld, key string, n int) keyspace.Ref {
	d := w.s.Draft(0, keyspace.Stream, keyspace.StreamTree)
	s := d.Stream()
	s.Init()
	for i := range n {
		s.Append(coll.StreamID{Ms: uint64(i + 1)}, [][]byte{[]byte("field"), fmt.Append(nil, "value", i)}, 4096, 100)
		w.s.Relieve(d)
	}
	s.AddGroup([]byte("empty"), coll.StreamID{}, 0)
	g := s.AddGroup([]byte("group"), coll.StreamID{Ms: uint64(n)}, int64(n))
	g.AddConsumer([]byte("none"), 1, -1)
	a, b := g.AddConsumer([]byte("alice"), 1000, 2000), g.AddConsumer([]byte("bob"), 3000, 4000)
	for i := range n {
		c := &a
		if i%5 == 0 {
			c = &b
		}
		g.Deliver(coll.StreamID{Ms: uint64(i + 1)}, c, int64(i), uint64(i%3+1))
	}
	return w.s.Attach(d, w.s.Hash([]byte(key)), 0, []byte(key), keyspace.NoExpire, 0)
}

// TestStreamPieces: as TestPieces.
func TestStreamPieces(t *testing.T) {
	w := newShardWorld(t)
	for _, n := range []int{0, 10, 30000} {
		r := richStream(w, "s"+strconv.Itoa(n), n)
		e := &Encoder{}
		want := e.AppendEntry(nil, 0, w.s, r)
		var got []byte
		var p keyspace.Progress
		for first := true; first || p.More; first = false {
			before := len(got)
			if got = e.AppendPiece(got, 0, w.s, r, &p); len(got)-before > pieceBytes+8000 {
				t.Errorf("%d entries: a piece of %d bytes", n, len(got)-before)
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%d entries: %d bytes in pieces, %d in one", n, len(got), len(want))
		}
	}
	if err := w.s.Check(); err != nil {
		t.Fatal(err)
	}
}

// A snapshot has a stream as it was, whatever is done to it and its groups meanwhile.
func TestStreamSnapshot(t *testing.T) {
	w := newShardWorld(t)
	r := richStream(w, "s", 20000)
	want := AppendDump(nil, w.s, r, false)
	e := &Encoder{}
	w.s.Lock()
	sn := w.ks.BeginSnapshot(e.AppendEntry)
	sn.InPieces(e.AppendPiece)
	sn.LargeApart()
	w.s.Unlock()
	rnd := rand.New(rand.NewPCG(7, 8))
	var got []byte
	for done := false; !done; {
		got, done = sn.Step(0, got)
		for more := true; more; {
			w.s.Lock()
			h := w.s.Hash([]byte("s"))
			c := w.s.Edit(0, h, w.s.Find(0, h, []byte("s")))
			s := c.Stream()
			for range 200 {
				id := coll.StreamID{Ms: uint64(1 + rnd.IntN(20000))}
				s.Delete(id)
				last, _ := s.Head().Last.Next()
				s.Append(last, [][]byte{[]byte("field"), []byte("new")}, 4096, 100)
				g, ok := s.EditGroup([]byte("group"))
				if !ok {
					t.Fatal("no group")
				}
				a, ok := g.EditConsumer([]byte("alice"))
				if !ok {
					a = g.AddConsumer([]byte("alice"), 1, 1)
				}
				g.Deliver(id, &a, 77, 77)
				g.Ack(coll.StreamID{Ms: uint64(1 + rnd.IntN(20000))})
			}
			if rnd.IntN(10) == 0 {
				g, _ := s.EditGroup([]byte("group"))
				g.DropConsumer([]byte("alice"))
			}
			s.Trim(&coll.StreamTrim{MaxLen: s.Len() - 50})
			w.s.Settle(&c)
			w.s.Unlock()
			got, more = sn.StepLarge(0, got)
		}
	}
	sn.Close()
	key := appendString(nil, []byte("s"), false)
	want = slices.Concat(want[:1], key, want[1:len(want)-dumpFooter])
	if !bytes.Equal(got, want) {
		t.Errorf("the snapshot has %d bytes, want %d", len(got), len(want))
	}
	w.s.Lock()
	defer w.s.Unlock()
	if err := w.s.Check(); err != nil {
		t.Fatal(err)
	}
}

// streamParts is a stream's payload in parts that tests change.
type streamParts struct {
	node      packed.List
	nodeID    coll.StreamID
	entries   uint64
	last      coll.StreamID
	version   byte // the type
	pending   []coll.StreamID
	consumers map[string][]coll.StreamID
	after     []byte
}

func validParts() streamParts {
	// Two entries, 5-1 and 5-2, and a deleted one between; the second has other fields.
	node := packed.New(nil).AppendInt(2).AppendInt(1).AppendInt(1).Append([]byte("f")).AppendInt(0).
		AppendInt(2).AppendInt(0).AppendInt(0).Append([]byte("v")).AppendInt(4).
		AppendInt(3).AppendInt(0).AppendInt(0).Append([]byte("w")).AppendInt(4).
		AppendInt(0).AppendInt(0).AppendInt(1).AppendInt(2).Append([]byte("a")).Append([]byte("b")).Append([]byte("c")).Append([]byte("d")).AppendInt(8)
	first, second := coll.StreamID{Ms: 5, Seq: 1}, coll.StreamID{Ms: 5, Seq: 2}
	return streamParts{node: node, nodeID: first, entries: 2, last: second, version: typeStream2,
		pending: []coll.StreamID{first, second}, consumers: map[string][]coll.StreamID{"alice": {first, second}}}
}

func (s *streamParts) payload() []byte {
	b := appendLength(nil, 1)
	b = appendRawID(appendLength(b, 16), s.nodeID)
	b = appendString(b, s.node, false)
	b = appendStreamID(appendLength(b, s.entries), s.last)
	if s.version != typeStream {
		b = appendStreamID(appendStreamID(b, s.nodeID), coll.StreamID{Ms: 5, Seq: 1})
		b = appendLength(b, 3)
	}
	b = appendStreamID(appendString(appendLength(b, 1), []byte("group"), false), s.last)
	if s.version != typeStream {
		b = appendLength(b, 3)
	}
	b = appendLength(b, uint64(len(s.pending)))
	for _, id := range s.pending {
		b = appendLength(binary.LittleEndian.AppendUint64(appendRawID(b, id), 1000), 7)
	}
	b = appendLength(b, uint64(len(s.consumers)))
	for name, own := range s.consumers {
		b = binary.LittleEndian.AppendUint64(appendString(b, []byte(name), false), 2000)
		if s.version == typeStream3 {
			b = binary.LittleEndian.AppendUint64(b, 1500)
		}
		b = appendLength(b, uint64(len(own)))
		for _, id := range own {
			b = appendRawID(b, id)
		}
	}
	return dumpOf(s.version, append(b, s.after...))
}

// TestStreamVersions reads the forms of 5.0, 7.0 and 7.2.
func TestStreamVersions(t *testing.T) {
	for version, want := range map[byte]struct {
		added  uint64
		read   int64
		active int64
	}{typeStream: {2, 2, 2000}, typeStream2: {3, 3, 2000}, typeStream3: {3, 3, 1500}} {
		w := newShardWorld(t)
		p := validParts()
		p.version = version
		r, err := w.restore("k", p.payload())
		if err != nil {
			t.Errorf("type %d: %v", version, err)
			continue
		}
		m := w.s.Open(r)
		s := coll.Stream{Mem: &m}
		g, _ := s.FindGroup([]byte("group"))
		c, ok := g.FindConsumer([]byte("alice"))
		if !ok || s.Len() != 2 || s.Head().Added != want.added || g.Read != want.read || c.Active != want.active || c.Seen != 2000 || c.Pending() != 2 {
			t.Errorf("type %d: %d entries, %+v %+v %+v", version, s.Len(), s.Head(), g.GroupInfo, c.ConsumerInfo)
		}
		if err := w.s.Check(); err != nil {
			t.Errorf("type %d: %v", version, err)
		}
	}
}

func TestBadStreams(t *testing.T) {
	first, second, third := coll.StreamID{Ms: 5, Seq: 1}, coll.StreamID{Ms: 5, Seq: 2}, coll.StreamID{Ms: 5, Seq: 3}
	list := func(n ...int64) packed.List {
		l := packed.New(nil)
		for _, v := range n {
			l = l.AppendInt(v)
		}
		return l
	}
	w := newShardWorld(t)
	for name, change := range map[string]func(p *streamParts){
		"more entries than claimed":         func(p *streamParts) { p.entries = 1 },
		"the last ID before the last":       func(p *streamParts) { p.last = first },
		"pending out of order":              func(p *streamParts) { p.pending = []coll.StreamID{second, first} },
		"pending twice":                     func(p *streamParts) { p.pending = []coll.StreamID{first, first} },
		"pending for nobody":                func(p *streamParts) { p.consumers = nil },
		"pending for one, not in the group": func(p *streamParts) { p.consumers["alice"] = []coll.StreamID{first, third} },
		"pending for two": func(p *streamParts) {
			p.consumers = map[string][]coll.StreamID{"alice": {first}, "bob": {first}}
		},
		"something behind it": func(p *streamParts) { p.after = []byte{0} },
		"an empty node":       func(p *streamParts) { p.node = packed.New(nil) },
		"no fields' end":      func(p *streamParts) { p.node = list(1, 0, 1, 2) },
		"fields without end":  func(p *streamParts) { p.node = list(1, 0, 1<<50, 2, 0) },
		"a negative count":    func(p *streamParts) { p.node = list(-1, 0, 0, 0) },
		"a count too high":    func(p *streamParts) { p.node = list(2, 0, 1, 9, 0, 2, 0, 0, 9, 4) },
		"unknown flags":       func(p *streamParts) { p.node = list(1, 0, 1, 9, 0, 4, 0, 0, 9, 4) },
		"a wrong length":      func(p *streamParts) { p.node = list(1, 0, 1, 9, 0, 2, 0, 0, 9, 5) },
		"a cut entry":         func(p *streamParts) { p.node = list(1, 0, 1, 9, 0, 2, 0, 0) },
		"an entry before its node": func(p *streamParts) {
			p.node, p.entries = list(1, 0, 1, 9, 0, 2, 0, -1, 9, 4), 1
		},
		"entries out of order": func(p *streamParts) {
			p.node = list(2, 0, 1, 9, 0, 2, 0, 1, 9, 4, 2, 0, 0, 9, 4)
		},
		"a text for a number": func(p *streamParts) { p.node = packed.New(nil).Append([]byte("x")) },
	} {
		p := validParts()
		change(&p)
		if _, err := w.restore("k", p.payload()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	p := validParts()
	if _, err := w.restore("k", p.payload()); err != nil {
		t.Error(err)
	}
	body := p.payload()
	body = body[1 : len(body)-dumpFooter]
	for n := range body {
		if _, err := w.restore("k", dumpOf(typeStream2, body[:n])); err == nil {
			t.Errorf("cut to %d bytes it is accepted", n)
		}
	}
	if err := w.s.Check(); err != nil {
		t.Fatal(err)
	}
}

// FuzzRestoreStream: whatever is accepted keeps the invariants, and is the same when it is dumped and restored again.
func FuzzRestoreStream(f *testing.F) {
	w := newShardWorld(f)
	for i, n := range []int{0, 3, 150} {
		p := AppendDump(nil, w.s, richStream(w, "s"+strconv.Itoa(i), n), false)
		f.Add(p[:len(p)-dumpFooter])
	}
	for _, version := range []byte{typeStream, typeStream2, typeStream3} {
		parts := validParts()
		parts.version = version
		p := parts.payload()
		f.Add(p[:len(p)-dumpFooter])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) == 0 || body[0] != typeStream && body[0] != typeStream2 && body[0] != typeStream3 {
			return
		}
		w := newShardWorld(t)
		r, err := w.restore("k", dumpOf(body[0], body[1:]))
		if err != nil {
			if w.ks.Used() != 0 {
				t.Fatalf("%v, but %d bytes are left", err, w.ks.Used())
			}
			return
		}
		if err := w.s.Check(); err != nil {
			t.Fatal(err)
		}
		dump := AppendDump(nil, w.s, r, false)
		again, err := w.restore("k2", dump)
		if err != nil {
			t.Fatalf("what was accepted is refused when dumped again: %v", err)
		}
		if got := AppendDump(nil, w.s, again, false); !bytes.Equal(got, dump) {
			t.Fatal("it has become another")
		}
	})
}
