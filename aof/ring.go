package aof

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// A ring carries records from the holder of one shard's lock to the drainer.
//
// Record, at a multiple of 16 bytes, never wrapping around the end of the memory:
//
//	 0        8        12       16
//	+--------+--------+--------+---------------------+---------+
//	| offset | length | kind,db| payload             | padding |
//	+--------+--------+--------+---------------------+---------+
//
// kind, the lowest two bits, is inline (the payload follows), byRef (the payload is the next element of refs; length counts its
// bytes, none follow) or pad (length bytes are to be skipped, this header included). db, the other bits, is one more than the
// database in which the stream of another server is before the record (Follow), or 0 for a record of our own, which carries
// its SELECT where one is needed.
//
// Claim, write, publish: the writer owns [pos, limit), writes a record there, and hands it over by storing published. The
// drainer owns [drained, published) and hands it back by storing drained.
type ring struct {
	// Writer's; the shard's lock guards them.
	mem    []byte
	mask   uint64
	inline int    // largest payload that is copied into mem
	need   uint64 // bytes any one Append can take at most, padding included
	pos    uint64 // where the next record goes; equals published
	limit  uint64 // pos may come up to here; drained as last seen + len(mem)
	_      [64]byte

	published atomic.Uint64 // the writer stores, the drainer loads: hands records over
	_         [56]byte

	drained atomic.Uint64 // the drainer stores, the writer loads: hands space back
	_       [56]byte

	// Drainer's; the append role guards them.
	cur     ringCursor // ahead of drained while a batch is being written
	touched bool       // in the batch being written

	refMu sync.Mutex
	refs  []reference // effects by reference, in ring order; appended by the writer, removed by the drainer
	spare [][]byte    // what Follow may use again
}

// ringCursor follows a ring's records from drained on.
type ringCursor struct {
	next    uint64 // position of the next record
	seen    uint64 // published as last loaded
	refNext int    // which of refs comes next
	round   uint64 // of who stages ahead: when this cursor was last set to drained
}

// reference is a payload that is not in the ring's memory.
type reference struct {
	p      []byte
	reused bool // it goes to spare
}

const (
	// spareRefs and spareBytes bound what a ring keeps for Follow: without it, following would have the garbage collector run
	// all the time.
	spareRefs  = 4
	spareBytes = 512 << 10
)

const (
	recordHeader = 16
	recordAlign  = 16

	kindInline = 0
	kindByRef  = 1
	kindPad    = 2
	kindMask   = 3
	kindBits   = 2

	// maxFollowDB is the highest database that fits a record's header.
	maxFollowDB = 1<<(32-kindBits) - 2
)

func (r *ring) init(mem []byte) {
	r.mem = mem
	r.mask = uint64(len(mem) - 1)
	r.inline = len(mem) / 16
	// A record may be preceded by padding that is almost as long as the record itself.
	r.need = 2 * (recordHeader + maxSelect + uint64(r.inline) + recordAlign)
	r.limit = uint64(len(mem))
}

// hasRoom refreshes the limit when the space known of does not suffice. The shard's lock must be held.
func (r *ring) hasRoom() bool {
	if r.pos+r.need <= r.limit {
		return true
	}
	r.limit = r.drained.Load() + uint64(len(r.mem))
	return r.pos+r.need <= r.limit
}

// put copies sel and p as one record. The caller made sure of the room. stream is the db part of the header.
func (r *ring) put(off int64, sel, p []byte, stream uint32) {
	n := len(sel) + len(p)
	m := r.place((recordHeader + uint64(n) + recordAlign - 1) &^ (recordAlign - 1))
	binary.LittleEndian.PutUint64(m, uint64(off))
	binary.LittleEndian.PutUint32(m[8:], uint32(n))
	binary.LittleEndian.PutUint32(m[12:], kindInline|stream<<kindBits)
	if len(sel) > 0 {
		copy(m[recordHeader:], sel)
	}
	copy(m[recordHeader+len(sel):], p)
	r.published.Store(r.pos)
}

// putRef is put for a payload by reference.
func (r *ring) putRef(off int64, ref reference, stream uint32) {
	r.refMu.Lock()
	r.refs = append(r.refs, ref)
	r.refMu.Unlock()
	m := r.place(recordHeader)
	binary.LittleEndian.PutUint64(m, uint64(off))
	binary.LittleEndian.PutUint32(m[8:], uint32(len(ref.p)))
	binary.LittleEndian.PutUint32(m[12:], kindByRef|stream<<kindBits)
	r.published.Store(r.pos)
}

