package netio

import "sync/atomic"

// Stats sums over all loops since the start. Takeovers counts loops that a
// standby took over because a commit was slow.
type Stats struct {
	Accepted, Rejected, BytesIn, BytesOut, QueryLimitCloses, OutputLimitCloses int64
	LongestTurnNanos                                                           int64
	Takeovers, Migrations                                                      int64
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
		l.longest.Store(0)
	}
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
		st.LongestTurnNanos = max(st.LongestTurnNanos, l.longest.Load())
	}
	return st
}
