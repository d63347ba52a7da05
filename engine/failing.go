package engine

import (
	"time"

	"tidemark/aof"
)

// While the log fails (Log.Err), what was executed but had not reached the disk hangs in the balance: it may become durable yet, or be
// lost in a crash. Neither an OK nor silence is an answer then.
//
//   - New writes are refused (Server.refuse).
//   - A read of what is not durable is refused, too; other reads go on.
//   - Replies that wait already wait a little longer, as most failures of this kind pass. Then the first of a connection becomes an error that
//     says so, and the connection closes: the replies behind it may be about the connection's state (SELECT, MULTI), so that none of them
//     could be replaced while it stays open.
//   - Nothing is removed on the server's own account (Ctx.logStuck).

// giveUpAfter is how long the log may fail before replies that wait for it are given up.
const giveUpAfter = time.Second

const (
	undecided = "; the command was executed, but it is not on disk: it may be lost, or become durable later"
	notOnDisk = "; what was asked for is not on disk and may be lost"
)

// watchHealth starts and stops the loop's clock for replies that wait for a log that fails.
func (ls *loopState) watchHealth(log *aof.Log) {
	failing := log.Err() != nil
	if failing && ls.failing == nil {
		ls.failing = ls.l.After(giveUpAfter, ls.giveUp)
	} else if !failing && ls.failing != nil {
		ls.failing.Stop()
		ls.failing = nil
	}
}

// giveUp ends the connections whose replies wait for a log that has failed for too long.
func (ls *loopState) giveUp() {
	ls.failing = nil
	s := ls.srv
	log := s.store.Log()
	if log == nil {
		return
	}
	err := log.Err()
	if err == nil {
		return
	}
	why := misconf(err) + undecided
	if n := ls.l.FailGated(why); n > 0 {
		s.log.Warningf("%d clients were told that their writes may be lost, and disconnected: %v", n, err)
		for range n {
			s.stats.errors.count(why)
		}
	}
}

// refuseRead gives the error of a read whose reply would have to wait for a log that fails; empty: it may wait.
func (s *Server) refuseRead() string {
	if log := s.store.Log(); log != nil {
		if err := log.Err(); err != nil {
			return misconf(err) + notOnDisk
		}
	}
	return ""
}
