package servertest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Config says how to start a server.
type Config struct {
	Bin   string   // the program
	Dir   string   // the data directory, passed as --dir; must exist
	Args  []string // further directives, "--appendonly", "yes", ...
	Port  int      // 0 takes a free one
	Wrap  []string // a command put in front that ends up as the server's own process: taskset, strace -D
	Env   []string // added to the environment
	Ready time.Duration

	// A server on another host, that is, in a network namespace. All zero: here, on the loopback address.
	Bind  []string                            // addresses to listen on besides 127.0.0.1
	Enter func() error                        // takes the calling thread to that host; the server is forked there
	Dial  func(addr string) (net.Conn, error) // connects to an address as seen there
}

// Server is a running server process.
type Server struct {
	Addr string // "127.0.0.1:port"
	Port int
	Dir  string
	cfg  Config
	cmd  *exec.Cmd
	log  *logBuffer
	done chan struct{}
	err  error // of Wait, valid once done is closed
}

// FreePort returns a TCP port that was free a moment ago. It is below those that the kernel gives to
// outgoing connections and to listeners without a wish, so that none of these takes it meanwhile.
func FreePort() (int, error) {
	const lowest, ephemeral = 10000, 32768 // the latter is Linux's default
	for {
		port := lowest + rand.IntN(ephemeral-lowest)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return 0, err
		}
		return port, l.Close()
	}
}

// Start starts a server and waits until it answers PING (a server that is
// still loading does not count as ready).
func Start(cfg Config) (*Server, error) {
	s, err := Spawn(cfg)
	if err != nil {
		return nil, err
	}
	if err := s.WaitReady(); err != nil {
		s.Kill()
		return nil, err
	}
	return s, nil
}

// Spawn starts a server without waiting for it.
func Spawn(cfg Config) (*Server, error) {
	if cfg.Port == 0 {
		p, err := FreePort()
		if err != nil {
			return nil, err
		}
		cfg.Port = p
	}
	if cfg.Ready == 0 {
		cfg.Ready = 60 * time.Second
	}
	argv := append(append([]string(nil), cfg.Wrap...), cfg.Bin,
		"--port", strconv.Itoa(cfg.Port), "--bind", "127.0.0.1")
	argv = append(append(append(argv, cfg.Bind...), "--dir", cfg.Dir), cfg.Args...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = cfg.Dir
	cmd.Env = append(os.Environ(), cfg.Env...)
	// A test binary that is itself killed must not leave servers behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log := &logBuffer{}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.WaitDelay = time.Second
	s := &Server{
		Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(cfg.Port)), Port: cfg.Port, Dir: cfg.Dir,
		cfg: cfg, cmd: cmd, log: log, done: make(chan struct{}),
	}
	started := make(chan error, 1)
	// Pdeathsig follows the thread that forked: it must live as long as the server.
	go func() {
		lockThread()
		var err error
		if cfg.Enter != nil {
			err = cfg.Enter()
		}
		if err == nil {
			err = cmd.Start()
		}
		started <- err
		if err == nil {
			s.err = cmd.Wait()
			close(s.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cfg.Bin, err)
	}
	return s, nil
}

// WaitReady waits until the server answers PING with PONG.
func (s *Server) WaitReady() error {
	deadline := time.Now().Add(s.cfg.Ready)
	for time.Now().Before(deadline) {
		select {
		case <-s.done:
			return fmt.Errorf("%s ended before it was ready: %v\n%s", s.cfg.Bin, s.err, s.Log())
		default:
		}
		if c, err := s.Dial(); err == nil {
			c.SetTimeout(s.cfg.Ready)
			r, err := c.Do("PING")
			if i := slices.Index(s.cfg.Args, "--requirepass"); err == nil && i >= 0 && strings.HasPrefix(r.Str, "NOAUTH") {
				// That it is loading, it says only to whom it knows.
				if _, err = c.Do("AUTH", s.cfg.Args[i+1]); err == nil {
					r, err = c.Do("PING")
				}
			}
			c.Close()
			// Who has no password is not told about loading.
			if err == nil && (r.Str == "PONG" || strings.HasPrefix(r.Str, "NOAUTH") && strings.Contains(s.Log(), "Ready to accept connections")) {
				return nil
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	return fmt.Errorf("%s was not ready within %v\n%s", s.cfg.Bin, s.cfg.Ready, s.Log())
}

// PID is the process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Log returns what the server has written to stdout and stderr (the last MiB of it).
func (s *Server) Log() string { return s.log.String() }

// Dial connects a client.
func (s *Server) Dial() (*Client, error) {
	if s.cfg.Dial == nil {
		return Dial(s.Addr)
	}
	conn, err := s.cfg.Dial(s.Addr)
	if err != nil {
		return nil, err
	}
	return NewClient(conn), nil
}

// Signal sends a signal.
func (s *Server) Signal(sig syscall.Signal) error { return s.cmd.Process.Signal(sig) }

// Done is closed when the process has ended.
func (s *Server) Done() <-chan struct{} { return s.done }

// ExitCode is the exit status once Done, -1 when ended by a signal.
func (s *Server) ExitCode() int { return s.cmd.ProcessState.ExitCode() }

// Kill ends the process with SIGKILL and waits for its end.
func (s *Server) Kill() {
	s.Signal(syscall.SIGKILL)
	<-s.done
}

// Stop ends the process with SIGTERM; after 30 s, or when it ends with a
// failure, it says so.
func (s *Server) Stop() error {
	s.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(30 * time.Second):
		s.Kill()
		return fmt.Errorf("%s did not end within 30 s of SIGTERM\n%s", s.cfg.Bin, s.Log())
	}
	var exit *exec.ExitError
	if errors.As(s.err, &exit) && exit.ExitCode() != 0 {
		return fmt.Errorf("%s ended with %v\n%s", s.cfg.Bin, s.err, s.Log())
	}
	return nil
}

// Restart starts the server again as it was configured (same port, directory
// and arguments, more appended). The old process must have ended.
func (s *Server) Restart(more ...string) (*Server, error) {
	cfg := s.cfg
	cfg.Port = s.Port
	cfg.Args = append(append([]string(nil), cfg.Args...), more...)
	return Start(cfg)
}

// CPU returns the user plus system time that the process has used.
func (s *Server) CPU() (time.Duration, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.PID()), "stat"))
	if err != nil {
		return 0, err
	}
	// The command's name is in parentheses and may hold spaces.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat: %d fields", s.PID(), len(f))
	}
	u, err1 := strconv.ParseInt(f[11], 10, 64)
	k, err2 := strconv.ParseInt(f[12], 10, 64)
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux architecture Go runs on
	return time.Duration(u+k) * tick, errors.Join(err1, err2)
}

// Memory returns the process's resident set and its peak, in bytes.
func (s *Server) Memory() (rss, peak int64, err error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.PID()), "status"))
	if err != nil {
		return 0, 0, err
	}
	field := func(name string) int64 {
		for _, line := range strings.Split(string(b), "\n") {
			if v, ok := strings.CutPrefix(line, name+":"); ok {
				n, _ := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
				return n << 10
			}
		}
		return 0
	}
	return field("VmRSS"), field("VmHWM"), nil
}

// logBuffer keeps the last MiB written to it.
type logBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, p...)
	if len(l.b) > 2<<20 {
		l.b = append(l.b[:0], l.b[len(l.b)-1<<20:]...)
	}
	return len(p), nil
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b)
}
