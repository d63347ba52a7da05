package aof

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Recovery accepts the longest valid prefix of the log. Where it ends, one question decides: does anything prove that what
// follows had been durable? If so the disk lost or changed it (damage: refuse to start). If not, it was being written when
// the power went (torn tail: cut there). The proofs are
//
//   - a valid later header, in this segment or a later one, whose synced field lies beyond the end;
//   - a sealed segment: its length and checksum were recorded after its last sync, and later segments are sealed after it.

// DamageError says where synced data cannot be read back.
type DamageError struct {
	File   string
	Pos    int64 // byte of the file
	Offset int64 // of the log
	Why    string
	Dir    string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("aof: %s is damaged at byte %d (log offset %d): %s. This had been on the disk, so it is not the torn tail of a crash. "+
		"Restore the file from a backup or a replica, or cut the log there with: tidemark-aof repair %s", e.File, e.Pos, e.Offset, e.Why, e.Dir)
}

// loader is one recovery.
type loader struct {
	fs    FS
	dir   string
	name  string
	o     *Options
	r     Replayer
	meta  *meta
	off   int64
	rec   *Recovery
	known bool // off is right; false before the first thing that says where the log is
	// readOnly finds out without changing anything.
	readOnly bool
	changed  bool
	seen     []FileInfo
}

func join(dir, name string) string { return filepath.Join(dir, name) }

// recover brings l.meta and r to what the directory holds.
func (l *Log) recover(r Replayer) (*Recovery, error) {
	o := &l.o
	ld := &loader{fs: o.FS, dir: o.Dir, name: o.Name, o: o, r: r, meta: &l.meta, rec: &Recovery{}}
	if err := ld.readMeta(); err != nil {
		return nil, err
	}
	m := &l.meta
	if o.Fresh {
		m.oldID, m.oldAncestors = m.id, m.ancestors
		if m.id = o.ID; m.id == "" {
			m.id = newID()
		}
		m.ancestors = clampAncestors(o.Ancestors, o.StartOffset)
		m.old = append(append(m.old, m.hist...), m.incr...) // with what was kept as history
		if m.base != nil {
			m.old = append(m.old, m.base)
		}
		m.detached = true
		m.base, m.incr, m.hist = nil, nil, nil
		ld.off = o.StartOffset
	} else if err := ld.load(); err != nil {
		return nil, err
	}
	rec := ld.rec
	if !o.Fresh && m.base == nil && rec.Payload == 0 {
		// A first start that ended before its base was written. To call this an AOF would be to ignore, for ever, the RDB that
		// the base was to be made of.
		rec.Existed = false
	}
	if m.id == "" || rec.Foreign {
		m.id, m.ancestors = newID(), nil
	}
	m.ancestors = clampAncestors(m.ancestors, ld.off)
	rec.ID, rec.Ancestors = m.id, append([]Ancestor(nil), m.ancestors...)
	rec.Offset = ld.off
	rec.NeedsBase = m.base == nil
	if err := ld.sweep(); err != nil {
		return nil, err
	}
	return rec, nil
}

func newID() string {
	var b [20]byte
	_, _ = rand.Read(b[:]) // never fails, as crypto/rand documents
	return hex.EncodeToString(b[:])
}

