package generic

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/aof"
	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/netio/resp"
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
	table := command.NewTable(Commands(), []*command.Descriptor{setCmd, getCmd, selectCmd})
	return &engine{t: t, c: command.NewCtx(command.NewStore(ks), table), table: table}
}

// The commands of other packages that the scripts set their scene with.
var (
	setCmd = &command.Descriptor{Name: "set", Arity: 3, Flags: command.Write, Keys: command.One(command.KeyOW), Log: command.LogRequest,
		Handler: func(c *command.Ctx) {
			enc := keyspace.Raw
			if _, ok := command.ParseInt(c.Args[2]); ok {
				enc = keyspace.Int
			} else if len(c.Args[2]) <= 44 {
				enc = keyspace.EmbStr
			}
			k := &c.Keys[0]
			k.Shard.PutString(c.DB, k.Hash, c.FindForWrite(k), k.Name, c.Args[2], enc, keyspace.NoExpire, c.AccessClock())
			c.Changed(k)
			c.W.OK()
		}}
	getCmd = &command.Descriptor{Name: "get", Arity: 2, Flags: command.ReadOnly, Keys: command.One(command.KeyRO),
		Handler: func(c *command.Ctx) {
			if r, v, ok := c.FindString(&c.Keys[0]); ok && r != 0 {
				c.W.Bulk(v)
			} else if ok {
				c.W.Null()
			}
		}}
	selectCmd = &command.Descriptor{Name: "select", Arity: 2, Handler: func(c *command.Ctx) {
		if db, ok := dbIndex(c, 1); ok {
			c.DB = db
			c.W.OK()
		}
	}}
)

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
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

// startRedis runs the machine's redis-server on a free port until the test ends.
func startRedis(t testing.TB, options ...string) *realRedis {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("no redis-server on this machine to compare with")
	}
	sock := filepath.Join(t.TempDir(), "s")
	options = append([]string{"--port", "0", "--unixsocket", sock, "--save", "", "--dir", filepath.Dir(sock)}, options...)
	cmd := exec.Command(path, options...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); ; {
		if conn, err := net.Dial("unix", sock); err == nil {
			t.Cleanup(func() { conn.Close() })
			return &realRedis{t, conn, bufio.NewReader(conn)}
		} else if time.Now().After(deadline) {
			t.Fatalf("redis-server does not answer: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (s *realRedis) send(args ...string) {
	w := resp.Writer{}
	w.Array(len(args))
	for _, a := range args {
		w.BulkString(a)
	}
	if _, err := s.conn.Write(w.B); err != nil {
		s.t.Fatal(err)
	}
}

func (s *realRedis) text(args ...string) string {
	s.t.Helper()
	s.send(args...)
	return render(s.t, s.r)
}

// reply returns an array reply as nested []any of int64 and string.
func (s *realRedis) reply(args ...string) []any {
	s.send(args...)
	return s.value().([]any)
}

func (s *realRedis) value() any {
	line, err := s.r.ReadString('\n')
	if err != nil {
		s.t.Fatal(err)
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(line[1:]), 10, 64)
	switch line[0] {
	case ':':
		return n
	case '$':
		b := make([]byte, max(n, 0)+2)
		if _, err := io.ReadFull(s.r, b); err != nil {
			s.t.Fatal(err)
		}
		return string(b[:n])
	case '*':
		el := make([]any, max(n, 0))
		for i := range el {
			el[i] = s.value()
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

// set sorts names, ours or a reply's.
func set(v any) []string {
	out := []string{}
	switch v := v.(type) {
	case []string:
		out = append(out, v...)
	case []any:
		for _, x := range v {
			out = append(out, x.(string))
		}
	}
	slices.Sort(out)
	return out
}

// syntax writes arguments in one line, and theirSyntax those of COMMAND DOCS in the same way.
func syntax(args []command.Arg) string {
	var out []string
	for _, a := range args {
		spec := ""
		if a.Type == "key" {
			spec = fmt.Sprint(a.KeySpec)
		}
		flags := set(a.Flags.Names())
		out = append(out, fmt.Sprintf("%s:%s%s:%s:%s:%s(%s)", a.Name, a.Type, spec, a.Token, a.Since, flags, syntax(a.Args)))
	}
	return strings.Join(out, " ")
}

func theirSyntax(args []any) string {
	var out []string
	for _, x := range args {
		a := pairs(x)
		text := func(field string) string {
			if a[field] == nil {
				return ""
			}
			return fmt.Sprint(a[field])
		}
		sub, _ := a["arguments"].([]any)
		out = append(out, fmt.Sprintf("%s:%s%s:%s:%s:%s(%s)", text("name"), text("type"), text("key_spec_index"), text("token"), text("since"),
			set(a["flags"]), theirSyntax(sub)))
	}
	return strings.Join(out, " ")
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
			if !rewrite && lines[i] != got {
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
