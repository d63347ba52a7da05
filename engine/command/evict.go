package command

// Evict removes a key to make room under maxmemory, and logs that as the DEL or, with lazy (lazyfree-lazy-eviction), the UNLINK of
// it. It locks the key's shard itself: no command may be running on this Ctx. freed is about how many bytes the
// entry accounted for; ok is false when the key is gone, or when the log has no room.
func (c *Ctx) Evict(db int, name []byte, lazy bool) (freed int64, ok bool) {
	c.begin()
	k := c.Store.MakeKey(name)
	k.Shard.Lock()
	defer k.Shard.Unlock()
	c.home = k.Shard.Index()
	c.snapshotLog()
	if c.log != nil && !c.log.Room(c.home) {
		return 0, false
	}
	r := k.Shard.Find(db, k.Hash, name)
	if r == 0 {
		return 0, false
	}
	was := c.DB
	c.DB = db
	freed = int64(k.Shard.MemoryUsage(r))
	if lazy {
		c.Effect(unlinkWord, name)
	} else {
		c.Effect(delWord, name)
	}
	c.changes = 0
	k.Shard.Delete(db, k.Hash, r)
	c.Changed(&k)
	c.total = c.changes
	c.finish()
	c.DB = was
	c.Store.Stats.EvictedKeys.Add(1)
	return freed, true
}
