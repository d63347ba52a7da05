// Package aof is the log: one totally ordered stream of effects, its rings, its segments on disk, its watermarks.
//
// CONTRACT FILE: signatures the other packages build on; the implementation replaces the panics.
package aof

import "errors"

// Policy is appendfsync.
type Policy uint8

const (
	EverySec Policy = iota
	Always
	No
)

// Options configures a Log.
type Options struct {
	FS            FS     // nil: the operating system's
	Dir           string // the AOF directory itself (dir/appenddirname)
	Name          string // appendfilename
	Shards        int    // number of rings
	RingBytes     int    // per ring, a power of two
	SegmentBytes  int64  // 64 MiB by default
	Policy        Policy
	LoadTruncated bool                                         // aof-load-truncated
	Logf          func(level byte, format string, args ...any) // '.', '-', '*', '#' as in Redis's log
	// Notify is called from whatever goroutine moved a watermark, freed ring room or changed the health, when somebody asked for it
	// (WantNotify). It must not block.
	Notify func()
}

// FS is the one seam to the file system, with mappings; tests put a crash-simulating one in. (The aof room defines it.)
type FS interface{}

// Replayer receives what recovery reads.
type Replayer interface {
	// LoadBase loads the base file (RDB, or RDB preamble and RESP, or plain RESP).
	LoadBase(path string) error
	// Apply executes the whole effects at the front of p and returns how many bytes they took. off is the
	// log offset of p[0]. An error refuses to start; fewer bytes than len(p) means an incomplete effect at the end.
	Apply(p []byte, off int64) (n int, err error)
}

// Log is open for appending. Methods are safe for concurrent use except as said.
type Log struct{}

var (
	// ErrFull: the disk has no room. Service resumes by itself.
	ErrFull = errors.New("aof: no room on disk")
	// ErrFailed: an fdatasync or write failed and the data could not be saved elsewhere.
	ErrFailed = errors.New("aof: disk failed")
)

// Open recovers the directory into r (creating it when absent) and opens the log at the end.
func Open(o Options, r Replayer) (*Log, *Recovery, error) { panic("contract") }

// Recovery says what Open found.
type Recovery struct {
	Existed   bool   // there was an AOF
	Offset    int64  // where the log continues
	ID        string // replication id kept beside the manifest
	Truncated int64  // bytes cut from a torn tail
	Payload   int64  // log bytes replayed
	NeedsBase bool   // no base file: the caller writes one (first start, or loaded from dump.rdb)
}

// Close drains, syncs, trims the active segment to its true length.
func (l *Log) Close() error { panic("contract") }

// --- the writer's side: the shard's lock is held ---

// Room reports whether the ring has space for one more Append of any size (a large effect travels by reference).
// It is checked before a command executes: Append never fails and never waits. Multi-shard commands append once, to the lowest of their shards.
func (l *Log) Room(shard int) bool { panic("contract") }

// Append reserves offsets for one effect (or a whole MULTI..EXEC block) in database db, copies it into the shard's ring and publishes it.
// A SELECT is put before it when the previous record's database differs. It returns the offset of the effect's end. p is copied.
func (l *Log) Append(shard, db int, p []byte) (end int64) { panic("contract") }

// Mark makes the next record carry its SELECT and returns the offset X at which a snapshot that the caller takes now (all
// shards locked) is exact.
func (l *Log) Mark() int64 { panic("contract") }

// --- watermarks ---

func (l *Log) Reserved() int64 { panic("contract") }
func (l *Log) Appended() int64 { panic("contract") }
func (l *Log) Synced() int64   { panic("contract") }

// --- the committer's role (design D3a). Any thread may play it; one at a time. ---

// Goal is what a caller of Commit wants.
type Goal uint8

const (
	GoalAppend Goal = iota // published records are in the segment (page cache): they survive the process
	GoalSync               // and on the disk
)

// Commit brings everything published before the call to the goal. If another thread plays the role, the wish is left with it and Commit
// returns at once with done=false: Notify tells when it happened. May block for as long as the disk does: event loops call it guarded.
func (l *Log) Commit(g Goal) (done bool) { panic("contract") }

// Pending reports whether something published is not yet appended (or with GoalSync, not yet synced).
func (l *Log) Pending(g Goal) bool { panic("contract") }

// SyncCost is the moving average of fdatasync, ns.
func (l *Log) SyncCost() int64 { panic("contract") }

// WantNotify asks for one Notify call when Synced or Appended reach off, or room is made, or health changes.
func (l *Log) WantNotify() { panic("contract") }

// Err is nil while healthy; ErrFull or ErrFailed (wrapped with file, offset, cause) while writes must be refused.
func (l *Log) Err() error { panic("contract") }

func (l *Log) Policy() Policy     { panic("contract") }
func (l *Log) SetPolicy(p Policy) { panic("contract") }

// --- rewrite ---

// BeginRewrite rotates to a fresh segment at offset X (which Mark returned; all shards locked) and returns a writer for the new base file.
func (l *Log) BeginRewrite(x int64) (*Rewrite, error) { panic("contract") }

// Rewrite is a base file being written (temp-rewriteaof-*.rdb until Commit).
type Rewrite struct{}

func (r *Rewrite) Write(p []byte) (int, error) { panic("contract") }

// Commit syncs the base, switches the manifest, and turns the files it replaces into history (deleted or recycled in the background).
func (r *Rewrite) Commit() error { panic("contract") }

// Abort drops the file; the old base and all segments stay.
func (r *Rewrite) Abort() { panic("contract") }

// Stats for INFO. Bytes, counts, ns.
type Stats struct {
	Reserved, Appended, Synced                      int64
	BaseBytes, CurrentBytes                         int64 // aof_base_size, aof_current_size
	Commits, Syncs, CommittedBytes                  int64
	SyncNanosTotal, SyncNanosMax, SyncNanosLast     int64
	RingCapacity, RingUsed, RingUsedMax, FullStalls int64
	Segments, SpareSegments                         int64
	DelayedFsync                                    int64
}

func (l *Log) Stats() Stats { panic("contract") }
