package command

import (
	"sync/atomic"
	"time"

	"tidemark/engine/keyspace"
	"tidemark/netio/resp"
)

// Blocking commands. A handler that finds nothing to take calls BlockOn and returns. The client then waits in a queue of each of its keys, in
// the order of arrival, whichever loop it is on. A command that changes such a key is followed, under the same locks and before anybody else
// sees the key, by the commands of those who wait for it, tried again one after the other until none of them finds anything: as
// if each of them had come just then. What they did is logged behind the change itself.
//
// For that the locks must reach as far as those commands do. A shard counts which shards the keys of its waiters are in (reach); a
// command that locks a shard with waiters locks those, too, before it begins.
//
// Whether a waiter is still there is settled by one compare-and-swap, between the loop that serves it and its own loop, where its time
// runs out or its connection closes.

// Waiting is what BlockOn wants to know.
type Waiting struct {
	// Keys to wait for; nil: all of the request's. The command's own keys must include them.
	Keys []Key
	// Type is what a key must hold for the command to be tried again.
	Type keyspace.Type
	// Gone: it is tried again also when a key is removed, or holds another type.
	Gone bool
	// TimeoutMs is how long to wait; 0: for ever.
	TimeoutMs int64
	// Args, if set, is tried in place of the request: what `$` meant when it came must not change. Copied.
	Args [][]byte
	// None writes the reply when there is nothing to be had: the time is up, or the command may not wait.
	None func(w *resp.Writer)
}

// Blocker is a client that can wait; the engine's sessions are.
type Blocker interface {
	// WaitForKeys holds the client until Serve, or until its time is up. It is called within a handler, with shards locked, on the client's loop.
	WaitForKeys(w *KeyWaiter, timeoutMs int64)
	// Serve hands over the reply that ends the wait, as it stands in the client's protocol; gate and wrote are as in Ctx. Any goroutine.
	Serve(w *KeyWaiter, reply []byte, gate, wrote int64)
	// TimeUp ends a wait that would have ended while the client was being tried. Any goroutine.
	TimeUp(w *KeyWaiter)
}

// KeyWaiter is a client that waits for keys.
type KeyWaiter struct {
	client  Blocker
	cmd     *Descriptor
	args    [][]byte
	db      int
	resp3   bool
	noTouch bool
	typ     keyspace.Type
	gone    bool
	none    func(w *resp.Writer)
	places  []place
	shards  []int // of the keys, each once
	state   atomic.Uint32
	late    atomic.Bool // its time was up while it was being tried
}

// place is a KeyWaiter's place in the queue of one of its keys. Whoever looks at more than w and key has the key's shard locked.
type place struct {
	w          *KeyWaiter
	key        Key
	queue      *keyQueue // nil once it has left
	prev, next *place
}

// States of a KeyWaiter.
const (
	stateWaits uint32 = iota
	stateTried        // another loop runs its command
	stateEnded
)

// keyQueue is the waiters for a key in order of arrival.
type keyQueue struct {
	id          watchKey
	first, last *place
	gone        int  // how many of them set Waiting.Gone
	ready       *Ctx // in whose ready it is
}

// waitQueues is what a shard has of them; nil while nobody waits.
type waitQueues struct {
	queues map[watchKey]*keyQueue
	reach  map[int]int // by shard, how many keys there are waited for together with one of this shard
}

// BlockOn lets the client wait. The handler must have replied nothing, and returns at once. Where nothing may wait (EXEC, scripts, replay) the
// reply is that of a wait in vain.
func (c *Ctx) BlockOn(o Waiting) {
	if c.trying != nil {
		c.again = true
		return
	}
	b, ok := c.Client.(Blocker)
	if !ok || c.block || c.Replay {
		o.None(c.W)
		return
	}
	keys := o.Keys
	if keys == nil {
		keys = c.Keys
	}
	args := o.Args
	if args == nil {
		args = c.Args
	}
	w := &KeyWaiter{client: b, cmd: c.Cmd, db: c.DB, resp3: c.W.RESP3, noTouch: c.NoTouch, typ: o.Type, gone: o.Gone, none: o.None}
	for _, a := range args {
		w.args = append(w.args, append([]byte(nil), a...))
	}
	for i := range c.Keys { // also those it does not wait for, but needs
		w.addShard(c.Keys[i].Shard.Index())
	}
	w.places = make([]place, len(keys))
	n := 0
	for i := range keys {
		k := &keys[i]
		w.places[n] = place{w: w, key: Key{append([]byte(nil), k.Name...), k.Hash, k.Shard, k.Arg}}
		if c.Store.enqueue(&w.places[n]) {
			n++
		}
	}
	w.places = w.places[:n]
	b.WaitForKeys(w, o.TimeoutMs)
}

