package commandtest

import (
	"slices"
	"strings"
	"testing"
)

// A Case is a request of the hot path, or several with " / " between that together leave the key as it was: words with spaces between, in which $
// is the name of the key. A Name that ends with Miss says that nothing is found.
type Case = struct{ Name, Requests string }

// Steps prepares requests in a Case's form; the function it returns runs them all, and leaves the last one's reply in C.W.B.
func (r *Runner) Steps(requests, key string) func() {
	var prepared [][][]byte
	for _, request := range strings.Split(requests, " / ") {
		prepared = append(prepared, Words(strings.Fields(strings.ReplaceAll(request, "$", key))...))
	}
	return func() {
		for _, args := range prepared {
			r.PrepareArgs(args)
			r.C.Run()
		}
	}
}

// AllocatesNothing runs the case on the key and fails the test when that allocates, or when its last reply is an error, null or an empty array.
// Under the race detector, which has pools forget at random, the case runs once.
func (r *Runner) AllocatesNothing(c Case, key string) {
	r.tb.Helper()
	run := r.Steps(c.Requests, key)
	run()
	if Effort == 1 {
		if n := testing.AllocsPerRun(200, run); n != 0 {
			r.tb.Errorf("%s on key %s allocates %v times", c.Name, key, n)
		}
	}
	nothing := []string{"", "$-1\r\n", "_\r\n", "*-1\r\n", "*0\r\n"}
	if reply := string(r.C.W.B); strings.HasPrefix(reply, "-") || slices.Contains(nothing, reply) && !strings.HasSuffix(c.Name, "Miss") {
		r.tb.Errorf("%s on key %s: %q", c.Name, key, reply)
	}
}

// Benchmark times each case on each key, by itself on what load makes.
func Benchmark(b *testing.B, cases []Case, load func(tb testing.TB, key string) *Runner, keys ...string) {
	for _, key := range keys {
		for _, c := range cases {
			b.Run(c.Name+"/"+key, func(b *testing.B) {
				run := load(b, key).Steps(c.Requests, key)
				b.ReportAllocs()
				for b.Loop() {
					run()
				}
			})
		}
	}
}
