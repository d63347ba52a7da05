package generic

import (
	"math"
	"strconv"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/rdb"
)

var dump = &command.Descriptor{
	Name: "dump", Arity: 2, Flags: command.ReadOnly, Categories: command.CatKeyspace,
	Keys: command.One(command.KeyRO | command.KeyAccess),
	Handler: func(c *command.Ctx) {
		k := &c.Keys[0]
		if r := c.Find(k); r != 0 {
			c.W.Bulk(rdb.AppendDump(nil, k.Shard, r, true))
		} else {
			c.W.Null()
		}
	},
	Group: "generic", Since: "2.6.0", Summary: "Gives a key's value in the serialised form that RESTORE takes.",
	Complexity: "O(N) where N is the size of the value.",
	Args:       keyArg, Tips: []string{"nondeterministic_output"},
}

var restore = &command.Descriptor{
	Name: "restore", Arity: -4, Flags: command.Write | command.DenyOOM, Categories: command.CatKeyspace | command.CatDangerous,
	Keys: command.One(command.KeyOW | command.KeyUpdate), Log: command.LogRequest, Handler: restoreKey,
	Group: "generic", Since: "2.6.0", Summary: "Makes a key of a value serialised by DUMP.",
	Complexity: "O(N) where N is the size of the value.",
	Args: []command.Arg{{Name: "key", Type: "key"}, {Name: "ttl", Type: "integer"}, {Name: "serialized-value", Type: "string"},
		{Name: "replace", Type: "pure-token", Token: "REPLACE", Since: "3.0.0", Flags: command.Optional},
		{Name: "absttl", Type: "pure-token", Token: "ABSTTL", Since: "5.0.0", Flags: command.Optional},
		{Name: "seconds", Type: "integer", Token: "IDLETIME", Since: "5.0.0", Flags: command.Optional},
		{Name: "frequency", Type: "integer", Token: "FREQ", Since: "5.0.0", Flags: command.Optional}},
	History: [][2]string{{"3.0.0", "Added the `REPLACE` modifier."}, {"5.0.0", "Added the `ABSTTL` modifier."},
		{"5.0.0", "Added the `IDLETIME` and `FREQ` options."}},
}

// restoreOptions are the words after RESTORE's payload.
type restoreOptions struct {
	replace, absolute bool
	idle, freq        int64 // seconds and LFU counter; -1: not given
}

func parseRestore(c *command.Ctx) (o restoreOptions, ok bool) {
	o.idle, o.freq = -1, -1
	for i := 4; i < len(c.Args); i++ {
		more := i+1 < len(c.Args)
		switch word := c.Args[i]; {
		case command.Is(word, "replace"):
			o.replace = true
		case command.Is(word, "absttl"):
			o.absolute = true
		case command.Is(word, "idletime") && more && o.freq < 0:
			i++
			if o.idle, ok = c.Int(i); !ok {
				return o, false
			}
			if o.idle < 0 {
				c.W.Error("ERR Invalid IDLETIME value, must be >= 0")
				return o, false
			}
		case command.Is(word, "freq") && more && o.idle < 0:
			i++
			if o.freq, ok = c.Int(i); !ok {
				return o, false
			}
			if o.freq < 0 || o.freq > 255 {
				c.W.Error("ERR Invalid FREQ value, must be >= 0 and <= 255")
				return o, false
			}
		default:
			c.W.Error(command.ErrSyntax)
			return o, false
		}
	}
	return o, true
}

func restoreKey(c *command.Ctx) {
	o, ok := parseRestore(c)
	if !ok {
		return
	}
	k := &c.Keys[0]
	r := c.FindForWrite(k)
	if r != 0 && !o.replace {
		c.W.Error("BUSYKEY Target key name already exists.")
		return
	}
	at, ok := c.Int(2)
	if !ok {
		return
	}
	if at < 0 {
		c.W.Error("ERR Invalid TTL value, must be >= 0")
		return
	}
	var made rdb.Loader
	begun := false
	each := rdb.EachOfDump
	if c.Store.NoDumpSum.Load() {
		each = rdb.EachOfDumpUnsummed
	}
	err := each(c.Args[3], func(it *rdb.Item) error {
		if !it.First {
			return made.Add(it)
		}
		begun = true
		return made.Begin(k.Shard, c.DB, &c.Store.Limits, it)
	})
	if err != nil { // no valid value, or one of a type that is not served
		if begun {
			made.Discard()
		}
		if err != rdb.ErrDump {
			err = rdb.ErrDumpValue
		}
		c.W.Error("ERR " + err.Error())
		return
	}
	volatile := at != 0
	if volatile && !o.absolute {
		at = min(at, math.MaxInt64-c.Now) + c.Now
	}
	if volatile && c.Past(at) {
		made.Discard()
		if r != 0 {
			word := delWord
			if c.Store.LazyServerDel.Load() {
				word = unlinkWord
			}
			k.Shard.Delete(c.DB, k.Hash, r)
			c.Effect(word, k.Name)
			c.Changed(k)
		}
		c.W.OK()
		return
	}
	expiry := keyspace.NoExpire
	if volatile {
		expiry = at
	}
	made.Put(k.Hash, r, k.Name, expiry, o.access(c))
	if volatile && !o.absolute && c.Logged() {
		c.Effect(restoreEffect(c.Args, at)...)
	}
	c.Changed(k)
	c.W.OK()
}

// access is the access word that the options give the key, or that of a key touched now.
func (o *restoreOptions) access(c *command.Ctx) uint32 {
	switch lfu := c.Store.LFU.Load(); {
	case lfu && o.freq >= 0:
		return uint32(c.Now/60000)&0xffff<<8 | uint32(o.freq)
	case !lfu && o.idle >= 0:
		return uint32(c.Now/1000-min(o.idle, c.Now/1000)) & 0xffffff
	}
	return c.AccessClock()
}

// restoreEffect is the request with the expiry made absolute.
func restoreEffect(args [][]byte, at int64) [][]byte {
	e := append(make([][]byte, 0, len(args)+1), args...)
	e[2] = strconv.AppendInt(nil, at, 10)
	return append(e, []byte("ABSTTL"))
}
