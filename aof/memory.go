package aof

import (
	"errors"
	"fmt"
)

// A log without files: what the stream is while appendonly is off and there are replicas, or a primary. The drainer passes
// batches to the Tail, which is all that remembers them.

var errMemory = errors.New("aof: the log is memory-only and has no files")

// OnDisk says whether the log has a directory. Without one Synced promises nothing.
func (l *Log) OnDisk() bool { return !l.o.Memory }

// openMemory is Open without a directory.
func (l *Log) openMemory() (*Log, *Recovery, error) {
	o := &l.o
	l.meta.id = o.ID
	if o.ID == "" {
		l.meta.id = newID()
	}
	l.meta.ancestors = clampAncestors(o.Ancestors, o.StartOffset)
	l.showIdentity()
	if err := l.initRings(o.StartOffset); err != nil {
		return nil, nil, fmt.Errorf("a log in memory: %w", err)
	}
	l.joinTail(o.Tail, o.StartOffset)
	if !o.manual {
		l.wg.Add(1)
		go l.runSyncer() // for wishes that a committer leaves behind
	}
	return l, &Recovery{Offset: o.StartOffset, ID: l.meta.id, Ancestors: l.Ancestors()}, nil
}

// passBatch is writeBatch for a log without files. The append role must be held.
func (l *Log) passBatch(n int) {
	l.stage(l.drain.vec)
	end := l.drain.off + int64(n)
	l.appended.Store(end)
	l.synced.Store(end)
	l.stats.commits.Add(1)
	l.stats.committed.Add(int64(n))
	l.stats.commitSizes.add(int64(n))
}
