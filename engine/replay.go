package engine

import (
	"bytes"
	"fmt"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/netio/resp"
)

// executor executes what a log holds: in recovery, and what a primary sends. It is a client of command.Ctx like any other, that logs nothing by
// itself and lets nothing expire.
//
// It goes by batches: the commands of a batch are parsed, then the buckets of their keys are touched, then the entries, and only then
// the first is executed. A log of SETs is replayed at the speed of the memory, and this way the cache misses of a batch overlap.
type executor struct {
	s       *Server
	ctx     *command.Ctx
	batch   []replayed
	count   int  // of the batch, as gathered
	block   bool // the batch ends inside a MULTI block, of which all is there
	partial unfinished
	hashes  [keyspace.MostAhead]uint64
	elems   ahead
	failed  failure
	errors  int  // commands that replied an error: the first is reported, the rest only counted
	lane    bool // of a deal, which reports it
	getAck  bool // a REPLCONF GETACK was executed
}

// failure is the first command that replied an error.
type failure struct {
	off         int64
	name, reply string
}

// replayed is one command of a batch. Its arguments are views into what was parsed.
type replayed struct {
	d    *command.Descriptor
	args [][]byte
	off  int64
	key  command.Key // the only key, if Name is set
	db   int         // where it is executed; of what run executes, where that was expected
}

const (
	replayBatch = 64       // commands
	batchBytes  = 64 << 10 // about, if none of the effects is longer
)

func (s *Server) newExecutor() executor {
	e := executor{s: s, ctx: command.NewCtx(s.store, s.table), batch: make([]replayed, replayBatch)}
	e.ctx.Replay = true
	e.ctx.Now = nowMillis()
	return e
}

// unfinished remembers how far an effect of which only a part has arrived was looked at, so that each byte is looked at once however it arrives.
// Positions are relative to the effect's first byte.
type unfinished struct {
	at   int          // whole commands of its block lie before this
	part resp.Partial // the command from there on
	args [][]byte
}

func (u *unfinished) reset() {
	u.at = 0
	u.part.Reset()
}

// waits reports whether the effect at the front of p is still known to be incomplete.
func (u *unfinished) waits(p []byte) (bool, error) {
	if u.part.Need() == 0 || u.at > len(p) {
		return false, nil
	}
	n, err := resp.ResumeCommand(&u.part, p[u.at:])
	if n == 0 && err == nil {
		return true, nil
	}
	u.part.Reset()
	return false, err
}

// need is how long the effect must become before anything new can be said of it; 0: unknown.
func (u *unfinished) need() int {
	if n := u.part.Need(); n > 0 {
		return u.at + n
	}
	return 0
}

// blockEnd is the length of the block at the front of p, whose MULTI takes multi bytes, or 0 when its EXEC is not there yet.
func (u *unfinished) blockEnd(p []byte, multi int) (int, error) {
	for u.at = max(u.at, multi); u.at < len(p); {
		n, args, err := resp.ParseCommand(p[u.at:], u.args[:0])
		if err != nil {
			return 0, err
		}
		u.at += n
		if u.args = args; len(args) == 0 {
			if u.at < len(p) {
				err = u.begin(p)
			}
			return 0, err
		}
		if len(args) == 1 && command.Is(args[0], "exec") {
			end := u.at
			u.reset()
			return end, nil
		}
	}
	return 0, nil
}

// begin looks at the command at u.at, which is incomplete.
func (u *unfinished) begin(p []byte) error {
	u.part.Reset()
	_, err := resp.ResumeCommand(&u.part, p[u.at:])
	return err
}

// gather parses commands into the batch, and returns the bytes they take: whole effects, or a part of a MULTI block that is there as a whole
// (block is set then, and the next call goes on with it). 0: the effect at the front of p is not whole yet, or cannot be executed (err). off is the log
// offset of p.
func (e *executor) gather(p []byte, off int64) (n int, err error) {
	e.count = 0
	multi, before := -1, 0 // where a block begins that began in this batch: the bytes and commands before it
	for e.count < replayBatch && n < len(p) && n < batchBytes {
		x := &e.batch[e.count]
		used, args, err := resp.ParseCommand(p[n:], x.args[:0])
		x.args, x.off = args, off+int64(n)
		if len(args) == 0 && err == nil { // filler, or not whole
			n += used
			if n < len(p) {
				err = e.partial.begin(p[n:])
			}
			return n, e.at(x, err, e.count > 0)
		}
		if err == nil && len(args) == 1 && command.Is(args[0], "multi") && !e.block {
			var end int
			if end, err = e.partial.blockEnd(p[n:], used); end == 0 {
				return n, e.at(x, err, e.count > 0)
			}
			e.block, multi, before = true, n, e.count
		}
		if err == nil {
			err = e.resolve(x)
		}
		if err != nil {
			// What comes before is executed first; then this one is at the front.
			if multi >= 0 && e.block {
				n, e.count, e.block = multi, before, false
			}
			if e.count == 0 {
				n = 0
			}
			return n, e.at(x, err, n > 0)
		}
		n += used
		e.count++
		if e.block && len(args) == 1 && command.Is(args[0], "exec") {
			e.block = false
		}
	}
	return n, nil
}

