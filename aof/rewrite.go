package aof

import (
	"errors"
	"fmt"
	"os"
)

const (
	rewritePrefix = "temp-rewriteaof-"
	// rewriteBuffer gathers what the walker writes.
	rewriteBuffer = 256 << 10
	// rewriteStretch is how much of the base may wait in the page cache before it is sent to the disk: a mountain of it
	// would stall the commits behind it.
	rewriteStretch = 4 << 20
)

// Rewrite is a base file being written (temp-rewriteaof-*.rdb until Commit). One goroutine uses it.
type Rewrite struct {
	l      *Log
	x      int64 // the offset at which the base is exact
	name   string
	file   File
	buf    []byte
	size   int64
	behind int64 // where write-back was last started
	err    error
	failed bool // under cutMu: the log could not be cut at x, or was put together again by a move
	ended  bool
}

// BeginRewrite rotates to a fresh segment at offset X (which Mark returned; all shards locked) and returns a writer for
// the new base file. It only decides on the rotation: no I/O happens before the first Write.
func (l *Log) BeginRewrite(x int64) (*Rewrite, error) {
	if l.closed.Load() {
		return nil, ErrClosed
	}
	if l.o.Memory {
		return nil, errMemory
	}
	if err := l.Err(); err != nil {
		return nil, err
	}
	if now := l.Reserved(); now != x {
		return nil, fmt.Errorf("aof: a rewrite at offset %d is asked for, but the log is at %d", x, now)
	}
	l.cutMu.Lock()
	defer l.cutMu.Unlock()
	if l.rw != nil {
		return nil, errors.New("Background append only file rewriting already in progress")
	}
	// A rotation for size that is still ahead becomes this one.
	l.cut.Store(x)
	r := &Rewrite{l: l, x: x, buf: make([]byte, 0, rewriteBuffer)}
	l.rw = r
	return r, nil
}

// Offset is the log offset at which the base must be exact. In a log that follows another server the base says itself in which database
// the stream is there (an RDB's repl-stream-db).
func (r *Rewrite) Offset() int64 { return r.x }

func (r *Rewrite) Write(p []byte) (int, error) {
	if r.ended {
		return 0, os.ErrClosed
	}
	done := 0
	for len(p) > 0 && r.err == nil {
		n := min(len(p), cap(r.buf)-len(r.buf))
		r.buf = append(r.buf, p[:n]...)
		p = p[n:]
		done += n
		if len(r.buf) == cap(r.buf) {
			r.flush()
		}
	}
	return done, r.err
}

func (r *Rewrite) flush() {
	l := r.l
	if r.file == nil && r.err == nil {
		r.name = fmt.Sprintf("%sbg-%d.rdb", rewritePrefix, os.Getpid())
		r.file, r.err = l.o.FS.Create(l.path(r.name))
	}
	if r.err == nil {
		_, r.err = r.file.WriteAt(r.buf, r.size)
		r.size += int64(len(r.buf))
		r.buf = r.buf[:0]
	}
	for r.err == nil && r.size-r.behind >= rewriteStretch {
		r.err = r.file.StartWriteback(r.behind, rewriteStretch)
		r.behind += rewriteStretch
	}
	if r.err != nil {
		r.err = fmt.Errorf("aof: writing the new base: %w", r.err)
	}
}

// Commit syncs the base, switches the manifest, and turns the files it replaces into history (deleted or recycled in the
// background). On an error the old base and all segments stay, and the rewrite is over.
func (r *Rewrite) Commit() error {
	if r.ended {
		return os.ErrClosed
	}
	l := r.l
	r.flush()
	if r.err == nil {
		r.err = r.file.Datasync()
	}
	if r.err == nil {
		r.err = r.awaitCut()
	}
	if r.err != nil {
		err := r.err
		r.Abort()
		return err
	}
	if err := r.file.Close(); err != nil {
		r.file = nil
		r.Abort()
		return err
	}
	r.file = nil
	if err := r.switchTo(); err != nil {
		r.Abort()
		return err
	}
	r.end()
	l.wakeKeeper()
	return nil
}

// awaitCut waits until the drainer has changed over at x. Whoever appends drains; this helps when nobody does. When it finds the
// role taken, the holder drains once more, and when there is a hole, its writer does: either way the change comes.
func (r *Rewrite) awaitCut() error {
	l := r.l
	for l.cut.Load() != noCut || l.appended.Load() < r.x {
		if l.closed.Load() {
			return ErrClosed
		}
		if err := l.Err(); err != nil {
			return err
		}
		if l.mustMove.Load() {
			return ErrFailed // the move to a fresh segment gives this rewrite up
		}
		l.commitAppend()
		l.serveOrphan()
		if l.cut.Load() != noCut {
			select {
			case <-l.cutBy:
			case <-l.quit:
			}
		}
	}
	l.cutMu.Lock()
	defer l.cutMu.Unlock()
	if r.failed {
		return errors.New("aof: the log could not be divided at the rewrite's offset: there was a write error")
	}
	return nil
}

