package rdb

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/intset"
	"tidemark/engine/keyspace/packed"
	"tidemark/engine/value"
)

// collection is what a key holds, and the command that makes it on a redis-server.
type collection struct {
	typ   keyspace.Type
	elems []string // of a hash field, value, ...; of a sorted set member, score, ...
}

func (c collection) command(key string) []string {
	args := []string{map[keyspace.Type]string{keyspace.List: "RPUSH", keyspace.Set: "SADD", keyspace.ZSet: "ZADD", keyspace.Hash: "HSET"}[c.typ], key}
	if c.typ != keyspace.ZSet {
		return append(args, c.elems...)
	}
	for i := 0; i < len(c.elems); i += 2 {
		args = append(args, c.elems[i+1], c.elems[i])
	}
	return args
}

// build makes it in a keyspace.
func (c collection) build(s *keyspace.Shard, key string, lim *value.Limits) keyspace.Ref {
	b := value.NewBuilder(s, 0, c.typ, lim)
	for i := 0; i < len(c.elems); i++ {
		e := []byte(c.elems[i])
		switch c.typ {
		case keyspace.List:
			b.Push(e)
		case keyspace.Set:
			b.AddMember(e)
		case keyspace.Hash:
			i++
			b.AddField(e, []byte(c.elems[i]))
		case keyspace.ZSet:
			i++
			f, _ := strconv.ParseFloat(c.elems[i], 64)
			b.AddScored(e, f)
		}
	}
	h := s.Hash([]byte(key))
	return b.Put(h, s.Find(0, h, []byte(key)), []byte(key), keyspace.NoExpire, 0)
}

// read gives a collection back as it was made, but for the order where there is none.
func (c collection) read(s *keyspace.Shard, r keyspace.Ref) (out []string) {
	switch s.Type(r) {
	case keyspace.List:
		value.EachElement(s, r, func(e []byte) bool { out = append(out, string(e)); return true })
		return out
	case keyspace.Set:
		value.EachMember(s, r, func(e []byte) bool { out = append(out, string(e)); return true })
	case keyspace.Hash:
		value.EachField(s, r, value.Always, func(f, v []byte) bool { out = append(out, string(f)+"\x00"+string(v)); return true })
	case keyspace.ZSet:
		value.EachScored(s, r, func(m []byte, f float64) bool {
			out = append(out, string(m)+"\x00"+string(value.AppendScore(nil, f)))
			return true
		})
	}
	slices.Sort(out)
	return out
}

// want is what read gives.
func (c collection) want() (out []string) {
	switch c.typ {
	case keyspace.List:
		return c.elems
	case keyspace.Set:
		out = slices.Clone(c.elems)
	default:
		for i := 0; i < len(c.elems); i += 2 {
			out = append(out, c.elems[i]+"\x00"+c.elems[i+1])
		}
	}
	slices.Sort(out)
	return out
}

// collections draws some of every type around every threshold.
func collections(rnd *rand.Rand) map[string]collection {
	out := map[string]collection{}
	for _, typ := range []keyspace.Type{keyspace.List, keyspace.Set, keyspace.ZSet, keyspace.Hash} {
		for _, n := range []int{1, 5, 128, 129, 512, 513, 5000} {
			for _, kind := range []string{"ints", "words", "bytes", "long"} {
				c := collection{typ: typ}
				for i := range n {
					e := strconv.Itoa(i * i * i * 7)
					switch kind {
					case "words":
						e = "element:" + strconv.Itoa(i)
					case "bytes":
						b := make([]byte, 4+rnd.IntN(8))
						for j := range b {
							b[j] = byte(rnd.Uint32())
						}
						e = string(b) + strconv.Itoa(i)
					case "long":
						e = strconv.Itoa(i) + strings.Repeat("x", 60+rnd.IntN(10))
						if i == 3 {
							e = strings.Repeat("huge", 5000)
						}
					}
					c.elems = append(c.elems, e)
					switch typ {
					case keyspace.Hash:
						c.elems = append(c.elems, fmt.Sprint("value ", i))
					case keyspace.ZSet:
						f := []float64{float64(rnd.IntN(20)), rnd.NormFloat64(), math.Inf(1), math.Inf(-1), 1e100}[rnd.IntN(5)]
						c.elems = append(c.elems, string(value.AppendScore(nil, f)))
					}
				}
				out[fmt.Sprintf("%v:%d:%s", typ, n, kind)] = c
			}
		}
	}
	return out
}

type shardWorld struct {
	ks  *keyspace.Keyspace
	s   *keyspace.Shard
	lim value.Limits
}

