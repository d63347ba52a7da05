package command

import (
	"math/bits"
	"sync/atomic"
)

// Latencies is the distribution of a command's execution times. A duration of n ns falls into one of 16 buckets to each power of two,
// so it is known to within a 16th. Only the calls that counters time are in it. Safe for concurrent use.
type Latencies [latencyBuckets]atomic.Uint32

// latencyBuckets reaches to 2^37 ns, more than two minutes; what takes longer counts as that.
const latencyBuckets = (36-3)*16 + 16

func latencyBucket(nanos int64) int {
	v := uint64(max(nanos, 0))
	if v < 16 {
		return int(v)
	}
	e := bits.Len64(v) - 1
	return min((e-3)*16+int(v>>(e-4)&15), latencyBuckets-1)
}

// latencyBound is the largest duration that falls into bucket i, ns.
func latencyBound(i int) int64 {
	if i < 16 {
		return int64(i)
	}
	e := i/16 + 3
	return (16+int64(i%16)+1)<<(e-4) - 1
}

// Percentile returns the duration, in ns, that p percent of the calls did not exceed. 0: there were none.
func (l *Latencies) Percentile(p float64) int64 {
	var n [latencyBuckets]uint32
	total := 0.0
	for i := range l {
		n[i] = l[i].Load()
		total += float64(n[i])
	}
	if total == 0 {
		return 0
	}
	need, seen := total*p/100, 0.0
	last := 0
	for i, c := range n {
		if c == 0 {
			continue
		}
		last = i
		if seen += float64(c); seen >= need {
			break
		}
	}
	return latencyBound(last)
}

// Latencies returns the command's execution times, nil when it was never called with latency-tracking on.
func (d *Descriptor) Latencies() *Latencies { return d.stats.latency.Load() }

func (s *cmdStats) record(nanos int64) {
	l := s.latency.Load()
	if l == nil {
		s.latency.CompareAndSwap(nil, &Latencies{})
		l = s.latency.Load()
		if l == nil {
			return // reset meanwhile
		}
	}
	l[latencyBucket(nanos)].Add(1)
}
