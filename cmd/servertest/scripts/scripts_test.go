package scripts

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/cmd/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// both are the two servers that a script runs on.
type both struct{ tide, redis *servertest.Server }

// directives that every pair of servers gets: DEBUG and protected
// configuration allowed, no clock-driven surprises.
var common = []string{"--enable-debug-command", "yes", "--enable-protected-configs", "yes", "--databases", "16"}

func startBoth(t *testing.T, args []string) both {
	t.Helper()
	all := append(append([]string(nil), common...), args...)
	if len(args) == 0 {
		all = append(all, "--appendonly", "no")
	}
	tide := servertest.StartTidemark(t, servertest.Config{Args: append([]string{"--save", ""}, all...)})
	return both{tide, servertest.StartRedis(t, servertest.Config{Args: all})}
}

func TestCommands(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scripts in testdata: %v", err)
	}
	shared := startBoth(t, nil)
	for _, path := range paths {
		s, err := parse(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, proto := range s.protos {
			name := strings.TrimSuffix(filepath.Base(path), ".txt") + "/resp" + strconv.Itoa(proto)
			t.Run(name, func(t *testing.T) {
				servers := shared
				if s.server != nil {
					servers = startBoth(t, s.server)
				}
				runScript(t, s, proto, servers)
			})
		}
	}
}

// side is one server's half of a running script.
type side struct {
	name  string
	srv   *servertest.Server
	proto int
	conns map[string]*servertest.Client
	vars  map[string]string
	last  string // the canonical form of the latest reply
}

func (sd *side) conn(name string) (*servertest.Client, error) {
	if c := sd.conns[name]; c != nil {
		return c, nil
	}
	c, err := sd.srv.Dial()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sd.name, err)
	}
	sd.conns[name] = c
	if sd.proto == 3 {
		if _, err := c.Do("HELLO", "3"); err != nil {
			return nil, fmt.Errorf("%s: HELLO 3: %w", sd.name, err)
		}
	}
	return c, nil
}

func (sd *side) closeAll() {
	for _, c := range sd.conns {
		c.Close()
	}
}

func (sd *side) expand(args []string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		for name, v := range sd.vars {
			a = strings.ReplaceAll(a, "$"+name, v)
		}
		out[i] = a
	}
	return out
}

// perform runs one step and returns the reply, or ok=false when the step has none.
func (sd *side) perform(st *step) (r servertest.Reply, ok bool, err error) {
	if st.verb == "let" {
		m := st.re.FindStringSubmatch(sd.last)
		if m == nil {
			return r, false, fmt.Errorf("%s: @let %s: no match in %s", sd.name, st.name, sd.last)
		}
		sd.vars[st.name] = m[len(m)-1]
		return r, false, nil
	}
	if st.verb == "blocked" {
		return r, false, sd.awaitBlocked(st.name)
	}
	if st.verb == "open" && sd.conns[st.conn] != nil {
		sd.conns[st.conn].Close()
		delete(sd.conns, st.conn)
	}
	c, err := sd.conn(st.conn)
	if err != nil {
		return r, false, err
	}
	switch st.verb {
	case "open":
		return r, false, nil
	case "silent":
		if !c.Silent(50 * time.Millisecond) {
			r, err := c.Receive()
			return r, false, fmt.Errorf("%s: expected silence, got %v %v", sd.name, r, err)
		}
		return r, false, nil
	case "closed":
		if !c.Closed() {
			return r, false, fmt.Errorf("%s: the connection stayed open or has an unread reply", sd.name)
		}
		c.Close()
		delete(sd.conns, st.conn)
		return r, false, nil
	case "rawonly":
		return r, false, c.SendRaw([]byte(st.raw))
	case "raw":
		if err := c.SendRaw([]byte(st.raw)); err != nil {
			return r, false, err
		}
	case "do":
		c.Queue(sd.expand(st.args)...)
		if err := c.Flush(); err != nil {
			return r, false, err
		}
		if st.async {
			return r, false, nil
		}
	}
	r, err = c.Receive()
	if err != nil {
		return r, false, fmt.Errorf("%s: %w", sd.name, err)
	}
	for deadline := time.Now().Add(10 * time.Second); st.until != "" && r.String() != st.until; {
		if time.Now().After(deadline) {
			return r, false, fmt.Errorf("%s: still %s after 10 s, waiting for %s", sd.name, r, st.until)
		}
		time.Sleep(5 * time.Millisecond)
		if r, err = c.Do(sd.expand(st.args)...); err != nil {
			return r, false, err
		}
	}
	sd.last = r.String()
	return r, true, nil
}

