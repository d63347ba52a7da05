package arena

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestClasses(t *testing.T) {
	for n := 0; n <= maxSlabbed; n++ {
		c := classOf(n)
		size := int(classSize[c])
		if size < n || c > 0 && int(classSize[c-1]) >= n {
			t.Fatalf("%d bytes get class %d of %d", n, c, size)
		}
		if n >= 64 && (size-n)*8 > n {
			t.Fatalf("%d bytes get a block of %d, more than an eighth is wasted", n, size)
		}
		if size%8 != 0 {
			t.Fatalf("class of %d bytes is not aligned", size)
		}
	}
	for c, size := range classSize {
		slab := uint32(classSpans[c]) * spanBytes
		if waste := slab % size; waste*30 > slab && classSpans[c] < 8 {
			t.Errorf("a slab of class %d wastes %d of %d bytes", size, waste, slab)
		}
	}
}

func TestRunOf(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 20000 {
		set := rnd.Uint64() | rnd.Uint64()
		n := 1 + rnd.IntN(32)
		want := -1
		for at := 0; at+n <= 64; at++ {
			if mask := (uint64(1)<<n - 1) << at; set&mask == mask {
				want = at
				break
			}
		}
		if got := runOf(set, n); got != want {
			t.Fatalf("first run of %d in %064b is %d, want %d", n, set, got, want)
		}
	}
}

// TestHeap allocates, writes, checks and frees blocks of all sizes in several heaps of one pool, each on its own goroutine.
func TestHeap(t *testing.T) {
	p := NewPool()
	defer p.Close()
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := churn(p.NewHeap(), uint64(w)); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	if s := p.Stats(); s.Spans > 3*numClasses*8*spanBytes {
		t.Errorf("%d bytes of spans are still out after everything was freed", s.Spans)
	}
}

func churn(h *Heap, seed uint64) error {
	rnd := rand.New(rand.NewPCG(seed, 2))
	type block struct {
		r    Ref
		n    int
		mark byte
	}
	var blocks []block
	var used int64
	check := func(b block) error {
		for i, c := range h.Bytes(b.r, 0, b.n) {
			if c != b.mark {
				return fmt.Errorf("block of %d bytes: byte %d is %d, not %d", b.n, i, c, b.mark)
			}
		}
		return nil
	}
	steps := 6000
	if raceBuild {
		steps /= 6
	}
	for step := range steps {
		if len(blocks) > 0 && rnd.IntN(100) < 48 {
			i := rnd.IntN(len(blocks))
			b := blocks[i]
			if err := check(b); err != nil {
				return err
			}
			used -= int64(h.SizeOf(b.r))
			h.Free(b.r)
			blocks[i] = blocks[len(blocks)-1]
			blocks = blocks[:len(blocks)-1]
			continue
		}
		n := 1 + rnd.IntN(200)
		switch rnd.IntN(50) {
		case 0, 1:
			n = rnd.IntN(maxSlabbed)
		case 2:
			n = rnd.IntN(300 << 10)
		case 3:
			n = maxRun + rnd.IntN(1<<20)
		}
		b := block{h.Alloc(n), n, byte(step)}
		size := h.SizeOf(b.r)
		if size < n || size != BlockSize(n) || uintptr(h.Ptr(b.r))%8 != 0 || n%64 == 0 && n >= 128 && uintptr(h.Ptr(b.r))%64 != 0 {
			return fmt.Errorf("block of %d bytes: size %d, BlockSize %d, at %p", n, size, BlockSize(n), h.Ptr(b.r))
		}
		if h.IsFresh(b.r) && !bytes.Equal(h.Bytes(b.r, 0, n), make([]byte, n)) {
			return fmt.Errorf("a fresh block of %d bytes is not zero", n)
		}
		data := h.Bytes(b.r, 0, n)
		for i := range data {
			data[i] = b.mark
		}
		used += int64(size)
		if before := size; n > maxRun {
			if !h.Grow(b.r, before+100_000) {
				return fmt.Errorf("a block of %d bytes cannot grow", n)
			}
			used += int64(h.SizeOf(b.r) - before)
			if !bytes.Equal(h.Bytes(b.r, before, 100_000), make([]byte, 100_000)) {
				return fmt.Errorf("a grown block is not zero at its end")
			}
		} else if h.Grow(b.r, before+1) {
			return fmt.Errorf("a block of %d bytes grew in place", n)
		}
		blocks = append(blocks, b)
		if used != h.Used() {
			return fmt.Errorf("used is %d, want %d", h.Used(), used)
		}
		if step%500 == 0 {
			if msg := h.Check(); msg != "" {
				return fmt.Errorf("step %d: %s", step, msg)
			}
		}
	}
	for i, b := range blocks {
		if err := check(b); err != nil {
			return err
		}
		if i%2 == 0 {
			h.Free(b.r)
		}
	}
	if msg := h.Check(); msg != "" {
		return fmt.Errorf("at the end: %s", msg)
	}
	h.Release()
	if h.Used() != 0 || h.all != 0 {
		return fmt.Errorf("%d bytes in use after Release", h.Used())
	}
	return nil
}

