package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidemark/engine/testclient"
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
	testclient.Eventually(t, "what expires has expired", func() bool { return !strings.Contains(c.Do("INFO keyspace"), "expires=1") })
	stream := logBytes(t, source, 0)
	want := c.Do("DEBUG DIGEST")
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
				if got := dial(t, s).Do("DEBUG DIGEST"); got != want {
					t.Errorf("digest %s, the source's is %s", got, want)
				}
				if r.errors > 0 {
					t.Errorf("%d errors, the first: %v", r.errors, r.failed)
				}
			})
		}
	}
}

// TestReplayOrder: a command that concerns more than one key's shard is executed when all before it has been, and before all after it. In randomWrites such
// commands are so many that hardly a batch is dealt; here each stands alone among writes of one key.
func TestReplayOrder(t *testing.T) {
	const around = 3 * replayBatch / 2
	source := testServer(t, t.TempDir(), "--enable-debug-command", "yes", "--appendfsync", "no")
	target := testServer(t, t.TempDir(), "--enable-debug-command", "yes", "--appendonly", "no")
	sc, tc := dial(t, source), dial(t, target)
	fill := func() {
		for i := range around {
			sc.Want(fmt.Sprint("SET fill", i%20, " x"), "OK")
		}
	}
	for _, c := range []struct{ name, commands string }{
		{"PFCOUNT", "PFADD h a b c\nPFCOUNT h\nPFADD h d"}, // no write, and yet in the log
		{"PFCOUNT of several", "PFADD h a b c\nPFADD g d\nPFCOUNT h g\nPFCOUNT h"},
		{"PFMERGE", "PFADD h a b\nPFADD g c d\nPFMERGE all h g\nPFADD h e\nPFADD all f"},
		{"DEL", "SET k 1\nDEL k\nAPPEND k 2"},
		{"UNLINK", "SET k 1\nSET l 1\nUNLINK k l\nAPPEND k 2\nAPPEND l 3"},
		{"MSET", "SET k 1\nMSET k 2 l 3\nAPPEND k 4\nINCR l"},
		{"MSETNX", "SET k 1\nDEL k\nMSETNX k 2 l 3\nAPPEND k 4"},
		{"RENAME", "SET k 1\nRENAME k l\nAPPEND k 2\nAPPEND l 3"},
		{"RENAMENX", "SET k 1\nRENAMENX k l\nAPPEND k 2\nAPPEND l 3"},
		{"COPY", "SET k 1\nCOPY k l\nCOPY k l DB 1\nAPPEND k 2\nAPPEND l 3\nSELECT 1\nAPPEND l 4\nSELECT 0"},
		{"MOVE", "SET k 1\nMOVE k 1\nAPPEND k 2\nSELECT 1\nAPPEND k 3\nMOVE k 2\nSELECT 2\nINCR k\nSELECT 0"},
		{"SELECT", "SET k 1\nSELECT 1\nAPPEND k 2\nSELECT 2\nAPPEND k 3\nSELECT 0\nAPPEND k 4"},
		{"SWAPDB", "SET k 1\nSELECT 1\nSET k 2\nSWAPDB 0 1\nAPPEND k 3\nSELECT 0\nAPPEND k 4\nSWAPDB 0 2\nAPPEND k 5"},
		{"FLUSHDB", "SET k 1\nSELECT 1\nSET k 2\nFLUSHDB\nAPPEND k 3\nSELECT 0\nAPPEND k 4"},
		{"FLUSHALL", "SET k 1\nSELECT 1\nSET k 2\nFLUSHALL ASYNC\nAPPEND k 3\nSELECT 0\nAPPEND k 4"},
		{"MULTI", "SET k 1\nMULTI\nINCR k\nSELECT 1\nINCR k\nSELECT 0\nRENAME k l\nINCR k\nEXEC\nINCR k\nINCR l"},
		{"MULTI of one key", "SET k 1\nMULTI\nINCR k\nAPPEND k 2\nEXEC\nAPPEND k 3\nRENAME k l"},
		{"BITOP", "SETBIT k 1 1\nSETBIT l 3 1\nBITOP OR m k l\nSETBIT k 5 1\nSETBIT m 6 1"},
		{"SORT STORE", "RPUSH k 2 1 3\nSORT k STORE l\nRPUSH k 0\nRPUSH l 9"},
		{"SORT BY", "RPUSH k 1 2 3\nSET w1 9\nSET w2 5\nSET w3 7\nSORT k BY w* GET w* GET # STORE l\nSET w1 0\nRPUSH l 9\nRPUSH k 0"},
		{"SORT onto itself", "RPUSH k 1 2 3\nSET w1 9\nSET w2 5\nSET w3 7\nSORT k BY w* STORE k\nSET w1 0\nRPUSH k 9"},
		{"LMOVE", "RPUSH k 1 2 3\nRPUSH l 4\nLMOVE k l LEFT RIGHT\nRPOPLPUSH k l\nBLMOVE l m LEFT LEFT 1\nRPUSH k 5\nRPUSH l 6\nRPUSH m 7"},
		{"LMPOP", "RPUSH l 1 2 3\nLMPOP 2 k l LEFT COUNT 2\nBLMPOP 1 2 k l LEFT\nRPUSH l 4\nBRPOP k l 1\nRPUSH l 5"},
		{"SMOVE", "SADD k a b\nSADD l c\nSMOVE k l a\nSADD k a\nSREM l a"},
		{"SUNIONSTORE", "SADD k a b\nSADD l c\nSUNIONSTORE m k l\nSDIFFSTORE n k l\nSREM k a\nSADD m d"},
		{"SPOP", "SADD k 1 2 3 4 5 6\nSPOP k\nSPOP k 2\nSADD k 7\nSMOVE k l 7"},
		{"ZUNIONSTORE", "ZADD k 1 a\nZADD l 2 b\nZUNIONSTORE m 2 k l\nZADD k 3 a\nZADD m 4 c\nZRANGESTORE n m 0 1\nZREM m a"},
		{"ZMPOP", "ZADD l 1 a 2 b 3 c\nZMPOP 2 k l MIN\nBZPOPMAX k l 1\nZADD l 4 d"},
		{"GEORADIUS STORE", "GEOADD k 1 2 a 2 3 b\nGEORADIUS k 1 2 900 km STORE l\nGEOSEARCHSTORE m k FROMMEMBER a BYRADIUS 9000 km STOREDIST\n" +
			"GEOADD k 3 4 c\nZREM l a\nZREM m b"},
		{"fields that expire", "HSET k a 1 b 2 c 3\nHPEXPIREAT k 9999999999999 FIELDS 1 a\nHPERSIST k FIELDS 1 a\n" +
			"HPEXPIREAT k 1 FIELDS 1 b\nHSET k b 4\nRENAME k l\nHSET k a 5\nHINCRBY l c 6"},
		{"expiry", "SET k 1\nPEXPIREAT k 1\nAPPEND k 2\nPEXPIREAT k 9999999999999\nRENAME k l\nAPPEND l 3\nPERSIST l"},
		{"GETDEL", "SET k 1\nGETDEL k\nAPPEND k 2\nRENAME k l"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sc.Want("FLUSHALL", "OK")
			from := source.logOffset()
			fill()
			for line := range strings.Lines(c.commands) {
				if got := sc.Do(strings.TrimSpace(line)); strings.Contains(got, "ERR") || strings.Contains(got, "WRONGTYPE") {
					t.Fatalf("%s: %s", line, got)
				}
			}
			fill()
			stream, want := logBytes(t, source, from), sc.Do("DEBUG DIGEST")
			logged := bytes.Count(stream, []byte("\r\n*")) + 1 - 2*around
			for first := range logged + 1 { // a batch begins with the first of the commands, the second, ...
				shift := (2*replayBatch - around + replayBatch - first) % replayBatch
				tc.Want("FLUSHALL", "OK")
				if err := target.beginLoading(0); err != nil {
					t.Fatal(err)
				}
				r := target.newReplayer()
				r.want = mostLanes
				replay(t, r, append(bytes.Repeat([]byte("*3\r\n$3\r\nSET\r\n$5\r\nfill0\r\n$1\r\nx\r\n"), shift), stream...), func() int { return 1 << 20 })
				target.endLoading()
				if got := tc.Do("DEBUG DIGEST"); got != want {
					t.Fatalf("%d commands before: digest %s, the source's is %s", shift, got, want)
				}
				if r.errors > 0 {
					t.Errorf("%d errors, the first: %v", r.errors, r.failed)
				}
			}
		})
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
		dial(t, s).Want("FLUSHALL", "OK")
		r := s.newReplayer()
		r.want = 2
		n, err := r.Apply([]byte(good.String()+bad), 0)
		if n != end || err == nil || !strings.Contains(err.Error(), name) || !strings.HasPrefix(err.Error(), "at log offset ") {
			t.Errorf("%d of %d bytes, %v, want %q", n, end, err, name)
		}
		r.Finish()
		dial(t, s).Want("DBSIZE", "20000", "EXISTS more", "0")
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
