package zset

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/keyspace/packed"
)

// What follows is for families whose collections are sorted sets.

// Conditions are ZADD's words of the same names.
type Conditions struct{ NX, XX, CH bool }

// Add is ZADD of members with scores to the request's first key, with its reply. member gives the i-th member; it must not be a view
// of the key's shard.
func Add(c *command.Ctx, scores []float64, member func(i int) []byte, o Conditions) {
	r, ok := findForWrite(c)
	if !ok {
		return
	}
	k := &c.Keys[0]
	added, updated := 0, 0
	if r != 0 || !o.XX {
		bytes := 0
		for i := range scores {
			bytes += scoreRoom + packed.EntryBytes(member(i))
		}
		e := editor{c: c, k: k, s: k.Shard, r: r}
		e.open(len(scores), bytes, len(member(0)))
		for i, score := range scores {
			m := member(i)
			switch e.look(m); {
			case !e.there && o.XX || e.there && o.NX:
			case !e.there:
				added++
				e.set(m, score)
			case score != e.score:
				updated++
				e.set(m, score)
			}
		}
		e.close()
	}
	if n := added + updated; n > 0 {
		c.ChangedBy(k, n)
	}
	if o.CH {
		added += updated
	}
	c.W.Int(int64(added))
}

// EachBetween calls f with the members of a sorted set whose scores are at least lo and below hi, in order, until it says false; then it returns
// false, too. What f is given is good until it returns: a view, or printed into buf. f must not change the keyspace.
func EachBetween(s *keyspace.Shard, r keyspace.Ref, lo, hi float64, buf *[20]byte, f func(member []byte, score float64) bool) bool {
	var z reader
	z.open(s, r)
	rank := z.before(&coll.Probe{Key: coll.ScoreKey(lo), Where: coll.BeforeAll})
	if rank >= z.n {
		return true
	}
	if !z.large {
		z.goTo(rank)
	}
	for ; rank < z.n; rank++ {
		score := z.score()
		if score >= hi {
			break
		}
		// Not z.member, whose memory would be on the heap then.
		var m []byte
		if z.large {
			m = coll.KeyOf(z.mem.Space, z.pos.Item().Ref())
		} else {
			m = z.list.Text(z.at, buf)
		}
		if !f(m, score) {
			return false
		}
		z.step(false)
	}
	return true
}

// ParseDouble parses a number as ZADD does a score.
func ParseDouble(b []byte) (f float64, ok bool) {
	f, inexact, ok := parseDouble(b)
	return f, ok && !inexact
}
