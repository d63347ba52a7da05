//go:build race

package coll

const effort = 20
