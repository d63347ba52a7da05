// Package differential runs seeded random command sequences on tidemark and on
// the machine's redis-server and compares every reply, and from time to time the whole state.
//
// A run is a function of its seed: a failure prints the seed, the step and the
// latest commands. TIDEMARK_SEED repeats a run, TIDEMARK_DIFF_OPS sets its length.
package differential
