// Package arena is memory outside the Go heap.
//
// A Pool maps chunks of 4 MiB and hands out spans of 64 KiB. A Heap belongs to one owner (and is guarded by that
// owner's lock); it cuts spans into slabs of equal blocks, and its whole content can be given back at once, without
// looking at a single block. Blocks are named by a Ref, which any holder of the Pool resolves with two loads.
//
//	Ref (40 bits)   | chunk : 21 | offset in the chunk, in units of 8 bytes : 19 |
//	span id         | chunk : 21 | span in the chunk : 6 |
//
// Blocks over 32 KiB take whole spans ("runs"); over 2 MiB they have a mapping of their own under a chunk number of
// their own, which grows by mremap and is unmapped in the background.
//
// What is freed is reusable at once by every owner of the pool. When free spans that still have pages make up a
// good part of the pool, a background goroutine returns their pages to the system, 4 MiB at a time, holding no
// lock while it does.
package arena

import (
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// Ref names a block. 0 is none. It uses the low RefBits bits.
type Ref uint64

const (
	RefBits = 40

	chunkBytes    = 4 << 20
	spanBytes     = 64 << 10
	spansPerChunk = chunkBytes / spanBytes
	offsetBits    = 19 // of a Ref: 8-byte units in a chunk
	spanShift     = 13 // from a Ref to a span id

	// scavengeMin is the amount of free but resident memory below which nothing is returned to the system.
	scavengeMin = 8 << 20
)

// A chunkEntry is written under Pool.mu before any Ref into the chunk exists, and read without a lock by whoever
// got such a Ref. Both fields are Go pointers or mapped addresses, hidden from the collector: Pool keeps them alive.
type chunkEntry struct {
	base uintptr
	meta uintptr // *[spansPerChunk]spanMeta; of a huge block *spanMeta
}

// spanMeta describes a span. That of a slab's or run's first span is owned by the Heap that has it.
type spanMeta struct {
	free     Ref    // first free block of a slab; the size in bytes of a run's or huge block
	id       uint32 // of this span
	bump     uint32 // bytes of the slab that were ever handed out
	limit    uint32 // where bumping ends
	next     uint32 // slabs of this class with free blocks; 0 ends
	prev     uint32
	allNext  uint32 // everything the Heap has
	allPrev  uint32
	used     uint16 // blocks in use
	class    uint8
	head     uint8 // distance to the first span of the slab
	spans    uint8 // length of the slab or run
	inFreeAt bool  // listed in Heap.partial
}

// chunk is the Pool's view of a chunk.
type chunk struct {
	base unsafe.Pointer
	free uint64 // spans not handed out
	warm uint64 // of those, the ones that may have pages
}

// Pool is the source of spans for any number of Heaps. Its methods are safe for concurrent use.
type Pool struct {
	tab unsafe.Pointer // *[maxChunks]chunkEntry

	mu       sync.Mutex
	chunks   []chunk // by chunk number; base nil for huge blocks and numbers not in use
	metas    []*[spansPerChunk]spanMeta
	huge     map[uint32]*spanMeta
	numbers  []uint32 // chunk numbers free for reuse
	open     stack    // chunks with free spans
	warmed   stack    // chunks with free spans that have pages
	regions  []region
	region   []byte
	freeSpan int // free spans
	warmSpan int // of those with pages
	closed   bool

	hugeBytes    atomic.Int64
	mappedBytes  atomic.Int64 // chunks
	freeBytes    atomic.Int64 // of free spans, with pages or without
	warmBytes    atomic.Int64
	pendingBytes atomic.Int64 // waiting in jobs

	jobs   []func()
	wake   chan struct{}
	ended  chan struct{}
	urgent bool // the scavenger is wanted
}

type region struct {
	p unsafe.Pointer
	n uintptr
}

// NewPool returns an empty pool with its background goroutine, which Close ends.
func NewPool() *Pool {
	n := uintptr(maxChunks) * unsafe.Sizeof(chunkEntry{})
	p := &Pool{tab: mapMemory(n), huge: make(map[uint32]*spanMeta), wake: make(chan struct{}, 1), ended: make(chan struct{})}
	p.regions = append(p.regions, region{p.tab, n})
	p.chunks = append(p.chunks, chunk{}) // number 0 is never used: Ref 0 is none
	p.metas = append(p.metas, nil)
	go p.background()
	return p
}

// Close unmaps everything. No block of the pool may be touched afterwards.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.signal()
	<-p.ended
	for id, m := range p.huge {
		unmapMemory(p.entry(id).pointer(), uintptr(m.free))
	}
	for _, r := range p.regions {
		unmapMemory(r.p, r.n)
	}
	p.tab = nil
}

