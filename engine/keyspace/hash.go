package keyspace

import (
	"encoding/binary"
	"math/bits"
)

// The hash of keys: a chain of 64×64→128 bit multiplications whose halves are folded together, the construction
// known from wyhash (Wang Yi, 2019). It is keyed by a secret drawn at start, so clients cannot choose colliding keys; it
// need not survive a restart.

type hasher struct{ a, b, c uint64 }

func newHasher(seed uint64) hasher {
	// splitmix64 spreads the seed over the secrets; an odd secret never folds everything to zero.
	next := func() uint64 {
		seed += 0x9e3779b97f4a7c15
		z := seed
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		return (z ^ z>>31) | 1
	}
	return hasher{next(), next(), next()}
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func (s *hasher) hash(p []byte) uint64 {
	n := len(p)
	var a, b uint64
	h := s.a
	switch {
	case n > 16:
		q := p
		for len(q) > 16 {
			h = fold(binary.LittleEndian.Uint64(q)^s.b, binary.LittleEndian.Uint64(q[8:])^h)
			q = q[16:]
		}
		a = binary.LittleEndian.Uint64(p[n-16:])
		b = binary.LittleEndian.Uint64(p[n-8:])
	case n >= 8:
		a = binary.LittleEndian.Uint64(p)
		b = binary.LittleEndian.Uint64(p[n-8:])
	case n >= 4:
		a = uint64(binary.LittleEndian.Uint32(p))
		b = uint64(binary.LittleEndian.Uint32(p[n-4:]))
	case n > 0:
		a = uint64(p[0])<<16 | uint64(p[n>>1])<<8 | uint64(p[n-1])
	}
	return fold(s.c^uint64(n), fold(a^s.b, b^h))
}
