package differential

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/cmd/servertest"
	"tidemark/cmd/servertest/cluster"
	"tidemark/cmd/servertest/workload"
)

func TestMain(m *testing.M) { servertest.Main(m) }

const (
	connections = 3   // interleaved: transactions and watches of one meet writes of another
	stateEvery  = 500 // steps between comparisons of the whole state
)

func TestDifferential(t *testing.T) {
	seed := servertest.Setting(t, "TIDEMARK_SEED", time.Now().UnixNano())
	ops := int(servertest.Setting(t, "TIDEMARK_DIFF_OPS", 30000))
	for _, proto := range []string{"2", "3"} {
		t.Run("resp"+proto, func(t *testing.T) {
			t.Logf("repeat with TIDEMARK_SEED=%d TIDEMARK_DIFF_OPS=%d", seed, ops)
			r := newRun(t, uint64(seed), proto)
			for step := 1; step <= ops; step++ {
				r.step(step)
				if step%stateEvery == 0 || step == ops {
					r.compareState(step)
				}
			}
			r.restart(ops)
		})
	}
}

// run is one comparison under way.
type run struct {
	t       *testing.T
	seed    uint64
	gen     workload.Generator
	tide    *servertest.Server
	redis   *servertest.Server
	clients [2][connections]*servertest.Client
	ctl     [2]*servertest.Client      // compare the state, outside all transactions
	multi   [connections]bool          // in a transaction, as far as the reference says
	slack   [connections]int64         // the largest slack of the commands queued in it
	queued  [connections][]workload.Op // those commands
	history []string                   // the latest commands
	failed  int
}

func newRun(t *testing.T, seed uint64, proto string) *run {
	r := &run{t: t, seed: seed}
	r.gen.Rnd, r.gen.Lasting = rand.New(rand.NewPCG(seed, 1)), true
	for _, v := range []string{"7.4", "8.0"} {
		if r.atLeast(v) {
			r.gen.Version = v
		}
	}
	r.tide = servertest.StartTidemark(t, servertest.Config{Args: []string{
		"--appendonly", "yes", "--appendfsync", "no", "--save", "", "--enable-debug-command", "yes"}})
	r.redis = servertest.StartRedis(t, servertest.Config{Args: []string{"--appendonly", "no", "--enable-debug-command", "yes"}})
	for side, srv := range []*servertest.Server{r.tide, r.redis} {
		for i := range r.clients[side] {
			r.clients[side][i] = srv.Connect(t)
			r.clients[side][i].Must(t, "HELLO", proto)
		}
		r.ctl[side] = srv.Connect(t)
	}
	return r
}

// atLeast reports whether the reference is of this version or newer.
func (r *run) atLeast(version string) bool {
	r.t.Helper()
	return servertest.RedisAtLeast(r.t, version)
}

func (r *run) fail(step int, format string, args ...any) {
	r.t.Helper()
	r.t.Errorf("seed %d, step %d: %s\nlatest commands:\n  %s", r.seed, step, fmt.Sprintf(format, args...), strings.Join(r.history, "\n  "))
	if r.failed++; r.failed >= 5 {
		r.t.Fatal("too many differences")
	}
}

