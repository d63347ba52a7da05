package engine

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// fileSink writes a file that appears under its name only when it is whole and on the disk.
type fileSink struct {
	f             *os.File
	path          string
	size, started int64 // bytes written, and those of them whose way to the disk has begun
}

// sinkStretch is how many bytes are sent on their way to the disk at a time, 0.1 to 0.25 ms of work for the kernel. With all of them left to the sync at the
// end that takes 0.1 ms for each MiB at one stretch, which the kernel breaks off late.
const sinkStretch = 1 << 20

func newFileSink(path string) (*fileSink, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "temp-*.rdb")
	if err != nil {
		return nil, fmt.Errorf("cannot write a snapshot for %s: %w", path, err)
	}
	return &fileSink{f: f, path: path}, nil
}

func (k *fileSink) Write(p []byte) (int, error) {
	n, err := k.f.Write(p)
	for k.size += int64(n); err == nil && k.size-k.started >= sinkStretch; k.started += sinkStretch {
		// It promises nothing, and its errors come again from the sync.
		_ = unix.SyncFileRange(int(k.f.Fd()), k.started, sinkStretch, unix.SYNC_FILE_RANGE_WRITE)
	}
	return n, err
}

// Commit syncs the file and its directory and gives the file its name.
func (k *fileSink) Commit() error {
	err := k.f.Chmod(0o644)
	if err == nil {
		err = k.f.Sync()
	}
	if err == nil {
		err = k.f.Close()
	}
	if err == nil {
		err = os.Rename(k.f.Name(), k.path)
	}
	if err != nil {
		k.Abort()
		return err
	}
	dir, err := os.Open(filepath.Dir(k.path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// Abort removes what was written.
func (k *fileSink) Abort() {
	k.f.Close()
	os.Remove(k.f.Name())
}
