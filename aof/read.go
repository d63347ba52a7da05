package aof

import (
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"
)

// Readers by log offset: replicas that fell behind, the change feed. They read the segments through pread, from the page
// cache when near the end, and never touch a mapping or a ring.

// ErrTrimmed: the offset lies before what the segments still hold.
var ErrTrimmed = errors.New("aof: the offset is no longer in the log")

// Oldest is the lowest log offset that ReadAt can give.
func (l *Log) Oldest() int64 {
	if l.o.Memory {
		return l.appended.Load()
	}
	l.metaMu.Lock()
	defer l.metaMu.Unlock()
	return l.oldestLocked()
}

// OldestSeen is Oldest without waiting for anybody, for event loops. While files are being exchanged, which takes the disk's time, it is what was
// found last: what it says is held may be gone.
func (l *Log) OldestSeen() int64 {
	if l.o.Memory {
		return l.appended.Load()
	}
	if l.metaMu.TryLock() {
		defer l.metaMu.Unlock()
		return l.oldestLocked()
	}
	return l.oldestSeen.Load()
}

// oldestLocked is Oldest. metaMu must be held.
func (l *Log) oldestLocked() (oldest int64) {
	defer func() { l.oldestSeen.Store(oldest) }()
	l.segMu.Lock()
	defer l.segMu.Unlock()
	oldest = l.appended.Load()
	// From the newest backwards, as long as they adjoin: a file of another server in between ends it.
	for i := len(l.meta.incr) - 1; i >= 0; i-- {
		e := l.meta.incr[i]
		if e.state == stateActive && e.start == unknownOffset {
			continue // prepared
		}
		if e.state != stateActive && (e.state != stateClosed || e.tail > 0) {
			return oldest
		}
		oldest = e.start
	}
	for i := len(l.meta.kept) - 1; i >= 0; i-- {
		e := l.meta.kept[i]
		if l.endOf(e) != oldest || e.tail > 0 {
			break
		}
		oldest = e.start
	}
	return oldest
}

// ReadAt copies log bytes from offset off on into p, as many as are appended and fit, and returns their number; 0 and io.EOF
// at Appended. ErrTrimmed below Oldest, which is everywhere else when the log is not on disk: there the Tail has what there is. The bytes may begin and end inside an effect.
func (l *Log) ReadAt(off int64, p []byte) (n int, err error) {
	for n < len(p) {
		if off >= l.appended.Load() {
			if n == 0 {
				return 0, io.EOF
			}
			return n, nil
		}
		if l.o.Memory {
			return n, ErrTrimmed
		}
		k, err := l.readSome(off, p[n:])
		if off < l.Oldest() {
			return 0, ErrTrimmed // a rewrite has let go of the file, which may hold something else by now
		}
		if err != nil || k == 0 {
			if n > 0 {
				return n, nil
			}
			return 0, err
		}
		n += k
		off += int64(k)
	}
	return n, nil
}

// readPlace is where a reader finds the batches around an offset.
type readPlace struct {
	file  File
	name  string
	epoch uint32
	from  position // a batch boundary at or before the offset
	end   int64    // file position behind the last batch
}

// readSome reads from the one segment that off lies in.
func (l *Log) readSome(off int64, p []byte) (n int, err error) {
	at, unknown, err := l.locate(off)
	if err == nil && unknown != nil {
		if err = l.index(unknown); err == nil {
			at, _, err = l.locate(off)
		}
	}
	if err != nil {
		return 0, err
	}
	defer at.file.Close()
	bp := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(bp)
	short := func(pos int64, err error) error {
		return fmt.Errorf("aof: %s at byte %d: %w", at.name, pos, errors.Join(err, io.ErrUnexpectedEOF))
	}
	for pos := at.from.pos; pos < at.end && n < len(p); {
		buf := (*bp)[:min(readBufferBytes, at.end-pos)]
		have, err := readFull(at.file, buf, pos)
		if err != nil || have < headerBytes {
			return n, short(pos, err)
		}
		i := 0 // of the next header in buf
		for i+headerBytes <= have && n < len(p) {
			h, ok := parseHeader(buf[i:have])
			if !ok || h.epoch != at.epoch {
				return n, &DamageError{File: at.name, Pos: pos + int64(i), Offset: off, Why: "there is no batch header", Dir: l.o.Dir}
			}
			if skip := off - h.offset; skip >= 0 && skip < h.counted() {
				want := p[n:min(int64(len(p)), int64(n)+h.counted()-skip)]
				from := int64(i+headerBytes) + skip
				k := 0
				if from < int64(have) {
					k = copy(want, buf[from:have])
				}
				if k < len(want) { // the rest of a large batch
					more, err := readFull(at.file, want[k:], pos+from+int64(k))
					if k += more; err != nil || k < len(want) {
						return n, short(pos+from+int64(k), err)
					}
				}
				n += k
				off += int64(k)
			}
			i += headerBytes + int(h.length)
		}
		pos += int64(i)
	}
	return n, nil
}

// readBufferBytes is what is read at once: batches are often much smaller, and their headers are in between.
const readBufferBytes = 64 << 10

var readBuffers = sync.Pool{New: func() any {
	b := make([]byte, readBufferBytes)
	return &b
}}

// locate opens the segment that holds the byte at off, which is appended; or names a file of the history that is to be looked
// through first.
func (l *Log) locate(off int64) (at readPlace, unknown *fileEntry, err error) {
	l.metaMu.Lock()
	defer l.metaMu.Unlock()
	// The segments that are open have their positions; the others are in the manifest with theirs. A segment is sealed, and
	// its file closed, under metaMu.
	l.segMu.Lock()
	for _, s := range append(l.full[:len(l.full):len(l.full)], l.active) {
		if s.pos > 0 && s.start <= off && off < s.offset && s.entry.state == stateActive {
			at = readPlace{name: l.path(s.entry.name), epoch: s.epoch, from: lookup(s.index, off), end: s.pos}
		}
	}
	for _, files := range [...][]*fileEntry{l.meta.incr, l.meta.kept} {
		for _, e := range files {
			if at.name == "" && e.start <= off && off < e.end {
				at = readPlace{name: l.path(e.name), epoch: e.epoch, from: lookup(e.index, off), end: e.length}
				if e.index == nil && e.length > 0 {
					unknown = e
				}
			}
		}
	}
	l.segMu.Unlock()
	if unknown != nil {
		return at, unknown, nil
	}
	if at.name == "" {
		return at, nil, ErrTrimmed
	}
	// A descriptor of its own: the segment may be sealed or deleted while this one reads.
	at.file, err = l.o.FS.OpenRead(at.name)
	return at, nil, err
}

// lookup gives the last remembered boundary at or before off.
func lookup(index []position, off int64) position {
	i := sort.Search(len(index), func(i int) bool { return index[i].offset > off })
	if i == 0 {
		return position{}
	}
	return index[i-1]
}
