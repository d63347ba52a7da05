// Package packed is the packed list: elements one behind the other in a single run of bytes, in the format of Redis's listpack, so that
// RDB files and DUMP payloads hold it as it is. It is how small collections are kept, and what large lists are made of.
//
//	list     | size of all : 32 | elements : 16, 65535 when there are more | entry ... | 0xFF |         little-endian
//	entry    | head and data | length of head and data, readable from its end : 8 to 40 |
//
//	head     0nnnnnnn                        the integer n
//	         10llllll data                   a string of l bytes
//	         110nnnnn nnnnnnnn               an integer of 13 bits, signed
//	         1110llll llllllll data          a string of l bytes
//	         11110000 l : 32 data            a string of l bytes
//	         11110001, 11110010, 11110011, 11110100 and 16, 24, 32 or 64 bits: a signed integer
//
// What is the canonical text of an int64 is kept as an integer, in the shortest form that holds it, and strings have the shortest head:
// a list made here is canonical, and two elements are equal exactly when their entries are. Find relies on that. Lists that came from
// elsewhere go through Check, and those that are valid but not canonical through Canonical.
//
// A place in a list is the offset of an entry; that of the final 0xFF is the end. Places are valid until the list changes.
// All functions but Check, Canonical and Count's reading of the header trust the list to be valid.
package packed

import (
	"encoding/binary"
	"strconv"
)

const (
	// HeaderBytes is the length of the header, and so the place of the first entry.
	HeaderBytes = 6
	// EmptyBytes is the length of an empty list.
	EmptyBytes = HeaderBytes + 1

	end     = 0xff
	uncount = 65535 // in the header: too many to tell
)

// List is a whole list, from the header to the final byte.
type List []byte

// New appends an empty list to dst.
func New(dst []byte) List { return append(dst, EmptyBytes, 0, 0, 0, 0, 0, end) }

// Len counts the elements. It takes a walk when there are 65,535 or more.
func (l List) Len() int {
	if n := int(binary.LittleEndian.Uint16(l[4:])); n != uncount {
		return n
	}
	n := 0
	for at := HeaderBytes; l[at] != end; at = l.Next(at) {
		n++
	}
	return n
}

// AtEnd reports whether no entry stands at a place.
func (l List) AtEnd(at int) bool { return l[at] == end }

// End is the place behind the last entry.
func (l List) End() int { return len(l) - 1 }

// span returns the length of the head and data that stand at the front of p.
func span(p []byte) int {
	switch b := p[0]; {
	case b < 0x80:
		return 1
	case b < 0xc0:
		return 1 + int(b&0x3f)
	case b < 0xe0:
		return 2
	case b < 0xf0:
		return 2 + int(b&0x0f)<<8 + int(p[1])
	case b == 0xf0:
		return 5 + int(binary.LittleEndian.Uint32(p[1:]))
	case b == 0xf4:
		return 9
	default:
		return int(b - 0xf1 + 3) // 3, 4, 5
	}
}

// tailBytes is how many bytes the length n takes behind an entry.
func tailBytes(n int) int {
	switch {
	case n <= 127:
		return 1
	case n < 16383: // not the most that two bytes could hold, but where Redis draws the line
		return 2
	case n < 2097151:
		return 3
	case n < 268435455:
		return 4
	}
	return 5
}

// Next returns the place behind the entry at a place.
func (l List) Next(at int) int {
	n := span(l[at:])
	return at + n + tailBytes(n)
}

// Skip returns the place n entries further, or the end if there are not as many.
func (l List) Skip(at, n int) int {
	for ; n > 0 && l[at] != end; n-- {
		at = l.Next(at)
	}
	return at
}

// Prev returns the place of the entry before a place (which may be the end), 0 when there is none.
func (l List) Prev(at int) int {
	if at <= HeaderBytes {
		return 0
	}
	n, tail := int(l[at-1]&127), 1
	for l[at-tail]&128 != 0 {
		tail++
		n |= int(l[at-tail]&127) << (7 * (tail - 1))
	}
	return at - tail - n
}

// Last returns the place of the last entry, 0 when the list is empty.
func (l List) Last() int { return l.Prev(l.End()) }

