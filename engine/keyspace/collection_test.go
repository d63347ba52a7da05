package keyspace

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"tidemark/engine/keyspace/coll"
	"tidemark/engine/keyspace/intset"
	"tidemark/engine/keyspace/packed"
)

// The model of collections: what each key holds, as Go values. Members are long at times, so that collections cross the
// size from which on they have a heap of their own, in both directions.

type collModel struct {
	Type  Type
	At    int64
	Elems map[string]float64 // of sets and sorted sets; what is pending in a stream's group
	List  []string           // of lists, and a stream's entries
	Bytes []byte             // of small collections and strings
}

func (m collModel) clone() collModel {
	m.Elems, m.List, m.Bytes = maps.Clone(m.Elems), slices.Clone(m.List), bytes.Clone(m.Bytes)
	return m
}

func (m collModel) same(o collModel) bool {
	return m.Type == o.Type && m.At == o.At && maps.Equal(m.Elems, o.Elems) && slices.Equal(m.List, o.List) && bytes.Equal(m.Bytes, o.Bytes)
}

// readColl reads an entry of a live keyspace or of a snapshot.
func readColl(s *Shard, r Ref) collModel {
	m := collModel{Type: s.Type(r), At: s.ExpireAt(r)}
	if !s.Encoding(r).IsRoot() {
		m.Bytes = bytes.Clone(s.Value(r))
		return m
	}
	c := s.Open(r)
	switch m.Type {
	case List:
		var buf [20]byte
		l := coll.List{Mem: &c}
		var p coll.Place
		for ok := l.Seek(&p, 0); ok; ok = l.Next(&p) {
			m.List = append(m.List, string(p.Text(&buf)))
		}
	case Stream:
		m.Elems = map[string]float64{}
		st := coll.Stream{Mem: &c}
		var p coll.StreamPlace
		var f, v [20]byte
		for ok := st.Seek(&p, coll.StreamID{}); ok; ok = st.Next(&p) {
			w := p.Fields()
			_, val, _ := w.Next(&f, &v)
			m.List = append(m.List, fmt.Sprintf("%d %s", p.ID.Ms, val))
		}
		if g, ok := st.FindGroup([]byte("g")); ok {
			var q coll.PendingPlace
			for ok := g.Seek(&q, coll.StreamID{}); ok; ok = g.Next(&q) {
				m.Elems[fmt.Sprint(q.ID.Ms)] = float64(q.Delivered)
			}
		}
	case Set:
		m.Elems = map[string]float64{}
		d := coll.Dict{Mem: &c}
		for cursor, first := uint64(0), true; first || cursor != 0; first = false {
			cursor = d.Scan(cursor, func(r Ref) { m.Elems[string(coll.KeyOf(c.Space, r))] = 0 })
		}
	case ZSet:
		m.Elems = map[string]float64{}
		t := coll.Tree{Mem: &c, Tie: coll.TieKey}
		var p coll.Pos
		for t.First(&p); p.Valid(); t.Next(&p) {
			r := p.Item().Ref()
			m.Elems[string(coll.KeyOf(c.Space, r))] = coll.ScoreOf(c.Space, r)
		}
	}
	return m
}

type collWorld struct {
	t   *testing.T
	ks  *Keyspace
	m   map[modelKey]collModel
	rnd *rand.Rand
	dbs int
	n   int // keys
}

func (w *collWorld) member() []byte {
	n := w.rnd.IntN(5000)
	e := fmt.Append(nil, "member:", n)
	switch w.rnd.IntN(60) {
	case 0:
		return append(e, bytes.Repeat([]byte("x"), 10000+n*10)...)
	case 1, 2, 3, 4:
		return append(e, bytes.Repeat([]byte("y"), n)...)
	}
	return e
}

func (w *collWorld) find(k modelKey) (*Shard, uint64, Ref) {
	h := w.ks.Hash([]byte(k.key))
	s := w.ks.Shard(w.ks.ShardIndex(h))
	return s, h, s.Find(k.db, h, []byte(k.key))
}

func (w *collWorld) key() modelKey {
	return modelKey{w.rnd.IntN(w.dbs), fmt.Sprint("key", w.rnd.IntN(w.n))}
}

