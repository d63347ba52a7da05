package command

import "time"

// counters are one Ctx's own, plain and unshared: a command touches no cache line of another loop. Publish adds them to
// what INFO reads, once a turn.
type counters struct {
	calls                             []uint32 // by Descriptor.ID, since the last Publish
	nanos                             []int64
	touched                           []*Descriptor
	hits, misses, expired, ran, dirty int64
	sample                            uint32
}

// sampleEvery: reading the clock around each command would cost more than a short command itself, so every 16th is timed
// and counts for all of them in commandstats.
const sampleEvery = 16

func (n *counters) init(t *Table) {
	n.calls = make([]uint32, len(t.all))
	n.nanos = make([]int64, len(t.all))
	n.touched = make([]*Descriptor, 0, len(t.all))
}

func (n *counters) start(d *Descriptor) time.Time {
	n.ran++
	if n.calls[d.ID] == 0 {
		n.touched = append(n.touched, d)
	}
	n.calls[d.ID]++
	if n.sample++; n.sample%sampleEvery != 0 {
		return time.Time{}
	}
	return time.Now()
}

func (n *counters) stop(d *Descriptor, t time.Time) {
	if !t.IsZero() {
		n.nanos[d.ID] += int64(time.Since(t)) * sampleEvery
	}
}

// Publish makes the counts since the last call visible to INFO. To be called at the end of a turn.
func (c *Ctx) Publish() {
	n := &c.counts
	if n.ran == 0 && n.expired == 0 && n.dirty == 0 {
		return
	}
	for _, d := range n.touched {
		d.stats.calls.Add(int64(n.calls[d.ID]))
		d.stats.nanos.Add(n.nanos[d.ID])
		n.calls[d.ID], n.nanos[d.ID] = 0, 0
	}
	n.touched = n.touched[:0]
	st := &c.Store.Stats
	st.Commands.Add(n.ran)
	st.Hits.Add(n.hits)
	st.Misses.Add(n.misses)
	st.ExpiredKeys.Add(n.expired)
	st.Dirty.Add(n.dirty)
	n.ran, n.hits, n.misses, n.expired, n.dirty = 0, 0, 0, 0, 0
}
