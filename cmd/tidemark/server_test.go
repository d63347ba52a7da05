package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/cmd/servertest"
)

// info returns a field of INFO, "" when there is none.
func info(t *testing.T, c *servertest.Client, field string) string {
	t.Helper()
	text := strings.TrimPrefix(c.Must(t, "INFO", "everything").Str, "txt:")
	for line := range strings.SplitSeq(text, "\r\n") {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			return v
		}
	}
	return ""
}

// expect sends a request and compares the reply's canonical form.
func expect(t *testing.T, c *servertest.Client, want string, args ...string) {
	t.Helper()
	if got := c.Must(t, args...).String(); got != want {
		t.Errorf("%q: got %s, want %s", args, got, want)
	}
}

func start(t *testing.T, args ...string) (*servertest.Server, *servertest.Client) {
	t.Helper()
	s := servertest.StartTidemark(t, servertest.Config{Args: args})
	return s, s.Connect(t)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestShutdownOptions(t *testing.T) {
	for _, c := range []struct {
		save  string
		words []string
		rdb   bool
	}{
		{"", []string{"SHUTDOWN"}, false},
		{"", []string{"SHUTDOWN", "SAVE"}, true},
		{"900 1", []string{"SHUTDOWN"}, true},
		{"900 1", []string{"SHUTDOWN", "NOSAVE", "NOW"}, false},
	} {
		t.Run(c.save+strings.Join(c.words, " "), func(t *testing.T) {
			t.Parallel()
			s, a := start(t, "--save", c.save)
			expect(t, a, "+OK", "SET", "k", "v")
			if r, err := a.Do(c.words...); err == nil {
				t.Fatalf("SHUTDOWN replied %v", r)
			}
			<-s.Done()
			if s.ExitCode() != 0 {
				t.Errorf("exit code %d\n%s", s.ExitCode(), s.Log())
			}
			if exists(filepath.Join(s.Dir, "dump.rdb")) != c.rdb {
				t.Errorf("dump.rdb there: %v, want %v", !c.rdb, c.rdb)
			}
			for _, line := range []string{"# User requested shutdown...", "* Calling fsync() on the AOF file.", "# Tidemark is now ready to exit, bye bye..."} {
				if !strings.Contains(s.Log(), line) {
					t.Errorf("the log lacks %q:\n%s", line, s.Log())
				}
			}
			s2, err := s.Restart()
			if err != nil {
				t.Fatal(err)
			}
			defer s2.Kill()
			expect(t, s2.Connect(t), `"v"`, "GET", "k")
		})
	}
}

// TestShutdownThatCannotSave: the server goes on, and lets go whom it held, unless it is forced.
func TestShutdownThatCannotSave(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := servertest.StartTidemark(t, servertest.Config{Dir: dir, Args: []string{"--appendonly", "no", "--save", "900 1"}})
	a, b := s.Connect(t), s.Connect(t)
	expect(t, a, "+OK", "SET", "k", "v")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	expect(t, a, "-ERR Errors trying to SHUTDOWN. Check logs.", "SHUTDOWN")
	expect(t, b, `"v"`, "GET", "k")
	expect(t, a, "+PONG", "PING")
	if r, err := a.Do("SHUTDOWN", "FORCE"); err == nil {
		t.Fatalf("SHUTDOWN FORCE replied %v", r)
	}
	<-s.Done()
	if s.ExitCode() != 0 {
		t.Errorf("exit code %d\n%s", s.ExitCode(), s.Log())
	}
}

func TestPauseKeepsExpiredKeys(t *testing.T) {
	_, a := start(t, "--save", "")
	expect(t, a, "+OK", "SET", "k", "v", "PX", "40")
	expect(t, a, "+OK", "CLIENT", "PAUSE", "100000", "WRITE")
	until(t, "the key to expire", func() bool { return a.Must(t, "GET", "k").IsNull() })
	expect(t, a, ":1", "DBSIZE")
	if n := info(t, a, "expired_keys"); n != "0" {
		t.Errorf("%s keys expired during the pause", n)
	}
	expect(t, a, "+OK", "CLIENT", "UNPAUSE")
	until(t, "the key to go", func() bool { return a.Must(t, "DBSIZE").Int == 0 })
	if n := info(t, a, "expired_keys"); n != "1" {
		t.Errorf("%s keys expired, want 1", n)
	}
}

func TestPauseEndsByItself(t *testing.T) {
	s, a := start(t, "--save", "")
	b := s.Connect(t)
	begin := time.Now()
	expect(t, a, "+OK", "CLIENT", "PAUSE", "150")
	expect(t, b, "+OK", "SET", "k", "v")
	if d := time.Since(begin); d < 140*time.Millisecond {
		t.Errorf("SET was held for %v", d)
	}
	if v := info(t, a, "paused_actions"); v != "none" {
		t.Errorf("paused_actions:%s", v)
	}
}

func TestSavePoints(t *testing.T) {
	s, a := start(t, "--save", "1 3")
	expect(t, a, "+OK", "SET", "a", "1")
	expect(t, a, "+OK", "SET", "b", "1")
	if n := info(t, a, "rdb_changes_since_last_save"); n != "2" {
		t.Errorf("%s changes, want 2", n)
	}
	expect(t, a, "+OK", "SET", "c", "1")
	until(t, "a background save", func() bool { return info(t, a, "rdb_saves") == "1" })
	if !strings.Contains(s.Log(), "* 3 changes in 1 seconds. Saving...") {
		t.Errorf("log:\n%s", s.Log())
	}
	if n := info(t, a, "rdb_changes_since_last_save"); n != "0" {
		t.Errorf("%s changes after the save", n)
	}
	// A point given while running counts what changed before.
	expect(t, a, "+OK", "CONFIG", "SET", "save", "")
	expect(t, a, "+OK", "SET", "a", "2")
	expect(t, a, "+OK", "CONFIG", "SET", "save", "1 1")
	until(t, "a second background save", func() bool { return info(t, a, "rdb_saves") == "2" })
}

func TestStopWritesOnSaveError(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := servertest.StartTidemark(t, servertest.Config{Dir: dir, Args: []string{"--appendonly", "no", "--save", "1 1"}})
	a := s.Connect(t)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	expect(t, a, "+OK", "SET", "k", "v")
	until(t, "a save that fails", func() bool { return info(t, a, "rdb_last_bgsave_status") == "err" })
	if r := a.Must(t, "SET", "k", "w").Str; !strings.HasPrefix(r, "MISCONF Redis is configured to save RDB snapshots") {
		t.Errorf("SET replied %q", r)
	}
	expect(t, a, `"v"`, "GET", "k")
	expect(t, a, "+OK", "CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
	until(t, "writes to be let in", func() bool { return a.Must(t, "SET", "k", "w").Str == "OK" })
	expect(t, a, "+OK", "CONFIG", "SET", "stop-writes-on-bgsave-error", "yes")
	until(t, "writes to be refused", func() bool { return a.Must(t, "SET", "k", "w").IsError() })
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	until(t, "a save that succeeds", func() bool { return info(t, a, "rdb_last_bgsave_status") == "ok" })
	expect(t, a, "+OK", "SET", "k", "x")
}

func TestConfigSetTakesEffect(t *testing.T) {
	whole := t // the subtests share the server
	s, a := start(t, "--save", "")
	b := s.Connect(t)
	t.Run("requirepass", func(t *testing.T) {
		expect(t, a, "+OK", "CONFIG", "SET", "requirepass", "x")
		expect(t, b, "+PONG", "PING")
		c := s.Connect(t)
		expect(t, c, "-NOAUTH Authentication required.", "GET", "k")
		expect(t, c, "+OK", "AUTH", "x")
		expect(t, a, "+OK", "CONFIG", "SET", "requirepass", "")
		expect(t, s.Connect(t), "+PONG", "PING")
	})
	t.Run("appendonly", func(t *testing.T) {
		expect(t, a, "+OK", "SET", "before", "1")
		expect(t, a, "+OK", "CONFIG", "SET", "appendonly", "no")
		if v := info(t, a, "aof_enabled"); v != "0" {
			t.Errorf("aof_enabled:%s", v)
		}
		expect(t, a, "+OK", "SET", "between", "1")
		expect(t, a, "+OK", "CONFIG", "SET", "appendonly", "yes")
		until(t, "the first rewrite", func() bool { return info(t, a, "aof_rewrite_in_progress") == "0" })
		expect(t, a, "+OK", "SET", "after", "1")
		expect(t, a, "[:1, :0]", "WAITAOF", "1", "0", "0")
		s.Kill()
		s2, err := s.Restart()
		if err != nil {
			t.Fatal(err)
		}
		whole.Cleanup(s2.Kill)
		s = s2
		a = s.Connect(whole)
		expect(t, a, ":3", "EXISTS", "before", "between", "after")
	})
	t.Run("appendfsync", func(t *testing.T) {
		expect(t, a, "+OK", "CONFIG", "SET", "appendfsync", "always")
		expect(t, a, "+OK", "SET", "k", "v")
		if r, y := info(t, a, "tidemark_log_reserved"), info(t, a, "tidemark_log_synced"); r != y {
			t.Errorf("reserved %s, synced %s after a SET under always", r, y)
		}
		expect(t, a, "+OK", "CONFIG", "SET", "appendfsync", "no")
		expect(t, a, "+OK", "SET", "k", "w")
		expect(t, a, "+OK", "CONFIG", "SET", "appendfsync", "everysec")
		expect(t, a, "+OK", "SET", "k", "x")
	})
	t.Run("port", func(t *testing.T) {
		port, err := servertest.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		expect(t, a, "+OK", "CONFIG", "SET", "port", strconv.Itoa(port))
		c, err := servertest.Dial(fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		expect(t, c, "+PONG", "PING")
		if c, err := net.DialTimeout("tcp", s.Addr, time.Second); err == nil {
			c.Close()
			t.Errorf("the old port still listens")
		}
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		_, other, _ := net.SplitHostPort(taken.Addr().String())
		expect(t, a, "-ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. Check server logs.",
			"CONFIG", "SET", "port", other)
		expect(t, a, fmt.Sprintf(`["port", "%d"]`, port), "CONFIG", "GET", "port")
		expect(t, c, "+PONG", "PING")
		expect(t, a, "+OK", "CONFIG", "SET", "port", strconv.Itoa(s.Port))
	})
	t.Run("maxclients", func(t *testing.T) {
		n := info(t, a, "connected_clients")
		expect(t, a, "+OK", "CONFIG", "SET", "maxclients", n)
		c := s.Connect(t)
		if r, err := c.Do("PING"); err == nil && r.Str != "ERR max number of clients reached" {
			t.Errorf("one client too many got %v", r)
		}
		expect(t, a, "+OK", "CONFIG", "SET", "maxclients", "1000")
	})
	t.Run("timeout", func(t *testing.T) {
		c := s.Connect(t)
		expect(t, c, "+PONG", "PING")
		expect(t, a, "+OK", "CONFIG", "SET", "timeout", "1")
		until(t, "the idle client to be closed", func() bool {
			a.Must(t, "PING")
			return info(t, a, "connected_clients") == "1"
		})
		if !c.Closed() {
			t.Errorf("it is open all the same")
		}
		expect(t, a, "+OK", "CONFIG", "SET", "timeout", "0")
	})
	t.Run("proto-max-bulk-len", func(t *testing.T) {
		expect(t, a, "+OK", "CONFIG", "SET", "proto-max-bulk-len", "1mb")
		expect(t, a, "-ERR string exceeds maximum allowed size (proto-max-bulk-len)", "SETRANGE", "big", "1048576", "x")
		expect(t, a, "+OK", "CONFIG", "SET", "proto-max-bulk-len", "512mb")
	})
	t.Run("maxmemory", func(t *testing.T) {
		expect(t, a, "+OK", "CONFIG", "SET", "maxmemory", "1", "maxmemory-policy", "noeviction")
		expect(t, a, "-OOM command not allowed when used memory > 'maxmemory'.", "SET", "k", "v")
		expect(t, a, "+OK", "CONFIG", "SET", "maxmemory", "0")
		expect(t, a, "+OK", "SET", "k", "v")
	})
}

var clientLine = regexp.MustCompile(`^id=\d+ addr=127\.0\.0\.1:\d+ laddr=127\.0\.0\.1:\d+ fd=\d+ name=\S* age=\d+ idle=\d+ flags=\w+ db=\d+ ` +
	`sub=0 psub=0 ssub=0 multi=-?\d+ watch=\d+ qbuf=\d+ qbuf-free=\d+ argv-mem=\d+ multi-mem=\d+ rbs=\d+ rbp=\d+ obl=\d+ oll=\d+ omem=\d+ ` +
	`tot-mem=\d+ events=rw? cmd=\S+ user=default redir=-1 resp=[23] lib-name=\S* lib-ver=\S*$`)

func TestClientListAndKill(t *testing.T) {
	s, a := start(t, "--save", "")
	b, c := s.Connect(t), s.Connect(t)
	expect(t, b, "+OK", "CLIENT", "SETNAME", "bob")
	expect(t, b, "+OK", "CLIENT", "SETINFO", "lib-name", "lib(x)")
	expect(t, b, "+OK", "CLIENT", "SETINFO", "LIB-VER", "1.2")
	expect(t, b, "-ERR lib-ver cannot contain spaces, newlines or special characters.", "CLIENT", "SETINFO", "lib-ver", "1 2")
	expect(t, b, "-ERR Unrecognized option 'lib-foo'", "CLIENT", "SETINFO", "lib-foo", "x")
	expect(t, b, "+OK", "CLIENT", "NO-TOUCH", "on")
	expect(t, b, "+OK", "WATCH", "k")
	expect(t, c, "+OK", "SELECT", "7")
	expect(t, c, "+OK", "MULTI")
	expect(t, c, "+QUEUED", "SET", "k", "v")
	list := a.Must(t, "CLIENT", "LIST").Str
	lines := strings.Split(strings.TrimSuffix(list, "\n"), "\n")
	if len(lines) != 3 {
		t.Fatalf("CLIENT LIST:\n%s", list)
	}
	for _, l := range lines {
		if !clientLine.MatchString(l) {
			t.Errorf("not in Redis's form: %s", l)
		}
	}
	for i, parts := range [][]string{
		{"name= ", "flags=N ", "db=0 ", "multi=-1 ", "qbuf=26 ", "cmd=client|list "},
		{"name=bob ", "flags=T ", "watch=1 ", "cmd=watch ", "lib-name=lib(x) lib-ver=1.2"},
		{"flags=x ", "db=7 ", "multi=1 "},
	} {
		for _, p := range parts {
			if !strings.Contains(lines[i]+" ", p) {
				t.Errorf("%q is not in %s", p, lines[i])
			}
		}
	}
	if own := a.Must(t, "CLIENT", "INFO").Str; !clientLine.MatchString(strings.TrimSuffix(own, "\n")) {
		t.Errorf("CLIENT INFO: %s", own)
	}
	id := b.Must(t, "CLIENT", "ID").Int
	one := a.Must(t, "CLIENT", "LIST", "ID", strconv.FormatInt(id, 10), "123456").Str
	if strings.Count(one, "\n") != 1 || !strings.Contains(one, "name=bob") {
		t.Errorf("CLIENT LIST ID: %s", one)
	}
	addr := regexp.MustCompile(`addr=(\S+)`).FindStringSubmatch(lines[2])[1]
	expect(t, a, ":0", "CLIENT", "KILL", "ID", strconv.FormatInt(id, 10), "ADDR", addr)
	expect(t, a, ":1", "CLIENT", "KILL", "ADDR", addr)
	if !c.Closed() {
		t.Error("the killed client is open")
	}
	expect(t, a, ":0", "CLIENT", "KILL", "ID", strconv.FormatInt(id, 10), "MAXAGE", "1000")
	expect(t, a, ":1", "CLIENT", "KILL", "ID", strconv.FormatInt(id, 10), "USER", "default", "TYPE", "normal")
	if !b.Closed() {
		t.Error("the killed client is open")
	}
	if list := a.Must(t, "CLIENT", "LIST").Str; strings.Count(list, "\n") != 1 {
		t.Errorf("left:\n%s", list)
	}
}

func TestClientReply(t *testing.T) {
	_, a := start(t, "--save", "")
	for _, args := range [][]string{{"CLIENT", "REPLY", "SKIP"}, {"SET", "k", "1"}, {"INCR", "k"},
		{"CLIENT", "REPLY", "OFF"}, {"INCR", "k"}, {"GET", "k"}, {"CLIENT", "REPLY", "SKIP"}, {"INCR", "k"}, {"CLIENT", "REPLY", "ON"}, {"GET", "k"}} {
		a.Queue(args...)
	}
	if err := a.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{":2", "+OK", `"4"`} {
		r, err := a.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if r.String() != want {
			t.Errorf("got %v, want %s", r, want)
		}
	}
}

func TestClientUnblock(t *testing.T) {
	s, a := start(t, "--save", "")
	b := s.Connect(t)
	id := strconv.FormatInt(b.Must(t, "CLIENT", "ID").Int, 10)
	expect(t, a, ":0", "CLIENT", "UNBLOCK", id)
	for _, c := range []struct {
		words []string
		want  string
	}{
		{nil, ":0"},
		{[]string{"TIMEOUT"}, ":0"},
		{[]string{"ERROR"}, "-UNBLOCKED client unblocked via CLIENT UNBLOCK"},
	} {
		b.Queue("WAIT", "1", "0")
		if err := b.Flush(); err != nil {
			t.Fatal(err)
		}
		until(t, "the client to block", func() bool { return info(t, a, "blocked_clients") == "1" })
		expect(t, a, ":1", append([]string{"CLIENT", "UNBLOCK", id}, c.words...)...)
		r, err := b.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if r.String() != c.want {
			t.Errorf("WAIT replied %v, want %s", r, c.want)
		}
		until(t, "nobody to be blocked", func() bool { return info(t, a, "blocked_clients") == "0" })
	}
	expect(t, b, "+PONG", "PING")
}
