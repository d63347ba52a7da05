package hash

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/aof"
	"tidemark/engine/command/commandtest"
	"tidemark/engine/generic"
	"tidemark/engine/keyspace"
	"tidemark/engine/rdb"
)

// A model is what hashes with fields that expire must be: each field is there until a command or active expiry removes it, and hidden from the moment at
// which its time has come.
type model struct {
	now    int64
	hashes map[string]map[string]field
}

type field struct {
	val string
	at  int64 // 0: never
}

func (m *model) expired(f field) bool { return f.at != 0 && f.at <= m.now }

// meet looks a field up, and removes it if its time has come.
func (m *model) meet(key, name string) (field, bool) {
	f, ok := m.hashes[key][name]
	if ok && m.expired(f) {
		m.drop(key, name)
		return field{}, false
	}
	return f, ok
}

func (m *model) drop(key, name string) {
	if delete(m.hashes[key], name); len(m.hashes[key]) == 0 {
		delete(m.hashes, key)
	}
}

func (m *model) set(key, name string, f field) {
	if m.hashes[key] == nil {
		m.hashes[key] = map[string]field{}
	}
	m.hashes[key][name] = f
}

// sweep is active expiry.
func (m *model) sweep(keys ...string) {
	for _, key := range keys {
		for name, f := range m.hashes[key] {
			if m.expired(f) {
				m.drop(key, name)
			}
		}
	}
}

func (m *model) keys() []string { return slices.Collect(maps.Keys(m.hashes)) }

// visible lists the fields that have not expired: names, or names and values.
func (m *model) visible(key string, names, values bool) (out []string) {
	for name, f := range m.hashes[key] {
		if m.expired(f) {
			continue
		}
		w := ""
		if names {
			w = name
		}
		if values {
			w += "\x00" + f.val
		}
		out = append(out, w)
	}
	slices.Sort(out)
	return out
}

// contents is as commandtest's, without encodings.
func (m *model) contents() map[string]string {
	out := map[string]string{}
	for key, h := range m.hashes {
		var list []string
		for name, f := range h {
			s := fmt.Sprintf("%q=%q", name, f.val)
			if f.at != 0 {
				s += fmt.Sprintf(" until %d", f.at)
			}
			list = append(list, s)
		}
		slices.Sort(list)
		out[key] = fmt.Sprintf("%q", list)
	}
	return out
}

// withoutEncoding takes type, encoding and expiry of the key off what commandtest says of an entry.
func withoutEncoding(in map[string]string) map[string]string {
	out := map[string]string{}
	for key, s := range in {
		out[key] = s[strings.IndexByte(s, '['):]
	}
	return out
}

func bulk(s string) string  { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }
func number(n int64) string { return fmt.Sprintf(":%d\r\n", n) }

const nothing = "$-1\r\n"

