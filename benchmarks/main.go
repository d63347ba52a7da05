// Benchmarks measures tidemark side by side with the redis-server of the same
// machine and writes what it found: results.json, results.md and plots.
//
//	go run ./benchmarks                        everything
//	go run ./benchmarks --only strings,always  some groups; the others keep their latest results
//	go run ./benchmarks --plot-only            tables and plots anew from results.json
//	go run ./benchmarks --profile FILE         no figures: a CPU profile of the server to build it by
//
// Method. Absolute times drift with the machine, so every figure is a ratio
// between servers measured in the same rounds, or the server process's own CPU
// time (user and system, from /proc) over the operations it served. Servers run
// on CPU 0 and the load on CPU 1, except where a row says that both share both;
// they take turns within each round, there are at least three rounds, and the
// median counts. While measuring, a lock file keeps a second benchmark away.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"tidemark/cmd/servertest"
)

// group is a set of rows that are measured together.
type group struct {
	name string
	run  func(b *bench) ([]result, error)
}

// groups in the order of the table.
func groups() []group {
	return []group{
		{"strings", measureStrings},
		{"everysec", measureEverysec},
		{"always", measureAlways},
		{"latency", measureLatency},
		{"reads", measureReads},
		{"waitaof", measureWaitAOF},
		{"replication", measureReplication},
		{"recovery", measureRecovery},
		{"memory", measureMemory},
		{"rewrite", measureRewrite},
		{"pause", measurePause},
		{"types", measureTypes},
		{"sort", measureSort},
		{"elements", measureElements},
		{"collections", measureCollections},
		{"idle", measureIdle},
		{"connections", measureConnections},
		{"loops", measureLoops},
	}
}

// bench is one invocation.
type bench struct {
	tidemark, redis string // programs
	rounds          int
	scale           float64
	dir             string // scratch space, on the disk that is measured
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == witnessCommand {
		runWitness()
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(1)
	}
}

func run() error {
	only := flag.String("only", "", "comma-separated groups to measure (default: all)")
	rounds := flag.Int("rounds", 3, "rounds; the median counts")
	scale := flag.Float64("scale", 1, "multiplies operation and key counts; below 1 for a quick look, not for results")
	out := flag.String("out", "benchmarks", "directory of results.json, results.md and the plots")
	scratch := flag.String("scratch", "", "directory for the servers' data (default: a new one under the temporary directory)")
	lock := flag.String("lock", lockPath(), "file that is locked while measuring (default from TIDEMARK_BENCH_LOCK)")
	tidemark := flag.String("tidemark", "", "program to measure (default: built from this module)")
	plotOnly := flag.Bool("plot-only", false, "write tables and plots from results.json without measuring")
	profile := flag.String("profile", "", "write a CPU profile of tidemark under the loads of strings, types and sort to this file, and measure nothing")
	flag.Parse()

	rep, err := loadReport(filepath.Join(*out, "results.json"))
	if err != nil {
		return err
	}
	if *plotOnly {
		return rep.write(*out)
	}
	var names []string
	if *only != "" {
		names = strings.Split(*only, ",")
	}
	for _, n := range names {
		if !slices.ContainsFunc(groups(), func(g group) bool { return g.name == n }) {
			return fmt.Errorf("no group %q", n)
		}
	}
	b := &bench{tidemark: *tidemark, rounds: *rounds, scale: *scale}
	if b.redis, err = servertest.RedisBinary(); err != nil {
		return err
	}
	if b.tidemark == "" {
		if b.tidemark, err = servertest.Build(false); err != nil {
			return err
		}
		defer os.RemoveAll(filepath.Dir(b.tidemark))
	}
	if b.dir, err = os.MkdirTemp(*scratch, "tidemark-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if *profile != "" {
		_, err := b.locked(*lock, group{"profile", func(b *bench) ([]result, error) { return nil, b.profile(*profile) }})
		return err
	}
	rep.Machine = describeMachine(b)
	for _, g := range groups() {
		if names != nil && !slices.Contains(names, g.name) {
			continue
		}
		begin := time.Now()
		results, err := b.locked(*lock, g)
		if err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
		for i := range results {
			results[i].Group = g.name
			results[i].Taken = time.Now().UTC().Truncate(time.Second)
			fmt.Printf("%-12s %s: %s (goal %s) %s\n", g.name, results[i].What, results[i].Measured, results[i].Goal, verdict(results[i].Reached))
		}
		fmt.Printf("%-12s took %v\n", g.name, time.Since(begin).Round(time.Second))
		rep.replace(g.name, results)
		if err := rep.write(*out); err != nil {
			return err
		}
	}
	return nil
}

func lockPath() string {
	if p := os.Getenv("TIDEMARK_BENCH_LOCK"); p != "" {
		return p
	}
	return filepath.Join(os.TempDir(), "tidemark-bench.lock")
}

// locked runs one group while holding the lock file.
func (b *bench) locked(path string, g group) ([]result, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return g.run(b)
}

func verdict(reached bool) string {
	if reached {
		return "reached"
	}
	return "MISSED"
}

// scaled multiplies a count by --scale.
func (b *bench) scaled(n int) int { return max(int(float64(n)*b.scale), 100) }
