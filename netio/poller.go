package netio

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poller reports readiness. It is all that a loop needs of epoll, so that
// another transport can take its place.
type poller interface {
	// add registers fd; readiness is reported once per change (edge), with tag.
	add(fd int, tag uint32) error
	// addLevel registers fd; readiness to read is reported for as long as it lasts.
	addLevel(fd int, tag uint32) error
	// wantWrite switches the report of readiness to write on or off.
	wantWrite(fd int, tag uint32, on bool) error
	remove(fd int)
	// wait fills ev. nanos 0 does not block, below 0 blocks without limit.
	wait(ev []event, nanos int64) int
	close()
}

// event is laid out as the kernel's epoll_event on this architecture.
type event = unix.EpollEvent

const (
	evRead   = unix.EPOLLIN
	evWrite  = unix.EPOLLOUT
	evEnd    = unix.EPOLLRDHUP               // the peer has closed its writing side
	evBroken = unix.EPOLLHUP | unix.EPOLLERR // nothing can be written any more
)

type epoll struct {
	fd     int
	noNano bool // the kernel lacks epoll_pwait2
}

func newEpoll() (*epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	return &epoll{fd: fd}, nil
}

func (p *epoll) ctl(op, fd int, events, tag uint32) error {
	ev := event{Events: events, Fd: int32(fd), Pad: int32(tag)}
	_, _, e := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(p.fd), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	if e != 0 {
		return os.NewSyscallError("epoll_ctl", e)
	}
	return nil
}

// Edge-triggered: with level triggering the kernel queues every socket again
// after each wait and looks at it once more the next time.
const connEvents = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET

func (p *epoll) add(fd int, tag uint32) error {
	return p.ctl(unix.EPOLL_CTL_ADD, fd, connEvents&0xffffffff, tag)
}

func (p *epoll) addLevel(fd int, tag uint32) error {
	return p.ctl(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN, tag)
}

func (p *epoll) wantWrite(fd int, tag uint32, on bool) error {
	ev := uint32(connEvents & 0xffffffff)
	if on {
		ev |= unix.EPOLLOUT
	}
	return p.ctl(unix.EPOLL_CTL_MOD, fd, ev, tag)
}

func (p *epoll) remove(fd int) { p.ctl(unix.EPOLL_CTL_DEL, fd, 0, 0) }

func (p *epoll) wait(ev []event, nanos int64) int {
	var n uintptr
	var e unix.Errno
	switch {
	case nanos == 0:
		n, _, e = unix.RawSyscall6(unix.SYS_EPOLL_WAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&ev[0])), uintptr(len(ev)), 0, 0, 0)
	case nanos < 0:
		n, _, e = unix.Syscall6(unix.SYS_EPOLL_WAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&ev[0])), uintptr(len(ev)), ^uintptr(0), 0, 0)
	case !p.noNano:
		ts := unix.NsecToTimespec(nanos)
		n, _, e = unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), uintptr(unsafe.Pointer(&ev[0])), uintptr(len(ev)), uintptr(unsafe.Pointer(&ts)), 0, 0)
		if e != unix.ENOSYS && e != unix.EPERM {
			break
		}
		p.noNano = true // an old kernel, or a sandbox: milliseconds will do
		fallthrough
	default:
		ms := min((nanos+999_999)/1_000_000, 1<<30)
		n, _, e = unix.Syscall6(unix.SYS_EPOLL_WAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&ev[0])), uintptr(len(ev)), uintptr(ms), 0, 0)
	}
	if e != 0 {
		return 0 // EINTR: the next turn waits again
	}
	return int(n)
}

func (p *epoll) close() { unix.Close(p.fd) }
