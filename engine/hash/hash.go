// Package hash is the hash family: HSET, HGET and their kin, counters, HSCAN, HRANDFIELD, and fields that expire.
//
// A small hash is a packed list of fields and values (keyspace.ListPack), a large one a table of elements (keyspace.HashTable, coll.Dict).
// What changes a hash goes through editor, which knows both. A small hash becomes large when a command brings a field or value
// that is too long (hash-max-listpack-value), or when it has too many fields (hash-max-listpack-entries), and stays so; an empty one is
// removed with its key.
//
// A hash whose fields expire is kept as package keyspace has it (fields.go there). A field whose time has come is hidden from whoever reads it, and removed
// by the command that meets it or by active expiry, which the log says with HDEL; on a replica it stays until the primary's word comes. Ctx.FieldNow is the
// time that counts.
//
// Behaviour, order of checks and error texts were taken from redis-server by experiment.
// https://redis.io/docs/latest/commands/?group=hash
package hash

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
)

// Commands returns the descriptors of the family. Each call makes new ones: a table writes into them.
func Commands() []*command.Descriptor {
	return []*command.Descriptor{
		hsetCommand(), hsetnxCommand(), hmsetCommand(), hdelCommand(), hincrbyCommand(), hincrbyfloatCommand(),
		hgetCommand(), hmgetCommand(), hgetallCommand(), hkeysCommand(), hvalsCommand(), hlenCommand(), hexistsCommand(), hstrlenCommand(),
		hscanCommand(), hrandfieldCommand(),
		expirer("hexpire", 1000, true), expirer("hpexpire", 1, true), expirer("hexpireat", 1000, false), expirer("hpexpireat", 1, false),
		expiryReader("httl", true, true), expiryReader("hpttl", false, true), expiryReader("hexpiretime", true, false), expiryReader("hpexpiretime", false, false),
		hpersistCommand(), hgetexCommand(), hsetexCommand(), hgetdelCommand(),
	}
}

// The arguments most commands of the family begin with.
var (
	keyArg    = command.Arg{Name: "key", Type: "key"}
	fieldArg  = command.Arg{Name: "field", Type: "string"}
	fieldsArg = command.Arg{Name: "field", Type: "string", Flags: command.Multiple}
	valueArg  = command.Arg{Name: "value", Type: "string"}
)

// find is Ctx.Find for a hash: ok is false when the key holds another type, and the error has been replied.
func find(c *command.Ctx) (r keyspace.Ref, ok bool) { return c.FindTyped(&c.Keys[0], keyspace.Hash) }

// findForWrite is find by Ctx.FindForWrite.
func findForWrite(c *command.Ctx) (r keyspace.Ref, ok bool) {
	return c.FindTypedForWrite(&c.Keys[0], keyspace.Hash)
}
