package shipper

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// bulkBytes is how much a bulk goroutine reads from the log at a time.
const bulkBytes = 1 << 20

var (
	errLogSwitched = errors.New("the log was switched while it was being read")
	errStuck       = errors.New("it took nothing for longer than repl-timeout")
	errHungUp      = errors.New("the replica hung up")
)

// bulkWriter writes to a replica's socket from a goroutine, through a duplicate of its descriptor, while the loop has nothing to write to
// it.
type bulkWriter struct {
	r  *replica
	fd int
}

func (r *replica) newBulk() (*bulkWriter, error) {
	fd, err := unix.FcntlInt(uintptr(r.conn.FD()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() {
		_ = unix.Close(fd)
		return nil, errHungUp
	}
	r.bulk = fd
	return &bulkWriter{r, fd}, nil
}

func (w *bulkWriter) close() {
	w.r.mu.Lock()
	w.r.bulk = -1
	w.r.mu.Unlock()
	_ = unix.Close(w.fd)
}

// try writes as much as the socket takes now.
func (w *bulkWriter) try(p []byte) (n int, err error) {
	for {
		n, err = unix.SendmsgN(w.fd, p, nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
		switch err {
		case nil:
			return n, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, err
		}
	}
}

// write writes all of p, for as long as the replica gives signs of life.
func (w *bulkWriter) write(p []byte) error {
	since := time.Now()
	for len(p) > 0 {
		n, err := w.try(p)
		if err != nil {
			return err
		}
		if p = p[n:]; n > 0 {
			since = time.Now()
			continue
		}
		if err := w.await(since); err != nil {
			return err
		}
	}
	return nil
}

// await waits for room in the socket, at most a second. since is when it last took something: a replica that neither takes
// anything nor says anything for repl-timeout is given up.
func (w *bulkWriter) await(since time.Time) error {
	fds := [1]unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLOUT}}
	if _, err := unix.Poll(fds[:], 1000); err != nil && err != unix.EINTR {
		return err
	}
	if fds[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 {
		return errHungUp
	}
	limit := w.r.sh.timeout()
	if fds[0].Revents == 0 && time.Since(since) > limit && w.r.lag(time.Now()) > limit {
		return errStuck
	}
	return nil
}
