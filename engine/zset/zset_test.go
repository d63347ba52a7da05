package zset

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/engine/command"
	"tidemark/engine/command/commandtest"
	"tidemark/engine/keyspace"
	"tidemark/engine/value"
)

func families() [][]*command.Descriptor { return [][]*command.Descriptor{Commands()} }

// random makes up requests whose replies do not depend on the version: scores that have few digits.
type random struct {
	*rand.Rand
	most int // members a request may bring
}

func (r random) pick(list ...string) string { return list[r.IntN(len(list))] }

func (r random) key() string { return "z" + strconv.Itoa(r.IntN(6)) }

// lexKey is one whose members all have the same score.
func (r random) lexKey() string { return "x" + strconv.Itoa(r.IntN(3)) }

func (r random) member() string {
	switch r.IntN(20) {
	case 0:
		return ""
	case 1:
		return strings.Repeat("m", 60+r.IntN(10))
	case 2:
		return r.pick("007", "-0", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "127", "128", "-4096", "65536", "\xff\x00")
	case 3, 4, 5:
		return strconv.Itoa(r.IntN(60))
	}
	return "member" + strconv.Itoa(r.IntN(60))
}

// number is a number in a reply: a double, or a bulk string.
var number = regexp.MustCompile(`(\$\d+\r\n|,)(-?\d[0-9.e+-]*)\r\n`)

// short prints the numbers of a reply in one way: scores of many digits are printed shorter since 7.2. And it drops the sign of zeros, which weights make: Redis
// 7.0 and 7.4 differ in when they keep it.
func short(reply string) string {
	return number.ReplaceAllStringFunc(reply, func(n string) string {
		f, err := strconv.ParseFloat(number.FindStringSubmatch(n)[2], 64)
		if err != nil {
			return n
		}
		return "," + strconv.FormatFloat(f+0, 'g', -1, 64) + "\r\n"
	})
}

// score leaves out -0: ZRANGESTORE makes 0 of it in Redis 7.0, and since 7.2 not when the result is large.
func (r random) score() string {
	switch r.IntN(20) {
	case 0:
		return r.pick("inf", "-inf", "+inf", "Infinity", "1e12", "-1e12", "0x10", "1e3", "5.", ".5", "0", "0x.8p1", "1e-5000", "1e5000", "nan", "", "abc", " 1", "1 ", "1_0", "4503599627370497", "-9007199254740993", "1125899906842624.5")
	case 1, 2, 3, 4, 5:
		return strconv.FormatFloat(float64(r.IntN(160)-80)/8, 'f', -1, 64)
	}
	return strconv.Itoa(r.IntN(40) - 20)
}

func (r random) bound() string {
	if r.IntN(15) == 0 {
		return r.pick("", "(", "( 5", " 5", "abc", "(inf", "nan", "1e400", "-1e400", "5 ")
	}
	return r.pick("", "(") + r.score()
}

func (r random) lex() string {
	switch r.IntN(12) {
	case 0:
		return r.pick("", "a", "[", "(", "--", "+5", "5")
	case 1, 2:
		return "-"
	case 3, 4:
		return "+"
	}
	return r.pick("[", "(") + r.member()
}

func (r random) rank() string {
	if r.IntN(20) == 0 {
		return r.pick("abc", "", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "1.5")
	}
	return strconv.Itoa(r.IntN(90) - 30)
}

func (r random) ends(by int) (from, to string) {
	switch by {
	case 0:
		return r.rank(), r.rank()
	case 1:
		return r.bound(), r.bound()
	}
	return r.lex(), r.lex()
}

func (r random) limit(a []string) []string {
	if r.IntN(3) == 0 {
		a = append(a, "LIMIT", strconv.Itoa(r.IntN(12)-2), strconv.Itoa(r.IntN(12)-2))
	}
	return a
}

// keyFor is a key that a range by ranks, scores or members may be asked of.
func (r random) keyFor(by int) string {
	if by == 2 {
		return r.lexKey()
	}
	return r.pick(r.key(), r.key(), r.lexKey())
}

