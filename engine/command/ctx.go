package command

import (
	"math/bits"
	"math/rand/v2"
	"strconv"

	"tidemark/aof"
	"tidemark/engine/keyspace"
	"tidemark/netio/resp"
)

// Ctx runs commands, one at a time, and is what a handler sees. There is one per event loop, one for replay, one per
// background task; it is reused, so nothing in it may be kept by a handler. Not safe for concurrent use.
//
// A handler reads with Find, changes with the keyspace's methods on Key.Shard, and reports each changed key with Changed. It
// never logs by itself unless the request does not reproduce its effect: then it calls Effect.
type Ctx struct {
	Store *Store
	Cmd   *Descriptor
	Args  [][]byte     // the request, the command's name first; borrowed until the handler returns
	Raw   []byte       // its bytes as received, or nil
	W     *resp.Writer // where the reply goes
	DB    int
	Now   int64 // Unix ms; constant for a command, and for a whole EXEC
	Keys  []Key // the request's keys in the order of the specification; their shards are locked

	Client  any  // the engine's session; nil for background work
	NoTouch bool // CLIENT NO-TOUCH
	Replay  bool // effects from the log: nothing is logged, nothing expires by the clock

	Random func() uint64 // what Rand gives; nil: the runtime's random numbers. It is for tests.

	// Gate is the log offset the replies written so far must wait for: until it is synced under appendfsync always, until it is
	// appended otherwise. The caller takes and clears it. 0: none.
	Gate int64
	// Wrote is the log offset of the end of the last effect; the caller takes and clears it, and sees to it that the log is
	// committed. 0: none.
	Wrote int64

	log       *aof.Log // where effects go; nil: they are not logged
	read      *aof.Log // whose watermarks replies wait for
	gating    bool
	safe      int64    // what is synced, or appended: replies that show no more wait for nothing
	locked    []uint64 // a bit for each shard
	home      int      // the lowest locked shard, whose ring takes the effects
	block     bool     // within Atomically
	changes   int64
	total     int64 // changes of the whole block
	logAnyway bool  // the present command is logged though nothing changed

	eff       []byte // effects so far, as they will stand in the log
	effCount  int
	effDB     int    // database of the last of them
	effFirst  int    // and of the first
	cmdEffect bool   // the present command gave its own effect
	direct    []byte // the effect is these bytes alone
	noRoom    bool   // a handler of ScopeOwn found the ring full
	changed   []change
	allChange bool
	pos       []KeyPos
	keyBuf    []byte
	scratch   []byte
	words     [][]byte // of Words
	digits    [2][20]byte

	// Of blocking commands: see block.go.
	ready  []*keyQueue // of keys that have changed
	served []tried
	trying *KeyWaiter // whose command is being executed
	again  bool       // it found nothing
	more   []uint64   // like locked

	counts counters
}

type change struct {
	shard int
	hash  uint64
}

// NewCtx returns a Ctx on a store; table sizes its counters.
func NewCtx(st *Store, t *Table) *Ctx {
	words := (st.KS.NumShards() + 63) / 64
	c := &Ctx{Store: st, W: &resp.Writer{}, locked: make([]uint64, words), more: make([]uint64, words)}
	c.counts.init(st, t)
	return c
}

// Run executes Cmd with Args under its locks, and appends its effects to the log. False: the ring has no room; nothing was
// executed and nothing written, try again when the log made room.
func (c *Ctx) Run() bool {
	var k Key
	if at := c.Cmd.SoleKey(c.Args); at > 0 {
		k = c.Store.MakeKey(c.Args[at])
		k.Arg = at
	}
	return c.RunAt(&k)
}