// awaitBlocked waits until so many clients are blocked. It asks on a connection of its own: the script's may be in a transaction.
func (sd *side) awaitBlocked(n string) error {
	c, err := sd.conn("@blocked")
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		r, err := c.Do("INFO", "clients")
		if err != nil {
			return fmt.Errorf("%s: %w", sd.name, err)
		}
		if strings.Contains(r.Str, "\r\nblocked_clients:"+n+"\r\n") {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not %s clients are blocked after 10 s:\n%s", sd.name, n, r.Str)
		}
	}
}

func runScript(t *testing.T, s *script, proto int, servers both) {
	sides := []*side{{name: "tidemark", srv: servers.tide}, {name: "redis", srv: servers.redis}}
	for _, sd := range sides {
		sd.proto, sd.conns, sd.vars = proto, map[string]*servertest.Client{}, map[string]string{}
		defer sd.closeAll()
		c, err := sd.srv.Dial()
		if err != nil {
			t.Fatal(err)
		}
		c.Must(t, "FLUSHALL")
		c.Must(t, "CONFIG", "RESETSTAT")
		c.Close()
	}
	for i := range s.steps {
		st := s.steps[i]
		where := fmt.Sprintf("%s:%d: %s", s.path, st.line, st.describe())
		run := sides
		if st.alone || st.since != "" && !servertest.RedisAtLeast(t, st.since) {
			run = sides[:1]
		}
		if st.before != "" && !servertest.RedisAtLeast(t, st.before) {
			st.differ = "redis-server is older than " + st.before
		}
		if st.changed != "" && servertest.RedisAtLeast(t, st.changed) {
			st.differ = "redis-server is as new as " + st.changed
		}
		var replies []servertest.Reply
		for _, sd := range run {
			r, ok, err := sd.perform(&st)
			if err != nil {
				t.Fatalf("%s\n  %v", where, err)
			}
			if ok {
				replies = append(replies, r)
			}
		}
		if len(replies) > 0 {
			if problem := st.judge(replies, proto); problem != "" {
				t.Errorf("%s\n%s", where, problem)
			}
		}
	}
}

func (st *step) describe() string {
	switch st.verb {
	case "do":
		return st.conn + "> " + strings.Join(st.args, " ")
	case "raw", "rawonly":
		return "@" + st.verb + " " + st.conn + "> " + servertest.Quote(st.raw)
	case "blocked":
		return "@blocked " + st.name
	}
	return "@" + st.verb + " " + st.conn
}

// judge compares the replies (tidemark's first, then redis's where it ran) and
// returns what is wrong, or "".
func (st *step) judge(replies []servertest.Reply, proto int) string {
	want := st.want[proto]
	texts := make([]string, len(replies))
	for i, r := range replies {
		if st.unordered {
			r = r.Sorted()
		}
		texts[i] = r.String()
		if st.shape {
			texts[i] = shape(r)
		}
		for _, m := range st.masks {
			texts[i] = m.ReplaceAllString(texts[i], "<mask>")
		}
	}
	show := "  tidemark " + clip(texts[0])
	if len(texts) > 1 {
		show += "\n  redis    " + clip(texts[1])
	}
	if want != "" && texts[0] != want {
		return show + "\n  expected " + clip(want)
	}
	if want != "" && len(texts) > 1 && st.differ == "" && texts[1] != want {
		return show + "\n  expected " + clip(want) + " (the script is wrong about redis)"
	}
	if st.match != nil {
		for _, text := range texts {
			if !st.match.MatchString(text) {
				return show + "\n  expected a match of " + st.match.String()
			}
		}
		return ""
	}
	if len(texts) > 1 && st.differ == "" && texts[0] != texts[1] && !near(replies[0], replies[1], st.tolerate) &&
		!(st.numbers && servertest.SameNumbers(replies[0], replies[1])) {
		return show
	}
	return ""
}

