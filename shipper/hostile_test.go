package shipper

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// says is a connection to a primary that has said all it will say.
type says struct {
	net.Conn
	r io.Reader
}

func (c *says) Read(p []byte) (int, error)       { return c.r.Read(p) }
func (c *says) Write(p []byte) (int, error)      { return len(p), nil }
func (c *says) SetReadDeadline(time.Time) error  { return nil }
func (c *says) SetWriteDeadline(time.Time) error { return nil }

// pieces gives a few bytes at a time.
type pieces struct {
	b []byte
	n int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.n)], p.b)
	p.b = p.b[n:]
	return n, nil
}

// FuzzHandshake: whatever a primary says in the dialogue and as a snapshot, the replica takes it or gives up with an error, and what it takes of a
// marked snapshot is what stands before the mark.
func FuzzHandshake(f *testing.F) {
	mark := strings.Repeat("0123456789", 4)
	f.Add([]byte("+PONG\r\n+OK\r\n+OK\r\n+OK\r\n"), 3)
	f.Add([]byte("-NOAUTH Authentication required.\r\n-NOAUTH x\r\n"), 100)
	f.Add([]byte("\n\n\n+FULLRESYNC x 1\r\n$EOF:"+mark+"\r\nREDIS"+mark), 7)
	f.Add([]byte(strings.Repeat("x", 5000)), 64)
	f.Add([]byte("$EOF:"+mark+"\r\n"+mark[:39]+"x"+mark+mark), 11)
	srv := start(f, f.TempDir(), "--appendonly", "no")
	p := srv.sh
	f.Fuzz(func(t *testing.T, in []byte, n int) {
		n = 1 + max(n, 0)%1000
		k := newLink(p, "127.0.0.1", 1)
		conn := &says{r: &pieces{in, n}}
		h := &handshake{k: k, conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
		_ = h.greet() // only must not panic or hang
		// The rest as a snapshot with a mark.
		conn = &says{r: &pieces{in, n}}
		h = &handshake{k: k, conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
		s := &snapshotReader{h: h, left: -1, mark: []byte(mark)}
		got, err := io.ReadAll(s)
		i := bytes.Index(in, []byte(mark))
		switch {
		case err == nil && (i < 0 || !bytes.Equal(got, in[:i])):
			t.Fatalf("%q became the snapshot %q", in, got)
		case err != nil && i >= 0 && i+len(mark) == len(in):
			t.Fatalf("%q was refused: %v", in, err)
		}
	})
}
