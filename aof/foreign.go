package aof

import (
	"bytes"
	"fmt"
)

// Files that another server wrote: RESP commands, with annotation lines ('#' to the end of the line) between them. Only the
// framing is looked at here, and which command is MULTI or EXEC: a transaction without its EXEC is a torn tail.

type frame uint8

const (
	frameWhole frame = iota
	frameShort       // more bytes are needed
	frameBad
)

const (
	maxArgs    = 1 << 20
	maxLenLine = 32
)

// scanCommand finds the end of the command or annotation at the front of p. want is the length that is needed at least
// when it is short.
func scanCommand(p []byte) (n int, kind commandKind, fr frame, want int64) {
	if len(p) == 0 {
		return 0, kindOther, frameShort, 1
	}
	if p[0] == '#' {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			if len(p) >= 1024 {
				return 0, kindOther, frameBad, 0
			}
			return 0, kindOther, frameShort, int64(len(p)) + 1
		}
		return i + 1, kindAnnotation, frameWhole, 0
	}
	argc, n, fr := scanLength(p, '*')
	if fr != frameWhole {
		return 0, kindOther, fr, int64(len(p)) + 1
	}
	if argc < 1 || argc > maxArgs {
		return 0, kindOther, frameBad, 0
	}
	for i := range argc {
		size, k, fr := scanLength(p[n:], '$')
		if fr != frameWhole {
			return 0, kindOther, fr, int64(len(p)) + 1
		}
		if size < 0 {
			return 0, kindOther, frameBad, 0
		}
		n += k
		end := int64(n) + size + 2
		if int64(len(p)) < end {
			return 0, kindOther, frameShort, end
		}
		if p[end-2] != '\r' || p[end-1] != '\n' {
			return 0, kindOther, frameBad, 0
		}
		if i == 0 {
			switch name := p[n : end-2]; {
			case bytes.EqualFold(name, []byte("multi")):
				kind = kindMulti
			case bytes.EqualFold(name, []byte("exec")):
				kind = kindExec
			}
		}
		n = int(end)
	}
	return n, kind, frameWhole, 0
}

type commandKind uint8

const (
	kindOther commandKind = iota
	kindAnnotation
	kindMulti
	kindExec
)

// scanLength reads a line like *3 or $12.
func scanLength(p []byte, mark byte) (v int64, n int, fr frame) {
	if len(p) == 0 {
		return 0, 0, frameShort
	}
	if p[0] != mark {
		return 0, 0, frameBad
	}
	for i := 1; i < len(p) && i < maxLenLine; i++ {
		switch c := p[i]; {
		case c >= '0' && c <= '9' && i < 20:
			v = v*10 + int64(c-'0')
		case c == '\r' && i > 1:
			if i+1 == len(p) {
				return 0, 0, frameShort
			}
			if p[i+1] != '\n' || v > maxBatchPayload {
				return 0, 0, frameBad
			}
			return v, i + 2, frameWhole
		default:
			return 0, 0, frameBad
		}
	}
	if len(p) >= maxLenLine {
		return 0, 0, frameBad
	}
	return 0, 0, frameShort
}

// FormatError says where a file of another server cannot be read.
type FormatError struct {
	File     string
	Pos      int64 // byte of the file
	Short    bool  // it ends in the middle of something
	Manifest string
}

func (e *FormatError) Error() string {
	if e.Short {
		return fmt.Sprintf("aof: Unexpected end of file reading the append only file %s at byte %d. You can: 1) Make a backup of your AOF file, "+
			"then use ./redis-check-aof --fix %s. 2) Alternatively you can set the 'aof-load-truncated' configuration option to yes and "+
			"restart the server", e.File, e.Pos, e.Manifest)
	}
	return fmt.Sprintf("aof: Bad file format reading the append only file %s at byte %d: make a backup of your AOF file, then use "+
		"./redis-check-aof --fix %s", e.File, e.Pos, e.Manifest)
}

// loadForeign replays [from, size) of a file. last: nothing follows it in the manifest, so its tail may be torn.
func (ld *loader) loadForeign(e *fileEntry, f File, from, size int64, last bool) error {
	path := join(ld.dir, e.name)
	buf := make([]byte, min(chunkBytes, max(size-from, 0)))
	have := 0      // bytes in buf
	pos := from    // file position of buf[0]
	good := from   // file position behind the last whole effect
	short := false // the bytes in buf are the beginning of something
	for {
		n, err := readFull(f, buf[have:min(int64(len(buf)), size-pos)], pos+int64(have))
		if err != nil {
			return err
		}
		have += n
		whole, consumed, want, err := ld.foreignChunk(path, buf[:have], pos)
		if err != nil {
			return err
		}
		ld.rec.Payload += whole
		good = pos + consumed
		copy(buf, buf[consumed:have])
		have -= int(consumed)
		pos = good
		if pos+int64(have) >= size {
			short = have > 0
			break
		}
		if want > size-pos {
			short = true // it claims to be longer than the file
			break
		}
		if have == len(buf) || want > int64(len(buf)) {
			buf = append(make([]byte, 0, max(want, 2*int64(len(buf)))), buf[:have]...)
			buf = buf[:cap(buf)]
		}
	}
	ld.known = true
	if e.typ == typeIncr && from == 0 {
		e.length = size
	}
	if !short {
		return nil
	}
	if !ld.o.LoadTruncated || !last {
		return &FormatError{File: path, Pos: good, Short: true, Manifest: manifestName(ld.name)}
	}
	ld.o.Logf('#', "!!! Warning: short read while loading the AOF file %s!!!", e.name)
	ld.o.Logf('#', "AOF %s loaded anyway because aof-load-truncated is enabled", e.name)
	ld.o.Logf('#', "Truncating the AOF %s at offset %d", e.name, good)
	ld.rec.Truncated += size - good
	ld.changed = true
	if e.typ == typeIncr && from == 0 {
		e.length = good
	}
	if e.typ == typeBase {
		e.length = good
	}
	if ld.readOnly {
		return nil
	}
	w, err := ld.fs.Open(path)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.Truncate(good); err != nil {
		return fmt.Errorf("aof: cannot truncate %s: %w", path, err)
	}
	return w.Datasync()
}

