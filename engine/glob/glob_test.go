package glob

import (
	"strings"
	"testing"
	"time"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"**", "", false}, {"*", "abc", true}, {"?", "", false}, {"?", "a", true},
		{"a*c", "abbc", true}, {"a*c", "abcb", false}, {"a*b*c", "aXbXbc", true}, {"*a*b", "aab", true}, {"h?llo", "hello", true},
		{"h[ae]llo", "hillo", false}, {"h[^e]llo", "hallo", true}, {"h[^e]llo", "hello", false}, {"h[a-b]llo", "hbllo", true},
		{"h[b-a]llo", "hallo", true}, {"[^a-z]", "m", false}, {"[^a-z]", "M", true}, {"[]", "a", false}, {"[]a", "a", false}, {"[^]", "a", true},
		{"[a", "a", true}, {"[a", "b", false}, {"[a-", "-", true}, {"[\\]]", "]", true}, {"[\\]", "\\", false}, {"[\\]", "]", true}, {"\\*", "*", true}, {"\\*", "a", false},
		{"\\", "\\", true}, {"a\\", "a\\", true}, {"[a-\\z]", "a", true}, {"user:*:name", "user:1:2:name", true}, {"[-a]", "-", true}, {"[a-c-e]", "-", true},
		{"[", "[", false}, {"[^", "x", true}, {"\\[a]", "[a]", true}, {"*[0-9]", "key1", true}, {"A", "a", false},
	} {
		if got := Match([]byte(c.pattern), []byte(c.s)); got != c.want {
			t.Errorf("Match(%q, %q) = %v", c.pattern, c.s, got)
		}
	}
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{{"MAX*", "maxmemory", true}, {"max*", "MAXMEMORY", true}, {"[A-C]x", "bX", true}, {"\\A", "a", true}, {"[\\A]", "a", false}} {
		if got := MatchFoldString(c.pattern, c.s); got != c.want {
			t.Errorf("MatchFoldString(%q, %q) = %v", c.pattern, c.s, got)
		}
	}
}

func TestStarsAreNotExponential(t *testing.T) {
	pattern := strings.Repeat("a*", 2000) + "b"
	s := strings.Repeat("a", 20000)
	done := make(chan bool, 1)
	go func() { done <- MatchString(pattern, s) }()
	select {
	case got := <-done:
		if got {
			t.Error("matched without a b")
		}
	case <-time.After(20 * time.Second): // a few hundred ms at most; trying all stars would outlast the universe
		t.Fatal("matching takes exponential time")
	}
}

// TestMostStars: as in redis-server 7, which gives up on a pattern of more than a thousand stars; the last one does not count.
func TestMostStars(t *testing.T) {
	s := strings.Repeat("a", 50000)
	for _, c := range []struct {
		pattern string
		want    bool
	}{
		{strings.Repeat("*?", 50000), false}, {strings.Repeat("*a", 1000), true}, {strings.Repeat("*a", 1001), false},
		{strings.Repeat("*a", 1000) + "*", true}, {strings.Repeat("*", 5000) + "a", true},
	} {
		if got := MatchString(c.pattern, s); got != c.want {
			t.Errorf("%.6s... (%d bytes): %v", c.pattern, len(c.pattern), got)
		}
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	p, s := []byte("user:*[0-9]?\\*x"), []byte("user:abc17*x")
	if n := testing.AllocsPerRun(100, func() { Match(p, s) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// reference says the same by trying everything.
func reference(p, s string) bool {
	if p == "" {
		return s == ""
	}
	if p[0] == '*' {
		return reference(p[1:], s) || s != "" && reference(p, s[1:])
	}
	if s == "" {
		return false
	}
	next, ok := element(p, 0, s[0], false)
	return ok && reference(p[next:], s[1:])
}

func FuzzMatch(f *testing.F) {
	f.Add("a*b?[^c-e]\\*", "axxbfg*")
	f.Add("*a*a*a*b", "aaaaaaaaaa")
	f.Add("[a-", "-")
	f.Fuzz(func(t *testing.T, p, s string) {
		got := MatchString(p, s)
		if got != Match([]byte(p), []byte(s)) {
			t.Fatalf("strings and bytes differ for %q, %q", p, s)
		}
		MatchFoldString(p, s)
		if strings.Count(p, "*") <= 4 && len(s) <= 24 && len(p) <= 24 {
			if want := reference(p, s); s != "" && got != want {
				t.Fatalf("MatchString(%q, %q) = %v", p, s, got)
			}
		}
	})
}
