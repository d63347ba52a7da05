package intset

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestAgainstModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 500 {
		s := New(nil)
		var model []int64
		for range rnd.IntN(60) {
			v := int64(rnd.Uint64()) >> rnd.IntN(64)
			if rnd.IntN(4) == 0 && len(model) > 0 {
				v = model[rnd.IntN(len(model))]
			}
			i, found := slices.BinarySearch(model, v)
			if !found {
				model = slices.Insert(model, i, v)
			}
			if at, ok := s.Find(v); at != i || ok != found {
				t.Fatalf("Find(%d) in %v: %d %v, want %d %v", v, model, at, ok, i, found)
			}
			var added bool
			if s, added = s.Add(v); added == found {
				t.Fatalf("Add(%d): %v, in the model already: %v", v, added, found)
			}
		}
		if n, err := Check(s); n != len(model) || err != nil || s.Len() != n {
			t.Fatalf("Check: %d %v, Len %d, the model has %d", n, err, s.Len(), len(model))
		}
		for i, v := range model {
			if s.At(i) != v {
				t.Fatalf("member %d is %d, want %d", i, s.At(i), v)
			}
			if at, ok := s.Find(v); at != i || !ok {
				t.Fatalf("Find(%d): %d %v", v, at, ok)
			}
		}
	}
}

func TestWidenBehindOtherBytes(t *testing.T) {
	s, _ := New(nil).Add(5)
	got := s.Widen([]byte("ab"), -1<<40)
	want, _ := s.Add(-1 << 40)
	if !bytes.Equal(got[2:], want) || string(got[:2]) != "ab" {
		t.Errorf("%x, want ab and %x", []byte(got), []byte(want))
	}
}

func FuzzCheck(f *testing.F) {
	s, _ := New(nil).Add(70000)
	f.Add([]byte(s))
	f.Fuzz(func(t *testing.T, p []byte) {
		n, err := Check(slices.Clip(p))
		if err != nil {
			return
		}
		for i := range n {
			if at, ok := Set(p).Find(Set(p).At(i)); at != i || !ok {
				t.Fatalf("member %d is found at %d, %v", i, at, ok)
			}
		}
	})
}
