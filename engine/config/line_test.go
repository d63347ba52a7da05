package config

import (
	"slices"
	"testing"
)

func TestSplitLine(t *testing.T) {
	for _, c := range []struct {
		line string
		want []string
	}{
		{"", nil}, {"   ", nil}, {"port 6379", []string{"port", "6379"}}, {"\tsave  900\t1 ", []string{"save", "900", "1"}},
		{`requirepass "a b"`, []string{"requirepass", "a b"}}, {`x ""`, []string{"x", ""}}, {`x ''`, []string{"x", ""}},
		{`x "\x41\n\r\t\b\a\\\"\q"`, []string{"x", "A\n\r\t\b\a\\\"q"}}, {`x "\xZZ"`, []string{"x", "xZZ"}}, {`x 'it\'s \n'`, []string{"x", `it's \n`}},
		{`a"b c"`, []string{"ab c"}}, {`a\nb`, []string{`a\nb`}}, {"a \x00 b", []string{"a"}},
	} {
		got, err := SplitLine(c.line)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("SplitLine(%q) = %q, %v; want %q", c.line, got, err, c.want)
		}
	}
	for _, line := range []string{`"`, `'a`, `"a"b`, `'a'b`, `x "abc\`, `"a""b"`, `x "abc\"`} {
		if got, err := SplitLine(line); err == nil {
			t.Errorf("SplitLine(%q) = %q, want an error", line, got)
		}
	}
}

func FuzzSplitLine(f *testing.F) {
	f.Add(`save "3600 1" 'x\'y' "\x00\n"`)
	f.Fuzz(func(t *testing.T, line string) {
		args, err := SplitLine(line)
		if err != nil {
			return
		}
		again, err := SplitLine(quoteAll(args))
		if err != nil || !slices.Equal(args, again) {
			t.Fatalf("%q splits to %q, which, quoted, splits to %q, %v", line, args, again, err)
		}
	})
}
