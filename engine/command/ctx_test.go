package command

import (
	"fmt"
	"strings"
	"testing"

	"tidemark/engine/keyspace"
)

// The commands of these tests: just enough to see the rules work.
func testTable() *Table {
	get := &Descriptor{Name: "get", Arity: 2, Flags: ReadOnly | Fast, Keys: One(KeyRO | KeyAccess), Handler: func(c *Ctx) {
		if r, v, ok := c.FindString(&c.Keys[0]); ok {
			if r == 0 {
				c.W.Null()
			} else {
				c.W.Bulk(v)
			}
		}
	}}
	set := &Descriptor{Name: "set", Arity: 3, Flags: Write, Keys: One(KeyOW | KeyUpdate), Log: LogRequest, Handler: func(c *Ctx) {
		k := &c.Keys[0]
		r := c.FindForWrite(k)
		k.Shard.PutString(c.DB, k.Hash, r, k.Name, c.Args[2], keyspace.Raw, keyspace.NoExpire, c.AccessClock())
		c.Changed(k)
		c.W.OK()
	}}
	del := &Descriptor{Name: "del", Arity: -2, Flags: Write, Keys: []KeySpec{{Begin: 1, Last: -1, Step: 1}}, Log: LogRequest, Handler: func(c *Ctx) {
		n := int64(0)
		for i := range c.Keys {
			k := &c.Keys[i]
			if r := c.FindForWrite(k); r != 0 {
				k.Shard.Delete(c.DB, k.Hash, r)
				c.Changed(k)
				n++
			}
		}
		c.W.Int(n)
	}}
	config := &Descriptor{Name: "config", Arity: -2, Sub: []*Descriptor{{Name: "get", Arity: -3, Handler: func(c *Ctx) { c.W.OK() }}}}
	return NewTable([]*Descriptor{get, set, del, config})
}

func testCtx(t testing.TB) (*Ctx, *Table) {
	ks := keyspace.New(keyspace.Options{Shards: 16, Databases: 4})
	t.Cleanup(ks.Close)
	table := testTable()
	c := NewCtx(NewStore(ks), table)
	c.Now = 1_000_000
	return c, table
}

func run(t testing.TB, c *Ctx, table *Table, words ...string) string {
	t.Helper()
	args := make([][]byte, len(words))
	for i, w := range words {
		args[i] = []byte(w)
	}
	c.Cmd, _ = table.Resolve(args)
	c.Args, c.Raw = args, nil
	c.W.B = c.W.B[:0]
	if !c.Run() {
		t.Fatalf("%q: no room without a log", words)
	}
	return strings.TrimSuffix(string(c.W.B), "\r\n")
}

func TestResolve(t *testing.T) {
	table := testTable()
	for _, x := range []struct {
		line, want string
		unknown    bool
	}{
		{"GeT a", "get", false}, {"CONFIG GET x", "config|get", false}, {"config nosuch", "config", true}, {"gett a", "", false},
	} {
		var args [][]byte
		for _, w := range strings.Fields(x.line) {
			args = append(args, []byte(w))
		}
		d, unknown := table.Resolve(args)
		name := ""
		if d != nil {
			name = d.FullName()
		}
		if name != x.want || unknown != x.unknown {
			t.Errorf("%s: %s, unknown %v; want %s, %v", x.line, name, unknown, x.want, x.unknown)
		}
	}
}

func TestKeyPositions(t *testing.T) {
	for _, x := range []struct {
		name string
		keys []KeySpec
		line string
		want string
		ok   bool
	}{
		{"mset", []KeySpec{{Begin: 1, Last: -1, Step: 2}}, "mset a 1 b 2", "[1 3]", true},
		{"range past the end", []KeySpec{{Begin: 1, Last: 1, Step: 1}}, "rename a", "[1]", true},
		{"keynum", []KeySpec{{Begin: 1, KeyNum: true, FirstKey: 1}}, "lmpop 2 a b LEFT", "[2 3]", true},
		{"keynum too large", []KeySpec{{Begin: 1, KeyNum: true, FirstKey: 1}}, "lmpop 9 a b LEFT", "[]", false},
		{"keynum no number", []KeySpec{{Begin: 1, KeyNum: true, FirstKey: 1}}, "lmpop x a b LEFT", "[]", false},
		{"keyword", []KeySpec{{Keyword: "streams", From: 1, Last: -1, Step: 1, Limit: 2}}, "xread count 2 STREAMS a b 0 0", "[4 5]", true},
		{"keyword from the end", []KeySpec{{Keyword: "STORE", From: -2}}, "georadius k 1 1 1 m STORE d", "[7]", true},
		{"keyword absent", []KeySpec{{Keyword: "store", From: 1}}, "georadius k 1 1 1 m", "[]", true},
	} {
		var args [][]byte
		for _, w := range strings.Fields(x.line) {
			args = append(args, []byte(w))
		}
		d := &Descriptor{Keys: x.keys}
		pos, ok := d.KeyPositions(args, nil)
		at := []int{}
		for _, p := range pos {
			at = append(at, p.Arg)
		}
		if fmt.Sprint(at) != x.want || ok != x.ok {
			t.Errorf("%s: %v %v, want %s %v", x.name, at, ok, x.want, x.ok)
		}
	}
}

