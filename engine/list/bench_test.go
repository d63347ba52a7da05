package list

import (
	"strconv"
	"testing"

	"tidemark/engine/command/commandtest"
)

const pad = "0123456789abcdef0123456789abcdef"

// hot are the requests that must not allocate. Each leaves the list as long as it was.
var hot = []commandtest.Case{
	{"PushPop", "LPUSH $ " + pad + " / LPOP $ / RPUSH $ 12345 / RPOP $"},
	{"Queue", "LPUSH $ " + pad + " / RPOP $"}, // all elements are pad in the end
	{"PushTrim", "RPUSH $ " + pad + " " + pad + " " + pad + " / LTRIM $ 0 -4"},
	{"PopCount", "RPUSH $ " + pad + " " + pad + " " + pad + " / RPOP $ 3"},
	{"Llen", "LLEN $"},
	{"Lrange", "LRANGE $ 10 60"},
	{"Lindex", "LINDEX $ 45 / LINDEX $ -1"},
	{"Lset", "LSET $ 45 " + pad},
	{"Lpos", "LPOS $ element:60 COUNT 0 MAXLEN 90"},
	{"Linsert", "LINSERT $ AFTER element:20 " + pad + " / LREM $ 1 " + pad},
	{"Lmove", "LMOVE $ $ LEFT RIGHT / RPOPLPUSH $ $"},
	{"Blpop", "LPUSH $ " + pad + " / BLPOP none $ 0 / RPUSH $ 12345 / BRPOP $ 1.5"},
	{"Blmove", "BLMOVE $ $ LEFT RIGHT 0 / BRPOPLPUSH $ $ 0"},
	{"Blmpop", "RPUSH $ " + pad + " / BLMPOP 0 2 none $ RIGHT COUNT 1"},
	{"Lmpop", "RPUSH $ " + pad + " / LMPOP 2 none $ RIGHT COUNT 1"},
}

// loaded has a small list and a large one.
func loaded(tb testing.TB, _ string) *commandtest.Runner {
	r := commandtest.New(tb, families()...)
	for i := range 20000 {
		if i < 100 {
			r.Do("RPUSH", "small", "element:"+strconv.Itoa(i))
		}
		r.Do("RPUSH", "large", "element:"+strconv.Itoa(i))
	}
	for key, want := range map[string]string{"small": "listpack", "large": "quicklist"} {
		if got := encoding(r, key); got != want {
			tb.Fatalf("%s is a %s", key, got)
		}
	}
	return r
}

func TestHotPathAllocatesNothing(t *testing.T) {
	for _, key := range []string{"small", "large"} {
		for _, c := range hot {
			r := loaded(t, key)
			before := r.Do("LLEN", key)
			r.AllocatesNothing(c, key)
			if after := r.Do("LLEN", key); after != before {
				t.Errorf("%s: the %s list had %q elements and has %q", c.Name, key, before, after)
			}
		}
	}
}

func BenchmarkCommands(b *testing.B) { commandtest.Benchmark(b, hot, loaded, "small", "large") }
