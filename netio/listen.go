package netio

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const defaultBacklog = 511

// listener is a listening socket. It is watched by loop 0.
type listener struct {
	fd     int
	addr   net.Addr
	path   string // of a unix socket
	paused bool   // out of descriptors: not watched for a while
}

// addrPort turns what the kernel says into an address; invalid for others than IP.
func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// resolve understands what Config.Addrs may hold.
func resolve(text string) (ap netip.AddrPort, optional bool, err error) {
	host, optional := strings.CutPrefix(text, "-")
	i := strings.LastIndexByte(host, ':')
	if i < 0 {
		return ap, optional, fmt.Errorf("address %q has no port", text)
	}
	port, err := strconv.ParseUint(host[i+1:], 10, 16)
	if err != nil {
		return ap, optional, fmt.Errorf("address %q: bad port", text)
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host[:i], "["), "]")
	var ip netip.Addr
	switch host {
	case "*", "":
		ip = netip.IPv4Unspecified()
	case "::*":
		ip = netip.IPv6Unspecified()
	default:
		if ip, err = netip.ParseAddr(host); err != nil {
			a, rerr := net.ResolveIPAddr("ip", host)
			if rerr != nil {
				return ap, optional, fmt.Errorf("address %q: %w", text, rerr)
			}
			ip, _ = netip.AddrFromSlice(a.IP)
			ip = ip.Unmap()
		}
	}
	return netip.AddrPortFrom(ip, uint16(port)), optional, nil
}

// listenTCP opens all addresses or none.
func listenTCP(addrs []string, backlog int, keepAlive time.Duration) (ls []*listener, err error) {
	defer func() {
		if err != nil {
			for _, a := range ls {
				closeFD(a.fd)
			}
			ls = nil
		}
	}()
	for _, text := range addrs {
		ap, optional, rerr := resolve(text)
		var a *listener
		if rerr == nil {
			a, rerr = listenOne(ap, backlog, keepAlive)
		}
		switch {
		case rerr == nil:
			ls = append(ls, a)
		case !optional || !absent(rerr):
			return ls, fmt.Errorf("could not create server TCP listening socket %s: %w", strings.TrimPrefix(text, "-"), rerr)
		}
	}
	return ls, nil
}

// absent: the machine has no such address or protocol.
func absent(err error) bool {
	for _, e := range []unix.Errno{unix.EADDRNOTAVAIL, unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT, unix.ESOCKTNOSUPPORT, unix.ENOPROTOOPT, unix.EPFNOSUPPORT, unix.EPROTOTYPE} {
		if isErrno(err, e) {
			return true
		}
	}
	return false
}

func isErrno(err error, e unix.Errno) bool {
	se, ok := err.(*os.SyscallError)
	return ok && se.Err == e
}

func listenOne(ap netip.AddrPort, backlog int, keepAlive time.Duration) (*listener, error) {
	family := unix.AF_INET6
	var sa unix.Sockaddr
	if ip := ap.Addr(); ip.Is4() {
		family = unix.AF_INET
		sa = &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ip.As4()}
	} else {
		sa = &unix.SockaddrInet6{Port: int(ap.Port()), Addr: ip.As16(), ZoneId: zoneID(ip.Zone())}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	fail := func(call string, err error) (*listener, error) {
		closeFD(fd)
		return nil, os.NewSyscallError(call, err)
	}
	if family == unix.AF_INET6 {
		// "*" and "::*" are two listeners on one port.
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return fail("setsockopt IPV6_V6ONLY", err)
		}
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return fail("setsockopt SO_REUSEADDR", err)
	}
	// Accepted sockets inherit what is set here, which saves five calls for
	// each connection.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fail("setsockopt TCP_NODELAY", err)
	}
	if err := setKeepAlive(fd, keepAlive); err != nil {
		return fail("setsockopt keepalive", err)
	}
	if err := unix.Bind(fd, sa); err != nil {
		return fail("bind", err)
	}
	if err := unix.Listen(fd, backlog); err != nil {
		return fail("listen", err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return fail("getsockname", err)
	}
	return &listener{fd: fd, addr: net.TCPAddrFromAddrPort(addrPort(bound))}, nil
}

// rest makes a TCP listener stop listening and free its address, without closing the descriptor, which belongs to loop 0. Connections not
// yet accepted are reset. resume undoes it (for an address that was given with its port: one that the kernel chose is lost).
func (a *listener) rest() {
	unix.Shutdown(a.fd, unix.SHUT_RD) // fails only when it does not listen
}

func (a *listener) resume(backlog int) error {
	return os.NewSyscallError("listen", unix.Listen(a.fd, backlog))
}

func zoneID(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	return 0
}

// setKeepAlive sets Redis's intervals: the first probe after d, then every third of it,
// and the connection is given up after three.
func setKeepAlive(fd int, d time.Duration) error {
	if d <= 0 {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0)
	}
	secs := max(int(d/time.Second), 1)
	for _, o := range [...][3]int{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, secs},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, max(secs/3, 1)},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
	} {
		if err := unix.SetsockoptInt(fd, o[0], o[1], o[2]); err != nil {
			return err
		}
	}
	return nil
}

// listenUnix replaces what stands at path.
func listenUnix(path string, perm uint32, backlog int) (*listener, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		os.Remove(path)
		if err = unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err == nil {
			if err = unix.Listen(fd, backlog); err == nil && perm != 0 {
				err = os.Chmod(path, os.FileMode(perm))
			}
		}
		if err != nil {
			closeFD(fd)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening Unix socket %s: %w", path, err)
	}
	return &listener{fd: fd, path: path, addr: &net.UnixAddr{Name: path, Net: "unix"}}, nil
}

// How many connections are accepted in one turn, and how long a listener rests
// after the process ran out of descriptors.
const (
	acceptsPerTurn = 128
	acceptRest     = 100 * time.Millisecond
)

// accept takes new connections; l is loop 0.
func (l *Loop) accept(a *listener) {
	for left := acceptsPerTurn; left > 0; left-- {
		fd, sa, err := unix.Accept4(a.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			if l.tick(); l.late() {
				left = 0
			}
			l.srv.admit(l, fd, sa, a.path != "")
		case unix.EINTR, unix.ECONNABORTED:
		case unix.EAGAIN:
			return
		default:
			// EMFILE and the like do not go away by asking again, and the
			// listener stays ready: it would be reported for ever. EINVAL is a
			// listener that rests.
			if err == unix.EINVAL {
				l.restListener(a)
				return
			}
			l.srv.logf('#', "Accepting client connection: %v", err)
			l.restListener(a)
			return
		}
	}
}

// restListener looks away from a listener for a while.
func (l *Loop) restListener(a *listener) {
	a.paused = true
	l.poll.remove(a.fd)
	l.After(acceptRest, func() {
		if a.paused && l.acceptors[a.fd] == a {
			a.paused = false
			l.watchListener(a)
		}
	})
}

func (l *Loop) watchListener(a *listener) {
	l.acceptors[a.fd] = a
	if err := l.poll.addLevel(a.fd, 0); err != nil {
		l.srv.logf('#', "Watching listener %v: %v", a.addr, err)
	}
}

func (l *Loop) dropListener(a *listener) {
	if l.acceptors[a.fd] != a {
		return
	}
	delete(l.acceptors, a.fd)
	if !a.paused {
		l.poll.remove(a.fd)
	}
	closeFD(a.fd)
	if a.path != "" {
		os.Remove(a.path)
	}
}