// add puts elements into an open collection and its model.
func (w *collWorld) add(s *Shard, c *Coll, m *collModel, n int) {
	for range n {
		e := w.member()
		h := w.ks.Hash(e)
		switch d := c.Dict(); m.Type {
		case List:
			if w.rnd.IntN(2) == 0 {
				c.List(coll.ListRules{Fill: -2}).PushHead(e)
				m.List = slices.Insert(m.List, 0, string(e))
			} else {
				c.List(coll.ListRules{Fill: -2}).PushTail(e)
				m.List = append(m.List, string(e))
			}
		case Stream:
			w.addEntry(c.Stream(), m, e)
		case Set:
			if _, ok := m.Elems[string(e)]; !ok {
				d.Insert(h, d.NewElem(coll.Member, e, nil, 0))
				m.Elems[string(e)] = 0
			}
		case ZSet:
			if _, ok := m.Elems[string(e)]; !ok {
				score := float64(w.rnd.IntN(50))
				r := d.NewElem(coll.Scored, e, nil, math.Float64bits(score))
				d.Insert(h, r)
				t, p := c.Members(), coll.Probe{Key: coll.ScoreKey(score), Tie: e}
				t.Insert(&p, coll.NewItem(p.Key, r, 1))
				m.Elems[string(e)] = score
			}
		}
		s.Relieve(c)
	}
}

// addEntry adds an entry to a stream, and has it pending at times.
func (w *collWorld) addEntry(st coll.Stream, m *collModel, val []byte) {
	id, _ := st.Head().Last.Next()
	id.Ms, id.Seq = id.Ms+1, 0
	st.Append(id, [][]byte{[]byte("field"), val}, 4096, 100)
	m.List = append(m.List, fmt.Sprintf("%d %s", id.Ms, val))
	if w.rnd.IntN(3) > 0 {
		return
	}
	g, ok := st.EditGroup([]byte("g"))
	if !ok {
		g = st.AddGroup([]byte("g"), coll.StreamID{}, 0)
	}
	who := fmt.Append(nil, "consumer", w.rnd.IntN(3))
	c, ok := g.EditConsumer(who)
	if !ok {
		c = g.AddConsumer(who, 1, 1)
	}
	at := w.rnd.Int64N(1000)
	g.Deliver(id, &c, at, 1)
	m.Elems[fmt.Sprint(id.Ms)] = float64(at)
}

// removeEntries takes entries out of a stream, and what is pending of some.
func (w *collWorld) removeEntries(st coll.Stream, m *collModel, n int) {
	if n = min(n, len(m.List)); w.rnd.IntN(2) == 0 {
		st.Trim(&coll.StreamTrim{MaxLen: uint64(len(m.List) - n)})
		m.List = m.List[n:]
	}
	for range min(n, 30, len(m.List)) {
		i := w.rnd.IntN(len(m.List))
		var ms uint64
		fmt.Sscan(m.List[i], &ms)
		if !st.Delete(coll.StreamID{Ms: ms}) {
			w.t.Fatalf("entry %d is lost", ms)
		}
		m.List = slices.Delete(slices.Clone(m.List), i, i+1)
	}
	if g, ok := st.EditGroup([]byte("g")); ok {
		for id := range m.Elems {
			if n--; n < 0 {
				return
			}
			var ms uint64
			fmt.Sscan(id, &ms)
			if !g.Ack(coll.StreamID{Ms: ms}) {
				w.t.Fatalf("what is pending of %d is lost", ms)
			}
			delete(m.Elems, id)
		}
	}
}

// remove takes elements out.
func (w *collWorld) remove(c *Coll, m *collModel, n int) {
	if m.Type == Stream {
		w.removeEntries(c.Stream(), m, n)
		return
	}
	if m.Type == List {
		n = min(n, len(m.List))
		if w.rnd.IntN(2) == 0 {
			c.List(coll.ListRules{Fill: -2}).DropHead(uint64(n))
			m.List = m.List[n:]
		} else {
			c.List(coll.ListRules{Fill: -2}).DropTail(uint64(n))
			m.List = m.List[:len(m.List)-n]
		}
		return
	}
	for e := range m.Elems {
		if n--; n < 0 {
			return
		}
		d, h := c.Dict(), w.ks.Hash([]byte(e))
		r := d.Find(h, []byte(e))
		if m.Type == ZSet {
			t, p := c.Members(), coll.Probe{Key: coll.ScoreKey(m.Elems[e]), Tie: []byte(e)}
			var pos coll.Pos
			t.Seek(&pos, &p)
			t.Delete(&pos)
		}
		d.Remove(h, r)
		delete(m.Elems, e)
	}
}

