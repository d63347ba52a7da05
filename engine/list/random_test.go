package list

import (
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
	"tidemark/engine/keyspace"
)

// element makes up an element: mostly one of few, so that there is something to find.
func element(rnd *rand.Rand) string {
	switch rnd.IntN(10) {
	case 0:
		return strings.Repeat(string(rune('a'+rnd.IntN(3))), rnd.IntN(200))
	case 1:
		return strconv.FormatInt(int64(rnd.Uint64())>>rnd.IntN(64), 10)
	case 2:
		return strings.Repeat(string(rune('a'+rnd.IntN(2))), 1000+rnd.IntN(9000)*rnd.IntN(2))
	}
	return strconv.Itoa(rnd.IntN(12))
}

// request makes up a request; elems says how elements are made, and keys how many there are.
func request(rnd *rand.Rand, keys int, elem func(*rand.Rand) string) []string {
	key := func() string { return "l" + strconv.Itoa(rnd.IntN(keys)) }
	one := func(list ...string) string { return list[rnd.IntN(len(list))] }
	index := func() string {
		if rnd.IntN(20) == 0 {
			return one("x", "9223372036854775807", "-9223372036854775807", "")
		}
		return strconv.Itoa(rnd.IntN(80) - 40)
	}
	several := func(out []string, most int) []string {
		for range 1 + rnd.IntN(most) {
			out = append(out, elem(rnd))
		}
		return out
	}
	switch rnd.IntN(20) {
	case 0, 1, 2, 3:
		return several([]string{one("LPUSH", "RPUSH"), key()}, 1+rnd.IntN(20))
	case 4:
		return several([]string{one("LPUSHX", "RPUSHX"), key()}, 3)
	case 5:
		return []string{one("LPOP", "RPOP"), key()}
	case 6:
		return []string{one("LPOP", "RPOP"), key(), strconv.Itoa(rnd.IntN(12))}
	case 7:
		return []string{"LLEN", key()}
	case 8:
		return []string{"LRANGE", key(), index(), index()}
	case 9:
		return []string{"LRANGE", key(), "0", "-1"}
	case 10:
		return []string{"LINDEX", key(), index()}
	case 11:
		return []string{"LSET", key(), index(), elem(rnd)}
	case 12, 13:
		return []string{"LINSERT", key(), one("BEFORE", "AFTER"), elem(rnd), elem(rnd)}
	case 14:
		return []string{"LREM", key(), strconv.Itoa(rnd.IntN(9) - 4), elem(rnd)}
	case 15:
		if rnd.IntN(3) == 0 {
			return []string{"LTRIM", key(), index(), index()}
		}
		return []string{"LTRIM", key(), strconv.Itoa(rnd.IntN(3)), strconv.Itoa(-1 - rnd.IntN(3))}
	case 16:
		return []string{"LMOVE", key(), key(), one("LEFT", "RIGHT"), one("LEFT", "RIGHT")}
	case 17:
		return []string{"RPOPLPUSH", key(), key()}
	case 18:
		out := []string{"LPOS", key(), elem(rnd)}
		if rnd.IntN(2) == 0 {
			out = append(out, "RANK", strconv.Itoa(rnd.IntN(9)-4))
		}
		if rnd.IntN(2) == 0 {
			out = append(out, "COUNT", strconv.Itoa(rnd.IntN(4)))
		}
		if rnd.IntN(3) == 0 {
			out = append(out, "MAXLEN", strconv.Itoa(rnd.IntN(60)))
		}
		return out
	}
	return []string{"LMPOP", "2", key(), key(), one("LEFT", "RIGHT"), "COUNT", strconv.Itoa(1 + rnd.IntN(6))}
}

func TestRandomCommands(t *testing.T) {
	commandtest.CompareRandom(t, 20000, families(), func(rnd *rand.Rand) []string { return request(rnd, 4, element) })
}

// Whatever is executed, in whatever blocks, the keyspace stays sound, and replaying the log gives the same lists.
func TestReplayGivesTheSame(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	for i, fill := range []int64{-2, -1, 1, 3, 16, -2, -1, 1, 3, 16} {
		depth := int64(i / 5)
		t.Run(fmt.Sprint("fill", fill, "depth", depth), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			r := commandtest.Logged(t, families()...)
			r.C.Store.Limits.ListSize.Store(fill)
			r.C.Store.Limits.ListDepth.Store(depth)
			r.C.Now = 1_700_000_000_000
			for i := range 4000 {
				r.Do(request(rnd, 6, element)...)
				if i%10 == 0 {
					r.C.Store.Log().Commit(aof.GoalAppend)
				}
				if i%200 == 0 {
					r.Check("seed ", seed)
				}
			}
			r.Check("seed ", seed)
			before := r.Contents()
			again, effects := r.Recover(time.Now().UnixMilli(), families()...)
			if slices.ContainsFunc(effects, func(e string) bool { return strings.HasPrefix(e, "LMPOP") }) {
				t.Error("LMPOP stands in the log")
			}
			after := again.Contents()
			if fill != -2 { // the new one has the default limit
				for _, m := range []map[string]string{before, after} {
					for k, v := range m {
						m[k] = strings.Replace(v, "quicklist", "listpack", 1)
					}
				}
			}
			if !maps.Equal(before, after) {
				t.Errorf("seed %d: after replay\n%.300v\nbefore\n%.300v", seed, after, before)
			}
			if len(before) < 3 {
				t.Errorf("only %d lists were left to compare", len(before))
			}
		})
	}
}

