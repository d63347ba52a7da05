package arena

import (
	"fmt"
	"math/bits"
	"time"
	"unsafe"
)

func largeClassOf(n int) int {
	// Eight steps to a doubling: the three bits under the leading one choose.
	lead := bits.Len(uint(n-1)) - 1 // n-1 in [2^lead, 2^(lead+1))
	step := (n - 1) >> (lead - 3) & 7
	return 15 + (lead-7)*8 + step
}

// Heap allocates blocks for one owner. It is not safe for concurrent use: the owner's lock guards it.
type Heap struct {
	Space
	pool    *Pool
	cur     [numClasses]*spanMeta // the slab being allocated from; in no list
	partial [numClasses]uint32    // other slabs with free blocks
	idle    [idleMost]uint8       // classes, plus one, whose current slab became empty last: those that may keep it
	idleAt  uint8
	all     uint32 // everything
	spans   int    // slabs, runs and mappings of all
	mapped  int64  // their bytes
	used    int64
}

// NewHeap returns an empty heap.
func (p *Pool) NewHeap() *Heap { return &Heap{Space: p.Space(), pool: p} }

// Used is the sum of the sizes of all blocks, in bytes.
func (h *Heap) Used() int64 { return h.used }

// Mapped is the memory the heap has taken from the pool, in bytes: its blocks, and the room in slabs between them.
func (h *Heap) Mapped() int64 { return h.mapped }

func (m *spanMeta) bytes() int64 {
	if m.class == classHuge {
		return int64(m.free)
	}
	return int64(m.spans) * spanBytes
}

// Sparse reports whether a block lies in a slab that is less than three quarters full and not the one being
// allocated from: whoever can move the block to a new one helps to empty the slab.
func (h *Heap) Sparse(r Ref) bool {
	m := h.meta(r)
	return m.class < classRun && m != h.cur[m.class] && uint32(m.used)*classSize[m.class]*4 < m.limit*3
}

// Alloc returns a block of at least n bytes, aligned to 8 (to 64 when n is a multiple of 64 from 128 on). Its content is undefined.
func (h *Heap) Alloc(n int) Ref {
	if n > maxSlabbed {
		return h.allocLarge(n)
	}
	c := classOf(n)
	m := h.cur[c]
	if m != nil {
		if r := m.free; r != 0 {
			m.free = *(*Ref)(h.Ptr(r))
			m.used++
			h.used += int64(classSize[c])
			return r
		}
		if m.bump < m.limit {
			r := Ref(m.id)<<spanShift + Ref(m.bump>>3)
			m.bump += classSize[c]
			m.used++
			h.used += int64(classSize[c])
			return r
		}
	}
	h.refill(c)
	return h.Alloc(n)
}

// IsFresh reports whether the block came zeroed from the system and reads as zero until written: true for blocks so large
// that they have their own mapping, right after Alloc.
func (h *Heap) IsFresh(r Ref) bool { return h.meta(r).class == classHuge }

// refill makes a slab with free blocks the current one of the class.
func (h *Heap) refill(c int) {
	if id := h.partial[c]; id != 0 {
		m := h.metaOf(id)
		h.unlist(m)
		h.cur[c] = m
		return
	}
	m := h.pool.spans(int(classSpans[c]))
	m.class = uint8(c)
	slab := uint32(classSpans[c]) * spanBytes
	m.limit = slab - slab%classSize[c]
	h.own(m)
	h.cur[c] = m
}

func (h *Heap) own(m *spanMeta) {
	m.allPrev, m.allNext = 0, h.all
	if h.all != 0 {
		h.metaOf(h.all).allPrev = m.id
	}
	h.all = m.id
	h.spans++
	h.mapped += m.bytes()
}

func (h *Heap) disown(m *spanMeta) {
	h.spans--
	h.mapped -= m.bytes()
	if m.allNext != 0 {
		h.metaOf(m.allNext).allPrev = m.allPrev
	}
	if m.allPrev != 0 {
		h.metaOf(m.allPrev).allNext = m.allNext
	} else {
		h.all = m.allNext
	}
}

// list puts a slab in front of its class's partial ones.
func (h *Heap) list(m *spanMeta) {
	c := m.class
	m.prev, m.next = 0, h.partial[c]
	if m.next != 0 {
		h.metaOf(m.next).prev = m.id
	}
	h.partial[c] = m.id
	m.inFreeAt = true
}

func (h *Heap) unlist(m *spanMeta) {
	if m.next != 0 {
		h.metaOf(m.next).prev = m.prev
	}
	if m.prev != 0 {
		h.metaOf(m.prev).next = m.next
	} else {
		h.partial[m.class] = m.next
	}
	m.inFreeAt = false
}

