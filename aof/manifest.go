package aof

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The manifest is Redis 7's: one line a file,
//
//	file appendonly.aof.1.base.rdb seq 1 type b
//	file appendonly.aof.1.incr.aof seq 1 type i
//
// type b: the base (at most one), i: incremental, in order of seq, h: history, to be deleted.

type fileType byte

const (
	typeBase    fileType = 'b'
	typeIncr    fileType = 'i'
	typeHistory fileType = 'h'
)

type fileState uint8

const (
	stateForeign fileState = iota // nothing of ours is known about it
	stateActive                   // ours, written under epoch; its end is where its valid batches end
	stateClosed                   // ours, length bytes under epoch with checksum chain; more may follow, by another server
	stateLoaded                   // another server's, and already loaded once up to length
)

func (s fileState) String() string {
	return [...]string{"foreign", "active", "closed", "loaded"}[s]
}

const unknownOffset = int64(-1)

// fileEntry is one file of the AOF directory: what the manifest says, and what the sidecar adds.
type fileEntry struct {
	name string
	seq  int64
	typ  fileType
	id   string // of a base, as read: the replication id that counts if the manifest names this base

	state  fileState
	epoch  uint32
	start  int64 // log offset of the first byte, or unknownOffset; for a base: the offset at which it is exact
	end    int64 // log offset behind the last byte; 0 while it is not known
	length int64 // closed: true length; base: bytes
	chain  uint32
	tail   int64 // closed: bytes that another server appended behind length and that were loaded once
	db     int   // of a base: the database another server's stream is in where the base is exact
	index  []position

	lineage string // of history: the replication id it belongs to
	kept    bool   // it is history that stays; Log.segMu guards it, as it does typ
}

// meta is what manifest and sidecar hold. Log.metaMu guards it.
type meta struct {
	id           string
	ancestors    []Ancestor
	base         *fileEntry
	kept         []*fileEntry // history that can be read, oldest first; see history.go
	incr         []*fileEntry // in order; the last may be prepared and not yet in use
	hist         []*fileEntry
	spares       []string // file names
	spareSeq     int64
	maxBase      int64
	maxIncr      int64
	oldID        string // the id of what the manifest on the disk names, while detached
	oldAncestors []Ancestor
	// detached: the manifest on the disk still names the files of an earlier life (old), because the log was opened Fresh
	// and no rewrite has committed yet.
	detached bool
	old      []*fileEntry
	// doubtful are segments that could not be registered, and bases that could not take their place, but may have all the same: the manifest
	// on the disk may name them, so the sidecar must. The next manifest that is surely on the disk makes history of them.
	doubtful []*fileEntry
	// attach is, while detached, a base that the manifest on the disk may name: the first one, whose manifest failed to be written. The next
	// manifest names it, too: as the one on the disk may be either, there is no way back that would be sure.
	attach *fileEntry
	// orphans are known to the sidecar, and not or no longer to the manifest: the start removes them.
	orphans []*fileEntry
}

func (m *meta) spareName() string {
	m.spareSeq++
	return sparePrefix + strconv.FormatInt(m.spareSeq, 10)
}

const sparePrefix = "tidemark-spare-"

func manifestName(name string) string { return name + ".manifest" }
func sidecarName(name string) string  { return name + ".tidemark" }

func (m *meta) manifest() []byte {
	var b bytes.Buffer
	line := func(e *fileEntry, t fileType) {
		fmt.Fprintf(&b, "file %s seq %d type %c\n", quoteName(e.name), e.seq, t)
	}
	if m.base != nil {
		line(m.base, typeBase)
	}
	for _, e := range m.hist {
		line(e, typeHistory)
	}
	for _, e := range m.doubtful {
		line(e, typeHistory)
	}
	for _, e := range m.kept {
		line(e, typeHistory)
	}
	for _, e := range m.incr {
		line(e, typeIncr)
	}
	return b.Bytes()
}