// wentOn reports whether another server wrote [from, size) of a file that was ours before. redis-server begins with a SELECT, or with an
// annotation of the time, and all of it has the frame of commands, but for a last one that is torn. A batch of ours never begins so, and what
// an earlier use of the file left has headers of ours in it or ends in zeros.
func wentOn(f File, from, size int64) (bool, error) {
	var head [16]byte
	n, err := readFull(f, head[:min(int64(len(head)), max(size-from, 0))], from)
	if err != nil {
		return false, err
	}
	if !bytes.HasPrefix(head[:n], []byte("*2\r\n$6\r\nSELECT")) && !bytes.HasPrefix(head[:n], []byte("#TS:")) {
		return false, nil
	}
	buf := make([]byte, min(chunkBytes, size-from))
	have, whole := 0, false
	for pos := from; ; {
		n, err := readFull(f, buf[have:min(int64(len(buf)), size-pos)], pos+int64(have))
		if err != nil {
			return false, err
		}
		have += n
		at, want := 0, int64(1)
		for at < have {
			n, kind, fr, need := scanCommand(buf[at:have])
			if fr == frameBad || kind == kindAnnotation && bytes.HasPrefix(buf[at:have], []byte("#TM")) {
				return false, nil
			}
			if fr == frameShort {
				want = need
				break
			}
			whole = whole || kind != kindAnnotation
			at += n
		}
		have = copy(buf, buf[at:have])
		pos += int64(at)
		if pos+int64(have) >= size || want > size-pos {
			return whole, nil
		}
		if have == len(buf) || want > int64(len(buf)) {
			buf = append(make([]byte, 0, max(want, 2*int64(len(buf)))), buf[:have]...)
			buf = buf[:cap(buf)]
		}
	}
}

// foreignChunk applies the whole effects at the front of p, which lies at pos of the file, and drops the annotations by
// moving what follows them. applied counts effect bytes, consumed those of p, and want is how many bytes from consumed on
// are needed to get further.
func (ld *loader) foreignChunk(path string, p []byte, pos int64) (applied, consumed, want int64, err error) {
	at, out := 0, 0
	for want = 1; at < len(p); {
		n, kind, notes, fr, need := scanEffect(p[at:])
		if fr == frameBad {
			return 0, 0, 0, &FormatError{File: path, Pos: pos + int64(at+n), Manifest: manifestName(ld.name)}
		}
		if fr == frameShort {
			want = need
			break
		}
		switch {
		case kind == kindAnnotation:
		case notes:
			for end := at + n; at < end; {
				k, kind, _, _ := scanCommand(p[at:end])
				if kind != kindAnnotation {
					out += copy(p[out:], p[at:at+k])
				}
				at += k
			}
			n = 0
		default:
			if out != at {
				copy(p[out:], p[at:at+n])
			}
			out += n
		}
		at += n
	}
	if out > 0 {
		applied, err = ld.applyForeign(path, p[:out], pos)
	}
	return applied, int64(at), want, err
}

// scanEffect is scanCommand with a transaction, from MULTI to EXEC, as one. notes: there are annotations inside. When the
// frame is bad, n is where.
func scanEffect(p []byte) (n int, kind commandKind, notes bool, fr frame, want int64) {
	n, kind, fr, want = scanCommand(p)
	if kind != kindMulti || fr != frameWhole {
		return n, kind, false, fr, want
	}
	for {
		k, inner, fr, want := scanCommand(p[n:])
		if fr != frameWhole {
			return n, kind, notes, fr, int64(n) + want
		}
		n += k
		if inner == kindExec {
			return n, kind, notes, frameWhole, 0
		}
		notes = notes || inner == kindAnnotation
	}
}

func (ld *loader) applyForeign(path string, p []byte, pos int64) (int64, error) {
	if ld.r != nil {
		n, err := ld.r.Apply(p, ld.off)
		if err != nil {
			return 0, fmt.Errorf("aof: %s, in the commands behind byte %d: %w", path, pos+int64(n), err)
		}
		if n != len(p) {
			return 0, fmt.Errorf("aof: Bad file format reading the append only file %s: the command behind byte %d was not taken", path,
				pos+int64(n))
		}
	}
	ld.off += int64(len(p))
	return int64(len(p)), nil
}
