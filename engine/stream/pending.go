package stream

import (
	"math"

	"tidemark/engine/command"
	"tidemark/engine/keyspace/coll"
)

const perPending = "O(log(N)) for each entry, where N is the number of entries pending in the group"

func xackCommand() *command.Descriptor {
	return describe("xack", "5.0.0", -4, command.Write|command.Fast, command.KeyRW|command.KeyUpdate, xack,
		"Takes entries off what is pending in a consumer group, and counts those that were", perPending, arg("group", "string"), idsArg)
}

func xack(c *command.Ctx) {
	r, ok := findForWrite(c)
	if !ok {
		return
	}
	k := &c.Keys[0]
	if r == 0 || !hasGroup(k, r, c.Args[2]) {
		c.W.Int(0)
		return
	}
	for i := 3; i < len(c.Args); i++ {
		if _, ok := idArg(c, i, strict); !ok {
			return
		}
	}
	e := k.Shard.Edit(c.DB, k.Hash, r)
	g, _ := e.Stream().EditGroup(c.Args[2])
	n := 0
	for _, text := range c.Args[3:] {
		entry, _, _ := parseID(text, strict)
		if g.Ack(entry) {
			n++
		}
	}
	k.Shard.Settle(&e)
	if n > 0 {
		c.ChangedBy(k, n)
	}
	c.W.Int(int64(n))
}

func xpendingCommand() *command.Descriptor {
	d := describe("xpending", "5.0.0", -3, command.ReadOnly, read, xpending, "Tells what is pending in a consumer group",
		"O(C) where C is the number of consumers; with a range O(log(N)+M), where N is the number of entries pending and M that of those looked at",
		arg("group", "string"), block("filters", command.Optional, option("min-idle-time", "integer", "IDLE", "6.2.0"),
			arg("start", "string"), arg("end", "string"), arg("count", "integer"),
			command.Arg{Name: "consumer", Type: "string", Flags: command.Optional}))
	d.Tips = []string{"nondeterministic_output"}
	d.History = [][2]string{{"6.2.0", "`IDLE`, and `(` before an ID leaves it out."}}
	return d
}

// noKeyOrGroup replies that a key, or a group of it, does not exist.
func noKeyOrGroup(c *command.Ctx, group []byte) {
	c.W.Error("NOGROUP No such key '" + string(c.Keys[0].Name) + "' or consumer group '" + string(group) + "'")
}

func xpending(c *command.Ctx) {
	if len(c.Args) != 3 && (len(c.Args) < 6 || len(c.Args) > 9) {
		c.W.Error(command.ErrSyntax)
		return
	}
	at, idle, count := 3, int64(0), int64(0)
	var from, to id
	if len(c.Args) > 3 {
		var ok bool
		if command.Is(c.Args[3], "idle") {
			if idle, ok = c.Int(4); !ok {
				return
			}
			if len(c.Args) < 8 {
				c.W.Error(command.ErrSyntax)
				return
			}
			at = 5
		}
		if count, ok = c.Int(at + 2); !ok {
			return
		}
		count = max(count, 0)
		if from, ok = bound(c, at, false); !ok {
			return
		}
		if to, ok = bound(c, at+1, true); !ok {
			return
		}
		at += 3
	}
	r, ok := find(c)
	if !ok {
		return
	}
	k := &c.Keys[0]
	var m coll.Mem
	var g coll.Group
	if r != 0 {
		g, ok = open(k, r, &m).FindGroup(c.Args[2])
	}
	if r == 0 || !ok {
		noKeyOrGroup(c, c.Args[2])
		return
	}
	if len(c.Args) == 3 {
		writeSummary(c, g)
		return
	}
	var p coll.PendingPlace
	var con coll.Consumer
	whose := at < len(c.Args)
	if whose {
		if con, ok = g.FindConsumer(c.Args[at]); !ok {
			c.W.Array(0)
			return
		}
		ok = con.Seek(&p, from)
	} else {
		ok = g.Seek(&p, from)
	}
	begin, n := len(c.W.B), int64(0)
	for ; ok && n < count && p.ID.Compare(to) <= 0; ok = g.Next(&p) {
		since := c.Now - p.Delivered
		if idle > 0 && since < idle {
			continue
		}
		n++
		c.W.Array(4)
		writeID(c, p.ID)
		owner, _ := g.Owner(&p)
		c.W.Bulk(owner)
		c.W.Int(max(since, 0))
		c.W.Int(int64(p.Deliveries))
	}
	c.PrependArray(begin, n)
}

