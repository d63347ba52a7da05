package generic

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tidemark/engine/command"
	"tidemark/engine/command/commandtest"
	"tidemark/engine/hash"
	"tidemark/engine/keyspace"
	"tidemark/engine/keyspace/coll"
	"tidemark/engine/list"
	sets "tidemark/engine/set"
	strs "tidemark/engine/strings"
	"tidemark/engine/zset"
	"tidemark/netio/resp"
)

func sortFamilies() [][]*command.Descriptor {
	return [][]*command.Descriptor{Commands(), strs.Commands(), list.Commands(), hash.Commands(), sets.Commands(), zset.Commands()}
}

func TestSortScore(t *testing.T) {
	inf := "9e999"
	for _, c := range []struct {
		text string
		want string // "" when it is none
	}{
		{"", "0"}, {"0", "0"}, {"-0", "-0"}, {"12", "12"}, {"+12", "12"}, {"007", "7"}, {" 1", "1"}, {"\t\n\v\f\r 1", "1"}, {"1 ", ""}, {" ", ""}, {"+", ""},
		{"1.5", "1.5"}, {".5", "0.5"}, {"5.", "5"}, {".", ""}, {"1e3", "1000"}, {"1e", ""}, {"0x10", "16"}, {"-0X1f", "-31"}, {"0x1p4", "16"}, {"0x", ""}, {"0x.8", "0.5"},
		{"inf", "+Inf"}, {"-Infinity", "-Inf"}, {"nan", ""}, {"-nan", ""}, {inf, ""}, {"1e-400", ""}, {"1e-310", ""}, {"0e-400", "0"}, {"0.000e5", "0"},
		{"1_0", ""}, {"0b1", ""}, {"0o7", ""}, {"1\x00junk", "1"}, {"\x00", "0"}, {"abc", ""}, {"9223372036854775808", "9.223372036854775808e+18"},
	} {
		f, ok := sortScore([]byte(c.text))
		got := ""
		if ok {
			got = strconv.FormatFloat(f, 'g', -1, 64)
		}
		if want, err := strconv.ParseFloat(c.want, 64); c.want != "" && err == nil && ok {
			c.want = strconv.FormatFloat(want, 'g', -1, 64)
		}
		if got != c.want {
			t.Errorf("%q is %q, not %q", c.text, got, c.want)
		}
	}
}

// TestSortRandom compares SORT with Redis's on lists, sorted sets and what patterns lead to.
func TestSortRandom(t *testing.T) {
	one := func(rnd *rand.Rand, list ...string) string { return list[rnd.IntN(len(list))] }
	var every []string
	for i := -4; i < 16; i++ {
		every = append(every, strconv.Itoa(i))
	}
	odd := []string{"", " 4", "0x5", "1e2", "007", "-0", "inf", "1e-5", "3.14", "nan", "abc", "1 "}
	every = append(every, odd...)
	next := 0
	commandtest.CompareRandom(t, 20000, sortFamilies(), func(rnd *rand.Rand) []string {
		if next < len(every) { // texts that elements are sorted by: none is missing or there twice, as Redis leaves the order open then
			next++
			return []string{"HSET", "h_" + every[next-1], "f", strconv.Itoa(next*7919%10) + every[next-1]}
		}
		elem := func() string {
			if rnd.IntN(300) == 0 {
				return one(rnd, odd...)
			}
			return strconv.Itoa(rnd.IntN(20) - 4)
		}
		key := func() string { return one(rnd, "l0", "l1", "l2", "z0", "z1", "s", "none") }
		switch rnd.IntN(12) {
		case 0, 1:
			out := []string{one(rnd, "RPUSH", "LPUSH"), "l" + strconv.Itoa(rnd.IntN(3))}
			for range 1 + rnd.IntN(30) {
				out = append(out, elem())
			}
			return out
		case 2:
			if rnd.IntN(3) == 0 {
				return []string{"SADD", "s", elem(), elem(), elem(), elem()}
			}
			out := []string{"ZADD", "z" + strconv.Itoa(rnd.IntN(2))}
			for range 1 + rnd.IntN(100) {
				out = append(out, strconv.Itoa(rnd.IntN(9)), elem())
			}
			return out
		case 3:
			return []string{"SET", "w_" + elem(), elem()}
		case 4:
			return []string{"HSET", "h_" + elem(), "n", elem()}
		case 5:
			if rnd.IntN(2) == 0 {
				return []string{"HDEL", "h_" + elem(), "n"}
			}
			return []string{"DEL", "w_" + elem()}
		case 6:
			return []string{"DEL", key()}
		case 7:
			return []string{"LRANGE", one(rnd, "d0", "l0"), "0", "-1"}
		}
		out := []string{one(rnd, "SORT", "SORT", "SORT_RO"), key()}
		by := one(rnd, "", "", "w_*", "h_*->n", "h_*->none", "nosort", "x*")
		alpha := rnd.IntN(3) == 0
		if alpha {
			by = one(rnd, "", "h_*->f", "nosort")
		}
		dst := one(rnd, "d0", "l2", "d1") // not with GET: what it gives has no text to be sorted by
		if by == "nosort" && out[1] == "s" {
			by = "w_*" // there is no order to compare
			alpha = false
		}
		for _, i := range []int{1, 0, 2, 3, 4, 5} {
			switch {
			case i == 0 && by != "":
				out = append(out, one(rnd, "BY", "by"), by)
			case i == 1 && rnd.IntN(3) == 0:
				dst = "d1"
				for range 1 + rnd.IntN(3) {
					out = append(out, "GET", one(rnd, "#", "w_*", "h_*->f", "h_*", "w_*->f", "w_3", "*", "w_*->", "->*", "l0"))
				}
			case i == 2 && rnd.IntN(3) == 0:
				out = append(out, "LIMIT", strconv.Itoa(rnd.IntN(30)-3), strconv.Itoa(rnd.IntN(30)-3))
			case i == 3 && rnd.IntN(2) == 0:
				out = append(out, one(rnd, "ASC", "DESC", "desc"))
			case i == 4 && alpha:
				out = append(out, "ALPHA")
			case i == 5 && rnd.IntN(4) == 0:
				out = append(out, "STORE", dst)
			}
		}
		if rnd.IntN(40) == 0 {
			out = append(out, one(rnd, "LIMIT", "BY", "GET", "STORE", "x", "ASC", "LIMIT x 1"))
		}
		return out
	})
}

