package engine

import (
	"testing"

	"tidemark/netio"
)

// FuzzFollower: whatever a primary sends, in whatever pieces, is executed or refused: no panic, no more taken than was given, and the log holds exactly
// what was taken.
func FuzzFollower(f *testing.F) {
	f.Add([]byte("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n*1\r\n$4\r\nPING\r\n"), uint8(7))
	f.Add([]byte("*1\r\n$5\r\nMULTI\r\n*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*1\r\n$4\r\nEXEC\r\n"), uint8(3))
	f.Add([]byte("*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n\r\n\r\n*1\r\n$5\r\nMULTI\r\n"), uint8(1))
	f.Add([]byte("*1000000000\r\n$1000000000\r\nx"), uint8(5))
	f.Add([]byte("*2\r\n$6\r\nSELECT\r\n$3\r\n999\r\n"), uint8(2))
	f.Add([]byte("*1\r\n$4\r\nEXEC\r\n*1\r\n$5\r\nMULTI\r\n*1\r\n$5\r\nMULTI\r\n*1\r\n$4\r\nEXEC\r\n"), uint8(9))
	f.Add([]byte("*2\r\n$8\r\nSHUTDOWN\r\n$6\r\nNOSAVE\r\n*1\r\n$8\r\nFLUSHALL\r\n"), uint8(200))
	s := testServer(f, f.TempDir(), "--appendonly", "no") // one for all inputs of this process
	s.SetRole(Role{Replica: true, LinkUp: true})
	if _, err := s.EnsureStream(); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in []byte, piece uint8) {
		fl := s.NewFollower(0)
		begin := s.logOffset()
		at, have := 0, 0
		for at < len(in) {
			have = min(len(in), have+1+int(piece))
			var n int
			var err error
			onLoop(s, func(l *netio.Loop) { n, err = fl.Apply(in[at:have]); s.CommitSoon(l, false) })
			if n < 0 || n > have-at {
				t.Fatalf("%d bytes taken of %d", n, have-at)
			}
			at += n
			if got := s.logOffset() - begin; got != int64(at) {
				t.Fatalf("the log has %d bytes of the %d that were taken", got, at)
			}
			if err != nil || n == 0 && have == len(in) && !fl.Blocked() {
				return
			}
		}
	})
}
