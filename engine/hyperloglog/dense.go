package hyperloglog

import "encoding/binary"

// Register i lies in bits 6i to 6i+5 of what follows the header. denseGet and denseSet take a whole dense HyperLogLog.

func denseGet(v []byte, i int) byte {
	at := uint(i) * 6
	v = v[header+at/8:]
	n := uint(v[0])
	if len(v) > 1 {
		n |= uint(v[1]) << 8
	}
	return byte(n>>(at%8)) & 63
}

func denseSet(v []byte, i int, rank byte) {
	at := uint(i) * 6
	v = v[header+at/8:]
	mask, n := uint(63)<<(at%8), uint(rank)<<(at%8)
	v[0] = byte(uint(v[0])&^mask | n)
	if mask > 0xff {
		v[1] = byte((uint(v[1])<<8&^mask | n) >> 8)
	}
}

// addDense adds the registers of a dense HyperLogLog to four histograms in turn, so that equal registers side by side do not wait for each
// other, and sums them.
func (h *histogram) addDense(v []byte) {
	var p [4]histogram
	for v = v[header:denseBytes]; len(v) >= 12; v = v[12:] {
		a := binary.LittleEndian.Uint64(v)
		b := binary.LittleEndian.Uint64(v[4:]) >> 16
		p[0][a&63]++
		p[1][a>>6&63]++
		p[2][a>>12&63]++
		p[3][a>>18&63]++
		p[0][a>>24&63]++
		p[1][a>>30&63]++
		p[2][a>>36&63]++
		p[3][a>>42&63]++
		p[0][b&63]++
		p[1][b>>6&63]++
		p[2][b>>12&63]++
		p[3][b>>18&63]++
		p[0][b>>24&63]++
		p[1][b>>30&63]++
		p[2][b>>36&63]++
		p[3][b>>42&63]++
	}
	for i := range h {
		h[i] += p[0][i] + p[1][i] + p[2][i] + p[3][i]
	}
}

// addPlain counts registers that have a byte each.
func (h *histogram) addPlain(regs *[registers]byte) {
	var p [2]histogram
	for i := 0; i < registers; i += 2 {
		p[0][regs[i]&63]++
		p[1][regs[i+1]&63]++
	}
	for i := range h {
		h[i] += p[0][i] + p[1][i]
	}
}

// mergeDense raises registers to those of a dense HyperLogLog.
func mergeDense(regs *[registers]byte, v []byte) {
	v = v[header:denseBytes]
	for i := 0; i < registers; i += 4 {
		n := uint32(v[0]) | uint32(v[1])<<8 | uint32(v[2])<<16
		v = v[3:]
		q := regs[i : i+4 : i+4]
		q[0] = max(q[0], byte(n&63))
		q[1] = max(q[1], byte(n>>6&63))
		q[2] = max(q[2], byte(n>>12&63))
		q[3] = max(q[3], byte(n>>18))
	}
}

// pack writes registers behind the header of a dense HyperLogLog.
func pack(v []byte, regs *[registers]byte) {
	v = v[header:denseBytes]
	for i := 0; i < registers; i += 4 {
		q := regs[i : i+4 : i+4]
		n := uint32(q[0]) | uint32(q[1])<<6 | uint32(q[2])<<12 | uint32(q[3])<<18
		v[0], v[1], v[2] = byte(n), byte(n>>8), byte(n>>16)
		v = v[3:]
	}
}
