package hash

import (
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tidemark/engine/command/commandtest"
	"tidemark/engine/generic"
	"tidemark/engine/rdb"
)

// fillExpiring makes a hash of n fields, of which all but every tenth expire at the same time.
func fillExpiring(r *commandtest.Runner, key string, n int, at int64) {
	set := []string{"HSET", key}
	expire := []string{"HPEXPIREAT", key, strconv.FormatInt(at, 10), "FIELDS", ""}
	flush := func() {
		if len(set) > 2 {
			r.Do(set...)
			expire[4] = strconv.Itoa(len(expire) - 5)
			r.Do(expire...)
			set, expire = set[:2], expire[:5]
		}
	}
	for i := range n {
		f := "field:" + strconv.Itoa(i)
		set = append(set, f, "value "+strconv.Itoa(i))
		if i%10 != 0 {
			expire = append(expire, f)
		}
		if len(set) > 500 {
			flush()
		}
	}
	flush()
}

func shardOf(r *commandtest.Runner, key string) int {
	ks := r.C.Store.KS
	return ks.ShardIndex(ks.Hash([]byte(key)))
}

// TestLargeHashExpires: a hash with a heap of its own, copied, renamed, dumped and in a snapshot while its fields expire.
func TestLargeHashExpires(t *testing.T) {
	const n = 60_000 / min(commandtest.Effort, 3)
	all := append(families(), generic.Commands())
	r := commandtest.New(t, all...)
	r.C.Now = 1000
	fillExpiring(r, "h", n, 2000)
	r.Check()
	r.Do("COPY", "h", "copy")
	r.Do("RENAME", "copy", "other") // most likely on another shard
	payload := commandtest.Bulks(r.Do("DUMP", "h"))[0]
	if got := r.Do("RESTORE", "restored", "0", payload); got != "+OK\r\n" {
		t.Fatal(got)
	}
	want := withoutEncoding(r.Contents())
	for _, key := range []string{"other", "restored"} {
		if want[key] != want["h"] {
			t.Fatalf("%s differs from what it was made of", key)
		}
	}
	r.Check()
	im := beginImage(r, &rdb.Encoder{})
	r.C.Now = 2000
	if got := r.Do("HGETALL", "h"); !strings.HasPrefix(got, "*"+strconv.Itoa(n/5)+"\r\n") {
		t.Errorf("HGETALL: %.20q", got)
	}
	if got := r.Do("HLEN", "h"); got != ":"+strconv.Itoa(n)+"\r\n" {
		t.Errorf("HLEN counts %q", got)
	}
	// With most of them gone by, but there, what is drawn has not expired.
	r.C.Store.SetFollowing(true)
	for range 100 {
		for _, f := range commandtest.Bulks(r.Do("HRANDFIELD", "h", "3")) {
			if !strings.HasSuffix(f, "0") {
				t.Fatalf("HRANDFIELD gives %s, which has expired", f)
			}
		}
	}
	r.C.Store.SetFollowing(false)
	for left := 3; left > 0; {
		left = 3
		for _, key := range []string{"h", "other", "restored"} {
			if n, _ := r.C.ExpireDue(shardOf(r, key), 16); n == 0 {
				left--
			}
			if im != nil && im.step(t, r.C.Store.KS) {
				im = nil
			}
		}
	}
	for im != nil && !im.step(t, r.C.Store.KS) {
	}
	r.Check()
	got := withoutEncoding(r.Contents())
	if len(got) != 3 || got["h"] != got["other"] || got["h"] != got["restored"] || strings.Contains(got["h"], "until") || strings.Count(got["h"], "=") != n/10 {
		t.Errorf("%d hashes with %d fields are left", len(got), strings.Count(got["h"], "="))
	}
	r.C.Now = 3000
	fillExpiring(r, "h", n, 2900)
	if again := withoutEncoding(r.Contents()); !maps.Equal(got, again) {
		t.Error("fields that were given an expiry in the past are still there")
	}
	r.Check()
}

// BenchmarkFieldExpiryPauses reports the longest single calls, in CPU time of the calling thread, while a million fields of one hash come, are given the same
// expiry, and expire.
func BenchmarkFieldExpiryPauses(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	now := func() time.Duration {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
			b.Fatal(err)
		}
		return time.Duration(ts.Nano())
	}
	const n = 1_000_000
	for b.Loop() {
		r := commandtest.New(b, families()...)
		r.C.Now = 1000
		var took []time.Duration
		timed := func(f func()) {
			from := now()
			f()
			took = append(took, now()-from)
		}
		report := func(name string) {
			slices.Sort(took)
			var sum time.Duration
			for _, d := range took {
				sum += d
			}
			b.ReportMetric(float64(took[len(took)-1].Nanoseconds())/1e3, name+"-max-µs")
			b.ReportMetric(float64(sum.Nanoseconds())/n, name+"-ns/field")
			took = nil
		}
		set, expire := commandtest.Words("HSET", "h", "", "some value"), commandtest.Words("HPEXPIREAT", "h", "2000", "FIELDS", "1", "")
		var buf [24]byte
		for i := range n {
			set[2] = strconv.AppendInt(append(buf[:0], "field:"...), int64(i), 10)
			timed(func() {
				r.PrepareArgs(set)
				r.C.Run()
			})
		}
		report("HSET")
		for i := range n {
			expire[5] = strconv.AppendInt(append(buf[:0], "field:"...), int64(i), 10)
			timed(func() {
				r.PrepareArgs(expire)
				r.C.Run()
			})
		}
		report("HPEXPIREAT")
		r.C.Now = 2000
		shard := shardOf(r, "h")
		for done := 1; done > 0; {
			timed(func() { done, _ = r.C.ExpireDue(shard, 16) })
		}
		report("expire16")
	}
}
