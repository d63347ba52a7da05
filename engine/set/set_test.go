package set

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/engine/command"
	"tidemark/engine/command/commandtest"
	"tidemark/engine/generic"
)

func families() [][]*command.Descriptor { return [][]*command.Descriptor{Commands()} }

// limits sets when sets are small.
func limits(r *commandtest.Runner, integers, entries, length int64) {
	lim := &r.C.Store.Limits
	lim.SetIntset.Store(integers)
	lim.SetEntries.Store(entries)
	lim.SetValue.Store(length)
}

// Random commands on few keys, sets of all forms, with limits that change, against the reference, which knows no sets that are packed lists.
func TestRandom(t *testing.T) {
	p := commandtest.Compare(t, families()...)
	rnd, lim := p.Rnd, &p.Ours.C.Store.Limits
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	key := func() string { return "s" + strconv.Itoa(rnd.IntN(7)) }
	words := false
	member := func() string {
		switch rnd.IntN(20) {
		case 0:
			if words {
				return ""
			}
		case 1:
			if words {
				return strings.Repeat("m", 60+rnd.IntN(10))
			}
		case 2:
			if words {
				return pick("007", "-0", "9223372036854775808", "\xff\x00", "99999999999999999999", "1 ")
			}
			return pick("9223372036854775807", "-9223372036854775808", "127", "128", "-4096", "65536", "2147483648")
		case 3, 4, 5, 6, 7:
			if words {
				return "member" + strconv.Itoa(rnd.IntN(40))
			}
		}
		return strconv.Itoa(rnd.IntN(60) - 10)
	}
	members := func(a []string, most int) []string {
		for range 1 + rnd.IntN(most) {
			a = append(a, member())
		}
		return a
	}
	keys := func(a []string) []string {
		for range 1 + rnd.IntN(5) {
			a = append(a, key())
		}
		return a
	}
	p.Both("LPUSH", "l", "x")
	ops := 60000 / commandtest.Effort
	if testing.Short() {
		ops = 6000 / commandtest.Effort
	}
	vary := func() {
		p.Limit("set-max-intset-entries", &lim.SetIntset, []int{512, 8, 16, 30, 0}[rnd.IntN(5)])
		lim.SetEntries.Store([]int64{128, 128, 8, 20, 0}[rnd.IntN(5)])
		lim.SetValue.Store([]int64{64, 64, 8, 5000, 2}[rnd.IntN(5)])
	}
	p.Run(ops, vary, func() commandtest.Request {
		words = rnd.IntN(3) > 0
		unordered := false
		var a []string
		switch rnd.IntN(22) {
		case 0, 1, 2, 3:
			a = members([]string{"SADD", key()}, 6)
		case 4:
			a = []string{"SADD", key(), member()}
		case 5, 6:
			a = members([]string{"SREM", key()}, 8)
		case 7:
			a = []string{"SISMEMBER", key(), member()}
		case 8:
			a = members([]string{"SMISMEMBER", key()}, 5)
		case 9:
			a = []string{"SCARD", key()}
		case 10:
			a, unordered = []string{"SMEMBERS", key()}, true
		case 11, 12:
			a = []string{"SMOVE", key(), key(), member()}
		case 13, 14:
			a, unordered = keys([]string{pick("SINTER", "SUNION", "SDIFF")}), true
		case 15, 16:
			a = keys([]string{pick("SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"), key()})
		case 17:
			a = []string{"SINTERCARD", pick("1", "2", "2", "2", "3", "0", "x"), key(), key()}
			if rnd.IntN(2) == 0 {
				a = append(a, pick("LIMIT", "limit", "lim"), pick("0", "1", "3", "100", "-1", "x"))
			}
		case 18:
			a, unordered = []string{"SSCAN", key(), "0", "COUNT", "1000"}, true
			if rnd.IntN(2) == 0 {
				a = append(a, "MATCH", pick("*", "m*", "member1?", "[0-5]*", ""))
			}
		case 19:
			a, unordered = []string{pick("SRANDMEMBER", "SPOP"), key(), "100000"}, true
			if rnd.IntN(3) > 0 {
				a[0] = "SRANDMEMBER"
			}
		case 20:
			a = []string{"OBJECT", "ENCODING", key()}
		case 21:
			switch rnd.IntN(8) {
			case 0:
				a = []string{"DEL", key()}
			case 1:
				a = []string{"DEL", "l"}
				p.Both(a...)
				a = []string{"LPUSH", "l", "x"}
			case 2:
				a = []string{pick("SRANDMEMBER", "SSCAN", "SPOP"), key(), pick("0", "abc", "99999999999999999999"), pick("COUNT", "MATCH", "x")}
				if rnd.IntN(2) == 0 {
					a = append(a, pick("0", "x", "-1"))
				}
			case 3:
				a = []string{pick("SMOVE", "SINTER", "SUNION", "SDIFF", "SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"), key(), pick("l", key()), pick("l", key())}
				unordered = true
			case 4:
				a = []string{"PEXPIREAT", key(), pick("1", "33000000000000")}
			default:
				a = []string{pick("SADD", "SREM", "SCARD", "SISMEMBER", "SMISMEMBER", "SMEMBERS", "SPOP", "SRANDMEMBER", "SSCAN", "SMOVE", "SINTER",
					"SINTERCARD", "SUNION", "SDIFF"), "l"}
				for len(a) < 4-rnd.IntN(2) {
					a = append(a, pick("1", "x"))
				}
			}
		}
		return commandtest.Request{Words: a, Same: func(got, want string) bool {
			switch {
			case want[0] == '-':
				return false
			case a[0] == "OBJECT": // sets of integers and tables are all the reference knows, and what it makes of integers beyond their limit is its own
				return strings.Contains(got, "listpack") || strings.Contains(got, "hashtable")
			case a[0] == "PEXPIREAT":
				return true
			case a[0] == "SSCAN" && !unordered:
				return got[0] == '*' // each side's own cursor
			}
			return unordered && commandtest.InOrder(got, 1) == commandtest.InOrder(want, 1)
		}}
	})
}

