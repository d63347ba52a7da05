package command

import (
	"strings"
	"testing"
)

// TestSoleKey: a request has a sole key where one place is all there is for keys, be it by the command or by the request's length.
func TestSoleKey(t *testing.T) {
	one, all := One(KeyRW), []KeySpec{{Begin: 1, Last: -1, Step: 1}}
	for _, x := range []struct {
		keys    []KeySpec
		request string
		want    int
	}{
		{one, "GET k", 1},
		{one, "SET k v", 1},
		{one, "GET", 0},
		{all, "DEL k", 1},
		{all, "DEL k l", 0},
		{all, "DEL", 0},
		{[]KeySpec{{Begin: 1, Last: -1, Step: 2}}, "MSET k v", 0},
		{[]KeySpec{{Begin: 1, Last: -2, Step: 1}}, "BLPOP k 0", 0},
		{[]KeySpec{{Begin: 1, Last: -1, Step: 1, Limit: 2}}, "HALF k", 0},
		{[]KeySpec{{Begin: 2, Last: -1, Step: 1}}, "SUB cmd k", 2},
		{[]KeySpec{{Keyword: "STREAMS", From: 1, Last: -1, Step: 1, Limit: 2}}, "XREAD STREAMS", 0},
		{[]KeySpec{{Begin: 1, KeyNum: true, FirstKey: 1, Step: 1}}, "ZUNION 1", 0},
		{[]KeySpec{{Begin: 1, Step: 1}, {Begin: 2, Last: -1, Step: 1}}, "STORE d", 0},
		{nil, "PING x", 0},
	} {
		var args [][]byte
		for _, w := range strings.Fields(x.request) {
			args = append(args, []byte(w))
		}
		if got := (&Descriptor{Keys: x.keys}).SoleKey(args); got != x.want {
			t.Errorf("%s: %d, want %d", x.request, got, x.want)
		}
	}
}
