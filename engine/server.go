// Package engine is the server: sessions, the rules of running a command, and what ties the keyspace to the log
// and to the event loops.
//
// One place runs commands, whoever sends them: command.Ctx.Run. Clients reach it through loopState.do, EXEC through
// Ctx.Atomically, the log through replayer. The life of one SET is told in docs/architecture.md.
package engine

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"tidemark/aof"
	"tidemark/engine/bitmap"
	"tidemark/engine/command"
	"tidemark/engine/config"
	"tidemark/engine/evict"
	"tidemark/engine/generic"
	"tidemark/engine/geo"
	"tidemark/engine/hash"
	"tidemark/engine/hyperloglog"
	"tidemark/engine/keyspace"
	"tidemark/engine/list"
	"tidemark/engine/serverlog"
	"tidemark/engine/set"
	"tidemark/engine/stream"
	"tidemark/engine/strings"
	"tidemark/engine/zset"
	"tidemark/netio"
)

// Version is Tidemark's own; RedisVersion is the Redis whose behaviour it has, which clients look at.
const (
	Version      = config.Version
	RedisVersion = config.RedisVersion
)

// Server is a running Tidemark.
type Server struct {
	cfg   *config.Config
	log   *serverlog.Logger
	store *command.Store
	table *command.Table
	net   *netio.Server
	evict *evict.Evictor
	ext   Extension

	roles roles      // guarded by mu
	mu    sync.Mutex // guards loops; a copy of the slice may be read without it
	loops []*loopState

	clients     clients
	pause       pause
	stats       stats
	expiry      expiry
	clientEvict clientEviction
	rewrite     rewrite
	saves       savePoints
	loading     loading

	history    atomic.Int64  // how often this server became a replica: offsets noted before are of another history
	gates      atomic.Uint32 // what is refused just now, see role.go
	hoard      atomic.Bool   // a replica that goes beyond maxmemory where its primary does (replica-ignore-maxmemory)
	needAuth   atomic.Bool
	protected  atomic.Bool
	httpSeen   atomic.Int64 // when the log last told of a client that speaks HTTP, Unix seconds
	syncWanted atomic.Bool
	watchers   logWatchers
	maxMemory  atomic.Int64

	tail      *aof.Tail    // the log's newest bytes, while there is replication; outlives a switch of logs
	followDB  atomic.Int64 // the database that a primary's stream is in; see StreamDB
	logEnd    int64        // log offset where the last log was closed; of whoever switches logs
	runID     string
	replID    string         // of the log, or of the one to come; guarded by mu
	ancestors []aof.Ancestor // the same for its earlier ids
	started   time.Time
	stop      shutdown

	configuring sync.Mutex // held while a command changes the configuration

	// closing is the log while closeLog writes its rest: replies go on waiting for it.
	closing atomic.Pointer[aof.Log]
}

