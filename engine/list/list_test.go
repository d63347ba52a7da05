package list

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"tidemark/engine/command"
	"tidemark/engine/command/commandtest"
	stringfamily "tidemark/engine/strings"
)

func families() [][]*command.Descriptor {
	return [][]*command.Descriptor{Commands(), stringfamily.Commands()}
}

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) { commandtest.CompareScript(t, f, families) })
	}
}

// encoding is what OBJECT ENCODING says of a key, "" when there is none.
func encoding(r *commandtest.Runner, key string) string {
	k := r.C.Store.MakeKey([]byte(key))
	ref := k.Shard.Find(0, k.Hash, k.Name)
	if ref == 0 {
		return ""
	}
	return k.Shard.Encoding(ref).String()
}

// Redis 7.0 takes this rank for that of the first match.
func TestLowestRank(t *testing.T) {
	r := commandtest.New(t, families()...)
	r.Do("RPUSH", "l", "a")
	want := "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807\r\n"
	if got := r.Do("LPOS", "l", "a", "RANK", "-9223372036854775808"); got != want {
		t.Error(got)
	}
}

// A list grows by what is about to be added, and becomes small again at half of the limit.
func TestEncodings(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	words := func(s string, n int) string { return strings.Repeat(" "+s, n) }
	for _, tc := range []struct {
		name  string
		fill  int64
		steps []string // requests, each followed by the encoding after it
	}{
		{"by elements", 4, []string{
			"RPUSH l 1 2 3 4", "listpack", "RPUSH l 5", "quicklist", "LPOP l", "quicklist", "LPOP l", "quicklist", "RPOP l", "listpack"}},
		{"by elements, in one block", 4, []string{
			"RPUSH l 1 2 3 4", "listpack", "LSET l 0 x", "quicklist", "RPOP l", "quicklist", "RPOP l", "listpack", "RPOP l 5", ""}},
		{"elements of one push", 4, []string{"LPUSH l 1 2 3 4 5", "quicklist", "LTRIM l 0 0", "listpack"}},
		{"by elements, insert", 4, []string{
			"RPUSH l 1 2 3 4", "listpack", "LINSERT l BEFORE nosuch x", "listpack", "LINSERT l BEFORE 1 x", "quicklist", "LREM l 0 1", "quicklist"}},
		{"by elements, but too long", 4, []string{"RPUSH l a", "listpack", "RPUSH l " + x(8192), "quicklist"}},
		{"none by elements", 0, []string{"RPUSH l a", "listpack", "RPUSH l b", "quicklist"}},
		{"by bytes, up to the limit", -1, []string{"RPUSH l " + x(4089), "listpack", "DEL l", "", "RPUSH l " + x(4090), "quicklist"}},
		{"by bytes as they come", -1, []string{"RPUSH l" + words("1000000", 584), "listpack", "DEL l", "", "RPUSH l" + words("1000000", 585), "quicklist"}},
		{"by bytes, then less", -1, []string{
			"RPUSH l " + x(2000) + " " + x(2000), "listpack", "RPUSH l " + x(100), "quicklist", "LPOP l", "quicklist", "RPOP l", "listpack"}},
		{"by bytes, set", -1, []string{"RPUSH l a b " + x(2000), "listpack", "LSET l 0 " + x(2100), "quicklist"}},
		{"by bytes, set to less", -1, []string{"RPUSH l " + x(5000), "quicklist", "LSET l 0 a", "listpack"}},
		{"moved", 2, []string{"RPUSH l 1 2", "listpack", "RPUSH m 3", "", "RPOPLPUSH m l", "", "LMOVE l m LEFT LEFT", "quicklist"}},
		{"sixteen", -3, []string{"RPUSH l " + x(16000), "listpack", "RPUSH l " + x(400), "quicklist"}},
		{"most", -9, []string{"RPUSH l " + x(65000), "listpack", "RPUSH l " + x(600), "quicklist"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := commandtest.New(t, families()...)
			r.C.Store.Limits.ListSize.Store(tc.fill)
			for i := 0; i < len(tc.steps); i += 2 {
				if reply := r.Do(strings.Fields(tc.steps[i])...); strings.HasPrefix(reply, "-") {
					t.Fatalf("%.60s: %s", tc.steps[i], reply)
				}
				if strings.Fields(tc.steps[i])[1] == "m" {
					continue
				}
				if got := encoding(r, "l"); got != tc.steps[i+1] {
					t.Errorf("%.60s: %s, want %s", tc.steps[i], got, tc.steps[i+1])
				}
			}
		})
	}
}

// Every change counts as Redis counts it, and a write that changes nothing is a write to those who watch.
func TestChangesAreCounted(t *testing.T) {
	r := commandtest.New(t, families()...)
	for _, x := range []struct {
		request string
		changes int
	}{
		{"RPUSH l 1 2 3 4 5 6 7 8 9", 9}, {"LPUSHX none 1", 0}, {"LPOP l", 1}, {"RPOP l 2", 2}, {"LPOP l 0", 0}, {"LTRIM l 0 -1", 0}, {"LTRIM l 1 -2", 2},
		{"LSET l 0 x", 1}, {"LINSERT l AFTER x x", 1}, {"LINSERT l AFTER none x", 0}, {"LREM l 0 x", 2}, {"LREM l 0 x", 0}, {"LMOVE l m LEFT LEFT", 1},
		{"LMOVE m m LEFT LEFT", 1}, {"LMPOP 2 l m LEFT COUNT 7", 2}, {"LTRIM m 5 6", 1}, {"LRANGE m 0 -1", 0},
	} {
		var w command.Watcher
		k := r.C.Store.MakeKey([]byte("l"))
		k.Shard.Lock()
		r.C.Store.Watch(0, &k, false, &w)
		k.Shard.Unlock()
		before := dirty(r)
		r.Do(strings.Fields(x.request)...)
		if got := dirty(r) - before; got != int64(x.changes) {
			t.Errorf("%s counts as %d changes, want %d", x.request, got, x.changes)
		}
		if fmt.Sprintf("%.7s", x.request) == "LTRIM l" && !w.Dirty.Load() {
			t.Errorf("%s goes unnoticed", x.request)
		}
		k.Shard.Lock()
		r.C.Store.Unwatch(0, &k, &w)
		k.Shard.Unlock()
	}
}

func dirty(r *commandtest.Runner) int64 {
	r.C.Publish()
	return r.C.Store.Stats.Dirty.Load()
}
