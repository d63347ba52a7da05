package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestMain lets the test binary stand in for a daemon: see TestDaemonize.
func TestMain(m *testing.M) {
	if path := os.Getenv("PROCESS_TEST_DAEMON"); path != "" {
		os.Exit(daemonChild(path))
	}
	os.Exit(m.Run())
}

func daemonChild(path string) int {
	if !IsDaemon() {
		if err := Daemonize([]byte("port 1\n")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	_, marked := os.LookupEnv(daemonMark)
	in, err := io.ReadAll(os.Stdin)
	out, _ := os.Readlink("/proc/self/fd/1")
	report := fmt.Sprintf("again=%v marked=%v stdin=%q %v stdout=%s\n", IsDaemon(), marked, in, err, out)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return 1
	}
	f.WriteString(report)
	f.Close()
	return 0
}

func TestDaemonize(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "report")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.StartProcess(exe, []string{exe}, &os.ProcAttr{
		Env: append(os.Environ(), "PROCESS_TEST_DAEMON="+fifo), Files: []*os.File{null, os.Stdout, os.Stderr}})
	if err != nil {
		t.Fatal(err)
	}
	state, err := p.Wait()
	if err != nil || !state.Success() {
		t.Fatal(state, err)
	}
	report, err := os.ReadFile(fifo) // until the daemon has written and closed
	if err != nil {
		t.Fatal(err)
	}
	if want := "again=false marked=false stdin=\"port 1\\n\" <nil> stdout=/dev/null\n"; string(report) != want {
		t.Errorf("the daemon says %q, want %q", report, want)
	}
}

func TestPidFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.pid")
	if err := WritePidFile(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil || string(b) != fmt.Sprintln(os.Getpid()) {
		t.Errorf("%q, %v", b, err)
	}
	if err := RemovePidFile(path); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := RemovePidFile(path); err != nil {
		t.Error(err)
	}
	if PidFileHeld(path) != true || PidFileHeld(path+".not") {
		t.Error("process 1 is not alive")
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("another server's pid file was removed: %v", err)
	}
}

func TestSystemd(t *testing.T) {
	t.Setenv("UPSTART_JOB", "")
	t.Setenv("NOTIFY_SOCKET", "")
	if _, err := Systemd(); err == nil || Detect().Active() {
		t.Error("a supervisor out of nothing")
	}
	for _, name := range []string{filepath.Join(t.TempDir(), "s"), "@tidemark-test-" + fmt.Sprint(os.Getpid())} {
		t.Setenv("NOTIFY_SOCKET", name)
		l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		s := Detect()
		buf := make([]byte, 256)
		for _, c := range []struct {
			tell func() error
			want string
		}{{s.Loading, "STATUS=Tidemark is loading"}, {s.Ready, "\nREADY=1\n"}, {s.Stopping, "STOPPING=1\n"}} {
			if err := c.tell(); err != nil {
				t.Fatal(err)
			}
			n, err := l.Read(buf)
			if err != nil || !strings.Contains(string(buf[:n]), c.want) {
				t.Errorf("%q, %v, want %q", buf[:n], err, c.want)
			}
		}
		l.Close()
	}
}

func TestFitFileLimit(t *testing.T) {
	var log []string
	logf := func(level byte, format string, args ...any) {
		log = append(log, string(level)+fmt.Sprintf(format, args...))
	}
	for _, c := range []struct {
		clients, soft, hard uint64
		root                bool
		want                int64
		says                string
	}{
		{1000, 2000, 2000, false, 1000, ""},
		{1000, 500, 4000, false, 1000, "*Increased maximum number of open files to 1064 (it was originally set to 500)."},
		{10000, 500, 4000, false, 3936, "maxclients has been reduced to 3936"},
		{10000, 500, 500, false, 436, "maxclients has been reduced to 436"},
		{10000, 500, 500, true, 10000, "*Increased maximum"},
		{10, 20, 20, false, 0, ""},
	} {
		log = nil
		have := syscall.Rlimit{Cur: c.soft, Max: c.hard}
		get := func(_ int, r *syscall.Rlimit) error { *r = have; return nil }
		set := func(_ int, r *syscall.Rlimit) error {
			if r.Max > have.Max && !c.root {
				return syscall.EPERM
			}
			have = *r
			return nil
		}
		got, err := fitFileLimit(int64(c.clients), logf, get, set)
		if got != c.want || (err != nil) != (c.want == 0) || !strings.Contains(strings.Join(log, "\n"), c.says) || c.says == "" && log != nil {
			t.Errorf("%+v: %d, %v, %q", c, got, err, log)
		}
		if err == nil && have.Cur < uint64(got)+reservedFiles {
			t.Errorf("%+v: %d descriptors for %d clients", c, have.Cur, got)
		}
	}
}

func TestTitle(t *testing.T) {
	if got := ExpandTitle("{title} {listen-addr} {server-mode}", map[string]string{"title": "t", "listen-addr": "*:1", "server-mode": ""}); got != "t *:1" {
		t.Errorf("%q", got)
	}
	err := SetTitle("tidemark 127.0.0.1:6379")
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EPERM) {
		t.Skipf("this kernel or sandbox does not let a process choose its title: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"tidemark 127.0.0.1:6379", "short"} {
		if err := SetTitle(s); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile("/proc/self/cmdline")
		if err != nil || string(bytes.TrimRight(b, "\x00")) != s {
			t.Errorf("the title is %q, %v", b, err)
		}
	}
}

func TestProfiles(t *testing.T) {
	addr, err := ServeProfiles(":0", func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	if ip := addr.(*net.TCPAddr).IP; !ip.IsLoopback() {
		t.Errorf("listens on %s", ip)
	}
	for path, status := range map[string]int{
		"/debug/pprof/": 200, "/debug/pprof/goroutine?debug=1": 200, "/debug/pprof/heap": 200, "/debug/pprof/mutex?rate=1&seconds=1": 200,
		"/debug/pprof/block?rate=no": 400, "/debug/pprof/block?rate=1&seconds=100000": 400, "/": 404,
	} {
		r, err := http.Get("http://" + addr.String() + path)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != status {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
	if _, err := ServeProfiles("nonsense", nil); err == nil {
		t.Error("an address without a port")
	}
}
