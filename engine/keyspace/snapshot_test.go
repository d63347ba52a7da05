package keyspace

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
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
		{1, 1, 50, 60000, 1}, {1, 3, 4000, 90000, 20}, {8, 4, 4000, 60000, 8}, {2, 2, 30000, 120000, 40},
	} {
		t.Run(fmt.Sprintf("%d shards %d databases %d keys", c.shards, c.dbs, c.keys), func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
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
			if complete < 3 {
				t.Fatalf("only %d snapshots completed, %d aborted", complete, aborted)
			}
		})
	}
}
