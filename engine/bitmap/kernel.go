package bitmap

import (
	"encoding/binary"
	"math/bits"
)

// popcount counts the set bits, 32 bytes a step.
func popcount(p []byte) int64 {
	var a, b, c, d int
	for len(p) >= 32 {
		q := p[:32]
		a += bits.OnesCount64(binary.LittleEndian.Uint64(q))
		b += bits.OnesCount64(binary.LittleEndian.Uint64(q[8:]))
		c += bits.OnesCount64(binary.LittleEndian.Uint64(q[16:]))
		d += bits.OnesCount64(binary.LittleEndian.Uint64(q[24:]))
		p = p[32:]
	}
	for len(p) >= 8 {
		a += bits.OnesCount64(binary.LittleEndian.Uint64(p))
		p = p[8:]
	}
	for _, x := range p {
		b += bits.OnesCount8(x)
	}
	return int64(a + b + c + d)
}

func popcountByte(x byte) int64 { return int64(bits.OnesCount8(x)) }

// findBit returns the first bit from start to end, both included and within p, that is set (or clear), or -1.
func findBit(p []byte, set bool, start, end int64) int64 {
	flip := byte(0xff) // what is looked for is turned into ones
	if set {
		flip = 0
	}
	at, last := start>>3, end>>3
	x := (p[at] ^ flip) & (0xff >> (start & 7))
	if x == 0 {
		at++
		skip := uint64(flip) * 0x0101010101010101
		for at+8 <= last && binary.LittleEndian.Uint64(p[at:]) == skip {
			at += 8
		}
		for at <= last && p[at] == flip {
			at++
		}
		if at > last {
			return -1
		}
		x = p[at] ^ flip
	}
	if pos := at<<3 + int64(bits.LeadingZeros8(x)); pos <= end {
		return pos
	}
	return -1
}

// operation is BITOP's first argument.
type operation uint8

const (
	opAnd operation = iota
	opOr
	opXor
	opNot
)

// combine writes the operation over src to dst, which is as long as the longest of them; shorter ones are followed by zeros. dst must not
// overlap any of them. It goes block by block, so that dst stays in the cache while the sources pass.
func combine(op operation, dst []byte, src [][]byte) {
	const block = 16 << 10
	for at := 0; at < len(dst); at += block {
		d := dst[at:min(at+block, len(dst))]
		clear(d[copy(d, from(src[0], at)):])
		if op == opNot {
			invert(d)
			continue
		}
		for _, s := range src[1:] {
			s = from(s, at)
			switch op {
			case opAnd:
				clear(d[and(d, s):])
			case opOr:
				or(d, s)
			case opXor:
				xor(d, s)
			}
		}
	}
}

func from(p []byte, at int) []byte { return p[min(at, len(p)):] }

func invert(d []byte) {
	for len(d) >= 8 {
		binary.LittleEndian.PutUint64(d, ^binary.LittleEndian.Uint64(d))
		d = d[8:]
	}
	for i := range d {
		d[i] = ^d[i]
	}
}

// and combines as far as both reach, and returns how far that is.
func and(d, s []byte) int {
	n := min(len(d), len(s))
	d, s = d[:n], s[:n]
	for len(d) >= 8 && len(s) >= 8 {
		binary.LittleEndian.PutUint64(d, binary.LittleEndian.Uint64(d)&binary.LittleEndian.Uint64(s))
		d, s = d[8:], s[8:]
	}
	for i := range d {
		d[i] &= s[i]
	}
	return n
}

func or(d, s []byte) {
	n := min(len(d), len(s))
	d, s = d[:n], s[:n]
	for len(d) >= 8 && len(s) >= 8 {
		binary.LittleEndian.PutUint64(d, binary.LittleEndian.Uint64(d)|binary.LittleEndian.Uint64(s))
		d, s = d[8:], s[8:]
	}
	for i := range d {
		d[i] |= s[i]
	}
}

func xor(d, s []byte) {
	n := min(len(d), len(s))
	d, s = d[:n], s[:n]
	for len(d) >= 8 && len(s) >= 8 {
		binary.LittleEndian.PutUint64(d, binary.LittleEndian.Uint64(d)^binary.LittleEndian.Uint64(s))
		d, s = d[8:], s[8:]
	}
	for i := range d {
		d[i] ^= s[i]
	}
}
