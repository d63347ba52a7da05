package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidemark/cmd/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// tidemark runs the program to its end and returns its output and exit status.
func tidemark(t *testing.T, name, stdin string, args ...string) (out string, status int) {
	t.Helper()
	bin, err := servertest.Binary()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Args[0] = name
	cmd.Dir = t.TempDir()
	cmd.Stdin = strings.NewReader(stdin)
	b, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%q did not end:\n%s", args, b)
	}
	if _, failed := err.(*exec.ExitError); err != nil && !failed {
		t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// until waits for a condition that another process brings about.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

func TestWordsAndNames(t *testing.T) {
	for _, c := range []struct {
		name   string
		args   []string
		status int
		says   string
	}{
		{"redis-server", []string{"--version"}, 0, `^Redis server v=7\.4\.0 sha=[0-9a-f]{8}:[01] malloc=\S+ bits=64 build=\S+ tidemark_version=\S+\n$`},
		{"tidemark", []string{"-v"}, 0, `^Redis server v=7\.4\.0 `},
		{"tidemark", []string{"-h"}, 0, `(?s)^Usage: tidemark .*--port 7777`},
		{"redis-sentinel", []string{"x.conf"}, 1, `not a Sentinel`},
		{"/usr/bin/redis-check-aof", []string{"x"}, 1, `tidemark-aof`},
		{"tidemark", []string{"nothing.conf"}, 1, `Fatal error, can't open config file 'nothing.conf': No such file or directory`},
		{"tidemark", []string{"--port", "x"}, 1, `(?s)FATAL CONFIG FILE ERROR \(Tidemark.*>>> 'port "x"'\nargument couldn't be parsed into an integer`},
		{"tidemark", []string{"--logfile", "/nowhere/x.log"}, 1, `Can't open the log file: .*no such file`},
		{"tidemark", []string{"--test-memory", "1"}, 1, `memtester`},
		{"tidemark", []string{"--port", "0", "--pprof-addr", "nonsense", "--dir", "."}, 1, `# pprof-addr nonsense`},
	} {
		out, status := tidemark(t, c.name, "", c.args...)
		if status != c.status || !regexp.MustCompile(c.says).MatchString(out) {
			t.Errorf("%s %q: status %d, %q; want %d, %q", c.name, c.args, status, out, c.status, c.says)
		}
	}
}

// TestStockFile: the redis.conf of a distribution starts the server unchanged but for the paths that only its own user may write.
func TestStockFile(t *testing.T) {
	const stock = "/etc/redis/redis.conf"
	if _, err := os.Stat(stock); err != nil {
		t.Skipf("no stock configuration on this machine: %v", err)
	}
	dir := t.TempDir()
	bin, err := servertest.Binary()
	if err != nil {
		t.Fatal(err)
	}
	s, err := servertest.Start(servertest.Config{Bin: "/bin/sh", Dir: dir, Args: []string{
		"--supervised", "no", "--daemonize", "no", "--logfile", "", "--pidfile", "x.pid"},
		// Spawn puts its own options first; the file has to stand before them.
		Wrap: []string{"/bin/sh", "-c", `exec "` + bin + `" ` + stock + ` "$@"`}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	c := s.Connect(t)
	if got := c.Must(t, "CONFIG", "GET", "appendonly").Strings(); got[1] != "no" {
		t.Errorf("appendonly is %s: the file was not read", got[1])
	}
	if got := s.Log(); strings.Contains(got, "Accepted, but without meaning") {
		t.Errorf("the stock file sets nothing unusual, but: %s", got)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "x.pid")); !os.IsNotExist(err) {
		t.Errorf("the pid file stayed: %v", err)
	}
}

func TestDaemon(t *testing.T) {
	dir := t.TempDir()
	port, err := servertest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	out, status := tidemark(t, "redis-server", "daemonize yes\npidfile my.pid\nlogfile my.log\nsave \"\"\ndir "+dir+"\n", "--port", strconv.Itoa(port), "-")
	if status != 0 || out != "" {
		t.Fatalf("status %d, %s", status, out)
	}
	file := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return ""
		}
		return string(b)
	}
	until(t, "the daemon's start", func() bool { return strings.Contains(file("my.log"), "Ready to accept connections tcp") })
	pid, err := strconv.Atoi(strings.TrimSpace(file("my.pid")))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(pid, syscall.SIGKILL)
	c, err := servertest.Dial(net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.Must(t, "CONFIG", "GET", "dir").Strings(); got[1] != dir {
		t.Errorf("dir %s", got[1])
	}
	if title, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline"); err != nil ||
		!strings.Contains(string(title), ":"+strconv.Itoa(port)) && !strings.Contains(string(title), "\x00--port\x00") {
		t.Errorf("title %q, %v", title, err)
	}
	// A log that is rotated away is begun anew.
	if err := os.Rename(filepath.Join(dir, "my.log"), filepath.Join(dir, "old.log")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	c.Must(t, "PING")
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	until(t, "the daemon's end", func() bool { return strings.Contains(file("my.log"), "bye bye") && file("my.pid") == "" })
	for _, want := range []string{"# Received SIGTERM scheduling shutdown...", "# User requested shutdown...", "* Removing the pid file."} {
		until(t, want, func() bool { return strings.Contains(file("my.log"), want) })
	}
}

func TestSystemd(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := servertest.StartTidemark(t, servertest.Config{Dir: dir, Env: []string{"NOTIFY_SOCKET=" + socket},
		Args: []string{"--supervised", "auto", "--daemonize", "yes"}}) // which has no effect under a supervisor
	if err := l.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	hear := func(want string) {
		t.Helper()
		b := make([]byte, 256)
		n, err := l.Read(b)
		if err != nil || !strings.Contains(string(b[:n]), want) {
			t.Errorf("systemd heard %q, %v; want %q", b[:n], err, want)
		}
	}
	hear("STATUS=Tidemark is loading")
	hear("READY=1")
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	hear("STOPPING=1")
}

func TestSecondStartLeavesPidFile(t *testing.T) {
	s := servertest.StartTidemark(t, servertest.Config{Args: []string{"--pidfile", "x.pid", "--save", ""}})
	out, status := tidemark(t, "tidemark", "", "--dir", s.Dir, "--pidfile", "x.pid", "--bind", "127.0.0.1", "--port", strconv.Itoa(s.Port), "--appendonly", "no")
	if status != 1 {
		t.Errorf("two servers on one port: status %d\n%s", status, out)
	}
	b, err := os.ReadFile(filepath.Join(s.Dir, "x.pid"))
	if err != nil || strings.TrimSpace(string(b)) != strconv.Itoa(s.PID()) {
		t.Errorf("the first server's pid file holds %q, %v", b, err)
	}
}

func TestRewriteSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "my.conf")
	if err := os.WriteFile(conf, []byte("# mine\ntimeout 5\nsave \"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bin, err := servertest.Binary()
	if err != nil {
		t.Fatal(err)
	}
	s, err := servertest.Start(servertest.Config{Bin: "/bin/sh", Dir: dir,
		Wrap: []string{"/bin/sh", "-c", `exec "` + bin + `" ` + conf + ` "$@"`}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	c := s.Connect(t)
	for _, cmd := range []string{"CONFIG SET timeout 77 maxmemory-policy allkeys-lfu", "CONFIG REWRITE"} {
		if r := c.Must(t, strings.Fields(cmd)...); r.Str != "OK" {
			t.Fatalf("%s: %s", cmd, r)
		}
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(conf)
	if err != nil || !bytes.HasPrefix(b, []byte("# mine\ntimeout 77\nsave \"\"\n# Generated by CONFIG REWRITE\n")) {
		t.Errorf("%s, %v", b, err)
	}
	again, err := s.Restart()
	if err != nil {
		t.Fatal(err)
	}
	defer again.Kill()
	if got := again.Connect(t).Must(t, "CONFIG", "GET", "timeout", "maxmemory-policy").Strings(); strings.Join(got, " ") != "timeout 77 maxmemory-policy allkeys-lfu" {
		t.Errorf("%q", got)
	}
}

// TestDebugCrashes: DEBUG PANIC and SEGFAULT end the process as a bug would, with what explains it in the log; nothing acknowledged is lost.
func TestDebugCrashes(t *testing.T) {
	for how, text := range map[string]string{"PANIC": "DEBUG PANIC called", "SEGFAULT": "SIGSEGV: segmentation violation"} {
		s, a := start(t, "--enable-debug-command", "yes")
		expect(t, a, "+OK", "SET", "k", how)
		if r, err := a.Do("DEBUG", how); err == nil {
			t.Errorf("DEBUG %s replied %v", how, r)
		}
		<-s.Done()
		if s.ExitCode() == 0 || !strings.Contains(s.Log(), text) {
			t.Errorf("DEBUG %s: exit status %d, log:\n%s", how, s.ExitCode(), s.Log())
		}
		again, err := s.Restart()
		if err != nil {
			t.Fatal(err)
		}
		expect(t, again.Connect(t), `"`+how+`"`, "GET", "k")
		if err := again.Stop(); err != nil {
			t.Error(err)
		}
	}
}