// parseManifest follows Redis 7: comments, empty lines refused, unknown keys ignored, monotonic incremental numbers.
func parseManifest(p []byte) (*meta, error) {
	m := &meta{}
	if len(p) == 0 {
		return nil, errors.New("Found an empty AOF manifest")
	}
	for n, line := range strings.SplitAfter(string(p), "\n") {
		if line == "" {
			continue
		}
		bad := func(why string) error {
			return fmt.Errorf("%s at line %d: %q", why, n+1, strings.TrimRight(line, "\n"))
		}
		if line[0] == '#' {
			continue
		}
		if !strings.HasSuffix(line, "\n") {
			return nil, bad("The AOF manifest file contains too long line or an unterminated one")
		}
		words, ok := splitWords(strings.Trim(line, " \t\r\n"))
		if !ok || len(words) < 6 || len(words)%2 != 0 {
			return nil, bad("Invalid AOF manifest file format")
		}
		e := &fileEntry{start: unknownOffset}
		for i := 0; i < len(words); i += 2 {
			v := words[i+1]
			switch strings.ToLower(words[i]) {
			case "file":
				if strings.ContainsAny(v, "/") || v == "" || v == "." || v == ".." {
					return nil, bad("File can't be a path, just a filename")
				}
				e.name = v
			case "seq":
				seq, err := strconv.ParseInt(v, 10, 64)
				if err != nil || seq < 0 {
					return nil, bad("Invalid AOF manifest file format")
				}
				e.seq = seq
			case "type":
				e.typ = fileType(v[0])
			}
		}
		if e.name == "" || e.seq == 0 || e.typ == 0 {
			return nil, bad("Invalid AOF manifest file format")
		}
		switch e.typ {
		case typeBase:
			if m.base != nil {
				return nil, bad("Found duplicate base file information")
			}
			m.base = e
			m.maxBase = max(m.maxBase, e.seq)
		case typeHistory:
			m.hist = append(m.hist, e)
		case typeIncr:
			if e.seq <= m.maxIncr {
				return nil, bad("Found a non-monotonic sequence number")
			}
			m.maxIncr = e.seq
			m.incr = append(m.incr, e)
		default:
			return nil, bad("Unknown AOF file type")
		}
	}
	return m, nil
}

// quoteName quotes a name that has blanks or odd bytes, as Redis's configuration syntax does.
func quoteName(s string) string {
	plain := true
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == '"' || c == '\'' || c == '\\' || c >= 0x7f {
			plain = false
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < ' ' || c >= 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// splitWords splits at blanks, with quoted words.
func splitWords(s string) (words []string, ok bool) {
	for i := 0; ; {
		for i < len(s) && (s[i] == ' ' || s[i] == '\t') {
			i++
		}
		if i == len(s) {
			return words, true
		}
		var w []byte
		switch s[i] {
		case '"':
			for i++; ; i++ {
				if i >= len(s) {
					return nil, false
				}
				if s[i] == '"' {
					i++
					break
				}
				if s[i] != '\\' || i+1 >= len(s) {
					w = append(w, s[i])
					continue
				}
				i++
				switch c := s[i]; c {
				case 'n':
					w = append(w, '\n')
				case 'r':
					w = append(w, '\r')
				case 't':
					w = append(w, '\t')
				case 'x':
					if i+2 < len(s) {
						if v, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
							w = append(w, byte(v))
							i += 2
							continue
						}
					}
					w = append(w, c)
				default:
					w = append(w, c)
				}
			}
		case '\'':
			for i++; ; i++ {
				if i >= len(s) {
					return nil, false
				}
				if s[i] == '\'' {
					i++
					break
				}
				if s[i] == '\\' && i+1 < len(s) && s[i+1] == '\'' {
					i++
				}
				w = append(w, s[i])
			}
		default:
			for i < len(s) && s[i] != ' ' && s[i] != '\t' {
				w = append(w, s[i])
				i++
			}
		}
		if i < len(s) && s[i] != ' ' && s[i] != '\t' {
			return nil, false // something right behind a closing quote
		}
		if len(w) == 0 {
			return nil, false
		}
		words = append(words, string(w))
	}
}

// saveManifestLocked comes after the sidecar when files were added, and before it when some are removed: the sidecar may know more files
// than the manifest, never fewer. metaMu must be held.
func (l *Log) saveManifestLocked() error {
	m := &l.meta
	if m.detached {
		if m.attach == nil {
			return nil
		}
		return l.installLocked(m.attach, func() (bool, error) { return true, nil })
	}
	if err := l.replaceFile(manifestName(l.o.Name), m.manifest()); err != nil {
		return err
	}
	if len(m.doubtful) > 0 {
		l.segMu.Lock()
		for _, e := range m.doubtful {
			e.typ = typeHistory
		}
		l.segMu.Unlock()
		m.hist = append(m.hist[:len(m.hist):len(m.hist)], m.doubtful...)
		m.doubtful = nil
	}
	return nil
}

func (l *Log) saveSidecarLocked() error {
	return l.replaceFile(sidecarName(l.o.Name), l.meta.sidecar())
}

// replaceFile writes a file anew, atomically and durably.
func (l *Log) replaceFile(name string, p []byte) error { return replaceFile(l.o.FS, l.o.Dir, name, p) }

func replaceFile(fsys FS, dir, name string, p []byte) error {
	temp := join(dir, "temp-"+name)
	f, err := fsys.Create(temp)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(p, 0)
	if err == nil {
		err = f.Datasync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = fsys.Rename(temp, join(dir, name))
	}
	if err == nil {
		err = fsys.SyncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("aof: cannot write %s: %w", join(dir, name), err)
	}
	return nil
}

// readSmall reads a whole file of at most limit bytes.
func readSmall(fsys FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.OpenRead(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("%s has %d bytes, more than the %d that make sense", name, size, limit)
	}
	p := make([]byte, size)
	n, err := f.ReadAt(p, 0)
	if err != nil && !(errors.Is(err, io.EOF) && int64(n) == size) {
		return nil, err
	}
	return p[:n], nil
}