func newShardWorld(t testing.TB) *shardWorld {
	w := &shardWorld{ks: keyspace.New(keyspace.Options{Shards: 1, Databases: 1})}
	t.Cleanup(w.ks.Close)
	w.s = w.ks.Shard(0)
	w.lim.SetDefaults()
	return w
}

// restore puts the value of a payload under a key.
func (w *shardWorld) restore(key string, payload []byte) (keyspace.Ref, error) {
	var l Loader
	begun := false
	err := EachOfDump(payload, func(it *Item) error {
		if !it.First {
			return l.Add(it)
		}
		begun = true
		return l.Begin(w.s, 0, &w.lim, it)
	})
	if err != nil {
		if begun {
			l.Discard()
		}
		return 0, err
	}
	h := w.s.Hash([]byte(key))
	return l.Put(h, w.s.Find(0, h, []byte(key)), []byte(key), keyspace.NoExpire, 0), nil
}

// TestCollectionsAgainstRedis: each understands the other's DUMP, and loads the other's file.
func TestCollectionsAgainstRedis(t *testing.T) {
	r := startRedis(t, t.TempDir())
	w := newShardWorld(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	all := collections(rnd)
	for name, c := range all {
		r.do(c.command(name)...)
		digest := r.do("DEBUG", "DIGEST-VALUE", name)
		ref := c.build(w.s, name, &w.lim)
		for _, compress := range []bool{true, false} {
			payload := AppendDump(nil, w.s, ref, compress)
			if reply := r.do("RESTORE", "ours", "0", string(payload), "REPLACE"); reply != "+OK" {
				t.Fatalf("%s: redis refuses our payload: %s", name, reply)
			}
			if got := r.do("DEBUG", "DIGEST-VALUE", "ours"); got != digest {
				t.Errorf("%s: redis has digest %s of our payload, %s of its own", name, got, digest)
			}
		}
		back, err := w.restore("theirs", []byte(r.do("DUMP", name)))
		if err != nil {
			t.Fatalf("%s: redis's payload: %v", name, err)
		}
		if got := c.read(w.s, back); !slices.Equal(got, c.want()) {
			t.Errorf("%s: redis's payload gives %d elements, want %d", name, len(got), len(c.want()))
		}
		ref = w.s.Find(0, w.s.Hash([]byte(name)), []byte(name))
		if ours, theirs := w.s.Encoding(ref).String(), r.do("OBJECT", "ENCODING", name); ours != theirs &&
			!(c.typ == keyspace.List && ours == "listpack") && !(c.typ == keyspace.Set && ours == "listpack") { // both since 7.2
			t.Errorf("%s: %s here, %s there", name, ours, theirs)
		}
	}
	h := w.s.Hash([]byte("theirs"))
	w.s.Delete(0, h, w.s.Find(0, h, []byte("theirs")))
	r.do("DEL", "ours")
	if err := w.s.Check(); err != nil {
		t.Fatal(err)
	}

	// Whole files.
	file := save(t, w.ks, &Encoder{Compress: true}, SaveOptions{Checksum: true})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "dump.rdb"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	again := startRedis(t, dir)
	if a, b := again.do("DEBUG", "DIGEST"), r.do("DEBUG", "DIGEST"); a != b {
		t.Errorf("redis has digest %s of our file, %s of its own data", a, b)
	}
	r.do("SAVE")
	theirs, err := os.ReadFile(filepath.Join(r.dir, "dump.rdb"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range [][]byte{theirs, file} {
		w.s.Flush(0, true)
		w.load(t, file)
		for name, c := range all {
			ref := w.s.Find(0, w.s.Hash([]byte(name)), []byte(name))
			if ref == 0 {
				t.Fatalf("%s is lost", name)
			}
			if got := c.read(w.s, ref); !slices.Equal(got, c.want()) {
				t.Errorf("%s: %d elements loaded, want %d", name, len(got), len(c.want()))
			}
		}
		if err := w.s.Check(); err != nil {
			t.Fatal(err)
		}
	}
}

// load loads a file.
func (w *shardWorld) load(t *testing.T, file []byte) {
	t.Helper()
	if err := w.tryLoad(file); err != nil {
		t.Fatal(err)
	}
}

func (w *shardWorld) tryLoad(file []byte) error {
	var l Loader
	begun := false
	err := NewDecoder(bytes.NewReader(file)).Each(func(items []Item) (err error) {
		for i := range items {
			it := &items[i]
			if it.Kind != KindEntry {
				continue
			}
			if it.First {
				begun = true
				err = l.Begin(w.s, 0, &w.lim, it)
			} else {
				err = l.Add(it)
			}
			if err != nil {
				return err
			}
			if it.Last {
				begun = false
				h := w.s.Hash(it.Key)
				l.Put(h, w.s.Find(0, h, it.Key), it.Key, it.ExpireAt, 0)
			}
		}
		return nil
	})
	if begun {
		l.Discard()
	}
	return err
}

// TestPieces: an entry encoded in pieces is the same as in one go, and no piece is much larger than it should be.
func TestPieces(t *testing.T) {
	w := newShardWorld(t)
	for name, c := range collections(rand.New(rand.NewPCG(3, 4))) {
		r := c.build(w.s, name, &w.lim)
		e := &Encoder{}
		want := e.AppendEntry(nil, 0, w.s, r)
		var got []byte
		var p keyspace.Progress
		for first := true; first || p.More; first = false {
			before := len(got)
			got = e.AppendPiece(got, 0, w.s, r, &p)
			if n := len(got) - before; n > pieceBytes+40000 || n == 0 && p.More { // the last may find that there is no more
				t.Errorf("%s: a piece of %d bytes", name, n)
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes in pieces, %d in one", name, len(got), len(want))
		}
	}
}

// ziplist makes one of what Redis before version 7 had.
func ziplist(elems ...string) []byte {
	b := make([]byte, 10)
	before := 0
	for _, e := range elems {
		from := len(b)
		if before < 254 {
			b = append(b, byte(before))
		} else {
			b = binary.LittleEndian.AppendUint32(append(b, 0xfe), uint32(before))
		}
		n, err := strconv.ParseInt(e, 10, 64)
		switch {
		case err == nil && n >= 0 && n <= 12:
			b = append(b, 0xf1+byte(n))
		case err == nil && n == int64(int8(n)):
			b = append(b, 0xfe, byte(n))
		case err == nil && n == int64(int16(n)):
			b = binary.LittleEndian.AppendUint16(append(b, 0xc0), uint16(n))
		case err == nil && n == n<<40>>40:
			b = append(b, 0xf0, byte(n), byte(n>>8), byte(n>>16))
		case err == nil && n == int64(int32(n)):
			b = binary.LittleEndian.AppendUint32(append(b, 0xd0), uint32(n))
		case err == nil:
			b = binary.LittleEndian.AppendUint64(append(b, 0xe0), uint64(n))
		case len(e) < 64:
			b = append(append(b, byte(len(e))), e...)
		case len(e) < 1<<14:
			b = append(append(b, 0x40|byte(len(e)>>8), byte(len(e))), e...)
		default:
			b = append(binary.BigEndian.AppendUint32(append(b, 0x80), uint32(len(e))), e...)
		}
		before = len(b) - from
	}
	b = append(b, 0xff)
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-1-before))
	binary.LittleEndian.PutUint16(b[8:], uint16(len(elems)))
	return b
}

func dumpOf(typ byte, body []byte) []byte {
	return appendFooter(append([]byte{typ}, body...), 0, Version)
}

// TestOldForms reads what versions before 10 had for collections.
func TestOldForms(t *testing.T) {
	w := newShardWorld(t)
	long, huge := strings.Repeat("l", 300), strings.Repeat("h", 20000)
	str := func(p []byte) []byte { return appendString(nil, p, false) }
	text := func(s string) []byte { return append([]byte{byte(len(s))}, s...) }
	list := []string{"a", "0", "12", "13", "-1", "127", "-129", "40000", "-8000000", "9000000", "99999999999", long, huge, "last"}
	double := func(f float64) string { return string(binary.LittleEndian.AppendUint64(nil, math.Float64bits(f))) }
	zm := append(append([]byte{2, 1, 'a', 2, 0, 'v', 'w', 0xfe}, binary.LittleEndian.AppendUint32(nil, 300)...), long...)
	zm = append(zm, 1, 3, 'x', 0, 0, 0, 0xff)
	for name, c := range map[string]struct {
		payload []byte
		want    collection
	}{
		"list": {dumpOf(typeList, slices.Concat([]byte{3}, str([]byte("a")), str([]byte("7")), str([]byte(long)))),
			collection{keyspace.List, []string{"a", "7", long}}},
		"list of a ziplist":    {dumpOf(typeListZiplist, str(ziplist(list...))), collection{keyspace.List, list}},
		"quicklist":            {dumpOf(typeQuicklist, slices.Concat([]byte{2}, str(ziplist("a", "b")), str(ziplist("c")))), collection{keyspace.List, []string{"a", "b", "c"}}},
		"quicklist 2, plain":   {dumpOf(typeQuicklist2, slices.Concat([]byte{2, 1}, str([]byte(huge)), []byte{2}, str(packed.New(nil).AppendInt(5)))), collection{keyspace.List, []string{huge, "5"}}},
		"zset of a ziplist":    {dumpOf(typeZSetZiplist, str(ziplist("a", "-1.5", "b", "2"))), collection{keyspace.ZSet, []string{"a", "-1.5", "b", "2"}}},
		"zset of text":         {dumpOf(typeZSetText, slices.Concat([]byte{3}, str([]byte("a")), []byte{254}, str([]byte("b")), []byte{255}, str([]byte("c")), text("0.5"))), collection{keyspace.ZSet, []string{"a", "inf", "b", "-inf", "c", "0.5"}}},
		"zset 2":               {dumpOf(typeZSet, slices.Concat([]byte{1}, str([]byte("a")), []byte(double(2.5)))), collection{keyspace.ZSet, []string{"a", "2.5"}}},
		"hash of a ziplist":    {dumpOf(typeHashZiplist, str(ziplist("a", "1", "b", long))), collection{keyspace.Hash, []string{"a", "1", "b", long}}},
		"hash of a zipmap":     {dumpOf(typeHashZipmap, str(zm)), collection{keyspace.Hash, []string{"a", "vw", long, "x"}}},
		"set of a packed list": {dumpOf(typeSetPacked, str(packed.New(nil).AppendInt(5).Append([]byte("x")))), collection{keyspace.Set, []string{"5", "x"}}},
		"intset of 64 bits":    {dumpOf(typeSetIntset, str(mustAdd(1, 1<<40))), collection{keyspace.Set, []string{"1", "1099511627776"}}},
	} {
		r, err := w.restore(name, c.payload)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := c.want.read(w.s, r); w.s.Type(r) != c.want.typ || !slices.Equal(got, c.want.want()) {
			t.Errorf("%s: %.300q, want %.300q", name, got, c.want.want())
		}
	}
	if err := w.s.Check(); err != nil {
		t.Fatal(err)
	}
}

func mustAdd(v ...int64) intset.Set {
	s := intset.New(nil)
	for _, x := range v {
		s, _ = s.Add(x)
	}
	return s
}

// TestBadCollections: valid checksums around values that are not.
func TestBadCollections(t *testing.T) {
	w := newShardWorld(t)
	str := func(p []byte) []byte { return appendString(nil, p, false) }
	cut, astray, void := ziplist("a", "b"), ziplist("a", "1"), ziplist("a")
	astray[4]--                                                // where it says that the last entry is
	binary.LittleEndian.PutUint32(void[4:], uint32(len(void))) // outside
	for name, payload := range map[string][]byte{
		"no elements":             dumpOf(typeSet, []byte{0}),
		"no elements, packed":     dumpOf(typeHashPacked, str(packed.New(nil))),
		"fewer than claimed":      dumpOf(typeSet, append([]byte{2}, str([]byte("a"))...)),
		"more than claimed":       dumpOf(typeSet, slices.Concat([]byte{1}, str([]byte("a")), str([]byte("b")))),
		"member twice":            dumpOf(typeSet, slices.Concat([]byte{2}, str([]byte("a")), str([]byte("a")))),
		"field twice":             dumpOf(typeHash, slices.Concat([]byte{2}, str([]byte("a")), str([]byte("1")), str([]byte("a")), str([]byte("2")))),
		"field twice, packed":     dumpOf(typeHashPacked, str(packed.New(nil).AppendInt(1).AppendInt(2).AppendInt(1).AppendInt(2))),
		"odd":                     dumpOf(typeHashPacked, str(packed.New(nil).AppendInt(1))),
		"nan":                     dumpOf(typeZSet, slices.Concat([]byte{1}, str([]byte("a")), binary.LittleEndian.AppendUint64(nil, math.Float64bits(math.NaN())))),
		"unknown kind of node":    dumpOf(typeQuicklist2, append([]byte{1, 3}, str(packed.New(nil).AppendInt(1))...)),
		"node without elements":   dumpOf(typeQuicklist2, append([]byte{1, 2}, str(packed.New(nil))...)),
		"empty node in a list":    dumpOf(typeQuicklist2, slices.Concat([]byte{2, 2}, str(packed.New(nil).AppendInt(1)), []byte{2}, str(packed.New(nil)))),
		"plain node of no bytes":  dumpOf(typeQuicklist2, []byte{1, 1, 0}),
		"ziplist, wrong last":     dumpOf(typeZSetZiplist, str(astray)),
		"ziplist, no last":        dumpOf(typeQuicklist, append([]byte{2}, slices.Concat(str(cut), str(void))...)),
		"cut ziplist":             dumpOf(typeListZiplist, str(cut[:len(cut)-2])),
		"intset out of order":     dumpOf(typeSetIntset, str([]byte{2, 0, 0, 0, 2, 0, 0, 0, 5, 0, 4, 0})),
		"a claim of 2^60":         dumpOf(typeList, []byte{0x81, 0x10, 0, 0, 0, 0, 0, 0, 0, 1, 'a'}),
		"large set, member twice": dumpOf(typeSet, append(appendLength(nil, 1001), repeatTwice(1000)...)),
	} {
		if _, err := w.restore("k", payload); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := w.s.Check(); err != nil {
		t.Fatal(err)
	}
	if w.ks.Used() != 0 {
		t.Errorf("%d bytes are left of what was refused", w.ks.Used())
	}
}

// repeatTwice is n members, the first once more at the end.
func repeatTwice(n int) (b []byte) {
	for i := range n + 1 {
		b = appendString(b, fmt.Append(nil, "member", i%n), false)
	}
	return b
}

// FuzzRestore: whatever is accepted can be read, dumped and restored again.
func FuzzRestore(f *testing.F) {
	w := newShardWorld(f)
	for name, c := range collections(rand.New(rand.NewPCG(5, 6))) {
		if len(c.elems) <= 10 {
			p := AppendDump(nil, w.s, c.build(w.s, name, &w.lim), true)
			f.Add(p[:len(p)-dumpFooter])
		}
	}
	f.Add(append([]byte{typeHashZiplist}, appendString(nil, ziplist("a", "1", "b", "2"), false)...))
	f.Add([]byte{typeHashZipmap, 8, 1, 1, 'a', 1, 0, 'b', 0xff, 0})
	for _, p := range expiringPayloads() {
		f.Add(p[:len(p)-dumpFooter])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) == 0 {
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
		if w.s.Type(r) == keyspace.String {
			return
		}
		c := collection{typ: w.s.Type(r)}
		got := c.read(w.s, r)
		if c.typ == keyspace.Hash {
			got = fieldsOf(w.s, r)
		}
		r, err = w.restore("k2", AppendDump(nil, w.s, r, true))
		if err != nil {
			t.Fatalf("what was accepted is refused when dumped again: %v", err)
		}
		again := c.read(w.s, r)
		if c.typ == keyspace.Hash {
			again = fieldsOf(w.s, r)
		}
		if !slices.Equal(got, again) {
			t.Fatalf("%q became %q", got, again)
		}
		if err := w.s.Check(); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzLoad: as FuzzRestore, with a file, in which elements of a small collection may stand twice. What was loaded can be made large.
func FuzzLoad(f *testing.F) {
	w := newShardWorld(f)
	for name, c := range collections(rand.New(rand.NewPCG(5, 6))) {
		if len(c.elems) <= 10 {
			p := AppendDump(nil, w.s, c.build(w.s, name, &w.lim), true)
			f.Add(p[:len(p)-dumpFooter])
		}
	}
	twice := packed.New(nil).AppendInt(1).AppendInt(2).AppendInt(1).AppendInt(2)
	for _, typ := range []byte{typeHashPacked, typeSetPacked} {
		f.Add(append([]byte{typ}, appendString(nil, twice, false)...))
	}
	p := AppendDump(nil, w.s, richStream(w, "s", 3), false)
	f.Add(p[:len(p)-dumpFooter])
	for _, p := range expiringPayloads() {
		f.Add(p[:len(p)-dumpFooter])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) == 0 {
			return
		}
		file := slices.Concat([]byte("REDIS0012"), body[:1], []byte("\x01k"), body[1:], []byte{opEOF}, make([]byte, 8))
		w := newShardWorld(t)
		if err := w.tryLoad(file); err != nil {
			return
		}
		w.s.Scan(0, 0, func(r keyspace.Ref) {
			AppendDump(nil, w.s, r, true)
		})
		h := w.s.Hash([]byte("k"))
		if r := w.s.Find(0, h, []byte("k")); r != 0 && w.s.Type(r) != keyspace.String && w.s.Type(r) != keyspace.List && !w.s.Encoding(r).IsRoot() {
			value.Expand(w.s, 0, h, r, &w.lim)
		}
		if err := w.s.Check(); err != nil {
			t.Fatal(err)
		}
		w.s.Flush(0, true)
		if w.ks.Used() != 0 {
			t.Fatalf("%d bytes are left", w.ks.Used())
		}
	})
}
