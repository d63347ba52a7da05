package aof

import (
	"errors"
	"fmt"
	"io"
)

// walker follows the batches of one segment as far as they are valid. A goroutine reads and verifies ahead while the caller
// of run applies.
type walker struct {
	file  File
	size  int64 // bytes that may be read
	epoch uint32
	limit int64 // stop at this log offset

	pos     int64 // of the first byte not accepted
	off     int64 // log offset there
	chain   uint32
	why     string // what is wrong at pos
	partial int64  // bytes that begin a batch at pos
	proof   int64  // highest synced field accepted
	batches int64
	firstMS int64 // unix time of the first batch accepted
	unixMS  int64 // and of the last
	index   []position
}

// errStop ends a walk early without fault.
var errStop = errors.New("stop")

const (
	chunkBytes  = 1 << 20
	chunksAhead = 4
)

type verified struct {
	payload []byte
	off     int64
	position
	synced   int64
	unixMS   int64
	preamble bool
}

// chunk is a stretch of the file and the batches that lie wholly in it.
type chunk struct {
	buf     []byte
	batches []verified
}

// run calls fn for every payload, in order; p is valid during the call, and off is NotLogged for a preamble. Errors of fn and of
// reading end it.
func (w *walker) run(fn func(p []byte, off int64) error) error {
	full := make(chan *chunk, chunksAhead)
	free := make(chan *chunk, chunksAhead)
	quit := make(chan struct{})
	for range chunksAhead {
		free <- &chunk{}
	}
	ahead := *w
	var readErr error
	go func() {
		defer close(full)
		for {
			var c *chunk
			select {
			case c = <-free:
			case <-quit:
				return
			}
			more, err := ahead.read(c)
			if len(c.batches) > 0 {
				full <- c // never blocks: there are as many places as chunks
			}
			if err != nil || !more {
				readErr = err
				return
			}
		}
	}()
	var applyErr error
	for c := range full {
		for i := range c.batches {
			b := &c.batches[i]
			if applyErr == nil {
				off := b.off
				if b.preamble {
					off = NotLogged
				}
				if applyErr = fn(b.payload, off); applyErr != nil {
					close(quit)
					break
				}
				if len(w.index) == 0 || w.pos-w.index[len(w.index)-1].pos >= indexEvery {
					w.index = append(w.index, position{pos: w.pos, offset: b.off})
				}
				w.pos, w.off, w.chain, w.unixMS = b.pos, b.offset, b.chain, b.unixMS
				if w.batches++; w.batches == 1 {
					w.firstMS = b.unixMS
				}
				w.proof = max(w.proof, b.synced)
			}
		}
		if applyErr == nil {
			free <- c
		}
	}
	if applyErr != nil {
		if errors.Is(applyErr, errStop) {
			return nil
		}
		return applyErr
	}
	if readErr != nil {
		return readErr
	}
	w.why, w.partial = ahead.why, ahead.partial
	return nil
}

