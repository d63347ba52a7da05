package coll

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tidemark/engine/keyspace/packed"
)

func listContents(l List) (out []string) {
	var buf [20]byte
	var p Place
	for ok := l.Seek(&p, 0); ok; ok = l.Next(&p) {
		if p.Index() != uint64(len(out)) {
			panic("the place has lost count")
		}
		out = append(out, string(p.Text(&buf)))
	}
	return out
}

func TestListAgainstModel(t *testing.T) {
	for _, rules := range []ListRules{{Fill: -2}, {Fill: -1}, {Fill: 1}, {Fill: 4}, {Fill: 100}, {Fill: -1, Depth: 1}, {Fill: 4, Depth: 2}, {Fill: 20, Depth: 1},
		{Fill: 10, Depth: 5}, {Fill: -1, Alone: 1}, {Fill: -2, Depth: 1, Alone: 9}} {
		for _, most := range []int{20, 3000} {
			t.Run(fmt.Sprint(rules, most), func(t *testing.T) {
				w := newWorld(t)
				var model, frozen []string
				var buf [20]byte
				var p Place
				steps := 12000 / effort
				for i := range steps {
					l := List{w.mem(), rules}
					e := fmt.Sprint(w.rnd.Uint32() >> w.rnd.IntN(32))
					switch w.rnd.IntN(30) {
					case 0:
						e = strings.Repeat("long ", w.rnd.IntN(200))
					case 1:
						if w.rnd.IntN(20) == 0 {
							e = strings.Repeat("huge ", w.rnd.IntN(20000))
						}
					}
					at := 0
					if len(model) > 0 {
						at = w.rnd.IntN(len(model))
						if !l.Seek(&p, uint64(at)) || string(p.Text(&buf)) != model[at] {
							t.Fatalf("step %d: element %d is %.40q, want %.40q", i, at, p.Text(&buf), model[at])
						}
					}
					op := w.rnd.IntN(12)
					if op < 8 && len(model) >= most {
						op = 8 + w.rnd.IntN(4)
					}
					switch {
					case op < 2:
						l.PushHead([]byte(e))
						model = slices.Insert(model, 0, e)
					case op < 4 || len(model) == 0:
						l.PushTail([]byte(e))
						model = append(model, e)
					case op == 4:
						l.Insert(&p, []byte(e))
						model = slices.Insert(model, at, e)
						if string(p.Text(&buf)) != e || p.Index() != uint64(at) {
							t.Fatalf("step %d: the place is not that of the new element", i)
						}
					case op == 5:
						l.InsertBehind(uint64(at), []byte(e))
						model = slices.Insert(model, at+1, e)
					case op < 8:
						l.Set(&p, []byte(e))
						model[at] = e
						if string(p.Text(&buf)) != e || p.Index() != uint64(at) {
							t.Fatalf("step %d: the place is not that of the element set", i)
						}
					case op == 8:
						n := min(1+w.rnd.IntN(3), len(model))
						l.DropHead(uint64(n))
						model = slices.Delete(model, 0, n)
					case op == 9:
						n := min(1+w.rnd.IntN(3), len(model))
						l.DropTail(uint64(n))
						model = slices.Delete(model, len(model)-n, len(model))
					case op == 10:
						if ok := l.Delete(&p); ok != (at < len(model)-1) || ok && string(p.Text(&buf)) != model[at+1] {
							t.Fatalf("step %d: Delete of %d of %d says %v", i, at, len(model), ok)
						}
						model = slices.Delete(model, at, at+1)
					case w.rnd.IntN(20) == 0:
						n := w.rnd.IntN(len(model) - at + 1)
						l.DeleteRange(uint64(at), uint64(n))
						model = slices.Delete(model, at, at+n)
					}
					if len(model) > 0 && (string(l.Head(&buf)) != model[0] || string(l.Tail(&buf)) != model[len(model)-1]) {
						t.Fatalf("step %d: the ends are wrong", i)
					}
					if i%(steps/60+1) == 0 {
						if err := l.Check(); err != nil {
							t.Fatalf("step %d: %v", i, err)
						}
						checkDepth(t, l)
						if got := listContents(l); !slices.Equal(got, model) || l.Len() != uint64(len(model)) {
							t.Fatalf("step %d: %d elements, the model has %d", i, len(got), len(model))
						}
						n := len(model)
						for ok := n > 0 && l.Seek(&p, uint64(n-1)); ok; ok = l.Prev(&p) {
							if n--; string(p.Text(&buf)) != model[n] {
								t.Fatalf("step %d: backwards: element %d is %.40q", i, n, p.Text(&buf))
							}
						}
						if n != 0 {
							t.Fatalf("step %d: %d elements were not met backwards", i, n)
						}
						if w.kept == nil {
							w.hold()
							frozen = slices.Clone(model)
						} else {
							if got := listContents(List{w.held(), rules}); !slices.Equal(got, frozen) {
								t.Fatalf("step %d: the held image has %d elements, there were %d", i, len(got), len(frozen))
							}
							w.release()
						}
					}
				}
				if w.kept != nil {
					w.release()
				}
				l := List{w.mem(), rules}
				var root Root
				c := List{&Mem{Heap: w.heap, Root: &root}, rules}
				c.CloneFrom(l)
				l.Drop()
				if got := listContents(c); !slices.Equal(got, model) {
					t.Fatalf("the copy has %d elements, the model %d", len(got), len(model))
				}
				if c.Len() > 0 {
					c.DropHead(c.Len())
				}
				w.empty()
			})
		}
	}
}

