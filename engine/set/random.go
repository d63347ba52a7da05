package set

import (
	"bytes"
	"strconv"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/keyspace/intset"
	"tidemark/engine/keyspace/packed"
	"tidemark/engine/value"
)

// draw draws a member, each with the same probability, and makes p it. Of a large set it returns the element.
func (x *source) draw(c *command.Ctx, p *probe) coll.Ref {
	switch x.form {
	case integers:
		p.setInt(x.ints.At(int(c.Below(uint64(x.n)))))
	case listed:
		p.setEntry(x.list, x.list.At(int(c.Below(uint64(x.n)))))
	default:
		r := coll.Dict{Mem: &x.mem}.Random(c.Rand)
		p.setText(coll.KeyOf(x.mem.Space, r))
		return r
	}
	return 0
}

func srandmemberCommand() *command.Descriptor {
	d := describe("srandmember", "1.0.0", -2, command.ReadOnly, read, srandmember,
		"Returns random members of a set", "O(N) where N is the number of members returned, O(1) without a count",
		command.Arg{Name: "count", Type: "integer", Flags: command.Optional, Since: "2.6.0"})
	d.History = [][2]string{{"2.6.0", "The optional `count`."}}
	d.Tips = []string{"nondeterministic_output"}
	return d
}

func srandmember(c *command.Ctx) {
	if len(c.Args) > 3 {
		c.W.Error(command.ErrSyntax)
		return
	}
	if len(c.Args) == 3 {
		randomMembers(c)
		return
	}
	r, ok := find(c)
	switch {
	case !ok:
	case r == 0:
		c.W.Null()
	default:
		var p probe
		x := open(c.Keys[0].Shard, r)
		x.draw(c, &p)
		c.W.Bulk(p.bytes())
	}
}

func randomMembers(c *command.Ctx) {
	r, count, _, ok := c.DrawArgs(keyspace.Set, "")
	if !ok {
		return
	}
	x := open(c.Keys[0].Shard, r)
	var p probe
	n := c.Draws(count, uint64(x.n), false)
	switch {
	case count < 0:
		for range n {
			x.draw(c, &p)
			c.W.Bulk(p.bytes())
		}
	case n == uint64(x.n):
		writeAll(c, &x)
	case x.form == large && n < uint64(x.n)/4:
		distinct(c, &x, n)
	default:
		s := c.Sample(n, uint64(x.n))
		w := x.walk()
		for !s.Done() && w.next(&p) {
			if s.Take() {
				c.W.Bulk(p.bytes())
			}
		}
	}
}

// distinct replies n different members, a small part of a large set, by drawing again what was drawn before.
func distinct(c *command.Ctx, x *source, n uint64) {
	var p probe
	seen := make(map[coll.Ref]struct{}, n)
	for uint64(len(seen)) < n {
		r := x.draw(c, &p)
		if _, twice := seen[r]; !twice {
			seen[r] = struct{}{}
			c.W.Bulk(p.bytes())
		}
	}
}

func spopCommand() *command.Descriptor {
	d := describe("spop", "1.0.0", -2, command.Write|command.Fast, command.KeyRW|command.KeyAccess|command.KeyDelete, spop,
		"Takes random members out of a set, and returns them", "O(N) where N is the number of members returned, O(1) without a count",
		command.Arg{Name: "count", Type: "integer", Flags: command.Optional, Since: "3.2.0"})
	d.History = [][2]string{{"3.2.0", "The optional `count`."}}
	d.Tips = []string{"nondeterministic_output"}
	d.Log = command.LogEffect
	return d
}

var sremWord, delWord, unlinkWord = []byte("SREM"), []byte("DEL"), []byte("UNLINK")

func spop(c *command.Ctx) {
	if len(c.Args) > 3 {
		c.W.Error(command.ErrSyntax)
		return
	}
	if len(c.Args) == 3 {
		popSome(c)
		return
	}
	r, ok := findForWrite(c)
	if !ok {
		return
	}
	if r == 0 {
		c.W.Null()
		return
	}
	k := &c.Keys[0]
	e := editor{c: c, k: k, s: k.Shard, r: r}
	e.openToRemove()
	var buf [20]byte
	var m []byte
	i, at, elem := 0, 0, coll.Ref(0)
	switch e.form {
	case integers:
		i = int(c.Below(uint64(e.ints.Len())))
		m = strconv.AppendInt(buf[:0], e.ints.At(i), 10)
	case listed:
		at = e.list.At(int(c.Below(uint64(e.list.Len()))))
		m = e.list.Text(at, &buf)
	default:
		elem = e.c1.Dict().Random(c.Rand)
		m = coll.KeyOf(e.c1.Space, elem)
	}
	c.W.Bulk(m)
	c.Effect(sremWord, k.Name, m)
	gone := false
	switch e.form {
	case integers:
		gone = e.removeInt(i)
	case listed:
		gone = e.removeEntry(at)
	default:
		gone = e.removeElem(e.s.Hash(m), elem)
	}
	if !gone {
		e.close()
	}
	c.Changed(k)
}

