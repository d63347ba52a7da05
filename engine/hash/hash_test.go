package hash

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/engine/command"
	"tidemark/engine/command/commandtest"
)

func families() [][]*command.Descriptor { return [][]*command.Descriptor{Commands()} }

// Random commands on few keys, small and large hashes, with limits that change, against the reference.
func TestRandom(t *testing.T) {
	p := commandtest.Compare(t, families()...)
	rnd, lim := p.Rnd, &p.Ours.C.Store.Limits
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	field := func() string {
		switch rnd.IntN(20) {
		case 0:
			return ""
		case 1:
			return strings.Repeat("f", 60+rnd.IntN(10))
		case 2:
			return pick("007", "-0", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "127", "128", "-4096", "65536", "\xff\x00")
		case 3, 4, 5:
			return strconv.Itoa(rnd.IntN(60))
		}
		return "field" + strconv.Itoa(rnd.IntN(40))
	}
	value := func() string {
		switch rnd.IntN(10) {
		case 0:
			return strings.Repeat("v", rnd.IntN(80))
		case 1:
			return strings.Repeat("w", rnd.IntN(6000)*rnd.IntN(2))
		case 2, 3:
			return strconv.FormatInt(int64(rnd.Uint64())>>rnd.IntN(64), 10)
		case 4:
			return commandtest.Number(rnd)
		}
		return strconv.Itoa(rnd.IntN(2000) - 1000)
	}
	ops := 40000 / commandtest.Effort
	if testing.Short() {
		ops = 4000 / commandtest.Effort
	}
	vary := func() {
		p.Limit("hash-max-listpack-entries", &lim.HashEntries, []int{512, 8, 16, 30, 0}[rnd.IntN(5)])
		p.Limit("hash-max-listpack-value", &lim.HashValue, []int{64, 64, 8, 5000, 20}[rnd.IntN(5)])
	}
	p.Run(ops, vary, func() commandtest.Request {
		key := "h" + strconv.Itoa(rnd.IntN(6))
		pairs := 0 // elements that belong together of a reply without order
		var a []string
		switch rnd.IntN(24) {
		case 0, 1, 2:
			a = []string{pick("HSET", "HMSET"), key}
			// More pairs than a small hash may have: Redis 7.4 makes it large at once, 7.0 when so many are different.
			for range 1 + rnd.IntN(4) {
				a = append(a, field(), value())
			}
			if lim.HashEntries.Load() < 4 {
				a = a[:4]
			}
			if rnd.IntN(30) == 0 {
				a = append(a, field())
			}
		case 3:
			a = []string{"HSET", key, field(), value()}
		case 4:
			a = []string{"HSETNX", key, field(), value()}
		case 5, 6:
			a = []string{"HDEL", key}
			for range 1 + rnd.IntN(5) {
				a = append(a, field())
			}
		case 7, 8:
			a = []string{pick("HGET", "HEXISTS", "HSTRLEN"), key, field()}
		case 9:
			a = []string{"HMGET", key, field(), field(), field()}
		case 10:
			a, pairs = []string{"HGETALL", key}, 2
		case 11:
			a, pairs = []string{pick("HKEYS", "HVALS"), key}, 1
		case 12:
			a = []string{"HLEN", key}
		case 13, 14:
			a = []string{"HINCRBY", key, field(), pick("1", "-5", "9223372036854775807", "abc", " 1", "-9223372036854775808", "77")}
		case 15, 16:
			a = []string{"HINCRBYFLOAT", key, field(), commandtest.Number(rnd)}
		case 17:
			a, pairs = []string{"HSCAN", key, "0", "COUNT", "1000"}, 1
			if rnd.IntN(2) == 0 {
				a = append(a, "MATCH", pick("*", "f*", "field1?", "[0-5]*", ""))
			}
		case 18:
			a, pairs = []string{"HRANDFIELD", key, "100000"}, 1
			if rnd.IntN(2) == 0 {
				a, pairs = append(a, "withvalues"), 2
			}
		case 19:
			a = []string{pick("HRANDFIELD", "HSCAN"), key, pick("0", "abc", "99999999999999999999"), pick("WITHVALUES", "COUNT", "MATCH", "x")}
			if rnd.IntN(2) == 0 {
				a = append(a, pick("0", "x", "-1"))
			}
		case 20, 21, 22:
			a = []string{"OBJECT", "ENCODING", key}
		case 23:
			switch rnd.IntN(8) {
			case 0:
				a = []string{"DEL", key}
			case 1:
				a = []string{"DEL", "l"}
				p.Both(a...)
				a = []string{"LPUSH", "l", "x"}
			default:
				a = []string{pick("HSET", "HSETNX", "HGET", "HLEN", "HDEL", "HINCRBY", "HINCRBYFLOAT", "HGETALL", "HKEYS", "HMGET", "HSTRLEN", "HEXISTS",
					"HRANDFIELD", "HSCAN"), "l"}
				for len(a) < 4-rnd.IntN(2) {
					a = append(a, pick("1", "x"))
				}
			}
		}
		return commandtest.Request{Words: a, Same: func(got, want string) bool {
			switch {
			case want[0] == '-':
				return false
			case a[0] == "HSCAN" && pairs == 0:
				return got[0] == '*' // each side's own cursor
			}
			return pairs > 0 && commandtest.InOrder(got, pairs) == commandtest.InOrder(want, pairs)
		}}
	})
}

