package aof

import "fmt"

// A replica that received a data set begins anew with it: the RDB is its base, and what it had is gone. The steps, each durable
// before the next:
//
//	sidecar     knows the new base beside everything old, and who it belongs to
//	rename      the RDB into the directory
//	rename      an empty file to the first segment's name
//	sidecar     knows the segment, too
//	manifest    names base and segment, and what was there as history: this is the moment
//	sidecar     forgets that it was ahead of the manifest
//
// A crash before that moment leaves the manifest of before, and the next start removes what only the sidecar knows.

// openOnBase is openActive for a log that begins with Options.BaseFile.
func (l *Log) openOnBase(off int64) error {
	o := &l.o
	size, err := l.syncFile(o.BaseFile)
	if err != nil {
		return fmt.Errorf("aof: the new base: %w", err)
	}
	m := &l.meta
	m.maxBase++
	m.base = &fileEntry{name: fmt.Sprintf("%s.%d.base.rdb", o.Name, m.maxBase), seq: m.maxBase, typ: typeBase, start: off, length: size,
		db: o.BaseDB}
	if err := l.saveSidecarLocked(); err != nil {
		return err
	}
	if err := o.FS.Rename(o.BaseFile, l.path(m.base.name)); err != nil {
		return fmt.Errorf("aof: the new base: %w", err)
	}
	if err := l.openActive(off); err != nil { // with the directory's sync, and the sidecar's
		return err
	}
	m.hist, m.old = m.old, nil
	m.detached = false
	err = l.saveManifestLocked()
	if err == nil {
		m.oldID, m.oldAncestors = "", nil
		for _, e := range m.hist {
			e.typ = typeHistory
		}
		err = l.saveSidecarLocked()
	}
	if err != nil {
		_ = l.active.close()
	}
	return err
}

// syncFile makes a file's content durable and gives its length.
func (l *Log) syncFile(name string) (size int64, err error) {
	f, err := l.o.FS.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if size, err = f.Size(); err != nil {
		return 0, err
	}
	return size, f.Datasync()
}
