package main

import "fmt"

// measureStrings: CPU time per SET and GET without persistence, at three pipeline depths.
func measureStrings(b *bench) ([]result, error) {
	tide, err := b.start(b.tidemark, serverCPU, nil, "--appendonly", "no")
	if err != nil {
		return nil, err
	}
	defer drop(tide)
	redis, err := b.start(b.redis, serverCPU, nil, "--appendonly", "no")
	if err != nil {
		return nil, err
	}
	defer drop(redis)
	workloads := stringWorkloads()
	medians, err := b.compare([]contender{{"tidemark", tide}, {"redis", redis}}, clientCPU, workloads)
	if err != nil {
		return nil, err
	}
	var out []result
	for i, w := range workloads {
		own, other := medians[w.name]["tidemark"], medians[w.name]["redis"]
		out = append(out, atMost("CPU per operation over redis, no AOF, 50 connections, "+w.name,
			own.CPUMicros/other.CPUMicros, stringDepths[i/2].limit, "×", own, other))
	}
	return out, nil
}

// stringDepths are the pipeline depths of SET and GET, and the goals.
var stringDepths = []struct {
	p, ops int
	limit  float64
}{{1, 200_000, 0.87}, {16, 1_000_000, 0.6}, {64, 2_000_000, 0.45}}

// stringWorkloads are SET and GET at each depth.
func stringWorkloads() (out []workload) {
	for _, depth := range stringDepths {
		for _, t := range []string{"set", "get"} {
			out = append(out, workload{fmt.Sprintf("%s P%d", t, depth.p), depth.ops,
				[]string{"-t", t, "-d", "64", "-r", "100000", "-c", "50", "-P", fmt.Sprint(depth.p)}})
		}
	}
	return out
}

// measureEverysec: what the log costs when syncs are left to the background.
func measureEverysec(b *bench) ([]result, error) {
	var contenders []contender
	for _, c := range []struct {
		name, bin string
		args      []string
	}{
		{"tidemark everysec", b.tidemark, []string{"--appendonly", "yes", "--appendfsync", "everysec"}},
		{"redis everysec", b.redis, []string{"--appendonly", "yes", "--appendfsync", "everysec"}},
		{"tidemark no AOF", b.tidemark, []string{"--appendonly", "no"}},
	} {
		srv, err := b.start(c.bin, serverCPU, nil, c.args...)
		if err != nil {
			return nil, err
		}
		defer drop(srv)
		contenders = append(contenders, contender{c.name, srv})
	}
	w := workload{"set P16", 1_500_000, []string{"-t", "set", "-d", "64", "-r", "100000", "-c", "50", "-P", "16"}}
	medians, err := b.compare(contenders, clientCPU, []workload{w})
	if err != nil {
		return nil, err
	}
	m := medians[w.name]
	own, redis, none := m["tidemark everysec"], m["redis everysec"], m["tidemark no AOF"]
	return []result{
		atMost("SET P16 with everysec, CPU per operation over redis with the same", own.CPUMicros/redis.CPUMicros, 0.55, "×", own, redis),
		atMost("SET P16 with everysec, CPU per operation over our own without AOF", own.CPUMicros/none.CPUMicros, 1.35, "×", own, none),
	}, nil
}
