// Package value is what the values of keys hold, whatever their representation: reading the elements of any collection, and building a
// collection whole. Commands that store results, RDB files, RESTORE, DEBUG DIGEST and SORT go through it. The commands that
// change a collection a little have their own ways with each representation, in the family's package.
//
//	type       small                                           large (keyspace.Coll)
//	list       ListPack: elements                              QuickList: coll.List
//	set        IntSet: integers; ListPack: members             HashTable: coll.Dict of coll.Member
//	sorted set ListPack: member, score, ... in order           SkipList: coll.Dict of coll.Scored, coll.Tree of the same by score and member
//	hash       ListPack: field, value, ...                     HashTable: coll.Dict of coll.Field; of fields that expire, coll.Expiring, also a coll.Tree by time
//	           ListPackEx: field, value, expiry, ...
//
// A collection is small while it has no more elements, and no longer ones, than Limits say. None is empty.
//
// Views. What a callback is given is good until it returns. A callback must not change the keyspace.
package value

import (
	"math"
	"strconv"
	"sync/atomic"

	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/keyspace/intset"
	"tidemark/engine/keyspace/packed"
)

// Limits are the directives that bound small collections. Lengths are in bytes.
type Limits struct {
	HashEntries, HashValue atomic.Int64 // hash-max-listpack-entries, -value
	SetIntset              atomic.Int64 // set-max-intset-entries
	SetEntries, SetValue   atomic.Int64 // set-max-listpack-entries, -value
	ZSetEntries, ZSetValue atomic.Int64 // zset-max-listpack-entries, -value
	ListSize               atomic.Int64 // list-max-listpack-size: elements when positive, -1 to -5 for 4 to 64 KiB
	ListDepth              atomic.Int64 // list-compress-depth
	ListAlone              atomic.Int64 // length of elements that have a block of a large list to themselves; 0: of none (DEBUG QUICKLIST-PACKED-THRESHOLD)
	HLLSparseBytes         atomic.Int64 // hll-sparse-max-bytes
	// Of a node of a stream; 0: no such limit.
	StreamBytes, StreamEntries atomic.Int64 // stream-node-max-bytes, -entries
}

// SetDefaults sets Redis's defaults.
func (l *Limits) SetDefaults() {
	l.HashEntries.Store(512)
	l.HashValue.Store(64)
	l.SetIntset.Store(512)
	l.SetEntries.Store(128)
	l.SetValue.Store(64)
	l.ZSetEntries.Store(128)
	l.ZSetValue.Store(64)
	l.StreamBytes.Store(4096)
	l.StreamEntries.Store(100)
	l.ListSize.Store(-2)
	l.HLLSparseBytes.Store(3000)
}

// Fill is ListSize as coll.List wants it.
func (l *Limits) Fill() int {
	n := int(max(l.ListSize.Load(), -5))
	if n == 0 {
		return 1
	}
	return n
}

// maxListDepth bounds list-compress-depth where it is used, as Redis does.
const maxListDepth = 1<<16 - 1

// ListRules say how large lists are laid out.
func (l *Limits) ListRules() coll.ListRules {
	return coll.ListRules{Fill: l.Fill(), Depth: int(min(l.ListDepth.Load(), maxListDepth)), Alone: int(l.ListAlone.Load())}
}

// SmallList reports whether a list of so many elements, which make a packed list of so many bytes, is small.
func (l *Limits) SmallList(elements, bytes int) bool {
	if n := l.Fill(); n < 0 {
		return bytes <= 4096<<(-n-1)
	} else {
		return elements <= n && bytes <= 8192
	}
}

// ShrunkList reports whether a large list that has come down to so many elements, in one packed list of so many bytes, becomes small again. That
// takes half of what SmallList allows, so that a list at the limit does not go back and forth.
func (l *Limits) ShrunkList(elements, bytes int) bool {
	if n := l.Fill(); n < 0 {
		return bytes <= 2048<<(-n-1)
	} else {
		return elements <= n/2 && bytes <= 8192
	}
}

// Len counts the elements of a collection: fields of a hash, whether they have expired or not, members, or elements of a list.
func Len(s *keyspace.Shard, r keyspace.Ref) int {
	switch s.Encoding(r) {
	case keyspace.ListPack:
		n := packed.List(s.Value(r)).Len()
		if t := s.Type(r); t == keyspace.Hash || t == keyspace.ZSet {
			n /= 2
		}
		return n
	case keyspace.ListPackEx:
		return s.Triples(r).Len() / 3
	case keyspace.IntSet:
		return intset.Set(s.Value(r)).Len()
	}
	return int(s.Count(r))
}

// eachPacked calls f with every entry of a packed list.
func eachPacked(l packed.List, f func(e []byte) bool) { eachPackedFrom(l, packed.HeaderBytes, f) }

func eachPackedFrom(l packed.List, at int, f func(e []byte) bool) {
	var buf [20]byte
	for ; !l.AtEnd(at); at = l.Next(at) {
		if !f(l.Text(at, &buf)) {
			return
		}
	}
}

// eachPair calls f with every two entries of a packed list.
func eachPair(l packed.List, f func(a, b []byte) bool) {
	var bufs [2][20]byte
	for at := packed.HeaderBytes; !l.AtEnd(at); {
		next := l.Next(at)
		if !f(l.Text(at, &bufs[0]), l.Text(next, &bufs[1])) {
			return
		}
		at = l.Next(next)
	}
}

