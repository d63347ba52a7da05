package stream

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/engine/command"
	"tidemark/engine/command/commandtest"
)

func families() [][]*command.Descriptor { return [][]*command.Descriptor{Commands()} }

// random makes up requests whose replies depend on no clock.
type random struct {
	*rand.Rand
	top int // about where IDs are by now
}

func (r *random) pick(list ...string) string { return list[r.IntN(len(list))] }

func (r *random) key() string { return "s" + strconv.Itoa(r.IntN(5)) }

func (r *random) id() string {
	switch r.IntN(30) {
	case 0:
		return r.pick("-", "+", "", "x", "1-x", "-5", "18446744073709551616", "0", "0-0", "5-", " 3", "$", ">", "*")
	case 1:
		return r.pick("18446744073709551615-18446744073709551615", "18446744073709551615")
	}
	n := strconv.Itoa(max(0, r.top-r.IntN(60)))
	if r.IntN(2) == 0 {
		n += "-" + strconv.Itoa(r.IntN(4))
	}
	return n
}

func (r *random) bound() string {
	if r.IntN(4) == 0 {
		return r.pick("-", "+")
	}
	return r.pick("", "", "(") + r.id()
}

func (r *random) count(a []string) []string {
	if r.IntN(2) == 0 {
		a = append(a, r.pick("COUNT", "COUNT", "COUNT", "count", "LIMIT"), r.pick("1", "2", "5", "10", "100", "0", "-1", "x"))
	}
	return a
}

func (r *random) value() string {
	switch r.IntN(20) {
	case 0:
		return strings.Repeat("v", r.IntN(300))
	case 1:
		return r.pick("", "007", "-0", "9223372036854775807", "-9223372036854775808", "127", "128", "-4096", "\xff\x00")
	}
	return strconv.Itoa(r.IntN(100000))
}

func (r *random) trim(a []string) []string {
	if r.IntN(40) == 0 {
		return append(a, r.pick("MAXLEN", "MINID", "LIMIT", "maxlen"), r.pick("~", "=", "1", "x", "-1"))
	}
	if a = append(a, r.pick("MAXLEN", "MINID")); r.IntN(2) == 0 {
		a = append(a, r.pick("~", "=", "~"))
	}
	if a[len(a)-1] == "MINID" || a[len(a)-2] == "MINID" {
		a = append(a, strconv.Itoa(max(0, r.top-20-r.IntN(60))))
	} else {
		a = append(a, strconv.Itoa(r.IntN(60)))
	}
	if r.IntN(6) == 0 {
		a = append(a, "LIMIT", r.pick("0", "3", "5", "10", "100", "-1", "x"))
	}
	return a
}

func (r *random) next() (a []string) {
	switch r.IntN(16) {
	case 0, 1, 2, 3, 4:
		if r.top++; r.IntN(3) == 0 {
			r.top += r.IntN(5)
		}
		if a = []string{"XADD", r.key()}; r.IntN(8) == 0 {
			a = append(a, "NOMKSTREAM")
		}
		if r.IntN(6) == 0 {
			a = r.trim(a)
		}
		switch r.IntN(12) {
		case 0:
			if x := r.id(); len(x) < 20 && x != "*" { // not one after which there is none
				a = append(a, x)
			} else {
				a = append(a, "x")
			}
		case 1, 2, 3:
			a = append(a, strconv.Itoa(r.top)+"-*")
		default:
			a = append(a, fmt.Sprintf("%d-%d", r.top, r.IntN(4)))
		}
		for i := range 1 + r.IntN(3) {
			a = append(a, r.pick("a", "b", "field")+strconv.Itoa(i), r.value())
		}
		if r.IntN(40) == 0 {
			a = a[:len(a)-1]
		}
	case 5, 6:
		a = []string{"XDEL", r.key(), r.id(), r.id(), r.id(), r.id(), r.id()}[:3+r.IntN(5)]
	case 7:
		a = r.trim([]string{"XTRIM", r.key()})
	case 8:
		a = []string{"XLEN", r.key()}
	case 9, 10:
		a = r.count([]string{"XRANGE", r.key(), r.bound(), r.bound()})
	case 11, 12:
		a = r.count([]string{"XREVRANGE", r.key(), r.bound(), r.bound()})
	case 13:
		// Without MAXDELETEDID, whose present value 7.0 does not hold against the ID.
		if a = []string{"XSETID", r.key(), strconv.Itoa(r.top + r.IntN(5))}; r.IntN(2) == 0 {
			a = append(a, "ENTRIESADDED", r.pick("-1", "0", "100", "100000", "x"))
		}
	case 14:
		if r.IntN(8) == 0 {
			return []string{"DEL", r.key()}
		}
		a = []string{"XRANGE", r.key(), "-", "+"}
	case 15:
		if a = []string{"COPY", r.key(), r.key(), "REPLACE"}; r.IntN(2) == 0 {
			a = []string{"DEBUG", "DIGEST-VALUE", r.key()}
		}
	}
	return a
}

