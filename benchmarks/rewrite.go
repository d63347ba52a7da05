package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
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

// favoured is the command that gives a server precedence over what else runs on its CPU, where that is permitted: a process that the kernel
// lets run for one of its slices is two to four milliseconds of a turn that are not the server's.
func favoured() []string {
	wrap := []string{"nice", "-n", "-10"}
	// Without permission nice says so and runs the command all the same.
	if out, err := exec.Command(wrap[0], append(wrap[1:], "nice")...).Output(); err != nil || strings.TrimSpace(string(out)) != "-10" {
		return nil
	}
	return wrap
}

// measurePause: how long the event loops stand still in the worst moments of a
// server with ten million keys, by the server's own account of its longest turn.
func measurePause(b *bench) ([]result, error) {
	keys := b.scaled(10_000_000)
	favour := favoured()
	s, err := b.start(b.tidemark, serverCPU, favour, "--appendonly", "no")
	if err != nil {
		return nil, err
	}
	defer drop(s)
	unpin, err := pinSelf(clientCPU)
	if err != nil {
		return nil, err
	}
	defer unpin()
	c, err := s.Dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	ping := func(int) []string { return []string{"PING"} }
	var out []result
	scene := func(name string, f func() error) error {
		if _, err := c.Do("CONFIG", "RESETSTAT"); err != nil {
			return err
		}
		took, err := during(s, ping, f)
		if err != nil {
			return err
		}
		text, err := infoField(s, "tidemark_longest_turn_usec")
		if err != nil {
			return err
		}
		turn, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return err
		}
		p := percentiles(took)
		out = append(out, atMost("longest turn of an event loop: "+name, turn/1000, 2, " ms").
			note("a client's PINGs meanwhile: p99.9 %.2f ms, longest %.2f ms; both figures are wall clock and hold whatever else ran on the server's CPU%s",
				p[8], p[10], map[bool]string{true: ", where it had nice -10"}[favour != nil]))
		return nil
	}
	if err := scene("10 M keys being added", func() error { return fill(s, 0, keys, 64) }); err != nil {
		return nil, err
	}
	volatileKeys := keys / 10
	if err := scene("1 M keys expiring at once", func() error {
		at := strconv.FormatInt(time.Now().Add(15*time.Second).UnixMilli(), 10)
		if err := fill(s, keys, keys+volatileKeys, 64, "PXAT", at); err != nil {
			return err
		}
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			r, err := c.Do("DBSIZE")
			if err != nil || r.Int <= int64(keys) {
				return err
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("%s keys are left a minute later", r)
			}
		}
	}); err != nil {
		return nil, err
	}
	if err := scene("FLUSHALL ASYNC of 10 M keys", func() error {
		if r, err := c.Do("FLUSHALL", "ASYNC"); err != nil || r.IsError() {
			return fmt.Errorf("FLUSHALL: %v %v", r, err)
		}
		return sleep(2 * time.Second)
	}); err != nil {
		return nil, err
	}
	return out, nil
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
