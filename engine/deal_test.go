package engine

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// replay has r apply a log in pieces that end where an effect does, as package aof does, with the pieces' bytes gone afterwards.
func replay(t testing.TB, r *replayer, stream []byte, piece func() int) {
	t.Helper()
	for at, size := 0, 0; at < len(stream); {
		size = min(len(stream)-at, size+piece())
		p := append([]byte(nil), stream[at:at+size]...)
		n, err := r.Apply(p, int64(at))
		if err != nil {
			t.Fatalf("at byte %d: %v", at, err)
		}
		clear(p)
		if at += n; n > 0 {
			size = 0
		} else if at+size == len(stream) {
			t.Fatalf("%d bytes are left over: %.200q", len(stream)-at, stream[at:])
		}
	}
	r.Finish()
}

// TestReplayInLanes: a log gives the same data with any number of lanes.
func TestReplayInLanes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	source := testServer(t, t.TempDir(), "--enable-debug-command", "yes", "--appendfsync", "no")
	randomWrites(t, source, rnd, 3000)
	c := dial(t, source)
	eventually(t, "what expires has expired", func() bool { return !strings.Contains(c.do("INFO keyspace"), "expires=1") })
	c.do("PFADD last a b c")
	c.do("PFCOUNT last") // no write, and yet in the log: it must not overtake what comes before
	stream := logBytes(t, source, 0)
	want := c.do("DEBUG DIGEST")
	for _, lanes := range []int{0, 1, 2, 3, mostLanes} {
		for name, piece := range map[string]func() int{
			"all":    func() int { return len(stream) },
			"chunks": func() int { return 1 << 20 },
			"random": func() int { return 1 + rnd.IntN(20_000) },
		} {
			t.Run(fmt.Sprintf("%d lanes, %s", lanes, name), func(t *testing.T) {
				s := testServer(t, t.TempDir(), "--enable-debug-command", "yes", "--appendonly", "no")
				if err := s.beginLoading(0); err != nil { // or keys expire beside it
					t.Fatal(err)
				}
				r := s.newReplayer()
				r.want = lanes
				replay(t, r, stream, piece)
				s.endLoading()
				if got := dial(t, s).do("DEBUG DIGEST"); got != want {
					t.Errorf("digest %s, the source's is %s", got, want)
				}
				if r.errors > 0 {
					t.Errorf("%d errors, the first: %v", r.errors, r.failed)
				}
			})
		}
	}
}

// TestReplayedErrors: of the commands that gave an error the first in the log is reported, whichever lane it was in; and what cannot be executed is refused
// with its place, when all before it has been.
func TestReplayedErrors(t *testing.T) {
	dir := t.TempDir()
	s := startOnly(t, dir, "--appendonly", "no")
	if err := s.WaitLoaded(); err != nil {
		t.Fatal(err)
	}
	var good strings.Builder
	put := func(words ...string) int {
		at := good.Len()
		fmt.Fprintf(&good, "*%d\r\n", len(words))
		for _, w := range words {
			fmt.Fprintf(&good, "$%d\r\n%s\r\n", len(w), w)
		}
		return at
	}
	first := 0
	for i := range 20_000 {
		put("SET", fmt.Sprint("k", i), "x")
		if i >= 9_000 && i%3 == 0 {
			if at := put("INCR", fmt.Sprint("k", i)); first == 0 {
				first = at
			}
		}
	}
	end := good.Len()
	for name, bad := range map[string]string{
		"unknown command 'NOPE'":    "*1\r\n$4\r\nNOPE\r\n",
		"SELECT 99":                 "*2\r\n$6\r\nSELECT\r\n$2\r\n99\r\n",
		"expected '*'":              "+OK\r\n",
		"unknown command 'NOTHING'": "*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$4\r\nmore\r\n*1\r\n$7\r\nNOTHING\r\n" + ex,
	} {
		dial(t, s).want("FLUSHALL", "OK")
		r := s.newReplayer()
		r.want = 2
		n, err := r.Apply([]byte(good.String()+bad), 0)
		if n != end || err == nil || !strings.Contains(err.Error(), name) || !strings.HasPrefix(err.Error(), "at log offset ") {
			t.Errorf("%d of %d bytes, %v, want %q", n, end, err, name)
		}
		r.Finish()
		dial(t, s).want("DBSIZE", "20000", "EXISTS more", "0")
	}
	text, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("Executing \"INCR\" at log offset %d gave an error: ERR value is not an integer", first)
	if got := strings.Count(string(text), "gave an error"); got != 4 || strings.Count(string(text), want) != 4 {
		t.Errorf("%d errors are reported, want 4 times %q\n%s", got, want, text)
	}
}
