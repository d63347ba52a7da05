package keyspace

import (
	"math/bits"
	"unsafe"

	"tidemark/engine/keyspace/arena"
	"tidemark/engine/keyspace/coll"
)

// A directory is what looking ahead sees of a table: the same array as table.dir, with the depth that belongs to it. It is replaced, not
// changed, when the array is; the array's elements change in place.
type directory struct {
	segs  []uint64
	depth uint
}

// MostAhead is how many keys Ahead takes at once.
const MostAhead = coll.MostAhead

const lineBytes = 64

// Ahead has the processor fetch what looking up keys of these hashes will touch: their buckets, and then the entries. Looked up one after
// the other, each key costs two cache misses in turn; here those of all of them overlap. It is for keys that are about to be
// looked up, at most MostAhead. Any goroutine, with or without the shards' locks.
//
// It takes no locks, which would make the misses wait for each other again, and changes nothing. What it reads without them is single
// words of memory that stays mapped while the keyspace lives: directories, segments and chunk numbers. They may be out of date or
// belong to something else by now; then an address is wrong, and fetching from it does no harm.
func (ks *Keyspace) Ahead(db int, hashes []uint64) {
	var lines [2 * MostAhead]uintptr
	var buckets [MostAhead]bucketAhead
	n := 0
	for _, h := range hashes[:min(len(hashes), MostAhead)] {
		s := &ks.shards[h&ks.mask]
		if raceBuild && !s.mu.TryLock() { // the caller may have it
			continue
		}
		if t := s.tables[db]; t != nil {
			if d := t.seen.Load(); d != nil {
				g := segment(d.segs[h>>(64-d.depth)])
				p := t.bucketPtr(g, home(g, h))
				buckets[n] = bucketAhead{p, fragment(g, h), tagOf(h)}
				lines[n] = uintptr(p)
				n++
			}
		}
		if raceBuild {
			s.mu.Unlock()
		}
	}
	arena.Prefetch(lines[:n])
	if raceBuild {
		return // the buckets are guarded
	}
	space, m := ks.pool.Space(), 0
	for i := range buckets[:n] {
		b := &buckets[i]
		for x := matches(*(*uint64)(b.p), b.tag); x != 0; x &= x - 1 {
			slot := *u64(b.p, 8+bits.TrailingZeros64(x)&^7)
			if slot>>40 == b.frag && slot != 0 {
				p := space.Addr(Ref(slot & refMask))
				lines[m], lines[m+1] = p, p+lineBytes
				m += 2
				break // another match is one in 16 million
			}
		}
	}
	arena.Prefetch(lines[:m])
}

type bucketAhead struct {
	p    unsafe.Pointer
	frag uint64
	tag  uint64
}

// AheadIn is Ahead for elements of the collection at a key, if it is a large hash, set or sorted set: it has the processor fetch what looking
// them up will touch, of at most MostAhead. The shard must be locked.
func (s *Shard) AheadIn(db int, h uint64, key []byte, elems [][]byte) {
	r := s.Find(db, h, key)
	if r == 0 {
		return
	}
	if enc := s.Encoding(r); enc != HashTable && enc != SkipList {
		return
	}
	var hashes [MostAhead]uint64
	elems = elems[:min(len(elems), MostAhead)]
	for i, e := range elems {
		hashes[i] = s.Hash(e)
	}
	m := s.Open(r)
	coll.Dict{Mem: &m}.Ahead(hashes[:len(elems)])
}
