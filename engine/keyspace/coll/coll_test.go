package coll

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tidemark/engine/keyspace/arena"
)

var hashSeed = maphash.MakeSeed()

func testHash(key []byte) uint64 { return maphash.Bytes(hashSeed, key) }

// world is a collection with what a keyspace does for it: a heap, and holds.
type world struct {
	t     testing.TB
	heap  *arena.Heap
	root  Root
	kept  *Kept
	holds uint32
	image Root // what the hold sees
	rnd   *rand.Rand

	remains *Remains // nil: the collection has no heap of its own
}

func newWorld(t testing.TB) *world {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	p := arena.NewPool()
	t.Cleanup(p.Close)
	w := &world{t: t, heap: p.NewHeap(), rnd: rand.New(rand.NewPCG(seed, 1))}
	if seed&1 != 0 {
		w.remains = &Remains{}
	}
	return w
}

func (w *world) mem() *Mem {
	if w.remains != nil && w.rnd.IntN(50) == 0 {
		w.remains.Free(w.heap, w.rnd.IntN(50))
	}
	return &Mem{Heap: w.heap, Root: &w.root, Kept: w.kept, Hash: testHash, Remains: w.remains}
}

// held is the memory of the image.
func (w *world) held() *Mem { return &Mem{Heap: w.heap, Root: &w.image, Hash: testHash} }

func (w *world) hold() {
	w.holds++
	w.kept = &Kept{}
	w.root.Hold = w.holds
	w.image = w.root
}

func (w *world) release() {
	for !w.kept.None() {
		w.kept.Free(w.heap, 100)
	}
	if w.kept.Bytes != 0 {
		w.t.Fatalf("%d bytes kept in no blocks", w.kept.Bytes)
	}
	w.kept, w.root.Hold = nil, 0
}

func (w *world) empty() {
	w.t.Helper()
	if m := w.remains; m != nil {
		if used := w.heap.Used(); m.Bytes != used {
			w.t.Fatalf("%d bytes are left, %d of them remains", used, m.Bytes)
		}
		for !m.None() {
			m.Free(w.heap, 1000)
		}
		if m.Bytes != 0 {
			w.t.Fatalf("%d bytes remain in no blocks", m.Bytes)
		}
	}
	if w.heap.Used() != 0 {
		w.t.Fatalf("%d bytes are left", w.heap.Used())
	}
	if msg := w.heap.Check(); msg != "" {
		w.t.Fatal(msg)
	}
}

// dictContents reads a Dict by scanning.
func dictContents(t testing.TB, d Dict) map[string]string {
	out := map[string]string{}
	for cursor, first := uint64(0), true; first || cursor != 0; first = false {
		cursor = d.Scan(cursor, func(r Ref) {
			k := string(KeyOf(d.Space, r))
			if _, twice := out[k]; twice {
				t.Fatalf("key %.40q met twice", k)
			}
			out[k] = string(ValueOf(d.Space, r))
		})
	}
	return out
}

