package command

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestLatencyBuckets(t *testing.T) {
	last := -1
	for _, n := range []int64{-1, 0, 1, 15, 16, 17, 31, 32, 33, 1000, 1 << 20, 1<<20 + 1<<16, 1 << 36, 1<<37 - 1, 1 << 37, 1 << 62} {
		i := latencyBucket(n)
		if i < last || i >= latencyBuckets {
			t.Fatalf("%d ns in bucket %d, after %d", n, i, last)
		}
		last = i
		if b := latencyBound(i); n >= 0 && n < 1<<37 && (b < n || float64(b) > float64(n)*17/16+1) {
			t.Errorf("%d ns stands for %d", b, n)
		}
	}
}

func TestPercentiles(t *testing.T) {
	var l Latencies
	if l.Percentile(50) != 0 {
		t.Error("a percentile of nothing")
	}
	var all []int64
	for range 10000 {
		n := int64(rand.ExpFloat64() * 20000)
		all = append(all, n)
		l[latencyBucket(n)].Add(1)
	}
	slices.Sort(all)
	for _, p := range []float64{1, 50, 99, 99.9} {
		want := all[int(float64(len(all))*p/100)-1]
		if got := l.Percentile(p); got < want || float64(got) > float64(want)*17/16+1 {
			t.Errorf("p%g: %d ns, want %d", p, got, want)
		}
	}
	if got, want := l.Percentile(100), all[len(all)-1]; got < want {
		t.Errorf("p100: %d ns, the longest took %d", got, want)
	}
}
