package keyspace

import (
	"math/bits"
	"sync/atomic"
	"unsafe"

	"tidemark/engine/keyspace/arena"
)

// A table maps the hashes of one database in one shard to entries.
//
// Terms. The position of a key is the upper 48 bits of its hash; everything is in order of position, whatever the
// table's size, which is what SCAN and snapshots walk by. A segment holds the keys whose positions share the
// upper d bits (its depth); the directory, indexed by the upper bits of the position, names the segments. A segment is an
// array of 64 buckets of one cache line each (fewer in a table of one segment); within it the next 16 bits of the position choose the home bucket.
//
//	bucket    | displaced : 8 | tags : 7 × 8 |  slot 0 | ... | slot 6 |
//	slot      | fragment : 24 | entry (Ref) : 40 |
//	directory | keys : 11 | buckets : 7 | depth : 6 | segment (Ref) : 40 |
//
// A tag is 8 bits of the hash that are not part of the position, the lowest always set; tag 0 is an empty slot. A
// key whose home is full stands in the next bucket with room (cyclically in its segment), and each bucket it passed counts one
// more displaced, so that a search ends at the first bucket that displaced nobody. The fragment is 24 bits of the
// position from bit base(depth) on: enough to place the key after the segment is resized, split or merged without
// touching the entry (a split that moves base, every eighth level, reads the keys).
//
// Growth. The only segment of a small table is rebuilt with more buckets; a full one of 64 buckets (384 keys) splits in two;
// two neighbours that deletions have emptied merge. The dearest single insertion moves 384 slots, a few µs at any size of the
// table, and there never are two tables. The size of segments is fixed because freed and new ones then share one class of blocks: with
// segments that grow in finer steps, buckets were fuller (11.5 bytes a key), but half as much again lay in
// slabs of sizes just outgrown. An array of buckets that doubles was rejected: it needs both arrays while it moves.

const (
	bucketBytes = 64
	slotsIn     = 7
	maxBuckets  = 64
	full        = 6   // keys a bucket, on average, at which a segment grows
	sparse      = 3   // keys a bucket below which it shrinks or tries to merge
	mergeMax    = 288 // keys of two segments that merge
	maxDepth    = 32

	posBits   = 48
	refMask   = 1<<arena.RefBits - 1
	depthAt   = 40
	bucketsAt = 46
	keysAt    = 53

	lowBits  = 0x0001010101010101
	highBits = 0x0080808080808080
	tagMask  = 1<<56 - 1
)

// sizeFor returns the buckets of a table's only segment.
func sizeFor(keys int) int {
	n := 1
	for n < maxBuckets && keys*2 > n*9 { // at most 4.5 a bucket
		n *= 2
	}
	return n
}

type segment uint64 // a directory entry

func makeSegment(r arena.Ref, depth, buckets, keys int) segment {
	return segment(uint64(r) | uint64(depth)<<depthAt | uint64(buckets)<<bucketsAt | uint64(keys)<<keysAt)
}

func (g segment) ref() arena.Ref { return arena.Ref(g & refMask) }
func (g segment) depth() uint    { return uint(g>>depthAt) & 63 }
func (g segment) buckets() uint  { return uint(g>>bucketsAt) & 127 }
func (g segment) keys() int      { return int(g >> keysAt) }

// base is the bit of the position (counted from the top) where fragments of a segment of depth d begin.
func base(d uint) uint { return (d - min(d, 1)) &^ 7 }

func tagOf(h uint64) uint64 { return h>>8&0xff | 1 }

func position(h uint64) uint64 { return h >> (64 - posBits) }

// table is not safe for concurrent use; the shard's lock guards it.
type table struct {
	*arena.Heap
	hash  *hasher
	dir   []uint64
	depth uint                      // of the directory
	seen  atomic.Pointer[directory] // dir and depth for Ahead; nil while the table is empty
	deep  int                       // segments of that depth
	n     int
	bytes int64 // of segments
	large int64 // of values that lie apart
	coll  int64 // of collections that have no heap of their own
	held  int64 // of what only a snapshot still has: ghosts, and what held collections have let go of

	homes    []ownHeap // heaps of large collections, by Root.Home - 1
	homeless []int     // places in homes that are free
	apartMem int64     // bytes used in homes
	holds    map[uint32]*hold
	remains  bool // some of homes may have Remains
	dead     bool // flushed

	index  expiryIndex
	fields expiryIndex // of hashes with fields that expire
	snap   *tableSnap  // while a snapshot has not passed the table's end
	pub    published

	compacted int64 // Used when it was compacted last, or the most since
}

func (t *table) at(h uint64) segment { return segment(t.dir[h>>(64-t.depth)]) }

func home(g segment, h uint64) uint {
	return uint(h<<g.depth()>>48) * g.buckets() >> 16
}

