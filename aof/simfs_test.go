package aof

import (
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"unsafe"
)

// simFS keeps files in memory and knows what a power loss leaves of them. Every file has three contents:
//
//	cur    what reads and mappings see (the page cache)
//	clean  what the kernel believes to be on the disk: equal sectors are not dirty
//	disk   what is on the disk
//
// fdatasync writes the sectors in which cur and clean differ. A failed one marks them clean all the same, as Linux does. At
// a crash every sector in which cur and disk differ is on the disk or not, or torn in the middle. Changes of directories
// since the last SyncDir happened or not, each by itself.
type simFS struct {
	mu       sync.Mutex
	rng      *rand.Rand
	names    map[string]*inode
	durable  map[string]*inode
	pending  []dirOp
	ops      int
	crashAt  int  // the operation at which the power goes; 0: never
	torn     bool // sectors may be torn
	noDirect bool // no writes past the page cache
	script   func(op, name string) error
}

type dirOp struct {
	kind     byte // 'c'reate, 'r'ename, 'd'elete
	from, to string
	node     *inode
}

type inode struct {
	cur, clean, disk []byte
	mapped           bool
}

const sector = 512

// powerLoss is what the simulation panics with.
type powerLoss struct{}

func newSimFS(rng *rand.Rand) *simFS {
	return &simFS{rng: rng, names: map[string]*inode{}, durable: map[string]*inode{}}
}

// step counts an operation that changes something, and is where the power goes and scripted errors come from.
func (s *simFS) step(op, name string) error {
	s.ops++
	if s.crashAt > 0 && s.ops >= s.crashAt {
		panic(powerLoss{})
	}
	if s.script != nil {
		return s.script(op, filepath.Base(name))
	}
	return nil
}

// crash gives the file system as the next start finds it.
func (s *simFS) crash() *simFS {
	n := newSimFS(s.rng)
	names := map[string]*inode{}
	for k, v := range s.durable {
		names[k] = v
	}
	for _, op := range s.pending {
		if s.rng.IntN(2) == 0 {
			op.apply(names)
		}
	}
	done := map[*inode]*inode{}
	keys := make([]string, 0, len(names))
	for k := range names {
		keys = append(keys, k)
	}
	sort.Strings(keys) // the same seed, the same crash
	for _, k := range keys {
		v := names[k]
		c := done[v]
		if c == nil {
			b := s.survivor(v)
			c = &inode{cur: b, clean: append([]byte(nil), b...), disk: append([]byte(nil), b...)}
			done[v] = c
		}
		n.names[k] = c
		n.durable[k] = c
	}
	n.torn, n.noDirect = s.torn, s.noDirect
	return n
}

func (s *simFS) survivor(v *inode) []byte {
	size := len(v.disk)
	if s.rng.IntN(2) == 0 {
		size = len(v.cur)
	}
	b := make([]byte, size)
	copy(b, v.disk)
	mode := s.rng.IntN(4) // none, all, or any subset
	for at := 0; at < min(size, len(v.cur)); at += sector {
		end := min(at+sector, size, len(v.cur))
		if mode == 0 || mode > 1 && s.rng.IntN(2) == 0 {
			continue
		}
		if s.torn && s.rng.IntN(8) == 0 {
			end = at + s.rng.IntN(end-at+1)
		}
		copy(b[at:end], v.cur[at:end])
	}
	return b
}

func (o dirOp) apply(names map[string]*inode) {
	switch o.kind {
	case 'c':
		names[o.to] = o.node
	case 'r':
		if names[o.from] == o.node {
			delete(names, o.from)
		}
		names[o.to] = o.node
	case 'd':
		if names[o.from] == o.node {
			delete(names, o.from)
		}
	}
}

func (s *simFS) change(o dirOp) {
	o.apply(s.names)
	s.pending = append(s.pending, o)
}

func (s *simFS) MkdirAll(string) error { return nil }

func (s *simFS) open(name string) (File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.names[name]
	if n == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &simFile{s: s, n: n, name: name}, nil
}

func (s *simFS) Open(name string) (File, error)     { return s.open(name) }
func (s *simFS) OpenRead(name string) (File, error) { return s.open(name) }

func (s *simFS) Create(name string) (File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.step("create", name); err != nil {
		return nil, err
	}
	n := s.names[name]
	if n == nil {
		n = &inode{}
		s.change(dirOp{kind: 'c', to: name, node: n})
	}
	n.cur = n.cur[:0]
	return &simFile{s: s, n: n, name: name}, nil
}

func (s *simFS) Rename(from, to string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.step("rename", to); err != nil {
		return err
	}
	n := s.names[from]
	if n == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	s.change(dirOp{kind: 'r', from: from, to: to, node: n})
	return nil
}

func (s *simFS) Remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.step("remove", name); err != nil {
		return err
	}
	n := s.names[name]
	if n == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	s.change(dirOp{kind: 'd', from: name, node: n})
	return nil
}

func (s *simFS) ReadDir(dir string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for k := range s.names {
		if filepath.Dir(k) == filepath.Clean(dir) {
			names = append(names, filepath.Base(k))
		}
	}
	sort.Strings(names)
	return names, nil
}

func (s *simFS) SyncDir(dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.step("syncdir", dir); err != nil {
		return err
	}
	for _, o := range s.pending {
		o.apply(s.durable)
	}
	s.pending = nil
	return nil
}

// OpenDirect: what is written so is in the disk's cache, which a power loss treats as it does the page cache.
func (s *simFS) OpenDirect(name string) (DirectFile, error) {
	if s.noDirect {
		return nil, errNoDirect
	}
	f, err := s.open(name)
	if err != nil {
		return nil, err
	}
	return &simDirect{f.(*simFile)}, nil
}

