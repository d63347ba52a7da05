package aof

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// What tidemark-aof does to a directory that no server has open.

// FileInfo describes one file of a directory.
type FileInfo struct {
	Name  string
	Type  string // base, incr or history
	State string // closed, active (the log was not closed), foreign or loaded (another server's), base, history (replaced by the base, and kept)
	Seq   int64
	Epoch uint32
	DB    int // of a base: the database the stream of another server is in where the base is exact
	// Start and End are the log offsets of its content, Bytes the length of what is valid, Size that of the file.
	Start, End, Bytes, Size int64
	Batches                 int64
	FirstMS, LastMS         int64 // unix time of the first and last batch; 0: there is none
}

// Report is what Inspect found.
type Report struct {
	Files  []FileInfo
	ID     string
	Offset int64 // where the log ends
	// Ancestors are the earlier ids, newest first.
	Ancestors []Ancestor
	Torn      int64 // bytes of a torn tail, which the next start cuts
	// Err is why a server would refuse to start: a *DamageError, a *FormatError, or something else that names its file.
	Err error
}

func toolLoader(fsys FS, dir, name string) *loader {
	if fsys == nil {
		fsys = OSFS{}
	}
	if name == "" {
		name = defaultName
	}
	o := &Options{FS: fsys, Dir: dir, Name: name, LoadTruncated: true, Logf: func(byte, string, ...any) {}}
	return &loader{fs: fsys, dir: dir, name: name, o: o, meta: &meta{}, rec: &Recovery{}}
}

// Inspect reads everything in the directory, verifies it, and changes nothing. An error means that there is no AOF to
// look at; what is wrong with one that exists is in Report.Err.
func Inspect(fsys FS, dir, name string) (*Report, error) {
	ld := toolLoader(fsys, dir, name)
	ld.readOnly = true
	err := ld.readMeta()
	if err == nil && !ld.rec.Existed {
		return nil, fmt.Errorf("aof: %s has no %s: %w", dir, manifestName(ld.name), fs.ErrNotExist)
	}
	if err == nil && ld.meta.base != nil && ld.meta.base.name == ld.name {
		if f, e := ld.fs.OpenRead(join(dir, ld.name)); e == nil {
			f.Close()
		} else {
			ld.dir = filepath.Dir(filepath.Clean(dir)) // Redis 6's file, not yet moved
		}
	}
	if err == nil {
		err = ld.load()
	}
	return &Report{Files: ld.seen, ID: ld.meta.id, Ancestors: clampAncestors(ld.meta.ancestors, ld.off), Offset: ld.off,
		Torn: ld.rec.Truncated, Err: err}, nil
}

// Cut is one thing that Repair took away.
type Cut struct {
	File   string
	Pos    int64  // from this byte on
	Bytes  int64  // this many
	Backup string // and put them here
	Reason error
}

const backupPrefix = "tidemark-cut-"

// Repair makes the directory one that a server, also a stock one, loads: it cuts the log at the first damage, drops what
// follows, and trims torn and unused tails. Everything of value that it cuts is kept beside in files whose names begin with
// tidemark-cut-.
func Repair(fsys FS, dir, name string) (cuts []Cut, err error) {
	if fsys == nil {
		fsys = OSFS{}
	}
	unlock, err := lockDir(fsys, dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := unlock(); err == nil {
			err = e
		}
	}()
	for range 1000 {
		ld := toolLoader(fsys, dir, name)
		if err := ld.readMeta(); err != nil {
			side := join(dir, sidecarName(ld.name))
			if !strings.Contains(err.Error(), side) || ld.meta == nil {
				return cuts, err
			}
			c, err := setAside(ld.fs, side, err)
			if err != nil {
				return cuts, err
			}
			cuts = append(cuts, c)
			continue
		}
		if !ld.rec.Existed {
			return cuts, fmt.Errorf("aof: %s has no %s: %w", dir, manifestName(ld.name), fs.ErrNotExist)
		}
		lerr := ld.load()
		if lerr == nil {
			if ld.meta.id == "" || ld.rec.Foreign || len(cuts) > 0 {
				// What was cut may live on elsewhere under the old one, which holds as far as the log does.
				old := Ancestor{ld.meta.id, ld.off}
				ld.meta.id = newID()
				if ld.rec.Foreign || old.ID == "" {
					ld.meta.ancestors = nil
				} else {
					ld.meta.ancestors = clampAncestors(append([]Ancestor{old}, ld.meta.ancestors...), ld.off)
				}
			}
			ld.changed = true
			return cuts, ld.sweep()
		}
		file, pos, ok := place(lerr)
		if !ok {
			return cuts, lerr
		}
		more, err := ld.cutAt(file, pos, lerr)
		cuts = append(cuts, more...)
		if err != nil {
			return cuts, err
		}
	}
	return cuts, errors.New("aof: the repair does not come to an end")
}

