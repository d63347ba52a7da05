package keyspace

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// byteSource draws its numbers from a fuzzer's input, so that the fuzzer chooses the operations. When that has run out it
// counts on: rand rejects some numbers and asks again.
type byteSource struct {
	p []byte
	n uint64
}

func (s *byteSource) Uint64() uint64 {
	var b [8]byte
	n := copy(b[:], s.p)
	s.p = s.p[n:]
	if n == 0 {
		s.n++
	}
	// Small inputs must reach all branches: the bytes are spread over the word.
	return (binary.LittleEndian.Uint64(b[:]) + s.n) * 0x9e3779b97f4a7c15
}

// FuzzOperations runs operations against the model, with snapshots in between.
func FuzzOperations(f *testing.F) {
	f.Add(uint64(1), []byte("some operations, some operations, some operations, some operations"))
	f.Fuzz(func(t *testing.T, seed uint64, p []byte) {
		if len(p) > 16<<10 {
			p = p[:16<<10]
		}
		m := newModel(t, seed, 2, 2, 60)
		src := &byteSource{p: p}
		m.rnd = rand.New(src)
		var sn *Snapshot
		for len(src.p) > 0 {
			m.step()
			switch c := m.rnd.IntN(20); {
			case c == 0 && sn == nil:
				m.ks.LockAll()
				sn = m.ks.BeginSnapshot(testEncoder)
				m.ks.UnlockAll()
			case c == 1 && sn != nil:
				sn.Close()
				sn = nil
			case c < 6 && sn != nil:
				out, _ := sn.Step(m.rnd.IntN(2), nil)
				testDecode(t, out, map[modelKey]modelEntry{})
			}
		}
		if sn != nil {
			sn.Close()
		}
		m.check()
	})
}
