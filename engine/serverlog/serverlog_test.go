package serverlog

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestLineFormat(t *testing.T) {
	var b bytes.Buffer
	at := time.Date(2026, 1, 2, 3, 4, 5, 67e6, time.UTC)
	l, err := New(Options{Level: Verbose, Output: &b, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	l.Debugf("not this")
	l.SetRole(RoleStarter)
	l.Verbosef("a %d", 1)
	l.SetRole(RolePrimary)
	l.Noticef("100%%")
	l.Logf('#', "two\r\nlines\n")
	l.SetLevel(Warning)
	l.Noticef("nor this")
	l.SetLevel(Nothing)
	l.Warningf("nor this")
	l.Close()
	l.Warningf("too late")
	p := fmt.Sprint(os.Getpid())
	want := p + ":C 02 Jan 2026 03:04:05.067 - a 1\n" + p + ":M 02 Jan 2026 03:04:05.067 * 100%\n" + p + ":M 02 Jan 2026 03:04:05.067 # two lines \n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	l, err := New(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.Warningf("first")
	l.Flush()
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.Warningf("second")
	l.Flush()
	for name, want := range map[string]string{path + ".1": "first", path: "second"} {
		b, err := os.ReadFile(name)
		if err != nil || !regexp.MustCompile(`^\d+:M \d\d \w{3} \d{4} [\d:.]{12} # `+want+`\n$`).Match(b) {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if _, err := New(Options{Path: filepath.Join(path, "x")}); err == nil {
		t.Error("a log file below a file")
	}
}

// blocked is an output that stands still until it is let go.
type blocked struct {
	bytes.Buffer
	entered, release chan struct{}
}

func (b *blocked) Write(p []byte) (int, error) {
	select {
	case b.entered <- struct{}{}:
		<-b.release
	default:
	}
	return b.Buffer.Write(p)
}

func TestNobodyWaitsForTheFile(t *testing.T) {
	out := &blocked{entered: make(chan struct{}), release: make(chan struct{})}
	l, err := New(Options{Output: out})
	if err != nil {
		t.Fatal(err)
	}
	l.Warningf("first")
	<-out.entered
	line := strings.Repeat("x", 1000)
	for range 3 * maxQueue / len(line) {
		l.Warningf("%s", line) // returns although nothing is written
	}
	close(out.release)
	l.Flush()
	l.Warningf("last")
	l.Close()
	got := out.String()
	if len(got) > 2*maxQueue || !strings.Contains(got, "lines were dropped here") || !strings.HasSuffix(got, " # last\n") {
		t.Errorf("%d bytes, ending %q", len(got), got[max(0, len(got)-200):])
	}
}
