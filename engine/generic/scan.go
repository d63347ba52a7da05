package generic

import (
	"math/bits"

	"tidemark/engine/command"
	"tidemark/engine/glob"
	"tidemark/engine/keyspace"
)

var keys = &command.Descriptor{
	Name: "keys", Arity: 2, Flags: command.ReadOnly, Categories: command.CatKeyspace | command.CatDangerous,
	Scope: command.ScopeAll, Handler: listKeys,
	Group: "generic", Since: "1.0.0", Summary: "Lists all keys whose names match a pattern.",
	Complexity: "O(N) where N is the number of keys in the database; no other command runs meanwhile. SCAN is the patient way.",
	Args:       []command.Arg{{Name: "pattern", Type: "pattern"}},
	Tips:       []string{"request_policy:all_shards", "nondeterministic_output_order"},
}

func listKeys(c *command.Ctx) {
	c.SawAll()
	f := filter{c: c, pattern: c.Args[1]}
	f.any = string(f.pattern) == "*"
	at := len(c.W.B)
	for i := range c.Store.KS.NumShards() {
		f.shard = c.Shard(i)
		for cursor := uint64(0); ; {
			if cursor = f.shard.Scan(c.DB, cursor, f.visit); cursor == 0 {
				break
			}
		}
	}
	c.PrependArray(at, f.matched)
}

// filter writes the entries it is shown to the reply, if they pass.
type filter struct {
	c       *command.Ctx
	shard   *keyspace.Shard
	pattern []byte
	any     bool // no pattern, or one that everything matches
	typed   bool // only entries of typ
	typ     keyspace.Type
	seen    int64 // entries visited
	matched int64 // entries written

	collect bool     // keep the names of expired keys in dead
	dead    [][]byte // of the shard, until bury
}

func (f *filter) visit(r keyspace.Ref) {
	f.seen++
	if f.c.Expired(f.shard, r) {
		if f.collect {
			f.dead = append(f.dead, append([]byte(nil), f.shard.Key(r)...))
		}
		return
	}
	if f.typed && f.shard.Type(r) != f.typ {
		return
	}
	if key := f.shard.Key(r); f.any || glob.Match(f.pattern, key) {
		f.c.W.Bulk(key)
		f.matched++
	}
}

// bury removes the expired keys that the walk met; the walk itself must not change the shard.
func (f *filter) bury() {
	for _, key := range f.dead {
		f.c.RemoveExpired(f.shard, key)
	}
	f.dead = f.dead[:0]
}

var scan = &command.Descriptor{
	Name: "scan", Arity: -2, Flags: command.ReadOnly, Categories: command.CatKeyspace,
	Scope: command.ScopeEach, Handler: scanKeys,
	Group: "generic", Since: "2.8.0", Summary: "Walks over the keys of the database a few at a time.",
	Complexity: "O(1) a call, O(N) for the whole walk, where N is the number of keys.",
	Args: []command.Arg{{Name: "cursor", Type: "integer"},
		{Name: "pattern", Type: "pattern", Token: "MATCH", Flags: command.Optional},
		{Name: "count", Type: "integer", Token: "COUNT", Flags: command.Optional},
		{Name: "type", Type: "string", Token: "TYPE", Since: "6.0.0", Flags: command.Optional}},
	Tips:    []string{"nondeterministic_output", "request_policy:special", "response_policy:special"},
	History: [][2]string{{"6.0.0", "Added the `TYPE` subcommand."}},
}

// A cursor is the place in a shard above the number of the shard, so that a walk goes through the shards one after the other:
//
//	cursor | place in the shard : 43 | shard : log2(shards), at most 10 |
//
// Keyspace gives places as positions in 48 bits of the hash that are the first of a bucket. The lower 5 bits are left out, so
// that the cursor stays below 2^53, which clients that hold numbers as doubles can carry: a walk rests only where
// they are 0. That is everywhere while a shard has fewer than 2^27 segments, tens of thousands of millions of keys.
const placeShift = 5

func scanKeys(c *command.Ctx) {
	cursor, ok := c.Cursor(1)
	if !ok {
		return
	}
	o, ok := c.ScanOptions(2, command.ScanType)
	if !ok {
		return
	}
	f := filter{c: c, pattern: o.Pattern, any: o.Any, collect: true}
	none := false
	if o.Type != nil {
		f.typ, f.typed = typeNamed(o.Type)
		none = !f.typed
	}
	at := len(c.W.B)
	next := walk(c, cursor, o.Count, &f)
	if none { // no key is of an unknown type; the walk goes on all the same
		c.W.B, f.matched = c.W.B[:at], 0
	}
	c.ScanReply(at, next, f.matched)
}