// RunAt is Run for a command whose only key (Descriptor.SoleKey) was located before; k.Name is nil when it has no such key.
func (c *Ctx) RunAt(k *Key) bool {
	d := c.Cmd
	if c.block {
		c.findKeys()
		c.call()
		return true
	}
	if d.Scope == ScopeOwn {
		c.noRoom = false
		t := c.counts.start(d)
		d.Handler(c)
		c.counts.stop(d, t)
		return !c.noRoom
	}
	c.begin()
	if k.Name != nil && d.Scope == ScopeKeys {
		s := k.Shard
		si := s.Index()
		c.Keys = append(c.Keys[:0], *k)
		s.Lock()
		if c.Store.rules[si].waiting == nil || d.Flags&Write == 0 {
			c.home = si
			ok := c.enter()
			if ok {
				c.call()
				c.finish()
			}
			s.Unlock()
			if len(c.ready) > 0 {
				c.serveLater()
			}
			return ok
		}
		s.Unlock() // whoever waits there may need more shards
	}
	c.findKeys()
	c.lockKeys(d)
	writes := d.Flags&Write != 0
	if writes {
		for c.cover() {
		}
	}
	ok := c.enter()
	if ok {
		c.call()
		if writes {
			c.serveReady()
		}
		c.finish()
	}
	c.unlock()
	c.deliver()
	if len(c.ready) > 0 {
		c.serveLater()
	}
	return ok
}

// RunOn is Run within Exclusively or Follow, for a command whose only key (Descriptor.SoleKey) was located before.
func (c *Ctx) RunOn(k *Key) {
	c.Keys = append(c.Keys[:0], *k)
	c.call()
}

// Queued is one command of a block.
type Queued struct {
	Cmd  *Descriptor
	Args [][]byte
	Raw  []byte
}

// NoRoom is how a handler of ScopeOwn says that Atomically found no room: its request will be tried again.
func (c *Ctx) NoRoom() { c.noRoom = true }

// InBlock reports whether the command runs within Atomically (EXEC).
func (c *Ctx) InBlock() bool { return c.block }

// Atomically locks the shards of all commands and of the keys in extra, calls run, which sets Cmd, Args, Raw and calls Run for each, and appends their
// effects as one block. before is called once the locks are held; when it says false the block is dropped. ok is
// false when the ring has no room: nothing was executed.
func (c *Ctx) Atomically(cmds []Queued, extra [][]byte, before func() bool, run func()) (ok bool) {
	c.begin()
	clear(c.locked)
	all := false
	writes := false
	for i := range cmds {
		q := &cmds[i]
		if q.Cmd.Scope != ScopeKeys || q.Cmd.needsAll(q.Args) {
			all = true
		}
		if q.Cmd.Flags&Write != 0 {
			writes = true
		}
		c.pos, _ = q.Cmd.KeyPositions(q.Args, c.pos[:0])
		for _, p := range c.pos {
			c.addLock(q.Args[p.Arg])
		}
	}
	for _, k := range extra {
		c.addLock(k)
	}
	return c.lockedBlock(all, writes, before, run)
}

// AtomicallyKeys is Atomically for keys instead of commands: for work that is not a request.
func (c *Ctx) AtomicallyKeys(keys [][]byte, before func() bool, run func()) (ok bool) {
	c.begin()
	clear(c.locked)
	for _, k := range keys {
		c.addLock(k)
	}
	return c.lockedBlock(false, true, before, run)
}

// Exclusively locks every shard and calls run, which sets Cmd and Args and calls Run any number of times: replay, where taking a lock
// for each command would make it wait for the cache misses before it.
func (c *Ctx) Exclusively(run func()) {
	c.begin()
	c.lockedBlock(true, false, nil, run)
}

// OnShards is Exclusively for the shards first, first+step, first+2*step and so on: several Ctx may replay beside each other, each on its own
// shards. run may execute nothing but commands of one key, and there must be no Waiters.
func (c *Ctx) OnShards(first, step int, run func()) {
	c.begin()
	for i := first; i < c.Store.KS.NumShards(); i += step {
		c.locked[i>>6] |= 1 << (i & 63)
	}
	c.lockedBlock(false, false, nil, run)
}

// Follow locks every shard and calls run, which executes effects of another server's stream by Run and RunOn and puts them into the log; end is
// the log offset of their end. Replies that show what they changed wait for that offset. Only for a Ctx with Replay set.
func (c *Ctx) Follow(run func() (end int64)) {
	c.begin()
	c.lockAll()
	end := c.follow(run)
	gate, wrote := c.Gate, c.Wrote
	c.Gate, c.Wrote = end, 0
	c.deliver()
	c.Gate, c.Wrote = gate, wrote
}

