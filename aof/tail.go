package aof

import (
	"bytes"
	"strconv"
)

// The tail is one word: the offset at which the next record begins, and the database the stream is in at that point.
//
//	63                                12 11          0
//	+-----------------------------------+-------------+
//	| offset (52 bits)                  | database    |
//	+-----------------------------------+-------------+
//
// Database 0xFFF means that a reader starting here does not know it: the next record carries a SELECT.
const (
	dbBits    = 12
	dbUnknown = 1<<dbBits - 1
	maxOffset = 1<<(64-dbBits-1) - 1

	// maxSelect bounds the SELECT put before a record, for the largest database number an int can hold.
	maxSelect = 64
)

// AnyDB is the database of a record whose effect does not depend on one (PING, PUBLISH, ...).
const AnyDB = -1

var selects = func() (s [16][]byte) {
	for db := range s {
		s[db] = makeSelect(db)
	}
	return s
}()

func makeSelect(db int) []byte {
	d := strconv.Itoa(db)
	return []byte("*2\r\n$6\r\nSELECT\r\n$" + strconv.Itoa(len(d)) + "\r\n" + d + "\r\n")
}

func selectFor(db int) []byte {
	if db < len(selects) {
		return selects[db]
	}
	return makeSelect(db)
}

// selected reads a SELECT.
func selected(p []byte) (db int, ok bool) {
	const head = "*2\r\n$6\r\nSELECT\r\n$"
	if len(p) < len(head) || !bytes.EqualFold(p[:len(head)], []byte(head)) {
		return 0, false
	}
	_, digits, ok := bytes.Cut(p[len(head):], []byte("\r\n"))
	if !ok {
		return 0, false
	}
	db, err := strconv.Atoi(string(bytes.TrimSuffix(digits, []byte("\r\n"))))
	return db, err == nil && db >= 0
}

// reserve takes n bytes, and those of a SELECT if one is needed, from the tail.
func (l *Log) reserve(db, n int) (off int64, sel []byte) {
	for {
		old := l.tail.Load()
		want := uint64(db)
		sel = nil
		switch {
		case db == AnyDB:
			want = old & dbUnknown
		case db >= dbUnknown: // does not fit the word: every record of such a database carries its SELECT
			want = dbUnknown
			sel = makeSelect(db)
		case old&dbUnknown != want:
			sel = selectFor(db)
		}
		off = int64(old >> dbBits)
		if l.tail.CompareAndSwap(old, uint64(off+int64(n+len(sel)))<<dbBits|want) {
			return off, sel
		}
	}
}

// Mark makes the next record carry its SELECT and returns the offset X at which a snapshot that the caller takes now (all
// shards locked) is exact.
func (l *Log) Mark() int64 {
	for {
		old := l.tail.Load()
		if old&dbUnknown == dbUnknown || l.tail.CompareAndSwap(old, old|dbUnknown) {
			return int64(old >> dbBits)
		}
	}
}

// Room reports whether the ring has space for one more Append of any size (a large effect travels by reference).
// It is checked before a command executes: Append never fails and never waits. Multi-shard commands append once, to the
// lowest of their shards. The shard's lock must be held. When false, WantNotify asks to be told about room.
func (l *Log) Room(shard int) bool {
	r := &l.rings[shard]
	if r.pos+r.need <= r.limit && l.refBytes.Load() <= l.o.RefBytes {
		return true
	}
	return l.roomSlow(r)
}

func (l *Log) roomSlow(r *ring) bool {
	if r.hasRoom() && l.refBytes.Load() <= l.o.RefBytes {
		return true
	}
	l.stats.fullStalls.Add(1)
	return false
}

// Append reserves offsets for one effect (or a whole MULTI..EXEC block) in database db, copies it into the shard's ring and
// publishes it. A SELECT is put before it when the previous record's database differs; db AnyDB never causes one. It
// returns the offset of the effect's end. p is copied. The shard's lock must be held, Room must have said true since the
// shard's last Append, and p must consist of whole commands in RESP, at most MaxEffect bytes of them.
//
// Whoever appends calls Commit afterwards, after any number of Appends: until then nothing moves.
func (l *Log) Append(shard, db int, p []byte) (end int64) {
	r := &l.rings[shard]
	if len(p) == 0 {
		return l.Reserved()
	}
	if len(p) > r.inline {
		return l.appendByRef(r, shard, db, p)
	}
	off, sel := l.reserve(db, len(p))
	r.put(off, sel, p, 0)
	l.hints[uint64(off)>>3&hintMask].Store(uint32(shard))
	return off + int64(len(sel)+len(p))
}

// MaxEffect is the most bytes one Append can take: a batch counts its payload in 32 bits and has room for a SELECT.
const MaxEffect = maxBatchPayload - maxSelect

// appendByRef copies before it reserves: the log has a hole between the two, which everybody waits for.
func (l *Log) appendByRef(r *ring, shard, db int, p []byte) (end int64) {
	if len(p) > MaxEffect {
		panic("BUG: an effect of more than aof.MaxEffect bytes reached the log")
	}
	ref := make([]byte, maxSelect+len(p))
	copy(ref[maxSelect:], p)
	off, sel := l.reserve(db, len(p))
	ref = ref[maxSelect-len(sel):]
	copy(ref, sel)
	l.refBytes.Add(int64(len(ref)))
	r.putRef(off, reference{p: ref}, 0)
	l.hints[uint64(off)>>3&hintMask].Store(uint32(shard))
	return off + int64(len(ref))
}

const (
	hintSlots = 1 << 16
	hintMask  = hintSlots - 1
)
