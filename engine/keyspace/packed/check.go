package packed

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Check looks at every byte of what claims to be a list, and returns the number of its elements, and whether it is canonical. It never
// reads past p.
func Check(p []byte) (n int, canonical bool, err error) {
	if len(p) < EmptyBytes {
		return 0, false, errors.New("packed list: shorter than an empty one")
	}
	if size := binary.LittleEndian.Uint32(p); uint64(size) != uint64(len(p)) {
		return 0, false, fmt.Errorf("packed list: %d bytes, its header says %d", len(p), size)
	}
	canonical = true
	at, last := HeaderBytes, len(p)-1
	for at < last {
		size, own := checkEntry(p[at:last])
		if size == 0 {
			return 0, false, fmt.Errorf("packed list: no valid entry at offset %d", at)
		}
		canonical = canonical && own
		at += size
		n++
	}
	if p[last] != end {
		return 0, false, errors.New("packed list: it does not end with 255")
	}
	if said := int(binary.LittleEndian.Uint16(p[4:])); said != uncount && said != n {
		return 0, false, fmt.Errorf("packed list: %d elements, its header says %d", n, said)
	} else if (said == uncount) != (n >= uncount) {
		canonical = false
	}
	return n, canonical, nil
}

// checkEntry returns the length of the entry at the front of p, 0 when there is none, and whether it is canonical.
func checkEntry(p []byte) (size int, canonical bool) {
	head := 1
	switch b := p[0]; {
	case b >= 0xf5:
		return 0, false
	case b == 0xf0:
		head = 5
	case b >= 0xe0 && b < 0xf0:
		head = 2
	}
	if len(p) < head {
		return 0, false
	}
	n := span(p)
	size = n + tailBytes(n)
	if size > len(p) {
		return 0, false
	}
	var tail [5]byte
	if string(appendTail(tail[:0], n)) != string(p[n:size]) {
		return 0, false
	}
	str, v, isInt := List(p).Get(0)
	if isInt {
		return size, intBytes(v) == n
	}
	_, number := ParseInt(str)
	return size, !number && headBytes(len(str))+len(str) == n
}

// Canonical makes a canonical list of a valid one.
func Canonical(l List) List {
	out := New(make([]byte, 0, len(l)))
	for at := HeaderBytes; l[at] != end; at = l.Next(at) {
		str, v, isInt := l.Get(at)
		if isInt {
			out = out.AppendInt(v)
		} else {
			out = out.Append(str)
		}
	}
	return out
}
