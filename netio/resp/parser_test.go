package resp

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

const testMaxBulk = 1 << 20

// outcome is a stream's requests, one a line, and the error that ended it.
type outcome struct {
	reqs []string
	err  string
	used int
}

func (o outcome) String() string { return fmt.Sprintf("%q err=%q used=%d", o.reqs, o.err, o.used) }

func show(args []string, inline bool) string { return fmt.Sprintf("%v %q", inline, args) }

func byReference(s string, unauth bool) (o outcome) {
	for {
		r, n, err := refParse(s[o.used:], testMaxBulk, unauth)
		if n == 0 {
			o.err = err
			return
		}
		o.used += n
		if len(r.args) > 0 {
			o.reqs = append(o.reqs, show(r.args, r.inline))
		}
	}
}

// byParser feeds s in pieces that end at the given positions, going the way that a
// connection goes: Parse until incomplete, then Resume.
func byParser(t testing.TB, s string, unauth bool, ends []int) (o outcome) {
	p := &Parser{MaxBulk: testMaxBulk, Unauth: unauth}
	var part Partial
	resuming := false
	var args [][]byte
	take := func(n int, out [][]byte, inline bool) {
		args = out
		o.used += n
		if len(out) > 0 {
			var ss []string
			for _, a := range out {
				ss = append(ss, string(a))
			}
			o.reqs = append(o.reqs, show(ss, inline))
		}
	}
	for _, end := range append(slices.Clone(ends), len(s)) {
		for {
			// A copy with nothing behind it: reading past the end panics, and
			// views into moved bytes would show.
			b := []byte(s[o.used:end])
			b = b[:len(b):len(b)]
			if resuming {
				if len(b) < part.Need() {
					break
				}
				n, out, inline, err := p.Resume(&part, b, args)
				if err != nil {
					o.err = err.Error()
					return
				}
				if n == 0 {
					if need := part.Need(); need <= len(b) {
						t.Fatalf("incomplete with %d bytes, but Need is %d: %q", len(b), need, s)
					}
					break
				}
				take(n, out, inline)
				part.Reset()
				resuming = false
				continue
			}
			skip, n, out, inline, err := p.Parse(b, args)
			o.used += skip
			if err != nil {
				o.err = err.Error()
				return
			}
			if n == 0 {
				if skip < len(b) {
					resuming = true
					if n, _, _, err := p.Resume(&part, b[skip:], nil); n != 0 || err != nil {
						t.Fatalf("Parse: incomplete; Resume: %d, %v: %q", n, err, s)
					}
				}
				break
			}
			take(n, out, inline)
		}
	}
	return
}

func check(t testing.TB, s string, unauth bool, ends []int) {
	t.Helper()
	want := byReference(s, unauth)
	if got := byParser(t, s, unauth, nil); got.String() != want.String() {
		t.Fatalf("input %q, unauth %v:\n got  %v\n want %v", clip(s), unauth, got, want)
	}
	got := byParser(t, s, unauth, ends)
	// An error shows as soon as its bytes are there; the requests before it
	// are the same.
	if got.String() != want.String() {
		t.Fatalf("input %q in pieces %v, unauth %v:\n got  %v\n want %v", clip(s), ends, unauth, got, want)
	}
}

func clip(s string) string {
	if len(s) > 400 {
		return s[:400] + "..."
	}
	return s
}

// cuts makes n random ends in ascending order.
func cuts(r *rand.Rand, size, n int) (ends []int) {
	for range n {
		ends = append(ends, r.IntN(size+1))
	}
	slices.Sort(ends)
	return
}

var samples = []string{
	"",
	"*1\r\n$4\r\nPING\r\n",
	"PING\r\n",
	"PING\n",
	"\r\n\n\r\nPING\r\n",
	"*0\r\n*-1\r\n*-9223372036854775808\r\nPING\r\n",
	"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$10\r\n0123456789\r\n",
	"*2\r\n$3\r\nGET\r\n$0\r\n\r\nPING\r\n",
	"*2\r\n$3\r\nGETxx$1\r\nayyPING\r\n",
	"*1\rx$4\rxPINGxx",
	"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n",
	"*1\r\nfoo\r\n",
	"*1\r\n\r\n",
	"*1\r\n$-10\r\n",
	"*1\r\n$blabla\r\n",
	"*1\r\n$2000000000\r\n",
	"*1\r\n$01\r\n",
	"*1\r\n$+1\r\n",
	"*1\r\n$\r\n",
	"*\r\n",
	"*01\r\n",
	"*+1\r\n",
	"*-0\r\n",
	"*1x\r\n",
	"*3000000000\r\n",
	"*20000000000000000000\r\n",
	"*12\r\n" + strings.Repeat("$1\r\nx\r\n", 12),
	"*1\r\n$16385\r\n" + strings.Repeat("x", 16385) + "\r\n",
	"*1\r\n$100\r\n" + strings.Repeat("x", 100) + "\r\n",
	"SET a \"b\\x41\\n\\q\\\"\" 'c\\'d\\n'\r\n",
	"SET a \"b\r\n",
	"SET a 'b\r\n",
	"SET a \"b\"c\r\n",
	"SET a b\"c d\"\r\n",
	"SET a ''\r\n",
	"SET a \"\\x4\"\r\n",
	"SET a \"\\\r\n",
	"a\x00b c\r\nPING\r\n",
	"a \x00b c\r\n'\x00'\r\n",
	"\tPING\v\f x \r\r\n",
	"  \r\nPING\r\n",
	strings.Repeat("x", 65536),
	strings.Repeat("x", 65537),
	strings.Repeat("x", 70000) + "\r\n",
	"*" + strings.Repeat("1", 65536),
	"*1\r\n$" + strings.Repeat("1", 65536),
	"*\x00" + strings.Repeat("x", 65536),
	"*1\r\n$\x00" + strings.Repeat("x", 65536),
}

