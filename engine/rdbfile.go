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

// streamPlace is where a snapshot stands in the log's stream.
type streamPlace struct {
	logged bool  // there is a log
	offset int64 // at which the snapshot is exact
	db     int   // that the stream is in there

	version int // of the RDB file
}

// streamPlaceLocked is the place of a snapshot that is taken now. All shards must be locked, or nobody writes. A log of this server's own says SELECT behind
// it; that of a replica goes on as the primary's stream does.
func (s *Server) streamPlaceLocked() streamPlace {
	version := rdb.VersionOf(s.store.KS)
	log := s.store.Log()
	if log == nil {
		return streamPlace{version: version}
	}
	return streamPlace{logged: true, offset: log.Mark(), db: s.StreamDB(), version: version}
}

// begin writes the header.
func (w *rdbWriter) begin(s *Server, kind snapshotKind, at streamPlace) error {
	base := "0"
	if kind == kindAOF {
		base = "1"
	}
	fields := []rdb.Aux{
		{Key: "redis-ver", Value: RedisVersion},
		{Key: "redis-bits", Value: "64"},
		{Key: "ctime", Value: strconv.FormatInt(time.Now().Unix(), 10)},
		{Key: "used-mem", Value: strconv.FormatInt(s.store.UsedMemory(), 10)},
	}
	if at.logged {
		fields = append(fields, rdb.Aux{Key: "repl-stream-db", Value: strconv.Itoa(at.db)},
			rdb.Aux{Key: "repl-id", Value: s.replicationID()},
			rdb.Aux{Key: "repl-offset", Value: strconv.FormatInt(at.offset, 10)})
	}
	return w.write(rdb.AppendHeader(nil, at.version, append(fields, rdb.Aux{Key: "aof-base", Value: base})...))
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

// writeRDB writes all data, which do not change meanwhile, to out: either all shards are locked by the caller, or with loading set clients are kept from
// writing and no shard is locked.
func (s *Server) writeRDB(out io.Writer, kind snapshotKind, at streamPlace, loading bool) error {
	w := &rdbWriter{out: out, checksum: s.cfg.Load().RDBChecksum}
	if err := w.begin(s, kind, at); err != nil {
		return err
	}
	ks, e := s.store.KS, s.encoder()
	buf := make([]byte, 0, 2*snapshotChunk)
	for db := 0; db < ks.Databases(); db++ {
		keys, expires := s.databaseSize(db, loading)
		if keys == 0 {
			continue
		}
		buf = rdb.AppendResizeDB(rdb.AppendSelectDB(buf, db), keys, expires)
		for i := 0; i < ks.NumShards(); i++ {
			sh := ks.Shard(i)
			for cursor, first := uint64(0), true; first || cursor != 0; first = false {
				if loading {
					sh.Lock()
				}
				var err error
				cursor = sh.Scan(db, cursor, func(r keyspace.Ref) {
					var p keyspace.Progress
					for more := true; more && err == nil; more = p.More {
						if buf = e.AppendPiece(buf, db, sh, r, &p); len(buf) >= snapshotChunk {
							err = w.write(buf)
							buf = buf[:0]
						}
					}
				})
				if loading {
					sh.Unlock()
				}
				if err != nil {
					return err
				}
			}
		}
	}
	if err := w.write(buf); err != nil {
		return err
	}
	return w.end()
}

// databaseSize counts keys, and those that expire. With lock it locks each shard; otherwise all must be locked.
func (s *Server) databaseSize(db int, lock bool) (keys, expires int) {
	for i := 0; i < s.store.KS.NumShards(); i++ {
		sh := s.store.KS.Shard(i)
		if lock {
			sh.Lock()
		}
		keys += sh.Len(db)
		expires += sh.Expires(db)
		if lock {
			sh.Unlock()
		}
	}
	return keys, expires
}

// rdbOrigin is what an RDB file says of the replication stream it was taken from.
type rdbOrigin struct {
	id     string // of the stream; empty: the file does not say
	offset int64  // at which the file is exact
	db     int    // that the stream is in there
}

// rdbLoad is one reading of an RDB file into the keyspace.
type rdbLoad struct {
	s           *Server
	name        string // for errors
	dropExpired bool   // keys whose time has come do not count as data any more
	origin      rdbOrigin
	ctx         command.Ctx
	keys        []command.Key
	value       rdb.Loader // of the collection that is being read
	open        bool       // parts of it are missing
	skip        bool       // it has expired
	before      int64      // bytes loaded before this file
	loaded      int64
	expired     int64
	warmth      uint64
}

// loadRDB adds what an RDB file holds to the keyspace. No shard may be locked by the caller.
func (s *Server) loadRDB(path string, dropExpired bool) (rdbOrigin, error) {
	f, err := os.Open(path)
	if err != nil {
		return rdbOrigin{}, err
	}
	defer f.Close()
	ld := &rdbLoad{s: s, name: path, dropExpired: dropExpired}
	_, err = ld.read(f)
	return ld.origin, err
}

// read reads the RDB at the front of in and returns its length. Entries that have expired meanwhile are loaded and left to the
// expiry cycle, unless dropExpired is set: a log that follows may still refer to them.
func (ld *rdbLoad) read(in io.Reader) (size int64, err error) {
	s := ld.s
	d := rdb.NewDecoder(in)
	ld.ctx = command.Ctx{Store: s.store, Now: nowMillis()}
	ld.before = s.loading.done.Load()
	err = d.Each(func(items []rdb.Item) error {
		err := s.loading.goesOn()
		if err == nil {
			err = ld.add(items)
		}
		if err != nil {
			return err
		}
		// Not the decoder's own offset: it is ahead, on a goroutine of its own.
		s.loading.done.Store(ld.before + items[len(items)-1].Offset)
		s.loading.keysLoaded.Store(ld.loaded)
		s.loading.keysExpired.Store(ld.expired)
		s.keyDelay(keyLoadDelay, int64(len(items)), &s.loading.abandoned)
		return nil
	})
	runtime.KeepAlive(ld.warmth)
	if ld.open {
		s.store.KS.LockAll()
		ld.value.Discard()
		s.store.KS.UnlockAll()
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", ld.name, err)
	}
	s.loading.done.Store(ld.before + d.Offset())
	s.loading.keysLoaded.Store(ld.loaded)
	s.loading.keysExpired.Store(ld.expired)
	s.log.Noticef("Done loading RDB, keys loaded: %d, keys expired: %d.", ld.loaded, ld.expired)
	return d.Offset(), nil
}

// add puts a batch of items into the keyspace. All buckets are touched before the first is used, so that their cache misses overlap. One lock
// around all: taking a lock for each would wait for the misses before it.
func (ld *rdbLoad) add(items []rdb.Item) error {
	s, c := ld.s, &ld.ctx
	s.store.KS.LockAll()
	defer s.store.KS.UnlockAll()
	ld.keys = ld.keys[:0]
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
		case rdb.KindAux:
			ld.aux(string(it.Key), string(it.Value))
		}
		k := s.store.MakeKey(it.Key)
		ld.keys = append(ld.keys, k)
		if it.Kind != rdb.KindEntry {
			continue
		}
		ld.warmth += k.Shard.Warm(it.DB, k.Hash)
	}
	for i := range items {
		it, k := &items[i], &ld.keys[i]
		if it.Kind != rdb.KindEntry {
			continue
		}
		if it.First {
			if ld.skip = ld.dropExpired && it.ExpireAt != keyspace.NoExpire && it.ExpireAt < c.Now; ld.skip {
				ld.expired++
			}
		}
		if ld.skip {
			continue
		}
		var err error
		if it.First {
			ld.open = true
			err = ld.value.Begin(k.Shard, it.DB, &s.store.Limits, it)
		} else {
			err = ld.value.Add(it)
		}
		if err != nil {
			return fmt.Errorf("offset %d: key %.200q: %w", it.Offset, it.Key, err)
		}
		if !it.Last {
			continue
		}
		ld.open = false
		access := c.AccessClock()
		switch {
		case it.Freq >= 0 && s.store.LFU.Load():
			access = access&^0xff | uint32(it.Freq)
		case it.Idle > 0 && !s.store.LFU.Load():
			access = uint32(c.Now/1000-it.Idle) & 0xffffff
		}
		r := k.Shard.Find(it.DB, k.Hash, it.Key)
		ld.value.Put(k.Hash, r, it.Key, it.ExpireAt, access)
		ld.loaded++
	}
	return nil
}

