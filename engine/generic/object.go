package generic

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
)

var object = &command.Descriptor{
	Name: "object", Arity: -2,
	Group: "generic", Since: "2.2.3", Summary: "Looks at how a key is stored.", Complexity: "Depends on subcommand.",
	Sub: []*command.Descriptor{
		{
			Name: "encoding", Arity: 3, Flags: command.ReadOnly, Categories: command.CatKeyspace, Keys: secondArg,
			Handler: func(c *command.Ctx) {
				if k, r := objectKey(c); r != 0 {
					c.W.BulkString(k.Shard.Encoding(r).String())
				}
			},
			Group: "generic", Since: "2.2.3", Summary: "Names the representation of a key's value.", Complexity: "O(1)",
			Args: keyArg, Tips: []string{"nondeterministic_output"},
		},
		{
			Name: "freq", Arity: 3, Flags: command.ReadOnly, Categories: command.CatKeyspace, Keys: secondArg,
			Handler: func(c *command.Ctx) {
				k, r := objectKey(c)
				switch {
				case r == 0:
				case !c.Store.LFU.Load():
					c.W.Error("ERR An LFU maxmemory policy is not selected, access frequency not tracked. " + policySwitch)
				default:
					c.W.Int(int64(c.LFUCount(k.Shard.Access(r))))
				}
			},
			Group: "generic", Since: "4.0.0", Summary: "Tells how often a key is used, on a logarithmic scale.", Complexity: "O(1)",
			Args: keyArg, Tips: []string{"nondeterministic_output"},
		},
		{
			Name: "help", Arity: 2, Flags: command.Loading | command.Stale, Categories: command.CatKeyspace,
			Handler: func(c *command.Ctx) { replyHelp(c, objectHelp) },
			Group:   "generic", Since: "6.2.0", Summary: "Lists the subcommands.", Complexity: "O(1)",
		},
		{
			Name: "idletime", Arity: 3, Flags: command.ReadOnly, Categories: command.CatKeyspace, Keys: secondArg,
			Handler: func(c *command.Ctx) {
				k, r := objectKey(c)
				switch {
				case r == 0:
				case c.Store.LFU.Load():
					c.W.Error("ERR An LFU maxmemory policy is selected, idle time not tracked. " + policySwitch)
				default:
					c.W.Int(c.IdleSeconds(k.Shard.Access(r)))
				}
			},
			Group: "generic", Since: "2.2.3", Summary: "Tells for how many seconds a key has not been accessed.", Complexity: "O(1)",
			Args: keyArg, Tips: []string{"nondeterministic_output"},
		},
		{
			Name: "refcount", Arity: 3, Flags: command.ReadOnly, Categories: command.CatKeyspace, Keys: secondArg,
			Handler: func(c *command.Ctx) {
				if k, r := objectKey(c); r != 0 {
					c.W.Int(c.RefCount(k.Shard, r))
				}
			},
			Group: "generic", Since: "2.2.3", Summary: "Tells how many references there are to a key's value.", Complexity: "O(1)",
			Args: keyArg, Tips: []string{"nondeterministic_output"},
		},
	},
}

const policySwitch = "Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust."

var secondArg = []command.KeySpec{{Flags: command.KeyRO, Begin: 2, Step: 1}}

// objectKey finds the key without touching it; when it is not there, that has been replied.
func objectKey(c *command.Ctx) (*command.Key, keyspace.Ref) {
	k := &c.Keys[0]
	r := c.FindUntouched(k)
	if r == 0 {
		c.W.Null()
	}
	return k, r
}

func replyHelp(c *command.Ctx, lines []string) {
	c.W.Array(len(lines))
	for _, l := range lines {
		c.W.Simple(l)
	}
}

var objectHelp = []string{
	"OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
	"ENCODING <key>",
	"    Return the kind of internal representation used in order to store the value",
	"    associated with a <key>.",
	"FREQ <key>",
	"    Return the access frequency index of the <key>. The returned integer is",
	"    proportional to the logarithm of the recent access frequency of the key.",
	"IDLETIME <key>",
	"    Return the idle time of the <key>, that is the approximated number of",
	"    seconds elapsed since the last access to the key.",
	"REFCOUNT <key>",
	"    Return the number of references of the value associated with the specified",
	"    <key>.",
	"HELP",
	"    Print this help.",
}
