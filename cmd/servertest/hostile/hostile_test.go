package hostile

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidemark/cmd/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// behaviour is one way to be a bad client: it works on a raw connection until stop.
type behaviour struct {
	name string
	run  func(c net.Conn, rnd *rand.Rand)
}

var behaviours = []behaviour{
	{"asks for much and reads nothing", func(c net.Conn, rnd *rand.Rand) {
		request := servertest.AppendCommand(nil, "GET", "large")
		for range 10000 {
			if _, err := c.Write(request); err != nil {
				return
			}
		}
	}},
	{"sends garbage", func(c net.Conn, rnd *rand.Rand) {
		b := make([]byte, 4096)
		for {
			for i := range b {
				b[i] = byte(rnd.Uint32())
			}
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	}},
	{"sends half a command and waits", func(c net.Conn, rnd *rand.Rand) {
		c.Write([]byte("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\nabc"))
		c.Read(make([]byte, 1)) // until the test ends
	}},
	{"sends a command byte by byte", func(c net.Conn, rnd *rand.Rand) {
		for {
			for _, b := range servertest.AppendCommand(nil, "SET", "slow", "value") {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
			}
		}
	}},
	{"promises arrays and bulks of enormous size", func(c net.Conn, rnd *rand.Rand) {
		c.Write([]byte("*1048576\r\n$536870912\r\n"))
		c.Write(make([]byte, 1<<16))
		c.Read(make([]byte, 1))
	}},
	{"sends a line that never ends", func(c net.Conn, rnd *rand.Rand) {
		line := []byte(strings.Repeat("x", 1<<14))
		for {
			if _, err := c.Write(line); err != nil {
				return
			}
		}
	}},
	{"resets the connection in mid-command", func(c net.Conn, rnd *rand.Rand) {
		c.Write([]byte("*2\r\n$3\r\nGET\r\n"))
		if tcp, ok := c.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
	}},
	{"queues a transaction for ever", func(c net.Conn, rnd *rand.Rand) {
		c.Write(servertest.AppendCommand(nil, "MULTI"))
		request := servertest.AppendCommand(nil, "SET", "queued", strings.Repeat("v", 100))
		drain := make([]byte, 1<<16)
		for range 20000 {
			if _, err := c.Write(request); err != nil {
				return
			}
			c.SetReadDeadline(time.Now().Add(time.Millisecond))
			c.Read(drain)
		}
	}},
	{"pipelines as fast as it can", func(c net.Conn, rnd *rand.Rand) {
		var b []byte
		for i := range 1000 {
			b = servertest.AppendCommand(b, "SET", fmt.Sprintf("busy:%d", i), "v")
		}
		go func() {
			drain := make([]byte, 1<<16)
			for {
				if _, err := c.Read(drain); err != nil {
					return
				}
			}
		}()
		for {
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	}},
}

func TestOneGoodClientAmongMany(t *testing.T) {
	const lasting = 4 * time.Second
	srv := servertest.StartTidemark(t, servertest.Config{Args: []string{"--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
		"--client-output-buffer-limit", "normal 16mb 8mb 1", "--client-query-buffer-limit", "8mb", "--auto-aof-rewrite-percentage", "0"}})
	good := srv.Connect(t)
	good.Must(t, "SET", "large", strings.Repeat("x", 1<<20))
	stop := time.Now().Add(lasting)
	var wg sync.WaitGroup
	for i, b := range behaviours {
		for copyNo := range 2 {
			rnd := rand.New(rand.NewPCG(uint64(i), uint64(copyNo)))
			wg.Go(func() {
				for time.Now().Before(stop) {
					c, err := net.Dial("tcp", srv.Addr)
					if err != nil {
						return
					}
					done := time.AfterFunc(time.Until(stop), func() { c.Close() })
					b.run(c, rnd)
					done.Stop()
					c.Close()
				}
			})
		}
	}
	var took []time.Duration
	var worstRSS int64
	for i := 0; time.Now().Before(stop); i++ {
		key, value := fmt.Sprintf("good:%d", i%100), fmt.Sprint(i)
		begin := time.Now()
		if r := good.Must(t, "SET", key, value); r.Str != "OK" {
			t.Fatalf("SET: %s", r)
		}
		if r := good.Must(t, "GET", key); r.Str != value {
			t.Fatalf("GET: %s, expected %s", r, value)
		}
		took = append(took, time.Since(begin))
		if rss, _, err := srv.Memory(); err == nil {
			worstRSS = max(worstRSS, rss)
		}
	}
	wg.Wait()
	slices.Sort(took)
	median, longest := took[len(took)/2], took[len(took)-1]
	t.Logf("%d pairs of SET and GET, median %v, longest %v; RSS at most %d MiB", len(took), median, longest, worstRSS>>20)
	// Twenty clients fight for the processors here, so it is slow; but whoever waits for another's socket waits until the end.
	if longest > lasting-lasting/4 && !servertest.RaceEnabled {
		t.Errorf("the good client waited for %v", longest)
	}
	if worstRSS > 1<<30 && !servertest.RaceEnabled {
		t.Errorf("the server's memory reached %d MiB", worstRSS>>20)
	}
	if r := srv.Connect(t).Must(t, "PING"); r.Str != "PONG" {
		t.Errorf("afterwards: %s", r)
	}
}

// A bulk of the largest size that is allowed, split into odd pieces, survives the way in and out.
func TestLargestBulks(t *testing.T) {
	size := 512 << 20
	if servertest.RaceEnabled {
		size = 64 << 20
	}
	srv := servertest.StartTidemark(t, servertest.Config{Args: []string{"--appendonly", "no", "--save", ""}})
	c := srv.Connect(t)
	value := make([]byte, size)
	for i := 0; i < size; i += 4099 {
		value[i] = byte(i)
	}
	header := fmt.Sprintf("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n", size)
	for _, piece := range [][]byte{[]byte(header), value[:1], value[1 : size/2+1], value[size/2+1:], []byte("\r"), []byte("\n")} {
		if err := c.SendRaw(piece); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := c.Receive(); err != nil || r.Str != "OK" {
		t.Fatalf("SET of %d bytes: %v %v", size, r, err)
	}
	if r := c.Must(t, "STRLEN", "k"); r.Int != int64(size) {
		t.Errorf("STRLEN %s", r)
	}
	if r := c.Must(t, "GET", "k"); r.Str != string(value) {
		t.Errorf("GET returned other bytes (%d of %d)", len(r.Str), size)
	}
	if err := c.SendRaw(fmt.Appendf(nil, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n", 512<<20+1)); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Receive(); err != nil || r.Str != "ERR Protocol error: invalid bulk length" {
		t.Errorf("a bulk beyond proto-max-bulk-len: %v %v", r, err)
	}
}
