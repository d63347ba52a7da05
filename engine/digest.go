package engine

import (
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
)

// digest is DEBUG DIGEST's: two servers that hold the same data have the same one, in whatever order the data were written. Where
// order means nothing, hashes are combined by exclusive or (add); where it does, the result so far is hashed again
// after each (mix). The recipe is Redis's, so that a real redis-server with the same data has the same digest.
type digest [sha1.Size]byte

// add combines the hash of p, without regard to order.
func (d *digest) add(p []byte) {
	h := sha1.Sum(p)
	for i := range d {
		d[i] ^= h[i]
	}
}

// mix combines the hash of p, with regard to order.
func (d *digest) mix(p []byte) {
	d.add(p)
	*d = sha1.Sum(d[:])
}

// value mixes a value with its type and its having an expiry; the time itself does not count.
func (d *digest) value(s *keyspace.Shard, r keyspace.Ref) {
	var kind [4]byte
	binary.BigEndian.PutUint32(kind[:], uint32(s.Type(r)))
	d.mix(kind[:])
	d.mix(s.Value(r))
	if s.ExpireAt(r) != keyspace.NoExpire {
		d.add([]byte("!!expire!!"))
	}
}

func (d *digest) text() string { return hex.EncodeToString(d[:]) }

// debugDigest digests every key of every database.
func (s *Server) debugDigest(c *command.Ctx, _ [][]byte) {
	ks := s.store.KS
	if !c.InBlock() {
		ks.LockAll()
		defer ks.UnlockAll()
	}
	var all digest
	for db := 0; db < ks.Databases(); db++ {
		if keys, _ := s.databaseSize(db, false); keys == 0 {
			continue
		}
		var number [4]byte
		binary.BigEndian.PutUint32(number[:], uint32(db))
		all.mix(number[:])
		for i := 0; i < ks.NumShards(); i++ {
			sh := ks.Shard(i)
			for cursor, first := uint64(0), true; first || cursor != 0; first = false {
				cursor = sh.Scan(db, cursor, func(r keyspace.Ref) {
					var one digest
					one.mix(sh.Key(r))
					one.value(sh, r)
					all.add(one[:])
				})
			}
		}
	}
	c.SawAll()
	c.W.Simple(all.text())
}

func (s *Server) debugDigestValue(c *command.Ctx, args [][]byte) {
	c.W.Array(len(args))
	for _, name := range args {
		s.withKey(c, name, func(k *command.Key) {
			var d digest
			if r := k.Shard.Find(c.DB, k.Hash, k.Name); r != 0 && !c.Expired(k.Shard, r) {
				d.value(k.Shard, r)
			}
			c.W.Simple(d.text())
		})
	}
}
