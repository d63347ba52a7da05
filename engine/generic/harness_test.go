package generic

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/aof"
	"tidemark/engine/command"
	"tidemark/engine/command/commandtest"
	"tidemark/engine/keyspace"
	strs "tidemark/engine/strings"
)

// engine runs commands on a keyspace of its own.
type engine struct {
	t     testing.TB
	c     *command.Ctx
	table *command.Table
	now   int64 // Unix ms; 0: the clock
}

func newEngine(t testing.TB, shards int) *engine {
	ks := keyspace.New(keyspace.Options{Shards: shards, Databases: 16})
	t.Cleanup(ks.Close)
	table := command.NewTable(Commands(), strs.Commands(), []*command.Descriptor{selectCmd})
	return &engine{t: t, c: command.NewCtx(command.NewStore(ks), table), table: table}
}

// selectCmd is what a session does for SELECT.
var selectCmd = &command.Descriptor{Name: "select", Arity: 2, Handler: func(c *command.Ctx) {
	if db, ok := dbIndex(c, 1); ok {
		c.DB = db
		c.W.OK()
	}
}}

// do runs a request the way a session does, and returns the reply's bytes.
func (e *engine) do(args ...string) string {
	b := make([][]byte, len(args))
	for i, a := range args {
		b[i] = []byte(a)
	}
	return string(e.run(b))
}

func (e *engine) run(args [][]byte) []byte {
	c := e.c
	c.W.B = c.W.B[:0]
	d, unknown := e.table.Resolve(args)
	switch {
	case d == nil:
		e.t.Fatalf("no command %q", args[0])
	case unknown:
		c.W.Error(fmt.Sprintf("ERR unknown subcommand '%s'. Try %s HELP.", args[1], strings.ToUpper(d.Name)))
	case d.Arity > 0 && len(args) != d.Arity || len(args) < -d.Arity:
		c.W.Error(command.WrongArity(d))
	default:
		c.Cmd, c.Args, c.Raw = d, args, nil
		if c.Now = e.now; c.Now == 0 {
			c.Now = time.Now().UnixMilli()
		}
		for !c.Run() {
			c.Store.Log().Commit(aof.GoalAppend)
			runtime.Gosched()
		}
	}
	return c.W.B
}

// text renders the reply to a request as scripts have it.
func (e *engine) text(args ...string) string {
	return render(e.t, bufio.NewReader(strings.NewReader(e.do(args...))))
}

// render reads one reply: OK, (integer) 1, "bulk", (nil), (error) ERR ..., [element element].
func render(t testing.TB, r *bufio.Reader) string {
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("reading a reply: %v", err)
	}
	rest := strings.TrimRight(line[1:], "\r\n")
	switch line[0] {
	case '+':
		return rest
	case '-':
		return "(error) " + rest
	case ':':
		return "(integer) " + rest
	case '$', '*':
		n, err := strconv.Atoi(rest)
		switch {
		case err != nil:
			t.Fatalf("reply header %q", line)
		case n < 0:
			return "(nil)"
		case line[0] == '$':
			b := make([]byte, n+2)
			if _, err := io.ReadFull(r, b); err != nil {
				t.Fatalf("reading a reply: %v", err)
			}
			return strconv.Quote(string(b[:n]))
		}
		el := make([]string, n)
		for i := range el {
			el[i] = render(t, r)
		}
		return "[" + strings.Join(el, " ") + "]"
	}
	t.Fatalf("reply header %q", line)
	return ""
}

// realRedis is a redis-server to compare with.
type realRedis struct {
	t testing.TB
	r *commandtest.Redis
}

func startRedis(t testing.TB, options ...string) *realRedis {
	return &realRedis{t, commandtest.StartRedis(t, options...)}
}

func (s *realRedis) ask(words ...string) *bufio.Reader {
	args := make([][]byte, len(words))
	for i, w := range words {
		args[i] = []byte(w)
	}
	return bufio.NewReader(strings.NewReader(s.r.Do(args)))
}

