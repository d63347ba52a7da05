// Package serverlog writes the server's log in Redis's line format:
//
//	pid:role dd Mon yyyy hh:mm:ss.mmm level message
//	4414:M 23 Nov 2026 10:54:33.737 * Ready to accept connections
//
// role is M for a primary, S for a replica, C for a process that is still starting and X for a sentinel; level is one of
// '.', '-', '*', '#'. Times are local, as in Redis.
//
// Whoever logs never waits for the file. An event loop may log while the disk stands still, and its turns are
// bounded (design: no connection waits for another's disk), so Log only formats into memory and one goroutine writes. The
// memory is bounded: what does not fit is dropped and counted, and the count is the next line written. Flush
// waits for everything logged so far; a process that is about to end calls Close. Levels below the configured one
// cost an atomic load.
//
// The rejected alternative is Redis's own way, opening and closing the file for every line: simple, and it survives
// rotation, but it is three system calls a line on the thread that serves. Rotation is noticed here as well: before each
// write the file's name is looked up, and when it is gone or names another file it is opened anew.
package serverlog

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Level is a line's importance. The order is that of Redis's loglevel values.
type Level uint8

// The levels.
const (
	Debug Level = iota
	Verbose
	Notice
	Warning
	Nothing // no line is of this level: as a Logger's, it turns the log off
)

// Marks are the characters that stand for the levels in a line, by Level.
const Marks = ".-*#"

// The roles a line can carry.
const (
	RolePrimary byte = 'M'
	RoleReplica byte = 'S'
	RoleStarter byte = 'C'
)

// maxQueue is how many bytes of lines wait for the writer before lines are dropped.
const maxQueue = 1 << 20

// maxMessage is where a message is cut, as in Redis.
const maxMessage = 1024

// Options configures a Logger.
type Options struct {
	// Path of the log file, opened for appending. Empty: standard output.
	Path  string
	Level Level
	// Role is RolePrimary unless set.
	Role byte
	// Syslog, if set, gets every line's level and message as well. It runs on the logger's goroutine.
	Syslog func(level Level, message string)
	// Now and Output are for tests; nil takes the clock and standard output.
	Now    func() time.Time
	Output io.Writer
}

// Logger is safe for concurrent use.
type Logger struct {
	level atomic.Uint32
	role  atomic.Uint32
	pid   string
	now   func() time.Time
	path  string
	out   io.Writer // when path is empty
	sys   func(Level, string)

	mu      sync.Mutex
	work    sync.Cond // the writer waits for queue or closed
	idle    sync.Cond // Flush waits for written
	queue   []byte
	sysq    []sysLine
	dropped int64
	queued  int64 // lines ever put in the queue, drop notices not counted
	written int64 // of those, how many the writer is done with
	closed  bool
	done    chan struct{}

	// the writer's own
	file    *os.File
	spare   []byte
	failing bool // the last attempt to write failed and standard error was told
}

type sysLine struct {
	level   Level
	message string
}

// New returns a logger and starts its writer. It fails when the log file cannot be opened.
func New(o Options) (*Logger, error) {
	l := &Logger{
		pid: strconv.Itoa(os.Getpid()), now: o.Now, path: o.Path, out: o.Output, sys: o.Syslog,
		done: make(chan struct{}),
	}
	if l.now == nil {
		l.now = time.Now
	}
	if l.out == nil {
		l.out = os.Stdout
	}
	if o.Role == 0 {
		o.Role = RolePrimary
	}
	l.level.Store(uint32(o.Level))
	l.role.Store(uint32(o.Role))
	l.work.L, l.idle.L = &l.mu, &l.mu
	if l.path != "" {
		f, err := open(l.path)
		if err != nil {
			return nil, err
		}
		l.file = f
	}
	go l.write()
	return l, nil
}

func open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
}

// SetLevel changes what is logged from now on.
func (l *Logger) SetLevel(v Level) { l.level.Store(uint32(v)) }

// SetRole changes the role character of lines from now on.
func (l *Logger) SetRole(r byte) { l.role.Store(uint32(r)) }

// Enabled reports whether lines of level v are written: a caller can save itself the work of making one.
func (l *Logger) Enabled(v Level) bool { return uint32(v) >= l.level.Load() }

// Debugf logs what only a developer wants to see.
func (l *Logger) Debugf(format string, args ...any) { l.Log(Debug, format, args...) }

// Verbosef logs what is rarely useful.
func (l *Logger) Verbosef(format string, args ...any) { l.Log(Verbose, format, args...) }

// Noticef logs what an operator wants to know in production.
func (l *Logger) Noticef(format string, args ...any) { l.Log(Notice, format, args...) }

