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
//	| offset | length | kind   | payload             | padding |
//	+--------+--------+--------+---------------------+---------+
//
// kind is inline (the payload follows), byRef (the payload is the next element of refs; length counts its bytes, none
// follow) or pad (length bytes are to be skipped, this header included).
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
	next    uint64 // position of the next record to gather; ahead of drained while a batch is being written
	seen    uint64 // published as last loaded
	touched bool   // in the batch being written
	refNext int    // refs gathered for the batch being written

	refMu sync.Mutex
	refs  [][]byte // effects by reference, in ring order; appended by the writer, removed by the drainer
}

const (
	recordHeader = 16
	recordAlign  = 16

	kindInline = 0
	kindByRef  = 1
	kindPad    = 2
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

// put copies sel and p as one record; p is nil when ref holds both. The caller made sure of the room.
func (r *ring) put(off int64, sel, p, ref []byte) {
	n := len(sel) + len(p)
	kind := uint32(kindInline)
	size := (recordHeader + uint64(n) + recordAlign - 1) &^ (recordAlign - 1)
	if ref != nil {
		kind, size, n = kindByRef, recordHeader, len(ref)
		r.refMu.Lock()
		r.refs = append(r.refs, ref)
		r.refMu.Unlock()
	}
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
	m := r.mem[i : i+size]
	binary.LittleEndian.PutUint64(m, uint64(off))
	binary.LittleEndian.PutUint32(m[8:], uint32(n))
	binary.LittleEndian.PutUint32(m[12:], kind)
	if kind == kindInline {
		if len(sel) > 0 {
			copy(m[recordHeader:], sel)
		}
		copy(m[recordHeader+len(sel):], p)
	}
	r.pos += size
	r.published.Store(r.pos)
}

// head gives the offset of the next record to gather, or -1. The append role must be held.
func (r *ring) head() int64 {
	for {
		if r.next == r.seen {
			r.seen = r.published.Load()
			if r.next == r.seen {
				return -1
			}
		}
		m := r.mem[r.next&r.mask:]
		if binary.LittleEndian.Uint32(m[12:]) != kindPad {
			return int64(binary.LittleEndian.Uint64(m))
		}
		r.next += uint64(binary.LittleEndian.Uint32(m[8:]))
	}
}

// length of the record at the head, which must exist.
func (r *ring) length() int {
	return int(binary.LittleEndian.Uint32(r.mem[r.next&r.mask+8:]))
}

// take moves past the head and gives its payload, which stays valid until release.
func (r *ring) take() []byte {
	m := r.mem[r.next&r.mask:]
	n := uint64(binary.LittleEndian.Uint32(m[8:]))
	if binary.LittleEndian.Uint32(m[12:]) == kindByRef {
		r.refMu.Lock()
		p := r.refs[r.refNext]
		r.refMu.Unlock()
		r.refNext++
		r.next += recordHeader
		return p
	}
	r.next += (recordHeader + n + recordAlign - 1) &^ (recordAlign - 1)
	return m[recordHeader : recordHeader+n : recordHeader+n]
}

// release hands the space of everything taken back to the writer and returns how many bytes travelled by reference.
func (r *ring) release() (refBytes int64) {
	if r.refNext > 0 {
		r.refMu.Lock()
		for _, p := range r.refs[:r.refNext] {
			refBytes += int64(len(p))
		}
		n := copy(r.refs, r.refs[r.refNext:])
		clear(r.refs[n:])
		r.refs = r.refs[:n]
		if n == 0 {
			r.refs = nil
		}
		r.refMu.Unlock()
		r.refNext = 0
	}
	r.touched = false
	r.drained.Store(r.next)
	return refBytes
}

// rewind forgets what was taken since the last release: the batch could not be written.
func (r *ring) rewind() {
	r.refNext = 0
	r.touched = false
	r.next = r.drained.Load()
	r.seen = r.published.Load()
}

// used is an estimate for INFO.
func (r *ring) used() int64 {
	d := r.drained.Load() // first: a published loaded later is never behind it
	return int64(r.published.Load() - d)
}
