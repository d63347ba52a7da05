package keyspace

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func testEncoder(dst []byte, db int, s *Shard, r Ref) []byte {
	k, v := s.Key(r), s.Value(r)
	dst = binary.AppendUvarint(dst, uint64(db))
	dst = binary.AppendUvarint(dst, uint64(len(k)))
	dst = append(dst, k...)
	dst = binary.AppendUvarint(dst, uint64(len(v)))
	dst = append(dst, v...)
	return binary.AppendVarint(dst, s.ExpireAt(r))
}

func testDecode(t *testing.T, p []byte, into map[modelKey]modelEntry) {
	t.Helper()
	num := func() int {
		v, n := binary.Uvarint(p)
		p = p[n:]
		return int(v)
	}
	for len(p) > 0 {
		var k modelKey
		k.db = num()
		n := num()
		k.key = string(p[:n])
		p = p[n:]
		n = num()
		e := modelEntry{val: bytes.Clone(p[:n])}
		p = p[n:]
		at, n := binary.Varint(p)
		p = p[n:]
		e.at = at
		if _, ok := into[k]; ok {
			t.Fatalf("snapshot has key %.40q of database %d twice", k.key, k.db)
		}
		into[k] = e
	}
}

// TestSnapshotExact takes snapshots while random operations change the keyspace between the steps, and compares
// each with the model as of its beginning. Some are aborted.
func TestSnapshotExact(t *testing.T) {
	for _, c := range []struct{ shards, dbs, keys, steps, ops int }{
		{1, 1, 50, 5000, 1}, {1, 3, 4000, 20000, 20}, {8, 4, 4000, 20000, 8}, {2, 2, 20000, 40000, 40},
	} {
		t.Run(fmt.Sprintf("%d shards %d databases %d keys", c.shards, c.dbs, c.keys), func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			c.steps, c.keys = c.steps/effort, c.keys/effort
			m := newModel(t, seed, c.shards, c.dbs, c.keys)
			for range c.steps / 2 {
				m.step()
			}
			complete, aborted := 0, 0
			for n := 0; n < c.steps/2; {
				want := make(map[modelKey]modelEntry, len(m.m))
				for k, e := range m.m {
					want[k] = e
				}
				m.ks.LockAll()
				sn := m.ks.BeginSnapshot(testEncoder)
				m.ks.UnlockAll()
				abortAfter := -1
				if m.rnd.IntN(2) == 0 {
					abortAfter = m.rnd.IntN(20)
				}
				got := map[modelKey]modelEntry{}
				for left := c.shards; left > 0; {
					left = 0
					for i := range c.shards {
						for range m.rnd.IntN(c.ops + 1) {
							m.step()
							n++
						}
						out, done := sn.Step(i, nil)
						testDecode(t, out, got)
						if !done {
							left++
						}
					}
					if abortAfter--; abortAfter == -1 {
						break
					}
				}
				sn.Close()
				if abortAfter == -1 {
					aborted++
					n++
					continue
				}
				complete++
				if sn.PendingBytes() != 0 {
					t.Fatalf("%d bytes are pending after the last step", sn.PendingBytes())
				}
				for k, e := range want {
					g, ok := got[k]
					if !ok {
						t.Fatalf("snapshot lacks key %.40q of database %d", k.key, k.db)
					}
					if !bytes.Equal(g.val, e.val) || g.at != e.at {
						t.Fatalf("snapshot has %d bytes, expiry %d for key %.40q; it was %d and %d", len(g.val), g.at, k.key, len(e.val), e.at)
					}
				}
				if len(got) != len(want) {
					t.Fatalf("snapshot has %d keys, there were %d", len(got), len(want))
				}
				for db := range c.dbs {
					keys, exp := sn.Counts(db)
					for k, e := range want {
						if k.db == db {
							keys--
							if e.at != NoExpire {
								exp--
							}
						}
					}
					if keys != 0 || exp != 0 {
						t.Fatalf("counts of database %d are off by %d and %d", db, keys, exp)
					}
				}
			}
			m.check()
			if complete < 2 {
				t.Fatalf("only %d snapshots completed, %d aborted", complete, aborted)
			}
		})
	}
}

