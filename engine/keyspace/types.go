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

// The encodings; there is room for 16. With those from HashTable on, what the entry has in the place of a value is the Root of a collection.
const (
	Raw        Encoding = 0
	Int        Encoding = 1 // the value's bytes are the decimal text of an int64
	EmbStr     Encoding = 2
	ListPack   Encoding = 3 // a packed.List
	IntSet     Encoding = 4 // an intset.Set
	ListPackEx Encoding = 5 // a packed.List of field, value, expiry, ...: Shard.Triples
	HashTable  Encoding = 8 // a coll.Dict, of a hash whose fields may expire also a coll.Tree
	SkipList   Encoding = 9 // a coll.Dict and a coll.Tree of the same elements
	QuickList  Encoding = 10
	StreamTree Encoding = 11 // a coll.Stream
)

var encodingNames = [...]string{"raw", "int", "embstr", "listpack", "intset", "listpackex", "", "", "hashtable", "skiplist", "quicklist", "stream"}

// String returns the name OBJECT ENCODING replies with.
func (e Encoding) String() string { return encodingNames[e] }

// IsRoot reports whether the value is a collection's Root rather than bytes.
func (e Encoding) IsRoot() bool { return e >= HashTable }

const rootIt = uint64(HashTable) << encShift // the bit of an entry's first word that says so

// NoExpire is the expiry of a key that has none.
const NoExpire int64 = -1

// Ref names an entry of one shard. It is valid until the next mutating call on that shard; 0 is no entry.
type Ref = arena.Ref