func (w *KeyWaiter) addShard(i int) {
	for _, s := range w.shards {
		if s == i {
			return
		}
	}
	w.shards = append(w.shards, i)
}

// enqueue puts a waiter into the queue of a key, whose shard is locked. False: the key was named twice, and it is there already.
func (st *Store) enqueue(p *place) bool {
	r := &st.rules[p.key.Shard.Index()]
	if r.waiting == nil {
		r.waiting = &waitQueues{map[watchKey]*keyQueue{}, map[int]int{}}
	}
	id := watchKey{p.w.db, string(p.key.Name)}
	q := r.waiting.queues[id]
	switch {
	case q == nil:
		q = &keyQueue{id: id, first: p}
		r.waiting.queues[id] = q
		st.waitedKeys.Add(1)
	case q.last.w == p.w: // nobody has come since
		return false
	default:
		q.last.next, p.prev = p, q.last
	}
	q.last, p.queue = p, q
	if p.w.gone {
		if q.gone++; q.gone == 1 {
			st.waitedGone.Add(1)
		}
	}
	st.waiters.Add(1)
	for _, i := range p.w.shards {
		r.waiting.reach[i]++
	}
	return true
}

// dequeue takes a waiter out of the queue of a key, whose shard is locked.
func (st *Store) dequeue(p *place) {
	q := p.queue
	if p.queue = nil; p.prev != nil {
		p.prev.next = p.next
	} else {
		q.first = p.next
	}
	if p.next != nil {
		p.next.prev = p.prev
	} else {
		q.last = p.prev
	}
	if p.w.gone {
		if q.gone--; q.gone == 0 {
			st.waitedGone.Add(-1)
		}
	}
	st.waiters.Add(-1)
	r := &st.rules[p.key.Shard.Index()]
	for _, i := range p.w.shards {
		if r.waiting.reach[i]--; r.waiting.reach[i] == 0 {
			delete(r.waiting.reach, i)
		}
	}
	if q.first == nil {
		st.waitedKeys.Add(-1)
		if delete(r.waiting.queues, q.id); len(r.waiting.queues) == 0 {
			r.waiting = nil
		}
	}
}

// WaitedKeys is how many keys clients wait for, and how many of them for being removed, too (Waiting.Gone).
func (st *Store) WaitedKeys() (all, gone int64) { return st.waitedKeys.Load(), st.waitedGone.Load() }

// Waiters is how many keys clients wait for, each client's counted.
func (st *Store) Waiters() int64 { return st.waiters.Load() }

// End claims the end of a wait for the client's own loop: from then on nobody serves it. False: it is being served, and Serve or TimeUp
// follows, or has been.
func (w *KeyWaiter) End() bool {
	if w.state.CompareAndSwap(stateWaits, stateEnded) {
		return true
	}
	w.late.Store(true)
	// It may have been put back just before it could see that.
	return w.state.CompareAndSwap(stateWaits, stateEnded)
}

// Command is what the client waits with.
func (w *KeyWaiter) Command() *Descriptor { return w.cmd }

// None writes the reply of a wait in vain.
func (w *KeyWaiter) None(out *resp.Writer) { w.none(out) }

// Leave takes the client out of its keys' queues, when End has said true or the connection has closed. No shard is locked.
func (st *Store) Leave(w *KeyWaiter) {
	for i := range w.places {
		p := &w.places[i]
		p.key.Shard.Lock()
		if p.queue != nil {
			st.dequeue(p)
		}
		p.key.Shard.Unlock()
	}
}

// noteReady has the waiters for a key that has changed tried when the command is over. The key's shard is locked.
func (c *Ctx) noteReady(r *shardRules, name []byte) {
	if q := r.waiting.queues[watchKey{c.DB, string(name)}]; q != nil && q.ready != c {
		q.ready = c
		c.ready = append(c.ready, q)
	}
}

// ReadyDB has the waiters for all keys of a database tried: it was emptied, or exchanged for another. All shards are locked.
func (c *Ctx) ReadyDB(db int) {
	for i := range c.Store.rules {
		r := &c.Store.rules[i]
		if r.waiting == nil {
			continue
		}
		for id, q := range r.waiting.queues {
			if id.db == db && q.ready != c {
				q.ready = c
				c.ready = append(c.ready, q)
			}
		}
	}
}

// cover makes the locks reach as far as the commands of waiters that may be tried. It reports whether it had to unlock for that.
func (c *Ctx) cover() bool {
	// Whoever waits in a shard that is locked was counted before it was.
	if c.Store.waiters.Load() == 0 {
		return false
	}
	missing := false
	for i := range c.Store.rules {
		if c.locked[i>>6]>>(i&63)&1 == 0 || c.Store.rules[i].waiting == nil {
			continue
		}
		for j := range c.Store.rules[i].waiting.reach {
			if c.locked[j>>6]>>(j&63)&1 == 0 {
				c.more[j>>6] |= 1 << (j & 63)
				missing = true
			}
		}
	}
	if !missing {
		return false
	}
	for i, m := range c.locked {
		c.more[i] |= m
	}
	c.unlock()
	copy(c.locked, c.more)
	clear(c.more)
	c.lockMarked()
	return true
}

