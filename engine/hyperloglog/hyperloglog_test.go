package hyperloglog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/engine/command"
	"tidemark/engine/command/commandtest"
	redisstrings "tidemark/engine/strings"
)

func families() [][]*command.Descriptor {
	return [][]*command.Descriptor{Commands(), redisstrings.Commands()}
}

// mangled makes a HyperLogLog of a kind that no PFADD leaves behind.
func mangled(rnd *rand.Rand) string {
	b := append([]byte(nil), newSparse[:header]...)
	for at := 0; at < registers; {
		n := min(1+rnd.IntN([]int{4, 70, 3000}[rnd.IntN(3)]), registers-at)
		rank := byte(0)
		if rnd.IntN(2) == 0 {
			n, rank = min(n, 4), byte(1+rnd.IntN(3))
		}
		b = appendRun(b, n, rank)
		at += n
	}
	b[staleAt] = byte(rnd.IntN(2)) * stale
	switch rnd.IntN(8) {
	case 0:
		b = b[:rnd.IntN(len(b))]
		// redis-server takes the byte behind the end for one of a long run of zeros.
		for len(b) > header && !readable(b[header:]) {
			b = b[:len(b)-1]
		}
	case 1:
		b[rnd.IntN(6)]++
	case 2:
		b = append(b, 0)
	}
	return string(b)
}

func readable(runs []byte) bool {
	_, ok := appendText(nil, runs)
	return ok
}

// TestLikeRedis compares replies, and the bytes of the values, with redis-server.
func TestLikeRedis(t *testing.T) {
	commandtest.CompareRandom(t, 6000, families(), func(rnd *rand.Rand) []string {
		key := func() string { return "h" + strconv.Itoa(rnd.IntN(5)) }
		switch n := rnd.IntN(100); {
		case n < 45:
			args := []string{"PFADD", key()}
			for range rnd.IntN([]int{3, 10, 200}[rnd.IntN(3)]) {
				args = append(args, strings.Repeat("x", rnd.IntN(12))+strconv.Itoa(rnd.IntN(5000)))
			}
			return args
		case n < 60:
			return []string{"PFCOUNT", key()}
		case n < 65:
			return []string{"PFCOUNT", key(), key(), "none"}
		case n < 75:
			args := []string{"PFMERGE", key()}
			for range rnd.IntN(3) {
				args = append(args, key())
			}
			return args
		case n < 85:
			return []string{"GET", key()}
		case n < 88:
			return []string{"PFDEBUG", []string{"ENCODING", "todense", "GETREG", "what"}[rnd.IntN(4)], key()}
		case n < 92:
			return []string{"OBJECT", "ENCODING", key()}
		case n < 95:
			return []string{"SET", key(), mangled(rnd)}
		case n < 96:
			return []string{"APPEND", key(), string([]byte{byte(rnd.IntN(256)) &^ longBit})}
		}
		return []string{"DEL", key()}
	})
}

// TestReplayGivesTheSame: what is in the log makes the same bytes, the stored estimates included.
func TestReplayGivesTheSame(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	r := commandtest.Logged(t, families()...)
	key := func() string { return "h" + strconv.Itoa(rnd.IntN(5)) }
	for range 2000 {
		switch rnd.IntN(6) {
		case 0, 1:
			args := []string{"PFADD", key()}
			for range rnd.IntN(100) {
				args = append(args, strconv.Itoa(rnd.IntN(10000)))
			}
			r.Do(args...)
		case 2, 3:
			r.Do("PFCOUNT", key())
		case 4:
			r.Do("PFMERGE", key(), key(), key())
		case 5:
			r.Do("SET", key(), mangled(rnd))
		}
	}
	before := r.Contents()
	again, effects := r.Recover(time.Now().UnixMilli(), families()...)
	if !slices.ContainsFunc(effects, func(e string) bool { return strings.HasPrefix(e, "PFCOUNT") }) {
		t.Error("no PFCOUNT in the log")
	}
	after := again.Contents()
	for k, v := range before {
		// Becoming raw without another change leaves no trace in the log, as in Redis.
		if raw := strings.Replace(v, "embstr", "raw", 1); strings.Replace(after[k], "embstr", "raw", 1) != raw {
			t.Errorf("%s is %q after replay, was %q", k, after[k], v)
		}
	}
	if len(before) == 0 || len(before) != len(after) {
		t.Errorf("%d keys, %d after replay", len(before), len(after))
	}
}