func (r *run) step(step int) {
	r.gen.NowMs = time.Now().UnixMilli()
	o := r.gen.Next()
	conn := r.gen.Rnd.IntN(connections)
	for r.multi[conn] && overflows(r.queued[conn]) && sorts(o) {
		o = r.gen.Next()
	}
	if sorts(o) || strings.EqualFold(o.Args[0], "EXEC") {
		r.forgetOverflow()
	}
	r.history = append(r.history, fmt.Sprintf("%d> %s", conn, o))
	if len(r.history) > 25 {
		r.history = r.history[1:]
	}
	for side := range r.clients {
		c := r.clients[side][conn]
		c.Queue(o.Args...)
		if err := c.Flush(); err != nil {
			r.t.Fatalf("seed %d, step %d: %v\n%s", r.seed, step, err, r.tide.Log())
		}
	}
	var replies [2]servertest.Reply
	for side := range replies {
		reply, err := r.clients[side][conn].Receive()
		if err != nil {
			r.t.Fatalf("seed %d, step %d, %s (side %d): %v\n%s", r.seed, step, o, side, err, r.tide.Log())
		}
		replies[side] = reply
	}
	command := strings.ToUpper(o.Args[0])
	slack := o.Slack
	if r.multi[conn] && replies[1].Str == "QUEUED" {
		r.slack[conn] = max(r.slack[conn], o.Slack)
		r.queued[conn] = append(r.queued[conn], o)
		if o.Settle { // it may execute at any later moment
			r.slack[conn] = max(r.slack[conn], 2)
		}
	} else if command == "EXEC" {
		slack = r.slack[conn]
	}
	switch command {
	case "MULTI":
		if !r.multi[conn] && !replies[1].IsError() {
			r.multi[conn], r.slack[conn], r.queued[conn] = true, 0, nil
		}
	case "EXEC", "DISCARD":
		if replies[1].Kind != servertest.Simple || replies[1].Str != "QUEUED" {
			r.multi[conn] = r.multi[conn] && strings.HasPrefix(replies[1].Str, "ERR wrong number")
		}
		o.Settle = true // short expiries inside
	}
	for i := range replies {
		if o.Unordered || command == "EXEC" {
			replies[i] = sortLists(replies[i], o.Unordered)
		}
	}
	same := r.agree(o, replies[0], replies[1], slack)
	if n := len(r.queued[conn]); !same && command == "EXEC" && len(replies[0].Elems) == n && len(replies[1].Elems) == n {
		same = true
		for i, q := range r.queued[conn] {
			a, b := replies[0].Elems[i], replies[1].Elems[i]
			same = same && r.agree(q, a, b, slack)
		}
	}
	if !same {
		r.fail(step, "%d> %s\n  tidemark %s\n  redis    %s", conn, o, clip(replies[0].String()), clip(replies[1].String()))
	}
	if o.Settle {
		time.Sleep(5 * time.Millisecond) // what expires within 3 ms has passed on both sides
	}
}

// Redis-server 7.0 has SORT fail on numbers that are in order when an earlier command, of any client, was refused a number that is out of range: it asks errno
// without having cleared it. A score that is in range clears it. (A stock server shows it: ZADD z 1e400 m, SORT of a list of integers.)
func (r *run) forgetOverflow() { r.ctl[1].Must(r.t, "ZADD", "nowhere", "XX", "1", "m") }

// sorts reports whether o may run into that.
func sorts(o workload.Op) bool { return strings.HasPrefix(strings.ToUpper(o.Args[0]), "SORT") }

// overflows reports whether one of the commands queued in a transaction has a number that is out of range.
func overflows(queued []workload.Op) bool {
	return slices.ContainsFunc(queued, func(o workload.Op) bool { return slices.Contains(o.Args, "1e400") })
}

// collated is what SORT ALPHA goes by in redis-server when nothing is stored: strcoll, for which a text ends at its first zero byte. Those that
// differ behind it come in any order there, in tidemark in the order of their bytes.
func collated(r servertest.Reply) servertest.Reply {
	elems := make([]servertest.Reply, len(r.Elems))
	for i, e := range r.Elems {
		e.Str, _, _ = strings.Cut(e.Str, "\x00")
		elems[i] = e
	}
	r.Elems = elems
	return r
}

// agree reports whether the replies to a command are what they should be, tidemark's first.
func (r *run) agree(o workload.Op, a, b servertest.Reply, slack int64) bool {
	return equal(a, b, slack) || o.Numbers && servertest.SameNumbers(a, b) || sorts(o) && slices.Contains(o.Args, "ALPHA") && equal(collated(a), collated(b), 0) || r.newer(o, a, b)
}

// newer reports whether two replies differ because the reference is 7.0 and tidemark answers as 7.4:
// streams that are out of balance are said to be so in other words, since 7.2 BITCOUNT and BITPOS read their arguments before they look for the key, and small lists are packed lists.
func (r *run) newer(o workload.Op, tide, redis servertest.Reply) bool {
	switch strings.ToUpper(o.Args[0]) {
	case "BITCOUNT", "BITPOS":
		if r.atLeast("7.2") {
			return false
		}
		early := redis.Kind == servertest.Integer && (redis.Int == 0 || redis.Int == -1) || strings.HasPrefix(redis.Str, "WRONGTYPE")
		return tide.IsError() && early
	case "XREAD", "XREADGROUP":
		return !r.atLeast("7.2") && strings.HasPrefix(tide.Str, "ERR Unbalanced") && strings.HasPrefix(redis.Str, "ERR Unbalanced")
	case "OBJECT":
		return newerEncoding(tide.Str, redis.Str)
	}
	return false
}