type simDirect struct{ *simFile }

func (f *simDirect) WriteBlocks(p []byte, off int64) error {
	if len(p)%directAlign != 0 || off%directAlign != 0 || uintptr(unsafe.Pointer(unsafe.SliceData(p)))%directAlign != 0 {
		panic("simulation: a direct write that is not aligned")
	}
	f.s.mu.Lock()
	size := int64(len(f.n.cur))
	f.s.mu.Unlock()
	if off+int64(len(p)) > size {
		panic("simulation: a direct write beyond the end of " + f.name)
	}
	_, err := f.WriteAt(p, off)
	return err
}

type simFile struct {
	s    *simFS
	n    *inode
	name string
}

func (f *simFile) ReadAt(p []byte, off int64) (int, error) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if off >= int64(len(f.n.cur)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.cur[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (n *inode) grow(size int64) {
	if size <= int64(len(n.cur)) {
		return
	}
	if size > int64(cap(n.cur)) {
		if n.mapped {
			panic("simulation: a mapped file outgrew its place")
		}
		c := make([]byte, len(n.cur), max(size, 2*int64(cap(n.cur))))
		copy(c, n.cur)
		n.cur = c
	}
	old := len(n.cur)
	n.cur = n.cur[:size]
	clear(n.cur[old:])
}

func (f *simFile) WriteAt(p []byte, off int64) (int, error) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if err := f.s.step("write", f.name); err != nil {
		k := f.s.rng.IntN(len(p) + 1) // part of it may have gone through
		f.n.grow(off + int64(k))
		copy(f.n.cur[off:], p[:k])
		return 0, err
	}
	f.n.grow(off + int64(len(p)))
	copy(f.n.cur[off:], p)
	// Written is dirty, also where the bytes are the same as before.
	for at := int(off) / sector * sector; at < len(f.n.clean) && at < int(off)+len(p); at += sector {
		f.n.clean[at] = ^f.n.cur[at]
	}
	return len(p), nil
}

func (f *simFile) WriteVec(v [][]byte, off int64) error {
	for _, p := range v {
		if _, err := f.WriteAt(p, off); err != nil {
			return err
		}
		off += int64(len(p))
	}
	return nil
}

func (f *simFile) Truncate(size int64) error {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if err := f.s.step("truncate", f.name); err != nil {
		return err
	}
	f.n.grow(size)
	f.n.cur = f.n.cur[:size]
	return nil
}

func (f *simFile) Allocate(size int64) error {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if err := f.s.step("allocate", f.name); err != nil {
		return err
	}
	f.n.grow(size)
	return nil
}

func (f *simFile) Datasync() error {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	err := f.s.step("sync", f.name)
	n := f.n
	size := len(n.cur)
	if err == nil || f.s.rng.IntN(2) == 0 {
		if len(n.disk) > size {
			n.disk = n.disk[:size]
		}
		n.disk = append(n.disk, make([]byte, size-len(n.disk))...)
	}
	for at := 0; at < size; at += sector {
		end := min(at+sector, size)
		if end <= len(n.clean) && string(n.cur[at:end]) == string(n.clean[at:end]) {
			continue
		}
		if err == nil || f.s.rng.IntN(2) == 0 {
			copy(n.disk[min(at, len(n.disk)):], n.cur[at:end])
		}
	}
	n.clean = append(n.clean[:0], n.cur...)
	return err
}

func (f *simFile) StartWriteback(off, n int64) error { return nil }

func (f *simFile) Size() (int64, error) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	return int64(len(f.n.cur)), nil
}

func (f *simFile) Map(size int64) (Mapping, error) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if size > int64(len(f.n.cur)) {
		return nil, fmt.Errorf("simulation: mapping beyond the end of %s", f.name)
	}
	// Room to grow without moving the bytes a mapping shows.
	c := make([]byte, len(f.n.cur), max(4*len(f.n.cur), 1<<18))
	copy(c, f.n.cur)
	f.n.cur = c
	f.n.mapped = true
	return &simMapping{f: f, size: size}, nil
}

func (f *simFile) Close() error { return nil }

type simMapping struct {
	f    *simFile
	size int64
}

func (m *simMapping) Bytes() []byte {
	if int64(len(m.f.n.cur)) < m.size {
		panic("SIGBUS: a store beyond the end of " + m.f.name)
	}
	return m.f.n.cur[:m.size]
}

func (m *simMapping) Populate(off, n int) error {
	m.f.s.mu.Lock()
	defer m.f.s.mu.Unlock()
	return m.f.s.step("populate", m.f.name)
}

func (m *simMapping) Unmap() error {
	m.f.n.mapped = false
	return nil
}

// list is for messages.
func (s *simFS) list() string {
	var b strings.Builder
	for k, v := range s.names {
		fmt.Fprintf(&b, "%s cur %d disk %d\n", k, len(v.cur), len(v.disk))
		if strings.HasSuffix(k, "manifest") || strings.HasSuffix(k, "tidemark") {
			fmt.Fprintf(&b, "%s\n", v.cur)
		}
		if strings.HasSuffix(k, "incr.aof") {
			for at := 0; at < len(v.cur); at++ {
				if i := strings.Index(string(v.cur[at:]), headerMagic); i < 0 {
					break
				} else {
					at += i
				}
				fmt.Fprintf(&b, "  %d %q\n", at, v.cur[at:min(at+80, len(v.cur))])
			}
		}
	}
	return b.String()
}

// put makes a durable file.
func (s *simFS) put(name, content string) {
	n := &inode{cur: []byte(content), clean: []byte(content), disk: []byte(content)}
	s.names[name] = n
	s.durable[name] = n
}