func (w *collWorld) many() int { return []int{1, 3, 30, 300, 900}[w.rnd.IntN(5)] }

func (w *collWorld) expiry() int64 {
	if w.rnd.IntN(2) == 0 {
		return NoExpire
	}
	return int64(w.rnd.IntN(1000000))
}

func (w *collWorld) step() {
	k := w.key()
	s, h, r := w.find(k)
	m, ok := w.m[k]
	if ok != (r != 0) {
		w.t.Fatalf("%v: found %v, in the model %v", k, r != 0, ok)
	}
	switch op := w.rnd.IntN(100); {
	case op < 12: // a new collection in the place of whatever is there
		n := collModel{Type: []Type{List, Set, ZSet, Stream}[w.rnd.IntN(4)], At: w.expiry()}
		if n.Type != List {
			n.Elems = map[string]float64{}
		}
		c := s.Draft(k.db, n.Type, map[Type]Encoding{List: QuickList, Set: HashTable, ZSet: SkipList, Stream: StreamTree}[n.Type])
		if n.Type == Stream {
			c.Stream().Init()
		}
		w.add(s, c, &n, w.many())
		if w.rnd.IntN(8) == 0 {
			s.Discard(c)
			return
		}
		s.Attach(c, h, r, []byte(k.key), n.At, 7)
		w.m[k] = n
	case op < 17: // bytes, of a string or a packed list
		n := collModel{Type: String, At: w.expiry(), Bytes: w.member()}
		enc := Raw
		if op < 15 {
			n.Type, enc = Hash, ListPack
			n.Bytes = packed.New(nil).Append([]byte("field")).Append(w.member())
		}
		s.Put(k.db, h, r, []byte(k.key), n.Type, enc, n.Bytes, n.At, 9)
		w.m[k] = n
	case !ok:
	case op < 50:
		if m.Type == Hash {
			lp := packed.List(bytes.Clone(m.Bytes))
			at, del, ins := packed.HeaderBytes, 0, packed.Entry(nil, w.member())
			delta := 1
			if w.rnd.IntN(2) == 0 && lp.Len() > 0 {
				at = lp.At(w.rnd.IntN(lp.Len()))
				del, delta = lp.Next(at)-at, 0
				if w.rnd.IntN(2) == 0 {
					ins, delta = nil, -1
				}
			}
			m.Bytes = lp.Splice(at, del, ins, delta)
			_, v := s.SpliceList(k.db, h, r, at, del, ins, delta)
			if !bytes.Equal(v, m.Bytes) {
				w.t.Fatalf("%v: a splice of %d to %d bytes at %d went wrong", k, del, len(ins), at)
			}
			w.m[k] = m
			return
		}
		if m.Bytes != nil {
			return
		}
		c := s.Edit(k.db, h, r)
		if w.rnd.IntN(2) == 0 {
			w.add(s, &c, &m, w.many())
		} else {
			w.remove(&c, &m, w.many()*2)
		}
		gone := s.Settle(&c)
		if empty := len(m.List)+len(m.Elems) == 0 && m.Type != Stream; gone != empty {
			w.t.Fatalf("%v: gone %v, empty %v", k, gone, empty)
		}
		if w.m[k] = m; gone {
			delete(w.m, k)
		}
	case op < 60:
		s.Delete(k.db, h, r)
		delete(w.m, k)
	case op < 68:
		m.At = w.expiry()
		s.SetExpire(k.db, h, r, m.At)
		w.m[k] = m
	case op < 88:
		to := w.key()
		ds, dh, dr := w.find(to)
		if dr != 0 {
			return
		}
		if op < 80 {
			s.Move(k.db, h, r, ds, to.db, dh, []byte(to.key))
			delete(w.m, k)
		} else {
			ds = w.ks.Shard(ds.Index())
			s.Copy(k.db, r, ds, to.db, dh, []byte(to.key))
			m = m.clone()
		}
		w.m[to] = m
	case op == 88 && w.rnd.IntN(40) == 0:
		for i := range w.ks.NumShards() {
			w.ks.Shard(i).Flush(k.db, w.rnd.IntN(2) == 0)
		}
		maps.DeleteFunc(w.m, func(o modelKey, _ collModel) bool { return o.db == k.db })
	case op == 89 && w.rnd.IntN(10) == 0:
		b := w.rnd.IntN(w.dbs)
		w.ks.SwapDB(k.db, b)
		n := map[modelKey]collModel{}
		for o, v := range w.m {
			switch o.db {
			case k.db:
				o.db = b
			case b:
				o.db = k.db
			}
			n[o] = v
		}
		w.m = n
	case op < 95:
		w.ks.compactor.running = true
		w.ks.Compact(w.rnd.IntN(50))
	case m.Type == Set && m.Bytes == nil: // another representation
		set := intset.New(nil)
		for i := range 5 {
			set, _ = set.Add(int64(i))
		}
		s.Shrink(k.db, h, r, IntSet, set)
		w.m[k] = collModel{Type: Set, At: m.At, Bytes: set}
	}
}

