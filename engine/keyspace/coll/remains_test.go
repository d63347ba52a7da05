package coll

import (
	"fmt"
	"slices"
	"testing"
)

// elementsOf reads a list, or a stream's entries.
func elementsOf(m *Mem, stream bool) (out []string) {
	var buf, f [20]byte
	if !stream {
		l := List{Mem: m}
		var p Place
		for ok := l.Seek(&p, 0); ok; ok = l.Next(&p) {
			out = append(out, string(p.Text(&buf)))
		}
		return out
	}
	s := Stream{m}
	var p StreamPlace
	for ok := s.Seek(&p, StreamID{}); ok; ok = s.Next(&p) {
		w := p.Fields()
		_, v, _ := w.Next(&f, &buf)
		out = append(out, string(v))
	}
	return out
}

// TestCutAgainstModel takes large parts off the ends of lists and streams of thousands of nodes, held or not, with Remains or without.
func TestCutAgainstModel(t *testing.T) {
	for _, stream := range []bool{false, true} {
		for _, depth := range []int{0, 1, 3} {
			if stream && depth > 0 {
				continue
			}
			for _, own := range []bool{false, true} {
				t.Run(fmt.Sprintf("stream %v depth %d own heap %v", stream, depth, own), func(t *testing.T) {
					w := newWorld(t)
					if w.remains = nil; own {
						w.remains = &Remains{}
					}
					list := func() List { return List{w.mem(), ListRules{Fill: 3, Depth: depth}} }
					if stream {
						Stream{w.mem()}.Init()
					}
					var model, frozen []string
					next, cut := 0, 0
					for range 100 / min(effort, 4) {
						if w.rnd.IntN(3) == 0 {
							for range w.rnd.IntN(12000) {
								next++
								e := fmt.Sprint("element ", next)
								if stream {
									Stream{w.mem()}.Append(StreamID{Ms: uint64(next)}, [][]byte{[]byte("f"), []byte(e)}, 0, 3)
								} else {
									list().PushTail([]byte(e))
								}
								model = append(model, e)
							}
						}
						n := w.rnd.IntN(len(model) + 1)
						if w.rnd.IntN(2) == 0 {
							n = min(n, w.rnd.IntN(100))
						}
						if n > 1000 {
							cut++
						}
						switch op := w.rnd.IntN(4); {
						case stream && op == 0: // a few deleted before
							for range min(n, 10) {
								i := w.rnd.IntN(len(model))
								var ms uint64
								fmt.Sscanf(model[i], "element %d", &ms)
								if !(Stream{w.mem()}).Delete(StreamID{Ms: ms}) {
									t.Fatal("lost:", model[i])
								}
								model = slices.Concat(model[:i], model[i+1:])
							}
						case stream:
							o := StreamTrim{Approx: w.rnd.IntN(3) == 0}
							if w.rnd.IntN(3) == 0 {
								o.Limit = uint64(w.rnd.IntN(len(model) + 1))
							}
							if op == 1 || n == len(model) {
								o.MaxLen = uint64(len(model) - n)
							} else {
								o.ByID = true
								fmt.Sscanf(model[n], "element %d", &o.MinID.Ms)
							}
							// What an approximate or limited one leaves is at most a node, or the limit.
							got := int(Stream{w.mem()}.Trim(&o))
							least := n
							if o.Limit > 0 {
								least = min(n, int(o.Limit))
							}
							if got > least || got <= least-3 || !o.Approx && o.Limit == 0 && got != n {
								t.Fatalf("%d trimmed of %d by %+v, want %d", got, len(model), o, n)
							}
							model = model[got:]
						case op < 2:
							list().DropHead(uint64(n))
							model = model[n:]
						default:
							list().DropTail(uint64(n))
							model = model[:len(model)-n]
						}
						if w.kept == nil && w.rnd.IntN(4) == 0 {
							w.hold()
							frozen = slices.Clone(model)
						} else if w.kept != nil && w.rnd.IntN(4) == 0 {
							if got := elementsOf(w.held(), stream); !slices.Equal(got, frozen) {
								t.Fatalf("the image has %d elements, there were %d", len(got), len(frozen))
							}
							w.release()
						}
						if got := elementsOf(w.mem(), stream); !slices.Equal(got, model) {
							t.Fatalf("%d elements, the model has %d", len(got), len(model))
						}
						var err error
						if stream {
							err = Stream{w.mem()}.Check()
						} else {
							err = list().Check()
						}
						if err != nil {
							t.Fatal(err)
						}
					}
					if cut == 0 {
						t.Error("nothing large was cut off: the test has lost its point")
					}
					if w.kept != nil {
						w.release()
					}
					if stream {
						Stream{w.mem()}.Drop()
					} else {
						list().Drop()
					}
					w.empty()
				})
			}
		}
	}
}

// TestGroupRemains drops consumers and groups with thousands of entries pending, held or not, and looks at what is left.
func TestGroupRemains(t *testing.T) {
	for _, own := range []bool{false, true} {
		t.Run(fmt.Sprint("own heap ", own), func(t *testing.T) {
			w := newWorld(t)
			if w.remains = nil; own {
				w.remains = &Remains{}
			}
			Stream{w.mem()}.Init()
			for round := range 40 / min(effort, 4) {
				s := Stream{w.mem()}
				g := s.AddGroup([]byte("g"), StreamID{}, 0)
				names := []string{"a", "b", "c"}
				share := []int{1 + w.rnd.IntN(100), 1 + w.rnd.IntN(10), w.rnd.IntN(2)}
				model := map[string]int{}
				var last string
				for i := range w.rnd.IntN(9000) {
					x := w.rnd.IntN(share[0] + share[1] + share[2])
					last = names[0]
					if x -= share[0]; x >= 0 {
						last = names[1]
						if x >= share[1] {
							last = names[2]
						}
					}
					c, ok := g.EditConsumer([]byte(last))
					if !ok {
						c = g.AddConsumer([]byte(last), 0, 0)
					}
					g.Deliver(StreamID{Ms: uint64(i + 1)}, &c, 1, 1)
					model[last]++
				}
				if round%2 == 1 {
					w.hold()
				}
				image := func() (n int) {
					if w.kept == nil {
						return 0
					}
					g, _ := Stream{w.held()}.FindGroup([]byte("g"))
					for i := range g.Consumers() {
						c := g.ConsumerAt(i)
						var p PendingPlace
						for ok := c.Seek(&p, StreamID{}); ok; ok = c.Next(&p) {
							if !p.OwnedBy(c) {
								t.Fatal("the image has changed")
							}
							n++
						}
					}
					return n
				}
				before := image()
				for name, n := range model {
					s := Stream{w.mem()}
					g, _ := s.EditGroup([]byte("g"))
					if got, ok := g.DropConsumer([]byte(name)); !ok || got != n {
						t.Fatalf("consumer %s had %d pending, want %d", name, got, n)
					}
					if err := s.Check(); err != nil {
						t.Fatal(err)
					}
					if w.rnd.IntN(2) == 0 {
						break
					}
				}
				s = Stream{w.mem()}
				if !s.DropGroup([]byte("g")) || s.Groups() != 0 {
					t.Fatal("the group is still there")
				}
				if after := image(); after != before {
					t.Fatalf("%d pending in the image, there were %d", after, before)
				}
				if w.kept != nil {
					w.release()
				}
				if err := s.Check(); err != nil {
					t.Fatal(err)
				}
			}
			Stream{w.mem()}.Drop()
			w.empty()
		})
	}
}
