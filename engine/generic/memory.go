package generic

import (
	"bytes"
	"fmt"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"sync/atomic"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
)

var memory = &command.Descriptor{
	Name: "memory", Arity: -2,
	Group: "server", Since: "4.0.0", Summary: "Tells where the memory is.", Complexity: "Depends on subcommand.",
	Sub: []*command.Descriptor{
		{
			Name: "doctor", Arity: 2, Scope: command.ScopeEach, Handler: memoryDoctor,
			Group: "server", Since: "4.0.0", Summary: "Says in words whether the use of memory looks healthy.", Complexity: "O(1)",
			Tips: []string{"nondeterministic_output", "request_policy:all_shards", "response_policy:special"},
		},
		{
			Name: "help", Arity: 2, Flags: command.Loading | command.Stale,
			Handler: func(c *command.Ctx) { replyHelp(c, memoryHelp) },
			Group:   "server", Since: "4.0.0", Summary: "Lists the subcommands.", Complexity: "O(1)",
		},
		{
			Name: "malloc-stats", Arity: 2, Scope: command.ScopeEach, Handler: mallocStats,
			Group: "server", Since: "4.0.0", Summary: "Prints the accounts of the arenas and of the Go heap.", Complexity: "O(1)",
			Tips: []string{"nondeterministic_output", "request_policy:all_shards", "response_policy:special"},
		},
		{
			Name: "purge", Arity: 2, Handler: memoryPurge,
			Group: "server", Since: "4.0.0", Summary: "Collects garbage and returns free memory to the system, in the background.",
			Complexity: "O(1) for the caller.",
			Tips:       []string{"request_policy:all_shards", "response_policy:all_succeeded"},
		},
		{
			Name: "stats", Arity: 2, Scope: command.ScopeEach, Handler: memoryStats,
			Group: "server", Since: "4.0.0", Summary: "Gives the use of memory in figures.", Complexity: "O(N) where N is the number of databases.",
			Tips: []string{"nondeterministic_output", "request_policy:all_shards", "response_policy:special"},
		},
		{
			Name: "usage", Arity: -3, Flags: command.ReadOnly, Keys: secondArg, Handler: memoryUsage,
			Group: "server", Since: "4.0.0", Summary: "Tells how many bytes a key takes.", Complexity: "O(1)",
			Args: []command.Arg{{Name: "key", Type: "key"},
				{Name: "count", Type: "integer", Token: "SAMPLES", Flags: command.Optional}},
		},
	},
}

var memoryHelp = []string{
	"MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
	"DOCTOR",
	"    Return memory problems reports.",
	"MALLOC-STATS",
	"    Return internal statistics report from the memory allocator.",
	"PURGE",
	"    Attempt to purge dirty pages for reclamation by the allocator.",
	"STATS",
	"    Return information about the memory usage of the server.",
	"USAGE <key> [SAMPLES <count>]",
	"    Return memory in bytes used by <key> and its value. Nested values are",
	"    sampled up to <count> times (default: 5, 0 means sample all).",
	"HELP",
	"    Print this help.",
}

// memoryUsage checks SAMPLES and has no use for the number: the keyspace knows the exact size of a value without sampling.
func memoryUsage(c *command.Ctx) {
	for i := 3; i < len(c.Args); i += 2 {
		if !command.Is(c.Args[i], "samples") || i+1 >= len(c.Args) {
			c.W.Error(command.ErrSyntax)
			return
		}
		n, ok := c.Int(i + 1)
		if !ok {
			return
		}
		if n < 0 {
			c.W.Error(command.ErrSyntax)
			return
		}
	}
	k := &c.Keys[0]
	if r := c.Peek(k); r != 0 {
		c.W.Int(int64(k.Shard.MemoryUsage(r)))
	} else {
		c.W.Null()
	}
}

// memoryReport is what MEMORY STATS, DOCTOR and MALLOC-STATS are made of. Bytes.
type memoryReport struct {
	keyspace.MemoryStats
	heap, heapFree, goTotal int64 // Go's own: objects, idle spans, everything mapped
	rss                     int64
	keys                    int64
	dbs                     []int64 // keys by database
	volatile                []int64
}

func reportMemory(c *command.Ctx) memoryReport {
	ks := c.Store.KS
	m := memoryReport{MemoryStats: ks.Memory(), dbs: make([]int64, ks.Databases()), volatile: make([]int64, ks.Databases())}
	for i := range ks.NumShards() {
		s := c.EnterShard(i)
		for db := range m.dbs {
			n := int64(s.Len(db))
			m.keys += n
			m.dbs[db] += n
			m.volatile[db] += int64(s.Expires(db))
		}
		c.LeaveShard(i)
	}
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/total:bytes"}}
	metrics.Read(samples) // stops nothing, unlike runtime.ReadMemStats
	for i, p := range []*int64{&m.heap, &m.heapFree, &m.goTotal} {
		if samples[i].Value.Kind() == metrics.KindUint64 {
			*p = int64(samples[i].Value.Uint64())
		}
	}
	m.rss = residentBytes()
	return m
}