// newerEncoding reports whether tidemark's encoding is what 7.2 made of the reference's: of a list's, or of a set's. That it is no hash's, only the
// comparison of states can tell. And SORT leaves a small sorted set as it is, of which redis-server makes a skiplist; HEXPIRE that gives no field a
// time leaves a hash as it is.
func newerEncoding(tide, redis string) bool {
	return tide == "listpack" && (redis == "quicklist" || redis == "hashtable" || redis == "skiplist" || redis == "listpackex")
}

// sortLists orders the elements of lists below the top one (KEYS within EXEC), or of all.
func sortLists(r servertest.Reply, top bool) servertest.Reply {
	if top {
		return r.Sorted()
	}
	elems := make([]servertest.Reply, len(r.Elems))
	for i, e := range r.Elems {
		elems[i] = e.Sorted()
	}
	r.Elems = elems
	return r
}

// equal compares replies; integers may differ by slack.
func equal(a, b servertest.Reply, slack int64) bool {
	if a.String() == b.String() {
		return true
	}
	if a.Kind != b.Kind || len(a.Elems) != len(b.Elems) {
		return false
	}
	if a.Kind == servertest.Integer {
		return max(a.Int-b.Int, b.Int-a.Int) <= slack
	}
	for i := range a.Elems {
		if !equal(a.Elems[i], b.Elems[i], slack) {
			return false
		}
	}
	return len(a.Elems) > 0
}

// entry is everything observable of one key.
type entry struct {
	typ, encoding, value string
	expireMs             int64
}

// state reads all databases.
func (r *run) state(c *servertest.Client) map[string]entry {
	out := map[string]entry{}
	for db := range workload.Databases {
		c.Must(r.t, "SELECT", strconv.Itoa(db))
		keys := c.Must(r.t, "KEYS", "*").Strings()
		if n := c.Must(r.t, "DBSIZE").Int; n < int64(len(keys)) {
			r.t.Errorf("seed %d: DBSIZE %d, but KEYS returned %d", r.seed, n, len(keys))
		}
		for _, k := range keys {
			e := entry{
				typ:      c.Must(r.t, "TYPE", k).Str,
				encoding: c.Must(r.t, "OBJECT", "ENCODING", k).Str,
				expireMs: c.Must(r.t, "PEXPIRETIME", k).Int,
			}
			switch e.typ {
			case "string":
				e.value = c.Must(r.t, "GET", k).String()
			case "list":
				e.value = c.Must(r.t, "LRANGE", k, "0", "-1").String()
			case "zset":
				if r.atLeast("7.2") { // whose digests are of scores with as many digits as they need, tidemark's and 7.0's with up to 17
					v, err := cluster.Value(c, k)
					if err != nil {
						r.t.Fatal(err)
					}
					e.value = v
					break
				}
				fallthrough
			default:
				e.value = c.Must(r.t, "DEBUG", "DIGEST-VALUE", k).String()
			}
			out[strconv.Itoa(db)+"/"+k] = e
		}
	}
	return out
}

func (r *run) compareState(step int) {
	a, b := r.state(r.ctl[0]), r.state(r.ctl[1])
	problems := differences(a, b)
	for _, problem := range problems {
		r.fail(step, "state: %s", problem)
	}
	if len(problems) > 0 { // digests say that values differ, but not how
		r.showValues(a, b)
	}
}

// showValues prints what both servers have for the keys whose values differ.
func (r *run) showValues(a, b map[string]entry) {
	for k, x := range a {
		if y, ok := b[k]; !ok || x.value == y.value {
			continue
		}
		db, key, _ := strings.Cut(k, "/")
		for side, c := range r.ctl {
			c.Must(r.t, "SELECT", db)
			v, err := cluster.Value(c, key)
			r.t.Logf("%s of %s: %s %v", k, []string{"tidemark", "the reference"}[side], clip(v), err)
		}
	}
}

