package engine

import (
	"tidemark/engine/command"
	"tidemark/netio"
)

// FLUSHALL ends a save that is under way, as in Redis: it is of the data before. Where save points are set, FLUSHALL also empties the RDB file, as in Redis: what was flushed shall not come back with the next start.
// Redis stops everybody for the disk; here only the connection that flushed is held until the file is there, and its reply does not wait
// for the file, only its next request does.

// noteFlushAll is called within FLUSHALL.
func (s *Server) noteFlushAll(c *command.Ctx) {
	if ss, ok := c.Client.(*Session); ok {
		ss.loop.flushedAll = true
	}
}

// afterFlushAll gives up a save that is under way and, with save points, begins to save what a FLUSHALL of ss, or a transaction with one, has left.
func (ls *loopState) afterFlushAll(ss *Session) {
	s := ls.srv
	if len(s.cfg.Load().Save) == 0 {
		s.giveUpSnapshot(kindRDB)
		return
	}
	ls.ctx.Publish() // these changes are in the file that follows
	ss.conn.HoldQuietly()
	ss.conn.SetIdleExempt(true)
	go func() {
		s.dropSnapshot(kindRDB)
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
