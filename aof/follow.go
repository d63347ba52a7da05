package aof

// A replica's log is its primary's: the same bytes at the same offsets.

// Follow appends whole effects of another server's stream as they are, where the log is: no SELECT is put before them. db is
// the database the stream is in before p. p is copied. It returns the offset of p's end.
//
// All shards must be locked, and Room(0) must have said true since the last Append to shard 0 or Follow. p must consist of whole
// commands in RESP and end neither inside a command nor inside a transaction; at most MaxEffect bytes. Whoever follows calls
// Commit afterwards, after any number of calls. The next Append carries its SELECT, whatever its database.
//
// A p of up to a sixteenth of the ring goes through it. A larger one is copied once, to a buffer that is used again, and from
// there to the file in one writev. Measured (BenchmarkFollow), 256 KiB: 5 µs to the drainer and 117 µs to the page cache; without the
// buffer's second use the garbage collector would run every few megabytes of the stream.
func (l *Log) Follow(p []byte, db int) (end int64) {
	if len(p) == 0 {
		return l.Reserved()
	}
	if len(p) > MaxEffect || db < 0 || db > maxFollowDB {
		panic("BUG: more than aof.MaxEffect bytes, or an impossible database, reached Log.Follow")
	}
	r := &l.rings[0]
	ref := reference{reused: true}
	if len(p) > r.inline {
		ref.p = append(r.takeSpare(len(p)), p...)
	}
	// With all shards locked nobody else reserves; only Mark may set the database to unknown, which it is afterwards anyway.
	off := l.Reserved()
	l.tail.Store(uint64(off+int64(len(p)))<<dbBits | dbUnknown)
	stream := uint32(db + 1)
	if ref.p == nil {
		r.put(off, nil, p, stream)
	} else {
		l.refBytes.Add(int64(len(p)))
		r.putRef(off, ref, stream)
	}
	l.hints[uint64(off)>>3&hintMask].Store(0)
	return off + int64(len(p))
}

// takeSpare gives an empty buffer of at least n bytes.
func (r *ring) takeSpare(n int) []byte {
	r.refMu.Lock()
	defer r.refMu.Unlock()
	for i, b := range r.spare {
		if cap(b) >= n {
			last := len(r.spare) - 1
			r.spare[i], r.spare[last] = r.spare[last], nil
			r.spare = r.spare[:last]
			return b
		}
	}
	return make([]byte, 0, max(n, min(spareBytes, 256<<10)))
}
