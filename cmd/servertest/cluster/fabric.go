package cluster

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"tidemark/cmd/servertest"
	"tidemark/cmd/servertest/link"
	"tidemark/cmd/servertest/netns"
)

// Fault is one way for the link from a replica to its primary to be bad.
type Fault int

// The faults. Of each, a fabric does what comes nearest.
const (
	Cut      Fault = iota // nothing passes: silently (namespaces), or connections are reset and refused (proxies)
	DeafUp                // the primary does not hear the replica: no requests, no acknowledgements
	DeafDown              // the replica does not hear the primary, which still hears it
	Slow                  // late by some ms each way
	Poor                  // a tenth of the packets is lost (namespaces), or few bytes per second pass (proxies)
	Torn                  // the connection ends within what is being sent, and may be made anew (proxies); as Cut (namespaces)
	faults
)

func (f Fault) String() string {
	return [...]string{"cut", "deaf upwards", "deaf downwards", "slow", "poor", "torn"}[f]
}

// RandomFault picks one.
func RandomFault(rnd *rand.Rand) Fault { return Fault(rnd.IntN(int(faults))) }

// Fabric is what connects nodes. Nodes are known by their numbers.
type Fabric interface {
	// Place fills in where node i lives and on which port it listens.
	Place(i int, cfg *servertest.Config)
	// Route is the address at which node from reaches node to.
	Route(from, to int) (host string, port int)
	// Fail breaks the link on which node from follows node to, in addition to what is broken already.
	Fail(from, to int, f Fault, rnd *rand.Rand)
	// Heal makes it sound.
	Heal(from, to int)
}

// Proxies is a fabric of TCP proxies on the loopback address; it needs no privileges.
type Proxies struct {
	ports []int
	links [][]*link.Link // from, to
}

// NewProxies makes the links between n nodes.
func NewProxies(t testing.TB, n int) *Proxies {
	t.Helper()
	p := &Proxies{}
	for range n {
		port, err := servertest.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		p.ports = append(p.ports, port)
	}
	for from := range n {
		p.links = append(p.links, make([]*link.Link, n))
		for to := range n {
			if from != to {
				p.links[from][to] = link.New(t, "127.0.0.1:"+strconv.Itoa(p.ports[to]))
			}
		}
	}
	return p
}

// Place implements Fabric.
func (p *Proxies) Place(i int, cfg *servertest.Config) { cfg.Port = p.ports[i] }

// Route implements Fabric.
func (p *Proxies) Route(from, to int) (string, int) { return "127.0.0.1", p.links[from][to].Port }

// Link is the proxy on which node from follows node to.
func (p *Proxies) Link(from, to int) *link.Link { return p.links[from][to] }

// Heal implements Fabric.
func (p *Proxies) Heal(from, to int) { p.links[from][to].Heal() }

// Fail implements Fabric.
func (p *Proxies) Fail(from, to int, f Fault, rnd *rand.Rand) {
	k := p.links[from][to]
	switch f {
	case Cut:
		k.Cut()
	case DeafUp:
		k.Stall(link.Up)
	case DeafDown:
		k.Stall(link.Down)
	case Slow:
		k.Delay(link.Up, time.Duration(1+rnd.IntN(30))*time.Millisecond)
		k.Delay(link.Down, time.Duration(1+rnd.IntN(30))*time.Millisecond)
	case Poor:
		k.Rate(link.Down, 20<<10+rnd.Int64N(300<<10))
	case Torn:
		k.CutAfter(link.Way(rnd.IntN(2)), rnd.Int64N(20<<10))
	}
}

// Namespaces is a fabric of network namespaces, one a node.
type Namespaces struct {
	net   *netns.Network
	hosts []*netns.Host
}

// NewNamespaces makes n hosts; the test is skipped where that is not allowed.
func NewNamespaces(t testing.TB, n int) *Namespaces {
	t.Helper()
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("node%d", i)
	}
	s := &Namespaces{}
	s.net, s.hosts = netns.New(t, names...)
	return s
}

// namespacePort is the port of every node there: each has its own address.
const namespacePort = 6379

// Place implements Fabric.
func (s *Namespaces) Place(i int, cfg *servertest.Config) {
	h := s.hosts[i]
	cfg.Port, cfg.Bind, cfg.Enter, cfg.Dial = namespacePort, []string{h.Addr}, h.Enter, h.Dial
}

// Route implements Fabric.
func (s *Namespaces) Route(from, to int) (string, int) { return s.hosts[to].Addr, namespacePort }

// Heal implements Fabric.
func (s *Namespaces) Heal(from, to int) { s.net.SetBoth(s.hosts[from], s.hosts[to], netns.Fault{}) }

// Fail implements Fabric.
func (s *Namespaces) Fail(from, to int, f Fault, rnd *rand.Rand) {
	a, b := s.hosts[from], s.hosts[to]
	switch f {
	case Cut, Torn:
		s.net.SetBoth(a, b, netns.Fault{Cut: true})
	case DeafUp:
		s.net.Set(a, b, netns.Fault{Cut: true})
	case DeafDown:
		s.net.Set(b, a, netns.Fault{Cut: true})
	case Slow:
		s.net.Set(a, b, netns.Fault{Delay: time.Duration(1+rnd.IntN(30)) * time.Millisecond})
		s.net.Set(b, a, netns.Fault{Delay: time.Duration(1+rnd.IntN(30)) * time.Millisecond})
	case Poor:
		s.net.SetBoth(a, b, netns.Fault{Loss: 0.1})
	}
}
