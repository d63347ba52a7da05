//go:build !race

package keyspace

// effort divides the length of random tests.
const effort = 1
