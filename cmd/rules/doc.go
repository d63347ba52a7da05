// Package rules holds the tests that keep the house in order: which package
// may import which, what stands at the top level, and the rules of style that
// a program can check. It has no code of its own.
package rules