// Start opens the listeners and begins to load the data; WaitLoaded says when they are there. ext may be nil. What it returns an
// error for was logged nowhere yet.
func Start(cfg *config.Config, log *serverlog.Logger, ext Extension) (*Server, error) {
	if ext == nil {
		ext = &noExtension{}
	}
	v := cfg.Load()
	s := &Server{cfg: cfg, log: log, ext: ext, runID: randomID(), replID: randomID(), started: time.Now(), tail: aof.NewTail()}
	s.clients.byID = map[int64]*Session{}
	s.stop.done, s.stop.ending = make(chan struct{}), make(chan struct{})
	s.stop.moved = make(chan struct{}, 1)
	s.loading.first = make(chan struct{})
	ks := keyspace.New(keyspace.Options{Shards: shardCount(v), Databases: int(v.Databases)})
	s.store = command.NewStore(ks)
	ext.Attach(s)
	s.table = command.NewTable(s.tableFamilies(strings.Commands(), list.Commands(), zset.Commands(), set.Commands(), hyperloglog.Commands(), geo.Commands(), bitmap.Commands(), generic.Commands(), hash.Commands(),
		transactionCommands(), s.connectionCommands(), s.clientCommands(), s.serverCommands(),
		s.commandCommands(), s.debugCommands(), stream.Commands())...)
	for _, r := range v.RenameCommands {
		if err := s.rename(r); err != nil {
			return nil, fmt.Errorf("%s: rename-command: %w", r.Where, err)
		}
	}
	s.evict = evict.New()
	if err := s.applyConfig(v); err != nil {
		return nil, err
	}
	n, err := netio.Listen(netio.Config{
		Addrs: tcpAddrs(v), UnixPath: v.UnixSocket, UnixPerm: uint32(v.UnixSocketPerm),
		Backlog: int(v.TCPBacklog), KeepAlive: time.Duration(v.TCPKeepAliveSeconds) * time.Second,
		MaxLoops: maxLoops(v), Limits: limits(v), Logf: log.Logf,
	}, s)
	if err != nil {
		return nil, err
	}
	s.net = n
	s.store.Clients = n.BufferedBytes
	s.store.FlushedAll = s.noteFlushAll
	s.watchConfig()
	ks.OnSparse(func() { n.Loops()[0].Post(s.compact) })
	s.startExpiry()
	// Before the first client can come.
	s.loading.mu.Lock()
	s.store.Loading.Store(true)
	s.setGate(gateLoading, true)
	if err := n.Start(); err != nil {
		return nil, err
	}
	go s.loadFirst()
	return s, nil
}

// maxLoops is how many event loops may run: io-threads when it was set, otherwise one a core.
func maxLoops(v *config.Values) int {
	if v.IOThreads > 0 {
		return int(v.IOThreads)
	}
	return runtime.NumCPU()
}

// shardCount picks many more shards than cores (design D7).
func shardCount(v *config.Values) int {
	if v.Shards > 0 {
		return int(v.Shards)
	}
	n := 16
	for n < 16*runtime.NumCPU() && n < 256 {
		n *= 2
	}
	return n
}

func tcpAddrs(v *config.Values) []string {
	if v.Port == 0 {
		return nil
	}
	out := make([]string, 0, len(v.Bind))
	for _, b := range v.Bind {
		optional := ""
		if len(b) > 0 && b[0] == '-' {
			optional, b = "-", b[1:]
		}
		out = append(out, optional+net.JoinHostPort(b, strconv.FormatInt(v.Port, 10)))
	}
	return out
}

func limits(v *config.Values) netio.Limits {
	out := v.OutputLimits[config.ClassNormal]
	return netio.Limits{
		MaxClients: int(v.MaxClients), Idle: time.Duration(v.TimeoutSeconds) * time.Second,
		MaxBulkBytes: v.ProtoMaxBulkBytes, MaxQueryBytes: v.ClientQueryBufferBytes,
		OutputHardBytes: out.HardBytes, OutputSoftBytes: out.SoftBytes,
		OutputSoftFor: time.Duration(out.SoftSeconds) * time.Second,
	}
}

