package aof

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"unsafe"

	mmap "github.com/edsrzf/mmap-go"
	"golang.org/x/sys/unix"
)

// OSFS is the operating system's file system.
type OSFS struct{}

// MkdirAll implements FS.
func (OSFS) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o755) }

// Open implements FS.
func (OSFS) Open(name string) (File, error) { return openOS(name, os.O_RDWR) }

// OpenRead implements FS.
func (OSFS) OpenRead(name string) (File, error) { return openOS(name, os.O_RDONLY) }

// Create implements FS.
func (OSFS) Create(name string) (File, error) { return openOS(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC) }

// OpenDirect implements DirectFS.
func (OSFS) OpenDirect(name string) (DirectFile, error) {
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open (direct)", Path: name, Err: err}
	}
	return &directFile{fd: fd, name: name}, nil
}

// Rename implements FS.
func (OSFS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements FS.
func (OSFS) Remove(name string) error { return os.Remove(name) }

// ReadDir implements FS.
func (OSFS) ReadDir(dir string) ([]string, error) {
	ents, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(ents))
	for _, e := range ents {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// SyncDir implements FS.
func (OSFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// LockDir implements DirLocker with flock on the directory itself, which leaves no file behind.
func (OSFS) LockDir(dir string) (unlock func() error, err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == unix.EINTR:
		case err == nil:
			return d.Close, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			d.Close()
			return nil, fmt.Errorf("%w: %s", ErrInUse, dir)
		default: // a file system without locks
			d.Close()
			return func() error { return nil }, nil
		}
	}
}

// osFile keeps the descriptor beside the os.File: the poller's reference counting is not wanted on the commit path.
// The File stays open for as long as the Log may use fd.
type osFile struct {
	*os.File
	fd   int
	iovs []unix.Iovec
	mu   sync.Mutex // guards iovs
}

func openOS(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	return &osFile{File: f, fd: int(f.Fd())}, nil
}

// maxIovecs is the kernel's UIO_MAXIOV.
const maxIovecs = 1024

func (f *osFile) WriteAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := unix.Pwrite(f.fd, p[done:], off+int64(done))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, &os.PathError{Op: "write", Path: f.Name(), Err: err}
		}
		if n == 0 {
			return done, &os.PathError{Op: "write", Path: f.Name(), Err: io.ErrShortWrite}
		}
		done += n
	}
	return done, nil
}

// WriteVec is pwritev over a kept array of iovecs: x/sys's wrapper allocates one for every call.
func (f *osFile) WriteVec(v [][]byte, off int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(v) > 0 {
		f.iovs = f.iovs[:0]
		for i := 0; i < len(v) && i < maxIovecs; i++ {
			if len(v[i]) == 0 {
				continue
			}
			f.iovs = append(f.iovs, unix.Iovec{Base: &v[i][0], Len: uint64(len(v[i]))})
		}
		if len(f.iovs) == 0 {
			return nil
		}
		n, _, e := syscall.Syscall6(unix.SYS_PWRITEV, uintptr(f.fd), uintptr(unsafe.Pointer(&f.iovs[0])), uintptr(len(f.iovs)),
			uintptr(off), 0, 0)
		clear(f.iovs)
		if e == unix.EINTR {
			continue
		}
		if e != 0 {
			return &os.PathError{Op: "write", Path: f.Name(), Err: e}
		}
		if n == 0 {
			return &os.PathError{Op: "write", Path: f.Name(), Err: io.ErrShortWrite}
		}
		off += int64(n)
		for left := int(n); len(v) > 0; v = v[1:] {
			if left < len(v[0]) {
				v[0] = v[0][left:]
				break
			}
			left -= len(v[0])
		}
	}
	return nil
}

func (f *osFile) Allocate(size int64) error {
	for {
		err := unix.Fallocate(f.fd, 0, 0, size)
		switch {
		case err == unix.EINTR:
		case err == nil:
			return nil
		case errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS):
			return f.Truncate(size)
		default:
			return &os.PathError{Op: "fallocate", Path: f.Name(), Err: err}
		}
	}
}

// Datasync goes through syscall.Syscall, which hands the processor over when the disk takes its time.
func (f *osFile) Datasync() error {
	for {
		_, _, e := syscall.Syscall(unix.SYS_FDATASYNC, uintptr(f.fd), 0, 0)
		if e == unix.EINTR {
			continue
		}
		if e != 0 {
			return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: e}
		}
		return nil
	}
}

func (f *osFile) StartWriteback(off, n int64) error {
	err := unix.SyncFileRange(f.fd, off, n, unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE)
	if err != nil && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ESPIPE) {
		return &os.PathError{Op: "sync_file_range", Path: f.Name(), Err: err}
	}
	return nil
}

func (f *osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func (f *osFile) Map(size int64) (Mapping, error) {
	m, err := mmap.MapRegion(f.File, int(size), mmap.RDWR, 0, 0)
	if err != nil {
		return nil, &os.PathError{Op: "mmap", Path: f.Name(), Err: err}
	}
	return &osMapping{m: m}, nil
}

type osMapping struct{ m mmap.MMap }

func (m *osMapping) Bytes() []byte { return m.m }

func (m *osMapping) Populate(off, n int) error {
	lo := off &^ (os.Getpagesize() - 1)
	_, _, e := syscall.Syscall(unix.SYS_MADVISE, uintptr(unsafe.Pointer(&m.m[lo])), uintptr(off+n-lo), unix.MADV_POPULATE_WRITE)
	if e != 0 {
		return os.NewSyscallError("madvise", e)
	}
	return nil
}

func (m *osMapping) Unmap() error { return m.m.Unmap() }

// directFile is the second descriptor of a segment.
type directFile struct {
	fd   int
	name string // as it was opened
}

func (f *directFile) WriteBlocks(p []byte, off int64) error {
	for len(p) > 0 {
		n, err := unix.Pwrite(f.fd, p, off)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EINVAL || err == unix.EOPNOTSUPP:
			return fmt.Errorf("%w: %s: %v", errNoDirect, f.name, err)
		case err != nil:
			return &os.PathError{Op: "write (direct)", Path: f.name, Err: err}
		case n == 0 || n%directAlign != 0:
			return &os.PathError{Op: "write (direct)", Path: f.name, Err: io.ErrShortWrite}
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

func (f *directFile) Close() error { return unix.Close(f.fd) }
