package zset

import (
	"bytes"

	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/keyspace/packed"
	"tidemark/engine/value"
)

// A reader is a sorted set that is being read, with a place in it. It is good until the shard changes.
type reader struct {
	n     int // members
	large bool
	list  packed.List // small
	mem   coll.Mem    // large
	at    int         // small: place of the present member
	pos   coll.Pos    // large
	buf   [20]byte
}

// open begins; there is such a sorted set.
func (z *reader) open(s *keyspace.Shard, r keyspace.Ref) {
	z.n = value.Len(s, r)
	if z.large = s.Encoding(r) == keyspace.SkipList; z.large {
		z.mem = s.Open(r)
	} else {
		z.list = s.Value(r)
	}
}

func (z *reader) tree() coll.Tree { return coll.Tree{Mem: &z.mem, Tie: coll.TieKey} }

// goTo goes to the member of a rank, which exists.
func (z *reader) goTo(rank int) {
	if z.large {
		t := z.tree()
		t.At(&z.pos, uint64(rank))
	} else {
		z.at = z.list.At(2 * rank)
	}
}

// step goes to the next member, or back to the one before, which may not exist: then the place is no good any more.
func (z *reader) step(back bool) {
	switch {
	case z.large:
		t := z.tree()
		if back {
			t.Prev(&z.pos)
		} else {
			t.Next(&z.pos)
		}
	case back:
		if z.at = z.list.Prev(z.at); z.at != 0 {
			z.at = z.list.Prev(z.at)
		}
	default:
		z.at = z.list.Skip(z.at, 2)
	}
}

// member is the present member: a view, or printed into the reader's own memory.
func (z *reader) member() []byte {
	if z.large {
		return coll.KeyOf(z.mem.Space, z.pos.Item().Ref())
	}
	return z.list.Text(z.at, &z.buf)
}

// score is that of the present member.
func (z *reader) score() float64 {
	if z.large {
		return coll.ScoreOf(z.mem.Space, z.pos.Item().Ref())
	}
	return value.PackedScore(z.list, z.list.Next(z.at))
}

// before counts the members that lie before a probe.
func (z *reader) before(p *coll.Probe) int {
	if z.large {
		t := z.tree()
		if t.Seek(&z.pos, p); !z.pos.Valid() {
			return z.n
		}
		return int(t.Rank(&z.pos))
	}
	n, _ := placeBefore(z.list, p)
	return n
}

// placeBefore is before for a packed list; at is where an element would stand that the probe is for.
func placeBefore(l packed.List, p *coll.Probe) (n, at int) {
	var buf [20]byte
	for at = packed.HeaderBytes; !l.AtEnd(at); n++ {
		next := l.Next(at)
		k := coll.ScoreKey(value.PackedScore(l, next))
		switch {
		case k != p.Key:
			if k > p.Key {
				return n, at
			}
		case p.Where == coll.BeforeAll:
			return n, at
		case p.Where == coll.AfterAll:
		default:
			if c := bytes.Compare(l.Text(at, &buf), p.Tie); c > 0 || c == 0 && p.Where == coll.Exactly {
				return n, at
			}
		}
		at = l.Next(next)
	}
	return n, at
}

// rank finds a member: its rank, and its score. It goes to no place.
func (z *reader) rank(s *keyspace.Shard, r keyspace.Ref, member []byte) (rank int, score float64, ok bool) {
	if z.large {
		if score, ok = value.Score(s, r, member); !ok {
			return 0, 0, false
		}
		return z.before(&coll.Probe{Key: coll.ScoreKey(score), Tie: member}), score, true
	}
	var buf [80]byte
	at := z.list.Find(packed.HeaderBytes, packed.Encode(buf[:0], member), 2)
	if at == 0 {
		return 0, 0, false
	}
	for i := packed.HeaderBytes; i != at; i = z.list.Skip(i, 2) {
		rank++
	}
	return rank, value.PackedScore(z.list, z.list.Next(at)), true
}
