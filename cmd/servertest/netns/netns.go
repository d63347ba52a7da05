package netns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// mtu is as large as jumbo frames, because each packet costs the switch two system calls.
const mtu = 9000

// Network is a switch and its hosts. Its methods are safe for concurrent use.
type Network struct {
	mu     sync.RWMutex
	byAddr map[[4]byte]*Host
	hosts  []*Host
	rules  map[[2]*Host]*lane // from, to
	closed chan struct{}
	wg     sync.WaitGroup
}

// Host is one network namespace.
type Host struct {
	Name string
	Addr string // its address on the network
	addr [4]byte
	ns   *os.File // keeps the namespace alive and leads into it
	tun  *os.File // the switch's end of the host's device
	net  *Network
}

// New makes a network of hosts that lives until the test has ended. It skips the
// test where the process may not make namespaces, and says what is missing.
func New(t testing.TB, names ...string) (*Network, []*Host) {
	t.Helper()
	n := &Network{byAddr: map[[4]byte]*Host{}, rules: map[[2]*Host]*lane{}, closed: make(chan struct{})}
	t.Cleanup(n.close)
	for _, name := range names {
		_, err := n.add(name)
		for _, missing := range []error{unix.EPERM, unix.EACCES, unix.ENOENT, unix.ENOSYS} {
			if errors.Is(err, missing) {
				t.Skipf("network namespaces need root and /dev/net/tun; CI runs this test as root: %v", err)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return n, n.hosts
}

func (n *Network) add(name string) (*Host, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := &Host{Name: name, addr: [4]byte{10, 213, 7, byte(len(n.hosts) + 1)}, net: n}
	h.Addr = net.IP(h.addr[:]).String()
	made := make(chan error)
	go func() {
		// The thread belongs to the new namespace from here on and ends with this goroutine.
		runtime.LockOSThread()
		made <- h.build()
	}()
	if err := <-made; err != nil {
		h.close()
		return nil, fmt.Errorf("make host %s: %w", name, err)
	}
	n.byAddr[h.addr] = h
	for _, o := range n.hosts {
		n.rules[[2]*Host{o, h}] = newLane(n, h)
		n.rules[[2]*Host{h, o}] = newLane(n, o)
	}
	n.hosts = append(n.hosts, h)
	n.wg.Go(func() { n.forward(h) })
	return h, nil
}

// build unshares the calling thread's network namespace and sets it up.
func (h *Host) build() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	var err error
	if h.ns, err = os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())); err != nil {
		return err
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("/dev/net/tun: %w", err)
	}
	ifr, err := unix.NewIfreq("wire")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		unix.Close(fd)
		return fmt.Errorf("TUNSETIFF: %w", err)
	}
	h.tun = os.NewFile(uintptr(fd), "tun of "+h.Name)
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	set := func(device string, request uint, fill func(*unix.Ifreq) error) error {
		ifr, err := unix.NewIfreq(device)
		if err == nil {
			err = fill(ifr)
		}
		if err == nil {
			err = unix.IoctlIfreq(s, request, ifr)
		}
		if err != nil {
			return fmt.Errorf("set up device %s: %w", device, err)
		}
		return nil
	}
	up := func(i *unix.Ifreq) error { i.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }
	return errors.Join(
		set("lo", unix.SIOCSIFFLAGS, up),
		set("wire", unix.SIOCSIFMTU, func(i *unix.Ifreq) error { i.SetUint32(mtu); return nil }),
		set("wire", unix.SIOCSIFADDR, func(i *unix.Ifreq) error { return i.SetInet4Addr(h.addr[:]) }),
		set("wire", unix.SIOCSIFNETMASK, func(i *unix.Ifreq) error { return i.SetInet4Addr([]byte{255, 255, 255, 0}) }),
		set("wire", unix.SIOCSIFFLAGS, up))
}

// Enter takes the calling thread into the host. The goroutine must be locked to its
// thread and must end that way, so that the thread is not used for anything else.
func (h *Host) Enter() error {
	if err := unix.Setns(int(h.ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter host %s: %w", h.Name, err)
	}
	return nil
}

// Dial connects to an address as seen from within the host.
func (h *Host) Dial(addr string) (net.Conn, error) { return h.DialTimeout(addr, 20*time.Second) }

// DialTimeout is Dial with a limit.
func (h *Host) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	c := make(chan result)
	go func() {
		runtime.LockOSThread()
		if err := h.Enter(); err != nil {
			c <- result{nil, err}
			return
		}
		// An address in figures is dialled on the calling thread, so the socket belongs to the host.
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		conn, err := new(net.Dialer).DialContext(ctx, "tcp4", addr)
		c <- result{conn, err}
	}()
	r := <-c
	return r.conn, r.err
}

// Listen listens on an address of the host.
func (h *Host) Listen(addr string) (net.Listener, error) {
	type result struct {
		l   net.Listener
		err error
	}
	c := make(chan result)
	go func() {
		runtime.LockOSThread()
		if err := h.Enter(); err != nil {
			c <- result{nil, err}
			return
		}
		l, err := net.Listen("tcp4", addr)
		c <- result{l, err}
	}()
	r := <-c
	return r.l, r.err
}

func (h *Host) close() {
	if h.tun != nil {
		h.tun.Close()
	}
	if h.ns != nil {
		h.ns.Close()
	}
}

func (n *Network) close() {
	close(n.closed)
	n.mu.RLock()
	for _, h := range n.hosts {
		h.close()
	}
	n.mu.RUnlock()
	n.wg.Wait()
}

// forward carries what one host sends.
func (n *Network) forward(from *Host) {
	p := make([]byte, mtu+64)
	for {
		size, err := from.tun.Read(p)
		if err != nil {
			return // closed with the network
		}
		if size < 20 || p[0]>>4 != 4 {
			continue // not IPv4: the kernel's IPv6 solicitations
		}
		dst := binary.BigEndian.Uint32(p[16:20])
		var addr [4]byte
		binary.BigEndian.PutUint32(addr[:], dst)
		n.mu.RLock()
		l := n.rules[[2]*Host{from, n.byAddr[addr]}]
		n.mu.RUnlock()
		if l != nil {
			l.send(p[:size])
		}
	}
}