// What a set is kept as, as with Redis 7.4, which the reference is too old to show.
func TestEncodings(t *testing.T) {
	const (
		ints = "intset"
		list = "listpack"
		tab  = "hashtable"
	)
	run := func(from, to int, prefix string) (out string) {
		for i := from; i < to; i++ {
			out += " " + prefix + strconv.Itoa(i)
		}
		return out
	}
	long := strings.Repeat("x", 65)
	for _, x := range []struct {
		name                     string
		integers, entries, value int64
		script                   string // requests, separated by ;
		want                     string
	}{
		{"integers", 512, 128, 64, "SADD k 1 2 3", ints},
		{"a word", 512, 128, 64, "SADD k a", list},
		{"a word first, integers then", 512, 128, 64, "SADD k a 1 2", list},
		{"integers first, a word then", 512, 128, 64, "SADD k 1 2;SADD k a", list},
		{"integers first, a word in the same request", 512, 128, 64, "SADD k 1 2 a", list},
		{"what looks like an integer", 512, 128, 64, "SADD k 007", list},
		{"beyond an integer", 512, 128, 64, "SADD k 9223372036854775808", list},
		{"the last integer that fits", 512, 128, 64, "SADD k" + run(0, 512, ""), ints},
		{"an integer too many", 512, 128, 64, "SADD k" + run(0, 512, "") + ";SADD k 512", tab},
		{"too many integers at once", 512, 128, 64, "SADD k" + run(0, 513, ""), tab},
		{"too many at once of one integer", 3, 128, 64, "SADD k 1 1 1 1", list},
		{"too many at once of one integer, too many for a list", 3, 3, 64, "SADD k 1 1 1 1", tab},
		{"too many at once of an integer that is there", 3, 128, 64, "SADD k 1;SADD k 1 1 1 1", tab},
		{"a word to many integers", 512, 128, 64, "SADD k" + run(0, 127, "") + ";SADD k a", list},
		{"a word to too many integers", 512, 128, 64, "SADD k" + run(0, 128, "") + ";SADD k a", tab},
		{"the last word that fits", 512, 128, 64, "SADD k" + run(0, 128, "w"), list},
		{"a word too many", 512, 128, 64, "SADD k" + run(0, 128, "w") + ";SADD k w", tab},
		{"too many words at once", 512, 128, 64, "SADD k" + run(0, 129, "w"), tab},
		{"a word that is there, though the list is full", 512, 3, 64, "SADD k a b c;SADD k a", list},
		{"too many words at once that are there", 512, 3, 64, "SADD k a b c;SADD k a a a a", tab},
		{"the longest word", 512, 128, 64, "SADD k " + long[1:], list},
		{"a word too long", 512, 128, 64, "SADD k " + long, tab},
		{"a word too long for a list", 512, 128, 64, "SADD k a;SADD k " + long, tab},
		{"a word too long for integers", 512, 128, 64, "SADD k 1;SADD k " + long, tab},
		{"a word too long among several", 512, 128, 64, "SADD k a b " + long + " c", tab},
		{"an integer too long for a list", 512, 128, 3, "SADD k 1000 2;SADD k a", tab},
		{"a negative integer too long for a list", 512, 128, 3, "SADD k 1 -100;SADD k a", tab},
		{"no integers", 0, 128, 64, "SADD k 1", list},
		{"nothing small", 0, 0, 64, "SADD k 1", tab},
		{"no lists", 512, 0, 64, "SADD k a", tab},
		{"removal makes nothing small", 512, 3, 64, "SADD k a b c d;SREM k a b c", tab},
		{"removal of the word leaves a list", 512, 128, 64, "SADD k 1 a;SREM k a", list},
		{"moved to nothing", 512, 128, 64, "SADD j 1 a;SMOVE j k 1", ints},
		{"moved", 512, 128, 64, "SADD j 1 a;SADD k 2;SMOVE j k a", list},
		{"popped until few are left", 512, 128, 64, "SADD k" + run(0, 600, "w") + ";SPOP k 595", list},
		{"popped until few are left, of integers", 512, 128, 64, "SADD k" + run(0, 600, "") + ";SPOP k 595", list},
		{"popped until few are left, too many for a list", 512, 3, 64, "SADD k" + run(0, 600, "w") + ";SPOP k 595", tab},
		{"popped until a sixth is left", 512, 128, 64, "SADD k" + run(0, 600, "w") + ";SPOP k 500", list},
		{"popped until more is left", 512, 128, 64, "SADD k" + run(0, 600, "w") + ";SPOP k 499", tab},
		{"union of integers", 512, 128, 64, "SADD a 1 2;SADD b 3;SUNIONSTORE k a b", ints},
		{"union of integers, too many", 3, 128, 64, "SADD a 1 2;SADD b 3 4;SUNIONSTORE k a b", tab},
		{"union with words", 512, 128, 64, "SADD a 1 2;SADD b a;SUNIONSTORE k a b", list},
		{"union with words, too many", 512, 3, 64, "SADD a 1 2;SADD b a b;SUNIONSTORE k a b", tab},
		{"difference of a table", 512, 3, 64, "SADD a a b c d;SADD b a b;SDIFFSTORE k a b", list},
		{"difference of a table, integers left", 512, 3, 64, "SADD a a b 1 2;SADD b a b;SDIFFSTORE k a b", ints},
		{"difference with several small sets, integers left", 512, 128, 64, "SADD a a 1 2 3 4 5;SADD b a;SADD c 1;SDIFFSTORE k a b c", list},
		{"difference with several small sets of many words", 512, 4, 64, "SADD a a 1 2 3 4 5;SADD b a;SADD c 1;SDIFFSTORE k a b c", tab},
		{"difference with several small sets of integers", 512, 128, 64, "SADD a 1 2 3 4 5 6;SADD b 2;SADD c 1;SDIFFSTORE k a b c", ints},
		{"difference with several larger sets, integers left", 512, 128, 64, "SADD a a 1 2;SADD b a b c d;SADD c 1;SDIFFSTORE k a b c", ints},
		{"intersection of integers", 512, 128, 64, "SADD a 1 2;SADD b 2 3;SINTERSTORE k a b", ints},
		{"intersection of words", 512, 128, 64, "SADD a a b;SADD b b c;SINTERSTORE k a b", list},
		{"intersection, integers left", 512, 128, 64, "SADD a a 1 2;SADD b b 1 2;SINTERSTORE k a b", ints},
		{"intersection of tables, integers left", 512, 3, 64, "SADD a a b c 1 2;SADD b f g h 1 2;SINTERSTORE k a b", ints},
		{"intersection of lists, integers left, too many", 1, 128, 64, "SADD a a 1 2;SADD b b 1 2;SINTERSTORE k a b", list},
	} {
		r := commandtest.New(t, families()...)
		limits(r, x.integers, x.entries, x.value)
		for _, request := range strings.Split(x.script, ";") {
			if got := r.Do(strings.Fields(request)...); got[0] == '-' {
				t.Fatalf("%s: %.60s: %s", x.name, request, got)
			}
		}
		if got := r.Do("OBJECT", "ENCODING", "k"); got != fmt.Sprintf("$%d\r\n%s\r\n", len(x.want), x.want) {
			t.Errorf("%s: %q, want %s", x.name, got, x.want)
		}
		r.Check(x.name)
	}
}

