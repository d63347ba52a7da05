package main

import (
	"fmt"
	"strconv"
	"time"

	"tidemark/cmd/servertest"
)

// measureAlways: what it costs to have every write on disk before its reply.
// Servers and load share both CPUs: a sync leaves a CPU idle that the other can use.
func measureAlways(b *bench) ([]result, error) {
	var contenders []contender
	for _, c := range []struct{ name, bin, policy string }{
		{"tidemark always", b.tidemark, "always"},
		{"tidemark everysec", b.tidemark, "everysec"},
		{"redis always", b.redis, "always"},
	} {
		srv, err := b.start(c.bin, bothCPUs, nil, "--appendonly", "yes", "--appendfsync", c.policy)
		if err != nil {
			return nil, err
		}
		defer drop(srv)
		contenders = append(contenders, contender{c.name, srv})
	}
	var workloads []workload
	var own, over []float64
	for _, depth := range []struct {
		p, ops    int
		own, over float64
	}{{1, 120_000, 0.95, 1.3}, {16, 1_200_000, 0.9, 2}} {
		for _, c := range []int{50, 500} {
			workloads = append(workloads, workload{fmt.Sprintf("set P%d, %d connections", depth.p, c), depth.ops,
				[]string{"-t", "set", "-d", "64", "-r", "100000", "-c", fmt.Sprint(c), "-P", fmt.Sprint(depth.p)}})
			own, over = append(own, depth.own), append(over, depth.over)
		}
	}
	medians, err := b.compare(contenders, bothCPUs, workloads)
	if err != nil {
		return nil, err
	}
	var out []result
	for i, w := range workloads {
		m := medians[w.name]
		always, everysec, redis := m["tidemark always"], m["tidemark everysec"], m["redis always"]
		out = append(out,
			atLeast("always, "+w.name+": throughput over our own everysec", always.OpsPerSec/everysec.OpsPerSec, own[i], "×", always, everysec),
			atLeast("always, "+w.name+": throughput over redis with always", always.OpsPerSec/redis.OpsPerSec, over[i], "×", always, redis))
	}
	return out, nil
}

// measureLatency: one connection under always, against the floor that the disk sets.
func measureLatency(b *bench) ([]result, error) {
	tide, err := b.start(b.tidemark, bothCPUs, nil, "--appendonly", "yes", "--appendfsync", "always")
	if err != nil {
		return nil, err
	}
	defer drop(tide)
	redis, err := b.start(b.redis, bothCPUs, nil, "--appendonly", "yes", "--appendfsync", "always")
	if err != nil {
		return nil, err
	}
	defer drop(redis)
	w := workload{"set, 1 connection", 5000, []string{"-t", "set", "-d", "64", "-r", "100000", "-c", "1"}}
	var bare, own, other []float64
	for range b.rounds {
		d, err := bareSync(b.dir, 128, b.scaled(3000))
		if err != nil {
			return nil, err
		}
		bare = append(bare, float64(d.Nanoseconds())/1e6)
		m, err := b.load(tide, bothCPUs, w)
		if err != nil {
			return nil, err
		}
		own = append(own, m.P50Millis)
		if m, err = b.load(redis, bothCPUs, w); err != nil {
			return nil, err
		}
		other = append(other, m.P50Millis)
	}
	floor := median(bare)
	return []result{
		atMost("always, one connection: p50 of SET over a bare fdatasync of the same bytes", median(own)/floor, 1.5, "×",
			measure{Server: "tidemark always", Workload: w.name, P50Millis: median(own)},
			measure{Server: "redis always", Workload: w.name, P50Millis: median(other)},
			measure{Server: "bare write and fdatasync", Workload: "128 B", P50Millis: floor}),
	}, nil
}

// measureWaitAOF: one connection that has every write confirmed, under everysec.
func measureWaitAOF(b *bench) ([]result, error) {
	srv, err := b.start(b.tidemark, bothCPUs, nil, "--appendonly", "yes", "--appendfsync", "everysec")
	if err != nil {
		return nil, err
	}
	defer drop(srv)
	c, err := srv.Dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	m, err := b.timeWaitAOF(c, 0, measure{Server: "tidemark everysec", Workload: "WAITAOF 1 0 after SET"})
	if err != nil {
		return nil, err
	}
	return []result{atMost("WAITAOF 1 0 under everysec, one connection, p50", m.P50Millis, 1.5, " ms", m)}, nil
}

// timeWaitAOF fills m in with the times of WAITAOF 1 replicas after a SET each.
func (b *bench) timeWaitAOF(c *servertest.Client, replicas int, m measure) (measure, error) {
	var p50s, p99s []float64
	for range b.rounds {
		var took []time.Duration
		for i := range b.scaled(500) {
			if _, err := c.Do("SET", key16(i), "value"); err != nil {
				return m, err
			}
			begin := time.Now()
			r, err := c.Do("WAITAOF", "1", strconv.Itoa(replicas), "5000")
			if err != nil {
				return m, err
			}
			if want := fmt.Sprintf("[:1, :%d]", replicas); r.String() != want {
				return m, fmt.Errorf("WAITAOF: %s instead of %s", r, want)
			}
			took = append(took, time.Since(begin))
		}
		p := percentiles(took)
		p50s, p99s = append(p50s, p[2]), append(p99s, p[6])
	}
	m.P50Millis, m.P99Millis = median(p50s), median(p99s)
	return m, nil
}
