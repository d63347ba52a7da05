package process

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// A Supervisor is told what state the server is in. Its methods do nothing when nobody supervises.
type Supervisor struct {
	socket  string // systemd's
	upstart bool
}

// Systemd finds the socket over which systemd is to be told (sd_notify(3)). It fails when the environment names none.
func Systemd() (*Supervisor, error) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return &Supervisor{}, errors.New("systemd supervision requested, but NOTIFY_SOCKET not found")
	}
	if path[0] != '/' && path[0] != '@' {
		return &Supervisor{}, errors.New("NOTIFY_SOCKET is neither a path nor an abstract name: " + path)
	}
	return &Supervisor{socket: path}, nil
}

// Upstart makes Ready stop the process, which a job with "expect stop" waits for. It fails outside an upstart job.
func Upstart() (*Supervisor, error) {
	if os.Getenv("UPSTART_JOB") == "" {
		return &Supervisor{}, errors.New("upstart supervision requested, but UPSTART_JOB not found")
	}
	return &Supervisor{upstart: true}, nil
}

// Detect is Upstart or Systemd, whichever the environment speaks of, or nobody.
func Detect() *Supervisor {
	for _, find := range []func() (*Supervisor, error){Upstart, Systemd} {
		if s, err := find(); err == nil {
			return s
		}
	}
	return &Supervisor{}
}

// Active reports whether there is a supervisor.
func (s *Supervisor) Active() bool { return s.socket != "" || s.upstart }

// Loading says that the server has begun to load its data, which may take long.
func (s *Supervisor) Loading() error { return s.notify("STATUS=Tidemark is loading...\n") }

// Ready says that clients are served.
func (s *Supervisor) Ready() error {
	if s.upstart {
		os.Unsetenv("UPSTART_JOB")
		return syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	}
	return s.notify("STATUS=Ready to accept connections\nREADY=1\n")
}

// Stopping says that the server has begun to shut down.
func (s *Supervisor) Stopping() error { return s.notify("STOPPING=1\n") }

func (s *Supervisor) notify(state string) error {
	if s.socket == "" {
		return nil
	}
	// The net package turns a leading @ into the zero byte of an abstract name.
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte(state))
	return err
}
