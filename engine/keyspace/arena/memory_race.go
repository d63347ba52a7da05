//go:build race

package arena

import (
	"sync"
	"unsafe"
)

// The race detector watches Go memory only, so under it every mapping is a Go slice, kept alive here.
const (
	raceBuild  = true
	maxChunks  = 1 << 14
	regionSize = 8 << 20
)

var kept struct {
	sync.Mutex
	m map[unsafe.Pointer][]byte
}

func mapMemory(n uintptr) unsafe.Pointer {
	b := make([]byte, n+63)
	p := unsafe.Pointer(&b[0])
	if odd := uintptr(p) & 63; odd != 0 {
		p = unsafe.Pointer(&b[64-odd])
	}
	kept.Lock()
	defer kept.Unlock()
	if kept.m == nil {
		kept.m = make(map[unsafe.Pointer][]byte)
	}
	kept.m[p] = b
	return p
}

func unmapMemory(p unsafe.Pointer, n uintptr) {
	dropPages(p, n) // a late reader then races with this write, and is found
	kept.Lock()
	delete(kept.m, p)
	kept.Unlock()
}

func dropPages(p unsafe.Pointer, n uintptr) { clear(unsafe.Slice((*byte)(p), n)) }

func remapMemory(p unsafe.Pointer, old, n uintptr) unsafe.Pointer {
	q := mapMemory(n)
	copy(unsafe.Slice((*byte)(q), n), unsafe.Slice((*byte)(p), old))
	unmapMemory(p, old)
	return q
}
