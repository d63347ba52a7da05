package coll

import "unsafe"

// newSegment makes an empty segment.
func (d Dict) newSegment(depth, buckets uint) word {
	n := int(segHeader + buckets*bucket)
	r := d.Alloc(n)
	clear(d.Heap.Bytes(r, 0, n))
	*stampOf(d.Ptr(r)) = d.Root.Hold
	return segWord(r, depth, buckets)
}

func (d Dict) newDir(bits uint) Ref {
	n := dirHeader + 8<<bits
	r := d.Alloc(n)
	clear(d.Heap.Bytes(r, 0, n))
	*stampOf(d.Ptr(r)) = d.Root.Hold
	return r
}

// eachSlot calls f with tag and slot of everything in a segment, in no order. Elements of a segment that is held are not fresh, whatever
// their bit said before.
func (d Dict) eachSlot(w word, f func(tag, slot uint64)) {
	seg := d.Ptr(w.ref())
	mask := ^uint64(0)
	if !d.Editable(w.ref()) {
		mask = ^uint64(fresh)
	}
	for b := range w.buckets() {
		p := bucketAt(seg, b)
		ctrl := *(*uint64)(p)
		for i := range slotsIn {
			if tag := ctrl >> (i * 8) & 0xff; tag != 0 {
				f(tag, *u64(p, 8+i*8)&mask)
			}
		}
	}
}

// resize gives a segment other buckets.
func (d Dict) resize(s *spot, w word, buckets uint) {
	n := d.newSegment(w.depth(), buckets)
	seg, depth := d.Ptr(n.ref()), w.depth()
	from := base(depth)
	d.eachSlot(w, func(tag, slot uint64) {
		place(seg, choice(slot>>fragAt, from, depth)*buckets>>choiceBits, buckets, tag, slot)
	})
	*keysOf(seg) = *keysOf(d.Ptr(w.ref()))
	d.set(s, n)
	d.DropNode(w.ref())
}

// countDepth keeps the topmost directory's numbers of segments.
func (d Dict) countDepth(depth uint, by int) {
	if w := d.Root.dict; w.isDir() {
		*byDepth(d.Ptr(w.ref()), depth) += uint32(by)
	}
}

// grow makes the segment of h larger, or two of it. At maxDepth it does nothing.
func (d Dict) grow(h uint64, s *spot, w word) bool {
	if nb := w.buckets(); nb < maxBuckets {
		d.resize(s, w, nb*2+1)
		return true
	}
	depth := w.depth()
	if depth == maxDepth {
		return false
	}
	// Make room in the directory: afterwards two slots or more name the segment.
	switch {
	case s.dir == nil:
		r := d.newDir(1)
		s.dir, s.up, s.bits, s.x = d.Ptr(r), &d.Root.dict, 1, h
		d.Root.dict = dirWord(r, 1)
		s.fill(w, 0)
		*byDepth(s.dir, depth) = 1
	case s.local(depth) < s.bits:
	case s.bits < dirBits:
		d.doubleDir(s)
	default:
		r := d.newDir(1)
		s.up = dirSlot(s.dir, s.x>>(64-s.bits))
		*s.up = dirWord(r, 1)
		s.level++
		s.dir, s.bits, s.x = d.Ptr(r), 1, s.x<<dirBits
		s.fill(w, 0)
	}
	from, to := base(depth), base(depth+1)
	frag := func(slot uint64) uint64 { // begins at bit to
		if from == to {
			return slot >> fragAt
		}
		return d.Hash(KeyOf(d.Space, Ref(slot&refMask))) << to >> fragAt
	}
	half := [2]word{d.newSegment(depth+1, maxBuckets), d.newSegment(depth+1, maxBuckets)}
	seg := [2]unsafe.Pointer{d.Ptr(half[0].ref()), d.Ptr(half[1].ref())}
	d.eachSlot(w, func(tag, slot uint64) {
		i := slot >> fragAt >> (22 - (depth - from)) & 1
		f := frag(slot)
		place(seg[i], choice(f, to, depth+1)*maxBuckets>>choiceBits, maxBuckets, tag, f<<fragAt|slot&(fresh|refMask))
		*keysOf(seg[i])++
	})
	d.DropNode(w.ref())
	local := s.local(depth) + 1
	bit := uint64(1) << (64 - local)
	x := s.x
	s.x = x &^ bit
	s.fill(half[0], local)
	s.x = x | bit
	s.fill(half[1], local)
	s.x = x
	if local == s.bits {
		*deepest(s.dir) += 2
	}
	d.countDepth(depth, -1)
	d.countDepth(depth+1, 2)
	return true
}

