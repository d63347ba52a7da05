package stream

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
)

var streamsArg = command.Arg{Name: "streams", Type: "block", Token: "STREAMS", Args: []command.Arg{
	{Name: "key", Type: "key", Flags: command.Multiple}, {Name: "id", Type: "string", Flags: command.Multiple}}}

// streamsSpec says where the keys of XREAD and XREADGROUP are.
func streamsSpec(from int, group bool) []command.KeySpec {
	return []command.KeySpec{{Flags: read, Keyword: "STREAMS", From: from, Last: -1, Step: 1, Limit: 2, First: func(args [][]byte) int {
		var o readArgs
		if o.parse(nil, args, group) {
			return o.first
		}
		return 0
	}}}
}

func xreadCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "xread", Arity: -4, Flags: command.ReadOnly | command.Blocking | command.MovableKeys, Categories: command.CatStream,
		Keys: streamsSpec(1, false), Handler: xread, Group: "stream", Since: "5.0.0",
		Summary:    "Gives the entries of streams behind the IDs that one knows, or waits for some",
		Complexity: "O(log(N)+M) for each stream, where N is the number of its entries and M the number of those returned",
		Args:       []command.Arg{countArg, option("milliseconds", "integer", "BLOCK", ""), streamsArg},
	}
}

func xreadgroupCommand() *command.Descriptor {
	return &command.Descriptor{
		Name: "xreadgroup", Arity: -7, Flags: command.Write | command.Blocking | command.MovableKeys, Categories: command.CatStream,
		Keys: streamsSpec(4, true), Handler: xreadgroup, Log: command.LogEffect, Group: "stream", Since: "5.0.0",
		Summary:    "Gives a consumer of a group the entries of streams that none of the group was given, or what is pending for it",
		Complexity: "O(log(N)+M) for each stream, where N is the number of its entries and M the number of those returned",
		Args: []command.Arg{{Name: "group-block", Type: "block", Token: "GROUP", Args: []command.Arg{arg("group", "string"), arg("consumer", "string")}},
			countArg, option("milliseconds", "integer", "BLOCK", ""), word("noack", "NOACK", "", command.Optional), streamsArg},
	}
}

// readArgs are the arguments of XREAD and XREADGROUP.
type readArgs struct {
	group, consumer []byte
	grouped         bool
	noAck           bool
	count           int64 // 0: all
	blocks          bool
	timeoutMs       int64
	first, n        int // index of the first key, and number of the keys
}

// parse reads the arguments. When it says false, the error has been replied, unless c is nil: then only where the keys are is of interest.
func (o *readArgs) parse(c *command.Ctx, args [][]byte, group bool) bool {
	fail := func(msg string) bool {
		if c != nil {
			c.W.Error(msg)
		}
		return false
	}
words:
	for i := 1; i < len(args); i++ {
		a, more := args[i], len(args)-1-i
		switch {
		case more > 0 && command.Is(a, "block"):
			i++
			if o.blocks = true; c != nil {
				var ok bool
				if o.timeoutMs, ok = c.Timeout(i); !ok {
					return false
				}
			}
		case more > 0 && command.Is(a, "count"):
			i++
			n, ok := command.ParseInt(args[i])
			if !ok {
				return fail(command.ErrNotInt)
			}
			o.count = max(n, 0)
		case more > 0 && command.Is(a, "streams"):
			if o.first, o.n = i+1, more/2; more%2 != 0 {
				if group {
					return fail("ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be specified.")
				}
				return fail("ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be specified.")
			}
			break words
		case more > 1 && command.Is(a, "group"):
			if !group {
				return fail("ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.")
			}
			o.group, o.consumer, o.grouped = args[i+1], args[i+2], true
			i += 2
		case command.Is(a, "noack"):
			if !group {
				return fail("ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.")
			}
			o.noAck = true
		default:
			return fail(command.ErrSyntax)
		}
	}
	switch {
	case o.first == 0:
		return fail(command.ErrSyntax)
	case group && !o.grouped:
		return fail("ERR Missing GROUP option for XREADGROUP")
	}
	return true
}