// Free gives a block back. It never calls the system.
func (h *Heap) Free(r Ref) {
	m := h.meta(r)
	if m.class >= classRun {
		h.freeLarge(m)
		return
	}
	*(*Ref)(h.Ptr(r)) = m.free
	m.free = r
	m.used--
	h.used -= int64(classSize[m.class])
	if m == h.cur[m.class] {
		if m.used == 0 {
			h.idles(m.class)
		}
		return
	}
	if m.used == 0 {
		if m.inFreeAt {
			h.unlist(m)
		}
		h.disown(m)
		h.pool.giveBack(m)
	} else if !m.inFreeAt {
		h.list(m)
	}
}

// idleMost is how many empty slabs a heap keeps because they are the current ones of their classes. What grows by a few bytes at a time, as small
// collections do, leaves one class after the other, and a heap would be left with an empty slab of each.
const idleMost = 2

// idles notes that the current slab of a class is empty, and gives that of another back which has been so for longer.
func (h *Heap) idles(class uint8) {
	for _, c := range h.idle {
		if c == class+1 {
			return
		}
	}
	at := &h.idle[h.idleAt]
	h.idleAt = (h.idleAt + 1) % idleMost
	if *at != 0 {
		if m := h.cur[*at-1]; m != nil && m.used == 0 {
			h.cur[*at-1] = nil
			h.disown(m)
			h.pool.giveBack(m)
		}
	}
	*at = class + 1
}

func (h *Heap) allocLarge(n int) Ref {
	var m *spanMeta
	if n > maxRun {
		m = h.pool.addHuge(n)
	} else {
		spans := (n + spanBytes - 1) / spanBytes
		m = h.pool.spans(spans)
		m.class = classRun
		m.free = Ref(spans * spanBytes)
	}
	h.own(m)
	h.used += int64(m.free)
	return Ref(m.id) << spanShift
}

func (h *Heap) freeLarge(m *spanMeta) {
	h.used -= int64(m.free)
	h.disown(m)
	if m.class == classHuge {
		h.pool.dropHuge(m)
		return
	}
	h.pool.giveBack(m)
}

// Grow enlarges a block with a mapping of its own to n bytes without copying, and reports whether it could: the Ref stays, the
// address may change, the new part is zero.
func (h *Heap) Grow(r Ref, n int) bool {
	m := h.meta(r)
	if m.class != classHuge || n < int(m.free) {
		return false
	}
	h.used -= int64(m.free)
	h.mapped -= int64(m.free)
	h.pool.growHuge(m, n)
	h.used += int64(m.free)
	h.mapped += int64(m.free)
	return true
}

// Release gives everything back to the pool; the heap is empty afterwards. Its cost is a few ns for each 64 KiB, and an unmapping for
// each huge block. It may run on any goroutine as long as nobody else uses the heap.
func (h *Heap) Release() { h.release(0) }

// ReleaseLater is Release in the background, by and by. Nobody may use the heap any more.
func (h *Heap) ReleaseLater() { h.pool.Later(h.used, func() { h.release(dropPause) }) }

// release is Release with a pause after each dropAtOnce bytes that are unmapped.
func (h *Heap) release(pause time.Duration) {
	for id := h.all; id != 0; {
		m := h.metaOf(id)
		next := m.allNext
		if m.class == classHuge {
			h.pool.unmapHuge(m, pause)
		} else {
			h.pool.giveBack(m)
		}
		id = next
	}
	*h = Heap{Space: h.Space, pool: h.pool}
}

// trimAbove is how many empty slabs a heap keeps: emptying and refilling a small one should cost nothing.
const trimAbove = 4

// Trim gives an empty heap's slabs back if they are many.
func (h *Heap) Trim() {
	if h.used == 0 && h.spans > trimAbove {
		h.Release()
	}
}

// Bytes returns n bytes of a block from off on. The view lives as long as the block.
func (s Space) Bytes(r Ref, off, n int) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(s.Ptr(r), off)), n)
}

// Check verifies the heap's lists against its counters and returns a description of the first contradiction, or "".
// It is for tests: it looks at every span.
func (h *Heap) Check() string {
	var sum int64
	for id := h.all; id != 0; {
		m := h.metaOf(id)
		if m.id != id {
			return fmt.Sprintf("span %d calls itself %d", id, m.id)
		}
		if m.class >= classRun {
			sum += int64(m.free)
			id = m.allNext
			continue
		}
		size := classSize[m.class]
		sum += int64(m.used) * int64(size)
		free := 0
		for r := m.free; r != 0; r = *(*Ref)(h.Ptr(r)) {
			if h.meta(r) != m {
				return fmt.Sprintf("free list of span %d leaves it", id)
			}
			free++
		}
		if uint32(free)+uint32(m.used) != m.bump/size {
			return fmt.Sprintf("span %d of class %d: %d free, %d used, %d cut", id, m.class, free, m.used, m.bump/size)
		}
		id = m.allNext
	}
	if sum != h.used {
		return fmt.Sprintf("blocks sum to %d bytes, counter says %d", sum, h.used)
	}
	return ""
}
