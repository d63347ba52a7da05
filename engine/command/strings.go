package command

import (
	"tidemark/engine/keyspace"
	"tidemark/engine/value"
)

// DefaultMaxBulkBytes is proto-max-bulk-len's default, 512 MiB.
const DefaultMaxBulkBytes = 512 << 20

// StringEncoding is value.StringEncoding.
func StringEncoding(v []byte) keyspace.Encoding { return value.StringEncoding(v) }

// Overwrite stores a string under k, whatever stood there, and reports the change. An entry that had outlived
// its expiry needs no DEL of its own in the log: the write replaces it wherever it is replayed.
func (c *Ctx) Overwrite(k *Key, val []byte, enc keyspace.Encoding, expireAt int64) {
	var r keyspace.Ref
	if c.Store.LFU.Load() {
		r = c.FindForWrite(k) // the counter survives
	} else {
		r = k.Shard.Find(c.DB, k.Hash, k.Name)
	}
	c.Replace(k, r, val, enc, expireAt)
}

// Replace is Overwrite for an entry that a Find gave (0: there is none). val may be a view of k's shard.
func (c *Ctx) Replace(k *Key, r keyspace.Ref, val []byte, enc keyspace.Encoding, expireAt int64) {
	access := c.AccessClock()
	if r != 0 && c.Store.LFU.Load() {
		access = k.Shard.Access(r)
	}
	k.Shard.PutString(c.DB, k.Hash, r, k.Name, val, enc, expireAt, access)
	c.Changed(k)
}

// Past reports whether an expiry the command itself carries has gone by already. While effects are replayed none has: the
// log says when the key went. On a replica none has, either: there only the primary's word removes a key.
func (c *Ctx) Past(at int64) bool {
	return at <= c.Now && !c.Replay && !c.Store.Loading.Load() && !c.Store.Following.Load()
}

// RemovePast removes a key because the command gave it an expiry that has gone by; the log gets a DEL (UNLINK with
// lazyfree-lazy-expire) in place of the request. r may be 0.
func (c *Ctx) RemovePast(k *Key, r keyspace.Ref) {
	if r != 0 {
		k.Shard.Delete(c.DB, k.Hash, r)
	}
	c.effectExpired(k)
	c.Changed(k)
}

// replayedBulkMax bounds strings in replay, where the limit may have been another when they came to be: a damaged log
// or a hostile primary must not make the server ask for memory without end.
const replayedBulkMax = 4 << 30

// MaxBulk is the length in bytes that no string may exceed.
func (c *Ctx) MaxBulk() int64 {
	n := c.Store.MaxBulkBytes.Load()
	if c.Replay {
		return max(n, replayedBulkMax)
	}
	return n
}

// FitsBulk reports whether a string of n bytes may come to be; if not, the error has been replied.
func (c *Ctx) FitsBulk(n int64) bool {
	if n <= c.MaxBulk() {
		return true
	}
	c.W.Error(ErrStringSize)
	return false
}

// maxScratch is how much memory for results a Ctx keeps between commands.
const maxScratch = 256 << 10

// Scratch returns n bytes of whatever content for a handler to build a result in. They are good until the handler returns or calls
// Scratch again.
func (c *Ctx) Scratch(n int) []byte {
	if n > maxScratch {
		return make([]byte, n)
	}
	if cap(c.scratch) < n {
		c.scratch = make([]byte, n, max(n, 4096))
	}
	return c.scratch[:n]
}
