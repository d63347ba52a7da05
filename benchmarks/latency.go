package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidemark/cmd/servertest"
)

// percentilePoints are the positions of measure.Percentiles.
var percentilePoints = []float64{10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.99, 100}

// during runs f, and meanwhile sends one command at a time on a connection of
// its own and collects how long each took.
func during(s *servertest.Server, command func(i int) []string, f func() error) ([]time.Duration, error) {
	c, err := s.Dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	stop := make(chan struct{})
	done := make(chan error, 1)
	var took []time.Duration
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			begin := time.Now()
			r, err := c.Do(command(i)...)
			if err == nil && r.IsError() {
				err = fmt.Errorf("%v: %s", command(i), r)
			}
			if err != nil {
				done <- err
				return
			}
			took = append(took, time.Since(begin))
		}
	}()
	err = f()
	close(stop)
	if perr := <-done; err == nil {
		err = perr
	}
	return took, err
}

// percentiles sorts took and returns the values at percentilePoints, in ms.
func percentiles(took []time.Duration) []float64 {
	slices.Sort(took)
	out := make([]float64, len(percentilePoints))
	for i, p := range percentilePoints {
		out[i] = percentile(took, p)
	}
	return out
}

// percentile of sorted times, in ms.
func percentile(sorted []time.Duration, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := min(int(float64(len(sorted))*p/100), len(sorted)-1)
	return float64(sorted[i].Nanoseconds()) / 1e6
}

// fill stores keys numbered from..to-1 with 16-byte names and values of the given size, pipelined.
func fill(s *servertest.Server, from, to, valueBytes int, more ...string) error {
	value := strings.Repeat("v", valueBytes)
	return pipelined(s, to-from, func(i int) []string { return append([]string{"SET", key16(from + i), value}, more...) })
}

// pipelined sends commands 0..n-1 on one connection, 500 at a time, and returns the first error reply.
func pipelined(s *servertest.Server, n int, command func(i int) []string) error {
	c, err := s.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	return pipelinedOn(c, 500, n, command)
}

// pipelinedOn is pipelined on a connection that is there, with depth commands at a time.
func pipelinedOn(c *servertest.Client, depth, n int, command func(i int) []string) error {
	c.SetTimeout(2 * time.Minute)
	for at := 0; at < n; at += depth {
		end := min(at+depth, n)
		for i := at; i < end; i++ {
			c.Queue(command(i)...)
		}
		if err := c.Flush(); err != nil {
			return err
		}
		for i := at; i < end; i++ {
			if r, err := c.Receive(); err != nil || r.IsError() {
				return fmt.Errorf("%s: %v %v", command(i)[0], r, err)
			}
		}
	}
	return nil
}

// key16 is a key of 16 bytes.
func key16(i int) string {
	s := strconv.Itoa(i)
	return "key:000000000000"[:16-len(s)] + s
}

// infoField returns one field of INFO.
func infoField(s *servertest.Server, field string) (string, error) {
	c, err := s.Dial()
	if err != nil {
		return "", err
	}
	defer c.Close()
	r, err := c.Do("INFO", "everything")
	if err != nil {
		return "", err
	}
	for _, line := range strings.Split(r.Str, "\r\n") {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			return v, nil
		}
	}
	return "", fmt.Errorf("INFO has no field %s", field)
}