func (p *Pool) entry(number uint32) *chunkEntry {
	return (*chunkEntry)(unsafe.Add(p.tab, uintptr(number)*unsafe.Sizeof(chunkEntry{})))
}

func (e *chunkEntry) pointer() unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&e.base)) }

// Space resolves Refs. It is a copy of what that needs of a Pool.
type Space struct{ tab unsafe.Pointer }

// Space returns the pool's resolver.
func (p *Pool) Space() Space { return Space{p.tab} }

// Ptr returns the address of a block.
func (s Space) Ptr(r Ref) unsafe.Pointer {
	e := (*chunkEntry)(unsafe.Add(s.tab, uintptr(r>>offsetBits)*unsafe.Sizeof(chunkEntry{})))
	return unsafe.Add(*(*unsafe.Pointer)(unsafe.Pointer(&e.base)), uintptr(r&(1<<offsetBits-1))<<3)
}

// Addr is Ptr of a Ref that may be out of date: a number that may only be given to Prefetch.
func (s Space) Addr(r Ref) uintptr {
	e := (*chunkEntry)(unsafe.Add(s.tab, uintptr(r>>offsetBits)*unsafe.Sizeof(chunkEntry{})))
	return e.base + uintptr(r&(1<<offsetBits-1))<<3
}

// meta returns the description of the slab, run or mapping a block lies in.
func (s Space) meta(r Ref) *spanMeta {
	e := (*chunkEntry)(unsafe.Add(s.tab, uintptr(r>>offsetBits)*unsafe.Sizeof(chunkEntry{})))
	base := *(*unsafe.Pointer)(unsafe.Pointer(&e.meta))
	i := uintptr(r>>spanShift) & (spansPerChunk - 1)
	m := (*spanMeta)(unsafe.Add(base, i*unsafe.Sizeof(spanMeta{})))
	if m.head != 0 {
		m = (*spanMeta)(unsafe.Add(base, (i-uintptr(m.head))*unsafe.Sizeof(spanMeta{})))
	}
	return m
}

func (s Space) metaOf(id uint32) *spanMeta {
	e := (*chunkEntry)(unsafe.Add(s.tab, uintptr(id>>6)*unsafe.Sizeof(chunkEntry{})))
	return (*spanMeta)(unsafe.Add(*(*unsafe.Pointer)(unsafe.Pointer(&e.meta)), uintptr(id&63)*unsafe.Sizeof(spanMeta{})))
}

// SizeOf returns the bytes a block has room for.
func (s Space) SizeOf(r Ref) int {
	m := s.meta(r)
	if m.class >= classRun {
		return int(m.free)
	}
	return int(classSize[m.class])
}

// A stack lists chunks that have, or lately had, spans of some kind, each at most once.
type stack struct {
	numbers []uint32
	listed  []bool // by chunk number
}

func (k *stack) push(number uint32) {
	for len(k.listed) <= int(number) {
		k.listed = append(k.listed, false)
	}
	if !k.listed[number] {
		k.listed[number] = true
		k.numbers = append(k.numbers, number)
	}
}

// lookAt is how many chunks of a stack are tried.
const lookAt = 16

