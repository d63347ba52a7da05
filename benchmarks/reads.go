package main

import (
	"fmt"
	"time"
)

// slowSyncs is the strace command that makes every fdatasync of a server take 5 ms longer: a networked volume.
var slowSyncs = []string{"strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null",
	"-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_exit=5000"}

// readVariant is one way to run a server beside writers.
type readVariant struct {
	name, bin, policy string
	wrap              []string
	ops               int
}

// measureReads: GETs of 50 connections while 8 connections SET under always, on a
// slow disk and on the bare one.
func measureReads(b *bench) ([]result, error) {
	variants := []readVariant{
		{"tidemark always, syncs 5 ms slower", b.tidemark, "always", slowSyncs, 150_000},
		{"redis always, syncs 5 ms slower", b.redis, "always", slowSyncs, 12_000},
		{"tidemark always", b.tidemark, "always", nil, 150_000},
		{"tidemark everysec", b.tidemark, "everysec", nil, 150_000},
	}
	all := map[string][]measure{}
	for range b.rounds {
		for _, v := range variants {
			m, err := b.readsBesideWriters(v)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", v.name, err)
			}
			all[v.name] = append(all[v.name], m)
		}
	}
	med := func(i int) measure {
		m := medianOf(all[variants[i].name])
		m.Server, m.Workload = variants[i].name, "get beside 8 writers"
		m.CPUMicros = 0 // it holds the writers' share
		return m
	}
	return []result{
		atLeast("GET beside 8 writers under always, fdatasync 5 ms slower: throughput over redis", med(0).OpsPerSec/med(1).OpsPerSec, 10, "×", med(0), med(1)),
		atLeast("GET beside 8 writers under always, bare disk: throughput over the same under everysec", med(2).OpsPerSec/med(3).OpsPerSec, 0.8, "×", med(2), med(3)),
	}, nil
}

func (b *bench) readsBesideWriters(v readVariant) (measure, error) {
	srv, err := b.start(v.bin, bothCPUs, v.wrap, "--appendonly", "yes", "--appendfsync", v.policy)
	if err != nil {
		return measure{}, err
	}
	defer drop(srv)
	prepare := workload{"prepare", 200_000, []string{"-t", "set", "-d", "64", "-r", "100000", "-c", "200", "-P", "100"}}
	if _, err := b.load(srv, bothCPUs, prepare); err != nil {
		return measure{}, err
	}
	stop, err := b.background(srv, bothCPUs, "-t", "set", "-d", "64", "-r", "100000", "-c", "8")
	if err != nil {
		return measure{}, err
	}
	defer stop()
	time.Sleep(300 * time.Millisecond) // until the writers have their pace
	return b.load(srv, bothCPUs, workload{"get", v.ops, []string{"-t", "get", "-d", "64", "-r", "100000", "-c", "50"}})
}
