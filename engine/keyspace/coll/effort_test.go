//go:build !race

package coll

// effort divides the length of random tests.
const effort = 1