// residentBytes is the process's resident set, 0 when the system does not tell.
func residentBytes() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	f := bytes.Fields(b)
	if err != nil || len(f) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(f[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

func ratio(a, b int64) float64 {
	if b <= 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// memoryStats uses Redis's names where a figure means the same here, and leaves out those that have no counterpart. The
// one that is Tidemark's own bears its name.
func memoryStats(c *command.Ctx) {
	m := reportMemory(c)
	total := c.Store.UsedMemory() // as used_memory of INFO; the Go heap stands beside it
	peak := c.Store.Stats.NotePeak(total)
	data := m.Entries + m.Large + m.Collections
	n := 18
	for db := range m.dbs {
		if m.dbs[db] > 0 {
			n++
		}
	}
	w := c.W
	w.Map(n)
	num := func(name string, v int64) { w.BulkString(name); w.Int(v) }
	real := func(name string, v float64) { w.BulkString(name); w.Double(v) }
	num("peak.allocated", peak)
	num("total.allocated", total)
	for db, keys := range m.dbs {
		if keys > 0 {
			w.BulkString("db." + strconv.Itoa(db))
			w.Map(2)
			// Tables and indexes are accounted for as a whole; a database has the share of its keys.
			num("overhead.hashtable.main", int64(float64(m.Tables)*ratio(keys, m.keys)))
			num("overhead.hashtable.expires", share(m.ExpiryIndex, m.volatile, db))
		}
	}
	num("overhead.total", total-data)
	num("tidemark.go-heap", m.heap)
	num("keys.count", m.keys)
	num("keys.bytes-per-key", int64(ratio(m.Used, m.keys)))
	num("dataset.bytes", data)
	real("dataset.percentage", 100*ratio(data, total))
	real("peak.percentage", 100*ratio(total, peak))
	num("allocator.allocated", m.Used)
	num("allocator.active", m.Used+m.Free+m.PendingFree)
	num("allocator.resident", m.Mapped)
	real("allocator-fragmentation.ratio", ratio(m.Used+m.Free+m.PendingFree, m.Used))
	num("allocator-fragmentation.bytes", m.Free+m.PendingFree)
	real("allocator-rss.ratio", ratio(m.Mapped, m.Used+m.Free+m.PendingFree))
	num("allocator-rss.bytes", m.Mapped-m.Used-m.Free-m.PendingFree)
	real("fragmentation", ratio(m.rss, total))
	num("fragmentation.bytes", m.rss-total)
}

func share(total int64, of []int64, i int) int64 {
	sum := int64(0)
	for _, n := range of {
		sum += n
	}
	return int64(float64(total) * ratio(of[i], sum))
}

// doctorFrom is the use of memory below which ratios say nothing.
const doctorFrom = 5 << 20

func memoryDoctor(c *command.Ctx) {
	m := reportMemory(c)
	total := m.Used + m.heap
	if total < doctorFrom {
		c.W.Verbatim("txt", "The server uses too little memory to tell anything from it. Ask again once there are data.\n")
		return
	}
	var b bytes.Buffer
	if peak := c.Store.Stats.NotePeak(m.Used); peak > m.Used+m.Used/2 {
		fmt.Fprintf(&b, " * The peak was %d bytes, the present use is %d. Memory freed since then serves new data first; what is not needed goes back to the system.\n", peak, m.Used)
	}
	if free := m.Free + m.PendingFree; ratio(free, m.Used) > 0.5 {
		fmt.Fprintf(&b, " * %d bytes of the arenas are free beside %d in use: keys were removed or shrank, and their places are spread among others. New data will use them.\n", free, m.Used)
	}
	if ratio(m.rss, total) > 1.6 {
		fmt.Fprintf(&b, " * The process holds %d bytes of memory for %d in use. MEMORY PURGE returns what the Go heap does not need.\n", m.rss, total)
	}
	if m.heap > m.Used {
		fmt.Fprintf(&b, " * The Go heap holds %d bytes, more than the data (%d): look at clients with large buffers in CLIENT LIST.\n", m.heap, m.Used)
	}
	if b.Len() == 0 {
		c.W.Verbatim("txt", "Nothing about the use of memory looks wrong.\n")
		return
	}
	c.W.Verbatim("txt", "The use of memory shows this:\n\n"+b.String())
}

func mallocStats(c *command.Ctx) {
	m := reportMemory(c)
	var b bytes.Buffer
	for _, l := range []struct {
		name string
		n    int64
	}{
		{"arenas mapped", m.Mapped}, {"arenas in use", m.Used}, {"  tables", m.Tables}, {"  entries", m.Entries},
		{"  large values", m.Large}, {"  collections", m.Collections}, {"  expiry index", m.ExpiryIndex}, {"arenas free", m.Free},
		{"awaiting release", m.PendingFree}, {"go heap objects", m.heap}, {"go heap free", m.heapFree},
		{"go total", m.goTotal}, {"resident", m.rss},
	} {
		fmt.Fprintf(&b, "%-18s%15d bytes\n", l.name, l.n)
	}
	c.W.Verbatim("txt", b.String())
}

var purging atomic.Bool

// memoryPurge starts what it promises and does not wait: a forced collection takes longer than an event loop may stand still.
func memoryPurge(c *command.Ctx) {
	if purging.CompareAndSwap(false, true) {
		go func() {
			defer purging.Store(false)
			debug.FreeOSMemory()
		}()
	}
	c.W.OK()
}
