package aof

// FS is the one seam to the file system, mappings included. The operating system's is OSFS; tests put one in that
// simulates power loss and scripted errors. Names are paths as given in Options.Dir.
type FS interface {
	MkdirAll(dir string) error
	// Open opens an existing file for reading and writing.
	Open(name string) (File, error)
	// OpenRead opens an existing file for reading.
	OpenRead(name string) (File, error)
	// Create makes or empties a file, opened for reading and writing.
	Create(name string) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	// ReadDir gives the names of the regular files in dir; an error satisfying errors.Is(err, fs.ErrNotExist) if dir is absent.
	ReadDir(dir string) ([]string, error)
	// SyncDir makes creations, renames and removals in dir durable.
	SyncDir(dir string) error
}

// DirLocker is an optional part of FS: it keeps two processes from writing to one directory.
type DirLocker interface {
	// LockDir takes the directory for this process, or returns ErrInUse at once. The lock ends with unlock or with the process.
	LockDir(dir string) (unlock func() error, err error)
}

// File is an open file. Calls may come from several goroutines.
type File interface {
	// ReadAt is io.ReaderAt's.
	ReadAt(p []byte, off int64) (int, error)
	// WriteAt writes all of p or returns an error.
	WriteAt(p []byte, off int64) (int, error)
	// WriteVec writes all of the slices one after the other or returns an error. v may be modified.
	WriteVec(v [][]byte, off int64) error
	Truncate(size int64) error
	// Allocate reserves blocks for [0, size) and extends the file to size. A file system without support may do nothing
	// but extend; the caller writes zeros afterwards in any case.
	Allocate(size int64) error
	// Datasync is fdatasync: the content and the metadata needed to read it back are on the disk.
	Datasync() error
	// StartWriteback begins writing [off, off+n) to the disk and waits until it is under way and earlier
	// write-back of that range has ended. It promises nothing.
	StartWriteback(off, n int64) error
	Size() (int64, error)
	// Map maps [0, size), shared and writable. Stores are seen by ReadAt and made durable by Datasync.
	Map(size int64) (Mapping, error)
	Close() error
}

// Mapping is a mapped file.
type Mapping interface {
	// Bytes is valid until Unmap.
	Bytes() []byte
	// Populate makes [off, off+n) writable without a page fault, inside a system call.
	Populate(off, n int) error
	Unmap() error
}
