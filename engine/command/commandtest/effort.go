//go:build !race

package commandtest

// Effort divides the length of random tests.
const Effort = 1