// want executes a request on the model and says what the reply must be; sets are given in order, see inOrder.
func (m *model) want(a []string) string {
	key := a[1]
	args := a[2:]
	switch a[0] {
	case "HSET":
		added := int64(0)
		for i := 0; i < len(args); i += 2 {
			if _, there := m.hashes[key][args[i]]; !there {
				added++
			}
			m.set(key, args[i], field{val: args[i+1]})
		}
		return number(added)
	case "HSETNX":
		if _, there := m.meet(key, args[0]); there {
			return number(0)
		}
		m.set(key, args[0], field{val: args[1]})
		return number(1)
	case "HDEL":
		n := int64(0)
		for _, name := range args {
			if _, there := m.hashes[key][name]; there {
				n++
				m.drop(key, name)
			}
		}
		return number(n)
	case "HGET":
		if f, there := m.meet(key, args[0]); there {
			return bulk(f.val)
		}
		return nothing
	case "HMGET":
		return m.values(key, args, func(string, field) {})
	case "HEXISTS", "HSTRLEN":
		f, there := m.meet(key, args[0])
		switch {
		case !there:
			return number(0)
		case a[0] == "HEXISTS":
			return number(1)
		}
		return number(int64(len(f.val)))
	case "HLEN":
		return number(int64(len(m.hashes[key])))
	case "HINCRBY", "HINCRBYFLOAT":
		f, there := m.meet(key, args[0])
		old, by := int64(0), int64(0)
		by, _ = strconv.ParseInt(args[1], 10, 64)
		if there {
			var err error
			if old, err = strconv.ParseInt(f.val, 10, 64); err != nil {
				if a[0] == "HINCRBY" {
					return "-ERR hash value is not an integer\r\n"
				}
				return "-ERR hash value is not a float\r\n"
			}
		}
		f.val = strconv.FormatInt(old+by, 10)
		m.set(key, args[0], f)
		if a[0] == "HINCRBY" {
			return number(old + by)
		}
		return bulk(f.val)
	case "HGETALL":
		return fmt.Sprint(m.visible(key, true, true))
	case "HKEYS":
		return fmt.Sprint(m.visible(key, true, false))
	case "HVALS":
		return fmt.Sprint(m.visible(key, false, true))
	case "HSCAN":
		return fmt.Sprint(m.visible(key, true, true))
	case "HRANDFIELD": // with a count that takes all
		m.sweep(key)
		return fmt.Sprint(m.visible(key, true, true))
	case "HPEXPIREAT":
		at, _ := strconv.ParseInt(args[0], 10, 64)
		cond := ""
		names := args[3:]
		if args[1] != "FIELDS" {
			cond, names = args[1], args[4:]
		}
		out := fmt.Sprintf("*%d\r\n", len(names))
		for _, name := range names {
			f, there := m.meet(key, name)
			switch {
			case !there:
				out += number(-2)
			case cond == "NX" && f.at != 0, cond == "XX" && f.at == 0, cond == "GT" && (f.at == 0 || at <= f.at), cond == "LT" && f.at != 0 && at >= f.at:
				out += number(0)
			case at <= m.now:
				m.drop(key, name)
				out += number(2)
			default:
				m.set(key, name, field{f.val, at})
				out += number(1)
			}
		}
		return out
	case "HPEXPIRETIME", "HPTTL", "HTTL", "HEXPIRETIME":
		names := args[2:]
		out := fmt.Sprintf("*%d\r\n", len(names))
		for _, name := range names {
			f, there := m.hashes[key][name]
			switch {
			case !there || m.expired(f):
				f.at = -2
			case f.at == 0:
				f.at = -1
			case a[0] == "HPTTL":
				f.at -= m.now
			case a[0] == "HTTL":
				f.at = (f.at - m.now + 999) / 1000
			case a[0] == "HEXPIRETIME":
				f.at = (f.at + 999) / 1000
			}
			out += number(f.at)
		}
		return out
	case "HPERSIST":
		names := args[2:]
		out := fmt.Sprintf("*%d\r\n", len(names))
		for _, name := range names {
			f, there := m.meet(key, name)
			switch {
			case !there:
				out += number(-2)
			case f.at == 0:
				out += number(-1)
			default:
				m.set(key, name, field{val: f.val})
				out += number(1)
			}
		}
		return out
	case "HGETDEL":
		return m.values(key, args[2:], func(name string, _ field) { m.drop(key, name) })
	case "HGETEX":
		switch args[0] {
		case "PERSIST":
			return m.values(key, args[3:], func(name string, f field) { m.set(key, name, field{val: f.val}) })
		case "PXAT":
			at, _ := strconv.ParseInt(args[1], 10, 64)
			return m.values(key, args[4:], func(name string, f field) {
				if at <= m.now {
					m.drop(key, name)
				} else {
					m.set(key, name, field{f.val, at})
				}
			})
		}
		return m.values(key, args[2:], func(string, field) {})
	case "HSETEX":
		return m.hsetex(key, args)
	case "COPY":
		m.hashes[args[0]] = maps.Clone(m.hashes[key])
	case "RENAME":
		m.hashes[args[0]] = m.hashes[key]
		delete(m.hashes, key)
	}
	return ""
}