// next makes up a request. pairs is how many elements of the reply belong together, when it is without order.
func (r random) next() (a []string, pairs int) {
	by := r.IntN(3)
	from, to := r.ends(by)
	switch r.IntN(37) {
	case 0, 1, 2, 3:
		a = []string{"ZADD", r.key()}
		for range r.IntN(3) * r.IntN(2) {
			a = append(a, r.pick("NX", "XX", "GT", "LT", "CH", "INCR", "gt", "xx"))
		}
		for range 1 + r.IntN(r.most) {
			a = append(a, r.score(), r.member())
		}
		if r.IntN(30) == 0 {
			a = append(a, r.member())
		}
	case 4, 5:
		a = []string{"ZADD", r.lexKey()}
		for range 1 + r.IntN(r.most) {
			a = append(a, "0", r.member())
		}
	case 6, 7:
		a = []string{"ZINCRBY", r.key(), r.score(), r.member()}
	case 8, 9:
		a = []string{"ZREM", r.keyFor(by)}
		for range 1 + r.IntN(5) {
			a = append(a, r.member())
		}
	case 10:
		a = []string{r.pick("ZSCORE", "ZRANK", "ZREVRANK"), r.keyFor(by), r.member()}
	case 11:
		a = []string{"ZMSCORE", r.key(), r.member(), r.member(), r.member()}
	case 12:
		a = []string{"ZCARD", r.keyFor(by)}
	case 13:
		from, to = r.ends(1)
		a = []string{"ZCOUNT", r.keyFor(1), from, to}
	case 14:
		from, to = r.ends(2)
		a = []string{"ZLEXCOUNT", r.lexKey(), from, to}
	case 15, 16, 17, 18, 19:
		a = []string{"ZRANGE", r.keyFor(by), from, to}
		if r.IntN(6) == 0 {
			a = []string{"ZRANGESTORE", r.pick("z7", r.key()), r.keyFor(by), from, to}
			if by == 2 {
				a[1] = r.lexKey()
			}
		}
		if by > 0 {
			a = append(a, [...]string{"BYSCORE", "BYLEX"}[by-1])
			a = r.limit(a)
		}
		if r.IntN(2) == 0 {
			a = append(a, r.pick("REV", "REV", "REV", "WITHSCORES", "BYLEX", "limit"))
		}
		if r.IntN(2) == 0 {
			a = append(a, "WITHSCORES")
		}
	case 20, 21:
		a = r.limit([]string{r.pick("ZRANGEBYSCORE", "ZREVRANGEBYSCORE"), r.keyFor(1), r.bound(), r.bound()})
		if r.IntN(2) == 0 {
			a = append(a, "withscores")
		}
	case 22:
		a = r.limit([]string{r.pick("ZRANGEBYLEX", "ZREVRANGEBYLEX"), r.lexKey(), r.lex(), r.lex()})
	case 23:
		a = []string{"ZREVRANGE", r.keyFor(0), r.rank(), r.rank()}
		if r.IntN(2) == 0 {
			a = append(a, r.pick("WITHSCORES", "WITHSCORES", "REV"))
		}
	case 24:
		if r.IntN(3) > 0 {
			from = to
		}
		a = []string{[]string{"ZREMRANGEBYRANK", "ZREMRANGEBYSCORE", "ZREMRANGEBYLEX"}[by], r.keyFor(by), from, to}
	case 25:
		a = []string{r.pick("ZPOPMIN", "ZPOPMAX"), r.keyFor(by)}
		if r.IntN(2) == 0 {
			a = append(a, r.pick("0", "1", "2", "3", "5", "-1", "abc"))
		}
	case 26:
		a = []string{"ZMPOP", r.pick("1", "2", "2", "2", "0", "3"), r.key(), r.key(), r.pick("MIN", "MAX", "MIN", "MID"), "COUNT", r.pick("1", "3", "2", "0")}
		if r.IntN(3) == 0 {
			a = a[:5]
		}
	case 27:
		if a, pairs = []string{"ZRANDMEMBER", r.key(), "100000"}, 1; r.IntN(2) == 0 {
			a, pairs = append(a, "withscores"), 2
		}
	case 28:
		if a, pairs = []string{"ZSCAN", r.key(), "0", "COUNT", "1000"}, 2; r.IntN(2) == 0 {
			a = append(a, "MATCH", r.pick("*", "m*", "member1?", "[0-5]*", ""))
		}
	case 29:
		// ZSCAN reads cursors more strictly since 7.2.
		if a = []string{"ZSCAN", r.key(), r.pick("0", "abc"), r.pick("COUNT", "x")}; r.IntN(2) == 0 {
			a = []string{"ZRANDMEMBER", r.key(), r.pick("0", "abc", "-9223372036854775808", "", "99999999999999999999"), r.pick("WITHSCORES", "COUNT", "x")}
		}
		if r.IntN(2) == 0 {
			a = append(a, r.pick("0", "x", "-1"))
		}
	case 30:
		a = []string{"OBJECT", "ENCODING", r.keyFor(by)}
	case 32, 33, 34, 35, 36:
		name := r.pick("ZUNION", "ZINTER", "ZDIFF", "ZINTERCARD", "ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE")
		a = []string{name}
		if strings.HasSuffix(name, "STORE") {
			a = append(a, r.pick("z7", "z7", r.key()))
		}
		n := 1 + r.IntN(3)
		a = append(a, strconv.Itoa(n))
		for range n {
			a = append(a, r.pick(r.key(), r.key(), r.key(), r.lexKey(), "ints", "packed", "table", "none"))
		}
		for range r.IntN(3) {
			switch r.IntN(6) {
			case 0, 1:
				a = append(a, "WEIGHTS")
				for range n {
					a = append(a, r.pick("1", "2", "-1", "0.5", "0", "inf", "-inf", "0x10", "1e-5000", "nan", "x"))
				}
			case 2, 3:
				a = append(a, "AGGREGATE", r.pick("SUM", "MIN", "MAX", "max", "AVG"))
			case 4:
				a = append(a, "LIMIT", r.pick("0", "1", "3", "100", "-1", "x"))
			case 5:
				a = append(a, r.pick("WITHSCORES", "withscores", "WEIGHTS", "AGGREGATE", "LIMIT"))
			}
		}
		if r.IntN(20) == 0 {
			a[len(a)-1-r.IntN(len(a)-2)] = r.pick("0", "-1", "4", "x", "l", "")
		}
	case 31:
		if r.IntN(4) == 0 {
			return []string{"DEL", r.keyFor(by)}, 0
		}
		a = []string{r.pick("ZADD", "ZINCRBY", "ZREM", "ZCARD", "ZSCORE", "ZCOUNT", "ZRANGE", "ZPOPMIN", "ZMSCORE", "ZSCAN", "ZRANDMEMBER",
			"ZREMRANGEBYRANK", "ZLEXCOUNT", "ZMPOP"), "l"}
		for len(a) < 5-r.IntN(3) {
			a = append(a, r.pick("1", "l", "[x"))
		}
	}
	return a, pairs
}

