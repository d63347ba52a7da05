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
	return AppendDumpString(dst, s.Value(r), compress)
}

// AppendDumpString appends the DUMP payload of a string.
func AppendDumpString(dst, value []byte, compress bool) []byte {
	start := len(dst)
	dst = appendString(append(dst, typeString), value, compress)
	dst = binary.LittleEndian.AppendUint16(dst, Version)
	return binary.LittleEndian.AppendUint64(dst, CRC64(0, dst[start:]))
}

// ParseDump returns the value of a DUMP payload: its type, and the bytes of a string, which may be a view of p. Errors are
// ErrDump, ErrDumpValue or an *UnsupportedError.
func ParseDump(p []byte) (t keyspace.Type, value []byte, err error) {
	if len(p) < dumpFooter+1 {
		return 0, nil, ErrDump
	}
	body, foot := p[:len(p)-dumpFooter], p[len(p)-dumpFooter:]
	if binary.LittleEndian.Uint16(foot) > MaxVersion || binary.LittleEndian.Uint64(foot[2:]) != CRC64(0, p[:len(p)-8]) {
		return 0, nil, ErrDump
	}
	if body[0] != typeString {
		if int(body[0]) < len(typeNames) && typeNames[body[0]] != "" {
			return 0, nil, &UnsupportedError{Type: typeName(body[0])}
		}
		return 0, nil, ErrDumpValue
	}
	d := &Decoder{buf: body, pos: 1, fill: len(body), fixed: true}
	v, err := d.string(&d.value)
	if err != nil || d.pos != d.fill {
		return 0, nil, ErrDumpValue
	}
	return keyspace.String, v, nil
}
