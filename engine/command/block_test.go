package command_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidemark/engine/command"
	"tidemark/engine/command/commandtest"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/packed"
	"tidemark/netio/resp"
)

// The commands of these tests: GIVE key element ... pushes to the tail of a list; TAKE key ... timeout takes the first element of the first of
// its keys that has one, or waits; PASS from to timeout moves one.

func give(c *command.Ctx) {
	k := &c.Keys[0]
	for _, e := range c.Args[2:] {
		push(c, k, e)
	}
	c.W.OK()
}

func push(c *command.Ctx, k *command.Key, e []byte) {
	list := packed.New(nil)
	r := c.Peek(k)
	if r != 0 {
		list = append(list[:0], k.Shard.Value(r)...)
	}
	k.Shard.Put(c.DB, k.Hash, r, k.Name, keyspace.List, keyspace.ListPack, list.Append(e), keyspace.NoExpire, 0)
	c.Changed(k)
}

func take(c *command.Ctx, k *command.Key) ([]byte, bool) {
	r := c.Peek(k)
	if r == 0 || k.Shard.Type(r) != keyspace.List {
		return nil, false
	}
	list := packed.List(append([]byte(nil), k.Shard.Value(r)...))
	var buf [20]byte
	e := append([]byte(nil), list.Text(packed.HeaderBytes, &buf)...)
	list = list.Splice(packed.HeaderBytes, list.Next(packed.HeaderBytes)-packed.HeaderBytes, nil, -1)
	if list.Len() == 0 {
		k.Shard.Delete(c.DB, k.Hash, r)
	} else {
		k.Shard.Put(c.DB, k.Hash, r, k.Name, keyspace.List, keyspace.ListPack, list, keyspace.NoExpire, 0)
	}
	c.Changed(k)
	return e, true
}

func wait(c *command.Ctx) {
	c.BlockOn(command.Waiting{Type: keyspace.List, TimeoutMs: 1000, None: func(w *resp.Writer) { w.NullArray() }})
}

var blockCommands = []*command.Descriptor{
	{Name: "give", Arity: -3, Flags: command.Write, Keys: command.One(0), Log: command.LogRequest, Handler: give},
	{Name: "take", Arity: -3, Flags: command.Write | command.Blocking, Keys: []command.KeySpec{{Begin: 1, Last: -2, Step: 1}}, Log: command.LogEffect,
		Handler: func(c *command.Ctx) {
			for i := range c.Keys {
				if e, ok := take(c, &c.Keys[i]); ok {
					c.Effect([]byte("TOOK"), c.Keys[i].Name)
					c.W.Array(2)
					c.W.Bulk(c.Keys[i].Name)
					c.W.Bulk(e)
					return
				}
			}
			wait(c)
		}},
	{Name: "pass", Arity: 4, Flags: command.Write | command.Blocking, Keys: []command.KeySpec{{Begin: 1, Last: 1, Step: 1}}, Log: command.LogEffect,
		Handler: func(c *command.Ctx) {
			e, ok := take(c, &c.Keys[0])
			if !ok {
				c.BlockOn(command.Waiting{Keys: c.Keys[:1], Type: keyspace.List, TimeoutMs: 1000, None: func(w *resp.Writer) { w.Null() }})
				return
			}
			push(c, &c.Keys[1], e)
			c.Effect([]byte("PASSED"), c.Keys[0].Name, c.Keys[1].Name)
			c.W.Bulk(e)
		}},
	{Name: "write", Arity: 3, Flags: command.Write, Keys: command.One(0), Log: command.LogRequest, Handler: func(c *command.Ctx) {
		c.Overwrite(&c.Keys[0], c.Args[2], keyspace.Raw, keyspace.NoExpire)
	}},
	{Name: "took", Arity: 2, Flags: command.Write, Keys: command.One(0), Log: command.LogRequest, Handler: func(c *command.Ctx) { take(c, &c.Keys[0]) }},
	{Name: "passed", Arity: 3, Flags: command.Write, Keys: []command.KeySpec{{Begin: 1, Last: 1, Step: 1}}, Log: command.LogRequest, Handler: func(c *command.Ctx) {
		if e, ok := take(c, &c.Keys[0]); ok {
			push(c, &c.Keys[1], e)
		}
	}},
}

// client is a Blocker whose wait the test ends as it likes.
type client struct {
	name    string
	waiter  *command.KeyWaiter
	timeout int64
	replies chan string
	mu      *sync.Mutex
	order   *[]string // of service
}

