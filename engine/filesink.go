package engine

import (
	"fmt"
	"os"
	"path/filepath"
)

// fileSink writes a file that appears under its name only when it is whole and on the disk.
type fileSink struct {
	f    *os.File
	path string
}

func newFileSink(path string) (*fileSink, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "temp-*.rdb")
	if err != nil {
		return nil, fmt.Errorf("cannot write a snapshot for %s: %w", path, err)
	}
	return &fileSink{f, path}, nil
}

func (k *fileSink) Write(p []byte) (int, error) { return k.f.Write(p) }

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
