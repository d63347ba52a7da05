package generic

import (
	"math"

	"tidemark/engine/command"
)

var swapDB = &command.Descriptor{
	Name: "swapdb", Arity: 3, Flags: command.Write | command.Fast, Categories: command.CatKeyspace | command.CatDangerous,
	Log: command.LogRequest, Scope: command.ScopeAll,
	Handler: func(c *command.Ctx) {
		a, ok := command.ParseInt(c.Args[1])
		if !ok || a < math.MinInt32 || a > math.MaxInt32 {
			c.W.Error("ERR invalid first DB index")
			return
		}
		b, ok := command.ParseInt(c.Args[2])
		if !ok || b < math.MinInt32 || b > math.MaxInt32 {
			c.W.Error("ERR invalid second DB index")
			return
		}
		n := int64(c.Store.KS.Databases())
		if a < 0 || b < 0 || a >= n || b >= n {
			c.W.Error(command.ErrDBIndex)
			return
		}
		if a != b {
			c.Store.TouchDB(int(a), int(b), c.Now)
			c.Store.TouchDB(int(b), int(a), c.Now)
			c.Store.KS.SwapDB(int(a), int(b))
			c.ReadyDB(int(a))
			c.ReadyDB(int(b))
		}
		c.ChangedAll(1)
		c.W.OK()
	},
	Group: "server", Since: "4.0.0", Summary: "Exchanges two databases, for all clients at once.",
	Complexity: "O(N) where N is the number of watched keys in the two databases.",
	Args:       []command.Arg{{Name: "index1", Type: "integer"}, {Name: "index2", Type: "integer"}},
}

var flushDB = &command.Descriptor{
	Name: "flushdb", Arity: -1, Flags: command.Write, Categories: command.CatKeyspace | command.CatDangerous,
	Log: command.LogRequest, Scope: command.ScopeAll,
	Handler: func(c *command.Ctx) { flush(c, c.DB, c.DB+1) },
	Group:   "server", Since: "1.0.0", Summary: "Removes every key of the present database.",
	Complexity: "O(1) for the caller; the memory is given back in the background.",
	Args:       flushArgs,
	Tips:       []string{"request_policy:all_shards", "response_policy:all_succeeded"},
	History:    flushHistory,
}

var flushAll = &command.Descriptor{
	Name: "flushall", Arity: -1, Flags: command.Write, Categories: command.CatKeyspace | command.CatDangerous,
	Log: command.LogRequest, Scope: command.ScopeAll,
	Handler: func(c *command.Ctx) {
		if flush(c, 0, c.Store.KS.Databases()) && c.Store.FlushedAll != nil && !c.Replay {
			c.Store.FlushedAll(c)
		}
	},
	Group: "server", Since: "1.0.0", Summary: "Removes every key of every database.",
	Complexity: "O(1) for the caller; the memory is given back in the background.",
	Args:       flushArgs,
	Tips:       []string{"request_policy:all_shards", "response_policy:all_succeeded"},
	History:    flushHistory,
}

var flushArgs = []command.Arg{{Name: "flush-type", Type: "oneof", Flags: command.Optional, Args: []command.Arg{
	{Name: "async", Type: "pure-token", Token: "ASYNC", Since: "4.0.0"},
	{Name: "sync", Type: "pure-token", Token: "SYNC", Since: "6.2.0"}}}}

var flushHistory = [][2]string{{"4.0.0", "Added the `ASYNC` flushing mode modifier."}, {"6.2.0", "Added the `SYNC` flushing mode modifier."}}

// flush empties the databases from (inclusive) to (exclusive). The memory goes back in the background even with SYNC: waiting
// for it would stop every connection of this loop, and nobody can see the difference but by used_memory. ASYNC is counted
// in lazyfreed_objects, as it is in Redis. It reports whether the request was valid.
func flush(c *command.Ctx, from, to int) bool {
	async := false
	switch {
	case len(c.Args) == 1:
	case len(c.Args) == 2 && command.Is(c.Args[1], "sync"):
	case len(c.Args) == 2 && command.Is(c.Args[1], "async"):
		async = true
	default:
		c.W.Error(command.ErrSyntax)
		return false
	}
	n := int64(0)
	for db := from; db < to; db++ {
		in := dbKeys(c, db)
		if in == 0 {
			continue
		}
		n += in
		c.Store.TouchDB(db, -1, c.Now)
		for i := range c.Store.KS.NumShards() {
			c.Shard(i).Flush(db, false)
		}
		c.ReadyDB(db)
	}
	if async || !c.InBlock() { // as Redis 7.4 counts
		c.Store.Stats.LazyFreed.Add(n)
	}
	c.ChangedAll(n)
	c.W.OK()
	return true
}

// dbKeys counts the keys of a database. All shards must be locked.
func dbKeys(c *command.Ctx, db int) (n int64) {
	for i := range c.Store.KS.NumShards() {
		n += int64(c.Shard(i).Len(db))
	}
	return n
}
