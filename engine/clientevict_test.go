package engine

import (
	"fmt"
	"strings"
	"testing"
)

// TestEvictedWithoutHelp: a client that passes the limit goes at once, also when nobody asks anything of the server any more.
func TestEvictedWithoutHelp(t *testing.T) {
	const limit = 3000000
	s := testServer(t, t.TempDir(), "--appendonly", "no", "--maxmemory-clients", fmt.Sprint(limit))
	for range 20 {
		c := dial(t, s)
		c.Want("PING", "PONG")
		// All but the end of it: over the limit by less than what a loop's sum may be wrong by within a turn.
		if _, err := c.Conn.Write([]byte(fmt.Sprintf("*1\r\n$%d\r\n%s", limit, strings.Repeat("v", limit)))); err != nil {
			continue // evicted before it was all written
		}
		if b, err := c.R.ReadByte(); err == nil {
			t.Fatalf("read %q", b)
		} else if strings.Contains(err.Error(), "timeout") {
			t.Fatal("a client over the limit stays")
		}
	}
}
