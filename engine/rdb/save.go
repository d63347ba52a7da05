package rdb

import (
	"io"

	"tidemark/engine/keyspace"
)

// Begin starts a snapshot whose steps give RDB items that select their databases themselves. All shards must be locked.
func Begin(ks *keyspace.Keyspace, e *Encoder) *keyspace.Snapshot {
	sn := ks.BeginSnapshot(e.AppendEntry)
	sn.SelectWith(AppendSelectDB)
	return sn
}

// SaveOptions says what Save writes besides the entries.
type SaveOptions struct {
	Aux      []Aux
	Checksum bool // rdbchecksum
	// Progress, if set, is called after every write with the bytes so far; an error from it ends Save. It is the place to throttle or cancel.
	Progress func(written int64) error
}

// chunkBytes is what Save gathers before it writes.
const chunkBytes = 1 << 20

// Save writes the snapshot, which Begin started, as a whole RDB file, and returns its length. It goes round the
// shards, favouring none, and leaves closing sn to the caller.
func Save(w io.Writer, ks *keyspace.Keyspace, sn *keyspace.Snapshot, o SaveOptions) (written int64, err error) {
	buf := AppendHeader(make([]byte, 0, chunkBytes+chunkBytes/4), version(sn.FieldsExpire()), o.Aux...)
	for db := range ks.Databases() {
		if keys, expires := sn.Counts(db); keys > 0 {
			buf = AppendResizeDB(AppendSelectDB(buf, db), keys, expires)
		}
	}
	var crc uint64
	flush := func() error {
		if o.Checksum {
			crc = CRC64(crc, buf)
		}
		n, err := w.Write(buf)
		written += int64(n)
		buf = buf[:0]
		if err == nil && o.Progress != nil {
			err = o.Progress(written)
		}
		return err
	}
	done := make([]bool, ks.NumShards())
	for left := len(done); left > 0; {
		for i := range done {
			if done[i] {
				continue
			}
			if buf, done[i] = sn.Step(i, buf); done[i] {
				left--
			}
			if len(buf) >= chunkBytes {
				if err := flush(); err != nil {
					return written, err
				}
			}
		}
	}
	if err := flush(); err != nil {
		return written, err
	}
	buf = AppendFooter(buf, crc, o.Checksum)
	n, err := w.Write(buf)
	return written + int64(n), err
}
