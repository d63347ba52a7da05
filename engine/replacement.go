package engine

import (
	"io"
	"os"
	"path/filepath"

	"tidemark/aof"
	"tidemark/engine/config"
)

// Replacement is a primary's snapshot that is to take the place of our data.
type Replacement struct {
	RDBPath   string    // the file, in SnapshotDir; it becomes the base of the AOF or the RDB file; or
	Stream    io.Reader // the bytes, loaded as they come
	Offset    int64     // of the log, at which the snapshot is exact
	ID        string    // the history that the offset belongs to
	Ancestors []aof.Ancestor
}

// LoadsFromStream reports whether a snapshot from a primary is to be loaded as it comes, by repl-diskless-load, rather than from a file: what we
// have is lost then if the link breaks meanwhile.
func (s *Server) LoadsFromStream() bool {
	switch s.cfg.Load().DisklessLoad {
	case config.LoadOnEmptyDB:
		return s.empty()
	case config.LoadSwapDB:
		return true
	}
	return false
}

func (s *Server) empty() bool {
	for i := range s.store.KS.NumShards() {
		sh := s.store.KS.Shard(i)
		sh.Lock()
		n := 0
		for db := range s.store.KS.Databases() {
			n += sh.Len(db)
		}
		sh.Unlock()
		if n > 0 {
			return false
		}
	}
	return true
}

// SnapshotDir is where the file of a Replacement is to be.
func (s *Server) SnapshotDir() string {
	v := s.cfg.Load()
	if !v.AppendOnly {
		return v.Dir
	}
	// There it is removed at the next start, should this one not get to the end.
	dir := filepath.Join(v.Dir, v.AppendDirname)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.log.Warningf("%v", err) // whoever writes there is told again
	}
	return dir
}

// ReplaceData puts a snapshot in the place of all data and of the log: the log begins anew at its offset. Clients are answered -LOADING meanwhile.
// It returns the database that the stream is in there. With an error the keyspace is empty, and no state of any log: only
// another Replacement helps. Not on a loop's thread, and only by a replica.
func (s *Server) ReplaceData(r Replacement) (db int, err error) {
	s.configuring.Lock()
	defer s.configuring.Unlock()
	v := s.cfg.Load()
	total := int64(0)
	if info, err := os.Stat(r.RDBPath); err == nil {
		total = info.Size()
	}
	if err := s.beginLoading(total); err != nil {
		return 0, err
	}
	defer s.endLoading()
	defer func() {
		if err != nil {
			s.flushEverything()
		}
	}()
	s.dropSnapshot(kindAOF, kindRDB, kindStream)
	if err := s.closeLog(); err != nil {
		s.log.Warningf("Closing the log that a snapshot replaces: %v", err)
	}
	s.flushEverything()
	ld := &rdbLoad{s: s, name: "the primary's snapshot"}
	if r.Stream != nil {
		_, err = ld.read(r.Stream)
	} else {
		ld.origin, err = s.loadRDB(r.RDBPath, false)
	}
	if err != nil {
		return 0, err
	}
	db = ld.origin.db
	s.tail.Stop()
	s.setHistory(r.ID, r.Ancestors)
	s.logEnd = r.Offset
	s.followDB.Store(int64(db))
	if err := s.adopt(v, r, db); err != nil {
		return 0, err
	}
	s.forgetStamps()
	_, err = s.ensureStream()
	return db, err
}

// adopt opens the log that begins at the snapshot. A file becomes its base, or the RDB file when there is no AOF; what came as a stream is
// written out in the background. configuring is held.
func (s *Server) adopt(v *config.Values, r Replacement, db int) error {
	if !v.AppendOnly {
		if r.RDBPath != "" {
			if err := os.Rename(r.RDBPath, s.rdbPath()); err != nil {
				s.log.Warningf("The snapshot from the primary does not become %s: %v", v.DBFilename, err)
			}
		}
		log, err := s.openMemoryLog(v)
		if err == nil {
			s.switchLog(log)
		}
		return err
	}
	o := s.logOptions(v)
	o.Fresh, o.ID, o.Ancestors, o.StartOffset = true, r.ID, r.Ancestors, r.Offset
	o.BaseFile, o.BaseDB = r.RDBPath, db
	log, _, err := aof.Open(o, nil)
	if err != nil {
		return err
	}
	s.rewrite.baseless.Store(false)
	s.switchLog(log)
	if r.RDBPath != "" {
		return nil
	}
	s.rewrite.baseless.Store(true)
	return s.beginBase()
}

// forgetStamps forgets the offsets of recent writes: they are of another history, which the log's watermarks may never reach.
func (s *Server) forgetStamps() {
	s.store.KS.LockAll()
	defer s.store.KS.UnlockAll()
	s.store.ForgetOffsets()
}
