//go:build race

package keyspace

// effort divides the length of random tests: under the race detector they run some ten times slower.
const effort = 10
