package aof

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestManifest(t *testing.T) {
	m, err := parseManifest([]byte("# a note\nfile \"a b.1.base.rdb\" seq 1 type b\nfile x.1.incr.aof seq 1 type i\n" +
		"file x.2.incr.aof seq 2 type i more later\nfile old seq 7 type h\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := "file \"a b.1.base.rdb\" seq 1 type b\nfile old seq 7 type h\nfile x.1.incr.aof seq 1 type i\nfile x.2.incr.aof seq 2 type i\n"
	if got := string(m.manifest()); got != want {
		t.Fatalf("%q", got)
	}
	for text, why := range map[string]string{
		"":                         "empty AOF manifest",
		"file a seq 1":             "unterminated",
		"file a seq 1\n":           "Invalid AOF manifest",
		"file a seq x type i\n":    "Invalid AOF manifest",
		"file ../a seq 1 type i\n": "can't be a path",
		"file a seq 1 type z\n":    "Unknown AOF file type",
		"file \"a seq 1 type i\n":  "Invalid AOF manifest",
		"file a seq 1 type b\nfile b seq 2 type b\n": "duplicate base",
		"file a seq 2 type i\nfile b seq 2 type i\n": "non-monotonic",
	} {
		if _, err := parseManifest([]byte(text)); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, want %q", text, err, why)
		}
	}
}

func TestQuotedNames(t *testing.T) {
	for range 2000 {
		b := make([]byte, 1+rand.IntN(12))
		for i := range b {
			b[i] = byte(1 + rand.IntN(255))
			if rand.IntN(2) == 0 {
				b[i] = " \"'\\abc\n\t"[rand.IntN(9)]
			}
		}
		words, ok := splitWords("file " + quoteName(string(b)) + " seq")
		if !ok || len(words) != 3 || words[1] != string(b) {
			t.Fatalf("%q became %q", b, words)
		}
	}
}

// TestOddFileName: appendfilename may have blanks and quotes.
func TestOddFileName(t *testing.T) {
	fsys := newSimFS(rand.New(rand.NewPCG(1, 1)))
	o := Options{FS: fsys, Dir: "d", Name: "my \"log\".aof", manual: true}
	for i := range 3 {
		r := &tape{}
		l, rec, err := Open(o, r)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Count(r.bytes, oneSet) != i || rec.Existed != (i > 0) {
			t.Fatalf("start %d: %+v %q", i, rec, r.bytes)
		}
		l.Append(0, 0, oneSet)
		l.Commit(GoalSync)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSidecarDamage(t *testing.T) {
	m := &meta{id: newID(), base: &fileEntry{name: "b", typ: typeBase, start: 17}, incr: []*fileEntry{
		{name: "x", typ: typeIncr, state: stateActive, epoch: 0xfedcba98},
		{name: "y z", typ: typeIncr, state: stateClosed, epoch: 1, length: 2, chain: 3, start: 4, end: 5, tail: 6}}}
	p := m.sidecar()
	sc, err := parseSidecar(p)
	if err != nil || sc.id != m.id || sc.known["x"].epoch != 0xfedcba98 || !sameEntry(sc.known["y z"], m.incr[1]) || sc.known["b"].start != 17 {
		t.Fatalf("%v %+v", err, sc)
	}
	for i := range p {
		q := append([]byte(nil), p...)
		q[i] ^= 1 << rand.IntN(8)
		if _, err := parseSidecar(q); err == nil {
			t.Fatalf("a changed byte %d goes unnoticed", i)
		}
	}
}

func sameEntry(a, b *fileEntry) bool {
	return a.name == b.name && a.typ == b.typ && a.state == b.state && a.epoch == b.epoch && a.length == b.length && a.chain == b.chain &&
		a.start == b.start && a.end == b.end && a.tail == b.tail
}

// TestManifestMissing: what a sidecar knows is not thrown away because the manifest is gone.
func TestManifestMissing(t *testing.T) {
	fsys := newSimFS(rand.New(rand.NewPCG(1, 1)))
	o := Options{FS: fsys, Dir: "d", manual: true}
	l, _, err := Open(o, &tape{})
	if err != nil {
		t.Fatal(err)
	}
	l.Append(0, 0, oneSet)
	l.Commit(GoalSync)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := fsys.Remove("d/appendonly.aof.manifest"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(o, &tape{}); err == nil || !strings.Contains(err.Error(), "appendonly.aof.manifest is missing") {
		t.Fatal(err)
	}
	if fsys.names["d/appendonly.aof.1.incr.aof"] == nil {
		t.Fatal("the segment was deleted")
	}
}