func (r *Rewrite) switchTo() error {
	l := r.l
	l.metaMu.Lock()
	defer l.metaMu.Unlock()
	l.cutMu.Lock()
	failed := r.failed
	l.cutMu.Unlock()
	if failed {
		return errors.New("aof: the log could not be divided at the rewrite's offset: there was a write error")
	}
	base := &fileEntry{name: fmt.Sprintf("%s.%d.base.rdb", l.o.Name, l.meta.maxBase+1), seq: l.meta.maxBase + 1, typ: typeBase, start: r.x,
		length: r.size}
	return l.installLocked(base, func() (inPlace bool, err error) {
		if err := l.o.FS.Rename(l.path(r.name), l.path(base.name)); err != nil {
			return false, err
		}
		return true, l.o.FS.SyncDir(l.o.Dir)
	})
}

// installLocked makes a base the log's: the manifest names it, with the segments that continue it. place brings its file into the directory, once the sidecar
// knows it. With an error everything is as before, as far as anybody can tell: where the manifest on the disk may be the new one all the
// same, the next one that is written settles it. metaMu must be held.
func (l *Log) installLocked(base *fileEntry, place func() (inPlace bool, err error)) error {
	m := &l.meta
	was := *m
	m.maxBase = max(m.maxBase, base.seq)
	m.base = base
	if m.attach != nil && m.attach != base {
		m.doubtful = append(m.doubtful[:len(m.doubtful):len(m.doubtful)], m.attach)
	}
	m.attach = nil
	// Segments that begin before x hold nothing that the base does not.
	m.incr = nil
	hist := append([]*fileEntry(nil), was.hist...)
	if was.base != nil {
		hist = append(hist, was.base)
	}
	m.hist = append(hist, was.old...)
	m.kept = was.kept[:len(was.kept):len(was.kept)]
	l.segMu.Lock() // for start
	for _, e := range was.incr {
		if e.start != unknownOffset && e.start < base.start {
			m.kept = append(m.kept, e)
			continue
		}
		m.incr = append(m.incr, e)
	}
	l.segMu.Unlock()
	m.old = nil
	// The sidecar keeps what it says about the replaced files until the manifest has let go of them, and that the log is
	// detached until the manifest says that it is not.
	err := l.saveSidecarLocked()
	inPlace := false
	if err == nil {
		inPlace, err = place()
	}
	m.detached = false
	if err == nil {
		err = l.saveManifestLocked()
	}
	if err != nil {
		maxBase, doubtful := m.maxBase, m.doubtful
		*m = was
		m.maxBase = maxBase // the number is spent
		switch {
		case !inPlace:
		case was.detached:
			m.attach, m.doubtful = base, doubtful
		default:
			m.doubtful = append(doubtful[:len(doubtful):len(doubtful)], base)
		}
		l.wakeKeeper()
		return err
	}
	m.oldID, m.oldAncestors = "", nil
	if was.detached {
		if err := l.saveSidecarLocked(); err != nil {
			l.logf('#', "aof: %v", err) // the next change of files writes it again
		}
	}
	l.segMu.Lock()
	for _, e := range m.hist {
		e.typ = typeHistory
	}
	for _, e := range m.kept {
		e.typ, e.kept = typeHistory, true
	}
	l.segMu.Unlock()
	l.trimHistoryLocked()
	l.oldestLocked()
	return nil
}

// settleLocked writes the manifest anew where it is not known which one is on the disk. Before it returned without an error no file may be removed
// that any of them could name. metaMu must be held.
func (l *Log) settleLocked() error {
	if len(l.meta.doubtful) == 0 && l.meta.attach == nil {
		return nil
	}
	return l.saveManifestLocked()
}

// Abort drops the file; the old base and all segments stay.
func (r *Rewrite) Abort() {
	if r.ended {
		return
	}
	l := r.l
	if r.file != nil {
		_ = r.file.Close()
		r.file = nil
	}
	if r.name != "" {
		_ = l.o.FS.Remove(l.path(r.name)) // a leftover is removed at the next start
	}
	r.end()
}

func (r *Rewrite) end() {
	r.ended = true
	r.buf = nil
	r.l.cutMu.Lock()
	if r.l.rw == r {
		r.l.rw = nil
	}
	r.l.cutMu.Unlock()
}
