package main

import (
	"fmt"
	"strconv"
	"strings"

	"tidemark/cmd/servertest"
)

// Names that redis-benchmark makes: a number of 12 digits below the range that -r gives.
const (
	smallKeys     = 10_000    // small collections of each type
	smallElements = 10        // in each of them
	bigElements   = 1_000_000 // in the one large collection of each type
)

// typeCommands are the usual commands of each type. KEY and NUM stand for a random collection and a random element.
var typeCommands = []struct {
	typ          string
	small, large [][]string
}{
	{"hash",
		[][]string{{"HSET", "h:NUM", "f5", val16}, {"HGET", "h:NUM", "f5"}, {"HINCRBY", "h:NUM", "n", "1"}, {"HGETALL", "h:NUM"}},
		[][]string{{"HSET", "H", "f:NUM", val16}, {"HGET", "H", "f:NUM"}}},
	{"list",
		[][]string{{"LPUSH", "l:NUM", val16}, {"RPOP", "l:NUM"}, {"LRANGE", "l:NUM", "0", "-1"}},
		[][]string{{"LPUSH", "L", val16}, {"RPOP", "L"}, {"LRANGE", "L", "0", "99"}}},
	{"set",
		[][]string{{"SADD", "s:NUM", "m5"}, {"SISMEMBER", "s:NUM", "m5"}, {"SMEMBERS", "s:NUM"}},
		[][]string{{"SADD", "S", "m:NUM"}, {"SISMEMBER", "S", "m:NUM"}}},
	{"zset",
		[][]string{{"ZADD", "z:NUM", "7", "m5"}, {"ZINCRBY", "z:NUM", "1", "m5"}, {"ZSCORE", "z:NUM", "m5"}, {"ZRANGE", "z:NUM", "0", "-1"}},
		[][]string{{"ZADD", "Z", "NUM", "m:NUM"}, {"ZSCORE", "Z", "m:NUM"}, {"ZRANK", "Z", "m:NUM"}, {"ZRANGEBYSCORE", "Z", "NUM", "+inf", "LIMIT", "0", "10"}}},
	{"stream",
		[][]string{{"XADD", "x:NUM", "MAXLEN", "~", "100", "*", "sensor", "7", "value", "NUM"}, {"XRANGE", "x:NUM", "-", "+", "COUNT", "10"}},
		[][]string{{"XADD", "X", "*", "sensor", "7", "value", "NUM"}, {"XREVRANGE", "X", "+", "-", "COUNT", "10"}}},
}

const val16 = "0123456789abcdef"