func TestDictAgainstModel(t *testing.T) {
	for _, c := range []struct{ keys, steps int }{{5, 3000}, {100, 20000}, {2000, 60000}, {300000, 700000}} {
		t.Run(fmt.Sprint(c.keys), func(t *testing.T) {
			c.steps /= effort
			w := newWorld(t)
			model := map[string]string{}
			var frozen map[string]string
			grow := true
			for i := range c.steps {
				if i%(c.steps/4) == 0 {
					grow = !grow || i == 0
				}
				d := Dict{w.mem()}
				key := []byte(fmt.Sprintf("key:%d", w.rnd.IntN(c.keys)))
				h := testHash(key)
				r := d.Find(h, key)
				have, ok := model[string(key)]
				if ok != (r != 0) || ok && string(ValueOf(d.Space, r)) != have {
					t.Fatalf("step %d: key %s found %v, in the model %v", i, key, r != 0, ok)
				}
				op := w.rnd.IntN(10)
				switch {
				case !ok && (grow || op < 3):
					v := fmt.Sprint(w.rnd.Uint32() >> w.rnd.IntN(32))
					if op == 0 && w.rnd.IntN(50) == 0 {
						v = strings.Repeat(v, w.rnd.IntN(10000))
					}
					d.Insert(h, d.NewElem(Field, key, []byte(v), 0))
					model[string(key)] = v
				case ok && op < 3:
					v := fmt.Sprint(i)
					if d.EditableElem(h, r) && len(v) == len(have) {
						copy(ValueOf(d.Space, r), v)
					} else {
						d.Replace(h, r, d.NewElem(Field, key, []byte(v), 0))
					}
					model[string(key)] = v
				case ok && (!grow || op == 4):
					d.Remove(h, r)
					delete(model, string(key))
				}
				switch {
				case w.kept == nil && i%(c.steps/20) == 0:
					w.hold()
					frozen = maps.Clone(model)
				case w.kept != nil && i%(c.steps/20) == c.steps/40:
					if got := dictContents(t, Dict{w.held()}); !maps.Equal(got, frozen) {
						t.Fatalf("step %d: the held image has %d keys, there were %d", i, len(got), len(frozen))
					}
					w.release()
					if err := (Dict{w.mem()}).Check(); err != nil {
						t.Fatalf("step %d: %v", i, err)
					}
				}
			}
			if w.kept != nil {
				w.release()
			}
			d := Dict{w.mem()}
			if got := dictContents(t, d); !maps.Equal(got, model) {
				t.Fatalf("%d keys, the model has %d", len(got), len(model))
			}
			// A copy, and the removal of everything from it one by one.
			var root Root
			e := Dict{&Mem{Heap: w.heap, Root: &root, Hash: testHash}}
			e.CloneFrom(d)
			d.Drop()
			if err := e.Check(); err != nil {
				t.Fatal(err)
			}
			for k := range model {
				h := testHash([]byte(k))
				e.Remove(h, e.Find(h, []byte(k)))
			}
			w.empty()
		})
	}
}

// TestDictScanKeepsItsPromise: what is there all along is met, whatever comes and goes meanwhile.
func TestDictScanKeepsItsPromise(t *testing.T) {
	w := newWorld(t)
	d := Dict{w.mem()}
	insert := func(name string) {
		d.Insert(testHash([]byte(name)), d.NewElem(Member, []byte(name), nil, 0))
	}
	for i := range 3000 {
		insert(fmt.Sprint("stays", i))
	}
	met := map[string]int{}
	extra := 0
	for cursor, first := uint64(0), true; first || cursor != 0; first = false {
		cursor = d.Scan(cursor, func(r Ref) { met[string(KeyOf(d.Space, r))]++ })
		switch grow := w.rnd.IntN(2000); {
		case grow > 1000 && extra < 40000:
			for range grow / 4 {
				insert(fmt.Sprint("extra", extra))
				extra++
			}
		default:
			for range min(extra, grow*3) {
				extra--
				k := []byte(fmt.Sprint("extra", extra))
				d.Remove(testHash(k), d.Find(testHash(k), k))
			}
		}
	}
	for i := range 3000 {
		if met[fmt.Sprint("stays", i)] == 0 {
			t.Fatalf("element %d was never met", i)
		}
	}
	if d.Scan(1<<PosBits, func(Ref) { t.Error("visited past the end") }) != 0 || d.Scan(1<<63, func(Ref) {}) != 0 {
		t.Error("a cursor past the end goes on")
	}
	d.Drop()
	w.empty()
}

