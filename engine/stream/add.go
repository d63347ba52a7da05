package stream

import (
	"math"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
)

// trimArg describes the words that trim a stream.
func trimArg(flags command.ArgFlags) command.Arg {
	return block("trim", flags,
		oneOf("strategy", 0, word("maxlen", "MAXLEN", "", 0), word("minid", "MINID", "6.2.0", 0)),
		oneOf("operator", command.Optional, word("equal", "=", "", 0), word("approximately", "~", "", 0)),
		arg("threshold", "string"), option("count", "integer", "LIMIT", "6.2.0"))
}

func xaddCommand() *command.Descriptor {
	d := describe("xadd", "5.0.0", -5, command.Write|command.DenyOOM|command.Fast, command.KeyRW|command.KeyUpdate, xadd,
		"Adds an entry to a stream, and trims it if asked to", "O(1), and O(M) to trim where M is the number of entries removed",
		word("nomkstream", "NOMKSTREAM", "6.2.0", command.Optional), trimArg(command.Optional),
		oneOf("id-selector", 0, word("auto-id", "*", "", 0), arg("id", "string")),
		block("data", command.Multiple, arg("field", "string"), arg("value", "string")))
	d.Keys[0].Notes = "UPDATE instead of INSERT because of the optional trimming feature"
	d.Tips = []string{"nondeterministic_output"}
	d.History = [][2]string{{"6.2.0", "`NOMKSTREAM`, `MINID` and `LIMIT`."}, {"7.0.0", "IDs of the form `<ms>-*`."}}
	return d
}

func xtrimCommand() *command.Descriptor {
	d := describe("xtrim", "5.0.0", -4, command.Write, command.KeyRW|command.KeyDelete, xtrim,
		"Removes entries from the front of a stream", "O(N) where N is the number of entries removed, most of them whole nodes at once", trimArg(0))
	d.Tips = []string{"nondeterministic_output"}
	d.History = [][2]string{{"6.2.0", "`MINID` and `LIMIT`."}}
	return d
}

// addArgs are the arguments of XADD and XTRIM.
type addArgs struct {
	noCreate bool
	trims    bool
	trim     coll.StreamTrim
	byWord   int // index of MAXLEN or MINID
	idAt     int // of XADD
	id       id
	given    bool // the ID's time was given,
	givenSeq bool // and its sequence
}

// parse reads the arguments from the second on. When it says false, the error has been replied.
func (o *addArgs) parse(c *command.Ctx, adds bool) bool {
	limit, limited := int64(0), false
	fail := func(msg string) bool { c.W.Error(msg); return false }
	i := 2
words:
	for ; i < len(c.Args); i++ {
		a, more := c.Args[i], len(c.Args)-1-i
		switch {
		case adds && len(a) == 1 && a[0] == '*':
			break words
		case more > 0 && (command.Is(a, "maxlen") || command.Is(a, "minid")):
			if o.trims {
				return fail("ERR syntax error, MAXLEN and MINID options at the same time are not compatible")
			}
			o.trims, o.byWord, o.trim.ByID = true, i, len(a) == 5
			i++
			if op := c.Args[i]; more > 1 && len(op) == 1 && (op[0] == '~' || op[0] == '=') {
				o.trim.Approx = op[0] == '~'
				i++
			}
			if o.trim.ByID {
				var ok bool
				if o.trim.MinID, ok = idArg(c, i, strict); !ok {
					return false
				}
				break
			}
			n, ok := c.Int(i)
			if !ok {
				return false
			}
			if n < 0 {
				return fail("ERR The MAXLEN argument must be >= 0.")
			}
			o.trim.MaxLen = uint64(n)
		case more > 0 && command.Is(a, "limit"):
			i++
			var ok bool
			if limit, ok = c.Int(i); !ok {
				return false
			}
			if limit < 0 {
				return fail("ERR The LIMIT argument must be >= 0.")
			}
			limited = true
		case adds && command.Is(a, "nomkstream"):
			o.noCreate = true
		case adds:
			n, auto, ok := parseID(a, strict|autoSeq)
			if !ok {
				return fail(errID)
			}
			o.id, o.given, o.givenSeq = n, true, !auto
			break words
		default:
			return fail(command.ErrSyntax)
		}
	}
	o.idAt = i
	switch {
	case limit > 0 && !o.trims:
		return fail("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy")
	case !adds && !o.trims:
		return fail("ERR syntax error, XTRIM must be called with a trimming strategy")
	case c.Replay: // the log says what was removed; Redis's keeps the word LIMIT, which then means nothing
	case limited && !o.trim.Approx:
		return fail("ERR syntax error, LIMIT cannot be used without the special ~ option")
	case limited:
		o.trim.Limit = uint64(limit)
	case o.trim.Approx:
		o.trim.Limit = defaultLimit(c)
	}
	return true
}

