package hostile

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/cmd/servertest"
)

const mib = 1 << 20

// hog is a way to make the server keep n bytes for a client.
type hog struct {
	name string
	take func(c net.Conn, n int)
}

var hogs = []hog{
	{"half a request", func(c net.Conn, n int) {
		fmt.Fprintf(c, "*2\r\n$4\r\nECHO\r\n$%d\r\n", n+1)
		c.Write(make([]byte, n))
	}},
	{"replies not read", func(c net.Conn, n int) {
		// The kernel's buffers take some as well.
		for range (n + 16*mib) / mib {
			c.Write(servertest.AppendCommand(nil, "GET", "mebibyte"))
		}
	}},
	{"a transaction", func(c net.Conn, n int) {
		c.Write(servertest.AppendCommand(nil, "MULTI"))
		for range n / 10000 {
			c.Write(servertest.AppendCommand(nil, "SET", "k", strings.Repeat("v", 10000)))
		}
	}},
	// The last one, as redis counts some bytes for each key, but not its name.
	{"watched keys", func(c net.Conn, n int) {
		for i := range n / 10000 {
			c.Write(servertest.AppendCommand(nil, "WATCH", strconv.Itoa(i)+strings.Repeat("k", 10000)))
		}
	}},
}

// eachServer runs f on tidemark and on redis-server, with a value of a MiB and a client that is never evicted.
func eachServer(t *testing.T, f func(t *testing.T, srv *servertest.Server, admin *servertest.Client)) {
	for name, start := range map[string]func() *servertest.Server{
		"tidemark": func() *servertest.Server {
			return servertest.StartTidemark(t, servertest.Config{Args: []string{"--save", "", "--appendonly", "no"}})
		},
		"redis": func() *servertest.Server { return servertest.StartRedis(t, servertest.Config{}) },
	} {
		t.Run(name, func(t *testing.T) {
			srv := start()
			admin := srv.Connect(t)
			admin.Must(t, "CLIENT", "NO-EVICT", "ON")
			admin.Must(t, "SET", "mebibyte", strings.Repeat("v", mib))
			f(t, srv, admin)
		})
	}
}

// evicted is INFO's count.
func evicted(t *testing.T, c *servertest.Client) int64 {
	t.Helper()
	_, after, _ := strings.Cut(c.Must(t, "INFO", "stats").Str, "\nevicted_clients:")
	n, err := strconv.ParseInt(strings.TrimSpace(strings.SplitN(after, "\r", 2)[0]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// awaitEvicted waits until so many clients have been evicted, and makes sure that it stays at that.
func awaitEvicted(t *testing.T, c *servertest.Client, want int64) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for evicted(t, c) < want && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	time.Sleep(150 * time.Millisecond) // redis adds memory up in its cron
	if n := evicted(t, c); n != want {
		t.Fatalf("%d clients evicted, expected %d:\n%s", n, want, c.Must(t, "CLIENT", "LIST").Str)
	}
}

// lives reports whether the server still knows the connection, which may owe replies.
func lives(t *testing.T, admin *servertest.Client, c net.Conn) bool {
	t.Helper()
	return strings.Contains(admin.Must(t, "CLIENT", "LIST").Str, "addr="+c.LocalAddr().String()+" ")
}

// take has a hog of its own connection take n bytes, and returns it. What the server replies is thrown away, unless not reading is the point.
func take(t *testing.T, srv *servertest.Server, h hog, n int) net.Conn {
	t.Helper()
	c := srv.Connect(t).NetConn()
	if h.name != "replies not read" {
		go io.Copy(io.Discard, c)
	}
	h.take(c, n)
	return c
}

// Whatever a client makes the server keep counts, and the client that has most of it goes; others do not notice.
func TestGreedyClientsAreEvicted(t *testing.T) {
	eachServer(t, func(t *testing.T, srv *servertest.Server, admin *servertest.Client) {
		small := srv.Connect(t)
		admin.Must(t, "CONFIG", "SET", "maxmemory-clients", "5mb")
		list := hogs
		if strings.HasSuffix(t.Name(), "redis") {
			list = hogs[:len(hogs)-1]
		}
		for i, h := range list {
			t.Run(h.name, func(t *testing.T) {
				c := take(t, srv, h, 20*mib)
				awaitEvicted(t, admin, int64(i+1))
				if lives(t, admin, c) {
					t.Error("somebody else was evicted")
				}
				if r := small.Must(t, "PING"); r.Str != "PONG" {
					t.Error(r)
				}
			})
		}
	})
}

// CLIENT NO-EVICT spares the client, but what it takes counts: others go for it.
func TestNoEvictSpares(t *testing.T) {
	eachServer(t, func(t *testing.T, srv *servertest.Server, admin *servertest.Client) {
		small := srv.Connect(t)
		small.Must(t, "PING")
		greedy := srv.Connect(t)
		greedy.Must(t, "CLIENT", "NO-EVICT", "ON")
		greedy.Must(t, "MULTI")
		for range 20 {
			greedy.Must(t, "SET", "k", strings.Repeat("v", mib))
		}
		admin.Must(t, "CONFIG", "SET", "maxmemory-clients", "5mb")
		awaitEvicted(t, admin, 1)
		if !small.Closed() {
			t.Error("the client that is not exempt was spared")
		}
		if r := greedy.Must(t, "GET", "k"); r.Str != "QUEUED" {
			t.Error(r)
		}
		// NO-EVICT cannot be queued for now: it must be said outside the transaction, which then holds nothing.
		if r := greedy.Must(t, "DISCARD"); r.Str != "OK" {
			t.Error(r)
		}
		greedy.Must(t, "CLIENT", "NO-EVICT", "OFF")
		take(t, srv, hogs[2], 20*mib)
		awaitEvicted(t, admin, 2)
		if r := greedy.Must(t, "PING"); r.Str != "PONG" {
			t.Error(r)
		}
	})
}

// A lower limit takes effect at once: the largest go first, and no more than needed.
func TestLargestClientsGoFirst(t *testing.T) {
	eachServer(t, func(t *testing.T, srv *servertest.Server, admin *servertest.Client) {
		var c [4]net.Conn
		for i, size := range []int{mib / 2, 3 * mib / 2, 9 * mib / 2, 27 * mib / 2} {
			c[i] = take(t, srv, hogs[2], size)
		}
		total := func() int64 {
			_, after, _ := strings.Cut(admin.Must(t, "INFO", "memory").Str, "\nmem_clients_normal:")
			n, _ := strconv.ParseInt(strings.SplitN(after, "\r", 2)[0], 10, 64)
			return n
		}
		for deadline := time.Now().Add(10 * time.Second); total() < 19*mib; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("clients that keep 20 MiB count as %d bytes:\n%s", total(), admin.Must(t, "CLIENT", "LIST").Str)
			}
		}
		for gone, limit := range []string{"100mb", "12mb", "4mb", "1500kb"} {
			admin.Must(t, "CONFIG", "SET", "maxmemory-clients", limit)
			awaitEvicted(t, admin, int64(gone))
			for i := range c {
				if want := i < len(c)-gone; lives(t, admin, c[i]) != want {
					t.Errorf("limit %s: client %d lives: %v", limit, i, !want)
				}
			}
		}
	})
}

