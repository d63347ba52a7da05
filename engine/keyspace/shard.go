package keyspace

import (
	"fmt"
	"math/bits"
	"unsafe"

	"tidemark/engine/keyspace/arena"
)

// Find returns the entry of key, or 0. It does not look at the expiry.
func (s *Shard) Find(db int, h uint64, key []byte) Ref {
	if t := s.tables[db]; t != nil {
		return t.find(h, key)
	}
	return 0
}

// Warm brings the bucket of a hash into the processor's cache. A caller with many keys to look up (loading, multi-key
// commands) warms some before it looks the first up: their cache misses then overlap. It returns a number of no meaning.
func (s *Shard) Warm(db int, h uint64) uint64 {
	t := s.tables[db]
	if t == nil || t.n == 0 {
		return 0
	}
	g := t.at(h)
	return *(*uint64)(t.bucketPtr(g, home(g, h)))
}

func (s *Shard) entry(r Ref) entry { return entry{s.Ptr(r)} }

// Key is a view of the entry's key, valid until the next mutating call on the shard. Not to be written to.
func (s *Shard) Key(r Ref) []byte { return s.entry(r).keyBytes() }

// Value is a view of a string's bytes, valid until the next mutating call on the shard. Not to be written to.
func (s *Shard) Value(r Ref) []byte { return s.entry(r).value(s.Space) }

// ValueLen is the length of Value.
func (s *Shard) ValueLen(r Ref) int { return s.entry(r).valueLen() }

// Type returns the entry's data type.
func (s *Shard) Type(r Ref) Type { return Type(*s.entry(r).word() >> typeShift & 7) }

// Encoding returns the entry's encoding.
func (s *Shard) Encoding(r Ref) Encoding { return Encoding(*s.entry(r).word() >> encShift & 15) }

// ExpireAt returns the entry's expiry in Unix ms, or NoExpire.
func (s *Shard) ExpireAt(r Ref) int64 {
	e := s.entry(r)
	if *e.word()&volatileIt == 0 {
		return NoExpire
	}
	return *e.expiry()
}

// Access returns the 24-bit access word: LRU clock or LFU counter, its meaning is the caller's.
func (s *Shard) Access(r Ref) uint32 { return uint32(*s.entry(r).word() & accessMask) }

// SetAccess stores the access word. It is not a mutation: Refs and views stay valid, snapshots do not see it as a change.
func (s *Shard) SetAccess(r Ref, w uint32) {
	p := s.entry(r).word()
	*p = *p&^accessMask | uint64(w&accessMask)
}

// SetEncoding stores the encoding. Like SetAccess it is not a mutation.
func (s *Shard) SetEncoding(r Ref, e Encoding) {
	p := s.entry(r).word()
	*p = *p&^(15<<encShift) | uint64(e&15)<<encShift
}

// MemoryUsage returns the bytes of arena and table that the entry accounts for.
func (s *Shard) MemoryUsage(r Ref) int {
	e := s.entry(r)
	n := s.SizeOf(r) + bucketBytes/5
	switch {
	case e.rooted():
		n += int(e.root().Bytes)
	case e.apart():
		b, _ := e.block()
		n += s.SizeOf(arena.Ref(*b))
	}
	if *e.word()&volatileIt != 0 {
		n += itemBytes
	}
	if p := e.fieldsAt(s.Space); p != nil && *p != 0 {
		n += itemBytes
	}
	return n
}

// table returns the database's table, made if need be.
func (s *Shard) table(db int) *table {
	t := s.tables[db]
	if t == nil {
		t = &table{Heap: s.ks.pool.NewHeap(), hash: &s.ks.hash, fields: expiryIndex{fields: true}}
		s.tables[db] = t
	}
	return t
}

// put describes an entry to be written.
type put struct {
	typ    Type
	enc    Encoding
	access uint32
	epoch  uint64
	at     int64
	key    []byte
	val    []byte
	room   int // bytes of the value to make room for, at least len(val)
}