// forms are sets of every form, and the size each has.
var forms = map[string]int{"intset": 40, "listpack": 40, "hashtable": 600}

// nameIn makes the name of member i of a set of a form.
func nameIn(form string, i int) string {
	if form == "intset" {
		return strconv.Itoa(i * i)
	}
	if i%3 == 0 && form == "listpack" {
		return strconv.Itoa(i - 10)
	}
	return "member:" + strconv.Itoa(i)
}

// fill makes the set "s" of a form whole.
func fill(t *testing.T, r *commandtest.Runner, form string) {
	t.Helper()
	words := []string{"SADD", "s"}
	for i := range forms[form] {
		words = append(words, nameIn(form, i))
	}
	r.Do(words...)
	if got := r.Do("OBJECT", "ENCODING", "s"); !strings.Contains(got, form) {
		t.Fatalf("%q, want %s", got, form)
	}
}

// Members are drawn with the same probability each, in all the ways there are to draw, from sets of every form.
func TestEvenOdds(t *testing.T) {
	for form, size := range forms {
		for _, request := range []string{"SRANDMEMBER s", "SRANDMEMBER s -5", "SRANDMEMBER s 1", "SRANDMEMBER s " + strconv.Itoa(size/8),
			"SRANDMEMBER s " + strconv.Itoa(size/2), "SRANDMEMBER s " + strconv.Itoa(size-1),
			"SPOP s", "SPOP s 1", "SPOP s " + strconv.Itoa(size/4), "SPOP s " + strconv.Itoa(size-3), "SPOP s " + strconv.Itoa(size-size/6)} {
			r := commandtest.New(t, families()...)
			r.C.Random = rand.New(rand.NewPCG(11, uint64(len(request)))).Uint64
			fill(t, r, form)
			words := strings.Fields(request)
			count, drawn := map[string]int{}, 0
			for drawn < 100*size/min(commandtest.Effort, 5) {
				got := commandtest.Bulks(r.Do(words...))
				once := map[string]bool{}
				for _, m := range got {
					if once[m] && !strings.Contains(request, "-") {
						t.Fatalf("%s: %s gives %s twice", form, request, m)
					}
					once[m] = true
					count[m]++
				}
				if drawn += len(got); words[0] == "SPOP" {
					if n, _ := strconv.Atoi(strings.Trim(r.Do("SCARD", "s"), ":\r\n")); n+len(got) != size {
						t.Fatalf("%s: %s leaves %d of %d", form, request, n, size)
					}
					if len(got) > 1 { // a set that shrank comes back as it was
						r.Do("DEL", "s")
						fill(t, r, form)
					} else {
						r.Do("SADD", "s", got[0])
					}
				}
			}
			chi, want := 0.0, float64(drawn)/float64(size)
			for i := range size {
				d := float64(count[nameIn(form, i)]) - want
				chi += d * d / want
			}
			// Of size-1 degrees of freedom the mean is that, the variance twice that: beyond five standard deviations.
			if n := float64(size - 1); (chi-n)*(chi-n) > 25*2*n && chi > n {
				t.Errorf("%s: %s: chi² is %.0f of %d members", form, request, chi, size)
			}
			r.Check(form + ": " + request)
		}
	}
}