// A percentage is one of maxmemory, and none without it; and no limit is so low that nobody can be served.
func TestClientLimitAsPercentage(t *testing.T) {
	eachServer(t, func(t *testing.T, srv *servertest.Server, admin *servertest.Client) {
		admin.Must(t, "CONFIG", "SET", "maxmemory-clients", "10%")
		c := take(t, srv, hogs[2], 20*mib)
		awaitEvicted(t, admin, 0)
		admin.Must(t, "CONFIG", "SET", "maxmemory", "500mb")
		awaitEvicted(t, admin, 0)
		admin.Must(t, "CONFIG", "SET", "maxmemory", "100mb")
		// Redis looks at the clients again with the next command.
		awaitEvicted(t, admin, 1)
		if lives(t, admin, c) {
			t.Error("somebody else was evicted")
		}
		admin.Must(t, "CONFIG", "SET", "maxmemory-clients", "1")
		plain := srv.Connect(t)
		for range 10 {
			if r := plain.Must(t, "PING"); r.Str != "PONG" {
				t.Error(r)
			}
		}
		take(t, srv, hogs[2], mib)
		awaitEvicted(t, admin, 2)
	})
}

// The limit holds within a pipeline: its requests stop being executed when what they reply has become too much.
func TestEvictionInMidPipeline(t *testing.T) {
	srv := servertest.StartTidemark(t, servertest.Config{Args: []string{"--save", "", "--appendonly", "no", "--maxmemory-clients", "64mb"}})
	admin := srv.Connect(t)
	admin.Must(t, "CLIENT", "NO-EVICT", "ON")
	admin.Must(t, "SET", "large", strings.Repeat("v", 16*mib))
	before, _, err := srv.Memory()
	if err != nil {
		t.Fatal(err)
	}
	c := srv.Connect(t)
	for range 200 {
		c.Queue("GET", "large")
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	awaitEvicted(t, admin, 1)
	_, peak, err := srv.Memory()
	if err != nil {
		t.Fatal(err)
	}
	if grown := peak - before; grown > 400*mib {
		t.Errorf("3.2 GiB of replies to a client that does not read them, with a limit of 64 MiB: %d MiB more memory", grown/mib)
	}
}
