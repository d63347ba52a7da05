package command

import (
	"strconv"

	"tidemark/engine/keyspace"
	"tidemark/engine/value"
)

// Find looks a key up for reading: 0 when it is not there or has expired. It counts a hit or a miss, notes the access, and
// makes the reply wait for the key's last write under appendfsync always. The entry is valid until the next mutation of the shard.
func (c *Ctx) Find(k *Key) keyspace.Ref {
	r := c.Peek(k)
	if r == 0 {
		c.counts.misses++
		return 0
	}
	c.counts.hits++
	if !c.NoTouch {
		c.noteAccess(k, r)
	}
	return r
}

// FindUntouched is Find without noting the access (EXISTS, TYPE, TTL, OBJECT).
func (c *Ctx) FindUntouched(k *Key) keyspace.Ref {
	r := c.Peek(k)
	if r == 0 {
		c.counts.misses++
	} else {
		c.counts.hits++
	}
	return r
}

// FindForWrite is Find for commands that go on to change the key: neither hit nor miss is counted.
func (c *Ctx) FindForWrite(k *Key) keyspace.Ref {
	r := c.Peek(k)
	if r != 0 && !c.NoTouch {
		c.noteAccess(k, r)
	}
	return r
}

// Peek is Find without statistics and without noting the access.
func (c *Ctx) Peek(k *Key) keyspace.Ref {
	if c.gating {
		c.sawSlot(k)
	}
	r := k.Shard.Find(c.DB, k.Hash, k.Name)
	if r == 0 || c.Replay {
		return r
	}
	if at := k.Shard.ExpireAt(r); at != keyspace.NoExpire && at <= c.Now && !c.Store.Loading.Load() {
		c.expire(k, r)
		return 0
	}
	return r
}

// PeekIn is Peek in another database than the present one (MOVE, COPY).
func (c *Ctx) PeekIn(db int, k *Key) keyspace.Ref {
	was := c.DB
	c.DB = db
	r := c.Peek(k)
	c.DB = was
	return r
}

// FindString is Find for a command that reads a string: ok is false when the key holds another type, and the error
// has been replied. v is borrowed until the next mutation of the shard; nil with ok when there is no such key.
func (c *Ctx) FindString(k *Key) (r keyspace.Ref, v []byte, ok bool) {
	return c.stringOf(k, c.Find(k))
}

// FindStringForWrite is FindString by FindForWrite.
func (c *Ctx) FindStringForWrite(k *Key) (r keyspace.Ref, v []byte, ok bool) {
	return c.stringOf(k, c.FindForWrite(k))
}

func (c *Ctx) stringOf(k *Key, r keyspace.Ref) (keyspace.Ref, []byte, bool) {
	if r == 0 {
		return 0, nil, true
	}
	if k.Shard.Type(r) != keyspace.String {
		c.W.Error(ErrWrongType)
		return r, nil, false
	}
	return r, k.Shard.Value(r), true
}

// FindTyped is Find for a command of one data type: ok is false when the key holds another, and the error has been replied.
func (c *Ctx) FindTyped(k *Key, t keyspace.Type) (r keyspace.Ref, ok bool) {
	r = c.Find(k)
	return r, c.IsType(k, r, t)
}

// FindTypedForWrite is FindTyped by FindForWrite.
func (c *Ctx) FindTypedForWrite(k *Key, t keyspace.Type) (r keyspace.Ref, ok bool) {
	r = c.FindForWrite(k)
	return r, c.IsType(k, r, t)
}

// IsType reports whether an entry that a Find gave for k is of a type, or none at all (0). If not, the error has been replied.
func (c *Ctx) IsType(k *Key, r keyspace.Ref, t keyspace.Type) bool {
	if r == 0 || k.Shard.Type(r) == t {
		return true
	}
	c.W.Error(ErrWrongType)
	return false
}

// FirstForWrite finds the first of the request's keys that is there, for a command that takes elements from it; r is 0 when none is. ok is
// false when a key of another type stands before it, and the error has been replied.
func (c *Ctx) FirstForWrite(t keyspace.Type) (k *Key, r keyspace.Ref, ok bool) {
	for i := range c.Keys {
		k = &c.Keys[i]
		if r, ok = c.FindTypedForWrite(k, t); r != 0 || !ok {
			return k, r, ok
		}
	}
	return nil, 0, true
}

// Changed reports that the handler changed, created or removed a key. Call it once for each change that counts as one
// (rdb_changes_since_last_save). The key may be one the handler made with Store.MakeKey, if its shard is locked.
func (c *Ctx) Changed(k *Key) {
	c.changes++
	si := k.Shard.Index()
	c.changed = append(c.changed, change{si, k.Hash})
	r := &c.Store.rules[si]
	if len(r.watched) > 0 {
		r.touch(c.DB, k.Name, false)
	}
	if r.waiting != nil {
		c.noteReady(r, k.Name)
	}
}

