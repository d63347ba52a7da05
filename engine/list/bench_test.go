package list

import (
	"strconv"
	"testing"

	"tidemark/engine/command/commandtest"
)

const pad = "0123456789abcdef0123456789abcdef"

// hot are the requests that must not allocate. Each leaves the list as long as it was, or one step follows another.
var hot = []struct {
	name  string
	steps [][]string
}{
	{"PushPop", [][]string{{"LPUSH", "LIST", pad}, {"LPOP", "LIST"}, {"RPUSH", "LIST", "12345"}, {"RPOP", "LIST"}}},
	{"Queue", [][]string{{"LPUSH", "LIST", pad}, {"RPOP", "LIST"}}}, // all elements are pad in the end
	{"PushTrim", [][]string{{"RPUSH", "LIST", pad, pad, pad}, {"LTRIM", "LIST", "0", "-4"}}},
	{"PopCount", [][]string{{"RPUSH", "LIST", pad, pad, pad}, {"RPOP", "LIST", "3"}}},
	{"Llen", [][]string{{"LLEN", "LIST"}}},
	{"Lrange", [][]string{{"LRANGE", "LIST", "10", "60"}}},
	{"Lindex", [][]string{{"LINDEX", "LIST", "45"}, {"LINDEX", "LIST", "-1"}}},
	{"Lset", [][]string{{"LSET", "LIST", "45", pad}}},
	{"Lpos", [][]string{{"LPOS", "LIST", "element:60", "COUNT", "0", "MAXLEN", "90"}}},
	{"Linsert", [][]string{{"LINSERT", "LIST", "AFTER", "element:20", pad}, {"LREM", "LIST", "1", pad}}},
	{"Lmove", [][]string{{"LMOVE", "LIST", "LIST", "LEFT", "RIGHT"}, {"RPOPLPUSH", "LIST", "LIST"}}},
	{"Blpop", [][]string{{"LPUSH", "LIST", pad}, {"BLPOP", "none", "LIST", "0"}, {"RPUSH", "LIST", "12345"}, {"BRPOP", "LIST", "1.5"}}},
	{"Blmove", [][]string{{"BLMOVE", "LIST", "LIST", "LEFT", "RIGHT", "0"}, {"BRPOPLPUSH", "LIST", "LIST", "0"}}},
	{"Blmpop", [][]string{{"RPUSH", "LIST", pad}, {"BLMPOP", "0", "2", "none", "LIST", "RIGHT", "COUNT", "1"}}},
	{"Lmpop", [][]string{{"RPUSH", "LIST", pad}, {"LMPOP", "2", "none", "LIST", "RIGHT", "COUNT", "1"}}},
}

// loaded has a small list and a large one.
func loaded(tb testing.TB) *commandtest.Runner {
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

// steps prepares requests; the function it returns runs them all.
func steps(r *commandtest.Runner, list string, requests [][]string) func() {
	var prepared [][][]byte
	for _, words := range requests {
		var args [][]byte
		for _, w := range words {
			if w == "LIST" {
				w = list
			}
			args = append(args, []byte(w))
		}
		prepared = append(prepared, args)
	}
	return func() {
		for _, args := range prepared {
			r.PrepareArgs(args)
			r.C.Run()
		}
	}
}

func TestHotPathAllocatesNothing(t *testing.T) {
	for _, list := range []string{"small", "large"} {
		for _, h := range hot {
			r := loaded(t)
			run := steps(r, list, h.steps)
			run()
			if n := testing.AllocsPerRun(200, run); n != 0 {
				t.Errorf("%s of a %s list allocates %v times", h.name, list, n)
			}
			if reply := string(r.C.W.B); reply == "" || reply[0] == '-' || reply == "$-1\r\n" || reply == "*0\r\n" || reply == ":0\r\n" {
				t.Errorf("%s of a %s list: %q", h.name, list, reply)
			}
		}
	}
}

func BenchmarkCommands(b *testing.B) {
	for _, list := range []string{"small", "large"} {
		for _, h := range hot {
			b.Run(h.name+"/"+list, func(b *testing.B) {
				run := steps(loaded(b), list, h.steps)
				b.ReportAllocs()
				for b.Loop() {
					run()
				}
			})
		}
	}
}