// walk shows f some count entries from cursor on, and returns the cursor to go on from, 0 at the end. Like Redis it gives up
// looking for them after ten times as many buckets, so that a call is short in a sparse table, too.
func walk(c *command.Ctx, cursor uint64, count int64, f *filter) uint64 {
	n := c.Store.KS.NumShards()
	shardBits := bits.Len(uint(n - 1))
	i := int(cursor & uint64(n-1))
	place := cursor >> shardBits << placeShift & (1<<48 - 1)
	steps := count
	if steps < 1<<32 {
		steps *= 10
	}
	for ; i < n; i++ {
		f.shard = c.EnterShard(i)
		for f.shard.Len(c.DB) > 0 {
			if (f.seen >= count || steps <= 0) && place&(1<<placeShift-1) == 0 {
				c.LeaveShard(i)
				return place>>placeShift<<shardBits | uint64(i)
			}
			steps--
			place = f.shard.Scan(c.DB, place, f.visit)
			f.bury()
			if place == 0 {
				break
			}
		}
		c.LeaveShard(i)
		place = 0
	}
	return 0
}

func typeNamed(name []byte) (keyspace.Type, bool) {
	for t := keyspace.String; t <= keyspace.Stream; t++ {
		if command.Is(name, t.String()) {
			return t, true
		}
	}
	return 0, false
}

var randomKey = &command.Descriptor{
	Name: "randomkey", Arity: 1, Flags: command.ReadOnly, Categories: command.CatKeyspace,
	Scope: command.ScopeEach, Handler: pickRandom,
	Group: "generic", Since: "1.0.0", Summary: "Names a random key of the database.",
	Complexity: "O(1)",
	Tips:       []string{"request_policy:all_shards", "response_policy:special", "nondeterministic_output"},
}

// randomTries is how often RANDOMKEY draws again when it met an expired key, before it looks for one that is not.
const randomTries = 64

func pickRandom(c *command.Ctx) {
	n := c.Store.KS.NumShards()
	for range randomTries {
		var total uint64
		for i := range n {
			total += uint64(c.EnterShard(i).Len(c.DB))
			c.LeaveShard(i)
		}
		if total == 0 {
			c.W.Null()
			return
		}
		// The shard of a random rank, so that a key's chance does not depend on how full its shard is.
		rank, _ := bits.Mul64(c.Rand(), total)
		for i := range n {
			s := c.EnterShard(i)
			size := uint64(s.Len(c.DB))
			if rank < size {
				r := s.Random(c.DB, c.Rand)
				found := r != 0 && !c.Expired(s, r)
				if found {
					c.W.Bulk(s.Key(r))
				} else if r != 0 {
					c.RemoveExpired(s, append([]byte(nil), s.Key(r)...))
				}
				c.LeaveShard(i)
				if found {
					return
				}
				break
			}
			rank -= size
			c.LeaveShard(i)
		}
	}
	// Nearly everything has expired and awaits removal.
	f := filter{c: c, any: true}
	at := len(c.W.B)
	first := int(c.Rand() % uint64(n))
	for j := range n {
		i := (first + j) % n
		f.shard = c.EnterShard(i)
		for place := uint64(0); f.matched == 0; {
			if place = f.shard.Scan(c.DB, place, f.visit); place == 0 {
				break
			}
		}
		c.LeaveShard(i)
		if f.matched > 0 {
			c.W.B = c.W.B[:at+bulkLen(c.W.B[at:])]
			return
		}
	}
	c.W.Null()
}

// bulkLen is the length of the bulk string at the front of b, which is well-formed.
func bulkLen(b []byte) int {
	i, n := 1, 0
	for ; b[i] != '\r'; i++ {
		n = n*10 + int(b[i]-'0')
	}
	return i + 2 + n + 2
}

var dbSize = &command.Descriptor{
	Name: "dbsize", Arity: 1, Flags: command.ReadOnly | command.Fast, Categories: command.CatKeyspace,
	Scope: command.ScopeAll,
	Handler: func(c *command.Ctx) {
		c.SawAll()
		c.W.Int(dbKeys(c, c.DB))
	},
	Group: "server", Since: "1.0.0", Summary: "Counts the keys of the present database.",
	Complexity: "O(1)",
	Tips:       []string{"request_policy:all_shards", "response_policy:agg_sum"},
}
