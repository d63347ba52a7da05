package engine

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidemark/engine/command"
	"tidemark/engine/testclient"
	"tidemark/netio"
)

// gates is an extension whose commands wait for gates that are opened by other commands.
type gates struct {
	noExtension
	mu       sync.Mutex
	open     map[string]bool       // of GATE.POLL
	waiting  map[string][]*Session // in GATE.WAIT
	ended    [4]atomic.Int64       // by End
	progress atomic.Int64
	closed   atomic.Int64
	loaded   chan struct{}
	stopped  atomic.Bool
}

func newGates() *gates {
	return &gates{open: map[string]bool{}, waiting: map[string][]*Session{}, loaded: make(chan struct{})}
}

type gateWaiter struct {
	g    *gates
	name string
}

func (w *gateWaiter) Ended(ss *Session, how End) {
	w.g.ended[how].Add(1)
	switch how {
	case EndReady:
		ss.Conn().W.BulkString("through " + w.name)
	case EndTimeout:
		ss.Conn().W.Null()
	}
}

type gatePoller struct{ gateWaiter }

func (w *gatePoller) Ready(*Session) bool {
	w.g.mu.Lock()
	defer w.g.mu.Unlock()
	return w.g.open[w.name]
}

func (g *gates) Commands() []*command.Descriptor {
	cmd := func(name string, h func(c *command.Ctx, ss *Session, name string)) *command.Descriptor {
		return &command.Descriptor{Name: name, Arity: -2, Flags: command.Blocking, Handler: func(c *command.Ctx) {
			h(c, SessionOf(c), string(c.Args[1]))
		}}
	}
	timeout := func(c *command.Ctx) time.Duration {
		ms, _ := strconv.Atoi(string(c.Args[2]))
		return time.Duration(ms) * time.Millisecond
	}
	return []*command.Descriptor{
		cmd("gate.poll", func(c *command.Ctx, ss *Session, name string) {
			ss.Block(&gatePoller{gateWaiter{g, name}}, timeout(c), false)
		}),
		cmd("gate.wait", func(c *command.Ctx, ss *Session, name string) {
			ss.Block(&gateWaiter{g, name}, timeout(c), false)
			g.mu.Lock()
			g.waiting[name] = append(g.waiting[name], ss)
			g.mu.Unlock()
		}),
		cmd("gate.open", func(c *command.Ctx, ss *Session, name string) {
			g.mu.Lock()
			g.open[name] = true
			list := g.waiting[name]
			delete(g.waiting, name)
			g.mu.Unlock()
			g.s.WakeWaiters()
			for _, ss := range list {
				ss.Conn().Post(func(*netio.Conn) { ss.Unblock() })
			}
			c.W.OK()
		}),
		cmd("gate.replica", func(c *command.Ctx, ss *Session, name string) {
			ss.MakeReplica()
			ss.Ext = g
			c.W.Simple("now " + name)
			g.s.WantProgress(c.Client.(*Session).Conn().Loop(), true)
		}),
		cmd("role", func(c *command.Ctx, ss *Session, name string) { c.W.BulkString("mine") }),
	}
}

func (g *gates) TurnEnds(*netio.Loop) bool { return false }
func (g *gates) LoopProgress(*netio.Loop)  { g.progress.Add(1) }
func (g *gates) Closed(ss *Session) {
	if ss.Ext == any(g) {
		g.closed.Add(1)
	}
}
func (g *gates) Loaded() error {
	close(g.loaded)
	return nil
}

func (g *gates) Stopping() { g.stopped.Store(true) }

