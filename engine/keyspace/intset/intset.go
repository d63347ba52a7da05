// Package intset is a set of integers in one run of bytes, in the format that Redis has for it, so that RDB files and DUMP payloads hold
// it as it is.
//
//	set | bytes a member, 2, 4 or 8 : 32 | members : 32 | member ... |         little-endian, members in order
//
// The width is that of the widest member that was ever added. All functions but Check trust the set to be valid.
package intset

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// HeaderBytes is the length of the header.
const HeaderBytes = 8

// Set is a whole set.
type Set []byte

// New appends an empty set to dst.
func New(dst []byte) Set { return NewWide(dst, 2) }

// NewWide is New for members of a width, 2, 4 or 8 bytes, that is known to be needed.
func NewWide(dst []byte, width int) Set { return append(dst, byte(width), 0, 0, 0, 0, 0, 0, 0) }

// Width is how many bytes a member takes.
func (s Set) Width() int { return int(s[0]) }

// WidthOf is how many bytes v takes as a member.
func WidthOf(v int64) int {
	switch {
	case v == int64(int16(v)):
		return 2
	case v == int64(int32(v)):
		return 4
	}
	return 8
}

// Len counts the members.
func (s Set) Len() int { return int(binary.LittleEndian.Uint32(s[4:])) }

// At returns member i in order.
func (s Set) At(i int) int64 {
	switch p := s[HeaderBytes:]; s[0] {
	case 2:
		return int64(int16(binary.LittleEndian.Uint16(p[2*i:])))
	case 4:
		return int64(int32(binary.LittleEndian.Uint32(p[4*i:])))
	default:
		return int64(binary.LittleEndian.Uint64(p[8*i:]))
	}
}

// Find returns the place of v, or where it would stand.
func (s Set) Find(v int64) (i int, found bool) {
	if WidthOf(v) > s.Width() {
		if v < 0 {
			return 0, false
		}
		return s.Len(), false
	}
	lo, hi := 0, s.Len()
	if hi > 0 { // adding in order is common
		if last := s.At(hi - 1); v > last {
			return hi, false
		}
	}
	for lo < hi {
		m := int(uint(lo+hi) / 2)
		if s.At(m) < v {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo, lo < s.Len() && s.At(lo) == v
}

// Entry appends v as a member of the set's width.
func (s Set) Entry(dst []byte, v int64) []byte {
	switch s[0] {
	case 2:
		return binary.LittleEndian.AppendUint16(dst, uint16(v))
	case 4:
		return binary.LittleEndian.AppendUint32(dst, uint32(v))
	}
	return binary.LittleEndian.AppendUint64(dst, uint64(v))
}

// SetLen writes the number of members into the header, when members were added or taken out by hand.
func (s Set) SetLen(n int) { binary.LittleEndian.PutUint32(s[4:], uint32(n)) }

// Widen appends to dst the set with v, which is too wide for it, added.
func (s Set) Widen(dst []byte, v int64) Set {
	from := len(dst)
	out := Set(append(dst, byte(WidthOf(v)), 0, 0, 0, 0, 0, 0, 0))
	w := out[from:]
	n := s.Len()
	if v < 0 {
		out = w.Entry(out, v)
	}
	for i := range n {
		out = w.Entry(out, s.At(i))
	}
	if v >= 0 {
		out = w.Entry(out, v)
	}
	out[from:].SetLen(n + 1)
	return out
}

// Add returns the set with v in it, and whether it was not there before. The set's own memory is used if it has room.
func (s Set) Add(v int64) (Set, bool) {
	i, found := s.Find(v)
	if found {
		return s, false
	}
	if WidthOf(v) > s.Width() {
		return s.Widen(nil, v), true
	}
	n, w, size := s.Len(), s.Width(), len(s)
	at := HeaderBytes + i*w
	s = s.Entry(s, v)
	copy(s[at+w:], s[at:size])
	s.Entry(s[:at], v)
	s.SetLen(n + 1)
	return s, true
}

// Check looks at every byte of what claims to be a set, and returns the number of its members. It never reads past p.
func Check(p []byte) (n int, err error) {
	if len(p) < HeaderBytes {
		return 0, errors.New("intset: shorter than its header")
	}
	w := binary.LittleEndian.Uint32(p)
	if w != 2 && w != 4 && w != 8 {
		return 0, fmt.Errorf("intset: %d bytes a member", w)
	}
	said := uint64(binary.LittleEndian.Uint32(p[4:]))
	if said*uint64(w)+HeaderBytes != uint64(len(p)) {
		return 0, fmt.Errorf("intset: %d members of %d bytes do not make %d bytes", said, w, len(p))
	}
	s := Set(p)
	for i := 1; i < s.Len(); i++ {
		if s.At(i-1) >= s.At(i) {
			return 0, fmt.Errorf("intset: members %d and %d are out of order", i-1, i)
		}
	}
	return s.Len(), nil
}