// Random commands on few keys, with nodes of sizes that change, against the reference.
func TestRandom(t *testing.T) {
	p := commandtest.Compare(t, families()...)
	r, lim := &random{p.Rnd, 1}, &p.Ours.C.Store.Limits
	ops := 60000
	if testing.Short() {
		ops = 6000
	}
	vary := func() {
		p.Limit("stream-node-max-bytes", &lim.StreamBytes, []int{4096, 300, 0}[r.IntN(3)])
		p.Limit("stream-node-max-entries", &lim.StreamEntries, []int{100, 4, 10, 0}[r.IntN(4)])
	}
	p.Run(ops, vary, func() commandtest.Request {
		a := r.next()
		if a[0] == "DEBUG" || a[0] == "COPY" { // not of the family
			a = nil
		}
		return commandtest.Request{Words: a, Same: func(_, want string) bool { return strings.Contains(want, "too large") }}
	})
}

// What redis-server hands to replicas is carried out as it is: LIMIT beside exact trimming, times that lie ahead of this server's clock.
func TestEffectsOfRedis(t *testing.T) {
	r := commandtest.New(t, families()...)
	r.C.Now = 1000
	r.C.Replay = true
	for _, x := range []struct{ request, want string }{
		{"XADD s MAXLEN = 2 LIMIT 100 1-0 a 1", "$3\r\n1-0\r\n"},
		{"XADD s MAXLEN = 2 LIMIT 1 2-0 a 1", "$3\r\n2-0\r\n"},
		{"XADD s MAXLEN = 1 LIMIT 1 3-0 a 1", "$3\r\n3-0\r\n"},
		{"XLEN s", ":1\r\n"},
		{"XADD s 4-0 a 1", "$3\r\n4-0\r\n"},
		{"XTRIM s MINID = 4-0 LIMIT 1", ":1\r\n"},
		{"XGROUP CREATE s g 0", "+OK\r\n"},
		{"XCLAIM s g c 0 4-0 TIME 3000 RETRYCOUNT 2 FORCE JUSTID LASTID 4-0", "*1\r\n$3\r\n4-0\r\n"},
	} {
		if got := r.Do(strings.Fields(x.request)...); got != x.want {
			t.Errorf("%s: %q, want %q", x.request, got, x.want)
		}
	}
	r.C.Replay = false
	r.C.Now = 3500
	if got, want := r.Do("XPENDING", "s", "g", "-", "+", "5"), "*1\r\n*4\r\n$3\r\n4-0\r\n$1\r\nc\r\n:500\r\n:2\r\n"; got != want {
		t.Errorf("XPENDING: %q, want %q", got, want)
	}
}

// What requests about consumer groups leave in the log, and that it makes the same groups when it is replayed.
func TestGroupEffects(t *testing.T) {
	r := commandtest.Logged(t, families()...)
	r.C.Now = 5000
	want := r.DoAll([]commandtest.Left{
		{"XADD s 1 a 1", "XADD s 1 a 1"},
		{"XADD s 2 a 1", "XADD s 2 a 1"},
		{"XADD s 3 a 1", "XADD s 3 a 1"},
		{"XADD s 4 a 1", "XADD s 4 a 1"},
		{"XGROUP CREATE s g 0", "XGROUP CREATE s g 0"},
		{"XGROUP CREATE s g 0", ""},
		{"XREADGROUP GROUP g a COUNT 2 STREAMS s >", "MULTI"},
		{"", "XGROUP CREATECONSUMER s g a"},
		{"", "XCLAIM s g a 0 1-0 TIME 5000 RETRYCOUNT 1 FORCE JUSTID LASTID 1-0"},
		{"", "XCLAIM s g a 0 2-0 TIME 5000 RETRYCOUNT 1 FORCE JUSTID LASTID 2-0"},
		{"", "XGROUP SETID s g 2-0 ENTRIESREAD 2"},
		{"", "EXEC"},
		{"XREADGROUP GROUP g a COUNT 1 STREAMS s 0", ""},
		{"XREADGROUP GROUP g a NOACK COUNT 1 STREAMS s >", "XGROUP SETID s g 3-0 ENTRIESREAD 3"},
		{"XREADGROUP GROUP g b STREAMS s 0", "XGROUP CREATECONSUMER s g b"},
		{"XREADGROUP GROUP g b STREAMS s 0", ""},
		{"XCLAIM s g b 0 1 7", "XCLAIM s g b 0 1-0 TIME 5000 RETRYCOUNT 3 FORCE JUSTID LASTID 3-0"},
		{"XCLAIM s g b 10000 2", ""},
		{"XCLAIM s g b 0 2 JUSTID IDLE 1000 LASTID 4", "MULTI"},
		{"", "XCLAIM s g b 0 2-0 TIME 4000 RETRYCOUNT 1 FORCE JUSTID LASTID 4-0"},
		{"", "XGROUP SETID s g 4-0 ENTRIESREAD 3"},
		{"", "EXEC"},
		{"XACK s g 9", ""},
		{"XACK s g 1 9", "XACK s g 1 9"},
		{"XDEL s 2", "XDEL s 2"},
		{"XAUTOCLAIM s g a 0 0", "XACK s g 2-0"},
		{"XAUTOCLAIM s g c 0 0", "XGROUP CREATECONSUMER s g c"},
		{"XADD s 5 a 1", "XADD s 5 a 1"},
		{"XREADGROUP GROUP g c STREAMS s >", "MULTI"},
		{"", "XCLAIM s g c 0 5-0 TIME 5000 RETRYCOUNT 1 FORCE JUSTID LASTID 5-0"},
		{"", "XGROUP SETID s g 5-0 ENTRIESREAD 4"},
		{"", "EXEC"},
		{"XAUTOCLAIM s g a 0 0 COUNT 1", "XCLAIM s g a 0 5-0 TIME 5000 RETRYCOUNT 2 FORCE JUSTID LASTID 5-0"},
		{"XGROUP DELCONSUMER s g c", "XGROUP DELCONSUMER s g c"},
		{"XGROUP DELCONSUMER s g c", ""},
		{"XGROUP CREATECONSUMER s g c", "XGROUP CREATECONSUMER s g c"},
		{"XGROUP CREATECONSUMER s g c", ""},
		{"XGROUP CREATE s h $ ENTRIESREAD 3", "XGROUP CREATE s h $ ENTRIESREAD 3"},
		{"XGROUP DESTROY s none", ""},
		{"XGROUP CREATE new g $ MKSTREAM", "XGROUP CREATE new g $ MKSTREAM"},
		{"XREADGROUP GROUP g a STREAMS new >", "XGROUP CREATECONSUMER new g a"},
	})
	r.CheckLog(5000, want, r.Contents(), families()...)
}

