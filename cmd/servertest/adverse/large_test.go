package adverse

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tidemark/cmd/servertest"
)

const mib = 1 << 20

// Effects that no ring holds travel by reference, and are whole batches of their own. Acknowledged, they survive kill -9 to the last byte; killed in
// the middle, they are there wholly or not at all.
func TestLargeEffects(t *testing.T) {
	sizes := []int{1, 16}
	if scale(t) > 1 {
		sizes = []int{1, 16, 100, 512}
	}
	seed := uint64(servertest.Setting(t, "TIDEMARK_SEED", time.Now().UnixNano()))
	rnd := rand.New(rand.NewPCG(seed, 9))
	for _, policy := range []string{"always", "everysec"} {
		for _, size := range sizes {
			for _, shape := range []string{"a value", "a transaction of many values", "a transaction of a few values"} {
				t.Run(fmt.Sprintf("%s, %d MiB, %s", policy, size, shape), func(t *testing.T) {
					t.Logf("seed %d", seed)
					big := newBlock(shape, size*mib, byte(size))
					srv := servertest.StartTidemark(t, servertest.Config{Ready: 2 * time.Minute,
						Args: []string{"--appendonly", "yes", "--appendfsync", policy, "--save", "", "--client-query-buffer-limit", "2gb"}})
					srv.Connect(t).Must(t, "SET", "before", "v")

					// Killed right after the answer.
					c := srv.Connect(t)
					c.SetTimeout(2 * time.Minute)
					big.send(t, c)
					if r := big.answer(t, c); r.IsError() {
						t.Fatal(r)
					}
					srv.Kill()
					srv = restart(t, srv)
					if got := big.read(t, srv); got != big.sum {
						t.Fatalf("acknowledged and lost: read back %q, sent %q", got, big.sum)
					}

					// Killed somewhere on the way to it. The keys are overwritten, so that a part would show.
					next := newBlock(shape, size*mib, byte(size)+1)
					c = srv.Connect(t)
					c.SetTimeout(2 * time.Minute)
					done := make(chan struct{})
					go func() {
						defer close(done)
						time.Sleep(time.Duration(rnd.IntN(10+8*size)) * time.Millisecond) // a random moment
						srv.Kill()
					}()
					next.sendQuietly(c)
					<-done
					srv = restart(t, srv)
					if got := next.read(t, srv); got != big.sum && got != next.sum {
						t.Fatalf("neither all of the old nor all of the new: read back %q, old %q, new %q", got, big.sum, next.sum)
					}
					if r := srv.Connect(t).Must(t, "GET", "before"); r.Str != "v" {
						t.Errorf("before = %s", r)
					}
					if r := srv.Connect(t).Must(t, "SET", "after", "v"); r.Str != "OK" {
						t.Errorf("after: %s", r)
					}
					srv.Kill()
				})
			}
		}
	}
}

// More in large effects at once than the log lets wait by reference: writers wait their turn, and all of it arrives.
func TestManyLargeEffects(t *testing.T) {
	for _, policy := range []string{"always", "everysec"} {
		t.Run(policy, func(t *testing.T) {
			srv := servertest.StartTidemark(t, servertest.Config{Ready: 2 * time.Minute,
				Args: []string{"--appendonly", "yes", "--appendfsync", policy, "--save", ""}})
			const clients, each = 24, 16 * mib // 384 MiB; 256 may wait
			value := strings.Repeat("x", each)
			var wg sync.WaitGroup
			for i := range clients {
				c := srv.Connect(t)
				c.SetTimeout(2 * time.Minute)
				wg.Go(func() {
					if r, err := c.Do("SET", fmt.Sprintf("k%d", i), value); err != nil || r.Str != "OK" {
						t.Errorf("client %d: %v %v", i, r, err)
					}
				})
			}
			wg.Wait()
			srv.Kill()
			srv = restart(t, srv)
			c := srv.Connect(t)
			for i := range clients {
				if r := c.Must(t, "STRLEN", fmt.Sprintf("k%d", i)); r.Int != each {
					t.Errorf("acknowledged and lost: k%d has %s bytes", i, r)
				}
			}
			srv.Kill()
		})
	}
}

func restart(t *testing.T, srv *servertest.Server) *servertest.Server {
	t.Helper()
	again, err := srv.Restart()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Kill)
	return again
}

// block is one large effect: a SET, or a transaction of SETs.
type block struct {
	raw  []byte // the requests
	keys int    // k0, k1, ...
	exec bool
	sum  string // what read gives when all of it is there
}

func newBlock(shape string, size int, fill byte) *block {
	b := &block{keys: 1}
	switch shape {
	case "a transaction of many values":
		b.exec, b.keys = true, size/1024
	case "a transaction of a few values":
		b.exec, b.keys = true, 7
	}
	each := size / b.keys
	value := bytes.Repeat([]byte{'a' + fill%26}, each)
	if b.exec {
		b.raw = servertest.AppendCommand(make([]byte, 0, size+b.keys*64+64), "MULTI")
	}
	for i := range b.keys {
		b.raw = fmt.Appendf(b.raw, "*3\r\n$3\r\nSET\r\n$%d\r\nk%d\r\n$%d\r\n", 1+len(strconv.Itoa(i)), i, each)
		b.raw = append(append(b.raw, value...), '\r', '\n')
	}
	if b.exec {
		b.raw = servertest.AppendCommand(b.raw, "EXEC")
	}
	b.sum = sum(b.keys, each, crc32.ChecksumIEEE(value))
	return b
}

// sum describes values that are all the same.
func sum(keys, size int, crc uint32) string {
	return fmt.Sprintf("%d of %d bytes, %08x", keys, size, crc)
}

// send writes the requests while it drops the replies before the last.
func (b *block) send(t *testing.T, c *servertest.Client) {
	t.Helper()
	sent := make(chan error, 1)
	go func() { sent <- c.SendRaw(b.raw) }()
	if b.exec {
		for i := range b.keys + 1 {
			if r, err := c.Receive(); err != nil || r.IsError() {
				t.Fatalf("reply %d: %v %v", i, r, err)
			}
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

func (b *block) answer(t *testing.T, c *servertest.Client) servertest.Reply {
	t.Helper()
	r, err := c.Receive()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sendQuietly is send for a server that may die meanwhile.
func (b *block) sendQuietly(c *servertest.Client) {
	go c.SendRaw(b.raw)
	for range b.keys + 2 {
		if _, err := c.Receive(); err != nil {
			return
		}
	}
}

// read describes what the server has: sum, or what differs.
func (b *block) read(t *testing.T, srv *servertest.Server) string {
	t.Helper()
	c := srv.Connect(t)
	c.SetTimeout(2 * time.Minute)
	first := ""
	for i := range b.keys {
		r := c.Must(t, "GET", fmt.Sprintf("k%d", i))
		s := sum(b.keys, len(r.Str), crc32.ChecksumIEEE([]byte(r.Str)))
		if first == "" {
			first = s
		}
		if s != first {
			return fmt.Sprintf("k0 is %s, k%d is %s", first, i, s)
		}
	}
	return first
}
