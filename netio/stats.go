package netio

import "sync/atomic"

// Stats sums over all loops since the start. Takeovers counts loops that a
// standby took over because a commit was slow.
type Stats struct {
	Accepted, Rejected, BytesIn, BytesOut, QueryLimitCloses, OutputLimitCloses int64
	Reads, Writes                                                              int64 // those that moved bytes
	// LongestTurnNanos holds a commit by the loop's own thread as well, up to the moment at which the standby took the loop over. It
	// is wall clock: whatever else the kernel ran meanwhile is in it.
	LongestTurnNanos int64
	// MostTurnCPUNanos is the most CPU time that a turn's thread used up to its commit, and at most 0.1 ms before it.
	MostTurnCPUNanos      int64
	Takeovers, Migrations int64
	// Turns counts the turns of all loops, TurnNanos what they took, without the waiting between them and without commits.
	Turns, TurnNanos int64
}

type counters struct {
	accepted, rejected, queryLimit, outputLimit, takeovers, migrations atomic.Int64
}

// ResetStats starts the counters anew (CONFIG RESETSTAT). Any goroutine.
func (s *Server) ResetStats() {
	for _, n := range []*atomic.Int64{&s.stats.accepted, &s.stats.rejected, &s.stats.queryLimit, &s.stats.outputLimit,
		&s.stats.takeovers, &s.stats.migrations} {
		n.Store(0)
	}
	for _, l := range s.loops {
		l.bytesIn.Store(0)
		l.bytesOut.Store(0)
		l.reads.Store(0)
		l.writes.Store(0)
		l.longest.Store(0)
		l.mostCPU.Store(0)
		l.turns.Store(0)
		l.turnNanos.Store(0)
	}
}

// BufferedBytes is what connections take in buffers for input that is not complete and output that is not sent, as of the end of
// each loop's latest turn. Buffers that loops lend from turn to turn are not counted. Any goroutine.
func (s *Server) BufferedBytes() (n int64) {
	for _, l := range s.loops {
		n += l.heldSeen.Load()
	}
	return n
}

// Stats sums over all loops. Any goroutine.
func (s *Server) Stats() Stats {
	st := Stats{
		Accepted:          s.stats.accepted.Load(),
		Rejected:          s.stats.rejected.Load(),
		QueryLimitCloses:  s.stats.queryLimit.Load(),
		OutputLimitCloses: s.stats.outputLimit.Load(),
		Takeovers:         s.stats.takeovers.Load(),
		Migrations:        s.stats.migrations.Load(),
	}
	for _, l := range s.loops {
		st.BytesIn += l.bytesIn.Load()
		st.BytesOut += l.bytesOut.Load()
		st.Reads += l.reads.Load()
		st.Writes += l.writes.Load()
		st.Turns += l.turns.Load()
		st.TurnNanos += l.turnNanos.Load()
		st.LongestTurnNanos = max(st.LongestTurnNanos, l.longest.Load())
		st.MostTurnCPUNanos = max(st.MostTurnCPUNanos, l.mostCPU.Load())
	}
	return st
}
