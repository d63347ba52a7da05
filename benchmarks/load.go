package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidemark/cmd/servertest"
)

// Where servers and loads run.
const (
	serverCPU = "0"
	clientCPU = "1"
	bothCPUs  = "" // not pinned
)

// start starts a server in a fresh directory. cpus is for taskset, "" leaves it unpinned.
func (b *bench) start(bin, cpus string, wrap []string, args ...string) (*servertest.Server, error) {
	dir, err := os.MkdirTemp(b.dir, filepath.Base(bin)+"-")
	if err != nil {
		return nil, err
	}
	return b.startIn(dir, bin, cpus, wrap, args...)
}

func (b *bench) startIn(dir, bin, cpus string, wrap []string, args ...string) (*servertest.Server, error) {
	if cpus != "" {
		wrap = append([]string{"taskset", "-c", cpus}, wrap...)
	}
	return servertest.Start(servertest.Config{Bin: bin, Dir: dir, Wrap: wrap, Ready: 5 * time.Minute,
		Args: append([]string{"--save", "", "--auto-aof-rewrite-percentage", "0"}, args...)})
}

// pinSelf binds this process, whose connections are the load, to CPUs until the returned function is called.
func pinSelf(cpus string) (unpin func(), err error) {
	all := fmt.Sprintf("0-%d", runtime.NumCPU()-1)
	pin := func(list string) error {
		out, err := exec.Command("taskset", "-acp", list, strconv.Itoa(os.Getpid())).CombinedOutput()
		if err != nil {
			return fmt.Errorf("taskset: %w: %s", err, out)
		}
		return nil
	}
	return func() { pin(all) }, pin(cpus)
}

// drop ends a server and removes its data.
func drop(s *servertest.Server) {
	s.Kill()
	os.RemoveAll(s.Dir)
}

// workload is a run of redis-benchmark.
type workload struct {
	name string
	ops  int
	args []string // -t set -c 50 -P 16 ...
}

// load runs redis-benchmark once against a server and measures the server's CPU time with it.
func (b *bench) load(s *servertest.Server, cpus string, w workload) (measure, error) {
	m := measure{Workload: w.name}
	before, err := s.CPU()
	if err != nil {
		return m, err
	}
	ops := b.scaled(w.ops)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out, err := redisBenchmark(ctx, s, cpus, ops, w.args).Output()
	if err != nil {
		return m, fmt.Errorf("redis-benchmark %s: %w", w.name, err)
	}
	after, err := s.CPU()
	if err != nil {
		return m, err
	}
	// "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
	var fields []string
	for _, line := range strings.Split(string(out), "\n") {
		if strings.HasPrefix(line, `"`) && !strings.HasPrefix(line, `"test"`) {
			fields = strings.Split(strings.Trim(line, `"`), `","`)
		}
	}
	if len(fields) < 8 {
		return m, fmt.Errorf("redis-benchmark %s printed no result: %q", w.name, out)
	}
	value := func(i int) float64 {
		v, perr := strconv.ParseFloat(fields[i], 64)
		if perr != nil {
			err = perr
		}
		return v
	}
	m.OpsPerSec, m.P50Millis, m.P99Millis = value(1), value(4), value(6)
	m.CPUMicros = float64((after - before).Microseconds()) / float64(ops)
	return m, err
}

func redisBenchmark(ctx context.Context, s *servertest.Server, cpus string, ops int, args []string) *exec.Cmd {
	argv := []string{"redis-benchmark", "-h", "127.0.0.1", "-p", strconv.Itoa(s.Port), "-n", strconv.Itoa(ops), "--csv"}
	argv = append(argv, args...)
	if cpus != "" {
		argv = append([]string{"taskset", "-c", cpus}, argv...)
	}
	return exec.CommandContext(ctx, argv[0], argv[1:]...)
}

// background runs redis-benchmark until stop is called.
func (b *bench) background(s *servertest.Server, cpus string, args ...string) (stop func(), err error) {
	ctx, cancel := context.WithCancel(context.Background())
	cmd := redisBenchmark(ctx, s, cpus, 2_000_000_000, args)
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	return func() {
		cancel()
		cmd.Wait() // killed, so its error says nothing
	}, nil
}

// contender is one of the servers of a comparison.
type contender struct {
	name string
	srv  *servertest.Server
}

// compare runs every workload on every contender in each round, taking turns, and
// returns the medians by workload and contender.
func (b *bench) compare(contenders []contender, cpus string, workloads []workload) (map[string]map[string]measure, error) {
	all := map[string]map[string][]measure{}
	for round := range b.rounds {
		for _, w := range workloads {
			for i := range contenders {
				c := contenders[(i+round)%len(contenders)] // not always the same one first
				m, err := b.load(c.srv, cpus, w)
				if err != nil {
					return nil, fmt.Errorf("%s: %w\n%s", c.name, err, c.srv.Log())
				}
				if all[w.name] == nil {
					all[w.name] = map[string][]measure{}
				}
				all[w.name][c.name] = append(all[w.name][c.name], m)
			}
		}
	}
	out := map[string]map[string]measure{}
	for w, servers := range all {
		out[w] = map[string]measure{}
		for name, ms := range servers {
			m := medianOf(ms)
			m.Server, m.Workload = name, w
			out[w][name] = m
		}
	}
	return out, nil
}

func medianOf(ms []measure) measure {
	field := func(get func(measure) float64) float64 {
		var v []float64
		for _, m := range ms {
			v = append(v, get(m))
		}
		return median(v)
	}
	return measure{
		OpsPerSec: field(func(m measure) float64 { return m.OpsPerSec }),
		CPUMicros: field(func(m measure) float64 { return m.CPUMicros }),
		P50Millis: field(func(m measure) float64 { return m.P50Millis }),
		P99Millis: field(func(m measure) float64 { return m.P99Millis }),
	}
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Clone(v)
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}
