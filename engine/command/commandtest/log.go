package commandtest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tidemark/aof"
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/rdb"
	"tidemark/engine/value"
)

func openLog(tb testing.TB, dir string, rep aof.Replayer) *aof.Log {
	tb.Helper()
	l, _, err := aof.Open(aof.Options{Dir: dir, Shards: 16, SegmentBytes: 1 << 20, Policy: aof.No}, rep)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// Logged returns a Runner whose effects go to a log.
func Logged(tb testing.TB, families ...[]*command.Descriptor) *Runner {
	r := New(tb, families...)
	r.dir = tb.TempDir()
	r.log = openLog(tb, r.dir, &replayer{r: r})
	r.C.Store.KS.LockAll()
	r.C.Store.SetLog(r.log)
	r.C.Store.KS.UnlockAll()
	tb.Cleanup(func() { r.closeLog() })
	return r
}

func (r *Runner) closeLog() {
	if r.log != nil {
		if err := r.log.Close(); err != nil {
			r.tb.Error(err)
		}
		r.log = nil
	}
}

// Recover closes the log of a Logged runner and replays it into a new one. effects are the commands the log holds, a line
// each, SELECT left out. The new runner's clock stands at now.
func (r *Runner) Recover(now int64, families ...[]*command.Descriptor) (again *Runner, effects []string) {
	r.tb.Helper()
	r.closeLog()
	again = New(r.tb, families...)
	again.C.Now = now
	again.C.Replay = true
	rep := &replayer{r: again}
	l := openLog(r.tb, r.dir, rep)
	if err := l.Close(); err != nil {
		r.tb.Fatal(err)
	}
	again.C.Replay = false
	return again, rep.effects
}

// Left is a request and what it leaves in the log: a command, "" for none.
type Left [2]string

// DoAll executes requests ("" for none), and returns what they are to have left.
func (r *Runner) DoAll(cases []Left) (effects []string) {
	for _, x := range cases {
		request, effect := x[0], x[1]
		if request != "" {
			r.Do(strings.Fields(request)...)
		}
		if effect != "" {
			effects = append(effects, effect)
		}
	}
	return effects
}

// CheckLog closes the log of a Logged runner and fails if it holds other commands than effects, or if replaying them with the clock at now does not
// make contents again.
func (r *Runner) CheckLog(now int64, effects []string, contents map[string]string, families ...[]*command.Descriptor) {
	r.tb.Helper()
	again, got := r.Recover(now, families...)
	for i := range max(len(got), len(effects)) {
		g, w := "nothing", "nothing"
		if i < len(got) {
			g = got[i]
		}
		if i < len(effects) {
			w = effects[i]
		}
		if g != w {
			r.tb.Fatalf("command %d of the log is %.400q, want %.400q", i, g, w)
		}
	}
	if after := again.Contents(); len(contents) == 0 || !maps.Equal(contents, after) {
		r.tb.Errorf("after replay\n%.600v\nbefore\n%.600v", after, contents)
	}
}

// replayer executes what the log holds.
type replayer struct {
	r       *Runner
	effects []string
}

func (p *replayer) LoadBase(string) error { return nil }

func (p *replayer) Apply(b []byte, off int64) (int, error) {
	n := 0
	for n < len(b) {
		args, used := request(b[n:])
		if used == 0 {
			break
		}
		n += used
		line := string(bytes.Join(args, []byte(" ")))
		if args[0] = bytes.ToUpper(args[0]); string(args[0]) == "SELECT" {
			continue
		}
		p.effects = append(p.effects, line)
		if s := string(args[0]); s == "MULTI" || s == "EXEC" {
			continue
		}
		if reply := p.r.DoArgs(args); strings.HasPrefix(reply, "-") {
			return n, fmt.Errorf("effect %q at %d: %s", line, off+int64(n), reply)
		}
	}
	return n, nil
}

// request parses one whole request; used is 0 when b does not hold it.
func request(b []byte) (args [][]byte, used int) {
	num := func(kind byte) (int, bool) {
		i := bytes.IndexByte(b[used:], '\n')
		if i < 2 || b[used] != kind {
			return 0, false
		}
		n, err := strconv.Atoi(string(b[used+1 : used+i-1]))
		used += i + 1
		return n, err == nil
	}
	n, ok := num('*')
	for ; ok && n > 0; n-- {
		var size int
		if size, ok = num('$'); !ok || used+size+2 > len(b) {
			return nil, 0
		}
		args = append(args, bytes.Clone(b[used:used+size]))
		used += size + 2
	}
	if !ok {
		return nil, 0
	}
	return args, used
}

// Contents lists every key of the runner's database with its type, encoding, expiry and value.
func (r *Runner) Contents() map[string]string {
	out := map[string]string{}
	for i := range r.C.Store.KS.NumShards() {
		s := r.C.Store.KS.Shard(i)
		s.Lock()
		for cursor, first := uint64(0), true; first || cursor != 0; first = false {
			cursor = s.Scan(r.C.DB, cursor, func(e keyspace.Ref) {
				out[string(s.Key(e))] = fmt.Sprintf("%v %v %d %q", s.Type(e), s.Encoding(e), s.ExpireAt(e), contents(s, e))
			})
		}
		s.Unlock()
	}
	return out
}

// contents lists what an entry holds; of sets and hashes in order of the members.
func contents(s *keyspace.Shard, r keyspace.Ref) (out []string) {
	switch s.Type(r) {
	case keyspace.List:
		value.EachElement(s, r, func(e []byte) bool { out = append(out, string(e)); return true })
	case keyspace.Set:
		value.EachMember(s, r, func(m []byte) bool { out = append(out, string(m)); return true })
		slices.Sort(out)
	case keyspace.ZSet:
		value.EachScored(s, r, func(m []byte, score float64) bool {
			out = append(out, fmt.Sprintf("%s %v", m, score))
			return true
		})
	case keyspace.Hash:
		value.EachFieldAt(s, r, func(f, v []byte, at int64) bool {
			if out = append(out, fmt.Sprintf("%q=%q", f, v)); at != keyspace.NoExpire {
				out[len(out)-1] += fmt.Sprintf(" until %d", at)
			}
			return true
		})
		slices.Sort(out)
	case keyspace.Stream:
		out = append(out, string(rdb.AppendDump(nil, s, r, false)))
	default:
		out = append(out, string(s.Value(r)))
	}
	return out
}