func (w *collWorld) check() {
	w.t.Helper()
	for k, m := range w.m {
		s, _, r := w.find(k)
		if r == 0 {
			w.t.Fatalf("%v is lost", k)
		}
		if got := readColl(s, r); !got.same(m) {
			w.t.Fatalf("%v: type %v, %d+%d elements, expires at %d; the model has %v, %d+%d, %d", k, got.Type, len(got.Elems), len(got.List), got.At,
				m.Type, len(m.Elems), len(m.List), m.At)
		}
	}
	for i := range w.ks.NumShards() {
		if err := w.ks.Shard(i).Check(); err != nil {
			w.t.Fatal(err)
		}
	}
}

func newCollWorld(t *testing.T, shards, dbs, keys int) *collWorld {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := &collWorld{t: t, ks: New(Options{Shards: shards, Databases: dbs, Seed: seed | 1}), m: map[modelKey]collModel{},
		rnd: rand.New(rand.NewPCG(seed, 3)), dbs: dbs, n: keys}
	t.Cleanup(w.ks.Close)
	return w
}

func (w *collWorld) empty() {
	w.t.Helper()
	for k := range w.m {
		s, h, r := w.find(k)
		s.Delete(k.db, h, r)
	}
	clear(w.m)
	w.check()
	if u := w.ks.Used(); u != 0 {
		w.t.Fatalf("%d bytes in use of an empty keyspace: %+v", u, w.ks.Memory())
	}
}

func TestCollectionsAgainstModel(t *testing.T) {
	for _, c := range []struct{ shards, dbs, keys, steps int }{{1, 1, 4, 1500}, {4, 3, 30, 3000}} {
		t.Run(fmt.Sprintf("%d shards %d databases %d keys", c.shards, c.dbs, c.keys), func(t *testing.T) {
			w := newCollWorld(t, c.shards, c.dbs, c.keys)
			homes := 0
			for i := range c.steps / effort {
				w.step()
				if i%100 == 0 {
					w.check()
					for j := range c.shards {
						for _, tab := range w.ks.Shard(j).tables {
							if tab != nil {
								homes = max(homes, len(tab.homes))
							}
						}
					}
				}
			}
			w.check()
			if homes == 0 {
				t.Error("no collection ever had a heap of its own: the test has lost its point")
			}
			w.empty()
		})
	}
}

// collEncoder writes an entry as one gob; in pieces, a set's members go by ones.
func collEncoder(dst []byte, db int, s *Shard, r Ref) []byte {
	var b bytes.Buffer
	m := readColl(s, r)
	if err := gob.NewEncoder(&b).Encode(struct {
		DB  int
		Key string
		M   collModel
	}{db, string(s.Key(r)), m}); err != nil {
		panic(err)
	}
	return append(dst, b.Bytes()...)
}

