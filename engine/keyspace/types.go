package keyspace

import "tidemark/engine/keyspace/arena"

// Type is a key's data type.
type Type uint8

// The data types, in the order of Redis's OBJ_* constants.
const (
	String Type = iota
	List
	Set
	ZSet
	Hash
	Stream
)

// String returns the name TYPE replies with.
func (t Type) String() string {
	return [...]string{"string", "list", "set", "zset", "hash", "stream"}[t]
}

// Encoding is how a value is represented, as OBJECT ENCODING names it.
type Encoding uint8

// The encodings of strings. More come with the other types; there is room for 16.
const (
	Raw Encoding = iota
	Int          // the value's bytes are the decimal text of an int64
	EmbStr
)

// String returns the name OBJECT ENCODING replies with.
func (e Encoding) String() string { return [...]string{"raw", "int", "embstr"}[e] }

// NoExpire is the expiry of a key that has none.
const NoExpire int64 = -1

// Ref names an entry of one shard. It is valid until the next mutating call on that shard; 0 is no entry.
type Ref = arena.Ref
