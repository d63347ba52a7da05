package strings

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"tidemark/engine/command/commandtest"
)

func TestRandomFloats(t *testing.T) {
	commandtest.CompareRandom(t, 10000, families(), func(rnd *rand.Rand) []string {
		key := "f" + strconv.Itoa(rnd.IntN(8))
		if rnd.IntN(5) == 0 {
			return []string{"SET", key, commandtest.Number(rnd)}
		}
		return []string{"INCRBYFLOAT", key, commandtest.Number(rnd)}
	})
}

func TestRandomCommands(t *testing.T) {
	word := func(rnd *rand.Rand) string {
		b := make([]byte, rnd.IntN(60))
		for i := range b {
			b[i] = "0123456789-ab"[rnd.IntN(13)]
		}
		return string(b)
	}
	num := func(rnd *rand.Rand) string {
		switch rnd.IntN(12) {
		case 0:
			return word(rnd)
		case 1:
			return "9223372036854775807"
		case 2:
			return "-9223372036854775808"
		}
		return strconv.Itoa(rnd.IntN(120) - 60)
	}
	options := []string{"NX", "XX", "GET", "EX", "PX", "EXAT", "PXAT", "KEEPTTL", "PERSIST", "nx", "get", "Ex", "100000", "0", "-5", "99999999999", "x"}
	// No expiry that comes during the test, and no TTL: the clocks of the two are not the same.
	commandtest.CompareRandom(t, 10000, families(), func(rnd *rand.Rand) []string {
		key := func() string { return "k" + strconv.Itoa(rnd.IntN(6)) }
		var out []string
		switch rnd.IntN(21) {
		case 0:
			out = []string{"GET", key()}
		case 1, 2:
			out = []string{"SET", key(), word(rnd)}
			for range rnd.IntN(4) {
				out = append(out, options[rnd.IntN(len(options))])
			}
		case 3:
			out = []string{"GETEX", key()}
			for range rnd.IntN(3) {
				out = append(out, options[rnd.IntN(len(options))])
			}
		case 4:
			out = []string{"SETNX", key(), num(rnd)}
		case 5:
			out = []string{"SETEX", key(), num(rnd) + "000", word(rnd)}
		case 6:
			out = []string{"PSETEX", key(), num(rnd) + "00000", word(rnd)}
		case 7:
			out = []string{"GETSET", key(), num(rnd)}
		case 8:
			out = []string{"GETDEL", key()}
		case 9:
			out = []string{"MGET", key(), key(), key()}
		case 10:
			out = []string{"MSET", key(), word(rnd), key(), num(rnd)}
		case 11:
			out = []string{"MSETNX", key(), word(rnd), key(), num(rnd)}
		case 12:
			out = []string{[]string{"INCR", "DECR"}[rnd.IntN(2)], key()}
		case 13:
			out = []string{[]string{"INCRBY", "DECRBY"}[rnd.IntN(2)], key(), num(rnd)}
		case 14:
			out = []string{"APPEND", key(), word(rnd)}
		case 15:
			out = []string{"STRLEN", key()}
		case 16:
			out = []string{"SETRANGE", key(), num(rnd), word(rnd)}
		case 17:
			out = []string{"GETRANGE", key(), num(rnd), num(rnd)}
		case 18:
			out = []string{"LCS", key(), key(), []string{"LEN", "IDX", "WITHMATCHLEN", "IDX"}[rnd.IntN(4)]}
		case 19:
			out = []string{"OBJECT", "ENCODING", key()}
		case 20:
			if rnd.IntN(4) == 0 {
				out = []string{"LPUSH", "l" + strconv.Itoa(rnd.IntN(1e9)), "x"}
			} else {
				out = []string{"EXISTS", key()}
			}
		}
		return out
	})
}

func TestRandomLCS(t *testing.T) {
	n := 0
	commandtest.CompareRandom(t, 600, families(), func(rnd *rand.Rand) []string {
		n++
		if n%4 != 1 {
			return []string{"LCS", "a", "b", []string{"LEN", "IDX", "WITHMATCHLEN"}[n%3]}
		}
		word := func() string {
			b := make([]byte, rnd.IntN(400))
			kinds := 1 + rnd.IntN(30)
			for i := range b {
				b[i] = byte('a' + rnd.IntN(kinds))
			}
			return string(b)
		}
		return []string{"MSET", "a", word(), "b", word()}
	})
}