func fragment(g segment, h uint64) uint64 { return h << base(g.depth()) >> 40 }

// bucketPtr returns bucket b of a segment.
func (t *table) bucketPtr(g segment, b uint) unsafe.Pointer {
	return unsafe.Add(t.Ptr(g.ref()), b*bucketBytes)
}

// matches has the top bit of each byte set whose tag equals tag; bytes above a match may be set wrongly.
func matches(ctrl, tag uint64) uint64 {
	x := ctrl ^ tag*lowBits
	return (x - lowBits) & ^x & highBits
}

func (t *table) find(h uint64, key []byte) Ref {
	if t.n == 0 {
		return 0
	}
	g := t.at(h)
	b, nb := home(g, h), g.buckets()
	frag, tag := fragment(g, h), tagOf(h)
	seg := t.Ptr(g.ref())
	for range nb {
		p := unsafe.Add(seg, b*bucketBytes)
		ctrl := *(*uint64)(p)
		for m := matches(ctrl, tag); m != 0; m &= m - 1 {
			slot := *u64(p, 8+bits.TrailingZeros64(m)&^7)
			if slot>>40 != frag || slot == 0 {
				continue
			}
			r := Ref(slot & refMask)
			if (entry{t.Ptr(r)}).is(key) {
				return r
			}
		}
		if ctrl>>56 == 0 {
			break
		}
		if b++; b == nb {
			b = 0
		}
	}
	return 0
}

// slotOf returns the slot that holds r, and its bucket's number and position in it.
func (t *table) slotOf(g segment, h uint64, r Ref) (slot *uint64, b, i uint) {
	b, nb := home(g, h), g.buckets()
	seg, tag := t.Ptr(g.ref()), tagOf(h)
	for range nb {
		p := unsafe.Add(seg, b*bucketBytes)
		ctrl := *(*uint64)(p)
		for m := matches(ctrl, tag); m != 0; m &= m - 1 {
			at := bits.TrailingZeros64(m) &^ 7
			if slot = u64(p, 8+at); Ref(*slot&refMask) == r {
				return slot, b, uint(at) >> 3
			}
		}
		if ctrl>>56 == 0 {
			break
		}
		if b++; b == nb {
			b = 0
		}
	}
	panic("BUG: keyspace: entry not in its table (stale Ref, or hash of another key)")
}

// replace makes the slot of old name r.
func (t *table) replace(h uint64, old, r Ref) {
	slot, _, _ := t.slotOf(t.at(h), h, old)
	*slot = *slot&^refMask | uint64(r)
}

// place puts a slot into the first room from bucket b on.
func place(seg unsafe.Pointer, b, nb uint, tag, slot uint64) {
	for range nb {
		p := unsafe.Add(seg, b*bucketBytes)
		ctrl := (*uint64)(p)
		if empty := ^*ctrl & lowBits; empty != 0 {
			at := bits.TrailingZeros64(empty)
			*ctrl |= tag << at
			*u64(p, 8+at) = slot
			return
		}
		if *ctrl>>56 != 255 { // a count that reached 255 stays: searches only go further than they must
			*ctrl += 1 << 56
		}
		if b++; b == nb {
			b = 0
		}
	}
	panic("BUG: keyspace: a segment overflowed")
}

// insert adds an entry that is not there.
func (t *table) insert(h uint64, r Ref) {
	if t.dir == nil {
		t.dir = []uint64{uint64(makeSegment(t.newSegment(1), 0, 1, 0))}
		t.depth, t.deep = 0, 1
		t.show()
	}
	g := t.at(h)
	for g.keys() >= int(g.buckets())*full {
		if !t.grow(h, g) {
			break
		}
		g = t.at(h)
	}
	place(t.Ptr(g.ref()), home(g, h), g.buckets(), tagOf(h), fragment(g, h)<<40|uint64(r))
	t.setSegment(h, g+1<<keysAt)
	t.n++
}

// remove takes an entry out.
func (t *table) remove(h uint64, r Ref) {
	g := t.at(h)
	slot, b, i := t.slotOf(g, h, r)
	*slot = 0
	seg := t.Ptr(g.ref())
	*(*uint64)(unsafe.Add(seg, b*bucketBytes)) &^= 0xff << (i * 8)
	for p := home(g, h); p != b; {
		if ctrl := (*uint64)(unsafe.Add(seg, p*bucketBytes)); *ctrl>>56 != 255 {
			*ctrl -= 1 << 56
		}
		if p++; p == g.buckets() {
			p = 0
		}
	}
	g -= 1 << keysAt
	t.setSegment(h, g)
	t.n--
	if g.keys() < int(g.buckets())*sparse {
		t.shrink(h, g)
	}
}

// span returns the directory entries that name the segment of h.
func (t *table) span(h uint64, d uint) []uint64 {
	n := uint64(1) << (t.depth - d)
	from := h >> (64 - t.depth) &^ (n - 1)
	return t.dir[from : from+n]
}

