package faults

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidemark/cmd/servertest"
)

// smallDisk mounts a tmpfs of the given size for the duration of the test.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tidemark-test", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		if errors.Is(err, syscall.EPERM) {
			t.Skip("mounting a small tmpfs needs root (or CAP_SYS_ADMIN); CI runs this test as root")
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A full disk: writes are refused with a clear error, reads go on, nothing acknowledged is
// lost, and service resumes by itself once there is room. The write that met the full disk under always
// has no answer yet: it is in memory, and is acknowledged once it is on disk.
func TestDiskFull(t *testing.T) {
	for _, policy := range []string{"always", "everysec"} {
		t.Run(policy, func(t *testing.T) {
			const size = 400 << 20
			dir := smallDisk(t, size)
			ballast := filepath.Join(dir, "ballast")
			data := filepath.Join(dir, "data")
			if err := os.Mkdir(data, 0o755); err != nil {
				t.Fatal(err)
			}
			srv := servertest.StartTidemark(t, servertest.Config{Dir: data,
				Args: []string{"--appendonly", "yes", "--appendfsync", policy, "--save", "", "--auto-aof-rewrite-percentage", "0"}})
			c := srv.Connect(t)
			c.Must(t, "SET", "first", "v")
			fill(t, ballast, size)
			value := strings.Repeat("x", 1<<20)
			acked, refusal := 0, ""
			var waiting *servertest.Client
			c.SetTimeout(patience)
			for i := range size >> 20 {
				r, err := c.Do("SET", fmt.Sprintf("k%d", i), value)
				if err != nil {
					waiting, c = c, srv.Connect(t)
					refusal = refused(t, srv, c)
					break
				}
				if r.IsError() {
					refusal = r.Str
					break
				}
				acked++
			}
			if refusal == "" {
				t.Fatalf("%d MiB were acknowledged on a full disk", acked)
			}
			t.Logf("%d MiB acknowledged, then %q", acked, refusal)
			if !strings.HasPrefix(refusal, "MISCONF") {
				t.Errorf("writes are refused with %q, expected MISCONF", refusal)
			}
			if r := c.Must(t, "GET", "first"); r.Str != "v" {
				t.Errorf("reads do not go on: %s", r)
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			resumed := false
			for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
				if r := c.Must(t, "SET", "resumed", "v"); !r.IsError() {
					resumed = true
					break
				}
			}
			if !resumed {
				t.Fatalf("there is room again, but writes are still refused after 20 s\n%s", srv.Log())
			}
			if waiting != nil {
				waiting.SetTimeout(servertest.Timeout)
				if r, err := waiting.Receive(); err != nil || r.Str != "OK" {
					t.Errorf("the write that met the full disk: %v %v", r, err)
				} else {
					acked++
				}
			}
			srv.Kill()
			again, err := srv.Restart()
			if err != nil {
				t.Fatal(err)
			}
			defer again.Kill()
			c = again.Connect(t)
			for i := range acked {
				if r := c.Must(t, "STRLEN", fmt.Sprintf("k%d", i)); r.Int != int64(len(value)) {
					t.Errorf("acknowledged and lost: k%d has %s bytes", i, r)
				}
			}
			for _, k := range []string{"first", "resumed"} {
				if r := c.Must(t, "GET", k); r.Str != "v" {
					t.Errorf("acknowledged and lost: %s = %s", k, r)
				}
			}
		})
	}
}

// fill takes all room that is left on the file system of path.
func fill(t *testing.T, path string, atMost int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for range atMost>>20 + 1 {
		if _, err := f.Write(block); err != nil {
			if errors.Is(err, syscall.ENOSPC) {
				return
			}
			t.Fatal(err)
		}
	}
	t.Fatal("the small disk is larger than it should be")
}
