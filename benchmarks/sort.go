package main

import (
	"fmt"
	"strconv"
	"strings"

	"tidemark/cmd/servertest"
)

// sortElements is how many numbers SORT sorts.
const sortElements = 10_000

// sortForms are requests on a list of numbers, "sorted"; each number has a weight and a value in keys of its own.
var sortForms = []string{
	"ALPHA LIMIT 0 10",
	"LIMIT 0 10",
	"", // the whole list
	"BY w:* GET v:* LIMIT 0 10",
	"BY w:* GET v:*",
}

// measureSort: CPU time of SORT.
func measureSort(b *bench) ([]result, error) {
	contenders, err := b.startBoth(fillSort)
	defer stop(contenders)
	if err != nil {
		return nil, err
	}
	workloads := sortWorkloads()
	medians, err := b.compare(contenders, clientCPU, workloads)
	if err != nil {
		return nil, err
	}
	var out []result
	for _, w := range workloads {
		own, other := medians[w.name]["tidemark"], medians[w.name]["redis"]
		out = append(out, atMost(fmt.Sprintf("CPU over redis, a list of %d numbers, %s", sortElements, w.name), own.CPUMicros/other.CPUMicros, 0.65, "×", own, other).
			note("tidemark %.2f ms, redis %.2f", own.CPUMicros/1000, other.CPUMicros/1000))
	}
	return out, nil
}

func sortWorkloads() (out []workload) {
	for _, form := range sortForms {
		request := strings.Fields("SORT sorted " + form)
		out = append(out, workload{strings.Join(request, " "), 300, append([]string{"-c", "10"}, request...)})
	}
	return out
}

// fillSort makes what is sorted: different numbers in no order.
func fillSort(s *servertest.Server) error {
	const mod = 1_000_003 // a prime
	number := func(i int) string { return strconv.Itoa((i + 1) * 7919 % mod) }
	return pipelined(s, 3*sortElements, func(i int) []string {
		switch n := number(i / 3); i % 3 {
		case 0:
			return []string{"RPUSH", "sorted", n}
		case 1:
			return []string{"SET", "w:" + n, strconv.Itoa((i + 1) * 104729 % mod)}
		default:
			return []string{"SET", "v:" + n, val16}
		}
	})
}