func (c *Ctx) follow(run func() (end int64)) (end int64) {
	defer c.unlock()
	c.block = true
	end = run()
	c.serveReady()
	c.block = false
	c.counts.dirty += c.total
	c.stamp(end)
	if cap(c.changed) > maxChanged {
		c.changed = nil
	}
	return end
}

// maxChanged bounds the memory for changed keys that a Ctx keeps between commands.
const maxChanged = 1 << 16

func (c *Ctx) addLock(key []byte) {
	si := c.Store.KS.ShardIndex(c.Store.KS.Hash(key))
	c.locked[si>>6] |= 1 << (si & 63)
}

func (c *Ctx) lockedBlock(all, writes bool, before func() bool, run func()) bool {
	if all {
		c.lockAll()
	} else {
		c.lockMarked()
	}
	if writes {
		for c.cover() {
		}
	}
	ok := c.runBlock(writes, writes || all, before, run)
	c.deliver()
	if len(c.ready) > 0 {
		c.serveLater()
	}
	return ok
}

// runBlock is lockedBlock under the locks, which it lets go. With serve they reach as far as waiters' commands do.
func (c *Ctx) runBlock(writes, serve bool, before func() bool, run func()) bool {
	defer c.unlock()
	c.snapshotLog()
	if writes && !c.room() {
		return false
	}
	if before != nil && !before() {
		return true
	}
	c.block = true
	run()
	if serve {
		c.serveReady()
	}
	c.block = false
	c.finish()
	return true
}

func (c *Ctx) begin() {
	c.total, c.effCount, c.eff, c.direct = 0, 0, c.eff[:0], nil
	c.home = -1
	c.changed = c.changed[:0]
	c.allChange = false
}

// findKeys fills Keys from the specification.
func (c *Ctx) findKeys() {
	c.Keys = c.Keys[:0]
	if len(c.Cmd.Keys) == 0 {
		return
	}
	c.pos, _ = c.Cmd.KeyPositions(c.Args, c.pos[:0])
	for _, p := range c.pos {
		name := c.Args[p.Arg]
		h := c.Store.KS.Hash(name)
		c.Keys = append(c.Keys, Key{name, h, c.Store.KS.Shard(c.Store.KS.ShardIndex(h)), p.Arg})
	}
}

func (c *Ctx) lockKeys(d *Descriptor) {
	if d.needsAll(c.Args) {
		c.lockAll()
		return
	}
	clear(c.locked)
	for i := range c.Keys {
		si := c.Keys[i].Shard.Index()
		c.locked[si>>6] |= 1 << (si & 63)
	}
	c.lockMarked()
}

func (c *Ctx) lockAll() {
	n := c.Store.KS.NumShards()
	for i := 0; i < n; i++ {
		c.locked[i>>6] |= 1 << (i & 63)
	}
	c.lockMarked()
}

func (c *Ctx) lockMarked() {
	c.home = -1
	for w, m := range c.locked {
		for ; m != 0; m &= m - 1 {
			i := w<<6 + bits.TrailingZeros64(m)
			if c.home < 0 {
				c.home = i
			}
			c.Store.KS.Shard(i).Lock()
		}
	}
}

func (c *Ctx) unlock() {
	for w, m := range c.locked {
		for ; m != 0; m &= m - 1 {
			c.Store.KS.Shard(w<<6 + bits.TrailingZeros64(m)).Unlock()
		}
		c.locked[w] = 0
	}
}

// snapshotLog reads the log switch under the locks, so that SetLog under all locks is a clean cut.
func (c *Ctx) snapshotLog() {
	c.log, c.gating = nil, false
	if c.Replay {
		return
	}
	log := c.Store.log.Load()
	if c.read = log; log == nil {
		return
	}
	if !c.Store.Following.Load() {
		c.log = log
	}
	c.gating = true
	if c.Store.gating.Load() {
		c.safe = log.Synced()
	} else {
		c.safe = log.Appended()
	}
}

