package coll

import (
	"math"
	"unsafe"

	"tidemark/engine/keyspace/arena"
)

// An element is a set's member, a hash's field with its value, or a sorted set's member with its score:
//
//	| lengths, 1, 2, 4 or 8 bytes each : 2 | value | expiry | score | length of the key | length of the value |
//	| expiry, Unix ms : 64 | score : 64 | key | value |                what the first byte says is there, without padding
type Kind byte

// The kinds of elements.
const (
	Member    Kind = 0                    // of a set
	Field     Kind = hasValue             // of a hash
	Expiring  Kind = hasValue | hasExpiry // a field that expires
	Scored    Kind = hasScore             // of a sorted set
	hasValue       = 1 << 2
	hasExpiry      = 1 << 3
	hasScore       = 1 << 4
	kinds          = hasValue | hasExpiry | hasScore
)

// keyAt is where the key begins, by the first byte.
var keyAt = func() (t [32]uint8) {
	for i := range t {
		n := 1 + 1<<(i&3)
		if i&hasValue != 0 {
			n += 1 << (i & 3)
		}
		if i&hasExpiry != 0 {
			n += 8
		}
		if i&hasScore != 0 {
			n += 8
		}
		t[i] = uint8(n)
	}
	return t
}()

// lengthAt reads a length of the element's width.
func lengthAt(p unsafe.Pointer, off int, width byte) int {
	q := unsafe.Add(p, off)
	switch width {
	case 0:
		return int(*(*uint8)(q))
	case 1:
		return int(*(*uint16)(q))
	case 2:
		return int(*(*uint32)(q))
	}
	return int(*(*uint64)(q))
}

// KeyOf returns a member, or the name of a field: a view, as long as the element is there.
func KeyOf(s arena.Space, r Ref) []byte {
	p := s.Ptr(r)
	f := *(*byte)(p)
	return unsafe.Slice((*byte)(unsafe.Add(p, keyAt[f&31])), lengthAt(p, 1, f&3))
}

// ValueOf returns the value of a field: a view.
func ValueOf(s arena.Space, r Ref) []byte {
	p := s.Ptr(r)
	f := *(*byte)(p)
	w := f & 3
	k := lengthAt(p, 1, w)
	return unsafe.Slice((*byte)(unsafe.Add(p, int(keyAt[f&31])+k)), lengthAt(p, 1+1<<w, w))
}

// KindOf returns what an element is.
func KindOf(s arena.Space, r Ref) Kind { return Kind(*(*byte)(s.Ptr(r)) & kinds) }

// extra is where expiry or score lie; no element has both.
func extra(p unsafe.Pointer) *uint64 { return u64(p, int(keyAt[*(*byte)(p)&31])-8) }

// ScoreOf returns the score of a sorted set's member.
func ScoreOf(s arena.Space, r Ref) float64 { return math.Float64frombits(*extra(s.Ptr(r))) }

// ExpiryOf returns when a field expires, in Unix ms, or -1 when it does not.
func ExpiryOf(s arena.Space, r Ref) int64 {
	p := s.Ptr(r)
	if *(*byte)(p)&hasExpiry == 0 {
		return -1
	}
	return int64(*extra(p))
}

func elemWidth(k, v int) byte {
	switch n := max(k, v); {
	case n < 1<<8:
		return 0
	case n < 1<<16:
		return 1
	case n < 1<<32:
		return 2
	}
	return 3
}

// NewElem makes an element. x is the bits of a score or an expiry, and means nothing to the other kinds; val is for fields. Both may be views of
// the same arena.
func (m *Mem) NewElem(kind Kind, key, val []byte, x uint64) Ref {
	f := elemWidth(len(key), len(val)) | byte(kind)
	at := int(keyAt[f])
	r := m.Alloc(at + len(key) + len(val))
	p := m.Ptr(r)
	*(*byte)(p) = f
	putLength(p, 1, f&3, len(key))
	if f&hasValue != 0 {
		putLength(p, 1+1<<(f&3), f&3, len(val))
	}
	if f&(hasExpiry|hasScore) != 0 {
		*u64(p, at-8) = x
	}
	copy(unsafe.Slice((*byte)(unsafe.Add(p, at)), len(key)), key)
	copy(unsafe.Slice((*byte)(unsafe.Add(p, at+len(key))), len(val)), val)
	return r
}

func putLength(p unsafe.Pointer, off int, width byte, n int) {
	switch q := unsafe.Add(p, off); width {
	case 0:
		*(*uint8)(q) = uint8(n)
	case 1:
		*(*uint16)(q) = uint16(n)
	case 2:
		*(*uint32)(q) = uint32(n)
	default:
		*(*uint64)(q) = uint64(n)
	}
}

// elemBytes is how many bytes of its block an element uses.
func elemBytes(p unsafe.Pointer) int {
	f := *(*byte)(p)
	n := int(keyAt[f&31]) + lengthAt(p, 1, f&3)
	if f&hasValue != 0 {
		n += lengthAt(p, 1+1<<(f&3), f&3)
	}
	return n
}

// cloneElem copies an element of any heap into m's.
func (m *Mem) cloneElem(r Ref) Ref {
	p := m.Ptr(r)
	n := elemBytes(p)
	c := m.Alloc(n)
	copy(m.Heap.Bytes(c, 0, n), unsafe.Slice((*byte)(p), n))
	return c
}

// ScoreKey maps a score to a number that is in the same order. NaN has no place; the two zeros have the same.
func ScoreKey(f float64) uint64 {
	if f == 0 {
		return 1 << 63
	}
	b := math.Float64bits(f)
	if b>>63 != 0 {
		return ^b
	}
	return b | 1<<63
}

// ScoreOfKey undoes ScoreKey, but for the sign of zero.
func ScoreOfKey(k uint64) float64 {
	if k>>63 != 0 {
		return math.Float64frombits(k &^ (1 << 63))
	}
	return math.Float64frombits(^k)
}
