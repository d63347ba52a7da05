package rdb

import (
	"encoding/binary"
	"slices"
)

// LZF, the compression of strings in RDB files (format by Marc Lehmann, liblzf). A stream is a sequence of
//
//	000LLLLL                      L+1 literal bytes follow
//	LLLooooo oooooooo             copy L+2 bytes (L from 1 to 6) from o+1 bytes back
//	111ooooo LLLLLLLL oooooooo    copy L+9 bytes from o+1 bytes back

const (
	lzfMaxLiteral = 32
	lzfMaxOffset  = 1 << 13
	lzfMaxCopy    = 264
	lzfMaxRatio   = 264 / 3 // what a stream can expand to, at most
)

// appendLZF appends the compressed form of src if that has fewer than limit bytes, and reports whether it did.
func appendLZF(dst, src []byte, limit int) ([]byte, bool) {
	if len(src) <= 256 {
		var table [128]uint32
		return lzfCompress(dst, src, limit, table[:])
	}
	var table [4096]uint32
	return lzfCompress(dst, src, limit, table[:])
}

// lzfCompress finds matches through a table of the latest position (plus one) of each hash of three bytes.
func lzfCompress(dst, src []byte, limit int, table []uint32) ([]byte, bool) {
	start := len(dst)
	mask := uint32(len(table) - 1)
	slot := func(v uint32) *uint32 { return &table[(v*0x9e3779b1>>16)&mask] }
	literal := 0 // where the pending literals begin
	flush := func(to int) {
		for literal < to {
			n := min(to-literal, lzfMaxLiteral)
			dst = append(dst, byte(n-1))
			dst = append(dst, src[literal:literal+n]...)
			literal += n
		}
	}
	for i := 0; i+4 <= len(src); {
		v := binary.LittleEndian.Uint32(src[i:]) & 0xffffff
		p := slot(v)
		ref := int(*p) - 1
		*p = uint32(i + 1)
		if ref < 0 || i-ref > lzfMaxOffset || binary.LittleEndian.Uint32(src[ref:])&0xffffff != v {
			i++
			continue
		}
		n, most := 3, min(len(src)-i, lzfMaxCopy)
		for n < most && src[ref+n] == src[i+n] {
			n++
		}
		flush(i)
		off := i - ref - 1
		if n < 9 {
			dst = append(dst, byte((n-2)<<5|off>>8), byte(off))
		} else {
			dst = append(dst, byte(7<<5|off>>8), byte(n-9), byte(off))
		}
		if len(dst)-start >= limit {
			return dst[:start], false
		}
		// The end of the match is worth remembering, its middle is not.
		i += n
		if i+2 <= len(src) {
			*slot(binary.LittleEndian.Uint32(src[i-2:]) & 0xffffff) = uint32(i - 1)
		}
		literal = i
	}
	flush(len(src))
	if len(dst)-start >= limit {
		return dst[:start], false
	}
	return dst, true
}

// expandLZF appends the n bytes that src expands to, or reports that src is not a valid stream of that length. dst must have room for n
// bytes more, or is grown once.
func expandLZF(dst, src []byte, n int) ([]byte, bool) {
	start := len(dst)
	dst = slices.Grow(dst, n)
	out := dst[start : start+n]
	o := 0
	for i := 0; i < len(src); {
		c := int(src[i])
		i++
		if c < lzfMaxLiteral {
			if i+c+1 > len(src) || o+c+1 > n {
				return dst, false
			}
			copy(out[o:], src[i:i+c+1])
			o += c + 1
			i += c + 1
			continue
		}
		length := c>>5 + 2
		if length == 9 {
			if i >= len(src) {
				return dst, false
			}
			length += int(src[i])
			i++
		}
		if i >= len(src) {
			return dst, false
		}
		from := o - (c&0x1f<<8 | int(src[i])) - 1
		i++
		if from < 0 || o+length > n {
			return dst, false
		}
		// A copy that overlaps itself repeats a pattern; what is there of it doubles every time round.
		for end := o + length; o < end; {
			o += copy(out[o:end], out[from:o])
		}
	}
	return dst[:start+n], o == n
}
