package aof

// How the log's bytes come into the Tail. The drainer stages each batch before it writes it. While it is held up in that write (a disk that
// stalls, a page cache that is full), or cannot write at all, those who would commit find its role taken: then they stage what has come
// into the rings since, and sending goes on. They read the rings without taking anything out of them, from the same place as the drainer;
// so it must not hand space back meanwhile, which stageMu sees to. The Tail knows what it has and takes nothing twice.

// joinTail has what is drained from off on go to t, which may be nil.
func (l *Log) joinTail(t *Tail, off int64) {
	if t != nil {
		t.attach(off, l.o.Memory)
	}
	l.tl.Store(t)
}

// stage gives a batch that begins at the drainer's offset to those who read the log from memory. The append role must be held.
func (l *Log) stage(v [][]byte) {
	if t := l.tl.Load(); t != nil && t.On() {
		t.stage(l.drain.off, v)
	}
}

// ahead is what staging ahead needs; Log.stageMu guards it.
type ahead struct {
	cursors []ringCursor // one a ring
	round   uint64       // a cursor of another round is somewhere else than its ring's first record
	vec     [][]byte
}

// stageAhead stages what is published, unless somebody is just doing that. It waits for nothing and allocates once.
func (l *Log) stageAhead() {
	if t := l.tl.Load(); t != nil && t.On() && t.End() < l.Reserved() && l.stageMu.TryLock() {
		l.stageLocked()
		l.stageMu.Unlock()
	}
}

// stageLocked is stageAhead with stageMu held.
func (l *Log) stageLocked() {
	t := l.tl.Load()
	if t == nil || !t.On() {
		return
	}
	a := &l.ahead
	if a.cursors == nil {
		a.cursors = make([]ringCursor, len(l.rings))
		a.vec = make([][]byte, 0, 256)
	}
	a.round++
	from := t.End()
	off := from
	for {
		i := l.findAhead(off)
		if i < 0 || len(a.vec) == maxRecords {
			if len(a.vec) == 0 {
				return
			}
			t.stage(from, a.vec)
			clear(a.vec)
			a.vec, from = a.vec[:0], off
			continue
		}
		p := l.rings[i].take(&a.cursors[i])
		a.vec = append(a.vec, p)
		off += int64(len(p))
	}
}

// findAhead gives the ring whose cursor is at the record at off, or -1. Everything before off is skipped.
func (l *Log) findAhead(off int64) int {
	a := &l.ahead
	at := func(i int) int64 {
		r, c := &l.rings[i], &a.cursors[i]
		if c.round != a.round {
			r.restart(c)
			c.round = a.round
		}
		h := r.head(c)
		for ; h >= 0 && h < off; h = r.head(c) {
			r.skip(c)
		}
		return h
	}
	if i := int(l.hints[uint64(off)>>3&hintMask].Load()); at(i) == off {
		return i
	}
	if off >= l.Reserved() {
		return -1
	}
	for i := range l.rings {
		if at(i) == off {
			return i
		}
	}
	return -1
}