func (m *model) values(key string, names []string, then func(name string, f field)) string {
	out := fmt.Sprintf("*%d\r\n", len(names))
	for _, name := range names {
		f, there := m.meet(key, name)
		if !there {
			out += nothing
			continue
		}
		out += bulk(f.val)
		then(name, f)
	}
	return out
}

func (m *model) hsetex(key string, args []string) string {
	at, keep := int64(0), false
	for args[0] != "FIELDS" {
		pairs := args[slices.Index(args, "FIELDS")+2:]
		switch args[0] {
		case "FNX", "FXX":
			for i := 0; i < len(pairs); i += 2 {
				if _, there := m.meet(key, pairs[i]); there == (args[0] == "FNX") {
					return number(0)
				}
			}
		case "KEEPTTL":
			keep = true
		case "PXAT":
			at, _ = strconv.ParseInt(args[1], 10, 64)
			args = args[1:]
		}
		args = args[1:]
	}
	args = args[2:]
	for i := 0; i < len(args); i += 2 {
		if at != 0 && at <= m.now {
			if _, there := m.hashes[key][args[i]]; there {
				m.drop(key, args[i])
			}
			continue
		}
		f := field{args[i+1], at}
		if old, there := m.hashes[key][args[i]]; keep && there && !m.expired(old) {
			f.at = old.at
		}
		m.set(key, args[i], f)
	}
	return number(1)
}

// inOrder makes of a reply without order what model.want gives.
func inOrder(name, reply string) string {
	words := commandtest.Bulks(reply)
	pairs := 2
	switch name {
	case "HKEYS", "HVALS":
		pairs = 1
	case "HSCAN":
		words = commandtest.Bulks(reply[strings.Index(reply, "\r\n*")+2:])
	}
	out := []string(nil)
	for i := 0; i+pairs <= len(words); i += pairs {
		w := strings.Join(words[i:i+pairs], "\x00")
		if name == "HVALS" {
			w = "\x00" + w
		}
		out = append(out, w)
	}
	slices.Sort(out)
	return fmt.Sprint(out)
}

// image is a snapshot that is taken while commands run.
type image struct {
	sn    *keyspace.Snapshot
	file  []byte
	shard int
	want  map[string]string
}

func beginImage(r *commandtest.Runner, e *rdb.Encoder) *image {
	ks := r.C.Store.KS
	im := &image{want: withoutEncoding(r.Contents())}
	ks.LockAll()
	im.file = rdb.AppendHeader(nil, rdb.VersionOf(ks))
	im.sn = rdb.Begin(ks, e)
	ks.UnlockAll()
	return im
}

// step goes on; done says that the image is whole and was compared with what it must be.
func (im *image) step(t *testing.T, ks *keyspace.Keyspace) (done bool) {
	finished := false
	im.file, finished = im.sn.Step(im.shard, im.file)
	if finished {
		im.shard++
	}
	if im.shard < ks.NumShards() {
		return false
	}
	im.sn.Close()
	loaded := commandtest.New(t, families()...)
	load(t, loaded, rdb.AppendFooter(im.file, 0, false))
	if got := withoutEncoding(loaded.Contents()); !maps.Equal(got, im.want) {
		t.Fatalf("the snapshot holds\n%v\nwant\n%v", got, im.want)
	}
	loaded.Check()
	return true
}

