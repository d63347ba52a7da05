package engine

import (
	"tidemark/aof"
	"tidemark/engine/command"
	"tidemark/netio/resp"
)

// Follower executes a primary's stream and puts the same bytes into our log, at the same offsets. It is the replayer with a log behind it:
// commands go by batches whose cache misses overlap. One goroutine at a time, that of the loop with the link.
type Follower struct {
	s       *Server
	r       *replayer
	log     *aof.Log
	applied int64
	blocked bool
	getAck  bool
	within  bool // between MULTI and EXEC, while they are executed
	open    int  // bytes of a transaction at the front of the input that were searched for its EXEC in vain
}

// followBytes is how much of the stream is executed under one hold of the locks, but for a transaction, which is never divided.
const followBytes = 16 << 10

// NewFollower returns one that goes on at the end of the log, which must be open, where the stream is in database db.
func (s *Server) NewFollower(db int) *Follower {
	f := &Follower{s: s, r: s.newReplayer(), log: s.store.Log()}
	f.r.ctx.DB = db
	f.applied = f.log.Reserved()
	return f
}

// Applied is the log offset up to which the stream is executed.
func (f *Follower) Applied() int64 { return f.applied }

// DB is the database that the stream is in there.
func (f *Follower) DB() int { return f.r.ctx.DB }

// Blocked reports whether the last Apply found the ring full: it is to be called again once the log made room, which whoever commits tells
// (Extension.LoopProgress).
func (f *Follower) Blocked() bool { return f.blocked }

// GetAck reports, once, whether the primary asked for an acknowledgement (REPLCONF GETACK).
func (f *Follower) GetAck() bool {
	asked := f.getAck
	f.getAck = false
	return asked
}

// Apply executes the whole effects at the front of p, transactions undivided, and returns how many bytes they took; the rest is to be offered again
// with more behind it. p is not kept. An error names the log offset; what is returned with it was executed, the rest cannot be. The loop's turn
// must end with a commit: Apply sees to that.
func (f *Follower) Apply(p []byte) (n int, err error) {
	defer f.r.ctx.Publish()
	f.blocked = false
	f.r.ctx.Now = nowMillis()
	for n < len(p) && err == nil && !f.blocked {
		used := 0
		f.r.ctx.Follow(f.log, func() ([]byte, int) {
			if f.blocked = !f.log.Room(0); f.blocked {
				return nil, 0
			}
			db := f.r.ctx.DB
			used, err = f.stretch(p[n:])
			f.s.followDB.Store(int64(f.r.ctx.DB))
			return p[n : n+used], db
		})
		if used == 0 {
			break
		}
		f.applied += int64(used)
		n += used
	}
	return n, err
}

// stretch executes up to followBytes. All shards are locked.
func (f *Follower) stretch(p []byte) (n int, err error) {
	for n < len(p) && (n < followBytes || f.within) {
		if !f.within && f.unfinished(p[n:], n) {
			break
		}
		used, count, perr := f.r.gather(p[n:], f.applied+int64(n))
		if used > 0 {
			f.open = 0
			if err := f.r.runBatch(f.r.batch[:count]); err != nil {
				return n, err
			}
			for i := range f.r.batch[:count] {
				f.note(&f.r.batch[i])
			}
			n += used
		}
		if perr != nil || used == 0 {
			return n, perr
		}
	}
	return n, nil
}

// note looks at what a command means for the stream.
func (f *Follower) note(x *replayed) {
	if x.d.Flags&command.Write != 0 {
		return
	}
	switch x.d.Name {
	case "multi":
		f.within = true
	case "exec":
		f.within = false
	case "replconf":
		if len(x.args) > 1 && command.Is(x.args[1], "getack") {
			f.getAck = true
		}
	}
}

// unfinished reports whether p begins with a transaction whose EXEC is not there yet, remembering how far it has looked: a large one comes in
// many pieces. at is where p begins in what Apply was given: only what stands at its front is offered again.
func (f *Follower) unfinished(p []byte, at int) bool {
	if at > 0 {
		return false // gather looks, once
	}
	var args [][]byte
	pos := f.open
	if pos == 0 {
		n, a, err := resp.ParseCommand(p, args)
		if n == 0 || err != nil || len(a) != 1 || !command.Is(a[0], "multi") {
			return false
		}
		pos, args = n, a
	}
	for pos < len(p) {
		n, a, err := resp.ParseCommand(p[pos:], args[:0])
		if err != nil {
			return false // gather says what is wrong
		}
		if n == 0 {
			break
		}
		pos += n
		if args = a; len(a) == 1 && command.Is(a[0], "exec") {
			return false
		}
	}
	f.open = pos
	return true
}
