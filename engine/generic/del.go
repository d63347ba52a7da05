package generic

import (
	"tidemark/engine/command"
)

var del = &command.Descriptor{
	Name: "del", Arity: -2, Flags: command.Write, Categories: command.CatKeyspace,
	Keys: manyKeys(command.KeyRM | command.KeyDelete), Log: command.LogRequest, Handler: remove,
	Group: "generic", Since: "1.0.0", Summary: "Removes keys, whatever they hold.",
	Complexity: "O(N) where N is the number of keys. The memory of large values is given back in the background.",
	Args:       keysArg,
	Tips:       []string{"request_policy:multi_shard", "response_policy:agg_sum"},
}

var unlink = &command.Descriptor{
	Name: "unlink", Arity: -2, Flags: command.Write | command.Fast, Categories: command.CatKeyspace,
	Keys: manyKeys(command.KeyRM | command.KeyDelete), Log: command.LogRequest, Handler: remove,
	Group: "generic", Since: "4.0.0", Summary: "Removes keys and leaves giving back their memory to the background.",
	Complexity: "O(N) where N is the number of keys.",
	Args:       keysArg,
	Tips:       []string{"request_policy:multi_shard", "response_policy:agg_sum"},
}

// remove serves DEL and UNLINK: Shard.Delete never spends time on giving memory back.
func remove(c *command.Ctx) {
	n := int64(0)
	for i := range c.Keys {
		k := &c.Keys[i]
		if r := c.Peek(k); r != 0 {
			k.Shard.Delete(c.DB, k.Hash, r)
			c.Changed(k)
			n++
		}
	}
	c.W.Int(n)
}

var exists = &command.Descriptor{
	Name: "exists", Arity: -2, Flags: command.ReadOnly | command.Fast, Categories: command.CatKeyspace,
	Keys: manyKeys(command.KeyRO),
	Handler: func(c *command.Ctx) {
		n := int64(0)
		for i := range c.Keys {
			if c.FindUntouched(&c.Keys[i]) != 0 {
				n++
			}
		}
		c.W.Int(n)
	},
	Group: "generic", Since: "1.0.0", Summary: "Counts how many of the given keys exist; a key given twice counts twice.",
	Complexity: "O(N) where N is the number of keys.",
	Args:       keysArg,
	Tips:       []string{"request_policy:multi_shard", "response_policy:agg_sum"},
	History:    [][2]string{{"3.0.3", "Accepts multiple `key` arguments."}},
}

var touch = &command.Descriptor{
	Name: "touch", Arity: -2, Flags: command.ReadOnly | command.Fast, Categories: command.CatKeyspace,
	Keys: manyKeys(command.KeyRO),
	Handler: func(c *command.Ctx) {
		// The access counts even for a client under CLIENT NO-TOUCH: it is what was asked for.
		was := c.NoTouch
		c.NoTouch = false
		n := int64(0)
		for i := range c.Keys {
			if c.Find(&c.Keys[i]) != 0 {
				n++
			}
		}
		c.NoTouch = was
		c.W.Int(n)
	},
	Group: "generic", Since: "3.2.1", Summary: "Marks keys as accessed now, and counts those that exist.",
	Complexity: "O(N) where N is the number of keys.",
	Args:       keysArg,
	Tips:       []string{"request_policy:multi_shard", "response_policy:agg_sum"},
}

var typeCmd = &command.Descriptor{
	Name: "type", Arity: 2, Flags: command.ReadOnly | command.Fast, Categories: command.CatKeyspace,
	Keys: command.One(command.KeyRO),
	Handler: func(c *command.Ctx) {
		k := &c.Keys[0]
		if r := c.FindUntouched(k); r != 0 {
			c.W.Simple(k.Shard.Type(r).String())
		} else {
			c.W.Simple("none")
		}
	},
	Group: "generic", Since: "1.0.0", Summary: "Names the type of what a key holds.",
	Complexity: "O(1)",
	Args:       keyArg,
}
