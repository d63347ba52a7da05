package aof

import (
	"runtime"
	"sync/atomic"
	"time"
)

// A role is held by one thread at a time. Who finds it taken leaves a wish, which the holder sees when it wants to leave.
//
//	idle ──enter──► held ──enter by another──► wished
//	  ▲              │ ▲                          │
//	  └───leave──────┘ └────────leave (stays)─────┘
type role struct {
	state atomic.Uint32
	_     [60]byte
}

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
		return true
	}
	r.state.Store(roleHeld)
	return false
}

// lock takes the role, waiting for the holder. For rare procedures only (failure, rotation for a rewrite, Close).
func (r *role) lock() {
	for i := 0; !r.state.CompareAndSwap(roleIdle, roleHeld); i++ {
		if i < 100 {
			runtime.Gosched()
		} else {
			time.Sleep(50 * time.Microsecond)
		}
	}
}