// startBoth starts tidemark and redis without a log and fills them. They are to be stopped also when that fails.
func (b *bench) startBoth(fill func(*servertest.Server) error) (contenders []contender, err error) {
	for _, c := range []struct{ name, bin string }{{"tidemark", b.tidemark}, {"redis", b.redis}} {
		srv, err := b.start(c.bin, serverCPU, nil, "--appendonly", "no")
		if err != nil {
			return contenders, err
		}
		contenders = append(contenders, contender{c.name, srv})
		if err := fill(srv); err != nil {
			return contenders, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return contenders, nil
}

// stop ends the servers of contenders.
func stop(contenders []contender) {
	for _, c := range contenders {
		drop(c.srv)
	}
}

// measureTypes: CPU time of the usual commands of each type at pipeline 16, on ten thousand small collections and on a large one.
func measureTypes(b *bench) ([]result, error) {
	contenders, err := b.startBoth(fillTypes)
	defer stop(contenders)
	if err != nil {
		return nil, err
	}
	workloads := typeWorkloads()
	// What a request costs that does nothing: the share of the network and of the protocol in all the others.
	ping := workload{"PING", 300_000, []string{"-c", "50", "-P", "16", "PING"}}
	medians, err := b.compare(contenders, clientCPU, append(workloads, ping))
	if err != nil {
		return nil, err
	}
	idle := medians[ping.name]
	var out []result
	for _, w := range workloads {
		own, other := medians[w.name]["tidemark"], medians[w.name]["redis"]
		r := atMost("CPU per operation over redis, P16, "+w.name, own.CPUMicros/other.CPUMicros, 0.65, "×", own, other)
		if !r.Reached {
			r = r.note("tidemark %.2f µs, redis %.2f; a PING takes %.2f and %.2f", own.CPUMicros, other.CPUMicros, idle["tidemark"].CPUMicros, idle["redis"].CPUMicros)
		}
		out = append(out, r)
	}
	return out, nil
}

// typeWorkloads are the usual commands of each type.
func typeWorkloads() (out []workload) {
	for _, t := range typeCommands {
		for i, commands := range [][][]string{t.small, t.large} {
			size, r := "small", smallKeys
			if i == 1 {
				size, r = "large", bigElements
			}
			for _, command := range commands {
				args := []string{"-r", strconv.Itoa(r), "-c", "50", "-P", "16"}
				for _, word := range command {
					args = append(args, placeholders(word))
				}
				out = append(out, workload{size + " " + t.typ + ", " + command[0], 300_000, args})
			}
		}
	}
	return out
}

// placeholders writes a word's random number as redis-benchmark wants it.
func placeholders(word string) string { return strings.ReplaceAll(word, "NUM", "__rand_int__") }

// fillTypes makes the collections that the commands are sent to, named as redis-benchmark will name them.
func fillTypes(s *servertest.Server) error {
	number := func(i int) string { return fmt.Sprintf("%012d", i) }
	if err := pipelined(s, smallKeys, func(i int) []string { return []string{"HSET", "h:" + number(i), "n", "1"} }); err != nil {
		return err
	}
	for _, f := range []struct {
		n       int
		command func(i int) []string
	}{
		{smallKeys * smallElements, func(i int) []string {
			return []string{"HSET", "h:" + number(i%smallKeys), "f" + strconv.Itoa(i/smallKeys), val16}
		}},
		{smallKeys * smallElements, func(i int) []string { return []string{"RPUSH", "l:" + number(i%smallKeys), val16} }},
		{smallKeys * smallElements, func(i int) []string {
			return []string{"SADD", "s:" + number(i%smallKeys), "m" + strconv.Itoa(i/smallKeys)}
		}},
		{smallKeys * smallElements, func(i int) []string {
			return []string{"ZADD", "z:" + number(i%smallKeys), strconv.Itoa(i / smallKeys), "m" + strconv.Itoa(i/smallKeys)}
		}},
		{smallKeys * smallElements, func(i int) []string {
			return []string{"XADD", "x:" + number(i%smallKeys), "*", "sensor", "7", "value", number(i)}
		}},
		{bigElements, func(i int) []string { return []string{"HSET", "H", "f:" + number(i), val16} }},
		{bigElements, func(i int) []string { return []string{"RPUSH", "L", val16} }},
		{bigElements, func(i int) []string { return []string{"SADD", "S", "m:" + number(i)} }},
		{bigElements, func(i int) []string { return []string{"ZADD", "Z", number(i), "m:" + number(i)} }},
		{bigElements, func(i int) []string { return []string{"XADD", "X", "*", "sensor", "7", "value", number(i)} }},
	} {
		if err := pipelined(s, f.n, f.command); err != nil {
			return err
		}
	}
	return nil
}

// measureElements: resident bytes per element, in collections of ten and in one of two million.
func measureElements(b *bench) ([]result, error) {
	const small, large = 200_000, 2_000_000
	perElement := func(bin, typ string, collections, each int) (float64, error) {
		s, err := b.start(bin, bothCPUs, nil, "--appendonly", "no")
		if err != nil {
			return 0, err
		}
		defer drop(s)
		before, _, err := s.Memory()
		if err != nil {
			return 0, err
		}
		add := adders[typ]
		if err := pipelined(s, collections*each, func(i int) []string {
			return add(nil, "c:"+strconv.Itoa(i%collections), i/collections)
		}); err != nil {
			return 0, err
		}
		after, _, err := s.Memory()
		return float64(after-before) / float64(collections*each), err
	}
	var out []result
	for _, typ := range []string{"list", "set", "hash", "sorted set", "stream"} {
		for _, size := range []struct {
			what              string
			collections, each int
			limit             float64
		}{
			{fmt.Sprintf("a %s of %d", typ, smallElements), b.scaled(small), smallElements, 1},
			{fmt.Sprintf("a %s of %d", typ, large), 1, b.scaled(large), 0.7},
		} {
			own, err := perElement(b.tidemark, typ, size.collections, size.each)
			if err != nil {
				return nil, err
			}
			other, err := perElement(b.redis, typ, size.collections, size.each)
			if err != nil {
				return nil, err
			}
			out = append(out, atMost("RSS per element over redis, "+size.what, own/other, size.limit, "×").
				note("tidemark %.1f bytes, redis %.1f; the keys' share included, the idle server's not", own, other))
		}
	}
	return out, nil
}
