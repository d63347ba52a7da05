package stream

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace/coll"
)

func xlenCommand() *command.Descriptor {
	return describe("xlen", "5.0.0", 2, command.ReadOnly|command.Fast, command.KeyRO, xlen, "Counts the entries of a stream", "O(1)")
}

func xlen(c *command.Ctx) {
	r, ok := find(c)
	switch {
	case !ok:
	case r == 0:
		c.W.Int(0)
	default:
		c.W.Int(int64(c.Keys[0].Shard.Count(r)))
	}
}

const perReturned = "O(log(N)+M) where N is the number of entries and M the number of those returned"

func xrangeCommand() *command.Descriptor {
	d := describe("xrange", "5.0.0", -4, command.ReadOnly, read, func(c *command.Ctx) { xrange(c, false) },
		"Gives the entries of a stream from one ID to another", perReturned, arg("start", "string"), arg("end", "string"), countArg)
	d.History = [][2]string{{"6.2.0", "`(` before an ID leaves it out."}}
	return d
}

func xrevrangeCommand() *command.Descriptor {
	d := describe("xrevrange", "5.0.0", -4, command.ReadOnly, read, func(c *command.Ctx) { xrange(c, true) },
		"Gives the entries of a stream from one ID to another, the last first", perReturned, arg("end", "string"), arg("start", "string"), countArg)
	d.History = [][2]string{{"6.2.0", "`(` before an ID leaves it out."}}
	return d
}

func xrange(c *command.Ctx, back bool) {
	lower, upper := 2, 3
	if back {
		lower, upper = 3, 2
	}
	from, ok := bound(c, lower, false)
	if !ok {
		return
	}
	to, ok := bound(c, upper, true)
	if !ok {
		return
	}
	count := int64(-1)
	for i := 4; i < len(c.Args); i++ {
		if !command.Is(c.Args[i], "count") || i+1 == len(c.Args) {
			c.W.Error(command.ErrSyntax)
			return
		}
		i++
		if count, ok = c.Int(i); !ok {
			return
		}
		count = max(count, 0)
	}
	r, ok := find(c)
	switch {
	case !ok:
	case r == 0:
		c.W.Array(0)
	case count == 0:
		c.W.NullArray()
	default:
		var m coll.Mem
		writeRange(c, open(&c.Keys[0], r, &m), from, to, count, back)
	}
}

// writeRange writes the entries from one ID to another as an array, up to count of them unless that is negative.
func writeRange(c *command.Ctx, s coll.Stream, from, to id, count int64, back bool) {
	var p coll.StreamPlace
	at := len(c.W.B)
	n := 0
	if back {
		for ok := s.SeekBack(&p, to); ok && p.ID.Compare(from) >= 0 && int64(n) != count; ok = s.Prev(&p) {
			writeEntry(c, &p)
			n++
		}
	} else {
		for ok := s.Seek(&p, from); ok && p.ID.Compare(to) <= 0 && int64(n) != count; ok = s.Next(&p) {
			writeEntry(c, &p)
			n++
		}
	}
	c.PrependArray(at, int64(n))
}

// writeEntry writes an entry: its ID, and its fields and values.
func writeEntry(c *command.Ctx, p *coll.StreamPlace) {
	var f, v [20]byte
	c.W.Array(2)
	writeID(c, p.ID)
	c.W.Array(2 * p.N)
	w := p.Fields()
	for name, val, ok := w.Next(&f, &v); ok; name, val, ok = w.Next(&f, &v) {
		c.W.Bulk(name)
		c.W.Bulk(val)
	}
}