// spans hands out n adjacent spans of one chunk: spans with pages before ones without, so that what was freed is used
// again before memory grows.
func (p *Pool) spans(n int) *spanMeta {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.warmSpan >= n {
		if m := p.search(&p.warmed, n, true); m != nil {
			return m
		}
	}
	if m := p.search(&p.open, n, false); m != nil {
		return m
	}
	if p.freeSpan >= 4*n { // the tops of the stacks are fragmented: look everywhere before mapping more
		for number := range p.chunks {
			if m := p.take(uint32(number), n, false); m != nil {
				return m
			}
		}
	}
	return p.take(p.addChunk(), n, false)
}

func (p *Pool) search(k *stack, n int, warm bool) *spanMeta {
	for i := len(k.numbers) - 1; i >= 0 && i >= len(k.numbers)-lookAt; i-- {
		number := k.numbers[i]
		c := &p.chunks[number]
		set := c.free
		if warm {
			set = c.warm
		}
		if set == 0 {
			k.listed[number] = false
			k.numbers = append(k.numbers[:i], k.numbers[i+1:]...)
			continue
		}
		if m := p.take(number, n, warm); m != nil {
			return m
		}
	}
	return nil
}

// take cuts n spans from a chunk, if possible (or only) ones with pages, or returns nil.
func (p *Pool) take(number uint32, n int, warm bool) *spanMeta {
	c := &p.chunks[number]
	at := runOf(c.warm, n)
	if at < 0 {
		if at = runOf(c.free, n); warm || at < 0 {
			return nil
		}
	}
	mask := (uint64(1)<<n - 1) << at // n is 64 at most: a shift by 64 gives 0, minus 1 all ones
	c.free &^= mask
	p.warmSpan -= bits.OnesCount64(c.warm & mask)
	c.warm &^= mask
	p.freeSpan -= n
	p.account()
	metas := p.metas[number]
	for i := range n {
		metas[at+i] = spanMeta{id: number<<6 | uint32(at+i), head: uint8(i)}
	}
	m := &metas[at]
	m.spans = uint8(n)
	return m
}

// runOf returns the lowest position of n adjacent ones in set, or -1.
func runOf(set uint64, n int) int {
	for have := 1; have < n && set != 0; {
		by := min(have, n-have)
		set &= set >> by
		have += by
	}
	if set == 0 {
		return -1
	}
	return bits.TrailingZeros64(set)
}

// giveBack takes a run of spans back. Their content is lost.
func (p *Pool) giveBack(m *spanMeta) {
	p.mu.Lock()
	p.giveBackLocked(m)
	p.mu.Unlock()
}

func (p *Pool) giveBackLocked(m *spanMeta) {
	number, at, n := m.id>>6, int(m.id&63), int(m.spans)
	mask := (uint64(1)<<n - 1) << at
	c := &p.chunks[number]
	if c.free&mask != 0 {
		panic(fmt.Sprintf("BUG: arena: span %d freed twice", m.id))
	}
	c.free |= mask
	c.warm |= mask
	p.freeSpan += n
	p.warmSpan += n
	p.open.push(number)
	p.warmed.push(number)
	p.account()
	if !p.urgent && p.tooWarm() {
		p.urgent = true
		p.signal()
	}
}

func (p *Pool) account() {
	p.freeBytes.Store(int64(p.freeSpan) * spanBytes)
	p.warmBytes.Store(int64(p.warmSpan) * spanBytes)
}

// tooWarm reports whether enough free memory has pages to return some.
func (p *Pool) tooWarm() bool {
	used := p.mappedBytes.Load() - int64(p.freeSpan)*spanBytes
	return int64(p.warmSpan)*spanBytes > max(scavengeMin, used/8)
}