// TestSortPartly: the first few of many, picked out by a heap, are those of the whole order.
func TestSortPartly(t *testing.T) {
	r := commandtest.New(t, sortFamilies()...)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 3000 {
		r.Do("RPUSH", "l", strconv.Itoa(rnd.IntN(1000)-500))
		r.Do("SET", fmt.Sprint("w", i-500), strconv.Itoa(rnd.IntN(20)))
	}
	for _, how := range [][]string{nil, {"DESC"}, {"ALPHA"}, {"ALPHA", "DESC"}, {"BY", "w*"}, {"BY", "w*", "ALPHA", "DESC"}} {
		all := reply(t, r, append([]string{"SORT", "l"}, how...)...)
		for _, at := range []int{0, 1, 100, 370, 2999, 3000} {
			for _, n := range []int{0, 1, 5, 3000} {
				got := reply(t, r, append([]string{"SORT", "l", "LIMIT", strconv.Itoa(at), strconv.Itoa(n)}, how...)...)
				if want := all[at:min(at+n, 3000)]; !slices.Equal(got, want) {
					t.Fatalf("%v LIMIT %d %d: %v, not %v", how, at, n, got, want)
				}
			}
		}
	}
}

// TestSortByDigits: places by the digits of their keys are in the order that comparing gives, whichever bits the keys differ in.
func TestSortByDigits(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, keys := range []struct {
		what string
		key  func(i int) uint64
	}{
		{"any", func(int) uint64 { return rnd.Uint64() }}, {"equal", func(int) uint64 { return 1 << 63 }}, {"few", func(int) uint64 { return rnd.Uint64N(5) }},
		{"lowest bit", func(i int) uint64 { return 1<<63 | uint64(i&1) }}, {"highest bit", func(i int) uint64 { return uint64(i) << 63 }},
		{"lowest and highest", func(i int) uint64 { return uint64(i)<<63 | uint64(i>>1&1) }}, {"ascending", func(i int) uint64 { return uint64(i) }},
		{"descending", func(i int) uint64 { return uint64(-i) }}, {"one digit", func(int) uint64 { return rnd.Uint64N(1<<digitBits) << 20 }},
		{"a digit and a bit", func(int) uint64 { return rnd.Uint64N(2<<digitBits) << 20 }}, {"two digits", func(int) uint64 { return rnd.Uint64N(1 << (2 * digitBits)) }},
		{"numbers", func(int) uint64 { return coll.ScoreKey(float64(rnd.IntN(1000000) - 500000)) }},
		{"fractions", func(int) uint64 { return coll.ScoreKey(rnd.NormFloat64()) }},
		{"infinite", func(i int) uint64 { return coll.ScoreKey([]float64{math.Inf(1), math.Inf(-1), 0, -1}[i&3]) }},
	} {
		for _, n := range []int{0, 1, fewestByDigits - 1, fewestByDigits, fewestByDigits + 1, 5000} {
			for _, desc := range []bool{false, true} {
				s := &sorter{sortOptions: sortOptions{desc: desc}}
				for i := range n {
					s.add(strconv.AppendInt(nil, int64(rnd.IntN(20)), 10))
					s.order = append(s.order, place{keys.key(i), i})
				}
				want := slices.Clone(s.order)
				slices.SortFunc(want, s.compare)
				s.sort(s.order)
				same := func(a, b place) bool { return s.compare(a, b) == 0 }
				if !slices.EqualFunc(s.order, want, same) {
					t.Errorf("%s, %d, descending %v", keys.what, n, desc)
				}
				slices.SortFunc(s.order, func(a, b place) int { return a.elem - b.elem })
				for i, p := range s.order {
					if p.elem != i {
						t.Fatalf("%s, %d, descending %v: element %d is missing", keys.what, n, desc, i)
					}
				}
			}
		}
	}
}

