package keyspace

import (
	"math/bits"
	"unsafe"

	"tidemark/engine/keyspace/arena"
)

// expiryIndex orders the volatile entries of a table by their expiry: a heap of four children a node, whose items
// know their entry and whose entries know their item. The earliest is at the root; there is no sampling and no
// estimate. Items lie in blocks of the table's arena, so growth copies at most one small block.
//
// A second one orders the hashes that have fields which expire, by the earliest of these.
//
//	item | expiry, Unix ms : 64 | entry : 64 |
type expiryIndex struct {
	fields bool        // of hashes, by their fields
	blocks []arena.Ref // each of blockItems, the first smaller while it is the only one
	room   int
	n      int
	bytes  int64
}

const (
	itemBytes  = 16
	blockShift = 8
	blockItems = 1 << blockShift
	firstItems = 4
)

type expiryItem struct {
	at int64
	r  Ref
}

// due is the earliest expiry of a shard.
type due struct {
	db int   // whose index has it; -1: there is none
	at int64 // Unix ms, or NoExpire
}

// indexOf returns the index of hashes by their fields, or that of entries by their own expiry.
func (t *table) indexOf(fields bool) *expiryIndex {
	if fields {
		return &t.fields
	}
	return &t.index
}

// item is of the index of entries.
func (t *table) item(i int) *expiryItem { return t.index.item(t, i) }

func (x *expiryIndex) item(t *table, i int) *expiryItem {
	b := x.blocks[i>>blockShift]
	return (*expiryItem)(unsafe.Add(t.Ptr(b), i&(blockItems-1)*itemBytes))
}

// set puts an item at i and tells its entry.
func (x *expiryIndex) set(t *table, i int, it expiryItem) {
	*x.item(t, i) = it
	e := entry{t.Ptr(it.r)}
	if x.fields {
		*e.fieldsAt(t.Space) = uint32(i) + 1
	} else {
		*e.indexAt() = uint32(i)
	}
}

// add enters r, whose entry is volatile, or has fields that expire, already.
func (x *expiryIndex) add(t *table, r Ref, at int64) {
	if x.n == x.room {
		x.grow(t)
	}
	x.n++
	x.siftUp(t, x.n-1, expiryItem{at, r})
}

func (x *expiryIndex) grow(t *table) {
	if x.room >= blockItems {
		b := t.Alloc(blockItems * itemBytes)
		x.bytes += int64(t.SizeOf(b))
		x.blocks = append(x.blocks, b)
		x.room += blockItems
		return
	}
	n := max(firstItems, x.room*2)
	b := t.Alloc(n * itemBytes)
	x.bytes += int64(t.SizeOf(b))
	if x.room > 0 {
		copy(t.Bytes(b, 0, n*itemBytes), t.Bytes(x.blocks[0], 0, x.n*itemBytes))
		x.bytes -= int64(t.SizeOf(x.blocks[0]))
		t.Free(x.blocks[0])
		x.blocks[0] = b
	} else {
		x.blocks = append(x.blocks, b)
	}
	x.room = n
}

func (x *expiryIndex) trim(t *table) {
	switch {
	case x.n == 0:
		for _, b := range x.blocks {
			x.bytes -= int64(t.SizeOf(b))
			t.Free(b)
		}
		*x = expiryIndex{fields: x.fields}
	case x.room-x.n >= 2*blockItems:
		last := len(x.blocks) - 1
		x.bytes -= int64(t.SizeOf(x.blocks[last]))
		t.Free(x.blocks[last])
		x.blocks = x.blocks[:last]
		x.room -= blockItems
	}
}

// remove takes out item i.
func (x *expiryIndex) remove(t *table, i int) {
	x.n--
	if last := *x.item(t, x.n); i < x.n {
		x.sift(t, i, last)
	}
	x.trim(t)
}

// move gives item i another time.
func (x *expiryIndex) move(t *table, i int, at int64) {
	x.sift(t, i, expiryItem{at, x.item(t, i).r})
}

func (x *expiryIndex) sift(t *table, i int, it expiryItem) {
	if i > 0 && it.at < x.item(t, (i-1)/4).at {
		x.siftUp(t, i, it)
		return
	}
	x.siftDown(t, i, it)
}

func (x *expiryIndex) siftUp(t *table, i int, it expiryItem) {
	for i > 0 {
		up := (i - 1) / 4
		p := *x.item(t, up)
		if p.at <= it.at {
			break
		}
		x.set(t, i, p)
		i = up
	}
	x.set(t, i, it)
}

func (x *expiryIndex) siftDown(t *table, i int, it expiryItem) {
	n := x.n
	for {
		c := 4*i + 1
		if c >= n {
			break
		}
		least, best := c, *x.item(t, c)
		for k := c + 1; k < min(c+4, n); k++ {
			if o := *x.item(t, k); o.at < best.at {
				least, best = k, o
			}
		}
		if it.at <= best.at {
			break
		}
		x.set(t, i, best)
		i = least
	}
	x.set(t, i, it)
}

// avgTTL estimates the mean time to expiry from a sample spread over the heap.
func (t *table) avgTTL(now int64) int64 {
	n := t.index.n
	if n == 0 {
		return 0
	}
	const sample = 64
	step := max(1, n/sample)
	var sum uint64
	var carry, seen uint64
	for i := 0; i < n; i += step {
		var c uint64
		sum, c = bits.Add64(sum, uint64(max(0, t.item(i).at-now)), 0)
		carry += c
		seen++
	}
	q, _ := bits.Div64(carry, sum, seen) // carry < seen: each item adds at most one
	return int64(q)
}
