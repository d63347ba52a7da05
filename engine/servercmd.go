package engine

import (
	"errors"
	"path/filepath"
	"time"

	"tidemark/engine/command"
	"tidemark/netio"
)

// serverCommands are those about the server as a whole.
func (s *Server) serverCommands() []*command.Descriptor {
	return []*command.Descriptor{
		{
			Name: "info", Arity: -1, Flags: command.Loading | command.Stale, Categories: command.CatDangerous, Scope: command.ScopeEach,
			Handler: s.info, Group: "server", Since: "1.0.0", Complexity: "O(1)",
			Summary: "Tells about the server, its clients, its memory, its log and what it did.",
			History: [][2]string{{"7.0.0", "Added support for taking multiple section arguments."}},
			Args:    []command.Arg{{Name: "section", Type: "string", Flags: command.Optional | command.Multiple}},
			Tips:    []string{"nondeterministic_output", "request_policy:all_shards", "response_policy:special"},
		},
		{
			Name: "time", Arity: 1, Flags: command.Loading | command.Stale | command.Fast, Handler: clock,
			Group: "server", Since: "2.6.0", Complexity: "O(1)", Summary: "Returns the server's time.",
			Tips: []string{"nondeterministic_output"},
		},
		{
			Name: "lastsave", Arity: 1, Flags: command.Loading | command.Stale | command.Fast,
			Categories: command.CatDangerous | command.CatAdmin, Handler: s.lastSaveTime,
			Group: "server", Since: "1.0.0", Complexity: "O(1)", Summary: "Returns the Unix time of the last successful save to the RDB file.",
			Tips: []string{"nondeterministic_output"},
		},
		{
			Name: "role", Arity: 1, Flags: command.NoScript | command.Loading | command.Stale | command.Fast,
			Categories: command.CatDangerous | command.CatAdmin, Handler: s.roleAlone, Group: "server", Since: "2.8.12", Complexity: "O(1)",
			Summary: "Returns the server's part in replication.",
		},
		{
			Name: "save", Arity: 1, Flags: command.Admin | command.NoScript | command.NoAsyncLoading | command.NoMulti,
			Scope: command.ScopeOwn, Handler: s.save, Group: "server", Since: "1.0.0",
			Complexity: "O(N) where N is the total number of keys in all databases", Summary: "Saves the data to the RDB file before it returns.",
		},
		{
			Name: "bgsave", Arity: -1, Flags: command.Admin | command.NoScript | command.NoAsyncLoading,
			Scope: command.ScopeOwn, Handler: s.bgsave, Group: "server", Since: "1.0.0", Complexity: "O(1)",
			Summary: "Saves the data to the RDB file in the background.",
			History: [][2]string{{"3.2.2", "Added the `SCHEDULE` option."}},
			Args:    []command.Arg{{Name: "schedule", Type: "pure-token", Token: "SCHEDULE", Flags: command.Optional, Since: "3.2.2"}},
		},
		{
			Name: "bgrewriteaof", Arity: 1, Flags: command.Admin | command.NoScript | command.NoAsyncLoading,
			Scope: command.ScopeOwn, Handler: s.bgrewriteaof, Group: "server", Since: "1.0.0", Complexity: "O(1)",
			Summary: "Rewrites the AOF in the background.",
		},
		s.configCommand(),
		s.shutdownCommand(),
	}
}

func (s *Server) roleAlone(c *command.Ctx) {
	off := int64(0)
	if log := s.store.Log(); log != nil {
		off = log.Reserved()
	}
	c.W.Array(3)
	c.W.BulkString("master")
	c.W.Int(off)
	c.W.Array(0)
}

// clock is TIME: Unix seconds, and the microseconds within the second.
func clock(c *command.Ctx) {
	now := time.Now().UnixMicro()
	c.W.Array(2)
	c.W.BulkInt(now / 1e6)
	c.W.BulkInt(now % 1e6)
}

func (s *Server) lastSaveTime(c *command.Ctx) {
	s.rewrite.mu.Lock()
	at := s.rewrite.lastSave
	s.rewrite.mu.Unlock()
	if at == 0 {
		at = s.started.Unix() // as if what was loaded had been saved then
	}
	c.W.Int(at)
}

