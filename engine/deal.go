package engine

import (
	"runtime"
	"sync/atomic"

	"tidemark/engine/command"
)

// Recovery on several processors. What it takes its time for is cache misses: of each key the bucket, and the entry. So the
// commands of a log are parsed in one place, in order, and dealt to lanes by the shard of their only key; a lane is a goroutine that executes them
// under the locks of its shards. In each shard the order is that of the log, which is all that a command of one key can notice. A command of any other kind is
// executed when the lanes are empty, by whoever parses. Nobody sees the data before the load has ended, so what a MULTI block holds is
// dealt like anything else, once its EXEC has been seen.
//
//	package aof reads, verifies ─► Apply copies, parses, hashes ─┬► lane 0: shards 0, n, 2n, ...
//	                                                             └► lane n-1: shards n-1, 2n-1, ...
//
// The bytes are copied into a round, which goes to all lanes and is free again when the last of them is done with it. So the caller's bytes need not outlive
// Apply, and the small batches of a log that was written one request at a time make rounds as large as any other. What
// does not fit into a round is not copied: it is executed when the lanes are empty, too.

const (
	mostLanes   = 4
	roundBytes  = 128 << 10
	roundsAhead = 4
)

// replayer executes what recovery reads.
type replayer struct {
	executor
	want   int         // lanes
	lanes  []*lane     // none before there is something to deal
	free   chan *round // all of them, if the lanes are empty
	filled *round      // the one that is being filled; nil: none
}

// lane executes the commands of its shards. ctx and all else is its goroutine's; failed and errors are the replayer's while the lanes are empty.
type lane struct {
	executor
	index int
	in    chan *round
	part  []replayed // being executed
	ended chan struct{}
}

// round is a stretch of the log, and the commands in it by lane.
type round struct {
	buf   []byte       // as many as are dealt; never reallocated, as the arguments are views into it
	args  [][]byte     // what the args of parts are cut from
	parts [][]replayed // by lane
	left  atomic.Int32 // lanes that are not done with it
}

func (s *Server) newReplayer() *replayer {
	r := &replayer{executor: s.newExecutor()}
	if n := min(runtime.NumCPU(), runtime.GOMAXPROCS(0)); n > 1 {
		r.want = min(n, mostLanes)
	}
	return r
}

// LoadBase loads an RDB file.
func (r *replayer) LoadBase(path string) error {
	from, err := r.s.loadRDB(path, false)
	r.ctx.DB = from.db
	return err
}

// Apply executes the whole effects at the front of p, or deals them: they are executed when Finish returns. A MULTI block counts as one
// effect: it is executed only when its EXEC is there.
func (r *replayer) Apply(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		if err := r.s.loading.goesOn(); err != nil {
			return n, err
		}
		used := 0
		if !r.block && r.canDeal() {
			used = r.deal(p[n:], off+int64(n))
		}
		if used == 0 {
			r.settle()
			r.partial.reset()
			if used, err = r.gather(p[n:], off+int64(n)); used == 0 {
				return n, err
			}
			r.alone()
		}
		n += used
		r.s.loading.done.Add(int64(used))
	}
	return n, nil
}

// alone executes the batch here. The lanes are empty.
func (r *replayer) alone() {
	r.ctx.Exclusively(r.run)
	r.ctx.Publish()
}

// canDeal reports whether commands may be dealt, and begins the lanes.
func (r *replayer) canDeal() bool {
	if r.s.store.Waiters() > 0 { // from before a DEBUG LOADAOF: their commands may concern any shard
		return false
	}
	if r.lanes != nil || r.want == 0 {
		return r.lanes != nil
	}
	n := min(r.want, r.s.store.KS.NumShards())
	r.free = make(chan *round, roundsAhead)
	for range roundsAhead {
		r.free <- &round{buf: make([]byte, 0, roundBytes), parts: make([][]replayed, n)}
	}
	for i := range n {
		l := &lane{executor: r.s.newExecutor(), index: i, in: make(chan *round, roundsAhead), ended: make(chan struct{})}
		l.lane = true
		r.lanes = append(r.lanes, l)
		go l.work(n, r.free)
	}
	return true
}