// TestDictRandomIsFair draws often, and compares with what chance allows (chi squared).
func TestDictRandomIsFair(t *testing.T) {
	for _, n := range []int{1, 3, 7, 100, 500, 5000} {
		w := newWorld(t)
		d := Dict{w.mem()}
		if d.Random(w.rnd.Uint64) != 0 {
			t.Fatal("an empty Dict gives something")
		}
		for i := range 3 * n {
			k := []byte(fmt.Sprint(i))
			d.Insert(testHash(k), d.NewElem(Member, k, nil, 0))
		}
		for i := n; i < 3*n; i++ { // removals leave a grid with holes
			k := []byte(fmt.Sprint(i))
			d.Remove(testHash(k), d.Find(testHash(k), k))
		}
		const each = 200
		seen := map[string]int{}
		for range each * n {
			seen[string(KeyOf(d.Space, d.Random(w.rnd.Uint64)))]++
		}
		if len(seen) != n {
			t.Fatalf("%d of %d elements came", len(seen), n)
		}
		chi := 0.0
		for _, c := range seen {
			chi += float64((c-each)*(c-each)) / each
		}
		// Mean n-1, variance 2(n-1); six standard deviations are never met by chance.
		if free := float64(n - 1); n > 1 && chi > free+6*math.Sqrt(2*free)+6 {
			t.Errorf("%d elements: chi squared %.0f", n, chi)
		}
		d.Drop()
		w.empty()
	}
}

type scored struct {
	score float64
	key   string
}

func compareScored(a, b scored) int {
	switch {
	case a.score < b.score:
		return -1
	case a.score > b.score:
		return 1
	}
	return strings.Compare(a.key, b.key)
}

func treeContents(tr *Tree) (out []scored) {
	var pos Pos
	for tr.First(&pos); pos.Valid(); tr.Next(&pos) {
		if tr.Rank(&pos) != uint64(len(out)) {
			panic(fmt.Sprintf("item %d has rank %d", len(out), tr.Rank(&pos)))
		}
		r := pos.Item().Ref()
		out = append(out, scored{ScoreOf(tr.Space, r), string(KeyOf(tr.Space, r))})
	}
	return out
}

// TestTreeAgainstModel keeps a sorted set in a Tree alone, and compares order, ranks and seeking with a sorted slice.
func TestTreeAgainstModel(t *testing.T) {
	for _, c := range []struct{ most, steps, scores int }{{10, 4000, 3}, {300, 30000, 5}, {20000, 90000, 1000}, {5000, 40000, 1}} {
		t.Run(fmt.Sprint(c.most, "/", c.scores), func(t *testing.T) {
			c.steps /= effort
			w := newWorld(t)
			var model, frozen []scored
			var pos Pos
			for i := range c.steps {
				tr := &Tree{Mem: w.mem(), Tie: TieKey}
				s := scored{float64(w.rnd.IntN(c.scores)) - 2.5, fmt.Sprint(w.rnd.IntN(c.most))}
				if w.rnd.IntN(3) == 0 { // in order
					s.key = fmt.Sprintf("z%08d", i)
				}
				at, found := slices.BinarySearchFunc(model, s, compareScored)
				probe := Probe{Key: ScoreKey(s.score), Tie: []byte(s.key)}
				tr.Seek(&pos, &probe)
				if pos.Valid() != (at < len(model)) || pos.Valid() && tr.Rank(&pos) != uint64(at) {
					t.Fatalf("step %d: Seek gives rank %d, want %d of %d", i, tr.Rank(&pos), at, len(model))
				}
				switch {
				case !found && len(model) < c.most && w.rnd.IntN(3) > 0:
					r := tr.NewElem(Scored, []byte(s.key), nil, math.Float64bits(s.score))
					tr.Insert(&probe, NewItem(probe.Key, r, 1))
					model = slices.Insert(model, at, s)
				case found && w.rnd.IntN(2) == 0:
					old := pos.Item().Ref()
					r := tr.NewElem(Scored, []byte(s.key), nil, math.Float64bits(s.score))
					tr.Set(&pos, NewItem(probe.Key, r, 1))
					tr.dropElem(old, false)
				case len(model) > 0:
					at = w.rnd.IntN(len(model))
					if within := tr.At(&pos, uint64(at)); within != 0 || !pos.Valid() {
						t.Fatalf("step %d: nothing at rank %d", i, at)
					}
					old := pos.Item().Ref()
					tr.Delete(&pos)
					tr.dropElem(old, false)
					model = slices.Delete(model, at, at+1)
				}
				if i%(c.steps/50+1) == 0 {
					if err := tr.Check(); err != nil {
						t.Fatalf("step %d: %v", i, err)
					}
					if got := treeContents(tr); !slices.Equal(got, model) || tr.Len() != uint64(len(model)) {
						t.Fatalf("step %d: %d items, the model has %d", i, len(got), len(model))
					}
					w.seekEverywhere(tr, model)
					if w.kept == nil {
						w.hold()
						frozen = slices.Clone(model)
					} else {
						if got := treeContents(&Tree{Mem: w.held(), Tie: TieKey}); !slices.Equal(got, frozen) {
							t.Fatalf("step %d: the held image has %d items, there were %d", i, len(got), len(frozen))
						}
						w.release()
					}
				}
			}
			if w.kept != nil {
				w.release()
			}
			tr := &Tree{Mem: w.mem(), Tie: TieKey}
			var root Root
			e := &Tree{Mem: &Mem{Heap: w.heap, Root: &root}, Tie: TieKey}
			e.CloneFrom(tr, func(it Item) Ref { return e.cloneElem(it.Ref()) })
			tr.Drop(func(r Ref) { tr.dropElem(r, false) })
			if got := treeContents(e); !slices.Equal(got, model) {
				t.Fatalf("the copy has %d items, the model %d", len(got), len(model))
			}
			if err := e.Check(); err != nil {
				t.Fatal(err)
			}
			e.Drop(func(r Ref) { e.dropElem(r, false) })
			w.empty()
		})
	}
}