// SPOP of one member after the other ends with the last, in any order as likely as another.
func TestPopUntilNothingIsLeft(t *testing.T) {
	for form, size := range forms {
		for _, step := range []string{"", "1", "3", "100"} {
			r := commandtest.New(t, families()...)
			fill(t, r, form)
			seen := map[string]bool{}
			for len(seen) < size {
				words := []string{"SPOP", "s"}
				if step != "" {
					words = append(words, step)
				}
				got := commandtest.Bulks(r.Do(words...))
				if len(got) == 0 {
					t.Fatalf("%s by %q: %d of %d", form, step, len(seen), size)
				}
				for _, m := range got {
					if seen[m] {
						t.Fatalf("%s by %q: %s twice", form, step, m)
					}
					seen[m] = true
				}
			}
			for i := range size {
				if !seen[nameIn(form, i)] {
					t.Errorf("%s by %q: %s is missing", form, step, nameIn(form, i))
				}
			}
			if got := r.Do("EXISTS", "s"); got != ":0\r\n" {
				t.Errorf("%s by %q: an empty set exists", form, step)
			}
			r.Check(form)
		}
	}
}

// A set made of what SPOP leaves keeps its expiry.
func TestPopKeepsTheExpiry(t *testing.T) {
	r := commandtest.New(t, families()...)
	for form, size := range forms {
		for _, left := range []int{2, size / 2} {
			r.Do("DEL", "s")
			fill(t, r, form)
			r.Do("PEXPIREAT", "s", strconv.FormatInt(r.C.Now+1000000, 10))
			r.Do("SPOP", "s", strconv.Itoa(size-left))
			if got := r.Do("PTTL", "s") + r.Do("SCARD", "s"); got != fmt.Sprintf(":1000000\r\n:%d\r\n", left) {
				t.Errorf("%s: %q", form, got)
			}
		}
	}
}

