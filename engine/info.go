package engine

import (
	"fmt"
	"hash/fnv"
	"math"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"tidemark/engine/command"
	"tidemark/netio"
)

// infoSection is one section of INFO, in the order they come in.
type infoSection struct {
	name  string // as asked for
	title string
	when  infoWhen
	write func(s *Server, c *command.Ctx, t *InfoText)
}

// infoWhen says which of INFO's collective names a section belongs to.
type infoWhen uint8

const (
	infoDefault infoWhen = iota // default, all, everything
	infoAll                     // all, everything
	infoModules                 // default, everything
)

func infoSections() []infoSection {
	return []infoSection{
		{"server", "Server", infoDefault, (*Server).infoServer},
		{"clients", "Clients", infoDefault, (*Server).infoClients},
		{"memory", "Memory", infoDefault, (*Server).infoMemory},
		{"persistence", "Persistence", infoDefault, (*Server).infoPersistence},
		{"stats", "Stats", infoDefault, (*Server).infoStats},
		{"replication", "Replication", infoDefault, (*Server).infoReplication},
		{"cpu", "CPU", infoDefault, (*Server).infoCPU},
		{"modules", "Modules", infoModules, func(*Server, *command.Ctx, *InfoText) {}},
		{"commandstats", "Commandstats", infoAll, (*Server).infoCommandStats},
		{"errorstats", "Errorstats", infoDefault, (*Server).infoErrorStats},
		{"latencystats", "Latencystats", infoAll, (*Server).infoLatencyStats},
		{"cluster", "Cluster", infoDefault, func(_ *Server, _ *command.Ctx, t *InfoText) { t.Int("cluster_enabled", 0) }},
		{"keyspace", "Keyspace", infoDefault, (*Server).infoKeyspace},
	}
}

// info is INFO.
func (s *Server) info(c *command.Ctx) {
	wanted := map[string]bool{}
	def, all, modules := len(c.Args) == 1, false, len(c.Args) == 1
	for _, a := range c.Args[1:] {
		switch name := strings.ToLower(string(a)); name {
		case "default":
			def, modules = true, true
		case "all":
			all = true
		case "everything":
			all, modules = true, true
		default:
			wanted[name] = true
		}
	}
	// What this turn did so far counts, too.
	c.PublishBefore()
	t := &InfoText{}
	for _, sec := range infoSections() {
		if wanted[sec.name] || sec.when == infoDefault && (def || all) || sec.when == infoAll && all || sec.when == infoModules && modules {
			if len(t.b) > 0 {
				t.b = append(t.b, '\r', '\n')
			}
			t.b = append(append(append(t.b, "# "...), sec.title...), '\r', '\n')
			sec.write(s, c, t)
		}
	}
	c.W.Verbatim("txt", string(t.b))
}

// InfoText is INFO's text as it grows.
type InfoText struct {
	b       []byte
	clients *clientSums // once asked for
}

func (t *InfoText) Str(name, value string) {
	t.b = append(t.b, name...)
	t.b = append(t.b, ':')
	t.b = append(t.b, value...)
	t.b = append(t.b, '\r', '\n')
}

func (t *InfoText) Int(name string, v int64) { t.Str(name, strconv.FormatInt(v, 10)) }

func (t *InfoText) Float(name string, v float64, digits int) {
	t.Str(name, strconv.FormatFloat(v, 'f', digits, 64))
}

func (t *InfoText) Flag(name string, v bool) {
	if v {
		t.Int(name, 1)
	} else {
		t.Int(name, 0)
	}
}

// bytes writes a size, and the same for people.
func (t *InfoText) Bytes(name string, n int64) {
	t.Int(name, n)
	t.Str(name+"_human", humanBytes(n))
}

// humanBytes is a size as Redis writes it for people: two digits and a letter.
func humanBytes(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + "B"
	}
	v := float64(n) / 1024
	for _, unit := range []string{"K", "M", "G", "T"} {
		if v < 1024 {
			return strconv.FormatFloat(v, 'f', 2, 64) + unit
		}
		v /= 1024
	}
	return strconv.FormatFloat(v, 'f', 2, 64) + "P"
}