// TestSortLarge compares SORT with Redis's on lists, sorted sets and sets that are sorted by digits, with many equal numbers, numbers of all sizes, and texts that
// begin alike.
func TestSortLarge(t *testing.T) {
	one := func(rnd *rand.Rand, list ...string) string { return list[rnd.IntN(len(list))] }
	commandtest.CompareRandom(t, 1500, sortFamilies(), func(rnd *rand.Rand) []string {
		number := func() string {
			switch rnd.IntN(8) {
			case 0:
				return one(rnd, "inf", "-inf", "0", "-0", "1e3", "1000", "1000.0", "0x3e8", "")
			case 1:
				return strconv.FormatFloat(math.Ldexp(rnd.NormFloat64(), rnd.IntN(2000)-1000), 'g', -1, 64) // a double has room for it
			case 2:
				return strconv.FormatInt(int64(rnd.Uint64()), 10)
			case 3:
				return strconv.FormatFloat(rnd.NormFloat64(), 'f', 3, 64)
			}
			return strconv.Itoa(rnd.IntN(2000) - 1000)
		}
		text := func() string {
			return one(rnd, "", "a", "number:", "number:of:", "number:of:many:") + strconv.Itoa(rnd.IntN(300))
		}
		add := func(command, key string, elem func() string, score bool) []string {
			out := []string{command, key}
			for range 50 + rnd.IntN(150) {
				if score {
					out = append(out, strconv.Itoa(rnd.IntN(5)))
				}
				out = append(out, elem())
			}
			return out
		}
		switch rnd.IntN(8) {
		case 0:
			return add("RPUSH", "n"+strconv.Itoa(rnd.IntN(2)), number, false)
		case 1:
			return add("RPUSH", "t", text, false)
		case 2:
			return add("ZADD", "z", number, true)
		case 3:
			return add("SADD", "s", number, false)
		case 4:
			out := []string{"MSET"}
			for range 100 {
				out = append(out, "w:"+strconv.Itoa(rnd.IntN(2000)-1000), number())
			}
			return out
		case 5:
			return []string{"DEL", one(rnd, "n0", "n1", "t", "s", "z")}
		}
		out := []string{"SORT", one(rnd, "n0", "n1", "z", "s")}
		switch rnd.IntN(3) {
		case 0:
			out = []string{"SORT", one(rnd, "n0", "t", "z", "s"), "ALPHA"}
		case 1:
			out = append(out, "BY", "w:*")
		}
		if rnd.IntN(3) == 0 {
			out = append(out, "LIMIT", strconv.Itoa(rnd.IntN(400)), strconv.Itoa(rnd.IntN(400)))
		}
		if rnd.IntN(2) == 0 {
			out = append(out, "DESC")
		}
		if rnd.IntN(3) == 0 {
			out = append(out, "GET", "w:*", "GET", "#")
		}
		return out
	})
}

// TestSortManyGets: more patterns than keys are looked up at once, of which some make no key; a reply that is far larger than its beginning lets expect.
func TestSortManyGets(t *testing.T) {
	r := commandtest.New(t, sortFamilies()...)
	const gets = keyspace.MostAhead + 3
	request := []string{"SORT", "l"}
	for g := range gets {
		request = append(request, "GET", []string{"#", "w_*", "h_*->f", "none"}[g%4])
	}
	var want resp.Writer
	want.Array(300 * gets)
	for i := range 300 {
		e, long := fmt.Sprintf("%03d", i), strings.Repeat("f", i*i/100)
		r.Do("RPUSH", "l", e)
		r.Do("SET", "w_"+e, "value"+e)
		r.Do("HSET", "h_"+e, "f", long)
		for g := range gets {
			switch g % 4 {
			case 0:
				want.BulkString(e)
			case 1:
				want.BulkString("value" + e)
			case 2:
				want.BulkString(long)
			case 3:
				want.Null()
			}
		}
	}
	if got := r.Do(request...); got != string(want.B) {
		t.Errorf("a reply of %d bytes, which are not the %d that were wanted", len(got), len(want.B))
	}
}