func (p *Pool) addChunk() uint32 {
	if len(p.region) == 0 {
		n := uintptr(regionSize + chunkBytes)
		r := mapMemory(n)
		p.regions = append(p.regions, region{r, n})
		p.region = unsafe.Slice((*byte)(r), n)
		if odd := uintptr(r) & (chunkBytes - 1); odd != 0 {
			p.region = p.region[chunkBytes-odd:]
		}
		p.region = p.region[:regionSize]
	}
	base := unsafe.Pointer(&p.region[0])
	p.region = p.region[chunkBytes:]
	number := p.number()
	metas := new([spansPerChunk]spanMeta)
	p.metas[number] = metas
	p.chunks[number] = chunk{base: base, free: 1<<spansPerChunk - 1}
	e := p.entry(number)
	e.base, e.meta = uintptr(base), uintptr(unsafe.Pointer(metas))
	p.freeSpan += spansPerChunk
	p.mappedBytes.Add(chunkBytes)
	p.open.push(number)
	return number
}

// number returns an unused chunk number.
func (p *Pool) number() uint32 {
	if n := len(p.numbers); n > 0 {
		id := p.numbers[n-1]
		p.numbers = p.numbers[:n-1]
		return id
	}
	if len(p.chunks) == maxChunks {
		panic(fmt.Sprintf("FATAL: out of memory: %d chunks of %d MiB are in use", maxChunks, chunkBytes>>20))
	}
	p.chunks = append(p.chunks, chunk{})
	p.metas = append(p.metas, nil)
	return uint32(len(p.chunks) - 1)
}

// addHuge maps a block of its own.
func (p *Pool) addHuge(n int) *spanMeta {
	size := (n + hugeQuantum - 1) &^ (hugeQuantum - 1)
	base := mapMemory(uintptr(size))
	p.mu.Lock()
	defer p.mu.Unlock()
	number := p.number()
	m := &spanMeta{id: number << 6, class: classHuge, free: Ref(size)}
	p.huge[number] = m
	e := p.entry(number)
	e.base, e.meta = uintptr(base), uintptr(unsafe.Pointer(m))
	p.hugeBytes.Add(int64(size))
	return m
}

// growHuge resizes a huge block in place of its Ref.
func (p *Pool) growHuge(m *spanMeta, n int) {
	size := (n + hugeQuantum - 1) &^ (hugeQuantum - 1)
	e := p.entry(m.id >> 6)
	q := remapMemory(e.pointer(), uintptr(m.free), uintptr(size))
	p.hugeBytes.Add(int64(size) - int64(m.free))
	e.base = uintptr(q)
	m.free = Ref(size)
}

// dropHuge unmaps a block in the background.
func (p *Pool) dropHuge(m *spanMeta) {
	size := int64(m.free)
	p.Later(size, func() { p.unmapHuge(m, dropPause) })
}

// unmapHuge unmaps a block, with a pause after each dropAtOnce bytes.
func (p *Pool) unmapHuge(m *spanMeta, pause time.Duration) {
	number := m.id >> 6
	e := p.entry(number)
	for at, n := uintptr(0), uintptr(m.free); pause > 0 && at < n; at += dropAtOnce {
		dropPages(unsafe.Add(e.pointer(), at), min(dropAtOnce, n-at))
		time.Sleep(pause)
	}
	unmapMemory(e.pointer(), uintptr(m.free))
	p.hugeBytes.Add(-int64(m.free))
	p.mu.Lock()
	*e = chunkEntry{}
	delete(p.huge, number)
	p.numbers = append(p.numbers, number)
	p.mu.Unlock()
}

// Stats is where a pool's memory is, in bytes.
type Stats struct {
	Mapped  int64 // that may be resident: spans in use, free spans with pages, huge blocks
	Spans   int64 // in spans that some Heap has
	Huge    int64 // in huge blocks, those waiting to be unmapped included
	Warm    int64 // in free spans with pages
	Pending int64 // waiting to be given back in the background
}

// Stats reads counters; it takes no lock.
func (p *Pool) Stats() Stats {
	spans := p.mappedBytes.Load() - p.freeBytes.Load()
	s := Stats{Spans: spans, Huge: p.hugeBytes.Load(), Warm: p.warmBytes.Load(), Pending: p.pendingBytes.Load()}
	s.Mapped = s.Spans + s.Huge + s.Warm
	return s
}