func TestEffects(t *testing.T) {
	r := commandtest.Logged(t, families()...)
	cut := string(newSparse[:header]) + "\x00\x00" // two registers
	// An element for register 0 or 1, and one for another.
	var in, out string
	for i := 0; in == "" || out == ""; i++ {
		if n, _ := place(strconv.AppendInt(nil, int64(i), 10)); n < 2 {
			in = strconv.Itoa(i)
		} else {
			out = strconv.Itoa(i)
		}
	}
	r.Do("SET", "cut", cut)
	r.Do("PFADD", "h", "a", "b")
	r.Do("PFADD", "h", "a")
	r.Do("PFCOUNT", "h")
	r.Do("PFCOUNT", "h")
	r.Do("PFCOUNT", "h", "h")
	r.Do("PFMERGE", "g", "h")
	r.Do("PFDEBUG", "ENCODING", "g")
	r.Do("PFDEBUG", "TODENSE", "g")
	r.Do("PFDEBUG", "GETREG", "g")
	if got := r.Do("PFADD", "cut", in, out, in); got != "-"+errCorrupt+"\r\n" {
		t.Errorf("PFADD to a corrupt one says %q", got)
	}
	r.Do("PFADD", "cut", out)
	before := r.Contents()
	again, got := r.Recover(time.Now().UnixMilli(), families()...)
	want := []string{"PFADD h a b", "PFCOUNT h", "PFMERGE g h", "PFDEBUG TODENSE g", "PFADD cut " + in}
	if got = got[1:]; !slices.Equal(got, want) {
		t.Errorf("effects are %q, want %q", got, want)
	}
	if after := again.Contents(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("differs after replay")
	}
}

func TestSelftest(t *testing.T) {
	if err := selftest(rand.New(rand.NewPCG(rand.Uint64(), 0))); err != nil {
		t.Error(err)
	}
}

// TestSparseIsDense raises registers of both forms, and compares the registers.
func TestSparseIsDense(t *testing.T) {
	r := commandtest.New(t, families()...)
	r.C.Store.Limits.HLLSparseBytes.Store(12000)
	rnd := rand.New(rand.NewPCG(rand.Uint64(), 0))
	r.Do("PFADD", "dense")
	r.Do("PFDEBUG", "TODENSE", "dense")
	for range 3000 {
		e := strconv.Itoa(rnd.IntN(6000))
		if a, b := r.Do("PFADD", "sparse", e), r.Do("PFADD", "dense", e); a != b {
			t.Fatalf("PFADD of %s says %q to a sparse one, %q to a dense one", e, a, b)
		}
	}
	if got := r.Do("PFDEBUG", "ENCODING", "sparse"); got != "+sparse\r\n" {
		t.Fatal(got)
	}
	if a, b := r.Do("PFCOUNT", "sparse"), r.Do("PFCOUNT", "dense"); a != b {
		t.Errorf("estimates are %q and %q", a, b)
	}
	if a, b := r.Do("PFDEBUG", "GETREG", "sparse"), r.Do("PFDEBUG", "GETREG", "dense"); a != b {
		t.Error("registers differ")
	}
}

func TestSparseLimit(t *testing.T) {
	for _, most := range []int{0, 18, 100, 3000, 16000} {
		r := commandtest.New(t, families()...)
		r.C.Store.Limits.HLLSparseBytes.Store(int64(most))
		for i := 0; r.Do("PFDEBUG", "ENCODING", "h") != "+dense\r\n" && i < 5000; i++ {
			if i == 4999 && most < 12000 {
				t.Errorf("limit %d: it is sparse with %d elements", most, i)
			}
			r.Do("PFADD", "h", strconv.Itoa(i))
			v := r.Do("GET", "h")
			if n, _, _ := strings.Cut(v[1:], "\r"); v[6] != '$' && n != strconv.Itoa(denseBytes) {
				if got, _ := strconv.Atoi(n); got > max(most, len(newSparse)) {
					t.Fatalf("limit %d: it is sparse with %d bytes", most, got)
				}
			}
		}
	}
}