// sets makes sets of each encoding: "ints", "packed" and "table".
func sets(ours *commandtest.Runner, theirs *commandtest.Redis) {
	for key, members := range map[string]int{"ints": 60, "packed": 40, "table": 600} {
		k := ours.C.Store.MakeKey([]byte(key))
		b := value.NewBuilder(k.Shard, 0, keyspace.Set, &ours.C.Store.Limits)
		request := [][]byte{[]byte("SADD"), k.Name}
		for i := range members {
			m := strconv.AppendInt(nil, int64(i), 10)
			if key != "ints" && i%3 > 0 {
				m = append([]byte("member"), m...)
			}
			b.AddMember(m)
			request = append(request, m)
		}
		b.Put(k.Hash, 0, k.Name, keyspace.NoExpire, 0)
		theirs.Do(request)
	}
}

// Random commands on few keys, small and large sorted sets, with limits that change, against the reference.
func TestRandom(t *testing.T) {
	p := commandtest.Compare(t, families()...)
	r, lim := random{p.Rnd, 4}, &p.Ours.C.Store.Limits
	p.Both("LPUSH", "l", "x")
	sets(p.Ours, p.Theirs)
	ops := 60000 / commandtest.Effort
	if testing.Short() {
		ops = 6000 / commandtest.Effort
	}
	vary := func() {
		p.Limit("zset-max-listpack-entries", &lim.ZSetEntries, []int{128, 8, 16, 30, 1}[r.IntN(5)])
		p.Limit("zset-max-listpack-value", &lim.ZSetValue, []int{64, 64, 8, 5000, 20}[r.IntN(5)])
		// More than a small one may have at once: Redis 7.4 makes it large, 7.0 when so many are different.
		r.most = int(min(4, lim.ZSetEntries.Load()))
	}
	p.Run(ops, vary, func() commandtest.Request {
		a, pairs := r.next()
		return commandtest.Request{Words: a, Same: func(got, want string) bool {
			if a[0] == "ZSCAN" {
				want, got = strings.TrimPrefix(want, "*2\r\n$1\r\n0\r\n"), strings.TrimPrefix(got, "*2\r\n$1\r\n0\r\n")
			}
			want, got = short(want), short(got)
			if pairs > 0 && want[0] == '*' {
				want, got = commandtest.InOrder(want, pairs), commandtest.InOrder(got, pairs)
			}
			return got == want
		}}
	})
}

