package coll

import (
	"math/bits"
	"unsafe"

	"tidemark/engine/keyspace/arena"
)

// MostAhead is how many keys Ahead takes at once.
const MostAhead = 16

const lineBytes = 64

// Ahead has the processor fetch what finding keys of these hashes, at most MostAhead, will touch: their buckets, and then the elements. Found one
// after the other, each costs two cache misses in turn; here those of all of them overlap. Nothing is changed.
func (d Dict) Ahead(hashes []uint64) {
	if d.Root.dict == 0 {
		return
	}
	var lines [2 * MostAhead]uintptr
	var buckets [MostAhead]struct {
		p         unsafe.Pointer
		frag, tag uint64
	}
	hashes = hashes[:min(len(hashes), MostAhead)]
	for i, h := range hashes {
		w := d.segment(h)
		b := &buckets[i]
		b.p, b.frag, b.tag = bucketAt(d.Ptr(w.ref()), home(h, w)), fragment(h, w.depth()), tagOf(h)
		lines[i] = uintptr(b.p)
	}
	arena.Prefetch(lines[:len(hashes)])
	n := 0
	for i := range hashes {
		b := &buckets[i]
		for m := matches(*(*uint64)(b.p), b.tag); m != 0; m &= m - 1 {
			slot := *u64(b.p, 8+bits.TrailingZeros64(m)&^7)
			if slot>>fragAt == b.frag && slot != 0 {
				p := d.Addr(Ref(slot & refMask))
				lines[n], lines[n+1] = p, p+lineBytes/2 // half of the small elements that cross a line
				n += 2
				break // another match is one in 16 million
			}
		}
	}
	arena.Prefetch(lines[:n])
}
