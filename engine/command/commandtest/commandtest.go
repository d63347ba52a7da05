// Package commandtest lets a command family's tests run commands without a server, and compares
// replies and descriptors with the redis-server installed on the machine.
//
// A script is a text file. Each line is a request: words separated by spaces; within double quotes \xHH, \n, \r, \t, \\ and \" stand for
// bytes. Blank lines and lines that begin with # are skipped. "*100 WORD" repeats the following text of one word 100 times.
package commandtest

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/aof"
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/packed"
)

// A Runner executes commands of some families on a keyspace of its own.
type Runner struct {
	C     *command.Ctx
	Table *command.Table
	tb    testing.TB
	log   *aof.Log // of Logged
	dir   string
}

// New returns a Runner; the keyspace goes with the test. A few commands that scripts look around with come
// along: DEL, EXISTS, PTTL, TTL, TYPE, PEXPIREAT, PERSIST, OBJECT ENCODING, FLUSHALL, CONFIG SET proto-max-bulk-len, and LPUSH, which makes what is no string. Where a
// family has a command of the same name, that is the one.
func New(tb testing.TB, families ...[]*command.Descriptor) *Runner {
	ks := keyspace.New(keyspace.Options{Shards: 16, Databases: 2})
	tb.Cleanup(ks.Close)
	table := command.NewTable(append(families, slices.DeleteFunc(helpers(), func(h *command.Descriptor) bool {
		return slices.ContainsFunc(families, func(f []*command.Descriptor) bool {
			return slices.ContainsFunc(f, func(d *command.Descriptor) bool { return d.Name == h.Name })
		})
	}))...)
	r := &Runner{C: command.NewCtx(command.NewStore(ks), table), Table: table, tb: tb}
	r.C.Now = time.Now().UnixMilli()
	return r
}

// Prepare sets a request up without running it, for benchmarks.
func (r *Runner) Prepare(words ...string) {
	args := make([][]byte, len(words))
	for i, w := range words {
		args[i] = []byte(w)
	}
	r.PrepareArgs(args)
}

// PrepareArgs is Prepare for arguments that are bytes already.
func (r *Runner) PrepareArgs(args [][]byte) {
	d, unknown := r.Table.Resolve(args)
	if d == nil || unknown {
		r.tb.Fatalf("no such command: %q", args)
	}
	r.C.Cmd, r.C.Args, r.C.Raw = d, args, nil
	r.C.W.B = r.C.W.B[:0]
}

// Do runs a request and returns the bytes of its reply.
func (r *Runner) Do(words ...string) string {
	r.Prepare(words...)
	return r.run()
}

// DoArgs is Do for arguments that are bytes already. The number of arguments is checked, as the server does.
func (r *Runner) DoArgs(args [][]byte) string {
	r.PrepareArgs(args)
	return r.run()
}

func (r *Runner) run() string {
	d := r.C.Cmd
	if n := len(r.C.Args); d.Arity > 0 && n != d.Arity || n < -d.Arity {
		r.C.W.Error(command.WrongArity(d))
		return string(r.C.W.B)
	}
	if !r.C.Run() {
		r.tb.Fatalf("%q: no room without a log", r.C.Args)
	}
	return string(r.C.W.B)
}