// A command with more fields than a small hash may have makes a large one, as since Redis 7.2.
func TestManyFieldsAtOnceMakeALargeHash(t *testing.T) {
	r := commandtest.New(t, families()...)
	r.C.Store.Limits.HashEntries.Store(3)
	r.Do("HSET", "a", "f", "1", "f", "2", "f", "3", "f", "4")
	if got := r.Do("OBJECT", "ENCODING", "a") + r.Do("HLEN", "a") + r.Do("HGET", "a", "f"); got != "$9\r\nhashtable\r\n:1\r\n$1\r\n4\r\n" {
		t.Errorf("four times the same field: %q", got)
	}
	r.Do("HSET", "b", "f", "1", "f", "2", "f", "3")
	if got := r.Do("OBJECT", "ENCODING", "b"); got != "$8\r\nlistpack\r\n" {
		t.Errorf("three times: %q", got)
	}
}

// However large hash-max-listpack-value is, a packed list must not grow beyond what its header can tell.
func TestMasses(t *testing.T) {
	r := commandtest.New(t, families()...)
	k := r.C.Store.MakeKey([]byte("h"))
	e := editor{c: r.C, k: &k, s: k.Shard}
	e.open(1, maxPacked+1, false)
	if e.form != draft {
		t.Fatal("a gigabyte makes a small hash")
	}
	k.Shard.Discard(e.c2)
}

// fill makes a hash of n fields, small or large.
func fill(r *commandtest.Runner, key string, n int) {
	for i := range n {
		r.Do("HSET", key, "field:"+strconv.Itoa(i), "value "+strconv.Itoa(i))
	}
}

// Every element that is there during the whole of a scan is given, whatever is added and removed meanwhile.
func TestScanKeepsItsGuarantee(t *testing.T) {
	r := commandtest.New(t, families()...)
	r.ScanGuarantee("HSCAN c %s COUNT 20 NOVALUES", 1,
		func(f string) { r.Do("HSET", "c", f, "x") },
		func(f string) { r.Do("HDEL", "c", f) })
}

func TestScanNoValues(t *testing.T) {
	r := commandtest.New(t, families()...)
	fill(r, "small", 3)
	fill(r, "large", 2000)
	for _, key := range []string{"small", "large"} {
		got := commandtest.Bulks(r.Do("HSCAN", key, "0", "NOVALUES", "COUNT", "100000", "MATCH", "field:[12]")[len("*2\r\n"):])
		slices.Sort(got)
		if fmt.Sprint(got) != "[0 field:1 field:2]" {
			t.Errorf("%s: %q", key, got)
		}
	}
}

