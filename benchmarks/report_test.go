package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestReport(t *testing.T) {
	dir := t.TempDir()
	rep := &report{Machine: machine{CPU: "test"}}
	a := measure{Server: "tidemark", Workload: "set P1", CPUMicros: 5, OpsPerSec: 1000}
	b := measure{Server: "redis", Workload: "set P1", CPUMicros: 10, OpsPerSec: 900}
	rep.replace("waitaof", []result{{Group: "waitaof", What: "wait", Goal: "≤ 1", Measured: "2"}})
	x := atMost("cpu", 0.5, 0.87, "×", a, b)
	x.Group = "strings"
	rep.replace("strings", []result{x})
	if err := rep.write(dir); err != nil {
		t.Fatal(err)
	}
	md, err := os.ReadFile(filepath.Join(dir, "results.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| strings | cpu | ≤ 0.87× | 0.5× | yes |", "| waitaof | wait | ≤ 1 | 2 | **no** |", "1 of 2 reached", "cpu.svg"} {
		if !strings.Contains(string(md), want) {
			t.Errorf("results.md lacks %q:\n%s", want, md)
		}
	}
	if strings.Index(string(md), "| strings |") > strings.Index(string(md), "| waitaof |") {
		t.Error("rows are not in the order of the groups")
	}
	again, err := loadReport(filepath.Join(dir, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Results) != 2 || again.Results[0].Measures[1].CPUMicros != 10 {
		t.Errorf("results.json came back as %+v", again)
	}
}

func TestStatistics(t *testing.T) {
	if m := median([]float64{3, 1, 2}); m != 2 {
		t.Errorf("median of three: %v", m)
	}
	if m := median([]float64{4, 1, 2, 3}); m != 2.5 {
		t.Errorf("median of four: %v", m)
	}
	var took []time.Duration
	for i := 1000; i > 0; i-- {
		took = append(took, time.Duration(i)*time.Millisecond)
	}
	p := percentiles(took)
	if p[2] != 501 || p[8] != 1000 || p[10] != 1000 {
		t.Errorf("percentiles %v", p)
	}
	if k := key16(1234567); len(k) != 16 {
		t.Errorf("key of %d bytes", len(k))
	}
}
