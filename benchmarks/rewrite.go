package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"tidemark/cmd/servertest"
)

// measureRewrite: what a rewrite of ten million keys does to GETs and to memory,
// under full write load.
func measureRewrite(b *bench) ([]result, error) {
	keys := b.scaled(10_000_000)
	s, err := b.start(b.tidemark, serverCPU, nil, "--appendonly", "yes", "--appendfsync", "everysec")
	if err != nil {
		return nil, err
	}
	defer drop(s)
	unpin, err := pinSelf(clientCPU)
	if err != nil {
		return nil, err
	}
	defer unpin()
	if err := fill(s, 0, keys, 64); err != nil {
		return nil, err
	}
	stop, err := b.background(s, clientCPU, "-t", "set", "-d", "64", "-r", strconv.Itoa(keys), "-c", "50", "-P", "16")
	if err != nil {
		return nil, err
	}
	defer stop()
	get := func(i int) []string { return []string{"GET", key16(i * 7919 % keys)} }
	if err := sleep(2 * time.Second); err != nil { // until the load is steady
		return nil, err
	}
	rssBefore, _, err := s.Memory()
	if err != nil {
		return nil, err
	}
	without, err := during(s, get, func() error { return sleep(8 * time.Second) })
	if err != nil {
		return nil, err
	}
	var peak atomic.Int64
	var took time.Duration
	with, err := during(s, get, func() error {
		begin := time.Now()
		err := rewriteOnce(s, &peak)
		took = time.Since(begin)
		return err
	})
	if err != nil {
		return nil, err
	}
	pw, po := percentiles(with), percentiles(without)
	const p999 = 8 // index of 99.9 in percentilePoints
	mw := measure{Server: "while rewriting", Workload: "GET under full write load", P50Millis: pw[2], P99Millis: pw[6], Percentiles: pw}
	mo := measure{Server: "without", Workload: "GET under full write load", P50Millis: po[2], P99Millis: po[6], Percentiles: po}
	return []result{
		atMost("p99.9 of GET while 10 M keys are rewritten under full write load, over without", pw[p999]/po[p999], 2, "×", mw, mo).
			note("%.2f ms against %.2f ms; the rewrite took %.1f s; %d and %d GETs", pw[p999], po[p999], took.Seconds(), len(with), len(without)),
		atMost("peak RSS while rewriting over before", float64(peak.Load())/float64(rssBefore), 1.1, "×").
			note("%d MiB against %d MiB", peak.Load()>>20, rssBefore>>20),
	}, nil
}

func sleep(d time.Duration) error {
	time.Sleep(d)
	return nil
}

// rewriteOnce runs BGREWRITEAOF to its end and notes the largest resident set meanwhile.
func rewriteOnce(s *servertest.Server, peak *atomic.Int64) error {
	c, err := s.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	if r, err := c.Do("BGREWRITEAOF"); err != nil || r.IsError() {
		return fmt.Errorf("BGREWRITEAOF: %v %v", r, err)
	}
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		rss, _, err := s.Memory()
		if err != nil {
			return err
		}
		peak.Store(max(peak.Load(), rss))
		running, err := infoField(s, "aof_rewrite_in_progress")
		if err != nil {
			return err
		}
		if running == "0" {
			return nil
		}
	}
	return fmt.Errorf("the rewrite did not end within 3 minutes")
}

// idleSeconds is over how long the CPU time of an idle server is taken.
const idleSeconds = 20

// cpuPercent is the server's CPU time over some seconds, in percent of a core. It
// reads the nanoseconds of the scheduler, since the ticks of /proc/PID/stat are too coarse.
func cpuPercent(s *servertest.Server, seconds int) (float64, error) {
	before, err := schedNanos(s.PID())
	if err != nil {
		return 0, err
	}
	time.Sleep(time.Duration(seconds) * time.Second)
	after, err := schedNanos(s.PID())
	if err != nil {
		return 0, err
	}
	return float64(after-before) / float64(seconds) / 1e9 * 100, nil
}

// schedNanos sums the run time of all threads.
func schedNanos(pid int) (int64, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		var run int64
		if _, err := fmt.Sscan(string(b), &run); err != nil {
			return 0, fmt.Errorf("%s: %w", f, err)
		}
		sum += run
	}
	if sum == 0 {
		return 0, fmt.Errorf("/proc/%d/task/*/schedstat says nothing", pid)
	}
	return sum, nil
}