// readMeta reads manifest and sidecar, moving an AOF of Redis 6 into the directory first.
func (ld *loader) readMeta() error {
	p, err := readSmall(ld.fs, join(ld.dir, manifestName(ld.name)), 64<<20)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// A log that was opened Fresh and whose first base never came may have left segments.
		if p, err := readSmall(ld.fs, join(ld.dir, sidecarName(ld.name)), 64<<20); err == nil {
			sc, err := parseSidecar(p)
			if err != nil {
				sc = &sidecar{}
			}
			for _, e := range sc.known {
				if sc.detached {
					ld.meta.orphans = append(ld.meta.orphans, e)
				} else if e.typ == typeBase || e.length > 0 {
					return fmt.Errorf("aof: %s holds an AOF but its manifest %s is missing. Restore it from a backup, or move the directory "+
						"away to start without", ld.dir, manifestName(ld.name))
				}
			}
		}
		return ld.upgrade()
	case err != nil:
		return fmt.Errorf("aof: cannot read the manifest: %w", err)
	}
	m, err := parseManifest(p)
	if err != nil {
		return fmt.Errorf("aof: %s: %w", join(ld.dir, manifestName(ld.name)), err)
	}
	*ld.meta = *m
	m = ld.meta
	ld.rec.Existed = true
	if m.base != nil && m.base.name == ld.name && !ld.readOnly {
		if err := ld.finishUpgrade(); err != nil {
			return err
		}
	}
	side := join(ld.dir, sidecarName(ld.name))
	p, err = readSmall(ld.fs, side, 64<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var sc *sidecar
	if err == nil {
		sc, err = parseSidecar(p)
	}
	if err != nil {
		return fmt.Errorf("aof: %s: %w. Restore it from a backup, or rebuild it with: tidemark-aof repair %s", side, err, ld.dir)
	}
	known := sc.known
	m.id = sc.id
	adopt := func(e *fileEntry) {
		if k := known[e.name]; k != nil && (k.typ == typeBase) == (e.typ == typeBase) {
			k.name, k.seq, k.typ = e.name, e.seq, e.typ
			*e = *k
			delete(known, e.name)
		}
	}
	for _, e := range m.incr {
		adopt(e)
	}
	for _, e := range m.hist {
		adopt(e)
	}
	if m.base != nil {
		adopt(m.base)
		if m.base.id != "" {
			m.id = m.base.id
		}
	}
	m.ancestors = sc.ancestors[m.id]
	for _, e := range known { // registered or replaced, but the manifest never said so, or no longer does
		m.orphans = append(m.orphans, e)
	}
	return nil
}

// upgrade takes over the single file of Redis 6 and earlier, in the steps of Redis 7.
func (ld *loader) upgrade() error {
	old := join(filepath.Dir(filepath.Clean(ld.dir)), ld.name)
	f, err := ld.fs.OpenRead(old)
	if err != nil {
		return nil // there is none: a first start
	}
	f.Close()
	ld.rec.Existed = true
	m := ld.meta
	m.base = &fileEntry{name: ld.name, seq: 1, typ: typeBase, start: unknownOffset}
	m.maxBase = 1
	if ld.readOnly {
		return nil
	}
	if err := replaceFile(ld.fs, ld.dir, manifestName(ld.name), m.manifest()); err != nil {
		return err
	}
	return ld.finishUpgrade()
}

func (ld *loader) finishUpgrade() error {
	if f, err := ld.fs.OpenRead(join(ld.dir, ld.name)); err == nil {
		return f.Close()
	}
	parent := filepath.Dir(filepath.Clean(ld.dir))
	if err := ld.fs.Rename(join(parent, ld.name), join(ld.dir, ld.name)); err != nil {
		return fmt.Errorf("aof: cannot move the old append only file into %s: %w", ld.dir, err)
	}
	if err := ld.fs.SyncDir(ld.dir); err != nil {
		return err
	}
	if err := ld.fs.SyncDir(parent); err != nil {
		return err
	}
	ld.o.Logf('*', "Successfully migrated an old-style AOF configuration (%s) into the AOF directory (%s).", ld.name, ld.dir)
	return nil
}

// load replays base and segments.
func (ld *loader) load() error {
	m := ld.meta
	if m.base != nil {
		if err := ld.loadBase(len(m.incr) == 0); err != nil {
			return err
		}
	}
	if err := ld.findForeign(); err != nil {
		return err
	}
	for i := 0; i < len(m.incr); i++ {
		end, err := ld.loadIncr(i)
		if err != nil {
			return err
		}
		if end { // what follows is behind a torn tail
			m.orphans = append(m.orphans, m.incr[i+1:]...)
			m.incr = m.incr[:i+1]
			ld.changed = true
		}
	}
	ld.adoptHistory()
	return nil
}

