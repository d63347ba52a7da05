package keyspace

import "sync/atomic"

// publishEvery is how far, in bytes, a table's memory may move before the counters others read follow.
const publishEvery = 1024

// published is what of a table's memory is in the counters.
type published struct{ used, tables, large, coll, index int64 }

// shardStats are the counters of a shard. Written by the holder of the lock, read by anybody.
type shardStats struct{ used, tables, large, coll, index atomic.Int64 }

// MemoryStats says where the memory is. Bytes.
type MemoryStats struct {
	Mapped      int64 // may be resident
	Used        int64 // in blocks of all kinds: what maxmemory is held against
	Tables      int64 // of it, buckets
	Entries     int64 // of it, keys with their headers and inline values
	Large       int64 // of it, values with blocks of their own, those only a snapshot still needs included
	Collections int64 // of it, what collections are made of, but for the small ones that are one value
	ExpiryIndex int64 // of it
	Free        int64 // mapped but in no block: free spans that still have pages, and the gaps in slabs
	PendingFree int64 // flushed or deleted, to be given back in the background
}

// publish brings the counters up to date if the table's memory moved far enough.
func (s *Shard) publish(t *table) {
	if d := t.Used() + t.apartMem - t.pub.used; d > publishEvery || d < -publishEvery || t.n == 0 {
		s.publishNow(t)
		s.noticeSparse(t)
		if t.n == 0 {
			t.Trim()
		}
	}
}

func (s *Shard) publishNow(t *table) {
	n := published{t.Used() + t.apartMem, t.bytes, t.large + t.held, t.coll + t.apartMem, t.index.bytes + t.fields.bytes}
	s.account(t, n)
}

// withdraw takes a table that leaves the keyspace out of the counters.
func (s *Shard) withdraw(t *table) { s.account(t, published{}) }

func (s *Shard) account(t *table, n published) {
	s.pub.used.Add(n.used - t.pub.used)
	s.pub.tables.Add(n.tables - t.pub.tables)
	s.pub.large.Add(n.large - t.pub.large)
	s.pub.coll.Add(n.coll - t.pub.coll)
	s.pub.index.Add(n.index - t.pub.index)
	s.ks.used.Add(n.used - t.pub.used)
	t.pub = n
}

// Memory sums over all shards. It takes no lock; each database of a shard may be off by publishEvery bytes.
func (ks *Keyspace) Memory() MemoryStats {
	var m MemoryStats
	for i := range ks.shards {
		p := &ks.shards[i].pub
		m.Used += p.used.Load()
		m.Tables += p.tables.Load()
		m.Large += p.large.Load()
		m.Collections += p.coll.Load()
		m.ExpiryIndex += p.index.Load()
	}
	m.Entries = m.Used - m.Tables - m.Large - m.Collections - m.ExpiryIndex
	a := ks.pool.Stats()
	m.Mapped, m.PendingFree = a.Mapped, a.Pending
	m.Free = max(0, m.Mapped-m.Used-m.PendingFree)
	return m
}

// FreedLater counts the large values whose memory was, or is being, given back in the background. Any goroutine.
func (ks *Keyspace) FreedLater() int64 { return ks.freedLater.Load() }

// Used is the bytes in use by data, cheap enough for every command: one atomic load.
func (ks *Keyspace) Used() int64 { return ks.used.Load() }
