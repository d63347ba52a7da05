package coll

import (
	"errors"
	"fmt"
	"unsafe"

	"tidemark/engine/keyspace/packed"
)

// Check verifies the Dict's invariants, and returns the first violation. It looks at everything: it is for tests and DEBUG.
func (d Dict) Check() error {
	n := 0
	var depths [maxDepth + 1]uint32
	if w := d.Root.dict; w != 0 {
		if err := d.checkWord(w, 0, 0, &n, &depths); err != nil {
			return err
		}
		if w.isDir() {
			for i, want := range depths {
				if got := *byDepth(d.Ptr(w.ref()), uint(i)); got != want {
					return fmt.Errorf("%d segments of depth %d, counted %d", got, i, want)
				}
			}
		}
	}
	if uint64(n) != d.Root.N {
		return fmt.Errorf("%d elements in the table, the root has %d", n, d.Root.N)
	}
	return nil
}

// checkWord checks what lies below a word that the first used bits of pos lead to.
func (d Dict) checkWord(w word, pos uint64, used uint, n *int, depths *[maxDepth + 1]uint32) error {
	if w.isDir() {
		dir := d.Ptr(w.ref())
		deep := uint32(0)
		for i := uint64(0); i < 1<<w.depth(); {
			c := *dirSlot(dir, i)
			at := pos | i<<(64-used-w.depth())
			if c.isDir() {
				if w.depth() != dirBits {
					return fmt.Errorf("directory of %d bits below one of %d", c.depth(), w.depth())
				}
				deep++
				if err := d.checkWord(c, at, used+dirBits, n, depths); err != nil {
					return err
				}
				i++
				continue
			}
			local := c.depth() - used
			if c.depth() < used || local > w.depth() {
				return fmt.Errorf("segment of depth %d in a directory of %d bits after %d", c.depth(), w.depth(), used)
			}
			if local == w.depth() {
				deep++
			}
			for j := range uint64(1) << (w.depth() - local) {
				if *dirSlot(dir, i+j) != c {
					return fmt.Errorf("slot %d of a directory does not name the segment of slot %d", i+j, i)
				}
			}
			if err := d.checkWord(c, at, used, n, depths); err != nil {
				return err
			}
			i += 1 << (w.depth() - local)
		}
		if deep != *deepest(dir) {
			return fmt.Errorf("%d slots stand alone in a directory, it says %d", deep, *deepest(dir))
		}
		return nil
	}
	keys := 0
	depths[w.depth()]++
	var err error
	d.eachSlot(w, func(_, slot uint64) {
		keys++
		r := Ref(slot & refMask)
		key := KeyOf(d.Space, r)
		h := d.Hash(key)
		if depth := w.depth(); depth > 0 && (h^pos)>>(64-depth) != 0 {
			err = fmt.Errorf("key %.40q of hash %x stands in the segment at %x, depth %d", key, h, pos, depth)
		} else if d.Find(h, key) != r {
			err = fmt.Errorf("key %.40q is not found", key)
		}
	})
	if err == nil && keys != int(*keysOf(d.Ptr(w.ref()))) {
		err = fmt.Errorf("%d keys in a segment that says %d", keys, *keysOf(d.Ptr(w.ref())))
	}
	*n += keys
	return err
}

// Check verifies the Tree's invariants, and returns the first violation.
func (t *Tree) Check() error {
	w := *t.word()
	if w == 0 {
		return nil
	}
	var last *Item
	_, _, err := t.checkNode(t.Ptr(w.ref()), w.height(), true, &last)
	return err
}

func (t *Tree) checkNode(p unsafe.Pointer, height int, root bool, last **Item) (first Item, n uint64, err error) {
	c := int(*countOf(p))
	if c == 0 || height > 0 && root && c == 1 {
		return first, 0, fmt.Errorf("%d items in a node of height %d", c, height)
	}
	for i := range c {
		if height > 0 {
			ch := childAt(p, i)
			f, m, err := t.checkNode(t.Ptr(Ref(ch.ref)), height-1, false, last)
			if err != nil {
				return first, 0, err
			}
			if f != ch.first || m != ch.n {
				return first, 0, fmt.Errorf("child %d at height %d begins with %v and weighs %d; its parent has %v and %d", i, height, f, m, ch.first, ch.n)
			}
			n += m
			continue
		}
		it := leafItem(p, i)
		if *last != nil && (t.Tie != nil || t.Wide) {
			probe := Probe{Key: it.Key}
			switch {
			case t.Wide:
				probe.Low = *u64(t.Ptr(it.Ref()), lowAt)
			case t.at != nil:
				probe.Tie = nameOf(t.Space, it.Ref())
			default:
				probe.Tie = KeyOf(t.Space, it.Ref())
			}
			if !t.less(*last, &probe) {
				return first, 0, fmt.Errorf("item %v does not lie behind %v", *it, **last)
			}
		}
		*last = it
		n += uint64(it.Weight())
	}
	if height > 0 {
		return childAt(p, 0).first, n, nil
	}
	return *leafItem(p, 0), n, nil
}

// Check verifies the List's invariants, and returns the first violation.
func (l List) Check() error {
	tr := l.tree()
	if l.Root.N > 0 && l.Root.A == 0 || !tr.Empty() && l.Root.B == 0 {
		return errors.New("a list without a first or last block")
	}
	n := uint64(0)
	block := func(r Ref) error {
		m, canonical, err := packed.Check(l.open(r))
		if err != nil || !canonical || m == 0 {
			return fmt.Errorf("block of %d elements, canonical %v: %v", m, canonical, err)
		}
		n += uint64(m)
		return nil
	}
	for _, r := range []uint64{l.Root.A, l.Root.B} {
		if r != 0 && l.pressed(Ref(r)) {
			return errors.New("the first or last block is compressed")
		}
		if r != 0 {
			if err := block(Ref(r)); err != nil {
				return err
			}
		}
	}
	var pos Pos
	for tr.First(&pos); pos.Valid(); tr.Next(&pos) {
		before := n
		if err := block(pos.Item().Ref()); err != nil {
			return err
		}
		if n-before != uint64(pos.Item().Weight()) {
			return fmt.Errorf("block of %d elements weighs %d", n-before, pos.Item().Weight())
		}
	}
	if n != l.Root.N {
		return fmt.Errorf("%d elements in the blocks, the root has %d", n, l.Root.N)
	}
	return tr.Check()
}
