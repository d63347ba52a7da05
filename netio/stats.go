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
