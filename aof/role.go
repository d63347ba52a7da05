package aof

import "sync/atomic"

// A role is held by one thread at a time. Who finds it taken leaves a wish, which the holder sees when it wants to leave.
//
//	idle ──enter──► held ──enter by another──► wished
//	  ▲              │ ▲                          │
//	  └───leave──────┘ └────────leave (stays)─────┘
type role struct {
	state atomic.Uint32
	_     [60]byte

	waiting atomic.Int32  // in lock; a holder looks after it became idle, a waiter tries again after it counted itself
	freed   chan struct{} // of one place
}

func (r *role) init() { r.freed = make(chan struct{}, 1) }

const (
	roleIdle = iota
	roleHeld
	roleWished
)

// enter takes the role, or leaves a wish with its holder and returns false.
func (r *role) enter() bool {
	for {
		switch r.state.Load() {
		case roleIdle:
			if r.state.CompareAndSwap(roleIdle, roleHeld) {
				return true
			}
		case roleHeld:
			if r.state.CompareAndSwap(roleHeld, roleWished) {
				return false
			}
		default:
			return false
		}
	}
}

// leave gives the role up, or returns false when a wish came in: the caller still holds the role and serves the wish.
func (r *role) leave() bool {
	if r.state.CompareAndSwap(roleHeld, roleIdle) {
		r.wake()
		return true
	}
	r.state.Store(roleHeld)
	return false
}

// abandon gives the role up whatever was wished; the caller sees to it otherwise.
func (r *role) abandon() {
	r.state.Store(roleIdle)
	r.wake()
}

func (r *role) wake() {
	if r.waiting.Load() > 0 {
		wake(r.freed)
	}
}

// lock takes the role, waiting for the holder. For rare procedures only (failure, a full disk, Close).
func (r *role) lock() {
	for !r.state.CompareAndSwap(roleIdle, roleHeld) {
		r.waiting.Add(1)
		if r.state.Load() != roleIdle {
			<-r.freed
		}
		r.waiting.Add(-1)
	}
}