// defaultLimit is how many entries approximate trimming removes at most.
func defaultLimit(c *command.Ctx) uint64 {
	n := c.Store.Limits.StreamEntries.Load()
	switch {
	case n <= 0:
		return 10_000
	case n > 10_000:
		return 1_000_000
	}
	return uint64(n) * 100
}

func xadd(c *command.Ctx) {
	var o addArgs
	if !o.parse(c, true) {
		return
	}
	fields := c.Args[min(o.idAt+1, len(c.Args)):]
	if len(fields) == 0 || len(fields)%2 != 0 {
		c.W.Error(command.WrongArity(c.Cmd))
		return
	}
	if o.given && o.givenSeq && o.id.IsZero() {
		c.W.Error("ERR The ID specified in XADD must be greater than 0-0")
		return
	}
	r, ok := findForWrite(c)
	if !ok {
		return
	}
	k := &c.Keys[0]
	last := id{}
	if r != 0 {
		var m coll.Mem
		last = open(k, r, &m).Head().Last
	} else if o.noCreate {
		c.W.Null()
		return
	}
	if last == coll.MaxStreamID {
		c.W.Error("ERR The stream has exhausted the last possible ID, unable to add more items")
		return
	}
	n, ok := o.next(last, uint64(c.Now))
	if !ok {
		c.W.Error("ERR The ID specified in XADD is equal or smaller than the target stream top item")
		return
	}
	bytes := 0
	for _, f := range fields {
		bytes += len(f)
	}
	if bytes > mostBytes {
		c.W.Error("ERR Elements are too large to be stored")
		return
	}
	if r == 0 {
		r = create(c, k)
	}
	e := k.Shard.Edit(c.DB, k.Hash, r)
	s, lim := e.Stream(), &c.Store.Limits
	s.Append(n, fields, lim.StreamBytes.Load(), lim.StreamEntries.Load())
	removed := uint64(0)
	if o.trims {
		removed = s.Trim(&o.trim)
	}
	left, first := s.Len(), s.Head().First
	k.Shard.Settle(&e)
	c.Changed(k)
	writeID(c, n)
	if c.Logged() && (!o.given || !o.givenSeq || o.trim.Approx) {
		o.log(c, n, left, first, removed)
	}
}

// mostBytes is how long the fields and values of an entry may be together.
const mostBytes = 1 << 30

// next gives the ID of the entry that is to be added behind last; false: the one that was given is not behind it.
func (o *addArgs) next(last id, now uint64) (n id, ok bool) {
	switch {
	case !o.given && now > last.Ms:
		return id{Ms: now}, true
	case !o.given:
		return last.Next()
	case o.givenSeq:
		return o.id, o.id.Compare(last) > 0
	case o.id.Ms == last.Ms:
		return id{Ms: last.Ms, Seq: last.Seq + 1}, last.Seq != math.MaxUint64
	}
	return id{Ms: o.id.Ms}, o.id.Ms > last.Ms
}

// log gives the effect of XADD, or of XTRIM with n 0-0: the ID that was given, and exactly what was removed. left and first are of the
// stream afterwards.
func (o *addArgs) log(c *command.Ctx, n id, left uint64, first id, removed uint64) {
	buf := c.Scratch(128)[:0]
	var space [16][]byte
	args := append(space[:0], c.Args[0], c.Args[1])
	if o.noCreate {
		args = append(args, noMkStream)
	}
	if o.trims && (removed > 0 || n.IsZero() || !o.trim.Approx) {
		args = append(args, c.Args[o.byWord], equalSign)
		switch {
		case !o.trim.ByID && o.trim.Approx:
			buf = appendUint(buf, left)
		case !o.trim.ByID:
			buf = appendUint(buf, o.trim.MaxLen)
		case o.trim.Approx && !first.IsZero():
			buf = appendID(buf, first)
		default:
			buf = appendID(buf, o.trim.MinID)
		}
		args = append(args, buf)
	}
	if !n.IsZero() {
		args = append(args, appendID(buf[len(buf):], n))
		args = append(args, c.Args[o.idAt+1:]...)
	}
	c.Effect(args...)
}

var noMkStream, equalSign = []byte("NOMKSTREAM"), []byte("=")

