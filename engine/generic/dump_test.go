package generic

import (
	"slices"
	"strings"
	"testing"

	"tidemark/engine/command/commandtest"
)

// TestRestoreOfThePast: what RESTORE REPLACE removes, because what would take its place has expired, is in the log as lazyfree-lazy-server-del has it.
func TestRestoreOfThePast(t *testing.T) {
	r := commandtest.Logged(t, sortFamilies()...)
	r.Do("SET", "a", "1")
	r.Do("SET", "b", "1")
	dump := r.Do("DUMP", "a")
	payload := dump[strings.IndexByte(dump, '\n')+1 : len(dump)-2]
	for _, key := range []string{"a", "b", "none"} {
		r.C.Store.LazyServerDel.Store(key == "b")
		if got := r.Do("RESTORE", key, "1", payload, "REPLACE", "ABSTTL"); got != "+OK\r\n" {
			t.Fatal(got)
		}
	}
	_, got := r.Recover(r.C.Now, sortFamilies()...)
	if want := []string{"SET a 1", "SET b 1", "DEL a", "UNLINK b"}; !slices.Equal(got, want) {
		t.Errorf("the log has %q, not %q", got, want)
	}
}