// build writes a new block (and a value block if need be) and returns it; the expiry index does not know it yet.
func (t *table) build(p *put) Ref {
	volatile := p.at != NoExpire
	off := prefix(volatile, len(p.key))
	size := off + len(p.key)
	w := head(p.typ, p.enc, p.access, p.epoch, volatile, len(p.key))
	apart := size+p.room > inlineMax && !p.enc.IsRoot()
	var block arena.Ref
	if apart {
		size += apartBytes
		w |= apartIt
		block = t.Alloc(p.room)
		t.large += int64(t.SizeOf(block))
		copy(t.Bytes(block, 0, len(p.val)), p.val)
	} else {
		size += p.room
		w |= uint64(len(p.val)) << valShift
	}
	r := t.Alloc(size)
	e := entry{t.Ptr(r)}
	*e.word() = w
	if volatile {
		*e.expiry() = p.at
	}
	if len(p.key) > maxNarrow {
		*u64(e.p, off-wideBytes) = uint64(len(p.key))
	}
	copy(unsafe.Slice((*byte)(unsafe.Add(e.p, off)), len(p.key)), p.key)
	if apart {
		*u64(e.p, off+len(p.key)) = uint64(block)
		*u64(e.p, off+len(p.key)+8) = uint64(len(p.val))
	} else {
		copy(unsafe.Slice((*byte)(unsafe.Add(e.p, off+len(p.key))), len(p.val)), p.val)
	}
	return r
}

// freeValue frees what an entry's value has beside the entry: a block, or a collection. What a snapshot holds is left to it.
func (s *Shard) freeValue(t *table, e entry) {
	if e.rooted() {
		s.freeRoot(t, e)
		return
	}
	if !e.apart() {
		return
	}
	b, _ := e.block()
	size := int64(t.SizeOf(arena.Ref(*b)))
	t.large -= size
	if g := s.ghostOf(e); g != nil {
		g.alone = true
		t.held += size
		return
	}
	t.Free(arena.Ref(*b))
}

// PutString is Put of a string.
func (s *Shard) PutString(db int, h uint64, r Ref, key, val []byte, enc Encoding, expireAt int64, access uint32) Ref {
	return s.Put(db, h, r, key, String, enc, val, expireAt, access)
}

// Put stores a value that is bytes: a string, or a small collection in a packed form. r is what Find returned for this key (0: a new key);
// whatever type it had is replaced. expireAt is in Unix ms or NoExpire. val is copied; it may be a view of the same shard, and so
// may key. access becomes the access word, also of an entry that was there.
func (s *Shard) Put(db int, h uint64, r Ref, key []byte, typ Type, enc Encoding, val []byte, expireAt int64, access uint32) Ref {
	t := s.table(db)
	if r == 0 {
		p := put{typ, enc, access, s.birthEpoch(t, h), expireAt, key, val, len(val)}
		r = t.build(&p)
		t.insert(h, r)
		if expireAt != NoExpire {
			t.index.add(t, r, expireAt)
			s.expiryChanged(db, t)
		}
		s.publish(t)
		return r
	}
	s.touch(t, h, r)
	e := entry{t.Ptr(r)}
	w := *e.word()
	if volatile := w&volatileIt != 0; volatile == (expireAt != NoExpire) && w&rootIt == 0 && w&encMask != listPackEx {
		off, k := e.key()
		off += k
		fits := false
		if w&apartIt == 0 {
			// In place if a new entry would get a block of the same size.
			size := off + len(val)
			if fits = size <= inlineMax && arena.BlockSize(size) == arena.BlockSize(off+int(w>>valShift)); fits {
				copy(unsafe.Slice((*byte)(unsafe.Add(e.p, off)), len(val)), val)
				w = w&(1<<valShift-1) | uint64(len(val))<<valShift
			}
		} else if off+len(val) > inlineMax && s.ghostOf(e) == nil {
			b := arena.Ref(*u64(e.p, off))
			if have := t.SizeOf(b); len(val) <= have && arena.BlockSize(len(val)) >= have-have/8 {
				fits = true
				copy(t.Bytes(b, 0, len(val)), val)
				*u64(e.p, off+8) = uint64(len(val))
			}
		}
		if fits {
			*e.word() = w&^(15<<encShift|7<<typeShift|accessMask) | uint64(enc&15)<<encShift | uint64(typ)<<typeShift | uint64(access&accessMask)
			if volatile && *e.expiry() != expireAt {
				*e.expiry() = expireAt
				t.index.move(t, int(*e.indexAt()), expireAt)
				s.expiryChanged(db, t)
			}
			return r
		}
	}
	p := put{typ, enc, access, w >> epochShift & 7, expireAt, key, val, len(val)}
	n := t.build(&p)
	s.supersede(db, t, h, r, n, true)
	s.publish(t)
	return n
}

