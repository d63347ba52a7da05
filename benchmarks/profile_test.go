package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"testing"
	"time"
)

func unzip(t *testing.T, p []byte) string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(p))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestWithoutPaths: a profile keeps its functions and loses its directories.
func TestWithoutPaths(t *testing.T) {
	var raw bytes.Buffer
	if err := pprof.StartCPUProfile(&raw); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); time.Since(begin) < 300*time.Millisecond; {
		bytes.Repeat([]byte("x"), 1000)
	}
	pprof.StopCPUProfile()
	p, err := withoutPaths(raw.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	const where = "/benchmarks/profile_test.go"
	if !strings.Contains(unzip(t, raw.Bytes()), where) {
		t.Error("there are no directories to begin with: the test has lost its point")
	}
	if text := unzip(t, p); strings.Contains(text, where) || !strings.Contains(text, "profile_test.go") {
		t.Error("directories are left, or names lost")
	}
	file := filepath.Join(t.TempDir(), "p")
	if err := os.WriteFile(file, p, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "tool", "pprof", "-top", file).CombinedOutput(); err != nil || !strings.Contains(string(out), "TestWithoutPaths") {
		t.Errorf("%v: %s", err, out)
	}
	for _, bad := range [][]byte{nil, []byte("x"), raw.Bytes()[:raw.Len()/2]} {
		if _, err := withoutPaths(bad); err == nil {
			t.Errorf("%d bytes are a profile", len(bad))
		}
	}
}

// TestDefaultProfile: what cmd/tidemark is built by is a profile of it, from no particular machine.
func TestDefaultProfile(t *testing.T) {
	file := filepath.Join("..", "cmd", "tidemark", "default.pgo")
	p, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	same, err := withoutPaths(p)
	if err != nil {
		t.Fatal(err)
	}
	if unzip(t, same) != unzip(t, p) {
		t.Errorf("%s has directories of the machine that it was made on: make it by make profile", file)
	}
	out, err := exec.Command("go", "tool", "pprof", "-top", "-nodecount", "400", file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "tidemark/engine/keyspace.(*table).find") {
		t.Errorf("%v: %.2000s", err, out)
	}
}
