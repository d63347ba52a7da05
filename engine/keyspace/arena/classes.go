package arena

// Size classes. Blocks of up to maxSlabbed bytes are cut from slabs that hold one size only: 8-byte steps up to
// 128, then eight steps to each doubling, so that rounding up wastes at most an eighth.
// A slab is one span for small classes and more for larger ones, to keep what is left over at its end small.

const (
	minBlock    = 16
	maxSlabbed  = 32 << 10
	numClasses  = 15 + 8*8 // 16..128 by 8; then 128..32 Ki
	classRun    = 254      // whole spans
	classHuge   = 255      // a mapping of its own
	maxRun      = 2 << 20
	smallLimit  = 1024 // sizes up to here find their class in a table
	pageBytes   = 4096
	hugeQuantum = pageBytes
)

var (
	classSize  [numClasses]uint32
	classSpans [numClasses]uint8
	smallClass [smallLimit/8 + 1]uint8
)

var _ = buildClasses()

func buildClasses() struct{} {
	n := 0
	for s := 16; s <= 128; s += 8 {
		classSize[n] = uint32(s)
		n++
	}
	for base := 128; base < maxSlabbed; base *= 2 {
		for i := 1; i <= 8; i++ {
			classSize[n] = uint32(base + i*base/8)
			n++
		}
	}
	if n != numClasses {
		panic("BUG: arena size classes")
	}
	for i, s := range classSize {
		// The smallest slab that wastes at most a thirtieth at its end.
		spans := uint32(1)
		for spans < 8 && spans*spanBytes%s > spans*spanBytes/30 {
			spans *= 2
		}
		classSpans[i] = uint8(spans)
	}
	c := 0
	for i := range smallClass {
		for int(classSize[c]) < i*8 {
			c++
		}
		smallClass[i] = uint8(c)
	}
	return struct{}{}
}

// classOf returns the smallest class that holds n bytes; n <= maxSlabbed.
func classOf(n int) int {
	if n <= smallLimit {
		return int(smallClass[(n+7)>>3])
	}
	return largeClassOf(n)
}

// BlockSize returns the size of the block that Alloc returns for n bytes.
func BlockSize(n int) int {
	switch {
	case n <= maxSlabbed:
		return int(classSize[classOf(n)])
	case n <= maxRun:
		return (n + spanBytes - 1) &^ (spanBytes - 1)
	}
	return (n + hugeQuantum - 1) &^ (hugeQuantum - 1)
}