// supersede puts n, freshly built, in the place of r, in table and expiry index, and frees r; with value also r's block
// of the value, which otherwise n has taken over.
func (s *Shard) supersede(db int, t *table, h uint64, r, n Ref, value bool) {
	t.replace(h, r, n)
	o, e := entry{t.Ptr(r)}, entry{t.Ptr(n)}
	was, is := *o.word()&volatileIt != 0, *e.word()&volatileIt != 0
	switch {
	case was && is:
		i := *o.indexAt()
		*e.indexAt() = i
		it := t.item(int(i))
		it.r = n
		if it.at != *e.expiry() {
			t.index.move(t, int(i), *e.expiry())
		}
	case was:
		t.index.remove(t, int(*o.indexAt()))
	case is:
		t.index.add(t, n, *e.expiry())
	}
	if was || is {
		s.expiryChanged(db, t)
	}
	if p := o.fieldsAt(t.Space); p != nil || e.fieldsAt(t.Space) != nil {
		s.inheritFields(db, t, p, n)
	}
	if value {
		s.freeValue(t, o)
	}
	t.Free(r)
}

// Resize makes the string value of r exactly n bytes long, new bytes zero, keeping room to grow
// (amortised appends), and returns the entry and a writable view of the value (valid until the next mutating
// call on the shard). Encoding becomes Raw. With n equal to the present length it is how a value is edited in place.
func (s *Shard) Resize(db int, h uint64, r Ref, n int) (Ref, []byte) {
	t := s.table(db)
	s.touch(t, h, r)
	e := entry{t.Ptr(r)}
	*e.word() &^= 15 << encShift // Raw
	off, k := e.key()
	off += k
	old := e.valueLen()
	if !e.apart() {
		have := t.SizeOf(r)
		if size := off + n; size <= have && (n >= old || size >= have/2) {
			*e.word() = *e.word()&(1<<valShift-1) | uint64(n)<<valShift
			v := unsafe.Slice((*byte)(unsafe.Add(e.p, off)), n)
			clear(v[min(old, n):])
			return r, v
		}
		r = s.rebuild(db, t, h, r, n)
		e = entry{t.Ptr(r)}
		s.publish(t)
		return r, e.value(t.Space)
	}
	if off+n <= inlineMax/2 {
		r = s.rebuild(db, t, h, r, n)
		s.publish(t)
		return r, entry{t.Ptr(r)}.value(t.Space)
	}
	b := arena.Ref(*u64(e.p, off))
	have := t.SizeOf(b)
	if g := s.ghostOf(e); g != nil || n > have || n < have/2 {
		t.large -= int64(have)
		want := n
		if n > old {
			want = roomFor(n)
		}
		if g == nil && n > have && t.Grow(b, want) {
			// the same block, longer, its new part zero; what lies between the old length and the old end is not
			clear(t.Bytes(b, old, have-old))
		} else {
			nb := t.Alloc(want)
			copy(t.Bytes(nb, 0, min(old, n)), t.Bytes(b, 0, min(old, n)))
			if n > old && !t.IsFresh(nb) {
				clear(t.Bytes(nb, old, n-old))
			}
			if g != nil {
				g.alone = true
				t.held += int64(have)
			} else {
				t.Free(b)
			}
			b = nb
			*u64(e.p, off) = uint64(b)
		}
		t.large += int64(t.SizeOf(b))
	} else if n > old {
		clear(t.Bytes(b, old, n-old))
	}
	*u64(e.p, off+8) = uint64(n)
	s.publish(t)
	return r, t.Bytes(b, 0, n)
}

// roomFor is what a value that grows to n bytes gets: twice as much, from 1 MiB on a MiB more.
func roomFor(n int) int { return n + min(n, 1<<20) }

