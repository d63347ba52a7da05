package coll

import (
	"math/bits"
	"unsafe"
)

// A Dict finds elements by the hash of their key. It is the keyspace's own table (package keyspace, table.go) with three differences: the
// directory is a tree of nodes, so that no growth ever copies more than one node of 4 KiB; everything lies in the arena; and
// nodes are copied before they change while a hold wants them as they are.
//
// Terms. The position of a key is the upper 48 bits of its hash, and everything is in the order of positions, whatever the size: that
// is what Scan walks by. A segment holds the keys whose positions share the upper d bits (its depth). A directory node looks at up to 9
// bits, and each of its slots names a segment or, when all 9 bits are used, another directory node.
//
//	segment   | stamp : 32 | keys : 16 | ... up to 64 bytes | bucket ... |       1, 3, 7, 15, 31 or 63 buckets: a block of 2^n bytes
//	bucket    | displaced : 8 | tags : 7 × 8 | slot 0 | ... | slot 6 |
//	slot      | fragment : 23 | fresh : 1 | element (Ref) : 40 |
//	directory | stamp : 32 | deepest : 32 | segments by depth : 33 × 32 | word ... |       2^bits words
//	word      | directory : 1 | ... | buckets : 6 | depth of the segment, or bits of the directory : 6 | Ref : 40 |
//
// Within a segment, buckets are as in the keyspace: a key whose home is full stands in the next bucket with room, each bucket it passed counts one
// more displaced, and a search ends at the first that displaced nobody. The fragment is 23 bits of the hash, from
// bit base(depth) on: enough to place a key without looking at it when its segment is resized, split (but for every eighth level) or merged. fresh
// says that the element was made since the hold began which the segment's stamp names.
type Dict struct{ *Mem }

// word names a segment or a directory node.
type word uint64

const (
	wordDepthAt   = 40
	wordBucketsAt = 46
	wordDir       = 1 << 63

	dirBits   = 9
	dirHeader = 8 + 33*4 + 4
	segHeader = 64
	bucket    = 64
	slotsIn   = 7

	maxBuckets = 63
	full       = 6   // keys a bucket, on average, at which a segment grows
	sparse     = 3   // keys a bucket below which it shrinks or tries to merge
	mergeMax   = 280 // keys of two segments that merge
	maxDepth   = 32

	// PosBits is how many bits of the hash Scan's cursor has.
	PosBits    = 48
	choiceBits = 15
	fragAt     = 41
	fresh      = 1 << 40

	lowBits  = 0x0001010101010101
	highBits = 0x0080808080808080
)

func (w word) ref() Ref             { return Ref(w & refMask) }
func (w word) depth() uint          { return uint(w>>wordDepthAt) & 63 }
func (w word) buckets() uint        { return uint(w>>wordBucketsAt) & 63 }
func (w word) isDir() bool          { return w&wordDir != 0 }
func (w word) withRef(r Ref) word   { return w&^refMask | word(r) }
func segWord(r Ref, d, b uint) word { return word(r) | word(d)<<wordDepthAt | word(b)<<wordBucketsAt }
func dirWord(r Ref, bits uint) word { return word(r) | word(bits)<<wordDepthAt | wordDir }

// base is the bit of the hash, counted from the top, where fragments of a segment of depth d begin.
func base(d uint) uint { return (d - min(d, 1)) &^ 7 }

func tagOf(h uint64) uint64 { return h>>8&0xff | 1 }

// fragment is as it stands in a slot.
func fragment(h uint64, d uint) uint64 { return h << base(d) >> fragAt }

// choice is the 15 bits after the first d, from a fragment that begins at bit from.
func choice(frag uint64, from, d uint) uint { return uint(frag>>(8-(d-from))) & (1<<choiceBits - 1) }

func home(h uint64, w word) uint {
	return uint(h<<w.depth()>>(64-choiceBits)) * w.buckets() >> choiceBits
}

func keysOf(seg unsafe.Pointer) *uint16 { return (*uint16)(unsafe.Add(seg, 4)) }

func bucketAt(seg unsafe.Pointer, b uint) unsafe.Pointer { return unsafe.Add(seg, segHeader+b*bucket) }

func dirSlot(dir unsafe.Pointer, i uint64) *word { return (*word)(unsafe.Add(dir, dirHeader+i*8)) }

// deepest counts a directory's slots' segments and nodes that are named by one slot alone.
func deepest(dir unsafe.Pointer) *uint32 { return (*uint32)(unsafe.Add(dir, 4)) }

// byDepth counts segments by depth; only the topmost directory's are kept.
func byDepth(dir unsafe.Pointer, d uint) *uint32 { return (*uint32)(unsafe.Add(dir, 8+d*4)) }

func matches(ctrl, tag uint64) uint64 {
	x := ctrl ^ tag*lowBits
	return (x - lowBits) & ^x & highBits
}

// segment returns the word of the segment that h belongs to. The Dict is not empty.
func (d Dict) segment(h uint64) word {
	w := d.Root.dict
	for w.isDir() {
		w = *dirSlot(d.Ptr(w.ref()), h>>(64-w.depth()))
		h <<= dirBits
	}
	return w
}