// At returns the place of element i, from the end when i is negative, or 0 when there is none.
func (l List) At(i int) int {
	n := int(binary.LittleEndian.Uint16(l[4:]))
	switch {
	case i < 0 && (n == uncount || -i <= n/2+1):
		return l.fromEnd(i)
	case i < 0:
		if i += n; i < 0 {
			return 0
		}
	case n != uncount && i > n/2:
		if i >= n {
			return 0
		}
		return l.fromEnd(i - n)
	}
	at := l.Skip(HeaderBytes, i)
	if l[at] == end {
		return 0
	}
	return at
}

func (l List) fromEnd(i int) int {
	at := l.End()
	for ; i < 0 && at != 0; i++ {
		at = l.Prev(at)
	}
	return at
}

// Get returns the element at a place: a string, which is a view, or an integer.
func (l List) Get(at int) (str []byte, n int64, isInt bool) {
	b := l[at]
	p := l[at+1:]
	switch {
	case b < 0x80:
		return nil, int64(b), true
	case b < 0xc0:
		return p[:b&0x3f], 0, false
	case b < 0xe0:
		return nil, int64(int16(uint16(b)<<11|uint16(p[0])<<3) >> 3), true
	case b < 0xf0:
		n := int(b&0x0f)<<8 | int(p[0])
		return p[1 : 1+n], 0, false
	}
	switch b {
	case 0xf0:
		n := int(binary.LittleEndian.Uint32(p))
		return p[4 : 4+n], 0, false
	case 0xf1:
		return nil, int64(int16(binary.LittleEndian.Uint16(p))), true
	case 0xf2:
		return nil, int64(int32(uint32(p[0])<<8|uint32(p[1])<<16|uint32(p[2])<<24) >> 8), true
	case 0xf3:
		return nil, int64(int32(binary.LittleEndian.Uint32(p))), true
	}
	return nil, int64(binary.LittleEndian.Uint64(p)), true
}

// Text returns the element at a place as text: a view of the list, or of buf, which an integer is printed into.
func (l List) Text(at int, buf *[20]byte) []byte {
	if b := l[at]; b&0xc0 == 0x80 {
		return l[at+1 : at+1+int(b&0x3f)]
	}
	str, n, isInt := l.Get(at)
	if isInt {
		return strconv.AppendInt(buf[:0], n, 10)
	}
	return str
}

// TooLong reports whether an element has more bytes than the whole list, which then cannot hold it. Integers take less in it than as text.
func (l List) TooLong(elem []byte) bool { return len(elem) > longestInt && len(elem) >= len(l) }

// longestInt is the length of the longest int64 in decimal.
const longestInt = 20

// ParseInt reads the canonical decimal form of an int64.
func ParseInt(p []byte) (int64, bool) {
	if len(p) == 0 || p[0] > '9' {
		return 0, false
	}
	digits, neg := p, p[0] == '-'
	if neg {
		digits = p[1:]
	}
	if len(digits) == 0 || len(digits) >= longestInt || digits[0] == '0' && (neg || len(digits) > 1) {
		return 0, false
	}
	var v uint64
	for _, c := range digits { // 19 at most, which a uint64 has room for
		d := uint64(c - '0')
		if d > 9 {
			return 0, false
		}
		v = v*10 + d
	}
	if neg {
		return -int64(v), v <= 1<<63
	}
	return int64(v), v < 1<<63
}

// Encode appends head and data of an element to dst: what Find looks for.
func Encode(dst, elem []byte) []byte {
	if v, ok := ParseInt(elem); ok {
		return EncodeInt(dst, v)
	}
	n := len(elem)
	switch {
	case n < 64:
		dst = append(dst, 0x80|byte(n))
	case n < 4096:
		dst = append(dst, 0xe0|byte(n>>8), byte(n))
	default:
		dst = binary.LittleEndian.AppendUint32(append(dst, 0xf0), uint32(n))
	}
	return append(dst, elem...)
}

// EncodeInt is Encode of an integer's text.
func EncodeInt(dst []byte, v int64) []byte {
	switch {
	case v >= 0 && v < 128:
		return append(dst, byte(v))
	case v >= -4096 && v < 4096:
		return append(dst, 0xc0|byte(v>>8)&0x1f, byte(v))
	case v == int64(int16(v)):
		return append(dst, 0xf1, byte(v), byte(v>>8))
	case v >= -1<<23 && v < 1<<23:
		return append(dst, 0xf2, byte(v), byte(v>>8), byte(v>>16))
	case v == int64(int32(v)):
		return binary.LittleEndian.AppendUint32(append(dst, 0xf3), uint32(v))
	}
	return binary.LittleEndian.AppendUint64(append(dst, 0xf4), uint64(v))
}

