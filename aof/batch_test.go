package aof

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

func TestHeader(t *testing.T) {
	for range 1000 {
		h := header{rand.Uint32(), rand.Int64N(maxOffset), rand.Int64N(maxOffset), rand.Uint32(), rand.Int64N(1 << 47), 0, rand.IntN(2) == 0}
		var p [headerBytes]byte
		putHeader(p[:], &h)
		h.crc = sum(p[:], []byte("payload"))
		putCRC(p[:], h.crc)
		got, ok := parseHeader(p[:])
		if !ok || got != h {
			t.Fatalf("%q: %+v, want %+v", p, got, h)
		}
		if !h.preamble && findHeader(append([]byte("#TM1 xyz"), p[:]...), h.epoch) != 8 {
			t.Fatal("not found")
		}
		// No byte of it may change unnoticed.
		i := rand.IntN(headerBytes)
		p[i] ^= 1 << rand.IntN(8)
		if got, ok := parseHeader(p[:]); ok && sum(p[:], []byte("payload")) == got.crc {
			t.Fatalf("a changed byte %d goes unnoticed", i)
		}
	}
}

func TestChainCRC(t *testing.T) {
	chain, all := uint32(0), []byte(nil)
	for range 100 {
		crc := rand.Uint32()
		all = binary.LittleEndian.AppendUint32(all, crc)
		if chain = chainCRC(chain, crc); chain != crc32.Checksum(all, castagnoli) {
			t.Fatal("the chain is not the checksum of the checksums")
		}
	}
}
