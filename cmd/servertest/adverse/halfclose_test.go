package adverse

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"tidemark/cmd/servertest"
)

// Clients that say all they have to say and then shut their half of the connection down (printf ... | nc) get every reply that they were
// promised, on a slow disk as well, and then the end of the connection.
func TestHalfClosedClients(t *testing.T) {
	long := strings.Repeat("v", 200_000)
	for _, x := range []struct {
		name  string
		send  func(c *servertest.Client) // queues
		want  []string                   // replies, as Reply.String writes them, cut at 40 bytes
		alone bool                       // redis may answer less, depending on when it reads the end
	}{
		{name: "one write", send: func(c *servertest.Client) { c.Queue("SET", "k", "v") }, want: []string{"+OK"}},
		{name: "a pipeline", send: func(c *servertest.Client) {
			for i := range 200 {
				c.Queue("SET", "k", fmt.Sprint(i))
				c.Queue("GET", "k")
			}
		}, want: func() (w []string) {
			for i := range 200 {
				w = append(w, "+OK", fmt.Sprintf("%q", fmt.Sprint(i)))
			}
			return
		}()},
		{name: "a transaction", send: func(c *servertest.Client) {
			c.Queue("MULTI")
			c.Queue("SET", "k", "1")
			c.Queue("INCR", "k")
			c.Queue("EXEC")
		}, want: []string{"+OK", "+QUEUED", "+QUEUED", "[+OK, :2]"}},
		{name: "more than a ring holds", send: func(c *servertest.Client) {
			for range 60 {
				c.Queue("SET", "large", long[:10_000])
			}
		}, want: func() (w []string) {
			for range 60 {
				w = append(w, "+OK")
			}
			return
		}()},
		{name: "long replies", alone: true, send: func(c *servertest.Client) {
			c.Queue("SET", "large", long)
			for range 100 {
				c.Queue("GET", "large")
			}
		}, want: func() (w []string) {
			w = append(w, "+OK")
			for range 100 {
				w = append(w, fmt.Sprintf("%q", long)[:40])
			}
			return
		}()},
		{name: "half a request at the end", send: func(c *servertest.Client) {
			c.Queue("SET", "k", "v")
			c.Flush()
			c.SendRaw([]byte("*2\r\n$3\r\nGET\r\n$5\r\nab"))
		}, want: []string{"+OK"}},
		// As in Redis, who leaves while it is blocked gets no answer; but what stands before it.
		{name: "blocked", alone: true, send: func(c *servertest.Client) {
			c.Queue("SET", "k", "v")
			c.Queue("WAIT", "1", "0")
		}, want: []string{"+OK"}},
	} {
		for name, start := range map[string]func() *servertest.Server{
			"always": func() *servertest.Server {
				return servertest.StartTidemark(t, servertest.Config{Wrap: slowSyncs(t, 50*time.Millisecond),
					Args: []string{"--appendonly", "yes", "--appendfsync", "always", "--save", "", "--ring-size", "64kb", "--shards", "1"}})
			},
			"everysec": func() *servertest.Server {
				return servertest.StartTidemark(t, servertest.Config{
					Args: []string{"--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--ring-size", "4kb", "--shards", "1"}})
			},
			"redis": func() *servertest.Server { return servertest.StartRedis(t, servertest.Config{}) },
		} {
			if x.alone && name == "redis" {
				continue
			}
			t.Run(x.name+", "+name, func(t *testing.T) {
				srv := start()
				c := srv.Connect(t)
				x.send(c)
				sent := make(chan error, 1)
				go func() {
					err := c.Flush()
					if err == nil {
						err = c.NetConn().(*net.TCPConn).CloseWrite()
					}
					sent <- err
				}()
				for i, want := range x.want {
					r, err := c.Receive()
					if err != nil {
						t.Fatalf("reply %d of %d: %v", i+1, len(x.want), err)
					}
					if s := r.String(); s[:min(len(s), 40)] != want {
						t.Fatalf("reply %d: %.60s, expected %s", i+1, s, want)
					}
				}
				if err := <-sent; err != nil {
					t.Error(err)
				}
				if !c.Closed() {
					t.Error("the connection stays open, or more was replied")
				}
				// What it took is given back: the observer is alone.
				o := srv.Connect(t)
				for deadline := time.Now().Add(5 * time.Second); !strings.Contains(o.Must(t, "INFO", "clients").Str, "connected_clients:1\r"); time.Sleep(5 * time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatalf("%s", o.Must(t, "CLIENT", "LIST").Str)
					}
				}
			})
		}
	}
}
