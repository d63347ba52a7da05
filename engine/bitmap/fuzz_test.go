package bitmap

import (
	"bytes"
	"testing"

	"tidemark/engine/command/commandtest"
	"tidemark/engine/strings"
)

// Whatever the arguments, no command of the two families panics or builds a string beyond the limit, and each replies.
func FuzzRequests(f *testing.F) {
	for _, line := range []string{
		"SET k v EX 10 NX GET", "GETEX k PXAT 5", "SETRANGE k 5 x", "GETRANGE k -5 -1", "LCS k l IDX MINMATCHLEN 2 WITHMATCHLEN", "INCRBYFLOAT k 0x1p-3",
		"INCRBYFLOAT k 12345678901234567890.1234567890123456789e-17", "DECRBY k -5", "MSET k v l w", "MSETNX k v", "SETBIT k 77 1", "BITCOUNT k 1 -1 BIT",
		"BITPOS k 0 3 -3 BIT", "BITOP XOR d k l", "BITFIELD k OVERFLOW SAT INCRBY i7 #3 99 GET u63 1 SET u1 9 1", "APPEND k x",
	} {
		f.Add([]byte(line))
	}
	const limit = 1 << 16
	var names []string
	for _, d := range append(Commands(), strings.Commands()...) {
		names = append(names, d.Name)
	}
	r := commandtest.New(f, families()...)
	r.C.Store.MaxBulkBytes.Store(limit)
	f.Fuzz(func(t *testing.T, data []byte) {
		words := bytes.Split(data, []byte(" "))
		if d := r.Table.Lookup(words[0]); d == nil || d.Group == "" {
			words[0] = []byte(names[len(data)%len(names)])
		}
		if len(data) > 4096 {
			return
		}
		if reply := r.DoArgs(words); reply == "" {
			t.Fatalf("%q: no reply", words)
		}
		for key, v := range r.Contents() {
			if len(v) > 5*(limit+9) {
				t.Fatalf("%q makes %q %d bytes long", words, key, len(v))
			}
		}
		if len(r.Contents()) > 100 {
			r.Do("FLUSHALL")
		}
	})
}
