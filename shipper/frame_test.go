package shipper

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestFrames(t *testing.T) {
	var wire, want, scratch []byte
	for i := range 200 {
		p := make([]byte, rand.IntN(feedBytes+1))
		for j := range p {
			p[j] = byte(rand.IntN(1 + i%64))
		}
		want = append(want, p...)
		wire, scratch = appendFrame(wire, p, scratch, i%3 != 0)
	}
	if len(wire) >= len(want) {
		t.Errorf("%d bytes became %d", len(want), len(wire))
	}
	var got []byte
	for at, end := 0, 0; at < len(wire); {
		end = min(len(wire), end+1+rand.IntN(50000))
		var n int
		var err error
		if got, n, err = takeFrame(got, wire[at:end]); err != nil {
			t.Fatal(err)
		}
		at += n
	}
	if !bytes.Equal(got, want) {
		t.Error("what comes out is not what went in")
	}
}

// FuzzFrame: a hostile primary's frames are refused, never a panic, and never more memory than a frame may hold.
func FuzzFrame(f *testing.F) {
	b, scratch := appendFrame(nil, bytes.Repeat([]byte("SET k v "), 1000), nil, true)
	f.Add(b)
	b, _ = appendFrame(nil, []byte("x"), scratch, false)
	f.Add(b)
	f.Add([]byte{0xff, 0xff, 0xff, 1})
	f.Add([]byte{5, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, in []byte) {
		out, n, err := takeFrame(nil, in)
		if n > len(in) || err != nil && n != 0 || len(out) > max(feedBytes, len(in)) {
			t.Fatalf("%d bytes taken of %d, %d given, %v", n, len(in), len(out), err)
		}
	})
}
