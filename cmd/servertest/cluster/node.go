package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidemark/cmd/servertest"
)

// Cluster is some nodes and their fabric. Its methods and those of its nodes are for one
// goroutine at a time, but for Node.Dial.
type Cluster struct {
	Nodes  []*Node
	Fabric Fabric
	t      testing.TB
}

// Node is a server with a directory, alive or not.
type Node struct {
	ID       int
	Program  Program
	Dir      string
	Conf     map[string]string // directives besides Program.Args, as of the next start
	Upstream *Node             // whom it follows; nil for a primary
	Wrap     []string          // put in front of the program at the next start, as strace

	cluster *Cluster
	srv     *servertest.Server
	lives   int // starts so far
	paused  bool
	ctl     *servertest.Client // of this life, for questions
}

// New makes nodes, none of which runs yet, and ends them with the test. Their directories are below dir, or
// below a temporary one of the test when dir is "".
func New(t testing.TB, f Fabric, dir string, programs ...Program) *Cluster {
	t.Helper()
	if dir == "" {
		dir = t.TempDir()
	}
	c := &Cluster{Fabric: f, t: t}
	for i, p := range programs {
		n := &Node{ID: i, Program: p, Dir: filepath.Join(dir, fmt.Sprintf("node%d", i)), Conf: map[string]string{}, cluster: c}
		if err := os.Mkdir(n.Dir, 0o755); err != nil {
			t.Fatal(err)
		}
		c.Nodes = append(c.Nodes, n)
	}
	t.Cleanup(func() {
		for _, n := range c.Nodes {
			if n.Alive() {
				n.Kill()
			}
			n.autopsy()
		}
	})
	return c
}

// autopsy fails the test when the node's latest life ended in a panic, or the race detector spoke in it.
func (n *Node) autopsy() {
	if n.srv == nil {
		return
	}
	if _, report, raced := strings.Cut(n.srv.Log(), "WARNING: DATA RACE"); raced {
		n.cluster.t.Errorf("the race detector found in %s:%.6000s", n, report)
	}
	for _, word := range []string{"panic: ", "fatal error: "} {
		if _, report, died := strings.Cut(n.srv.Log(), word); died {
			n.cluster.t.Errorf("%s died: %s%.4000s", n, word, report)
		}
	}
}

func (n *Node) String() string { return fmt.Sprintf("node%d(%s)", n.ID, n.Program.Name) }

// Spawn starts the node with its directives, following its upstream, and does not wait for it.
func (n *Node) Spawn() error {
	bin, err := n.Program.Path()
	if err != nil {
		return err
	}
	n.autopsy() // in the life before
	cfg := servertest.Config{Bin: bin, Dir: n.Dir, Args: slices.Clone(n.Program.Args), Ready: 30 * time.Second, Wrap: n.Wrap}
	for k, v := range n.Conf {
		cfg.Args = append(cfg.Args, "--"+k, v)
	}
	if n.Upstream != nil {
		host, port := n.cluster.Fabric.Route(n.ID, n.Upstream.ID)
		cfg.Args = append(cfg.Args, "--replicaof", host, strconv.Itoa(port))
	}
	n.cluster.Fabric.Place(n.ID, &cfg)
	n.paused, n.ctl = false, nil
	n.lives++
	n.srv, err = servertest.Spawn(cfg)
	return err
}

// Start is Spawn, and waits until the node answers.
func (n *Node) Start() error {
	if err := n.Spawn(); err != nil {
		return err
	}
	if err := n.srv.WaitReady(); err != nil {
		n.srv.Kill()
		return err
	}
	return nil
}

// Server is the node's present or last process.
func (n *Node) Server() *servertest.Server { return n.srv }

// Lives counts the node's starts.
func (n *Node) Lives() int { return n.lives }

// Alive reports whether the process runs (or is stopped by Pause).
func (n *Node) Alive() bool {
	if n.srv == nil {
		return false
	}
	select {
	case <-n.srv.Done():
		return false
	default:
		return true
	}
}

// Kill ends the process with SIGKILL.
func (n *Node) Kill() {
	n.srv.Kill()
	n.paused = false
}

// Stop ends it with SIGTERM. A server may refuse at first, as redis does while it writes its first log.
func (n *Node) Stop() error {
	n.Resume()
	again := make(chan struct{})
	go func() {
		for {
			select {
			case <-again:
				return
			case <-time.After(time.Second):
				n.srv.Signal(syscall.SIGTERM)
			}
		}
	}()
	defer close(again)
	return n.srv.Stop()
}

// Pause stops the process where it stands (SIGSTOP).
func (n *Node) Pause() {
	n.srv.Signal(syscall.SIGSTOP)
	n.paused = true
}

