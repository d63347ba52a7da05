package generic

import (
	"math"

	"tidemark/engine/command"
)

func twoKeys(first, second command.KeyFlags) []command.KeySpec {
	return []command.KeySpec{{Flags: first, Begin: 1, Step: 1}, {Flags: second, Begin: 2, Step: 1}}
}

var rename = &command.Descriptor{
	Name: "rename", Arity: 3, Flags: command.Write, Categories: command.CatKeyspace,
	Keys: twoKeys(command.KeyRW|command.KeyAccess|command.KeyDelete, command.KeyOW|command.KeyUpdate),
	Log:  command.LogRequest,
	Handler: func(c *command.Ctx) {
		switch renameKey(c, true) {
		case renamed, sameName:
			c.W.OK()
		}
	},
	Group: "generic", Since: "1.0.0", Summary: "Gives a key another name, in place of whatever had that name.",
	Complexity: "O(1)",
	Args:       renameArgs,
}

var renameNX = &command.Descriptor{
	Name: "renamenx", Arity: 3, Flags: command.Write | command.Fast, Categories: command.CatKeyspace,
	Keys: twoKeys(command.KeyRW|command.KeyAccess|command.KeyDelete, command.KeyOW|command.KeyInsert),
	Log:  command.LogRequest,
	Handler: func(c *command.Ctx) {
		switch renameKey(c, false) {
		case renamed:
			c.W.Int(1)
		case sameName, nameTaken:
			c.W.Int(0)
		}
	},
	Group: "generic", Since: "1.0.0", Summary: "Gives a key another name unless a key has that name already.",
	Complexity: "O(1)",
	Args:       renameArgs,
	History:    [][2]string{{"3.2.0", "The command no longer returns an error when source and destination names are the same."}},
}

var renameArgs = []command.Arg{{Name: "key", Type: "key"}, {Name: "newkey", Type: "key", KeySpec: 1}}

type renameResult uint8

const (
	noSource renameResult = iota // the error has been replied
	sameName
	nameTaken
	renamed
)

func renameKey(c *command.Ctx, replace bool) renameResult {
	src, dst := &c.Keys[0], &c.Keys[1]
	if c.FindForWrite(src) == 0 {
		c.W.Error(command.ErrNoSuchKey)
		return noSource
	}
	if string(src.Name) == string(dst.Name) {
		return sameName
	}
	if r := c.Peek(dst); r != 0 {
		if !replace {
			return nameTaken
		}
		dst.Shard.Delete(c.DB, dst.Hash, r)
	}
	// Looked up again: the destination may live in the same shard, and removing it made the first look stale.
	r := src.Shard.Find(c.DB, src.Hash, src.Name)
	r = src.Shard.Move(c.DB, src.Hash, r, dst.Shard, c.DB, dst.Hash, dst.Name)
	dst.Shard.SetAccess(r, c.AccessClock()) // a new key, since Redis 7.2
	c.Changed(src)
	c.AlsoChangedIn(c.DB, dst)
	return renamed
}

var copyCmd = &command.Descriptor{
	Name: "copy", Arity: -3, Flags: command.Write | command.DenyOOM, Categories: command.CatKeyspace,
	Keys: twoKeys(command.KeyRO|command.KeyAccess, command.KeyOW|command.KeyUpdate),
	Log:  command.LogRequest, Handler: copyKey,
	Group: "generic", Since: "6.2.0", Summary: "Copies a key with its expiry to another name, or to another database.",
	Complexity: "O(N) where N is the size of the value.",
	Args: []command.Arg{{Name: "source", Type: "key"}, {Name: "destination", Type: "key", KeySpec: 1},
		{Name: "destination-db", Type: "integer", Token: "DB", Flags: command.Optional},
		{Name: "replace", Type: "pure-token", Token: "REPLACE", Flags: command.Optional}},
}

func copyKey(c *command.Ctx) {
	db, replace := c.DB, false
	for i := 3; i < len(c.Args); i++ {
		switch {
		case command.Is(c.Args[i], "replace"):
			replace = true
		case command.Is(c.Args[i], "db") && i+1 < len(c.Args):
			i++
			var ok bool
			if db, ok = dbIndex(c, i); !ok {
				return
			}
		default:
			c.W.Error(command.ErrSyntax)
			return
		}
	}
	src, dst := &c.Keys[0], &c.Keys[1]
	if db == c.DB && string(src.Name) == string(dst.Name) {
		c.W.Error(command.ErrSameObject)
		return
	}
	if c.Find(src) == 0 {
		c.W.Int(0)
		return
	}
	if r := c.PeekIn(db, dst); r != 0 {
		if !replace {
			c.W.Int(0)
			return
		}
		dst.Shard.Delete(db, dst.Hash, r)
	}
	r := src.Shard.Find(c.DB, src.Hash, src.Name) // as in renameKey
	made := src.Shard.Copy(c.DB, r, dst.Shard, db, dst.Hash, dst.Name)
	dst.Shard.SetAccess(made, c.AccessClock()) // the source's accesses are not its own
	c.ChangedIn(db, dst)
	c.W.Int(1)
}

var move = &command.Descriptor{
	Name: "move", Arity: 3, Flags: command.Write | command.Fast, Categories: command.CatKeyspace,
	Keys: command.One(command.KeyRW | command.KeyAccess | command.KeyUpdate),
	Log:  command.LogRequest, Handler: moveKey,
	Group: "generic", Since: "1.0.0", Summary: "Takes a key with its expiry to another database, unless that has such a key already.",
	Complexity: "O(1)",
	Args:       []command.Arg{{Name: "key", Type: "key"}, {Name: "db", Type: "integer"}},
}

func moveKey(c *command.Ctx) {
	db, ok := dbIndex(c, 2)
	if !ok {
		return
	}
	if db == c.DB {
		c.W.Error(command.ErrSameObject)
		return
	}
	k := &c.Keys[0]
	if c.FindForWrite(k) == 0 || c.PeekIn(db, k) != 0 {
		c.W.Int(0)
		return
	}
	r := k.Shard.Find(c.DB, k.Hash, k.Name) // as in renameKey
	r = k.Shard.Move(c.DB, k.Hash, r, k.Shard, db, k.Hash, k.Name)
	k.Shard.SetAccess(r, c.AccessClock())
	c.Changed(k)
	c.AlsoChangedIn(db, k)
	c.W.Int(1)
}

// dbIndex parses argument i as the number of a database; when it is none, the error has been replied.
func dbIndex(c *command.Ctx, i int) (db int, ok bool) {
	n, ok := c.Int(i)
	switch {
	case !ok:
		return 0, false
	case n < math.MinInt32 || n > math.MaxInt32:
		c.W.Error("ERR value is out of range, value must between -2147483648 and 2147483647")
		return 0, false
	case n < 0 || n >= int64(c.Store.KS.Databases()):
		c.W.Error(command.ErrDBIndex)
		return 0, false
	}
	return int(n), true
}
