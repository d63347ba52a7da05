package rdb

import (
	"encoding/binary"
	"fmt"

	"tidemark/engine/keyspace"
)

// Aux is an auxiliary field of the header. Redis's own are redis-ver, redis-bits, ctime, used-mem, repl-stream-db, repl-id,
// repl-offset, aof-base. Readers skip what they do not know.
type Aux struct{ Key, Value string }

// VersionOf is the version that a file of all that is in the keyspace now has. All shards must be locked, or nobody writes.
func VersionOf(ks *keyspace.Keyspace) int { return version(ks.FieldsExpire()) }

func version(fieldsExpire bool) int {
	if fieldsExpire {
		return VersionFieldExpiry
	}
	return Version
}

// AppendHeader appends the magic, the version (VersionOf) and the auxiliary fields.
func AppendHeader(dst []byte, version int, aux ...Aux) []byte {
	dst = fmt.Appendf(dst, "%s%04d", magic, version)
	for _, a := range aux {
		dst = append(dst, opAux)
		dst = appendString(dst, []byte(a.Key), false)
		dst = appendString(dst, []byte(a.Value), false)
	}
	return dst
}

// AppendSelectDB says that the entries which follow belong to db.
func AppendSelectDB(dst []byte, db int) []byte {
	return appendLength(append(dst, opSelectDB), uint64(db))
}

// AppendResizeDB hints at the number of keys, and of volatile keys, of the database selected last.
func AppendResizeDB(dst []byte, keys, expires int) []byte {
	return appendLength(appendLength(append(dst, opResizeDB), uint64(keys)), uint64(expires))
}

// AppendFooter appends the end of the file. crc is the CRC64 of everything before it, or checksum is false
// (rdbchecksum no).
func AppendFooter(dst []byte, crc uint64, checksum bool) []byte {
	dst = append(dst, opEOF)
	if checksum {
		crc = CRC64(crc, dst[len(dst)-1:])
	} else {
		crc = 0
	}
	return binary.LittleEndian.AppendUint64(dst, crc)
}

// Encoder says how entries are written. The zero value writes them plain.
type Encoder struct {
	Compress bool // rdbcompression
	// Idle, if set, turns an entry's access word into seconds without access (for LRU eviction policies); Freq into an LFU counter.
	// At most one of them.
	Idle func(access uint32) uint64
	Freq func(access uint32) byte
}

// AppendEntry is a keyspace.Encoder: it appends expiry, access, type, key and value of an entry. It does not say to
// which database the entry belongs: see AppendSelectDB and Begin.
func (e *Encoder) AppendEntry(dst []byte, db int, s *keyspace.Shard, r keyspace.Ref) []byte {
	var p keyspace.Progress
	for dst = e.AppendPiece(dst, db, s, r, &p); p.More; {
		dst = e.AppendPiece(dst, db, s, r, &p)
	}
	return dst
}

// AppendPiece is a keyspace.Piecemeal: AppendEntry a piece at a time.
func (e *Encoder) AppendPiece(dst []byte, _ int, s *keyspace.Shard, r keyspace.Ref, p *keyspace.Progress) []byte {
	if p.Phase == phaseHead {
		if at := s.ExpireAt(r); at != keyspace.NoExpire {
			dst = binary.LittleEndian.AppendUint64(append(dst, opExpireTimeMs), uint64(at))
		}
		if e.Idle != nil {
			dst = appendLength(append(dst, opIdle), e.Idle(s.Access(r)))
		} else if e.Freq != nil {
			dst = append(dst, opFreq, e.Freq(s.Access(r)))
		}
		dst = appendString(append(dst, typeOf(s, r)), s.Key(r), e.Compress)
	}
	return e.appendValue(dst, s, r, p)
}

func appendLength(dst []byte, n uint64) []byte {
	switch {
	case n < 1<<6:
		return append(dst, byte(n))
	case n < 1<<14:
		return append(dst, 0x40|byte(n>>8), byte(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(dst, 0x80), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0x81), n)
}

// appendString chooses the shortest form: an integer, compressed, or plain.
func appendString(dst, p []byte, compress bool) []byte {
	if len(p) <= 11 {
		if v, ok := parseInt32(p); ok {
			switch {
			case v == int32(int8(v)):
				return append(dst, encInt8, byte(v))
			case v == int32(int16(v)):
				return append(dst, encInt16, byte(v), byte(v>>8))
			}
			return binary.LittleEndian.AppendUint32(append(dst, encInt32), uint32(v))
		}
	} else if compress && len(p) > compressAbove {
		// The lengths stand before the data, whose length is known afterwards: leave room for the longest header.
		at := len(dst)
		var room [19]byte
		dst = append(dst, room[:]...)
		out, ok := appendLZF(dst, p, len(p)-4)
		if ok {
			n := len(out) - len(dst)
			h := appendLength(append(out[at:at], encLZF), uint64(n))
			h = appendLength(h, uint64(len(p)))
			copy(out[at+len(h):], out[at+len(room):])
			return out[:at+len(h)+n]
		}
		dst = dst[:at]
	}
	return append(appendLength(dst, uint64(len(p))), p...)
}

// parseInt32 reads the canonical decimal form of an int32: what printing it would give.
func parseInt32(p []byte) (int32, bool) {
	digits, neg := p, false
	if len(p) > 0 && p[0] == '-' {
		digits, neg = p[1:], true
	}
	if len(digits) == 0 || len(digits) > 10 || digits[0] == '0' && (len(digits) > 1 || neg) {
		return 0, false
	}
	var v int64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int64(c-'0')
	}
	if neg {
		v = -v
	}
	return int32(v), v == int64(int32(v))
}