// rebuild moves an entry to a block with room for a value of n bytes.
func (s *Shard) rebuild(db int, t *table, h uint64, r Ref, n int) Ref {
	e := entry{t.Ptr(r)}
	w := *e.word()
	val := e.value(t.Space)
	p := put{Type(w >> typeShift & 7), Raw, uint32(w & accessMask), w >> epochShift & 7, s.ExpireAt(r), e.keyBytes(), nil, n}
	if n > len(val) && len(val) > 0 { // a value that comes into being (SETRANGE, SETBIT) may be as long as it will ever be
		p.room = roomFor(n)
	}
	b := t.build(&p)
	v := t.setLength(b, n)
	clear(v[copy(v, val):])
	s.supersede(db, t, h, r, b, true)
	return b
}

// setLength sets the length of a value within its room.
func (t *table) setLength(r Ref, n int) []byte {
	e := entry{t.Ptr(r)}
	if e.apart() {
		_, l := e.block()
		*l = uint64(n)
	} else {
		*e.word() = *e.word()&(1<<valShift-1) | uint64(n)<<valShift
	}
	return e.value(t.Space)
}

// SetExpire sets or (NoExpire) clears the expiry.
func (s *Shard) SetExpire(db int, h uint64, r Ref, at int64) Ref {
	t := s.table(db)
	e := entry{t.Ptr(r)}
	w := *e.word()
	if w&volatileIt == 0 && at == NoExpire {
		return r
	}
	s.touch(t, h, r)
	if w&volatileIt != 0 && at != NoExpire {
		*e.expiry() = at
		t.index.move(t, int(*e.indexAt()), at)
		s.expiryChanged(db, t)
		return r
	}
	n := s.reframe(t, t, r, e.keyBytes(), at, *e.word()>>epochShift&7)
	s.supersede(db, t, h, r, n, false)
	s.publish(t)
	return n
}

// reframe builds a copy of src's entry r in dst with another key, expiry and epoch. A value apart is taken over as it is, so both
// must be the same table.
func (s *Shard) reframe(src, dst *table, r Ref, key []byte, at int64, epoch uint64) Ref {
	e := entry{src.Ptr(r)}
	w := *e.word()
	p := put{Type(w >> typeShift & 7), Encoding(w >> encShift & 15), uint32(w & accessMask), epoch, at, key, nil, 0}
	if !e.apart() {
		p.val = e.value(src.Space)
		p.room = len(p.val)
		return dst.build(&p)
	}
	if src != dst {
		p.val = e.value(src.Space)
		p.room = len(p.val)
		return dst.build(&p)
	}
	volatile := at != NoExpire
	off := prefix(volatile, len(key))
	n := dst.Alloc(off + len(key) + apartBytes)
	c := entry{dst.Ptr(n)}
	*c.word() = head(p.typ, p.enc, p.access, epoch, volatile, len(key)) | apartIt
	if volatile {
		*c.expiry() = at
	}
	if len(key) > maxNarrow {
		*u64(c.p, off-wideBytes) = uint64(len(key))
	}
	copy(unsafe.Slice((*byte)(unsafe.Add(c.p, off)), len(key)), key)
	b, l := e.block()
	*u64(c.p, off+len(key)) = *b
	*u64(c.p, off+len(key)+8) = *l
	return n
}

// Delete removes an entry. Large values are given back in the background, never inside the call.
func (s *Shard) Delete(db int, h uint64, r Ref) {
	t := s.table(db)
	s.touch(t, h, r)
	s.unlink(db, t, h, r, true)
	s.publish(t)
}

// unlink takes r out of table and index and frees it.
func (s *Shard) unlink(db int, t *table, h uint64, r Ref, value bool) {
	t.remove(h, r)
	e := entry{t.Ptr(r)}
	if *e.word()&volatileIt != 0 {
		t.index.remove(t, int(*e.indexAt()))
		s.expiryChanged(db, t)
	}
	if p := e.fieldsAt(t.Space); p != nil && *p != 0 {
		i := int(*p - 1)
		*p = 0
		t.fields.remove(t, i)
		s.fieldsChanged(db, t)
	}
	if value {
		s.freeValue(t, e)
	}
	t.Free(r)
}