// TestSnapshotExactUnderConcurrentWrites lets several goroutines write, each to keys of its own, while another takes snapshots:
// values are small and large, changed in place and replaced, and databases are flushed and swapped.
func TestSnapshotExactUnderConcurrentWrites(t *testing.T) {
	ks := New(Options{Shards: 4, Databases: 2})
	defer ks.Close()
	const workers, keys = 3, 150
	var turn sync.RWMutex // held exclusively at the instant of a snapshot
	models := make([]map[modelKey]modelEntry, workers)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	var ops atomic.Int64
	for w := range workers {
		models[w] = map[modelKey]modelEntry{}
		wg.Add(1)
		go func() {
			defer wg.Done()
			m := models[w]
			rnd := rand.New(rand.NewPCG(uint64(w), 3))
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				turn.RLock()
				k := modelKey{rnd.IntN(2), fmt.Sprintf("%d:%d", w, rnd.IntN(keys))}
				h := ks.Hash([]byte(k.key))
				s := ks.Shard(ks.ShardIndex(h))
				s.Lock()
				r := s.Find(k.db, h, []byte(k.key))
				size := rnd.IntN(100)
				if rnd.IntN(8) == 0 {
					size = rnd.IntN(300_000)
				}
				switch op := rnd.IntN(10); {
				case op < 5 || r == 0:
					val := bytes.Repeat([]byte{byte(n)}, size)
					s.PutString(k.db, h, r, []byte(k.key), val, Raw, NoExpire, 0)
					m[k] = modelEntry{val: val, at: NoExpire}
				case op < 6:
					s.Delete(k.db, h, r)
					delete(m, k)
				default:
					old := m[k].val
					if op < 8 {
						size = len(old)
					}
					_, v := s.Resize(k.db, h, r, size)
					if size > 0 {
						v[size/2] ^= 0xff
					}
					val := make([]byte, size)
					copy(val, old)
					if size > 0 {
						val[size/2] ^= 0xff
					}
					m[k] = modelEntry{val: val, at: NoExpire}
				}
				s.Unlock()
				turn.RUnlock()
				ops.Add(1)
			}
		}()
	}
	rnd := rand.New(rand.NewPCG(9, 9))
	for round := range 25 / min(effort, 4) {
		want := map[modelKey]modelEntry{}
		for ops.Load() < int64(round+1)*500/effort {
			runtime.Gosched()
		}
		turn.Lock()
		for _, m := range models {
			maps.Copy(want, m)
		}
		ks.LockAll()
		sn := ks.BeginSnapshot(testEncoder)
		if round%3 == 0 {
			sn.LargeApart()
		}
		ks.UnlockAll()
		turn.Unlock()
		got := map[modelKey]modelEntry{}
		swapAt, swapped := rnd.IntN(8), false
		for done := 0; done < ks.NumShards(); {
			done = 0
			for i := range ks.NumShards() {
				from := ops.Load()
				out, d := sn.Step(i, nil)
				testDecode(t, out, got)
				for more := sn.LargeWaiting(i) && round%3 == 0; more; {
					out, more = sn.StepLarge(i, nil)
					testDecode(t, out, got)
				}
				for !d && ops.Load() < from+10 { // writes fall between the steps
					runtime.Gosched()
				}
				if d {
					done++
				}
			}
			if swapAt--; swapAt < 0 && !swapped {
				swapped = true
				turn.Lock()
				ks.LockAll()
				if round%2 == 0 {
					ks.SwapDB(0, 1)
				} else {
					for i := range ks.NumShards() {
						ks.Shard(i).Flush(1, round%4 == 1)
					}
				}
				ks.UnlockAll()
				for w, m := range models {
					n := map[modelKey]modelEntry{}
					for k, e := range m {
						if round%2 == 0 {
							k.db = 1 - k.db
						} else if k.db == 1 {
							continue
						}
						n[k] = e
					}
					clear(m)
					maps.Copy(models[w], n)
				}
				turn.Unlock()
			}
		}
		if n := sn.PendingBytes(); n != 0 {
			t.Fatalf("%d bytes are pending after the last step", n)
		}
		sn.Close()
		if len(got) != len(want) {
			t.Fatalf("round %d: snapshot has %d keys, there were %d", round, len(got), len(want))
		}
		for k, e := range want {
			if g, ok := got[k]; !ok || !bytes.Equal(g.val, e.val) {
				t.Fatalf("round %d: key %q of database %d is there: %v, with %d bytes; it had %d", round, k.key, k.db, ok, len(g.val), len(e.val))
			}
		}
	}
	ks.LockAll()
	defer ks.UnlockAll()
	for i := range ks.NumShards() {
		if err := ks.Shard(i).Check(); err != nil {
			t.Error(err)
		}
	}
}

// TestSnapshotAborts: snapshots closed at every stage leave no trace that a later one could trip over, however many follow.
func TestSnapshotAborts(t *testing.T) {
	m := newModel(t, 4, 2, 2, 3000)
	for range 8000 {
		m.step()
	}
	for round := range 40 {
		m.ks.LockAll()
		sn := m.ks.BeginSnapshot(testEncoder)
		m.ks.UnlockAll()
		for n := m.rnd.IntN(30); n > 0; n-- {
			m.step()
			sn.Step(m.rnd.IntN(2), nil)
		}
		for range 20 {
			m.step()
		}
		sn.Close()
		sn.Close() // a second Close does nothing
		if round%9 != 8 {
			continue
		}
		m.ks.LockAll()
		sn = m.ks.BeginSnapshot(testEncoder)
		m.ks.UnlockAll()
		got := map[modelKey]modelEntry{}
		for i := range 2 {
			for done := false; !done; {
				var out []byte
				out, done = sn.Step(i, nil)
				testDecode(t, out, got)
			}
		}
		sn.Close()
		if len(got) != len(m.m) {
			t.Fatalf("round %d: %d keys, want %d", round, len(got), len(m.m))
		}
	}
	m.check()
}
