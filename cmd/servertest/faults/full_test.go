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

// A full disk: writes are refused with a clear error, reads of what is on disk go on, nothing acknowledged is
// lost, and service resumes by itself once there is room. The write that met the full disk is executed, and nobody knows whether it will last:
// its client is told so instead of waiting, and gets none of the replies behind it.
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
			info, err := os.Stat(ballast)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(ballast, info.Size()-8<<20); err != nil { // some writes succeed first
				t.Fatal(err)
			}
			value := strings.Repeat("x", 1<<20)
			acked, undecided := 0, ""
			for acked < size>>20 {
				key := fmt.Sprintf("k%d", acked)
				c.Queue("SET", key, value)
				c.Queue("SELECT", "1")
				c.Queue("SELECT", "0")
				c.Queue("STRLEN", key)
				if err := c.Flush(); err != nil {
					t.Fatal(err)
				}
				begin := time.Now()
				r, err := c.Receive()
				if err != nil {
					t.Fatalf("the write that met the full disk: %v\n%s", err, srv.Log())
				}
				if r.IsError() {
					if took := time.Since(begin); took > patience {
						t.Errorf("the write that met the full disk was answered after %v", took)
					}
					undecided = r.Str
					break
				}
				for _, want := range []string{"OK", "OK", fmt.Sprint(len(value))} {
					if r, err := c.Receive(); err != nil || r.Str != want {
						t.Fatal(r, err)
					}
				}
				acked++
			}
			if undecided == "" || acked == 0 {
				t.Fatalf("%d MiB were acknowledged on a disk with room for 8, then %q", acked, undecided)
			}
			t.Logf("%d MiB acknowledged, then %q", acked, undecided)
			if !strings.HasPrefix(undecided, "MISCONF ") || !strings.Contains(undecided, "was executed, but it is not on disk") {
				t.Errorf("the write that met the full disk was answered %q", undecided)
			}
			if !c.Closed() {
				t.Error("replies follow one that could not be given")
			}
			c = srv.Connect(t)
			c.SetTimeout(patience)
			for _, x := range []struct{ want, command string }{
				{"MISCONF ", "SET other v"}, {"MISCONF ", fmt.Sprintf("STRLEN k%d", acked)}, {"MISCONF ", "DBSIZE"},
				{"v", "GET first"}, {"PONG", "PING"}, {"# Keyspace\r\ndb0:keys=", "INFO keyspace"},
			} {
				if r := c.Must(t, strings.Fields(x.command)...); !strings.HasPrefix(r.Str, x.want) || strings.Contains(r.Str, "was executed") {
					t.Errorf("on a full disk: %s: %s, expected %s", x.command, r, x.want)
				}
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
			// Executed and kept in memory, it became durable after all.
			if r := c.Must(t, "STRLEN", fmt.Sprintf("k%d", acked)); r.Int != int64(len(value)) {
				t.Errorf("the write that met the full disk: %s", r)
			}
			srv.Kill()
			again, err := srv.Restart()
			if err != nil {
				t.Fatal(err)
			}
			defer again.Kill()
			c = again.Connect(t)
			for i := range acked + 1 {
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
