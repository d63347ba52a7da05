package packed

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

// randomElem draws strings of all head sizes, and integers around the bounds of each form.
func randomElem(rnd *rand.Rand) []byte {
	switch rnd.IntN(8) {
	case 0:
		bound := []int64{0, 127, 128, -1, 4095, 4096, -4096, -4097, 1<<15 - 1, 1 << 15, -1 << 15, 1<<23 - 1, 1 << 23, -1 << 23,
			1<<31 - 1, 1 << 31, -1 << 31, 1<<63 - 1, -1 << 63}[rnd.IntN(19)]
		return strconv.AppendInt(nil, bound+int64(rnd.IntN(3))-1, 10)
	case 1:
		return strconv.AppendInt(nil, int64(rnd.Uint64())>>rnd.IntN(64), 10)
	case 2:
		return []byte([]string{"", "-", "+1", "01", "-0", "00", " 1", "9223372036854775808", "-9223372036854775809", "1.5"}[rnd.IntN(10)])
	case 3:
		return bytes.Repeat([]byte{byte(rnd.Uint32())}, 60+rnd.IntN(10))
	case 4:
		if rnd.IntN(20) == 0 {
			return bytes.Repeat([]byte{'x'}, []int{4095, 4096, 16376, 16377, 16378, 16379, 16383, 70000}[rnd.IntN(8)]+rnd.IntN(2))
		}
	}
	b := make([]byte, rnd.IntN(30))
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// TestAgainstModel edits lists at random and compares them with slices.
func TestAgainstModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	var buf [20]byte
	for range 300 {
		l := New(nil)
		var model [][]byte
		for range rnd.IntN(200) {
			e := randomElem(rnd)
			switch op := rnd.IntN(10); {
			case op < 4 || len(model) == 0:
				l, model = l.Append(e), append(model, e)
			case op < 7:
				i := rnd.IntN(len(model) + 1)
				at := l.End()
				if i < len(model) {
					at = l.At(i)
				}
				l, model = l.Splice(at, 0, Entry(nil, e), 1), slices.Insert(model, i, e)
			case op < 9:
				i := rnd.IntN(len(model))
				at := l.At(i)
				l = l.Splice(at, l.Next(at)-at, Entry(nil, e), 0)
				model[i] = e
			default:
				i := rnd.IntN(len(model))
				n := 1 + rnd.IntN(len(model)-i)
				at := l.At(i)
				l, model = l.Splice(at, l.Skip(at, n)-at, nil, -n), slices.Delete(model, i, i+n)
			}
		}
		n, canonical, err := Check(l)
		if err != nil || !canonical || n != len(model) || l.Len() != n {
			t.Fatalf("Check: %d elements, canonical %v, %v; the model has %d", n, canonical, err, len(model))
		}
		at := HeaderBytes
		for i, want := range model {
			got := l.Text(at, &buf)
			if !bytes.Equal(got, want) || EntryBytes(want) != l.Next(at)-at {
				t.Fatalf("element %d is %q in %d bytes, want %q in %d", i, got, l.Next(at)-at, want, EntryBytes(want))
			}
			if l.At(i) != at || l.At(i-len(model)) != at {
				t.Fatalf("element %d at %d: At gives %d and %d", i, at, l.At(i), l.At(i-len(model)))
			}
			first := slices.IndexFunc(model, func(b []byte) bool { return bytes.Equal(b, want) })
			if l.Find(HeaderBytes, Encode(nil, want), 1) != l.At(first) {
				t.Fatalf("Find of %q", want)
			}
			at = l.Next(at)
		}
		if !l.AtEnd(at) || l.At(len(model)) != 0 || l.At(-len(model)-1) != 0 {
			t.Fatal("no end")
		}
		for i := len(model) - 1; i >= 0; i-- {
			if at = l.Prev(at); !bytes.Equal(l.Text(at, &buf), model[i]) {
				t.Fatalf("backwards: element %d is %q", i, l.Text(at, &buf))
			}
		}
		if l.Prev(at) != 0 {
			t.Fatal("there is something before the first")
		}
		if l.Find(HeaderBytes, Encode(nil, []byte("nowhere in there")), 1) != 0 {
			t.Fatal("found what is not there")
		}
	}
}

