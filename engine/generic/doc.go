// Package generic has the commands that work on keys whatever their type, and on the keyspace as a whole: DEL, RENAME, SCAN,
// EXPIRE, FLUSHALL, OBJECT, MEMORY and their kin. Replies, errors and the order in which arguments are checked are Redis's:
// https://redis.io/docs/latest/commands/?group=generic
//
// What they see of a key is its entry in the keyspace; no handler here knows how a type is stored.
package generic

import "tidemark/engine/command"

// Commands returns the descriptors of the family.
func Commands() []*command.Descriptor {
	return []*command.Descriptor{
		del, unlink, exists, touch, typeCmd,
		rename, renameNX, copyCmd, move,
		keys, scan, randomKey, dbSize,
		swapDB, flushDB, flushAll,
		expire, pexpire, expireAt, pexpireAt,
		ttl, pttl, expireTime, pexpireTime, persist,
		object, memory,
		dump, restore,
		sortCmd, sortROCmd,
	}
}

// manyKeys is the key specification of commands all of whose arguments are keys.
func manyKeys(f command.KeyFlags) []command.KeySpec {
	return []command.KeySpec{{Flags: f, Begin: 1, Last: -1, Step: 1}}
}

var (
	keyArg  = []command.Arg{{Name: "key", Type: "key"}}
	keysArg = []command.Arg{{Name: "key", Type: "key", Flags: command.Multiple}}
)
