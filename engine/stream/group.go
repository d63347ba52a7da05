package stream

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
)

// subcommand makes the descriptor of a subcommand whose only key is its first argument.
func subcommand(name, since string, arity int, flags command.Flags, keyFlags command.KeyFlags, handler func(*command.Ctx), summary, complexity string,
	args ...command.Arg) *command.Descriptor {
	d := describe(name, since, arity, flags, keyFlags, handler, summary, complexity, args...)
	d.Keys[0].Begin = 2
	return d
}

// helpCommand makes the descriptor of HELP.
func helpCommand(lines ...string) *command.Descriptor {
	return &command.Descriptor{
		Name: "help", Arity: 2, Flags: command.Loading | command.Stale, Categories: command.CatStream, Group: "stream", Since: "5.0.0",
		Summary: "Lists the subcommands", Complexity: "O(1)",
		Handler: func(c *command.Ctx) {
			c.W.Array(len(lines))
			for _, l := range lines {
				c.W.Simple(l)
			}
		},
	}
}

var (
	groupArg     = arg("group", "string")
	consumerArg  = arg("consumer", "string")
	groupIDArg   = oneOf("id-selector", 0, arg("id", "string"), word("new-id", "$", "", 0))
	entriesRead  = command.Arg{Name: "entriesread", Display: "entries-read", Type: "integer", Token: "ENTRIESREAD", Flags: command.Optional}
	errSubSyntax = "ERR unknown subcommand or wrong number of arguments for '"
)

func xgroupCommand() *command.Descriptor {
	const update, insert, remove = command.KeyRW | command.KeyUpdate, command.KeyRW | command.KeyInsert, command.KeyRW | command.KeyDelete
	create := subcommand("create", "5.0.0", -5, command.Write|command.DenyOOM, insert, xgroupCreate, "Makes a consumer group", "O(1)",
		groupArg, groupIDArg, word("mkstream", "MKSTREAM", "", command.Optional), entriesRead)
	create.History = [][2]string{{"7.0.0", "`ENTRIESREAD`."}}
	setid := subcommand("setid", "5.0.0", -5, command.Write, update, xgroupSetID, "Sets which entry a consumer group was given last", "O(1)",
		groupArg, groupIDArg, entriesRead)
	setid.History = [][2]string{{"7.0.0", "`ENTRIESREAD`."}}
	return &command.Descriptor{
		Name: "xgroup", Arity: -2, Group: "stream", Since: "5.0.0", Summary: "Consumer groups of a stream", Complexity: "Depends on subcommand.",
		Sub: []*command.Descriptor{
			create, setid,
			subcommand("destroy", "5.0.0", 4, command.Write, remove, xgroupDestroy, "Removes a consumer group",
				"O(N) where N is the number of entries pending in the group", groupArg),
			subcommand("createconsumer", "6.2.0", 5, command.Write|command.DenyOOM, insert, xgroupCreateConsumer,
				"Makes a consumer of a group", "O(1)", groupArg, consumerArg),
			subcommand("delconsumer", "5.0.0", 5, command.Write, remove, xgroupDelConsumer,
				"Removes a consumer of a group, and counts what was pending for it", "O(N) where N is the number of entries pending for it", groupArg, consumerArg),
			helpCommand(
				"XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
				"CREATE <key> <groupname> <id|$> [option]",
				"    Create a new consumer group. Options are:",
				"    * MKSTREAM",
				"      Create the empty stream if it does not exist.",
				"    * ENTRIESREAD entries_read",
				"      Set the group's entries_read counter (internal use).",
				"CREATECONSUMER <key> <groupname> <consumer>",
				"    Create a new consumer in the specified group.",
				"DELCONSUMER <key> <groupname> <consumer>",
				"    Remove the specified consumer.",
				"DESTROY <key> <groupname>",
				"    Remove the specified group.",
				"SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
				"    Set the current group ID and entries_read counter.",
				"HELP",
				"    Print this help."),
		},
	}
}

// badSub replies that a subcommand has arguments it does not know.
func badSub(c *command.Ctx, container string) {
	c.W.Error(errSubSyntax + string(c.Args[1]) + "'. Try " + container + " HELP.")
}

const errNoStream = "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically."

// groupOptions reads what follows the ID of CREATE and SETID.
func groupOptions(c *command.Ctx, creates bool) (makes bool, entries int64, ok bool) {
	entries = -1
	for i := 5; i < len(c.Args); i++ {
		switch {
		case creates && command.Is(c.Args[i], "mkstream"):
			makes = true
		case i+1 < len(c.Args) && command.Is(c.Args[i], "entriesread"):
			i++
			if entries, ok = c.Int(i); !ok {
				return false, 0, false
			}
			if entries < -1 {
				c.W.Error("ERR value for ENTRIESREAD must be positive or -1")
				return false, 0, false
			}
		default:
			badSub(c, "XGROUP")
			return false, 0, false
		}
	}
	return makes, entries, true
}

// findGroup finds the stream, and unless anyGroup the group, that a subcommand of XGROUP is about. ok false: the error has been replied.
func findGroup(c *command.Ctx, anyGroup bool) (r keyspace.Ref, ok bool) {
	r, ok = findForWrite(c)
	if !ok {
		return 0, false
	}
	if r == 0 {
		c.W.Error(errNoStream)
		return 0, false
	}
	if !anyGroup && !hasGroup(&c.Keys[0], r, c.Args[3]) {
		c.W.Error("NOGROUP No such consumer group '" + string(c.Args[3]) + "' for key name '" + string(c.Args[2]) + "'")
		return 0, false
	}
	return r, true
}

func hasGroup(k *command.Key, r keyspace.Ref, name []byte) bool {
	var m coll.Mem
	_, ok := open(k, r, &m).FindGroup(name)
	return ok
}

