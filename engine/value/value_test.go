package value

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/packed"
)

type fixture struct {
	t   *testing.T
	ks  *keyspace.Keyspace
	s   *keyspace.Shard
	lim Limits
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{t: t, ks: keyspace.New(keyspace.Options{Shards: 1, Databases: 1})}
	t.Cleanup(f.ks.Close)
	f.s = f.ks.Shard(0)
	f.lim.SetDefaults()
	return f
}

func (f *fixture) builder(typ keyspace.Type) *Builder { return NewBuilder(f.s, 0, typ, &f.lim) }

func (f *fixture) put(b *Builder) keyspace.Ref {
	key := []byte("key")
	h := f.ks.Hash(key)
	r := b.Put(h, f.s.Find(0, h, key), key, 12345, 7)
	if f.s.ExpireAt(r) != 12345 || f.s.Access(r) != 7 || f.s.Find(0, h, key) != r {
		f.t.Fatal("key, expiry or access is wrong")
	}
	if err := f.s.Check(); err != nil {
		f.t.Fatal(err)
	}
	return r
}

// contents reads a collection as text, in an order that does not depend on its representation.
func (f *fixture) contents(r keyspace.Ref) (out []string) {
	switch s := f.s; s.Type(r) {
	case keyspace.List:
		EachElement(s, r, func(e []byte) bool { out = append(out, string(e)); return true })
		return out
	case keyspace.Set:
		EachMember(s, r, func(m []byte) bool {
			if !Has(s, r, m) {
				f.t.Fatalf("member %q is not there", m)
			}
			out = append(out, string(m))
			return true
		})
	case keyspace.ZSet:
		last := math.Inf(-1)
		EachScored(s, r, func(m []byte, score float64) bool {
			if got, ok := Score(s, r, m); !ok || got != score || score < last {
				f.t.Fatalf("member %q has score %g after %g; Score gives %g, %v", m, score, last, got, ok)
			}
			last = score
			out = append(out, fmt.Sprintf("%s %g", m, score))
			return true
		})
	case keyspace.Hash:
		var buf [20]byte
		EachField(s, r, Always, func(name, v []byte) bool {
			if got, ok := Field(s, r, name, Always, &buf); !ok || string(got) != string(v) {
				f.t.Fatalf("field %q: %q, %v, want %q", name, got, ok, v)
			}
			out = append(out, fmt.Sprintf("%s=%s", name, v))
			return true
		})
	}
	slices.Sort(out)
	return out
}

