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
//	item | expiry, Unix ms : 64 | entry : 64 |
type expiryIndex struct {
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

func (t *table) item(i int) *expiryItem {
	b := t.index.blocks[i>>blockShift]
	return (*expiryItem)(unsafe.Add(t.Ptr(b), i&(blockItems-1)*itemBytes))
}

// setItem puts an item at i and tells its entry.
func (t *table) setItem(i int, it expiryItem) {
	*t.item(i) = it
	*entry{t.Ptr(it.r)}.indexAt() = uint32(i)
}

// indexAdd enters r, whose entry is volatile already.
func (t *table) indexAdd(r Ref, at int64) {
	x := &t.index
	if x.n == x.room {
		t.indexGrow()
	}
	x.n++
	t.siftUp(x.n-1, expiryItem{at, r})
}

func (t *table) indexGrow() {
	x := &t.index
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

func (t *table) indexTrim() {
	x := &t.index
	switch {
	case x.n == 0:
		for _, b := range x.blocks {
			x.bytes -= int64(t.SizeOf(b))
			t.Free(b)
		}
		*x = expiryIndex{}
	case x.room-x.n >= 2*blockItems:
		last := len(x.blocks) - 1
		x.bytes -= int64(t.SizeOf(x.blocks[last]))
		t.Free(x.blocks[last])
		x.blocks = x.blocks[:last]
		x.room -= blockItems
	}
}

// indexRemove takes out item i.
func (t *table) indexRemove(i int) {
	x := &t.index
	x.n--
	if last := *t.item(x.n); i < x.n {
		t.sift(i, last)
	}
	t.indexTrim()
}

// indexMove gives item i another time.
func (t *table) indexMove(i int, at int64) { t.sift(i, expiryItem{at, t.item(i).r}) }

func (t *table) sift(i int, it expiryItem) {
	if i > 0 && it.at < t.item((i-1)/4).at {
		t.siftUp(i, it)
		return
	}
	t.siftDown(i, it)
}

func (t *table) siftUp(i int, it expiryItem) {
	for i > 0 {
		up := (i - 1) / 4
		p := *t.item(up)
		if p.at <= it.at {
			break
		}
		t.setItem(i, p)
		i = up
	}
	t.setItem(i, it)
}

func (t *table) siftDown(i int, it expiryItem) {
	n := t.index.n
	for {
		c := 4*i + 1
		if c >= n {
			break
		}
		least, best := c, *t.item(c)
		for k := c + 1; k < min(c+4, n); k++ {
			if o := *t.item(k); o.at < best.at {
				least, best = k, o
			}
		}
		if it.at <= best.at {
			break
		}
		t.setItem(i, best)
		i = least
	}
	t.setItem(i, it)
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