// aux takes note of what the file says of itself. What cannot be understood is passed over, as in Redis: other servers write other fields.
func (ld *rdbLoad) aux(key, value string) {
	n, err := strconv.ParseInt(value, 10, 64)
	switch {
	case key == "redis-ver":
		ld.s.log.Noticef("Loading RDB produced by version %s", value)
	case key == "repl-id" && len(value) == 40:
		ld.origin.id = value
	case err != nil || n < 0:
	case key == "ctime":
		ld.s.log.Noticef("RDB age %d seconds", max(time.Now().Unix()-n, 0))
	case key == "used-mem":
		ld.s.loading.rdbUsedMem.Store(n)
		ld.s.log.Noticef("RDB memory usage when created %.2f Mb", float64(n)/(1<<20))
	case key == "repl-offset":
		ld.origin.offset = n
	case key == "repl-stream-db" && n < int64(ld.s.store.KS.Databases()):
		ld.origin.db = int(n)
	}
}

// LoadRDB loads the RDB at the front of a file and returns its length (an AOF of Redis 6 or earlier with an RDB preamble).
func (r *replayer) LoadRDB(path string) (size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	ld := &rdbLoad{s: r.s, name: path}
	size, err = ld.read(bufio.NewReader(f))
	r.ctx.DB = ld.origin.db
	return size, err
}
