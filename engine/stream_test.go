package engine

import (
	"testing"
	"time"
)

// TestAwaitAppended: who waits for the log is told of bytes, of another log, and when nobody wants it any more.
func TestAwaitAppended(t *testing.T) {
	s := testServer(t, t.TempDir(), "--appendonly", "yes")
	if _, err := s.EnsureStream(); err != nil {
		t.Fatal(err)
	}
	c := dial(t, s)
	c.Do("SET a 1")
	log, never := s.Log(), make(chan struct{})
	await := func(what string, quit chan struct{}, happens func()) {
		t.Helper()
		off, back := log.Reserved(), make(chan struct{})
		go func() {
			defer close(back)
			for s.Log() == log && log.Appended() <= off {
				select {
				case <-quit:
					return
				default:
					s.AwaitAppended(log, off, quit)
				}
			}
		}()
		select {
		case <-back:
			t.Fatalf("%s: it returned before", what)
		case <-time.After(20 * time.Millisecond):
		}
		happens()
		select {
		case <-back:
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: nobody was told", what)
		}
		if n := s.watchers.count.Load(); n != 0 {
			t.Fatalf("%s: %d watchers are left", what, n)
		}
	}
	await("a write", never, func() { c.Do("SET a 2") })
	gone := make(chan struct{})
	await("the end of interest", gone, func() { close(gone) })
	await("another log", never, func() { c.Do("CONFIG SET appendonly no") })
	s.AwaitAppended(log, log.Reserved(), never) // at once: it is not the server's any more
}
