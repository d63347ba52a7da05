package engine

import (
	"io"
	"os"

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
	return s.cfg.Load().Dir
}

// ReplaceData puts a snapshot in the place of all data and of the log: the log begins anew at its offset. Clients are answered -LOADING meanwhile.
// It returns the database that the stream is in there. With an error the keyspace is empty, or half full, and no state of any log: only
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
	s.mu.Lock()
	s.replID = r.ID
	s.mu.Unlock()
	s.logEnd = r.Offset
	s.followDB.Store(int64(db))
	if !v.AppendOnly {
		_, err = s.ensureStream()
		return db, err
	}
	log, _, err := s.openLog(v, true)
	if err != nil {
		return 0, err
	}
	s.switchLog(log)
	if _, err = s.ensureStream(); err != nil {
		return 0, err
	}
	return db, s.startSnapshot(kindAOF, func(int64) (sink, error) { return log.BeginRewrite(log.Mark()) })
}
