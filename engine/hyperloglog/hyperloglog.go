// Package hyperloglog is the family that estimates how many different elements were seen: PFADD, PFCOUNT, PFMERGE.
//
// A HyperLogLog is a string, in Redis's own form, so that GET, SET, DUMP, RDB files and replicas exchange it with redis-server:
//
//	0  4  "HYLL"
//	4  1  0: dense, 1: sparse
//	5  3  zero
//	8  8  the last estimate, little endian; bit 7 of the last byte says that it is out of date
//	16    dense: 16384 registers of 6 bits, the first in the lowest bits of the first byte
//	      sparse: runs of equal registers
//
//	00nnnnnn           n+1 registers that are 0
//	01nnnnnn nnnnnnnn  n+1 registers that are 0, the higher bits first
//	1vvvvvnn           n+1 registers that are v+1
//
// The hash of an element (hash.go) chooses a register by its lowest 14 bits; the register keeps the longest run of zeros seen above
// them, plus one. A sparse one becomes dense when it would exceed hll-sparse-max-bytes, or a register 32, and stays so.
//
// PFCOUNT of one key stores the estimate it made. That is a change, and stands in the log as the request, which makes the same
// estimate wherever it is replayed: a stock redis-server takes it from its primary in the same way. On a replica, and while the log
// takes nothing, PFCOUNT leaves the key alone.
//
// How runs are split and joined (sparse.go) was taken from redis-server by experiment, as it shows in GET.
// https://redis.io/docs/latest/commands/?group=hyperloglog
package hyperloglog

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
)

// Commands returns the descriptors of the family. Each call makes new ones: a table writes into them.
func Commands() []*command.Descriptor {
	return []*command.Descriptor{pfaddCommand(), pfcountCommand(), pfmergeCommand(), pfdebugCommand(), pfselftestCommand()}
}

var keyArg = command.Arg{Name: "key", Type: "key"}

const (
	errCorrupt = "INVALIDOBJ Corrupted HLL object detected"
	errNotHLL  = "WRONGTYPE Key is not a valid HyperLogLog string value."
)

const (
	indexBits  = 14
	registers  = 1 << indexBits
	maxRank    = 64 - indexBits + 1 // the most a register can be
	header     = 16
	denseBytes = header + registers*6/8
	formAt     = 4
	stale      = 0x80 // of the byte at staleAt
	staleAt    = 15

	dense  = 0
	sparse = 1
)

// valid reports whether a string is a HyperLogLog as far as its header says. The runs of a sparse one are checked when they are read.
func valid(v []byte) bool {
	return len(v) >= header && string(v[:formAt]) == "HYLL" && (v[formAt] == sparse || v[formAt] == dense && len(v) == denseBytes)
}

// check reports whether an entry that a Find gave is a HyperLogLog. If not, the error has been replied.
func check(c *command.Ctx, k *command.Key, r keyspace.Ref) (v []byte, ok bool) {
	if k.Shard.Type(r) != keyspace.String {
		c.W.Error(command.ErrWrongType)
		return nil, false
	}
	if v = k.Shard.Value(r); !valid(v) {
		c.W.Error(errNotHLL)
		return nil, false
	}
	return v, true
}

// newSparse is a HyperLogLog that has seen nothing. Its estimate, 0, is up to date.
var newSparse = []byte("HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x7f\xff")
