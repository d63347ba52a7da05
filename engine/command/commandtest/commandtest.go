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
	r.PrepareArgs(Words(words...))
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

// Check verifies the invariants of all shards; when says what has been done.
func (r *Runner) Check(when ...any) {
	r.tb.Helper()
	ks := r.C.Store.KS
	ks.LockAll()
	defer ks.UnlockAll()
	for i := range ks.NumShards() {
		if err := ks.Shard(i).Check(); err != nil {
			r.tb.Fatalf("%v: %v", fmt.Sprint(when...), err)
		}
	}
}

// Words are the arguments of a request.
func Words(words ...string) [][]byte {
	args := make([][]byte, len(words))
	for i, w := range words {
		args[i] = []byte(w)
	}
	return args
}

// Bulks are the bulk strings of a reply, whatever arrays they are in, and its doubles. Nulls are left out.
func Bulks(reply string) (out []string) {
	for reply != "" {
		line, rest, _ := strings.Cut(reply, "\r\n")
		reply = rest
		switch {
		case line[0] == ',':
			out = append(out, line[1:])
		case line[0] == '$' && line != "$-1":
			n, _ := strconv.Atoi(line[1:])
			out, reply = append(out, rest[:n]), rest[n+2:]
		}
	}
	return out
}

// InOrder is a reply whose elements may come in any order: its kind, and its bulk strings in order, so many of which belong together.
func InOrder(reply string, together int) string {
	words := Bulks(reply)
	var items []string
	for i := 0; i+together <= len(words); i += together {
		items = append(items, strings.Join(words[i:i+together], "\x00"))
	}
	slices.Sort(items)
	return fmt.Sprintf("%.2s %q", reply, items)
}

// ScanGuarantee fails unless *SCAN of the key "c", to which 3000 elements are added first, gives each of those, whatever is added and removed
// meanwhile. scan is the request without its cursor; each is how many words the reply has for an element.
func (r *Runner) ScanGuarantee(scan string, each int, add, remove func(element string)) {
	r.tb.Helper()
	const lasting = 3000
	name := func(i int) string { return "lasting:" + strconv.Itoa(i) }
	for i := range lasting {
		add(name(i))
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 20 / Effort {
		seen := map[string]bool{}
		cursor, calls := "0", 0
		for calls == 0 || cursor != "0" {
			reply := Bulks(r.Do(strings.Fields(fmt.Sprintf(scan, cursor))...))
			cursor = reply[0]
			for i := 1; i < len(reply); i += each {
				seen[reply[i]] = true
			}
			for i := range 200 {
				if round%2 == 0 {
					add(fmt.Sprintf("more:%d:%d", calls%30, i))
				} else {
					remove(fmt.Sprintf("more:%d:%d", rnd.IntN(30), rnd.IntN(200)))
				}
			}
			calls++
		}
		if calls < 50 {
			r.tb.Fatalf("only %d calls", calls)
		}
		for i := range lasting {
			if !seen[name(i)] {
				r.tb.Fatalf("round %d: %s was not given", round, name(i))
			}
		}
	}
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