// Warningf logs what an operator must know.
func (l *Logger) Warningf(format string, args ...any) { l.Log(Warning, format, args...) }

// Logf logs with the level given by its character, one of Marks: the signature that packages below the engine take.
func (l *Logger) Logf(level byte, format string, args ...any) {
	v := strings.IndexByte(Marks, level)
	if v < 0 {
		v = int(Warning)
	}
	l.Log(Level(v), format, args...)
}

// Log writes one line. It never waits for the file; see the package comment for what happens when the file
// cannot follow. Line ends inside the message become spaces, so that a line stays a line whatever a client sent.
func (l *Logger) Log(level Level, format string, args ...any) {
	if !l.Enabled(level) {
		return
	}
	msg := fmt.Sprintf(format, args...)
	if len(msg) > maxMessage {
		msg = msg[:maxMessage]
	}
	if strings.ContainsAny(msg, "\r\n") {
		msg = strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ").Replace(msg)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if len(l.queue) > maxQueue {
		l.dropped++
		return
	}
	l.reportDroppedLocked()
	l.queue = l.appendLine(l.queue, level, msg)
	if l.sys != nil {
		l.sysq = append(l.sysq, sysLine{level, msg})
	}
	l.queued++
	l.work.Signal()
}

func (l *Logger) reportDroppedLocked() {
	if l.dropped == 0 {
		return
	}
	msg := fmt.Sprintf("The log could not be written fast enough: %d lines were dropped here.", l.dropped)
	l.dropped = 0
	l.queue = l.appendLine(l.queue, Warning, msg)
}

func (l *Logger) appendLine(b []byte, level Level, msg string) []byte {
	b = append(b, l.pid...)
	b = append(b, ':', byte(l.role.Load()), ' ')
	b = l.now().AppendFormat(b, "02 Jan 2006 15:04:05.000")
	b = append(b, ' ', Marks[level], ' ')
	b = append(b, msg...)
	return append(b, '\n')
}

// Flush returns when everything logged before the call has been handed to the file (or could not be).
func (l *Logger) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for target := l.queued; l.written < target; {
		l.idle.Wait()
	}
}

// Close flushes and ends the writer. Lines logged afterwards are lost.
func (l *Logger) Close() {
	l.mu.Lock()
	l.closed = true
	l.work.Signal()
	l.mu.Unlock()
	<-l.done
}

func (l *Logger) write() {
	defer close(l.done)
	l.mu.Lock()
	for {
		for len(l.queue) == 0 && !l.closed {
			l.work.Wait()
		}
		l.reportDroppedLocked()
		batch, sys, upto := l.queue, l.sysq, l.queued
		if len(batch) == 0 {
			break
		}
		l.queue, l.sysq = l.spare[:0], nil
		l.mu.Unlock()

		l.put(batch)
		for _, s := range sys {
			l.sys(s.level, s.message)
		}
		if cap(batch) > 64<<10 {
			batch = nil // one burst must not keep a megabyte
		}
		l.spare = batch

		l.mu.Lock()
		l.written = upto
		l.idle.Broadcast()
	}
	l.mu.Unlock()
	if l.file != nil {
		l.file.Close()
	}
}

// put writes a batch. A log that cannot be written must not stop the server; standard error hears of it once per outage.
func (l *Logger) put(batch []byte) {
	err := l.tryPut(batch)
	if err != nil && !l.failing {
		fmt.Fprintf(os.Stderr, "tidemark: the log cannot be written (%v); lines are lost until it can.\n", err)
	}
	l.failing = err != nil
}

func (l *Logger) tryPut(batch []byte) error {
	if l.path == "" {
		_, err := l.out.Write(batch)
		return err
	}
	if l.file == nil || moved(l.file, l.path) {
		f, err := open(l.path)
		if err != nil {
			if l.file == nil {
				return err
			}
			// The directory may be out of reach for a moment: better in the old file than nowhere.
			_, err = l.file.Write(batch)
			return err
		}
		if l.file != nil {
			l.file.Close()
		}
		l.file = f
	}
	_, err := l.file.Write(batch)
	return err
}

// moved reports whether path no longer names f: somebody rotated the log.
func moved(f *os.File, path string) bool {
	have, err := f.Stat()
	if err != nil {
		return true
	}
	want, err := os.Stat(path)
	if err != nil {
		return true
	}
	a, ok1 := have.Sys().(*syscall.Stat_t)
	b, ok2 := want.Sys().(*syscall.Stat_t)
	return !ok1 || !ok2 || a.Ino != b.Ino || a.Dev != b.Dev
}
