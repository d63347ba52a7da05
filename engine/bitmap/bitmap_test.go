package bitmap

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"tidemark/engine/command"
	"tidemark/engine/command/commandtest"
	"tidemark/engine/strings"
)

func families() [][]*command.Descriptor {
	return [][]*command.Descriptor{Commands(), strings.Commands()}
}

func TestDescriptors(t *testing.T) { commandtest.CompareInfo(t, Commands()) }

func TestScripts(t *testing.T) {
	for _, name := range []string{"bitmap.txt", "limits.txt"} {
		t.Run(name, func(t *testing.T) { commandtest.CompareScript(t, "testdata/"+name, families) })
	}
}

// Results longer than inPlace are made where they stay, also when the destination is a source.
func TestLargeBitop(t *testing.T) {
	r := commandtest.New(t, families()...)
	rnd := rand.New(rand.NewPCG(1, 2))
	value := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return b
	}
	x, y, z := value(inPlace+12345), value(inPlace/3), value(3*inPlace+7)
	for i, v := range [][]byte{x, y, z} {
		r.DoArgs([][]byte{[]byte("SET"), {byte('x' + i)}, v})
	}
	at := func(b []byte, i int) byte {
		if i < len(b) {
			return b[i]
		}
		return 0
	}
	for _, op := range []struct {
		name string
		f    func(i int) byte
	}{
		{"AND", func(i int) byte { return at(x, i) & at(y, i) & at(z, i) }},
		{"OR", func(i int) byte { return at(x, i) | at(y, i) | at(z, i) }},
		{"XOR", func(i int) byte { return at(x, i) ^ at(y, i) ^ at(z, i) }},
	} {
		want := make([]byte, len(z))
		for i := range want {
			want[i] = op.f(i)
		}
		for _, dst := range []string{"d", "x"} {
			r.Do("BITOP", op.name, dst, "x", "y", "z")
			got := []byte(r.Do("GET", dst))
			if !bytes.HasSuffix(got, append(want, "\r\n"...)) {
				t.Errorf("%s into %s gives a wrong result", op.name, dst)
			}
		}
		r.DoArgs([][]byte{[]byte("SET"), []byte("x"), x})
	}
}
