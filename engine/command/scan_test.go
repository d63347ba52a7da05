package command

import (
	"math"
	"testing"

	"tidemark/netio/resp"
)

// TestCursor: what redis-server takes for a cursor is one, with the same number.
func TestCursor(t *testing.T) {
	for text, want := range map[string]uint64{
		"0": 0, "00": 0, "+0": 0, "-0": 0, "7\x00 8": 7,
		"+12": 12, "0000000000000000000000000000012": 12,
		" -1": math.MaxUint64, "-01": math.MaxUint64, "-18446744073709551615": 1,
		"18446744073709551615": math.MaxUint64,
		" 0":                   0, "\t0": 0, "\x0b\n\f\r 3": 3, "-9223372036854775809": math.MaxInt64, "9223372036854775808": 1 << 63, " \t+7\x00": 7,
	} {
		c := &Ctx{Args: [][]byte{nil, []byte(text)}, W: &resp.Writer{}}
		if n, ok := c.Cursor(1); !ok || n != want || len(c.W.B) != 0 {
			t.Errorf("%q: %d, %v, %q, want %d", text, n, ok, c.W.B, want)
		}
	}
	for _, text := range []string{
		"18446744073709551616", "-18446744073709551616", "99999999999999999999", "184467440737095516150", "0 ", "\xa00",
		"", " ", "\x00", "\x00junk", " \x00", "-1", "-9223372036854775808", "+ 1",
		"+", "-", "+\x00", "--1", "+-1", "- 1", "0x0", "1e3", "1a", "x",
	} {
		c := &Ctx{Args: [][]byte{nil, []byte(text)}, W: &resp.Writer{}}
		if n, ok := c.Cursor(1); ok || string(c.W.B) != "-ERR invalid cursor\r\n" {
			t.Errorf("%q: %d, %v, %q", text, n, ok, c.W.B)
		}
	}
}
