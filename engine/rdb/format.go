// Package rdb writes and reads RDB, Redis's snapshot format, and DUMP payloads.
//
//	file    | "REDIS" "0010" or "0012" | item ... | 0xFF | CRC-64 of all before : 64, little-endian (0: not computed) |
//	item    | 0xFA key value |          auxiliary field
//	        | 0xFE db |                 what follows belongs to this database
//	        | 0xFB keys expires |       size hint for the database
//	        | [0xFC ms : 64 or 0xFD s : 32] [0xF8 idle seconds | 0xF9 LFU counter : 8] type key value |
//	length  | 00nnnnnn | 01nnnnnn n : 8 | 0x80 n : 32, big-endian | 0x81 n : 64, big-endian |
//	string  | length bytes | 0xC0 int8 | 0xC1 int16 | 0xC2 int32 | 0xC3 compressed length, length, LZF |
//
// It writes version 10, which redis-server 7.0 and later load, or 12, which 7.4 and later load, when a hash has fields that expire; it reads versions 1 to 12. What the keyspace has no type for
// yet is recognised and refused with the key's name and the file offset.
//
// Functions called Append... are pure and safe for concurrent use. A Decoder is not.
package rdb

import "fmt"

const (
	// Version is what is written.
	Version = 10
	// VersionFieldExpiry is what is written in its place when a hash has fields that expire.
	VersionFieldExpiry = 12
	// MaxVersion is the latest that is read.
	MaxVersion = 12

	magic = "REDIS"

	opSlotInfo     = 244
	opFunction2    = 245
	opFunctionOld  = 246
	opModuleAux    = 247
	opIdle         = 248
	opFreq         = 249
	opAux          = 250
	opResizeDB     = 251
	opExpireTimeMs = 252
	opExpireTime   = 253
	opSelectDB     = 254
	opEOF          = 255

	typeString = 0

	encInt8  = 0xc0
	encInt16 = 0xc1
	encInt32 = 0xc2
	encLZF   = 0xc3

	// compressAbove is the length from which strings are tried with LZF; what saves fewer than 4 bytes is stored plain.
	compressAbove = 20
)

// typeNames are the types of RDB version 12, by number. An empty name is unused.
var typeNames = [...]string{"string", "list", "set", "zset", "hash", "zset (binary scores)", "module (version 1)", "module", "",
	"hash (zipmap)", "list (ziplist)", "set (intset)", "zset (ziplist)", "hash (ziplist)", "list (quicklist)",
	"stream (listpacks)", "hash (listpack)", "zset (listpack)", "list (quicklist 2)", "stream (listpacks 2)", "set (listpack)",
	"stream (listpacks 3)", "hash with field expiry (pre-release)", "hash with field expiry (pre-release, listpack)",
	"hash with field expiry", "hash with field expiry (listpack)"}

func typeName(t byte) string {
	if int(t) < len(typeNames) && typeNames[t] != "" {
		return typeNames[t]
	}
	return fmt.Sprintf("unknown type %d", t)
}

// A FormatError is what a Decoder found wrong, and where.
type FormatError struct {
	Offset int64  // in the file, of the item that is wrong
	Reason string // what is wrong
	Key    string // the key concerned, if known
}

func (e *FormatError) Error() string {
	if e.Key != "" {
		return fmt.Sprintf("rdb: at offset %d, key %.200q: %s", e.Offset, e.Key, e.Reason)
	}
	return fmt.Sprintf("rdb: at offset %d: %s", e.Offset, e.Reason)
}

// An UnsupportedError is a value of a type that this server does not have (yet).
type UnsupportedError struct {
	Offset int64
	Type   string
	Key    string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("rdb: at offset %d: key %.200q is a %s, a type this server does not support; delete the key or convert it before moving the data here", e.Offset, e.Key, e.Type)
}
