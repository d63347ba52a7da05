package shipper

import "tidemark/netio"

// loopPart is what one loop does for replication. It belongs to that loop.
type loopPart struct {
	list   []*replica // those it feeds
	stream *stream    // our primary's, if this loop runs it
	_      [32]byte
}

// follow has the loop look after our primary's stream; unfollow undoes it. That loop.
func (sh *Shipper) follow(l *netio.Loop, st *stream) {
	sh.loops[l.Index()].stream = st
	sh.settle(l)
}

func (sh *Shipper) unfollow(l *netio.Loop, st *stream) {
	if p := &sh.loops[l.Index()]; p.stream == st {
		p.stream = nil
		sh.settle(l)
	}
}

// settle says whether the loop has anything to do for replication.
func (sh *Shipper) settle(l *netio.Loop) {
	p := &sh.loops[l.Index()]
	sh.srv.WantProgress(l, p.stream != nil || len(p.list) > 0)
}

func (sh *Shipper) feeds(l *netio.Loop) *loopPart { return &sh.loops[l.Index()] }

func (f *loopPart) add(r *replica) {
	for _, x := range f.list {
		if x == r {
			return
		}
	}
	f.list = append(f.list, r)
}

func (f *loopPart) remove(r *replica) {
	for i, x := range f.list {
		if x == r {
			f.list = append(f.list[:i:i], f.list[i+1:]...)
			return
		}
	}
}

// LoopProgress is called on a loop after its own commit, and when it was woken.
func (sh *Shipper) LoopProgress(l *netio.Loop) {
	f := &sh.loops[l.Index()]
	if len(f.list) > 0 {
		now := l.Now() * 1000
		for i := len(f.list) - 1; i >= 0; i-- { // one may take itself off
			f.list[i].feed(now)
		}
	}
	if f.stream != nil {
		f.stream.progress()
	}
}