// load puts what an RDB file holds into a runner's keyspace.
func load(t *testing.T, r *commandtest.Runner, file []byte) {
	t.Helper()
	d := rdb.NewDecoder(bytes.NewReader(file))
	var l rdb.Loader
	err := d.Each(func(items []rdb.Item) (err error) {
		for i := range items {
			it := &items[i]
			if it.Kind != rdb.KindEntry || err != nil {
				continue
			}
			k := r.C.Store.MakeKey(it.Key)
			k.Shard.Lock()
			if it.First {
				err = l.Begin(k.Shard, it.DB, &r.C.Store.Limits, it)
			} else {
				err = l.Add(it)
			}
			if err == nil && it.Last {
				l.Put(k.Hash, k.Shard.Find(it.DB, k.Hash, it.Key), it.Key, it.ExpireAt, 0)
			}
			k.Shard.Unlock()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestFieldsExpire runs random commands against the model, with a clock that moves, limits that change, snapshots that are taken meanwhile, and the log replayed
// at the end.
func TestFieldsExpire(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	rnd := rand.New(rand.NewPCG(seed, 1))
	all := append(families(), generic.Commands())
	r := commandtest.Logged(t, all...)
	m := &model{now: 1_000_000, hashes: map[string]map[string]field{}}
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	name := func() string {
		if rnd.IntN(30) == 0 {
			return strings.Repeat("n", 70)
		}
		return strconv.Itoa(rnd.IntN(pickInt(rnd, 5, 30, 400)))
	}
	names := func() (out []string) {
		n := 1 + rnd.IntN(pickInt(rnd, 2, 2, 20))
		for range n {
			out = append(out, name())
		}
		return append([]string{"FIELDS", strconv.Itoa(n)}, out...)
	}
	val := func() string {
		if rnd.IntN(3) == 0 {
			return pick("", "text", strings.Repeat("v", 60+rnd.IntN(8)))
		}
		return strconv.Itoa(rnd.IntN(100000))
	}
	pairs := func() (out []string) {
		for range 1 + rnd.IntN(pickInt(rnd, 2, 3, 30)) {
			out = append(out, name(), val())
		}
		return out
	}
	at := func() string { return strconv.FormatInt(max(1, m.now+int64(rnd.IntN(120))-10), 10) }
	ops := 60000 / commandtest.Effort
	if testing.Short() {
		ops = 6000 / commandtest.Effort
	}
	var im *image
	for i := range ops {
		key := "h" + strconv.Itoa(rnd.IntN(6))
		var a []string
		switch rnd.IntN(36) {
		case 0, 1, 2, 3, 4:
			a = append([]string{"HSET", key}, pairs()...)
		case 5:
			a = []string{"HSETNX", key, name(), val()}
		case 6:
			a = append([]string{"HDEL", key}, names()[2:]...)
		case 7:
			a = []string{pick("HGET", "HEXISTS", "HSTRLEN"), key, name()}
		case 8:
			a = append([]string{"HMGET", key}, names()[2:]...)
		case 9:
			a = []string{"HLEN", key}
		case 10:
			a = []string{pick("HINCRBY", "HINCRBYFLOAT"), key, name(), strconv.Itoa(rnd.IntN(100) - 50)}
		case 11:
			a = []string{pick("HGETALL", "HKEYS", "HVALS"), key}
		case 12:
			a = []string{"HSCAN", key, "0", "COUNT", "100000"}
		case 13:
			if len(m.hashes[key]) > 500 {
				continue
			}
			a = []string{"HRANDFIELD", key, "100000", "WITHVALUES"}
		case 14, 15, 16, 17:
			a = append([]string{"HPEXPIREAT", key, at()}, names()...)
		case 18, 19:
			a = append([]string{"HPEXPIREAT", key, at(), pick("NX", "XX", "GT", "LT")}, names()...)
		case 20, 21:
			a = append([]string{pick("HPTTL", "HTTL", "HPEXPIRETIME", "HEXPIRETIME"), key}, names()...)
		case 22:
			a = append([]string{"HPERSIST", key}, names()...)
		case 23:
			a = append([]string{"HGETDEL", key}, names()...)
		case 24:
			a = append([]string{"HGETEX", key}, names()...)
		case 25:
			a = append(append([]string{"HGETEX", key}, []string{"PERSIST"}...), names()...)
		case 26:
			a = append([]string{"HGETEX", key, "PXAT", at()}, names()...)
		case 27, 28:
			a = []string{"HSETEX", key}
			if rnd.IntN(2) == 0 {
				a = append(a, pick("FNX", "FXX"))
			}
			switch rnd.IntN(3) {
			case 0:
				a = append(a, "KEEPTTL")
			case 1:
				a = append(a, "PXAT", at())
			}
			p := pairs()
			a = append(append(a, "FIELDS", strconv.Itoa(len(p)/2)), p...)
		case 29:
			if to := "h" + strconv.Itoa(rnd.IntN(6)); to != key && m.hashes[key] != nil {
				a = []string{pick("COPY", "RENAME"), key, to}
				if a[0] == "COPY" {
					a = append(a, "REPLACE")
				}
			}
		case 30:
			if m.hashes[key] != nil {
				payload := commandtest.Bulks(r.Do("DUMP", key))[0]
				if got := r.Do("RESTORE", key, "0", payload, "REPLACE"); got != "+OK\r\n" {
					t.Fatalf("RESTORE of what DUMP gave: %q", got)
				}
			}
		case 31:
			m.now += int64(rnd.IntN(30))
			r.C.Now = m.now
		case 32:
			m.sweep(m.keys()...)
			for s := range r.C.Store.KS.NumShards() {
				for n := 1; n > 0; {
					n, _ = r.C.ExpireDue(s, 1+rnd.IntN(20))
				}
			}
		case 33:
			r.C.Store.Limits.HashEntries.Store(int64(pickInt(rnd, 0, 4, 20, 512)))
		case 34: // a key's own expiry moves its entry
			if rnd.IntN(2) == 0 {
				r.Do("PEXPIREAT", key, strconv.FormatInt(m.now+1<<40, 10))
			} else {
				r.Do("PERSIST", key)
			}
		case 35:
			r.C.Store.KS.Compact(50)
		}
		r.C.Now = m.now
		if a != nil {
			want := m.want(a)
			got := r.Do(a...)
			switch a[0] {
			case "COPY", "RENAME":
				want = got
			case "HGETALL", "HKEYS", "HVALS", "HSCAN", "HRANDFIELD":
				got = inOrder(a[0], got)
			}
			if got != want {
				t.Fatalf("%q\n got %.300q\nwant %.300q", a, got, want)
			}
		}
		if im == nil && rnd.IntN(400) == 0 {
			im = beginImage(r, &rdb.Encoder{})
		} else if im != nil && rnd.IntN(4) == 0 && im.step(t, r.C.Store.KS) {
			im = nil
		}
		if i%50 == 0 && !r.C.Store.Log().Commit(aof.GoalAppend) {
			t.Fatal("the log was not written")
		}
		if i%500 == 0 {
			r.Check()
			if got, want := withoutEncoding(r.Contents()), m.contents(); !maps.Equal(got, want) {
				t.Fatalf("contents\n%v\nwant\n%v", got, want)
			}
		}
	}
	for im != nil && !im.step(t, r.C.Store.KS) {
	}
	again, _ := r.Recover(m.now+1000, all...)
	again.Check()
	if got, want := withoutEncoding(again.Contents()), m.contents(); !maps.Equal(got, want) {
		t.Fatalf("after replay\n%v\nwant\n%v", got, want)
	}
}

func pickInt(rnd *rand.Rand, list ...int) int { return list[rnd.IntN(len(list))] }

// TestFieldExpiryEffects: what the log holds of commands on fields that expire.
func TestFieldExpiryEffects(t *testing.T) {
	r := commandtest.Logged(t, families()...)
	r.C.Now = 10_000
	var want []string
	for _, x := range []struct {
		request string
		effects []string
	}{
		{"HSET h a 1 b 2 c 3 d x", []string{"HSET h a 1 b 2 c 3 d x"}},
		{"HEXPIRE h 5 FIELDS 2 a none", []string{"HPEXPIREAT h 15000 FIELDS 1 a"}},
		{"HPEXPIRE h 7 NX FIELDS 3 a b c", []string{"HPEXPIREAT h 10007 NX FIELDS 2 b c"}},
		{"HEXPIREAT h 20 gt FIELDS 2 a d", []string{"HPEXPIREAT h 20000 gt FIELDS 1 a"}},
		{"HPEXPIREAT h 30000 XX FIELDS 1 d", nil},
		{"HPEXPIREAT h 5 FIELDS 2 b c", []string{"MULTI", "HDEL h b", "HDEL h c", "EXEC"}},
		{"HPERSIST h FIELDS 3 a d none", []string{"HPERSIST h FIELDS 1 a"}},
		{"HPERSIST h FIELDS 1 a", nil},
		{"HSETEX h EX 4 FIELDS 2 a 1 e 2", []string{"MULTI", "HSET h a 1 e 2", "HPEXPIREAT h 14000 FIELDS 2 a e", "EXEC"}},
		{"HSETEX h FNX EX 4 FIELDS 2 a 1 f 2", nil},
		{"HSETEX h KEEPTTL FIELDS 2 a 7 d y", []string{"MULTI", "HSET h a 7 d y", "HPEXPIREAT h 14000 FIELDS 1 a", "EXEC"}},
		{"HSETEX h FIELDS 1 e 3", []string{"HSET h e 3"}},
		{"HSETEX h PXAT 1 FIELDS 2 e 1 none 2", []string{"HDEL h e"}},
		{"HINCRBY h a 1", []string{"HINCRBY h a 1"}},
		{"HINCRBYFLOAT h a 0.5", []string{"MULTI", "HSET h a 8.5", "HPEXPIREAT h 14000 FIELDS 1 a", "EXEC"}},
		{"HGETEX h FIELDS 2 a d", nil},
		{"HGETEX h PX 9 FIELDS 2 d none", []string{"HPEXPIREAT h 10009 FIELDS 1 d"}},
		{"HGETEX h PERSIST FIELDS 2 d a", []string{"HPERSIST h FIELDS 2 d a"}},
		{"HGETEX h PERSIST FIELDS 2 d a", nil},
		{"HGETEX h EXAT 1 FIELDS 1 d", []string{"HDEL h d"}},
		{"HSETEX h PX 10 FIELDS 3 l 1 m 1 n 1", []string{"MULTI", "HSET h l 1 m 1 n 1", "HPEXPIREAT h 10010 FIELDS 3 l m n", "EXEC"}},
		{"later", nil},
		{"HGET h l", []string{"HDEL h l"}},
		{"HGETALL h", nil},
		{"HINCRBY h m 5", []string{"MULTI", "HDEL h m", "HINCRBY h m 5", "EXEC"}},
		{"HPEXPIRE h 100 FIELDS 2 n a", []string{"MULTI", "HDEL h n", "HPEXPIREAT h 10110 FIELDS 1 a", "EXEC"}},
		{"HGETDEL h FIELDS 3 a n m", []string{"HDEL h a m"}},
		{"HSET g a 1 b 2", []string{"HSET g a 1 b 2"}},
		{"HPEXPIRE g 5 FIELDS 2 a b", []string{"HPEXPIREAT g 10015 FIELDS 2 a b"}},
		{"later", nil},
		{"HRANDFIELD g 5", []string{"MULTI", "HDEL g a", "HDEL g b", "EXEC"}},
		{"HSETEX g PX 5 FIELDS 2 a 1 b 1", []string{"MULTI", "HSET g a 1 b 1", "HPEXPIREAT g 10025 FIELDS 2 a b", "EXEC"}},
		{"later", nil},
		{"expire", []string{"HDEL g a", "HDEL g b"}},
	} {
		switch x.request {
		case "later":
			r.C.Now += 10
		case "expire":
			for s := range r.C.Store.KS.NumShards() {
				r.C.ExpireDue(s, 100)
			}
		default:
			if got := r.Do(strings.Fields(x.request)...); strings.HasPrefix(got, "-") {
				t.Errorf("%s: %s", x.request, got)
			}
		}
		want = append(want, x.effects...)
	}
	before := r.Contents()
	again, got := r.Recover(r.C.Now+1_000_000, families()...)
	if !slices.Equal(got, want) {
		t.Errorf("the log holds\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if after := again.Contents(); !maps.Equal(before, after) {
		t.Errorf("after replay %v, before %v", after, before)
	}
}

// On a replica nothing expires but by the primary's word: fields are hidden, and stay.
func TestReplicaHidesExpiredFields(t *testing.T) {
	for _, size := range []string{"small", "large"} {
		r := commandtest.New(t, families()...)
		r.C.Now = 1000
		if size == "large" {
			r.C.Store.Limits.HashEntries.Store(0)
		}
		r.Do("HSET", "h", "a", "1", "b", "2", "c", "3")
		r.Do("HPEXPIRE", "h", "10", "FIELDS", "2", "a", "b")
		r.C.Store.SetFollowing(true)
		r.C.Now = 1010
		for request, want := range map[string]string{
			"HGET h a":                  nothing,
			"HMGET h a c":               "*2\r\n$-1\r\n$1\r\n3\r\n",
			"HEXISTS h b":               ":0\r\n",
			"HSTRLEN h b":               ":0\r\n",
			"HLEN h":                    ":3\r\n",
			"HKEYS h":                   "*1\r\n$1\r\nc\r\n",
			"HRANDFIELD h":              "$1\r\nc\r\n",
			"HRANDFIELD h 5":            "*1\r\n$1\r\nc\r\n",
			"HRANDFIELD h -2":           "*2\r\n$1\r\nc\r\n$1\r\nc\r\n",
			"HTTL h FIELDS 1 a":         "*1\r\n:-2\r\n",
			"HSCAN h 0":                 "*2\r\n$1\r\n0\r\n*2\r\n$1\r\nc\r\n$1\r\n3\r\n",
			"HPEXPIRETIME h FIELDS 1 c": "*1\r\n:-1\r\n",
		} {
			if got := r.Do(strings.Fields(request)...); got != want {
				t.Errorf("%s: %s: %q, want %q", size, request, got, want)
			}
		}
		if n, _ := r.C.ExpireDue(int(r.C.Store.KS.ShardIndex(r.C.Store.KS.Hash([]byte("h")))), 100); n != 0 {
			t.Errorf("%s: a replica removed %d fields", size, n)
		}
		if got := r.Do("HLEN", "h"); got != ":3\r\n" {
			t.Errorf("%s: a replica removed fields: %q", size, got)
		}
		// The primary's stream: a field whose time has come is there for it until it says otherwise.
		r.C.Replay = true
		if got := r.Do("HINCRBY", "h", "a", "1"); got != ":2\r\n" {
			t.Errorf("%s: HINCRBY of the primary: %q", size, got)
		}
		r.Do("HDEL", "h", "a", "b")
		r.C.Replay = false
		if got := r.Do("HGETALL", "h"); got != "*2\r\n$1\r\nc\r\n$1\r\n3\r\n" {
			t.Errorf("%s: %q", size, got)
		}
	}
}

// A hash without fields that expire has nothing for them: no index, no tree.
func TestNoCostWithoutFieldExpiry(t *testing.T) {
	r := commandtest.New(t, families()...)
	ks := r.C.Store.KS
	index := func() int64 { return ks.Memory().ExpiryIndex }
	for i := range 2000 {
		r.Do("HSET", "h"+strconv.Itoa(i%7), "f"+strconv.Itoa(i), "v")
	}
	if n := index(); n != 0 {
		t.Errorf("%d bytes of expiry index", n)
	}
	if ks.FieldsExpire() {
		t.Error("fields expire")
	}
	r.Do("HPEXPIRE", "h0", "1000", "FIELDS", "1", "f0")
	if !ks.FieldsExpire() {
		t.Error("no field expires")
	}
	r.Do("HPERSIST", "h0", "FIELDS", "1", "f0")
	if ks.FieldsExpire() {
		t.Error("after HPERSIST fields expire")
	}
	r.Check()
}
