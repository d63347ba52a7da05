package hostile

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tidemark/cmd/servertest"
)

// Types of values in RDB files, as far as these tests make them by hand.
const (
	typeList, typeSet, typeZSetText, typeHash, typeZSet, typeModule        = 1, 2, 3, 4, 5, 7
	typeZipmap, typeListZiplist, typeIntset, typeZSetZiplist, typeHashZip  = 9, 10, 11, 12, 13
	typeQuicklist, typeStream, typeHashPacked, typeZSetPacked, typeQuick2  = 14, 15, 16, 17, 18
	typeStream2, typeSetPacked, typeStream3, typeHashExpiry, typeExpiryPkd = 19, 20, 21, 24, 25
)

// size is a length of an RDB file.
func size(n uint64) []byte {
	if n < 1<<14 {
		return []byte{0x40 | byte(n>>8), byte(n)}
	}
	return binary.BigEndian.AppendUint64([]byte{0x81}, n)
}

// text is a string of an RDB file.
func text(s string) []byte { return append(size(uint64(len(s))), s...) }

func raw(p []byte) []byte { return text(string(p)) }

func u64(v ...uint64) (b []byte) {
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	return b
}

// packedList makes a packed list of strings and ints.
func packedList(elems ...any) []byte {
	b := make([]byte, 6)
	for _, e := range elems {
		from := len(b)
		switch v := e.(type) {
		case int: // always with 64 bits, where its own writer would take fewer
			b = binary.LittleEndian.AppendUint64(append(b, 0xf4), uint64(v))
		case string:
			b = append(append(b, 0x80|byte(len(v))), v...)
		}
		b = append(b, byte(len(b)-from))
	}
	b = append(b, 0xff)
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	binary.LittleEndian.PutUint16(b[4:], uint16(len(elems)))
	return b
}

// ziplist makes what was in a packed list's place before version 10.
func ziplist(elems ...string) []byte {
	b := make([]byte, 10)
	last := 0
	for _, e := range elems {
		from := len(b)
		b = append(append(b, byte(last), byte(len(e))), e...)
		last = len(b) - from
	}
	b = append(b, 0xff)
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-1-last))
	binary.LittleEndian.PutUint16(b[8:], uint16(len(elems)))
	return b
}

// with is p with some bytes changed.
func with(p []byte, at int, v ...byte) []byte {
	p = slices.Clone(p)
	if at < 0 {
		at += len(p)
	}
	copy(p[at:], v)
	return p
}

// body is a type and what follows.
func body(typ byte, parts ...[]byte) []byte { return append([]byte{typ}, slices.Concat(parts...)...) }

// streamBody is a stream of one node, with one entry 5-1, and a group for which it is pending; change does damage.
type streamBody struct {
	key, node           []byte
	entries, groups     uint64
	pending, consumers  int
	id, owned           []byte
	pendings, ownedSize uint64
}

func stream(change func(s *streamBody)) []byte {
	id := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, 5), 1)
	s := streamBody{key: id, node: packedList(1, 0, 1, "f", 0, 2, 0, 0, "v", 4), entries: 1, groups: 1, pending: 1, consumers: 1, id: id, owned: id,
		pendings: 1, ownedSize: 1}
	if change != nil {
		change(&s)
	}
	b := slices.Concat(body(typeStream2), size(1), raw(s.key), raw(s.node), size(s.entries), size(5), size(1), size(5), size(1), size(0), size(0), size(1), size(s.groups))
	for range min(s.groups, 2) {
		b = slices.Concat(b, text("group"), size(5), size(1), size(1), size(s.pendings))
		for range s.pending {
			b = slices.Concat(b, s.id, u64(1000), size(1))
		}
		b = append(b, size(uint64(s.consumers))...)
		for i := range s.consumers {
			b = slices.Concat(b, text("alice"), u64(1000), size(s.ownedSize))
			if i == 0 && s.ownedSize > 0 {
				b = append(b, s.owned...)
			}
		}
	}
	return b
}

