package engine

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"tidemark/engine/config"
	"tidemark/engine/serverlog"
	"tidemark/netio"
	"tidemark/netio/resp"
)

// benchServer is a server that nobody talks to over a socket. Its log is in memory, so that the disk does not count.
func benchServer(b *testing.B) *Server {
	b.Helper()
	dir := b.TempDir()
	inv, err := config.ParseArgs([]string{"--port", "0", "--unixsocket", filepath.Join(dir, "s"), "--dir", dir, "--save", "", "--appendonly", "no"})
	if err != nil {
		b.Fatal(err)
	}
	cfg, err := config.Read(inv, nil)
	if err != nil {
		b.Fatal(err)
	}
	log, err := serverlog.New(serverlog.Options{Path: filepath.Join(dir, "log")})
	if err != nil {
		b.Fatal(err)
	}
	s, err := Start(cfg, log, nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := s.WaitLoaded(); err != nil {
		b.Fatal(err)
	}
	if _, err := s.EnsureStream(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Shutdown(config.ShutdownNoSave); err != nil {
			b.Error(err)
		}
		log.Close()
	})
	return s
}

// setStream is SETs of 64-byte values to random keys out of so many.
func setStream(n, keys int) []byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	value := fmt.Sprintf("%064d", 7)
	var p []byte
	for range n {
		p = fmt.Appendf(p, "*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$64\r\n%s\r\n", rnd.IntN(keys), value)
	}
	return p
}

// BenchmarkFollow compares what one effect costs where it is executed first with what it costs a replica: parsing, execution and the log, without
// sockets. An operation is one SET.
func BenchmarkFollow(b *testing.B) {
	const turn = 512 // commands between two commits
	for _, keys := range []int{1000, 1_000_000} {
		stream := setStream(1<<17, keys)
		each := len(stream) / (1 << 17)
		fill := func(b *testing.B, s *Server) {
			b.Helper()
			x := s.newExecutor()
			all := setStream(2*keys, keys)
			for at := 0; at < len(all); {
				n, err := x.gather(all[at:], 0)
				if err != nil {
					b.Fatal(err)
				}
				x.ctx.Exclusively(x.run)
				at += n
			}
		}
		b.Run(fmt.Sprintf("primary/%d", keys), func(b *testing.B) {
			s := benchServer(b)
			fill(b, s)
			conn := &netio.Conn{}
			conn.SetAuthenticated(true)
			ls := s.stateOf(s.net.Loops()[0])
			ss := &Session{srv: s, conn: conn, loop: ls, authed: true}
			ls.ctx.Client, ls.ctx.W, ls.ctx.Now = ss, &conn.W, nowMillis()
			var parser resp.Parser
			parser.MaxBulk = 512 << 20
			var args [][]byte
			b.ResetTimer()
			at := 0
			for i := range b.N {
				skip, n, out, _, err := parser.Parse(stream[at:], args[:0])
				if err != nil || n == 0 {
					b.Fatal(n, err)
				}
				args = out
				req := netio.Request{Args: args, Raw: stream[at+skip : at+skip+n]}
				ls.place(&ls.ahead[0], args)
				for !ls.do(ss, &req, &ls.ahead[0]) {
					ls.parked = nil
					s.Commit()
				}
				if at += skip + n; at == len(stream) {
					at = 0
				}
				if i%turn == turn-1 {
					conn.W.B = conn.W.B[:0]
					*conn = netio.Conn{W: conn.W}
					ls.ctx.Publish()
					s.Commit()
				}
			}
		})
		b.Run(fmt.Sprintf("replica/%d", keys), func(b *testing.B) {
			s := benchServer(b)
			fill(b, s)
			s.SetRole(Role{Replica: true, LinkUp: true})
			f := s.NewFollower(0)
			b.ResetTimer()
			at := 0
			for done := 0; done < b.N; {
				n := min(turn, b.N-done) * each
				n = min(n, len(stream)-at)
				for used := 0; used < n; {
					k, err := f.Apply(stream[at+used : at+n])
					if err != nil || k == 0 && !f.Blocked() {
						b.Fatal(k, err)
					}
					used += k
					s.Commit()
				}
				done += n / each
				if at += n; at == len(stream) {
					at = 0
				}
			}
		})
	}
}