// Move takes the entry out of (s, db) and puts it, with its expiry, under (dst, dstDB, dstHash, dstKey), where no entry
// may stand. Both shards must be locked; s and dst may be one. It serves RENAME and MOVE. dstKey may be a view.
func (s *Shard) Move(db int, h uint64, r Ref, dst *Shard, dstDB int, dstHash uint64, dstKey []byte) Ref {
	t, d := s.table(db), dst.table(dstDB)
	s.touch(t, h, r)
	at := s.ExpireAt(r)
	n := s.reframe(t, d, r, dstKey, at, dst.birthEpoch(d, dstHash))
	switch e := (entry{t.Ptr(r)}); {
	case t == d: // the value went along
		s.unlink(db, t, h, r, false)
	case e.rooted() && e.root().Home != 0:
		t.rehouse(entry{d.Ptr(n)}.root(), dst, d)
		s.unlink(db, t, h, r, false)
	case e.rooted():
		dst.cloneRoot(d, entry{d.Ptr(n)}, e, e.root().Hold == 0 || t.holdOf(e.root()) == nil)
		s.unlink(db, t, h, r, true)
	default:
		s.unlink(db, t, h, r, true)
	}
	dst.enter(dstDB, d, dstHash, n, at)
	s.publish(t)
	return n
}

// Copy is Move that leaves the source (COPY).
func (s *Shard) Copy(db int, r Ref, dst *Shard, dstDB int, dstHash uint64, dstKey []byte) Ref {
	d := dst.table(dstDB)
	e := s.entry(r)
	w := *e.word()
	at := s.ExpireAt(r)
	val := e.value(s.Space)
	p := put{Type(w >> typeShift & 7), Encoding(w >> encShift & 15), uint32(w & accessMask), dst.birthEpoch(d, dstHash), at, dstKey, val, len(val)}
	n := d.build(&p)
	if e.rooted() {
		dst.cloneRoot(d, entry{d.Ptr(n)}, e, false)
	}
	dst.enter(dstDB, d, dstHash, n, at)
	return n
}

func (s *Shard) enter(db int, t *table, h uint64, r Ref, at int64) {
	t.insert(h, r)
	if at != NoExpire {
		t.index.add(t, r, at)
		s.expiryChanged(db, t)
	}
	if p := (entry{t.Ptr(r)}).fieldsAt(t.Space); p != nil {
		*p = 0
		s.settleFields(db, t, r)
	}
	s.publish(t)
}

// Len counts the keys of a database in this shard.
func (s *Shard) Len(db int) int {
	if t := s.tables[db]; t != nil {
		return t.n
	}
	return 0
}

// Expires counts the keys with an expiry of a database in this shard.
func (s *Shard) Expires(db int) int {
	if t := s.tables[db]; t != nil {
		return t.index.n
	}
	return 0
}

// ExpiringHashes counts the hashes with fields that expire of a database in this shard.
func (s *Shard) ExpiringHashes(db int) int {
	if t := s.tables[db]; t != nil {
		return t.fields.n
	}
	return 0
}

// AvgTTL estimates the mean ms to expiry of the database's volatile keys in this shard (0: none).
func (s *Shard) AvgTTL(db int, now int64) int64 {
	if t := s.tables[db]; t != nil {
		return t.avgTTL(now)
	}
	return 0
}

// Scan visits the entries of at least one bucket from cursor (a position in hash order, below 1<<48) on, and returns the cursor
// to continue from, 0 at the end. Every entry present during the whole of a scan is visited; the table may grow and shrink
// in between. visit must not mutate the shard. Any cursor is accepted; one past the end is the end.
func (s *Shard) Scan(db int, cursor uint64, visit func(r Ref)) uint64 {
	t := s.tables[db]
	if t == nil || t.n == 0 || cursor >= 1<<posBits {
		return 0
	}
	for visited := false; !visited; {
		g, b := t.locate(cursor)
		t.homed(g, b, func(r Ref) {
			visited = true
			visit(r)
		})
		_, cursor = g.bounds(cursor, b)
		if cursor == 1<<posBits {
			return 0
		}
	}
	return cursor
}

