package servertest

import (
	"os"
	"strconv"
	"testing"
)

// Setting is a number from the environment, by which a test that is short by default is made long, or repeated with a seed.
func Setting(t testing.TB, name string, fallback int64) int64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return fallback
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatalf("%s=%q: %v", name, s, err)
	}
	return n
}