func randomID() string {
	var b [20]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// load fills the keyspace from the AOF, or from the RDB file when there is no AOF, and opens the log.
func (s *Server) load(v *config.Values) error {
	start := time.Now()
	if !v.AppendOnly {
		from, found, err := s.loadRDBFile(true)
		if err != nil || !found {
			return err
		}
		s.log.Noticef("DB loaded from disk: %.3f seconds", time.Since(start).Seconds())
		return s.resumeHistory(from, v)
	}
	l, rec, err := s.openLog(v)
	if err != nil {
		return err
	}
	if rec.Existed {
		s.log.Noticef("DB loaded from append only file: %.3f seconds", time.Since(start).Seconds())
	} else if _, found, err := s.loadRDBFile(true); err != nil {
		l.Close()
		return err
	} else if found {
		s.log.Noticef("DB loaded from %s, which the AOF now takes over: %.3f seconds", v.DBFilename, time.Since(start).Seconds())
	}
	if err := s.beginHistory(l, v); err != nil {
		l.Close()
		return err
	}
	s.switchLog(l)
	if rec.NeedsBase {
		if err := s.rewriteNow(l); err != nil {
			s.switchLog(nil)
			l.Close()
			return fmt.Errorf("the first base file of the AOF: %w", err)
		}
	}
	return nil
}

// switchLog makes l, or nothing, the log that writes go into from now on. No shard may be locked by the caller.
func (s *Server) switchLog(l *aof.Log) {
	s.store.KS.LockAll()
	s.store.SetLog(l)
	s.store.KS.UnlockAll()
}

// logOptions are those of the AOF by the configuration.
func (s *Server) logOptions(v *config.Values) aof.Options {
	return aof.Options{
		Dir: filepath.Join(v.Dir, v.AppendDirname), Name: v.AppendFilename,
		Shards: s.store.KS.NumShards(), RingBytes: int(v.RingBytes), SegmentBytes: v.SegmentBytes,
		MappedBytes: int(v.MapThresholdBytes), NoDirect: !v.DirectIO, Policy: v.AppendFsync, LoadTruncated: v.LoadTruncated, HistoryBytes: v.HistoryBytes,
		Logf: s.log.Logf, Notify: s.notify, Tail: s.tail,
	}
}

// openLog opens the AOF directory and replays what it holds.
func (s *Server) openLog(v *config.Values) (*aof.Log, *aof.Recovery, error) {
	r := s.newReplayer()
	l, rec, err := aof.Open(s.logOptions(v), r)
	r.Finish()
	if err == nil {
		s.followDB.Store(int64(r.ctx.DB))
	}
	return l, rec, err
}

// beginHistory gives the log of a primary that starts an id of its own. What was written after the point where a crash cut the log may be on a replica:
// the old id must not come to mean two histories. A replica keeps the id, which is its primary's.
func (s *Server) beginHistory(l *aof.Log, v *config.Values) error {
	if v.PrimaryHost == "" {
		was := append([]aof.Ancestor{{ID: l.ID(), End: l.Reserved()}}, l.Ancestors()...)
		if err := l.SetIdentity(randomID(), was); err != nil {
			return err
		}
	}
	return nil
}

// resumeHistory goes on with the stream that the RDB file was taken from, in memory: replicas that were in touch when the server ended, or the
// primary, can then continue where they were. A primary does it under an id of its own.
func (s *Server) resumeHistory(from rdbOrigin, v *config.Values) error {
	if from.id == "" {
		return nil
	}
	s.setHistory(from.id, nil)
	if v.PrimaryHost == "" {
		s.setHistory(randomID(), []aof.Ancestor{{ID: from.id, End: from.offset}})
	}
	s.logEnd = from.offset
	s.followDB.Store(int64(from.db))
	l, err := s.openMemoryLog(v)
	if err != nil {
		return err
	}
	s.switchLog(l)
	_, err = s.ensureStream()
	return err
}

// loadRDBFile loads the RDB file of the configuration if there is one.
func (s *Server) loadRDBFile(dropExpired bool) (from rdbOrigin, found bool, err error) {
	path := s.rdbPath()
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return from, false, nil
	}
	from, err = s.loadRDB(path, dropExpired)
	return from, true, err
}

// closeLog ends the log, if there is one, and keeps where it ended and its history for the next. No shard may be locked by the caller.
func (s *Server) closeLog() error {
	l := s.store.Log()
	if l == nil {
		return nil
	}
	s.setHistory(l.ID(), l.Ancestors())
	s.closing.Store(l)
	s.switchLog(nil)
	err := l.Close()
	s.logEnd = l.Reserved()
	s.closing.Store(nil)
	s.wakeInterested()
	return err
}

// Addrs are the addresses listened on.
func (s *Server) Addrs() []net.Addr { return s.net.Addrs() }

// Wait returns when the server has shut down.
func (s *Server) Wait() { <-s.stop.done }

// memoryAllows says whether a command that may use more memory may run; it evicts first what the policy allows.
func (s *Server) memoryAllows(c *command.Ctx) bool {
	limit := s.maxMemory.Load()
	if limit == 0 || s.Loading() || s.hoard.Load() || s.store.HoldExpiry.Load() {
		return true
	}
	over := s.store.UsedMemory() - limit
	return over <= 0 || s.evict.Free(c, over)
}
