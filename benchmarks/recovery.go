package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"tidemark/cmd/servertest"
)

// measureRecovery: how fast a server loads a log of SETs. Tidemark loads the
// directory it has written itself; redis one with the very same commands. The
// start of a server with nothing to load is subtracted. Both use both CPUs, if they can.
func measureRecovery(b *bench) ([]result, error) {
	const keys, valueBytes = 1_000_000, 64
	perSet := len(servertest.AppendCommand(nil, "SET", key16(0), string(make([]byte, valueBytes))))
	sets := b.scaled(1 << 30 / perSet)
	bytes := float64(sets * perSet)
	own, err := b.ownLog(sets, keys, valueBytes)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(own)
	other, err := b.redisLog(sets, keys, valueBytes)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(other)
	rates := map[string][]float64{}
	for range b.rounds {
		for _, c := range []struct{ name, bin, dir string }{{"tidemark", b.tidemark, own}, {"redis", b.redis, other}} {
			empty, err := b.startTime(c.bin, "")
			if err != nil {
				return nil, err
			}
			loaded, err := b.startTime(c.bin, c.dir)
			if err != nil {
				return nil, err
			}
			rates[c.name] = append(rates[c.name], bytes/1e6/max(loaded-empty, time.Millisecond).Seconds())
		}
	}
	a, r := median(rates["tidemark"]), median(rates["redis"])
	return []result{
		atLeast(fmt.Sprintf("recovery of a log of %.1f GB of SETs: MB/s over redis", bytes/1e9), a/r, 3, "×").
			note("tidemark %.0f MB/s, redis %.0f MB/s; %d SETs over %d keys, values of %d B, from the page cache", a, r, sets, keys, valueBytes),
	}, nil
}

// startTime is how long a server takes from its start to its first PONG, with the data of dir ("": with none).
func (b *bench) startTime(bin, dir string) (time.Duration, error) {
	if dir == "" {
		empty, err := os.MkdirTemp(b.dir, "empty-")
		if err != nil {
			return 0, err
		}
		defer os.RemoveAll(empty)
		dir = empty
	}
	begin := time.Now()
	s, err := b.startIn(dir, bin, bothCPUs, nil, "--appendonly", "yes", "--appendfsync", "no")
	if err != nil {
		return 0, err
	}
	took := time.Since(begin)
	return took, s.Stop()
}

// ownLog has tidemark write a log of SETs and returns its directory.
func (b *bench) ownLog(sets, keys, valueBytes int) (string, error) {
	s, err := b.start(b.tidemark, bothCPUs, nil, "--appendonly", "yes", "--appendfsync", "no")
	if err != nil {
		return "", err
	}
	for at := 0; at < sets; at += keys {
		if err := fill(s, 0, min(keys, sets-at), valueBytes); err != nil {
			s.Kill()
			return "", err
		}
	}
	return s.Dir, s.Stop()
}

// redisLog writes the same commands as an AOF directory of redis.
func (b *bench) redisLog(sets, keys, valueBytes int) (string, error) {
	dir, err := os.MkdirTemp(b.dir, "redis-log-")
	if err != nil {
		return "", err
	}
	aof := filepath.Join(dir, "appendonlydir")
	if err := os.Mkdir(aof, 0o755); err != nil {
		return "", err
	}
	manifest := "file appendonly.aof.1.incr.aof seq 1 type i\n"
	if err := os.WriteFile(filepath.Join(aof, "appendonly.aof.manifest"), []byte(manifest), 0o644); err != nil {
		return "", err
	}
	f, err := os.Create(filepath.Join(aof, "appendonly.aof.1.incr.aof"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	w.Write(servertest.AppendCommand(nil, "SELECT", "0"))
	value := make([]byte, valueBytes)
	for i := range value {
		value[i] = 'v'
	}
	var line []byte
	for i := range sets {
		line = servertest.AppendCommand(line[:0], "SET", key16(i%keys), string(value))
		if _, err := w.Write(line); err != nil {
			return "", err
		}
	}
	return dir, w.Flush()
}