func TestFindByTwos(t *testing.T) {
	l := New(nil).Append([]byte("a")).Append([]byte("b")).Append([]byte("b")).Append([]byte("c"))
	if at := l.Find(HeaderBytes, Encode(nil, []byte("b")), 2); at != l.At(2) {
		t.Errorf("key b found at %d, want %d", at, l.At(2))
	}
	if at := l.Find(HeaderBytes, Encode(nil, []byte("c")), 2); at != 0 {
		t.Errorf("value c found as a key at %d", at)
	}
}

// TestManyElements crosses the number that the header cannot hold any more.
func TestManyElements(t *testing.T) {
	l := New(nil)
	for i := range 65600 {
		l = l.AppendInt(int64(i % 50))
	}
	if n, canonical, err := Check(l); n != 65600 || !canonical || err != nil || l.Len() != 65600 {
		t.Fatalf("%d %v %v %d", n, canonical, err, l.Len())
	}
	l = l.Splice(HeaderBytes, 200, nil, -200/2)
	if n, canonical, err := Check(l); n != 65500 || !canonical || err != nil || l.Len() != 65500 {
		t.Fatalf("%d %v %v %d", n, canonical, err, l.Len())
	}
	if l.At(65499) == 0 || l.At(65500) != 0 {
		t.Fatal("the last is not where it belongs")
	}
}

// TestCanonical: lists of other makers may hold what ours never does.
func TestCanonical(t *testing.T) {
	odd := List{0, 0, 0, 0, 4, 0,
		0xf1, 5, 0, 3, // 5 in 16 bits
		0x81, '7', 2, // the string 7
		0xe0, 1, 'x', 3, // a short string with a long head
		0x82, 'o', 'k', 3,
		end}
	odd.SetHeader(0)
	n, canonical, err := Check(odd)
	if n != 4 || canonical || err != nil {
		t.Fatalf("%d %v %v", n, canonical, err)
	}
	want := New(nil).AppendInt(5).AppendInt(7).Append([]byte("x")).Append([]byte("ok"))
	if got := Canonical(odd); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

// FuzzCheck: what Check accepts can be walked both ways and made canonical without leaving the list.
func FuzzCheck(f *testing.F) {
	f.Add([]byte(New(nil).Append([]byte("hello")).AppendInt(-70000).Append(bytes.Repeat([]byte("y"), 5000))))
	f.Add([]byte{EmptyBytes, 0, 0, 0, 255, 255, 255})
	f.Fuzz(func(t *testing.T, p []byte) {
		n, canonical, err := Check(slices.Clip(p))
		if err != nil {
			return
		}
		l := List(p)
		var buf [20]byte
		var all [][]byte
		for at := HeaderBytes; !l.AtEnd(at); at = l.Next(at) {
			all = append(all, bytes.Clone(l.Text(at, &buf)))
		}
		if len(all) != n || l.Len() != n {
			t.Fatalf("%d elements walked, Check says %d, Len %d", len(all), n, l.Len())
		}
		i := n
		for at := l.Last(); at != 0; at = l.Prev(at) {
			if i--; !bytes.Equal(l.Text(at, &buf), all[i]) {
				t.Fatalf("backwards: element %d is %q, forwards %q", i, l.Text(at, &buf), all[i])
			}
		}
		if i != 0 {
			t.Fatalf("%d elements were not met backwards", i)
		}
		c := Canonical(l)
		if m, ok, err := Check(c); m != n || !ok || err != nil {
			t.Fatalf("made canonical: %d %v %v", m, ok, err)
		}
		if canonical && n < uncount && !bytes.Equal(c, l) {
			t.Fatalf("%x is called canonical but becomes %x", l, c)
		}
	})
}

func BenchmarkFind(b *testing.B) {
	l := New(nil)
	for i := range 64 {
		l = l.Append([]byte("field:" + strconv.Itoa(i))).Append([]byte("a value"))
	}
	enc := Encode(nil, []byte("field:63"))
	for b.Loop() {
		if l.Find(HeaderBytes, enc, 2) == 0 {
			b.Fatal("lost")
		}
	}
}
