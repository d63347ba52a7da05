package main

// measureLoops: what a second event loop costs. Server and load share both CPUs.
func measureLoops(b *bench) ([]result, error) {
	var contenders []contender
	for _, n := range []string{"1", "2"} {
		srv, err := b.start(b.tidemark, bothCPUs, nil, "--appendonly", "no", "--io-threads", n)
		if err != nil {
			return nil, err
		}
		defer drop(srv)
		contenders = append(contenders, contender{"tidemark, io-threads " + n, srv})
	}
	workloads := []workload{
		{"set P1", 150_000, []string{"-t", "set", "-d", "64", "-r", "100000", "-c", "50"}},
		{"set P16", 1_500_000, []string{"-t", "set", "-d", "64", "-r", "100000", "-c", "50", "-P", "16"}},
	}
	medians, err := b.compare(contenders, bothCPUs, workloads)
	if err != nil {
		return nil, err
	}
	var out []result
	for _, w := range workloads {
		one, two := medians[w.name][contenders[0].name], medians[w.name][contenders[1].name]
		out = append(out, atMost("two event loops allowed over one, CPU per operation, "+w.name, two.CPUMicros/one.CPUMicros, 1.1, "×", one, two))
	}
	return out, nil
}