// Every member that is there during the whole of a scan is given, whatever is added and removed meanwhile.
func TestScanKeepsItsGuarantee(t *testing.T) {
	r := commandtest.New(t, families()...)
	r.ScanGuarantee("SSCAN c %s COUNT 20", 1,
		func(m string) { r.Do("SADD", "c", m) },
		func(m string) { r.Do("SREM", "c", m) })
	// A set that becomes small in the middle of a scan is given whole.
	cursor := commandtest.Bulks(r.Do("SSCAN", "c", "0", "COUNT", "20"))[0]
	n, _ := strconv.Atoi(strings.Trim(r.Do("SCARD", "c"), ":\r\n"))
	r.Do("SPOP", "c", strconv.Itoa(n-10))
	if got := commandtest.Bulks(r.Do("SSCAN", "c", cursor)); got[0] != "0" || len(got) != 11 {
		t.Errorf("what became small: %q", got)
	}
}

// A count that would make a reply of gigabytes is refused.
func TestRandomMembersInMasses(t *testing.T) {
	r := commandtest.New(t, families()...)
	r.Do("SADD", "s", "a", "b")
	if got := r.Do("SRANDMEMBER", "s", "-9223372036854775807"); got != "-ERR value is out of range\r\n" {
		t.Errorf("%.60q", got)
	}
}

// However large set-max-listpack-value is, a packed list must not grow beyond what its header can tell.
func TestMasses(t *testing.T) {
	r := commandtest.New(t, families()...)
	r.C.Store.Limits.SetValue.Store(1 << 40)
	e := editor{c: r.C}
	if e.fits(1, maxPacked, []byte("x")) || !e.fits(1, 1000, []byte("x")) {
		t.Error("what fits into a packed list")
	}
}