func (s *realRedis) text(args ...string) string { return render(s.t, s.ask(args...)) }

func parsed(t testing.TB, r *bufio.Reader) any {
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(line[1:]), 10, 64)
	switch line[0] {
	case ':':
		return n
	case '$':
		b := make([]byte, max(n, 0)+2)
		if _, err := io.ReadFull(r, b); err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	case '*', '%':
		if line[0] == '%' {
			n *= 2
		}
		el := make([]any, max(n, 0))
		for i := range el {
			el[i] = parsed(t, r)
		}
		return el
	}
	return strings.TrimSpace(line[1:])
}

// pairs makes a map of an array of names and values.
func pairs(v any) map[string]any {
	m := map[string]any{}
	el, _ := v.([]any)
	for i := 0; i+1 < len(el); i += 2 {
		m[el[i].(string)] = el[i+1]
	}
	return m
}

var record = flag.Bool("record", false, "rewrite the replies in testdata from the machine's redis-server")

// A script is lines "> command arg ..." (Go quoting for arguments in quotes), each followed by the reply as redis-server 7
// gives it. A command with ! before its name gives a set: the elements of its reply are sorted.
func runScript(t *testing.T, path string, do func(args ...string) string, rewrite bool) {
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	lines := strings.Split(strings.TrimRight(string(src), "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		fmt.Fprintln(&out, lines[i])
		if !strings.HasPrefix(lines[i], "> ") {
			continue
		}
		args := splitArgs(t, lines[i][2:])
		sorted := args[0][0] == '!'
		args[0] = strings.TrimPrefix(args[0], "!")
		got := do(args...)
		if sorted {
			el := strings.Fields(strings.Trim(got, "[]"))
			slices.Sort(el)
			got = "[" + strings.Join(el, " ") + "]"
		}
		fmt.Fprintln(&out, got)
		if i+1 < len(lines) && !strings.HasPrefix(lines[i+1], "> ") && !strings.HasPrefix(lines[i+1], "#") {
			i++
			if !rewrite && lines[i] != got && !secondLater(args, got, lines[i]) {
				t.Errorf("%s:%d: %s\n got %s\nwant %s", path, i, lines[i-1], got, lines[i])
			}
		} else if !rewrite {
			t.Errorf("%s:%d: no reply recorded", path, i)
		}
	}
	if rewrite {
		if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// secondLater allows OBJECT IDLETIME to find that a second has begun since the key was touched.
func secondLater(args []string, got, want string) bool {
	var x, y int
	if !strings.HasPrefix(strings.ToUpper(strings.Join(args, " ")), "OBJECT IDLETIME ") {
		return false
	}
	n, _ := fmt.Sscanf(got, "(integer) %d", &x)
	m, _ := fmt.Sscanf(want, "(integer) %d", &y)
	return n == 1 && m == 1 && x == y+1
}

func splitArgs(t *testing.T, s string) (args []string) {
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		if s[0] == '"' {
			q, err := strconv.QuotedPrefix(s)
			if err != nil {
				t.Fatalf("%s: %v", s, err)
			}
			a, _ := strconv.Unquote(q)
			args = append(args, a)
			s = s[len(q):]
			continue
		}
		a, rest, _ := strings.Cut(s, " ")
		args = append(args, a)
		s = rest
	}
	return args
}

func scripts(t *testing.T) []string {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scripts in testdata (%v)", err)
	}
	return paths
}

func TestScripts(t *testing.T) {
	for _, path := range scripts(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			if *record {
				s := startRedis(t)
				runScript(t, path, s.text, true)
			}
			for _, shards := range []int{1, 16} {
				runScript(t, path, newEngine(t, shards).text, false)
			}
		})
	}
}

// TestScriptsOnRedis holds the recorded replies against a real server.
func TestScriptsOnRedis(t *testing.T) {
	s := startRedis(t)
	for _, path := range scripts(t) {
		s.text("FLUSHALL")
		s.text("SELECT", "0")
		s.text("CONFIG", "RESETSTAT")
		runScript(t, path, s.text, false)
	}
}