func (cl *client) WaitForKeys(w *command.KeyWaiter, timeoutMs int64) {
	cl.waiter, cl.timeout = w, timeoutMs
}

func (cl *client) Serve(w *command.KeyWaiter, reply []byte, gate, wrote int64) {
	if cl.order != nil {
		cl.mu.Lock()
		*cl.order = append(*cl.order, cl.name)
		cl.mu.Unlock()
	}
	cl.replies <- string(reply)
}

func (cl *client) TimeUp(*command.KeyWaiter) { cl.replies <- "late" }

type blockWorld struct {
	*commandtest.Runner
	t  *testing.T
	mu sync.Mutex
	// order is in which clients were served.
	order []string
}

func newBlockWorld(t *testing.T, logged bool) *blockWorld {
	if logged {
		return &blockWorld{Runner: commandtest.Logged(t, blockCommands), t: t}
	}
	return &blockWorld{Runner: commandtest.New(t, blockCommands), t: t}
}

// as runs a command for a client, and reports whether the client waits now.
func (w *blockWorld) as(name string, words ...string) *client {
	cl := &client{name: name, replies: make(chan string, 1), mu: &w.mu, order: &w.order}
	w.C.Client = cl
	reply := w.Do(words...)
	w.C.Client = nil
	if cl.waiter == nil {
		cl.replies <- reply
	} else if reply != "" {
		w.t.Fatalf("%s waits, but was replied %q", name, reply)
	}
	return cl
}

func (cl *client) served(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-cl.replies:
		if !strings.Contains(got, want) {
			t.Errorf("%s got %q, want %q", cl.name, got, want)
		}
	default:
		t.Errorf("%s still waits, want %q", cl.name, want)
	}
}

func (cl *client) waits(t *testing.T) {
	t.Helper()
	select {
	case got := <-cl.replies:
		t.Errorf("%s was served %q", cl.name, got)
	default:
	}
}

func TestBlockedAreServedInOrder(t *testing.T) {
	w := newBlockWorld(t, false)
	a, b, c := w.as("a", "take", "k", "0"), w.as("b", "take", "other", "k", "0"), w.as("c", "take", "k", "0")
	w.Do("give", "k", "1", "2")
	a.served(t, "1")
	b.served(t, "2")
	c.waits(t)
	w.Do("give", "k", "3", "4")
	c.served(t, "3")
	if got := w.Do("take", "k", "0"); !strings.Contains(got, "4") {
		t.Errorf("4 is not there any more: %q", got)
	}
	if !slices.Equal(w.order, []string{"a", "b", "c"}) {
		t.Errorf("served in the order %v", w.order)
	}
	// Nobody waits any more: an element stays.
	w.Do("give", "other", "5")
	if got := w.Do("exists", "other"); got != ":1\r\n" {
		t.Errorf("the element of a key that nobody waits for is gone")
	}
}

// TestBlockedChain: what one is served may be what the next waits for, in another shard.
func TestBlockedChain(t *testing.T) {
	w := newBlockWorld(t, true)
	last := w.as("last", "take", "c", "0")
	two := w.as("two", "pass", "b", "c", "0")
	one := w.as("one", "pass", "a", "b", "0")
	w.Do("give", "a", "x")
	one.served(t, "x")
	two.served(t, "x")
	last.served(t, "x")
	again, effects := w.Recover(0, blockCommands)
	want := []string{"MULTI", "give a x", "PASSED a b", "PASSED b c", "TOOK c", "EXEC"}
	if !slices.Equal(effects, want) {
		t.Errorf("logged %v, want %v", effects, want)
	}
	if n := len(again.Contents()); n != 0 {
		t.Errorf("%d keys after recovery", n)
	}
}

// TestBlockedByOtherType: a key that becomes something else serves nobody, and the wait goes on.
func TestBlockedByOtherType(t *testing.T) {
	w := newBlockWorld(t, false)
	a := w.as("a", "take", "k", "0")
	w.Do("write", "k", "x")
	a.waits(t)
	w.Do("del", "k")
	a.waits(t)
	w.Do("give", "k", "1")
	a.served(t, "1")
}

func TestBlockedEndsOnce(t *testing.T) {
	w := newBlockWorld(t, false)
	a := w.as("a", "take", "k", "0")
	if a.timeout != 1000 {
		t.Errorf("timeout %d", a.timeout)
	}
	if !a.waiter.End() {
		t.Fatal("a wait that nobody serves cannot be ended")
	}
	w.C.Store.Leave(a.waiter)
	w.Do("give", "k", "1")
	a.waits(t)
	if got := w.Do("exists", "k"); got != ":1\r\n" {
		t.Error("whoever left was served")
	}
	b := w.as("b", "take", "k2", "0")
	w.Do("give", "k2", "1")
	b.served(t, "1")
	if b.waiter.End() {
		t.Error("a wait that was served could be ended")
	}
	out := resp.Writer{}
	b.waiter.None(&out)
	if string(out.B) != "*-1\r\n" {
		t.Errorf("in vain: %q", out.B)
	}
}

