package config

import (
	"os"
	"syscall"
)

// keepOwner gives f the owner of the file it replaces. Only root may; others could not have made the old file theirs either.
func keepOwner(f *os.File, old os.FileInfo) {
	if st, ok := old.Sys().(*syscall.Stat_t); ok {
		_ = f.Chown(int(st.Uid), int(st.Gid))
	}
}