func clip(s string) string {
	if len(s) > 2000 {
		return s[:2000] + fmt.Sprintf("... (%d bytes)", len(s))
	}
	return s
}

// shape reduces a reply to kinds and lengths.
func shape(r servertest.Reply) string {
	if len(r.Elems) == 0 {
		return string(rune(r.Kind))
	}
	parts := make([]string, len(r.Elems))
	for i, e := range r.Elems {
		parts[i] = shape(e)
	}
	return string(rune(r.Kind)) + "[" + strings.Join(parts, " ") + "]"
}

// near reports whether two replies are equal but for integers that differ by at most tolerance.
func near(a, b servertest.Reply, tolerance int64) bool {
	if tolerance == 0 || a.Kind != b.Kind || len(a.Elems) != len(b.Elems) {
		return false
	}
	switch a.Kind {
	case servertest.Integer:
		return abs(a.Int-b.Int) <= tolerance
	case servertest.Bulk:
		x, err1 := strconv.ParseInt(a.Str, 10, 64)
		y, err2 := strconv.ParseInt(b.Str, 10, 64)
		return a.Str == b.Str || err1 == nil && err2 == nil && abs(x-y) <= tolerance
	}
	for i := range a.Elems {
		if a.Elems[i].String() != b.Elems[i].String() && !near(a.Elems[i], b.Elems[i], tolerance) {
			return false
		}
	}
	return len(a.Elems) > 0
}

func abs(n int64) int64 { return max(n, -n) }

// The judge is what every script relies on: it must see differences.
func TestJudge(t *testing.T) {
	integer := func(n int64) servertest.Reply { return servertest.Reply{Kind: servertest.Integer, Int: n} }
	bulk := func(s string) servertest.Reply { return servertest.Reply{Kind: servertest.Bulk, Str: s} }
	list := func(e ...servertest.Reply) servertest.Reply {
		return servertest.Reply{Kind: servertest.Array, Elems: e}
	}
	for _, c := range []struct {
		name string
		st   step
		a, b servertest.Reply
		ok   bool
	}{
		{"equal", step{}, integer(1), integer(1), true},
		{"different", step{}, integer(1), integer(2), false},
		{"within tolerance", step{tolerate: 5}, integer(1), integer(6), true},
		{"outside tolerance", step{tolerate: 5}, integer(1), integer(7), false},
		{"nested tolerance", step{tolerate: 5}, list(integer(1)), list(integer(3)), true},
		{"numbers", step{numbers: true}, list(bulk("0.1")), list(bulk("0.10000000000000001")), true},
		{"other numbers", step{numbers: true}, list(bulk("0.1")), list(bulk("0.11")), false},
		{"no numbers", step{numbers: true}, list(bulk("a")), list(bulk("b")), false},
		{"numbers are text otherwise", step{}, bulk("0.1"), bulk("0.10000000000000001"), false},
		{"order counts", step{}, list(integer(1), integer(2)), list(integer(2), integer(1)), false},
		{"unordered", step{unordered: true}, list(integer(1), integer(2)), list(integer(2), integer(1)), true},
		{"wanted", step{want: [4]string{2: ":1"}}, integer(1), integer(1), true},
		{"not wanted", step{want: [4]string{2: ":2"}}, integer(1), integer(1), false},
		{"differ allowed", step{differ: "reason"}, integer(1), integer(2), true},
		{"differ but not as wanted", step{differ: "reason", want: [4]string{2: ":3"}}, integer(1), integer(2), false},
		{"masked", step{masks: []*regexp.Regexp{regexp.MustCompile(`\d`)}}, integer(1), integer(2), true},
		{"shape", step{shape: true}, list(integer(1)), list(integer(2)), true},
		{"another shape", step{shape: true}, list(integer(1)), list(), false},
		{"match", step{match: regexp.MustCompile(`^:\d$`)}, integer(1), integer(2), true},
		{"no match", step{match: regexp.MustCompile(`^:1$`)}, integer(1), integer(2), false},
	} {
		if got := c.st.judge([]servertest.Reply{c.a, c.b}, 2); (got == "") != c.ok {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}
