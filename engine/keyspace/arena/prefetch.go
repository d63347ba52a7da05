//go:build amd64 || arm64

package arena

// Prefetch asks the processor to bring the cache lines at these addresses into its cache, and does not wait for them. Any address will do: one
// that is not mapped is passed over.
func Prefetch(addrs []uintptr) {
	if len(addrs) > 0 {
		prefetch(&addrs[0], len(addrs))
	}
}

//go:noescape
func prefetch(addrs *uintptr, n int)
