//go:build linux && !race

package arena

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	raceBuild  = false
	maxChunks  = 1 << 21 // 8 TiB in chunks of 4 MiB
	regionSize = 64 << 20
)

// mapMemory returns n bytes of zeroed anonymous memory, resident only once touched. Running out of address
// space ends the process, as running out of memory does anyway.
func mapMemory(n uintptr) unsafe.Pointer {
	p, err := unix.MmapPtr(-1, 0, nil, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		panic(fmt.Sprintf("FATAL: out of memory: mapping %d bytes: %v (check ulimit -v, vm.overcommit_memory and vm.max_map_count)", n, err))
	}
	return p
}

func unmapMemory(p unsafe.Pointer, n uintptr) {
	// Dropping the pages first needs the address space's lock only for reading; the munmap that follows is then short.
	dropPages(p, n)
	if err := unix.MunmapPtr(p, n); err != nil {
		panic(fmt.Sprintf("BUG: munmap of %d bytes: %v", n, err))
	}
}

// dropPages gives the pages back to the system; they read as zeros afterwards.
func dropPages(p unsafe.Pointer, n uintptr) {
	if err := unix.Madvise(unsafe.Slice((*byte)(p), n), unix.MADV_DONTNEED); err != nil {
		panic(fmt.Sprintf("BUG: madvise of %d bytes: %v", n, err))
	}
}

// remapMemory resizes a mapping without copying. The new part is zero.
func remapMemory(p unsafe.Pointer, old, n uintptr) unsafe.Pointer {
	q, err := unix.MremapPtr(p, old, nil, n, unix.MREMAP_MAYMOVE)
	if err != nil {
		panic(fmt.Sprintf("FATAL: out of memory: growing a mapping of %d bytes to %d: %v", old, n, err))
	}
	return q
}
