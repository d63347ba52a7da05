package engine

import (
	"context"

	"tidemark/engine/command"
	"tidemark/engine/config"
	"tidemark/engine/serverlog"
	"tidemark/netio"
)

// Extension is what a layer above adds to the server: package shipper, replication. The engine calls it; it calls back what is
// exported here and by Session. Unless said otherwise a method runs on an event loop's thread and must not block.
type Extension interface {
	// Attach is called first, before the command table is made: the server exists, with its configuration, but holds no data and serves
	// nobody. On the goroutine of Start.
	Attach(s *Server)
	// Commands are added to the table. One that has the name of a command of the engine's takes its place.
	Commands() []*command.Descriptor
	// Loaded is called when the data are loaded, before clients may use them: what the server is to be, a primary or a replica, must be settled
	// before the first write. An error ends the server. On a goroutine of its own; it may block.
	Loaded() error
	// LoopProgress is called on a loop after its own commit and when it was woken, if Server.WantProgress said so. Output that it gives
	// to the loop's connections leaves in the same turn.
	LoopProgress(l *netio.Loop)
	// TurnEnds is called on a loop before its commit, if AskTurn said so for this turn. It reports whether it has put something into the log.
	TurnEnds(l *netio.Loop) bool
	// Closed is called when a session ends whose Ext is set.
	Closed(ss *Session)
	// InfoReplication writes INFO's section of that name.
	InfoReplication(t *InfoText)
	// Stats are what other sections of INFO show of replication. Any goroutine.
	Stats() ReplicationStats
	// ResetStats is CONFIG RESETSTAT. Any goroutine.
	ResetStats()
	// AwaitReplicas returns when every replica has acknowledged all of the log, or ctx is done: the server is about to shut down, and
	// writers are held. On the goroutine of Shutdown.
	AwaitReplicas(ctx context.Context)
	// Stopping is called when the server shuts down and everything is synced: links are to end. On the goroutine of Shutdown; it may block.
	Stopping()
}

// ReplicationStats are what INFO stats and memory show of replication.
type ReplicationStats struct {
	BytesIn, BytesOut                       int64 // over links
	SyncFull, SyncPartialOK, SyncPartialErr int64
	BacklogBytes, BufferBytes, LinksBytes   int64 // memory: the backlog, what is held back for replicas beyond it, links' buffers
}

// noExtension is a server without replication.
type noExtension struct{ s *Server }

func (e *noExtension) Attach(s *Server)              { e.s = s }
func (*noExtension) Commands() []*command.Descriptor { return nil }
func (*noExtension) Loaded() error                   { return nil }
func (*noExtension) LoopProgress(*netio.Loop)        {}
func (*noExtension) TurnEnds(*netio.Loop) bool       { return false }
func (*noExtension) Closed(*Session)                 {}
func (e *noExtension) InfoReplication(t *InfoText)   { e.s.infoPrimary(t) }
func (*noExtension) Stats() ReplicationStats         { return ReplicationStats{} }
func (*noExtension) ResetStats()                     {}
func (*noExtension) AwaitReplicas(context.Context)   {}
func (*noExtension) Stopping()                       {}

// Config is the server's configuration.
func (s *Server) Config() *config.Config { return s.cfg }

// Logger is the server's log for people.
func (s *Server) Logger() *serverlog.Logger { return s.log }

// Store is the keyspace with the rules of commands.
func (s *Server) Store() *command.Store { return s.store }

// Net is the event loops; nil until the listeners are open.
func (s *Server) Net() *netio.Server { return s.net }

// WantProgress has Extension.LoopProgress called for a loop, or no longer. On that loop's thread.
func (s *Server) WantProgress(l *netio.Loop, on bool) { s.stateOf(l).progress.Store(on) }

// AskTurn has Extension.TurnEnds called at the end of the present turn. On that loop's thread.
func (s *Server) AskTurn(l *netio.Loop) { s.stateOf(l).askTurn = true }

// WakeProgress wakes the loops that WantProgress was said for. Any goroutine; it does not block.
func (s *Server) WakeProgress() {
	for _, ls := range s.loopStates() {
		if ls.progress.Load() {
			ls.l.Wake()
		}
	}
}

// WakeWaiters has every blocked client's Poller asked: something has moved that they may wait for. Any goroutine; it does not block.
func (s *Server) WakeWaiters() { s.wakeInterested() }

// loopStates is a copy of the list of loops that may be read without s.mu.
func (s *Server) loopStates() []*loopState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loops
}

// tableFamilies are all commands: the extension's, and those of the engine's own that it does not bring along.
func (s *Server) tableFamilies(own ...[]*command.Descriptor) [][]*command.Descriptor {
	extra := s.ext.Commands()
	theirs := map[string]bool{}
	for _, d := range extra {
		theirs[d.Name] = true
	}
	out := [][]*command.Descriptor{extra}
	for _, family := range own {
		var kept []*command.Descriptor
		for _, d := range family {
			if !theirs[d.Name] {
				kept = append(kept, d)
			}
		}
		out = append(out, kept)
	}
	return out
}
