package aof

import (
	"errors"
	"unsafe"
)

// Direct writes
//
// Under Always a batch goes to the disk past the page cache (O_DIRECT): the write itself waits for the disk, and the fdatasync that follows
// finds no dirty page and is the disk's flush alone. That is the same work for the disk and less for the processor: the page
// cache would have to find the dirty pages, to write them back, and to note that they are clean (BenchmarkCommitSync).
//
// The write covers whole blocks. It repeats what the segment holds of the block that it begins in (the same bytes, kept in memory), and
// ends with zeros, which the next one overwrites:
//
//	       s.pos
//	.........|header payload|000000
//	|   block    |   block    |         each of directAlign bytes
//
// Only one batch that is not yet durable is ever written so, and it stays in memory until it is: should the fdatasync fail, nothing
// else would vouch for it (moveSuffix), as it is not in the page cache. What is appended while an fdatasync takes its time
// goes through the page cache, and so does what does not fit maxDirect or the prepared part of the segment.
//
// Rejected, measured on ext4 over virtio: asynchronous writes (docs/performance.md).

// DirectFS is an optional part of FS.
type DirectFS interface {
	// OpenDirect opens an existing file for writes past the page cache. An error means that there are none to be had here.
	OpenDirect(name string) (DirectFile, error)
}

// DirectFile is a file that is open for writes past the page cache.
type DirectFile interface {
	// WriteBlocks writes p at off. p's address, its length and off are multiples of directAlign, and the file's blocks there are
	// allocated. It does not make p durable: Datasync of the same file, however opened, does. errNoDirect: nothing was
	// written, the file system does not do it.
	WriteBlocks(p []byte, off int64) error
	Close() error
}

const (
	directAlign = 4096
	// maxDirect is the largest batch that is written so, header included. A larger one gains little: its time is the disk's bandwidth.
	maxDirect = 256 << 10
)

var errNoDirect = errors.New("direct writes are not supported")

// direct is what the append role keeps for direct writes.
type direct struct {
	mem []byte   // nil: not yet needed
	buf []byte   // mem, aligned: whole blocks of seg up to pos
	seg *segment // that buf belongs to
	pos int64    // end of the batch in buf; buf's first byte is at a multiple of directAlign
	at  int64    // where that batch begins
}

func (l *Log) directFS() DirectFS {
	if d, ok := l.o.FS.(DirectFS); ok && !l.o.NoDirect {
		return d
	}
	return nil
}

// openDirect opens a prepared segment for direct writes, if that can be done. Before the rename that comes when it is registered:
// the descriptor stays valid.
func (l *Log) openDirect(s *segment) {
	d := l.directFS()
	if d == nil {
		return
	}
	f, err := d.OpenDirect(l.path(s.entry.name))
	if err != nil {
		l.logf('-', "aof: no direct writes, commits go through the page cache: %v", err)
		return
	}
	s.direct = f
}

// directPlace gives the place for a batch of total bytes in a buffer from which it can be written directly, or nil: it must go through the page
// cache. The append role must be held.
func (l *Log) directPlace(s *segment, total int) []byte {
	if s.direct == nil || total > maxDirect || l.Policy() != Always || l.synced.Load() != l.appended.Load() {
		return nil
	}
	d := &l.direct
	base := s.pos &^ (directAlign - 1)
	lead := int(s.pos - base)
	if base+int64(lead+total+directAlign-1)&^(directAlign-1) > s.prepared {
		return nil
	}
	if d.mem == nil {
		mem, buf, err := alignedMem(maxDirect + 2*directAlign)
		if err != nil {
			return nil
		}
		d.mem, d.buf = mem, buf
	}
	if d.seg == s && d.pos == s.pos {
		from := base - d.at&^(directAlign-1)
		copy(d.buf[:lead], d.buf[from:])
	} else if !l.durable(s) {
		return nil // a preamble was written just now
	} else if n, err := readFull(s.file, d.buf[:lead], base); err != nil || n != lead {
		d.seg = nil
		return nil // the write through the page cache meets the same error
	}
	d.seg = nil // until it is written
	return d.buf[lead : lead+total]
}

// durable reports whether everything in s is on the disk.
func (l *Log) durable(s *segment) bool {
	l.segMu.Lock()
	defer l.segMu.Unlock()
	return s.synced.pos == s.pos
}

// writeDirect writes a batch of total bytes past the page cache, if that can be done, and gives its checksum. The append role must be held.
func (l *Log) writeDirect(s *segment, h *header, total int, crc *uint32) (ok bool, err error) {
	p := l.directPlace(s, total)
	if p == nil {
		return false, nil
	}
	putHeader(p, h)
	at := headerBytes
	for _, v := range l.drain.vec {
		at += copy(p[at:], v)
	}
	*crc = sum(p, p[headerBytes:])
	putCRC(p, *crc)
	l.drain.whole[0] = p[headerBytes:]
	l.stage(l.drain.whole[:])
	d := &l.direct
	base := s.pos &^ (directAlign - 1)
	end := int(s.pos-base) + total
	span := (end + directAlign - 1) &^ (directAlign - 1)
	clear(d.buf[end:span])
	if err := s.direct.WriteBlocks(d.buf[:span], base); err != nil {
		if !errors.Is(err, errNoDirect) {
			return false, err
		}
		l.logf('#', "aof: no direct writes here after all, commits go through the page cache: %v", err)
		s.closeDirect()
		return false, nil
	}
	d.seg, d.at, d.pos = s, s.pos, s.pos+int64(total)
	return true, nil
}

// batchInMemory gives the batch at pos of s if it was the last to be written directly. Both roles must be held.
func (l *Log) batchInMemory(s *segment, pos int64) (h header, payload []byte, ok bool) {
	d := &l.direct
	if d.seg != s || d.at != pos {
		return h, nil, false
	}
	lead := pos & (directAlign - 1)
	p := d.buf[lead : lead+d.pos-d.at]
	h, ok = parseHeader(p)
	return h, p[headerBytes:], ok
}

// alignedMem gives n zero bytes at a multiple of directAlign, and what is to be freed in the end.
func alignedMem(n int) (mem, aligned []byte, err error) {
	if mem, err = offHeap(n + directAlign); err != nil {
		return nil, nil, err
	}
	front := -int(uintptr(unsafe.Pointer(unsafe.SliceData(mem)))) & (directAlign - 1)
	return mem, mem[front : front+n], nil
}
