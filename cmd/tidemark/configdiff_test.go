package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/cmd/servertest"
	"tidemark/engine/config"
)

// apart are the directives that CONFIG SET must not be tried on at random against a redis-server in a sandbox (they rebind, want
// rights, start persistence, switch the process's directory), or that tidemark refuses because it does not have what they
// turn on. A locale that is not there is an error for redis-server alone: here strings are compared by bytes.
var apart = []string{"port", "bind", "bind-source-addr", "maxclients", "dir", "dbfilename", "appendonly", "activedefrag", "oom-score-adj", "oom-score-adj-values",
	"tls-port", "tls-cluster", "tls-replication", "min-replicas-to-write", "min-slaves-to-write", "requirepass", "enable-debug-command", "enable-protected-configs", "io-threads",
	"locale-collate"}

// configNewer says which directives take other values than an older redis-server's, and since which version.
var configNewer = map[string]string{
	"loglevel":          "7.2: nothing",
	"maxmemory-samples": "7.4: at most 64",
}

// unsigned are sizes that Redis keeps in 64 bits without a sign; here the upper half is out of bounds.
var unsigned = []string{"maxmemory", "maxmemory-clients", "cluster-link-sendbuf-limit"}

const aboveInt64 = "9223372036854775808"

// TestConfigSetLikeRedis sets directives to good and bad values on a redis-server and on a Config, and compares the replies and what CONFIG
// GET says afterwards.
func TestConfigSetLikeRedis(t *testing.T) {
	redis := servertest.StartRedis(t, servertest.Config{}).Connect(t)
	mine := config.New(t.TempDir())
	all := redis.Must(t, "CONFIG", "GET", "*").Strings()
	var names []string
	for i := 0; i < len(all); i += 2 {
		if config.Lookup(all[i]) == nil {
			t.Errorf("redis-server knows the directive %s", all[i])
		} else if !slices.Contains(apart, all[i]) && !mayDiffer(t, configNewer[all[i]]) {
			names = append(names, all[i])
		}
	}
	slices.Sort(names)
	values := []string{"", "0", "1", "-1", "10", "99", "100", "101", "65535", "65536", "2147483647", "2147483648", "-2147483649", "+5", "007", "1.5", " 5",
		"9223372036854775807", aboveInt64, "1k", "1kb", "2MB", "3gB", "5b", "1kk", "-1mb", "50%", "101%", "%", "kb", "yes", "no", "YES", "maybe",
		"local", "everysec", "ALWAYS", "allkeys-lru", "noeviction", "debug", "notice", "disabled", "hostname", "clients", "optional", "x", "a/b", "a.b-c", "a b",
		"save", "save force", "default", "force default", "save  now", "KEA", "Kg$", "xg", "K E", "KEAn", "mn", "AKEmn",
		"50 99 99.9", "100", "100.1", "-0.5", "x y", "normal 1mb 2mb 3", "slave 1 2 3 pubsub 4k 5 6", "replica 1 2", "normal x 2 3", "normal 1 2 -3", "none 1 2 3",
		"{title} {port}", "{titel}", "{", "}", "volatile-ttl", "swapdb", "ignore", "allchannels"}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	compare := func(args ...string) {
		t.Helper()
		for i := 0; i < len(args); i += 2 {
			if slices.Contains(unsigned, strings.ToLower(args[i])) && args[i+1] == aboveInt64 {
				return
			}
		}
		want := say(t, redis, append([]string{"CONFIG", "SET"}, args...)...)
		got := "OK"
		if err := mine.Set(args, config.Caller{Local: true}); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("CONFIG SET %q\n  redis: %s\n  here:  %s", args, want, got)
		}
		for i := 0; i < len(args); i += 2 {
			want := redis.Must(t, "CONFIG", "GET", args[i]).Strings()
			if got := mine.Get(args[i]); len(got) != len(want) || len(got) == 2 && got[1] != want[1] {
				t.Errorf("CONFIG GET after CONFIG SET %q\n  redis: %q\n  here:  %q", args, want, got)
				// Do not report the same once more.
				if len(want) == 2 {
					say(t, redis, "CONFIG", "SET", args[i], got[1])
				}
			}
		}
	}
	for _, name := range names {
		for _, v := range values {
			compare(name, v)
		}
	}
	for range 2000 {
		var args []string
		for range 1 + rnd.IntN(4) {
			name := names[rnd.IntN(len(names))]
			if rnd.IntN(8) == 0 {
				name = strings.ToUpper(name)
			}
			args = append(args, name, values[rnd.IntN(len(values))])
		}
		compare(args...)
	}
}

