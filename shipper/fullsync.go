package shipper

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tidemark/engine"
	"tidemark/engine/rdb"
	"tidemark/netio"
)

// Full synchronisation. One snapshot, exact at one offset, goes to every replica that waits for one when it begins, from the
// walk straight into their sockets: there is no file in between, and writes go on meanwhile. The snapshot goes at the pace of the
// slowest of them; one that takes nothing and says nothing for repl-timeout is dropped, and the others go on.
//
// Who has not said that it takes a snapshot of unknown length (REPLCONF capa eof: anything but a replica since Redis 4) is sent it from a file,
// when its length is known. The stream follows at once, as such a client may never acknowledge.
//
// Who wants a snapshot and no stream (REPLCONF rdb-only) is sent the end of the connection behind it. Who wants one without data (rdb-filter-only) is sent that when
// the others have theirs.
//
// What is written after the snapshot's offset waits in the segments, or, without an AOF, in the Tail, for as much as the output limit
// for replicas allows.

// syncQueue is who waits for a snapshot.
type syncQueue struct {
	mu      sync.Mutex
	waiting []*replica
	timer   *time.Timer // of repl-diskless-sync-delay; nil: none runs
	running bool
}

// wait puts a replica into the queue.
func (q *syncQueue) wait(sh *Shipper, r *replica) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r.state.Store(stateWaiting)
	q.waiting = append(q.waiting, r)
	v := sh.config()
	if q.running || q.timer != nil && (v.DisklessMaxReplicas == 0 || int64(len(q.waiting)) < v.DisklessMaxReplicas) {
		return
	}
	delay := time.Duration(v.DisklessDelaySeconds) * time.Second
	if !r.eof {
		delay = 0 // as in Redis, where the file serves whoever comes while it is written
	}
	if v.DisklessMaxReplicas > 0 && int64(len(q.waiting)) >= v.DisklessMaxReplicas {
		delay = 0
	}
	if q.timer != nil {
		q.timer.Stop()
	}
	if delay > 0 {
		sh.log.Noticef("Delay next BGSAVE for diskless SYNC")
	}
	q.timer = time.AfterFunc(delay, sh.startFullSync)
}

func (q *syncQueue) remove(r *replica) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, x := range q.waiting {
		if x == r {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			return
		}
	}
}

// take gives everybody who waits.
func (q *syncQueue) take() []*replica {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := q.waiting
	q.waiting = nil
	return out
}

// startFullSync begins a snapshot for those who wait. A goroutine of its own.
func (sh *Shipper) startFullSync() {
	q := &sh.queue
	q.mu.Lock()
	q.timer = nil
	if q.running || len(q.waiting) == 0 {
		q.mu.Unlock()
		return
	}
	q.running = true
	q.mu.Unlock()
	err := sh.srv.StreamSnapshot(&fanOut{sh: sh})
	if errors.Is(err, engine.ErrSnapshotRunning) {
		sh.log.Noticef("Another snapshot is being written; replicas wait for its end")
		sh.srv.WhenSnapshotEnds(func() {
			q.mu.Lock()
			q.running = false
			q.mu.Unlock()
			go sh.startFullSync()
		})
		return
	}
	if err != nil {
		sh.log.Warningf("A snapshot for replicas did not start: %v", err)
		for _, r := range q.take() {
			r.conn.Kill()
		}
		sh.fullSyncEnded()
	}
}

// fullSyncEnded lets the next snapshot begin, if somebody has come since.
func (sh *Shipper) fullSyncEnded() {
	q := &sh.queue
	q.mu.Lock()
	q.running = false
	more := len(q.waiting) > 0
	q.mu.Unlock()
	if more {
		go sh.startFullSync()
	}
}

// fanOut is the sink of a snapshot for replicas. One goroutine uses it, but for Begin.
type fanOut struct {
	sh      *Shipper
	mark    [40]byte
	started time.Time
	to      []*target
	bytes   int64
	head    []byte // what stands in front of the data: a snapshot without data has that, and an end
}

// target is one replica that receives the snapshot.
type target struct {
	r     *replica
	out   *bulkWriter
	rest  []byte // not yet sent of what is being written
	since time.Time
	err   error
	file  *os.File // where the snapshot goes first, for a replica that must be told its length; it has no name
}

// Begin is called with all shards locked: what is executed from now on has offsets from offset on.
func (f *fanOut) Begin(offset int64) error {
	f.started = time.Now()
	var raw [20]byte
	_, _ = rand.Read(raw[:]) // never fails
	hex.Encode(f.mark[:], raw[:])
	log := f.sh.srv.Log()
	for _, r := range f.sh.queue.take() {
		c, err := f.sh.tail.NewCursor(offset)
		if err != nil {
			f.sh.log.Warningf("BUG: the Tail does not hold the log from a snapshot's offset %d on: %v", offset, err)
			r.conn.Kill()
			continue
		}
		r.mu.Lock()
		if r.closed.Load() {
			c.Close()
		} else {
			r.cursor, r.off = c, offset
			if log.OnDisk() {
				r.pin = log.Pin(offset)
			}
			r.state.Store(stateSnapshot)
			f.to = append(f.to, &target{r: r})
		}
		r.mu.Unlock()
	}
	if len(f.to) == 0 {
		return errHungUp
	}
	return nil
}

