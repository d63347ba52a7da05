package process

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// DefaultPidFile is where a daemon's pid goes when no pidfile is configured.
const DefaultPidFile = "/var/run/redis.pid"

// WritePidFile writes this process's pid, in a line, to path. Whoever calls it treats an error as a warning: Redis does, and its
// documentation promises that a server starts without.
func WritePidFile(path string) error {
	return os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644)
}

// RemovePidFile removes path if it still holds this process's pid: a server started since may have written its own.
func RemovePidFile(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if string(b) != strconv.Itoa(os.Getpid())+"\n" {
		return nil
	}
	return os.Remove(path)
}

// PidFileHeld reports whether path names another process that is alive. A server that finds its pid file held had better write its
// own pid only once it has its port: otherwise a second start by mistake, which fails, would take the file from the first.
func PidFileHeld(path string) bool {
	b, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 0 || pid == os.Getpid() {
		return false
	}
	err = syscall.Kill(pid, 0)
	return err == nil || err == syscall.EPERM
}
