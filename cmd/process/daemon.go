// Package process is what a server is to its operating system: a daemon, a pid file, a supervisor's child, a title, limits, and
// the receiver of signals. It knows nothing of what the server does.
//
// Everything follows Redis, so that init scripts, unit files and monitors written for redis-server go on working:
// https://redis.io/docs/latest/operate/oss_and_stack/management/admin/ and the comments of redis.conf.
package process

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// daemonMark is set in the environment of the process that Daemonize starts.
const daemonMark = "TIDEMARK_DAEMON"

// IsDaemon reports whether this process was started by Daemonize. It clears the mark, so that it says so once and no
// process started from here inherits it.
func IsDaemon() bool {
	_, marked := os.LookupEnv(daemonMark)
	os.Unsetenv(daemonMark)
	// A mark that leaked into somebody's shell must not count: Daemonize's child leads a session.
	sid, err := unix.Getsid(0)
	return marked && err == nil && sid == os.Getpid()
}

// Daemonize starts this program again, with the same arguments and directory, in a session of its own and away from the
// terminal; the caller then exits. A Go process cannot fork: its threads would not come along. stdin is what the new
// process finds on its standard input (a configuration that this one has already read); its output goes to
// /dev/null. The caller has read the configuration before, so that errors in it are still seen.
func Daemonize(stdin []byte) error {
	in, err := spool(stdin)
	if err != nil {
		return fmt.Errorf("daemonize: %w", err)
	}
	defer in.Close()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), daemonMark+"=1")
	cmd.Stdin = in
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("daemonize: %w", err)
	}
	return cmd.Process.Release()
}

// spool puts b where a process started later can read it after this one has ended.
func spool(b []byte) (*os.File, error) {
	if len(b) == 0 {
		return os.Open(os.DevNull)
	}
	f, err := os.CreateTemp("", "tidemark-stdin-")
	if err != nil {
		return nil, err
	}
	os.Remove(f.Name())
	if _, err := f.Write(b); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