// place claims the next size bytes in one piece.
func (r *ring) place(size uint64) []byte {
	i := r.pos & r.mask
	rest := uint64(len(r.mem)) - i
	if size > rest {
		binary.LittleEndian.PutUint32(r.mem[i+8:], uint32(rest))
		binary.LittleEndian.PutUint32(r.mem[i+12:], kindPad)
		r.pos += rest
		i = 0
	} else if i >= uint64(len(r.mem))/4 && r.drained.Load() == r.pos {
		// Everything is drained: start over at the front, so that a ring that is emptied often stays small in memory and
		// in the caches.
		binary.LittleEndian.PutUint32(r.mem[i+8:], uint32(rest))
		binary.LittleEndian.PutUint32(r.mem[i+12:], kindPad)
		r.pos += rest
		i = 0
	}
	r.pos += size
	return r.mem[i : i+size]
}

// What follows is for the holder of the append role with r.cur, and for who stages ahead, which keeps the other from handing space back.

// head gives the offset of the next record, or -1.
func (r *ring) head(c *ringCursor) int64 {
	for {
		if c.next == c.seen {
			c.seen = r.published.Load()
			if c.next == c.seen {
				return -1
			}
		}
		m := r.mem[c.next&r.mask:]
		if binary.LittleEndian.Uint32(m[12:])&kindMask != kindPad {
			return int64(binary.LittleEndian.Uint64(m))
		}
		c.next += uint64(binary.LittleEndian.Uint32(m[8:]))
	}
}

// length of the record at the head, which must exist.
func (r *ring) length(c *ringCursor) int {
	return int(binary.LittleEndian.Uint32(r.mem[c.next&r.mask+8:]))
}

// stream gives the database in which another server's stream is before the record at the head, which must exist; -1: the record is
// our own.
func (r *ring) stream(c *ringCursor) int {
	return int(binary.LittleEndian.Uint32(r.mem[c.next&r.mask+12:])>>kindBits) - 1
}

// take moves past the head and gives its payload, which stays valid until release.
func (r *ring) take(c *ringCursor) []byte {
	m := r.mem[c.next&r.mask:]
	n := uint64(binary.LittleEndian.Uint32(m[8:]))
	if binary.LittleEndian.Uint32(m[12:])&kindMask == kindByRef {
		r.refMu.Lock()
		p := r.refs[c.refNext].p
		r.refMu.Unlock()
		c.refNext++
		c.next += recordHeader
		return p
	}
	c.next += (recordHeader + n + recordAlign - 1) &^ (recordAlign - 1)
	return m[recordHeader : recordHeader+n : recordHeader+n]
}

// skip moves past the head.
func (r *ring) skip(c *ringCursor) {
	m := r.mem[c.next&r.mask:]
	if binary.LittleEndian.Uint32(m[12:])&kindMask == kindByRef {
		c.refNext++
		c.next += recordHeader
		return
	}
	c.next += (recordHeader + uint64(binary.LittleEndian.Uint32(m[8:])) + recordAlign - 1) &^ (recordAlign - 1)
}

// release hands the space of everything taken back to the writer and returns how many bytes travelled by reference. The append role
// must be held, and Log.stageMu.
func (r *ring) release() (refBytes int64) {
	c := &r.cur
	if c.refNext > 0 {
		r.refMu.Lock()
		for _, ref := range r.refs[:c.refNext] {
			refBytes += int64(len(ref.p))
			if ref.reused && cap(ref.p) <= spareBytes && len(r.spare) < spareRefs {
				r.spare = append(r.spare, ref.p[:0])
			}
		}
		n := copy(r.refs, r.refs[c.refNext:])
		clear(r.refs[n:])
		r.refs = r.refs[:n]
		if cap(r.refs) > 1024 && n == 0 {
			r.refs = nil
		}
		r.refMu.Unlock()
		c.refNext = 0
	}
	r.touched = false
	r.drained.Store(c.next)
	return refBytes
}

// rewind forgets what was taken since the last release: the batch could not be written.
func (r *ring) rewind() {
	r.touched = false
	r.restart(&r.cur)
}

// restart sets a cursor to the first record that is not drained.
func (r *ring) restart(c *ringCursor) {
	c.refNext = 0
	c.next = r.drained.Load()
	c.seen = r.published.Load()
}

// used is an estimate for INFO.
func (r *ring) used() int64 {
	d := r.drained.Load() // first: a published loaded later is never behind it
	return int64(r.published.Load() - d)
}