// What a STORE command reads may be what it writes, and may expire while it runs, with other keys of the same shard.
func TestStoreOntoASource(t *testing.T) {
	for form := range forms {
		for _, name := range []string{"SUNIONSTORE", "SINTERSTORE", "SDIFFSTORE"} {
			r := commandtest.New(t, families()...)
			fill(t, r, form)
			before := commandtest.InOrder(r.Do("SMEMBERS", "s"), 1)
			if r.Do(name, "s", "s"); commandtest.InOrder(r.Do("SMEMBERS", "s"), 1) != before {
				t.Errorf("%s: %s s s", form, name)
			}
			for i := range 40 { // on all shards
				k := "other" + strconv.Itoa(i)
				r.Do("SADD", k, "x")
				r.Do("PEXPIREAT", k, strconv.FormatInt(r.C.Now-1, 10))
				dst := "dst" + strconv.Itoa(i)
				r.Do("SUNIONSTORE", dst, "s")
				r.Do("PEXPIREAT", dst, strconv.FormatInt(r.C.Now-1, 10))
				if r.Do("SUNIONSTORE", dst, "s", k, "s", dst); commandtest.InOrder(r.Do("SMEMBERS", dst), 1) != before {
					t.Errorf("%s: SUNIONSTORE %s s %s", form, dst, k)
				}
				r.Do("PEXPIREAT", dst, strconv.FormatInt(r.C.Now-1, 10)) // one that nobody reads
				if r.Do("SUNIONSTORE", dst, "s"); commandtest.InOrder(r.Do("SMEMBERS", dst), 1) != before {
					t.Errorf("%s: SUNIONSTORE %s s", form, dst)
				}
				if got := r.Do("EXISTS", k); got != ":0\r\n" {
					t.Errorf("%s has not expired", k)
				}
			}
			r.Check(form)
		}
	}
}

// The algorithms for few and for many sets, small and large, all give what they should.
func TestManySets(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	r := commandtest.New(t, families()...)
	for round := range 60 {
		n := 1 + rnd.IntN([]int{3, 30}[round%2])
		sets := make([]map[string]bool, n)
		keys := make([]string, n)
		for i := range sets {
			sets[i], keys[i] = map[string]bool{}, fmt.Sprintf("k:%d:%d", round, i)
			size := 1 + rnd.IntN([]int{20, 120}[round/3%2])
			if i == 0 {
				size = []int{3, 100, 600}[round%3]
			}
			for range size {
				m := strconv.Itoa(rnd.IntN([]int{700, 150}[round%2]))
				if i%2 == 0 && round%2 == 0 {
					m = "m" + m
				}
				sets[i][m] = true
				r.Do("SADD", keys[i], m)
			}
			if round%4 == 1 { // packed lists that have much in common
				sets[i]["word"] = true
				r.Do("SADD", keys[i], "word")
			}
		}
		union, diff, inter := map[string]bool{}, maps.Clone(sets[0]), maps.Clone(sets[0])
		for i, s := range sets {
			maps.Copy(union, s)
			for m := range s {
				if i > 0 {
					delete(diff, m)
				}
			}
			maps.DeleteFunc(inter, func(m string, _ bool) bool { return !s[m] })
		}
		for name, want := range map[string]map[string]bool{"SUNION": union, "SDIFF": diff, "SINTER": inter} {
			got := commandtest.Bulks(r.Do(append([]string{name}, keys...)...))
			slices.Sort(got)
			if !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
				t.Errorf("%s of %d sets: %d members, want %d", name, n, len(got), len(want))
			}
			r.Do(append([]string{name + "STORE", "d"}, keys...)...)
			got = commandtest.Bulks(r.Do("SMEMBERS", "d"))
			slices.Sort(got)
			if !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
				t.Errorf("%sSTORE of %d sets: %d members, want %d", name, n, len(got), len(want))
			}
		}
	}
	r.Check("many sets")
}

// A set that SPOP empties is logged as DEL, or as UNLINK.
func TestPopOfAllIsLoggedAsConfigured(t *testing.T) {
	for lazy, want := range map[bool]string{false: "DEL s", true: "UNLINK s"} {
		r := commandtest.Logged(t, Commands(), generic.Commands())
		r.C.Store.LazyServerDel.Store(lazy)
		r.Do("SADD", "s", "a", "b")
		r.Do("SPOP", "s", "2")
		if _, got := r.Recover(time.Now().UnixMilli(), Commands(), generic.Commands()); len(got) != 2 || got[1] != want {
			t.Errorf("%q, want %s", got, want)
		}
	}
}