func (s *Server) infoServer(c *command.Ctx, t *InfoText) {
	v := s.cfg.Load()
	now := time.Now()
	up := int64(now.Sub(s.started).Seconds())
	t.Str("redis_version", RedisVersion)
	t.Str("tidemark_version", Version)
	b := build()
	t.Str("redis_git_sha1", b.revision)
	t.Flag("redis_git_dirty", b.modified)
	t.Str("redis_build_id", b.id)
	t.Str("redis_mode", "standalone")
	t.Str("os", osName())
	t.Int("arch_bits", strconv.IntSize)
	t.Str("monotonic_clock", "POSIX clock_gettime")
	t.Str("multiplexing_api", "epoll")
	t.Str("go_version", runtime.Version())
	t.Int("process_id", int64(os.Getpid()))
	t.Str("process_supervised", supervisor())
	t.Str("run_id", s.runID)
	t.Int("tcp_port", v.Port)
	t.Int("server_time_usec", now.UnixMicro())
	t.Int("uptime_in_seconds", up)
	t.Int("uptime_in_days", up/86400)
	t.Int("hz", v.HZ)
	t.Int("configured_hz", v.HZ)
	t.Int("lru_clock", now.Unix()&0xffffff)
	s.stop.mu.Lock()
	if s.stop.waiting != nil {
		t.Int("shutdown_in_milliseconds", max(s.stop.until.Sub(now).Milliseconds(), 0))
	}
	s.stop.mu.Unlock()
	exe, err := os.Executable()
	if err != nil {
		exe = os.Args[0]
	}
	t.Str("executable", exe)
	t.Str("config_file", s.cfg.File())
	loops := 0
	s.mu.Lock()
	loops = len(s.loops)
	s.mu.Unlock()
	t.Flag("io_threads_active", loops > 1)
	for i, l := range listeners(s.net.Addrs()) {
		t.Str("listener"+strconv.Itoa(i), l)
	}
}

// listeners describes what clients connect to, a line for each port and each unix socket.
func listeners(addrs []net.Addr) (lines []string) {
	ports := map[int]int{} // index in lines
	for _, a := range addrs {
		tcp, ok := a.(*net.TCPAddr)
		if !ok {
			lines = append(lines, fmt.Sprintf("name=%s,bind=%s", a.Network(), a))
			continue
		}
		i, ok := ports[tcp.Port]
		if !ok {
			i = len(lines)
			ports[tcp.Port] = i
			lines = append(lines, "name=tcp")
		}
		lines[i] += ",bind=" + tcp.IP.String()
	}
	for port, i := range ports {
		lines[i] += ",port=" + strconv.Itoa(port)
	}
	return lines
}

// buildInfo tells one build of the program from another.
type buildInfo struct {
	revision string // of the source, the first 8 hexadecimal digits; zeros when it is not known
	modified bool   // the source differed from that revision
	id       string
}

var build = sync.OnceValue(func() buildInfo {
	b := buildInfo{revision: "00000000"}
	bi, ok := debug.ReadBuildInfo()
	if !ok {
		bi = &debug.BuildInfo{GoVersion: runtime.Version()}
	}
	for _, s := range bi.Settings {
		switch s.Key {
		case "vcs.revision":
			b.revision = s.Value[:min(8, len(s.Value))]
		case "vcs.modified":
			b.modified = s.Value == "true"
		}
	}
	h := fnv.New64a()
	fmt.Fprint(h, Version, bi)
	b.id = strconv.FormatUint(h.Sum64(), 16)
	return b
})

func osName() string {
	var u syscall.Utsname
	if err := syscall.Uname(&u); err != nil {
		return runtime.GOOS
	}
	return utsText(u.Sysname[:]) + " " + utsText(u.Release[:]) + " " + utsText(u.Machine[:])
}

func utsText[T int8 | uint8](a []T) string {
	var b []byte
	for _, ch := range a {
		if ch == 0 {
			break
		}
		b = append(b, byte(ch))
	}
	return string(b)
}

// supervisor is who watches over the process, as far as the environment tells.
func supervisor() string {
	switch {
	case os.Getenv("NOTIFY_SOCKET") != "":
		return "systemd"
	case os.Getenv("UPSTART_JOB") != "":
		return "upstart"
	}
	return "no"
}

// clientSums is what INFO tells of all clients together.
type clientSums struct {
	n, blocked, timed, watching, watchedKeys int64
	maxInput, maxOutput, bytes, replicaBytes int64
}

