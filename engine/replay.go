package engine

import (
	"bytes"
	"fmt"

	"tidemark/engine/command"
	"tidemark/netio/resp"
)

// replayer executes what recovery reads. It is a client of command.Ctx like any other, that logs nothing and lets nothing expire.
//
// It goes by batches: the commands of a batch are parsed, then the buckets of their keys are touched, then the entries, and only then
// the first is executed. A log of SETs is replayed at the speed of the memory, and this way the cache misses of a batch overlap.
type replayer struct {
	s      *Server
	ctx    *command.Ctx
	batch  []replayed
	warmth uint64
	baseDB int // database that the stream is in where the base is exact
	errors int // commands that replied an error: the first is reported, the rest only counted
}

// replayed is one command of a batch. Its arguments are views into what Apply was given.
type replayed struct {
	d    *command.Descriptor
	args [][]byte
	off  int64
	key  command.Key // the only key, if Name is set
}

const replayBatch = 64

func (s *Server) newReplayer() *replayer {
	r := &replayer{s: s, ctx: command.NewCtx(s.store, s.table), batch: make([]replayed, replayBatch)}
	r.ctx.Replay = true
	r.ctx.Now = nowMillis()
	return r
}

// LoadBase loads an RDB file.
func (r *replayer) LoadBase(path string) error {
	from, err := r.s.loadRDB(path, false)
	r.baseDB = from.db
	return err
}

// Apply executes the whole effects at the front of p. A MULTI block counts as one effect: it is executed only when its EXEC is there.
func (r *replayer) Apply(p []byte, off int64) (n int, err error) {
	defer r.ctx.Publish()
	for n < len(p) && err == nil {
		if err := r.s.loading.goesOn(); err != nil {
			return n, err
		}
		var used, count int
		used, count, err = r.gather(p[n:], off+int64(n))
		if used == 0 {
			break
		}
		r.ctx.Exclusively(func() {
			if e := r.runBatch(r.batch[:count]); e != nil {
				err = e
			}
		})
		if err != nil {
			return n, err
		}
		n += used
		r.s.loading.done.Add(int64(used))
	}
	return n, err
}

// gather parses commands into the batch, a MULTI block whole or not at all, and returns the bytes and the commands taken.
func (r *replayer) gather(p []byte, off int64) (n, count int, err error) {
	for count < replayBatch && n < len(p) {
		used, err := r.parse(p[n:], count, off+int64(n))
		if err != nil || used == 0 {
			return n, count, err
		}
		x := &r.batch[count]
		if len(x.args) == 0 { // filler
			n += used
			if n < len(p) {
				return n, count, nil
			}
			continue
		}
		if len(x.args) == 1 && command.Is(x.args[0], "multi") {
			body, err := blockLength(p[n+used:], off+int64(n+used))
			if err != nil || body == 0 {
				return n, count, err
			}
		}
		n += used
		count++
	}
	return n, count, nil
}

// parse parses one command into a place of the batch, which grows for blocks.
func (r *replayer) parse(p []byte, at int, off int64) (n int, err error) {
	x := &r.batch[at]
	n, x.args, err = resp.ParseCommand(p, x.args[:0])
	x.off = off
	if err != nil {
		return 0, fmt.Errorf("at log offset %d: %w", off, err)
	}
	return n, nil
}

// runBatch executes commands. All shards are locked.
func (r *replayer) runBatch(batch []replayed) (err error) {
	c := r.ctx
	for i := range batch {
		x := &batch[i]
		x.key.Name = nil
		if x.d, err = r.resolve(x); err != nil {
			return err
		}
		if name := x.d.SoleKey(x.args); name != nil {
			x.key = c.Store.MakeKey(name)
		}
	}
	for i := range batch { // nothing else in this loop: the more of its loads the processor has in flight at once, the better
		if x := &batch[i]; x.key.Name != nil {
			r.warmth += x.key.Shard.Warm(c.DB, x.key.Hash)
		}
	}
	for i := range batch {
		if x := &batch[i]; x.key.Name != nil {
			r.warmth += uint64(x.key.Shard.Find(c.DB, x.key.Hash, x.key.Name))
		}
	}
	for i := range batch {
		if err = r.run(&batch[i]); err != nil {
			return err
		}
	}
	return nil
}

// resolve finds the command and checks what a client's dispatch would.
func (r *replayer) resolve(x *replayed) (*command.Descriptor, error) {
	d, unknownSub := r.s.table.Resolve(x.args)
	switch {
	case d == nil || unknownSub:
		return nil, fmt.Errorf("at log offset %d: unknown command '%.64s'; the log was written by a newer or another server", x.off, x.args[0])
	case d.Arity > 0 && len(x.args) != d.Arity || len(x.args) < -d.Arity:
		return nil, fmt.Errorf("at log offset %d: %s", x.off, command.WrongArity(d))
	}
	return d, nil
}

// blockLength is the length of the commands up to and with EXEC, or 0 when that is not there yet.
func blockLength(p []byte, off int64) (int, error) {
	var args [][]byte
	for at := 0; at < len(p); {
		n, a, err := resp.ParseCommand(p[at:], args[:0])
		if err != nil {
			return 0, fmt.Errorf("at log offset %d: %w", off+int64(at), err)
		}
		if n == 0 {
			return 0, nil
		}
		at += n
		if args = a; len(a) == 1 && command.Is(a[0], "exec") {
			return at, nil
		}
	}
	return 0, nil
}

func (r *replayer) run(x *replayed) error {
	c := r.ctx
	if x.d.Name == "select" {
		db, ok := command.ParseInt(x.args[1])
		if !ok || db < 0 || int(db) >= c.Store.KS.Databases() {
			return fmt.Errorf("at log offset %d: SELECT %.20s: the server has %d databases; raise 'databases' to load this log",
				x.off, x.args[1], c.Store.KS.Databases())
		}
		c.DB = int(db)
		return nil
	}
	if x.d.Flags&command.Write == 0 {
		return nil // PING and the like keep a replication stream alive, MULTI and EXEC hold a block together
	}
	c.Cmd, c.Args, c.Raw = x.d, x.args, nil
	c.W.B = c.W.B[:0]
	c.Run()
	if bytes.HasPrefix(c.W.B, []byte{'-'}) {
		if r.errors++; r.errors == 1 {
			r.s.log.Warningf("Replaying %.64q at log offset %d gave an error: %.200s", x.args[0], x.off, bytes.TrimSpace(c.W.B[1:]))
		}
	}
	return nil
}
