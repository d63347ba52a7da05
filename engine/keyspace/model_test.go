package keyspace

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// The model of a keyspace: a Go map per database. Operations are drawn from a source of bytes or random numbers, run on
// both, and compared.

type modelEntry struct {
	val    []byte
	enc    Encoding
	at     int64
	access uint32
}

type modelKey struct {
	db  int
	key string
}

type model struct {
	t    *testing.T
	ks   *Keyspace
	m    map[modelKey]modelEntry
	keys []string
	rnd  *rand.Rand
	dbs  int
	flat []byte
}

func newModel(t *testing.T, seed uint64, shards, dbs, keys int) *model {
	m := &model{t: t, ks: New(Options{Shards: shards, Databases: dbs, Seed: seed + 1}), m: map[modelKey]modelEntry{},
		rnd: rand.New(rand.NewPCG(seed, 7)), dbs: dbs}
	t.Cleanup(m.ks.Close)
	for i := range keys {
		k := fmt.Sprintf("key:%d", i)
		switch {
		case i%97 == 0:
			k += string(bytes.Repeat([]byte("k"), i%5000))
		case i == 1:
			k = ""
		}
		m.keys = append(m.keys, k)
	}
	m.flat = flat()
	return m
}

// flat is what values are cut from.
var flat = sync.OnceValue(func() []byte {
	p := make([]byte, 5<<20)
	for i := range p {
		p[i] = byte(i*7 + i>>8)
	}
	return p
})

func (m *model) value() []byte {
	n := m.rnd.IntN(100)
	switch m.rnd.IntN(40) {
	case 0:
		n = m.rnd.IntN(5000)
	case 1:
		n = m.rnd.IntN(50000)
	case 2:
		if m.rnd.IntN(20) == 0 {
			n = m.rnd.IntN(len(m.flat))
		}
	}
	at := m.rnd.IntN(len(m.flat) - n + 1)
	return m.flat[at : at+n]
}

func (m *model) find(db int, key string) (*Shard, uint64, Ref) {
	h := m.ks.Hash([]byte(key))
	s := m.ks.Shard(m.ks.ShardIndex(h))
	return s, h, s.Find(db, h, []byte(key))
}

func (m *model) expiry() int64 {
	if m.rnd.IntN(3) > 0 {
		return NoExpire
	}
	return int64(m.rnd.IntN(1_000_000))
}

// step runs one random operation.
func (m *model) step() {
	t := m.t
	db, key := m.rnd.IntN(m.dbs), m.keys[m.rnd.IntN(len(m.keys))]
	s, h, r := m.find(db, key)
	mk := modelKey{db, key}
	have, ok := m.m[mk]
	if ok != (r != 0) {
		t.Fatalf("key %.40q db %d: found %v, model %v", key, db, r != 0, ok)
	}
	switch op := m.rnd.IntN(100); {
	case op < 45:
		e := modelEntry{m.value(), Encoding(m.rnd.IntN(3)), m.expiry(), m.rnd.Uint32() & accessMask}
		val := e.val
		if ok && m.rnd.IntN(10) == 0 && len(have.val) > 1 { // a view of itself
			v := s.Value(r)
			a := m.rnd.IntN(len(v))
			val = v[a : a+m.rnd.IntN(len(v)-a)]
			e.val = bytes.Clone(val)
		}
		s.PutString(db, h, r, []byte(key), val, e.enc, e.at, e.access)
		m.m[mk] = e
	case op < 60 && ok:
		s.Delete(db, h, r)
		delete(m.m, mk)
	case op < 70 && ok:
		n := len(m.value())
		if m.rnd.IntN(3) == 0 {
			n = len(have.val) + m.rnd.IntN(50)
		}
		_, v := s.Resize(db, h, r, n)
		nv := make([]byte, n)
		copy(nv, have.val)
		if !bytes.Equal(v, nv) {
			t.Fatalf("Resize of %d bytes to %d differs", len(have.val), n)
		}
		if n > 0 {
			v[n/2]++
			nv[n/2]++
		}
		have.val, have.enc = nv, Raw
		m.m[mk] = have
	case op < 78 && ok:
		have.at = m.expiry()
		s.SetExpire(db, h, r, have.at)
		m.m[mk] = have
	case op < 86 && ok:
		ddb, dkey := m.rnd.IntN(m.dbs), m.keys[m.rnd.IntN(len(m.keys))]
		ds, dh, dr := m.find(ddb, dkey)
		if dr != 0 {
			break
		}
		if op < 82 {
			s.Move(db, h, r, ds, ddb, dh, []byte(dkey))
			delete(m.m, mk)
		} else {
			s.Copy(db, r, ds, ddb, dh, []byte(dkey))
		}
		m.m[modelKey{ddb, dkey}] = have
	case op == 86 && m.rnd.IntN(50) == 0:
		for i := range m.ks.NumShards() {
			m.ks.Shard(i).Flush(db, m.rnd.IntN(2) == 0)
		}
		for k := range m.m {
			if k.db == db {
				delete(m.m, k)
			}
		}
	case op == 87 && m.rnd.IntN(10) == 0:
		b := m.rnd.IntN(m.dbs)
		m.ks.SwapDB(db, b)
		n := map[modelKey]modelEntry{}
		for k, v := range m.m {
			switch k.db {
			case db:
				k.db = b
			case b:
				k.db = db
			}
			n[k] = v
		}
		m.m = n
	case op == 88:
		m.ks.compactor.running = true // whether the table is sparse or not
		m.ks.Compact(m.rnd.IntN(50))
	case op < 92:
		m.expire()
	case ok:
		have.access = m.rnd.Uint32() & accessMask
		s.SetAccess(r, have.access)
		m.m[mk] = have
		m.same(s, r, mk, have)
	}
}

