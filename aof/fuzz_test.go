package aof

import (
	"bytes"
	"fmt"
	"testing"
)

// fuzzFiles builds a directory with one segment, closed or not, and gives it with its manifest and sidecar.
func fuzzFiles(f *testing.F) (manifest, sidecar, segment []byte) {
	fsys := newSimFS(nil)
	l, _, err := Open(Options{FS: fsys, Dir: "d", SegmentBytes: 8 << 10, manual: true}, &tape{})
	if err != nil {
		f.Fatal(err)
	}
	if err := l.SetIdentity(newID(), []Ancestor{{newID(), 5}}); err != nil {
		f.Fatal(err)
	}
	l.Follow(oneSet, 1) // with a preamble
	for i := range 10 {
		l.Append(0, i%2, command("SET", "key", fmt.Sprint(i)))
		l.Commit(GoalSync)
	}
	s := append([]byte(nil), fsys.names["d/appendonly.aof.1.incr.aof"].cur...)
	return append([]byte(nil), fsys.names["d/appendonly.aof.manifest"].cur...), append([]byte(nil),
		fsys.names["d/appendonly.aof.tidemark"].cur...), s
}

// FuzzRecovery feeds any bytes as manifest, sidecar and segment: opening gives an error or a log, never a panic, never more
// memory than the files are worth, and what it opened it opens again with the same content.
func FuzzRecovery(f *testing.F) {
	m, sc, seg := fuzzFiles(f)
	f.Add(m, sc, seg)
	f.Add(m, sc, seg[:len(seg)-5])
	f.Add(m, []byte(nil), seg)
	f.Add(m, []byte(nil), append(append([]byte(nil), seg...), command("SET", "a", "b")...))
	f.Add(m, []byte(nil), bytes.Join([][]byte{command("MULTI"), []byte("#TS:1\r\n"), command("SET", "a", "b"), command("EXEC")}, nil))
	f.Add([]byte("file \"a b\" seq 1 type i\n# note\nfile x seq 1 type b\n"), []byte(nil), []byte(nil))
	f.Add(m, sc, append(append([]byte(nil), seg...), make([]byte, 4096)...))
	// A base and history in front of it, of which the segment is taken to be one or the other.
	history := &meta{id: newID(), base: &fileEntry{name: "b", typ: typeBase, start: 1000, db: 3}, kept: []*fileEntry{{name: "appendonly.aof.1.incr.aof",
		typ: typeIncr, state: stateClosed, epoch: 1, length: int64(len(seg)), chain: 2, end: 1000}}, ancestors: []Ancestor{{newID(), 5}}}
	f.Add([]byte("file b seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type h\n"), history.sidecar(), seg)
	f.Fuzz(func(t *testing.T, manifest, sidecar, segment []byte) {
		fsys := newSimFS(nil)
		fsys.put("d/appendonly.aof.manifest", string(manifest))
		if len(sidecar) > 0 {
			fsys.put("d/appendonly.aof.tidemark", string(sidecar))
		}
		fsys.put("d/appendonly.aof.1.incr.aof", string(segment))
		fsys.put("d/b", string(emptyBase))
		if rep, err := Inspect(fsys, "d", ""); err == nil && rep == nil {
			t.Fatal("neither a report nor an error")
		}
		first := &tape{}
		l, rec, err := Open(Options{FS: fsys, Dir: "d", LoadTruncated: true, SegmentBytes: 8 << 10, manual: true}, first)
		if err != nil {
			_, _ = Repair(fsys, "d", "")
			return
		}
		p := make([]byte, 100)
		for off, n := l.Oldest(), 1; n > 0; off += int64(n) {
			n, _ = l.ReadAt(off, p)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		again := &tape{}
		l, rec2, err := Open(Options{FS: fsys, Dir: "d", SegmentBytes: 8 << 10, manual: true}, again)
		if err != nil {
			t.Fatalf("opened once, then: %v", err)
		}
		if !bytes.Equal(first.bytes, again.bytes) || rec.Offset != rec2.Offset || rec2.Truncated != 0 {
			t.Fatalf("%+v, then %+v", rec, rec2)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzBatches feeds any bytes behind a valid beginning of a segment.
func FuzzBatches(f *testing.F) {
	m, sc, seg := fuzzFiles(f)
	f.Add(uint16(100), seg[100:])
	f.Add(uint16(len(seg)), []byte(headerMagic))
	f.Fuzz(func(t *testing.T, keep uint16, rest []byte) {
		keep = min(keep, uint16(len(seg)))
		fsys := newSimFS(nil)
		fsys.put("d/appendonly.aof.manifest", string(m))
		fsys.put("d/appendonly.aof.tidemark", string(sc))
		fsys.put("d/appendonly.aof.1.incr.aof", string(seg[:keep])+string(rest))
		r := &tape{}
		l, rec, err := Open(Options{FS: fsys, Dir: "d", LoadTruncated: true, SegmentBytes: 8 << 10, manual: true}, r)
		if err != nil {
			return
		}
		if int64(len(r.bytes)) != rec.Offset {
			t.Fatalf("%+v with %d bytes", rec, len(r.bytes))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