func xgroupCreate(c *command.Ctx) {
	makes, entries, ok := groupOptions(c, true)
	if !ok {
		return
	}
	k := &c.Keys[0]
	r, ok := findForWrite(c)
	switch {
	case !ok:
		return
	case r == 0 && !makes:
		c.W.Error(errNoStream)
		return
	}
	at := id{}
	if !isWord(c.Args[4], '$') {
		if at, ok = idArg(c, 4, strict); !ok {
			return
		}
	} else if r != 0 {
		var m coll.Mem
		at = open(k, r, &m).Head().Last
	}
	if r == 0 {
		r = create(c, k)
	} else if hasGroup(k, r, c.Args[3]) {
		c.W.Error("BUSYGROUP Consumer Group name already exists")
		return
	}
	e := k.Shard.Edit(c.DB, k.Hash, r)
	e.Stream().AddGroup(c.Args[3], at, entries)
	k.Shard.Settle(&e)
	c.Changed(k)
	c.W.OK()
}

func isWord(a []byte, ch byte) bool { return len(a) == 1 && a[0] == ch }

func xgroupSetID(c *command.Ctx) {
	_, entries, ok := groupOptions(c, false)
	if !ok {
		return
	}
	r, ok := findGroup(c, false)
	if !ok {
		return
	}
	k := &c.Keys[0]
	var at id
	if isWord(c.Args[4], '$') {
		var m coll.Mem
		at = open(k, r, &m).Head().Last
	} else if at, ok = idArg(c, 4, 0); !ok {
		return
	}
	e := k.Shard.Edit(c.DB, k.Hash, r)
	g, _ := e.Stream().EditGroup(c.Args[3])
	g.Last, g.Read = at, entries
	k.Shard.Settle(&e)
	c.Changed(k)
	c.W.OK()
}

func xgroupDestroy(c *command.Ctx) {
	r, ok := findGroup(c, true)
	if !ok {
		return
	}
	k := &c.Keys[0]
	e := k.Shard.Edit(c.DB, k.Hash, r)
	gone := e.Stream().DropGroup(c.Args[3])
	k.Shard.Settle(&e)
	if !gone {
		c.W.Int(0)
		return
	}
	c.Changed(k)
	c.W.Int(1)
}

func xgroupCreateConsumer(c *command.Ctx) {
	r, ok := findGroup(c, false)
	if !ok {
		return
	}
	k := &c.Keys[0]
	e := k.Shard.Edit(c.DB, k.Hash, r)
	g, _ := e.Stream().EditGroup(c.Args[3])
	_, there := g.FindConsumer(c.Args[4])
	if !there {
		g.AddConsumer(c.Args[4], c.Now, -1)
	}
	k.Shard.Settle(&e)
	if there {
		c.W.Int(0)
		return
	}
	c.Changed(k)
	c.W.Int(1)
}

func xgroupDelConsumer(c *command.Ctx) {
	r, ok := findGroup(c, false)
	if !ok {
		return
	}
	k := &c.Keys[0]
	e := k.Shard.Edit(c.DB, k.Hash, r)
	g, _ := e.Stream().EditGroup(c.Args[3])
	n, there := g.DropConsumer(c.Args[4])
	k.Shard.Settle(&e)
	if there {
		c.Changed(k)
	}
	c.W.Int(int64(n))
}

// consumerOf gives a consumer of a group that may be changed, and makes it if there is none: that is a change, and logged as such.
func consumerOf(c *command.Ctx, k *command.Key, g coll.Group, group, name []byte) coll.Consumer {
	con, ok := g.EditConsumer(name)
	if ok {
		con.Seen = c.Now
		return con
	}
	con = g.AddConsumer(name, c.Now, -1)
	c.Changed(k)
	if c.Logged() {
		c.Effect(xgroupWord, createConsumerWord, k.Name, group, name)
	}
	return con
}

var xgroupWord, createConsumerWord, setIDWord, entriesReadWord = []byte("XGROUP"), []byte("CREATECONSUMER"), []byte("SETID"), []byte("ENTRIESREAD")

// logGroup logs which entry a group was given last.
func logGroup(c *command.Ctx, k *command.Key, g coll.Group, group []byte) {
	if !c.Logged() {
		return
	}
	buf := c.Scratch(128)
	last := appendID(buf[:0], g.Last)
	read := appendInt(buf[64:64], g.Read)
	c.Effect(xgroupWord, setIDWord, k.Name, group, last, entriesReadWord, read)
}

var (
	xclaimWord, xackWord, timeWord, retryWord       = []byte("XCLAIM"), []byte("XACK"), []byte("TIME"), []byte("RETRYCOUNT")
	forceWord, justIDWord, lastIDWord, noIdleMillis = []byte("FORCE"), []byte("JUSTID"), []byte("LASTID"), []byte("0")
)

// logClaim logs that an entry is pending for a consumer, since when and how often it was delivered.
func logClaim(c *command.Ctx, k *command.Key, g coll.Group, group, consumer []byte, n id, delivered int64, deliveries uint64) {
	if !c.Logged() {
		return
	}
	buf := c.Scratch(256)
	c.Effect(xclaimWord, k.Name, group, consumer, noIdleMillis, appendID(buf[:0], n), timeWord, appendInt(buf[64:64], delivered),
		retryWord, appendUint(buf[96:96], deliveries), forceWord, justIDWord, lastIDWord, appendID(buf[128:128], g.Last))
}

// logAck logs that an entry is no longer pending.
func logAck(c *command.Ctx, k *command.Key, group []byte, n id) {
	if c.Logged() {
		c.Effect(xackWord, k.Name, group, appendID(c.Scratch(64)[:0], n))
	}
}
