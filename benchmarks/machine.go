package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// machine says where the figures come from.
type machine struct {
	CPU    string `json:"cpu"`
	CPUs   int    `json:"cpus"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	Redis  string `json:"redis"`
}

func describeMachine(b *bench) machine {
	m := machine{CPUs: runtime.NumCPU(), Go: runtime.Version()}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for _, line := range strings.Split(string(info), "\n") {
			if v, ok := strings.CutPrefix(line, "model name"); ok {
				m.CPU = strings.TrimLeft(v, "\t: ")
				break
			}
		}
	}
	if v, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(v))
	}
	if out, err := exec.Command(b.redis, "--version").Output(); err == nil {
		m.Redis, _, _ = strings.Cut(strings.TrimSpace(string(out)), " sha=")
	}
	return m
}

// allowFiles raises the limit of open files, for this process and the servers it starts, to at least n.
func allowFiles(n uint64) error {
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return err
	}
	if lim.Cur >= n {
		return nil
	}
	lim.Cur = n
	lim.Max = max(lim.Max, n) // root may raise it
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return fmt.Errorf("raise the limit of open files to %d: %w; raise ulimit -Hn", n, err)
	}
	return nil
}

// bareSync returns the median time of writing n bytes to a prepared file and
// fdatasyncing them, on the file system of dir: the floor under any durable write.
func bareSync(dir string, n, times int) (time.Duration, error) {
	f, err := os.Create(filepath.Join(dir, "bare"))
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	// Written beforehand in small pieces, so that a sync changes no metadata and small folios hold the pages.
	zeros := make([]byte, 4096)
	for range (n*times + 1<<20) / len(zeros) {
		if _, err := f.Write(zeros); err != nil {
			return 0, err
		}
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	payload := bytes.Repeat([]byte{'x'}, n)
	took := make([]time.Duration, times)
	for i := range took {
		begin := time.Now()
		if _, err := f.WriteAt(payload, int64(i*n)); err != nil {
			return 0, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return 0, fmt.Errorf("fdatasync %s: %w", f.Name(), err)
		}
		took[i] = time.Since(begin)
	}
	slices.Sort(took)
	return took[times/2], nil
}
