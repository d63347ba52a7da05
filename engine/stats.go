package engine

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tidemark/engine/command"
	"tidemark/netio"
)

// stats is what INFO counts besides the store's, the sockets' and the log's own counters.
//
// Nothing ticks. Rates and peaks need samples over time, and those are taken at the ends of turns and by INFO itself: a server
// on which no turn ends has nothing to sample.
type stats struct {
	errors errorStats
	rates  rates

	authFailures     atomic.Int64
	expiryNanos      atomic.Int64 // spent in active expiry
	expirySlicesFull atomic.Int64 // slices of active expiry that ended with keys still due

	mu   sync.Mutex
	base statsBase // guarded by mu
}

// statsBase is where counters that cannot be set back stood at the last CONFIG RESETSTAT.
type statsBase struct {
	net          netio.Stats
	delayedFsync int64
	freedLater   int64
}

func (st *stats) since() statsBase {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.base
}

// failed notes that a command replied an error; reply starts with '-' and is only read.
func (st *stats) failed(d *command.Descriptor, reply []byte) {
	d.CountFailed()
	line := reply[1:]
	if i := bytes.IndexByte(line, '\r'); i >= 0 {
		line = line[:i]
	}
	st.errors.countBytes(line)
}

// turn samples what has to be sampled, if it is time; now is in Unix µs. Any loop, at the end of its turn.
func (st *stats) turn(s *Server, now int64) {
	if now-st.rates.last.Load() < sampleMicros {
		return
	}
	st.sample(s, now)
}

// sample takes a sample of all counters now (Unix µs).
func (st *stats) sample(s *Server, now int64) {
	s.store.Stats.NotePeak(s.store.UsedMemory())
	n := s.net.Stats()
	st.rates.add(sample{now, s.store.Stats.Commands.Load(), n.BytesIn, n.BytesOut, n.Turns, n.TurnNanos})
}

const (
	sampleMicros = 100_000
	// rateMicros is the span the instantaneous rates are taken over: as in Redis, 16 samples of 100 ms.
	rateMicros = 16 * sampleMicros
	numSamples = 18
)

type sample struct{ at, commands, in, out, turns, turnNanos int64 }

// rates remembers the counters of the last moments.
type rates struct {
	last atomic.Int64 // when the latest sample was taken, Unix µs

	mu   sync.Mutex
	ring [numSamples]sample
	n    int // samples taken so far
}

// add keeps a sample, unless another loop has just taken one.
func (r *rates) add(x sample) {
	if !r.mu.TryLock() {
		return
	}
	defer r.mu.Unlock()
	if x.at-r.last.Load() < sampleMicros {
		return
	}
	r.ring[r.n%numSamples] = x
	r.n++
	r.last.Store(x.at)
}

// rate is how counters rose in a while: by the second, and for a turn of a loop.
type rate struct{ commands, in, out, turns, turnMicros float64 }

// perSecond gives the rates between the latest sample that is old enough (or the oldest there is) and x. After a time without
// turns that sample is as old as the pause, and the rates come out as low as they were.
func (r *rates) perSecond(x sample) rate {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n == 0 {
		return rate{}
	}
	from := r.ring[0]
	if r.n > numSamples {
		from = r.ring[r.n%numSamples]
	}
	for i := max(0, r.n-numSamples); i < r.n; i++ {
		if s := r.ring[i%numSamples]; x.at-s.at >= rateMicros {
			from = s
		}
	}
	sec := float64(x.at-from.at) / 1e6
	if sec <= 0 {
		return rate{}
	}
	return rate{
		commands: float64(x.commands-from.commands) / sec, in: float64(x.in-from.in) / sec, out: float64(x.out-from.out) / sec,
		turns: float64(x.turns-from.turns) / sec, turnMicros: ratio(x.turnNanos-from.turnNanos, x.turns-from.turns) / 1000,
	}
}

func (r *rates) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n = 0
	r.last.Store(0)
}

// maxErrorPrefixes bounds errorstats: an error's first word may come from a client (DEBUG ERROR, scripts).
const maxErrorPrefixes = 128

// errorStats counts error replies by their first word (INFO errorstats).
type errorStats struct {
	total atomic.Int64
	mu    sync.RWMutex
	by    map[string]*atomic.Int64
}

// count counts one error reply; msg is without its dash.
func (e *errorStats) count(msg string) {
	prefix, _, _ := strings.Cut(msg, " ")
	e.total.Add(1)
	e.mu.RLock()
	n := e.by[prefix]
	e.mu.RUnlock()
	if n == nil {
		n = e.add(prefix)
	}
	if n != nil {
		n.Add(1)
	}
}

func (e *errorStats) countBytes(msg []byte) {
	prefix, _, _ := bytes.Cut(msg, []byte{' '})
	e.total.Add(1)
	e.mu.RLock()
	n := e.by[string(prefix)]
	e.mu.RUnlock()
	if n == nil {
		n = e.add(string(prefix))
	}
	if n != nil {
		n.Add(1)
	}
}

func (e *errorStats) add(prefix string) *atomic.Int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := e.by[prefix]; n != nil {
		return n
	}
	if len(e.by) >= maxErrorPrefixes {
		return nil
	}
	if e.by == nil {
		e.by = map[string]*atomic.Int64{}
	}
	n := &atomic.Int64{}
	e.by[strings.Clone(prefix)] = n
	return n
}

type errorCount struct {
	prefix string
	n      int64
}

// list returns the counts in the order of the prefixes.
func (e *errorStats) list() []errorCount {
	e.mu.RLock()
	defer e.mu.RUnlock()
	out := make([]errorCount, 0, len(e.by))
	for p, n := range e.by {
		out = append(out, errorCount{p, n.Load()})
	}
	slices.SortFunc(out, func(a, b errorCount) int { return strings.Compare(a.prefix, b.prefix) })
	return out
}

func (e *errorStats) reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.total.Store(0)
	clear(e.by)
}

// resetStats is CONFIG RESETSTAT.
func (s *Server) resetStats() {
	st := &s.store.Stats
	for _, n := range []*atomic.Int64{&st.Hits, &st.Misses, &st.ExpiredKeys, &st.ExpiredFields, &st.EvictedKeys, &st.Commands, &st.LazyFreed,
		&s.stats.authFailures, &s.stats.expiryNanos, &s.stats.expirySlicesFull, &s.clientEvict.evicted} {
		n.Store(0)
	}
	for _, d := range s.table.All() {
		d.ResetStats()
	}
	s.stats.errors.reset()
	st.PeakMemory.Store(s.store.UsedMemory())
	s.net.ResetStats() // the longest turn has no difference to a base
	base := statsBase{net: s.net.Stats(), freedLater: s.store.KS.FreedLater()}
	if log := s.store.Log(); log != nil {
		base.delayedFsync = log.Stats().DelayedFsync
	}
	s.stats.mu.Lock()
	s.stats.base = base
	s.stats.mu.Unlock()
	s.stats.rates.reset()
	s.ext.ResetStats()
	s.stats.sample(s, time.Now().UnixMicro())
}