// say returns the reply's text, error or not.
func say(t *testing.T, c *servertest.Client, args ...string) string {
	t.Helper()
	r, err := c.Do(args...)
	if err != nil {
		t.Fatal(err)
	}
	return r.Str
}

var fatalLine = regexp.MustCompile(`(?s)Reading the configuration file, at line (\d+)\n>>> '(.*)'\n([^\n]*)\n$`)

// redisRefuses runs redis-server with args, which must make it refuse to start, and returns the line it complains about.
func redisRefuses(t *testing.T, args ...string) (line int, text, reason string) {
	t.Helper()
	bin, err := servertest.RedisBinary()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	m := fatalLine.FindSubmatch(out)
	if err == nil || m == nil {
		t.Fatalf("redis-server %q: %v\n%s", args, err, out)
	}
	line, err = strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return line, string(m[2]), string(m[3])
}

// TestFileErrorsLikeRedis compares what is complained about in a configuration file. The line behind the one in question is always
// bad: where the first is good, both must complain about the second.
func TestFileErrorsLikeRedis(t *testing.T) {
	for _, text := range []string{
		"port", "port 1 2", "port x", "port 65536", "PORT 7", "port \"7\"", "port '7", "port 7 # comment", `"port" "\x37"`, "\tport  7  ", "nonsense", "nonsense 1 2", `x "`,
		"save", "save 1", "save 1 2", "save 1 x", `save ""`, "save 1 2 3 4", "save 1 2 3", "save 0 1", "save 1 -1", "save \"1 2\"",
		"bind", `bind ""`, "bind 127.0.0.1 -::1", "bind" + strings.Repeat(" 127.0.0.1", 17), "maxmemory 1gb", "maxmemory 1x", "maxmemory -1", "maxmemory", "maxmemory 10%",
		"client-output-buffer-limit normal 1 2 3", "client-output-buffer-limit normal 1 2", "client-output-buffer-limit none 1 2 3", "client-output-buffer-limit normal 1 2 x",
		"client-output-buffer-limit", "client-output-buffer-limit normal 1 2 3 pubsub 1kb 2 3", "unixsocketperm 700", "unixsocketperm 789", "unixsocketperm 1777", "unixsocketperm x",
		"loglevel notice", "loglevel loud", "appendfsync always", "appendfsync never", "appendonly on", "daemonize maybe", "supervised auto", "supervised x", "dir /nowhere/at/all", "dir /etc/passwd", "dir /",
		"appendfilename a/b", "appenddirname a/b", "dbfilename a/b", "rename-command GET", "rename-command GET a", "include", "include /nowhere/*.conf", "lua-replicate-commands yes",
		"list-max-ziplist-entries 5", "list-max-ziplist-entries", "notify-keyspace-events KEx", "notify-keyspace-events q", "notify-keyspace-events K E", "latency-tracking-info-percentiles 50 99",
		"latency-tracking-info-percentiles x", "latency-tracking-info-percentiles 101", "oom-score-adj-values 0 1 2", "oom-score-adj-values 0 1", "oom-score-adj-values 0 1 3000", "shutdown-on-sigterm save force",
		"shutdown-on-sigterm never", "shutdown-on-sigterm", "replicaof no one", "replicaof x", "proc-title-template {x}", "databases 16",
		"tcp-backlog -1", "hz -1", "maxclients 0", "cluster-announce-hostname a_b", "requirepass " + strings.Repeat("x", 513), "slave-priority 5", "min-slaves-max-lag 1", "syslog-facility local0", "syslog-facility mail",
		"enable-debug-command local", "enable-debug-command x", "maxmemory-policy lru", "maxmemory-clients 5%", "maxmemory-clients x", "repl-backlog-size 0", "slowlog-log-slower-than -2",
	} {
		if directive, _, _ := strings.Cut(text, " "); mayDiffer(t, configNewer[directive]) {
			continue
		}
		path := filepath.Join(t.TempDir(), "redis.conf")
		if err := os.WriteFile(path, []byte("# comment\n\n"+text+"\nnonsense-behind 1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		line, shown, reason := redisRefuses(t, path)
		_, err := config.Read(config.Invocation{File: path}, nil)
		var fatal *config.FatalError
		if !errors.As(err, &fatal) {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if fatal.Where.Line != line || fatal.Reason.Error() != reason || fatal.Where.Text != shown && !strings.HasPrefix(text, "requirepass") {
			t.Errorf("%s\n  redis: line %d '%s' %s\n  here:  line %d '%s' %s", text, line, shown, reason, fatal.Where.Line, fatal.Where.Text, fatal.Reason)
		}
	}
}

// TestCommandLineLikeRedis compares how words become directives: of a directive that is unknown, redis-server shows the line it made.
func TestCommandLineLikeRedis(t *testing.T) {
	for _, args := range [][]string{
		{"--foo"}, {"--foo", "a"}, {"--foo", "a b", "c"}, {"--foo a b"}, {"--foo a", "b"}, {"--foo", "--a"}, {"--foo", "--a", "b"}, {"--foo", "--a", "b", "--port", "1"}, {"--foo", "a", "--port", "1"},
		{"--foo", ""}, {"--foo", "a\nb\x01"}, {"--port", "1", "--foo", "a"}, {"--port 1", "--foo", "a"}, {"--save", "--foo"}, {"--save", "--foo", "a"}, {"--save", "", "--foo"},
		{"--save", "1", "2", "--foo", "--bar"}, {"--foo", "-"}, {"--foo", "a", "-x"}, {"--FOO", "a"},
	} {
		_, shown, _ := redisRefuses(t, args...)
		want, err := config.SplitLine(shown)
		if err != nil {
			t.Fatal(err)
		}
		inv, err := config.ParseArgs(args)
		if err != nil {
			t.Errorf("%q: %v", args, err)
			continue
		}
		i := slices.IndexFunc(inv.Options, func(o []string) bool { return config.Lookup(o[0]) == nil })
		if i < 0 || !slices.Equal(inv.Options[i], want) {
			t.Errorf("%q\n  redis: %q\n  here:  %q", args, want, inv.Options)
		}
	}
}

// TestListeningLikeRedis changes port and addresses of both servers while they run, to what can and what cannot be had.
func TestListeningLikeRedis(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	takenPort := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)
	redis := servertest.StartRedis(t, servertest.Config{}).Connect(t)
	s := servertest.StartTidemark(t, servertest.Config{})
	mine := s.Connect(t)
	for _, args := range [][]string{
		{"port", takenPort}, {"bind", "192.0.2.77"}, {"bind", "127.0.0.1 192.0.2.77"}, {"bind", "* -::*"}, {"bind", "127.0.0.1 -192.0.2.77"}, {"bind", "127.0.0.1", "port", takenPort},
		{"bind", ""}, {"bind", "127.0.0.1", "hz", "50"}, {"hz", "20", "port", takenPort}, {"hz", "x", "bind", "*"},
	} {
		want := say(t, redis, append([]string{"CONFIG", "SET"}, args...)...)
		if got := say(t, mine, append([]string{"CONFIG", "SET"}, args...)...); got != want {
			t.Errorf("CONFIG SET %q\n  redis: %s\n  here:  %s", args, want, got)
		}
		for _, name := range []string{"bind", "hz"} {
			want := redis.Must(t, "CONFIG", "GET", name).String()
			if got := mine.Must(t, "CONFIG", "GET", name).String(); got != want {
				t.Errorf("after CONFIG SET %q %s is\n  redis: %s\n  here:  %s", args, name, want, got)
			}
		}
	}
	// What refused or restored addresses left behind must still be listened on.
	s.Connect(t).Must(t, "PING")
	free, err := servertest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	mine.Must(t, "CONFIG", "SET", "port", strconv.Itoa(free))
	c, err := servertest.Dial(net.JoinHostPort("127.0.0.1", strconv.Itoa(free)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Must(t, "PING")
}