func reply(t *testing.T, r *commandtest.Runner, words ...string) (out []string) {
	t.Helper()
	b := bufio.NewReader(strings.NewReader(r.Do(words...)))
	for _, e := range parsed(t, b).([]any) {
		out = append(out, e.(string))
	}
	return out
}

// TestSortExpiredPatternKey: keys that patterns make are removed on the way when their time has come; the elements are unharmed by it, wherever they are.
func TestSortExpiredPatternKey(t *testing.T) {
	r := commandtest.New(t, sortFamilies()...)
	var want []string
	for i := range 200 {
		e := fmt.Sprintf("element:%03d", i)
		r.Do("RPUSH", "l", e)
		r.Do("SET", "w_"+e, strconv.Itoa(1000-i), "PXAT", strconv.FormatInt(r.C.Now+int64(i%2)*1000, 10))
		if i%2 == 0 {
			want = append(want, e, "")
		}
	}
	for i := 199; i > 0; i -= 2 {
		want = append(want, fmt.Sprintf("element:%03d", i), strconv.Itoa(1000-i))
	}
	r.C.Now++
	r.Do("SORT", "l", "BY", "w_*", "GET", "#", "GET", "w_*", "STORE", "d")
	if got := reply(t, r, "LRANGE", "d", "0", "-1"); !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
	if got := r.Do("EXISTS", "w_element:000"); got != ":0\r\n" {
		t.Errorf("EXISTS of what has expired: %q", got)
	}
}

