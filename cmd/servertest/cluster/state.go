package cluster

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"tidemark/cmd/servertest"
)

// Databases is how many databases State looks at.
const Databases = 16

// Entry is everything observable of a key that replication must carry.
type Entry struct {
	Type     string
	Value    string // canonical: what has no order is sorted
	ExpireMs int64  // the absolute time, -1 for none
}

// State is the data of a server: entries by "database/key".
type State map[string]Entry

// reader says how the value of a type is read: commands whose replies together are the value.
type reader struct {
	commands [][]string                              // KEY stands for the key
	form     func(servertest.Reply) servertest.Reply // what is compared of a reply; nil: the reply
}

func (how reader) canonical(r servertest.Reply) string {
	if how.form != nil {
		r = how.form(r)
	}
	return r.String()
}

// reading has the reader of each type.
var reading = map[string]reader{
	"string": {commands: [][]string{{"GET", "KEY"}}, form: withoutEstimate},
	"list":   {commands: [][]string{{"LRANGE", "KEY", "0", "-1"}}},
	"set":    {commands: [][]string{{"SMEMBERS", "KEY"}}, form: servertest.Reply.Sorted},
	"hash":   {commands: [][]string{{"HGETALL", "KEY"}}, form: fields},
	"zset":   {commands: [][]string{{"ZRANGE", "KEY", "0", "-1", "WITHSCORES"}}, form: scores},
	"stream": {commands: [][]string{{"XRANGE", "KEY", "-", "+"}, {"XINFO", "STREAM", "KEY"}, {"XINFO", "GROUPS", "KEY"}}, form: withoutInternals},
}

// withoutEstimate blanks the cardinality that a HyperLogLog remembers: redis-server stores it on PFCOUNT also as a replica, where
// nobody else hears of it.
func withoutEstimate(r servertest.Reply) servertest.Reply {
	const header, estimate = 16, 8
	if len(r.Str) >= header && strings.HasPrefix(r.Str, "HYLL") {
		r.Str = r.Str[:estimate] + strings.Repeat("\x00", header-estimate) + r.Str[header:]
	}
	return r
}

// scores prints the scores of a sorted set in one way; servers do it in several.
func scores(r servertest.Reply) servertest.Reply {
	r.Elems = slices.Clone(r.Elems)
	for i, e := range r.Elems {
		switch {
		case len(e.Elems) == 2: // RESP3
			r.Elems[i] = scores(e)
		case i%2 == 1:
			if f, err := strconv.ParseFloat(e.Str, 64); err == nil {
				r.Elems[i] = servertest.Reply{Kind: servertest.Bulk, Str: strconv.FormatFloat(f, 'g', -1, 64)}
			}
		}
	}
	return r
}

// Value reads the value of one key of the present database.
func Value(c *servertest.Client, key string) (string, error) {
	typ, err := c.Do("TYPE", key)
	if err != nil {
		return "", err
	}
	out := typ.Str
	how := reading[typ.Str]
	for _, words := range how.commands {
		words = slices.Clone(words)
		words[slices.Index(words, "KEY")] = key
		r, err := c.Do(words...)
		if err != nil {
			return "", err
		}
		out += " " + how.canonical(r)
	}
	return out, nil
}

// internals are fields of XINFO STREAM that tell how the data lie in memory, and three of XINFO GROUPS of which redis-server 7.0 does not tell its
// replicas everything: how many entries a group has read, if not with NOACK, from which the lag follows, and consumers that found nothing to claim.
var internals = []string{"radix-tree-keys", "radix-tree-nodes", "entries-read", "lag", "consumers"}

// Dump reads all data of a server. It is no snapshot: what is written meanwhile may or may not be in it.
func Dump(c *servertest.Client) (State, error) {
	out := State{}
	fieldTTLs, err := has(c, "HPEXPIRETIME")
	if err != nil {
		return nil, err
	}
	for db := range Databases {
		if err := dumpDB(c, db, fieldTTLs, out); err != nil {
			return nil, fmt.Errorf("read database %d: %w", db, err)
		}
	}
	_, err = c.Do("SELECT", "0")
	return out, err
}

// has reports whether the server knows a command.
func has(c *servertest.Client, command string) (bool, error) {
	r, err := c.Do("COMMAND", "INFO", command)
	return err == nil && len(r.Elems) == 1 && !r.Elems[0].IsNull(), err
}

func dumpDB(c *servertest.Client, db int, fieldTTLs bool, out State) error {
	if r, err := c.Do("SELECT", strconv.Itoa(db)); err != nil || r.IsError() {
		return fmt.Errorf("SELECT: %v %w", r, err)
	}
	for cursor := "0"; ; {
		r, err := c.Do("SCAN", cursor, "COUNT", "1000")
		if err != nil {
			return err
		}
		if r.IsError() || len(r.Elems) != 2 {
			return fmt.Errorf("SCAN: %s", r)
		}
		if err := dumpKeys(c, db, r.Elems[1].Strings(), fieldTTLs, out); err != nil {
			return err
		}
		if cursor = r.Elems[0].Str; cursor == "0" {
			return nil
		}
	}
}