func TestSamples(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, s := range samples {
		for _, unauth := range []bool{false, true} {
			check(t, s, unauth, nil)
			if len(s) < 300 {
				every := make([]int, len(s))
				for i := range every {
					every[i] = i
				}
				check(t, s, unauth, every)
			}
			// Too long a line is an error when more than 64 KiB are there, however it came: the
			// reference sees the whole at once.
			for range 10 {
				if !strings.HasSuffix(s, "\n") && len(s) > 65536 || len(s) <= 65536 {
					check(t, s, unauth, cuts(r, len(s), 3))
				}
			}
		}
	}
}

// TestErrorTexts pins the texts against what redis-server 7 says.
func TestErrorTexts(t *testing.T) {
	for in, want := range map[string]string{
		"*3000000000\r\n":    "invalid multibulk length",
		"*1\r\nfoo\r\n":      "expected '$', got 'f'",
		"*1\r\n$-1\r\n":      "invalid bulk length",
		"*1\r\n$1048577\r\n": "invalid bulk length",
		"SET \"a\r\n":        "unbalanced quotes in request",
	} {
		if got := byParser(t, in, false, nil).err; got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"*11\r\n":             "unauthenticated multibulk length",
		"*1\r\n$16385\r\n":    "unauthenticated bulk length",
		"*10\r\n$16384\r\nxx": "",
	} {
		if got := byParser(t, in, true, nil).err; got != want {
			t.Errorf("unauthenticated %q: %q, want %q", in, got, want)
		}
	}
	long := strings.Repeat("1", 65537)
	for in, want := range map[string]string{
		long:               "too big inline request",
		"*" + long:         "too big mbulk count string",
		"*1\r\n$" + long:   "too big bulk count string",
		"*1\r\nx" + long:   "too big bulk count string",
		"*1\r\n$" + "1111": "",
	} {
		if got := byParser(t, in, false, nil).err; got != want {
			t.Errorf("%q...: %q, want %q", in[:6], got, want)
		}
	}
}