func (t *table) setSegment(h uint64, g segment) {
	d := g.depth()
	if d == t.depth {
		t.dir[h>>(64-t.depth)] = uint64(g)
		return
	}
	s := t.span(h, d)
	for i := range s {
		s[i] = uint64(g)
	}
}

func (t *table) newSegment(buckets int) arena.Ref {
	r := t.Alloc(buckets * bucketBytes)
	clear(t.Bytes(r, 0, buckets*bucketBytes))
	t.bytes += int64(t.SizeOf(r))
	return r
}

func (t *table) freeSegment(g segment) {
	t.bytes -= int64(t.SizeOf(g.ref()))
	t.Free(g.ref())
}

// each calls f with tag and slot of everything in a segment, in no order.
func (t *table) each(g segment, f func(tag, slot uint64)) {
	seg := t.Ptr(g.ref())
	for b := range g.buckets() {
		p := unsafe.Add(seg, b*bucketBytes)
		ctrl := *(*uint64)(p)
		for i := range slotsIn {
			if tag := ctrl >> (i * 8) & 0xff; tag != 0 {
				f(tag, *u64(p, 8+i*8))
			}
		}
	}
}

// choice returns the 16 bits of the position after the first d, from a fragment that begins at bit from.
func choice(frag uint64, from, d uint) uint {
	return uint(frag>>(8-(d-from))) & 0xffff
}

func (t *table) resize(h uint64, g segment, buckets int) {
	n := makeSegment(t.newSegment(buckets), int(g.depth()), buckets, g.keys())
	seg, d := t.Ptr(n.ref()), g.depth()
	from := base(d)
	t.each(g, func(tag, slot uint64) {
		place(seg, choice(slot>>40, from, d)*uint(buckets)>>16, uint(buckets), tag, slot)
	})
	t.setSegment(h, n)
	t.freeSegment(g)
}

// grow makes the segment of h larger, or two of it. At maxDepth it does nothing.
func (t *table) grow(h uint64, g segment) bool {
	if nb := int(g.buckets()); nb < maxBuckets {
		t.resize(h, g, nb*2)
		return true
	}
	d := g.depth()
	if d == maxDepth {
		return false
	}
	if d == t.depth {
		dir := make([]uint64, 2*len(t.dir))
		for i, e := range t.dir {
			dir[2*i], dir[2*i+1] = e, e
		}
		t.dir, t.deep = dir, 0
		t.depth++
		t.show()
	}
	from, to := base(d), base(d+1)
	frag := func(slot uint64) uint64 { // begins at bit to
		if from == to {
			return slot >> 40
		}
		return t.hash.hash(entry{t.Ptr(Ref(slot & refMask))}.keyBytes()) << to >> 40
	}
	var count [2]int
	t.each(g, func(_, slot uint64) { count[slot>>40>>(23-(d-from))&1]++ })
	var half [2]segment
	var seg [2]unsafe.Pointer
	for i, n := range count {
		half[i] = makeSegment(t.newSegment(maxBuckets), int(d+1), maxBuckets, n)
	}
	for i, g := range half {
		seg[i] = t.Ptr(g.ref())
	}
	t.each(g, func(tag, slot uint64) {
		i := slot >> 40 >> (23 - (d - from)) & 1
		f, nb := frag(slot), half[i].buckets()
		place(seg[i], choice(f, to, d+1)*nb>>16, nb, tag, f<<40|slot&refMask)
	})
	bit := uint64(1) << (63 - d)
	t.freeSegment(g)
	t.setSegment(h&^bit, half[0])
	t.setSegment(h|bit, half[1])
	if d+1 == t.depth {
		t.deep += 2
	}
	return true
}

// shrink gives room back after a removal: fewer buckets, or one segment for two neighbours.
func (t *table) shrink(h uint64, g segment) {
	if t.n == 0 {
		t.freeSegment(g)
		// All other segments are empty too.
		for i := 0; i < len(t.dir); {
			o := segment(t.dir[i])
			if o.ref() != g.ref() {
				t.freeSegment(o)
			}
			i += 1 << (t.depth - o.depth())
		}
		t.dir, t.depth, t.deep = nil, 0, 0
		t.seen.Store(nil)
		return
	}
	for d := g.depth(); d > 0; d = g.depth() {
		bit := uint64(1) << (64 - d)
		other := t.at(h ^ bit)
		if other.depth() != d || g.keys()+other.keys() > mergeMax {
			break
		}
		g = t.merge(h, g, other)
	}
	if to := sizeFor(g.keys()); g.depth() == 0 && to < int(g.buckets()) {
		t.resize(h, g, to)
	}
}