// TestBlockedWithinBlock: within EXEC nobody waits, and those who do are served when it is over.
func TestBlockedWithinBlock(t *testing.T) {
	w := newBlockWorld(t, false)
	a := w.as("a", "take", "k", "0")
	cmd := func(words ...string) command.Queued {
		var args [][]byte
		for _, s := range words {
			args = append(args, []byte(s))
		}
		d, _ := w.Table.Resolve(args)
		return command.Queued{Cmd: d, Args: args}
	}
	queue := []command.Queued{cmd("give", "k", "1"), cmd("take", "none", "0"), cmd("take", "k", "0"), cmd("give", "k", "2")}
	c := w.C
	c.W.B = nil
	c.Client = &client{name: "exec"}
	c.Atomically(queue, nil, nil, func() {
		for _, q := range queue {
			c.Cmd, c.Args, c.Raw = q.Cmd, q.Args, nil
			c.Run()
		}
		a.waits(t)
	})
	c.Client = nil
	if got := string(c.W.B); got != "+OK\r\n*-1\r\n*2\r\n$1\r\nk\r\n$1\r\n1\r\n+OK\r\n" {
		t.Errorf("EXEC replied %q", got)
	}
	a.served(t, "2")
}

// TestBlockedFromManyLoops: givers, takers and impatient takers on contexts of their own. No element is lost, none comes twice.
func TestBlockedFromManyLoops(t *testing.T) {
	w := newBlockWorld(t, false)
	const each, loops = 400, 4
	var wg sync.WaitGroup
	got := make(chan string, loops*each)
	ctx := func() *command.Ctx {
		c := command.NewCtx(w.C.Store, w.Table)
		c.Now = time.Now().UnixMilli()
		return c
	}
	run := func(c *command.Ctx, words ...string) string {
		c.Args = nil
		for _, s := range words {
			c.Args = append(c.Args, []byte(s))
		}
		c.Cmd, _ = w.Table.Resolve(c.Args)
		c.Raw, c.W.B = nil, c.W.B[:0]
		c.Run()
		return string(c.W.B)
	}
	for i := range loops {
		wg.Add(2)
		go func() {
			defer wg.Done()
			c := ctx()
			for n := range each {
				run(c, "give", fmt.Sprint("k", n%7), fmt.Sprintf("e%d.%d", i, n))
			}
		}()
		go func() {
			defer wg.Done()
			c := ctx()
			for n := 0; n < each; {
				cl := &client{replies: make(chan string, 1)}
				c.Client = cl
				var reply string
				keys := []string{fmt.Sprint("k", n%7), fmt.Sprint("k", (n+i)%7), fmt.Sprint("k", (n+3)%7)}
				if n%3 == 0 {
					reply = run(c, "take", keys[0], keys[1], keys[2], "0")
				} else {
					reply = run(c, "take", keys[0], "0")
				}
				if cl.waiter != nil {
					select {
					case reply = <-cl.replies:
					case <-time.After(time.Duration(n%3) * 50 * time.Microsecond):
						if cl.waiter.End() {
							w.C.Store.Leave(cl.waiter)
							if n%7 != 0 {
								n++ // elsewhere there may be more
							} else {
								n += 2
							}
							continue
						}
						if reply = <-cl.replies; reply == "late" {
							w.C.Store.Leave(cl.waiter)
							continue
						}
					}
				}
				got <- reply[strings.LastIndex(reply, "e"):]
				n++
			}
		}()
	}
	wg.Wait()
	close(got)
	seen := map[string]bool{}
	for e := range got {
		if seen[e] {
			t.Errorf("%q was taken twice", e)
		}
		seen[e] = true
	}
	left := 0
	for i := range 7 {
		for {
			reply := w.Do("take", fmt.Sprint("k", i), "0")
			if reply == "*-1\r\n" {
				break
			}
			e := reply[strings.LastIndex(reply, "e"):]
			if seen[e] {
				t.Errorf("%q was taken and is still there", e)
			}
			seen[e] = true
			left++
		}
	}
	if len(seen) != loops*each {
		t.Errorf("%d elements, %d of them left over; %d were given", len(seen), left, loops*each)
	}
}
