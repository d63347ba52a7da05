package strings

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tidemark/engine/command/commandtest"
)

// What each request leaves in the log, with the clock at 1,000,000 ms. It is what redis-server 7.0 writes to its AOF, except that SET
// with GET, NX or XX is logged without them, that GETSET stands as it came, and that an
// expiry in the past removes the key at once.
func TestEffects(t *testing.T) {
	r := commandtest.Logged(t, families()...)
	r.C.Now = 1_000_000
	want := r.DoAll([]commandtest.Left{
		{"SET a 1", "SET a 1"},
		{"set a 2", "set a 2"},
		{"SET a 1 NX", ""},
		{"SET a 1 XX", "SET a 1"},
		{"SET a 1 GET", "SET a 1"},
		{"SET n 1 NX GET", "SET n 1"},
		{"SET n 1 NX GET", ""},
		{"SET a 1 EX 10", "SET a 1 PXAT 1010000"},
		{"SET a 1 PX 10", "SET a 1 PXAT 1000010"},
		{"SET a 1 EXAT 2000", "SET a 1 PXAT 2000000"},
		{"SET a 1 PXAT 2000000", "SET a 1 PXAT 2000000"},
		{"SET a 1 PXAT 2000000 XX", "SET a 1 PXAT 2000000"},
		{"SET a 1 KEEPTTL", "SET a 1 KEEPTTL"},
		{"SET a 1 KEEPTTL GET XX", "SET a 1 KEEPTTL"},
		{"SET a 1 PXAT 1000000", "DEL a"},
		{"SET a 1 EXAT 1 XX", ""},
		{"SET a 1 EXAT 1", "DEL a"},
		{"SETNX a 1", "SETNX a 1"},
		{"SETNX a 1", ""},
		{"SETEX a 7 x", "SET a x PXAT 1007000"},
		{"PSETEX a 7 x", "SET a x PXAT 1000007"},
		{"GETEX a", ""},
		{"GETEX a EX 5", "PEXPIREAT a 1005000"},
		{"GETEX a PXAT 1000001", "PEXPIREAT a 1000001"},
		{"GETEX a PERSIST", "PERSIST a"},
		{"GETEX a PERSIST", ""},
		{"GETEX a EXAT 1000", "DEL a"},
		{"GETEX a EXAT 1000", ""},
		{"GETDEL a", ""},
		{"GETSET a 5", "GETSET a 5"},
		{"GETDEL a", "DEL a"},
		{"MSET a 1 b 2", "MSET a 1 b 2"},
		{"MSETNX a 1 c 2", ""},
		{"MSETNX c 1 d 2", "MSETNX c 1 d 2"},
		{"INCR a", "INCR a"},
		{"DECRBY a 5", "DECRBY a 5"},
		{"INCRBY a x", ""},
		{"INCRBYFLOAT a 0.5", "SET a -2.5 KEEPTTL"},
		{"INCRBYFLOAT a x", ""},
		{"APPEND a x", "APPEND a x"},
		{"SETRANGE a 1 yy", "SETRANGE a 1 yy"},
		{"GET a", ""}, {"MGET a b", ""}, {"STRLEN a", ""}, {"GETRANGE a 0 1", ""}, {"LCS a b", ""},
	})
	// An expired key goes from the log before the write that found it expired.
	r.Do("SET", "e", "1", "PX", "5")
	r.C.Now += 5
	r.Do("SETNX", "e", "2")
	r.Do("SET", "e", "1", "PX", "5")
	r.C.Now += 5
	r.Do("GET", "e")
	r.Do("SET", "e", "1", "PX", "5")
	r.C.Now += 5
	r.Do("SET", "e", "3")
	want = append(want, "SET e 1 PXAT 1000005", "MULTI", "DEL e", "SETNX e 2", "EXEC", "SET e 1 PXAT 1000010", "DEL e", "SET e 1 PXAT 1000015", "SET e 3")
	r.CheckLog(time.Now().UnixMilli(), want, r.Contents(), families()...)
}

// Whatever is executed, replaying the log long afterwards gives the same keys, values, expiries and (but for INCRBYFLOAT) encodings.
func TestReplayGivesTheSame(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 1))
	r := commandtest.Logged(t, families()...)
	r.C.Now = 1_700_000_000_000
	key := func() string { return "k" + fmt.Sprint(rnd.IntN(20)) }
	for range 5000 {
		r.C.Now += rnd.Int64N(20)
		n := fmt.Sprint(rnd.IntN(300) - 20)
		switch rnd.IntN(14) {
		case 0:
			r.Do("SET", key(), n, "PX", fmt.Sprint(1+rnd.IntN(300)))
		case 1:
			r.Do("SET", key(), n, []string{"NX", "XX", "GET", "KEEPTTL"}[rnd.IntN(4)])
		case 2:
			r.Do("SET", key(), n, "PXAT", fmt.Sprint(r.C.Now-50+rnd.Int64N(300)), []string{"NX", "XX", "GET"}[rnd.IntN(3)])
		case 3:
			r.Do("INCRBYFLOAT", key(), commandtest.Number(rnd))
		case 4:
			r.Do("APPEND", key(), n)
		case 5:
			r.Do("SETRANGE", key(), fmt.Sprint(rnd.IntN(100)), n)
		case 6:
			r.Do("INCRBY", key(), n)
		case 7:
			r.Do("GETEX", key(), "PX", fmt.Sprint(1+rnd.IntN(300)))
		case 8:
			r.Do("GETEX", key(), "PERSIST")
		case 9:
			r.Do("MSETNX", key(), n, key(), n)
		case 10:
			r.Do("MSET", key(), n, key(), n)
		case 11:
			r.Do("GETDEL", key())
		case 12:
			r.Do("MGET", key(), key())
		case 13:
			r.Do("SETNX", key(), n)
		}
	}
	before := r.Contents()
	again, _ := r.Recover(r.C.Now+1e9, families()...)
	after := again.Contents()
	if len(before) == 0 {
		t.Fatal("nothing was stored")
	}
	// The sum of INCRBYFLOAT is never called int, but the SET in the log calls it that.
	plain := strings.NewReplacer("string int ", "string embstr ")
	for k, v := range before {
		after[k], v = plain.Replace(after[k]), plain.Replace(v)
		if after[k] != v {
			t.Errorf("seed %d: %s is %s after replay, was %s", seed, k, after[k], v)
		}
	}
	if len(after) != len(before) {
		t.Errorf("seed %d: %d keys after replay, were %d", seed, len(after), len(before))
	}
}
