package hyperloglog

import (
	"encoding/binary"
	"math/bits"
)

// hash64 is MurmurHash64A with the seed that Redis has for elements.
func hash64(p []byte) uint64 {
	const (
		seed  = 0xadc83b19
		m     = 0xc6a4a7935bd1e995
		shift = 47
	)
	h := seed ^ uint64(len(p))*m
	for ; len(p) >= 8; p = p[8:] {
		k := binary.LittleEndian.Uint64(p) * m
		k = (k ^ k>>shift) * m
		h = (h ^ k) * m
	}
	if len(p) > 0 {
		var k uint64
		for i, b := range p {
			k |= uint64(b) << (8 * i)
		}
		h = (h ^ k) * m
	}
	h = (h ^ h>>shift) * m
	return h ^ h>>shift
}

// place is the register that an element belongs to, and what it asks the register to be at least.
func place(element []byte) (register int, rank byte) {
	h := hash64(element)
	rest := h>>indexBits | 1<<(64-indexBits) // ends the run of zeros
	return int(h & (registers - 1)), byte(bits.TrailingZeros64(rest) + 1)
}