// helpers are the commands of other families that scripts cannot do without.
func helpers() []*command.Descriptor {
	one := func(name string, f func(c *command.Ctx, k *command.Key, r keyspace.Ref)) *command.Descriptor {
		return &command.Descriptor{Name: name, Arity: -2, Keys: command.One(0), Handler: func(c *command.Ctx) {
			k := &c.Keys[0]
			f(c, k, c.Peek(k))
		}}
	}
	ttl := func(unit int64) func(c *command.Ctx, k *command.Key, r keyspace.Ref) {
		return func(c *command.Ctx, k *command.Key, r keyspace.Ref) {
			switch {
			case r == 0:
				c.W.Int(-2)
			case k.Shard.ExpireAt(r) == keyspace.NoExpire:
				c.W.Int(-1)
			default:
				c.W.Int((k.Shard.ExpireAt(r) - c.Now + unit/2) / unit)
			}
		}
	}
	return []*command.Descriptor{
		one("exists", func(c *command.Ctx, k *command.Key, r keyspace.Ref) {
			n := int64(0)
			if r != 0 {
				n = 1
			}
			c.W.Int(n)
		}),
		one("del", func(c *command.Ctx, k *command.Key, r keyspace.Ref) {
			n := int64(0)
			if r != 0 {
				k.Shard.Delete(c.DB, k.Hash, r)
				c.Changed(k)
				n = 1
			}
			c.W.Int(n)
		}),
		one("pexpireat", func(c *command.Ctx, k *command.Key, r keyspace.Ref) {
			at, ok := c.Int(2)
			if ok && r != 0 {
				k.Shard.SetExpire(c.DB, k.Hash, r, at)
				c.Changed(k)
			}
			c.W.OK()
		}),
		one("persist", func(c *command.Ctx, k *command.Key, r keyspace.Ref) {
			if r != 0 {
				k.Shard.SetExpire(c.DB, k.Hash, r, keyspace.NoExpire)
				c.Changed(k)
			}
			c.W.OK()
		}),
		one("ttl", ttl(1000)),
		one("pttl", ttl(1)),
		one("type", func(c *command.Ctx, k *command.Key, r keyspace.Ref) {
			if r == 0 {
				c.W.Simple("none")
			} else {
				c.W.Simple(k.Shard.Type(r).String())
			}
		}),
		one("lpush", func(c *command.Ctx, k *command.Key, r keyspace.Ref) {
			if r != 0 {
				panic("lpush is only good for one element here")
			}
			makeList(c, k, c.Args[2])
			c.W.Int(1)
		}),
		{Name: "object", Arity: 3, Keys: []command.KeySpec{{Begin: 2, Step: 1}}, Handler: func(c *command.Ctx) {
			if r := c.Peek(&c.Keys[0]); r == 0 {
				c.W.Null()
			} else {
				c.W.BulkString(c.Keys[0].Shard.Encoding(r).String())
			}
		}},
		{Name: "config", Arity: 4, Handler: func(c *command.Ctx) {
			n, err := strconv.ParseInt(string(c.Args[3]), 10, 64)
			if err != nil || !command.Is(c.Args[1], "set") || !command.Is(c.Args[2], "proto-max-bulk-len") {
				panic("scripts can only CONFIG SET proto-max-bulk-len, in bytes")
			}
			c.Store.MaxBulkBytes.Store(n)
			c.W.OK()
		}},
		{Name: "flushall", Arity: 1, Scope: command.ScopeAll, Handler: func(c *command.Ctx) {
			for i := range c.Store.KS.NumShards() {
				c.Shard(i).Flush(c.DB, true)
			}
			c.W.OK()
		}},
		{Name: "hello", Arity: 2, Handler: func(c *command.Ctx) {
			c.W.RESP3 = string(c.Args[1]) == "3"
			c.W.OK()
		}},
	}
}

// makeList stores a list of one element.
func makeList(c *command.Ctx, k *command.Key, e []byte) {
	list := packed.New(nil).Append(e)
	k.Shard.Put(c.DB, k.Hash, 0, k.Name, keyspace.List, keyspace.ListPack, list, keyspace.NoExpire, 0)
}

// Line parses a line of a script; nil for one without a request.
func Line(s string) ([][]byte, error) {
	var out [][]byte
	s = strings.TrimSpace(s)
	if s == "" || s[0] == '#' {
		return nil, nil
	}
	for s != "" {
		repeat := 1
		if s[0] == '*' && len(s) > 1 && s[1] >= '0' && s[1] <= '9' {
			num, rest, ok := strings.Cut(s[1:], " ")
			n, err := strconv.Atoi(num)
			if !ok || err != nil {
				return nil, fmt.Errorf("bad repetition at %q", s)
			}
			repeat, s = n, rest
		}
		var w []byte
		if s[0] == '"' {
			end := 1
			for end < len(s) && s[end] != '"' {
				if s[end] == '\\' {
					end++
				}
				end++
			}
			if end >= len(s) {
				return nil, fmt.Errorf("unbalanced quotes at %q", s)
			}
			u, err := strconv.Unquote(s[:end+1])
			if err != nil {
				return nil, fmt.Errorf("%v at %q", err, s)
			}
			w, s = []byte(u), s[end+1:]
		} else {
			word, rest, _ := strings.Cut(s, " ")
			w, s = []byte(word), rest
		}
		out = append(out, bytes.Repeat(w, repeat))
		s = strings.TrimLeft(s, " ")
	}
	return out, nil
}