// writeSummary writes the short form of XPENDING.
func writeSummary(c *command.Ctx, g coll.Group) {
	c.W.Array(4)
	n := g.Pending()
	c.W.Int(int64(n))
	if n == 0 {
		c.W.Null()
		c.W.Null()
		c.W.NullArray()
		return
	}
	var p coll.PendingPlace
	g.Seek(&p, id{})
	writeID(c, p.ID)
	writeID(c, g.LastPending())
	at, consumers := len(c.W.B), int64(0)
	for i := range g.Consumers() {
		con := g.ConsumerAt(i)
		if n := con.Pending(); n > 0 {
			consumers++
			c.W.Array(2)
			c.W.Bulk(con.Name())
			c.W.BulkInt(int64(n))
		}
	}
	c.PrependArray(at, consumers)
}

func xclaimCommand() *command.Descriptor {
	d := describe("xclaim", "5.0.0", -6, command.Write|command.Fast, command.KeyRW|command.KeyUpdate, xclaim,
		"Gives entries that are pending in a group to a consumer", perPending,
		arg("group", "string"), arg("consumer", "string"), arg("min-idle-time", "string"), idsArg,
		option("ms", "integer", "IDLE", ""), option("unix-time-milliseconds", "unix-time", "TIME", ""), option("count", "integer", "RETRYCOUNT", ""),
		word("force", "FORCE", "", command.Optional), word("justid", "JUSTID", "", command.Optional), option("lastid", "string", "LASTID", ""))
	d.Log = command.LogEffect
	d.Tips = []string{"nondeterministic_output"}
	return d
}

// claim is what XCLAIM and XAUTOCLAIM do with an entry.
type claim struct {
	s      coll.Stream
	g      coll.Group
	con    coll.Consumer
	idle   int64 // how long it must have been pending. ms
	since  int64 // what it is pending since, then. Unix ms
	times  int64 // how often it was delivered, then; -1: once more
	justID bool
	n      int // entries replied
}

// take gives an entry, which is at p and was delivered so many times, to the consumer, and writes it to the reply.
func (x *claim) take(c *command.Ctx, entry id, p *coll.StreamPlace, times uint64) {
	k := &c.Keys[0]
	switch {
	case x.times >= 0:
		times = uint64(x.times)
	case !x.justID:
		times++
	}
	x.g.Deliver(entry, &x.con, x.since, times)
	x.con.Active = c.Now
	x.n++
	if x.justID {
		writeID(c, entry)
	} else {
		writeEntry(c, p)
	}
	logClaim(c, k, x.g, c.Args[2], c.Args[3], entry, x.since, times)
	c.Changed(k)
}

// forget takes what is pending of an entry that is gone off the group.
func (x *claim) forget(c *command.Ctx, entry id) {
	k := &c.Keys[0]
	x.g.Ack(entry)
	logAck(c, k, c.Args[2], entry)
	c.Changed(k)
}

func xclaim(c *command.Ctx) {
	r, ok := findForWrite(c)
	if !ok {
		return
	}
	k := &c.Keys[0]
	if r == 0 || !hasGroup(k, r, c.Args[2]) {
		noKeyOrGroup(c, c.Args[2])
		return
	}
	x := claim{times: -1}
	if x.idle, ok = command.ParseInt(c.Args[4]); !ok {
		c.W.Error("ERR Invalid min-idle-time argument for XCLAIM")
		return
	}
	x.idle = max(x.idle, 0)
	i := 5
	for ; i < len(c.Args); i++ {
		if _, _, ok := parseID(c.Args[i], strict); !ok {
			break
		}
	}
	ids := c.Args[5:i]
	x.since = -1
	force, moves, last := false, false, id{}
	for ; i < len(c.Args); i++ {
		a, more := c.Args[i], i+1 < len(c.Args)
		number := func(name string) (n int64, ok bool) {
			i++
			if n, ok = command.ParseInt(c.Args[i]); !ok {
				c.W.Error("ERR Invalid " + name + " option argument for XCLAIM")
			}
			return n, ok
		}
		switch {
		case command.Is(a, "force"):
			force = true
		case command.Is(a, "justid"):
			x.justID = true
		case more && command.Is(a, "idle"):
			n, ok := number("IDLE")
			if !ok {
				return
			}
			x.since = c.Now - n
		case more && command.Is(a, "time"):
			if x.since, ok = number("TIME"); !ok {
				return
			}
		case more && command.Is(a, "retrycount"):
			if x.times, ok = number("RETRYCOUNT"); !ok {
				return
			}
		case more && command.Is(a, "lastid"):
			i++
			if last, ok = idArg(c, i, strict); !ok {
				return
			}
			moves = true
		default:
			c.W.Error("ERR Unrecognized XCLAIM option '" + string(a) + "'")
			return
		}
	}
	if x.since < 0 || x.since > c.Now && !c.Replay {
		x.since = c.Now
	}
	e := k.Shard.Edit(c.DB, k.Hash, r)
	x.s = e.Stream()
	x.g, _ = x.s.EditGroup(c.Args[2])
	if moves = moves && last.Compare(x.g.Last) > 0; moves {
		x.g.Last = last
	}
	x.con = consumerOf(c, k, x.g, c.Args[2], c.Args[3])
	at := len(c.W.B)
	var q coll.PendingPlace
	var p coll.StreamPlace
	for _, text := range ids {
		entry, _, _ := parseID(text, strict)
		pending := x.g.Find(&q, entry)
		switch {
		case !x.s.Find(&p, entry):
			if pending {
				x.forget(c, entry)
			}
		case !pending && force:
			x.take(c, entry, &p, 0)
		case !pending:
		case x.idle > 0 && c.Now-q.Delivered < x.idle:
		default:
			x.take(c, entry, &p, q.Deliveries)
		}
	}
	c.PrependArray(at, int64(x.n))
	if moves {
		logGroup(c, k, x.g, c.Args[2])
		c.Changed(k)
	}
	k.Shard.Settle(&e)
}