// A walk gets more elements at once than it has room for when the hashes of many are alike.
func TestMembersOfOneBucket(t *testing.T) {
	r := commandtest.New(t, families()...)
	limits(r, 0, 0, 0)
	want := map[string]bool{}
	for i := 0; len(want) < 90; i++ {
		if m := strconv.Itoa(i); r.C.Store.KS.Hash([]byte(m))>>56 == 0 {
			want[m] = true
			r.Do("SADD", "s", m)
		}
	}
	got := commandtest.Bulks(r.Do("SMEMBERS", "s"))
	slices.Sort(got)
	if !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
		t.Errorf("%d members, want %d", len(got), len(want))
	}
	if n := len(commandtest.Bulks(r.Do("SUNION", "s", "s"))); n != len(want) {
		t.Errorf("%d in the union", n)
	}
}

// Members that are long and nevertheless in packed lists.
func TestLongWords(t *testing.T) {
	r := commandtest.New(t, families()...)
	limits(r, 512, 128, 5000)
	for i := range 40 {
		word := strings.Repeat("long", 10*i) + "word"
		r.Do("SADD", "a", word)
		if i%2 == 0 {
			r.Do("SADD", "b", word, strconv.Itoa(i))
		}
	}
	if got := r.Do("SINTERCARD", "2", "a", "b") + r.Do("SINTERSTORE", "c", "a", "b") + r.Do("SDIFFSTORE", "d", "a", "b") + r.Do("SUNIONSTORE", "e", "a", "b"); got != ":20\r\n:20\r\n:20\r\n:60\r\n" {
		t.Errorf("%q", got)
	}
	if got := r.Do("OBJECT", "ENCODING", "a"); !strings.Contains(got, "listpack") {
		t.Errorf("%q", got)
	}
}

// What each request leaves in the log, and that it makes the same sets when it is replayed.
func TestEffects(t *testing.T) {
	r := commandtest.Logged(t, families()...)
	want := r.DoAll([]commandtest.Left{
		{"SADD s a b 1", "SADD s a b 1"},
		{"SADD s a", ""},
		{"SREM s x", ""},
		{"SREM s a x", "SREM s a x"},
		{"SMOVE s d b", "SMOVE s d b"},
		{"SMOVE s d b", ""},
		{"SPOP s", "SREM s 1"},
		{"SPOP s", ""},
		{"SPOP s 3", ""},
		{"SADD t a", "SADD t a"},
		{"SPOP t 0", ""},
		{"SPOP t 5", "DEL t"},
		{"SADD t a b", "SADD t a b"},
		{"SINTERSTORE u t d", "SINTERSTORE u t d"},
		{"SINTERSTORE v t none", ""},
		{"SDIFFSTORE u none", "SDIFFSTORE u none"},
		{"SUNIONSTORE u t d", "SUNIONSTORE u t d"},
		{"SRANDMEMBER u", ""},
		{"SUNION u t", ""},
	})
	add := []string{"SADD", "large"}
	for i := range 5000 {
		add = append(add, "member:"+strconv.Itoa(i))
	}
	r.Do(add...)
	want = append(want, strings.Join(add, " "))
	for _, n := range []int{1, 2500, 2400} {
		words := commandtest.Bulks(r.Do("SPOP", "large", strconv.Itoa(n)))
		if n > logChunk {
			want = append(want, "MULTI")
		}
		for i := 0; i < n; i += logChunk {
			want = append(want, "SREM large "+strings.Join(words[i:min(n, i+logChunk)], " "))
		}
		if n > logChunk {
			want = append(want, "EXEC")
		}
	}
	before := r.Contents()
	before["large"] = strings.Replace(before["large"], "listpack", "hashtable", 1) // as it is after SREM
	r.CheckLog(time.Now().UnixMilli(), want, before, families()...)
}
