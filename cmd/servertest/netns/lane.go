package netns

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Fault is what happens to packets of one direction between two hosts.
type Fault struct {
	Cut   bool          // nothing passes, and nobody is told
	Delay time.Duration // each packet is late by this much; their order stays
	Loss  float64       // the share of packets that vanish, 0 to 1
	Rate  int64         // bytes per second; packets that would wait for longer than queueTime vanish. 0: as fast as it goes
}

// Set replaces what happens to packets from one host to another, from now on. The zero
// Fault is a sound link.
func (n *Network) Set(from, to *Host, f Fault) {
	n.mu.RLock()
	l := n.rules[[2]*Host{from, to}]
	n.mu.RUnlock()
	l.mu.Lock()
	l.fault = f
	l.mu.Unlock()
}

// SetBoth does it in both directions.
func (n *Network) SetBoth(a, b *Host, f Fault) {
	n.Set(a, b, f)
	n.Set(b, a, f)
}

// Carried returns how many bytes of packets have reached to from from.
func (n *Network) Carried(from, to *Host) int64 {
	n.mu.RLock()
	l := n.rules[[2]*Host{from, to}]
	n.mu.RUnlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.carried
}

// lane is one direction between two hosts.
type lane struct {
	net *Network
	to  *Host

	mu      sync.Mutex
	fault   Fault
	carried int64
	queue   chan late // packets on their way, once there was a delay or a rate; nil before
	free    time.Time // when a line of that rate has sent what it was given
}

// late is a packet and when it arrives.
type late struct {
	at time.Time
	p  []byte
}

// queueLen is how many packets a slow lane holds; the rest are lost, as in any router.
const queueLen = 8192

// queueTime is how much a line of a limited rate holds.
const queueTime = 50 * time.Millisecond

func newLane(n *Network, to *Host) *lane { return &lane{net: n, to: to} }

// send passes a packet on, or not. p is the caller's again on return.
func (l *lane) send(p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault.Cut || l.fault.Loss > 0 && rand.Float64() < l.fault.Loss {
		return
	}
	at := time.Now()
	if l.fault.Rate > 0 {
		if l.free.Sub(at) > queueTime {
			return
		}
		if l.free.Before(at) {
			l.free = at
		}
		l.free = l.free.Add(time.Duration(int64(len(p)) * int64(time.Second) / l.fault.Rate))
		at = l.free
	}
	if l.queue == nil {
		if l.fault.Delay == 0 && l.fault.Rate == 0 {
			l.deliverLocked(p)
			return
		}
		l.queue = make(chan late, queueLen)
		l.net.wg.Go(l.drain)
	}
	select {
	case l.queue <- late{at.Add(l.fault.Delay), append([]byte(nil), p...)}:
	default:
	}
}

// drain delivers late packets in their order.
func (l *lane) drain() {
	for {
		select {
		case <-l.net.closed:
			return
		case x := <-l.queue:
			select {
			case <-l.net.closed:
				return
			case <-time.After(time.Until(x.at)):
			}
			l.mu.Lock()
			if !l.fault.Cut { // what was on its way when the link was cut is lost
				l.deliverLocked(x.p)
			}
			l.mu.Unlock()
		}
	}
}

// deliverLocked hands a packet to the host. A full device loses it.
func (l *lane) deliverLocked(p []byte) {
	if _, err := l.to.tun.Write(p); err == nil {
		l.carried += int64(len(p))
	}
}
