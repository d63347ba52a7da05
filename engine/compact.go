package engine

import (
	"time"

	"tidemark/netio"
)

const (
	// compactSlice bounds compaction's share of a turn.
	compactSlice = 150 * time.Microsecond
	// compactEntries is how many entries are looked at under one shard's lock: some 20 µs.
	compactEntries = 100
)

// compact gives memory back that deletions have left in pieces, for one slice of time, and posts itself again. It runs on a loop, like
// the snapshots' walk: a goroutine of its own could be suspended with a shard's lock held.
func (s *Server) compact(l *netio.Loop) {
	start := time.Now()
	for s.store.KS.Compact(compactEntries) {
		if time.Since(start) > compactSlice {
			l.Post(s.compact)
			return
		}
	}
}