func (s *Server) sumClients(t *InfoText) *clientSums {
	if t.clients != nil {
		return t.clients
	}
	sum := &clientSums{}
	t.clients = sum
	s.clients.each(func(ss *Session) {
		p := &ss.pub
		p.mu.Lock()
		if p.kind == typeReplica {
			sum.replicaBytes += ss.memory()
			p.mu.Unlock()
			return
		}
		sum.n++
		if p.blocked {
			sum.blocked++
			if p.timed {
				sum.timed++
			}
		}
		if p.watch > 0 {
			sum.watching++
			sum.watchedKeys += int64(p.watch)
		}
		sum.maxInput = max(sum.maxInput, int64(p.net.QueryBuf+p.net.QueryBufFree))
		sum.maxOutput = max(sum.maxOutput, int64(p.net.OutputMem))
		sum.bytes += ss.memory()
		p.mu.Unlock()
	})
	sum.blocked += int64(s.pause.count())
	return sum
}

func (s *Server) infoClients(c *command.Ctx, t *InfoText) {
	if ss, ok := c.Client.(*Session); ok {
		ss.publishRunning(c)
	}
	sum := s.sumClients(t)
	t.Int("connected_clients", sum.n)
	t.Int("cluster_connections", 0)
	t.Int("maxclients", s.cfg.Load().MaxClients)
	t.Int("client_recent_max_input_buffer", sum.maxInput)
	t.Int("client_recent_max_output_buffer", sum.maxOutput)
	t.Int("blocked_clients", sum.blocked)
	t.Int("tracking_clients", 0)
	t.Int("pubsub_clients", 0)
	t.Int("clients_in_timeout_table", sum.timed)
	waited, gone := s.store.WaitedKeys()
	t.Int("total_blocking_keys", waited)
	t.Int("total_blocking_keys_on_nokey", gone)
	t.Int("watching_clients", sum.watching)
	t.Int("total_watched_keys", sum.watchedKeys)
	reason, actions, ms := s.pause.state()
	t.Str("paused_reason", reason)
	t.Str("paused_actions", actions)
	t.Int("paused_timeout_milliseconds", ms)
}

