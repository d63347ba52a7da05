package commandtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"tidemark/engine/command"
)

// Redis is a redis-server of the test's own, without persistence, on a unix socket.
type Redis struct {
	conn net.Conn
	r    *bufio.Reader
	tb   testing.TB
	buf  []byte
}

// StartRedis starts one, with further options as on its command line; it ends with the test.
func StartRedis(tb testing.TB, options ...string) *Redis {
	tb.Helper()
	dir := tb.TempDir()
	sock := filepath.Join(dir, "s")
	options = append([]string{"--port", "0", "--unixsocket", sock, "--save", "", "--appendonly", "no", "--dir", dir}, options...)
	cmd := exec.Command("redis-server", options...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		tb.Fatalf("redis-server is needed for this test (apt install redis-server): %v", err)
	}
	done := make(chan struct{})
	go func() {
		cmd.Wait()
		close(done)
	}()
	tb.Cleanup(func() {
		cmd.Process.Kill()
		<-done
	})
	deadline := time.Now().Add(10 * time.Second)
	for {
		conn, err := net.Dial("unix", sock)
		if err == nil {
			tb.Cleanup(func() { conn.Close() })
			return &Redis{conn: conn, r: bufio.NewReaderSize(conn, 1<<16), tb: tb}
		}
		select {
		case <-done:
			tb.Fatalf("redis-server ended:\n%s", out.String())
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			tb.Fatalf("redis-server does not answer: %v", err)
		}
	}
}

// Do sends a request and returns the bytes of its reply.
func (s *Redis) Do(args [][]byte) string {
	s.tb.Helper()
	b := fmt.Appendf(s.buf[:0], "*%d\r\n", len(args))
	for _, a := range args {
		b = fmt.Appendf(b, "$%d\r\n", len(a))
		b = append(append(b, a...), '\r', '\n')
	}
	s.buf = b
	if _, err := s.conn.Write(b); err != nil {
		s.tb.Fatal(err)
	}
	var out bytes.Buffer
	if err := s.reply(&out); err != nil {
		s.tb.Fatalf("%q: %v", args, err)
	}
	return out.String()
}

// reply copies one reply, elements and all.
func (s *Redis) reply(out *bytes.Buffer) error {
	line, err := s.r.ReadSlice('\n')
	if err != nil {
		return err
	}
	out.Write(line)
	kind := line[0]
	n, err := strconv.Atoi(string(bytes.TrimRight(line[1:], "\r\n")))
	switch kind {
	case '$', '=':
		if err != nil {
			return err
		}
		if n >= 0 {
			_, err = io.CopyN(out, s.r, int64(n)+2)
			return err
		}
	case '*', '~', '>', '%':
		if err != nil {
			return err
		}
		if kind == '%' {
			n *= 2
		}
		for ; n > 0; n-- {
			if err := s.reply(out); err != nil {
				return err
			}
		}
	}
	return nil
}

// infoSpec is a key specification as COMMAND INFO gives it in JSON.
type infoSpec struct {
	Flags []string `json:"flags"`
	Begin struct {
		Type string
		Spec struct {
			Index, StartFrom int
			Keyword          string
		}
	} `json:"begin_search"`
	Find struct {
		Type string
		Spec struct{ LastKey, KeyStep, Limit, KeyNumIdx, FirstKey int }
	} `json:"find_keys"`
}

