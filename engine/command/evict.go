package command

import "tidemark/engine/keyspace"

// Eviction is what became of an attempt to evict.
type Eviction uint8

const (
	Evicted     Eviction = iota
	NotEvicted           // the key is gone, or is to stay
	EvictNoRoom          // the log is stuck: nothing can be removed for now
)

// Evict removes a key to make room under maxmemory, and logs that as the DEL or, with lazy (lazyfree-lazy-eviction), the UNLINK of
// it. It locks the key's shard itself: no command may be running on this Ctx. still is asked under the lock whether
// the entry is to go. freed is about how many bytes the entry accounted for.
func (c *Ctx) Evict(db int, name []byte, lazy bool, still func(*keyspace.Shard, keyspace.Ref) bool) (freed int64, done Eviction) {
	freed, done = c.evict(db, name, lazy, still)
	c.serveLater()
	return freed, done
}

func (c *Ctx) evict(db int, name []byte, lazy bool, still func(*keyspace.Shard, keyspace.Ref) bool) (freed int64, done Eviction) {
	c.begin()
	k := c.Store.MakeKey(name)
	k.Shard.Lock()
	defer k.Shard.Unlock()
	c.home = k.Shard.Index()
	c.snapshotLog()
	if c.logStuck(c.home) {
		return 0, EvictNoRoom
	}
	r := k.Shard.Find(db, k.Hash, name)
	if r == 0 || !still(k.Shard, r) {
		return 0, NotEvicted
	}
	was := c.DB
	c.DB = db
	freed = int64(k.Shard.MemoryUsage(r))
	if lazy {
		c.Effect(unlinkWord, name)
	} else {
		c.Effect(delWord, name)
	}
	k.Shard.Delete(db, k.Hash, r)
	c.changes = 0
	c.Changed(&k)
	c.total = c.changes
	c.finish()
	c.DB = was
	c.Store.Stats.EvictedKeys.Add(1)
	return freed, Evicted
}