// FuzzRuns: whatever stands behind the header, commands answer, and leave something whole whole.
func FuzzRuns(f *testing.F) {
	f.Add(newSparse[header:], uint16(5))
	f.Add([]byte{0x7f}, uint16(3))
	f.Add([]byte{0xff, 0xff, 0x7f}, uint16(6))
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 8 {
		if m := mangled(rnd); len(m) > header {
			f.Add([]byte(m[header:]), uint16(rnd.Uint32()))
		}
	}
	r := commandtest.New(f, families()...)
	f.Fuzz(func(t *testing.T, runs []byte, n uint16) {
		v := string(newSparse[:staleAt]) + "\x80" + string(runs)
		fill := func() {
			for _, k := range []string{"a", "b", "c"} {
				r.Do("SET", k, v)
			}
		}
		fill()
		count := r.Do("PFCOUNT", "a")
		whole := count[0] == ':'
		if got := r.Do("PFDEBUG", "GETREG", "b"); (got[0] == '*') != whole {
			t.Fatalf("PFCOUNT says %q, GETREG %.40q", count, got)
		}
		if whole {
			if got := r.Do("PFCOUNT", "b"); got != count {
				t.Fatalf("the sparse one counts %q, the dense one %q", count, got)
			}
		}
		fill()
		for i := range 20 {
			r.Do("PFADD", "a", strconv.Itoa(int(n)+i))
		}
		r.Do("PFDEBUG", "DECODE", "a")
		r.Do("PFMERGE", "new", "b")
		r.Do("PFMERGE", "c", "a")
		for _, k := range []string{"a", "new", "c"} {
			if got := r.Do("PFCOUNT", k); whole && got[0] != ':' {
				t.Fatalf("%s has become corrupt: %q", k, got)
			}
		}
		if a, c := r.Do("PFCOUNT", "a"), r.Do("PFCOUNT", "c"); whole && a != c {
			t.Fatalf("merged it counts %q, itself %q", c, a)
		}
		r.Do("DEL", "new")
	})
}

func TestHotPathAllocatesNothing(t *testing.T) {
	r := commandtest.New(t, families()...)
	for i := range 500 {
		r.Do("PFADD", "sparse", strconv.Itoa(i))
		r.Do("PFADD", "dense", strconv.Itoa(i))
	}
	r.Do("PFDEBUG", "TODENSE", "dense")
	n := 0
	element := make([]byte, 8)
	for _, args := range [][]string{
		{"PFADD", "sparse", "7"}, {"PFADD", "dense", "7"}, {"PFADD", "dense", "?"}, {"PFADD", "sparse", "?"},
		{"PFCOUNT", "sparse"}, {"PFCOUNT", "dense"}, {"PFCOUNT", "sparse", "dense"}, {"PFMERGE", "to", "sparse"}, {"PFMERGE", "to2", "sparse", "dense"},
	} {
		r.Do(args...)
		r.Prepare(args...)
		if args[len(args)-1] == "?" {
			r.C.Args[2] = element
		}
		if n := testing.AllocsPerRun(200, func() {
			n++
			strconv.AppendInt(element[:0], int64(n), 10)
			r.C.W.B = r.C.W.B[:0]
			r.C.Run()
		}); n != 0 {
			t.Errorf("%v allocates %v times", args, n)
		}
	}
}

func BenchmarkCommands(b *testing.B) {
	r := commandtest.New(b, families()...)
	for i := range 1000 {
		r.Do("PFADD", "sparse", strconv.Itoa(i))
		r.Do("PFADD", "dense", strconv.Itoa(i))
	}
	r.Do("PFDEBUG", "TODENSE", "dense")
	bench := func(name string, after func(), args ...string) {
		b.Run(name, func(b *testing.B) {
			r.Do(args...)
			r.Prepare(args...)
			b.ReportAllocs()
			for b.Loop() {
				r.C.W.B = r.C.W.B[:0]
				r.C.Run()
				if after != nil {
					after()
				}
			}
		})
	}
	spoil := func(key string) func() {
		k := r.C.Store.MakeKey([]byte(key))
		return func() { k.Shard.Value(k.Shard.Find(0, k.Hash, k.Name))[staleAt] |= stale }
	}
	bench("PFADDSparse", nil, "PFADD", "sparse", "7")
	bench("PFADDDense", nil, "PFADD", "dense", "7")
	bench("PFCOUNT", nil, "PFCOUNT", "dense")
	bench("PFCOUNTSparseAnew", spoil("sparse"), "PFCOUNT", "sparse")
	bench("PFCOUNTDenseAnew", spoil("dense"), "PFCOUNT", "dense")
	bench("PFCOUNTTwo", nil, "PFCOUNT", "sparse", "dense")
	bench("PFMERGESparse", nil, "PFMERGE", "to", "sparse")
	bench("PFMERGEDense", nil, "PFMERGE", "to2", "sparse", "dense")
}