// ChangedBy is Changed for a command that makes n changes to a key at once. With 0 the watchers of the key are told of a write that changed
// nothing, and nothing is logged.
func (c *Ctx) ChangedBy(k *Key, n int) {
	c.Changed(k)
	c.changes += int64(n) - 1
}

// ChangedIn is Changed for a key in another database than the present one (MOVE, COPY).
func (c *Ctx) ChangedIn(db int, k *Key) {
	was := c.DB
	c.DB = db
	c.Changed(k)
	c.DB = was
}

// AlsoChangedIn reports a further key that the change just reported by Changed concerned (RENAME, MOVE): it is one
// change all the same.
func (c *Ctx) AlsoChangedIn(db int, k *Key) {
	c.ChangedIn(db, k)
	c.changes--
}

// ChangedAll reports n changes to the whole keyspace (FLUSHALL, SWAPDB). Watchers are told by Store.TouchDB, before. The
// command is logged even when n is 0.
func (c *Ctx) ChangedAll(n int64) {
	c.changes += n
	c.allChange, c.logAnyway = true, true
}

// Effect gives what the log shall hold instead of the request: a command that reproduces the change exactly, whenever it is
// replayed. Several calls give several commands; they stand in the log in one MULTI block. args are copied.
func (c *Ctx) Effect(args ...[]byte) {
	c.cmdEffect = true
	if c.log == nil {
		return
	}
	c.effectHeader()
	c.eff = appendCommand(c.eff, args)
}

// Words is memory, empty, for the words of an effect whose number is not known beforehand. EffectOf logs them and keeps the memory for the next time: no effect
// allocates then.
func (c *Ctx) Words() [][]byte { return c.words[:0] }

// EffectOf is Effect of the words from number from on of what was appended to Words.
func (c *Ctx) EffectOf(words [][]byte, from int) {
	c.Effect(words[from:]...)
	if cap(words) <= maxWords {
		c.words = words[:0]
	}
}

// maxWords bounds the memory for words that a Ctx keeps between commands.
const maxWords = 1 << 12

// Digits returns the text of a number, good until the next call with the same i, 0 or 1. Unlike a buffer of the handler's it can be one of Words.
func (c *Ctx) Digits(i int, n int64) []byte { return strconv.AppendInt(c.digits[i][:0], n, 10) }

// Logged says whether effects are recorded at all: a handler may spare itself building them otherwise.
func (c *Ctx) Logged() bool { return c.log != nil }

// expire removes a key whose time has come, and logs that.
func (c *Ctx) expire(k *Key, r keyspace.Ref) {
	if c.onlyHides() {
		return
	}
	was := c.cmdEffect
	c.effectExpired(k)
	c.cmdEffect = was
	k.Shard.Delete(c.DB, k.Hash, r)
	c.counts.expired++
	si := k.Shard.Index()
	if c.log != nil {
		c.changed = append(c.changed, change{si, k.Hash})
	}
	rules := &c.Store.rules[si]
	if len(rules.watched) > 0 {
		rules.touch(c.DB, k.Name, true)
	}
	if rules.waiting != nil {
		c.noteReady(rules, k.Name)
	}
}

// onlyHides: what has expired stays where it is. A reader sees it expired all the same while expiry is held, on a replica, or while the log is stuck.
// For a writer it must go: the command is about to put something else in its place. Room was made sure of before it began.
func (c *Ctx) onlyHides() bool {
	return (c.Cmd == nil || c.Cmd.Flags&Write == 0) && (c.Store.HoldExpiry.Load() || c.Store.Following.Load() || c.logStuck(c.home))
}

// FieldNow is the time (Unix ms) by which fields of hashes have expired for this command: in replay and while data are loaded none has, until the log
// says so.
func (c *Ctx) FieldNow() int64 {
	if c.Replay || c.Store.Loading.Load() {
		return value.Always
	}
	return c.Now
}

// ExpireField removes a field of the hash at k, whose entry is r, if its time has come, and logs that. It returns the hash's entry now, or 0 if it had no
// other field and is gone. When what has expired must stay, to be hidden, it does nothing.
func (c *Ctx) ExpireField(k *Key, r keyspace.Ref, field []byte) keyspace.Ref {
	now := c.FieldNow()
	if due := k.Shard.FieldsDue(r); due == keyspace.NoExpire || due > now || c.onlyHides() {
		return r
	}
	r, done, gone := value.RemoveExpired(k.Shard, c.DB, k.Hash, r, field, now)
	if done {
		c.fieldExpired(k, field)
		c.noteFieldsExpired(k)
	}
	if gone {
		return 0
	}
	return r
}

