package hash

import (
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/keyspace/packed"
	"tidemark/engine/value"
)

func hscanCommand() *command.Descriptor {
	d := reader("hscan", "2.8.0", "Walks over the fields of a hash a few at a time", "O(1) a call, O(N) for the whole walk, where N is the number of fields",
		-3, 0, command.KeyAccess, hscan, command.Arg{Name: "cursor", Type: "integer"},
		command.Arg{Name: "pattern", Type: "pattern", Token: "MATCH", Flags: command.Optional},
		command.Arg{Name: "count", Type: "integer", Token: "COUNT", Flags: command.Optional},
		command.Arg{Name: "novalues", Type: "pure-token", Token: "NOVALUES", Flags: command.Optional})
	d.Tips = []string{"nondeterministic_output"}
	return d
}

// hscan gives a small hash whole. The cursor of a large one is Dict.Scan's.
func hscan(c *command.Ctx) {
	o, r, ok := c.ScanKey(keyspace.Hash, command.ScanNoValues)
	if !ok {
		return
	}
	show := func(f, v []byte) bool {
		if o.Wants(f) {
			o.Show(f)
			if !o.NoValues {
				o.Show(v)
			}
		}
		return true
	}
	s := c.Keys[0].Shard
	if s.Encoding(r) != keyspace.HashTable {
		each(c, r, show)
		o.Whole()
		return
	}
	now := c.FieldNow()
	m := s.Open(r)
	o.Part(&coll.Dict{Mem: &m}, func(r coll.Ref) {
		if until := coll.ExpiryOf(m.Space, r); until > now || until == keyspace.NoExpire {
			show(coll.KeyOf(m.Space, r), coll.ValueOf(m.Space, r))
		}
	})
}

func hrandfieldCommand() *command.Descriptor {
	d := reader("hrandfield", "6.2.0", "Returns random fields of a hash", "O(N) where N is the number of fields returned",
		-2, 0, command.KeyAccess, hrandfield, command.Arg{Name: "options", Type: "block", Flags: command.Optional, Args: []command.Arg{
			{Name: "count", Type: "integer"},
			{Name: "withvalues", Type: "pure-token", Token: "WITHVALUES", Flags: command.Optional},
		}})
	d.Tips = []string{"nondeterministic_output"}
	return d
}

func hrandfield(c *command.Ctx) {
	if len(c.Args) > 2 {
		randomFields(c)
		return
	}
	r, ok := find(c)
	if !ok {
		return
	}
	p := newPicker(c, r)
	if p.n == 0 {
		c.W.Null()
		return
	}
	var bufs [2][20]byte
	field, _ := p.draw(&bufs)
	c.W.Bulk(field)
}

func randomFields(c *command.Ctx) {
	r, count, values, ok := c.DrawArgs(keyspace.Hash, "withvalues")
	if !ok {
		return
	}
	p := newPicker(c, r)
	if p.n == 0 {
		c.W.Array(0)
		return
	}
	n := c.Draws(count, p.n, values)
	switch {
	case count < 0:
		var bufs [2][20]byte
		for range n {
			f, v := p.draw(&bufs)
			p.write(f, v, values)
		}
	case p.large && n < p.n/4:
		p.distinct(n, values)
	default:
		p.sample(n, values)
	}
}

// A picker draws random fields of a hash.
type picker struct {
	c     *command.Ctx
	r     keyspace.Ref // 0: there is no hash
	n     uint64       // fields of the hash that have not expired
	large bool
	list  packed.List
	step  int // entries of a field in list
	mem   coll.Mem
	gone  uint64 // fields that have expired and are still there
	now   int64

	elem coll.Ref // drawn, of a large hash
}

const (
	// pickExpires bounds how many fields whose time has come are removed before one is drawn. Whatever is left is active expiry's.
	pickExpires = 512
	// pickTries is how often an expired field is drawn before one that has not expired is looked for.
	pickTries = 64
)

// newPicker removes what has expired, as Redis does, and may find that nothing is left.
func newPicker(c *command.Ctx, r keyspace.Ref) picker {
	p := picker{c: c, now: c.FieldNow()}
	if r == 0 {
		return p
	}
	if r, _ = c.ExpireFields(&c.Keys[0], r, pickExpires); r == 0 {
		return p
	}
	s := c.Keys[0].Shard
	p.r, p.gone = r, uint64(value.Expired(s, r, p.now))
	p.n = uint64(value.Len(s, r)) - p.gone
	switch s.Encoding(r) {
	case keyspace.HashTable:
		p.large, p.mem = true, s.Open(r)
	case keyspace.ListPackEx:
		p.list, p.step = s.Triples(r), 3
	default:
		p.list, p.step = s.Value(r), 2
	}
	return p
}

// draw draws a field, each with the same probability, and returns it with its value: views, or printed into bufs. There must be one.
func (p *picker) draw(bufs *[2][20]byte) (field, val []byte) {
	if p.large {
		p.elem = p.drawElem()
		return coll.KeyOf(p.mem.Space, p.elem), coll.ValueOf(p.mem.Space, p.elem)
	}
	at := p.list.At(p.step * int(p.gone+p.c.Below(p.n))) // those that have expired stand in front
	return p.list.Text(at, &bufs[0]), p.list.Text(p.list.Next(at), &bufs[1])
}

func (p *picker) drawElem() coll.Ref {
	d := coll.Dict{Mem: &p.mem}
	if p.gone == 0 {
		return d.Random(p.c.Rand)
	}
	for range pickTries {
		if e := d.Random(p.c.Rand); !p.expired(e) {
			return e
		}
	}
	// Nearly everything has expired: the one of a random number among the others.
	var found coll.Ref
	left, cursor := p.c.Below(p.n), uint64(0)
	for first := true; found == 0 && (first || cursor != 0); first = false {
		cursor = d.Scan(cursor, func(e coll.Ref) {
			if p.expired(e) || found != 0 {
				return
			}
			if left == 0 {
				found = e
			}
			left--
		})
	}
	return found
}

func (p *picker) expired(e coll.Ref) bool {
	at := coll.ExpiryOf(p.mem.Space, e)
	return at <= p.now && at != keyspace.NoExpire
}

func (p *picker) write(field, val []byte, values bool) {
	w := p.c.W
	if values && w.RESP3 {
		w.Array(2)
	}
	w.Bulk(field)
	if values {
		w.Bulk(val)
	}
}

// distinct writes n different fields, a small part of a large hash, by drawing again what was drawn before.
func (p *picker) distinct(n uint64, values bool) {
	seen := make(map[coll.Ref]struct{}, n)
	for uint64(len(seen)) < n {
		f, v := p.draw(nil)
		if _, twice := seen[p.elem]; twice {
			continue
		}
		seen[p.elem] = struct{}{}
		p.write(f, v, values)
	}
}

// sample writes n different fields in one walk over the hash.
func (p *picker) sample(n uint64, values bool) {
	s := p.c.Sample(n, p.n)
	each(p.c, p.r, func(f, v []byte) bool {
		if s.Take() {
			p.write(f, v, values)
		}
		return !s.Done()
	})
}
