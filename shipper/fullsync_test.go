package shipper

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSnapshotOnly: REPLCONF rdb-only gets the snapshot and the end of the connection, and rdb-filter-only, which redis-cli says for --functions-rdb and
// --replica, one without data.
func TestSnapshotOnly(t *testing.T) {
	p := start(t, t.TempDir())
	w := dial(t, p)
	w.Want("SET k 1", "OK", "SELECT 3", "OK", "SET l 2", "OK", "SELECT 0", "OK",
		"REPLCONF rdb-only x", "-ERR value is not an integer or out of range", "REPLCONF rdb-only 2", "-ERR value is out of range, value must between 0 and 1",
		"REPLCONF rdb-filter-only x", "-ERR Unsupported rdb-filter-only option: x", "REPLCONF rdb-only 0", "OK")
	for _, words := range []string{"rdb-only 1", "capa eof rdb-only 1", "rdb-only 1 rdb-filter-only functions", "capa eof rdb-only 1 rdb-filter-only functions"} {
		c := dial(t, p)
		c.Want("REPLCONF "+words, "OK")
		c.Send("SYNC")
		got, err := io.ReadAll(c.R)
		if err != nil {
			t.Fatalf("%s: %v", words, err)
		}
		got = bytes.TrimLeft(got, "\n")
		head, image, _ := bytes.Cut(got, []byte("\r\n"))
		if mark, ok := strings.CutPrefix(string(head), "$EOF:"); ok {
			image = bytes.TrimSuffix(image, []byte(mark))
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "dump.rdb"), image, 0o644); err != nil {
			t.Fatal(err)
		}
		want := "1"
		if strings.Contains(words, "filter") {
			want = "0"
		}
		dial(t, start(t, dir, "--appendonly", "no")).Want("DBSIZE", want, "SELECT 3", "OK", "DBSIZE", want)
	}
	// With a filter alone the stream follows.
	c := dial(t, p)
	c.Send("REPLCONF rdb-filter-only")
	if got := c.Reply(); got != "-ERR syntax error" {
		t.Error(got)
	}
	c.Want("REPLCONF rdb-filter-only functions", "OK")
	c.Send("SYNC")
	if image := c.Reply(); !strings.HasPrefix(image, "REDIS0") && image != "" {
		t.Errorf("%q is no RDB", image)
	}
	w.Want("SET behind 1", "OK")
	for seen := ""; !strings.HasSuffix(seen, "behind\r\n$1\r\n1\r\n"); {
		b, err := c.R.ReadByte()
		if seen += string(b); err != nil || len(seen) > 1000 {
			t.Fatalf("the stream goes on with %q: %v", seen, err)
		}
	}
}