// ExpireFields is ExpireField of all fields whose time has come, but no more than most. n is how many there were.
func (c *Ctx) ExpireFields(k *Key, r keyspace.Ref, most int) (_ keyspace.Ref, n int) {
	now := c.FieldNow()
	if due := k.Shard.FieldsDue(r); due == keyspace.NoExpire || due > now || c.onlyHides() {
		return r, 0
	}
	r, gone := value.RemoveDue(k.Shard, c.DB, k.Hash, r, now, most, func(field []byte) {
		c.fieldExpired(k, field)
		n++
	})
	c.noteFieldsExpired(k)
	if gone {
		return 0, n
	}
	return r, n
}

// FieldExpired logs and counts the expiry of a field that the handler met and removed.
func (c *Ctx) FieldExpired(k *Key, field []byte) {
	c.fieldExpired(k, field)
	c.noteFieldsExpired(k)
}

// fieldExpired logs and counts the expiry of a field.
func (c *Ctx) fieldExpired(k *Key, field []byte) {
	was := c.cmdEffect
	c.Effect(hdelWord, k.Name, field)
	c.cmdEffect = was
	c.counts.expiredFields++
}

// noteFieldsExpired tells whom it concerns that a hash has changed.
func (c *Ctx) noteFieldsExpired(k *Key) {
	si := k.Shard.Index()
	if c.log != nil {
		c.changed = append(c.changed, change{si, k.Hash})
	}
	if rules := &c.Store.rules[si]; len(rules.watched) > 0 {
		rules.touch(c.DB, k.Name, true)
	}
}

func (c *Ctx) effectExpired(k *Key) {
	if c.Store.LazyExpire.Load() {
		c.Effect(unlinkWord, k.Name)
	} else {
		c.Effect(delWord, k.Name)
	}
}

var delWord, unlinkWord, hdelWord = []byte("DEL"), []byte("UNLINK"), []byte("HDEL")

// sawSlot makes the reply wait for the last write to the key, if that is not on the disk yet.
func (c *Ctx) sawSlot(k *Key) {
	r := &c.Store.rules[k.Shard.Index()]
	c.saw(max(r.recent[slotOf(k.Hash)], r.all))
}

func (c *Ctx) saw(off int64) {
	if off > c.safe && off > c.Gate {
		c.Gate = off
	}
}

// SawShard makes the reply wait for every write to a shard so far: for handlers that look at keys in bulk.
func (c *Ctx) SawShard(i int) {
	if c.gating {
		r := &c.Store.rules[i]
		c.saw(max(r.last, r.all))
	}
}

// SawAll is SawShard for all shards.
func (c *Ctx) SawAll() {
	if c.gating {
		c.saw(c.read.Reserved())
	}
}

// EnterShard locks shard i for a command of ScopeEach; within a block it is locked already. LeaveShard undoes it.
func (c *Ctx) EnterShard(i int) *keyspace.Shard {
	s := c.Store.KS.Shard(i)
	if !c.block {
		s.Lock()
		c.home = i
		c.snapshotLog()
	}
	c.SawShard(i)
	return s
}

// LeaveShard unlocks what EnterShard locked.
func (c *Ctx) LeaveShard(i int) {
	if !c.block {
		c.Store.KS.Shard(i).Unlock()
	}
}

// RemoveExpired removes a key of shard s, which EnterShard locked, if its time has come, and logs that by itself: it is for
// handlers that met the key on a walk. key must not be a view of the shard.
func (c *Ctx) RemoveExpired(s *keyspace.Shard, key []byte) {
	k := Key{Name: key, Hash: c.Store.KS.Hash(key), Shard: s}
	c.Peek(&k)
	if !c.block && c.effCount > 0 {
		// At once, while the shard is locked: what others write to the key must follow it in the log.
		c.finishEarly()
	}
}

// Expired reports whether the entry has outlived its expiry, for handlers that walk over entries.
func (c *Ctx) Expired(s *keyspace.Shard, r keyspace.Ref) bool {
	at := s.ExpireAt(r)
	return at != keyspace.NoExpire && at <= c.Now && !c.Replay && !c.Store.Loading.Load()
}

// ExpireDue removes up to limit keys and fields of hashes of shard i whose time has come, and logs that; it reports how many.
// stuck: there may be more, but the log takes nothing now (logStuck). It is the step of active expiry, for a Ctx of the server's own.
func (c *Ctx) ExpireDue(i, limit int) (n int, stuck bool) {
	n, stuck = c.expireDue(i, limit)
	c.serveLater()
	return n, stuck
}

