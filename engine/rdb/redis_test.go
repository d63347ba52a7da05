package rdb

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/engine/keyspace"
)

// These tests hold both directions against a stock redis-server.

type redis struct {
	t   *testing.T
	dir string
	c   net.Conn
	r   *bufio.Reader
}

// startRedis runs redis-server in dir, listening on a socket there. Only a machine without one skips: the format can be checked against
// nothing else.
func startRedis(t *testing.T, dir string, args ...string) *redis {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("redis-server is not installed: apt-get install redis-server, there is nothing to compare with otherwise")
	}
	sock := filepath.Join(dir, "redis.sock")
	cmd := exec.Command(bin, append([]string{"--port", "0", "--unixsocket", sock, "--dir", dir, "--save", "", "--databases", "16",
		"--enable-debug-command", "yes"}, args...)...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(exited)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-exited
	})
	for {
		c, err := net.Dial("unix", sock)
		if err == nil {
			r := &redis{t, dir, c, bufio.NewReader(c)}
			t.Cleanup(func() { c.Close() })
			for strings.HasPrefix(r.do("PING"), "-LOADING") {
			}
			return r
		}
		select {
		case <-exited:
			t.Fatalf("redis-server ended:\n%s", log.String())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// do returns the reply: the content of a bulk string, or a line with its type.
func (r *redis) do(args ...string) string {
	r.t.Helper()
	b := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, a := range args {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := r.c.Write(b); err != nil {
		r.t.Fatal(err)
	}
	line, err := r.r.ReadString('\n')
	if err != nil {
		r.t.Fatal(err)
	}
	return r.reply(line)
}

func (r *redis) reply(line string) string {
	line = strings.TrimSuffix(line, "\r\n")
	if n, err := strconv.Atoi(line[1:]); line[0] == '*' && n >= 0 && err == nil {
		out := make([]string, n)
		for i := range out {
			next, err := r.r.ReadString('\n')
			if err != nil {
				r.t.Fatal(err)
			}
			out[i] = r.reply(next)
		}
		return strings.Join(out, " ")
	}
	if line[0] != '$' || line == "$-1" {
		return line
	}
	n, _ := strconv.Atoi(line[1:])
	p := make([]byte, n+2)
	if _, err := io.ReadFull(r.r, p); err != nil {
		r.t.Fatal(err)
	}
	return string(p[:n])
}

func TestRedisLoadsOurs(t *testing.T) {
	ks := keyspace.New(keyspace.Options{Shards: 8, Databases: 16})
	defer ks.Close()
	want := fill(t, ks, 3000)
	for _, e := range []*Encoder{{Compress: true}, {}, {Compress: true, Freq: func(uint32) byte { return 200 }}, {Idle: func(uint32) uint64 { return 12345 }}} {
		file := save(t, ks, e, SaveOptions{Aux: []Aux{{"redis-ver", "7.4.0"}, {"redis-bits", "64"}, {"ctime", "1700000000"}, {"used-mem", "1000"},
			{"repl-stream-db", "0"}, {"repl-id", strings.Repeat("a", 40)}, {"repl-offset", "100"}, {"aof-base", "0"}}, Checksum: true})
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "dump.rdb"), file, 0o600); err != nil {
			t.Fatal(err)
		}
		policy := "allkeys-lru"
		if e.Freq != nil {
			policy = "allkeys-lfu"
		}
		r := startRedis(t, dir, "--maxmemory-policy", policy, "--maxmemory", "4gb") // without a limit small integers are shared objects
		perDB := map[int]int{}
		for k := range want {
			perDB[k.db]++
			r.do("SELECT", fmt.Sprint(k.db))
			if e.Idle != nil {
				if n, _ := strconv.Atoi(strings.TrimPrefix(r.do("OBJECT", "IDLETIME", k.key), ":")); n < 12340 {
					t.Fatalf("key %.40q has idle time %d", k.key, n)
				}
			}
			if e.Freq != nil { // it decays by one a minute
				if n, _ := strconv.Atoi(strings.TrimPrefix(r.do("OBJECT", "FREQ", k.key), ":")); n < 198 || n > 200 {
					t.Fatalf("key %.40q has frequency %d", k.key, n)
				}
			}
			if v := r.do("GET", k.key); v != k.val {
				t.Fatalf("key %.40q of database %d: redis has %.40q, want %.40q", k.key, k.db, v, k.val)
			}
			if at := r.do("PEXPIRETIME", k.key); at != fmt.Sprintf(":%d", k.at) {
				t.Fatalf("key %.40q: redis has expiry %s, want %d", k.key, at, k.at)
			}
		}
		for db, n := range perDB {
			r.do("SELECT", fmt.Sprint(db))
			if have := r.do("DBSIZE"); have != fmt.Sprintf(":%d", n) {
				t.Fatalf("database %d: redis has %s keys, want %d", db, have, n)
			}
		}
	}
}

func TestWeLoadRedis(t *testing.T) {
	for _, compress := range []string{"yes", "no"} {
		r := startRedis(t, t.TempDir(), "--rdbcompression", compress)
		ks := keyspace.New(keyspace.Options{Shards: 1, Databases: 16})
		want := fill(t, ks, 2000)
		ks.Close()
		for k := range want {
			r.do("SELECT", fmt.Sprint(k.db))
			r.do("SET", k.key, k.val)
			if k.at != keyspace.NoExpire {
				r.do("PEXPIREAT", k.key, fmt.Sprint(k.at))
			}
		}
		r.do("FUNCTION", "LOAD", "#!lua name=mylib\nredis.register_function('f', function() return 1 end)")
		if ok := r.do("SAVE"); ok != "+OK" {
			t.Fatal(ok)
		}
		file, err := os.ReadFile(filepath.Join(r.dir, "dump.rdb"))
		if err != nil {
			t.Fatal(err)
		}
		got, aux, d, err := load(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		compare(t, got, want)
		if !strings.HasPrefix(aux["redis-ver"], "7.") || d.Offset() != int64(len(file)) {
			t.Errorf("aux %v, %d of %d bytes", aux, d.Offset(), len(file))
		}
	}
}

func TestDumpAgainstRedis(t *testing.T) {
	r := startRedis(t, t.TempDir())
	for i, v := range []string{"", "hello", "1", "-1", "300", "70000", "2147483647", "2147483648", "00", strings.Repeat("ab", 300), strings.Repeat("x", 20000)} {
		key := fmt.Sprint("k", i)
		r.do("SET", key, v)
		payload := r.do("DUMP", key)
		_, got, err := parseDump([]byte(payload))
		if err != nil || string(got) != v {
			t.Errorf("payload of %.20q: %v", v, err)
		}
		ours := AppendDumpString(nil, []byte(v), true)
		if reply := r.do("RESTORE", key+"b", "0", string(ours)); reply != "+OK" {
			t.Errorf("RESTORE of our payload of %.20q: %s", v, reply)
		}
		if back := r.do("GET", key+"b"); back != v {
			t.Errorf("RESTORE of %.20q gave %.20q", v, back)
		}
		if v := binary.LittleEndian.Uint16([]byte(payload[len(payload)-10:])); v > MaxVersion {
			t.Errorf("this redis-server writes version %d", v)
		}
	}
}