// enter is the last check before a command executes.
func (c *Ctx) enter() bool {
	c.snapshotLog()
	return c.Cmd.Flags&Write == 0 || c.room()
}

// room reports whether the log has room for effects. A write that names no key locks no shard and can only fail.
func (c *Ctx) room() bool { return c.log == nil || c.home < 0 || c.log.Room(c.home) }

// call runs the handler and settles how its changes stand in the log.
func (c *Ctx) call() {
	c.changes, c.cmdEffect, c.logAnyway = 0, false, false
	if c.trying != nil { // counted when it came
		c.Cmd.Handler(c)
	} else {
		t := c.counts.start(c.Cmd)
		c.Cmd.Handler(c)
		c.counts.stop(c.Cmd, t)
	}
	c.total += c.changes
	if c.changes == 0 && !c.logAnyway || c.log == nil || c.cmdEffect || c.Cmd.Log != LogRequest {
		return
	}
	if !c.block && c.effCount == 0 {
		if c.direct = c.Raw; c.direct == nil {
			c.eff = appendCommand(c.eff[:0], c.Args)
			c.direct = c.eff
		}
		return
	}
	c.effectHeader()
	if c.Raw != nil {
		c.eff = append(c.eff, c.Raw...)
	} else {
		c.eff = appendCommand(c.eff, c.Args)
	}
}

// finish appends the effects while the locks are still held, and stamps the changed keys with their offset.
func (c *Ctx) finish() {
	c.counts.dirty += c.total
	for i := range c.changed {
		if at := c.Store.KS.Shard(c.changed[i].shard).NextExpiry(); at != keyspace.NoExpire {
			c.Store.LowerNextExpiry(at)
		}
	}
	if c.log == nil {
		return
	}
	db, p := c.DB, c.direct
	if p == nil {
		if c.effCount == 0 {
			return
		}
		if db, p = c.effFirst, c.eff; c.effCount > 1 {
			p = c.wrap()
		}
	}
	end := c.log.Append(c.home, db, p)
	c.Wrote = end
	if c.gating {
		c.Gate = end
	}
	c.stamp(end)
}

// stamp notes the offset of the end of the changed keys' last write.
func (c *Ctx) stamp(end int64) {
	for _, ch := range c.changed {
		r := &c.Store.rules[ch.shard]
		r.recent[slotOf(ch.hash)] = end
		r.last = end
	}
	if c.allChange {
		for i := range c.Store.rules {
			r := &c.Store.rules[i]
			r.all, r.last = end, end
		}
	}
}

func slotOf(h uint64) uint64 { return h >> 24 % recentSlots }

var (
	multiBytes = []byte("*1\r\n$5\r\nMULTI\r\n")
	execBytes  = []byte("*1\r\n$4\r\nEXEC\r\n")
)

// wrap puts MULTI and EXEC around the effects, and leaves the log in the database it said it is in.
func (c *Ctx) wrap() []byte {
	if c.effDB != c.effFirst {
		c.eff = appendSelect(c.eff, c.effFirst)
	}
	n := len(c.eff)
	c.eff = append(c.eff, multiBytes...)
	copy(c.eff[len(multiBytes):], c.eff[:n])
	copy(c.eff, multiBytes)
	c.eff = append(c.eff, execBytes...)
	return c.eff
}

func appendSelect(b []byte, db int) []byte {
	var a [8]byte
	return appendCommand(b, [][]byte{[]byte("SELECT"), strconv.AppendInt(a[:0], int64(db), 10)})
}

// effectHeader accounts for one more effect in the present database.
func (c *Ctx) effectHeader() {
	if c.effCount == 0 {
		c.effFirst = c.DB
	} else if c.effDB != c.DB {
		c.eff = appendSelect(c.eff, c.DB)
	}
	c.effDB = c.DB
	c.effCount++
}

// Rand gives random 64-bit numbers.
func (c *Ctx) Rand() uint64 {
	if c.Random != nil {
		return c.Random()
	}
	return rand.Uint64()
}

// Shard returns the shard of that index; the command's scope must have locked it.
func (c *Ctx) Shard(i int) *keyspace.Shard { return c.Store.KS.Shard(i) }
