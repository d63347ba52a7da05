//go:build race

package commandtest

// Effort divides the length of random tests: under the race detector they run some ten times slower.
const Effort = 10