// What each request leaves in the log, and that it makes the same sorted sets when it is replayed.
func TestEffects(t *testing.T) {
	r := commandtest.Logged(t, families()...)
	want := r.DoAll([]commandtest.Left{
		{"ZADD z 1 a 2 b 3 c 4 d 5 e", "ZADD z 1 a 2 b 3 c 4 d 5 e"},
		{"ZADD z 1 a", ""},
		{"ZADD z NX 7 a", ""},
		{"ZADD none XX 7 a", ""},
		{"ZADD z GT CH 0 a", ""},
		{"ZADD z GT 1.5 a", "ZADD z GT 1.5 a"},
		{"ZADD z INCR 0.1 a", "ZADD z INCR 0.1 a"},
		{"ZINCRBY z 0.2 a", "ZINCRBY z 0.2 a"},
		{"ZINCRBY z 0 a", ""},
		{"ZREM z x", ""},
		{"ZREM z e x", "ZREM z e x"},
		{"ZPOPMIN z", "ZPOPMIN z"},
		{"ZMPOP 2 none z MAX COUNT 1", "ZPOPMAX z 1"},
		{"ZRANGESTORE copy z 0 -1", "ZRANGESTORE copy z 0 -1"},
		{"ZREMRANGEBYSCORE z 10 20", ""},
		{"ZREMRANGEBYSCORE z 2 2", "ZREMRANGEBYSCORE z 2 2"},
		{"ZRANGE z 0 -1", ""},
		{"ZMPOP 1 z MIN COUNT 100", "ZPOPMIN z 1"},
		{"ZPOPMIN z", ""},
		{"BZPOPMIN z 0", ""},
		{"ZADD z 1 a 2 b 3 c 4 d", "ZADD z 1 a 2 b 3 c 4 d"},
		{"BZPOPMIN none z 0", "ZPOPMIN z"},
		{"BZPOPMAX z 0", "ZPOPMAX z"},
		{"BZMPOP 0 2 none z MAX COUNT 5", "ZPOPMAX z 2"},
		{"BZMPOP 0 1 z MAX", ""},
		{"ZRANGESTORE z none 0 -1", ""},
	})
	if got := r.Do("EXISTS", "z"); got != ":0\r\n" {
		t.Errorf("a sorted set without members exists: %q", got)
	}
	for i := range 2000 {
		request := fmt.Sprintf("ZADD large %g member:%d", float64(i%500)*0.1, i%700)
		r.Do(strings.Fields(request)...)
		want = append(want, request)
	}
	r.CheckLog(time.Now().UnixMilli(), want, r.Contents(), families()...)
}

// WITHSCORE is new in 7.2.
func TestRankWithScore(t *testing.T) {
	r := commandtest.New(t, families()...)
	r.Do("ZADD", "z", "1", "a", "2.5", "b")
	for request, want := range map[string]string{
		"ZRANK z b WITHSCORE":      "*2\r\n:1\r\n$3\r\n2.5\r\n",
		"ZREVRANK z b withscore":   "*2\r\n:0\r\n$3\r\n2.5\r\n",
		"ZRANK z none WITHSCORE":   "*-1\r\n",
		"ZRANK none b WITHSCORE":   "*-1\r\n",
		"ZRANK z none":             "$-1\r\n",
		"ZRANK z b WITHSCORES":     "-ERR syntax error\r\n",
		"ZRANK z b WITHSCORE more": "-ERR wrong number of arguments for 'zrank' command\r\n",
	} {
		if got := r.Do(strings.Fields(request)...); got != want {
			t.Errorf("%s: %q, want %q", request, got, want)
		}
	}
}

// Scores are printed as since 7.2: the shortest text that reads back as the same number.
func TestScoresArePrintedShort(t *testing.T) {
	r := commandtest.New(t, families()...)
	for score, want := range map[string]string{
		"0.1": "0.1", "1e20": "1e+20", "123456789012345678": "123456789012345680", "1e-7": "1e-7", "0.000001": "0.000001", "-2.50": "-2.5", "1.1e-5": "0.000011",
		"3e300": "3e+300", "12345678901234567890123": "12345678901234568000000", "0.30000000000000004": "0.30000000000000004", "-inf": "-inf",
	} {
		r.Do("ZADD", "z", score, "m")
		if got := r.Do("ZSCORE", "z", "m"); got != fmt.Sprintf("$%d\r\n%s\r\n", len(want), want) {
			t.Errorf("%s is printed as %q, want %s", score, got, want)
		}
	}
}