// eachElem calls f with every element of a Dict.
func eachElem(d coll.Dict, f func(r coll.Ref) bool) {
	more := true
	for cursor, first := uint64(0), true; more && (first || cursor != 0); first = false {
		cursor = d.Scan(cursor, func(r coll.Ref) { more = more && f(r) })
	}
}

// EachElement calls f with the elements of a list in order, until it says false.
func EachElement(s *keyspace.Shard, r keyspace.Ref, f func(e []byte) bool) {
	EachElementFrom(s, r, 0, f)
}

// EachElementFrom is EachElement from an element on, of which there may be none.
func EachElementFrom(s *keyspace.Shard, r keyspace.Ref, from int, f func(e []byte) bool) {
	if from >= Len(s, r) {
		return
	}
	if s.Encoding(r) == keyspace.ListPack {
		l := packed.List(s.Value(r))
		eachPackedFrom(l, l.At(from), f)
		return
	}
	m := s.Open(r)
	l := coll.List{Mem: &m}
	more := true
	for i := uint64(from); more && i < l.Len(); {
		lp, first := l.Block(i)
		eachPackedFrom(lp, lp.At(int(i-first)), func(e []byte) bool { more = f(e); return more })
		i = first + uint64(lp.Len())
	}
}

// EachMember calls f with the members of a set, in no order but an intset's, until it says false.
func EachMember(s *keyspace.Shard, r keyspace.Ref, f func(m []byte) bool) {
	switch s.Encoding(r) {
	case keyspace.ListPack:
		eachPacked(s.Value(r), f)
	case keyspace.IntSet:
		set := intset.Set(s.Value(r))
		var buf [20]byte
		for i := range set.Len() {
			if !f(strconv.AppendInt(buf[:0], set.At(i), 10)) {
				return
			}
		}
	default:
		m := s.Open(r)
		eachElem(coll.Dict{Mem: &m}, func(e coll.Ref) bool { return f(coll.KeyOf(m.Space, e)) })
	}
}

// EachScored calls f with the members of a sorted set in order of their scores, until it says false.
func EachScored(s *keyspace.Shard, r keyspace.Ref, f func(m []byte, score float64) bool) {
	EachScoredFrom(s, r, 0, f)
}

// EachScoredFrom is EachScored from a rank on, which nobody may have.
func EachScoredFrom(s *keyspace.Shard, r keyspace.Ref, from int, f func(m []byte, score float64) bool) {
	if from >= Len(s, r) {
		return
	}
	if s.Encoding(r) == keyspace.ListPack {
		l := packed.List(s.Value(r))
		var buf [20]byte
		for at := l.At(2 * from); !l.AtEnd(at); {
			next := l.Next(at)
			if !f(l.Text(at, &buf), PackedScore(l, next)) {
				return
			}
			at = l.Next(next)
		}
		return
	}
	m := s.Open(r)
	t := coll.Tree{Mem: &m, Tie: coll.TieKey}
	var p coll.Pos
	for t.At(&p, uint64(from)); p.Valid(); t.Next(&p) {
		e := p.Item().Ref()
		if !f(coll.KeyOf(m.Space, e), coll.ScoreOf(m.Space, e)) {
			return
		}
	}
}

// Has reports whether m is a member of a set.
func Has(s *keyspace.Shard, r keyspace.Ref, m []byte) bool {
	switch s.Encoding(r) {
	case keyspace.ListPack:
		var buf [80]byte
		return packed.List(s.Value(r)).Find(packed.HeaderBytes, packed.Encode(buf[:0], m), 1) != 0
	case keyspace.IntSet:
		n, ok := ParseInt(m)
		if ok {
			_, ok = intset.Set(s.Value(r)).Find(n)
		}
		return ok
	}
	c := s.Open(r)
	return coll.Dict{Mem: &c}.Find(s.Hash(m), m) != 0
}

// Score returns the score of a member of a sorted set.
func Score(s *keyspace.Shard, r keyspace.Ref, m []byte) (score float64, ok bool) {
	if s.Encoding(r) == keyspace.ListPack {
		var buf [80]byte
		l := packed.List(s.Value(r))
		at := l.Find(packed.HeaderBytes, packed.Encode(buf[:0], m), 2)
		if at == 0 {
			return 0, false
		}
		return PackedScore(l, l.Next(at)), true
	}
	c := s.Open(r)
	e := coll.Dict{Mem: &c}.Find(s.Hash(m), m)
	if e == 0 {
		return 0, false
	}
	return coll.ScoreOf(c.Space, e), true
}

// PackedScore is the score that stands at a place of a packed sorted set.
func PackedScore(l packed.List, at int) float64 {
	str, n, isInt := l.Get(at)
	if isInt {
		return float64(n)
	}
	f, err := strconv.ParseFloat(string(str), 64)
	if err != nil && !math.IsInf(f, 0) {
		panic("BUG: value: a packed sorted set with a score that is no number")
	}
	return f
}

// AppendScore appends the text of a score as packed sorted sets hold it: the shortest that reads back as the same number, but for the sign of zero.
func AppendScore(dst []byte, f float64) []byte {
	switch {
	case math.IsInf(f, 1):
		return append(dst, "inf"...)
	case math.IsInf(f, -1):
		return append(dst, "-inf"...)
	case f == math.Trunc(f) && math.Abs(f) < 1<<53:
		return strconv.AppendInt(dst, int64(f), 10)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}

// ParseInt reads a member that an intset can hold: the canonical text of an int64.
func ParseInt(p []byte) (int64, bool) { return packed.ParseInt(p) }
