package rdb

import (
	"encoding/binary"
	"errors"

	"tidemark/engine/keyspace"
)

// DUMP payloads:
//
//	| type : 8 | value | RDB version : 16, little-endian | CRC-64 of all before : 64, little-endian |

const dumpFooter = 10

var (
	// ErrDump is a DUMP payload of a later version, cut short or damaged; RESTORE answers
	// "ERR DUMP payload version or checksum are wrong".
	ErrDump = errors.New("DUMP payload version or checksum are wrong")
	// ErrDumpValue is a DUMP payload that is intact but holds no valid value; RESTORE answers "ERR Bad data format".
	ErrDumpValue = errors.New("Bad data format")
)

// AppendDump appends the DUMP payload of an entry.
func AppendDump(dst []byte, s *keyspace.Shard, r keyspace.Ref, compress bool) []byte {
	start := len(dst)
	e := Encoder{Compress: compress}
	var p keyspace.Progress
	dst = append(dst, typeOf(s, r))
	for dst = e.appendValue(dst, s, r, &p); p.More; {
		dst = e.appendValue(dst, s, r, &p)
	}
	t := dst[start]
	return appendFooter(dst, start, version(t == typeHashExpiry || t == typeHashExpiryPacked))
}

// AppendDumpString appends the DUMP payload of a string.
func AppendDumpString(dst, value []byte, compress bool) []byte {
	start := len(dst)
	return appendFooter(appendString(append(dst, typeString), value, compress), start, Version)
}

func appendFooter(dst []byte, start, version int) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(version))
	return binary.LittleEndian.AppendUint64(dst, CRC64(0, dst[start:]))
}

// EachOfDump calls f with the parts of the value in a DUMP payload, until one says false. Everything is checked in full, but that elements
// of a large collection may stand twice. What the parts refer to is good until f returns, and may be a view of p. Errors are ErrDump, ErrDumpValue, an
// *UnsupportedError, or f's own; some parts may have been given to f before.
func EachOfDump(p []byte, f func(it *Item) error) error { return eachOfDump(p, true, f) }

// EachOfDumpUnsummed is EachOfDump without a look at the payload's checksum, for tests with damaged ones.
func EachOfDumpUnsummed(p []byte, f func(it *Item) error) error { return eachOfDump(p, false, f) }

func eachOfDump(p []byte, sum bool, f func(it *Item) error) error {
	if len(p) < dumpFooter+1 {
		return ErrDump
	}
	body, foot := p[:len(p)-dumpFooter], p[len(p)-dumpFooter:]
	if binary.LittleEndian.Uint16(foot) > MaxVersion || sum && binary.LittleEndian.Uint64(foot[2:]) != CRC64(0, p[:len(p)-8]) {
		return ErrDump
	}
	d := &Decoder{buf: body, pos: 1, fill: len(body), fixed: true, deep: true}
	it := Item{ExpireAt: keyspace.NoExpire, Idle: -1, Freq: -1}
	err := d.value(body[0], &it)
	for err == nil {
		if it.Last && d.pos != d.fill {
			return ErrDumpValue
		}
		if err = f(&it); err != nil || it.Last {
			return err
		}
		it.First, it.Value, it.Elems = false, nil, nil
		err = d.part(&it)
	}
	if _, ok := err.(*UnsupportedError); ok {
		return err
	}
	return ErrDumpValue
}