// Find returns the element of a key, or 0. h is the key's hash.
func (d Dict) Find(h uint64, key []byte) Ref {
	if d.Root.dict == 0 {
		return 0
	}
	w := d.segment(h)
	seg, b, nb := d.Ptr(w.ref()), home(h, w), w.buckets()
	frag, tag := fragment(h, w.depth()), tagOf(h)
	for range nb {
		p := bucketAt(seg, b)
		ctrl := *(*uint64)(p)
		for m := matches(ctrl, tag); m != 0; m &= m - 1 {
			slot := *u64(p, 8+bits.TrailingZeros64(m)&^7)
			if slot>>fragAt != frag || slot == 0 {
				continue
			}
			if r := Ref(slot & refMask); string(KeyOf(d.Space, r)) == string(key) {
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

// slotOf returns the slot of an element in its segment, with its bucket's number and its place there.
func (d Dict) slotOf(h uint64, w word, r Ref) (slot *uint64, b, i uint) {
	seg, b, nb, tag := d.Ptr(w.ref()), home(h, w), w.buckets(), tagOf(h)
	for range nb {
		p := bucketAt(seg, b)
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
	panic("BUG: coll: element not in its table")
}

// spot is where the word of a segment stands.
type spot struct {
	dir   unsafe.Pointer // nil: in the Root
	up    *word          // what names the directory node
	x     uint64         // the hash, shifted to the bits that the node looks at
	bits  uint
	level uint
}

// spotOf goes to the segment of h, making the directory nodes on the way its own.
func (d Dict) spotOf(h uint64) (s spot, w word) {
	at := &d.Root.dict
	for at.isDir() {
		if !d.Editable(at.ref()) {
			*at = at.withRef(d.OwnNode(at.ref()))
		}
		if s.dir != nil {
			s.level++
		}
		s.dir, s.up, s.bits = d.Ptr(at.ref()), at, at.depth()
		s.x = h << (s.level * dirBits)
		at = dirSlot(s.dir, s.x>>(64-s.bits))
	}
	return s, *at
}

// local is how many of the node's bits a segment of depth d uses.
func (s *spot) local(d uint) uint { return d - s.level*dirBits }

// set writes the word of a segment of the depth it had into all the slots that name it.
func (d Dict) set(s *spot, w word) {
	if s.dir == nil {
		d.Root.dict = w
		return
	}
	s.fill(w, s.local(w.depth()))
}

// fill writes w into the slots that share x's first local bits.
func (s *spot) fill(w word, local uint) {
	n := uint64(1) << (s.bits - local)
	from := s.x >> (64 - s.bits) &^ (n - 1)
	for i := range n {
		*dirSlot(s.dir, from+i) = w
	}
}

// ownSegment makes the segment at a spot one that may be written to.
func (d Dict) ownSegment(s *spot, w word) word {
	if d.Editable(w.ref()) {
		return w
	}
	w = w.withRef(d.OwnNode(w.ref()))
	seg := d.Ptr(w.ref())
	for b := range w.buckets() {
		p := bucketAt(seg, b)
		for i := range slotsIn {
			*u64(p, 8+8*i) &^= fresh
		}
	}
	d.set(s, w)
	return w
}

// place puts a slot into the first room from bucket b on.
func place(seg unsafe.Pointer, b, nb uint, tag, slot uint64) {
	for range nb {
		p := bucketAt(seg, b)
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
	panic("BUG: coll: a segment overflowed")
}

// Insert adds an element whose key, of hash h, is not there yet.
func (d Dict) Insert(h uint64, r Ref) {
	if d.Root.dict == 0 {
		d.Root.dict = d.newSegment(0, 1)
	}
	s, w := d.spotOf(h)
	for int(*keysOf(d.Ptr(w.ref()))) >= int(w.buckets())*full {
		if !d.grow(h, &s, w) {
			break
		}
		s, w = d.spotOf(h)
	}
	w = d.ownSegment(&s, w)
	seg := d.Ptr(w.ref())
	place(seg, home(h, w), w.buckets(), tagOf(h), fragment(h, w.depth())<<fragAt|fresh|uint64(r))
	*keysOf(seg)++
	d.Root.N++
}

// Replace puts another element with the same key in the place of old, and frees old.
func (d Dict) Replace(h uint64, old, r Ref) {
	s, w := d.spotOf(h)
	w = d.ownSegment(&s, w)
	slot, _, _ := d.slotOf(h, w, old)
	was := *slot&fresh != 0
	*slot = *slot&^refMask | fresh | uint64(r)
	d.dropElem(old, was)
}

// EditableElem reports whether an element may be changed in place: nobody holds it.
func (d Dict) EditableElem(h uint64, r Ref) bool {
	if d.Kept == nil {
		return true
	}
	w := d.segment(h)
	if !d.Editable(w.ref()) {
		return false
	}
	slot, _, _ := d.slotOf(h, w, r)
	return *slot&fresh != 0
}

// Remove takes an element out and frees it.
func (d Dict) Remove(h uint64, r Ref) {
	s, w := d.spotOf(h)
	w = d.ownSegment(&s, w)
	seg := d.Ptr(w.ref())
	slot, b, i := d.slotOf(h, w, r)
	was := *slot&fresh != 0
	*slot = 0
	*(*uint64)(bucketAt(seg, b)) &^= 0xff << (i * 8)
	for p := home(h, w); p != b; {
		if ctrl := (*uint64)(bucketAt(seg, p)); *ctrl>>56 != 255 {
			*ctrl -= 1 << 56
		}
		if p++; p == w.buckets() {
			p = 0
		}
	}
	n := keysOf(seg)
	*n--
	d.Root.N--
	d.dropElem(r, was)
	if int(*n) < int(w.buckets())*sparse {
		d.shrink(h)
	}
}