// infoMemory: used_memory is what maxmemory is held against, the data with all that finding and expiring them takes, and what clients have
// sent and not yet been sent; the Go heap is told beside it.
func (s *Server) infoMemory(c *command.Ctx, t *InfoText) {
	v := s.cfg.Load()
	m := s.store.KS.Memory()
	start := s.store.FixedMemory()
	clients := s.store.ClientMemory()
	repl := s.ext.Stats()
	used := m.Used + start + clients
	rss := residentBytes()
	peak := s.store.Stats.NotePeak(used)
	overhead := start + clients + m.Tables + m.ExpiryIndex
	goRuntime := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"}}
	metrics.Read(goRuntime) // stops nothing, unlike runtime.ReadMemStats
	t.Bytes("used_memory", used)
	t.Bytes("used_memory_rss", rss)
	t.Bytes("used_memory_peak", peak)
	t.Str("used_memory_peak_perc", percent(used, peak))
	t.Int("used_memory_overhead", overhead)
	t.Int("used_memory_startup", start)
	t.Int("used_memory_dataset", used-overhead)
	t.Str("used_memory_dataset_perc", percent(used-overhead, used))
	t.Int("allocator_allocated", m.Used)
	t.Int("allocator_active", m.Mapped)
	t.Int("allocator_resident", m.Mapped)
	t.Bytes("total_system_memory", systemBytes())
	t.Bytes("used_memory_lua", 0)
	t.Int("used_memory_vm_eval", 0)
	t.Int("used_memory_scripts_eval", 0)
	t.Int("used_memory_vm_functions", 0)
	t.Bytes("used_memory_vm_total", 0)
	t.Int("used_memory_functions", 0)
	t.Bytes("used_memory_scripts", 0)
	t.Int("number_of_cached_scripts", 0)
	t.Int("number_of_functions", 0)
	t.Int("number_of_libraries", 0)
	t.Bytes("maxmemory", v.MaxMemoryBytes)
	t.Str("maxmemory_policy", v.MaxMemoryPolicy.String())
	t.Float("allocator_frag_ratio", ratio(m.Mapped, m.Used), 2)
	t.Int("allocator_frag_bytes", m.Mapped-m.Used)
	t.Float("allocator_rss_ratio", 1, 2)
	t.Int("allocator_rss_bytes", 0)
	t.Float("rss_overhead_ratio", ratio(rss, m.Mapped), 2)
	t.Int("rss_overhead_bytes", rss-m.Mapped)
	t.Float("mem_fragmentation_ratio", ratio(rss, used), 2)
	t.Int("mem_fragmentation_bytes", rss-used)
	t.Int("mem_not_counted_for_evict", repl.BufferBytes)
	t.Int("mem_replication_backlog", repl.BacklogBytes)
	t.Int("mem_total_replication_buffers", repl.BacklogBytes+repl.BufferBytes)
	t.Int("mem_clients_slaves", s.sumClients(t).replicaBytes)
	t.Int("mem_clients_normal", s.sumClients(t).bytes)
	t.Int("mem_cluster_links", 0)
	ring := int64(0)
	if log := s.store.Log(); log != nil {
		ring = log.Stats().RingUsed
	}
	t.Int("mem_aof_buffer", ring)
	t.Str("mem_allocator", "tidemark-arena")
	t.Int("active_defrag_running", 0)
	t.Flag("lazyfree_pending_objects", m.PendingFree > 0)
	t.Int("lazyfreed_objects", s.store.Stats.LazyFreed.Load()+s.store.KS.FreedLater()-s.stats.since().freedLater)
	t.Int("tidemark_memory_tables", m.Tables)
	t.Int("tidemark_memory_entries", m.Entries)
	t.Int("tidemark_memory_large", m.Large)
	t.Int("tidemark_memory_collections", m.Collections)
	t.Int("tidemark_memory_expiry_index", m.ExpiryIndex)
	t.Int("tidemark_memory_free", m.Free)
	t.Int("tidemark_memory_pending_free", m.PendingFree)
	t.Int("tidemark_go_heap", int64(goRuntime[0].Value.Uint64()))
	t.Int("tidemark_go_sys", int64(goRuntime[1].Value.Uint64()))
}

func percent(n, of int64) string {
	return strconv.FormatFloat(ratio(n, of)*100, 'f', 2, 64) + "%"
}

func ratio(n, of int64) float64 {
	if of <= 0 {
		return 0
	}
	return float64(n) / float64(of)
}

// residentBytes is the process's resident set, 0 when /proc is not there.
func residentBytes() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

func systemBytes() int64 {
	var si syscall.Sysinfo_t
	if err := syscall.Sysinfo(&si); err != nil {
		return 0
	}
	return int64(si.Totalram) * int64(si.Unit)
}