// Random returns a random entry, each equally likely, or 0. rnd gives random 64-bit numbers.
func (s *Shard) Random(db int, rnd func() uint64) Ref {
	if t := s.tables[db]; t != nil {
		return t.random(rnd)
	}
	return 0
}

// RandomVolatile is Random among the entries with an expiry, exactly uniform.
func (s *Shard) RandomVolatile(db int, rnd func() uint64) Ref {
	t := s.tables[db]
	if t == nil || t.index.n == 0 {
		return 0
	}
	i, _ := bits.Mul64(rnd(), uint64(t.index.n))
	return t.item(int(i)).r
}

// expiryChanged keeps s.keys right after a change of the index of db's table.
func (s *Shard) expiryChanged(db int, t *table) { s.dueChanged(&s.keys, &t.index, db, t) }

// fieldsChanged is expiryChanged for s.fields.
func (s *Shard) fieldsChanged(db int, t *table) { s.dueChanged(&s.fields, &t.fields, db, t) }

func (s *Shard) dueChanged(d *due, x *expiryIndex, db int, t *table) {
	if d.db != db {
		if x.n > 0 {
			if at := x.item(t, 0).at; d.db < 0 || at < d.at {
				*d = due{db, at}
			}
		}
		return
	}
	if x.n > 0 {
		at := x.item(t, 0).at
		earlier := at <= d.at
		d.at = at
		if earlier {
			return
		}
	}
	s.findDue(d, x.fields)
}

// findDue looks at every database for the earliest expiry.
func (s *Shard) findDue(d *due, fields bool) {
	*d = due{-1, NoExpire}
	for db, t := range s.tables {
		if t == nil {
			continue
		}
		if x := t.indexOf(fields); x.n > 0 {
			if at := x.item(t, 0).at; d.db < 0 || at < d.at {
				*d = due{db, at}
			}
		}
	}
}

// NextExpiry returns the earliest expiry (Unix ms) of keys and fields in the shard over all databases, or NoExpire.
func (s *Shard) NextExpiry() int64 {
	if s.fields.db < 0 || s.keys.db >= 0 && s.keys.at < s.fields.at {
		return s.keys.at
	}
	return s.fields.at
}

// FirstExpired returns the entry with the earliest expiry if that is <= now, or r=0.
func (s *Shard) FirstExpired(now int64) (db int, h uint64, r Ref) {
	return s.firstDue(&s.keys, now)
}

// FirstFieldExpired returns the hash with the field of the earliest expiry if that is <= now, or r=0.
func (s *Shard) FirstFieldExpired(now int64) (db int, h uint64, r Ref) {
	return s.firstDue(&s.fields, now)
}

func (s *Shard) firstDue(d *due, now int64) (db int, h uint64, r Ref) {
	if d.db < 0 || d.at > now {
		return 0, 0, 0
	}
	t := s.tables[d.db]
	r = t.indexOf(d == &s.fields).item(t, 0).r
	return d.db, s.ks.hash.hash(s.Key(r)), r
}

// Flush empties a database of this shard in O(1) for the caller: memory is given back in the background, or with
// wait before it returns.
func (s *Shard) Flush(db int, wait bool) {
	t := s.tables[db]
	if t == nil {
		return
	}
	s.tables[db] = nil
	if s.keys.db == db {
		s.findDue(&s.keys, false)
	}
	if s.fields.db == db {
		s.findDue(&s.fields, true)
	}
	s.withdraw(t)
	t.dead = true
	if t.snap != nil {
		t.snap.detached = true // the snapshot gives it back once it has passed
		return
	}
	s.ks.release(t, wait)
}

// release gives a detached table's memory back, but for the heaps that a hold still reads.
func (ks *Keyspace) release(t *table, wait bool) {
	heaps := []*arena.Heap{t.Heap}
	for i := range t.homes {
		if o := &t.homes[i]; o.hold.active() {
			o.hold.heap = o.heap
		} else if o.heap != nil {
			heaps = append(heaps, o.heap)
		}
	}
	for _, h := range heaps {
		if wait {
			h.Release()
		} else {
			h.ReleaseLater()
		}
	}
}

