package arena

import (
	"math/bits"
	"time"
	"unsafe"
)

// Later runs f on the pool's background goroutine, in order. bytes is what it will give back, for Stats. When the pool
// is closed f does not run.
func (p *Pool) Later(bytes int64, f func()) {
	p.pendingBytes.Add(bytes)
	p.mu.Lock()
	p.jobs = append(p.jobs, func() {
		f()
		p.pendingBytes.Add(-bytes)
	})
	p.mu.Unlock()
	p.signal()
}

func (p *Pool) signal() {
	select {
	case p.wake <- struct{}{}:
	default: // already signalled
	}
}

func (p *Pool) background() {
	defer close(p.ended)
	for range p.wake {
		for {
			p.mu.Lock()
			if p.closed {
				p.mu.Unlock()
				return
			}
			jobs := p.jobs
			p.jobs = nil
			p.mu.Unlock()
			if len(jobs) == 0 {
				break
			}
			for _, f := range jobs {
				f()
			}
		}
		p.scavenge()
	}
}

// The system is asked to take back no more than dropAtOnce bytes in one call, some 0.1 to 0.5 ms, and each is followed by a pause: a thread that is busy
// for longer is given whole slices of the scheduler's, and an event loop on the same processor stands still for 3 to 4 ms at a time.
const (
	dropAtOnce = 1 << 20
	dropPause  = 500 * time.Microsecond
)

// scavenge returns the pages of free spans until little of the free memory is resident. A chunk's spans are taken
// out of circulation while the system works on them, so no lock is held meanwhile. Jobs come first: another call goes on after them.
func (p *Pool) scavenge() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.urgent = false
	if !p.tooWarm() {
		return
	}
	floor := int(max(scavengeMin, p.mappedBytes.Load()-int64(p.freeSpan)*spanBytes) / 16 / spanBytes)
	for number := len(p.chunks) - 1; number > 0 && p.warmSpan > floor && !p.closed && len(p.jobs) == 0; number-- {
		c := &p.chunks[number]
		set := c.warm
		if set == 0 {
			continue
		}
		n := bits.OnesCount64(set)
		base := c.base
		c.free &^= set
		c.warm = 0
		p.freeSpan -= n
		p.warmSpan -= n
		p.account()
		p.mu.Unlock()
		for left, dropped := set, 0; left != 0; {
			at := bits.TrailingZeros64(left)
			run := min(bits.TrailingZeros64(^(left >> at)), dropAtOnce/spanBytes)
			dropPages(unsafe.Add(base, at*spanBytes), uintptr(run)*spanBytes)
			left &^= (uint64(1)<<run - 1) << at
			if dropped += run; dropped >= dropAtOnce/spanBytes || left == 0 {
				time.Sleep(dropPause)
				dropped = 0
			}
		}
		p.mu.Lock()
		c = &p.chunks[number] // the slice may have moved
		c.free |= set
		p.freeSpan += n
		p.open.push(uint32(number))
		p.account()
	}
}
