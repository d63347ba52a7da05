package keyspace

import (
	"unsafe"

	"tidemark/engine/keyspace/arena"
	"tidemark/engine/keyspace/coll"
)

// An entry is one block:
//
//	word 0    | value length : 16 | key length : 11 | wide | apart | volatile | epoch : 3 | encoding : 4 | type : 3 | access : 24 |
//	volatile  | expiry, Unix ms : 64 | position in the expiry index : 32 |
//	wide      | key length : 64 |            when the key is longer than 2,047 bytes
//	          | key |
//	inline    | value |
//	apart     | block of the value : 64 | held by a snapshot : 1 | length : 63 |
//
// Fields lie without padding. An inline value may be followed by unused room up to the block's size.
// A value lies apart when the entry would otherwise exceed inlineMax. The Root of a collection is a value of 64 bytes, always inline.

const (
	accessBits = 24
	typeShift  = 24
	encShift   = 27
	epochShift = 31
	volatileIt = 1 << 34
	apartIt    = 1 << 35
	wideIt     = 1 << 36
	keyShift   = 37
	valShift   = 48

	accessMask = 1<<accessBits - 1
	epochMask  = 7 << epochShift
	maxNarrow  = 1<<11 - 1

	headBytes     = 8
	volatileBytes = 12
	wideBytes     = 8
	apartBytes    = 16

	inlineMax = 2048 // bytes of an entry with the value inline

	heldIt = 1 << 63 // see ghost
)

type entry struct{ p unsafe.Pointer }

func (e entry) word() *uint64 { return (*uint64)(e.p) }

func u64(p unsafe.Pointer, off int) *uint64 { return (*uint64)(unsafe.Add(p, off)) }
func u32(p unsafe.Pointer, off int) *uint32 { return (*uint32)(unsafe.Add(p, off)) }

// key returns offset and length of the key.
func (e entry) key() (off, n int) {
	w := *e.word()
	off = headBytes
	if w&(volatileIt|wideIt) == 0 {
		return off, int(w >> keyShift & maxNarrow)
	}
	if w&volatileIt != 0 {
		off += volatileBytes
	}
	if w&wideIt != 0 {
		return off + wideBytes, int(*u64(e.p, off))
	}
	return off, int(w >> keyShift & maxNarrow)
}

func (e entry) keyBytes() []byte {
	off, n := e.key()
	return unsafe.Slice((*byte)(unsafe.Add(e.p, off)), n)
}

func (e entry) apart() bool { return *e.word()&apartIt != 0 }

// rooted reports whether the value is a collection's Root.
func (e entry) rooted() bool { return *e.word()&rootIt != 0 }

// root is of a rooted entry only.
func (e entry) root() *coll.Root {
	off, k := e.key()
	return (*coll.Root)(unsafe.Add(e.p, off+k))
}

// expiry is of a volatile entry only.
func (e entry) expiry() *int64   { return (*int64)(unsafe.Add(e.p, headBytes)) }
func (e entry) indexAt() *uint32 { return u32(e.p, headBytes+8) }

// value block and length of an entry whose value lies apart.
func (e entry) block() (r *uint64, n *uint64) {
	off, k := e.key()
	return u64(e.p, off+k), u64(e.p, off+k+8)
}

// value returns the string.
func (e entry) value(s arena.Space) []byte {
	off, k := e.key()
	if e.apart() {
		return unsafe.Slice((*byte)(s.Ptr(arena.Ref(*u64(e.p, off+k)))), int(*u64(e.p, off+k+8)&^heldIt))
	}
	return unsafe.Slice((*byte)(unsafe.Add(e.p, off+k)), int(*e.word()>>valShift))
}

// valueLen returns the length of the string.
func (e entry) valueLen() int {
	if e.apart() {
		_, n := e.block()
		return int(*n &^ heldIt)
	}
	return int(*e.word() >> valShift)
}

// is reports whether the entry's key is key.
func (e entry) is(key []byte) bool {
	w := *e.word()
	if w&(maxNarrow<<keyShift|wideIt) != uint64(len(key))<<keyShift {
		return w&wideIt != 0 && len(key) > maxNarrow && string(e.keyBytes()) == string(key)
	}
	off := headBytes + w/volatileIt&1*volatileBytes
	return string(unsafe.Slice((*byte)(unsafe.Add(e.p, off)), len(key))) == string(key)
}

// size returns the bytes in use of the entry's own block.
func (e entry) size() int {
	off, k := e.key()
	if e.apart() {
		return off + k + apartBytes
	}
	return off + k + int(*e.word()>>valShift)
}

// prefix returns the bytes before the key.
func prefix(volatile bool, keyLen int) int {
	n := headBytes
	if volatile {
		n += volatileBytes
	}
	if keyLen > maxNarrow {
		n += wideBytes
	}
	return n
}

// head composes word 0 without lengths of the value.
func head(t Type, enc Encoding, access uint32, epoch uint64, volatile bool, keyLen int) uint64 {
	w := uint64(access&accessMask) | uint64(t)<<typeShift | uint64(enc&15)<<encShift | epoch<<epochShift
	if volatile {
		w |= volatileIt
	}
	if keyLen > maxNarrow {
		w |= wideIt
	} else {
		w |= uint64(keyLen) << keyShift
	}
	return w
}
