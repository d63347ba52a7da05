package aof

import (
	"errors"
	"fmt"
)

// Policy is appendfsync.
type Policy uint8

const (
	EverySec Policy = iota // a background sync each second in which something was appended
	Always                 // whoever commits asks for GoalSync; replies wait for Synced
	No                     // the operating system decides
)

// String gives the name used in redis.conf.
func (p Policy) String() string {
	switch p {
	case Always:
		return "always"
	case No:
		return "no"
	}
	return "everysec"
}

// Options configures a Log. The zero value of a field means its default where one is named.
type Options struct {
	FS            FS     // nil: the operating system's
	Dir           string // the AOF directory itself (dir/appenddirname)
	Name          string // appendfilename; default appendonly.aof
	Shards        int    // number of rings; default 1
	RingBytes     int    // per ring, a power of two of at least 4 KiB; default 256 KiB
	SegmentBytes  int64  // prepared size of a segment; default 64 MiB, rounded up to 4 KiB
	BatchBytes    int    // largest batch unless one record is larger; default 1 MiB
	MappedBytes   int    // batches up to this size are stored through a mapping under Always; default none, see defaultMappedBytes
	RefBytes      int64  // bytes of effects too large for a ring that may wait for the drainer; default 256 MiB
	HistoryBytes  int64  // of what a rewrite replaced, the newest this many log bytes stay readable, up to a segment more; default none; see SetHistoryBytes
	Policy        Policy
	NoDirect      bool  // every batch goes through the page cache
	LoadTruncated bool  // aof-load-truncated
	Tail          *Tail // gets every batch before it is written; nil: nobody reads the log from memory

	// Memory opens a log without a directory: offsets, rings and drainer as ever, and what is drained goes to the Tail only. It
	// starts at StartOffset with the replication id in ID and the Ancestors. Synced is Appended there: gates have nothing to
	// wait for.
	Memory bool

	// Fresh opens the directory without replaying it: the log starts at StartOffset with the replication id in ID, and
	// what the directory holds is replaced when the first Rewrite commits. Until then a restart still loads the old content,
	// or finds no AOF if there was none: increments without their base are worth nothing.
	Fresh       bool
	StartOffset int64
	ID          string     // with Fresh or Memory: the id to keep; empty: a new one
	Ancestors   []Ancestor // with Fresh or Memory: its earlier ids

	// BaseFile, with Fresh, is an RDB on the same file system that is exact at StartOffset, where the stream is in database
	// BaseDB. It is moved into the directory as the new base and the manifest switched, durably, before Open returns: a crash in
	// between leaves the old content or the new one, whole. What the directory held is deleted. After an error the file may have
	// been moved already.
	BaseFile string
	BaseDB   int

	// Logf receives messages for people; level is '.', '-', '*' or '#' as in Redis's log. nil: dropped.
	Logf func(level byte, format string, args ...any)
	// Notify is called from whatever goroutine moved a watermark, freed ring room or changed the health, when somebody asked
	// for it (WantNotify, WantSynced, WantAppended). It must not block and must not call into the Log.
	Notify func()

	// manual starts no goroutines: a simulation calls syncerStep and keeperStep itself.
	manual bool
}

const (
	defaultName         = "appendonly.aof"
	defaultSegmentBytes = 64 << 20
	defaultRingBytes    = 256 << 10
	defaultBatchBytes   = 1 << 20
	defaultRefBytes     = 256 << 20

	// defaultMappedBytes: nothing goes through a mapping. A store needs its page made writable first, which each fdatasync
	// undoes, and doing that in a system call (MADV_POPULATE_WRITE) costs more than the pwrite it replaces. Measured on ext4
	// over virtio, one record and one sync, medians of 5 runs of 1,000 at 128 B, 1, 4, 16 KiB: pwrite 41, 45, 48, 57 µs of CPU
	// and a p50 of 128, 139, 136, 142 µs; mapping 49, 54, 56, 70 µs and 136, 141, 142, 156 µs. BenchmarkCommitSync repeats it.
	defaultMappedBytes = 0

	blockBytes = 4096
)

