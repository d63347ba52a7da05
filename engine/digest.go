package engine

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/value"
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

// value mixes a value with its type and its having an expiry; the time itself does not count. So it is with a hash's fields.
func (d *digest) value(s *keyspace.Shard, r keyspace.Ref) {
	var kind [4]byte
	number := uint32(s.Type(r))
	if s.Type(r) == keyspace.Stream { // Redis has modules' types before it
		number++
	}
	binary.BigEndian.PutUint32(kind[:], number)
	d.mix(kind[:])
	switch s.Type(r) {
	case keyspace.String:
		d.mix(s.Value(r))
	case keyspace.List:
		value.EachElement(s, r, func(e []byte) bool {
			d.mix(e)
			return true
		})
	case keyspace.Set:
		value.EachMember(s, r, func(m []byte) bool {
			d.add(m)
			return true
		})
	case keyspace.ZSet:
		value.EachScored(s, r, func(m []byte, score float64) bool {
			var one digest
			one.mix(m)
			one.mix(appendScore17(nil, score))
			d.add(one[:])
			return true
		})
	case keyspace.Hash:
		value.EachFieldAt(s, r, func(f, v []byte, expireAt int64) bool {
			var one digest
			one.mix(f)
			one.mix(v)
			if expireAt != keyspace.NoExpire {
				one.add([]byte("!!hexpire!!"))
			}
			d.add(one[:])
			return true
		})
	case keyspace.Stream:
		m := s.Open(r)
		d.stream(coll.Stream{Mem: &m})
	}
	if s.ExpireAt(r) != keyspace.NoExpire {
		d.add([]byte("!!expire!!"))
	}
}

// stream mixes the entries; consumer groups do not count.
func (d *digest) stream(s coll.Stream) {
	var p coll.StreamPlace
	var f, v [20]byte
	for ok := s.Seek(&p, coll.StreamID{}); ok; ok = s.Next(&p) {
		d.mix(fmt.Appendf(nil, "%d.%d", p.ID.Ms, p.ID.Seq))
		w := p.Fields()
		for name, val, ok := w.Next(&f, &v); ok; name, val, ok = w.Next(&f, &v) {
			d.mix(name)
			d.mix(val)
		}
	}
}

// appendScore17 prints a score as C does with %.17g, and so as redis-server does up to 7.0. Since 7.2 it prints fewer digits where they are enough, so that a digest of
// scores such as 0.1 is another one there.
func appendScore17(dst []byte, f float64) []byte {
	switch {
	case math.IsInf(f, 1):
		return append(dst, "inf"...)
	case math.IsInf(f, -1):
		return append(dst, "-inf"...)
	case f == 0 && math.Signbit(f):
		return append(dst, "-0"...)
	}
	// %g of Go keeps no trailing zeros either, and changes to the exponent at the same sizes when the precision is given.
	text := strconv.AppendFloat(nil, f, 'g', 17, 64)
	mantissa, exponent, scientific := bytes.Cut(text, []byte("e"))
	if bytes.IndexByte(mantissa, '.') >= 0 {
		mantissa = bytes.TrimRight(bytes.TrimRight(mantissa, "0"), ".")
	}
	dst = append(dst, mantissa...)
	if scientific {
		dst = append(append(dst, 'e'), exponent...)
	}
	return dst
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
