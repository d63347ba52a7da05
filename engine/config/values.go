package config

import (
	"errors"
	"path/filepath"
	"slices"

	"tidemark/aof"
	"tidemark/engine/serverlog"
)

// Values is one state of the whole configuration. A published one is immutable: read it through Config.Load and never
// write to it or to what it refers to. Names follow the directives; units stand last, and a plain size is in bytes.
type Values struct {
	// Network.
	Bind                   []string // as written: "*", "-::1"; empty listens on no TCP address
	Port                   int64    // 0: no TCP
	UnixSocket             string   // empty: none
	UnixSocketPerm         int64    // 0: as the umask says
	TCPBacklog             int64
	TCPKeepAliveSeconds    int64 // 0: off
	TimeoutSeconds         int64 // of an idle client; 0: never
	MaxClients             int64
	ProtectedMode          bool
	ProtoMaxBulkBytes      int64
	ClientQueryBufferBytes int64
	OutputLimits           [NumClientClasses]OutputLimit
	// MaxMemoryClientsBytes is negative for a percentage of MaxMemoryBytes, 0 for no limit.
	MaxMemoryClientsBytes int64
	// IOThreads caps the event loops; 0 is one a core.
	IOThreads int64

	// Process and log.
	Daemonize         bool
	Supervised        Supervision
	PidFile           string // empty: none, unless daemonized
	LogFile           string // empty: standard output
	LogLevel          serverlog.Level
	SyslogEnabled     bool
	SyslogIdent       string
	SyslogFacility    SyslogFacility
	AlwaysShowLogo    bool
	SetProcTitle      bool
	ProcTitleTemplate string
	ShutdownTimeout   int64 // seconds
	ShutdownOnSigint  ShutdownFlags
	ShutdownOnSigterm ShutdownFlags
	PprofAddr         string // "host:port"; empty: no profiling server

	// Keyspace.
	Databases          int64
	Shards             int64 // a power of two, or 0: chosen from the number of cores
	HZ                 int64
	DynamicHZ          bool
	ActiveExpireEffort int64

	// Memory.
	MaxMemoryBytes       int64 // 0: no limit
	MaxMemoryPolicy      EvictionPolicy
	MaxMemorySamples     int64
	EvictionTenacity     int64
	LFULogFactor         int64
	LFUDecayMinutes      int64
	LazyEviction         bool
	LazyExpire           bool
	LazyServerDel        bool
	LazyUserDel          bool
	LazyUserFlush        bool
	SanitizeDumpPayload  SanitizePolicy
	HashMaxEntries       int64
	HashMaxValueBytes    int64
	SetMaxIntset         int64
	SetMaxEntries        int64
	SetMaxValueBytes     int64
	ZSetMaxEntries       int64
	ZSetMaxValueBytes    int64
	ListMaxListpackSize  int64 // entries, or -1 to -5 for 4 to 64 KiB
	ListCompressDepth    int64
	HLLSparseMaxBytes    int64
	StreamNodeMaxBytes   int64
	StreamNodeMaxEntries int64

	// Persistence.
	Dir                   string // absolute
	DirGiven              bool   // some configuration said so: not the built-in default
	DBFilename            string
	Save                  []SavePoint
	StopWritesOnSaveError bool
	RDBCompression        bool
	RDBChecksum           bool
	KeyLoadDelay          int64 // key-load-delay: µs for each key of an RDB file; negative: 1 µs for every so many keys
	KeySaveDelay          int64 // rdb-key-save-delay, the same for writing one
	AppendOnly            bool
	AppendFilename        string
	AppendDirname         string
	AppendFsync           aof.Policy
	NoFsyncOnRewrite      bool
	RewritePercentage     int64 // growth since the last rewrite that starts one; 0: never
	RewriteMinBytes       int64
	LoadTruncated         bool
	UseRDBPreamble        bool
	AOFTimestamps         bool
	SegmentBytes          int64 // aof-segment-size
	DirectIO              bool  // aof-direct-io: under always, commits are written past the page cache
	HistoryBytes          int64 // aof-history-bytes: of the log, kept in files that a rewrite replaced
	MapThresholdBytes     int64 // aof-map-threshold: commits up to this size are stored through the mapping
	RingBytes             int64 // ring-size, a power of two

	// Replication.
	PrimaryHost              string // replicaof; empty: this server is a primary
	PrimaryPort              int64
	BindSourceAddr           string // local address of connections to a primary; empty: any
	MasterAuth, MasterUser   string
	ReplicaServeStale        bool
	ReplicaReadOnly          bool
	ReplicaIgnoreMaxMemory   bool
	ReplicaPriority          int64
	ReplicaAnnounced         bool
	ReplicaAnnounceIP        string
	ReplicaAnnouncePort      int64 // 0: the port listened on
	MinReplicas              int64 // min-replicas-to-write; 0: off
	MinReplicasMaxLagSeconds int64
	DisklessDelaySeconds     int64
	DisklessMaxReplicas      int64 // 0: no number starts a snapshot before the delay is over
	DisklessLoad             DisklessLoad
	ReplPingSeconds          int64
	ReplTimeoutSeconds       int64
	ReplDisableNoDelay       bool
	ReplBacklogBytes         int64
	BacklogTTLSeconds        int64 // 0: never
	ReplCompression          Compression

	// Security.
	RequirePass           string
	RenameCommands        []RenameCommand
	EnableDebugCommand    Protection
	EnableProtectedConfig Protection
	EnableModuleCommand   Protection

	// Observation.
	SlowlogSlowerThanMicros int64 // negative: off
	SlowlogMaxLen           int64
	LatencyMonitorMillis    int64 // 0: off
	LatencyTracking         bool
	LatencyPercentiles      []float64
	NotifyKeyspaceEvents    NotifyFlags
	TrackingTableMaxKeys    int64
	BusyReplyMillis         int64
	ACLLogMaxLen            int64

	cwd string // where the process was started

	// spare holds, by Directive.index, the values of directives that have no effect here.
	spare []any
}