// Entry appends a whole entry to dst.
func Entry(dst, elem []byte) []byte {
	from := len(dst)
	dst = Encode(dst, elem)
	return appendTail(dst, len(dst)-from)
}

// EntryInt is Entry of an integer's text.
func EntryInt(dst []byte, v int64) []byte {
	from := len(dst)
	dst = EncodeInt(dst, v)
	return appendTail(dst, len(dst)-from)
}

// appendTail appends the length n so that it is readable from its end: seven bits a byte, all but the first with the top bit set.
func appendTail(dst []byte, n int) []byte {
	k := tailBytes(n)
	for i := k - 1; i >= 0; i-- {
		b := byte(n>>(7*i)) & 127
		if i < k-1 {
			b |= 128
		}
		dst = append(dst, b)
	}
	return dst
}

// EntryBytes is the length of the entry that Entry makes of an element.
func EntryBytes(elem []byte) int {
	n := len(elem)
	if v, ok := ParseInt(elem); ok {
		n = intBytes(v)
	} else {
		n += headBytes(n)
	}
	return n + tailBytes(n)
}

// EntryIntBytes is the length of the entry that EntryInt makes.
func EntryIntBytes(v int64) int { return intBytes(v) + 1 }

func headBytes(n int) int {
	switch {
	case n < 64:
		return 1
	case n < 4096:
		return 2
	}
	return 5
}

func intBytes(v int64) int {
	switch {
	case v >= 0 && v < 128:
		return 1
	case v >= -4096 && v < 4096:
		return 2
	case v == int64(int16(v)):
		return 3
	case v >= -1<<23 && v < 1<<23:
		return 4
	case v == int64(int32(v)):
		return 5
	}
	return 9
}

// Is reports whether the element at a place is the one that Encode made enc of.
func (l List) Is(at int, enc []byte) bool {
	return len(l)-at > len(enc) && string(l[at:at+len(enc)]) == string(enc)
}

// Find looks from a place on, at every step-th entry, for the element that Encode made enc of, and returns its place, 0 if it is not there.
// step is 1 for lists and sets, 2 for what comes in pairs.
func (l List) Find(at int, enc []byte, step int) int {
	first := enc[0]
	for l[at] != end {
		if l[at] == first && l.Is(at, enc) {
			return at
		}
		for range step {
			if b := l[at]; b&0xc0 == 0x80 { // short strings are the most
				at += int(b&0x3f) + 2
			} else {
				at = l.Next(at)
			}
		}
	}
	return 0
}

// SetHeader makes the header of a list that was changed by hand right again: it has delta elements more than before, and its bytes are l.
func (l List) SetHeader(delta int) {
	binary.LittleEndian.PutUint32(l, uint32(len(l)))
	if delta == 0 {
		return
	}
	n := int(binary.LittleEndian.Uint16(l[4:]))
	switch {
	case n != uncount:
		n = min(n+delta, uncount)
	case delta < 0:
		if n = l.Len(); n >= uncount {
			n = uncount
		}
	}
	binary.LittleEndian.PutUint16(l[4:], uint16(n))
}

// Splice replaces the del bytes at a place by ins, whole entries both, and returns the list, which has delta elements more than before.
// The list's own memory is used if it has room. ins must not be a view of it.
func (l List) Splice(at, del int, ins []byte, delta int) List {
	n, size := len(ins)-del, len(l)
	if n > 0 {
		l = append(l, ins[:n]...) // for the room only
	}
	copy(l[at+len(ins):], l[at+del:size])
	copy(l[at:], ins)
	l = l[:size+n]
	l.SetHeader(delta)
	return l
}

// Append appends an element.
func (l List) Append(elem []byte) List {
	l = Entry(l[:len(l)-1], elem)
	l = append(l, end)
	l.SetHeader(1)
	return l
}

// AppendInt appends an integer.
func (l List) AppendInt(v int64) List {
	l = EntryInt(l[:len(l)-1], v)
	l = append(l, end)
	l.SetHeader(1)
	return l
}
