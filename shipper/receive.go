package shipper

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"tidemark/engine"
)

// snapshotReader gives a snapshot's bytes as the link brings them: so many, or up to a mark.
type snapshotReader struct {
	h    *handshake
	left int64  // of a known length; -1: up to mark
	mark []byte // 40 bytes behind the snapshot
	buf  []byte // read and not given; with a mark, its last 40 bytes may be the mark
	done bool
	size int64 // bytes given
}

// Read gives the next bytes. io.EOF at the end of the snapshot, io.ErrUnexpectedEOF when the link ends before.
func (s *snapshotReader) Read(p []byte) (n int, err error) {
	if s.left >= 0 {
		if s.left == 0 {
			return 0, io.EOF
		}
		s.h.extend()
		n, err = s.h.in.Read(p[:min(int64(len(p)), s.left)])
		s.left -= int64(n)
	} else {
		n, err = s.readMarked(p)
	}
	s.size += int64(n)
	s.h.k.loading.Store(s.size)
	if n > 0 {
		s.h.k.lastIO.Store(nowNanos())
		return n, nil
	}
	if err == io.EOF && !s.done {
		err = io.ErrUnexpectedEOF
	}
	return 0, err
}

func (s *snapshotReader) readMarked(p []byte) (int, error) {
	for !s.done {
		// What can no longer be part of the mark may go.
		if free := len(s.buf) - len(s.mark); free > 0 {
			n := copy(p, s.buf[:free])
			s.buf = append(s.buf[:0], s.buf[n:]...)
			return n, nil
		}
		if s.buf == nil {
			s.buf = make([]byte, 0, bulkBytes)
		}
		s.h.extend()
		have := len(s.buf)
		n, err := s.h.in.Read(s.buf[have:cap(s.buf)])
		if n == 0 && err != nil {
			return 0, err
		}
		s.buf = s.buf[:have+n]
		if i := bytes.Index(s.buf[max(0, have-len(s.mark)):], s.mark); i >= 0 {
			if i += max(0, have-len(s.mark)); i+len(s.mark) != len(s.buf) {
				return 0, fmt.Errorf("it sends on before the snapshot was acknowledged")
			}
			s.buf, s.done = s.buf[:i], true
		}
	}
	if len(s.buf) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.buf)
	s.buf = s.buf[n:]
	return n, nil
}

// extend gives the link repl-timeout for the next read.
func (h *handshake) extend() { _ = h.conn.SetReadDeadline(time.Now().Add(h.k.sh.timeout())) }

// receive takes a snapshot that is exact at log offset off of the history called id, and puts it in the place of our data.
func (h *handshake) receive(id string, off int64) error {
	k, sh := h.k, h.k.sh
	k.state.Store(linkSync)
	sh.dropReplicas() // what they followed ends here
	k.loading.Store(0)
	k.total.Store(0)
	head, err := h.line()
	if err != nil {
		return err
	}
	in := &snapshotReader{h: h, left: -1}
	switch n, parse := strconv.ParseInt(strings.TrimPrefix(head, "$"), 10, 64); {
	case strings.HasPrefix(head, "$EOF:") && len(head) == 5+40:
		in.mark = []byte(head[5:])
	case head[0] == '$' && parse == nil && n >= 0:
		in.left = n
		k.total.Store(n)
	default:
		return fmt.Errorf("instead of a snapshot it sends %q", clip(head))
	}
	alive := h.stayAlive()
	defer alive()
	r := engine.Replacement{ID: id, Offset: off}
	if sh.srv.LoadsFromStream() {
		sh.log.Noticef("MASTER <-> REPLICA sync: receiving the snapshot straight into memory")
		r.Stream = in
	} else {
		r.RDBPath, err = h.toFile(in)
		if err != nil {
			return err
		}
		defer os.Remove(r.RDBPath) // gone already when it has become something else
	}
	k.mustFull = true
	start := time.Now()
	db, err := sh.srv.ReplaceData(r)
	if err != nil {
		return fmt.Errorf("loading the snapshot: %w", err)
	}
	k.mustFull = false
	h.off, h.db = off, db
	sh.log.Noticef("MASTER <-> REPLICA sync: Finished with success: %d bytes loaded in %.3f seconds, at offset %d", in.size, time.Since(start).Seconds(), off)
	return nil
}

// toFile writes the snapshot to a file and gives its path. Our data stay as they are meanwhile.
func (h *handshake) toFile(in *snapshotReader) (path string, err error) {
	sh := h.k.sh
	path = filepath.Join(sh.srv.SnapshotDir(), fmt.Sprintf("temp-sync-%d.rdb", os.Getpid()))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return "", fmt.Errorf("a file for the snapshot: %w", err)
	}
	sh.log.Noticef("MASTER <-> REPLICA sync: receiving the snapshot to disk")
	if _, err = io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{in}, make([]byte, bulkBytes)); err != nil {
		err = fmt.Errorf("receiving the snapshot: %w", err)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		os.Remove(path)
	}
	return path, err
}

// stayAlive sends the primary an empty line a second, until the function it returns is called: a replica that loads for long is alive
// all the same.
func (h *handshake) stayAlive() (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				_ = h.conn.SetWriteDeadline(time.Now().Add(time.Second))
				_, _ = h.conn.Write([]byte("\n")) // a broken link is noticed where it is read
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}
