package command

import (
	"sync/atomic"
	"time"
)

// counters are one Ctx's own, plain and unshared: a command touches no cache line of another loop. Publish adds them to
// what INFO reads, once a turn.
type counters struct {
	calls                             []uint32 // by Descriptor.ID, since the last Publish
	nanos                             []int64  // of the calls that were timed
	timed                             []uint32 // how many were
	touched                           []*Descriptor
	hits, misses, expired, ran, dirty int64
	expiredFields                     int64
	sample                            uint32
	latency                           *atomic.Bool // Store.LatencyTracking
}

// sampleEvery: reading the clock around each command would cost more than a short command itself. The first call of a command
// in a turn is timed, and every 16th of all; they stand for the others of that command in that turn. So a command that
// is seldom called is always timed.
const sampleEvery = 16

func (n *counters) init(st *Store, t *Table) {
	n.latency = &st.LatencyTracking
	n.calls = make([]uint32, len(t.all))
	n.nanos = make([]int64, len(t.all))
	n.timed = make([]uint32, len(t.all))
	n.touched = make([]*Descriptor, 0, len(t.all))
}

func (n *counters) start(d *Descriptor) time.Time {
	n.ran++
	n.calls[d.ID]++
	if n.calls[d.ID] == 1 {
		n.touched = append(n.touched, d)
		return time.Now()
	}
	if n.sample++; n.sample%sampleEvery != 0 {
		return time.Time{}
	}
	return time.Now()
}

func (n *counters) stop(d *Descriptor, t time.Time) {
	if !t.IsZero() {
		nanos := int64(time.Since(t))
		n.nanos[d.ID] += nanos
		if n.latency.Load() {
			d.stats.record(nanos)
		}
		n.timed[d.ID]++
	}
}

// Publish makes the counts since the last call visible to INFO. To be called at the end of a turn.
func (c *Ctx) Publish() {
	n := &c.counts
	if n.ran == 0 && n.expired == 0 && n.expiredFields == 0 && n.dirty == 0 {
		return
	}
	for _, d := range n.touched {
		i := d.ID
		calls := int64(n.calls[i])
		d.stats.calls.Add(calls)
		if timed := int64(n.timed[i]); timed > 0 {
			d.stats.nanos.Add(n.nanos[i] * calls / timed)
		}
		n.calls[i], n.nanos[i], n.timed[i] = 0, 0, 0
	}
	n.touched = n.touched[:0]
	st := &c.Store.Stats
	st.Commands.Add(n.ran)
	st.Hits.Add(n.hits)
	st.Misses.Add(n.misses)
	st.ExpiredKeys.Add(n.expired)
	st.ExpiredFields.Add(n.expiredFields)
	st.Dirty.Add(n.dirty)
	n.ran, n.hits, n.misses, n.expired, n.expiredFields, n.dirty = 0, 0, 0, 0, 0, 0
}

// PublishBefore is Publish in the middle of a command, for INFO: that command itself, whose time is not known yet, is left out.
func (c *Ctx) PublishBefore() {
	n, d := &c.counts, c.Cmd
	n.ran--
	n.calls[d.ID]--
	c.Publish()
	n.ran = 1
	n.calls[d.ID] = 1
	n.touched = append(n.touched, d)
}
