package commandtest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"tidemark/engine/command"
)

// A Comparison runs random requests on a Runner and on a redis-server, side by side.
type Comparison struct {
	Rnd    *rand.Rand
	Ours   *Runner
	Theirs *Redis
	seed   uint64
	t      *testing.T
}

// Compare begins one; the seed is part of what it reports.
func Compare(t *testing.T, families ...[]*command.Descriptor) *Comparison {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	return &Comparison{rand.New(rand.NewPCG(seed, 0)), New(t, families...), StartRedis(t), seed, t}
}

// Both runs a request on both sides without comparing the replies.
func (p *Comparison) Both(words ...string) {
	p.t.Helper()
	p.Ours.Do(words...)
	p.Theirs.Do(Words(words...))
}

// Limit sets a directive to n on both sides; on ours it is what limit points to.
func (p *Comparison) Limit(directive string, limit *atomic.Int64, n int) {
	p.t.Helper()
	limit.Store(int64(n))
	p.Theirs.Do(Words("CONFIG", "SET", directive, strconv.Itoa(n)))
}

// A Request is one of a Comparison.
type Request struct {
	Words []string // none: nothing is run
	// Same, if set, reports whether the replies are as they should be. Otherwise they must be equal to the letter, errors too.
	Same func(got, want string) bool
}

// Run runs n requests that next makes up, and reports the first whose replies differ. From time to time it changes the protocol and verifies the
// shards' invariants, and every 1000 requests calls vary, if it is not nil, which may change the limits.
func (p *Comparison) Run(n int, vary func(), next func() Request) {
	p.t.Helper()
	bad := 0
	for i := range n {
		if i%1000 == 0 && vary != nil {
			vary()
		}
		if i%5000 == 0 {
			p.Both("HELLO", []string{"2", "3"}[p.Rnd.IntN(2)])
		}
		q := next()
		if q.Words == nil {
			continue
		}
		args := Words(q.Words...)
		want := p.Theirs.Do(args)
		p.Ours.C.Now = time.Now().UnixMilli()
		got := p.Ours.DoArgs(args)
		if got != want && (q.Same == nil || !q.Same(got, want)) {
			p.t.Errorf("seed %d, request %d: %.300q\n got %s\nwant %s", p.seed, i, q.Words, brief(got), brief(want))
			if bad++; bad == 5 {
				return
			}
		}
		if i%2000 == 0 {
			p.Ours.Check(fmt.Sprintf("seed %d, request %d", p.seed, i))
		}
	}
}

// CompareRandom runs n requests that gen makes up in a Comparison.
func CompareRandom(t *testing.T, n int, families [][]*command.Descriptor, gen func(rnd *rand.Rand) []string) {
	t.Helper()
	p := Compare(t, families...)
	p.Run(n, nil, func() Request { return Request{Words: gen(p.Rnd)} })
}

// Number makes up a floating point number in one of the notations people and programs use, now and then a broken one.
func Number(rnd *rand.Rand) string {
	switch rnd.IntN(12) {
	case 0, 1, 2:
		return strconv.FormatFloat((rnd.Float64()-0.5)*100, 'f', rnd.IntN(8), 64)
	case 3:
		return strconv.FormatFloat(rnd.NormFloat64(), 'g', -1, 64)
	case 4:
		return strconv.FormatFloat(rnd.NormFloat64()*1e18, 'e', rnd.IntN(20), 64)
	case 5:
		return fmt.Sprintf("%d.%017d", rnd.IntN(100)-50, rnd.Int64N(1e17))
	case 6:
		return fmt.Sprint(rnd.Int64N(1<<62) >> rnd.IntN(62))
	case 7:
		return fmt.Sprintf("%de%d", rnd.IntN(1000)-500, rnd.IntN(60)-30)
	case 8:
		return fmt.Sprintf("%x.%xp%d", rnd.IntN(256), rnd.IntN(256), rnd.IntN(40)-20)[rnd.IntN(2):]
	case 9:
		return fmt.Sprintf("0x%x.%xp%d", rnd.IntN(256), rnd.Uint64(), rnd.IntN(140)-70)
	case 10:
		return fmt.Sprintf("%d.%d%d%d", rnd.IntN(10), rnd.Uint64(), rnd.Uint64(), rnd.Uint64())
	}
	odd := []string{"", "+1", "-.5", "5.", ".", "-", "1e", "1e+", "inf", "-infinity", "nan", "0x", "0x.p1", " 1", "1 ", "1_0", "0b1", "1e4932",
		"-1.2e4932", "1e4933", "3.6e-4951", "1e-4951", "1e-99999999999", "0e99999", "-0", "1e400", "0x1p16383", "0x1p16384", "-0x1p-16446", "1e1000"}
	return odd[rnd.IntN(len(odd))]
}
