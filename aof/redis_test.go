package aof

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// redis runs a stock redis-server on dir until the test ends, and gives a way to ask it.
func redis(t *testing.T, dir string, args ...string) (ask func(words ...string) string, stop func()) {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("redis-server is not installed: apt-get install redis-server, there is nothing to compare with otherwise")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	ln.Close()
	var out bytes.Buffer
	cmd := exec.Command(bin, append([]string{"--port", fmt.Sprint(port), "--dir", dir, "--appendonly", "yes", "--save", ""}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	stop = func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-done
	}
	t.Cleanup(stop)
	ask = func(words ...string) string {
		t.Helper()
		if words[0] == "INFO" {
			ask("DBSIZE") // unlike INFO it is not answered while redis loads
		}
		for deadline := time.Now().Add(10 * time.Second); ; {
			c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err == nil {
				_, err = c.Write(command(words...))
			}
			if err == nil {
				_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
				b := make([]byte, 4096)
				var n int
				if n, err = c.Read(b); err == nil {
					c.Close()
					if s := string(b[:n]); !strings.HasPrefix(s, "-LOADING") {
						return s
					}
				}
			}
			if c != nil {
				c.Close()
			}
			select {
			case <-done:
				t.Fatalf("redis-server ended:\n%s", out.String())
			default:
			}
			if time.Now().After(deadline) {
				t.Fatalf("redis-server does not answer: %v\n%s", err, out.String())
			}
			time.Sleep(5 * time.Millisecond) // it gives no sign when it begins to listen
		}
	}
	return ask, stop
}

// emptyBase is the RDB of an empty keyspace, with the AOF mark Redis puts into bases.
var emptyBase = []byte("REDIS0010\xfa\x08aof-base\xc0\x01\xff\x00\x00\x00\x00\x00\x00\x00\x00")

// emptyLog has the log begin anew, with a base that has no keys.
func emptyLog(t *testing.T, l *Log) {
	t.Helper()
	rw, err := l.BeginRewrite(l.Mark())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rw.Write(emptyBase); err != nil {
		t.Fatal(err)
	}
	if err := rw.Commit(); err != nil {
		t.Fatal(err)
	}
}

func TestStockRedisLoadsWhatCloseLeaves(t *testing.T) {
	dir := t.TempDir()
	aofDir := filepath.Join(dir, "appendonlydir")
	l, _, _ := openT(t, Options{Dir: aofDir, Shards: 2, RingBytes: 64 << 10, SegmentBytes: 256 << 10, Policy: Always})
	emptyLog(t, l)
	multi := append(command("MULTI"), command("SET", "in-multi", "1")...)
	multi = append(append(multi, command("INCR", "in-multi")...), command("EXEC")...)
	for i := range 5000 {
		sh := i % 2
		for !l.Room(sh) {
			l.Commit(GoalAppend)
		}
		l.Append(sh, i%3, command("SET", fmt.Sprint("key", i), strings.Repeat("v", i%200)))
		if i%100 == 0 {
			l.Append(sh, 5, multi)
		}
		if i%5 == 0 {
			l.Commit(GoalSync)
		}
	}
	l.Commit(GoalSync)
	l.closingBatch()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if check, err := exec.LookPath("redis-check-aof"); err == nil {
		out, err := exec.Command(check, filepath.Join(aofDir, "appendonly.aof.manifest")).CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("All AOF files and manifest are valid")) {
			t.Fatalf("redis-check-aof: %v\n%s", err, out)
		}
	}
	ask, stop := redis(t, dir)
	if got := ask("DBSIZE"); got != ":1667\r\n" {
		t.Fatalf("DBSIZE says %q", got)
	}
	if got := ask("GET", "key4998"); got != fmt.Sprintf("$198\r\n%s\r\n", strings.Repeat("v", 198)) {
		t.Fatalf("GET says %q", got)
	}
	// And back: what stock Redis appended to our last segment, and then what it makes of everything by a rewrite.
	if got := ask("SET", "by-redis", "1"); got != "+OK\r\n" {
		t.Fatal(got)
	}
	stop()
	o := Options{Dir: aofDir, LoadTruncated: true}
	l, rec, r := openT(t, o)
	if !rec.Foreign || !bytes.HasSuffix(r.bytes, command("SET", "by-redis", "1")) {
		t.Fatalf("%+v %q", rec, r.bytes[max(0, len(r.bytes)-100):])
	}
	id := rec.ID
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, rec, r2 := openT(t, o)
	if rec.ID != id || !bytes.Equal(r2.bytes, r.bytes) {
		t.Fatalf("the second load differs: %+v", rec)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ask, stop = redis(t, dir)
	if got := ask("DBSIZE"); got != ":1668\r\n" {
		t.Fatalf("DBSIZE says %q", got)
	}
	ask("BGREWRITEAOF")
	for deadline := time.Now().Add(10 * time.Second); strings.Contains(ask("INFO", "persistence"), "aof_rewrite_in_progress:1") ||
		strings.Contains(ask("INFO", "persistence"), "aof_rewrite_scheduled:1"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the rewrite does not end")
		}
	}
	ask("SET", "after-rewrite", "1")
	stop()
	l, rec, r = openT(t, o)
	if r.base == "" || !bytes.HasSuffix(r.bytes, command("SET", "after-rewrite", "1")) {
		t.Fatalf("%+v %q %q", rec, r.base, r.bytes)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestForeignFiles loads what other servers leave, whole and torn.
func TestForeignFiles(t *testing.T) {
	set := command("SET", "a", "1")
	sel := makeSelect(0)
	multi := bytes.Join([][]byte{command("MULTI"), set, command("exec")}, nil)
	openMulti := append(command("MULTI"), set...)
	ts := []byte("#TS:1700000000\r\n")
	join := func(p ...[]byte) []byte { return bytes.Join(p, nil) }
	for _, c := range []struct {
		name      string
		files     map[string]string
		want      []byte
		truncated int64
		strict    string // the error without aof-load-truncated
		err       string // the error with it
	}{
		{"plain", map[string]string{"d/appendonly.aof.1.incr.aof": string(join(sel, set, set))}, join(sel, set, set), 0, "", ""},
		{"annotated", map[string]string{"d/appendonly.aof.1.incr.aof": string(join(ts, sel, ts, ts, set, ts))}, join(sel, set), 0, "", ""},
		{"annotated inside MULTI", map[string]string{"d/appendonly.aof.1.incr.aof": string(join(command("MULTI"), ts, set, ts, command("EXEC"), set))},
			join(command("MULTI"), set, command("EXEC"), set), 0, "", ""},
		{"torn command", map[string]string{"d/appendonly.aof.1.incr.aof": string(join(sel, set, set[:len(set)-3]))}, join(sel, set),
			int64(len(set) - 3), "Unexpected end of file reading the append only file d/appendonly.aof.1.incr.aof at byte 50", ""},
		{"torn transaction", map[string]string{"d/appendonly.aof.1.incr.aof": string(join(sel, multi, openMulti))}, join(sel, multi),
			int64(len(openMulti)), "Unexpected end of file", ""},
		{"torn in the middle of the manifest", map[string]string{"d/appendonly.aof.1.incr.aof": string(set[:9]),
			"d/appendonly.aof.2.incr.aof": string(set)}, nil, 0, "Unexpected end of file", "Unexpected end of file"},
		{"garbage", map[string]string{"d/appendonly.aof.1.incr.aof": string(join(sel, set, []byte("hello"), set))}, nil, 0,
			"Bad file format reading the append only file d/appendonly.aof.1.incr.aof at byte 50", "Bad file format"},
		{"zeros", map[string]string{"d/appendonly.aof.1.incr.aof": string(join(sel, set, make([]byte, 100)))}, nil, 0, "Bad file format",
			"Bad file format"},
		{"huge length", map[string]string{"d/appendonly.aof.1.incr.aof": string(join(set, []byte("*1\r\n$4000000000\r\nabc")))}, set, 20,
			"Unexpected end of file", ""},
		{"RESP base and increments", map[string]string{"d/appendonly.aof.1.base.aof": string(join(sel, set)),
			"d/appendonly.aof.1.incr.aof": string(join(ts, multi)), "d/appendonly.aof.2.incr.aof": ""}, join(sel, set, multi), 0, "", ""},
		{"single file of Redis 6", map[string]string{"appendonly.aof": string(join(sel, set, multi))}, join(sel, set, multi), 0, "", ""},
		{"torn single file", map[string]string{"appendonly.aof": string(join(sel, set, multi[:30]))}, join(sel, set), 30, "Unexpected end of file", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, truncated := range []bool{false, true} {
				fsys := newSimFS(nil)
				var manifest string
				for _, typ := range []string{"base", "incr"} {
					for seq := 1; seq < 3; seq++ {
						name := fmt.Sprintf("appendonly.aof.%d.%s.aof", seq, typ)
						if _, ok := c.files["d/"+name]; ok {
							manifest += fmt.Sprintf("file %s seq %d type %c\n", name, seq, typ[0])
						}
					}
				}
				for name, content := range c.files {
					fsys.put(name, content)
				}
				if manifest != "" {
					fsys.put("d/appendonly.aof.manifest", manifest)
				}
				r := &tape{}
				l, rec, err := Open(Options{FS: fsys, Dir: "d", LoadTruncated: truncated, manual: true}, r)
				want := c.err
				if !truncated {
					want = c.strict
				}
				if want != "" {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Fatalf("error %v, want %q", err, want)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(r.bytes, c.want) || rec.Truncated != c.truncated || rec.Payload != int64(len(c.want)) || !rec.Existed {
					t.Fatalf("%+v\n%q", rec, r.bytes)
				}
				l.Append(0, 3, set)
				l.Commit(GoalSync)
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				r = &tape{}
				l, rec2, err := Open(Options{FS: fsys, Dir: "d", manual: true}, r)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(r.bytes, join(c.want, makeSelect(3), set)) || rec2.ID != rec.ID || rec2.Foreign || rec2.Truncated != 0 {
					t.Fatalf("again: %+v\n%q", rec2, r.bytes)
				}
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestRepairedCrashIsLoadedByStockRedis: a directory as a power loss leaves it, with unused blocks behind the last batch,
// repaired without ever starting a server.
func TestRepairedCrashIsLoadedByStockRedis(t *testing.T) {
	dir := t.TempDir()
	live := filepath.Join(dir, "live")
	l, _, _ := openT(t, Options{Dir: live, SegmentBytes: 64 << 10, Policy: Always})
	defer l.Close()
	emptyLog(t, l)
	for !l.nextPrepared.Load() {
		time.Sleep(time.Millisecond) // the keeper announces nothing
	}
	for i := range 200 {
		l.Append(0, 0, command("SET", fmt.Sprint("key", i), "v"))
		l.Commit(GoalSync)
	}
	crashed := filepath.Join(dir, "appendonlydir")
	if err := os.CopyFS(crashed, os.DirFS(live)); err != nil {
		t.Fatal(err)
	}
	if rep, err := Inspect(nil, crashed, ""); err != nil || rep.Err != nil || rep.Offset != l.Synced() {
		t.Fatalf("%+v, %v", rep, err)
	}
	if cuts, err := Repair(nil, crashed, ""); err != nil || len(cuts) > 0 {
		t.Fatal(cuts, err)
	}
	if check, err := exec.LookPath("redis-check-aof"); err == nil {
		out, err := exec.Command(check, filepath.Join(crashed, "appendonly.aof.manifest")).CombinedOutput()
		if err != nil {
			t.Fatalf("redis-check-aof: %v\n%s", err, out)
		}
	}
	ask, _ := redis(t, dir)
	if got := ask("DBSIZE"); got != ":200\r\n" {
		t.Fatalf("DBSIZE says %q", got)
	}
}