func dumpKeys(c *servertest.Client, db int, keys []string, fieldTTLs bool, out State) error {
	types, err := pipeline(c, len(keys), func(i int) [][]string { return [][]string{{"TYPE", keys[i]}} })
	if err != nil {
		return err
	}
	values, err := pipeline(c, len(keys), func(i int) [][]string {
		var commands [][]string
		for _, words := range reading[types[i][0].Str].commands {
			words = slices.Clone(words)
			words[slices.Index(words, "KEY")] = keys[i]
			commands = append(commands, words)
		}
		return append(commands, []string{"PEXPIRETIME", keys[i]})
	})
	if err != nil {
		return err
	}
	for i, key := range keys {
		how, known := reading[types[i][0].Str]
		if types[i][0].Str == "none" {
			continue // expired between the questions
		}
		if !known {
			return fmt.Errorf("%q is of type %s, which cannot be read", key, types[i][0])
		}
		replies := values[i]
		expire := replies[len(replies)-1]
		if expire.Int == -2 {
			continue
		}
		e := Entry{Type: types[i][0].Str, ExpireMs: expire.Int}
		for _, r := range replies[:len(replies)-1] {
			if r.IsError() {
				return fmt.Errorf("value of %q, %s: %s", key, types[i][0], r)
			}
			e.Value += how.canonical(r)
		}
		if e.Type == "hash" && fieldTTLs {
			ttls, err := fieldExpiries(c, key)
			if err != nil {
				return err
			}
			e.Value += ttls
		}
		out[strconv.Itoa(db)+"/"+key] = e
	}
	return nil
}

// pipeline sends the commands that f gives for 0 <= i < n and returns their replies, by i.
func pipeline(c *servertest.Client, n int, f func(i int) [][]string) ([][]servertest.Reply, error) {
	const depth = 200
	out := make([][]servertest.Reply, n)
	for from := 0; from < n; from += depth {
		to := min(from+depth, n)
		counts := make([]int, to-from)
		for i := from; i < to; i++ {
			for _, words := range f(i) {
				c.Queue(words...)
				counts[i-from]++
			}
		}
		if err := c.Flush(); err != nil {
			return nil, err
		}
		for i, count := range counts {
			for range count {
				r, err := c.Receive()
				if err != nil {
					return nil, err
				}
				out[from+i] = append(out[from+i], r)
			}
		}
	}
	return out, nil
}

// fields makes a map of a flat list of names and values, in the order of the names.
func fields(r servertest.Reply) servertest.Reply {
	return servertest.Reply{Kind: servertest.Map, Elems: r.Elems}.Sorted()
}

// withoutInternals drops from XINFO, flat lists of names and values, what is not data.
func withoutInternals(r servertest.Reply) servertest.Reply {
	var kept []servertest.Reply
	for i := 0; i < len(r.Elems); i++ {
		if r.Elems[i].Elems != nil {
			kept = append(kept, withoutInternals(r.Elems[i]))
			continue
		}
		if slices.Contains(internals, r.Elems[i].Str) {
			i++
			continue
		}
		kept = append(kept, r.Elems[i])
	}
	r.Elems = kept
	return r
}

// fieldExpiries lists the fields of a hash that expire, with the time.
func fieldExpiries(c *servertest.Client, key string) (string, error) {
	fields, err := c.Do("HKEYS", key)
	if err != nil || len(fields.Elems) == 0 {
		return "", err
	}
	names := fields.Strings()
	r, err := c.Do(append([]string{"HPEXPIRETIME", key, "FIELDS", strconv.Itoa(len(names))}, names...)...)
	if err != nil {
		return "", err
	}
	var lines []string
	for i, e := range r.Elems {
		if e.Int > 0 {
			lines = append(lines, " "+servertest.Quote(names[i])+"@"+e.Str)
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, ""), nil
}

// Differences lists how b differs from a, at most ten lines.
func Differences(a, b State) []string {
	var names []string
	for k := range a {
		names = append(names, k)
	}
	for k := range b {
		if _, both := a[k]; !both {
			names = append(names, k)
		}
	}
	sort.Strings(names)
	var out []string
	for _, k := range names {
		x, inA := a[k]
		y, inB := b[k]
		switch {
		case x == y && inA == inB:
			continue
		case !inB:
			out = append(out, fmt.Sprintf("%s is missing: %s", k, clip(x)))
		case !inA:
			out = append(out, fmt.Sprintf("%s is too much: %s", k, clip(y)))
		default:
			from := firstDifference(x.Value, y.Value)
			out = append(out, fmt.Sprintf("%s is %s, not %s", k, clipFrom(y, from), clipFrom(x, from)))
		}
		if len(out) == 10 {
			return append(out, "and more")
		}
	}
	return out
}

// firstDifference is a little before where two long values begin to differ.
func firstDifference(a, b string) int {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return max(0, i-40)
}

func clip(e Entry) string { return clipFrom(e, 0) }

func clipFrom(e Entry, from int) string {
	const most = 120
	v := e.Value
	if from > 0 && len(v) > most {
		v = "..." + v[min(from, len(v)):]
	}
	if len(v) > most {
		v = v[:most] + fmt.Sprintf("...(%d)", len(v))
	}
	return fmt.Sprintf("%s %s expiring at %d", e.Type, v, e.ExpireMs)
}