func (s *Server) infoPersistence(c *command.Ctx, t *InfoText) {
	r := &s.rewrite
	log := s.store.Log()
	status := func(failed bool) string {
		if failed {
			return "err"
		}
		return "ok"
	}
	r.mu.Lock()
	job := r.job
	saving := job != nil && job.kind == kindRDB
	rewriting := job != nil && job.kind == kindAOF
	current := int64(-1)
	done := int64(0)
	if job != nil {
		current = int64(time.Since(job.started).Seconds())
		done = job.keys.Load()
	}
	last := r.lastSave
	if last == 0 {
		last = s.started.Unix()
	}
	seconds := func(runs, v int64) int64 {
		if runs == 0 {
			return -1
		}
		return v
	}
	or := func(on bool, v int64) int64 {
		if on {
			return v
		}
		return -1
	}
	t.Flag("loading", s.store.Loading.Load())
	t.Int("async_loading", 0)
	t.Int("current_cow_peak", 0)
	t.Int("current_cow_size", 0)
	t.Int("current_save_keys_processed", done)
	t.Int("rdb_changes_since_last_save", s.store.Stats.Dirty.Load()-r.dirtyAtSave)
	t.Flag("rdb_bgsave_in_progress", saving)
	t.Int("rdb_last_save_time", last)
	t.Str("rdb_last_bgsave_status", status(r.rdbFailed))
	t.Int("rdb_last_bgsave_time_sec", seconds(r.rdbRuns, r.rdbSeconds))
	t.Int("rdb_current_bgsave_time_sec", or(saving, current))
	t.Int("rdb_saves", r.rdbRuns)
	t.Int("rdb_last_cow_size", 0)
	t.Int("rdb_last_load_keys_expired", s.loading.keysExpired.Load())
	t.Int("rdb_last_load_keys_loaded", s.loading.keysLoaded.Load())
	t.Flag("aof_enabled", log != nil && log.OnDisk())
	t.Flag("aof_rewrite_in_progress", rewriting)
	t.Flag("aof_rewrite_scheduled", r.scheduled)
	t.Int("aof_last_rewrite_time_sec", seconds(r.aofRuns, r.aofSeconds))
	t.Int("aof_current_rewrite_time_sec", or(rewriting, current))
	t.Str("aof_last_bgrewrite_status", status(r.aofFailed))
	t.Int("aof_rewrites", r.aofRuns)
	t.Int("aof_last_cow_size", 0)
	r.mu.Unlock()
	t.Str("aof_last_write_status", status(log != nil && log.Err() != nil))
	t.Int("module_fork_in_progress", 0)
	t.Int("module_fork_last_cow_size", 0)
	if s.Loading() {
		s.infoLoading(t)
	}
	if log == nil {
		return
	}
	st := log.Stats()
	if log.OnDisk() {
		t.Int("aof_current_size", st.CurrentBytes)
		t.Int("aof_base_size", st.BaseBytes)
		t.Int("aof_pending_rewrite", 0)
		t.Int("aof_buffer_length", st.RingUsed)
		t.Int("aof_pending_bio_fsync", 0)
		t.Int("aof_delayed_fsync", max(st.DelayedFsync-s.stats.since().delayedFsync, 0))
	}
	t.Int("tidemark_log_reserved", st.Reserved)
	t.Int("tidemark_log_appended", st.Appended)
	t.Int("tidemark_log_synced", st.Synced)
	t.Int("tidemark_log_commits", st.Commits)
	t.Int("tidemark_log_committed_bytes", st.CommittedBytes)
	t.Float("tidemark_log_commit_bytes_avg", ratio(st.CommittedBytes, st.Commits), 1)
	t.Int("tidemark_log_syncs", st.Syncs)
	t.Float("tidemark_log_sync_usec_avg", ratio(st.SyncNanosTotal, st.Syncs)/1000, 1)
	t.Float("tidemark_log_sync_usec_max", float64(st.SyncNanosMax)/1000, 1)
	t.Float("tidemark_log_sync_usec_last", float64(st.SyncNanosLast)/1000, 1)
	t.Str("tidemark_log_commit_sizes", histogram(st.CommitSizes[:], 1))
	t.Str("tidemark_log_sync_usec", histogram(st.SyncTimes[:], 1000))
	t.Int("tidemark_ring_capacity", st.RingCapacity)
	t.Int("tidemark_ring_used", st.RingUsed)
	t.Int("tidemark_ring_used_max", st.RingUsedMax)
	t.Int("tidemark_ring_full_stalls", st.FullStalls)
	t.Int("tidemark_segments", st.Segments)
	t.Int("tidemark_spare_segments", st.SpareSegments)
	if err := log.Err(); err != nil {
		t.Str("tidemark_log_error", strings.NewReplacer("\r", " ", "\n", " ").Replace(err.Error()))
	}
}

// histogram writes counts of powers of two, as "<128=17,<256=3"; empty ones are left out. unit divides the bounds.
func histogram(counts []int64, unit float64) string {
	var b strings.Builder
	for i, n := range counts {
		if n == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "<%.4g=%d", float64(int64(2)<<i)/unit, n)
	}
	return b.String()
}