// fewStreams is how many streams a request may name without anything being allocated.
const fewStreams = 8

// block lets the client wait for the request's keys, or replies that there is nothing.
func (o *readArgs) block(c *command.Ctx, args [][]byte) {
	if !o.blocks {
		c.W.NullArray()
		return
	}
	c.BlockOn(command.Waiting{Type: keyspace.Stream, Gone: o.grouped, TimeoutMs: o.timeoutMs, Args: args, None: nothing})
}

// reading is a reply of XREAD or XREADGROUP that is being written.
type reading struct {
	at int // where it begins
	n  int // streams in it
}

// begin begins the part of a stream.
func (w *reading) begin(c *command.Ctx, k *command.Key) {
	if w.n++; !c.W.RESP3 {
		c.W.Array(2)
	}
	c.W.Bulk(k.Name)
}

// end completes the reply.
func (w *reading) end(c *command.Ctx) {
	if c.W.RESP3 {
		c.PrependMap(w.at, int64(w.n))
	} else {
		c.PrependArray(w.at, int64(w.n))
	}
}

func xread(c *command.Ctx) {
	var o readArgs
	if !o.parse(c, c.Args, false) {
		return
	}
	var few [fewStreams]id
	behind := few[:]
	if o.n > fewStreams {
		behind = make([]id, o.n)
	}
	moves := false // an ID means something else when the request is tried again
	for i := range o.n {
		k, a := &c.Keys[i], c.Args[o.first+o.n+i]
		r, ok := c.FindTyped(k, keyspace.Stream)
		if !ok {
			return
		}
		var m coll.Mem
		var s coll.Stream
		if r != 0 {
			s = open(k, r, &m)
		}
		switch {
		case isWord(a, '$'):
			if moves = true; r != 0 {
				behind[i] = s.Head().Last
			}
		case isWord(a, '+'):
			// The last entry, and of an empty stream whatever comes.
			var p coll.StreamPlace
			if moves = true; r != 0 && s.SeekBack(&p, coll.MaxStreamID) {
				behind[i], _ = p.ID.Prev()
			} else if r != 0 {
				behind[i] = s.Head().Last
			}
		case isWord(a, '>'):
			c.W.Error("ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.")
			return
		default:
			n, _, ok := parseID(a, strict)
			if !ok {
				c.W.Error(errID)
				return
			}
			behind[i] = n
		}
	}
	w := reading{at: len(c.W.B)}
	for i := range o.n {
		k := &c.Keys[i]
		r := c.Peek(k)
		if r == 0 {
			continue
		}
		from, ok := behind[i].Next()
		if !ok {
			continue
		}
		var m coll.Mem
		s := open(k, r, &m)
		var p coll.StreamPlace
		if s.SeekBack(&p, coll.MaxStreamID) && p.ID.Compare(from) >= 0 {
			w.begin(c, k)
			writeRange(c, s, from, coll.MaxStreamID, o.limit(), false)
		}
	}
	switch {
	case w.n > 0:
		w.end(c)
	case o.blocks && moves && !c.Trying():
		args := append([][]byte(nil), c.Args...)
		for i, n := range behind[:o.n] {
			args[o.first+o.n+i] = appendID(nil, n)
		}
		o.block(c, args)
	default:
		o.block(c, nil)
	}
}

// limit is the count as writeRange has it.
func (o *readArgs) limit() int64 {
	if o.count == 0 {
		return -1
	}
	return o.count
}

// fresh stands for > among IDs.
var fresh = coll.MaxStreamID