// collPieces gives the bytes of collEncoder a third at a time, encoding anew each time: what is held must not change in between.
func collPieces(dst []byte, db int, s *Shard, r Ref, p *Progress) []byte {
	all := collEncoder(nil, db, s, r)
	if s.Encoding(r).IsRoot() && s.Type(r) != List {
		return append(dst, all...) // maps have no order
	}
	from, to := p.Phase*len(all)/3, (p.Phase+1)*len(all)/3
	p.Phase++
	p.More = p.Phase < 3
	return append(dst, all[from:to]...)
}

// TestCollectionSnapshotExact takes snapshots while collections change between the steps.
func TestCollectionSnapshotExact(t *testing.T) {
	for _, c := range []struct{ shards, dbs, keys, ops int }{{1, 1, 5, 3}, {4, 3, 40, 6}} {
		t.Run(fmt.Sprintf("%d shards %d databases %d keys", c.shards, c.dbs, c.keys), func(t *testing.T) {
			w := newCollWorld(t, c.shards, c.dbs, c.keys)
			for range 1500 / effort {
				w.step()
			}
			complete, held := 0, 0
			for range 60 / min(effort, 6) {
				want := map[modelKey]collModel{}
				for k, m := range w.m {
					want[k] = m.clone()
				}
				w.ks.LockAll()
				sn := w.ks.BeginSnapshot(collEncoder)
				sn.InPieces(collPieces)
				apart := w.rnd.IntN(2) == 0
				if apart {
					sn.LargeApart()
				}
				if w.rnd.IntN(2) == 0 {
					sn.EndWith(func(some func() bool) {
						for some() {
							w.step()
						}
					})
				}
				w.ks.UnlockAll()
				abortAfter := -1
				if w.rnd.IntN(3) == 0 {
					abortAfter = w.rnd.IntN(10)
				}
				var out []byte
				for left := 1; left > 0; {
					left = 0
					for i := range c.shards {
						for range w.rnd.IntN(c.ops + 1) {
							w.step()
						}
						for j := range w.ks.shards {
							for _, tab := range w.ks.shards[j].tables {
								if tab != nil {
									held = max(held, len(tab.holds))
								}
							}
						}
						var done bool
						if out, done = sn.Step(i, out); !done {
							left++
						}
						for more := apart; more && sn.LargeWaiting(i); {
							out, more = sn.StepLarge(i, out)
							if w.rnd.IntN(2) == 0 { // between the pieces, too
								w.step()
							}
						}
					}
					if abortAfter--; abortAfter == -1 {
						break
					}
				}
				sn.Close()
				w.check()
				for i := range w.ks.shards {
					for _, tab := range w.ks.shards[i].tables {
						if tab != nil && (len(tab.holds) > 0 || tab.held != 0) {
							t.Fatalf("%d holds, %d bytes held when the snapshot is over", len(tab.holds), tab.held)
						}
					}
				}
				if abortAfter == -1 {
					continue
				}
				complete++
				got := map[modelKey]collModel{}
				for in := bytes.NewReader(out); in.Len() > 0; {
					var e struct {
						DB  int
						Key string
						M   collModel
					}
					if err := gob.NewDecoder(in).Decode(&e); err != nil {
						t.Fatal(err)
					}
					got[modelKey{e.DB, e.Key}] = e.M
				}
				for k, m := range want {
					if g, ok := got[k]; !ok || !g.same(m) {
						t.Fatalf("%v in the snapshot: %v, %v, %d+%d elements; it was %v, %d+%d", k, ok, g.Type, len(g.Elems), len(g.List), m.Type, len(m.Elems), len(m.List))
					}
				}
				if len(got) != len(want) {
					t.Fatalf("snapshot has %d keys, there were %d", len(got), len(want))
				}
			}
			if complete == 0 || held == 0 {
				t.Errorf("%d snapshots ran to their end, with at most %d holds: the test has lost its point", complete, held)
			}
			w.empty()
		})
	}
}