func xtrim(c *command.Ctx) {
	var o addArgs
	if !o.parse(c, false) {
		return
	}
	r, ok := findForWrite(c)
	if !ok {
		return
	}
	if r == 0 {
		c.W.Int(0)
		return
	}
	k := &c.Keys[0]
	e := k.Shard.Edit(c.DB, k.Hash, r)
	s := e.Stream()
	removed := s.Trim(&o.trim)
	left, first := s.Len(), s.Head().First
	k.Shard.Settle(&e)
	if removed > 0 {
		c.Changed(k)
		if c.Logged() && o.trim.Approx {
			o.log(c, id{}, left, first, removed)
		}
	}
	c.W.Int(int64(removed))
}

func xdelCommand() *command.Descriptor {
	return describe("xdel", "5.0.0", -3, command.Write|command.Fast, command.KeyRW|command.KeyDelete, xdel,
		"Removes entries from a stream by their IDs, and counts those that were there", one, idsArg)
}

func xdel(c *command.Ctx) {
	r, ok := findForWrite(c)
	switch {
	case !ok:
		return
	case r == 0:
		c.W.Int(0)
		return
	}
	for i := 2; i < len(c.Args); i++ {
		if _, ok := idArg(c, i, strict); !ok {
			return
		}
	}
	k := &c.Keys[0]
	e := k.Shard.Edit(c.DB, k.Hash, r)
	s := e.Stream()
	n := 0
	for _, text := range c.Args[2:] {
		entry, _, _ := parseID(text, strict)
		if !s.Delete(entry) {
			continue
		}
		n++
		if h := s.EditHead(); entry.Compare(h.Deleted) > 0 {
			h.Deleted = entry
		}
	}
	k.Shard.Settle(&e)
	if n > 0 {
		c.ChangedBy(k, n)
	}
	c.W.Int(int64(n))
}

func xsetidCommand() *command.Descriptor {
	d := describe("xsetid", "5.0.0", -3, command.Write|command.DenyOOM|command.Fast, command.KeyRW|command.KeyUpdate, xsetid,
		"Sets what a stream says of its entries: the last ID, how many were added, and the greatest that was deleted", "O(1)",
		arg("last-id", "string"), option("entries-added", "integer", "ENTRIESADDED", "7.0.0"),
		option("max-deleted-id", "string", "MAXDELETEDID", "7.0.0"))
	d.History = [][2]string{{"7.0.0", "`ENTRIESADDED` and `MAXDELETEDID`."}}
	return d
}

func xsetid(c *command.Ctx) {
	last, ok := idArg(c, 2, strict)
	if !ok {
		return
	}
	added, deleted := int64(-1), id{}
	for i := 3; i < len(c.Args); i++ {
		a, more := c.Args[i], i+1 < len(c.Args)
		switch {
		case more && command.Is(a, "entriesadded"):
			i++
			if added, ok = c.Int(i); !ok {
				return
			}
			if added < 0 {
				c.W.Error("ERR entries_added must be positive")
				return
			}
		case more && command.Is(a, "maxdeletedid"):
			i++
			if deleted, ok = idArg(c, i, strict); !ok {
				return
			}
			if last.Compare(deleted) < 0 {
				c.W.Error("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id")
				return
			}
		default:
			c.W.Error(command.ErrSyntax)
			return
		}
	}
	r, ok := findForWrite(c)
	if !ok {
		return
	}
	k := &c.Keys[0]
	if r == 0 {
		c.W.Error(command.ErrNoSuchKey)
		return
	}
	if msg := setID(c, k, r, last, added, deleted); msg != "" {
		c.W.Error(msg)
		return
	}
	c.Changed(k)
	c.W.OK()
}

// setID is XSETID once the arguments are known; it returns an error. added is -1, and deleted 0-0, if they shall stay as they are.
func setID(c *command.Ctx, k *command.Key, r keyspace.Ref, last id, added int64, deleted id) string {
	var m coll.Mem
	s := open(k, r, &m)
	// Redis does not ask before 7.2: what such a primary has done, its replica does as well.
	if last.Compare(s.Head().Deleted) < 0 && !c.Replay {
		return "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id"
	}
	if s.Len() > 0 {
		var p coll.StreamPlace
		if s.SeekBack(&p, coll.MaxStreamID) && last.Compare(p.ID) < 0 {
			return "ERR The ID specified in XSETID is smaller than the target stream top item"
		}
		if added != -1 && uint64(added) < s.Len() {
			return "ERR The entries_added specified in XSETID is smaller than the target stream length"
		}
	}
	e := k.Shard.Edit(c.DB, k.Hash, r)
	h := e.Stream().EditHead()
	h.Last = last
	if added != -1 {
		h.Added = uint64(added)
	}
	if !deleted.IsZero() {
		h.Deleted = deleted
	}
	k.Shard.Settle(&e)
	return ""
}
