package engine

import (
	"errors"
	"fmt"
	"time"

	"tidemark/aof"
)

// Follower executes a primary's stream on a replica and puts the same bytes, at the same offsets, into the log. It works where the link is served, on
// one event loop. While it does, Role.Replica is set, so that nobody else writes into the log.
//
// A batch of effects is executed and logged under one hold of all shards' locks: a snapshot lies before it or behind it, and clients that read what it
// changed wait, like on the primary, until that is in the log, or under appendfsync always on the disk.
type Follower struct {
	executor
	applied int64
	full    *aof.Log // that had no room
	drains  int64    // its Drains then
	blocked bool
	more    bool
}

// NewFollower returns one that goes on at the end of the log, which must be open, where the stream is in database db.
func (s *Server) NewFollower(db int) *Follower {
	f := &Follower{executor: s.newExecutor(), applied: s.logOffset()}
	f.ctx.DB = db
	return f
}

const (
	// followNanos bounds one Apply, and by that the loop's turn.
	followNanos = int64(time.Millisecond)
	// followMost is the longest effect that is waited for.
	followMost = aof.MaxEffect
)

// Apply executes the whole effects at the front of p, a MULTI block as one, appends their bytes to the log, and returns how many bytes they took. 0
// without an error: the first effect is not whole yet (Need), or the log has no room (Blocked). It takes no longer than about a millisecond, and
// when it leaves whole effects for that reason More says so.
//
// After an error, which names the log offset, the stream cannot be followed any further. Nothing of the effect at fault was executed, unless it is a
// transaction of more than 64 commands: then a part of that is in memory and not in the log, and the data must be replaced.
//
// Between two calls p may only grow behind, and shrink in front by what was taken. One goroutine at a time, that of the link's loop, whose turn must end
// with a commit (CommitSoon) when anything was taken, and when the log had no room.
func (f *Follower) Apply(p []byte) (n int, err error) {
	f.blocked, f.more = false, false
	if waits, err := f.partial.waits(p); waits || err != nil {
		return 0, f.tooLong(err)
	}
	if f.s.store.Log() == nil || !f.s.store.Following.Load() {
		return 0, errors.New("a stream cannot be followed: this server is no replica, or has no log")
	}
	defer f.ctx.Publish()
	start := time.Now()
	f.ctx.Now = start.UnixMilli()
	for n < len(p) {
		if n > 0 && int64(time.Since(start)) > followNanos {
			f.more = true
			break
		}
		used, err := f.step(p[n:])
		if used == 0 {
			return n, f.tooLong(err)
		}
		n += used
	}
	return n, nil
}

// tooLong is err, or the error of an effect that is longer than any may be.
func (f *Follower) tooLong(err error) error {
	if need := f.partial.need(); err == nil && int64(need) > followMost {
		return fmt.Errorf("at log offset %d: an effect of more than %d bytes", f.applied, int64(followMost))
	}
	return err
}

// step executes one batch, to its end when that lies behind the batch's 64 commands in a block.
func (f *Follower) step(p []byte) (n int, err error) {
	db := f.ctx.DB
	if n, err = f.gather(p, f.applied); n == 0 {
		return 0, err
	}
	ready := false
	f.ctx.Follow(func() int64 {
		log := f.s.store.Log()               // under the locks: another may have taken over, at the same offset
		f.full, f.drains = log, log.Drains() // before the look: room made behind it is noticed
		if ready = log.Room(0); !ready {
			return 0
		}
		if log.Reserved() != f.applied {
			err = fmt.Errorf("at log offset %d: the log has become another's, and is at %d", f.applied, log.Reserved())
			return 0
		}
		f.run()
		for f.block && err == nil {
			used := 0
			used, err = f.gather(p[n:], f.applied+int64(n))
			f.run()
			n += used
		}
		if err != nil {
			return 0 // a block cannot be in the log by half
		}
		f.s.followDB.Store(int64(f.ctx.DB))
		f.applied = log.Follow(p[:n], db)
		return f.applied
	})
	if err != nil || !ready {
		f.blocked = err == nil
		// Gathered again. What is known of an unfinished effect is meant from behind the batch.
		f.block = false
		f.partial.reset()
		return 0, err
	}
	return n, nil
}

// Applied is the log offset up to which the stream is executed.
func (f *Follower) Applied() int64 { return f.applied }

// Blocked reports whether the last Apply ended because the log had no room. It is to be called again once RoomMade says so, which
// may change whenever the loop has committed or was woken (Extension.LoopProgress).
func (f *Follower) Blocked() bool { return f.blocked }

// RoomMade reports whether a Follower that is Blocked may find room now: calling Apply sooner would only ask in vain.
func (f *Follower) RoomMade() bool {
	log := f.s.store.Log()
	return f.blocked && log != nil && (log != f.full || log.Drains() != f.drains)
}

// More reports whether the last Apply left whole effects for the sake of the loop's other work.
func (f *Follower) More() bool { return f.more }

// Need is how many bytes the next Apply needs at least before it can do anything; 0: unknown.
func (f *Follower) Need() int { return f.partial.need() }

// DB is the database that the stream is in now.
func (f *Follower) DB() int { return f.ctx.DB }

// GetAck reports, once, whether the primary has asked for an acknowledgement (REPLCONF GETACK).
func (f *Follower) GetAck() bool {
	was := f.getAck
	f.getAck = false
	return was
}