// largeSet makes a set of member:0 and so on, alone in a Keyspace of one shard, which is returned locked.
func largeSet(t *testing.T, n int) (ks *Keyspace, s *Shard, key []byte, h uint64) {
	ks = New(Options{Shards: 1, Databases: 1})
	t.Cleanup(ks.Close)
	s, key = ks.Shard(0), []byte("set")
	h = ks.Hash(key)
	s.Lock()
	c := s.Draft(0, Set, HashTable)
	for i := range n {
		m := fmt.Append(nil, "member:", i)
		c.Dict().Insert(ks.Hash(m), c.NewElem(coll.Member, m, nil, 0))
	}
	s.Attach(c, h, 0, key, NoExpire, 0)
	return ks, s, key, h
}

// TestWriteWhileAHoldGoes: what a collection's size says is right after a write between the steps that give back what a hold kept, and after
// the last of them.
func TestWriteWhileAHoldGoes(t *testing.T) {
	ks, s, key, h := largeSet(t, 30000)
	sn := ks.BeginSnapshot(collEncoder)
	ends := 0
	sn.EndWith(func(some func() bool) {
		for some() {
			if ends++; ends == 1 {
				s.Lock()
				c := s.Edit(0, h, s.Find(0, h, key))
				c.Dict().Insert(ks.Hash([]byte("x")), c.NewElem(coll.Member, []byte("x"), nil, 0))
				s.Settle(&c)
				if err := s.Check(); err != nil {
					t.Error(err)
				}
				s.Unlock()
			}
		}
	})
	// Removed under the hold, so kept by it.
	e := s.Edit(0, h, s.Find(0, h, key))
	for i := range 20 * endBatch {
		m := fmt.Append(nil, "member:", i)
		e.Dict().Remove(ks.Hash(m), e.Dict().Find(ks.Hash(m), m))
	}
	s.Settle(&e)
	s.Unlock()
	for fin := false; !fin; {
		_, fin = sn.Step(0, nil)
	}
	sn.Close()
	if ends < 10 {
		t.Errorf("what the hold kept was given back in %d steps: the test has lost its point", ends)
	}
	s.Lock()
	defer s.Unlock()
	if err := s.Check(); err != nil {
		t.Error(err)
	}
}

// TestHeldCollectionIsReadWithoutTheLock: under the race detector, writing to anything that a hold has would be seen.
func TestHeldCollectionIsReadWithoutTheLock(t *testing.T) {
	const n = 30000
	ks, s, key, h := largeSet(t, n)
	sn := ks.BeginSnapshot(collEncoder)
	sn.LargeApart()
	seen := map[string]bool{}
	sn.InPieces(func(dst []byte, db int, s *Shard, r Ref, p *Progress) []byte {
		m := s.Open(r)
		p.At = coll.Dict{Mem: &m}.Scan(p.At, func(r Ref) { seen[string(coll.KeyOf(m.Space, r))] = true })
		p.More = p.At != 0
		return dst
	})
	ends := 0
	sn.EndWith(func(some func() bool) {
		for some() {
			ends++
		}
	})
	s.Unlock()
	for !sn.LargeWaiting(0) {
		sn.Step(0, nil)
	}
	done := make(chan int)
	go func() {
		pieces := 0
		for more := true; more; pieces++ {
			_, more = sn.StepLarge(0, nil)
		}
		done <- pieces
	}()
	rnd := rand.New(rand.NewPCG(1, 2))
	for writes := 0; ; writes++ {
		select {
		case pieces := <-done:
			if len(seen) != n {
				t.Errorf("%d members in %d pieces, there were %d when the snapshot began", len(seen), pieces, n)
			}
			for fin := false; !fin; {
				_, fin = sn.Step(0, nil)
			}
			sn.Close()
			if err := s.Check(); err != nil {
				t.Error(err)
			}
			if writes > 10*endBatch && ends == 0 {
				t.Errorf("what %d writes let go of was given back at once", writes)
			}
			t.Logf("%d writes meanwhile, given back in %d steps", writes, ends)
			return
		default:
		}
		s.Lock()
		r := s.Find(0, h, key)
		c := s.Edit(0, h, r)
		m := fmt.Append(nil, "member:", rnd.IntN(2*n))
		mh := ks.Hash(m)
		if e := c.Dict().Find(mh, m); e != 0 {
			c.Dict().Remove(mh, e)
		} else {
			c.Dict().Insert(mh, c.NewElem(coll.Member, m, nil, 0))
		}
		s.Settle(&c)
		s.Unlock()
	}
}