func (d Dict) doubleDir(s *spot) {
	old := s.up.ref()
	r := d.newDir(s.bits + 1)
	dir := d.Ptr(r)
	for i := range uint64(1) << s.bits {
		w := *dirSlot(s.dir, i)
		*dirSlot(dir, 2*i), *dirSlot(dir, 2*i+1) = w, w
	}
	copy(d.Heap.Bytes(r, 8, dirHeader-8), unsafe.Slice((*byte)(unsafe.Add(s.dir, 8)), dirHeader-8))
	s.bits++
	s.dir = dir
	*s.up = dirWord(r, s.bits)
	d.DropNode(old)
}

// bucketsFor is how many buckets the only segment of a Dict of so many keys has.
func bucketsFor(keys int) uint {
	n := uint(1)
	for n < maxBuckets && keys*2 > int(n)*9 { // at most 4.5 a bucket
		n = n*2 + 1
	}
	return n
}

// shrink gives room back after a removal from the segment of h: fewer buckets, or one segment for two neighbours.
func (d Dict) shrink(h uint64) {
	if d.Root.N == 0 {
		d.dropWord(d.Root.dict)
		d.Root.dict = 0
		return
	}
	for {
		s, w := d.spotOf(h)
		if s.dir == nil {
			if to := bucketsFor(int(*keysOf(d.Ptr(w.ref())))); to < w.buckets() {
				d.resize(&s, w, to)
			}
			return
		}
		local := s.local(w.depth())
		if local == 0 { // the node has nothing but this segment
			r := s.up.ref()
			*s.up = w
			d.DropNode(r)
			continue
		}
		bit := uint64(1) << (64 - local)
		other := *dirSlot(s.dir, (s.x^bit)>>(64-s.bits))
		if other.isDir() || other.depth() != w.depth() ||
			int(*keysOf(d.Ptr(w.ref())))+int(*keysOf(d.Ptr(other.ref()))) > mergeMax {
			return
		}
		d.merge(h, &s, w, other)
	}
}

// merge makes one segment of w, which holds h, and its neighbour other.
func (d Dict) merge(h uint64, s *spot, w, other word) {
	depth := w.depth()
	n := d.newSegment(depth-1, maxBuckets)
	seg := d.Ptr(n.ref())
	from, to := base(depth), base(depth-1)
	bit := uint64(1) << (64 - depth)
	for _, half := range []struct {
		w word
		h uint64
	}{{w, h}, {other, h ^ bit}} {
		// The 8 bits that a fragment loses at its front when base moves are known from where it stands.
		lost := half.h << to >> 56
		d.eachSlot(half.w, func(tag, slot uint64) {
			f := slot >> fragAt
			if from != to {
				f = lost<<15 | f>>8
			}
			place(seg, choice(f, to, depth-1)*maxBuckets>>choiceBits, maxBuckets, tag, f<<fragAt|slot&(fresh|refMask))
		})
		*keysOf(seg) += *keysOf(d.Ptr(half.w.ref()))
		d.DropNode(half.w.ref())
	}
	if s.local(depth) == s.bits {
		*deepest(s.dir) -= 2
	}
	d.countDepth(depth, -2)
	d.countDepth(depth-1, 1)
	s.fill(n, s.local(depth)-1)
	for *deepest(s.dir) == 0 && s.bits > 1 {
		d.halveDir(s)
	}
}

// halveDir halves a directory node, none of whose slots is the only one of its segment.
func (d Dict) halveDir(s *spot) {
	old := s.up.ref()
	r := d.newDir(s.bits - 1)
	dir := d.Ptr(r)
	copy(d.Heap.Bytes(r, 8, dirHeader-8), unsafe.Slice((*byte)(unsafe.Add(s.dir, 8)), dirHeader-8))
	s.bits--
	for i := range uint64(1) << s.bits {
		w := *dirSlot(s.dir, 2*i)
		*dirSlot(dir, i) = w
		if s.local(w.depth()) == s.bits {
			*deepest(dir)++
		}
	}
	s.dir = dir
	*s.up = dirWord(r, s.bits)
	d.DropNode(old)
}