// seekEverywhere tries the ways to look for a bound, at a random score.
func (w *world) seekEverywhere(tr *Tree, model []scored) {
	w.t.Helper()
	score := float64(w.rnd.IntN(6)) - 3.5
	if len(model) > 0 {
		score = model[w.rnd.IntN(len(model))].score
	}
	key := fmt.Sprint(w.rnd.IntN(100))
	for where, first := range map[Where]func(s scored) bool{
		BeforeAll: func(s scored) bool { return s.score >= score },
		AfterAll:  func(s scored) bool { return s.score > score },
		Exactly:   func(s scored) bool { return compareScored(s, scored{score, key}) >= 0 },
		Behind:    func(s scored) bool { return compareScored(s, scored{score, key}) > 0 },
	} {
		want := slices.IndexFunc(model, first)
		if want < 0 {
			want = len(model)
		}
		var pos Pos
		probe := Probe{Key: ScoreKey(score), Where: where, Tie: []byte(key)}
		if tr.Seek(&pos, &probe); pos.Valid() != (want < len(model)) || pos.Valid() && int(tr.Rank(&pos)) != want {
			w.t.Fatalf("Seek %d: rank %d, want %d of %d", where, tr.Rank(&pos), want, len(model))
		}
		if tr.SeekBefore(&pos, &probe); pos.Valid() != (want > 0) || pos.Valid() && int(tr.Rank(&pos)) != want-1 {
			w.t.Fatalf("SeekBefore %d: rank %d, want %d", where, tr.Rank(&pos), want-1)
		}
	}
}