// What each request leaves in the log, and that it makes the same streams when it is replayed.
func TestEffects(t *testing.T) {
	r := commandtest.Logged(t, families()...)
	r.C.Store.Limits.StreamEntries.Store(3)
	r.C.Now = 5000
	want := r.DoAll([]commandtest.Left{
		{"XADD s 1-1 a 1", "XADD s 1-1 a 1"},
		{"XADD s 1-1 a 1", ""},
		{"XADD s 1-* a 1 b 2", "XADD s 1-2 a 1 b 2"},
		{"XADD s * a 1", "XADD s 5000-0 a 1"},
		{"XADD s NOMKSTREAM * a 1", "XADD s NOMKSTREAM 5000-1 a 1"},
		{"XADD none NOMKSTREAM * a 1", ""},
		{"XADD s MAXLEN 10 * a 1", "XADD s MAXLEN = 10 5000-2 a 1"},
		{"XADD s MAXLEN ~ 10 * a 1", "XADD s 5000-3 a 1"},
		{"XADD s MAXLEN ~ 5 6000 a 1", "XADD s 6000-0 a 1"},
		{"XADD s MAXLEN ~ 5 6000-1 a 1", "XADD s MAXLEN = 5 6000-1 a 1"},
		{"XADD s MAXLEN 4 6001 a 1", "XADD s MAXLEN 4 6001 a 1"},
		{"XADD s NOMKSTREAM MINID ~ 6000 LIMIT 100 6002-* a 1", "XADD s NOMKSTREAM MINID = 6000-0 6002-0 a 1"},
		{"XTRIM s MAXLEN ~ 4", ""},
		{"XTRIM s MAXLEN 3", "XTRIM s MAXLEN 3"},
		{"XTRIM s MAXLEN 3", ""},
		{"XTRIM s MINID ~ 9999", "XTRIM s MINID = 9999-0"},
		{"XADD s 7000 a 1", "XADD s 7000 a 1"},
		{"XDEL s 1 2", ""},
		{"XDEL s 1 7000", "XDEL s 1 7000"},
		{"XSETID s 6", ""},
		{"XSETID s 8000", "XSETID s 8000"},
	})
	r.C.Store.Limits.StreamEntries.Store(100)
	for i := range 1000 {
		request := fmt.Sprintf("XADD large %d-1 i %d", i+1, i)
		r.Do(strings.Fields(request)...)
		want = append(want, request)
	}
	r.CheckLog(time.Now().UnixMilli(), want, r.Contents(), families()...)
}

// TestSetIDOfAnOlderPrimary: before 7.2 Redis sets the last ID below that of an entry that was deleted, and goes on from there. A replica must do so, too.
func TestSetIDOfAnOlderPrimary(t *testing.T) {
	r := commandtest.New(t, families()...)
	r.Do("XADD", "s", "603-0", "f", "v")
	r.Do("XDEL", "s", "603-0")
	if got := r.Do("XSETID", "s", "156"); !strings.HasPrefix(got, "-ERR The ID specified") {
		t.Errorf("a client's XSETID: %q", got)
	}
	r.C.Replay = true
	if got := r.Do("XSETID", "s", "156"); got != "+OK\r\n" {
		t.Errorf("a primary's XSETID: %q", got)
	}
	if got := r.Do("XADD", "s", "156-1", "f", "v"); got != "$5\r\n156-1\r\n" {
		t.Errorf("a primary's XADD: %q", got)
	}
	r.Check("XSETID and XADD of a primary")
}
