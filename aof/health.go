package aof

import "fmt"

// healthError is why writes must be refused.
type healthError struct {
	kind  error // ErrFull or ErrFailed
	file  string
	off   int64
	cause error
}

func (e *healthError) Error() string {
	return fmt.Sprintf("%v: %s at log offset %d: %v", e.kind, e.file, e.off, e.cause)
}

// Unwrap gives the kind and the cause to errors.Is and errors.As.
func (e *healthError) Unwrap() []error { return []error{e.kind, e.cause} }

// Err is nil while healthy; ErrFull or ErrFailed (wrapped with file, offset, cause) while writes must be refused.
func (l *Log) Err() error {
	if h := l.health.Load(); h != nil {
		return h
	}
	return nil
}

func (l *Log) setHealth(kind, cause error) {
	l.segMu.Lock()
	name := ""
	if l.active != nil {
		name = l.path(l.active.entry.name)
	}
	l.segMu.Unlock()
	old := l.health.Swap(&healthError{kind: kind, file: name, off: l.appended.Load(), cause: cause})
	if old == nil || old.kind != kind {
		l.logf('#', "%v", l.Err())
		l.notifyAll()
	}
}

func (l *Log) setHealthy(format string, args ...any) {
	if l.health.Swap(nil) != nil {
		l.logf('*', format, args...)
		l.notifyAll()
	}
}

// setFull stops writing until the syncer finds room.
func (l *Log) setFull(cause error) {
	l.isFull.Store(true)
	l.setHealth(ErrFull, cause)
	wake(l.syncer)
	wake(l.cutBy)
}

// setMustMove stops writing and syncing until the syncer has put what is not durable into a fresh segment. Retrying the
// fdatasync would prove nothing: after an error the kernel marks the pages clean, and the next call succeeds.
func (l *Log) setMustMove(cause error) {
	if !l.mustMove.Swap(true) {
		l.logf('#', "aof: write error, saving what is not on disk to a fresh segment: %v", cause)
		l.moveCause.Store(&cause)
		wake(l.syncer)
		wake(l.cutBy)
	}
}
