package linear

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"tidemark/cmd/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

const (
	clients = 6
	cells   = 4 // of each of two kinds
	lives   = 4 // times the server runs within one history
)

func TestLinearizable(t *testing.T) {
	seed := uint64(servertest.Setting(t, "TIDEMARK_SEED", time.Now().UnixNano()))
	rounds := int(servertest.Setting(t, "TIDEMARK_HISTORIES", 3))
	t.Logf("seed %d, %d histories", seed, rounds)
	rnd := rand.New(rand.NewPCG(seed, 5))
	srv := servertest.StartTidemark(t, servertest.Config{Args: []string{
		"--appendonly", "yes", "--appendfsync", "always", "--save", ""}})
	for round := range rounds {
		rec := &recorder{prefix: fmt.Sprintf("r%d", round), start: time.Now()}
		for range lives {
			srv = rec.life(t, srv, rnd)
		}
		rec.readAll(t, srv)
		rec.check(t, seed)
	}
}

// recorder collects one history.
type recorder struct {
	prefix  string
	start   time.Time
	values  atomic.Int64 // makes written values unique
	mu      sync.Mutex
	history []porcupine.Operation
}

func (r *recorder) now() int64 { return int64(time.Since(r.start)) }

func (r *recorder) add(client int, in input, call, ret int64, out output) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = append(r.history, porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: ret})
}

// life lets the clients work, kills the server at a random moment, and starts it again.
func (r *recorder) life(t *testing.T, srv *servertest.Server, rnd *rand.Rand) *servertest.Server {
	var wg sync.WaitGroup
	for id := range clients {
		seed := rnd.Uint64()
		wg.Go(func() {
			if err := r.client(srv, id, rand.New(rand.NewPCG(seed, 6))); err != nil {
				t.Error(err)
			}
		})
	}
	time.Sleep(time.Duration(20+rnd.IntN(100)) * time.Millisecond) // the random moment is the point
	srv.Kill()
	wg.Wait()
	again, err := srv.Restart()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Kill)
	return again
}

func (r *recorder) random(rnd *rand.Rand) input {
	v := strconv.FormatInt(r.values.Add(1), 10)
	cell := strconv.Itoa(rnd.IntN(cells))
	if rnd.IntN(3) == 0 {
		kinds := []string{"PAIRGET", "PAIRGET", "PAIRSET", "PAIRINCR", "LEFTSET"}
		return input{r.prefix + "pair" + cell, kinds[rnd.IntN(len(kinds))], v}
	}
	kinds := []string{"GET", "GET", "GET", "SET", "SET", "SETNX", "GETSET", "GETDEL", "DEL", "INCR", "INCR", "APPEND"}
	return input{r.prefix + "key" + cell, kinds[rnd.IntN(len(kinds))], v}
}

// client works until the connection dies. The last operation may stay without an answer.
func (r *recorder) client(srv *servertest.Server, id int, rnd *rand.Rand) error {
	c, err := srv.Dial()
	if err != nil {
		return nil // killed before the connection stood
	}
	defer c.Close()
	for {
		in := r.random(rnd)
		for _, command := range in.commands() {
			c.Queue(command...)
		}
		call := r.now()
		var reply servertest.Reply
		err := c.Flush()
		for range in.commands() {
			if err == nil {
				reply, err = c.Receive()
			}
		}
		if err != nil {
			r.add(id, in, call, math.MaxInt64, output{unknown: true})
			return nil
		}
		// INCR of an appended text and the like are errors that the model knows; others are not.
		if s := reply.String(); reply.IsError() && !strings.Contains(s, "not an integer") {
			return fmt.Errorf("%v: %s", in, s)
		}
		r.add(id, in, call, r.now(), output{reply: reply.String()})
		// Histories of thousands of operations per cell would take porcupine for ever.
		time.Sleep(time.Duration(rnd.IntN(1500)) * time.Microsecond)
	}
}

// readAll ends the history with a read of every cell: what is there now must be explained too.
func (r *recorder) readAll(t *testing.T, srv *servertest.Server) {
	c := srv.Connect(t)
	for i := range cells {
		for _, in := range []input{{r.prefix + "key" + strconv.Itoa(i), "GET", ""}, {r.prefix + "pair" + strconv.Itoa(i), "PAIRGET", ""}} {
			call := r.now()
			reply := c.Must(t, in.commands()[0]...)
			r.add(clients, in, call, r.now(), output{reply: reply.String()})
		}
	}
}

func (r *recorder) check(t *testing.T, seed uint64) {
	unknown := 0
	for _, op := range r.history {
		if op.Output.(output).unknown {
			unknown++
		}
	}
	t.Logf("%d operations, %d without an answer", len(r.history), unknown)
	result, info := porcupine.CheckOperationsVerbose(model, r.history, 60*time.Second)
	switch result {
	case porcupine.Ok:
	case porcupine.Unknown:
		t.Errorf("seed %d: porcupine did not decide within a minute; the history of %d operations is too large", seed, len(r.history))
	case porcupine.Illegal:
		path := filepath.Join(os.TempDir(), fmt.Sprintf("tidemark-history-%d.html", seed))
		if err := porcupine.VisualizePath(model, info, path); err != nil {
			path = err.Error()
		}
		t.Fatalf("seed %d: not linearizable; the history is in %s", seed, path)
	}
}

// The model must reject what a broken server would answer.
func TestModel(t *testing.T) {
	op := func(client int, kind, arg string, call, ret int64, reply string) porcupine.Operation {
		out := output{reply: reply, unknown: reply == "?"}
		if out.unknown {
			ret = math.MaxInt64
		}
		return porcupine.Operation{ClientId: client, Input: input{"c", kind, arg}, Call: call, Return: ret, Output: out}
	}
	for _, c := range []struct {
		name    string
		ok      bool
		history []porcupine.Operation
	}{
		{"plain", true, []porcupine.Operation{op(0, "SET", "1", 0, 1, "+OK"), op(0, "GET", "", 2, 3, `"1"`)}},
		{"stale read", false, []porcupine.Operation{op(0, "SET", "1", 0, 1, "+OK"), op(0, "SET", "2", 2, 3, "+OK"), op(1, "GET", "", 4, 5, `"1"`)}},
		{"lost write", false, []porcupine.Operation{op(0, "SET", "1", 0, 1, "+OK"), op(1, "GET", "", 2, 3, "(nil)")}},
		{"unanswered write, kept", true, []porcupine.Operation{op(0, "SET", "1", 0, 0, "?"), op(1, "GET", "", 2, 3, `"1"`)}},
		{"unanswered write, lost", true, []porcupine.Operation{op(0, "SET", "1", 0, 0, "?"), op(1, "GET", "", 2, 3, "(nil)")}},
		{"seen and taken back", false, []porcupine.Operation{op(0, "SET", "1", 0, 0, "?"), op(1, "GET", "", 2, 3, `"1"`), op(1, "GET", "", 4, 5, "(nil)")}},
		{"double increment", false, []porcupine.Operation{op(0, "INCR", "", 0, 1, ":1"), op(1, "INCR", "", 0, 1, ":1")}},
		{"torn pair", false, []porcupine.Operation{op(0, "PAIRSET", "1", 0, 1, "+OK"), op(0, "PAIRSET", "2", 2, 5, "+OK"), op(1, "PAIRGET", "", 3, 4, `["2", "1"]`)}},
	} {
		if got := porcupine.CheckOperations(model, c.history); got != c.ok {
			t.Errorf("%s: linearizable = %v", c.name, got)
		}
	}
}