// CompareInfo compares descriptors with what the redis-server says of the same commands: arity, flags, ACL categories, tips, key
// specifications, and the names and types of the arguments.
func CompareInfo(t *testing.T, family []*command.Descriptor) {
	t.Helper()
	s := StartRedis(t)
	sock := s.conn.RemoteAddr().String()
	ask := func(words ...string) []byte {
		out, err := exec.Command("redis-cli", append([]string{"-s", sock, "--json"}, words...)...).Output()
		if err != nil {
			t.Fatalf("redis-cli %v: %v", words, err)
		}
		return out
	}
	for _, d := range family {
		var infos [][]json.RawMessage
		if err := json.Unmarshal(ask("command", "info", d.Name), &infos); err != nil || len(infos) != 1 || infos[0] == nil {
			t.Fatalf("COMMAND INFO %s: %v", d.Name, err)
		}
		in := infos[0]
		same(t, d.Name+": arity", in[1], d.Arity)
		sameSet(t, d.Name+": flags", in[2], d.Flags.Names(), "")
		sameSet(t, d.Name+": categories", in[6], d.ACL().Names(), "@")
		sameSet(t, d.Name+": tips", in[7], d.Tips, "")
		var specs []infoSpec
		if err := json.Unmarshal(in[8], &specs); err != nil {
			t.Fatal(err)
		}
		if len(specs) != len(d.Keys) {
			t.Errorf("%s: %d key specifications, redis has %d", d.Name, len(d.Keys), len(specs))
			continue
		}
		for i, k := range d.Keys {
			want := specs[i]
			got := k.Flags.Names()
			slices.Sort(got)
			slices.Sort(want.Flags)
			if !slices.Equal(got, want.Flags) {
				t.Errorf("%s: key flags %v, redis has %v", d.Name, got, want.Flags)
			}
			f := want.Find.Spec
			if want.Begin.Spec.Index != k.Begin || want.Begin.Spec.Keyword != k.Keyword || want.Begin.Spec.StartFrom != k.From ||
				f.LastKey != k.Last || f.KeyStep != k.Step || f.Limit != k.Limit || f.KeyNumIdx != k.NumIdx || f.FirstKey != k.FirstKey {
				t.Errorf("%s: key specification %+v, redis has %+v", d.Name, k, want)
			}
		}
		var docs map[string]struct {
			Since, Group string
			Arguments    []docArg
			History      [][2]string
			DocFlags     []string `json:"doc_flags"`
			Deprecated   string   `json:"deprecated_since"`
		}
		if err := json.Unmarshal(ask("command", "docs", d.Name), &docs); err != nil {
			t.Fatal(err)
		}
		doc := docs[d.Name]
		if doc.Since != d.Since || doc.Group != d.Group || doc.Deprecated != d.Deprecated || !slices.Equal(doc.DocFlags, d.DocFlags) {
			t.Errorf("%s: since, group, deprecated: %s %s %s %v, redis has %s %s %s %v",
				d.Name, d.Since, d.Group, d.Deprecated, d.DocFlags, doc.Since, doc.Group, doc.Deprecated, doc.DocFlags)
		}
		if len(doc.History) != len(d.History) {
			t.Errorf("%s: %d changes in its history, redis has %d", d.Name, len(d.History), len(doc.History))
		} else {
			for i := range d.History {
				if d.History[i][0] != doc.History[i][0] {
					t.Errorf("%s: history %d is of %s, redis has %s", d.Name, i, d.History[i][0], doc.History[i][0])
				}
			}
		}
		compareArgs(t, d.Name, d.Args, doc.Arguments)
		if d.Summary == "" || d.Complexity == "" {
			t.Errorf("%s: no summary or complexity", d.Name)
		}
	}
}

type docArg struct {
	Name, Type, Token, Since string
	KeySpec                  int `json:"key_spec_index"`
	Flags                    []string
	Arguments                []docArg
}

func compareArgs(t *testing.T, at string, got []command.Arg, want []docArg) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d arguments, redis has %d", at, len(got), len(want))
		return
	}
	for i, g := range got {
		w := want[i]
		if g.Name != w.Name || g.Type != w.Type || g.Token != w.Token || g.Since != w.Since || g.KeySpec != w.KeySpec ||
			!slices.Equal(g.Flags.Names(), w.Flags) {
			t.Errorf("%s: argument %+v, redis has %+v", at, g, w)
		}
		compareArgs(t, at+" "+g.Name, g.Args, w.Arguments)
	}
}

func same(t *testing.T, what string, raw json.RawMessage, got int) {
	t.Helper()
	if string(raw) != strconv.Itoa(got) {
		t.Errorf("%s: %d, redis has %s", what, got, raw)
	}
}

func sameSet(t *testing.T, what string, raw json.RawMessage, got []string, prefix string) {
	t.Helper()
	var want []string
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	got = slices.Clone(got)
	for i := range got {
		got[i] = prefix + got[i]
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, redis has %v", what, got, want)
	}
}
