package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"tidemark/cmd/servertest"
)

// favoured is the command that gives a server precedence over what else runs on its CPU, where that is permitted: a process that the kernel
// lets run for one of its slices is two to four milliseconds of a turn that are not the server's.
func favoured() []string {
	wrap := []string{"nice", "-n", strconv.Itoa(precedence)}
	// Without permission nice says so and runs the command all the same.
	if out, err := exec.Command(wrap[0], append(wrap[1:], "nice")...).Output(); err != nil || strings.TrimSpace(string(out)) != wrap[2] {
		return nil
	}
	return wrap
}

const precedence = -20

// favourSession gives this session, to which servers belong, precedence over others. Where the kernel groups processes by session (sched_autogroup_enabled)
// a server's own counts within the session only; where it does not, or forbids it, this does nothing.
func favourSession(by int) {
	os.WriteFile("/proc/self/autogroup", strconv.AppendInt(nil, int64(by), 10), 0)
}

// stage is a server whose longest turns are taken, scene by scene, by the server's own account.
type stage struct {
	s       *servertest.Server
	c       *servertest.Client
	where   string   // what a note says of the CPU
	witness *witness // nil: none is permitted
	unpin   func()
	results []result
}

func (b *bench) stage() (*stage, error) {
	favour := favoured()
	if favour != nil {
		favourSession(precedence)
	}
	s, err := b.start(b.tidemark, serverCPU, favour, "--appendonly", "no")
	if err != nil {
		favourSession(0)
		return nil, err
	}
	st := &stage{s: s, witness: newWitness(serverCPU)}
	if favour != nil {
		st.where = fmt.Sprintf(", where it had nice %d", precedence)
	}
	if st.unpin, err = pinSelf(clientCPU); err == nil {
		st.c, err = s.Dial()
	}
	if err != nil {
		st.end()
		return nil, err
	}
	return st, nil
}

func (st *stage) end() {
	if st.c != nil {
		st.c.Close()
	}
	if st.unpin != nil {
		st.unpin()
	}
	if st.witness != nil {
		st.witness.end()
	}
	favourSession(0)
	drop(st.s)
}

// do sends one command that must not be answered by an error.
func (st *stage) do(args ...string) error {
	r, err := st.c.Do(args...)
	if err != nil || r.IsError() {
		return fmt.Errorf("%v: %v %v", args, r, err)
	}
	return nil
}

// scene adds the row of the longest turn during f.
func (st *stage) scene(name string, f func() error) error {
	if err := st.do("CONFIG", "RESETSTAT"); err != nil {
		return err
	}
	if st.witness != nil {
		if err := st.witness.begin(st.s); err != nil {
			return fmt.Errorf("%s: witness: %w", name, err)
		}
	}
	took, err := during(st.s, func(int) []string { return []string{"PING"} }, f)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	machine := "what is not CPU time is wall clock and holds whatever else ran on the server's CPU"
	if st.witness != nil {
		if machine, err = st.witness.testimony(st.s); err != nil {
			return fmt.Errorf("%s: witness: %w", name, err)
		}
	}
	var millis [2]float64
	for i, field := range []string{"tidemark_longest_turn_usec", "tidemark_turn_cpu_usec_max"} {
		text, err := infoField(st.s, field)
		if err != nil {
			return err
		}
		micros, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return err
		}
		millis[i] = micros / 1000
	}
	p := percentiles(took)
	st.results = append(st.results, atMost("longest turn of an event loop: "+name, millis[0], 2, " ms").
		note("no turn's thread used more than %.2f ms of CPU; a client's PINGs meanwhile: p99.9 %.2f ms, longest %.2f ms; "+
			"%s%s", millis[1], p[8], p[10], machine, st.where))
	return nil
}

// gone waits until DBSIZE is at most keys.
func (st *stage) gone(keys int) error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		r, err := st.c.Do("DBSIZE")
		if err != nil || r.Int <= int64(keys) {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s keys are left a minute later", r)
		}
	}
}