// Check verifies the shard's invariants and returns the first violation. It looks at everything: it is for tests and
// for DEBUG.
func (s *Shard) Check() error {
	for db, t := range s.tables {
		if t == nil {
			continue
		}
		if msg := t.Heap.Check(); msg != "" {
			return fmt.Errorf("BUG: shard %d database %d: heap: %s", s.index, db, msg)
		}
		if err := s.checkTable(db, t); err != nil {
			return fmt.Errorf("BUG: shard %d database %d: %w", s.index, db, err)
		}
	}
	return nil
}

func (s *Shard) checkTable(db int, t *table) error {
	n, volatile, expiring := 0, 0, 0
	var used, inHeap, housed int64
	if t.dir != nil {
		var first uint64
		for pos := uint64(0); pos < 1<<posBits; pos = first {
			g, b := t.locate(pos)
			from, to := g.bounds(pos, b)
			if from != pos {
				return fmt.Errorf("bucket at %#x begins at %#x", pos, from)
			}
			first = to
			var err error
			t.homed(g, b, func(r Ref) {
				n++
				used += int64(s.SizeOf(r))
				e := s.entry(r)
				if e.rooted() {
					if err = s.checkRoot(t, r); err != nil {
						return
					}
					if root := e.root(); root.Home == 0 {
						inHeap += root.Bytes
					} else {
						housed += t.homes[root.Home-1].bytes
					}
				}
				h := s.ks.Hash(e.keyBytes())
				if p := position(h); p < from || p >= to || t.find(h, e.keyBytes()) != r {
					err = fmt.Errorf("key %q at %#x stands in the bucket from %#x to %#x", e.keyBytes(), p, from, to)
				}
				if *e.word()&volatileIt != 0 {
					volatile++
					if it := t.item(int(*e.indexAt())); it.r != r || it.at != *e.expiry() {
						err = fmt.Errorf("key %q and the expiry index disagree", e.keyBytes())
					}
				}
				if p := e.fieldsAt(s.Space); p != nil {
					at := e.fieldsDue(s.Space)
					if *p != 0 {
						expiring++
					}
					if (*p != 0) != (at != NoExpire) {
						err = fmt.Errorf("key %q: fields expire at %d, place in the index %d", e.keyBytes(), at, *p)
					} else if *p != 0 {
						if it := t.fields.item(t, int(*p-1)); it.r != r || it.at != at {
							err = fmt.Errorf("key %q and the index of hashes disagree", e.keyBytes())
						}
					}
				}
			})
			if err != nil {
				return err
			}
		}
	}
	for _, x := range []*expiryIndex{&t.index, &t.fields} {
		for i := 1; i < x.n; i++ {
			if x.item(t, i).at < x.item(t, (i-1)/4).at {
				return fmt.Errorf("expiry index (of fields: %v) out of order at %d", x.fields, i)
			}
		}
		if d := s.keys; !x.fields && x.n > 0 && (d.db < 0 || d.at > x.item(t, 0).at) {
			return fmt.Errorf("the earliest expiry is %d, not %d", x.item(t, 0).at, d.at)
		}
		if d := s.fields; x.fields && x.n > 0 && (d.db < 0 || d.at > x.item(t, 0).at) {
			return fmt.Errorf("the earliest expiry of a field is %d, not %d", x.item(t, 0).at, d.at)
		}
	}
	if n != t.n || volatile != t.index.n || expiring != t.fields.n {
		return fmt.Errorf("%d keys (%d volatile, %d with fields that expire) found, counters say %d, %d and %d", n, volatile, expiring, t.n, t.index.n, t.fields.n)
	}
	if sum := used + t.bytes + t.large + t.coll + t.held + t.index.bytes + t.fields.bytes; sum != t.Used() {
		return fmt.Errorf("entries %d + tables %d + large %d + collections %d + held %d + index %d and %d make %d bytes, the heap has %d",
			used, t.bytes, t.large, t.coll, t.held, t.index.bytes, t.fields.bytes, sum, t.Used())
	}
	if inHeap != t.coll || housed != t.apartMem {
		return fmt.Errorf("collections have %d bytes in the table's heap and %d in their own, counters say %d and %d", inHeap, housed, t.coll, t.apartMem)
	}
	return nil
}