// model does to slices what the commands do to lists, as far as a large list's structure is concerned.
func TestLargeListsAgainstSlices(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	for i, fill := range []int64{1, 2, 5, 40, -1, 1, 2, 5, 40, -1} {
		depth := int64(i / 5)
		t.Run(fmt.Sprint("fill", fill, "depth", depth), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 2))
			r := commandtest.New(t, families()...)
			r.C.Store.Limits.ListSize.Store(fill)
			r.C.Store.Limits.ListDepth.Store(depth)
			var model []string
			for i := range 2000 {
				e := strconv.Itoa(rnd.IntN(50))
				if fill < 0 {
					e = strings.Repeat(e, rnd.IntN(300))
				}
				n := len(model)
				at := 0
				if n > 0 {
					at = rnd.IntN(n)
				}
				first := slices.Index(model, e)
				switch op := rnd.IntN(9); {
				case op < 2 || n == 0:
					r.Do("RPUSH", "l", e)
					model = append(model, e)
				case op == 2:
					r.Do("LPUSH", "l", e)
					model = slices.Insert(model, 0, e)
				case op == 3:
					r.Do("LSET", "l", strconv.Itoa(at), e)
					model[at] = e
				case op == 4 && first >= 0:
					r.Do("LINSERT", "l", "BEFORE", e, "new")
					model = slices.Insert(model, first, "new")
				case op == 5 && first >= 0:
					r.Do("LINSERT", "l", "AFTER", e, "new")
					model = slices.Insert(model, first+1, "new")
				case op == 6 && first >= 0:
					r.Do("LREM", "l", "1", e)
					model = slices.Delete(model, first, first+1)
				case op == 7 && rnd.IntN(100) == 0:
					r.Do("LTRIM", "l", strconv.Itoa(n/8), strconv.Itoa(n-1-n/8))
					model = slices.Clone(model[n/8 : n-n/8])
				case op == 8 && rnd.IntN(100) == 0:
					r.Do("LREM", "l", "0", "new")
					model = slices.DeleteFunc(model, func(s string) bool { return s == "new" })
				}
				if i%50 != 0 {
					continue
				}
				r.Check("seed ", seed)
				want := "*" + strconv.Itoa(len(model)) + "\r\n"
				for _, s := range model {
					want += fmt.Sprintf("$%d\r\n%s\r\n", len(s), s)
				}
				if got := r.Do("LRANGE", "l", "0", "-1"); got != want {
					t.Fatalf("seed %d, step %d:\n got %.300q\nwant %.300q", seed, i, got, want)
				}
			}
			if fill > 0 && encoding(r, "l") != keyspace.QuickList.String() {
				t.Error("the list was not a large one")
			}
		})
	}
}

// What each request leaves in the log.
func TestEffects(t *testing.T) {
	r := commandtest.Logged(t, families()...)
	r.C.Now = 1_000_000
	want := r.DoAll([]commandtest.Left{
		{"RPUSH l 1 2 3 4 5 6", "RPUSH l 1 2 3 4 5 6"}, {"lpush l 0", "lpush l 0"}, {"LPUSHX none 1", ""}, {"RPUSHX l 7", "RPUSHX l 7"},
		{"LPOP l", "LPOP l"}, {"RPOP l 2", "RPOP l 2"}, {"LPOP l 0", ""}, {"LPOP none", ""}, {"LPOP l x", ""},
		{"LSET l 0 x", "LSET l 0 x"}, {"LSET l 99 x", ""}, {"LINSERT l AFTER x y", "LINSERT l AFTER x y"}, {"LINSERT l AFTER none y", ""},
		{"LREM l 0 x", "LREM l 0 x"}, {"LREM l 0 x", ""}, {"LTRIM l 0 -1", ""}, {"LTRIM l 0 2", "LTRIM l 0 2"},
		{"LMOVE l m LEFT RIGHT", "LMOVE l m LEFT RIGHT"}, {"LMOVE m m LEFT RIGHT", "LMOVE m m LEFT RIGHT"}, {"LMOVE none m LEFT RIGHT", ""},
		{"RPOPLPUSH l m", "RPOPLPUSH l m"}, {"LMPOP 2 none m RIGHT COUNT 9", "RPOP m 2"}, {"LMPOP 1 l LEFT", "LPOP l 1"}, {"LMPOP 1 l LEFT", ""},
		{"RPUSH l 1 2 3 4 5 6", "RPUSH l 1 2 3 4 5 6"}, {"BLPOP none l 0", "LPOP l"}, {"BRPOP l 1.5", "RPOP l"}, {"BLPOP none 0", ""},
		{"BLMOVE l m LEFT RIGHT 0", "LMOVE l m LEFT RIGHT"}, {"BRPOPLPUSH l m 0", "RPOPLPUSH l m"}, {"BLMOVE m l right left 0", "LMOVE m l right left"},
		{"BLMOVE none l RIGHT LEFT 0", ""}, {"BLMPOP 0 2 none l RIGHT COUNT 2", "RPOP l 2"}, {"BLMPOP 0 1 m LEFT", "LPOP m 1"}, {"BLMPOP 0 1 none LEFT", ""},
		{"LRANGE l 0 -1", ""}, {"LLEN l", ""}, {"LPOS l x", ""}, {"LINDEX l 0", ""},
	})
	r.CheckLog(time.Now().UnixMilli(), want, r.Contents(), families()...)
}
