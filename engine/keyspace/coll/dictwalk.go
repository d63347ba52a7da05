package coll

import (
	"math/bits"
	"unsafe"

	"tidemark/engine/keyspace/arena"
)

// homed calls f for the elements whose home is bucket b of a segment.
func (d Dict) homed(w word, b uint, f func(r Ref)) {
	seg, depth, nb := d.Ptr(w.ref()), w.depth(), w.buckets()
	from := base(depth)
	for at, n := b, uint(0); n < nb; n++ {
		p := bucketAt(seg, at)
		ctrl := *(*uint64)(p)
		for i := range slotsIn {
			if ctrl>>(i*8)&0xff == 0 {
				continue
			}
			slot := *u64(p, 8+i*8)
			if choice(slot>>fragAt, from, depth)*nb>>choiceBits == b {
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

// after is the first position behind bucket b of the segment that pos lies in. The very end is 1<<PosBits.
func (w word) after(pos uint64, b uint) uint64 {
	d, nb := w.depth(), uint64(w.buckets())
	start := pos >> (PosBits - d) << (PosBits - d)
	return start + (uint64(b+1)<<choiceBits+nb-1)/nb<<(PosBits-d-choiceBits)
}

// Scan visits the elements of at least one bucket from cursor (a position, below 1<<PosBits) on, and returns the cursor to go on from, 0
// at the end. Every element that is there during the whole of a scan is visited, while the Dict grows and shrinks in between, and once unless it
// moved. visit must not change the collection. Any cursor is accepted; one past the end is the end.
func (d Dict) Scan(cursor uint64, visit func(r Ref)) uint64 {
	if d.Root.dict == 0 || cursor >= 1<<PosBits {
		return 0
	}
	for visited := false; !visited; {
		h := cursor << (64 - PosBits)
		w := d.segment(h)
		b := home(h, w)
		d.homed(w, b, func(r Ref) {
			visited = true
			visit(r)
		})
		if cursor = w.after(cursor, b); cursor == 1<<PosBits {
			return 0
		}
	}
	return cursor
}

// Warm reads the first bytes of all elements of the segment that a cursor lies in, so that the cache misses of looking at them one by one
// overlap. The sum has no meaning.
func (d Dict) Warm(cursor uint64) (sum uint64) {
	w := d.segment(cursor << (64 - PosBits))
	d.eachSlot(w, func(_, slot uint64) { sum += uint64(*(*byte)(d.Ptr(Ref(slot & refMask)))) })
	return sum
}

// Random returns an element, each with exactly the same probability, or 0 when there is none. rnd gives random 64-bit numbers.
func (d Dict) Random(rnd func() uint64) Ref {
	w := d.Root.dict
	if w == 0 {
		return 0
	}
	deep := uint(0)
	if w.isDir() {
		dir := d.Ptr(w.ref())
		for deep = maxDepth; *byDepth(dir, deep) == 0; deep-- {
		}
	}
	for range 1 << 12 {
		// A segment is met with a probability of 2^-depth; keeping one of depth d in 2^(deep-d) makes all equal. Its
		// slots are a grid, of which one is drawn: whatever is there is as likely as anything else.
		x := rnd()
		w := d.segment(x)
		if x&(1<<(deep-w.depth())-1) != 0 {
			continue
		}
		at, _ := bits.Mul64(rnd(), uint64(w.buckets())*slotsIn)
		if slot := *u64(bucketAt(d.Ptr(w.ref()), uint(at/slotsIn)), int(8+at%slotsIn*8)); slot != 0 {
			return Ref(slot & refMask)
		}
	}
	// A nearly empty Dict, which removals are about to shrink: the first after a random position.
	var found Ref
	at := rnd() >> (64 - PosBits)
	for found == 0 {
		at = d.Scan(at, func(r Ref) { found = r })
	}
	return found
}

// dropWord frees the nodes that a word names, and their elements.
func (d Dict) dropWord(w word) {
	if w == 0 {
		return
	}
	if w.isDir() {
		dir, last := d.Ptr(w.ref()), word(0)
		for i := range uint64(1) << w.depth() {
			if c := *dirSlot(dir, i); c != last {
				d.dropWord(c)
				last = c
			}
		}
	} else {
		d.eachSlot(w, func(_, slot uint64) { d.dropElem(Ref(slot&refMask), slot&fresh != 0) })
	}
	d.DropNode(w.ref())
}

// Drop frees the whole Dict with its elements. Its cost is some 15 ns an element.
func (d Dict) Drop() {
	d.dropWord(d.Root.dict)
	d.Root.dict, d.Root.N = 0, 0
}

// CloneFrom makes d, which is empty, a copy of src, which may lie in another heap.
func (d Dict) CloneFrom(src Dict) {
	d.Root.dict, d.Root.N = d.cloneWord(src, src.Root.dict, false), src.Root.N
}

// MoveFrom is CloneFrom of a Dict that is dropped next, and that nobody holds: Moved tells from then on which element has taken the place of one of its.
func (d Dict) MoveFrom(src Dict) {
	d.Root.dict, d.Root.N = d.cloneWord(src, src.Root.dict, true), src.Root.N
}

// Moved returns what MoveFrom made of an element.
func Moved(s arena.Space, r Ref) Ref { return Ref(*u64(s.Ptr(r), 0)) }

func (d Dict) cloneWord(src Dict, w word, move bool) word {
	if w == 0 {
		return 0
	}
	size := int(segHeader + w.buckets()*bucket)
	if w.isDir() {
		size = dirHeader + 8<<w.depth()
	}
	r := d.Alloc(size)
	copy(d.Heap.Bytes(r, 0, size), src.Heap.Bytes(w.ref(), 0, size))
	p := d.Ptr(r)
	*stampOf(p) = d.Root.Hold
	if !w.isDir() {
		d.cloneElems(p, w.buckets(), move)
		return w.withRef(r)
	}
	var last, clone word
	for i := range uint64(1) << w.depth() {
		slot := dirSlot(p, i)
		if *slot != last {
			last = *slot
			clone = d.cloneWord(src, last, move)
		}
		*slot = clone
	}
	return w.withRef(r)
}

func (d Dict) cloneElems(seg unsafe.Pointer, buckets uint, move bool) {
	for b := range buckets {
		p := bucketAt(seg, b)
		for i := range slotsIn {
			slot := u64(p, 8+i*8)
			if *slot == 0 {
				continue
			}
			old := Ref(*slot & refMask)
			r := d.cloneElem(old)
			*slot = *slot&^refMask | fresh | uint64(r)
			if move {
				*u64(d.Ptr(old), 0) = uint64(r) // a block has 16 bytes at least
			}
		}
	}
}