// merge makes one segment of g, which holds h, and its neighbour other.
func (t *table) merge(h uint64, g, other segment) segment {
	d := g.depth()
	keys := g.keys() + other.keys()
	const buckets = maxBuckets
	n := makeSegment(t.newSegment(buckets), int(d-1), buckets, keys)
	seg := t.Ptr(n.ref())
	from, to := base(d), base(d-1)
	bit := uint64(1) << (64 - d)
	for _, half := range []struct {
		g segment
		h uint64
	}{{g, h}, {other, h ^ bit}} {
		// The 8 bits that a fragment loses at its front when base moves are known from where it stands.
		lost := half.h << to >> 56
		t.each(half.g, func(tag, slot uint64) {
			f := slot >> 40
			if from != to {
				f = lost<<16 | f>>8
			}
			place(seg, choice(f, to, d-1)*buckets>>16, buckets, tag, f<<40|slot&refMask)
		})
		t.freeSegment(half.g)
	}
	if d == t.depth {
		t.deep -= 2
	}
	t.setSegment(h, n)
	for t.deep == 0 && t.depth > 0 {
		t.halve()
	}
	return n
}

// halve halves the directory, no segment being of its depth.
func (t *table) halve() {
	dir := make([]uint64, len(t.dir)/2)
	t.depth--
	for i := range dir {
		dir[i] = t.dir[2*i]
		if segment(dir[i]).depth() == t.depth {
			t.deep++
		}
	}
	t.dir = dir
	t.show()
}

// show lets Ahead see the directory.
func (t *table) show() { t.seen.Store(&directory{t.dir, t.depth}) }

// place of a walk: the bucket that the position lies in.
func (t *table) locate(pos uint64) (g segment, b uint) {
	h := pos << (64 - posBits)
	g = t.at(h)
	return g, home(g, h)
}

// bounds returns the first position of bucket b of the segment that pos lies in, and the first after it. The very end is 1<<48.
func (g segment) bounds(pos uint64, b uint) (from, to uint64) {
	d := g.depth()
	start := pos >> (posBits - d) << (posBits - d)
	nb := uint64(g.buckets())
	low := func(b uint64) uint64 { return (b<<16 + nb - 1) / nb << (posBits - d - 16) }
	return start + low(uint64(b)), start + low(uint64(b)+1)
}

// homed calls f for the entries whose home is bucket b of segment g.
func (t *table) homed(g segment, b uint, f func(r Ref)) {
	seg, d, nb := t.Ptr(g.ref()), g.depth(), g.buckets()
	from := base(d)
	for at, n := b, uint(0); n < nb; n++ {
		p := unsafe.Add(seg, at*bucketBytes)
		ctrl := *(*uint64)(p)
		for i := range slotsIn {
			if ctrl>>(i*8)&0xff == 0 {
				continue
			}
			slot := *u64(p, 8+i*8)
			if choice(slot>>40, from, d)*nb>>16 == b {
				f(Ref(slot & refMask))
			}
		}
		if ctrl>>56 == 0 {
			return
		}
		if at++; at == nb {
			at = 0
		}
	}
}

// warm reads the first word of every entry in a bucket, so that the cache misses of looking at them one by one overlap.
func (t *table) warm(g segment, b uint) (sum uint64) {
	p := t.bucketPtr(g, b)
	for i := range slotsIn {
		if r := Ref(*u64(p, 8+i*8) & refMask); r != 0 {
			sum += *(*uint64)(t.Ptr(r))
		}
	}
	return sum
}

// random returns an entry, each with the same probability: it draws from a grid in which every slot of every segment
// is one cell, until it meets an occupied one.
func (t *table) random(rnd func() uint64) Ref {
	if t.n == 0 {
		return 0
	}
	grid := uint64(maxBuckets)
	if t.depth == 0 {
		grid = uint64(segment(t.dir[0]).buckets())
	}
	for range 4096 {
		x := rnd()
		i := x & uint64(len(t.dir)-1)
		g := segment(t.dir[i])
		if i&(1<<(t.depth-g.depth())-1) != 0 {
			continue // counted once, at its first directory entry
		}
		x = x >> 32 // the directory has at most 2^32 entries
		b := x & 0xffff * grid >> 16
		if b >= uint64(g.buckets()) {
			continue
		}
		if slot := *u64(t.bucketPtr(g, uint(b)), int(8+(x>>16)%slotsIn*8)); slot != 0 {
			return Ref(slot & refMask)
		}
	}
	// A nearly empty table, which deletions are about to shrink: take the first after a random position.
	at := rnd() >> (64 - posBits)
	for pass := 0; pass < 2; pass++ {
		for pos := at; pos < 1<<posBits; {
			g, b := t.locate(pos)
			var found Ref
			t.homed(g, b, func(r Ref) { found = r })
			if found != 0 {
				return found
			}
			_, pos = g.bounds(pos, b)
		}
		at = 0
	}
	return 0
}
