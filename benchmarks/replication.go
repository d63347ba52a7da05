package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"tidemark/cmd/servertest"
)

// pair is a primary and its replica, of the same program.
type pair struct {
	name             string
	primary, replica *servertest.Server
}

// startPair starts two servers and waits until the link is up. replicaCPUs is where the replica runs.
func (b *bench) startPair(name, bin, primaryCPUs, replicaCPUs string, args ...string) (*pair, error) {
	args = append(args, "--repl-diskless-sync-delay", "0", "--repl-backlog-size", "64mb")
	p := &pair{name: name}
	var err error
	if p.primary, err = b.start(bin, primaryCPUs, nil, args...); err != nil {
		return nil, err
	}
	if p.replica, err = b.start(bin, replicaCPUs, nil, args...); err != nil {
		drop(p.primary)
		return nil, err
	}
	if _, err = p.follow(); err != nil {
		p.drop()
		return nil, err
	}
	return p, nil
}

func (p *pair) drop() {
	drop(p.replica)
	drop(p.primary)
}

// follow makes the replica one and returns how long it took until it had everything.
func (p *pair) follow() (time.Duration, error) {
	begin := time.Now()
	c, err := p.replica.Dial()
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if r, err := c.Do("REPLICAOF", "127.0.0.1", strconv.Itoa(p.primary.Port)); err != nil || r.IsError() {
		return 0, fmt.Errorf("REPLICAOF: %v %v", r, err)
	}
	for time.Since(begin) < 3*time.Minute {
		r, err := c.Do("INFO", "replication")
		if err != nil {
			return 0, err
		}
		if strings.Contains(r.Str, "master_link_status:up") && strings.Contains(r.Str, "master_sync_in_progress:0") {
			return time.Since(begin), nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return 0, fmt.Errorf("%s: the link did not come up\n%s", p.name, p.replica.Log())
}

// unfollow makes it a primary again.
func (p *pair) unfollow() error {
	c, err := p.replica.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Do("REPLICAOF", "NO", "ONE")
	return err
}

// lag samples how many bytes the replica is behind, until stop is called, which returns the largest.
func (p *pair) lag() (stop func() int64) {
	quit, done := make(chan struct{}), make(chan int64)
	go func() {
		most := int64(0)
		for {
			select {
			case <-quit:
				done <- most
				return
			case <-time.After(50 * time.Millisecond):
			}
			end, err1 := infoField(p.primary, "master_repl_offset")
			line, err2 := infoField(p.primary, "slave0")
			if err1 != nil || err2 != nil {
				continue
			}
			_, rest, _ := strings.Cut(line, "offset=")
			at, _, _ := strings.Cut(rest, ",")
			a, _ := strconv.ParseInt(end, 10, 64)
			z, _ := strconv.ParseInt(at, 10, 64)
			most = max(most, a-z)
		}
	}()
	return func() int64 {
		close(quit)
		return <-done
	}
}

// writers is a load of SETs from so many connections, each of which sends its next when the last was answered; with wait, WAIT 1 0 goes with each SET in
// the same packet, and its answer must be 1.
func writers(s *servertest.Server, conns, each int, wait bool) (measure, error) {
	errs := make(chan error, conns)
	var all sync.WaitGroup
	before, err := s.CPU()
	if err != nil {
		return measure{}, err
	}
	begin := time.Now()
	for i := range conns {
		all.Add(1)
		go func() {
			defer all.Done()
			errs <- writer(s, i, each, wait)
		}()
	}
	all.Wait()
	took := time.Since(begin)
	after, err := s.CPU()
	for range conns {
		if e := <-errs; e != nil {
			err = e
		}
	}
	n := float64(conns * each)
	return measure{OpsPerSec: n / took.Seconds(), CPUMicros: float64((after - before).Microseconds()) / n}, err
}

func writer(s *servertest.Server, seed, each int, wait bool) error {
	c, err := net.Dial("tcp", s.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	in := bufio.NewReaderSize(c, 4096)
	value := strings.Repeat("v", 64)
	want := "+OK\r\n"
	if wait {
		want += ":1\r\n"
	}
	var out []byte
	got := make([]byte, len(want))
	for i := range each {
		out = fmt.Appendf(out[:0], "*3\r\n$3\r\nSET\r\n$16\r\n%s\r\n$64\r\n%s\r\n", key16((seed*7919+i)%100000), value)
		if wait {
			out = append(out, "*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$1\r\n0\r\n"...)
		}
		if _, err := c.Write(out); err != nil {
			return err
		}
		if _, err := io.ReadFull(in, got); err != nil {
			return err
		}
		if string(got) != want {
			return fmt.Errorf("SET (and WAIT): %q", got)
		}
	}
	return nil
}

// measureReplication: a primary with one replica, beside a redis primary with a redis replica.
func measureReplication(b *bench) ([]result, error) {
	var out []result
	for _, f := range []func(*bench) ([]result, error){replicationWait, replicationWaitAOF, replicationThroughput, replicationFullSync} {
		r, err := f(b)
		if err != nil {
			return nil, err
		}
		out = append(out, r...)
	}
	return out, nil
}

// replicationWait: WAIT 1 after every SET. All share both CPUs.
func replicationWait(b *bench) ([]result, error) {
	with, without := map[string][]measure{}, map[string][]measure{}
	var pairs []*pair
	for _, c := range []struct{ name, bin string }{{"tidemark", b.tidemark}, {"redis", b.redis}} {
		p, err := b.startPair(c.name, c.bin, bothCPUs, bothCPUs, "--appendonly", "yes", "--appendfsync", "everysec")
		if err != nil {
			return nil, err
		}
		defer p.drop()
		pairs = append(pairs, p)
	}
	for range b.rounds {
		for _, p := range pairs {
			for _, wait := range []bool{false, true} {
				m, err := writers(p.primary, 50, b.scaled(2000), wait)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", p.name, err)
				}
				if wait {
					with[p.name] = append(with[p.name], m)
				} else {
					without[p.name] = append(without[p.name], m)
				}
			}
		}
	}
	row := func(name string, ms map[string][]measure, what string) measure {
		m := medianOf(ms[name])
		m.Server, m.Workload = name+" with a replica", what
		return m
	}
	tw, to := row("tidemark", with, "SET and WAIT 1, 50 connections"), row("tidemark", without, "SET, 50 connections")
	rw, ro := row("redis", with, "SET and WAIT 1, 50 connections"), row("redis", without, "SET, 50 connections")
	return []result{
		atLeast("WAIT 1 after every SET, 50 connections: throughput over the same without WAIT", tw.OpsPerSec/to.OpsPerSec, 0.8, "×", tw, to, rw, ro),
		atLeast("WAIT 1 after every SET, 50 connections: throughput over redis's", tw.OpsPerSec/rw.OpsPerSec, 1, "×"),
	}, nil
}

// replicationWaitAOF: every write confirmed on both disks, under everysec. Redis 7.0 does not have WAITAOF.
func replicationWaitAOF(b *bench) ([]result, error) {
	p, err := b.startPair("tidemark", b.tidemark, bothCPUs, bothCPUs, "--appendonly", "yes", "--appendfsync", "everysec")
	if err != nil {
		return nil, err
	}
	defer p.drop()
	c, err := p.primary.Dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	m, err := b.timeWaitAOF(c, 1, measure{Server: "tidemark with a replica", Workload: "WAITAOF 1 1 after SET"})
	if err != nil {
		return nil, err
	}
	return []result{atMost("WAITAOF 1 1 under everysec, one connection, p50", m.P50Millis, 1.5, " ms", m)}, nil
}

// replicationThroughput: SET P16 with a replica and without. The primary has CPU 0; load and replica share CPU 1.
func replicationThroughput(b *bench) ([]result, error) {
	w := workload{"set P16", 1_500_000, []string{"-t", "set", "-d", "64", "-r", "100000", "-c", "50", "-P", "16"}}
	type figures struct{ with, without, apply []measure }
	all := map[string]*figures{}
	most := map[string]int64{}
	for range b.rounds {
		for _, c := range []struct {
			name, bin string
			args      []string
		}{{"tidemark", b.tidemark, nil}, {"compressed", b.tidemark, []string{"--repl-compression", "yes"}}, {"redis", b.redis, nil}} {
			p, err := b.startPair(c.name, c.bin, serverCPU, clientCPU, append(c.args, "--appendonly", "yes", "--appendfsync", "everysec")...)
			if err != nil {
				return nil, err
			}
			err = func() error {
				defer p.drop()
				f := all[c.name]
				if f == nil {
					f = &figures{}
					all[c.name] = f
				}
				if _, err := b.load(p.primary, clientCPU, w); err != nil { // warm
					return err
				}
				before, err := p.replica.CPU()
				if err != nil {
					return err
				}
				stop := p.lag()
				m, err := b.load(p.primary, clientCPU, w)
				most[c.name] = max(most[c.name], stop())
				if err != nil {
					return err
				}
				if err := p.caughtUp(); err != nil {
					return err
				}
				after, err := p.replica.CPU()
				if err != nil {
					return err
				}
				f.with = append(f.with, m)
				f.apply = append(f.apply, measure{CPUMicros: float64((after - before).Microseconds()) / float64(b.scaled(w.ops))})
				p.replica.Kill()
				m, err = b.load(p.primary, clientCPU, w)
				f.without = append(f.without, m)
				return err
			}()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	row := func(name, server string, ms []measure) measure {
		m := medianOf(ms)
		m.Server, m.Workload = server, w.name
		return m
	}
	t, r := all["tidemark"], all["redis"]
	tw, to, ta := row("tidemark", "tidemark with a replica", t.with), row("tidemark", "tidemark alone", t.without), row("tidemark", "tidemark, the replica itself", t.apply)
	rw, ro, ra := row("redis", "redis with a replica", r.with), row("redis", "redis alone", r.without), row("redis", "redis, the replica itself", r.apply)
	cw := row("compressed", "tidemark with a replica, link compressed", all["compressed"].with)
	a := atLeast("SET P16 with a replica over the same without: throughput", tw.OpsPerSec/to.OpsPerSec, 0.8, "×", tw, to, cw, rw, ro)
	a.Note = fmt.Sprintf("redis's own ratio is %.2f; the replica was never more than %.1f MB behind (redis's %.1f MB) of %.0f MB", rw.OpsPerSec/ro.OpsPerSec,
		float64(most["tidemark"])/1e6, float64(most["redis"])/1e6, float64(b.scaled(w.ops))*110/1e6)
	return []result{a, atMost("applying SETs on the replica over executing them on the primary, CPU per operation", ta.CPUMicros/tw.CPUMicros, 1, "×", ta, ra)}, nil
}

// caughtUp waits until the replica has everything.
func (p *pair) caughtUp() error {
	for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(5 * time.Millisecond) {
		a, err := infoField(p.primary, "master_repl_offset")
		if err != nil {
			return err
		}
		z, err := infoField(p.replica, "slave_repl_offset")
		if err != nil {
			return err
		}
		if a == z {
			return nil
		}
	}
	return fmt.Errorf("the replica does not catch up")
}

// replicationFullSync: how long a replica that has nothing takes to have everything.
func replicationFullSync(b *bench) ([]result, error) {
	keys := b.scaled(2_000_000)
	times := map[string][]float64{}
	for _, c := range []struct{ name, bin string }{{"tidemark", b.tidemark}, {"redis", b.redis}} {
		p, err := b.startPair(c.name, c.bin, bothCPUs, bothCPUs, "--appendonly", "no")
		if err != nil {
			return nil, err
		}
		err = func() error {
			defer p.drop()
			if err := p.unfollow(); err != nil {
				return err
			}
			if err := fill(p.primary, 0, keys, 64); err != nil {
				return err
			}
			for range b.rounds {
				took, err := p.follow()
				if err != nil {
					return err
				}
				times[c.name] = append(times[c.name], took.Seconds())
				// A write of its own makes it unfit to continue.
				if err := p.unfollow(); err != nil {
					return err
				}
				if err := fill(p.replica, 0, 100, 64); err != nil {
					return err
				}
			}
			return nil
		}()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	t, r := median(times["tidemark"]), median(times["redis"])
	a := atLeast(fmt.Sprintf("full synchronisation of %d keys of 16 B + 64 B: speed over redis's", keys), r/t, 1, "×")
	a.Note = fmt.Sprintf("tidemark %.2f s (%.0f MB/s of keys and values), redis %.2f s", t, float64(keys)*80/1e6/t, r)
	return []result{a}, nil
}