// popSome is SPOP with a count.
func popSome(c *command.Ctx) {
	count, ok := command.ParseInt(c.Args[2])
	if !ok || count < 0 {
		c.W.Error("ERR value is out of range, must be positive")
		return
	}
	r, ok := findForWrite(c)
	if !ok {
		return
	}
	if r == 0 || count == 0 {
		c.W.Set(0)
		return
	}
	k := &c.Keys[0]
	x := open(k.Shard, r)
	if count >= int64(x.n) {
		c.W.Set(x.n)
		writeAll(c, &x)
		k.Shard.Delete(c.DB, k.Hash, r)
		if c.Store.LazyServerDel.Load() {
			c.Effect(unlinkWord, k.Name)
		} else {
			c.Effect(delWord, k.Name)
		}
		c.ChangedBy(k, x.n)
		return
	}
	n := int(count)
	c.W.Set(n)
	from := len(c.W.B)
	switch rest := x.n - n; {
	case x.form != large:
		popSmall(c, &x, n)
	case rest <= n/keepWhen:
		keepFew(c, &x, rest)
	default:
		popDrawn(c, r, n)
	}
	logRemoved(c, k, c.W.B[from:])
	c.ChangedBy(k, n)
}

// keepWhen says from how many times as many members taken as left on a new set is made of those that are left, rather than that each is taken out. It
// shows: the new one may be small, a packed list then.
const keepWhen = 5

// popSmall takes n members out of a small set, in one walk.
func popSmall(c *command.Ctx, x *source, n int) {
	k, s := &c.Keys[0], c.Sample(uint64(n), uint64(x.n))
	if x.form == integers {
		rest := intset.NewWide(c.Scratch(len(x.ints))[:0], x.ints.Width())
		for i := range x.n {
			if v := x.ints.At(i); s.Take() {
				c.W.BulkInt(v)
			} else {
				rest = rest.Entry(rest, v)
			}
		}
		rest.SetLen(x.n - n)
		x.s.Shrink(c.DB, k.Hash, x.r, keyspace.IntSet, rest)
		return
	}
	var buf [20]byte
	rest := append(packed.List(c.Scratch(len(x.list))[:0]), x.list[:packed.HeaderBytes]...)
	for at := packed.HeaderBytes; !x.list.AtEnd(at); {
		next := x.list.Next(at)
		if s.Take() {
			c.W.Bulk(x.list.Text(at, &buf))
		} else {
			rest = append(rest, x.list[at:next]...)
		}
		at = next
	}
	rest = append(rest, x.list[x.list.End()])
	rest.SetHeader(-n)
	x.s.Shrink(c.DB, k.Hash, x.r, keyspace.ListPack, rest)
}

// popDrawn takes n members out of a large set, drawing one after the other.
func popDrawn(c *command.Ctx, r keyspace.Ref, n int) {
	k := &c.Keys[0]
	s := k.Shard
	e := s.Edit(c.DB, k.Hash, r)
	d := e.Dict()
	for range n {
		elem := d.Random(c.Rand)
		m := coll.KeyOf(e.Space, elem)
		c.W.Bulk(m)
		d.Remove(s.Hash(m), elem)
	}
	s.Settle(&e)
}

// keepFew takes all but rest members out of a large set, and makes a new one of those.
func keepFew(c *command.Ctx, x *source, rest int) {
	k, keep := &c.Keys[0], c.Sample(uint64(rest), uint64(x.n))
	b := value.NewBuilder(x.s, c.DB, keyspace.Set, &c.Store.Limits)
	b.Begin(keyspace.ListPack)
	var p probe
	w := x.walk()
	for w.next(&p) {
		if keep.Take() {
			b.AddMember(p.bytes())
		} else {
			c.W.Bulk(p.bytes())
		}
	}
	b.Put(k.Hash, x.r, k.Name, x.s.ExpireAt(x.r), x.s.Access(x.r))
}

// logChunk is how many members are logged with one command.
const logChunk = 1024

// logRemoved logs that the members of a reply were removed.
func logRemoved(c *command.Ctx, k *command.Key, reply []byte) {
	if !c.Logged() {
		return
	}
	args := make([][]byte, 2, 2+logChunk)
	args[0], args[1] = sremWord, k.Name
	for len(reply) > 0 {
		var m []byte
		m, reply = cutBulk(reply)
		if args = append(args, m); len(args) == cap(args) || len(reply) == 0 {
			c.Effect(args...)
			args = args[:2]
		}
	}
}

// cutBulk returns the bytes of the bulk string that a reply begins with, and what comes behind it.
func cutBulk(b []byte) (bulk, rest []byte) {
	eol := bytes.IndexByte(b, '\n')
	n, _ := packed.ParseInt(b[1 : eol-1])
	return b[eol+1 : eol+1+int(n)], b[eol+1+int(n)+2:]
}
