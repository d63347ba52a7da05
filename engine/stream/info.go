package stream

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace/coll"
)

func xinfoCommand() *command.Descriptor {
	stream := subcommand("stream", "5.0.0", -3, command.ReadOnly, read, xinfoStream, "Tells about a stream", "O(1); with FULL O(N), where N is the size of the reply",
		command.Arg{Name: "full-block", Type: "block", Flags: command.Optional, Args: []command.Arg{
			{Name: "full", Type: "pure-token", Token: "FULL"}, countArg}})
	stream.History = [][2]string{{"6.0.0", "`FULL`."},
		{"7.0.0", "`max-deleted-entry-id`, `entries-added`, `recorded-first-entry-id`, `entries-read` and `lag`."},
		{"7.2.0", "`active-time`, and `seen-time` is when the consumer last asked."}}
	groups := subcommand("groups", "5.0.0", 3, command.ReadOnly, read, xinfoGroups, "Lists the consumer groups of a stream", "O(N) where N is their number")
	groups.History = [][2]string{{"7.0.0", "`entries-read` and `lag`."}}
	consumers := subcommand("consumers", "5.0.0", 4, command.ReadOnly, read, xinfoConsumers, "Lists the consumers of a group",
		"O(N) where N is their number", groupArg)
	consumers.Tips = []string{"nondeterministic_output"}
	consumers.History = [][2]string{{"7.2.0", "`inactive`."}}
	return &command.Descriptor{
		Name: "xinfo", Arity: -2, Group: "stream", Since: "5.0.0", Summary: "Tells about streams, their groups and consumers", Complexity: "Depends on subcommand.",
		Sub: []*command.Descriptor{stream, groups, consumers, helpCommand(
			"XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
			"CONSUMERS <key> <groupname>",
			"    Show consumers of <groupname>.",
			"GROUPS <key>",
			"    Show the stream consumer groups.",
			"STREAM <key> [FULL [COUNT <count>]",
			"    Show information about the stream.",
			"HELP",
			"    Print this help.")},
	}
}

// findInfo finds the stream that a subcommand of XINFO is about. ok false: the error has been replied.
func findInfo(c *command.Ctx, m *coll.Mem) (s coll.Stream, ok bool) {
	r, ok := find(c)
	if !ok {
		return s, false
	}
	if r == 0 {
		c.W.Error(command.ErrNoSuchKey)
		return s, false
	}
	return open(&c.Keys[0], r, m), true
}

func number(c *command.Ctx, name string, n int64) {
	c.W.BulkString(name)
	c.W.Int(n)
}

func identifier(c *command.Ctx, name string, n id) {
	c.W.BulkString(name)
	writeID(c, n)
}

// fullCount is how much of everything XINFO STREAM FULL lists, unless told otherwise.
const fullCount = 10

func xinfoStream(c *command.Ctx) {
	var m coll.Mem
	s, ok := findInfo(c, &m)
	if !ok {
		return
	}
	full, count := len(c.Args) > 3, int64(fullCount)
	if full && (!command.Is(c.Args[3], "full") || len(c.Args) != 4 && (len(c.Args) != 6 || !command.Is(c.Args[4], "count"))) {
		badSub(c, "XINFO")
		return
	}
	if len(c.Args) == 6 {
		if count, ok = c.Int(5); !ok {
			return
		}
		if count < 0 {
			count = fullCount
		}
	}
	h := s.Head()
	if full {
		c.W.Map(9)
	} else {
		c.W.Map(10)
	}
	number(c, "length", int64(s.Len()))
	nodes := int64(s.Nodes())
	number(c, "radix-tree-keys", nodes)
	number(c, "radix-tree-nodes", nodes+1)
	identifier(c, "last-generated-id", h.Last)
	identifier(c, "max-deleted-entry-id", h.Deleted)
	number(c, "entries-added", int64(h.Added))
	identifier(c, "recorded-first-entry-id", h.First)
	if full {
		writeFull(c, s, count)
		return
	}
	number(c, "groups", int64(s.Groups()))
	var p coll.StreamPlace
	c.W.BulkString("first-entry")
	writeIf(c, s.Seek(&p, id{}), &p)
	c.W.BulkString("last-entry")
	writeIf(c, s.SeekBack(&p, coll.MaxStreamID), &p)
}

