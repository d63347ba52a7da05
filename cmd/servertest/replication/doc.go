// Package replication runs primaries and replicas as real processes, breaks them and
// the links between them at random moments, and checks what replication promises:
//
//   - nodes at equal offsets hold equal data, and all come together once they are left in peace (schedules);
//   - what WAIT or WAITAOF has confirmed is there after the primary was killed and a replica promoted (schedules);
//   - stock redis-server and tidemark replicate from each other (interop);
//   - a peer that talks nonsense costs the link, not the server (hostile).
//
// The same code drives any program in any part; pairings has the combinations that are run. Each kind of check is
// shown a fault that was planted on purpose (planted_test.go), so that a check which sees nothing is noticed.
//
// TIDEMARK_SCHEDULES sets the number of schedules a pairing, TIDEMARK_SEED the seed of the first; schedule i has
// seed+i, so a failing one is repeated with TIDEMARK_SCHEDULES=1 and its own seed. The choices repeat, the timing does not.
package replication
