// Package stream is the stream family: XADD, XRANGE, XREAD and their kin, and consumer groups.
//
// A stream is a coll.Stream: nodes of packed entries in a tree by ID, and trees of what is pending for groups and consumers. It may have no
// entries and be there all the same.
//
// Whatever depends on a clock, on the order of arrival or on how nodes are cut is logged by effect: XADD with the ID it gave and exact
// trimming, XREADGROUP as XCLAIM and XGROUP SETID.
//
// Behaviour, order of checks and error texts were taken from redis-server by experiment, and where 7.4 differs from 7.0, from its documentation.
// https://redis.io/docs/latest/commands/?group=stream
package stream

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/netio/resp"
)

// Commands returns the descriptors of the family. Each call makes new ones: a table writes into them.
func Commands() []*command.Descriptor {
	return []*command.Descriptor{
		xaddCommand(), xtrimCommand(), xdelCommand(), xsetidCommand(), xlenCommand(), xrangeCommand(), xrevrangeCommand(),
		xreadCommand(), xreadgroupCommand(), xgroupCommand(), xackCommand(), xpendingCommand(), xclaimCommand(), xautoclaimCommand(), xinfoCommand(),
	}
}

// The arguments most commands of the family have.
var (
	keyArg   = command.Arg{Name: "key", Type: "key"}
	idsArg   = command.Arg{Name: "id", Type: "string", Flags: command.Multiple}
	countArg = command.Arg{Name: "count", Type: "integer", Token: "COUNT", Flags: command.Optional}
)

func arg(name, typ string) command.Arg { return command.Arg{Name: name, Type: typ} }

// option describes an optional argument after a word.
func option(name, typ, token, since string) command.Arg {
	return command.Arg{Name: name, Type: typ, Token: token, Flags: command.Optional, Since: since}
}

// word describes a word that is an argument.
func word(name, token, since string, flags command.ArgFlags) command.Arg {
	return command.Arg{Name: name, Type: "pure-token", Token: token, Since: since, Flags: flags}
}

func oneOf(name string, flags command.ArgFlags, args ...command.Arg) command.Arg {
	return command.Arg{Name: name, Type: "oneof", Flags: flags, Args: args}
}

func block(name string, flags command.ArgFlags, args ...command.Arg) command.Arg {
	return command.Arg{Name: name, Type: "block", Flags: flags, Args: args}
}

// describe makes the descriptor of a command whose only key is its first argument.
func describe(name, since string, arity int, flags command.Flags, keyFlags command.KeyFlags, handler func(*command.Ctx), summary, complexity string,
	args ...command.Arg) *command.Descriptor {
	d := &command.Descriptor{
		Name: name, Arity: arity, Flags: flags, Categories: command.CatStream, Keys: command.One(keyFlags), Handler: handler,
		Group: "stream", Since: since, Summary: summary, Complexity: complexity, Args: append([]command.Arg{keyArg}, args...),
	}
	if flags&command.Write != 0 {
		d.Log = command.LogRequest
	}
	return d
}

const (
	read = command.KeyRO | command.KeyAccess
	one  = "O(log(N)) where N is the number of entries"
)

// find is Ctx.Find for a stream, the request's first key: ok is false when it is of another type, and the error has been replied.
func find(c *command.Ctx) (r keyspace.Ref, ok bool) { return c.FindTyped(&c.Keys[0], keyspace.Stream) }

// findForWrite is find by Ctx.FindForWrite.
func findForWrite(c *command.Ctx) (r keyspace.Ref, ok bool) {
	return c.FindTypedForWrite(&c.Keys[0], keyspace.Stream)
}

// open gives a stream to read, good as long as r is.
func open(k *command.Key, r keyspace.Ref, m *coll.Mem) coll.Stream {
	*m = k.Shard.Open(r)
	return coll.Stream{Mem: m}
}

// nothing is the reply of a wait in vain.
func nothing(w *resp.Writer) { w.NullArray() }

// create makes an empty stream under a key that does not exist.
func create(c *command.Ctx, k *command.Key) keyspace.Ref {
	d := k.Shard.Draft(c.DB, keyspace.Stream, keyspace.StreamTree)
	d.Stream().Init()
	return k.Shard.Attach(d, k.Hash, 0, k.Name, keyspace.NoExpire, c.AccessClock())
}
