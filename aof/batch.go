package aof

import (
	"bytes"
	"hash/crc32"
)

// A batch is one header line and whole effects. Stock Redis skips lines that begin with '#'.
//
//	#TM1 eeeeeeee oooooooooooooooo ssssssssssssssss llllllll tttttttttttt cccccccc\r\n
//	     |        |                |                |        |            |
//	     epoch    offset of the    Synced as of     payload  unix time    CRC-32C of the 70 bytes
//	              first byte       then             bytes    in ms        before it and of the payload
//	5    8        16               16               8        12           8          hexadecimal digits, lower case
//
// The stream of another server (Follow) may be in any database where a segment of ours begins, and stock Redis begins every file
// at database 0. Such a segment has a preamble in front: a batch whose magic is #TM1p and whose payload, a SELECT, is not part
// of the log. Its length counts in the file and not in offsets.
//
// Files that must agree: docs/aof-format.md.
const (
	headerMagic   = "#TM1 "
	preambleMagic = "#TM1p"
	headerBytes   = 80
	headerCRC     = 70 // bytes of the header that the checksum covers

	maxBatchPayload = 1<<32 - 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type header struct {
	epoch  uint32
	offset int64
	synced int64
	length uint32
	unixMS int64
	crc    uint32

	preamble bool // only in front of a segment
}

// counted is how many bytes of the log the batch has.
func (h *header) counted() int64 {
	if h.preamble {
		return 0
	}
	return int64(h.length)
}

const hexDigits = "0123456789abcdef"

func putHex(p []byte, v uint64) {
	for i := len(p) - 1; i >= 0; i-- {
		p[i] = hexDigits[v&15]
		v >>= 4
	}
}

// hexValue maps a lower-case hexadecimal digit to its value and everything else to 0xff.
var hexValue = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range len(hexDigits) {
		t[hexDigits[i]] = byte(i)
	}
	return t
}()

func getHex(p []byte) (v uint64, ok bool) {
	bad := byte(0)
	for _, c := range p {
		d := hexValue[c]
		bad |= d & 0xf0
		v = v<<4 | uint64(d)
	}
	return v, bad == 0
}

// putHeader writes everything but the checksum into p[:headerCRC] and its terminator.
func putHeader(p []byte, h *header) {
	_ = p[headerBytes-1]
	copy(p, headerMagic)
	if h.preamble {
		copy(p, preambleMagic)
	}
	putHex(p[5:13], uint64(h.epoch))
	p[13] = ' '
	putHex(p[14:30], uint64(h.offset))
	p[30] = ' '
	putHex(p[31:47], uint64(h.synced))
	p[47] = ' '
	putHex(p[48:56], uint64(h.length))
	p[56] = ' '
	putHex(p[57:69], uint64(h.unixMS))
	p[69] = ' '
	p[78] = '\r'
	p[79] = '\n'
}

// putCRC completes a header.
func putCRC(p []byte, crc uint32) { putHex(p[headerCRC:headerCRC+8], uint64(crc)) }

// parseHeader reads a header; ok says that its form is right, not that its checksum is.
func parseHeader(p []byte) (h header, ok bool) {
	if len(p) < headerBytes || string(p[:5]) != headerMagic && string(p[:5]) != preambleMagic || p[13] != ' ' || p[30] != ' ' || p[47] != ' ' || p[56] != ' ' ||
		p[69] != ' ' || p[78] != '\r' || p[79] != '\n' {
		return h, false
	}
	epoch, a := getHex(p[5:13])
	offset, b := getHex(p[14:30])
	synced, c := getHex(p[31:47])
	length, d := getHex(p[48:56])
	ms, e := getHex(p[57:69])
	crc, f := getHex(p[70:78])
	if !(a && b && c && d && e && f) || offset > maxOffset || synced > maxOffset {
		return h, false
	}
	return header{epoch: uint32(epoch), offset: int64(offset), synced: int64(synced), length: uint32(length), unixMS: int64(ms),
		crc: uint32(crc), preamble: p[4] == preambleMagic[4]}, true
}

// sum is the checksum a batch with this header line and payload must carry.
func sum(head, payload []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, head[:headerCRC]), castagnoli, payload)
}

// chainCRC folds a batch's checksum into its segment's: the CRC-32C of the checksums in little-endian order. By table, since
// the four bytes would escape to the heap on their way to hash/crc32.
func chainCRC(chain, crc uint32) uint32 {
	chain = ^chain
	for range 4 {
		chain = castagnoli[byte(chain)^byte(crc)] ^ chain>>8
		crc >>= 8
	}
	return ^chain
}

// findHeader gives the position of the next place in p at which a header of this epoch might begin, or -1.
func findHeader(p []byte, epoch uint32) int {
	var magic [len(headerMagic) + 9]byte
	copy(magic[:], headerMagic)
	putHex(magic[5:13], uint64(epoch))
	magic[13] = ' '
	return bytes.Index(p, magic[:])
}