// TestBuildAndRead builds collections of every type and size, reads them, makes small ones large and reads them again.
func TestBuildAndRead(t *testing.T) {
	f := newFixture(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 400 {
		typ := []keyspace.Type{keyspace.List, keyspace.Set, keyspace.ZSet, keyspace.Hash}[rnd.IntN(4)]
		b := f.builder(typ)
		var want []string
		seen := map[string]bool{}
		n := []int{1, 10, 127, 128, 129, 511, 512, 513, 3000}[rnd.IntN(9)]
		ints := rnd.IntN(2) == 0
		for i := range n {
			e := fmt.Sprint(rnd.IntN(3*n) - n)
			if !ints || typ != keyspace.Set && i%3 == 0 {
				e = "e" + e
			}
			if rnd.IntN(1000) == 0 {
				e += strings.Repeat("long", 20)
			}
			score, val := float64(rnd.IntN(10))/4, fmt.Sprint(i)
			added := true
			switch typ {
			case keyspace.List:
				b.Push([]byte(e))
				want = append(want, e)
				continue
			case keyspace.Set:
				added = b.AddMember([]byte(e))
				val = e
			case keyspace.ZSet:
				added = b.AddScored([]byte(e), score)
				val = fmt.Sprintf("%s %g", e, score)
			case keyspace.Hash:
				added = b.AddField([]byte(e), []byte(val))
				val = e + "=" + val
			}
			if added == seen[e] {
				t.Fatalf("%v: adding %q says %v, it was there: %v", typ, e, added, seen[e])
			}
			if seen[e] = true; added {
				want = append(want, val)
			}
		}
		if typ != keyspace.List {
			slices.Sort(want)
		}
		if rnd.IntN(10) == 0 {
			b.Discard()
			continue
		}
		r := f.put(b)
		if got := f.contents(r); !slices.Equal(got, want) || Len(f.s, r) != len(want) || b.Len() != len(want) {
			t.Fatalf("%v of %d elements as %v: %d elements, Len %d, want %d", typ, n, f.s.Encoding(r), len(got), Len(f.s, r), len(want))
		}
		if !f.s.Encoding(r).IsRoot() {
			r = Expand(f.s, 0, f.ks.Hash([]byte("key")), r, &f.lim)
			if got := f.contents(r); !slices.Equal(got, want) || !f.s.Encoding(r).IsRoot() || f.s.Type(r) != typ {
				t.Fatalf("%v expanded to %v: %d elements, want %d", typ, f.s.Encoding(r), len(got), len(want))
			}
		}
	}
	f.s.Flush(0, true)
}

// TestThresholds: where the small representation ends.
func TestThresholds(t *testing.T) {
	f := newFixture(t)
	long := strings.Repeat("x", 65)
	build := func(typ keyspace.Type, n int, elem func(i int) string) keyspace.Encoding {
		b := f.builder(typ)
		for i := range n {
			switch e := []byte(elem(i)); typ {
			case keyspace.List:
				b.Push(e)
			case keyspace.Set:
				b.AddMember(e)
			case keyspace.ZSet:
				b.AddScored(e, float64(i))
			case keyspace.Hash:
				b.AddField(fmt.Append(nil, i), e)
			}
		}
		return f.s.Encoding(f.put(b))
	}
	word := func(i int) string { return fmt.Sprint("w", i) }
	number := func(i int) string { return fmt.Sprint(i) }
	lengthy := func(i int) string { return long[:64+i/3] }
	for _, c := range []struct {
		typ  keyspace.Type
		n    int
		elem func(i int) string
		want keyspace.Encoding
	}{
		{keyspace.Set, 512, number, keyspace.IntSet},
		{keyspace.Set, 513, number, keyspace.HashTable},
		{keyspace.Set, 128, word, keyspace.ListPack},
		{keyspace.Set, 129, word, keyspace.HashTable},
		{keyspace.Set, 3, lengthy, keyspace.ListPack},
		{keyspace.Set, 4, lengthy, keyspace.HashTable},
		{keyspace.ZSet, 128, word, keyspace.ListPack},
		{keyspace.ZSet, 129, word, keyspace.SkipList},
		{keyspace.ZSet, 4, lengthy, keyspace.SkipList},
		{keyspace.Hash, 512, word, keyspace.ListPack},
		{keyspace.Hash, 513, word, keyspace.HashTable},
		{keyspace.Hash, 3, lengthy, keyspace.ListPack},
		{keyspace.Hash, 4, lengthy, keyspace.HashTable},
		{keyspace.List, 1000, word, keyspace.ListPack},
		{keyspace.List, 2000, word, keyspace.QuickList},
	} {
		if got := build(c.typ, c.n, c.elem); got != c.want {
			t.Errorf("%v of %d elements like %.10q is a %v, want %v", c.typ, c.n, c.elem(c.n-1), got, c.want)
		}
	}
	f.lim.ListSize.Store(4)
	if got := build(keyspace.List, 4, word); got != keyspace.ListPack {
		t.Errorf("4 elements: %v", got)
	}
	if got := build(keyspace.List, 5, word); got != keyspace.QuickList {
		t.Errorf("5 elements: %v", got)
	}
}

func TestCheckPacked(t *testing.T) {
	list := func(e ...string) packed.List {
		l := packed.New(nil)
		for _, x := range e {
			l = l.Append([]byte(x))
		}
		return l
	}
	for _, c := range []struct {
		name string
		typ  keyspace.Type
		l    packed.List
		deep bool
		ok   bool
	}{
		{"empty", keyspace.List, list(), false, false},
		{"list", keyspace.List, list("a", "a"), true, true},
		{"hash", keyspace.Hash, list("a", "1", "b", "1"), true, true},
		{"odd", keyspace.Hash, list("a", "1", "b"), false, false},
		{"field twice, not looked for", keyspace.Hash, list("a", "1", "a", "1"), false, true},
		{"field twice", keyspace.Hash, list("a", "1", "a", "1"), true, false},
		{"member twice", keyspace.Set, list("a", "a"), true, false},
		{"zset", keyspace.ZSet, list("b", "-inf", "a", "1", "c", "1", "d", "1.5"), true, true},
		{"scores out of order", keyspace.ZSet, list("a", "2", "b", "1"), false, false},
		{"members out of order", keyspace.ZSet, list("b", "1", "a", "1"), false, false},
		{"member twice in a zset", keyspace.ZSet, list("a", "1", "a", "2"), true, false},
		{"no score", keyspace.ZSet, list("a", "x"), false, false},
		{"nan", keyspace.ZSet, list("a", "nan"), false, false},
	} {
		if err := CheckPacked(c.l, c.l.Len(), c.typ, c.deep); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestScoresReadBack(t *testing.T) {
	for _, f := range []float64{0, math.Copysign(0, -1), 1, -1, 0.1, 1e300, 1.0 / 3, math.Inf(1), math.Inf(-1), 1 << 53, 1<<53 - 1, math.SmallestNonzeroFloat64} {
		l := packed.New(nil).Append(AppendScore(nil, f))
		// As in Redis, a small sorted set does not know the sign of zero.
		if got := PackedScore(l, packed.HeaderBytes); got != f || math.Signbit(got) != (f < 0) {
			t.Errorf("%g reads back as %g", f, got)
		}
	}
}

// TestStopsWhenToldTo: a callback that says false is not called again.
func TestStopsWhenToldTo(t *testing.T) {
	f := newFixture(t)
	for _, n := range []int{5, 3000} {
		for typ, add := range map[keyspace.Type]func(b *Builder, e []byte){
			keyspace.List: (*Builder).Push,
			keyspace.Set:  func(b *Builder, e []byte) { b.AddMember(e) },
			keyspace.ZSet: func(b *Builder, e []byte) { b.AddScored(e, 1) },
			keyspace.Hash: func(b *Builder, e []byte) { b.AddField(e, e) },
		} {
			b := f.builder(typ)
			for i := range n {
				add(b, fmt.Append(nil, "e", i))
			}
			r := f.put(b)
			calls := map[keyspace.Type]int{}
			one := func() bool { calls[typ]++; return calls[typ] < 3 }
			switch typ {
			case keyspace.List:
				EachElement(f.s, r, func([]byte) bool { return one() })
			case keyspace.Set:
				EachMember(f.s, r, func([]byte) bool { return one() })
			case keyspace.ZSet:
				EachScored(f.s, r, func([]byte, float64) bool { return one() })
			case keyspace.Hash:
				EachField(f.s, r, Always, func(_, _ []byte) bool { return one() })
			}
			if !maps.Equal(calls, map[keyspace.Type]int{typ: 3}) {
				t.Errorf("%d elements: %v", n, calls)
			}
		}
	}
}
