package hyperloglog

import "strconv"

// A sparse HyperLogLog is a row of runs (see the package comment). Here "runs" are the bytes behind the header.

const (
	longBit  = 0x40 // with valueBit clear: a run of zeros of two bytes
	valueBit = 0x80

	maxShortZeros = 64
	maxSparseRank = 32
	maxValues     = 4 // registers in a run that are not zero
)

// runAt decodes the run at p: how many registers, their value, how many bytes. size is 0 when the run is cut off by the end.
func runAt(runs []byte, p int) (n int, rank byte, size int) {
	b := runs[p]
	switch {
	case b&valueBit != 0:
		return int(b&3) + 1, b>>2&31 + 1, 1
	case b&longBit == 0:
		return int(b&63) + 1, 0, 1
	case p+1 < len(runs):
		return int(b&63)<<8 + int(runs[p+1]) + 1, 0, 2
	}
	return 0, 0, 0
}

// shortRun is how many registers a run of one byte has; 0: it is of two.
var shortRun = func() (t [256]uint8) {
	for b := range t {
		if n, _, size := runAt([]byte{byte(b)}, 0); size == 1 {
			t[b] = uint8(n)
		}
	}
	return t
}()

// appendRun appends a run of n registers; of other values than zero there may be four.
func appendRun(b []byte, n int, rank byte) []byte {
	switch {
	case n == 0:
		return b
	case rank > 0:
		return append(b, valueBit|(rank-1)<<2|byte(n-1))
	case n <= maxShortZeros:
		return append(b, byte(n-1))
	}
	return append(b, longBit|byte((n-1)>>8), byte(n-1))
}

// eachRun calls f with every run. false: they are not those of all registers, or cut off.
func eachRun(runs []byte, f func(from, n int, rank byte)) bool {
	at := 0
	for p := 0; p < len(runs); {
		n, rank, size := runAt(runs, p)
		if size == 0 || at+n > registers {
			return false
		}
		f(at, n, rank)
		at += n
		p += size
	}
	return at == registers
}

// addSparse counts the registers of runs; false: they are corrupt.
func (h *histogram) addSparse(runs []byte) bool {
	return eachRun(runs, func(_, n int, rank byte) { h[rank] += uint32(n) })
}

// mergeSparse raises registers to those of runs; false: they are corrupt.
func mergeSparse(regs *[registers]byte, runs []byte) bool {
	return eachRun(runs, func(from, n int, rank byte) {
		if rank > 0 {
			for i := range regs[from : from+n] {
				regs[from+i] = max(regs[from+i], rank)
			}
		}
	})
}

// expand writes a sparse HyperLogLog as a dense one of denseBytes to out; false: it is corrupt.
func expand(out, v []byte) bool {
	clear(out)
	copy(out, v[:header])
	out[formAt] = dense
	return eachRun(v[header:], func(from, n int, rank byte) {
		if rank > 0 {
			for i := range n {
				denseSet(out, from+i, rank)
			}
		}
	})
}

// appendText appends runs as PFDEBUG DECODE prints them; false: the last is cut off.
func appendText(b, runs []byte) ([]byte, bool) {
	for p := 0; p < len(runs); {
		n, rank, size := runAt(runs, p)
		if size == 0 {
			return b, false
		}
		if p > 0 {
			b = append(b, ' ')
		}
		switch {
		case rank > 0:
			b = strconv.AppendInt(append(b, "v:"...), int64(rank), 10)
			b = append(b, ',')
		case size == 2:
			b = append(b, "Z:"...)
		default:
			b = append(b, "z:"...)
		}
		b = strconv.AppendInt(b, int64(n), 10)
		p += size
	}
	return b, true
}

// outcome is what raising a register of runs comes to.
type outcome uint8

const (
	kept    outcome = iota // the register is that high already
	edited                 // the runs change
	tooMuch                // a sparse HyperLogLog cannot hold it, or not within its limit
	corrupt
)

// A raiser raises registers of runs, one after the other: raise tells what to replace, the caller does that. Its zero value is good for any
// register. When it has been used, it is good for that register and higher ones, and does not begin at the front again.
type raiser struct {
	p, first int // a run that no later change will touch, and the first of its registers

	from, to int // the bytes to replace by ins()
	n        int // in buf
	buf      [24]byte
}

// ins is what to put in the place of what is replaced. It is good until the next raise.
func (e *raiser) ins() []byte { return e.buf[:e.n] }

// mostJoins is at how many runs, from the one before the register's on, runs of equal value are joined with their neighbours.
const mostJoins = 5

// raise makes register i at least rank. The runs may become so many bytes.
func (e *raiser) raise(runs []byte, i int, rank byte, room int) outcome {
	if rank > maxSparseRank {
		return tooMuch
	}
	p, first := e.p, e.first
	prev, prevFirst := -1, 0 // the run before
	var n, size int
	for {
		if p >= len(runs) {
			return corrupt
		}
		if n, size = int(shortRun[runs[p]]), 1; n == 0 {
			if n, _, size = runAt(runs, p); size == 0 {
				return corrupt
			}
		}
		if i < first+n {
			break
		}
		if prev >= 0 {
			e.p, e.first = prev, prevFirst
		}
		prev, prevFirst = p, first
		p, first = p+size, first+n
	}
	_, old, _ := runAt(runs, p)
	if old >= rank {
		return kept
	}

	// The runs from the one before on, with this one split as far as need be.
	e.from, e.to = p, p+size
	b := e.buf[:0]
	if prev >= 0 {
		e.from = prev
		b = append(b, runs[prev:p]...)
	}
	head := len(b)
	b = appendRun(b, i-first, old)
	b = appendRun(b, 1, rank)
	b = appendRun(b, first+n-1-i, old)
	if more := len(b) - head - size; more > 0 && len(runs)+more > room {
		return tooMuch
	}
	for range mostJoins {
		if e.to >= len(runs) {
			break
		}
		_, _, size := runAt(runs, e.to)
		if size == 0 {
			break
		}
		b = append(b, runs[e.to:e.to+size]...)
		e.to += size
	}
	b = join(b)

	for e.to > e.from && len(b) > 0 && b[len(b)-1] == runs[e.to-1] {
		b, e.to = b[:len(b)-1], e.to-1
	}
	e.n = len(b)
	return edited
}

// join joins runs of equal value at the front of b, in b's memory.
func join(b []byte) []byte {
	p := 0
	for range mostJoins {
		if p >= len(b) {
			break
		}
		n, rank, size := runAt(b, p)
		if size == 0 {
			break
		}
		if rank > 0 && p+1 < len(b) {
			if m, next, _ := runAt(b, p+1); next == rank && n+m <= maxValues {
				appendRun(b[:p], n+m, rank)
				b = append(b[:p+1], b[p+2:]...)
				continue // perhaps with the one after it, too
			}
		}
		p += size
	}
	return b
}
