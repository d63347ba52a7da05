package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tidemark/engine/config"
)

// Loading: the data are read, at the start (the listeners are open by then), by DEBUG RELOAD and LOADAOF, and when a replica takes over its primary's
// data. Every command that may not run meanwhile is answered -LOADING. The log is off, so nothing that a load does is logged.

// loading is the state of the load that runs, if one does.
type loading struct {
	mu    sync.Mutex // held from beginLoading to endLoading: one load at a time
	begun atomic.Int64
	total atomic.Int64 // bytes to be read; 0: unknown
	done  atomic.Int64 // bytes read

	// Of the RDB file that was loaded last.
	keysLoaded  atomic.Int64
	keysExpired atomic.Int64
	rdbUsedMem  atomic.Int64 // what the server that wrote it used

	// abandoned: no load goes on or begins; the server shuts down. gaveUp: one did for that reason, and what is in memory is not the data.
	abandoned, gaveUp atomic.Bool
	// first is closed when the load at the start has ended; err says how, and may be read then.
	first chan struct{}
	err   error
}

// ErrStopped is what WaitLoaded returns when the server was shut down before its data were loaded.
var ErrStopped = errors.New("shut down before the data were loaded")

const errLoading = "LOADING Redis is loading the dataset in memory"

// WaitLoaded returns when the data are loaded and clients are served. After any error but ErrStopped the server has ended.
func (s *Server) WaitLoaded() error {
	<-s.loading.first
	return s.loading.err
}

// Loading reports whether data are being loaded.
func (s *Server) Loading() bool { return s.store.Loading.Load() }

// beginLoading refuses clients' commands from now on, and returns when none that was let in before is running. total is how many bytes there are to
// be loaded. With an error the server shuts down; otherwise endLoading must follow. Not on an event loop's thread.
func (s *Server) beginLoading(total int64) error {
	s.loading.mu.Lock()
	return s.beginLoadingLocked(total)
}

// beginLoadingLocked is beginLoading with loading.mu held, which with an error it gives back.
func (s *Server) beginLoadingLocked(total int64) error {
	ld := &s.loading
	if err := ld.goesOn(); err != nil {
		ld.mu.Unlock()
		return err
	}
	ld.begun.Store(time.Now().Unix())
	ld.total.Store(total)
	ld.done.Store(0)
	ld.rdbUsedMem.Store(0)
	s.store.Loading.Store(true)
	s.setGate(gateLoading, true)
	s.awaitLoops()
	return nil
}

// goesOn gives an error when the load is to be given up.
func (ld *loading) goesOn() error {
	if ld.abandoned.Load() {
		ld.gaveUp.Store(true)
		return errGivenUp
	}
	return nil
}

// endLoading serves clients again.
func (s *Server) endLoading() {
	s.store.Loading.Store(false)
	s.store.LowerNextExpiry(s.earliestExpiry())
	s.setGate(gateLoading, false)
	s.net.Loops()[0].Post(s.armExpiry)
	s.saves.next.Store(0) // look at the end of the next turn
	s.loading.mu.Unlock()
}

// abandonLoading makes the load that runs give up and keeps others from beginning, or with false lets them again. It returns when no load runs.
func (s *Server) abandonLoading(on bool) {
	s.loading.abandoned.Store(on)
	s.loading.mu.Lock()
	s.loading.mu.Unlock() //lint:ignore SA2001 whoever had it has ended
}

// loadFirst loads the data when the server starts. On a goroutine of its own; loading.mu is held since before the first client could come: a SHUTDOWN
// must find that there are no data yet.
func (s *Server) loadFirst() {
	ld := &s.loading
	v := s.cfg.Load()
	err := s.beginLoadingLocked(s.bytesToLoad())
	if err == nil {
		err = s.load(v)
		if err == nil {
			s.configuring.Lock() // what CONFIG SET changed meanwhile holds for the log, too
			if now := s.cfg.Load(); now.AppendFsync != v.AppendFsync {
				s.setPolicy(now)
			}
			s.configuring.Unlock()
			// A link that this sets going may bring a snapshot at once: ReplaceData takes configuring and then waits for endLoading.
			err = s.ext.Loaded()
		}
		if err == nil {
			s.endLoading()
		} else {
			ld.mu.Unlock()
		}
	}
	switch {
	case err == nil:
		close(ld.first)
		return
	case ld.gaveUp.Load():
		ld.err = ErrStopped
	default:
		ld.err = err
		s.net.Shutdown(0)
		close(s.stop.done)
	}
	close(ld.first)
}

// bytesToLoad is about how much there is to be read at a start. A segment that is prepared counts in full, though most of it may be empty.
func (s *Server) bytesToLoad() (n int64) {
	v := s.cfg.Load()
	size := func(path string) {
		if info, err := os.Stat(path); err == nil {
			n += info.Size()
		}
	}
	if v.AppendOnly {
		// A pattern that the name of the file spoils, or a directory that cannot be read, is found out by whoever opens it.
		names, _ := filepath.Glob(filepath.Join(v.Dir, v.AppendDirname, "*"))
		for _, name := range names {
			base := filepath.Base(name)
			if strings.HasPrefix(base, v.AppendFilename+".") && (strings.HasSuffix(base, ".rdb") || strings.HasSuffix(base, ".aof")) {
				size(name)
			}
		}
		if n > 0 {
			return n
		}
	}
	size(s.rdbPath())
	return n
}

// infoLoading is what INFO persistence adds while data are loaded.
func (s *Server) infoLoading(t *InfoText) {
	ld := &s.loading
	begun, total, done := ld.begun.Load(), ld.total.Load(), ld.done.Load()
	if total == 0 {
		total = 1 // as Redis, which does not know the size of a stream either
	}
	perc := min(float64(done)/float64(total)*100, 100)
	eta := int64(1)
	if elapsed := time.Now().Unix() - begun; elapsed > 0 && done > 0 {
		eta = max(total-done, 0) * elapsed / done
	}
	t.Int("loading_start_time", begun)
	t.Int("loading_total_bytes", ld.total.Load())
	t.Int("loading_rdb_used_mem", ld.rdbUsedMem.Load())
	t.Int("loading_loaded_bytes", done)
	t.Float("loading_loaded_perc", perc, 2)
	t.Int("loading_eta_seconds", eta)
}

// keyDelay is key-load-delay or rdb-key-save-delay, which directive gives of the configuration in force, for so many keys: so many µs each,
// or when negative 1 µs for every so many. It ends early when stop is set or the directive becomes 0.
func (s *Server) keyDelay(directive func(*config.Values) int64, keys int64, stop *atomic.Bool) {
	delay := directive(s.cfg.Load())
	if delay == 0 || keys == 0 {
		return
	}
	left := time.Duration(keys*delay) * time.Microsecond
	if delay < 0 {
		left = time.Duration(keys/-delay) * time.Microsecond
	}
	for left > 0 && !stop.Load() && directive(s.cfg.Load()) != 0 {
		step := min(left, 20*time.Millisecond)
		time.Sleep(step)
		left -= step
	}
}

func keyLoadDelay(v *config.Values) int64 { return v.KeyLoadDelay }
func keySaveDelay(v *config.Values) int64 { return v.KeySaveDelay }
