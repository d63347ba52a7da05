package servertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

func lockThread() { runtime.LockOSThread() }

var (
	buildOnce sync.Once
	builtBin  string
	buildErr  error
)

// Binary returns the path of the tidemark to test: TIDEMARK_BIN, or one
// built from this module on first use. Main removes it.
func Binary() (string, error) {
	buildOnce.Do(func() {
		if bin := os.Getenv("TIDEMARK_BIN"); bin != "" {
			builtBin, buildErr = exec.LookPath(bin)
			return
		}
		builtBin, buildErr = Build(RaceEnabled)
	})
	return builtBin, buildErr
}

// Build builds cmd/tidemark into a new temporary directory.
func Build(race bool) (string, error) {
	root, err := ModuleRoot()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "tidemark-bin-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "tidemark")
	args := []string{"build", "-o", bin}
	if race {
		args = append(args, "-race", "-pgo=off") // nobody measures it, and it takes a minute
	}
	cmd := exec.Command("go", append(args, "./cmd/tidemark")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/tidemark: %w\n%s", err, out)
	}
	return bin, nil
}

// Main runs a package's tests and removes what Binary built. Packages that
// start servers call it from TestMain.
func Main(m *testing.M) {
	code := m.Run()
	if builtBin != "" && os.Getenv("TIDEMARK_BIN") == "" {
		os.RemoveAll(filepath.Dir(builtBin))
	}
	os.Exit(code)
}

// ModuleRoot returns the directory of this module's go.mod.
func ModuleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if mod == "" || mod == os.DevNull {
		return "", fmt.Errorf("not inside the tidemark module")
	}
	return filepath.Dir(mod), nil
}

// StartTidemark starts the server under test for the duration of a test.
func StartTidemark(t testing.TB, cfg Config) *Server {
	t.Helper()
	bin, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Bin = bin
	return startFor(t, cfg)
}

// RedisBinary returns the reference server in PATH.
func RedisBinary() (string, error) {
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		return "", fmt.Errorf("redis-server is needed for comparison and is not in PATH (Debian: apt-get install redis-server): %w", err)
	}
	return bin, nil
}

var redisVersion = sync.OnceValues(func() ([3]int, error) {
	bin, err := RedisBinary()
	if err != nil {
		return [3]int{}, err
	}
	out, err := exec.Command(bin, "--version").Output()
	if err != nil {
		return [3]int{}, fmt.Errorf("%s --version: %w", bin, err)
	}
	_, text, _ := strings.Cut(string(out), " v=")
	return parseVersion(text)
})

// parseVersion reads the numbers of "7.4.1 sha=..." or "7.4".
func parseVersion(text string) (v [3]int, err error) {
	if n, err := fmt.Sscanf(text, "%d.%d.%d", &v[0], &v[1], &v[2]); n < 2 {
		return v, fmt.Errorf("%.40q does not begin with a version such as 7.4: %w", text, err)
	}
	return v, nil
}

// RedisAtLeast reports whether the reference server is of this version, such
// as "7.4" or "7.4.2", or newer. What tests expect of it goes by that.
func RedisAtLeast(t testing.TB, version string) bool {
	t.Helper()
	ok, err := RedisIsAtLeast(version)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// RedisIsAtLeast is RedisAtLeast outside a test.
func RedisIsAtLeast(version string) (bool, error) {
	have, err := redisVersion()
	if err != nil {
		return false, err
	}
	want, err := parseVersion(version)
	return slices.Compare(have[:], want[:]) >= 0, err
}

// StartRedis starts the reference server for the duration of a test.
// It keeps nothing on disk unless args say so.
func StartRedis(t testing.TB, cfg Config) *Server {
	t.Helper()
	bin, err := RedisBinary()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Bin = bin
	cfg.Args = append([]string{"--save", "", "--enable-debug-command", "yes", "--enable-protected-configs", "yes"}, cfg.Args...)
	return startFor(t, cfg)
}

func startFor(t testing.TB, cfg Config) *Server {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	s, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Kill()
		if _, report, raced := strings.Cut(s.Log(), "WARNING: DATA RACE"); raced {
			t.Errorf("the race detector found in the server:%.6000s", report)
		}
	})
	return s
}

// Connect dials for the duration of a test.
func (s *Server) Connect(t testing.TB) *Client {
	t.Helper()
	c, err := s.Dial()
	if err != nil {
		t.Fatalf("%v\n%s", err, s.Log())
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Must sends a command and fails the test when the connection does.
func (c *Client) Must(t testing.TB, args ...string) Reply {
	t.Helper()
	r, err := c.Do(args...)
	if err != nil {
		t.Fatalf("%.100s: %v", strings.Join(args, " "), err)
	}
	return r
}
