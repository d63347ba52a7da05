package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tidemark/aof"
)

// read loads a configuration from text in a file of its own, with options.
func read(t *testing.T, text string, options ...string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "redis.conf")
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	inv, err := ParseArgs(append([]string{path}, options...))
	if err != nil {
		t.Fatal(err)
	}
	return Read(inv, strings.NewReader(""))
}

func mustRead(t *testing.T, text string, options ...string) *Config {
	t.Helper()
	c, err := read(t, text, options...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func get(t *testing.T, c *Config, name string) string {
	t.Helper()
	kv := c.Get(name)
	if len(kv) != 2 {
		t.Fatalf("CONFIG GET %s = %q", name, kv)
	}
	return kv[1]
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	c := mustRead(t, `# a comment
PORT 6380
bind 127.0.0.1 -::1
maxmemory 1gb
save 900 1
save 300 10 60 10000
client-output-buffer-limit replica 1mb 2mb 3
unixsocketperm 700
appendfsync always
slave-read-only no
activedefrag yes
rename-command CONFIG ""
rename-command FLUSHALL "no all"
requirepass "p w"
dir `+dir+`
shutdown-on-sigterm save force
`, "--port", "6381", "--maxmemory-policy", "allkeys-lru")
	v := c.Load()
	if v.Port != 6381 || !slices.Equal(v.Bind, []string{"127.0.0.1", "-::1"}) || v.MaxMemoryBytes != 1<<30 ||
		v.AppendFsync != aof.Always || v.UnixSocketPerm != 0o700 || v.RequirePass != "p w" || v.Dir != dir ||
		v.MaxMemoryPolicy != AllKeysLRU || v.ShutdownOnSigterm != ShutdownSave|ShutdownForce {
		t.Errorf("%+v", v)
	}
	if want := []SavePoint{{900, 1}, {300, 10}, {60, 10000}}; !slices.Equal(v.Save, want) {
		t.Errorf("save %v", v.Save)
	}
	if v.OutputLimits[ClassReplica] != (OutputLimit{1 << 20, 2 << 20, 3}) || v.OutputLimits[ClassPubSub].HardBytes != 32<<20 {
		t.Errorf("limits %v", v.OutputLimits)
	}
	if len(v.RenameCommands) != 2 || v.RenameCommands[0].To != "" || v.RenameCommands[1].To != "no all" || v.RenameCommands[1].Where.Line != 13 {
		t.Errorf("renamed %+v", v.RenameCommands)
	}
	if got := get(t, c, "replica-read-only") + get(t, c, "slave-read-only"); got != "nono" {
		t.Errorf("aliases %q", got)
	}
	if got := c.Accepted(); !slices.Equal(got, []string{"activedefrag"}) {
		t.Errorf("accepted %q", got)
	}
}

func TestDataDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("r.conf", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "tidemark-data"}, {[]string{"--port", "1"}, "tidemark-data"}, {[]string{"r.conf"}, "."},
		{[]string{"-"}, "."}, {[]string{"--dir", "."}, "."}, {[]string{"--dir", ".."}, ".."},
	} {
		inv, err := ParseArgs(c.args)
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := Read(inv, strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := cfg.Load().Dir, filepath.Join(cwd, c.want); got != want {
			t.Errorf("%q: dir %s, want %s", c.args, got, want)
		}
	}
}

func TestInclude(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"main.conf":  "port 1\ninclude sub/*.conf\ninclude none/*.conf\nhz 20\ninclude last.conf",
		"sub/a.conf": "timeout 1\nhz 30\n", "sub/b.conf": "timeout 2\ninclude sub/c.inc", "sub/c.inc": "tcp-backlog 7",
		"last.conf": "port 2", "circle.conf": "include circle.conf", "gone.conf": "include nothing.conf",
		"bad.conf": "port 1\n\ninclude sub/bad.inc", "sub/bad.inc": "# x\nport many",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Read(Invocation{File: "main.conf"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if v := c.Load(); v.Port != 2 || v.TimeoutSeconds != 2 || v.HZ != 20 || v.TCPBacklog != 7 {
		t.Errorf("port %d timeout %d hz %d backlog %d", v.Port, v.TimeoutSeconds, v.HZ, v.TCPBacklog)
	}
	for file, want := range map[string]string{
		"circle.conf": "look for a circle", "gone.conf": "can't open config file 'nothing.conf': No such file or directory",
		"bad.conf": "file sub/bad.inc, at line 2\n>>> 'port many'\nargument couldn't be parsed into an integer",
	} {
		if _, err := Read(Invocation{File: file}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", file, err, want)
		}
	}
}

func TestBadLines(t *testing.T) {
	for text, want := range map[string]string{
		"nonsense 1": "Bad directive or wrong number of arguments", "port": "wrong number of arguments", "port 1 2": "wrong number of arguments",
		"port 70000": "argument must be between 0 and 65535 inclusive", "appendonly maybe": "argument must be 'yes' or 'no'",
		"maxmemory 1x":         "argument must be a memory value",
		"appendfsync sometime": "argument(s) must be one of the following: everysec, always, no",
		`port "1`:              "Unbalanced quotes in configuration line", "save 1": "Invalid save parameters", "include": "Bad directive",
		"dir /does/not/exist": "No such file or directory", "appendfilename a/b": "appendfilename can't be a path, just a filename",
		"cluster-enabled yes": "cluster-enabled is not supported: there is no cluster mode", "user default on": "user is not supported",
		"loadmodule x.so": "loadmodule is not supported", "replicaof 127.0.0.1 66666": "Invalid master port",
		"proc-title-template {x}": "template format is invalid", "ring-size 100000": "power of two", "unixsocketperm 999": "octal",
	} {
		_, err := read(t, "hz 10\n"+text)
		var fatal *FatalError
		if !errors.As(err, &fatal) || !strings.Contains(fatal.Reason.Error(), want) || fatal.Where.Line != 2 {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, err := read(t, "cluster-enabled no\ntls-port 0\nreplicaof no one"); err != nil {
		t.Errorf("defaults of refused directives are refused: %v", err)
	}
	if _, err := read(t, "requirepass secret too"); strings.Contains(err.Error(), "secret") {
		t.Errorf("a password in an error: %v", err)
	}
}

func TestParseArgs(t *testing.T) {
	for _, c := range []struct {
		args []string
		want Invocation
	}{
		{nil, Invocation{}}, {[]string{"-v"}, Invocation{Version: true}}, {[]string{"--help"}, Invocation{Help: true}},
		{[]string{"f", "--port", "1"}, Invocation{File: "f", Options: [][]string{{"port", "1"}}}},
		{[]string{"--port 1", "--save", "--hz", "2"}, Invocation{Options: [][]string{{"port", "1"}, {"save", ""}, {"hz", "2"}}}},
		{[]string{"--save", "3600", "1", "60", "2", "--port", "1"}, Invocation{Options: [][]string{{"save", "3600", "1", "60", "2"}, {"port", "1"}}}},
		{[]string{"--requirepass", "--x", "--port", "1"}, Invocation{Options: [][]string{{"requirepass", "--x"}, {"port", "1"}}}},
		{[]string{"-", "--port", "1"}, Invocation{Stdin: true, Options: [][]string{{"port", "1"}}}},
		{[]string{"--save"}, Invocation{Options: [][]string{{"save", ""}}}}, {[]string{"--save", ""}, Invocation{Options: [][]string{{"save", ""}}}},
		{[]string{"-"}, Invocation{Stdin: true}}, {[]string{"f", "--hz", "5", "-"}, Invocation{File: "f", Stdin: true, Options: [][]string{{"hz", "5"}}}},
		{[]string{"--port", "1", "extra"}, Invocation{Options: [][]string{{"port", "1", "extra"}}}},
	} {
		got, err := ParseArgs(c.args)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("ParseArgs(%q) = %+v, %v; want %+v", c.args, got, err, c.want)
		}
	}
	for _, args := range [][]string{{"--test-memory", "1"}, {"--sentinel"}, {"--"}, {`--port "1`}} {
		if got, err := ParseArgs(args); err == nil {
			t.Errorf("ParseArgs(%q) = %+v", args, got)
		}
	}
}

func TestGet(t *testing.T) {
	c := New("/")
	if got := c.Get("MAXmemory"); !slices.Equal(got, []string{"MAXmemory", "0"}) {
		t.Errorf("%q", got)
	}
	if got := c.Get("append*", "appendfsync", "nothing"); !slices.Equal(got, []string{"appendfsync", "everysec",
		"appendonly", "yes", "appendfilename", "appendonly.aof", "appenddirname", "appendonlydir"}) {
		t.Errorf("%q", got)
	}
	if len(c.Get("watchdog*")) != 0 || len(c.Get("watchdog-period")) != 2 || len(c.Get("rename-command")) != 0 {
		t.Error("hidden directives")
	}
}

func TestSet(t *testing.T) {
	c := New("/")
	for _, s := range []struct{ args, want string }{
		{"hz|0", ""}, {"hz|20|timeout|5", ""}, {"SAVE|10 1 20 2", ""}, {"save|", ""}, {"bind|", ""}, {"client-output-buffer-limit|normal 1mb 0 0", ""},
		{"hz|1|HZ|2", "ERR CONFIG SET failed (possibly related to argument 'HZ') - duplicate parameter"},
		{"lua-time-limit|1|busy-reply-threshold|2", ""},
		{"HZ|x", "ERR CONFIG SET failed (possibly related to argument 'hz') - argument couldn't be parsed into an integer"},
		{"hz|30|timeout|-1", "ERR CONFIG SET failed (possibly related to argument 'timeout') - argument must be between 0 and 2147483647 inclusive"},
		{"daemonize|yes", "ERR CONFIG SET failed (possibly related to argument 'daemonize') - can't set immutable config"},
		{"dir|/", "ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config"},
		{"DAEMONIZE|yes", "ERR CONFIG SET failed (possibly related to argument 'DAEMONIZE') - can't set immutable config"},
		{"daemonize|yes|nothing|1", "ERR Unknown option or number of arguments for CONFIG SET - 'nothing'"},
		{"hz|1|timeout", "ERR syntax error"},
		{"appendonly|no", ""},
	} {
		err := c.Set(strings.Split(s.args, "|"), Caller{})
		if got := fmt.Sprint(err); got != s.want && !(err == nil && s.want == "") {
			t.Errorf("CONFIG SET %s: %s, want %s", s.args, got, s.want)
		}
	}
	if v := c.Load(); v.HZ != 20 || v.TimeoutSeconds != 5 || v.Save != nil || v.Bind != nil || v.AppendOnly {
		t.Errorf("a failed CONFIG SET left traces: %+v", v)
	}
	if err := c.Set([]string{"appendonly", "yes"}, Caller{Loading: true}); err == nil || !strings.HasPrefix(err.Error(), "LOADING ") {
		t.Error(err)
	}
}

func TestSetProtected(t *testing.T) {
	c := mustRead(t, "enable-protected-configs local")
	if err := c.Set([]string{"dbfilename", "x.rdb"}, Caller{}); err == nil {
		t.Error("a remote client set a protected directive")
	}
	if err := c.Set([]string{"dbfilename", "x.rdb"}, Caller{Local: true}); err != nil {
		t.Error(err)
	}
}

func TestHooksAreAllOrNothing(t *testing.T) {
	c := New("/")
	var calls []string
	c.OnChangeOf([]string{"hz", "timeout"}, func(old, new *Values) error {
		calls = append(calls, fmt.Sprintf("hz %d to %d", old.HZ, new.HZ))
		return nil
	})
	refuse := errors.New("Unable to listen on this port. Check server logs.")
	c.OnChange("port", func(old, new *Values) error {
		calls = append(calls, fmt.Sprintf("port %d", new.Port))
		if new.Port == 1 {
			return refuse
		}
		return nil
	})
	err := c.Set([]string{"hz", "50", "timeout", "9", "port", "1"}, Caller{})
	if fmt.Sprint(err) != "ERR CONFIG SET failed (possibly related to argument 'port') - "+refuse.Error() {
		t.Error(err)
	}
	if want := []string{"hz 10 to 50", "port 1", "hz 50 to 10"}; !slices.Equal(calls, want) {
		t.Errorf("hooks: %q", calls)
	}
	if v := c.Load(); v.HZ != 10 || v.Port != 6379 || v.TimeoutSeconds != 0 {
		t.Error("refused values are in force")
	}
	calls = nil
	if err := c.Set([]string{"hz", "10", "port", "2"}, Caller{}); err != nil || !slices.Equal(calls, []string{"port 2"}) {
		t.Errorf("%v, hooks %q", err, calls)
	}
}

func TestRewrite(t *testing.T) {
	if err := New("/").Rewrite(); fmt.Sprint(err) != "ERR The server is running without a config file" {
		t.Error(err)
	}
	dir := t.TempDir()
	c := mustRead(t, `# my server
port 6380   

  maxmemory 1gb
save 900 1
# between
save 60 100
slave-priority 5
requirepass foo
rename-command DEBUG ""
timeout 3
`, "--dir", dir, "--hz", "11")
	set := []string{"save", "1 2 3 4 5 6", "requirepass", "p \"w\n", "replica-priority", "6", "timeout", "0", "maxmemory-samples", "7"}
	if err := c.Set(set, Caller{}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second must change nothing
		if err := c.Rewrite(); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(c.File())
		if err != nil {
			t.Fatal(err)
		}
		want := `# my server
port 6380   

  maxmemory 1gb
save 1 2
save 3 4
save 5 6
# between
replica-priority 6
requirepass "p \"w\n"
rename-command DEBUG ""
timeout 0
# Generated by CONFIG REWRITE
hz 11
maxmemory-samples 7
dir ` + dir + `
appendonly yes
`
		if string(got) != want {
			t.Errorf("rewritten:\n%s\nwant:\n%s", got, want)
		}
	}
	if info, err := os.Stat(c.File()); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	left, err := filepath.Glob(c.File() + ".*")
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestRewriteOverrulesIncludes(t *testing.T) {
	inc := filepath.Join(t.TempDir(), "inc.conf")
	if err := os.WriteFile(inc, []byte("hz 50\nsave 7 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := mustRead(t, "hz 20\ninclude "+inc+"\n")
	if err := c.Set([]string{"hz", "30", "save", "1 1"}, Caller{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Rewrite(); err != nil {
		t.Fatal(err)
	}
	again, err := Read(Invocation{File: c.File()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if v := again.Load(); v.HZ != 30 || !slices.Equal(v.Save, []SavePoint{{1, 1}}) {
		t.Errorf("hz %d save %v", v.HZ, v.Save)
	}
}

// TestTable: every directive's default can be read back as it is written, and survives a rewrite.
func TestTable(t *testing.T) {
	for _, d := range Directives() {
		if d.status != Implemented && d.note == "" {
			t.Errorf("%s does not say why it has no effect", d.Name)
		}
		for _, args := range d.kind.lines(catalog.defaults, d) {
			v := catalog.defaults.clone()
			words, err := SplitLine(args)
			if err != nil {
				t.Fatal(d.Name, err)
			}
			if d.Name == "dir" {
				continue
			}
			first := d.Name != "save"
			if err := d.set(v, input{args: d.arguments(words), first: first}); err != nil {
				t.Errorf("%s %s: %v", d.Name, args, err)
			}
			if first && d.kind.get(v, d) != d.def() {
				t.Errorf("%s %s reads back as %s", d.Name, args, d.kind.get(v, d))
			}
		}
	}
}

func TestLoadDoesNotAllocate(t *testing.T) {
	c := New("/")
	if n := testing.AllocsPerRun(100, func() { _ = c.Load().AppendFsync }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzText(f *testing.F) {
	f.Add("port 1\nsave 1 2\nbind * -::*\nclient-output-buffer-limit normal 1 2 3\nrename-command a b")
	f.Add("include x*\nmaxmemory-clients 5%\nnotify-keyspace-events KEAn\n\"\\x70ort\" '2'")
	f.Fuzz(func(t *testing.T, text string) {
		l := newLoader("/")
		l.readFile = func(string) ([]byte, error) { return []byte("hz 3"), nil }
		l.glob = func(string) ([]string, error) { return []string{"/a", "/b"}, nil }
		if err := l.text("fuzz", text, 0); err != nil {
			return
		}
		// What was read can be written, and means the same again.
		again := newLoader("/")
		if err := again.text("rewritten", rewritten("", l.v, len(text)%2 == 0), 0); err != nil {
			t.Fatal(err)
		}
		for _, d := range catalog.list {
			if d.flags&FileOnly == 0 && d.kind.get(l.v, d) != d.kind.get(again.v, d) {
				t.Fatalf("%s: %q became %q", d.Name, d.kind.get(l.v, d), d.kind.get(again.v, d))
			}
		}
	})
}

// TestReplicaOf: what the directive takes, and that REWRITE says whom the server follows by now.
func TestReplicaOf(t *testing.T) {
	for text, want := range map[string]string{
		"replicaof 10.0.0.1 6380": "10.0.0.1 6380", "slaveof some.host 1": "some.host 1", "replicaof a 1\nreplicaof no one": "", "": "",
	} {
		c := mustRead(t, text)
		if got := get(t, c, "replicaof") + "|" + get(t, c, "slaveof"); got != want+"|"+want {
			t.Errorf("%q: %q", text, got)
		}
		if err := c.Set([]string{"replicaof", "b 2"}, Caller{}); err == nil || !strings.Contains(err.Error(), "immutable") {
			t.Errorf("CONFIG SET replicaof: %v", err)
		}
		for host, want := range map[string]string{"c": "c 3", "": ""} {
			c.Adjust(func(v *Values) { v.PrimaryHost, v.PrimaryPort = host, 3 })
			again := rewritten(text, c.Load(), false)
			if got := get(t, mustRead(t, again), "replicaof"); got != want {
				t.Errorf("%q, following %q: rewritten as %q, which says %q", text, host, again, got)
			}
		}
	}
}
