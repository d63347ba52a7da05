package main

import (
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// exported are the fields of INFO that redis_exporter turns into metrics, apart from those of what is not here (scripts' details, links to a
// primary, cluster), and those that INFO of redis-server 7.0 does not have either.
var exported = strings.Fields(`redis_version redis_git_sha1 redis_git_dirty redis_build_id redis_mode os run_id tcp_port uptime_in_seconds process_id
	connected_clients blocked_clients maxclients tracking_clients clients_in_timeout_table client_recent_max_input_buffer client_recent_max_output_buffer
	pubsub_clients watching_clients total_watched_keys total_blocking_keys total_blocking_keys_on_nokey
	allocator_active allocator_allocated allocator_resident allocator_frag_ratio allocator_frag_bytes allocator_rss_ratio allocator_rss_bytes
	used_memory used_memory_rss used_memory_peak used_memory_lua used_memory_overhead used_memory_startup used_memory_dataset used_memory_scripts
	used_memory_vm_eval used_memory_scripts_eval used_memory_vm_functions used_memory_vm_total used_memory_functions
	number_of_cached_scripts number_of_functions number_of_libraries maxmemory maxmemory_policy mem_fragmentation_ratio mem_fragmentation_bytes
	mem_clients_slaves mem_clients_normal mem_cluster_links mem_aof_buffer mem_replication_backlog mem_total_replication_buffers mem_not_counted_for_evict
	total_system_memory lazyfree_pending_objects lazyfreed_objects active_defrag_running rss_overhead_ratio rss_overhead_bytes
	loading async_loading rdb_changes_since_last_save rdb_bgsave_in_progress rdb_last_save_time rdb_last_bgsave_status rdb_last_bgsave_time_sec
	rdb_current_bgsave_time_sec rdb_saves rdb_last_cow_size aof_enabled aof_rewrite_in_progress aof_rewrite_scheduled aof_last_rewrite_time_sec
	aof_current_rewrite_time_sec aof_last_cow_size aof_current_size aof_base_size aof_pending_rewrite aof_buffer_length aof_pending_bio_fsync aof_delayed_fsync
	aof_last_bgrewrite_status aof_last_write_status module_fork_in_progress module_fork_last_cow_size
	pubsub_channels pubsub_patterns pubsubshard_channels total_connections_received total_commands_processed instantaneous_ops_per_sec
	total_net_input_bytes total_net_output_bytes total_net_repl_input_bytes total_net_repl_output_bytes rejected_connections sync_full sync_partial_ok sync_partial_err
	expired_keys expired_subkeys expired_stale_perc expired_time_cap_reached_count expire_cycle_cpu_milliseconds evicted_keys evicted_clients evicted_scripts
	keyspace_hits keyspace_misses latest_fork_usec migrate_cached_sockets slave_expires_tracked_keys
	active_defrag_hits active_defrag_misses active_defrag_key_hits active_defrag_key_misses total_active_defrag_time current_active_defrag_time
	total_reads_processed total_writes_processed unexpected_error_replies total_error_replies acl_access_denied_auth acl_access_denied_cmd acl_access_denied_key acl_access_denied_channel
	role connected_slaves master_repl_offset second_repl_offset repl_backlog_active repl_backlog_size repl_backlog_first_byte_offset repl_backlog_histlen
	used_cpu_sys used_cpu_user used_cpu_sys_children used_cpu_user_children cluster_enabled`)

// own are Tidemark's.
var own = strings.Fields(`tidemark_version tidemark_log_reserved tidemark_log_appended tidemark_log_synced tidemark_log_commits tidemark_log_committed_bytes
	tidemark_log_commit_sizes tidemark_log_sync_usec tidemark_log_sync_usec_avg tidemark_log_sync_usec_max tidemark_ring_capacity tidemark_ring_used
	tidemark_ring_used_max tidemark_segments tidemark_spare_segments tidemark_longest_turn_usec tidemark_turn_cpu_usec_max`)

func parseInfo(t *testing.T, text string) (sections []string, fields map[string]string) {
	t.Helper()
	fields = map[string]string{}
	for line := range strings.SplitSeq(strings.TrimPrefix(text, "txt:"), "\r\n") {
		if name, ok := strings.CutPrefix(line, "# "); ok {
			sections = append(sections, name)
		} else if k, v, ok := strings.Cut(line, ":"); ok {
			if _, twice := fields[k]; twice {
				t.Errorf("%s comes twice", k)
			}
			fields[k] = v
		} else if line != "" {
			t.Errorf("neither a title nor a field: %q", line)
		}
	}
	return sections, fields
}

func TestInfoSections(t *testing.T) {
	_, a := start(t, "--save", "")
	for _, c := range []struct{ ask, want string }{
		{"INFO", "Server Clients Memory Persistence Stats Replication CPU Modules Errorstats Cluster Keyspace"},
		{"INFO default", "Server Clients Memory Persistence Stats Replication CPU Modules Errorstats Cluster Keyspace"},
		{"INFO all", "Server Clients Memory Persistence Stats Replication CPU Commandstats Errorstats Latencystats Cluster Keyspace"},
		{"INFO everything", "Server Clients Memory Persistence Stats Replication CPU Modules Commandstats Errorstats Latencystats Cluster Keyspace"},
		{"INFO Keyspace CPU", "CPU Keyspace"},
		{"INFO commandstats default", "Server Clients Memory Persistence Stats Replication CPU Modules Commandstats Errorstats Cluster Keyspace"},
		{"INFO nosuch", ""},
	} {
		sections, _ := parseInfo(t, a.Must(t, strings.Fields(c.ask)...).Str)
		if got := strings.Join(sections, " "); got != c.want {
			t.Errorf("%s: sections\n%s, want\n%s", c.ask, got, c.want)
		}
	}
	_, fields := parseInfo(t, a.Must(t, "INFO").Str)
	for _, f := range slices.Concat(exported, own) {
		if _, ok := fields[f]; !ok {
			t.Errorf("INFO lacks %s", f)
		}
	}
	if v := fields["redis_version"]; v != "7.4.0" {
		t.Errorf("redis_version:%s", v)
	}
}

func TestInfoCounts(t *testing.T) {
	s, a := start(t, "--save", "", "--appendfsync", "always")
	expect(t, a, "+OK", "CONFIG", "RESETSTAT")
	expect(t, a, "+OK", "SET", "k", "v")
	expect(t, a, "+OK", "SET", "e", "v", "EX", "1000")
	expect(t, a, `"v"`, "GET", "k")
	expect(t, a, "(nil)", "GET", "nosuch")
	expect(t, a, "-ERR value is not an integer or out of range", "INCR", "k")
	expect(t, a, "-ERR wrong number of arguments for 'get' command", "GET")
	expect(t, a, "-ERR unknown command 'nosuch', with args beginning with: ", "nosuch")
	_, f := parseInfo(t, a.Must(t, "INFO", "everything").Str)
	for field, want := range map[string]string{
		"keyspace_hits": "1", "keyspace_misses": "1", "total_error_replies": "3", "errorstat_ERR": "count=3",
		"rdb_changes_since_last_save": "2", "connected_clients": "1", "aof_enabled": "1",
		"tidemark_log_synced": f["tidemark_log_reserved"], "total_connections_received": "0", "total_commands_processed": "6",
	} {
		if f[field] != want {
			t.Errorf("%s:%s, want %s", field, f[field], want)
		}
	}
	if v := f["db0"]; !strings.HasPrefix(v, "keys=2,expires=1,avg_ttl=") {
		t.Errorf("db0:%s", v)
	}
	for cmd, want := range map[string]string{"set": "calls=2,", "get": "calls=2,", "incr": "rejected_calls=0,failed_calls=1"} {
		if !strings.Contains(f["cmdstat_"+cmd], want) {
			t.Errorf("cmdstat_%s:%s lacks %s", cmd, f["cmdstat_"+cmd], want)
		}
	}
	if !strings.Contains(f["cmdstat_get"], "rejected_calls=1,failed_calls=0") {
		t.Errorf("cmdstat_get:%s", f["cmdstat_get"])
	}
	if _, ok := f["cmdstat_info"]; ok {
		t.Error("INFO counts itself while it runs")
	}

	// The rates follow the load, and its end.
	b := s.Connect(t)
	for end := time.Now().Add(400 * time.Millisecond); time.Now().Before(end); {
		b.Must(t, "GET", "k")
	}
	if ops, err := strconv.Atoi(info(t, a, "instantaneous_ops_per_sec")); err != nil || ops < 50 {
		t.Errorf("instantaneous_ops_per_sec:%d (%v) under load", ops, err)
	}
	until(t, "the rates to fall", func() bool {
		ops, err := strconv.ParseFloat(info(t, a, "instantaneous_input_kbps"), 64)
		if err != nil {
			t.Fatal(err)
		}
		// The question itself is asked 500 times a second, in some 40 bytes.
		return ops < 60
	})
}

// TestInfoListeners: a line for each port and each unix socket.
func TestInfoListeners(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s, a := start(t, "--save", "", "--bind", "127.0.0.1 127.0.0.2", "--unixsocket", path)
	_, f := parseInfo(t, a.Must(t, "INFO", "server").Str)
	_, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := f["listener0"], "name=tcp,bind=127.0.0.1,bind=127.0.0.2,port="+port; got != want {
		t.Errorf("listener0:%s, want %s", got, want)
	}
	if got, want := f["listener1"], "name=unix,bind="+path; got != want {
		t.Errorf("listener1:%s, want %s", got, want)
	}
	if _, ok := f["listener2"]; ok {
		t.Error("a third listener")
	}
}

// TestInfoReadsAndWrites: one read and one write for a request that is asked by itself.
func TestInfoReadsAndWrites(t *testing.T) {
	_, a := start(t, "--save", "")
	expect(t, a, "+OK", "CONFIG", "RESETSTAT")
	const n = 20
	for range n {
		expect(t, a, "+PONG", "PING")
	}
	_, f := parseInfo(t, a.Must(t, "INFO", "stats").Str)
	for _, field := range []string{"total_reads_processed", "total_writes_processed"} {
		if v, err := strconv.Atoi(f[field]); err != nil || v < n || v > n+4 {
			t.Errorf("%s:%s after %d requests", field, f[field], n)
		}
	}
}

// TestInfoLazyFreed: what is given back in the background is counted.
func TestInfoLazyFreed(t *testing.T) {
	_, a := start(t, "--save", "")
	large := []string{"SADD", "large"}
	for i := range 20000 {
		large = append(large, "member "+strconv.Itoa(i))
	}
	for _, c := range []struct {
		prepare, free []string
		want          string
	}{
		{[]string{"SET", "small", "v"}, []string{"UNLINK", "small"}, "0"},
		{large, []string{"UNLINK", "large"}, "1"},
		{[]string{"MSET", "a", "1", "b", "2"}, []string{"FLUSHALL", "SYNC"}, "3"},
		{[]string{"MSET", "a", "1", "b", "2"}, []string{"FLUSHDB", "ASYNC"}, "5"},
	} {
		a.Must(t, c.prepare...)
		a.Must(t, c.free...)
		if got := info(t, a, "lazyfreed_objects"); got != c.want {
			t.Errorf("lazyfreed_objects:%s after %v, want %s", got, c.free, c.want)
		}
	}
	a.Must(t, "CONFIG", "RESETSTAT")
	if got := info(t, a, "lazyfreed_objects"); got != "0" {
		t.Errorf("lazyfreed_objects:%s after CONFIG RESETSTAT", got)
	}
}

// TestExpiredAndEvicted: the counters of keys that went by themselves.
func TestExpiredAndEvicted(t *testing.T) {
	_, a := start(t, "--save", "")
	for i := range 20 {
		expect(t, a, "+OK", "SET", "e"+strconv.Itoa(i), "v", "PX", "5")
	}
	until(t, "all to expire", func() bool { return info(t, a, "expired_keys") == "20" })
	value := strings.Repeat("x", 10000)
	for i := range 100 {
		expect(t, a, "+OK", "SET", "k"+strconv.Itoa(i), value)
	}
	used, err := strconv.Atoi(info(t, a, "used_memory"))
	if err != nil || used < 1_000_000 {
		t.Fatalf("used_memory:%d (%v)", used, err)
	}
	expect(t, a, "+OK", "CONFIG", "SET", "maxmemory-policy", "allkeys-random", "maxmemory", strconv.Itoa(used-300_000))
	until(t, "keys to be evicted", func() bool {
		a.Must(t, "SET", "one", "more")
		n, err := strconv.Atoi(info(t, a, "evicted_keys"))
		return err == nil && n >= 30
	})
}
