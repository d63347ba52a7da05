package main

import (
	"image/color"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

var (
	ours   = color.RGBA{R: 0x1b, G: 0x6c, B: 0xa8, A: 0xff}
	theirs = color.RGBA{R: 0xc8, G: 0x55, B: 0x3d, A: 0xff}
	third  = color.RGBA{R: 0x7f, G: 0x8c, B: 0x8d, A: 0xff}
)

// plots draws what the report has figures for and returns the files' names.
func (r *report) plots(dir string) ([]string, error) {
	var names []string
	for _, p := range []struct {
		file string
		draw func() (*plot.Plot, error)
	}{
		{"cpu.svg", func() (*plot.Plot, error) {
			return r.bars([]string{"strings"}, "CPU per operation, no AOF, 50 connections", "µs",
				[]string{"tidemark", "redis"}, "", func(m measure) float64 { return m.CPUMicros })
		}},
		{"always.svg", func() (*plot.Plot, error) {
			return r.bars([]string{"always"}, "SET with appendfsync always, server and load on two CPUs", "throughput over redis always",
				[]string{"tidemark always", "redis always", "tidemark everysec"}, "redis always", func(m measure) float64 { return m.OpsPerSec })
		}},
		{"reads.svg", func() (*plot.Plot, error) {
			return r.bars([]string{"reads"}, "GETs of 50 connections beside 8 writers", "thousand operations a second",
				[]string{"tidemark always, syncs 5 ms slower", "redis always, syncs 5 ms slower", "tidemark always", "tidemark everysec"}, "",
				func(m measure) float64 { return m.OpsPerSec / 1000 })
		}},
		{"rewrite.svg", r.latencyCurve},
	} {
		drawn, err := p.draw()
		if err != nil {
			return nil, err
		}
		if drawn == nil {
			continue // nothing measured yet
		}
		if err := drawn.Save(18*vg.Centimeter, 9*vg.Centimeter, filepath.Join(dir, p.file)); err != nil {
			return nil, err
		}
		names = append(names, p.file)
	}
	return names, nil
}

// bars draws one group of bars per workload, one bar per server; over names the server that the others are divided by, if any.
func (r *report) bars(groups []string, title, unit string, servers []string, over string, value func(measure) float64) (*plot.Plot, error) {
	var workloads []string
	values := map[string]map[string]float64{}
	for _, x := range r.Results {
		if !slices.Contains(groups, x.Group) {
			continue
		}
		for _, m := range x.Measures {
			if values[m.Workload] == nil {
				values[m.Workload] = map[string]float64{}
				workloads = append(workloads, m.Workload)
			}
			values[m.Workload][m.Server] = value(m)
		}
	}
	if len(workloads) == 0 {
		return nil, nil
	}
	p := plot.New()
	p.Title.Text = title
	p.Y.Label.Text = unit
	p.Y.Min = 0
	p.Legend.Top = true
	width := vg.Points(60 / float64(len(servers)))
	colors := []color.Color{ours, theirs, third, color.Gray{0xbb}}
	for i, s := range servers {
		var v plotter.Values
		for _, w := range workloads {
			x := values[w][s]
			if over != "" && values[w][over] > 0 {
				x /= values[w][over]
			}
			v = append(v, x)
		}
		bar, err := plotter.NewBarChart(v, width)
		if err != nil {
			return nil, err
		}
		bar.Color = colors[i%len(colors)]
		bar.LineStyle.Width = 0
		bar.Offset = width * vg.Length(float64(i)-float64(len(servers)-1)/2)
		p.Add(bar)
		p.Legend.Add(s, bar)
	}
	p.Add(plotter.NewGrid())
	var labels []string
	for _, w := range workloads {
		labels = append(labels, strings.ReplaceAll(w, ", ", "\n"))
	}
	p.NominalX(labels...)
	p.Y.Max *= 1.3 // room for the legend
	p.X.Min, p.X.Max = -0.6, float64(len(workloads))-0.4
	return p, nil
}

// latencyCurve draws latency over percentile, with and without a rewrite.
func (r *report) latencyCurve() (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = "GET under full write load, 10 M keys"
	p.Y.Label.Text = "ms"
	p.Y.Scale = plot.LogScale{}
	p.Y.Tick.Marker = plot.LogTicks{Prec: -1}
	p.X.Label.Text = "percentile"
	p.Legend.Top, p.Legend.Left = true, true
	found := 0
	for _, x := range r.Results {
		for _, m := range x.Measures {
			if x.Group != "rewrite" || len(m.Percentiles) != len(percentilePoints) {
				continue
			}
			points := make(plotter.XYs, len(percentilePoints))
			for i, v := range m.Percentiles {
				points[i] = plotter.XY{X: float64(i), Y: max(v, 0.001)}
			}
			line, err := plotter.NewLine(points)
			if err != nil {
				return nil, err
			}
			line.Color = []color.Color{theirs, ours}[found%2]
			line.Width = vg.Points(1.5)
			p.Add(line)
			p.Legend.Add(m.Server, line)
			found++
		}
	}
	if found == 0 {
		return nil, nil
	}
	p.Add(plotter.NewGrid())
	var labels []string
	for _, at := range percentilePoints {
		labels = append(labels, strconv.FormatFloat(at, 'f', -1, 64))
	}
	p.NominalX(labels...)
	return p, nil
}