func (s *Server) infoStats(c *command.Ctx, t *InfoText) {
	now := time.Now().UnixMicro()
	net := s.net.Stats()
	from := s.stats.since().net
	st := &s.store.Stats
	repl := s.ext.Stats()
	rate := s.stats.rates.perSecond(sample{now, st.Commands.Load(), net.BytesIn, net.BytesOut, net.Turns, net.TurnNanos})
	s.stats.turn(s, now)
	t.Int("total_connections_received", net.Accepted-from.Accepted)
	t.Int("total_commands_processed", st.Commands.Load())
	t.Int("instantaneous_ops_per_sec", int64(rate.commands))
	t.Int("total_net_input_bytes", net.BytesIn-from.BytesIn)
	t.Int("total_net_output_bytes", net.BytesOut-from.BytesOut)
	t.Int("total_net_repl_input_bytes", repl.BytesIn)
	t.Int("total_net_repl_output_bytes", repl.BytesOut)
	t.Float("instantaneous_input_kbps", rate.in/1024, 2)
	t.Float("instantaneous_output_kbps", rate.out/1024, 2)
	t.Float("instantaneous_input_repl_kbps", 0, 2)
	t.Float("instantaneous_output_repl_kbps", 0, 2)
	t.Int("rejected_connections", net.Rejected-from.Rejected)
	t.Int("sync_full", repl.SyncFull)
	t.Int("sync_partial_ok", repl.SyncPartialOK)
	t.Int("sync_partial_err", repl.SyncPartialErr)
	t.Int("expired_keys", st.ExpiredKeys.Load())
	t.Int("expired_subkeys", st.ExpiredFields.Load())
	t.Float("expired_stale_perc", 0, 2)
	t.Int("expired_time_cap_reached_count", s.stats.expirySlicesFull.Load())
	t.Int("expire_cycle_cpu_milliseconds", s.stats.expiryNanos.Load()/1e6)
	t.Int("evicted_keys", st.EvictedKeys.Load())
	t.Int("evicted_clients", s.clientEvict.evicted.Load())
	t.Int("evicted_scripts", 0)
	t.Int("keyspace_hits", st.Hits.Load())
	t.Int("keyspace_misses", st.Misses.Load())
	t.Int("pubsub_channels", 0)
	t.Int("pubsub_patterns", 0)
	t.Int("pubsubshard_channels", 0)
	t.Int("latest_fork_usec", 0)
	t.Int("total_forks", 0)
	t.Int("migrate_cached_sockets", 0)
	t.Int("slave_expires_tracked_keys", 0)
	t.Int("active_defrag_hits", 0)
	t.Int("active_defrag_misses", 0)
	t.Int("active_defrag_key_hits", 0)
	t.Int("active_defrag_key_misses", 0)
	t.Int("total_active_defrag_time", 0)
	t.Int("current_active_defrag_time", 0)
	t.Int("tracking_total_keys", 0)
	t.Int("tracking_total_items", 0)
	t.Int("tracking_total_prefixes", 0)
	t.Int("unexpected_error_replies", 0)
	t.Int("total_error_replies", s.stats.errors.total.Load())
	t.Int("total_reads_processed", net.Reads-from.Reads)
	t.Int("total_writes_processed", net.Writes-from.Writes)
	t.Int("acl_access_denied_auth", s.stats.authFailures.Load())
	t.Int("acl_access_denied_cmd", 0)
	t.Int("acl_access_denied_key", 0)
	t.Int("acl_access_denied_channel", 0)
	t.Int("client_query_buffer_limit_disconnections", net.QueryLimitCloses-from.QueryLimitCloses)
	t.Int("client_output_buffer_limit_disconnections", net.OutputLimitCloses-from.OutputLimitCloses)
	t.Int("eventloop_cycles", net.Turns-from.Turns)
	t.Int("eventloop_duration_sum", (net.TurnNanos-from.TurnNanos)/1000)
	t.Int("eventloop_duration_cmd_sum", s.commandNanos()/1000)
	// Rounded: a server that nobody talks to has less than one turn a second.
	t.Int("instantaneous_eventloop_cycles_per_sec", int64(math.Round(rate.turns)))
	t.Int("instantaneous_eventloop_duration_usec", int64(math.Round(rate.turnMicros)))
	t.Int("tidemark_longest_turn_usec", net.LongestTurnNanos/1000)
	t.Int("tidemark_turn_cpu_usec_max", net.MostTurnCPUNanos/1000)
	tidemarkNetStats(t, net, from)
}

// commandNanos is the time spent executing commands since the last CONFIG RESETSTAT.
func (s *Server) commandNanos() (sum int64) {
	for _, d := range s.table.All() {
		_, nanos, _, _ := d.Stats()
		sum += nanos
	}
	return sum
}

func (s *Server) infoReplication(c *command.Ctx, t *InfoText) { s.ext.InfoReplication(t) }

