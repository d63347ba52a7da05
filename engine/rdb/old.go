package rdb

import (
	"encoding/binary"
	"errors"

	"tidemark/engine/keyspace/packed"
)

// What small collections were before packed lists came, of which packed lists are made.
//
//	ziplist | bytes : 32 | offset of the last : 32 | entries : 16 | entry ... | 0xFF |        little-endian
//	entry   | length of the entry before : 8, or 0xFE and 32 bits | head | data |
//	head    00llllll | 01llllll llllllll | 10...... l : 32 |                       a string of l bytes, the length big-endian
//	        0xC0, 0xD0, 0xE0, 0xF0, 0xFE | 16, 32, 64, 24, 8 bits                  an integer
//	        0xF1 to 0xFD                                                           the integers 0 to 12
//
//	zipmap  | pairs : 8 | entry ... | 0xFF |
//	entry   | length, key, length, free : 8, value, free bytes |                   a length is 8 bits, or 0xFE and 32 bits

var (
	errZiplist = errors.New("a damaged ziplist")
	errZipmap  = errors.New("a damaged zipmap")
	// errEmpty is a collection without elements, which older servers could leave behind.
	errEmpty = errors.New("a collection without elements")
)

func fromZiplist(p []byte) (packed.List, error) {
	if len(p) < 11 || int(binary.LittleEndian.Uint32(p)) != len(p) || p[len(p)-1] != 0xff {
		return nil, errZiplist
	}
	last, said := int(binary.LittleEndian.Uint32(p[4:])), int(binary.LittleEndian.Uint16(p[8:]))
	out := packed.New(make([]byte, 0, len(p)))
	n := 0
	rest, before := p[10:len(p)-1], 0
	for ; len(rest) > 0; n++ {
		size := len(rest)
		prev, skip := int(rest[0]), 1
		if prev == 0xfe {
			if len(rest) < 5 {
				return nil, errZiplist
			}
			prev, skip = int(binary.LittleEndian.Uint32(rest[1:])), 5
		}
		if prev != before || len(rest) <= skip {
			return nil, errZiplist
		}
		rest = rest[skip:]
		head, data := ziplistHead(rest)
		if head == 0 || data > len(rest)-head {
			return nil, errZiplist
		}
		if v := rest[head : head+data]; rest[0] < 0xc0 {
			out = out.Append(v)
		} else {
			out = out.AppendInt(ziplistInt(rest[0], v))
		}
		rest = rest[head+data:]
		before = size - len(rest)
	}
	if last != len(p)-1-before || said != 65535 && said != n {
		return nil, errZiplist
	}
	return out, nil
}

// ziplistHead returns the lengths of an entry's head and data, head 0 if there is none.
func ziplistHead(p []byte) (head, data int) {
	switch b := p[0]; {
	case b < 0x40:
		return 1, int(b)
	case b < 0x80 && len(p) > 1:
		return 2, int(b&0x3f)<<8 | int(p[1])
	case b == 0x80 && len(p) > 4:
		return 5, int(binary.BigEndian.Uint32(p[1:]))
	case b == 0xc0:
		return 1, 2
	case b == 0xd0:
		return 1, 4
	case b == 0xe0:
		return 1, 8
	case b == 0xf0:
		return 1, 3
	case b == 0xfe:
		return 1, 1
	case b > 0xf0 && b < 0xfe:
		return 1, 0
	}
	return 0, 0
}

func ziplistInt(head byte, p []byte) int64 {
	switch head {
	case 0xc0:
		return int64(int16(binary.LittleEndian.Uint16(p)))
	case 0xd0:
		return int64(int32(binary.LittleEndian.Uint32(p)))
	case 0xe0:
		return int64(binary.LittleEndian.Uint64(p))
	case 0xf0:
		return int64(int32(uint32(p[0])<<8|uint32(p[1])<<16|uint32(p[2])<<24) >> 8)
	case 0xfe:
		return int64(int8(p[0]))
	}
	return int64(head&0x0f) - 1
}

func fromZipmap(p []byte) (packed.List, error) {
	if len(p) < 2 {
		return nil, errZipmap
	}
	said := p[0]
	out := packed.New(make([]byte, 0, 2*len(p)))
	p = p[1:]
	take := func(free bool) ([]byte, bool) {
		if len(p) == 0 {
			return nil, false
		}
		n, skip := uint64(p[0]), 1
		if n == 0xff {
			return nil, false
		}
		if n == 0xfe {
			if len(p) < 5 {
				return nil, false
			}
			n, skip = uint64(binary.LittleEndian.Uint32(p[1:])), 5
		}
		gap := 0
		if free {
			if len(p) <= skip {
				return nil, false
			}
			gap = int(p[skip])
			skip++
		}
		if n+uint64(gap) > uint64(len(p)-skip) {
			return nil, false
		}
		v := p[skip : skip+int(n)]
		p = p[skip+int(n)+gap:]
		return v, true
	}
	pairs := 0
	for ; len(p) > 0 && p[0] != 0xff; pairs++ {
		k, ok := take(false)
		v, ok2 := take(true)
		if !ok || !ok2 {
			return nil, errZipmap
		}
		out = out.Append(k).Append(v)
	}
	if len(p) != 1 || said < 0xfe && int(said) != pairs {
		return nil, errZipmap
	}
	return out, nil
}
