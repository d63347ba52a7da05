package netio

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below cannot block (the descriptors are non-blocking), so the
// runtime is not told of them: entering and leaving a system call by its rules costs more than
// the rest of a small request, and gives the monitor thread a chance to take
// the processor away (measured: design D3b).

func sysRead(fd int, b []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), 0, 0, 0)
	if e != 0 {
		return -1, e
	}
	return int(n), 0
}

// sysWrite sends on a socket. A peer that has gone is EPIPE, never a signal.
func sysWrite(fd int, b []byte) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
	if e != 0 {
		return -1, e
	}
	return int(n), 0
}

func closeFD(fd int) { unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

var one = [8]byte{1}

// ring writes to an eventfd.
func ring(fd int) {
	unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&one[0])), 8)
}

// calmTracer makes a call that does nothing. Under strace --seccomp-bpf (6.1) a new thread is stopped at every system call, and not
// only at those that are asked for, until it has made one of these: an event loop under `-e trace=fdatasync`, which is how a slow
// disk is simulated, was five times slower than its disk, for as long as it ran on a thread that had never synced.
func calmTracer() { unix.Syscall(unix.SYS_FDATASYNC, ^uintptr(0), 0, 0) }

const (
	futexWait = 0 | 128 // FUTEX_WAIT, FUTEX_PRIVATE_FLAG
	futexWake = 1 | 128
)

// rawSleepNanos: shorter sleeps keep their processor. Each one that gave it up would have the runtime's monitor thread take it back,
// and then look every 20 µs for the next millisecond: with a standby that sleeps half a millisecond at a time, for ever. The signal by
// which the garbage collector stops a goroutine ends the sleep, so nobody waits for it.
const rawSleepNanos = 1_000_000

// futexSleep blocks while *addr == val, at most nanos if that is above 0.
func futexSleep(addr *uint32, val uint32, nanos int64) {
	var ts *unix.Timespec
	if nanos > 0 {
		t := unix.NsecToTimespec(nanos)
		ts = &t
	}
	if nanos > 0 && nanos <= rawSleepNanos {
		unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), futexWait, uintptr(val), uintptr(unsafe.Pointer(ts)), 0, 0)
		return
	}
	unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), futexWait, uintptr(val), uintptr(unsafe.Pointer(ts)), 0, 0)
}

func futexRouse(addr *uint32) {
	unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), futexWake, 1, 0, 0, 0)
}

// threadCPU is the CPU time that the calling thread has used, ns.
func threadCPU() int64 {
	var ts unix.Timespec
	unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_THREAD_CPUTIME_ID, uintptr(unsafe.Pointer(&ts)), 0)
	return ts.Nano()
}

var clockBase = time.Now()

// nanotime is a monotonic clock, ns.
func nanotime() int64 { return int64(time.Since(clockBase)) }