// expire removes the first expired entries of a random shard.
func (m *model) expire() {
	s := m.ks.Shard(m.rnd.IntN(m.ks.NumShards()))
	now := int64(m.rnd.IntN(50_000))
	for range 5 {
		db, h, r := s.FirstExpired(now)
		if r == 0 {
			if at := s.NextExpiry(); at != NoExpire && at <= now {
				m.t.Fatalf("next expiry %d is past, but nothing is expired at %d", at, now)
			}
			return
		}
		mk := modelKey{db, string(s.Key(r))}
		if m.m[mk].at == NoExpire || m.m[mk].at != s.NextExpiry() {
			m.t.Fatalf("first expired %q at %d, model %d", mk.key, s.NextExpiry(), m.m[mk].at)
		}
		s.Delete(db, h, r)
		delete(m.m, mk)
	}
}

func (m *model) same(s *Shard, r Ref, k modelKey, e modelEntry) {
	m.t.Helper()
	if !bytes.Equal(s.Value(r), e.val) || string(s.Key(r)) != k.key || s.ExpireAt(r) != e.at || s.Encoding(r) != e.enc ||
		s.Access(r) != e.access || s.Type(r) != String {
		m.t.Fatalf("key %.40q db %d: value %d bytes, enc %v, at %d, access %d; model %d %v %d %d", k.key, k.db,
			len(s.Value(r)), s.Encoding(r), s.ExpireAt(r), s.Access(r), len(e.val), e.enc, e.at, e.access)
	}
	if n := s.MemoryUsage(r); n < len(k.key)+len(e.val) {
		m.t.Fatalf("key %.40q: MemoryUsage %d is less than its %d bytes", k.key, n, len(k.key)+len(e.val))
	}
}

// check compares everything.
func (m *model) check() {
	m.t.Helper()
	for k, e := range m.m {
		s, _, r := m.find(k.db, k.key)
		if r == 0 {
			m.t.Fatalf("key %.40q db %d is lost", k.key, k.db)
		}
		m.same(s, r, k, e)
	}
	n, volatile := make([]int, m.dbs), make([]int, m.dbs)
	next := make([]int64, m.ks.NumShards())
	for i := range next {
		next[i] = NoExpire
	}
	for k, e := range m.m {
		n[k.db]++
		if e.at != NoExpire {
			volatile[k.db]++
			i := m.ks.ShardIndex(m.ks.Hash([]byte(k.key)))
			if next[i] == NoExpire || e.at < next[i] {
				next[i] = e.at
			}
		}
	}
	for i := range m.ks.NumShards() {
		s := m.ks.Shard(i)
		if err := s.Check(); err != nil {
			m.t.Fatal(err)
		}
		if s.NextExpiry() != next[i] {
			m.t.Fatalf("shard %d: next expiry %d, model %d", i, s.NextExpiry(), next[i])
		}
		for db := range m.dbs {
			n[db] -= s.Len(db)
			volatile[db] -= s.Expires(db)
		}
	}
	for db := range m.dbs {
		if n[db] != 0 || volatile[db] != 0 {
			m.t.Fatalf("database %d: Len and Expires are off by %d and %d", db, n[db], volatile[db])
		}
	}
}

func TestAgainstModel(t *testing.T) {
	for _, c := range []struct{ shards, dbs, keys, steps int }{
		{1, 1, 20, 5000}, {1, 2, 3000, 60000}, {4, 3, 2000, 40000}, {16, 16, 20000, 60000},
	} {
		t.Run(fmt.Sprintf("%d shards %d databases %d keys", c.shards, c.dbs, c.keys), func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			m := newModel(t, seed, c.shards, c.dbs, c.keys)
			c.steps /= effort
			for i := range c.steps {
				m.step()
				if i%(c.steps/8) == 0 {
					m.check()
				}
			}
			m.check()
			for k := range m.m {
				s, h, r := m.find(k.db, k.key)
				s.Delete(k.db, h, r)
			}
			m.m = map[modelKey]modelEntry{}
			m.check()
			if u := m.ks.Used(); u != 0 {
				t.Fatalf("%d bytes in use of an empty keyspace", u)
			}
		})
	}
}