func TestExpiredKeyIsAbsentExceptInReplay(t *testing.T) {
	c, table := testCtx(t)
	run(t, c, table, "set", "k", "v")
	k := c.Store.MakeKey([]byte("k"))
	k.Shard.Lock()
	k.Shard.SetExpire(0, k.Hash, k.Shard.Find(0, k.Hash, k.Name), c.Now)
	k.Shard.Unlock()
	c.Replay = true
	if got := run(t, c, table, "get", "k"); got != "$1\r\nv" {
		t.Fatalf("replay sees %q: an effect that follows in the log may refer to the key", got)
	}
	c.Replay = false
	if got := run(t, c, table, "get", "k"); got != "$-1" {
		t.Fatalf("get after expiry: %q", got)
	}
	if k.Shard.Len(0) != 0 {
		t.Fatal("the expired key was seen and not removed")
	}
}

func TestWatchSeesChanges(t *testing.T) {
	c, table := testCtx(t)
	run(t, c, table, "set", "k", "v")
	var w Watcher
	k := c.Store.MakeKey([]byte("k"))
	k.Shard.Lock()
	c.Store.Watch(0, &k, false, &w)
	k.Shard.Unlock()
	run(t, c, table, "get", "k")
	c.DB = 1
	run(t, c, table, "set", "k", "other database")
	c.DB = 0
	if w.Dirty.Load() {
		t.Fatal("dirty without a change")
	}
	run(t, c, table, "del", "x", "k")
	if !w.Dirty.Load() {
		t.Fatal("DEL went unnoticed")
	}
	k.Shard.Lock()
	c.Store.Unwatch(0, &k, &w)
	k.Shard.Unlock()
	w.Dirty.Store(false)
	run(t, c, table, "set", "k", "v")
	if w.Dirty.Load() {
		t.Fatal("dirty after UNWATCH")
	}
}

func TestParseInt(t *testing.T) {
	for s, want := range map[string]int64{"0": 0, "-1": -1, "9223372036854775807": 1<<63 - 1, "-9223372036854775808": -1 << 63} {
		if n, ok := ParseInt([]byte(s)); !ok || n != want {
			t.Errorf("%s: %d %v", s, n, ok)
		}
	}
	for _, s := range []string{"", "-", "+1", "01", "-0", " 1", "1 ", "9223372036854775808", "-9223372036854775809", "1e3", "99999999999999999999"} {
		if n, ok := ParseInt([]byte(s)); ok {
			t.Errorf("%q was accepted as %d", s, n)
		}
	}
}

func TestRunDoesNotAllocate(t *testing.T) {
	c, table := testCtx(t)
	get := [][]byte{[]byte("get"), []byte("key:1")}
	set := [][]byte{[]byte("set"), []byte("key:1"), []byte("value")}
	raw := []byte("*3\r\n$3\r\nset\r\n$5\r\nkey:1\r\n$5\r\nvalue\r\n")
	step := func() {
		c.W.B = c.W.B[:0]
		c.Cmd, _ = table.Resolve(set)
		c.Args, c.Raw = set, raw
		c.Run()
		c.Cmd, _ = table.Resolve(get)
		c.Args, c.Raw = get, nil
		c.Run()
		c.Publish()
	}
	step()
	if n := testing.AllocsPerRun(1000, step); n != 0 {
		t.Errorf("SET and GET allocate %v times", n)
	}
}

func BenchmarkRunSet(b *testing.B) {
	c, table := testCtx(b)
	set := [][]byte{[]byte("set"), []byte("key:1"), []byte("value")}
	c.Cmd, _ = table.Resolve(set)
	c.Args = set
	b.ReportAllocs()
	for b.Loop() {
		c.W.B = c.W.B[:0]
		c.Cmd, _ = table.Resolve(set)
		c.Run()
	}
}

func BenchmarkRunGet(b *testing.B) {
	c, table := testCtx(b)
	run(b, c, table, "set", "key:1", "value")
	get := [][]byte{[]byte("get"), []byte("key:1")}
	b.ReportAllocs()
	for b.Loop() {
		c.W.B = c.W.B[:0]
		c.Cmd, _ = table.Resolve(get)
		c.Args = get
		c.Run()
	}
}

func TestSeconds(t *testing.T) {
	c, _ := testCtx(t)
	const notFloat, negative, out = "-ERR timeout is not a float or out of range\r\n", "-ERR timeout is negative\r\n", "-ERR timeout is out of range\r\n"
	for _, x := range []struct {
		text  string
		ms    int64
		reply string
	}{
		{"0", 0, ""}, {"1", 1000, ""}, {"0.0001", 1, ""}, {"1.5", 1500, ""}, {"-0.0001", 0, ""}, {"1e3", 1000000, ""}, {"0x10", 16000, ""}, {"0xb", 11000, ""},
		{"+2", 2000, ""}, {"1e-400", 1, ""}, {"1e14", longestWaitMs, ""}, {"9000000000000000", longestWaitMs, ""},
		{"-1", 0, negative}, {"-inf", 0, negative}, {"-1e400", 0, negative}, {"inf", 0, out}, {"1e400", 0, out}, {"1e999999999", 0, out}, {"9.3e15", 0, out},
		{"", 0, notFloat}, {"nan", 0, notFloat}, {"x", 0, notFloat}, {" 1", 0, notFloat}, {"1 ", 0, notFloat}, {"1_0", 0, notFloat}, {"0b1", 0, notFloat},
		{"0o7", 0, notFloat}, {"+-1", 0, notFloat}, {"0x", 0, notFloat}, {"1e", 0, notFloat}, {strings.Repeat("9", 300), 0, out},
	} {
		c.Args, c.W.B = [][]byte{[]byte(x.text)}, nil
		if ms, ok := c.Seconds(0); ms != x.ms || ok != (x.reply == "") || string(c.W.B) != x.reply {
			t.Errorf("%.20q: %d %v, reply %q; want %d, reply %q", x.text, ms, ok, c.W.B, x.ms, x.reply)
		}
	}
}