// TestBlocked: the ways in which a wait ends, of clients that are asked and of those that are told.
func TestBlocked(t *testing.T) {
	g := newGates()
	s := testServerWith(t, g, t.TempDir())
	<-g.loaded
	admin := dial(t, s)
	blocked := func(n int) {
		t.Helper()
		testclient.Eventually(t, strconv.Itoa(n)+" clients wait", func() bool {
			return strings.Contains(admin.Do("INFO clients"), "\r\nblocked_clients:"+strconv.Itoa(n)+"\r\n")
		})
	}
	for _, how := range []string{"poll", "wait"} {
		cmd := "GATE." + how
		c := dial(t, s)
		id := c.Do("CLIENT ID")
		c.Want(cmd+" a"+how+" 20", "nil", "PING", "PONG")
		c.Send(cmd + " a" + how + " 0")
		blocked(1)
		if line := admin.Do("CLIENT LIST ID " + id); !strings.Contains(line, " flags=b ") {
			t.Error(line)
		}
		c.Send("ECHO behind")
		admin.Want("GATE.OPEN a"+how, "OK")
		if got := c.Reply() + ", " + c.Reply(); got != "through a"+how+", behind" {
			t.Error(got)
		}
		blocked(0)
		c.Send(cmd + " b" + how + " 60000")
		blocked(1)
		if got := admin.Do("INFO clients"); !strings.Contains(got, "clients_in_timeout_table:1\r\n") {
			t.Error(got)
		}
		admin.Want("CLIENT UNBLOCK "+id, "1", "CLIENT UNBLOCK "+id+"9", "0")
		if got := c.Reply(); got != "nil" {
			t.Error(got)
		}
		c.Send(cmd + " b" + how + " 0")
		blocked(1)
		admin.Want("CLIENT UNBLOCK "+id+" ERROR", "1")
		if got := c.Reply(); got != "-UNBLOCKED client unblocked via CLIENT UNBLOCK" {
			t.Error(got)
		}
		c.Send(cmd + " b" + how + " 0")
		blocked(1)
		gone := g.ended[EndGone].Load()
		c.Conn.Close()
		testclient.Eventually(t, "the wait of a client that left ends", func() bool { return g.ended[EndGone].Load() == gone+1 })
		blocked(0)
	}
	var all []*testclient.Client
	for i := range 30 {
		c := dial(t, s)
		c.Send([]string{"GATE.POLL", "GATE.WAIT"}[i%2] + " never 0")
		all = append(all, c)
	}
	blocked(30)
	// Some in the middle end by themselves.
	for _, i := range []int{3, 4, 17, 29} {
		all[i].Conn.Close()
	}
	blocked(26)
	s.UnblockAll("UNBLOCKED for a test")
	for i, c := range all {
		if i == 3 || i == 4 || i == 17 || i == 29 {
			continue
		}
		if got := c.Reply(); got != "-UNBLOCKED for a test" {
			t.Fatal(got)
		}
		if _, err := c.R.ReadByte(); err == nil {
			t.Fatal("not closed")
		}
	}
	blocked(0)
}

// TestReplicaSession: a client that became a replica gets the reply to that, and no more.
func TestReplicaSession(t *testing.T) {
	g := newGates()
	s := testServerWith(t, g, t.TempDir(), "--timeout", "1")
	admin, c := dial(t, s), dial(t, s)
	id := c.Do("CLIENT ID")
	c.Want("GATE.REPLICA x", "now x")
	c.Send("PING")
	c.Send("SET a 1")
	c.Send("CLIENT REPLY ON")
	c.Send("WAIT 1 10")
	c.Send("RESET")
	testclient.Eventually(t, "its commands run", func() bool { return admin.Do("GET a") == "1" })
	for _, line := range []string{admin.Do("CLIENT LIST TYPE replica"), admin.Do("CLIENT LIST ID " + id)} {
		if !strings.Contains(line, "id="+id+" ") || !strings.Contains(line, " flags=S") {
			t.Errorf("the replica's line: %q", line)
		}
	}
	if got := admin.Do("INFO clients"); !strings.Contains(got, "connected_clients:1\r\n") {
		t.Error(got)
	}
	testclient.Eventually(t, "LoopProgress is called after a commit", func() bool { return g.progress.Load() > 0 })
	admin.Conn.Close()
	time.Sleep(2200 * time.Millisecond) // the timeout is over for anybody else
	admin = dial(t, s)
	if got := admin.Do("CLIENT KILL TYPE replica"); got != "1" {
		t.Error(got)
	}
	if b, err := c.R.ReadByte(); err == nil {
		t.Errorf("the replica got %q", b)
	}
	testclient.Eventually(t, "the extension hears of it", func() bool { return g.closed.Load() == 1 })
	admin.Want("ROLE x", "mine")
	stopServer(t, s)
	if !g.stopped.Load() {
		t.Error("the extension was not told of the end")
	}
}