// clone returns a copy that may be changed.
func (v *Values) clone() *Values {
	c := *v
	c.spare = slices.Clone(v.spare)
	return &c
}

// Supervision is the supervised directive.
type Supervision uint8

// The values of supervised.
const (
	SupervisedUpstart Supervision = iota
	SupervisedSystemd
	SupervisedAuto
	SupervisedNo
)

// EvictionPolicy is maxmemory-policy.
type EvictionPolicy uint8

// The values of maxmemory-policy.
const (
	VolatileLRU EvictionPolicy = iota
	VolatileLFU
	VolatileRandom
	VolatileTTL
	AllKeysLRU
	AllKeysLFU
	AllKeysRandom
	NoEviction
)

var evictionNames = []string{"volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
	"allkeys-lru", "allkeys-lfu", "allkeys-random", "noeviction"}

// String is the policy's name in the configuration and in INFO.
func (p EvictionPolicy) String() string { return evictionNames[p] }

// LFU reports whether access words count frequency under this policy.
func (p EvictionPolicy) LFU() bool { return p == VolatileLFU || p == AllKeysLFU }

// LRU reports whether the policy goes by the time of the last access.
func (p EvictionPolicy) LRU() bool { return p == VolatileLRU || p == AllKeysLRU }

// AllKeys reports whether keys without an expiry are candidates too.
func (p EvictionPolicy) AllKeys() bool { return p >= AllKeysLRU && p <= AllKeysRandom }

// Protection is who may use a protected facility.
type Protection uint8

// The values of enable-debug-command and its like.
const (
	ProtectedNo Protection = iota
	ProtectedYes
	ProtectedLocal
)

// Allows reports whether a client may; local is whether it came over a loopback address or a unix socket.
func (p Protection) Allows(local bool) bool { return p == ProtectedYes || p == ProtectedLocal && local }

// SanitizePolicy is sanitize-dump-payload: when payloads are checked in depth.
type SanitizePolicy uint8

// The values of sanitize-dump-payload.
const (
	SanitizeNo SanitizePolicy = iota
	SanitizeYes
	SanitizeClients
)

// ShutdownFlags is a set of SHUTDOWN's options; the empty set is the default behaviour.
type ShutdownFlags uint8

// The options of shutdown-on-sigint and shutdown-on-sigterm.
const (
	ShutdownSave ShutdownFlags = 1 << iota
	ShutdownNoSave
	ShutdownNow
	ShutdownForce
)

var shutdownOptions = []string{"default", "save", "nosave", "now", "force"}

func checkShutdown(f ShutdownFlags) error {
	if f&ShutdownSave != 0 && f&ShutdownNoSave != 0 {
		return errors.New("shutdown options SAVE and NOSAVE can't be used simultaneously")
	}
	return nil
}

// SavePoint is one pair of save: a snapshot after Seconds if at least Changes keys changed.
type SavePoint struct{ Seconds, Changes int64 }

// ClientClass indexes Values.OutputLimits.
type ClientClass uint8

// The classes that client-output-buffer-limit knows.
const (
	ClassNormal ClientClass = iota
	ClassReplica
	ClassPubSub
	NumClientClasses
)

// OutputLimit closes a client whose pending output exceeds HardBytes, or SoftBytes for SoftSeconds. Zero is no limit.
type OutputLimit struct{ HardBytes, SoftBytes, SoftSeconds int64 }

// RenameCommand is one rename-command line. To is empty when the command is taken away. Whether From exists and To is free only the
// command table can say: whoever owns that reports Where with its error.
type RenameCommand struct {
	From, To string
	Where    Position
}

// NotifyFlags is notify-keyspace-events, one bit a class.
type NotifyFlags uint32

// The event classes, with the characters that name them.
const (
	NotifyKeyspace NotifyFlags = 1 << iota // K
	NotifyKeyevent                         // E
	NotifyGeneric                          // g
	NotifyString                           // $
	NotifyList                             // l
	NotifySet                              // s
	NotifyHash                             // h
	NotifyZSet                             // z
	NotifyExpired                          // x
	NotifyEvicted                          // e
	NotifyStream                           // t
	NotifyKeyMiss                          // m, not part of A
	NotifyModule                           // d
	NotifyNew                              // n, not part of A
	// NotifyAll is A.
	NotifyAll = NotifyGeneric | NotifyString | NotifyList | NotifySet | NotifyHash | NotifyZSet |
		NotifyExpired | NotifyEvicted | NotifyStream | NotifyModule
)

// DisklessLoad is repl-diskless-load: whether a replica loads a snapshot straight from the link.
type DisklessLoad uint8

// The values of repl-diskless-load.
const (
	LoadFromDisk DisklessLoad = iota
	LoadOnEmptyDB
	LoadSwapDB
)

// Compression is repl-compression: whether the stream between two tidemarks is compressed; auto means where the link holds a replica up.
type Compression uint8

// The values of repl-compression.
const (
	CompressNo Compression = iota
	CompressYes
	CompressAuto
)

// SyslogFacility is syslog-facility: 0 is user, n is local(n-1).
type SyslogFacility uint8

// base is the directory that relative paths are meant from.
func (v *Values) base() string {
	if v.DirGiven {
		return v.Dir
	}
	return v.cwd
}

// Path makes a path from the configuration absolute. A relative one is meant from dir, if that was configured, and otherwise from the
// directory the process was started in.
func (v *Values) Path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(v.base(), p)
}
