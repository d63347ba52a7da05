//go:build !race

package aof

import "golang.org/x/sys/unix"

// offHeap gives n zero bytes outside the Go heap. Untouched pages take no memory, and huge pages are declined so that
// they stay untouched.
func offHeap(n int) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		return nil, err
	}
	_ = unix.Madvise(b, unix.MADV_NOHUGEPAGE) // an optimisation only
	return b, nil
}

func freeOffHeap(b []byte) { _ = unix.Munmap(b) }