// Fields are drawn with the same probability each, in all the ways there are to draw.
func TestRandomFieldsAreEven(t *testing.T) {
	for _, size := range []int{8, 600} {
		r := commandtest.New(t, families()...)
		fill(r, "h", size)
		for _, way := range []string{"", "-5", "1", strconv.Itoa(size / 8), strconv.Itoa(size / 2), strconv.Itoa(size - 1)} {
			count, drawn := map[string]int{}, 0
			for drawn < 400*size {
				words := []string{"HRANDFIELD", "h"}
				if way != "" {
					words = append(words, way)
				}
				got := commandtest.Bulks(r.Do(words...))
				if way != "" && way[0] != '-' {
					if n, _ := strconv.Atoi(way); len(got) != n {
						t.Fatalf("%q gives %d fields", words, len(got))
					}
					once := map[string]bool{}
					for _, f := range got {
						if once[f] {
							t.Fatalf("%q gives %s twice", words, f)
						}
						once[f] = true
					}
				}
				for _, f := range got {
					count[f]++
				}
				drawn += len(got)
			}
			chi := 0.0
			want := float64(drawn) / float64(size)
			for i := range size {
				d := float64(count["field:"+strconv.Itoa(i)]) - want
				chi += d * d / want
			}
			// Beyond six standard deviations of the distribution for even odds.
			if most := float64(size-1) + 6*1.4143*float64(size); size > 100 && chi > most || chi > float64(size)+60+float64(size)/2 {
				t.Errorf("%d fields, way %q: chi² is %.0f", size, way, chi)
			}
		}
	}
}

// With RESP3, values come in pairs; in RESP2 flat.
func TestRandomFieldsWithValues(t *testing.T) {
	r := commandtest.New(t, families()...)
	fill(r, "h", 1000)
	for _, count := range []string{"3", "700", "-3"} {
		n, _ := strconv.Atoi(strings.TrimPrefix(count, "-"))
		r.Do("HELLO", "3")
		three := r.Do("HRANDFIELD", "h", count, "WITHVALUES")
		r.Do("HELLO", "2")
		two := r.Do("HRANDFIELD", "h", count, "WITHVALUES")
		if !strings.HasPrefix(three, fmt.Sprintf("*%d\r\n*2\r\n$", n)) || strings.Count(three, "*2\r\n") != n ||
			!strings.HasPrefix(two, fmt.Sprintf("*%d\r\n$", 2*n)) {
			t.Errorf("%s: %.60q, %.60q", count, three, two)
		}
		for _, reply := range []string{two, three[strings.IndexByte(three, '$'):]} {
			words := commandtest.Bulks(reply)
			if len(words) != 2*n {
				t.Fatalf("%s: %d words", count, len(words))
			}
			for i := 0; i < len(words); i += 2 {
				if words[i+1] != "value "+strings.TrimPrefix(words[i], "field:") {
					t.Errorf("%s: %s with %s", count, words[i], words[i+1])
				}
			}
		}
	}
}

// A count that would make a reply of gigabytes is refused.
func TestRandomFieldsInMasses(t *testing.T) {
	r := commandtest.New(t, families()...)
	fill(r, "h", 2)
	if got := r.Do("HRANDFIELD", "h", "-9223372036854775807"); got != "-ERR value is out of range\r\n" {
		t.Errorf("%.60q", got)
	}
}

// What each request leaves in the log, and that it makes the same hashes when it is replayed.
func TestEffects(t *testing.T) {
	r := commandtest.Logged(t, families()...)
	want := r.DoAll([]commandtest.Left{
		{"HSET h a 1 b 2", "HSET h a 1 b 2"},
		{"HSET h a 1", "HSET h a 1"}, // as in Redis a change, though the value is the same
		{"HSETNX h a 2", ""},
		{"HSETNX h c 2", "HSETNX h c 2"},
		{"HMSET h d 0.1", "HMSET h d 0.1"},
		{"HINCRBY h a 5", "HINCRBY h a 5"},
		{"HINCRBY h d 5", ""},
		{"HINCRBYFLOAT h d 0.2", "HSET h d 0.3"},
		{"HINCRBYFLOAT h d x", ""},
		{"HDEL h x y", ""},
		{"HDEL h a x", "HDEL h a x"},
		{"HSET other a 1", "HSET other a 1"},
		{"HDEL h b c d", "HDEL h b c d"},
		{"HDEL h b", ""},
		{"HGETALL other", ""},
	})
	if got := r.Do("EXISTS", "h"); got != ":0\r\n" {
		t.Errorf("a hash without fields exists: %q", got)
	}
	for i := range 2000 {
		f := "field:" + strconv.Itoa(i%700)
		r.Do("HSET", "large", f, strconv.Itoa(i))
		want = append(want, "HSET large "+f+" "+strconv.Itoa(i))
	}
	r.CheckLog(time.Now().UnixMilli(), want, r.Contents(), families()...)
}
