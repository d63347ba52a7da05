package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tidemark/cmd/servertest"
	"tidemark/engine/config"
)

// TestSessionsLikeRedis plays the scripts under testdata/session on tidemark and on a redis-server, and compares every reply. A line of a
// script is a request, quoted as in redis.conf, by the client whose name and a colon stand before it (otherwise a); "~" in front says that
// numbers, addresses and ids may differ. A line "a<" reads a reply that comes late, "a!" expects the connection to be closed.
func TestSessionsLikeRedis(t *testing.T) {
	scripts, err := filepath.Glob("testdata/session/*.txt")
	if err != nil || len(scripts) < 4 {
		t.Fatalf("scripts: %q, %v", scripts, err)
	}
	options := []string{"--enable-debug-command", "yes", "--enable-protected-configs", "yes", "--save", ""}
	for _, path := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			theirs := cast{server: servertest.StartRedis(t, servertest.Config{}), clients: map[string]*servertest.Client{}}
			ours := cast{server: servertest.StartTidemark(t, servertest.Config{Args: options}), clients: map[string]*servertest.Client{}}
			for n, line := range strings.Split(string(text), "\n") {
				if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
					continue
				}
				want, got := theirs.play(t, line), ours.play(t, line)
				if want != got {
					t.Errorf("%s:%d: %s\n  redis: %s\n  here:  %s", path, n+1, line, want, got)
				}
			}
		})
	}
}

// cast is the clients of one server.
type cast struct {
	server  *servertest.Server
	clients map[string]*servertest.Client
}

var (
	who     = regexp.MustCompile(`^([a-z][0-9]?)(:|<|!)`)
	numbers = regexp.MustCompile(`[0-9a-f]{40}|0x[0-9a-f]+|-?\d+(\.\d+)*(:\d+)?`)
)

// play plays one line and gives what came of it.
func (s *cast) play(t *testing.T, line string) string {
	t.Helper()
	line, vague := strings.CutPrefix(line, "~")
	name, what := "a", ":"
	if m := who.FindStringSubmatch(line); m != nil {
		name, what = m[1], m[2]
		line = line[len(m[0]):]
	}
	c := s.clients[name]
	if c == nil {
		c = s.server.Connect(t)
		s.clients[name] = c
	}
	if what == "!" {
		if c.Closed() {
			return "closed"
		}
		return "open"
	}
	if what == ":" {
		args, err := config.SplitLine(strings.TrimSpace(line))
		if err != nil || len(args) == 0 {
			t.Fatalf("bad line %q: %v", line, err)
		}
		c.Queue(args...)
		if err := c.Flush(); err != nil {
			return err.Error()
		}
		if strings.HasSuffix(line, "#silent") {
			return ""
		}
	}
	r, err := c.Receive()
	if err != nil {
		return err.Error()
	}
	if vague {
		return numbers.ReplaceAllString(r.String(), "N")
	}
	return r.String()
}
