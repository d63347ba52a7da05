// Package aof is the log: one totally ordered stream of effects, the rings it is gathered in, its segments on disk,
// and the watermarks that say how far it has come.
//
// # The problem
//
// Many threads execute writes, each under the lock of one shard. All of them must end up in one stream, in an order that
// agrees with what each of them saw, in files that survive a power loss, at the cost of a memory copy per write. The one
// shared word on that path is the 64-bit tail: an atomic addition to it hands out offsets, and everything else is private to
// the shard until the drainer comes by.
//
// # Terms
//
//	log        the stream of effects; its bytes are exactly Redis's replication stream
//	offset     a byte position in the log
//	record     what one Append contributes: whole effects, never torn apart
//	ring       the per-shard, single-writer buffer between execution and the segment
//	batch      consecutive records under one header and one checksum: the unit of recovery
//	segment    one incremental file of the AOF directory
//	cut        an offset at which the log changes over to the next segment
//	Reserved ≥ Appended ≥ Synced   handed out; in the segment's page cache; on the disk
//
// # The stages
//
//	Append   CAS on tail ─► copy into ring ─► publish           (the shard's lock is held)
//	drain    next offset's ring ─► batch ─► Tail, segment       (append role)
//	sync     fdatasync of every segment with unsynced batches   (sync role)
//
// The two roles are played by whichever thread calls Commit; each is held by one thread at a time, and a caller that finds
// a role taken leaves its wish with the holder. They are separate so that a slow disk never keeps the rings from draining. When
// one does all the same, what is in the rings goes to the Tail without the drainer (stage.go): sending waits for no disk.
//
// # Invariants
//
//   - A record lies in exactly one ring, and its offset was taken while its shard's lock was held: if B saw A's effect,
//     A's offset is smaller.
//   - The drained prefix has no holes: the drainer stops at an offset that is reserved but not yet published.
//   - A batch never spans a cut, a record never spans a batch.
//   - Bytes of a segment before its synced position are never written again.
//   - Stores through a mapping only ever go to blocks that were allocated and written before: no SIGBUS.
//   - An epoch (a random number per use of a segment file) is used once: what an earlier use left behind cannot be read.
//
// # Rejected
//
// A ring shared by all shards needs either a lock or per-slot publication flags in shared cache lines; per-shard rings cost
// the merge by offset, which hints make O(1). A committer thread of its own costs two context switches per commit.
//
// # Locks, outermost first
//
//	append role ─► sync role ─► metaMu (manifest and sidecar) ─► pinMu, segMu (list of segments, positions)
//	append role ─► stageMu (staging) ─► Tail.mu, ring.refMu
//
// The layout of the bytes on disk is drawn in batch.go and docs/aof-format.md.
package aof