// findForeign finds the segments that were prepared by us and then written by another server: a process that was killed leaves one listed,
// and redis-server appends to the last file of the manifest.
func (ld *loader) findForeign() error {
	for _, e := range ld.meta.incr {
		if e.state != stateActive {
			continue
		}
		f, err := ld.fs.OpenRead(join(ld.dir, e.name))
		if err != nil {
			return fmt.Errorf("aof: a file of the manifest cannot be read: %w", err)
		}
		size, err := f.Size()
		if err == nil {
			var theirs bool
			if theirs, err = wentOn(f, 0, size); theirs {
				e.state, e.epoch, ld.changed = stateForeign, 0, true
			}
		}
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// foreignBehind reports whether files of another server follow m.incr[i].
func (ld *loader) foreignBehind(i int) bool {
	return slices.ContainsFunc(ld.meta.incr[i+1:], func(e *fileEntry) bool { return e.state == stateForeign || e.state == stateLoaded })
}

func (ld *loader) loadBase(last bool) error {
	b := ld.meta.base
	path := join(ld.dir, b.name)
	f, err := ld.fs.OpenRead(path)
	if err != nil {
		return fmt.Errorf("aof: the base file of the manifest cannot be read: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	exact, known := b.start, b.start != unknownOffset
	if !known {
		ld.changed = true
		ld.rec.Foreign = ld.rec.Foreign || size > 0
		if len(ld.meta.incr) > 0 {
			exact, known = ld.firstOffset(ld.meta.incr[0])
		}
	}
	b.length = size
	if err := ld.loadBaseFile(b, f, size, last); err != nil {
		return err
	}
	if known {
		ld.off = exact
	}
	ld.known = known
	b.start = ld.off
	if b.db > 0 {
		if err := ld.apply(path, selectFor(b.db), NotLogged); err != nil {
			return err
		}
	}
	ld.seen = append(ld.seen, FileInfo{Name: b.name, Type: "base", State: "base", Seq: b.seq, Start: b.start, End: b.start, Bytes: b.length,
		Size: size, DB: b.db})
	return nil
}

// loadBaseFile replays the base. Commands in it count as log bytes from offset 0 on: where the base is exact, if that is
// known, replaces the count afterwards.
func (ld *loader) loadBaseFile(b *fileEntry, f File, size int64, last bool) error {
	path := join(ld.dir, b.name)
	var magic [5]byte
	if n, _ := f.ReadAt(magic[:], 0); n == 5 && string(magic[:]) == "REDIS" {
		if ld.r == nil {
			return nil
		}
		tail, ok := ld.r.(RDBLoader)
		if !ok {
			return ld.r.LoadBase(path)
		}
		n, err := tail.LoadRDB(path)
		if err != nil || n >= size {
			return err
		}
		return ld.loadForeign(b, f, n, size, last)
	}
	return ld.loadForeign(b, f, 0, size, last)
}

// firstOffset says where a segment of ours begins in the log.
func (ld *loader) firstOffset(e *fileEntry) (int64, bool) {
	if e.state == stateClosed && e.start != unknownOffset {
		return e.start, true
	}
	h, ok := ld.firstHeader(e)
	return h.offset, ok
}

// firstHeader reads the header of the batch at the front of a segment, if that batch is valid.
func (ld *loader) firstHeader(e *fileEntry) (header, bool) {
	f, err := ld.fs.OpenRead(join(ld.dir, e.name))
	if err != nil {
		return header{}, false
	}
	defer f.Close()
	h, _, err := readBatch(f, 0, nil)
	if err != nil || e.state != stateForeign && h.epoch != e.epoch {
		return header{}, false
	}
	return h, true
}

// loadIncr replays m.incr[i]. end: the log ends in this file.
func (ld *loader) loadIncr(i int) (end bool, err error) {
	m := ld.meta
	e := m.incr[i]
	path := join(ld.dir, e.name)
	f, err := ld.fs.Open(path)
	if err != nil && ld.readOnly {
		f, err = ld.fs.OpenRead(path)
	}
	if err != nil {
		return false, fmt.Errorf("aof: a file of the manifest cannot be read: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return false, err
	}
	last := i == len(m.incr)-1
	if e.state == stateForeign {
		if h, _, err := readBatch(f, 0, nil); err == nil { // ours, and the sidecar is lost
			e.state, e.epoch = stateActive, h.epoch
			return ld.loadOurs(i, f, size, true)
		}
	}
	if e.state == stateForeign || e.state == stateLoaded {
		if e.state == stateForeign || size != e.length {
			ld.rec.Foreign = ld.rec.Foreign || size > 0
			ld.changed = true
		}
		from := ld.off
		e.start = from
		if err := ld.loadForeign(e, f, 0, size, last); err != nil {
			return false, err
		}
		ld.seen = append(ld.seen, FileInfo{Name: e.name, Type: "incr", State: e.state.String(), Seq: e.seq, Start: from, End: ld.off,
			Bytes: e.length, Size: size})
		e.state = stateLoaded
		return false, nil
	}
	return ld.loadOurs(i, f, size, false)
}

// loadOurs replays a segment that was written by us. tail: what follows the batches may be another server's.
func (ld *loader) loadOurs(i int, f File, size int64, tail bool) (end bool, err error) {
	m := ld.meta
	e := m.incr[i]
	path := join(ld.dir, e.name)
	if off, ok := ld.firstOffset(e); ok && !ld.known {
		ld.off, ld.known = off, true
	}
	// A later segment that begins before this one's end repeats what had failed to be synced here.
	limit := int64(maxOffset)
	for _, later := range m.incr[i+1:] {
		if off, ok := ld.firstOffset(later); ok {
			limit = min(limit, off)
		}
	}
	from := ld.off
	bound := size
	if e.state == stateClosed {
		bound = min(size, e.length)
		if e.end <= limit { // nothing in it is superseded: it must be valid to its last byte
			limit = maxOffset
		}
	}
	w := walker{file: f, size: bound, epoch: e.epoch, off: ld.off, limit: limit}
	if err := w.run(func(p []byte, off int64) error { return ld.apply(path, p, off) }); err != nil {
		return false, err
	}
	ld.off = w.off
	ld.known = true
	ld.rec.Payload += w.off - from
	ld.seen = append(ld.seen, FileInfo{Name: e.name, Type: "incr", State: e.state.String(), Seq: e.seq, Epoch: e.epoch, Start: from,
		End: w.off, Bytes: w.pos, Size: size, Batches: w.batches, FirstMS: w.firstMS, LastMS: w.unixMS})
	e.start = from
	damage := func(why string) error {
		return &DamageError{File: path, Pos: w.pos, Offset: w.off, Why: why, Dir: ld.dir}
	}
	if e.state == stateClosed {
		e.index = w.index
		switch {
		case w.off >= limit:
			return false, nil
		case w.pos < e.length:
			return false, damage(w.why)
		case w.chain != e.chain:
			return false, damage(fmt.Sprintf("the checksum over its batches is %08x, recorded was %08x", w.chain, e.chain))
		}
		if size > e.length {
			return false, ld.loadTail(e, f, size, i == len(m.incr)-1)
		}
		return false, nil
	}
	// The segment was being written when the log was last open.
	goneOn, err := wentOn(f, w.pos, size)
	if err != nil {
		return false, err
	}
	if tail && w.pos < size && !goneOn {
		var b [1]byte
		n, _ := f.ReadAt(b[:], w.pos)
		goneOn = n == 1 && (b[0] == '*' || b[0] == '#') && findHeader(b[:], e.epoch) < 0
	}
	if goneOn {
		e.state, e.length, e.chain, e.end = stateClosed, w.pos, w.chain, w.off
		return false, ld.loadTail(e, f, size, i == len(m.incr)-1)
	}
	if w.off < limit {
		proof, torn, err := ld.evidence(i, f, &w, size)
		if err != nil {
			return false, err
		}
		if proof != "" {
			if name := ld.headDamaged(i, w.off); name != "" {
				return false, &DamageError{File: join(ld.dir, name), Offset: w.off, Why: "its first batch is not valid; " + proof, Dir: ld.dir}
			}
			return false, damage(w.why + "; " + proof)
		}
		if torn > 0 {
			if !ld.o.LoadTruncated {
				return false, fmt.Errorf("aof: Unexpected end of file reading the append only file %s at byte %d (log offset %d): a torn batch of a "+
					"crash. You can: 1) Make a backup of your AOF file, then use tidemark-aof repair %s. 2) Alternatively you can set the "+
					"'aof-load-truncated' configuration option to yes and restart the server", path, w.pos, w.off, ld.dir)
			}
			ld.rec.Truncated += torn
			ld.o.Logf('#', "aof: truncating %s at byte %d (log offset %d): %d bytes were not yet on the disk when the power went",
				path, w.pos, w.off, torn)
		}
		end = !ld.foreignBehind(i)
	}
	ld.changed = true
	e.state, e.length, e.chain, e.end, e.index = stateClosed, w.pos, w.chain, w.off, w.index
	if ld.readOnly {
		return end, nil
	}
	if err := redirty(f, &w); err != nil {
		return false, fmt.Errorf("aof: cannot rewrite the end of %s: %w", path, err)
	}
	if err := f.Truncate(w.pos); err != nil {
		return false, fmt.Errorf("aof: cannot trim %s: %w", path, err)
	}
	if err := f.Datasync(); err != nil {
		return false, fmt.Errorf("aof: cannot sync %s: %w", path, err)
	}
	return end, nil
}

// redirty writes what is not proven to be on the disk once more, in place. It may have been read from pages that the kernel
// holds for clean because an fdatasync of the process before this one failed: syncing those again would prove nothing.
func redirty(f File, w *walker) error {
	from := int64(0)
	for _, p := range w.index {
		if p.offset <= w.proof {
			from = p.pos
		}
	}
	buf := make([]byte, min(chunkBytes, w.pos-from))
	for from < w.pos {
		n, err := readFull(f, buf[:min(int64(len(buf)), w.pos-from)], from)
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		if _, err := f.WriteAt(buf[:n], from); err != nil {
			return err
		}
		from += int64(n)
	}
	return nil
}

// headDamaged names the segment behind m.incr[i] if its first header, valid or not, continues the log at off.
func (ld *loader) headDamaged(i int, off int64) string {
	if i+1 >= len(ld.meta.incr) {
		return ""
	}
	e := ld.meta.incr[i+1]
	f, err := ld.fs.OpenRead(join(ld.dir, e.name))
	if err != nil {
		return ""
	}
	defer f.Close()
	var head [headerBytes]byte
	if n, err := readFull(f, head[:], 0); err != nil || n < headerBytes {
		return ""
	}
	if h, ok := parseHeader(head[:]); !ok || h.epoch != e.epoch || h.offset != off {
		return ""
	}
	return e.name
}

// evidence looks behind the end that w found for proof that more had been durable, and for the torn bytes.
func (ld *loader) evidence(i int, f File, w *walker, size int64) (proof string, torn int64, err error) {
	m := ld.meta
	last := w.pos
	judge := func(name string) func(h header, pos, end int64) bool {
		return func(h header, pos, end int64) bool {
			if h.synced > w.off {
				proof = fmt.Sprintf("a batch at byte %d of %s proves that the log was on the disk up to offset %d", pos, name, h.synced)
				return false
			}
			if name == m.incr[i].name {
				last = max(last, end)
			} else {
				torn += end - pos
			}
			return true
		}
	}
	if err := scanHeaders(f, w.pos, size, w.epoch, judge(m.incr[i].name)); err != nil {
		return "", 0, err
	}
	for _, later := range m.incr[i+1:] {
		if proof != "" {
			break
		}
		switch later.state {
		case stateClosed:
			if later.start > w.off || later.end > w.off {
				return fmt.Sprintf("the sealed segment %s begins at offset %d", later.name, later.start), 0, nil
			}
		case stateActive:
			lf, err := ld.fs.OpenRead(join(ld.dir, later.name))
			if err != nil {
				return "", 0, fmt.Errorf("aof: a file of the manifest cannot be read: %w", err)
			}
			n, err := lf.Size()
			if err == nil {
				err = scanHeaders(lf, 0, n, later.epoch, judge(later.name))
			}
			lf.Close()
			if err != nil {
				return "", 0, err
			}
		default:
			// Another server that went on from here read this segment to its last byte.
			if w.pos < size {
				return fmt.Sprintf("%s follows it in the manifest", later.name), 0, nil
			}
		}
	}
	torn += last - w.pos
	if torn == 0 && w.partial > 0 {
		torn = w.partial
	}
	return proof, torn, nil
}

// loadTail replays what another server appended to a segment of ours.
func (ld *loader) loadTail(e *fileEntry, f File, size int64, last bool) error {
	if size != e.length+e.tail {
		ld.rec.Foreign = true
		ld.changed = true
	}
	cut := ld.rec.Truncated
	if err := ld.loadForeign(e, f, e.length, size, last); err != nil {
		return err
	}
	e.tail = size - e.length - (ld.rec.Truncated - cut)
	return nil
}

func (ld *loader) apply(path string, p []byte, off int64) error {
	if ld.r == nil {
		return nil
	}
	n, err := ld.r.Apply(p, off)
	if off == NotLogged {
		if err == nil && n != len(p) {
			err = errors.New("it is not a whole command")
		}
		if err != nil {
			return fmt.Errorf("aof: the database in which %s begins: %w", path, err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("aof: %s at log offset %d: %w", path, off+int64(n), err)
	}
	if n != len(p) {
		return fmt.Errorf("aof: %s at log offset %d: the batch does not end with a whole command", path, off+int64(n))
	}
	return nil
}

// sweep makes the directory agree with what was loaded: names in use, spares, leftovers of interrupted work.
func (ld *loader) sweep() error {
	m := ld.meta
	names, err := ld.fs.ReadDir(ld.dir)
	if err != nil {
		return err
	}
	m.orphans = append(m.orphans, m.hist...) // a rewrite had replaced them
	m.hist = nil
	inUse := map[string]bool{}
	for _, e := range append(m.incr[:len(m.incr):len(m.incr)], m.kept...) {
		inUse[e.name] = true
		e.kept = e.typ == typeHistory
	}
	if m.base != nil {
		inUse[m.base.name] = true
	}
	gone := map[string]bool{}
	reusable := map[string]bool{} // segments that were prepared or in use when the process ended
	for _, e := range m.old {
		inUse[e.name] = true
	}
	for _, e := range m.orphans {
		if !inUse[e.name] {
			gone[e.name] = true
			reusable[e.name] = e.state == stateActive
		}
	}
	// Anything a crash may have left unlisted keeps its number, and so does what is listed but gone.
	listed := slices.Clone(names)
	for _, e := range slices.Concat(m.orphans, m.old) {
		listed = append(listed, e.name)
	}
	for _, name := range listed {
		if n, ok := numbered(name, ld.name+".", ".incr.aof"); ok {
			m.maxIncr = max(m.maxIncr, n)
		}
		if n, ok := numbered(name, ld.name+".", ".base.rdb"); ok {
			m.maxBase = max(m.maxBase, n)
		}
		if n, ok := numbered(name, sparePrefix, ""); ok {
			m.spareSeq = max(m.spareSeq, n)
			m.spares = append(m.spares, name)
		}
	}
	slices.Sort(m.spares)
	m.orphans = nil
	ld.changed = ld.changed || len(gone) > 0
	if ld.changed {
		// The manifest forgets first, then the files go, then the sidecar forgets: a crash in between leaves nothing unknown.
		if p := m.manifest(); !m.detached && len(p) > 0 {
			if err := replaceFile(ld.fs, ld.dir, manifestName(ld.name), p); err != nil {
				return err
			}
		}
	}
	for _, name := range names {
		temp := strings.HasPrefix(name, "temp-"+ld.name) || strings.HasPrefix(name, rewritePrefix)
		if temp || gone[name] {
			if reusable[name] && len(m.spares) < keepSpares+1 {
				spare := m.spareName()
				if err := ld.fs.Rename(join(ld.dir, name), join(ld.dir, spare)); err != nil {
					return err
				}
				m.spares = append(m.spares, spare)
				continue
			}
			if err := ld.fs.Remove(join(ld.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	if ld.changed {
		return replaceFile(ld.fs, ld.dir, sidecarName(ld.name), m.sidecar())
	}
	return nil
}

// numbered takes the number out of a name.
func numbered(name, prefix, suffix string) (int64, bool) {
	if !strings.HasPrefix(name, prefix) || !strings.HasSuffix(name, suffix) || len(name) <= len(prefix)+len(suffix) {
		return 0, false
	}
	n, err := strconv.ParseInt(name[len(prefix):len(name)-len(suffix)], 10, 64)
	return n, err == nil && n > 0
}
