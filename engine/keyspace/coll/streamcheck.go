package coll

import (
	"errors"
	"fmt"

	"tidemark/engine/keyspace/packed"
)

// errNode begins what is wrong with a node.
func errNode(format string, args ...any) error {
	return fmt.Errorf("stream node: "+format, args...)
}

// CheckStreamNode looks at a valid, canonical packed list that claims to be a node of a stream whose entries' IDs are relative to id. It returns
// the number of entries, which may be 0, and the IDs of the first and the last of them.
func CheckStreamNode(id StreamID, lp packed.List) (entries int, first, last StreamID, err error) {
	at := packed.HeaderBytes
	number := func(what string, most int64) (n int64) {
		if err != nil {
			return 0
		}
		if lp.AtEnd(at) {
			err = errNode("it ends where %s should be", what)
			return 0
		}
		_, n, isInt := lp.Get(at)
		if !isInt || n < 0 && most >= 0 || most > 0 && n > most {
			err = errNode("%s at offset %d is not as it should be", what, at)
			return 0
		}
		at = lp.Next(at)
		return n
	}
	elements := func(n int64) {
		for ; n > 0 && err == nil; n-- {
			if lp.AtEnd(at) {
				err = errNode("it ends where a field should be")
				return
			}
			at = lp.Next(at)
		}
	}
	const many = 1 << 40
	count := number("the number of entries", many)
	deleted := number("the number of deleted entries", many)
	fields := number("the number of fields", many)
	elements(fields)
	if zero := number("the end of the fields", many); err == nil && zero != 0 {
		err = errNode("the fields have no end")
	}
	gone := int64(0)
	for err == nil && !lp.AtEnd(at) {
		flags := number("an entry's flags", entryDeleted|entrySame)
		ms := number("an entry's time", -1)
		seq := number("an entry's sequence", -1)
		n := fields
		size := int64(3)
		if flags&entrySame == 0 {
			n = number("an entry's number of fields", many) * 2
			size++
		}
		elements(n)
		if back := number("an entry's length", many); err == nil && back != n+size {
			err = errNode("an entry of %d elements says it has %d", n+size, back)
		}
		if err != nil {
			break
		}
		if flags&entryDeleted != 0 {
			gone++
			continue
		}
		e := StreamID{id.Ms + uint64(ms), id.Seq + uint64(seq)}
		if e.IsZero() || entries > 0 && e.Compare(last) <= 0 || e.Compare(id) < 0 {
			return 0, first, last, errNode("entry %d-%d is out of order", e.Ms, e.Seq)
		}
		if entries == 0 {
			first = e
		}
		last = e
		entries++
	}
	if err != nil {
		return 0, first, last, err
	}
	if int64(entries) != count || gone != deleted {
		return 0, first, last, errNode("%d entries and %d deleted ones, it says %d and %d", entries, gone, count, deleted)
	}
	return entries, first, last, nil
}

// Check verifies the Stream's invariants, and returns the first violation.
func (s Stream) Check() error {
	t := s.nodes()
	if err := t.Check(); err != nil {
		return err
	}
	var last, first StreamID
	n := uint64(0)
	var pos Pos
	i, weight := 0, n // of the node before
	for t.First(&pos); pos.Valid(); t.Next(&pos) {
		it := pos.Item()
		id, lp := StreamID{it.Key, *lowOf(s.Ptr(it.Ref()))}, s.nodeView(it.Ref())
		if _, canonical, err := packed.Check(lp); err != nil || !canonical {
			return fmt.Errorf("node %d: canonical %v: %v", i, canonical, err)
		}
		m, from, to, err := CheckStreamNode(id, lp)
		if err != nil {
			return fmt.Errorf("node %d: %w", i, err)
		}
		if m == 0 {
			return fmt.Errorf("node %d has no entries", i)
		}
		if n > 0 && from.Compare(last) <= 0 {
			return fmt.Errorf("node %d begins with %v, the one before it ends with %v", i, from, last)
		}
		if n == 0 {
			first = from
		}
		if weight != 0 {
			return fmt.Errorf("node %d weighs %d too much", i-1, int64(weight))
		}
		last = to
		n += uint64(m)
		i, weight = i+1, uint64(it.Weight()-min(m, MaxWeight))
	}
	h := s.Head()
	switch {
	case n != s.Root.N:
		return fmt.Errorf("%d entries in the nodes, the root has %d", n, s.Root.N)
	case last.Compare(h.Last) > 0:
		return fmt.Errorf("the last entry is %v, the head has %v", last, h.Last)
	case first != h.First:
		return fmt.Errorf("the first entry is %v, the head has %v", first, h.First)
	}
	return s.checkGroups()
}

func (s Stream) checkGroups() error {
	t := s.named(&s.Head().groups)
	if err := t.Check(); err != nil {
		return err
	}
	for i := range s.Groups() {
		g := s.GroupAt(i)
		ct, all := s.named(&g.consumers), s.pendingIn(&g.pending)
		if err := errors.Join(ct.Check(), all.Check()); err != nil {
			return fmt.Errorf("group %.40q: %w", g.Name(), err)
		}
		n := 0
		for j := range g.Consumers() {
			c := g.ConsumerAt(j)
			own := s.pendingIn(&c.pending)
			if err := own.Check(); err != nil {
				return fmt.Errorf("consumer %.40q: %w", c.Name(), err)
			}
			var p, q PendingPlace
			for ok := c.Seek(&p, StreamID{}); ok; ok = c.Next(&p) {
				if !p.OwnedBy(c) || !g.Find(&q, p.ID) || q.Pending != p.Pending {
					return fmt.Errorf("group %.40q: %v of consumer %.40q is not the group's", g.Name(), p.ID, c.Name())
				}
				n++
			}
		}
		if n != g.Pending() {
			return fmt.Errorf("group %.40q: %d pending, %d of them with a consumer", g.Name(), g.Pending(), n)
		}
	}
	return nil
}
