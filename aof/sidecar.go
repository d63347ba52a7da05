package aof

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
)

// The sidecar keeps beside the manifest what Redis's format has no place for. Stock Redis ignores it.
//
//	tidemark-aof 1
//	id 0123456789abcdef0123456789abcdef01234567
//	ancestor 89abcdef0123456789abcdef0123456789abcdef end 524288 of 0123456789abcdef0123456789abcdef01234567
//	base appendonly.aof.2.base.rdb offset 1048576 id 0123456789abcdef0123456789abcdef01234567 db 3
//	active appendonly.aof.8.incr.aof epoch 5f3a9c01
//	closed appendonly.aof.7.incr.aof epoch 0b22c9d4 length 66060288 chain 9ad1c2f0 start 1048576 end 66900000 tail 0
//	loaded appendonly.aof.3.incr.aof length 1234
//	history appendonly.aof.6.incr.aof epoch 77aa0b12 length 8192 chain 01020304 start 1040576 end 1048576 tail 0 id 0123456789abc...
//	sum 1a2b3c4d
//
// "detached yes" follows the id while the manifest does not name the segments yet: a log opened Fresh, before its first base.
// The id that counts is that of the base if the manifest names one: a log opened Fresh changes both with the manifest. Its
// ancestors are those "of" it.
// The last line is the CRC-32C of everything before it. An entry without a file in the manifest is an orphan.
const sidecarTitle = "tidemark-aof 1"

func (m *meta) sidecar() []byte {
	var b bytes.Buffer
	id := m.id
	if m.oldID != "" {
		id = m.oldID
	}
	fmt.Fprintf(&b, "%s\nid %s\n", sidecarTitle, id)
	for _, a := range m.ancestors {
		fmt.Fprintf(&b, "ancestor %s end %d of %s\n", a.ID, a.End, m.id)
	}
	if m.oldID != "" && m.oldID != m.id {
		for _, a := range m.oldAncestors {
			fmt.Fprintf(&b, "ancestor %s end %d of %s\n", a.ID, a.End, m.oldID)
		}
	}
	if m.detached {
		fmt.Fprintf(&b, "detached yes\n")
	}
	line := func(e *fileEntry, lineage string) {
		name := quoteName(e.name)
		switch {
		case e.typ == typeBase:
			if e.start == unknownOffset {
				break
			}
			of := id
			if e == m.base || e == m.attach || slices.Contains(m.doubtful, e) {
				of = m.id
			}
			fmt.Fprintf(&b, "base %s offset %d id %s", name, e.start, of)
			if e.db > 0 {
				fmt.Fprintf(&b, " db %d", e.db)
			}
			fmt.Fprintln(&b)
		case e.state == stateActive:
			fmt.Fprintf(&b, "active %s epoch %08x\n", name, e.epoch)
		case e.state == stateClosed:
			kind := "closed"
			if lineage != "" {
				kind = "history"
			}
			fmt.Fprintf(&b, "%s %s epoch %08x length %d chain %08x start %d end %d tail %d", kind, name, e.epoch, e.length, e.chain,
				e.start, e.end, e.tail)
			if lineage != "" {
				fmt.Fprintf(&b, " id %s", lineage)
			}
			fmt.Fprintln(&b)
		case e.state == stateLoaded:
			fmt.Fprintf(&b, "loaded %s length %d\n", name, e.length)
		}
	}
	for _, e := range m.old {
		line(e, e.lineage)
	}
	for _, e := range m.hist {
		line(e, e.lineage)
	}
	if m.base != nil {
		line(m.base, "")
	}
	for _, e := range m.doubtful {
		line(e, "")
	}
	if m.attach != nil {
		line(m.attach, "")
	}
	for _, e := range m.kept {
		line(e, m.id)
	}
	for _, e := range m.incr {
		line(e, "")
	}
	fmt.Fprintf(&b, "sum %08x\n", crc32.Checksum(b.Bytes(), castagnoli))
	return b.Bytes()
}

// sidecar is one as read.
type sidecar struct {
	id        string
	ancestors map[string][]Ancestor // by the id they are of
	known     map[string]*fileEntry // by file name
	detached  bool                  // the manifest does not name the newest segments yet
}

func parseSidecar(p []byte) (*sidecar, error) {
	i := bytes.LastIndex(p, []byte("\nsum ")) + 1
	if i == 0 || len(p) != i+len("sum 01234567\n") || p[len(p)-1] != '\n' {
		return nil, errors.New("the checksum line is missing")
	}
	want, ok := getHex(p[i+4 : i+12])
	if got := crc32.Checksum(p[:i], castagnoli); !ok || uint64(got) != want {
		return nil, fmt.Errorf("checksum mismatch: the file says %q, its content gives %08x", p[i+4:i+12], got)
	}
	sc := &sidecar{known: map[string]*fileEntry{}, ancestors: map[string][]Ancestor{}}
	for n, line := range strings.Split(strings.TrimSuffix(string(p[:i]), "\n"), "\n") {
		if n == 0 {
			if line != sidecarTitle {
				return nil, fmt.Errorf("written by another version: %q", line)
			}
			continue
		}
		bad := fmt.Errorf("line %d does not parse: %q", n+1, line)
		words, ok := splitWords(line)
		if !ok || len(words) < 2 || len(words)%2 != 0 {
			return nil, bad
		}
		switch words[0] {
		case "id":
			sc.id = words[1]
			continue
		case "detached":
			sc.detached = true
			continue
		case "ancestor":
			a, of := Ancestor{ID: words[1], End: -1}, ""
			for i := 2; i < len(words); i += 2 {
				switch words[i] {
				case "end":
					v, err := strconv.ParseInt(words[i+1], 10, 64)
					if err != nil || v < 0 {
						return nil, bad
					}
					a.End = v
				case "of":
					of = words[i+1]
				}
			}
			if a.End < 0 || checkID(a.ID) != nil {
				return nil, bad
			}
			sc.ancestors[of] = append(sc.ancestors[of], a)
			continue
		}
		e := &fileEntry{name: words[1], typ: typeIncr, start: unknownOffset}
		switch words[0] {
		case "base":
			e.typ = typeBase
		case "active":
			e.state = stateActive
		case "closed", "history":
			e.state = stateClosed
		case "loaded":
			e.state = stateLoaded
		default:
			return nil, bad
		}
		for i := 2; i < len(words); i += 2 {
			if words[i] == "id" {
				if e.id = words[i+1]; words[0] == "history" {
					e.lineage = e.id
				}
				continue
			}
			base := 10
			if words[i] == "epoch" || words[i] == "chain" {
				base = 16
			}
			v, err := strconv.ParseInt(words[i+1], base, 64)
			if err != nil || v < 0 && words[i] != "start" {
				return nil, bad
			}
			switch words[i] {
			case "epoch":
				e.epoch = uint32(v)
			case "chain":
				e.chain = uint32(v)
			case "length":
				e.length = v
			case "start", "offset":
				e.start = v
			case "end":
				e.end = v
			case "tail":
				e.tail = v
			case "db":
				e.db = int(v)
			}
		}
		sc.known[e.name] = e
	}
	return sc, nil
}