// TestLiarCostsNothing: announcing much allocates nothing and says what is needed.
func TestLiarCostsNothing(t *testing.T) {
	p := &Parser{MaxBulk: 512 << 20}
	var part Partial
	in := []byte("*1000000\r\n$536870912\r\nabc")
	if n := testing.AllocsPerRun(10, func() {
		part.Reset()
		if n, _, _, err := p.Resume(&part, in, nil); n != 0 || err != nil {
			t.Fatal(n, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if want := 22 + 536870912 + 2; part.Need() != want {
		t.Errorf("Need %d, want %d", part.Need(), want)
	}
}

// TestResumeIsLinear: a request of many arguments that arrives byte by byte
// is not parsed again and again.
func TestResumeIsLinear(t *testing.T) {
	const n = 200_000
	in := []byte(fmt.Sprintf("*%d\r\n", n) + strings.Repeat("$1\r\nx\r\n", n))
	p := &Parser{MaxBulk: testMaxBulk}
	var part Partial
	var seen int
	for end := 1; end <= len(in); end++ {
		if end < part.Need() {
			continue
		}
		k, out, _, err := p.Resume(&part, in[:end], nil)
		if err != nil {
			t.Fatal(err)
		}
		if k > 0 {
			seen = len(out)
		}
	}
	if seen != n {
		t.Fatalf("%d arguments, want %d", seen, n)
	}
}

func TestParseInt(t *testing.T) {
	for _, s := range []string{"", "0", "-0", "00", "01", "-1", "1", "+1", " 1", "1 ", "-", "--1", "9223372036854775807",
		"9223372036854775808", "-9223372036854775808", "-9223372036854775809", "18446744073709551616", "99999999999999999999", "1a", "0x1", "-01"} {
		want, ok := refInt(s)
		got, gotOK := ParseInt([]byte(s))
		if ok != gotOK || ok && got != want {
			t.Errorf("%q: %d %v, want %d %v", s, got, gotOK, want, ok)
		}
	}
}

func TestParseCommand(t *testing.T) {
	log := []byte("\r\n\n\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*0\r\n*1\r\n$4\r\nPING\r\n\r\n\r\n*1\r\n$4\r\nPI")
	var got []string
	var args [][]byte
	rest := log
	for {
		n, out, err := ParseCommand(rest, args)
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
		if len(out) == 0 {
			break
		}
		got = append(got, fmt.Sprintf("%q", out))
		args = out
	}
	if want := `["SELECT" "0"] ["PING"]`; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if string(rest) != "*1\r\n$4\r\nPI" {
		t.Errorf("rest %q", rest)
	}
	for _, bad := range []string{"PING\r\n", "\rx", "#x\r\n", "*1\r\n:1\r\n", "*a\r\n"} {
		if _, out, err := ParseCommand([]byte(bad), nil); err == nil || len(out) != 0 {
			t.Errorf("%q: %q, no error", bad, out)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	p := &Parser{MaxBulk: testMaxBulk}
	args := make([][]byte, 0, 8)
	multi := []byte("*3\r\n$3\r\nSET\r\n$10\r\nkey:000001\r\n$5\r\nhello\r\n")
	line := []byte("SET \"key one\" hello\r\n")
	p.Parse(line, args)
	if n := testing.AllocsPerRun(100, func() {
		for _, b := range [][]byte{multi, line} {
			if _, n, a, _, err := p.Parse(b, args); n != len(b) || len(a) != 3 || err != nil {
				t.Fatal(n, a, err)
			}
		}
		if n, a, err := ParseCommand(multi, args); n != len(multi) || len(a) != 3 || err != nil {
			t.Fatal(n, a, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per request", n)
	}
}

func FuzzParser(f *testing.F) {
	for i, s := range samples {
		if len(s) < 4096 {
			f.Add(s, uint64(i), i%2 == 0)
		}
	}
	f.Fuzz(func(t *testing.T, s string, seed uint64, unauth bool) {
		if len(s) > 60000 {
			return // too-long lines have their own test: when they are noticed depends on the pieces
		}
		r := rand.New(rand.NewPCG(seed, 1))
		check(t, s, unauth, cuts(r, len(s), 1+r.IntN(8)))
	})
}

// FuzzParseCommand: never a panic, always progress, and the same arguments as the reference.
func FuzzParseCommand(f *testing.F) {
	for _, s := range samples {
		if len(s) < 4096 {
			f.Add(s)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := []byte(s)
		b = b[:len(b):len(b)]
		for {
			n, out, err := ParseCommand(b, nil)
			if err != nil || len(out) == 0 {
				return
			}
			trimmed := strings.TrimLeft(string(b), "\r\n")
			for {
				r, k, _ := refParse(trimmed, 1<<62, false)
				if k == 0 {
					t.Fatalf("%q: reference finds no command", b)
				}
				if len(r.args) > 0 {
					if got := fmt.Sprintf("%q", out); got != fmt.Sprintf("%q", r.args) {
						t.Fatalf("%q: got %s, want %q", b, got, r.args)
					}
					break
				}
				trimmed = trimmed[k:]
			}
			b = b[n:]
		}
	})
}

// TestRandomStreams is the fuzz test's cousin that always runs: valid requests
// with now and then a wrong byte.
func TestRandomStreams(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 7))
	t.Logf("seed %d", seed)
	for range 3000 {
		var b strings.Builder
		for range 1 + r.IntN(6) {
			switch r.IntN(6) {
			case 0:
				b.WriteString(samples[r.IntN(36)])
			case 1:
				b.WriteString("\r\n")
			default:
				n := 1 + r.IntN(14)
				fmt.Fprintf(&b, "*%d\r\n", n)
				for range n {
					k := r.IntN(12)
					if r.IntN(10) == 0 {
						k = r.IntN(300)
					}
					fmt.Fprintf(&b, "$%d\r\n%s\r\n", k, strings.Repeat(string(rune('a'+r.IntN(26))), k))
				}
			}
		}
		s := []byte(b.String())
		if len(s) > 0 && r.IntN(3) == 0 {
			s[r.IntN(len(s))] = "\r\n*$0a\x00-9\""[r.IntN(10)]
		}
		check(t, string(s), r.IntN(2) == 0, cuts(r, len(s), r.IntN(12)))
	}
}

func BenchmarkParse(b *testing.B) {
	in := []byte("*3\r\n$3\r\nSET\r\n$16\r\nkey:000000012345\r\n$64\r\n" + strings.Repeat("x", 64) + "\r\n")
	p := &Parser{MaxBulk: testMaxBulk}
	args := make([][]byte, 0, 8)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		_, _, args, _, _ = p.Parse(in, args)
	}
}

func BenchmarkParseCommand(b *testing.B) {
	in := []byte("*3\r\n$3\r\nSET\r\n$16\r\nkey:000000012345\r\n$64\r\n" + strings.Repeat("x", 64) + "\r\n")
	args := make([][]byte, 0, 8)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		_, args, _ = ParseCommand(in, args)
	}
}
