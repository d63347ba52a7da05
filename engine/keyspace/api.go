// Package keyspace holds every key and value outside the Go heap.
//
// CONTRACT FILE: signatures the other packages build on; the implementation replaces the panics.
package keyspace

// Type is a key's data type.
type Type uint8

// The data types, in the order of Redis's OBJ_* constants.
const (
	String Type = iota
	List
	Set
	ZSet
	Hash
	Stream
)

// String returns the name TYPE replies with.
func (t Type) String() string {
	return [...]string{"string", "list", "set", "zset", "hash", "stream"}[t]
}

// Encoding is how a value is represented, as OBJECT ENCODING names it.
type Encoding uint8

// The encodings of strings. More come with the other types.
const (
	Raw Encoding = iota
	Int          // the value's bytes are the decimal text of an int64
	EmbStr
)

// String returns the name OBJECT ENCODING replies with.
func (e Encoding) String() string { return [...]string{"raw", "int", "embstr"}[e] }

// NoExpire is the expiry of a key that has none.
const NoExpire int64 = -1

// Ref names an entry of one shard. It is valid until the next mutating call on that shard; 0 is no entry.
type Ref uint64

// Options configures a Keyspace.
type Options struct {
	Shards    int    // a power of two
	Databases int    // 1 to 4096
	Seed      uint64 // of the hash; 0 takes a random one
}

// Keyspace is all databases of a server, in shards.
type Keyspace struct{ keyspaceImpl }

// Shard is a slice of the keyspace: for each database a table, and one arena and one expiry index for all.
// All methods but Lock want the shard's lock held.
type Shard struct{ shardImpl }

type keyspaceImpl struct{}
type shardImpl struct{}

// New returns an empty keyspace.
func New(o Options) *Keyspace { panic("contract") }

// Close unmaps everything. No method may be called afterwards.
func (ks *Keyspace) Close() { panic("contract") }

func (ks *Keyspace) NumShards() int     { panic("contract") }
func (ks *Keyspace) Databases() int     { panic("contract") }
func (ks *Keyspace) Shard(i int) *Shard { panic("contract") }

// Hash returns the seeded 64-bit hash of a key.
func (ks *Keyspace) Hash(key []byte) uint64 { panic("contract") }

// ShardIndex returns the shard that holds keys of hash h (from the low bits; tables use the high ones).
func (ks *Keyspace) ShardIndex(h uint64) int { panic("contract") }

// LockAll locks every shard in ascending order.
func (ks *Keyspace) LockAll()   { panic("contract") }
func (ks *Keyspace) UnlockAll() { panic("contract") }

// SwapDB exchanges two databases. All shards must be locked.
func (ks *Keyspace) SwapDB(a, b int) { panic("contract") }

// Index is the shard's number.
func (s *Shard) Index() int    { panic("contract") }
func (s *Shard) Lock()         { panic("contract") }
func (s *Shard) TryLock() bool { panic("contract") }
func (s *Shard) Unlock()       { panic("contract") }

// Find returns the entry of key, or 0. It does not look at the expiry.
func (s *Shard) Find(db int, h uint64, key []byte) Ref { panic("contract") }

// Key and Value are views into the arena, valid until the next mutating call on the shard. Not to be written to.
func (s *Shard) Key(r Ref) []byte              { panic("contract") }
func (s *Shard) Value(r Ref) []byte            { panic("contract") } // strings only
func (s *Shard) Type(r Ref) Type               { panic("contract") }
func (s *Shard) Encoding(r Ref) Encoding       { panic("contract") }
func (s *Shard) ExpireAt(r Ref) int64          { panic("contract") } // Unix ms, or NoExpire
func (s *Shard) Access(r Ref) uint32           { panic("contract") } // the 24-bit access word: LRU clock or LFU counter, meaning is the caller's
func (s *Shard) SetAccess(r Ref, w uint32)     { panic("contract") }
func (s *Shard) SetEncoding(r Ref, e Encoding) { panic("contract") }

// MemoryUsage returns the bytes of arena and table that the entry accounts for.
func (s *Shard) MemoryUsage(r Ref) int { panic("contract") }

// PutString stores a string. r is what Find returned for this key (0: a new key); whatever type it had is
// replaced. expireAt is in Unix ms or NoExpire. val is copied; it may be a view of the same shard.
// access is the initial access word.
func (s *Shard) PutString(db int, h uint64, r Ref, key, val []byte, enc Encoding, expireAt int64, access uint32) Ref {
	panic("contract")
}