// TestScavenge: the pages of memory that is free go back to the system, and the memory can be used again.
func TestScavenge(t *testing.T) {
	p := NewPool()
	defer p.Close()
	h := p.NewHeap()
	const n, size = 20_000, 4096
	for round := range 3 {
		var blocks []Ref
		for i := range n {
			r := h.Alloc(size)
			b := h.Bytes(r, 0, size)
			for j := range b {
				b[j] = byte(i)
			}
			blocks = append(blocks, r)
		}
		for i, r := range blocks {
			if h.Bytes(r, 0, size)[size-1] != byte(i) {
				t.Fatalf("round %d: block %d lost its content", round, i)
			}
			h.Free(r)
		}
		wait(t, func() bool { return p.Stats().Warm <= scavengeMin })
	}
	if mapped := p.mappedBytes.Load(); mapped > n*size*3/2 {
		t.Errorf("%d bytes mapped for %d in use at most", mapped, n*size)
	}
}

// TestLater: jobs run in order, and closing the pool does not wait for what has not begun.
func TestLater(t *testing.T) {
	p := NewPool()
	var got []int
	done := make(chan struct{})
	for i := range 100 {
		p.Later(10, func() {
			got = append(got, i)
			if i == 99 {
				close(done)
			}
		})
	}
	<-done
	for i, v := range got {
		if i != v {
			t.Fatalf("job %d ran as number %d", v, i)
		}
	}
	wait(t, func() bool { return p.Stats().Pending == 0 })
	p.Close()
}

// wait yields until something that happens on another goroutine is so; the test's own deadline is the limit.
func wait(t *testing.T, so func() bool) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !so() {
			runtime.Gosched()
		}
	}()
	<-done
}

// What grows through the classes leaves no empty slab in each of them.
func TestGrowingLeavesNoSlabs(t *testing.T) {
	p := NewPool()
	defer p.Close()
	h := p.NewHeap()
	var refs [100]Ref
	for c, size := range classSize {
		for i, r := range refs {
			refs[i] = h.Alloc(int(size))
			if c > 0 {
				h.Free(r)
			}
		}
		if size > 1024 {
			break
		}
	}
	if msg := h.Check(); msg != "" {
		t.Fatal(msg)
	}
	if want := h.Used() + 6*spanBytes; h.Mapped() > want {
		t.Errorf("%d bytes mapped for %d used, want at most %d", h.Mapped(), h.Used(), want)
	}
	// The classes that were left serve again.
	for i, r := range refs {
		h.Free(r)
		refs[i] = h.Alloc(16 + i)
	}
	for _, r := range refs {
		h.Free(r)
	}
	if msg := h.Check(); msg != "" || h.Used() != 0 {
		t.Fatalf("%s; %d bytes used", msg, h.Used())
	}
}
