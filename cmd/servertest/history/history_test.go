package history

import (
	"strings"
	"testing"
)

// The check itself must see a lost write, a torn block and an invented value.
func TestHistoryNotices(t *testing.T) {
	build := func(acked, seen int) *History {
		h := New(1)
		h.ops = []Operation{
			{apply: func(s map[string]string) { s["a"] = "1" }},
			{apply: func(s map[string]string) { s["a"], s["b"] = "2", "2" }},
			{apply: func(s map[string]string) { delete(s, "a") }},
		}
		h.acked, h.seen = acked, seen
		return h
	}
	for _, c := range []struct {
		name        string
		acked, seen int
		got         map[string]string
		want        string
	}{
		{"all kept", 3, 0, map[string]string{"b": "2"}, ""},
		{"an unacknowledged one kept", 2, 0, map[string]string{"b": "2"}, ""},
		{"an unacknowledged one lost", 2, 0, map[string]string{"a": "2", "b": "2"}, ""},
		{"acknowledged lost", 3, 0, map[string]string{"a": "2", "b": "2"}, "LOST WRITES"},
		{"seen lost", 1, 2, map[string]string{"a": "1"}, "LOST WRITES"},
		{"torn", 1, 0, map[string]string{"a": "2"}, "no prefix"},
		{"invented", 0, 0, map[string]string{"z": "9"}, "no prefix"},
	} {
		err := build(c.acked, c.seen).Settle(c.got)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