// TestTreeByRank: items of various weights, found and inserted by rank.
func TestTreeByRank(t *testing.T) {
	w := newWorld(t)
	tr := &Tree{Mem: w.mem()}
	var weights []int
	for range 3000 {
		i := w.rnd.IntN(len(weights) + 1)
		rank := 0
		for _, v := range weights[:i] {
			rank += v
		}
		weight := 1 + w.rnd.IntN(1000)
		tr.InsertAt(uint64(rank), NewItem(0, Ref(weight), weight))
		weights = slices.Insert(weights, i, weight)
	}
	if err := tr.Check(); err != nil {
		t.Fatal(err)
	}
	var pos Pos
	rank := uint64(0)
	for i, v := range weights {
		within := uint64(w.rnd.IntN(v))
		if got := tr.At(&pos, rank+within); got != within || pos.Item().Weight() != v || tr.Rank(&pos) != rank {
			t.Fatalf("item %d: rank %d+%d, weight %d, want %d+%d, %d", i, tr.Rank(&pos), got, pos.Item().Weight(), rank, within, v)
		}
		rank += uint64(v)
	}
	if tr.At(&pos, rank); pos.Valid() || tr.Len() != rank {
		t.Fatalf("there is something behind the end; all weighs %d, want %d", tr.Len(), rank)
	}
	n := len(weights)
	for tr.Last(&pos); pos.Valid(); tr.Prev(&pos) {
		n--
		rank -= uint64(weights[n])
		if pos.Item().Weight() != weights[n] || tr.Rank(&pos) != rank {
			t.Fatalf("backwards: item %d weighs %d at %d", n, pos.Item().Weight(), tr.Rank(&pos))
		}
	}
	if n != 0 {
		t.Fatalf("%d items were not met backwards", n)
	}
	tr.Drop(nil)
	w.empty()
}

func TestScoreKeyKeepsOrder(t *testing.T) {
	scores := []float64{math.Inf(-1), -math.MaxFloat64, -1.5, -1, -math.SmallestNonzeroFloat64, 0, math.SmallestNonzeroFloat64, 1, 1.5, math.MaxFloat64, math.Inf(1)}
	for i, s := range scores {
		if i > 0 && ScoreKey(scores[i-1]) >= ScoreKey(s) {
			t.Errorf("%g is not before %g", scores[i-1], s)
		}
		if ScoreOfKey(ScoreKey(s)) != s {
			t.Errorf("%g becomes %g", s, ScoreOfKey(ScoreKey(s)))
		}
	}
	if ScoreKey(math.Copysign(0, -1)) != ScoreKey(0) {
		t.Error("the zeros differ")
	}
}

// TestElements crosses all widths of lengths.
func TestElements(t *testing.T) {
	w := newWorld(t)
	m := w.mem()
	for _, n := range []int{0, 1, 255, 256, 65535, 65536, 3 << 20} {
		for _, k := range []Kind{Member, Field, Expiring, Scored} {
			key := bytes.Repeat([]byte("k"), n)
			for _, v := range []int{0, 5, 255, 256, 70000} {
				if k&hasValue == 0 && v > 0 {
					continue
				}
				val := bytes.Repeat([]byte("v"), v)
				r := m.NewElem(k, key, val, math.Float64bits(-2.5))
				c := m.cloneElem(r)
				for _, r := range []Ref{r, c} {
					if !bytes.Equal(KeyOf(m.Space, r), key) || KindOf(m.Space, r) != k {
						t.Fatalf("kind %d, key of %d bytes: %d bytes, kind %d", k, n, len(KeyOf(m.Space, r)), KindOf(m.Space, r))
					}
					if k&hasValue != 0 && !bytes.Equal(ValueOf(m.Space, r), val) {
						t.Fatalf("kind %d: value of %d bytes has %d", k, v, len(ValueOf(m.Space, r)))
					}
					if k == Scored && ScoreOf(m.Space, r) != -2.5 {
						t.Fatalf("score %g", ScoreOf(m.Space, r))
					}
					if at := ExpiryOf(m.Space, r); (at != -1) != (k == Expiring) {
						t.Fatalf("kind %d expires at %d", k, at)
					}
					m.Heap.Free(r)
				}
			}
		}
	}
	w.empty()
}