func (s *Server) rdbPath() string {
	v := s.cfg.Load()
	return filepath.Join(v.Dir, v.DBFilename)
}

// save blocks every client that wants data, as SAVE does: BGSAVE is for those who mind.
func (s *Server) save(c *command.Ctx) {
	if s.snapshotRunning() == kindRDB {
		c.W.Error("ERR Background save already in progress")
		return
	}
	c.Client.(*Session).inBackground(func() string {
		if err := s.saveRDB(s.rdbPath()); err != nil {
			s.log.Warningf("SAVE failed: %v", err)
			return "ERR " + err.Error()
		}
		return ""
	})
}

// kindNone: no snapshot is being written.
const kindNone snapshotKind = 255

// snapshotRunning is the kind of the snapshot being written, or kindNone.
func (s *Server) snapshotRunning() snapshotKind {
	s.rewrite.mu.Lock()
	defer s.rewrite.mu.Unlock()
	if s.rewrite.job == nil {
		return kindNone
	}
	return s.rewrite.job.kind
}

func (s *Server) bgsave(c *command.Ctx) {
	schedule := false
	switch {
	case len(c.Args) == 1:
	case len(c.Args) == 2 && command.Is(c.Args[1], "schedule"):
		schedule = true
	default:
		c.W.Error(command.ErrSyntax)
		return
	}
	if c.InBlock() {
		// The block holds every shard's lock; the snapshot begins behind it.
		c.Client.(*Session).loop.l.Post(func(*netio.Loop) { s.saveInBackground() })
		c.W.Simple("Background saving scheduled")
		return
	}
	switch err := s.startSave(s.rdbPath()); {
	case err == nil:
		c.W.Simple("Background saving started")
	case !errors.Is(err, ErrSnapshotRunning):
		s.log.Warningf("BGSAVE failed: %v", err)
		c.W.Error("ERR " + err.Error())
	case s.snapshotRunning() == kindRDB:
		c.W.Error("ERR Background save already in progress")
	case schedule && s.scheduleSave():
		c.W.Simple("Background saving scheduled")
	default:
		c.W.Error("ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a " +
			"BGSAVE whenever possible.")
	}
}

func (s *Server) saveInBackground() {
	if err := s.startSave(s.rdbPath()); err != nil {
		s.log.Warningf("A scheduled background save did not start: %v", err)
	}
}

const errRewrite = "ERR Can't execute an AOF background rewriting. Please check the server logs for more information."

func (s *Server) bgrewriteaof(c *command.Ctx) {
	log := s.store.Log()
	on := log != nil && log.OnDisk()
	if !on && !c.InBlock() && s.snapshotRunning() == kindNone {
		// There is an AOF to be opened first.
		c.Client.(*Session).inBackgroundSaying("Background append only file rewriting started", func() string {
			if err := s.startRewrite(); err != nil {
				s.log.Warningf("BGREWRITEAOF failed: %v", err)
				return errRewrite
			}
			return ""
		})
		return
	}
	if c.InBlock() {
		c.Client.(*Session).loop.l.Post(func(*netio.Loop) { go s.rewriteInBackground() })
		c.W.Simple("Background append only file rewriting scheduled")
		return
	}
	err := ErrSnapshotRunning
	if on {
		err = s.startRewrite()
	}
	switch {
	case err == nil:
		c.W.Simple("Background append only file rewriting started")
	case errors.Is(err, ErrSnapshotRunning) && s.scheduleRewrite():
		c.W.Simple("Background append only file rewriting scheduled")
	case errors.Is(err, ErrSnapshotRunning):
		c.W.Error("ERR Background append only file rewriting already in progress")
	default:
		s.log.Warningf("BGREWRITEAOF failed: %v", err)
		c.W.Error(errRewrite)
	}
}

func (s *Server) rewriteInBackground() {
	if err := s.startRewrite(); err != nil {
		s.log.Warningf("A scheduled AOF rewrite did not start: %v", err)
	}
}