// place says where an error of the loader wants the cut.
func place(err error) (file string, pos int64, ok bool) {
	var d *DamageError
	var f *FormatError
	switch {
	case errors.As(err, &d):
		return d.File, d.Pos, true
	case errors.As(err, &f):
		return f.File, f.Pos, true
	}
	return "", 0, false
}

// setAside renames a file to a backup.
func setAside(fsys FS, path string, reason error) (Cut, error) {
	f, err := fsys.OpenRead(path)
	if err != nil {
		return Cut{}, err
	}
	size, err := f.Size()
	f.Close()
	if err != nil {
		return Cut{}, err
	}
	backup := freeName(fsys, path)
	if err := fsys.Rename(path, backup); err != nil {
		return Cut{}, err
	}
	return Cut{File: path, Bytes: size, Backup: backup, Reason: reason}, fsys.SyncDir(filepath.Dir(path))
}

// freeName finds a name for a backup of path.
func freeName(fsys FS, path string) string {
	for i := 1; ; i++ {
		name := filepath.Join(filepath.Dir(path), fmt.Sprintf("%s%d-%s", backupPrefix, i, filepath.Base(path)))
		f, err := fsys.OpenRead(name)
		if err != nil {
			return name
		}
		f.Close()
	}
}

// cutAt keeps [0, pos) of one file of the manifest and nothing of those behind it.
func (ld *loader) cutAt(path string, pos int64, reason error) (cuts []Cut, err error) {
	m := ld.meta
	var kept []*fileEntry
	found := m.base != nil && join(ld.dir, m.base.name) == path
	drop := m.incr
	if found {
		m.base.start = unknownOffset
	} else {
		for i, e := range m.incr {
			if join(ld.dir, e.name) == path {
				found, kept, drop = true, m.incr[:i+1], m.incr[i+1:]
				if e.state == stateClosed && pos <= e.length {
					e.state = stateActive // sealed anew by the next pass
				}
				e.tail = 0
			}
		}
	}
	if !found {
		return nil, fmt.Errorf("aof: %s is not in the manifest", path)
	}
	f, err := ld.fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if pos < size {
		backup := freeName(ld.fs, path)
		if err := copyRange(ld.fs, backup, f, pos, size); err != nil {
			return nil, err
		}
		cuts = append(cuts, Cut{File: path, Pos: pos, Bytes: size - pos, Backup: backup, Reason: reason})
	}
	m.incr = kept
	m.old = nil
	if err := replaceFile(ld.fs, ld.dir, manifestName(ld.name), m.manifest()); err != nil {
		return cuts, err
	}
	if err := replaceFile(ld.fs, ld.dir, sidecarName(ld.name), m.sidecar()); err != nil {
		return cuts, err
	}
	for _, e := range drop {
		c, err := setAside(ld.fs, join(ld.dir, e.name), errors.New("it follows the cut"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return cuts, err
		}
		cuts = append(cuts, c)
	}
	if err := f.Truncate(pos); err != nil {
		return cuts, err
	}
	return cuts, f.Datasync()
}

// copyRange makes a file of [from, to) of another, durably.
func copyRange(fsys FS, name string, src File, from, to int64) error {
	dst, err := fsys.Create(name)
	if err != nil {
		return err
	}
	buf := make([]byte, min(chunkBytes, max(to-from, 1)))
	for at := from; at < to && err == nil; {
		var n int
		n, err = readFull(src, buf[:min(int64(len(buf)), to-at)], at)
		if err == nil && n == 0 {
			err = fmt.Errorf("aof: %s became shorter while it was copied", name)
		}
		if err == nil {
			_, err = dst.WriteAt(buf[:n], at-from)
		}
		at += int64(n)
	}
	if err == nil {
		err = dst.Datasync()
	}
	if e := dst.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = fsys.SyncDir(filepath.Dir(name))
	}
	return err
}

// RestoreTo is a point of the log: an offset, or a time if UnixMS is not 0.
type RestoreTo struct {
	Offset int64
	UnixMS int64
}

