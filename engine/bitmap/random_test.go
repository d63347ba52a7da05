package bitmap

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"tidemark/engine/command/commandtest"
)

func TestRandomCommands(t *testing.T) {
	commandtest.CompareRandom(t, 20000, families(), func(rnd *rand.Rand) []string {
		key := func() string { return "k" + strconv.Itoa(rnd.IntN(5)) }
		at := func() string {
			switch rnd.IntN(20) {
			case 0:
				return "9223372036854775807"
			case 1:
				return "-9223372036854775808"
			}
			return strconv.Itoa(rnd.IntN(900) - 300)
		}
		unit := func() []string { return [][]string{nil, {"BIT"}, {"byte"}}[rnd.IntN(3)] }
		switch rnd.IntN(12) {
		case 0, 1:
			return []string{"SETBIT", key(), strconv.Itoa(rnd.IntN(800)), strconv.Itoa(rnd.IntN(2))}
		case 2:
			return []string{"GETBIT", key(), []string{at(), "x"}[rnd.IntN(20)/19]}
		case 3:
			return append([]string{"BITCOUNT", key(), at(), at()}, unit()...)
		case 4:
			return append([]string{"BITPOS", key(), strconv.Itoa(rnd.IntN(2)), at(), at()}, unit()...)
		case 5:
			return []string{"BITPOS", key(), strconv.Itoa(rnd.IntN(2)), at()}[:3+rnd.IntN(2)]
		case 6:
			return []string{"BITCOUNT", key()}
		case 7:
			op := []string{"AND", "or", "XOR", "not"}[rnd.IntN(4)]
			out := []string{"BITOP", op, key()}
			for range 1 + rnd.IntN(4)*rnd.IntN(2) {
				out = append(out, key())
			}
			return out
		case 8:
			b := make([]byte, rnd.IntN(70))
			for i := range b {
				b[i] = []byte{0, 0xff, byte(rnd.Uint32())}[rnd.IntN(rnd.IntN(3)+1)]
			}
			return []string{"SET", key(), string(b)}
		case 9:
			return []string{"GETRANGE", key(), "0", "-1"}
		}
		out := []string{"BITFIELD", key()}
		for range rnd.IntN(5) {
			kind := fmt.Sprintf("%c%d", "iu"[rnd.IntN(2)], 1+rnd.IntN(64))
			off := []string{"", "#"}[rnd.IntN(2)] + strconv.Itoa(rnd.IntN(60))
			n := strconv.FormatInt(int64(rnd.Uint64())>>rnd.IntN(64), 10)
			switch rnd.IntN(4) {
			case 0:
				out = append(out, "OVERFLOW", []string{"WRAP", "sat", "FAIL", "fial"}[rnd.IntN(20)%4%(3+rnd.IntN(20)/19)])
			case 1:
				out = append(out, "GET", kind, off)
			case 2:
				out = append(out, "SET", kind, off, n)
			case 3:
				out = append(out, "INCRBY", kind, off, n)
			}
		}
		return out
	})
}
