package engine

import "testing"

// TestAbsentCommands: what is said to be absent is not there.
func TestAbsentCommands(t *testing.T) {
	s := testServer(t, t.TempDir())
	for name := range absent {
		if s.table.Lookup([]byte(name)) != nil {
			t.Errorf("%s is there", name)
		}
	}
}