// Restore copies the directory to a new one in which the log ends at the last whole effect at or before the given point. It
// returns that offset. The source is only read.
func Restore(fsys FS, dir, name, to string, point RestoreTo) (offset int64, err error) {
	ld := toolLoader(fsys, dir, name)
	fsys, name = ld.fs, ld.name
	if names, err := fsys.ReadDir(to); err == nil && len(names) > 0 {
		return 0, fmt.Errorf("aof: %s is not empty", to)
	}
	rep, err := Inspect(fsys, dir, name)
	if err != nil {
		return 0, err
	}
	ld.readOnly = true
	if err := ld.readMeta(); err != nil {
		return 0, err
	}
	m := ld.meta
	out := &meta{id: newID(), base: m.base}
	if err := fsys.MkdirAll(to); err != nil {
		return 0, err
	}
	whole := func(name string, n int64) error {
		src, err := fsys.OpenRead(join(dir, name))
		if err != nil {
			return err
		}
		defer src.Close()
		return copyRange(fsys, join(to, name), src, 0, n)
	}
	seen := map[string]FileInfo{}
	for _, f := range rep.Files {
		seen[f.Name] = f
	}
	if m.base != nil {
		b, ok := seen[m.base.name]
		if !ok {
			return 0, fmt.Errorf("aof: the base cannot be read: %w", rep.Err)
		}
		if point.UnixMS == 0 && point.Offset < b.Start {
			return 0, fmt.Errorf("aof: the base is exact at offset %d: the log cannot be taken back to %d with it", b.Start, point.Offset)
		}
		if err := whole(b.Name, b.Size); err != nil {
			return 0, err
		}
		m.base.start = b.Start
		offset = b.Start
	}
	for _, e := range m.incr {
		f, ok := seen[e.name]
		if !ok {
			if rep.Err != nil {
				return offset, fmt.Errorf("aof: the log is readable up to offset %d only: %w", offset, rep.Err)
			}
			break // behind the end of the log
		}
		if point.UnixMS == 0 && f.Start >= point.Offset && f.End > f.Start || point.UnixMS != 0 && f.FirstMS > point.UnixMS {
			break
		}
		if f.Epoch == 0 && f.Batches == 0 && f.End > f.Start && (point.UnixMS != 0 || f.End > point.Offset) {
			return offset, fmt.Errorf("aof: %s was written by another server and can only be restored as a whole", e.name)
		}
		if f.Batches == 0 && f.End > f.Start { // another server's
			if err := whole(e.name, f.Bytes); err != nil {
				return offset, err
			}
			e.state, e.length = stateLoaded, f.Bytes
			out.incr = append(out.incr, e)
			offset = f.End
			continue
		}
		n, end, chain, err := restoreSegment(fsys, join(dir, e.name), join(to, e.name), f, point)
		if err != nil {
			return offset, err
		}
		out.incr = append(out.incr, &fileEntry{name: e.name, seq: e.seq, typ: typeIncr, state: stateClosed, epoch: f.Epoch, length: n,
			chain: chain, start: f.Start, end: end})
		offset = end
		if end < f.End {
			break
		}
	}
	if err := replaceFile(fsys, to, sidecarName(name), out.sidecar()); err != nil {
		return offset, err
	}
	if len(out.manifest()) == 0 {
		return offset, errors.New("aof: nothing of the log lies before that point")
	}
	return offset, replaceFile(fsys, to, manifestName(name), out.manifest())
}

// restoreSegment copies the batches of one segment up to the point, the last of them cut at an effect's end.
func restoreSegment(fsys FS, from, to string, f FileInfo, point RestoreTo) (size, end int64, chain uint32, err error) {
	src, err := fsys.OpenRead(from)
	if err != nil {
		return 0, 0, 0, err
	}
	defer src.Close()
	dst, err := fsys.Create(to)
	if err != nil {
		return 0, 0, 0, err
	}
	defer dst.Close()
	end = f.Start
	var buf []byte
	for pos := int64(0); pos < f.Bytes; {
		h, p, err := readBatch(src, pos, buf)
		if err != nil {
			return 0, 0, 0, fmt.Errorf("aof: %s at byte %d: %w", from, pos, err)
		}
		buf = p[:cap(p)]
		pos += headerBytes + int64(len(p))
		last := false
		if point.UnixMS != 0 {
			if h.unixMS > point.UnixMS {
				break
			}
		} else if h.offset+h.counted() > point.Offset {
			last = true
			keep := 0
			for keep < len(p) {
				n, _, _, fr, _ := scanEffect(p[keep:])
				if fr != frameWhole || h.offset+int64(keep+n) > point.Offset {
					break
				}
				keep += n
			}
			if p = p[:keep]; keep == 0 {
				break
			}
		}
		var head [headerBytes]byte
		h.length = uint32(len(p))
		putHeader(head[:], &h)
		crc := sum(head[:], p)
		putCRC(head[:], crc)
		if _, err := dst.WriteAt(head[:], size); err != nil {
			return 0, 0, 0, err
		}
		if _, err := dst.WriteAt(p, size+headerBytes); err != nil {
			return 0, 0, 0, err
		}
		size += headerBytes + int64(len(p))
		end = h.offset + h.counted()
		chain = chainCRC(chain, crc)
		if last {
			break
		}
	}
	return size, end, chain, dst.Datasync()
}
