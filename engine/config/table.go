package config

import (
	"tidemark/aof"
	"tidemark/engine/serverlog"
)

// The notes of directives that share one.
const (
	noCluster  = "there is no cluster mode"
	noTLS      = "there is no TLS yet"
	noFork     = "no process is forked"
	noJemalloc = "memory is not managed by jemalloc"
	noModules  = "there are no modules"
	noType     = "this data type does not exist yet"
	noCron     = "no work is done by the clock; INFO repeats the value"
	alwaysLazy = "large values are always given back in the background"
	noACL      = "there are no ACL users yet"
	noSlowlog  = "there is no slow log yet"
	noLatency  = "latencies are not recorded yet"
	noScripts  = "there are no scripts yet"
	noCPUList  = "threads are not pinned; use taskset or the service manager"
	obsolete   = "Redis ignores it as well"
)

var protections = []string{"no", "yes", "local"}

// table is every directive of redis.conf as of 7.4, then tidemark's own. Defaults, bounds and names are
// Redis's, except where a comment says otherwise.
func table() []Directive {
	return []Directive{
		// Network.
		{Name: "bind", kind: addresses{}, flags: Multi},
		{Name: "bind-source-addr", kind: text{at: func(v *Values) *string { return &v.BindSourceAddr }}},
		{Name: "port", kind: integer{def: 6379, max: 65535, at: func(v *Values) *int64 { return &v.Port }}},
		{Name: "tcp-backlog", kind: integer{def: 511, max: maxInt32, at: func(v *Values) *int64 { return &v.TCPBacklog }}, flags: Immutable},
		{Name: "tcp-keepalive", kind: integer{def: 300, max: maxInt32, at: func(v *Values) *int64 { return &v.TCPKeepAliveSeconds }}},
		{Name: "timeout", kind: integer{max: maxInt32, at: func(v *Values) *int64 { return &v.TimeoutSeconds }}},
		{Name: "unixsocket", kind: text{at: func(v *Values) *string { return &v.UnixSocket }}, flags: Immutable},
		{Name: "unixsocketperm", kind: octal{max: 0o777, at: func(v *Values) *int64 { return &v.UnixSocketPerm }}, flags: Immutable},
		{Name: "maxclients", kind: integer{def: 10000, min: 1, max: 1<<32 - 1, at: func(v *Values) *int64 { return &v.MaxClients }}},
		{Name: "protected-mode", kind: boolean{def: true, at: func(v *Values) *bool { return &v.ProtectedMode }}},
		{Name: "proto-max-bulk-len", kind: memory{def: 512 << 20, min: 1 << 20, at: func(v *Values) *int64 { return &v.ProtoMaxBulkBytes }}},
		{Name: "client-query-buffer-limit", kind: memory{def: 1 << 30, min: 1 << 20, at: func(v *Values) *int64 { return &v.ClientQueryBufferBytes }}},
		{Name: "client-output-buffer-limit", kind: outputLimits{}, flags: Multi},
		{Name: "maxmemory-clients", kind: share{at: func(v *Values) *int64 { return &v.MaxMemoryClientsBytes }}},
		// Redis's default is 1. Here the number of loops follows the load up to one a core, and 0, the default, leaves it at that.
		{Name: "io-threads", kind: integer{max: 128, at: func(v *Values) *int64 { return &v.IOThreads }}, flags: Immutable},
		{Name: "io-threads-do-reads", kind: boolean{}, flags: Immutable, status: Accepted, note: "event loops always read"},
		{Name: "max-new-connections-per-cycle", kind: integer{def: 10, min: 1, max: 1000}, status: Accepted, note: "event loops bound their turns by time"},
		{Name: "max-new-tls-connections-per-cycle", kind: integer{def: 1, min: 1, max: 1000}, status: Accepted, note: noTLS},
		{Name: "socket-mark-id", kind: integer{max: 1<<32 - 1}, flags: Immutable, status: Refused, note: "packets are not marked"},

		// Process and log.
		{Name: "daemonize", kind: boolean{at: func(v *Values) *bool { return &v.Daemonize }}, flags: Immutable},
		{Name: "supervised", kind: enum[Supervision]{def: SupervisedNo, names: []string{"upstart", "systemd", "auto", "no"}, at: func(v *Values) *Supervision { return &v.Supervised }}, flags: Immutable},
		{Name: "pidfile", kind: text{at: func(v *Values) *string { return &v.PidFile }}, flags: Immutable},
		{Name: "loglevel", kind: enum[serverlog.Level]{def: serverlog.Notice, names: []string{"debug", "verbose", "notice", "warning", "nothing"}, at: func(v *Values) *serverlog.Level { return &v.LogLevel }}},
		{Name: "logfile", kind: text{at: func(v *Values) *string { return &v.LogFile }}, flags: Immutable},
		{Name: "syslog-enabled", kind: boolean{at: func(v *Values) *bool { return &v.SyslogEnabled }}, flags: Immutable},
		{Name: "syslog-ident", kind: text{def: "redis", at: func(v *Values) *string { return &v.SyslogIdent }}, flags: Immutable},
		{Name: "syslog-facility", kind: enum[SyslogFacility]{def: 1, names: []string{"user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}, at: func(v *Values) *SyslogFacility { return &v.SyslogFacility }}, flags: Immutable},
		{Name: "always-show-logo", kind: boolean{at: func(v *Values) *bool { return &v.AlwaysShowLogo }}, flags: Immutable},
		{Name: "set-proc-title", kind: boolean{def: true, at: func(v *Values) *bool { return &v.SetProcTitle }}, flags: Immutable},
		{Name: "proc-title-template", kind: text{def: "{title} {listen-addr} {server-mode}", check: titleTemplate, at: func(v *Values) *string { return &v.ProcTitleTemplate }}},
		{Name: "locale-collate", kind: text{}, status: Accepted, note: "strings are compared by bytes"},
		{Name: "crash-log-enabled", kind: boolean{def: true}, status: Accepted, note: "the Go runtime prints the stacks of all goroutines"},
		{Name: "crash-memcheck-enabled", kind: boolean{def: true}, status: Accepted, note: "the Go runtime prints the stacks of all goroutines"},
		{Name: "use-exit-on-panic", kind: boolean{}, flags: Immutable | Hidden, status: Accepted, note: "it is for Redis's own tests"},
		{Name: "disable-thp", kind: boolean{def: true}, flags: Immutable, status: Accepted, note: "nothing is forked, so huge pages cost no copies"},
		{Name: "shutdown-timeout", kind: integer{def: 10, max: maxInt32, at: func(v *Values) *int64 { return &v.ShutdownTimeout }}},
		{Name: "shutdown-on-sigint", kind: flags[ShutdownFlags]{names: shutdownOptions, check: checkShutdown, at: func(v *Values) *ShutdownFlags { return &v.ShutdownOnSigint }}, flags: Multi},
		{Name: "shutdown-on-sigterm", kind: flags[ShutdownFlags]{names: shutdownOptions, check: checkShutdown, at: func(v *Values) *ShutdownFlags { return &v.ShutdownOnSigterm }}, flags: Multi},
		{Name: "ignore-warnings", kind: text{}, status: Accepted, note: "there is no warning that refuses to start"},
		{Name: "server-cpulist", Alias: "server_cpulist", kind: text{}, flags: Immutable, status: Accepted, note: noCPUList},
		{Name: "bio-cpulist", Alias: "bio_cpulist", kind: text{}, flags: Immutable, status: Accepted, note: noCPUList},
		{Name: "aof-rewrite-cpulist", Alias: "aof_rewrite_cpulist", kind: text{}, flags: Immutable, status: Accepted, note: noCPUList},
		{Name: "bgsave-cpulist", Alias: "bgsave_cpulist", kind: text{}, flags: Immutable, status: Accepted, note: noCPUList},
		{Name: "oom-score-adj", kind: enum[uint8]{names: []string{"no", "yes", "relative", "absolute"}}, status: Accepted, note: noFork},
		{Name: "oom-score-adj-values", kind: oomScores{}, flags: Multi, status: Accepted, note: noFork},

		// Keyspace.
		// Redis has no upper bound.
		{Name: "databases", kind: integer{def: 16, min: 1, max: 4096, at: func(v *Values) *int64 { return &v.Databases }}, flags: Immutable},
		{Name: "hz", kind: integer{def: 10, max: maxInt32, clamp: clampHZ, at: func(v *Values) *int64 { return &v.HZ }}, status: Accepted, note: noCron},
		{Name: "dynamic-hz", kind: boolean{def: true, at: func(v *Values) *bool { return &v.DynamicHZ }}, status: Accepted, note: noCron},
		{Name: "active-expire-effort", kind: integer{def: 1, min: 1, max: 10, at: func(v *Values) *int64 { return &v.ActiveExpireEffort }}, status: Accepted, note: "expired keys are found by an index of their times, not by sampling"},
		{Name: "activerehashing", kind: boolean{def: true}, status: Accepted, note: "tables always grow in steps"},

		// Memory.
		{Name: "maxmemory", kind: memory{at: func(v *Values) *int64 { return &v.MaxMemoryBytes }}},
		{Name: "maxmemory-policy", kind: enum[EvictionPolicy]{def: NoEviction, names: evictionNames, at: func(v *Values) *EvictionPolicy { return &v.MaxMemoryPolicy }}},
		{Name: "maxmemory-samples", kind: integer{def: 5, min: 1, max: 64, at: func(v *Values) *int64 { return &v.MaxMemorySamples }}},
		{Name: "maxmemory-eviction-tenacity", kind: integer{def: 10, max: 100, at: func(v *Values) *int64 { return &v.EvictionTenacity }}, status: Accepted, note: "a command evicts what it needs"},
		{Name: "lfu-log-factor", kind: integer{def: 10, max: maxInt32, at: func(v *Values) *int64 { return &v.LFULogFactor }}},
		{Name: "lfu-decay-time", kind: integer{def: 1, max: maxInt32, at: func(v *Values) *int64 { return &v.LFUDecayMinutes }}},
		{Name: "lazyfree-lazy-eviction", kind: boolean{at: func(v *Values) *bool { return &v.LazyEviction }}},
		{Name: "lazyfree-lazy-expire", kind: boolean{at: func(v *Values) *bool { return &v.LazyExpire }}},
		{Name: "lazyfree-lazy-server-del", kind: boolean{at: func(v *Values) *bool { return &v.LazyServerDel }}},
		{Name: "lazyfree-lazy-user-del", kind: boolean{at: func(v *Values) *bool { return &v.LazyUserDel }}, status: Accepted, note: alwaysLazy},
		{Name: "lazyfree-lazy-user-flush", kind: boolean{at: func(v *Values) *bool { return &v.LazyUserFlush }}, status: Accepted, note: alwaysLazy},
		{Name: "sanitize-dump-payload", kind: enum[SanitizePolicy]{def: SanitizeNo, names: []string{"no", "yes", "clients"}, at: func(v *Values) *SanitizePolicy { return &v.SanitizeDumpPayload }}, status: Accepted, note: "payloads are always checked in full"},
		{Name: "hash-max-listpack-entries", Alias: "hash-max-ziplist-entries", kind: integer{def: 512, max: maxInt64, at: func(v *Values) *int64 { return &v.HashMaxEntries }}},
		{Name: "hash-max-listpack-value", Alias: "hash-max-ziplist-value", kind: memory{def: 64, at: func(v *Values) *int64 { return &v.HashMaxValueBytes }}},
		{Name: "set-max-intset-entries", kind: integer{def: 512, max: maxInt64, at: func(v *Values) *int64 { return &v.SetMaxIntset }}},
		{Name: "set-max-listpack-entries", kind: integer{def: 128, max: maxInt64, at: func(v *Values) *int64 { return &v.SetMaxEntries }}},
		{Name: "set-max-listpack-value", kind: integer{def: 64, max: maxInt64, at: func(v *Values) *int64 { return &v.SetMaxValueBytes }}},
		{Name: "zset-max-listpack-entries", Alias: "zset-max-ziplist-entries", kind: integer{def: 128, max: maxInt64, at: func(v *Values) *int64 { return &v.ZSetMaxEntries }}},
		{Name: "zset-max-listpack-value", Alias: "zset-max-ziplist-value", kind: memory{def: 64, at: func(v *Values) *int64 { return &v.ZSetMaxValueBytes }}},
		{Name: "list-max-listpack-size", Alias: "list-max-ziplist-size", kind: integer{def: -2, min: -1 << 31, max: maxInt32, at: func(v *Values) *int64 { return &v.ListMaxListpackSize }}},
		{Name: "list-compress-depth", kind: integer{max: maxInt32, at: func(v *Values) *int64 { return &v.ListCompressDepth }}},
		{Name: "hll-sparse-max-bytes", kind: memory{def: 3000, at: func(v *Values) *int64 { return &v.HLLSparseMaxBytes }}},
		{Name: "stream-node-max-bytes", kind: memory{def: 4096, at: func(v *Values) *int64 { return &v.StreamNodeMaxBytes }}},
		{Name: "stream-node-max-entries", kind: integer{def: 100, max: maxInt64, at: func(v *Values) *int64 { return &v.StreamNodeMaxEntries }}},
		{Name: "jemalloc-bg-thread", kind: boolean{def: true}, status: Accepted, note: noJemalloc},
		{Name: "activedefrag", kind: boolean{}, status: Accepted, note: noJemalloc},
		{Name: "active-defrag-ignore-bytes", kind: memory{def: 100 << 20, min: 1}, status: Accepted, note: noJemalloc},
		{Name: "active-defrag-threshold-lower", kind: integer{def: 10, max: 1000}, status: Accepted, note: noJemalloc},
		{Name: "active-defrag-threshold-upper", kind: integer{def: 100, max: 1000}, status: Accepted, note: noJemalloc},
		{Name: "active-defrag-cycle-min", kind: integer{def: 1, min: 1, max: 99}, status: Accepted, note: noJemalloc},
		{Name: "active-defrag-cycle-max", kind: integer{def: 25, min: 1, max: 99}, status: Accepted, note: noJemalloc},
		{Name: "active-defrag-max-scan-fields", kind: integer{def: 1000, min: 1, max: maxInt64}, status: Accepted, note: noJemalloc},
		{Name: "list-max-ziplist-entries", kind: statement{n: 1}, flags: FileOnly, status: Accepted, note: obsolete},
		{Name: "list-max-ziplist-value", kind: statement{n: 1}, flags: FileOnly, status: Accepted, note: obsolete},

		// Persistence.
		// Redis's default is the directory it was started in; see Read for when it is another here.
		{Name: "dir", kind: directory{}, flags: Protected | DenyLoading | Explicit},
		{Name: "dbfilename", kind: text{def: "dump.rdb", check: fileName("dbfilename", "filename"), at: func(v *Values) *string { return &v.DBFilename }}, flags: Protected},
		{Name: "save", kind: savePoints{}, flags: Multi},
		{Name: "stop-writes-on-bgsave-error", kind: boolean{def: true, at: func(v *Values) *bool { return &v.StopWritesOnSaveError }}},
		{Name: "rdbcompression", kind: boolean{def: true, at: func(v *Values) *bool { return &v.RDBCompression }}},
		{Name: "rdbchecksum", kind: boolean{def: true, at: func(v *Values) *bool { return &v.RDBChecksum }}, flags: Immutable},
		{Name: "rdb-save-incremental-fsync", kind: boolean{def: true}, status: Accepted, note: "snapshots are written in bounded steps"},
		{Name: "rdb-key-save-delay", kind: integer{min: -1 << 31, max: maxInt32, at: func(v *Values) *int64 { return &v.KeySaveDelay }}, flags: Hidden},
		{Name: "key-load-delay", kind: integer{min: -1 << 31, max: maxInt32, at: func(v *Values) *int64 { return &v.KeyLoadDelay }}, flags: Hidden},
		// Redis's default is no.
		{Name: "appendonly", kind: boolean{def: true, at: func(v *Values) *bool { return &v.AppendOnly }}, flags: DenyLoading | Explicit},
		{Name: "appendfilename", kind: text{def: "appendonly.aof", check: fileName("appendfilename", "filename"), at: func(v *Values) *string { return &v.AppendFilename }}, flags: Immutable},
		{Name: "appenddirname", kind: text{def: "appendonlydir", check: fileName("appenddirname", "dirname"), at: func(v *Values) *string { return &v.AppendDirname }}, flags: Immutable},
		{Name: "appendfsync", kind: enum[aof.Policy]{def: aof.EverySec, names: []string{"everysec", "always", "no"}, at: func(v *Values) *aof.Policy { return &v.AppendFsync }}},
		{Name: "no-appendfsync-on-rewrite", kind: boolean{at: func(v *Values) *bool { return &v.NoFsyncOnRewrite }}, status: Accepted, note: "a rewrite does not hold up the sync"},
		{Name: "auto-aof-rewrite-percentage", kind: integer{def: 100, max: maxInt32, at: func(v *Values) *int64 { return &v.RewritePercentage }}},
		{Name: "auto-aof-rewrite-min-size", kind: memory{def: 64 << 20, at: func(v *Values) *int64 { return &v.RewriteMinBytes }}},
		{Name: "aof-load-truncated", kind: boolean{def: true, at: func(v *Values) *bool { return &v.LoadTruncated }}},
		{Name: "aof-use-rdb-preamble", kind: boolean{def: true, at: func(v *Values) *bool { return &v.UseRDBPreamble }}, status: Accepted, note: "bases are always in RDB format"},
		{Name: "aof-timestamp-enabled", kind: boolean{at: func(v *Values) *bool { return &v.AOFTimestamps }}, status: Accepted, note: "the AOF has annotations of its own"},
		{Name: "aof-rewrite-incremental-fsync", kind: boolean{def: true}, status: Accepted, note: "bases are written in bounded steps"},
		{Name: "loading-process-events-interval-bytes", kind: memory{def: 2 << 20, min: 1 << 10, max: maxInt32}, flags: Hidden, status: Accepted, note: "loading does not block the event loops"},
		{Name: "aof-disable-auto-gc", kind: boolean{}, status: Accepted, note: "it is for Redis's own tests"},

		// Security.
		{Name: "requirepass", kind: text{at: func(v *Values) *string { return &v.RequirePass }}, flags: Sensitive},
		{Name: "rename-command", kind: renamings{}, flags: FileOnly},
		{Name: "enable-debug-command", kind: enum[Protection]{def: ProtectedNo, names: protections, at: func(v *Values) *Protection { return &v.EnableDebugCommand }}, flags: Immutable},
		{Name: "enable-protected-configs", kind: enum[Protection]{def: ProtectedNo, names: protections, at: func(v *Values) *Protection { return &v.EnableProtectedConfig }}, flags: Immutable},
		{Name: "enable-module-command", kind: enum[Protection]{def: ProtectedNo, names: protections, at: func(v *Values) *Protection { return &v.EnableModuleCommand }}, flags: Immutable, status: Accepted, note: noModules},
		{Name: "enable-debug-assert", kind: boolean{}, flags: Immutable | Hidden, status: Accepted, note: "it is for Redis's own tests"},
		{Name: "hide-user-data-from-log", kind: boolean{}, status: Accepted, note: "user data never appear in the log"},
		{Name: "loadmodule", kind: statement{n: -1}, flags: FileOnly, status: Refused, note: noModules},
		{Name: "user", kind: statement{n: -1}, flags: FileOnly, status: Refused, note: "there are no ACL users yet; use requirepass"},
		{Name: "aclfile", kind: text{}, flags: Immutable, status: Refused, note: "there are no ACL users yet; use requirepass"},
		{Name: "acllog-max-len", kind: integer{def: 128, max: maxInt64, at: func(v *Values) *int64 { return &v.ACLLogMaxLen }}, status: Accepted, note: noACL},
		{Name: "acl-pubsub-default", kind: enum[uint8]{def: 1, names: []string{"allchannels", "resetchannels"}}, status: Accepted, note: noACL},

		// Observation.
		{Name: "slowlog-log-slower-than", kind: integer{def: 10000, min: -1, max: maxInt64, at: func(v *Values) *int64 { return &v.SlowlogSlowerThanMicros }}, status: Accepted, note: noSlowlog},
		{Name: "slowlog-max-len", kind: integer{def: 128, max: maxInt64, at: func(v *Values) *int64 { return &v.SlowlogMaxLen }}, status: Accepted, note: noSlowlog},
		{Name: "latency-monitor-threshold", kind: integer{max: maxInt64, at: func(v *Values) *int64 { return &v.LatencyMonitorMillis }}, status: Accepted, note: noLatency},
		{Name: "latency-tracking", kind: boolean{def: true, at: func(v *Values) *bool { return &v.LatencyTracking }}},
		{Name: "latency-tracking-info-percentiles", kind: percentiles{}, flags: Multi},
		{Name: "notify-keyspace-events", kind: notifications{}, status: Accepted, note: "there is no publish and subscribe yet, so nobody could listen"},
		{Name: "watchdog-period", kind: integer{max: maxInt32}, flags: Hidden, status: Accepted, note: "take a profile instead, see pprof-addr"},
		{Name: "tracking-table-max-keys", kind: integer{def: 1000000, max: maxInt64, at: func(v *Values) *int64 { return &v.TrackingTableMaxKeys }}, status: Accepted, note: "there is no client side caching yet"},

		// Scripts.
		{Name: "busy-reply-threshold", Alias: "lua-time-limit", kind: integer{def: 5000, max: maxInt64, at: func(v *Values) *int64 { return &v.BusyReplyMillis }}, status: Accepted, note: noScripts},
		{Name: "lua-replicate-commands", kind: statement{n: 1}, flags: FileOnly, status: Accepted, note: obsolete},

		// Replication.
		{Name: "replicaof", Alias: "slaveof", kind: primary{}, flags: Immutable | Multi},
		{Name: "masterauth", kind: text{at: func(v *Values) *string { return &v.MasterAuth }}, flags: Sensitive},
		{Name: "masteruser", kind: text{at: func(v *Values) *string { return &v.MasterUser }}, flags: Sensitive},
		{Name: "replica-serve-stale-data", Alias: "slave-serve-stale-data", kind: boolean{def: true, at: func(v *Values) *bool { return &v.ReplicaServeStale }}},
		{Name: "replica-read-only", Alias: "slave-read-only", kind: boolean{def: true, at: func(v *Values) *bool { return &v.ReplicaReadOnly }}},
		{Name: "replica-lazy-flush", Alias: "slave-lazy-flush", kind: boolean{}, status: Accepted, note: alwaysLazy},
		{Name: "replica-ignore-maxmemory", Alias: "slave-ignore-maxmemory", kind: boolean{def: true, at: func(v *Values) *bool { return &v.ReplicaIgnoreMaxMemory }}},
		{Name: "replica-ignore-disk-write-errors", kind: boolean{}, status: Accepted, note: "a replica whose disk fails goes on following from memory and says so in INFO and its log; nothing acknowledged as synced is taken back"},
		{Name: "replica-priority", Alias: "slave-priority", kind: integer{def: 100, max: maxInt32, at: func(v *Values) *int64 { return &v.ReplicaPriority }}},
		{Name: "replica-announced", kind: boolean{def: true, at: func(v *Values) *bool { return &v.ReplicaAnnounced }}},
		{Name: "replica-announce-ip", Alias: "slave-announce-ip", kind: text{at: func(v *Values) *string { return &v.ReplicaAnnounceIP }}},
		{Name: "replica-announce-port", Alias: "slave-announce-port", kind: integer{max: 65535, at: func(v *Values) *int64 { return &v.ReplicaAnnouncePort }}},
		{Name: "min-replicas-to-write", Alias: "min-slaves-to-write", kind: integer{max: maxInt32, at: func(v *Values) *int64 { return &v.MinReplicas }}},
		{Name: "min-replicas-max-lag", Alias: "min-slaves-max-lag", kind: integer{def: 10, max: maxInt32, at: func(v *Values) *int64 { return &v.MinReplicasMaxLagSeconds }}},
		{Name: "repl-diskless-sync", kind: boolean{def: true}, status: Accepted, note: "a snapshot goes straight to the replicas, never through a file"},
		{Name: "repl-diskless-sync-delay", kind: integer{def: 5, max: maxInt32, at: func(v *Values) *int64 { return &v.DisklessDelaySeconds }}},
		{Name: "repl-diskless-sync-max-replicas", kind: integer{max: maxInt32, at: func(v *Values) *int64 { return &v.DisklessMaxReplicas }}},
		{Name: "repl-diskless-load", kind: enum[DisklessLoad]{names: []string{"disabled", "on-empty-db", "swapdb"}, at: func(v *Values) *DisklessLoad { return &v.DisklessLoad }}},
		{Name: "repl-ping-replica-period", Alias: "repl-ping-slave-period", kind: integer{def: 10, min: 1, max: maxInt32, at: func(v *Values) *int64 { return &v.ReplPingSeconds }}},
		{Name: "repl-timeout", kind: integer{def: 60, min: 1, max: maxInt32, at: func(v *Values) *int64 { return &v.ReplTimeoutSeconds }}},
		{Name: "repl-disable-tcp-nodelay", kind: boolean{at: func(v *Values) *bool { return &v.ReplDisableNoDelay }}},
		{Name: "repl-backlog-size", kind: memory{def: 1 << 20, min: 1, clamp: clampBacklog, at: func(v *Values) *int64 { return &v.ReplBacklogBytes }}},
		{Name: "repl-backlog-ttl", kind: integer{def: 3600, max: maxInt64, at: func(v *Values) *int64 { return &v.BacklogTTLSeconds }}},
		{Name: "rdb-del-sync-files", kind: boolean{}, status: Accepted, note: "the snapshot that a replica receives becomes the base of its AOF, or its RDB file; no other copy stays"},
		{Name: "propagation-error-behavior", kind: enum[uint8]{names: []string{"ignore", "panic", "panic-on-replicas"}}, status: Accepted, note: "an effect that cannot be executed is reported in the log and counted"},

		// TLS.
		{Name: "tls-port", kind: integer{max: 65535}, status: Refused, note: noTLS},
		{Name: "tls-cert-file", kind: text{}, status: Accepted, note: noTLS},
		{Name: "tls-key-file", kind: text{}, status: Accepted, note: noTLS},
		{Name: "tls-key-file-pass", kind: text{}, flags: Sensitive, status: Accepted, note: noTLS},
		{Name: "tls-client-cert-file", kind: text{}, status: Accepted, note: noTLS},
		{Name: "tls-client-key-file", kind: text{}, status: Accepted, note: noTLS},
		{Name: "tls-client-key-file-pass", kind: text{}, flags: Sensitive, status: Accepted, note: noTLS},
		{Name: "tls-dh-params-file", kind: text{}, status: Accepted, note: noTLS},
		{Name: "tls-ca-cert-file", kind: text{}, status: Accepted, note: noTLS},
		{Name: "tls-ca-cert-dir", kind: text{}, status: Accepted, note: noTLS},
		{Name: "tls-protocols", kind: text{}, status: Accepted, note: noTLS},
		{Name: "tls-ciphers", kind: text{}, status: Accepted, note: noTLS},
		{Name: "tls-ciphersuites", kind: text{}, status: Accepted, note: noTLS},
		{Name: "tls-auth-clients", kind: enum[uint8]{def: 1, names: []string{"no", "yes", "optional"}}, status: Accepted, note: noTLS},
		{Name: "tls-replication", kind: boolean{}, status: Refused, note: noTLS},
		{Name: "tls-cluster", kind: boolean{}, status: Accepted, note: noTLS},
		{Name: "tls-prefer-server-ciphers", kind: boolean{}, status: Accepted, note: noTLS},
		{Name: "tls-session-caching", kind: boolean{def: true}, status: Accepted, note: noTLS},
		{Name: "tls-session-cache-size", kind: integer{def: 20 * 1024, max: maxInt32}, status: Accepted, note: noTLS},
		{Name: "tls-session-cache-timeout", kind: integer{def: 300, max: maxInt32}, status: Accepted, note: noTLS},

		// Cluster.
		{Name: "cluster-enabled", kind: boolean{}, flags: Immutable, status: Refused, note: noCluster},
		{Name: "cluster-config-file", kind: text{def: "nodes.conf"}, flags: Immutable, status: Accepted, note: noCluster},
		{Name: "cluster-node-timeout", kind: integer{def: 15000, max: maxInt64}, status: Accepted, note: noCluster},
		{Name: "cluster-port", kind: integer{max: 65535}, flags: Immutable, status: Accepted, note: noCluster},
		{Name: "cluster-announce-ip", kind: text{}, status: Accepted, note: noCluster},
		{Name: "cluster-announce-hostname", kind: text{check: hostName}, status: Accepted, note: noCluster},
		{Name: "cluster-announce-human-nodename", kind: text{check: nodeName}, status: Accepted, note: noCluster},
		{Name: "cluster-announce-port", kind: integer{max: 65535}, status: Accepted, note: noCluster},
		{Name: "cluster-announce-bus-port", kind: integer{max: 65535}, status: Accepted, note: noCluster},
		{Name: "cluster-announce-tls-port", kind: integer{max: 65535}, status: Accepted, note: noCluster},
		{Name: "cluster-preferred-endpoint-type", kind: enum[uint8]{names: []string{"ip", "hostname", "unknown-endpoint"}}, status: Accepted, note: noCluster},
		{Name: "cluster-replica-validity-factor", Alias: "cluster-slave-validity-factor", kind: integer{def: 10, max: maxInt32}, status: Accepted, note: noCluster},
		{Name: "cluster-migration-barrier", kind: integer{def: 1, max: maxInt32}, status: Accepted, note: noCluster},
		{Name: "cluster-allow-replica-migration", kind: boolean{def: true}, status: Accepted, note: noCluster},
		{Name: "cluster-require-full-coverage", kind: boolean{def: true}, status: Accepted, note: noCluster},
		{Name: "cluster-replica-no-failover", Alias: "cluster-slave-no-failover", kind: boolean{}, status: Accepted, note: noCluster},
		{Name: "cluster-allow-reads-when-down", kind: boolean{}, status: Accepted, note: noCluster},
		{Name: "cluster-allow-pubsubshard-when-down", kind: boolean{def: true}, status: Accepted, note: noCluster},
		{Name: "cluster-ping-interval", kind: integer{max: maxInt64}, flags: Hidden, status: Accepted, note: noCluster},
		{Name: "cluster-link-sendbuf-limit", kind: memory{}, status: Accepted, note: noCluster},
		{Name: "sentinel", kind: statement{n: -1}, flags: FileOnly, status: Refused, note: "this is not a Sentinel; Redis's own Sentinel can watch it"},

		// Tidemark's own. CONFIG GET * leaves them out: there are tools that set what it shows on a redis-server.
		{Name: "repl-compression", kind: enum[Compression]{def: CompressNo, names: []string{"no", "yes", "auto"}, at: func(v *Values) *Compression { return &v.ReplCompression }}, flags: Hidden},
		{Name: "pprof-addr", kind: text{at: func(v *Values) *string { return &v.PprofAddr }}, flags: Immutable | Hidden},
		{Name: "shards", kind: integer{max: 1 << 12, check: powerOfTwo, at: func(v *Values) *int64 { return &v.Shards }}, flags: Immutable | Hidden},
		{Name: "ring-size", kind: memory{def: 256 << 10, min: 4 << 10, max: 1 << 30, check: powerOfTwo, at: func(v *Values) *int64 { return &v.RingBytes }}, flags: Immutable | Hidden},
		{Name: "aof-segment-size", kind: memory{def: 64 << 20, min: 1 << 20, max: 16 << 30, at: func(v *Values) *int64 { return &v.SegmentBytes }}, flags: Immutable | Hidden},
		{Name: "aof-direct-io", kind: boolean{def: true, at: func(v *Values) *bool { return &v.DirectIO }}, flags: Immutable | Hidden},
		{Name: "aof-history-bytes", kind: memory{def: 64 << 20, min: 0, max: 1 << 50, at: func(v *Values) *int64 { return &v.HistoryBytes }}, flags: Hidden},
		{Name: "aof-map-threshold", kind: memory{def: 0, min: 0, max: 1 << 30, at: func(v *Values) *int64 { return &v.MapThresholdBytes }}, flags: Immutable | Hidden},
	}
}

// clampHZ keeps what Redis keeps of an hz that it accepts.
func clampHZ(n int64) int64 { return min(max(n, 1), 500) }

// clampBacklog is Redis's least backlog.
func clampBacklog(n int64) int64 { return max(n, 16<<10) }