func xautoclaimCommand() *command.Descriptor {
	d := describe("xautoclaim", "6.2.0", -6, command.Write|command.Fast, command.KeyRW|command.KeyDelete, xautoclaim,
		"Gives the next entries that are pending in a group for too long to a consumer", "O(1) if COUNT is small.",
		arg("group", "string"), arg("consumer", "string"), arg("min-idle-time", "string"), arg("start", "string"), countArg,
		word("justid", "JUSTID", "", command.Optional))
	d.Log = command.LogEffect
	d.Tips = []string{"nondeterministic_output"}
	d.History = [][2]string{{"7.0.0", "The reply lists what was pending but is no longer there."}}
	return d
}

// claimLooks is how many entries XAUTOCLAIM looks at for each that it may claim.
const claimLooks = 10

func xautoclaim(c *command.Ctx) {
	var ok bool
	k := &c.Keys[0]
	x := claim{times: -1, since: c.Now}
	if x.idle, ok = command.ParseInt(c.Args[4]); !ok {
		c.W.Error("ERR Invalid min-idle-time argument for XAUTOCLAIM")
		return
	}
	x.idle = max(x.idle, 0)
	from, ok := bound(c, 5, false)
	if !ok {
		return
	}
	count := int64(100)
	for i := 6; i < len(c.Args); i++ {
		switch {
		case i+1 < len(c.Args) && command.Is(c.Args[i], "count"):
			i++
			if count, ok = command.ParseInt(c.Args[i]); !ok || count < 1 || count > math.MaxInt64/24 {
				c.W.Error("ERR COUNT must be > 0")
				return
			}
		case command.Is(c.Args[i], "justid"):
			x.justID = true
		default:
			c.W.Error(command.ErrSyntax)
			return
		}
	}
	r, ok := findForWrite(c)
	if !ok {
		return
	}
	if r == 0 || !hasGroup(k, r, c.Args[2]) {
		noKeyOrGroup(c, c.Args[2])
		return
	}
	e := k.Shard.Edit(c.DB, k.Hash, r)
	x.s = e.Stream()
	x.g, _ = x.s.EditGroup(c.Args[2])
	x.con = consumerOf(c, k, x.g, c.Args[2], c.Args[3])
	c.W.Array(3)
	at := len(c.W.B)
	var q coll.PendingPlace
	var p coll.StreamPlace
	var gone []id
	looks := count
	if looks <= math.MaxInt64/claimLooks {
		looks *= claimLooks
	}
	more := x.g.Seek(&q, from)
	for ; more && count > 0 && looks > 0; looks-- {
		entry := q.ID
		switch {
		case !x.s.Find(&p, entry):
			x.forget(c, entry)
			gone = append(gone, entry)
			count--
		case x.idle > 0 && c.Now-q.Delivered < x.idle:
		default:
			x.take(c, entry, &p, q.Deliveries)
			count--
		}
		next, _ := entry.Next()
		more = x.g.Seek(&q, next)
	}
	c.PrependArray(at, int64(x.n))
	next := id{}
	if more {
		next = q.ID
	}
	c.PrependBulk(at, appendID(c.Scratch(64)[:0], next))
	c.W.Array(len(gone))
	for _, n := range gone {
		writeID(c, n)
	}
	k.Shard.Settle(&e)
}

// lag is how many entries of a stream a group was not given yet; ok is false when that cannot be told.
func lag(s coll.Stream, g coll.Group) (n int64, ok bool) {
	h := s.Head()
	switch {
	case h.Added == 0:
		return 0, true
	case g.Last.Compare(h.First) < 0 && s.Len() > 0 && h.Deleted.Compare(h.First) < 0:
		return int64(s.Len()), true // none of those that are there
	case g.Read != -1 && !s.Gap(g.Last):
		return int64(h.Added) - g.Read, true
	}
	if read := s.Distance(g.Last); read != -1 {
		return int64(h.Added) - read, true
	}
	return 0, false
}
