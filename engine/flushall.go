package engine

import (
	"tidemark/engine/command"
	"tidemark/netio"
)

// Where save points are set, FLUSHALL also empties the RDB file, as in Redis: what was flushed shall not come back with the next start.
// Redis stops everybody for the disk; here only the connection that flushed is held until the file is there, and its reply does not wait
// for the file, only its next request does.

// noteFlushAll is called within FLUSHALL.
func (s *Server) noteFlushAll(c *command.Ctx) {
	if ss, ok := c.Client.(*Session); ok && len(s.cfg.Load().Save) > 0 {
		ss.loop.flushedAll = true
	}
}

// saveEmptied begins to save what a FLUSHALL of ss, or a transaction with one, has left.
func (ls *loopState) saveEmptied(ss *Session) {
	s := ls.srv
	ls.ctx.Publish() // these changes are in the file that follows
	ss.conn.HoldQuietly()
	ss.conn.SetIdleExempt(true)
	go func() {
		s.dropSnapshot(kindRDB) // it is of the data before
		if err := s.saveRDB(s.rdbPath()); err != nil {
			s.log.Warningf("Saving after FLUSHALL failed: %v", err)
			s.saveFailed()
		}
		ss.conn.Post(func(conn *netio.Conn) {
			conn.SetIdleExempt(false)
			conn.Release()
		})
	}()
}