// measurePause: how long the event loops stand still in the worst moments of a server with ten million keys.
func measurePause(b *bench) ([]result, error) {
	keys := b.scaled(10_000_000)
	st, err := b.stage()
	if err != nil {
		return nil, err
	}
	defer st.end()
	if err := st.scene("10 M keys being added", func() error { return fill(st.s, 0, keys, 64) }); err != nil {
		return nil, err
	}
	if err := st.scene("1 M keys expiring at once", func() error {
		at := strconv.FormatInt(time.Now().Add(15*time.Second).UnixMilli(), 10)
		if err := fill(st.s, keys, keys+keys/10, 64, "PXAT", at); err != nil {
			return err
		}
		return st.gone(keys)
	}); err != nil {
		return nil, err
	}
	err = st.scene("FLUSHALL ASYNC of 10 M keys", func() error {
		if err := st.do("FLUSHALL", "ASYNC"); err != nil {
			return err
		}
		return sleep(2 * time.Second)
	})
	return st.results, err
}

// measureCollections: the same with one collection of ten million elements of each type. It is filled through a pipeline of 16 commands of one
// element each, so that no turn is asked for much, saved while it is written to in the same way, and removed.
func measureCollections(b *bench) ([]result, error) {
	const depth = 16
	elements := b.scaled(10_000_000)
	st, err := b.stage()
	if err != nil {
		return nil, err
	}
	defer st.end()
	for _, scene := range []struct {
		typ, remove string
		gone        []string
	}{
		{"list", "DEL", []string{"DEL", "c"}},
		{"set", "UNLINK", []string{"UNLINK", "c"}},
		{"hash", "expiry", []string{"PEXPIRE", "c", "100"}},
		{"sorted set", "FLUSHALL ASYNC", []string{"FLUSHALL", "ASYNC"}},
		{"stream", "DEL", []string{"DEL", "c"}},
	} {
		command := func(from int) func(i int) []string {
			return func(i int) []string { return adders[scene.typ](nil, "c", from+i) }
		}
		name := fmt.Sprintf("a %s of %d M elements ", scene.typ, elements/1_000_000)
		if err := st.scene(name+"being filled", func() error { return pipelinedOn(st.c, depth, elements, command(0)) }); err != nil {
			return nil, err
		}
		if err := st.scene(name+"being saved while it is changed", func() error {
			if err := st.do("BGSAVE"); err != nil {
				return err
			}
			const step = 1000
			for begin, i := time.Now(), elements; time.Since(begin) < time.Minute; i += step {
				if err := pipelinedOn(st.c, depth, step, command(i)); err != nil {
					return err
				}
				// Asked for by the name of its section: all of INFO, on a connection of its own, would have the server collect garbage.
				r, err := st.c.Do("INFO", "persistence")
				if err != nil || strings.Contains(r.Str, "rdb_bgsave_in_progress:0") {
					return err
				}
			}
			return fmt.Errorf("the save did not end within a minute")
		}); err != nil {
			return nil, err
		}
		if err := st.scene(name+"removed by "+scene.remove, func() error {
			if err := st.do(scene.gone...); err != nil {
				return err
			}
			if err := st.gone(0); err != nil {
				return err
			}
			return sleep(time.Second) // its memory is given back meanwhile
		}); err != nil {
			return nil, err
		}
	}
	return st.results, nil
}

// adders append to a command, begun when args is nil, the words that add element i to a collection.
var adders = map[string]func(args []string, key string, i int) []string{
	"list": func(args []string, key string, i int) []string { return more(args, "RPUSH", key, key16(i)) },
	"set":  func(args []string, key string, i int) []string { return more(args, "SADD", key, key16(i)) },
	"hash": func(args []string, key string, i int) []string { return more(args, "HSET", key, key16(i), key16(i)) },
	"sorted set": func(args []string, key string, i int) []string {
		return more(args, "ZADD", key, strconv.Itoa(i*7919%10_000_019), key16(i))
	},
	"stream": func(args []string, key string, i int) []string {
		return more(args, "XADD", key, "*", "sensor", strconv.Itoa(i%1000), "value", strconv.Itoa(i))
	},
}

// more begins a command with name and key, or goes on with args.
func more(args []string, name, key string, words ...string) []string {
	if args == nil {
		args = []string{name, key}
	}
	return append(args, words...)
}
