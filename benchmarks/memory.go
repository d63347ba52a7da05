package main

import (
	"fmt"
	"strconv"

	"tidemark/cmd/servertest"
)

// measureMemory: resident bytes per key, 10 million keys of 16 bytes with values of 64.
func measureMemory(b *bench) ([]result, error) {
	keys := b.scaled(10_000_000)
	perKey := func(bin string) (float64, error) {
		s, err := b.start(bin, bothCPUs, nil, "--appendonly", "no")
		if err != nil {
			return 0, err
		}
		defer drop(s)
		if err := fill(s, 0, keys, 64); err != nil {
			return 0, err
		}
		rss, _, err := s.Memory()
		return float64(rss) / float64(keys), err
	}
	own, err := perKey(b.tidemark)
	if err != nil {
		return nil, err
	}
	other, err := perKey(b.redis)
	if err != nil {
		return nil, err
	}
	return []result{
		atMost(fmt.Sprintf("RSS per key over redis, %d keys of 16 B + 64 B", keys), own/other, 0.7, "×").
			note("tidemark %.0f bytes per key, redis %.0f; the whole resident set, the idle server included", own, other),
	}, nil
}

// measureIdle: CPU time of a server with 200 idle connections and the AOF on.
func measureIdle(b *bench) ([]result, error) {
	s, err := b.start(b.tidemark, bothCPUs, nil, "--appendonly", "yes", "--appendfsync", "everysec")
	if err != nil {
		return nil, err
	}
	defer drop(s)
	conns, err := connect(s, 200)
	defer closeAll(conns)
	if err != nil {
		return nil, err
	}
	if err := fill(s, 0, 1000, 64); err != nil {
		return nil, err
	}
	percent, err := cpuPercent(s, idleSeconds)
	if err != nil {
		return nil, err
	}
	return []result{atMost("CPU when idle, 200 connections, AOF on, of a core", percent, 0.5, " %")}, nil
}

// measureConnections: what an idle connection costs, and whether a thousand active ones are served beside ten thousand.
func measureConnections(b *bench) ([]result, error) {
	const idle = 10_000
	if err := allowFiles(idle + 2000); err != nil {
		return nil, err
	}
	s, err := b.start(b.tidemark, bothCPUs, nil, "--appendonly", "no", "--maxclients", strconv.Itoa(idle+1500))
	if err != nil {
		return nil, err
	}
	defer drop(s)
	before, _, err := s.Memory()
	if err != nil {
		return nil, err
	}
	conns, err := connect(s, idle)
	defer closeAll(conns)
	if err != nil {
		return nil, err
	}
	after, _, err := s.Memory()
	if err != nil {
		return nil, err
	}
	active := workload{"set, 1000 connections beside 10000 idle ones", 200_000, []string{"-t", "set", "-d", "64", "-r", "100000", "-c", "1000"}}
	m, err := b.load(s, bothCPUs, active)
	if err != nil {
		return nil, err
	}
	m.Server = "tidemark"
	return []result{
		atMost("RSS per idle connection, 10,000 connections that have said PING", float64(after-before)/idle/1024, 8, " KiB", m),
	}, nil
}

// connect opens connections that have each had one request answered.
func connect(s *servertest.Server, n int) ([]*servertest.Client, error) {
	var conns []*servertest.Client
	for range n {
		c, err := s.Dial()
		if err != nil {
			return conns, err
		}
		conns = append(conns, c)
		if r, err := c.Do("PING"); err != nil || r.Str != "PONG" {
			return conns, fmt.Errorf("connection %d: %v %v", len(conns), r, err)
		}
	}
	return conns, nil
}

func closeAll(conns []*servertest.Client) {
	for _, c := range conns {
		c.Close()
	}
}