// TestSortEffects: what SORT with STORE leaves is in the log, as the request where that tells it, and as it came out where the order is open.
func TestSortEffects(t *testing.T) {
	r := commandtest.Logged(t, sortFamilies()...)
	r.C.Now = 1000
	var want []string
	for _, s := range []struct{ request, log string }{
		{"RPUSH l 3 1 2", "RPUSH l 3 1 2"},
		{"SORT l", ""},
		{"SORT_RO l BY w_*", ""},
		{"SORT l STORE d", "SORT l STORE d"},
		{"SORT l BY nosort GET # GET w_* STORE d", "SORT l BY nosort GET # GET w_* STORE d"},
		{"SORT l BY w_* STORE d", "SORT l BY w_* STORE d"},
		{"SORT l BY w_* ALPHA DESC STORE d", "MULTI|DEL d|RPUSH d 3 2 1|EXEC"}, // none has a weight
		{"MSET w_1 a w_2 b w_3 c", "MSET w_1 a w_2 b w_3 c"},
		{"SORT l BY w_* ALPHA STORE d", "SORT l BY w_* ALPHA STORE d"},
		{"SORT l ALPHA STORE d", "SORT l ALPHA STORE d"},
		{"SORT l BY w_* STORE d", ""}, // no numbers
		{"SORT none STORE d", "SORT none STORE d"},
		{"SORT none STORE d", ""},
		{"HSET h_1 f 1", "HSET h_1 f 1"},
		{"HSET h_2 f 1 g 2", "HSET h_2 f 1 g 2"},
		{"HPEXPIREAT h_1 1000000 FIELDS 1 f", "HPEXPIREAT h_1 1000000 FIELDS 1 f"},
		{"HPEXPIREAT h_2 1000000 FIELDS 1 f", "HPEXPIREAT h_2 1000000 FIELDS 1 f"},
		{"later", ""},
		{"SORT l BY nosort GET h_*->f STORE d", "MULTI|HDEL h_1 f|HDEL h_2 f|SORT l BY nosort GET h_*->f STORE d|EXEC"},
	} {
		if s.request == "later" {
			r.C.Now = 1000001
			continue
		}
		r.Do(strings.Fields(s.request)...)
		if s.log != "" {
			want = append(want, strings.Split(s.log, "|")...)
		}
	}
	if _, got := r.Recover(r.C.Now, sortFamilies()...); !slices.Equal(got, want) {
		t.Errorf("the log has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestSortMakesQuickLists: a long result is stored large, of which the sorted key is a part.
func TestSortMakesQuickLists(t *testing.T) {
	r := commandtest.New(t, sortFamilies()...)
	for i := range 3000 {
		r.Do("RPUSH", "l", strconv.Itoa(3000-i))
	}
	for range 2 {
		if got := r.Do("SORT", "l", "STORE", "l"); got != ":3000\r\n" {
			t.Fatal(got)
		}
	}
	if got := r.Do("LRANGE", "l", "0", "1") + r.Do("LLEN", "l") + r.Do("OBJECT", "ENCODING", "l"); got != "*2\r\n$1\r\n1\r\n$1\r\n2\r\n:3000\r\n$9\r\nquicklist\r\n" {
		t.Errorf("%q", got)
	}
}

// TestSortPatternsLockAll: what a pattern leads to is read under its shard's lock, within a transaction, too.
func TestSortPatternsLockAll(t *testing.T) {
	for _, c := range []struct {
		request string
		all     bool
		store   int
	}{
		{"sort k", false, 0}, {"sort k by nosort", false, 0}, {"sort k by w_*", true, 0}, {"sort k get #", false, 0}, {"sort k get x* store d", true, 5},
		{"sort k limit by *", false, 0}, {"sort k store by* by x", false, 3}, {"sort k store a store b", false, 5}, {"sort k get store desc", false, 0},
		{"sort k by", false, 0}, {"sort k store", false, 0},
	} {
		args := bytes.Fields([]byte(c.request))
		if all, store := lookOverSort(args); all != c.all || store != c.store {
			t.Errorf("%s: all shards %v, destination %d", c.request, all, store)
		}
	}
}

func BenchmarkSort(b *testing.B) {
	for _, n := range []int{10, 1000, 100000} {
		r := commandtest.New(b, sortFamilies()...)
		rnd := rand.New(rand.NewPCG(1, 2))
		for range n {
			e := strconv.Itoa(rnd.IntN(n * 10))
			r.Do("RPUSH", "l", e)
			r.Do("SET", "w_"+e, strconv.Itoa(rnd.IntN(n*10)))
		}
		for _, request := range []string{"SORT l", "SORT l LIMIT 0 10", "SORT l ALPHA", "SORT l BY w_* GET w_*", "SORT l STORE d"} {
			b.Run(fmt.Sprintf("%d/%s", n, strings.ReplaceAll(request, " ", "_")), func(b *testing.B) {
				r.Prepare(strings.Fields(request)...)
				b.ReportAllocs()
				for b.Loop() {
					r.C.W.B = r.C.W.B[:0]
					r.C.Run()
				}
			})
		}
	}
}

// TestSortSeesOneMoment: what patterns lead to is read as of one moment, while another connection changes it, alone and within a transaction.
func TestSortSeesOneMoment(t *testing.T) {
	e := newEngine(t, 16)
	table := command.NewTable(sortFamilies()...)
	e.table = table
	e.c = command.NewCtx(e.c.Store, table)
	const n = 20
	pairs := []string{"MSET"}
	for i := range n {
		e.do("RPUSH", "l", strconv.Itoa(i))
		pairs = append(pairs, "w_"+strconv.Itoa(i), "0")
	}
	e.do(pairs...)
	stop, done := make(chan bool), make(chan bool)
	go func() {
		defer close(done)
		w := &engine{t: t, c: command.NewCtx(e.c.Store, table), table: table}
		words := slices.Clone(pairs)
		for v := 1; ; v++ {
			select {
			case <-stop:
				return
			default:
			}
			for i := 2; i < len(words); i += 2 {
				words[i] = strconv.Itoa(v)
			}
			w.do(words...)
		}
	}()
	for i := range 3000 {
		request := []string{"SORT", "l", "GET", "w_*"}
		if i%2 == 1 {
			request[0] = "SORT_RO"
		}
		var got string
		if i%3 == 0 {
			args := make([][]byte, len(request))
			for j, w := range request {
				args[j] = []byte(w)
			}
			d, _ := table.Resolve(args)
			e.c.W.B = e.c.W.B[:0]
			e.c.Atomically([]command.Queued{{Cmd: d, Args: args}}, nil, nil, func() {
				e.c.Cmd, e.c.Args = d, args
				e.c.Run()
			})
			got = render(t, bufio.NewReader(bytes.NewReader(e.c.W.B)))
		} else {
			got = e.text(request...)
		}
		if all := strings.Fields(strings.Trim(got, "[]")); len(all) != n || len(slices.Compact(all)) != 1 {
			t.Fatalf("%v: %s", request, got)
		}
	}
	close(stop)
	<-done
}