// CompareScript runs every request of a script on a Runner and on a redis-server, and reports replies that differ.
func CompareScript(t *testing.T, path string, families func() [][]*command.Descriptor) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ours, theirs := New(t, families()...), StartRedis(t)
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for n := 1; sc.Scan(); n++ {
		args, err := Line(sc.Text())
		if err != nil {
			t.Fatalf("%s:%d: %v", path, n, err)
		}
		if args == nil {
			continue
		}
		want := theirs.Do(args)
		ours.C.Now = time.Now().UnixMilli()
		got := ours.DoArgs(args)
		if string(args[0]) != "HELLO" && got != want {
			t.Errorf("%s:%d: %s\n got %s\nwant %s", path, n, sc.Text(), brief(got), brief(want))
		}
	}
}

func brief(s string) string {
	if len(s) > 300 {
		s = s[:300] + "..."
	}
	return strconv.Quote(s)
}

// CompareRandom runs n requests that gen makes up on a Runner and on a redis-server, and reports the first replies that
// differ. The seed is part of the report. Errors of both sides must agree to the letter, too.
func CompareRandom(t *testing.T, n int, families [][]*command.Descriptor, gen func(rnd *rand.Rand) []string) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 0))
	ours, theirs := New(t, families...), StartRedis(t)
	bad := 0
	for i := range n {
		words := gen(rnd)
		args := make([][]byte, len(words))
		for j, w := range words {
			args[j] = []byte(w)
		}
		want := theirs.Do(args)
		ours.C.Now = time.Now().UnixMilli()
		if got := ours.DoArgs(args); got != want {
			t.Errorf("seed %d, request %d: %q\n got %s\nwant %s", seed, i, words, brief(got), brief(want))
			if bad++; bad == 5 {
				return
			}
		}
	}
}

// Number makes up a floating point number in one of the notations people and programs use, now and then a broken one.
func Number(rnd *rand.Rand) string {
	switch rnd.IntN(12) {
	case 0, 1, 2:
		return strconv.FormatFloat((rnd.Float64()-0.5)*100, 'f', rnd.IntN(8), 64)
	case 3:
		return strconv.FormatFloat(rnd.NormFloat64(), 'g', -1, 64)
	case 4:
		return strconv.FormatFloat(rnd.NormFloat64()*1e18, 'e', rnd.IntN(20), 64)
	case 5:
		return fmt.Sprintf("%d.%017d", rnd.IntN(100)-50, rnd.Int64N(1e17))
	case 6:
		return fmt.Sprint(rnd.Int64N(1<<62) >> rnd.IntN(62))
	case 7:
		return fmt.Sprintf("%de%d", rnd.IntN(1000)-500, rnd.IntN(60)-30)
	case 8:
		return fmt.Sprintf("%x.%xp%d", rnd.IntN(256), rnd.IntN(256), rnd.IntN(40)-20)[rnd.IntN(2):]
	case 9:
		return fmt.Sprintf("0x%x.%xp%d", rnd.IntN(256), rnd.Uint64(), rnd.IntN(140)-70)
	case 10:
		return fmt.Sprintf("%d.%d%d%d", rnd.IntN(10), rnd.Uint64(), rnd.Uint64(), rnd.Uint64())
	}
	odd := []string{"", "+1", "-.5", "5.", ".", "-", "1e", "1e+", "inf", "-infinity", "nan", "0x", "0x.p1", " 1", "1 ", "1_0", "0b1", "1e4932",
		"-1.2e4932", "1e4933", "3.6e-4951", "1e-4951", "1e-99999999999", "0e99999", "-0", "1e400", "0x1p16383", "0x1p16384", "-0x1p-16446", "1e1000"}
	return odd[rnd.IntN(len(odd))]
}