// read fills c with the batches from w.pos on. more is false at the first that is not valid.
func (w *walker) read(c *chunk) (more bool, err error) {
	c.batches = c.batches[:0]
	if len(c.buf) > 4*chunkBytes {
		c.buf = nil // a huge batch made it that large
	}
	if want := min(chunkBytes, max(w.size-w.pos, 0)); int64(len(c.buf)) < want {
		c.buf = make([]byte, want)
	}
	n, err := readFull(w.file, c.buf[:min(int64(len(c.buf)), max(w.size-w.pos, 0))], w.pos)
	if err != nil {
		return false, err
	}
	at := 0
	for {
		if w.off >= w.limit {
			w.why = "superseded by a later segment"
			return false, nil
		}
		p := c.buf[at:n]
		if len(p) < headerBytes && w.pos+int64(len(p)) < w.size {
			return true, nil
		}
		if len(p) < headerBytes {
			w.why = "the file ends where a batch should begin"
			if len(p) >= len(headerMagic) && (string(p[:len(headerMagic)]) == headerMagic || string(p[:len(headerMagic)]) == preambleMagic) {
				w.partial = int64(len(p))
			}
			return false, nil
		}
		h, ok := parseHeader(p)
		if !ok {
			w.why = "there is no batch header"
			return false, nil
		}
		if h.epoch != w.epoch {
			w.why = fmt.Sprintf("the batch belongs to another use of the file (epoch %08x, not %08x)", h.epoch, w.epoch)
			return false, nil
		}
		if h.offset != w.off {
			w.why = fmt.Sprintf("the batch begins at log offset %d", h.offset)
			w.partial = headerBytes
			return false, nil
		}
		if h.preamble && w.pos > 0 {
			w.why = "there is a preamble in the middle of the file"
			return false, nil
		}
		total := headerBytes + int64(h.length)
		if total > w.size-w.pos {
			w.why = fmt.Sprintf("the batch of %d bytes reaches beyond the end of the file", total)
			w.partial = w.size - w.pos
			return false, nil
		}
		if total > int64(len(p)) {
			if at > 0 {
				return true, nil // into the next chunk
			}
			c.buf = make([]byte, total)
			if n, err = readFull(w.file, c.buf, w.pos); err != nil {
				return false, err
			}
			if int64(n) < total {
				w.why = "the file became shorter while it was read"
				return false, nil
			}
			p = c.buf
		}
		payload := p[headerBytes:total]
		if got := sum(p, payload); got != h.crc {
			w.why = fmt.Sprintf("checksum mismatch: the header says %08x, the content gives %08x", h.crc, got)
			w.partial = total
			return false, nil
		}
		at += int(total)
		w.pos += total
		w.off += h.counted()
		w.chain = chainCRC(w.chain, h.crc)
		c.batches = append(c.batches, verified{payload, h.offset, position{w.pos, w.off, w.chain}, h.synced, h.unixMS, h.preamble})
	}
}

// readFull reads as much of p as the file has.
func readFull(f File, p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		k, err := f.ReadAt(p[n:], off+int64(n))
		n += k
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

var errNoBatch = errors.New("no valid batch")

// readBatch reads the batch at pos, into buf if it is large enough. errNoBatch: there is none.
func readBatch(f File, pos int64, buf []byte) (h header, payload []byte, err error) {
	var head [headerBytes]byte
	n, err := readFull(f, head[:], pos)
	if err != nil {
		return h, nil, err
	}
	h, ok := parseHeader(head[:n])
	if !ok {
		return h, nil, errNoBatch
	}
	size, err := f.Size()
	if err != nil {
		return h, nil, err
	}
	if int64(h.length) > size-pos-headerBytes {
		return h, nil, errNoBatch
	}
	if int64(len(buf)) < int64(h.length) {
		buf = make([]byte, h.length)
	}
	buf = buf[:h.length]
	if n, err = readFull(f, buf, pos+headerBytes); err != nil {
		return h, nil, err
	}
	if n < len(buf) || sum(head[:], buf) != h.crc {
		return h, nil, errNoBatch
	}
	return h, buf, nil
}

// scanHeaders calls fn for every valid batch of this epoch that begins in [from, size), wherever it begins, until fn says
// false. Valid batches are skipped as a whole: what clients stored inside them is not looked at.
func scanHeaders(f File, from, size int64, epoch uint32, fn func(h header, pos, end int64) bool) error {
	buf := make([]byte, min(chunkBytes, max(size-from, 0)))
	for pos := from; pos < size; {
		n, err := readFull(f, buf[:min(int64(len(buf)), size-pos)], pos)
		if err != nil {
			return err
		}
		if n < headerBytes {
			return nil
		}
		i := findHeader(buf[:n], epoch)
		if i < 0 {
			pos += int64(n - headerBytes + 1)
			continue
		}
		if i > 0 && i > n-headerBytes {
			pos += int64(i)
			continue
		}
		pos += int64(i)
		h, _, err := readBatch(f, pos, nil)
		switch {
		case errors.Is(err, errNoBatch):
			pos++
		case err != nil:
			return err
		default:
			end := pos + headerBytes + int64(h.length)
			if !fn(h, pos, end) {
				return nil
			}
			pos = end
		}
	}
	return nil
}