// writeIf writes an entry that may not exist.
func writeIf(c *command.Ctx, ok bool, p *coll.StreamPlace) {
	if ok {
		writeEntry(c, p)
	} else {
		c.W.Null()
	}
}

// writeFull writes what only FULL tells: up to count of everything, or with 0 all.
func writeFull(c *command.Ctx, s coll.Stream, count int64) {
	if count == 0 {
		count = -1
	}
	c.W.BulkString("entries")
	writeRange(c, s, id{}, coll.MaxStreamID, count, false)
	c.W.BulkString("groups")
	c.W.Array(s.Groups())
	for i := range s.Groups() {
		g := s.GroupAt(i)
		c.W.Map(7)
		c.W.BulkString("name")
		c.W.Bulk(g.Name())
		identifier(c, "last-delivered-id", g.Last)
		writeProgress(c, s, g)
		number(c, "pel-count", int64(g.Pending()))
		c.W.BulkString("pending")
		var p coll.PendingPlace
		at, n := len(c.W.B), int64(0)
		for ok := g.Seek(&p, id{}); ok && n != count; ok = g.Next(&p) {
			n++
			c.W.Array(4)
			writeID(c, p.ID)
			owner, _ := g.Owner(&p)
			c.W.Bulk(owner)
			c.W.Int(p.Delivered)
			c.W.Int(int64(p.Deliveries))
		}
		c.PrependArray(at, n)
		c.W.BulkString("consumers")
		c.W.Array(g.Consumers())
		for j := range g.Consumers() {
			writeConsumer(c, g.ConsumerAt(j), count)
		}
	}
}

// writeConsumer writes a consumer as FULL has it.
func writeConsumer(c *command.Ctx, con coll.Consumer, count int64) {
	c.W.Map(5)
	c.W.BulkString("name")
	c.W.Bulk(con.Name())
	number(c, "seen-time", con.Seen)
	number(c, "active-time", con.Active)
	number(c, "pel-count", int64(con.Pending()))
	c.W.BulkString("pending")
	var p coll.PendingPlace
	at, n := len(c.W.B), int64(0)
	for ok := con.Seek(&p, id{}); ok && n != count; ok = con.Next(&p) {
		n++
		c.W.Array(3)
		writeID(c, p.ID)
		c.W.Int(p.Delivered)
		c.W.Int(int64(p.Deliveries))
	}
	c.PrependArray(at, n)
}

// writeProgress writes how far a group has come.
func writeProgress(c *command.Ctx, s coll.Stream, g coll.Group) {
	c.W.BulkString("entries-read")
	if g.Read == -1 {
		c.W.Null()
	} else {
		c.W.Int(g.Read)
	}
	c.W.BulkString("lag")
	if n, ok := lag(s, g); ok {
		c.W.Int(n)
	} else {
		c.W.Null()
	}
}

func xinfoGroups(c *command.Ctx) {
	var m coll.Mem
	s, ok := findInfo(c, &m)
	if !ok {
		return
	}
	c.W.Array(s.Groups())
	for i := range s.Groups() {
		g := s.GroupAt(i)
		c.W.Map(6)
		c.W.BulkString("name")
		c.W.Bulk(g.Name())
		number(c, "consumers", int64(g.Consumers()))
		number(c, "pending", int64(g.Pending()))
		identifier(c, "last-delivered-id", g.Last)
		writeProgress(c, s, g)
	}
}

func xinfoConsumers(c *command.Ctx) {
	var m coll.Mem
	s, ok := findInfo(c, &m)
	if !ok {
		return
	}
	g, ok := s.FindGroup(c.Args[3])
	if !ok {
		c.W.Error("NOGROUP No such consumer group '" + string(c.Args[3]) + "' for key name '" + string(c.Args[2]) + "'")
		return
	}
	c.W.Array(g.Consumers())
	for i := range g.Consumers() {
		con := g.ConsumerAt(i)
		c.W.Map(4)
		c.W.BulkString("name")
		c.W.Bulk(con.Name())
		number(c, "pending", int64(con.Pending()))
		number(c, "idle", max(c.Now-con.Seen, 0))
		inactive := int64(-1)
		if con.Active != -1 {
			inactive = max(c.Now-con.Active, 0)
		}
		number(c, "inactive", inactive)
	}
}
