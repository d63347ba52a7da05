package bitmap

import (
	"bytes"
	"math/rand/v2"
	stdstrings "strings"
	"testing"

	"tidemark/engine/command"
	"tidemark/engine/command/commandtest"
	"tidemark/engine/strings"
)

func families() [][]*command.Descriptor {
	return [][]*command.Descriptor{Commands(), strings.Commands()}
}

func TestScripts(t *testing.T) {
	for _, name := range []string{"bitmap.txt", "limits.txt"} {
		t.Run(name, func(t *testing.T) { commandtest.CompareScript(t, "testdata/"+name, families) })
	}
}

// Illegal arguments are errors whether or not the key exists and whatever it holds: as of Redis 7.2, which the scripts' redis-server need
// not be.
func TestIllegalRanges(t *testing.T) {
	r := commandtest.New(t, families()...)
	r.Do("SET", "s", "1")
	r.Do("LPUSH", "l", "1")
	const syntax, notInt = "-" + command.ErrSyntax + "\r\n", "-" + command.ErrNotInt + "\r\n"
	for _, key := range []string{"s", "none", "l"} {
		for _, x := range []struct{ request, reply string }{
			{"BITCOUNT KEY 0", syntax}, {"BITCOUNT KEY 0 1 hello", syntax}, {"BITCOUNT KEY 0 1 hello hello2", syntax},
			{"BITCOUNT KEY a b", notInt}, {"BITCOUNT KEY 0 b bit", notInt}, {"BITCOUNT KEY -1 -2 hello", syntax},
			{"BITPOS KEY 0 1 hello hello2", syntax}, {"BITPOS KEY 0 0 1 hello", syntax}, {"BITPOS KEY 0 0 1 bit x", syntax},
			{"BITPOS KEY a", notInt}, {"BITPOS KEY 0 a b", notInt}, {"BITPOS KEY 2", "-ERR The bit argument must be 1 or 0.\r\n"},
		} {
			if got := r.Do(stdstrings.Fields(stdstrings.Replace(x.request, "KEY", key, 1))...); got != x.reply {
				t.Errorf("%s on %s: %q, want %q", x.request, key, got, x.reply)
			}
		}
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