// Resume lets it go on.
func (n *Node) Resume() {
	if n.paused {
		n.srv.Signal(syscall.SIGCONT)
		n.paused = false
	}
}

// Paused reports whether Pause was called and Resume not since.
func (n *Node) Paused() bool { return n.paused }

// Dial connects a client, past all faults. Any goroutine.
func (n *Node) Dial() (*servertest.Client, error) { return n.srv.Dial() }

// Do asks the node something on a connection kept for this, with a limit of 10 s.
func (n *Node) Do(args ...string) (servertest.Reply, error) {
	if n.ctl == nil {
		c, err := n.Dial()
		if err != nil {
			return servertest.Reply{}, fmt.Errorf("%s: %w", n, err)
		}
		c.SetTimeout(10 * time.Second)
		n.cluster.t.Cleanup(func() { c.Close() })
		n.ctl = c
	}
	r, err := n.ctl.Do(args...)
	if err != nil {
		n.ctl.Close()
		n.ctl = nil
		return r, fmt.Errorf("%s: %s: %w", n, args[0], err)
	}
	return r, nil
}

// must is Do where an error reply is an error.
func (n *Node) must(args ...string) error {
	r, err := n.Do(args...)
	if err == nil && r.IsError() {
		err = fmt.Errorf("%s: %s: %s", n, strings.Join(args, " "), r)
	}
	return err
}

// Set changes a directive of the running node, and of its later lives.
func (n *Node) Set(name, value string) error {
	n.Conf[name] = value
	return n.once("CONFIG", "SET", name, value)
}

// Follow makes the running node a replica of another.
func (n *Node) Follow(primary *Node) error {
	n.Upstream = primary
	host, port := n.cluster.Fabric.Route(n.ID, primary.ID)
	return n.once("REPLICAOF", host, strconv.Itoa(port))
}

// Promote makes the running node a primary.
func (n *Node) Promote() error {
	n.Upstream = nil
	return n.once("REPLICAOF", "NO", "ONE")
}

// once is must for a command that is refused while data are loaded: it is sent again until they are.
func (n *Node) once(args ...string) error {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := n.must(args...)
		if err == nil || !strings.Contains(err.Error(), "-LOADING") || time.Now().After(deadline) {
			return err
		}
	}
}

// Info returns the fields of an INFO section.
func (n *Node) Info(section string) (map[string]string, error) {
	r, err := n.Do("INFO", section)
	if err != nil {
		return nil, err
	}
	if r.IsError() {
		return nil, fmt.Errorf("%s: INFO: %s", n, r)
	}
	out := map[string]string{}
	for _, line := range strings.Split(r.Str, "\r\n") {
		if k, v, ok := strings.Cut(line, ":"); ok {
			out[k] = v
		}
	}
	return out, nil
}

// Position is where a node stands in which history.
type Position struct {
	ID     string // of the history
	Offset int64
	Online bool // a primary, or a replica whose link is up and which is not being loaded
}

// Position asks the node.
func (n *Node) Position() (Position, error) {
	f, err := n.Info("replication")
	if err != nil {
		return Position{}, err
	}
	p := Position{ID: f["master_replid"], Online: true}
	field := "master_repl_offset"
	if f["role"] == "slave" {
		field = "slave_repl_offset"
		p.Online = f["master_link_status"] == "up" && f["master_sync_in_progress"] == "0"
	}
	if p.Offset, err = strconv.ParseInt(f[field], 10, 64); err != nil {
		return p, fmt.Errorf("%s: INFO replication: %s: %w", n, field, err)
	}
	return p, nil
}

// LogReady reports whether the node's log holds all its data, so that they survive a kill.
func (n *Node) LogReady() bool {
	f, err := n.Info("persistence")
	return err == nil && f["aof_enabled"] == "1" && f["aof_rewrite_in_progress"] == "0" && f["aof_rewrite_scheduled"] == "0" &&
		f["aof_last_bgrewrite_status"] == "ok" && f["aof_last_write_status"] == "ok"
}

// HidesOverflow reports whether a program of the cluster has that fault.
func (n *Node) HidesOverflow() bool {
	return slices.ContainsFunc(n.cluster.Nodes, func(o *Node) bool { return o.Program.HidesOverflow })
}

// FieldExpiry reports whether every program of the cluster has it.
func (n *Node) FieldExpiry() bool {
	return !slices.ContainsFunc(n.cluster.Nodes, func(o *Node) bool { return !o.Program.FieldExpiry() })
}

// Heal makes all links sound and lets all paused nodes go on.
func (c *Cluster) Heal() {
	for _, a := range c.Nodes {
		a.Resume()
		for _, b := range c.Nodes {
			if a != b {
				c.Fabric.Heal(a.ID, b.ID)
			}
		}
	}
}