// What becomes of a damaged value in a file.
const (
	refused = iota // as in RESTORE, always
	kept           // a file is trusted as to what stands twice in a small collection
	skipped        // collections without elements: old servers could leave them behind
)

// damaged are values that are none, one or more of each class.
var damaged = []struct {
	name   string
	body   []byte
	inFile int
}{
	// Strings.
	{name: "string cut short", body: body(0, size(5), []byte("abc"))},
	{name: "string of 2^63 bytes", body: body(0, []byte{0x81, 0x80, 0, 0, 0, 0, 0, 0, 0}, []byte("abc"))},
	{name: "string of 2^64-1 bytes", body: body(0, []byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, []byte("abc"))},
	{name: "unknown encoding", body: body(0, []byte{0xc4, 1, 2})},
	{name: "integer cut short", body: body(0, []byte{0xc2, 1, 2})},
	{name: "compressed, expands to 2^60", body: body(0, []byte{0xc3, 3, 0x81, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 'a', 'b'})},
	{name: "compressed, claims 2^40 bytes", body: body(0, []byte{0xc3, 0x81, 0, 0, 1, 0, 0, 0, 0, 0, 5, 'a', 'b'})},
	{name: "compressed, refers to before the beginning", body: body(0, []byte{0xc3, 2, 3, 0x20, 0x05})},
	{name: "compressed, too short for its size", body: body(0, []byte{0xc3, 2, 9, 0x00, 'a'})},
	{name: "compressed, too long for its size", body: body(0, []byte{0xc3, 3, 1, 0x01, 'a', 'b'})},

	// Lists.
	{name: "list without elements", body: body(typeList, size(0)), inFile: skipped},
	{name: "list of 2^60 elements", body: body(typeList, size(1<<60), text("a"))},
	{name: "quicklist of 2^60 nodes", body: body(typeQuick2, size(1<<60), size(2), raw(packedList("a")))},
	{name: "quicklist node of a kind that is none", body: body(typeQuick2, size(1), size(3), raw(packedList("a")))},
	{name: "quicklist node of no bytes", body: body(typeQuick2, size(1), size(2), size(0))},
	{name: "plain quicklist node of no bytes", body: body(typeQuick2, size(1), size(1), size(0))},
	{name: "quicklist node without elements", body: body(typeQuick2, size(2), size(2), raw(packedList("a")), size(2), raw(packedList()))},
	{name: "quicklist of a ziplist without elements", body: body(typeQuicklist, size(1), raw(ziplist())), inFile: skipped},

	// Ziplists, in a quicklist, hash, sorted set and list.
	{name: "ziplist shorter than its header", body: body(typeListZiplist, raw(ziplist("a")[:9]))},
	{name: "ziplist, wrong size", body: body(typeListZiplist, raw(with(ziplist("a"), 0, 15)))},
	{name: "ziplist, size of 4 GiB", body: body(typeListZiplist, raw(with(ziplist("a"), 0, 0xff, 0xff, 0xff, 0xff)))},
	{name: "ziplist, last entry elsewhere", body: body(typeZSetZiplist, raw(with(ziplist("a", "1"), 4, 12)))},
	{name: "ziplist, last entry outside", body: body(typeQuicklist, size(1), raw(with(ziplist("a", "1"), 4, 0, 1)))},
	{name: "ziplist, more entries than there are", body: body(typeQuicklist, size(1), raw(with(ziplist("a", "b"), 8, 3)))},
	{name: "ziplist, entry too long", body: body(typeHashZip, raw(with(ziplist("a", "b"), 14, 20)))},
	{name: "ziplist, entry of 4 GiB", body: body(typeHashZip, raw(with(ziplist("abcdefgh", "b"), 11, 0x80, 0xff, 0xff, 0xff, 0xff)))},
	{name: "ziplist, entry of no encoding", body: body(typeListZiplist, raw(with(ziplist("a", "b"), 14, 0xc1)))},
	{name: "ziplist, integer cut short", body: body(typeListZiplist, raw(with(ziplist("a", "b"), 14, 0xe0)))},
	{name: "ziplist, entry before it too long", body: body(typeQuicklist, size(1), raw(with(ziplist("a", "b"), 13, 20)))},
	{name: "ziplist, entry before it too short", body: body(typeQuicklist, size(1), raw(with(ziplist("a", "b"), 13, 2)))},
	{name: "ziplist, length before it cut short", body: body(typeQuicklist, size(1), raw(with(ziplist("a", "b"), 13, 0xfe, 3, 0)))},
	{name: "ziplist without end", body: body(typeListZiplist, raw(with(ziplist("a", "b"), -1, 0)))},
	{name: "ziplist, an end inside", body: body(typeListZiplist, raw(with(ziplist("a", "b", "c"), 13, 0xff)))},
	{name: "hash, a ziplist of three", body: body(typeHashZip, raw(ziplist("a", "b", "c")))},
	{name: "hash, a ziplist with a field twice", body: body(typeHashZip, raw(ziplist("a", "b", "a", "c"))), inFile: kept},
	{name: "sorted set, a ziplist with a score that is none", body: body(typeZSetZiplist, raw(ziplist("a", "x")))},

	// Zipmaps.
	{name: "zipmap of nothing", body: body(typeZipmap, raw([]byte{0, 0xff})), inFile: skipped},
	{name: "zipmap shorter than one", body: body(typeZipmap, raw([]byte{0}))},
	{name: "zipmap without end", body: body(typeZipmap, raw([]byte{1, 1, 'a', 1, 0, 'b'}))},
	{name: "zipmap, key too long", body: body(typeZipmap, raw([]byte{1, 200, 'a', 1, 0, 'b', 0xff}))},
	{name: "zipmap, value of 4 GiB", body: body(typeZipmap, raw([]byte{1, 1, 'a', 0xfe, 0xff, 0xff, 0xff, 0xff, 0, 'b', 0xff}))},
	{name: "zipmap, too much free", body: body(typeZipmap, raw([]byte{1, 1, 'a', 1, 200, 'b', 0xff}))},
	{name: "zipmap, a key without value", body: body(typeZipmap, raw([]byte{1, 1, 'a', 0xff}))},
	{name: "zipmap, a key twice", body: body(typeZipmap, raw([]byte{2, 1, 'a', 1, 0, 'b', 1, 'a', 1, 0, 'b', 0xff})), inFile: kept},

	// Packed lists, in a hash, set, sorted set and list.
	{name: "packed list shorter than its header", body: body(typeSetPacked, raw(packedList("a")[:5]))},
	{name: "packed list, wrong size", body: body(typeSetPacked, raw(with(packedList("a"), 0, 30)))},
	{name: "packed list, size of 4 GiB", body: body(typeSetPacked, raw(with(packedList("a"), 0, 0xff, 0xff, 0xff, 0xff)))},
	{name: "packed list, wrong count", body: body(typeSetPacked, raw(with(packedList("a", "b"), 4, 3)))},
	{name: "packed list, counts none", body: body(typeSetPacked, raw(with(packedList("a", "b"), 4, 0)))},
	{name: "packed list, first entry of 4 GiB", body: body(typeHashPacked, raw(with(packedList("abcdefgh", "b"), 6, 0xf0, 0xff, 0xff, 0xff, 0xff)))},
	{name: "packed list, first entry cut short", body: body(typeHashPacked, raw(with(packedList("a", "b"), 6, 0xf0, 1, 0, 1, 1)))},
	{name: "packed list, last entry too long", body: body(typeSetPacked, raw(with(packedList("a", "b"), 9, 0xbf)))},
	{name: "packed list, entry of no encoding", body: body(typeSetPacked, raw(with(packedList("a", "b"), 9, 0xf5)))},
	{name: "packed list, length behind an entry wrong", body: body(typeSetPacked, raw(with(packedList("a", "b"), 8, 3)))},
	{name: "packed list, length behind an entry endless", body: body(typeSetPacked, raw(with(packedList("a", "b"), -2, 0x82)))},
	{name: "packed list, an end inside", body: body(typeQuick2, size(1), size(2), raw(with(packedList("a", "b"), 9, 0xff)))},
	{name: "packed list without end", body: body(typeSetPacked, raw(with(packedList("a"), -1, 0)))},
	{name: "set, packed, without members", body: body(typeSetPacked, raw(packedList())), inFile: skipped},
	{name: "set, packed, a member twice", body: body(typeSetPacked, raw(packedList("a", "b", "a"))), inFile: kept},
	{name: "hash, packed, of three", body: body(typeHashPacked, raw(packedList("a", "b", "c")))},
	{name: "hash, packed, a field twice", body: body(typeHashPacked, raw(packedList("a", "1", 7, "2", "a", "3"))), inFile: kept},
	{name: "sorted set, packed, of three", body: body(typeZSetPacked, raw(packedList("a", 1, "c")))},
	{name: "sorted set, packed, a member twice", body: body(typeZSetPacked, raw(packedList("a", 1, "a", 2))), inFile: kept},
	{name: "sorted set, packed, out of order", body: body(typeZSetPacked, raw(packedList("a", 2, "b", 1)))},
	{name: "sorted set, packed, a score that is none", body: body(typeZSetPacked, raw(packedList("a", "nan")))},

	// Hashes with fields that expire.
	{name: "fields that expire, without an expiry", body: body(typeExpiryPkd, u64(1<<40), raw(packedList("a", "1", 1<<40, "b", "2")))},
	{name: "fields that expire, a text as expiry", body: body(typeExpiryPkd, u64(1<<40), raw(packedList("a", "1", "soon")))},
	{name: "fields that expire, too late", body: body(typeExpiryPkd, u64(1<<40), raw(packedList("a", "1", 1<<62)))},
	{name: "fields that expire, before the beginning", body: body(typeExpiryPkd, u64(1<<40), raw(packedList("a", "1", -5)))},
	{name: "fields that expire, out of order", body: body(typeExpiryPkd, u64(1<<42), raw(packedList("a", "1", 1<<43, "b", "2", 1<<42))), inFile: kept},
	{name: "fields that expire, behind one that does not", body: body(typeExpiryPkd, u64(1<<42), raw(packedList("a", "1", 0, "b", "2", 1<<42))), inFile: kept},
	{name: "fields that expire, one twice", body: body(typeExpiryPkd, u64(1<<42), raw(packedList("a", "1", 1<<42, "a", "2", 1<<42))), inFile: kept},
	{name: "fields that expire, the earliest too late", body: body(typeHashExpiry, u64(1<<62), size(1), size(1), text("a"), text("1"))},
	{name: "fields that expire, large, too late", body: body(typeHashExpiry, u64(1<<40), size(1), size(1<<62), text("a"), text("1"))},
	{name: "fields that expire, large, of 2^60", body: body(typeHashExpiry, u64(1<<40), size(1<<60), size(1), text("a"), text("1"))},
	{name: "fields that expire, large, one twice", body: body(typeHashExpiry, u64(1<<42), size(2), size(1), text("a"), text("1"), size(1), text("a"), text("1"))},

	// Large hashes, sets and sorted sets.
	{name: "hash without fields", body: body(typeHash, size(0)), inFile: skipped},
	{name: "hash of 2^60 fields", body: body(typeHash, size(1<<60), text("a"), text("1"))},
	{name: "hash, a field twice", body: body(typeHash, size(2), text("a"), text("1"), text("a"), text("2"))},
	{name: "hash, a field without value", body: body(typeHash, size(1), text("a"))},
	{name: "set of 2^60 members", body: body(typeSet, size(1<<60), text("a"))},
	{name: "set, a member twice", body: body(typeSet, size(2), text("a"), text("a"))},
	{name: "set, a length that is none", body: body(typeSet, []byte{0xc0, 2}, text("a"), text("b"))},
	{name: "sorted set without members", body: body(typeZSet, size(0)), inFile: skipped},
	{name: "sorted set of 2^60 members", body: body(typeZSet, size(1<<60), text("a"), u64(0))},
	{name: "sorted set, a member twice", body: body(typeZSet, size(2), text("a"), u64(0), text("a"), u64(0))},
	{name: "sorted set, a score that is none", body: body(typeZSet, size(1), text("a"), u64(math.Float64bits(math.NaN())))},
	{name: "sorted set, a text as score that is none", body: body(typeZSetText, size(1), text("a"), []byte("\x03abc"))},
	{name: "sorted set, a text as score, not a number", body: body(typeZSetText, size(1), text("a"), []byte{253})},

	// Sets of integers.
	{name: "intset without members", body: body(typeIntset, raw([]byte{2, 0, 0, 0, 0, 0, 0, 0})), inFile: skipped},
	{name: "intset of an encoding that is none", body: body(typeIntset, raw([]byte{3, 0, 0, 0, 1, 0, 0, 0, 1, 2, 3}))},
	{name: "intset, more members than there are", body: body(typeIntset, raw([]byte{2, 0, 0, 0, 2, 0, 0, 0, 1, 0}))},
	{name: "intset of 2^31 members of 2 bytes", body: body(typeIntset, raw([]byte{2, 0, 0, 0, 0, 0, 0, 0x80, 1, 0}))},
	{name: "intset, out of order", body: body(typeIntset, raw([]byte{2, 0, 0, 0, 2, 0, 0, 0, 5, 0, 4, 0}))},
	{name: "intset, a member twice", body: body(typeIntset, raw([]byte{2, 0, 0, 0, 2, 0, 0, 0, 5, 0, 5, 0}))},

	// Streams.
	{name: "stream of 2^60 nodes", body: body(typeStream2, size(1<<60), size(0))},
	{name: "stream, a short ID", body: stream(func(s *streamBody) { s.key = s.key[:15] })},
	{name: "stream, a node without fields", body: stream(func(s *streamBody) { s.node = packedList() })},
	{name: "stream, an ID that is no number", body: stream(func(s *streamBody) { s.node = packedList(1, 0, 1, "f", 0, 2, "x", 0, "v", 4) })},
	{name: "stream, more entries than there are", body: stream(func(s *streamBody) { s.node = packedList(9, 0, 1, "f", 0, 2, 0, 0, "v", 4) })},
	{name: "stream, 2^62 fields", body: stream(func(s *streamBody) { s.node = packedList(1, 0, 1<<62, "f", 0, 2, 0, 0, "v", 4) })},
	{name: "stream, fewer fields than none", body: stream(func(s *streamBody) { s.node = packedList(1, 0, -1, "f", 0, 2, 0, 0, "v", 4) })},
	{name: "stream, a wrong way back", body: stream(func(s *streamBody) { s.node = packedList(1, 0, 1, "f", 0, 2, 0, 0, "v", 3) })},
	{name: "stream, an entry cut short", body: stream(func(s *streamBody) { s.node = packedList(1, 0, 1, "f", 0, 2, 0) })},
	{name: "stream, entries that are not there", body: stream(func(s *streamBody) { s.entries = 2 })},
	{name: "stream of 2^60 groups", body: stream(func(s *streamBody) { s.groups = 1 << 60 })},
	{name: "stream, a group twice", body: stream(func(s *streamBody) { s.groups = 2 })},
	{name: "stream, 2^60 pending", body: stream(func(s *streamBody) { s.pendings = 1 << 60 })},
	{name: "stream, pending for nobody", body: stream(func(s *streamBody) { s.consumers = 0 })},
	{name: "stream, a consumer twice", body: stream(func(s *streamBody) { s.consumers = 2 })},
	{name: "stream, pending for a consumer alone", body: stream(func(s *streamBody) { s.owned = with(s.owned, 15, 9) })},
	{name: "stream, 2^60 pending for a consumer", body: stream(func(s *streamBody) { s.ownedSize = 1 << 60 })},

	// Types.
	{name: "a module's", body: body(typeModule, size(1), text("a"))},
	{name: "a type that is none", body: body(99, size(1), text("a"))},
	{name: "an opcode", body: body(0xfe, size(1))},
}