// open is the first step outside the locks.
func (f *fanOut) open() {
	id := f.sh.srv.Log().ID()
	for _, t := range f.to {
		f.sh.log.Noticef("Streaming a snapshot at offset %d to replica %s", t.r.off, t.r.name())
		t.since = time.Now()
		if t.out, t.err = t.r.newBulk(); t.err != nil {
			continue
		}
		var head []byte
		if !t.r.old {
			head = fmt.Appendf(head, "+FULLRESYNC %s %d%s\r\n", id, t.r.off, t.r.framing())
		}
		if t.r.bare {
			// Nothing else yet.
		} else if t.r.eof {
			head = fmt.Appendf(head, "$EOF:%s\r\n", f.mark[:])
		} else if t.file, t.err = f.sh.namelessFile(); t.err != nil {
			continue
		}
		t.err = t.out.write(head)
	}
	f.drop()
}

// Write sends p to all that are left.
func (f *fanOut) Write(p []byte) (int, error) {
	if f.bytes == 0 {
		f.head = append(f.head, p...)
		f.open()
	}
	f.bytes += int64(len(p))
	now := time.Now()
	for _, t := range f.to {
		if !t.later() {
			t.rest, t.since = p, now
			continue
		}
		if t.file != nil {
			_, t.err = t.file.Write(p)
		}
		if t.err == nil && now.Sub(t.since) > beatEvery {
			t.since = now
			t.err = t.out.write([]byte("\n")) // what stands before a snapshot's length, to say that it is coming
		}
	}
	for left := true; left; {
		left = false
		var stuck *target
		for _, t := range f.to {
			if len(t.rest) == 0 || t.err != nil {
				continue
			}
			n, err := t.out.try(t.rest)
			if t.rest, t.err = t.rest[n:], err; n > 0 {
				t.since = time.Now()
			}
			if len(t.rest) > 0 && t.err == nil {
				left = true
				if n == 0 {
					stuck = t
				} else {
					stuck = nil
				}
			}
		}
		if stuck != nil {
			stuck.err = stuck.out.await(stuck.since)
		}
	}
	f.drop()
	if len(f.to) == 0 {
		return 0, errHungUp
	}
	return len(p), nil
}

// drop takes those out that have failed.
func (f *fanOut) drop() {
	kept := f.to[:0]
	for _, t := range f.to {
		if t.err == nil {
			kept = append(kept, t)
			continue
		}
		t.r.giveUp(t.err)
		t.close()
	}
	clear(f.to[len(kept):])
	f.to = kept
}

// Commit ends the snapshot: the replicas load it, and the stream begins with their first acknowledgement.
func (f *fanOut) Commit() error {
	for _, t := range f.to {
		if !t.later() {
			t.err = t.out.write(f.mark[:])
		}
	}
	f.drop()
	for _, t := range f.to {
		if t.later() {
			go f.sendLater(t)
			continue
		}
		f.sh.log.Noticef("Snapshot of %d bytes sent to replica %s in %.3f seconds", f.bytes, t.r.name(), time.Since(f.started).Seconds())
		if t.r.only {
			t.transmitted()
			continue
		}
		t.r.state.Store(stateLoading)
		t.out.close()
	}
	f.sh.fullSyncEnded()
	return nil
}

// Abort ends it before its end.
func (f *fanOut) Abort() {
	for _, t := range f.to {
		t.r.conn.Kill()
		t.close()
	}
	f.sh.fullSyncEnded()
}

// close ends what the goroutine has of a replica.
func (t *target) close() {
	if t.out != nil {
		t.out.close()
	}
	if t.file != nil {
		t.file.Close()
	}
}

// namelessFile makes a file in the snapshots' directory that is gone when it is closed.
func (sh *Shipper) namelessFile() (*os.File, error) {
	file, err := os.CreateTemp(sh.srv.SnapshotDir(), "temp-replica-*.rdb")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// later reports whether the snapshot goes to it when it is complete, with its length in front.
func (t *target) later() bool { return t.file != nil || t.r.bare }

// transmitted ends the connection of one that wants nothing behind the snapshot: it hangs up when it has read all of it.
func (t *target) transmitted() {
	r := t.r
	r.mu.Lock()
	r.releaseLocked(true)
	r.mu.Unlock()
	r.state.Store(stateTransmitted)
	r.sh.log.Noticef("RDB transfer completed, rdb only replica (%s) should be disconnected asap", r.name())
	_ = unix.Shutdown(t.out.fd, unix.SHUT_WR) // one that has gone meanwhile needs none
	t.close()
}

// sendLater sends a complete snapshot, and then the stream. A goroutine of its own.
func (f *fanOut) sendLater(t *target) {
	if t.r.bare {
		image := rdb.AppendFooter(f.head[:len(f.head):len(f.head)], rdb.CRC64(0, f.head), f.sh.config().RDBChecksum)
		t.err = t.send(bytes.NewReader(image), int64(len(image)))
	} else {
		t.err = t.sendFile()
	}
	if t.err != nil {
		t.r.giveUp(t.err)
		t.close()
		return
	}
	f.sh.log.Noticef("Snapshot of %d bytes sent to replica %s in %.3f seconds", f.bytes, t.r.name(), time.Since(f.started).Seconds())
	if t.r.only {
		t.transmitted()
		return
	}
	t.close()
	t.r.conn.Post(func(*netio.Conn) {
		t.r.ackAt.Store(nowNanos())
		t.r.toOnline()
		f.sh.countGood()
	})
}

func (t *target) sendFile() error {
	size, err := t.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := t.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return t.send(t.file, size)
}

// send sends a snapshot of size bytes with its length in front.
func (t *target) send(from io.Reader, size int64) error {
	if err := t.out.write(fmt.Appendf(nil, "$%d\r\n", size)); err != nil {
		return err
	}
	buf := make([]byte, min(size, bulkBytes))
	for size > 0 {
		n, err := from.Read(buf)
		if err != nil {
			return err
		}
		if err := t.out.write(buf[:n]); err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}
