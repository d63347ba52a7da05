//go:build !race

package netio

import "golang.org/x/sys/unix"

// mapHuge reserves n bytes and a page; the slice is empty. nil: the system refuses (a limit on
// address space, or no overcommitment). Pages are first touched by the read
// itself, that is, inside a system call (design D3: a fault there stops nobody).
func mapHuge(n int) []byte {
	b, err := unix.Mmap(-1, 0, n+4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil
	}
	return b[:0]
}

// unmapHuge gives back what mapHuge returned.
func unmapHuge(b []byte) {
	if err := unix.Munmap(b[:cap(b)]); err != nil {
		panic("BUG: unmapping an input buffer: " + err.Error())
	}
}