// dump makes a DUMP payload that is taken when checksums are not looked at.
func dump(body []byte) string { return string(body) + "\x0c\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" }

// file makes an RDB file without checksum.
func file(body []byte) []byte {
	return slices.Concat([]byte("REDIS0012\xfe\x00"), body[:1], text("k"), body[1:], []byte{0xff}, make([]byte, 8))
}

// victim is a server that takes damaged payloads.
type victim struct {
	*servertest.Client
	srv        *servertest.Server
	rss, bytes int64 // when there was nothing
}

// begin starts one, and has it do a little so that what it keeps for good is there.
func begin(t *testing.T) *victim {
	srv := servertest.StartTidemark(t, servertest.Config{Args: []string{"--save", "", "--appendonly", "no", "--enable-debug-command", "yes"}})
	v := &victim{Client: srv.Connect(t), srv: srv}
	v.Must(t, "DEBUG", "SET-SKIP-CHECKSUM-VALIDATION", "1")
	for range 3 {
		v.Must(t, "RESTORE", "k", "0", dump(stream(nil)), "REPLACE")
		v.Must(t, "FLUSHALL")
	}
	v.rss, v.bytes = v.memory(t)
	return v
}

// memory is the peak of the process's, and what the data take.
func (v *victim) memory(t *testing.T) (peak, data int64) {
	t.Helper()
	_, peak, err := v.srv.Memory()
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(v.Must(t, "INFO", "memory").Str, "\nused_memory_dataset:")
	data, err = strconv.ParseInt(strings.TrimSpace(strings.SplitN(after, "\r", 2)[0]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return peak, data
}

// unharmed checks that the server answers, and that nothing of what it was given is left.
func (v *victim) unharmed(t *testing.T) {
	t.Helper()
	if r := v.Must(t, "PING"); r.Str != "PONG" {
		t.Fatalf("PING: %s", r)
	}
	if r := v.Must(t, "DBSIZE"); r.Int != 0 {
		t.Fatalf("%d keys", r.Int)
	}
	peak, data := v.memory(t)
	if data > v.bytes+64<<10 {
		t.Fatalf("the data took %d bytes and take %d", v.bytes, data)
	}
	if grown := peak - v.rss; grown > 128*mib && !servertest.RaceEnabled {
		t.Fatalf("the process grew by %d MiB", grown>>20)
	}
}

// use does what can be done to a key of any type, and has it change its representation; replies do not matter.
func (v *victim) use(t *testing.T) {
	t.Helper()
	do := func(args ...string) servertest.Reply {
		r, err := v.Do(args...)
		if err != nil {
			t.Fatalf("%q: %v\n%s", args, err, v.srv.Log())
		}
		return r
	}
	do("DEBUG", "DIGEST")
	do("MEMORY", "USAGE", "k", "SAMPLES", "0")
	do("COPY", "k", "copy")
	switch do("TYPE", "k").Str {
	case "string":
		do("APPEND", "k", "x")
		do("BITCOUNT", "k")
	case "list":
		do("LRANGE", "k", "0", "-1")
		do("LPOS", "k", "no such", "RANK", "-1")
		for range 300 {
			do("LPUSH", "k", strings.Repeat("x", 100))
		}
		do("LINDEX", "k", "-1")
		do("LTRIM", "k", "10", "-1")
		do("RPOP", "k", "3")
	case "set":
		members := do("SMEMBERS", "k")
		for i := range 600 {
			do("SADD", "k", "member"+strconv.Itoa(i))
		}
		do("SDIFFSTORE", "other", "k", "copy")
		for _, m := range members.Elems {
			do("SREM", "k", m.Str)
			do("SREM", "copy", m.Str)
		}
		do("SPOP", "k", "1000")
	case "zset":
		members := do("ZRANGE", "k", "0", "-1")
		for i := range 300 {
			do("ZADD", "k", strconv.Itoa(i), "member"+strconv.Itoa(i))
		}
		for _, m := range members.Elems {
			do("ZINCRBY", "k", "5", m.Str)
			do("ZRANK", "k", m.Str)
			do("ZREM", "k", m.Str)
			do("ZREM", "copy", m.Str)
		}
		do("ZREMRANGEBYRANK", "k", "0", "-1")
	case "hash":
		fields := do("HKEYS", "k")
		do("HGETALL", "k")
		for i := range 600 {
			do("HSET", "k", "field"+strconv.Itoa(i), "v")
		}
		for _, f := range fields.Elems {
			do("HPEXPIRE", "k", "100000", "FIELDS", "1", f.Str)
			do("HDEL", "k", f.Str)
			do("HDEL", "copy", f.Str)
		}
		do("HRANDFIELD", "k", "-20")
	case "stream":
		do("XINFO", "STREAM", "k", "FULL", "COUNT", "0")
		do("XREVRANGE", "k", "+", "-")
		do("XAUTOCLAIM", "k", "group", "bob", "0", "0")
		do("XADD", "k", "*", "f", "v")
		do("XREADGROUP", "GROUP", "group", "carol", "STREAMS", "k", ">")
		do("XDEL", "k", "5-1")
		do("XTRIM", "k", "MAXLEN", "0")
	}
	do("DUMP", "k")
	do("DEBUG", "DIGEST")
	do("FLUSHALL")
}

// RESTORE refuses every kind of damage, and nothing is left of it.
func TestDamagedPayloads(t *testing.T) {
	v := begin(t)
	if r := v.Must(t, "RESTORE", "k", "0", dump(stream(nil))); r.Str != "OK" {
		t.Fatal(r)
	}
	v.Must(t, "FLUSHALL")
	for _, d := range damaged {
		t.Run(d.name, func(t *testing.T) {
			r, err := v.Do("RESTORE", "k", "0", dump(d.body))
			if err != nil {
				t.Fatalf("%v\n%s", err, v.srv.Log())
			}
			if r.Str != "ERR Bad data format" {
				t.Errorf("%s", r)
			}
			v.unharmed(t)
		})
	}
}

// So does the loading of a file, but for what is kept or skipped; with that the server goes on as well.
func TestDamagedFiles(t *testing.T) {
	v := begin(t)
	load := func(t *testing.T, p []byte) servertest.Reply {
		if err := os.WriteFile(filepath.Join(v.srv.Dir, "dump.rdb"), p, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := v.Do("DEBUG", "RELOAD", "NOSAVE")
		if err != nil {
			t.Fatalf("%v\n%s", err, v.srv.Log())
		}
		return r
	}
	if r := load(t, file(stream(nil))); r.Str != "OK" {
		t.Fatal(r)
	}
	for _, d := range damaged {
		t.Run(d.name, func(t *testing.T) {
			r := load(t, file(d.body))
			if r.IsError() != (d.inFile == refused) {
				t.Errorf("%s", r)
			}
			if n := v.Must(t, "DBSIZE").Int; d.inFile == kept && n != 1 || d.inFile == skipped && n != 0 {
				t.Errorf("%d keys", n)
			}
			v.use(t)
			v.unharmed(t)
		})
	}
}

// Whatever becomes of the payloads of good values that are cut, or have bytes changed, the server lives, and what it
// takes survives its own DUMP and RESTORE.
func TestChangedPayloads(t *testing.T) {
	v := begin(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	taken := 0
	try := func(name string, p []byte) {
		r, err := v.Do("RESTORE", "k", "0", dump(p), "REPLACE")
		if err != nil {
			t.Fatalf("%s: %x: %v\n%s", name, p, err, v.srv.Log())
		}
		if r.Str != "OK" {
			if r.Str != "ERR Bad data format" {
				t.Fatalf("%s: %x: %s", name, p, r)
			}
			return
		}
		taken++
		digest := v.Must(t, "DEBUG", "DIGEST-VALUE", "k").Elems[0].Str
		again := v.Must(t, "DUMP", "k")
		if again.IsNull() { // of fields that have expired
			return
		}
		if r := v.Must(t, "RESTORE", "again", "0", again.Str, "REPLACE"); r.Str != "OK" {
			t.Fatalf("%s: %x, dumped again %x: %s", name, p, again.Str, r)
		}
		if d := v.Must(t, "DEBUG", "DIGEST-VALUE", "again").Elems[0].Str; d != digest && p[0] != typeHashExpiry && p[0] != typeExpiryPkd {
			t.Fatalf("%s: %x has digest %s, dumped again %s", name, p, digest, d)
		}
		if rnd.IntN(20) == 0 {
			v.use(t)
		}
	}
	for name, commands := range map[string][]string{
		"string":            {"SET k hello", "APPEND k " + strings.Repeat("ab", 60)},
		"integer":           {"SET k 70000"},
		"list":              {"RPUSH k a 1 300 -70000 " + strings.Repeat("x", 80)},
		"quicklist":         {"CONFIG SET list-max-listpack-size 3", "RPUSH k a b c d e f 7 8 9"},
		"intset":            {"SADD k 1 2 300 70000"},
		"set":               {"SADD k a b c 1 2"},
		"sorted set":        {"ZADD k 1 a 2 b 2.5 c -inf d"},
		"large sorted set":  {"CONFIG SET zset-max-listpack-entries 0", "ZADD k 1 a 2 b 2.5 c -inf d"},
		"hash":              {"HSET k a 1 b 2 c x"},
		"large hash":        {"CONFIG SET hash-max-listpack-entries 0", "HSET k a 1 b 2 c x"},
		"fields":            {"HSET k a 1 b 2 c x", "HPEXPIREAT k 4000000000000 FIELDS 2 a b"},
		"fields of a large": {"CONFIG SET hash-max-listpack-entries 0", "HSET k a 1 b 2 c x", "HPEXPIREAT k 4000000000000 FIELDS 2 a b"},
		"stream": {"XADD k 1-1 f v g w", "XADD k 1-2 f x", "XADD k 2-1 f v g w", "XDEL k 1-2", "XGROUP CREATE k g 0", "XREADGROUP GROUP g alice COUNT 1 STREAMS k >",
			"XREADGROUP GROUP g bob STREAMS k >"},
	} {
		v.Must(t, "FLUSHALL")
		for _, c := range []string{"list-max-listpack-size -2", "zset-max-listpack-entries 128", "hash-max-listpack-entries 128"} {
			v.Must(t, strings.Fields("CONFIG SET "+c)...)
		}
		for _, c := range commands {
			if r := v.Must(t, strings.Fields(c)...); r.IsError() {
				t.Fatalf("%s: %s", c, r)
			}
		}
		good := []byte(v.Must(t, "DUMP", "k").Str)
		good = good[:len(good)-10]
		for at := range good {
			if servertest.RaceEnabled && rnd.IntN(8) != 0 { // it is slow then
				continue
			}
			try(name, good[:at+1])
			for _, b := range []byte{0, 1, 0x7f, 0x80, 0x81, 0xc3, 0xf0, 0xfe, 0xff, good[at] + 1, good[at] - 1, byte(rnd.Uint32())} {
				p := slices.Clone(good)
				p[at] = b
				try(name, p)
				if i := rnd.IntN(len(p)); rnd.IntN(3) == 0 {
					p[i] = byte(rnd.Uint32())
					try(name, slices.Delete(p, i, i+rnd.IntN(min(3, len(p)-i))))
				}
			}
		}
	}
	v.Must(t, "FLUSHALL")
	v.unharmed(t)
	if taken == 0 {
		t.Error("not one was taken")
	}
	t.Logf("%d were taken", taken)
}