// checkDepth: no block that lies within Depth from an end is compressed.
func checkDepth(t *testing.T, l List) {
	t.Helper()
	var blocks []Ref
	var pos Pos
	tr := l.tree()
	for tr.First(&pos); pos.Valid(); tr.Next(&pos) {
		blocks = append(blocks, pos.Item().Ref())
	}
	for i, r := range blocks {
		if l.pressed(r) && (i < l.Depth-1 || len(blocks)-1-i < l.Depth-1) {
			t.Fatalf("block %d of %d between the first and the last is compressed, at depth %d", i, len(blocks), l.Depth)
		}
	}
}

// TestListDepth: what lies deep is compressed, however it came there, and nothing is when Depth is 0.
func TestListDepth(t *testing.T) {
	w := newWorld(t)
	elem := func(i int) []byte { return fmt.Appendf(nil, "element number %08d of a list", i) }
	pressed := func(l List) (n, all int) {
		var pos Pos
		tr := l.tree()
		for tr.First(&pos); pos.Valid(); tr.Next(&pos) {
			if all++; l.pressed(pos.Item().Ref()) {
				n++
			}
		}
		return n, all + 2
	}
	for _, depth := range []int{0, 1, 2, 3, 1000} {
		for _, how := range []string{"head", "tail", "both", "blocks", "inside"} {
			l := List{w.mem(), ListRules{Fill: 10, Depth: depth}}
			for i := range 1000 {
				switch {
				case how == "blocks":
					lp := packed.New(nil)
					for j := range 10 {
						lp = lp.Append(elem(10*i + j))
					}
					l.AppendBlock(lp, 10)
				case how == "inside" && l.Len() > 2:
					l.InsertBehind(uint64(w.rnd.IntN(int(l.Len()))), elem(i))
				case how == "head", how == "both" && i%2 == 0:
					l.PushHead(elem(i))
				default:
					l.PushTail(elem(i))
				}
			}
			checkDepth(t, l)
			n, all := pressed(l)
			want := 0
			if depth > 0 {
				want = max(0, all-2*depth)
			}
			if n > want || n < want && how != "inside" || n < want*3/4 { // blocks of one element are too small
				t.Errorf("depth %d, %s: %d of %d blocks are compressed, not %d", depth, how, n, all, want)
			}
			for l.Len() > 100 {
				if l.DropHead(7); l.Len()%2 == 0 {
					l.DropTail(13)
				}
				checkDepth(t, l)
			}
			if err := l.Check(); err != nil {
				t.Fatal(err)
			}
			l.Drop()
		}
	}
	w.empty()
}

// TestListAlone: long elements have blocks to themselves.
func TestListAlone(t *testing.T) {
	w := newWorld(t)
	l := List{w.mem(), ListRules{Fill: -2, Alone: 5}}
	for range 3 {
		l.PushTail([]byte("abcd"))
		l.PushTail([]byte("long enough"))
		l.PushTail([]byte("abcd"))
		l.PushTail([]byte("abcd"))
	}
	if l.Blocks() != 7 { // abcd, long, abcd abcd abcd, long, ...
		t.Errorf("%d blocks", l.Blocks())
	}
	var p Place
	l.Seek(&p, 2)
	l.Set(&p, []byte("also long"))
	l.Seek(&p, 4)
	l.Insert(&p, []byte("before this"))
	if err := l.Check(); err != nil || l.Blocks() != 10 {
		t.Errorf("%d blocks, %v", l.Blocks(), err)
	}
	l.Drop()
	w.empty()
}