// tried is a waiter whose command has been executed.
type tried struct {
	w     *KeyWaiter
	reply []byte
}

// serveReady tries the waiters for the keys that have changed. Their shards are locked, and what the waiters need besides.
func (c *Ctx) serveReady() {
	if len(c.ready) == 0 {
		return
	}
	c.spill()
	if c.block && !c.Replay { // a transaction may have taken its time
		now := c.Now
		c.Now = max(now, time.Now().UnixMilli())
		defer func() { c.Now = now }()
	}
	for len(c.ready) > 0 {
		q := c.ready[0]
		c.ready = c.ready[1:]
		q.ready = nil
		name := []byte(q.id.key)
		k := c.Store.MakeKey(name)
		// The next is taken first: who is served leaves. Nobody else does meanwhile, and nobody comes.
		for p, next := q.first, (*place)(nil); p != nil; p = next {
			w := p.w
			next = p.next
			r := k.Shard.Find(q.id.db, k.Hash, k.Name)
			if r != 0 && c.Expired(k.Shard, r) { // whoever looks next removes it
				r = 0
			}
			fits := r != 0 && k.Shard.Type(r) == w.typ
			if !fits && !w.gone {
				if r == 0 && q.gone == 0 {
					break // nothing is left
				}
				continue
			}
			if w.state.CompareAndSwap(stateWaits, stateTried) {
				c.try(w)
			}
		}
	}
	c.ready = nil
}

// try runs the command of a waiter.
func (c *Ctx) try(w *KeyWaiter) {
	save := *c.present()
	block := c.block
	out := &resp.Writer{RESP3: w.resp3}
	c.Cmd, c.Args, c.Raw, c.W, c.DB, c.Client, c.NoTouch = w.cmd, w.args, nil, out, w.db, w.client, w.noTouch
	c.block = true // its effects stand behind those there are
	c.trying, c.again = w, false
	c.findKeys()
	c.call()
	c.trying, c.block = nil, block
	again := c.again
	save.restore(c)
	if !again {
		w.state.Store(stateEnded)
		for i := range w.places {
			c.Store.dequeue(&w.places[i])
		}
		c.served = append(c.served, tried{w, out.B})
		return
	}
	w.state.Store(stateWaits)
	if w.late.Load() && w.state.CompareAndSwap(stateWaits, stateEnded) {
		w.client.TimeUp(w)
	}
}

// Trying reports whether the command is that of a client that waited: BlockOn would let it go on waiting.
func (c *Ctx) Trying() bool { return c.trying != nil }

// present is what of a Ctx is the present command's.
type present struct {
	cmd     *Descriptor
	args    [][]byte
	raw     []byte
	w       *resp.Writer
	db      int
	client  any
	noTouch bool
	keys    []Key
}

func (c *Ctx) present() *present {
	p := &present{c.Cmd, c.Args, c.Raw, c.W, c.DB, c.Client, c.NoTouch, c.Keys}
	c.Keys = nil
	return p
}

func (p *present) restore(c *Ctx) {
	c.Cmd, c.Args, c.Raw, c.W, c.DB, c.Client, c.NoTouch, c.Keys = p.cmd, p.args, p.raw, p.w, p.db, p.client, p.noTouch, p.keys
}

// spill makes the effect that was to be the only one the first of several.
func (c *Ctx) spill() {
	p := c.direct
	if p == nil {
		return
	}
	c.direct = nil
	if len(c.eff) > 0 && len(p) > 0 && &c.eff[0] == &p[0] { // it was made there
		c.effCount, c.effFirst, c.effDB = 1, c.DB, c.DB
		return
	}
	c.effectHeader()
	c.eff = append(c.eff, p...)
}

// deliver hands the replies over, once it is known what they wait for. No shard need be locked.
func (c *Ctx) deliver() {
	for _, t := range c.served {
		t.w.client.Serve(t.w, t.reply, c.Gate, c.Wrote)
	}
	c.served = c.served[:0]
}

// serveLater tries the waiters for keys that went while only their own shard was locked (expiry, eviction). No shard is locked.
func (c *Ctx) serveLater() {
	later := c.ready
	c.ready = nil
	for _, q := range later {
		c.AtomicallyKeys([][]byte{[]byte(q.id.key)}, nil, func() { c.ready = append(c.ready, q) })
	}
}
