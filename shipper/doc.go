// Package shipper carries the log to replicas and back: replication links both ways, full synchronisation, acknowledgements, and the
// commands that are about them (PSYNC, REPLCONF, REPLICAOF, ROLE, FAILOVER, WAIT, WAITAOF).
//
// # Words
//
//   - primary, replica: the two ends of a link. A server that is a replica can be primary of others (a chain).
//   - stream: the bytes that go over a link. They are the log, at the same offsets.
//   - Received(r), Synced(r): what replica r has acknowledged having applied, and having on its disk.
//   - partial resynchronisation: the replica continues where it was. Full: it gets a snapshot exact at one offset, and continues from there.
//
// # From a SET to the answer of WAIT
//
//	primary's loop                                       replica's loop
//	  SET executed, its bytes in the shard's ring
//	  WAIT: not there yet, the client is held
//	  turn ends: commit drains the rings
//	    into the Tail, and then into the segment
//	  feed: Tail ──────── one write ───────────────────► one read
//	                                                     Follower.Apply: executes, the same bytes into its log
//	  REPLCONF ACK: Received(r) ◄─────────────────────── REPLCONF ACK n, before its own commit
//	  waiters whose offset is reached are answered       commit; once synced: REPLCONF ACK n FACK m
//
// There is no thread, no goroutine and no timer in this. A goroutine is at work only for bulk: a snapshot being sent, or a
// replica that has fallen behind what the Tail holds and is fed from the segments.
//
// # Who may touch what
//
// Fields of a replica that say so belong to the loop of its connection, or, while a bulk goroutine runs, to that; the state
// says which. Shipper.mu guards the role, the list of replicas and the queue for snapshots. It is taken by nothing on the path of a command, once a turn
// at most, and never held while something blocks.
package shipper
