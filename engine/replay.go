package engine

import (
	"bytes"
	"fmt"

	"tidemark/engine/command"
	"tidemark/netio/resp"
)

// replayer executes what recovery reads. It is a client of command.Ctx like any other, that logs nothing and lets nothing expire.
type replayer struct {
	s    *Server
	ctx  *command.Ctx
	args [][]byte
	// quiet: a command that replied an error was reported; the rest are only counted.
	errors int
}

func (s *Server) newReplayer() *replayer {
	r := &replayer{s: s, ctx: command.NewCtx(s.store, s.table)}
	r.ctx.Replay = true
	r.ctx.Now = nowMillis()
	return r
}

// LoadBase loads an RDB file.
func (r *replayer) LoadBase(path string) error { return r.s.loadRDB(path) }

// Apply executes the whole effects at the front of p. A MULTI block counts as one effect: it is executed only when its EXEC is there.
func (r *replayer) Apply(p []byte, off int64) (n int, err error) {
	defer r.ctx.Publish()
	for n < len(p) {
		used, err := r.step(p[n:], off+int64(n))
		if err != nil {
			return n, err
		}
		if used == 0 {
			break
		}
		n += used
	}
	return n, nil
}

func (r *replayer) step(p []byte, off int64) (n int, err error) {
	n, args, err := resp.ParseCommand(p, r.args[:0])
	r.args = args
	if err != nil {
		return 0, fmt.Errorf("at log offset %d: %w", off, err)
	}
	if n == 0 || len(args) == 0 {
		return n, nil
	}
	if len(args) == 1 && command.Is(args[0], "multi") {
		body, err := blockLength(p[n:], off+int64(n))
		if err != nil || body == 0 {
			return 0, err
		}
		for end := n + body; n < end; {
			used, args, _ := resp.ParseCommand(p[n:], r.args[:0])
			r.args = args
			if len(args) > 0 && !(len(args) == 1 && command.Is(args[0], "exec")) {
				if err := r.run(args, off+int64(n)); err != nil {
					return 0, err
				}
			}
			n += used
		}
		return n, nil
	}
	return n, r.run(args, off)
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

func (r *replayer) run(args [][]byte, off int64) error {
	c := r.ctx
	d, unknownSub := r.s.table.Resolve(args)
	switch {
	case d == nil || unknownSub:
		return fmt.Errorf("at log offset %d: unknown command '%.64s'; the log was written by a newer or another server", off, args[0])
	case d.Arity > 0 && len(args) != d.Arity || len(args) < -d.Arity:
		return fmt.Errorf("at log offset %d: %s", off, command.WrongArity(d))
	}
	if d.Name == "select" {
		db, ok := command.ParseInt(args[1])
		if !ok || db < 0 || int(db) >= c.Store.KS.Databases() {
			return fmt.Errorf("at log offset %d: SELECT %.20s: the server has %d databases; raise 'databases' to load this log",
				off, args[1], c.Store.KS.Databases())
		}
		c.DB = int(db)
		return nil
	}
	if d.Flags&command.Write == 0 {
		return nil // PING and the like keep a replication stream alive and change nothing
	}
	c.Cmd, c.Args, c.Raw = d, args, nil
	c.W.B = c.W.B[:0]
	c.Run()
	if bytes.HasPrefix(c.W.B, []byte{'-'}) {
		if r.errors++; r.errors == 1 {
			r.s.log.Warningf("Replaying %.64q at log offset %d gave an error: %.200s", args[0], off, bytes.TrimSpace(c.W.B[1:]))
		}
	}
	return nil
}
