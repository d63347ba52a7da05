//go:build !race

package generic

import (
	"strconv"
	"strings"
	"testing"

	"tidemark/engine/command/commandtest"
)

// TestSortAllocates hardly anything: what it needs it keeps. (Under the race detector pools lose things on purpose.)
func TestSortAllocates(t *testing.T) {
	r := commandtest.New(t, sortFamilies()...)
	const n = 2000 // a few times what is sorted without memory to move places to
	for i := range n {
		e := strconv.Itoa(i * 7919 % n)
		r.Do("RPUSH", "l", e)
		r.Do("SET", "w_"+e, e)
	}
	for _, request := range []string{"SORT l", "SORT l ALPHA DESC LIMIT 0 10", "SORT l BY w_* GET # GET w_*", "SORT l BY nosort LIMIT 10 20"} {
		r.Prepare(strings.Fields(request)...)
		run := func() { r.C.W.B = r.C.W.B[:0]; r.C.Run() }
		run()
		if n := testing.AllocsPerRun(100, run); n > 1 { // the pool may lose a sorter at any time
			t.Errorf("%s allocates %v times", request, n)
		}
	}
}