// at is err with its place, unless it is for later.
func (e *executor) at(x *replayed, err error, later bool) error {
	if err == nil || later {
		return nil
	}
	return fmt.Errorf("at log offset %d: %w", x.off, err)
}

// passedOver are commands of replication streams that concern nobody here.
var passedOver = map[string]bool{"publish": true, "spublish": true, "replconf": true}

// resolve finds the command and checks what a client's dispatch would.
func (e *executor) resolve(x *replayed) error {
	d, unknownSub := e.s.table.Resolve(x.args)
	x.d = d
	switch {
	case (d == nil || unknownSub) && passedOver[string(bytes.ToLower(x.args[0]))]:
		x.d = nil
	case d == nil || unknownSub:
		return fmt.Errorf("unknown command '%.64s'; the log was written by a newer or another server", x.args[0])
	case d.Arity > 0 && len(x.args) != d.Arity || len(x.args) < -d.Arity:
		return fmt.Errorf("%s", command.WrongArity(d))
	case d.Name == "select":
		if db, ok := command.ParseInt(x.args[1]); !ok || db < 0 || int(db) >= e.s.store.KS.Databases() {
			return fmt.Errorf("SELECT %.20s: the server has %d databases; raise 'databases' to load this log", x.args[1], e.s.store.KS.Databases())
		}
	}
	return nil
}

// run executes the batch. All shards are locked, within Ctx.Exclusively or Ctx.Follow.
func (e *executor) run() {
	batch := e.batch[:e.count]
	for i := range batch {
		e.findKey(&batch[i])
	}
	e.warm(batch)
	for i := range batch {
		e.one(&batch[i])
	}
}

// findKey notes the only key of x, if it has one.
func (e *executor) findKey(x *replayed) {
	x.key.Name, x.db = nil, e.ctx.DB
	if x.d == nil {
		return
	}
	if at := x.d.SoleKey(x.args); at > 0 {
		x.key = e.ctx.Store.MakeKey(x.args[at])
		x.key.Arg = at
	}
}

// warm has the processor fetch what the commands will look up.
func (e *executor) warm(batch []replayed) {
	for i := 0; i < len(batch); {
		db, n := batch[i].db, 0
		for ; i < len(batch) && n < len(e.hashes) && batch[i].db == db; i++ {
			if x := &batch[i]; x.key.Name != nil {
				e.hashes[n] = x.key.Hash
				n++
			}
		}
		e.s.store.KS.Ahead(db, e.hashes[:n])
	}
	for i := range batch {
		if x := &batch[i]; x.key.Name != nil {
			e.elems.add(x.db, x.d, x.args, &x.key)
		}
	}
	e.elems.fetch()
}

func (e *executor) one(x *replayed) {
	c := e.ctx
	switch {
	case x.d == nil || x.d.Name == "replconf":
		e.getAck = e.getAck || len(x.args) > 1 && command.Is(x.args[0], "replconf") && command.Is(x.args[1], "getack")
		return
	case x.d.Name == "select":
		db, _ := command.ParseInt(x.args[1])
		c.DB = int(db)
		return
	case !x.d.Replayed():
		return // PING and the like keep a replication stream alive, MULTI and EXEC hold a block together
	}
	c.Cmd, c.Args, c.Raw = x.d, x.args, nil
	c.W.B = c.W.B[:0]
	if x.key.Name != nil {
		c.RunOn(&x.key)
	} else {
		c.Run()
	}
	if bytes.HasPrefix(c.W.B, []byte{'-'}) {
		if e.errors++; e.errors == 1 {
			e.failed = failure{x.off, fmt.Sprintf("%.64q", x.args[0]), fmt.Sprintf("%.200s", bytes.TrimSpace(c.W.B[1:]))}
			if !e.lane {
				e.reportFailure()
			}
		}
	}
	if cap(c.W.B) > maxReplayReply {
		c.W.B = nil
	}
}

func (e *executor) reportFailure() {
	e.s.log.Warningf("Executing %s at log offset %d gave an error: %s", e.failed.name, e.failed.off, e.failed.reply)
}

// maxReplayReply bounds the memory for replies that nobody reads.
const maxReplayReply = 1 << 20
