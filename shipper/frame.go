package shipper

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/s2"

	"tidemark/engine/config"
)

// Compression. Between two servers that both know how (REPLCONF capa s2), the stream behind +CONTINUE or the snapshot goes in frames:
//
//	| length of the payload : 24, little-endian | kind : 8 | payload |
//
//	kind 0: the payload is bytes of the stream
//	kind 1: the payload is one s2 block, which decodes to at most feedBytes bytes of the stream
//
// Offsets count the stream's bytes, as if there were no frames. Effects may be divided between frames.

const (
	frameHeader = 4
	frameRaw    = 0
	frameS2     = 1

	// capaS2 is what a replica says that can read frames.
	capaS2 = "s2"
	// worthBytes is the least that is tried to be compressed.
	worthBytes = 256
)

// appendFrame appends p, at most feedBytes, as a frame. scratch is for the compressor, and is returned to be given again.
func appendFrame(dst, p, scratch []byte, compress bool) (out, again []byte) {
	if compress && len(p) >= worthBytes {
		if cap(scratch) < s2.MaxEncodedLen(feedBytes) {
			scratch = make([]byte, s2.MaxEncodedLen(feedBytes))
		}
		if b := s2.Encode(scratch[:cap(scratch)], p); len(b) < len(p)-len(p)/16 {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(len(b))|frameS2<<24)
			return append(dst, b...), scratch
		}
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(p))|frameRaw<<24)
	return append(dst, p...), scratch
}

// takeFrame takes one frame off in and appends what it holds to dst. n is how many bytes it took, 0 when the frame is not whole; an error says what is
// wrong with it.
func takeFrame(dst, in []byte) (out []byte, n int, err error) {
	if len(in) < frameHeader {
		return dst, 0, nil
	}
	head := binary.LittleEndian.Uint32(in)
	size, kind := int(head&0xffffff), head>>24
	if most := s2.MaxEncodedLen(feedBytes); size > most {
		return dst, 0, fmt.Errorf("a frame of %d bytes; none is longer than %d", size, most)
	}
	if len(in) < frameHeader+size {
		return dst, 0, nil
	}
	p := in[frameHeader : frameHeader+size]
	switch kind {
	case frameRaw:
		return append(dst, p...), frameHeader + size, nil
	case frameS2:
		plain, err := s2.DecodedLen(p)
		if err == nil && plain > feedBytes {
			err = fmt.Errorf("it claims to hold %d bytes; none holds more than %d", plain, feedBytes)
		}
		if err != nil {
			return dst, 0, fmt.Errorf("a compressed frame: %w", err)
		}
		at := len(dst)
		dst = append(dst, make([]byte, plain)...)
		if _, err := s2.Decode(dst[at:], p); err != nil {
			return dst[:at], 0, fmt.Errorf("a compressed frame: %w", err)
		}
		return dst, frameHeader + size, nil
	}
	return dst, 0, fmt.Errorf("a frame of kind %d, which this version does not know", kind)
}

// compresses decides for one piece of the stream. With auto it is worth the processor's time only where the link is what holds the
// replica up: the socket did not take everything lately.
func (r *replica) compresses() bool {
	switch r.sh.config().ReplCompression {
	case config.CompressYes:
		return true
	case config.CompressAuto:
		return r.pressed > 0
	}
	return false
}