// Resize makes the string value of r exactly n bytes long, new bytes zero, keeping room to grow
// (amortised appends), and returns the entry and a writable view of the value (valid until the next mutating
// call on the shard). Encoding becomes Raw. With n equal to the present length it is how a value is edited in place.
func (s *Shard) Resize(db int, h uint64, r Ref, n int) (Ref, []byte) { panic("contract") }

// SetExpire sets or (NoExpire) clears the expiry.
func (s *Shard) SetExpire(db int, h uint64, r Ref, at int64) Ref { panic("contract") }

// Delete removes an entry. Large values are given back in the background, never inside the call.
func (s *Shard) Delete(db int, h uint64, r Ref) { panic("contract") }

// Move takes the entry out of (s, db) and puts it, with its expiry, under (dst, dstDB, dstHash, dstKey), where no entry
// may stand. Both shards must be locked; s and dst may be one. It serves RENAME and MOVE.
func (s *Shard) Move(db int, h uint64, r Ref, dst *Shard, dstDB int, dstHash uint64, dstKey []byte) Ref {
	panic("contract")
}

// Copy is Move that leaves the source (COPY).
func (s *Shard) Copy(db int, r Ref, dst *Shard, dstDB int, dstHash uint64, dstKey []byte) Ref {
	panic("contract")
}

// Len and Expires count the keys of a database in this shard, and those of them with an expiry.
func (s *Shard) Len(db int) int     { panic("contract") }
func (s *Shard) Expires(db int) int { panic("contract") }

// AvgTTL estimates the mean ms to expiry of the database's volatile keys in this shard (0: none).
func (s *Shard) AvgTTL(db int, now int64) int64 { panic("contract") }

// Scan visits the entries of at least one bucket from cursor (a position in hash order) on, and returns the cursor to continue
// from, 0 at the end. Every entry present during the whole of a scan is visited; the table may grow and shrink
// in between. visit must not mutate the shard.
func (s *Shard) Scan(db int, cursor uint64, visit func(r Ref)) uint64 { panic("contract") }

// Random returns a random entry, each equally likely within reason, or 0. rnd gives random 64-bit numbers.
func (s *Shard) Random(db int, rnd func() uint64) Ref { panic("contract") }

// NextExpiry returns the earliest expiry (Unix ms) in the shard over all databases, or NoExpire.
func (s *Shard) NextExpiry() int64 { panic("contract") }

// FirstExpired returns the entry with the earliest expiry if that is <= now, or r=0.
func (s *Shard) FirstExpired(now int64) (db int, h uint64, r Ref) { panic("contract") }

// Flush empties a database of this shard in O(1) for the caller: memory is given back in the background, or with
// wait before it returns.
func (s *Shard) Flush(db int, wait bool) { panic("contract") }

// An Encoder appends the serialised entry to dst (used by snapshots; RDB is the engine's business).
type Encoder func(dst []byte, db int, s *Shard, r Ref) []byte

// Snapshot is an exact image of the keyspace at the moment BeginSnapshot was called (design D9): every entry is
// encoded once, as it was then. An entry about to be changed or removed that was not yet visited is encoded first.
// Entries created since are left out.
type Snapshot struct{ snapshotImpl }
type snapshotImpl struct{}

// BeginSnapshot starts a snapshot. All shards must be locked. One at a time: a second begins only after Close.
// FLUSHALL, SWAPDB during a snapshot keep it exact.
func (ks *Keyspace) BeginSnapshot(enc Encoder) *Snapshot { panic("contract") }

// Step locks shard i briefly (bounded by some 100 µs of work), appends encoded entries to dst, and reports whether the shard is
// finished. Callers go round the shards so that no shard's pre-images pile up.
func (sn *Snapshot) Step(i int, dst []byte) (out []byte, done bool) { panic("contract") }

// PendingBytes is the memory held by pre-images not yet fetched by Step.
func (sn *Snapshot) PendingBytes() int64 { panic("contract") }

// Counts returns keys and volatile keys per database as of the snapshot (for RDB's RESIZEDB).
func (sn *Snapshot) Counts(db int) (keys, expires int) { panic("contract") }

// Close ends the snapshot, finished or not. Locks shards itself, briefly.
func (sn *Snapshot) Close() { panic("contract") }

// MemoryStats says where the memory is. Bytes.
type MemoryStats struct {
	Mapped, Used, Tables, Entries, Large, ExpiryIndex, Free, PendingFree int64
}

// Memory sums over all shards without locking them for longer than a read of counters.
func (ks *Keyspace) Memory() MemoryStats { panic("contract") }

// Used is the bytes in use by data, cheap enough for every command (an atomic load or a few).
func (ks *Keyspace) Used() int64 { panic("contract") }
