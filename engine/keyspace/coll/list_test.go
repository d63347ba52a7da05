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
	for _, fill := range []int{-2, -1, 1, 4, 100} {
		for _, most := range []int{20, 3000} {
			t.Run(fmt.Sprint(fill, "/", most), func(t *testing.T) {
				w := newWorld(t)
				var model, frozen []string
				var buf [20]byte
				var p Place
				steps := 12000 / effort
				for i := range steps {
					l := List{w.mem(), fill}
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
							if got := listContents(List{w.held(), fill}); !slices.Equal(got, frozen) {
								t.Fatalf("step %d: the held image has %d elements, there were %d", i, len(got), len(frozen))
							}
							w.release()
						}
					}
				}
				if w.kept != nil {
					w.release()
				}
				l := List{w.mem(), fill}
				var root Root
				c := List{&Mem{Heap: w.heap, Root: &root}, fill}
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

// TestListBlocks: blocks hold what Fill says, and no more memory than that.
func TestListBlocks(t *testing.T) {
	w := newWorld(t)
	for _, head := range []bool{true, false} {
		for fill, most := range map[int]int{-1: 4096, -2: 8192, 10: 8192} {
			l := List{w.mem(), fill}
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
	l := List{w.mem(), -2}
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

func BenchmarkListPush(b *testing.B) {
	w := newWorld(b)
	elem := bytes.Repeat([]byte("x"), 12)
	for _, head := range []bool{true, false} {
		b.Run(map[bool]string{true: "head", false: "tail"}[head], func(b *testing.B) {
			l := List{w.mem(), -2}
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
	l := List{w.mem(), -2}
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