// infoPrimary is the section of a server without replication.
func (s *Server) infoPrimary(t *InfoText) {
	off := int64(0)
	if log := s.store.Log(); log != nil {
		off = log.Reserved()
	}
	t.Str("role", "master")
	t.Int("connected_slaves", 0)
	t.Str("master_failover_state", "no-failover")
	t.Str("master_replid", s.replicationID())
	t.Str("master_replid2", strings.Repeat("0", 40))
	t.Int("master_repl_offset", off)
	t.Int("second_repl_offset", -1)
	t.Int("repl_backlog_active", 0)
	t.Int("repl_backlog_size", 0)
	t.Int("repl_backlog_first_byte_offset", 0)
	t.Int("repl_backlog_histlen", 0)
}

// replicationID is the id of the log, or of the one to come.
func (s *Server) replicationID() string {
	id, _ := s.identity()
	return id
}

func (s *Server) infoCPU(c *command.Ctx, t *InfoText) {
	var self, children syscall.Rusage
	// Neither call can fail with these arguments.
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &self)
	_ = syscall.Getrusage(syscall.RUSAGE_CHILDREN, &children)
	sec := func(tv syscall.Timeval) float64 { return float64(tv.Sec) + float64(tv.Usec)/1e6 }
	t.Float("used_cpu_sys", sec(self.Stime), 6)
	t.Float("used_cpu_user", sec(self.Utime), 6)
	t.Float("used_cpu_sys_children", sec(children.Stime), 6)
	t.Float("used_cpu_user_children", sec(children.Utime), 6)
}

func (s *Server) infoCommandStats(c *command.Ctx, t *InfoText) {
	for _, d := range s.table.All() {
		calls, nanos, rejected, failed := d.Stats()
		if calls == 0 && rejected == 0 && failed == 0 {
			continue
		}
		t.Str("cmdstat_"+d.FullName(), fmt.Sprintf("calls=%d,usec=%d,usec_per_call=%.2f,rejected_calls=%d,failed_calls=%d",
			calls, nanos/1000, ratio(nanos, calls)/1000, rejected, failed))
	}
}

func (s *Server) infoErrorStats(c *command.Ctx, t *InfoText) {
	for _, e := range s.stats.errors.list() {
		t.Str("errorstat_"+e.prefix, "count="+strconv.FormatInt(e.n, 10))
	}
}

func (s *Server) infoLatencyStats(c *command.Ctx, t *InfoText) {
	v := s.cfg.Load()
	if !v.LatencyTracking {
		return
	}
	for _, d := range s.table.All() {
		l := d.Latencies()
		if l == nil {
			continue
		}
		var b strings.Builder
		for i, p := range v.LatencyPercentiles {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "p%g=%.3f", p, float64(l.Percentile(p))/1000)
		}
		t.Str("latency_percentiles_usec_"+d.FullName(), b.String())
	}
}

func (s *Server) infoKeyspace(c *command.Ctx, t *InfoText) {
	// Numbers for monitoring: they wait for no disk, so that INFO says how things are while the disk fails.
	defer func(gate int64) { c.Gate = gate }(c.Gate)
	ks := s.store.KS
	type count struct{ keys, expires, ttl, hashes int64 }
	dbs := make([]count, ks.Databases())
	for i := 0; i < ks.NumShards(); i++ {
		sh := c.EnterShard(i)
		for db := range dbs {
			d := &dbs[db]
			d.keys += int64(sh.Len(db))
			d.hashes += int64(sh.ExpiringHashes(db))
			if n := int64(sh.Expires(db)); n > 0 {
				d.expires += n
				d.ttl += n * sh.AvgTTL(db, c.Now)
			}
		}
		c.LeaveShard(i)
	}
	for db, d := range dbs {
		if d.keys > 0 {
			t.Str("db"+strconv.Itoa(db), fmt.Sprintf("keys=%d,expires=%d,avg_ttl=%d,subexpiry=%d", d.keys, d.expires, d.ttl/max(d.expires, 1), d.hashes))
		}
	}
}

func tidemarkNetStats(t *InfoText, net, from netio.Stats) {
	t.Int("tidemark_loop_takeovers", net.Takeovers-from.Takeovers)
	t.Int("tidemark_loop_migrations", net.Migrations-from.Migrations)
}
