package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"
)

// result is one row of the table: a goal and what was measured.
type result struct {
	Group    string    `json:"group"`
	What     string    `json:"what"`
	Goal     string    `json:"goal"`
	Measured string    `json:"measured"`
	Value    float64   `json:"value"` // what is compared with the goal
	Reached  bool      `json:"reached"`
	Measures []measure `json:"measures,omitempty"` // what Value was computed from
	Note     string    `json:"note,omitempty"`
	Taken    time.Time `json:"taken"`
}

// measure is the median of one server under one workload.
type measure struct {
	Server      string    `json:"server"`
	Workload    string    `json:"workload"`
	OpsPerSec   float64   `json:"ops_per_sec,omitempty"`
	CPUMicros   float64   `json:"cpu_us_per_op,omitempty"`
	P50Millis   float64   `json:"p50_ms,omitempty"`
	P99Millis   float64   `json:"p99_ms,omitempty"`
	Percentiles []float64 `json:"percentiles_ms,omitempty"` // at the positions of percentilePoints
}

// atMost and atLeast make a row whose goal is a bound.
func atMost(what string, value, limit float64, unit string, measures ...measure) result {
	return result{What: what, Goal: "≤ " + number(limit) + unit, Measured: number(value) + unit,
		Value: value, Reached: value <= limit, Measures: measures}
}

func atLeast(what string, value, limit float64, unit string, measures ...measure) result {
	return result{What: what, Goal: "≥ " + number(limit) + unit, Measured: number(value) + unit,
		Value: value, Reached: value >= limit, Measures: measures}
}

func (r result) note(format string, args ...any) result {
	r.Note = fmt.Sprintf(format, args...)
	return r
}

func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v == float64(int(v)):
		return fmt.Sprintf("%.0f", v)
	}
	return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.3f", v), "0"), ".")
}

// report is everything measured so far, the content of results.json.
type report struct {
	Machine machine  `json:"machine"`
	Results []result `json:"results"`
}

func loadReport(path string) (*report, error) {
	rep := &report{}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return rep, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, rep); err != nil {
		return nil, fmt.Errorf("%s: %w; remove it to begin anew", path, err)
	}
	return rep, nil
}

// replace puts a group's new results where its old ones were.
func (r *report) replace(name string, results []result) {
	r.Results = slices.DeleteFunc(r.Results, func(x result) bool { return x.Group == name })
	r.Results = append(r.Results, results...)
	order := map[string]int{}
	for i, g := range groups() {
		order[g.name] = i
	}
	sort.SliceStable(r.Results, func(i, j int) bool { return order[r.Results[i].Group] < order[r.Results[j].Group] })
}

// write writes results.json, results.md and the plots.
func (r *report) write(dir string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "results.json"), append(b, '\n'), 0o644); err != nil {
		return err
	}
	plots, err := r.plots(dir)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "results.md"), []byte(r.markdown(plots)), 0o644)
}

func (r *report) markdown(plots []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Measured\n\nWritten by `go run ./benchmarks`; how it measures is in `main.go`.\n\n")
	fmt.Fprintf(&b, "%s, %d CPUs, Linux %s, %s, against %s.\n\n", r.Machine.CPU, r.Machine.CPUs, r.Machine.Kernel, r.Machine.Go, r.Machine.Redis)
	b.WriteString("| group | what | goal | measured | reached |\n| --- | --- | --- | --- | --- |\n")
	reached := 0
	for _, x := range r.Results {
		mark := "**no**"
		if x.Reached {
			mark = "yes"
			reached++
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", x.Group, x.What, x.Goal, x.Measured, mark)
	}
	fmt.Fprintf(&b, "\n%d of %d reached.\n", reached, len(r.Results))
	for _, p := range plots {
		fmt.Fprintf(&b, "\n![%s](%s)\n", strings.TrimSuffix(p, filepath.Ext(p)), p)
	}
	b.WriteString("\n## What the ratios come from\n\n| group | workload | server | k ops/s | CPU µs/op | p50 ms | p99 ms |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	seen := map[string]bool{}
	for _, x := range r.Results {
		for _, m := range x.Measures {
			line := fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s |\n", x.Group, m.Workload, m.Server,
				blankZero(m.OpsPerSec/1000), blankZero(m.CPUMicros), blankZero(m.P50Millis), blankZero(m.P99Millis))
			if !seen[line] {
				seen[line] = true
				b.WriteString(line)
			}
		}
	}
	b.WriteString("\n## Notes\n\n")
	for _, x := range r.Results {
		if x.Note != "" {
			fmt.Fprintf(&b, "- %s: %s\n", x.What, x.Note)
		}
	}
	return b.String()
}

func blankZero(v float64) string {
	if v == 0 {
		return ""
	}
	return number(v)
}