func differences(a, b map[string]entry) []string {
	var out []string
	names := map[string]bool{}
	for k := range a {
		names[k] = true
	}
	for k := range b {
		names[k] = true
	}
	for k := range names {
		x, inA := a[k]
		y, inB := b[k]
		switch d := x.expireMs - y.expireMs; {
		case inA != inB:
			out = append(out, fmt.Sprintf("%s: in tidemark %v, in the reference %v", k, inA, inB))
		case x.typ != y.typ || x.encoding != y.encoding && (x.typ == "hash" && y.encoding == "hashtable" || !newerEncoding(x.encoding, y.encoding)) || x.value != y.value:
			out = append(out, fmt.Sprintf("%s: %s %s %s, in the reference %s %s %s", k, x.typ, x.encoding, clip(x.value), y.typ, y.encoding, clip(y.value)))
		case d > 2000 || d < -2000:
			out = append(out, fmt.Sprintf("%s: expires at %d, in the reference %d", k, x.expireMs, y.expireMs))
		}
	}
	sort.Strings(out)
	return out
}

// restart stops tidemark, starts it again from its log and compares: the log
// must give back what was there, to the millisecond of every expiry.
func (r *run) restart(step int) {
	before := r.state(r.ctl[0])
	if err := r.tide.Stop(); err != nil {
		r.t.Fatal(err)
	}
	again, err := r.tide.Restart()
	if err != nil {
		r.t.Fatal(err)
	}
	defer again.Kill()
	after := r.state(again.Connect(r.t))
	for k, x := range before {
		// The encoding of a replayed value may be more compact than that of an edited one, as in Redis.
		if y := after[k]; x.value != y.value || x.typ != y.typ || x.expireMs != y.expireMs {
			r.fail(step, "after a restart %s is %+v, before %+v", k, y, x)
		}
	}
	if len(after) != len(before) {
		r.fail(step, "after a restart %d keys, before %d", len(after), len(before))
	}
}

func clip(s string) string {
	if len(s) > 300 {
		return s[:300] + fmt.Sprintf("...(%d)", len(s))
	}
	return s
}

// TestCollated: only what stands behind a zero byte may come in another order.
func TestCollated(t *testing.T) {
	list := func(words ...string) servertest.Reply {
		r := servertest.Reply{Kind: servertest.Array}
		for _, w := range words {
			r.Elems = append(r.Elems, servertest.Reply{Kind: servertest.Bulk, Str: w})
		}
		return r
	}
	for _, c := range []struct {
		request       string
		tidemark, ref servertest.Reply
		same          bool
	}{
		{"SORT k ALPHA", list("", "\x00a", "b"), list("\x00a", "", "b"), true},
		{"SORT k ALPHA", list("a", "b"), list("b", "a"), false},
		{"SORT k ALPHA", list("a\x00", "b"), list("a", "b", "b"), false},
		{"SORT k", list("", "\x00a"), list("\x00a", ""), false},
		{"LRANGE k 0 -1", list("", "\x00a"), list("\x00a", ""), false},
	} {
		o := workload.Op{Args: strings.Fields(c.request)}
		if got := (&run{t: t}).agree(o, c.tidemark, c.ref, 0); got != c.same {
			t.Errorf("%s: %s and %s agree: %v", c.request, c.tidemark, c.ref, got)
		}
	}
}

// The comparison of states must see every kind of difference.
func TestDifferences(t *testing.T) {
	base := func() map[string]entry {
		return map[string]entry{"0/a": {"string", "int", `"1"`, -1}, "0/b": {"string", "raw", `"x"`, 5000000}}
	}
	if d := differences(base(), base()); d != nil {
		t.Fatalf("equal states differ: %v", d)
	}
	for name, change := range map[string]func(m map[string]entry){
		"value":    func(m map[string]entry) { m["0/a"] = entry{"string", "int", `"2"`, -1} },
		"encoding": func(m map[string]entry) { m["0/a"] = entry{"string", "raw", `"1"`, -1} },
		"expiry":   func(m map[string]entry) { m["0/b"] = entry{"string", "raw", `"x"`, 5003000} },
		"missing":  func(m map[string]entry) { delete(m, "0/a") },
		"more":     func(m map[string]entry) { m["1/z"] = entry{} },
	} {
		m := base()
		change(m)
		if len(differences(m, base())) != 1 || len(differences(base(), m)) != 1 {
			t.Errorf("%s: difference not seen", name)
		}
	}
}
