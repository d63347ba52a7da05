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

// A failover may take operations back, and a second one even more; the base stays until Rebase.
func TestKeep(t *testing.T) {
	h := New(1)
	add := func(v string) {
		h.ops = append(h.ops, Operation{apply: func(s map[string]string) { s["a"] = v }})
		h.Acknowledge()
	}
	state := func(v string) map[string]string { return map[string]string{"a": v} }
	for _, v := range []string{"1", "2", "3"} {
		add(v)
	}
	if err := h.Keep(state("2"), 3); err == nil {
		t.Error("a floor of three operations, and two were kept")
	}
	if err := h.Keep(state("2"), 1); err != nil || h.Acknowledged() != 2 || h.State()["a"] != "2" {
		t.Error(err, h.Acknowledged(), h.State())
	}
	add("4")
	if err := h.Keep(state("3"), 0); err == nil {
		t.Error("an operation that was taken back is there again")
	}
	if err := h.Keep(state("1"), 1); err != nil {
		t.Error("an older prefix, nearer to the base:", err)
	}
	h.Rebase()
	if err := h.Keep(map[string]string{}, 0); err == nil {
		t.Error("what was before the base came back")
	}
}
