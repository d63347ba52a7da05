package engine

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"time"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/rdb"
)

// rdbWriter frames encoded entries as an RDB file on a sink.
type rdbWriter struct {
	out      io.Writer
	checksum bool
	crc      uint64
}

func (w *rdbWriter) write(p []byte) error {
	if w.checksum {
		w.crc = rdb.CRC64(w.crc, p)
	}
	_, err := w.out.Write(p)
	return err
}

// begin writes the header. offset is the log offset at which the file's content is exact.
func (w *rdbWriter) begin(s *Server, kind snapshotKind, offset int64) error {
	base := "0"
	if kind == kindAOF {
		base = "1"
	}
	return w.write(rdb.AppendHeader(nil,
		rdb.Aux{Key: "redis-ver", Value: RedisVersion},
		rdb.Aux{Key: "redis-bits", Value: "64"},
		rdb.Aux{Key: "ctime", Value: strconv.FormatInt(time.Now().Unix(), 10)},
		rdb.Aux{Key: "used-mem", Value: strconv.FormatInt(s.store.UsedMemory(), 10)},
		rdb.Aux{Key: "repl-stream-db", Value: "0"},
		rdb.Aux{Key: "repl-id", Value: s.replicationID()},
		rdb.Aux{Key: "repl-offset", Value: strconv.FormatInt(offset, 10)},
		rdb.Aux{Key: "aof-base", Value: base}))
}

func (w *rdbWriter) end() error {
	_, err := w.out.Write(rdb.AppendFooter(nil, w.crc, w.checksum))
	return err
}

// encoder says how entries are written, by the configuration of now.
func (s *Server) encoder() *rdb.Encoder {
	v := s.cfg.Load()
	e := &rdb.Encoder{Compress: v.RDBCompression}
	switch c := (&command.Ctx{Store: s.store, Now: nowMillis()}); {
	case v.MaxMemoryPolicy.LFU():
		e.Freq = func(word uint32) byte { return byte(c.LFUCount(word)) }
	case v.MaxMemoryPolicy.LRU():
		e.Idle = func(word uint32) uint64 { return uint64(c.IdleSeconds(word)) }
	}
	return e
}

// writeRDBLocked writes all data to out. All shards must be locked.
func (s *Server) writeRDBLocked(out io.Writer, kind snapshotKind, offset int64) error {
	w := &rdbWriter{out: out, checksum: s.cfg.Load().RDBChecksum}
	if err := w.begin(s, kind, offset); err != nil {
		return err
	}
	ks, e := s.store.KS, s.encoder()
	buf := make([]byte, 0, 2*snapshotChunk)
	for db := 0; db < ks.Databases(); db++ {
		keys, expires := s.databaseSizeLocked(db)
		if keys == 0 {
			continue
		}
		buf = rdb.AppendResizeDB(rdb.AppendSelectDB(buf, db), keys, expires)
		for i := 0; i < ks.NumShards(); i++ {
			sh := ks.Shard(i)
			for cursor, first := uint64(0), true; first || cursor != 0; first = false {
				cursor = sh.Scan(db, cursor, func(r keyspace.Ref) { buf = e.AppendEntry(buf, db, sh, r) })
				if len(buf) < snapshotChunk {
					continue
				}
				if err := w.write(buf); err != nil {
					return err
				}
				buf = buf[:0]
			}
		}
	}
	if err := w.write(buf); err != nil {
		return err
	}
	return w.end()
}

func (s *Server) databaseSizeLocked(db int) (keys, expires int) {
	for i := 0; i < s.store.KS.NumShards(); i++ {
		keys += s.store.KS.Shard(i).Len(db)
		expires += s.store.KS.Shard(i).Expires(db)
	}
	return keys, expires
}

// loadRDB adds what an RDB file holds to the keyspace. No shard may be locked by the caller.
func (s *Server) loadRDB(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = s.readRDB(f, path)
	return err
}

// readRDB is loadRDB on a stream; size is the length of the RDB part. Entries that have expired meanwhile are loaded and left to the
// expiry cycle: a log that follows may still refer to them.
func (s *Server) readRDB(in io.Reader, name string) (size int64, err error) {
	d := rdb.NewDecoder(in)
	c := command.Ctx{Store: s.store, Now: nowMillis()}
	var keys []command.Key
	var warmth uint64
	err = d.Each(func(items []rdb.Item) error {
		// All buckets are touched before the first is used, so that their cache misses overlap. One lock around all: taking a lock
		// for each would wait for the misses before it.
		s.store.KS.LockAll()
		defer s.store.KS.UnlockAll()
		keys = keys[:0]
		for i := range items {
			it := &items[i]
			switch it.Kind {
			case rdb.KindEntry:
				if it.DB >= s.store.KS.Databases() {
					return fmt.Errorf("offset %d: database %d, but the server has %d; raise 'databases' to load this file",
						it.Offset, it.DB, s.store.KS.Databases())
				}
			case rdb.KindFunction:
				return fmt.Errorf("offset %d: the file holds a function library; functions are not supported", it.Offset)
			}
			k := s.store.MakeKey(it.Key)
			keys = append(keys, k)
			if it.Kind != rdb.KindEntry {
				continue
			}
			warmth += k.Shard.Warm(it.DB, k.Hash)
		}
		for i := range items {
			it, k := &items[i], &keys[i]
			if it.Kind != rdb.KindEntry {
				continue
			}
			access := c.AccessClock()
			switch {
			case it.Freq >= 0 && s.store.LFU.Load():
				access = access&^0xff | uint32(it.Freq)
			case it.Idle > 0 && !s.store.LFU.Load():
				access = uint32(c.Now/1000-it.Idle) & 0xffffff
			}
			r := k.Shard.Find(it.DB, k.Hash, it.Key)
			k.Shard.PutString(it.DB, k.Hash, r, it.Key, it.Value, command.StringEncoding(it.Value), it.ExpireAt, access)
		}
		return nil
	})
	runtime.KeepAlive(warmth)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return d.Offset(), nil
}

// LoadRDB loads the RDB at the front of a file and returns its length (an AOF of Redis 6 or earlier with an RDB preamble).
func (r *replayer) LoadRDB(path string) (size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return r.s.readRDB(bufio.NewReader(f), path)
}
