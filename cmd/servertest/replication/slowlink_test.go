package replication

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/cmd/servertest"
	"tidemark/cmd/servertest/netns"
)

// BenchmarkSlowLink measures what repl-compression gains: a primary is written to as fast as it takes it, and its replica stands behind a line of a limited
// rate and 1 ms each way. Reported are the time until the replica has everything, the log's bytes a second, how many of them one byte of the link
// stood for, and the CPU time that a write cost each side.
//
//	go test -run XXX -bench SlowLink -benchtime 2x ./cmd/servertest/replication
func BenchmarkSlowLink(b *testing.B) {
	for _, data := range []struct {
		name string
		make func(*rand.Rand) string
	}{{"documents", document}, {"noise", noise}} {
		for _, mbit := range []int64{50, 200, 1000} {
			for _, compression := range []string{"no", "auto", "yes"} {
				b.Run(fmt.Sprintf("%s/%dMbit/%s", data.name, mbit, compression), func(b *testing.B) {
					slowLink(b, data.make, mbit*1e6/8, compression)
				})
			}
		}
	}
}

// document is some 180 bytes as applications store them.
func document(rnd *rand.Rand) string {
	words := [...]string{"anna", "boris", "clara", "david", "elena", "frank", "gruber", "hansen", "ivanova", "jones", "keller", "larsen", "meyer", "novak"}
	word := func() string { return words[rnd.IntN(len(words))] }
	return fmt.Sprintf(`{"id":%d,"name":"%s %s","email":"%s.%s%d@example.com","created":"2026-%02d-%02dT%02d:%02d:%02dZ","active":%t,"balance":%d.%02d,"token":"%016x","visits":%d}`,
		rnd.IntN(1e9), word(), word(), word(), word(), rnd.IntN(1000), 1+rnd.IntN(12), 1+rnd.IntN(28), rnd.IntN(24), rnd.IntN(60), rnd.IntN(60), rnd.IntN(3) > 0,
		rnd.IntN(100000), rnd.IntN(100), rnd.Uint64(), rnd.IntN(5000))
}

// noise is what nothing can make smaller.
func noise(rnd *rand.Rand) string {
	p := make([]byte, 250)
	for i := range p {
		p[i] = byte(rnd.Uint32())
	}
	return string(p)
}

func slowLink(b *testing.B, value func(*rand.Rand) string, rate int64, compression string) {
	bin, err := servertest.Binary()
	if err != nil {
		b.Fatal(err)
	}
	network, hosts := netns.New(b, "primary", "replica")
	var servers [2]*servertest.Server
	for i, h := range hosts {
		servers[i], err = servertest.Start(servertest.Config{Bin: bin, Dir: b.TempDir(), Port: 6379, Bind: []string{h.Addr}, Enter: h.Enter, Dial: h.Dial,
			Args: []string{"--save", "", "--protected-mode", "no", "--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0",
				"--repl-diskless-sync-delay", "0", "--repl-backlog-size", "256mb", "--repl-compression", compression}})
		if err != nil {
			b.Fatal(err)
		}
		defer servers[i].Kill()
	}
	primary, replica := clientOf(b, servers[0]), clientOf(b, servers[1])
	ask(b, replica, "REPLICAOF", hosts[0].Addr, "6379")
	until(b, func() bool { return strings.Contains(ask(b, replica, "INFO", "replication"), "master_link_status:up") })
	line := netns.Fault{Rate: rate, Delay: time.Millisecond}
	network.SetBoth(hosts[0], hosts[1], line)

	const writes, batch = 100_000, 200
	rnd := rand.New(rand.NewPCG(1, 2))
	var log, link int64
	var cpu [2]time.Duration
	b.ResetTimer()
	for range b.N {
		logBefore, linkBefore := sentTo(b, primary)
		for i, s := range servers {
			used, err := s.CPU()
			if err != nil {
				b.Fatal(err)
			}
			cpu[i] -= used
		}
		for range writes / batch {
			for range batch {
				primary.Queue("SET", "user:"+strconv.Itoa(rnd.IntN(50_000)), value(rnd))
			}
			if err := primary.Flush(); err != nil {
				b.Fatal(err)
			}
			for range batch {
				if r, err := primary.Receive(); err != nil || r.IsError() {
					b.Fatal(r, err)
				}
			}
		}
		primary.SetTimeout(2 * time.Minute)
		if got := ask(b, primary, "WAIT", "1", "0"); got != "1" {
			b.Fatalf("WAIT: %s", got)
		}
		logAfter, linkAfter := sentTo(b, primary)
		log, link = log+logAfter-logBefore, link+linkAfter-linkBefore
		for i, s := range servers {
			used, err := s.CPU()
			if err != nil {
				b.Fatal(err)
			}
			cpu[i] += used
		}
	}
	b.StopTimer()
	took := b.Elapsed().Seconds()
	b.ReportMetric(took/float64(b.N), "s/op")
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(log)/1e6/took, "log-MB/s")
	b.ReportMetric(float64(log)/float64(link), "log/link")
	b.ReportMetric(float64(cpu[0].Microseconds())/float64(b.N*writes), "primary-µs/SET")
	b.ReportMetric(float64(cpu[1].Microseconds())/float64(b.N*writes), "replica-µs/SET")
}

func clientOf(b *testing.B, s *servertest.Server) *servertest.Client {
	c, err := s.Dial()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}

func ask(b *testing.B, c *servertest.Client, args ...string) string {
	b.Helper()
	r, err := c.Do(args...)
	if err != nil || r.IsError() {
		b.Fatalf("%v: %v %v", args, r, err)
	}
	return strings.TrimPrefix(r.String(), ":")
}

func until(b *testing.B, ok func() bool) {
	b.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatal("the link does not come up")
		}
	}
}

// sentTo is what the only replica was sent: bytes of the log, and what they were on the link.
func sentTo(b *testing.B, primary *servertest.Client) (log, link int64) {
	b.Helper()
	text := ask(b, primary, "INFO", "replication")
	for name, at := range map[string]*int64{"log_bytes=": &log, "link_bytes=": &link} {
		_, rest, _ := strings.Cut(text, name)
		digits, _, _ := strings.Cut(rest, ",")
		digits, _, _ = strings.Cut(digits, "\r\n")
		digits, _, _ = strings.Cut(digits, `\r`)
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil {
			b.Fatalf("no %s in %s", name, text)
		}
		*at = n
	}
	return log, link
}
