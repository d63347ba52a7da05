package aof

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Another server may go on with the directory of a process that was killed: it appends to the last file that the manifest lists, which is the
// segment in use or one that was prepared behind it. Nothing of that may be taken for a torn tail.
func TestAnotherServerGoesOnAfterAKill(t *testing.T) {
	set := command("SET", "ours", "1")
	theirs := bytes.Join([][]byte{makeSelect(3), command("SET", "theirs", "2"), command("MULTI"), command("INCR", "n"), command("EXEC")}, nil)
	for _, c := range []struct {
		name      string
		prepared  bool   // the manifest lists a segment that was not used yet
		file      string // of another server's own, listed behind ours
		appended  []byte
		want      []byte
		truncated int64
	}{
		{"in the segment in use", false, "", theirs, theirs, 0},
		{"in the segment in use, torn", false, "", append(bytes.Clone(theirs), theirs[:30]...), append(bytes.Clone(theirs), makeSelect(3)...), 7},
		{"in the segment in use, with times", false, "", append([]byte("#TS:1700000000\r\n"), theirs...), theirs, 0},
		{"in a prepared segment", true, "", theirs, theirs, 0},
		{"in a file of its own", false, "appendonly.aof.7.incr.aof", theirs, theirs, 0},
		{"in a file of its own behind a prepared segment", true, "appendonly.aof.7.incr.aof", theirs, theirs, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			live, dir := filepath.Join(t.TempDir(), "live"), filepath.Join(t.TempDir(), "d")
			l, _, _ := openT(t, Options{Dir: live, SegmentBytes: 64 << 10, Policy: EverySec, manual: true})
			if c.prepared {
				if err := l.keeperStep(); err != nil {
					t.Fatal(err)
				}
			}
			l.Append(0, 0, set)
			l.Commit(GoalAppend)
			if err := os.CopyFS(dir, os.DirFS(live)); err != nil { // what a kill leaves
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			manifest := filepath.Join(dir, manifestName("appendonly.aof"))
			text, err := os.ReadFile(manifest)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(string(text)), "\n")
			if n := strings.Count(string(text), "incr.aof"); c.prepared != (n == 2) {
				t.Fatalf("the manifest lists %d segments:\n%s", n, text)
			}
			last := strings.Fields(lines[len(lines)-1])[1]
			if c.file != "" {
				last = c.file
				if err := os.WriteFile(manifest, append(text, "file "+last+" seq 7 type i\n"...), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			f, err := os.OpenFile(filepath.Join(dir, last), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(c.appended); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			want := bytes.Join([][]byte{makeSelect(0), set, c.want}, nil)
			more := command("SET", "again", "3")
			for round := range 3 {
				l, rec, r := openT(t, Options{Dir: dir, SegmentBytes: 64 << 10, Policy: EverySec, LoadTruncated: true, manual: true})
				if !bytes.Equal(r.bytes, want) {
					t.Fatalf("round %d: replayed %q\nwant %q", round, r.bytes, want)
				}
				cut := int64(0)
				if round == 0 {
					cut = c.truncated
				}
				if rec.Truncated != cut || rec.Foreign != (round == 0) {
					t.Errorf("round %d: %+v", round, rec)
				}
				l.Append(0, 0, more)
				if !l.Commit(GoalSync) {
					t.Fatal("not synced")
				}
				want = bytes.Join([][]byte{want, makeSelect(0), more}, nil)
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
