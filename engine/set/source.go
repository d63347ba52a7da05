package set

import (
	"encoding/binary"
	"math/bits"
	"strconv"

	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/keyspace/intset"
	"tidemark/engine/keyspace/packed"
	"tidemark/engine/value"
)

// A source is a set that is read: it is good as long as the entry it was opened for.
type source struct {
	s    *keyspace.Shard
	r    keyspace.Ref
	n    int // members
	form form
	ints intset.Set
	list packed.List
	mem  coll.Mem

	// The index of a packed list that is searched often: places by the members' hashes, 4 bytes each, 0: none; their number is a power of two.
	index []byte
}

func open(s *keyspace.Shard, r keyspace.Ref) source {
	x := source{s: s, r: r, n: value.Len(s, r)}
	switch s.Encoding(r) {
	case keyspace.IntSet:
		x.form, x.ints = integers, s.Value(r)
	case keyspace.ListPack:
		x.form, x.list = listed, s.Value(r)
	default:
		x.form, x.mem = large, s.Open(r)
	}
	return x
}

// same reports whether two sources are the same key's set.
func (x *source) same(y *source) bool { return x.s == y.s && x.r == y.r }

// A probe is a member that is looked for in several sets: what it looks like to each is worked out once.
type probe struct {
	text   []byte // of a member that was met as text
	v      int64
	hash   uint64
	isInt  bool // v is known
	noInt  bool // it is none
	hashed bool
	// A slice of the probe in the probe would have it allocated: how much of these is in use.
	printed, coded int
	print          [20]byte
	code           [80]byte
}

func (p *probe) setText(m []byte) {
	p.text, p.isInt, p.noInt, p.hashed, p.printed, p.coded = m, false, false, false, 0, 0
}

func (p *probe) setInt(v int64) {
	p.text, p.v, p.isInt, p.noInt, p.hashed, p.printed, p.coded = nil, v, true, false, false, 0, 0
}

// setEntry makes it the element at a place of a packed list.
func (p *probe) setEntry(l packed.List, at int) {
	if str, v, isInt := l.Get(at); isInt {
		p.setInt(v)
	} else {
		p.setText(str)
		p.noInt = true
	}
}

// bytes returns the member: a view of the set it comes from, or of the probe.
func (p *probe) bytes() []byte {
	if p.text != nil || !p.isInt {
		return p.text
	}
	if p.printed == 0 {
		p.printed = len(strconv.AppendInt(p.print[:0], p.v, 10))
	}
	return p.print[:p.printed]
}

// integer returns the member as one.
func (p *probe) integer() (int64, bool) {
	if !p.isInt && !p.noInt {
		p.v, p.isInt = packed.ParseInt(p.text)
		p.noInt = !p.isInt
	}
	return p.v, p.isInt
}

// hashIn returns the member's hash, which is the same for all shards.
func (p *probe) hashIn(s *keyspace.Shard) uint64 {
	if !p.hashed {
		p.hash, p.hashed = s.Hash(p.bytes()), true
	}
	return p.hash
}

// encoded returns the member as packed.Encode has it.
func (p *probe) encoded() []byte {
	if p.coded == 0 {
		if v, ok := p.integer(); ok {
			p.coded = len(packed.EncodeInt(p.code[:0], v))
		} else if len(p.text) > len(p.code)-headRoom {
			return packed.Encode(nil, p.text)
		} else {
			p.coded = len(packed.Encode(p.code[:0], p.text))
		}
	}
	return p.code[:p.coded]
}

// headRoom is what the head of an entry takes at most, of a string that is not very long.
const headRoom = 2

// has reports whether the set has the member.
func (x *source) has(p *probe) bool {
	switch x.form {
	case integers:
		v, ok := p.integer()
		if ok {
			_, ok = x.ints.Find(v)
		}
		return ok
	case listed:
		if x.list.TooLong(p.text) {
			return false
		}
		if x.index == nil {
			return x.list.Find(packed.HeaderBytes, p.encoded(), 1) != 0
		}
		for slot := x.slot(p.hashIn(x.s)); ; slot = x.slot(slot + 1) {
			at := int(binary.LittleEndian.Uint32(x.index[slot*4:]))
			if at == 0 || x.list.Is(at, p.encoded()) {
				return at != 0
			}
		}
	}
	return coll.Dict{Mem: &x.mem}.Find(p.hashIn(x.s), p.bytes()) != 0
}

// slot is where in the index something stands that a hash, or the number of a slot, says.
func (x *source) slot(h uint64) uint64 { return h & uint64(len(x.index)/4-1) }

// indexFrom is how many members a packed list must have, and how often it must be searched, for an index to be worth making.
const indexFrom = 16

// indexBytes is the size of an index of the set: 0 if it needs none.
func (x *source) indexBytes() int {
	if x.form != listed || x.n < indexFrom {
		return 0
	}
	return 4 * 2 << bits.Len(uint(x.n))
}

// makeIndex makes the index in room of indexBytes.
func (x *source) makeIndex(room []byte) {
	clear(room)
	x.index = room
	var buf [20]byte
	for at := packed.HeaderBytes; !x.list.AtEnd(at); at = x.list.Next(at) {
		slot := x.slot(x.s.Hash(x.list.Text(at, &buf)))
		for binary.LittleEndian.Uint32(room[slot*4:]) != 0 {
			slot = x.slot(slot + 1)
		}
		binary.LittleEndian.PutUint32(room[slot*4:], uint32(at))
	}
}

// A walker goes over the members of a set. The set must not change.
type walker struct {
	x      source // a copy: a pointer would have it allocated
	at     int    // the next place in a packed list or a set of integers, or the next of the elements fetched
	cursor uint64
	done   bool
	// Elements of a large set, fetched ahead: first n in a, the others in more.
	n    int
	a    [fetch + 16]coll.Ref
	more []coll.Ref
	sum  byte
}

// fetch is how many elements of a large set are looked up ahead, so that the cache misses of reading them overlap.
const fetch = 32

func (x *source) walk() walker {
	w := walker{x: *x}
	if x.form == listed {
		w.at = packed.HeaderBytes
	}
	return w
}

// next makes p the next member; false: there is none. What p.bytes returns is good until the next call.
func (w *walker) next(p *probe) bool {
	switch x := &w.x; x.form {
	case integers:
		if w.at == x.n {
			return false
		}
		p.setInt(x.ints.At(w.at))
		w.at++
	case listed:
		if x.list.AtEnd(w.at) {
			return false
		}
		p.setEntry(x.list, w.at)
		w.at = x.list.Next(w.at)
	default:
		if w.at == w.n+len(w.more) && !w.fetch() {
			return false
		}
		var r coll.Ref
		if w.at < w.n {
			r = w.a[w.at]
		} else {
			r = w.more[w.at-w.n]
		}
		p.setText(coll.KeyOf(x.mem.Space, r))
		w.at++
	}
	return true
}

func (w *walker) fetch() bool {
	d := coll.Dict{Mem: &w.x.mem}
	w.at, w.n, w.more = 0, 0, w.more[:0]
	for !w.done && w.n < fetch {
		w.cursor = d.Scan(w.cursor, func(r coll.Ref) {
			if w.n < len(w.a) {
				w.a[w.n] = r
				w.n++
			} else {
				w.more = append(w.more, r)
			}
		})
		w.done = w.cursor == 0
	}
	for _, r := range w.a[:w.n] {
		w.sum += *(*byte)(d.Ptr(r))
	}
	return w.n > 0
}