// What removes most of a large sorted set makes a new one of the rest: everything else of the key stays as it is.
func TestRemoveMost(t *testing.T) {
	const n = 3000
	for request, want := range map[string][]int{
		"ZREMRANGEBYRANK z 0 -2":            {n - 1},
		"ZREMRANGEBYRANK z 1 -1":            {0},
		"ZREMRANGEBYRANK z 2 -3":            {0, 1, n - 2, n - 1},
		"ZREMRANGEBYSCORE z (1 (2998":       {0, 1, n - 2, n - 1},
		"ZREMRANGEBYLEX same [m0005 (m2999": {0, 1, 2, 3, 4, n - 1},
		"ZPOPMAX z 2990":                    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
		"ZREMRANGEBYRANK z 1000 -1":         nil, // the first 1000
	} {
		r := commandtest.New(t, families()...)
		for i := range n {
			r.Do("ZADD", "z", strconv.Itoa(i), fmt.Sprintf("m%04d", i))
			r.Do("ZADD", "same", "7", fmt.Sprintf("m%04d", i))
		}
		words := strings.Fields(request)
		key := words[1]
		r.Do("PEXPIREAT", key, "99999999999999")
		if want == nil {
			for i := range 1000 {
				want = append(want, i)
			}
		}
		r.Do(words...)
		var members []string
		for _, i := range want {
			members = append(members, fmt.Sprintf("m%04d", i))
		}
		if got := commandtest.Bulks(r.Do("ZRANGE", key, "0", "-1")); !slices.Equal(got, members) {
			t.Errorf("%s left %d members: %.200q", request, len(got), got)
		}
		last := len(want) - 1
		if got := r.Do("ZRANK", key, members[last]); got != fmt.Sprintf(":%d\r\n", last) {
			t.Errorf("%s: the last has rank %q", request, got)
		}
		if got := r.Do("OBJECT", "ENCODING", key); !strings.Contains(got, "skiplist") {
			t.Errorf("%s: it is a %q", request, got)
		}
		if got, want := r.Do("PTTL", key), fmt.Sprintf(":%d\r\n", 99999999999999-r.C.Now); got != want {
			t.Errorf("%s: it expires in %q, want %q", request, got, want)
		}
		r.Check(request)
	}
}

// Every member that is there during the whole of a scan is given, whatever is added and removed meanwhile.
func TestScanKeepsItsGuarantee(t *testing.T) {
	r := commandtest.New(t, families()...)
	r.ScanGuarantee("ZSCAN c %s COUNT 20", 2,
		func(m string) { r.Do("ZADD", "c", "5", m) },
		func(m string) { r.Do("ZREM", "c", m) })
	r.Check()
}

// Members are drawn with about the same probability each, and no member twice unless repetition is asked for.
func TestRandomMembersAreEven(t *testing.T) {
	for _, size := range []int{8, 200} {
		r := commandtest.New(t, families()...)
		for i := range size {
			r.Do("ZADD", "z", strconv.Itoa(i/3), strconv.Itoa(i))
		}
		for _, way := range []string{"1", "-5", strconv.Itoa(size / 5), strconv.Itoa(size / 2), strconv.Itoa(size - 1)} {
			count, drawn := map[string]int{}, 0
			for drawn < 400*size {
				got := commandtest.Bulks(r.Do("ZRANDMEMBER", "z", way))
				if n, _ := strconv.Atoi(way); n > 0 {
					if slices.Sort(got); len(slices.Compact(got)) != n {
						t.Fatalf("%s of %d: %d members", way, size, len(got))
					}
				}
				for _, m := range got {
					count[m]++
				}
				drawn += len(got)
			}
			for m, n := range count {
				if mean := drawn / size; n < mean/2 || n > 2*mean {
					t.Errorf("%s of %d: %s was drawn %d times, the mean is %d", way, size, m, n, mean)
				}
			}
			if len(count) != size {
				t.Errorf("%s of %d: only %d were ever drawn", way, size, len(count))
			}
		}
	}
}

// A destination that has expired goes before the result is built, not while it is.
func TestStoreInPlaceOfAnExpiredKey(t *testing.T) {
	r := commandtest.New(t, Commands())
	for i := range 600 {
		r.Do("ZADD", "s", strconv.Itoa(i), "m"+strconv.Itoa(i))
	}
	for i := range 40 { // on all shards
		for _, words := range [][]string{{"ZRANGESTORE", "d", "s", "0", "-1"}, {"ZUNIONSTORE", "d", "1", "s"}} {
			words[1] = words[0] + strconv.Itoa(i)
			r.Do(words...)
			r.Do("PEXPIREAT", words[1], strconv.FormatInt(r.C.Now-1, 10))
			r.Do(words...)
		}
	}
	for i := range r.C.Store.KS.NumShards() {
		s := r.C.Store.KS.Shard(i)
		s.Lock()
		err := s.Check()
		s.Unlock()
		if err != nil {
			t.Fatal(err)
		}
	}
}
