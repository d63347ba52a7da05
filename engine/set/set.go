// Package set is the set family: SADD, SREM and their kin, SPOP, SRANDMEMBER, SSCAN, and what sets have in common (SINTER, SUNION, SDIFF).
//
// A small set is a set of integers (keyspace.IntSet) or a packed list of members (keyspace.ListPack), a large one a table of elements
// (keyspace.HashTable, coll.Dict). What changes a set goes through editor, what reads members through source; both know all three.
// A set of integers becomes a packed list with the first member that is none, and large when it has too many members (set-max-intset-entries);
// a packed list becomes large when it has too many (set-max-listpack-entries) or one that is too long (set-max-listpack-value).
// No set becomes small again, but where a command makes a new one: SPOP that leaves few members, SINTERSTORE and its kin. An empty one is
// removed with its key.
//
// Behaviour, order of checks and error texts were taken from redis-server by experiment, and from its documentation what is newer than 7.0.
// https://redis.io/docs/latest/commands/?group=set
package set

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
)

// Commands returns the descriptors of the family. Each call makes new ones: a table writes into them.
func Commands() []*command.Descriptor {
	return []*command.Descriptor{
		saddCommand(), sremCommand(), smoveCommand(), spopCommand(),
		sismemberCommand(), smismemberCommand(), scardCommand(), smembersCommand(), srandmemberCommand(), sscanCommand(),
		sinterCommand(), sinterstoreCommand(), sintercardCommand(), sunionCommand(), sunionstoreCommand(), sdiffCommand(), sdiffstoreCommand(),
	}
}

// The arguments most commands of the family have.
var (
	keyArg     = command.Arg{Name: "key", Type: "key"}
	keysArg    = command.Arg{Name: "key", Type: "key", Flags: command.Multiple}
	memberArg  = command.Arg{Name: "member", Type: "string"}
	membersArg = command.Arg{Name: "member", Type: "string", Flags: command.Multiple}
)

// describe makes the descriptor of a command whose only key is its first argument.
func describe(name, since string, arity int, flags command.Flags, keyFlags command.KeyFlags, handler func(*command.Ctx), summary, complexity string,
	args ...command.Arg) *command.Descriptor {
	d := &command.Descriptor{
		Name: name, Arity: arity, Flags: flags, Categories: command.CatSet, Keys: command.One(keyFlags), Handler: handler,
		Group: "set", Since: since, Summary: summary, Complexity: complexity, Args: append([]command.Arg{keyArg}, args...),
	}
	if flags&command.Write != 0 {
		d.Log = command.LogRequest
	}
	return d
}

const read = command.KeyRO | command.KeyAccess

// find is Ctx.Find for a set, the request's first key: ok is false when it is of another type, and the error has been replied.
func find(c *command.Ctx) (r keyspace.Ref, ok bool) { return c.FindTyped(&c.Keys[0], keyspace.Set) }

// findForWrite is find by Ctx.FindForWrite.
func findForWrite(c *command.Ctx) (r keyspace.Ref, ok bool) {
	return c.FindTypedForWrite(&c.Keys[0], keyspace.Set)
}
