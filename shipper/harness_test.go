package shipper

import (
	"strings"
	"testing"

	"tidemark/engine"
	"tidemark/engine/config"
	"tidemark/engine/testclient"
)

// server is a server of the test's own process, with replication.
type server struct {
	t    testing.TB
	s    *engine.Server
	sh   *Shipper
	dir  string
	port string
	args []string
	tune func(*Shipper) // before it starts; nil: nothing
}

// start starts a server with its data in dir; it ends with the test.
func start(t testing.TB, dir string, options ...string) *server {
	t.Helper()
	s := &server{t: t, dir: dir, port: testclient.FreePort(t), args: options}
	s.run()
	return s
}

func (s *server) run() {
	t := s.t
	t.Helper()
	cfg, log := testclient.Setup(t, s.dir, s.port, append([]string{"--repl-diskless-sync-delay", "0"}, s.args...)...)
	s.sh = New()
	if s.tune != nil {
		s.tune(s.sh)
	}
	var err error
	if s.s, err = engine.Start(cfg, log, s.sh); err != nil {
		t.Fatal(err)
	}
	if err := s.s.WaitLoaded(); err != nil {
		t.Fatal(err)
	}
	srv := s.s
	t.Cleanup(func() {
		if s.s == srv {
			s.stop()
		}
	})
}

// stop ends the server.
func (s *server) stop() {
	s.t.Helper()
	if s.s == nil {
		return
	}
	if err := s.s.Shutdown(config.ShutdownNoSave | config.ShutdownNow); err != nil {
		s.t.Errorf("shutdown: %v", err)
	}
	s.s.Wait()
	s.s = nil
}

// follow makes s a replica of p and waits for the link.
func (s *server) follow(p *server) {
	s.t.Helper()
	dial(s.t, s).Want("REPLICAOF 127.0.0.1 "+p.port, "OK")
	s.awaitLink()
}

func (s *server) awaitLink() {
	s.t.Helper()
	c := dial(s.t, s)
	testclient.Eventually(s.t, "the link is up", func() bool { return strings.Contains(c.Do("INFO replication"), "master_link_status:up") })
}

// field is a line of INFO.
func (s *server) field(name string) string {
	s.t.Helper()
	for _, line := range strings.Split(dial(s.t, s).Do("INFO everything"), "\n") {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && k == name {
			return v
		}
	}
	return ""
}

// dial connects a client to s.
func dial(t testing.TB, s *server) *testclient.Client {
	t.Helper()
	return testclient.Dial(t, "127.0.0.1:"+s.port)
}