// TestListBlocks: blocks hold what Fill says, and no more memory than that.
func TestListBlocks(t *testing.T) {
	w := newWorld(t)
	for _, head := range []bool{true, false} {
		for fill, most := range map[int]int{-1: 4096, -2: 8192, 10: 8192} {
			l := List{w.mem(), ListRules{Fill: fill}}
			const n = 20000
			for i := range n {
				if head {
					l.PushHead(fmt.Append(nil, "element ", i))
				} else {
					l.PushTail(fmt.Append(nil, "element ", i))
				}
			}
			for i := uint64(0); i < n; {
				lp, first := l.Block(i)
				if len(lp)+blockHeader > most || fill > 0 && lp.Len() > fill {
					t.Fatalf("fill %d: block of %d bytes, %d elements", fill, len(lp), lp.Len())
				}
				i = first + uint64(lp.Len())
			}
			if used, bytes := w.heap.Used(), int64(n*15); used > bytes*6/5 && fill < 0 {
				t.Errorf("fill %d: %d bytes for %d of elements", fill, used, bytes)
			}
			l.Drop()
		}
	}
	w.empty()
}

func TestListAppendBlock(t *testing.T) {
	w := newWorld(t)
	l := List{w.mem(), ListRules{Fill: -2}}
	var want []string
	for i := range 50 {
		lp := packed.New(nil)
		for j := range i%7 + 1 {
			e := fmt.Sprint(i, " ", j)
			lp, want = lp.Append([]byte(e)), append(want, e)
		}
		l.AppendBlock(lp, lp.Len())
	}
	if got := listContents(l); !slices.Equal(got, want) || l.Blocks() != 50 {
		t.Fatalf("%d elements in %d blocks, want %d in 50", len(got), l.Blocks(), len(want))
	}
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	l.Drop()
	w.empty()
}

// BenchmarkListDepth pushes to a list whose middle is compressed, and looks at its middle.
func BenchmarkListDepth(b *testing.B) {
	for _, depth := range []int{0, 1} {
		w := newWorld(b)
		l := List{w.mem(), ListRules{Fill: -2, Depth: depth}}
		i := 0
		push := func() {
			l.PushTail(fmt.Appendf(nil, `{"id":%d,"user":"user-%d","action":"view","page":"/products/%d"}`, i, i*7919%1000, i*104729%5000))
			i++
		}
		for range 200_000 {
			push()
		}
		b.Run(fmt.Sprint("push/", depth), func(b *testing.B) {
			for b.Loop() {
				push()
				l.DropHead(1)
			}
		})
		b.Run(fmt.Sprint("index/", depth), func(b *testing.B) {
			var p Place
			var buf [20]byte
			for b.Loop() {
				i = i*7919 + 1
				l.Seek(&p, uint64(i)%l.Len())
				p.Text(&buf)
			}
		})
		b.Logf("depth %d: %d elements in %d bytes", depth, l.Len(), w.heap.Used())
		l.Drop()
	}
}

func BenchmarkListPush(b *testing.B) {
	w := newWorld(b)
	elem := bytes.Repeat([]byte("x"), 12)
	for _, head := range []bool{true, false} {
		b.Run(map[bool]string{true: "head", false: "tail"}[head], func(b *testing.B) {
			l := List{w.mem(), ListRules{Fill: -2}}
			for b.Loop() {
				if head {
					l.PushHead(elem)
				} else {
					l.PushTail(elem)
				}
				if l.Len() > 1e6 {
					l.Drop()
				}
			}
			l.Drop()
		})
	}
}

func BenchmarkListPop(b *testing.B) {
	w := newWorld(b)
	elem := bytes.Repeat([]byte("x"), 12)
	var buf [20]byte
	l := List{w.mem(), ListRules{Fill: -2}}
	for b.Loop() {
		if l.Len() == 0 {
			b.StopTimer()
			for range 1_000_000 {
				l.PushTail(elem)
			}
			b.StartTimer()
		}
		l.Head(&buf)
		l.DropHead(1)
	}
	l.Drop()
}