func (c *Ctx) expireDue(i, limit int) (n int, stuck bool) {
	c.begin()
	s := c.Store.KS.Shard(i)
	s.Lock()
	defer s.Unlock()
	c.home = i
	c.snapshotLog()
	for n < limit {
		db, h, r := s.FirstExpired(c.Now)
		if r == 0 {
			break
		}
		if stuck = c.logStuck(i); stuck {
			break
		}
		c.keyBuf = append(c.keyBuf[:0], s.Key(r)...)
		c.DB = db
		c.expire(&Key{Name: c.keyBuf, Hash: h, Shard: s}, r)
		n++
	}
	c.finishEarly()
	for n < limit && !stuck {
		db, h, r := s.FirstFieldExpired(c.Now)
		if r == 0 {
			break
		}
		if stuck = c.logStuck(i); stuck {
			break
		}
		c.keyBuf = append(c.keyBuf[:0], s.Key(r)...)
		c.DB = db
		most := limit - n
		if c.log != nil {
			most = 1 // each is logged by itself, as in Redis, and may be as long as a field's name is
		}
		_, done := c.ExpireFields(&Key{Name: c.keyBuf, Hash: h, Shard: s}, r, most)
		if done == 0 {
			break // expiry is held
		}
		n += done
		c.finishEarly()
	}
	return n, stuck
}

// MayChange says whether a command that is no write, but MayReplicate, may change something on the side: on a replica it may not, nor while
// the log takes nothing.
func (c *Ctx) MayChange() bool {
	return c.Replay || !c.Store.Following.Load() && !c.logStuck(c.home)
}

// finishEarly is finish, before more is done under the same lock.
func (c *Ctx) finishEarly() {
	if c.effCount > 0 {
		c.finish()
	}
	c.effCount, c.eff, c.changed = 0, c.eff[:0], c.changed[:0]
}

// logStuck: nothing should be removed on the server's own account just now, because the shard's ring is full or the log refuses writes.
func (c *Ctx) logStuck(shard int) bool {
	return c.log != nil && (c.log.Err() != nil || !c.log.Room(shard))
}

// AccessClock is the access word of a key touched now: the LRU clock in seconds, or for LFU the decay minute and the counter.
func (c *Ctx) AccessClock() uint32 {
	if c.Store.LFU.Load() {
		return uint32(c.Now/60000)&0xffff<<8 | lfuInit
	}
	return uint32(c.Now/1000) & 0xffffff
}

const lfuInit = 5

func (c *Ctx) noteAccess(k *Key, r keyspace.Ref) {
	if !c.Store.LFU.Load() {
		k.Shard.SetAccess(r, uint32(c.Now/1000)&0xffffff)
		return
	}
	n := c.LFUCount(k.Shard.Access(r))
	k.Shard.SetAccess(r, uint32(c.Now/60000)&0xffff<<8|c.lfuIncrement(n))
}

// LFUCount is the counter of an LFU access word as it has decayed until now.
// https://redis.io/docs/latest/develop/reference/eviction/#lfu-eviction
func (c *Ctx) LFUCount(word uint32) uint32 {
	n := word & 0xff
	decay := c.Store.LFUDecayMinutes.Load()
	if decay <= 0 {
		return n
	}
	passed := (uint32(c.Now/60000) - word>>8) & 0xffff
	return n - min(n, passed/uint32(decay))
}

// lfuIncrement raises the counter with a probability that falls as it grows.
func (c *Ctx) lfuIncrement(n uint32) uint32 {
	if n == 255 {
		return n
	}
	base := float64(0)
	if n > lfuInit {
		base = float64(n - lfuInit)
	}
	p := 1 / (base*float64(c.Store.LFULogFactor.Load()) + 1)
	if float64(c.Rand()>>11)/(1<<53) < p {
		n++
	}
	return n
}

// RefCount is what OBJECT REFCOUNT and DEBUG OBJECT tell: 1, as no two keys share a value here, except that Redis shares the integers below 10,000 and shows the
// largest 32-bit number for them; test suites look at that. Store.OwnIntegers is its exception.
func (c *Ctx) RefCount(s *keyspace.Shard, r keyspace.Ref) int64 {
	if !c.Store.OwnIntegers.Load() && s.Type(r) == keyspace.String && s.Encoding(r) == keyspace.Int {
		if n, ok := ParseInt(s.Value(r)); ok && n >= 0 && n < 10000 {
			return 1<<31 - 1
		}
	}
	return 1
}

// IdleSeconds is how long ago an LRU access word was set.
func (c *Ctx) IdleSeconds(word uint32) int64 {
	return int64((uint32(c.Now/1000) - word) & 0xffffff)
}