func (o *Options) fill() error {
	if o.FS == nil {
		o.FS = OSFS{}
	}
	if o.Name == "" {
		o.Name = defaultName
	}
	if o.Shards <= 0 {
		o.Shards = 1
	}
	if o.RingBytes == 0 {
		o.RingBytes = defaultRingBytes
	}
	if o.RingBytes < 4096 || o.RingBytes&(o.RingBytes-1) != 0 {
		return fmt.Errorf("aof: ring size %d is not a power of two of at least 4096", o.RingBytes)
	}
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	o.SegmentBytes = (o.SegmentBytes + blockBytes - 1) &^ (blockBytes - 1)
	if o.BatchBytes <= 0 {
		o.BatchBytes = defaultBatchBytes
	}
	if o.BatchBytes > maxBatchPayload {
		o.BatchBytes = maxBatchPayload
	}
	if o.MappedBytes <= 0 {
		o.MappedBytes = defaultMappedBytes
	}
	if o.RefBytes <= 0 {
		o.RefBytes = defaultRefBytes
	}
	if o.Dir == "" && !o.Memory {
		return errors.New("aof: no directory given")
	}
	if o.ID != "" {
		if err := checkID(o.ID); err != nil {
			return err
		}
	}
	for _, a := range o.Ancestors {
		if err := checkID(a.ID); err != nil {
			return err
		}
	}
	if o.BaseFile != "" && (!o.Fresh || o.Memory) {
		return errors.New("aof: a base file is given to a log that is not opened fresh on disk")
	}
	if o.BaseDB < 0 {
		return fmt.Errorf("aof: there is no database %d", o.BaseDB)
	}
	if o.StartOffset < 0 || o.StartOffset > maxOffset {
		return fmt.Errorf("aof: start offset %d is out of range", o.StartOffset)
	}
	if o.Logf == nil {
		o.Logf = func(byte, string, ...any) {}
	}
	if o.Notify == nil {
		o.Notify = func() {}
	}
	return nil
}

var (
	// ErrFull: the disk has no room. Service resumes by itself.
	ErrFull = errors.New("aof: no room on disk")
	// ErrFailed: an fdatasync or write failed and the data could not be saved elsewhere.
	ErrFailed = errors.New("aof: disk failed")
	// ErrInUse: another process has the directory open, or this one twice.
	ErrInUse = errors.New("aof: the directory is in use by another server")
	// ErrClosed: the log was closed.
	ErrClosed = errors.New("aof: closed")
)

// Replayer receives what recovery reads.
type Replayer interface {
	// LoadBase loads the base file (RDB, or RDB preamble and RESP).
	LoadBase(path string) error
	// Apply executes the whole effects at the front of p and returns how many bytes they took. off is the
	// log offset of p[0], or NotLogged for a SELECT that is not part of the log: it says in which database the stream of
	// another server is where a file begins. An error refuses to start; fewer bytes than len(p) means an incomplete effect at
	// the end. p is valid until Apply returns.
	Apply(p []byte, off int64) (n int, err error)
}

// NotLogged stands for the offset of bytes that are in a file for stock Redis's sake and not in the log.
const NotLogged = int64(-1)

// RDBLoader is an optional extension of Replayer for bases that are an RDB followed by commands (written by Redis 6 and
// earlier with aof-use-rdb-preamble): LoadRDB loads the RDB at the front of the file and returns its length in bytes, and
// the log feeds what follows to Apply, with the rules for truncated tails that Redis has.
type RDBLoader interface {
	LoadRDB(path string) (size int64, err error)
}

// Recovery says what Open found.
type Recovery struct {
	Existed   bool       // there was an AOF: a base, or log bytes
	Offset    int64      // where the log continues
	ID        string     // replication id kept beside the manifest
	Ancestors []Ancestor // earlier ids, newest first, clamped to Offset
	Truncated int64      // bytes cut from a torn tail
	Payload   int64      // log bytes replayed
	NeedsBase bool       // no base file: the caller writes one (first start, or loaded from dump.rdb)
	Foreign   bool       // something was loaded that another server wrote: ID is new
}

// Goal is what a caller of Commit wants.
type Goal uint8

const (
	GoalAppend Goal = iota // published records are in the segment (page cache): they survive the process
	GoalSync               // and on the disk
)