// deal deals the whole effects at the front of p, as many as go into a round, and returns the bytes they take. 0: not even the first goes into one, or it is
// not whole, or wrong. What cannot be dealt is executed; then nothing more is, and the batch may end inside a block.
func (r *replayer) deal(p []byte, off int64) (n int) {
	for {
		if r.filled == nil {
			r.filled = <-r.free
		}
		rd := r.filled
		from := len(rd.buf)
		stretch := rd.buf[from:min(from+len(p), cap(rd.buf))]
		copy(stretch, p)
		r.partial.reset()
		for n < len(stretch) {
			used, err := r.gather(stretch[n:], off+int64(n))
			if used == 0 || err != nil { // what is wrong comes up again
				break
			}
			n += used
			rd.buf = rd.buf[:from+n]
			if !r.dealBatch(rd) {
				r.settle()
				r.alone() // from the round, which nobody fills meanwhile
				return n
			}
		}
		if n < len(p) && from > 0 {
			r.send()
			if n == 0 {
				continue // with all the room there can be
			}
		}
		return n
	}
}

// dealBatch puts the batch into the parts of rd. False, and nothing is: there is a command in it that cannot be dealt.
func (r *replayer) dealBatch(rd *round) bool {
	batch := r.batch[:r.count]
	for i := range batch {
		x := &batch[i]
		r.findKey(x)
		if x.d != nil && x.d.Replayed() && (x.key.Name == nil || x.d.Scope != command.ScopeKeys || x.d.Everywhere != nil) {
			return false
		}
	}
	for i := range batch {
		x := &batch[i]
		if x.d == nil || !x.d.Replayed() {
			r.one(x) // SELECT
			continue
		}
		x.db = r.ctx.DB
		part := &rd.parts[x.key.Shard.Index()%len(r.lanes)]
		*part = append(*part, *x)
		rd.args = append(rd.args, x.args...)
		(*part)[len(*part)-1].args = rd.args[len(rd.args)-len(x.args):]
	}
	return true
}

// send has the lanes execute the round.
func (r *replayer) send() {
	rd := r.filled
	r.filled = nil
	rd.left.Store(int32(len(r.lanes)))
	for _, l := range r.lanes {
		l.in <- rd // never blocks: there are as many places as rounds
	}
}

// settle returns when everything dealt is executed.
func (r *replayer) settle() {
	if r.lanes == nil {
		return
	}
	if r.filled != nil {
		r.send()
	}
	var home [roundsAhead]*round
	for i := range home {
		home[i] = <-r.free
	}
	for _, rd := range home {
		r.free <- rd
	}
	if r.errors > 0 {
		return // one was reported
	}
	for _, l := range r.lanes {
		if l.errors > 0 && (r.errors == 0 || l.failed.off < r.failed.off) {
			r.failed = l.failed
		}
		r.errors += l.errors
	}
	if r.errors > 0 {
		r.reportFailure()
	}
}

// Finish returns when everything is executed. Nothing may be applied afterwards.
func (r *replayer) Finish() {
	r.settle()
	for _, l := range r.lanes {
		close(l.in)
		<-l.ended
	}
	r.lanes = nil
}

// work is a lane's life.
func (l *lane) work(lanes int, free chan<- *round) {
	defer close(l.ended)
	run := l.runPart
	for rd := range l.in {
		if l.part = rd.parts[l.index]; len(l.part) > 0 {
			l.ctx.OnShards(l.index, lanes, run)
			l.ctx.Publish()
			rd.parts[l.index] = l.part[:0]
		}
		if rd.left.Add(-1) == 0 {
			rd.buf, rd.args = rd.buf[:0], rd.args[:0]
			free <- rd
		}
	}
}

// runPart executes the part, within OnShards.
func (l *lane) runPart() {
	for part := l.part; len(part) > 0; {
		batch := part[:min(replayBatch, len(part))]
		l.warm(batch)
		for i := range batch {
			l.ctx.DB = batch[i].db
			l.one(&batch[i])
		}
		part = part[len(batch):]
	}
}
