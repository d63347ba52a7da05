// Package zset is the sorted set family: ZADD, ZRANGE and their kin, what takes members out, ZSCAN, ZRANDMEMBER.
//
// A small sorted set is a packed list of members and scores in order (keyspace.ListPack); a large one is a table of elements and a tree of
// the same elements by score and member (keyspace.SkipList, coll.Dict and coll.Tree). Reading goes through reader, changing through editor,
// which know both. Whatever names a part of a sorted set (ranks, scores, members) is turned into an interval of ranks first.
// A small sorted set becomes large when a member comes that is too long (zset-max-listpack-value) or one too many
// (zset-max-listpack-entries), and stays so; an empty one is removed with its key.
//
// Behaviour, order of checks and error texts were taken from redis-server by experiment.
// https://redis.io/docs/latest/commands/?group=sorted-set
package zset

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
)

// Commands returns the descriptors of the family. Each call makes new ones: a table writes into them.
func Commands() []*command.Descriptor {
	return []*command.Descriptor{
		zaddCommand(), zincrbyCommand(), zremCommand(), zremrangebyrankCommand(), zremrangebyscoreCommand(), zremrangebylexCommand(),
		zpopminCommand(), zpopmaxCommand(), zmpopCommand(), bzpopminCommand(), bzpopmaxCommand(), bzmpopCommand(),
		zcardCommand(), zscoreCommand(), zmscoreCommand(), zrankCommand(), zrevrankCommand(), zcountCommand(), zlexcountCommand(),
		zrangeCommand(), zrangestoreCommand(), zrevrangeCommand(), zrangebyscoreCommand(), zrevrangebyscoreCommand(),
		zrangebylexCommand(), zrevrangebylexCommand(),
		zunionCommand(), zinterCommand(), zdiffCommand(), zunionstoreCommand(), zinterstoreCommand(), zdiffstoreCommand(), zintercardCommand(),
		zrandmemberCommand(), zscanCommand(),
	}
}

// The arguments most commands of the family have.
var (
	keyArg        = command.Arg{Name: "key", Type: "key"}
	memberArg     = command.Arg{Name: "member", Type: "string"}
	membersArg    = command.Arg{Name: "member", Type: "string", Flags: command.Multiple}
	withScoresArg = command.Arg{Name: "withscores", Type: "pure-token", Token: "WITHSCORES", Flags: command.Optional}
)

func arg(name, typ string) command.Arg { return command.Arg{Name: name, Type: typ} }

// flag describes an optional word.
func flag(name, token, since string) command.Arg {
	return command.Arg{Name: name, Type: "pure-token", Token: token, Flags: command.Optional, Since: since}
}

// either describes an optional choice between words, whose names are the words in lower case.
func either(name, since string, flags command.ArgFlags, words ...string) command.Arg {
	a := command.Arg{Name: name, Type: "oneof", Flags: flags, Since: since}
	for i := 0; i < len(words); i += 2 {
		a.Args = append(a.Args, command.Arg{Name: words[i], Type: "pure-token", Token: words[i+1]})
	}
	return a
}

// describe makes the descriptor of a command whose only key is its first argument.
func describe(name, since string, arity int, flags command.Flags, keyFlags command.KeyFlags, handler func(*command.Ctx), summary, complexity string,
	args ...command.Arg) *command.Descriptor {
	d := &command.Descriptor{
		Name: name, Arity: arity, Flags: flags, Categories: command.CatSortedSet, Keys: command.One(keyFlags), Handler: handler,
		Group: "sorted-set", Since: since, Summary: summary, Complexity: complexity, Args: append([]command.Arg{keyArg}, args...),
	}
	if flags&command.Write != 0 {
		d.Log = command.LogRequest
	}
	return d
}

const (
	read = command.KeyRO | command.KeyAccess
	perM = "O(log(N)+M) where N is the number of members and M the number of those concerned"
	perN = "O(log(N)) where N is the number of members"
)

// find is Ctx.Find for a sorted set, the request's first key: ok is false when it is of another type, and the error has been replied.
func find(c *command.Ctx) (r keyspace.Ref, ok bool) { return c.FindTyped(&c.Keys[0], keyspace.ZSet) }

// findForWrite is find by Ctx.FindForWrite.
func findForWrite(c *command.Ctx) (r keyspace.Ref, ok bool) {
	return c.FindTypedForWrite(&c.Keys[0], keyspace.ZSet)
}