func xreadgroup(c *command.Ctx) {
	var o readArgs
	if !o.parse(c, c.Args, true) {
		return
	}
	var few [fewStreams]id
	behind := few[:]
	if o.n > fewStreams {
		behind = make([]id, o.n)
	}
	for i := range o.n {
		k, a := &c.Keys[i], c.Args[o.first+o.n+i]
		r, ok := c.FindTypedForWrite(k, keyspace.Stream)
		if !ok {
			return
		}
		if r == 0 || !hasGroup(k, r, o.group) {
			c.W.Error("NOGROUP No such key '" + string(k.Name) + "' or consumer group '" + string(o.group) + "' in XREADGROUP with GROUP option")
			return
		}
		switch {
		case isWord(a, '$'), isWord(a, '+'):
			c.W.Error("ERR The " + string(a) + " ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The " + string(a) + " ID would just return an empty result set.")
			return
		case isWord(a, '>'):
			behind[i] = fresh
		default:
			n, _, ok := parseID(a, strict)
			if !ok {
				c.W.Error(errID)
				return
			}
			behind[i] = n
		}
	}
	w := reading{at: len(c.W.B)}
	for i := range o.n {
		o.serve(c, &w, &c.Keys[i], behind[i])
	}
	if w.n > 0 {
		w.end(c)
		return
	}
	o.block(c, nil)
}

// serve writes what a consumer gets of a stream.
func (o *readArgs) serve(c *command.Ctx, w *reading, k *command.Key, behind id) {
	e := k.Shard.Edit(c.DB, k.Hash, c.Peek(k))
	s := e.Stream()
	g, _ := s.EditGroup(o.group)
	con := consumerOf(c, k, g, o.group, o.consumer)
	if behind != fresh {
		w.begin(c, k)
		o.history(c, s, g, con, behind)
	} else {
		var p coll.StreamPlace
		if s.SeekBack(&p, coll.MaxStreamID) && p.ID.Compare(g.Last) > 0 {
			w.begin(c, k)
			o.deliver(c, k, s, g, con)
		}
	}
	k.Shard.Settle(&e)
}

// history writes what is pending for a consumer behind an ID. That it was delivered once more is noted, but neither counts as a change nor is
// it logged.
func (o *readArgs) history(c *command.Ctx, s coll.Stream, g coll.Group, con coll.Consumer, behind id) {
	at, n := len(c.W.B), 0
	from, more := behind.Next()
	var q coll.PendingPlace
	var p coll.StreamPlace
	for more && con.Seek(&q, from) && int64(n) != o.limit() {
		n++
		if s.Find(&p, q.ID) {
			writeEntry(c, &p)
			g.Deliver(q.ID, &con, c.Now, q.Deliveries+1)
		} else {
			c.W.Array(2)
			writeID(c, q.ID)
			c.W.NullArray()
		}
		from, more = q.ID.Next()
	}
	c.PrependArray(at, int64(n))
}

// deliver writes the entries that the group was not given yet, and makes them pending for the consumer.
func (o *readArgs) deliver(c *command.Ctx, k *command.Key, s coll.Stream, g coll.Group, con coll.Consumer) {
	at, n := len(c.W.B), 0
	from, _ := g.Last.Next()
	var p coll.StreamPlace
	for ok := s.Seek(&p, from); ok && int64(n) != o.limit(); ok = s.Next(&p) {
		n++
		writeEntry(c, &p)
		advance(s, g, p.ID)
		if !o.noAck {
			g.Deliver(p.ID, &con, c.Now, 1)
			logClaim(c, k, g, o.group, o.consumer, p.ID, c.Now, 1)
		}
	}
	c.PrependArray(at, int64(n))
	if n > 0 {
		con.Active = c.Now
		c.Changed(k)
		logGroup(c, k, g, o.group)
	}
}

// advance notes that a group was given an entry behind the last.
func advance(s coll.Stream, g coll.Group, n id) {
	if g.Read != -1 && g.Last.Compare(s.Head().First) >= 0 && !s.Gap(g.Last) {
		g.Read++
	} else if s.Head().Added > 0 {
		g.Read = s.Distance(n)
	}
	g.Last = n
}
