package scripts

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// script is one parsed file.
type script struct {
	path   string
	protos []int    // the protocols to run it in
	server []string // further arguments of dedicated servers
	steps  []step
}

// step is one command, or one directive that stands by itself.
type step struct {
	line int
	verb string // "do", "reply", "silent", "closed", "raw", "rawonly", "open", "let", "blocked"
	conn string
	args []string // of do
	raw  string   // of raw, rawonly
	name string   // of let
	re   *regexp.Regexp

	since     string
	alone     bool   // redis-server never runs it
	before    string // the version since which redis-server replies alike
	changed   string // the version since which it no longer does
	differ    string
	tolerate  int64
	numbers   bool
	unordered bool
	shape     bool
	masks     []*regexp.Regexp
	match     *regexp.Regexp
	until     string
	async     bool
	want      [4]string // of a "=" line, by protocol; "" is none
}

func parse(path string) (*script, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := &script{path: path, protos: []int{2, 3}}
	var next step // what directives have said about the next command
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for n := 1; sc.Scan(); n++ {
		if err := s.parseLine(n, strings.TrimLeft(sc.Text(), " \t"), &next); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
	}
	for _, st := range s.steps {
		if (st.since != "" || st.alone) && st.want == [4]string{} && st.match == nil {
			return nil, fmt.Errorf("%s:%d: @since and @alone need a \"=\" line or @match: there may be no reference to compare with", path, st.line)
		}
	}
	return s, sc.Err()
}

func (s *script) parseLine(n int, line string, next *step) error {
	add := func(st step) {
		st.line = n
		if st.conn == "" {
			st.conn = "main"
		}
		s.steps = append(s.steps, st)
		*next = step{}
	}
	switch {
	case line == "" || line[0] == '#':
		return nil
	case line[0] == '=':
		which, want, _ := strings.Cut(line[1:], " ")
		protos := []int{2, 3}
		if which != "" {
			p, err := strconv.Atoi(which)
			if err != nil {
				return fmt.Errorf("%q: a reply begins with \"= \", \"=2 \" or \"=3 \"", line)
			}
			protos = []int{p}
		}
		if len(s.steps) == 0 {
			return fmt.Errorf("a reply without a command")
		}
		st := &s.steps[len(s.steps)-1]
		for _, p := range protos {
			if st.want[p] != "" {
				return fmt.Errorf("a second reply for one command")
			}
			st.want[p] = want
		}
		return nil
	case line[0] != '@':
		conn, rest := splitConn(line)
		args, err := splitArgs(rest)
		if err != nil {
			return err
		}
		st := *next
		st.verb, st.conn, st.args = "do", conn, args
		add(st)
		return nil
	}
	verb, rest, _ := strings.Cut(line[1:], " ")
	rest = strings.TrimSpace(rest)
	var err error
	switch verb {
	case "since":
		next.since = rest
	case "alone":
		if rest == "" {
			return fmt.Errorf("@alone wants a reason")
		}
		next.alone = true
	case "before", "changed":
		version, reason, _ := strings.Cut(rest, " ")
		if reason == "" {
			return fmt.Errorf("@%s wants a version and a reason", verb)
		}
		if verb == "before" {
			next.before = version
		} else {
			next.changed = version
		}
	case "expect-differ":
		if rest == "" {
			return fmt.Errorf("@expect-differ wants a reason")
		}
		next.differ = rest
	case "numbers":
		next.numbers = true
	case "tolerate":
		next.tolerate, err = strconv.ParseInt(rest, 10, 64)
	case "unordered":
		next.unordered = true
	case "shape":
		next.shape = true
	case "mask":
		var re *regexp.Regexp
		re, err = regexp.Compile(rest)
		next.masks = append(next.masks, re)
	case "match":
		next.match, err = regexp.Compile(rest)
	case "until":
		next.until = rest
	case "async":
		next.async = true
	case "reply", "silent", "closed", "open":
		st := *next
		st.verb, st.conn = verb, rest
		add(st)
	case "raw", "rawonly":
		st := *next
		conn, quoted := splitConn(rest)
		var args []string
		if args, err = splitArgs(quoted); err == nil && len(args) != 1 {
			err = fmt.Errorf("@%s wants one quoted string", verb)
		}
		if err == nil {
			st.verb, st.conn, st.raw = verb, conn, args[0]
			add(st)
		}
	case "let":
		name, expr, _ := strings.Cut(rest, " ")
		var re *regexp.Regexp
		if re, err = regexp.Compile(strings.TrimSpace(expr)); err == nil {
			add(step{verb: "let", name: name, re: re})
		}
	case "blocked":
		if _, err = strconv.Atoi(rest); err == nil {
			add(step{verb: "blocked", name: rest})
		}
	case "resp":
		var p int
		if p, err = strconv.Atoi(rest); err == nil {
			s.protos = []int{p}
		}
	case "server":
		s.server, err = splitArgs(rest)
	default:
		err = fmt.Errorf("unknown directive @%s", verb)
	}
	return err
}

var connPrefix = regexp.MustCompile(`^([a-z][a-z0-9]*)>\s*`)

func splitConn(line string) (conn, rest string) {
	if m := connPrefix.FindStringSubmatch(line); m != nil {
		return m[1], line[len(m[0]):]
	}
	return "main", line
}

// splitArgs splits a line as redis-cli does: blanks separate, "..." takes
// escapes (\n \r \t \a \b \" \\ \xHH), '...' takes none but \'.
func splitArgs(line string) ([]string, error) {
	var args []string
	for i := 0; ; {
		for i < len(line) && (line[i] == ' ' || line[i] == '\t') {
			i++
		}
		if i == len(line) {
			return args, nil
		}
		var b strings.Builder
		for i < len(line) && line[i] != ' ' && line[i] != '\t' {
			switch line[i] {
			case '"':
				text, end, err := unquote(line, i+1)
				if err != nil {
					return nil, err
				}
				b.WriteString(text)
				i = end
			case '\'':
				end := strings.IndexByte(line[i+1:], '\'')
				if end < 0 {
					return nil, fmt.Errorf("unbalanced quotes")
				}
				b.WriteString(line[i+1 : i+1+end])
				i += end + 2
			default:
				b.WriteByte(line[i])
				i++
			}
		}
		args = append(args, b.String())
	}
}

// unquote reads from just after the opening quote and returns the position after the closing one.
func unquote(line string, i int) (string, int, error) {
	var b strings.Builder
	for i < len(line) {
		switch c := line[i]; {
		case c == '"':
			return b.String(), i + 1, nil
		case c == '\\' && i+3 < len(line) && line[i+1] == 'x':
			v, err := strconv.ParseUint(line[i+2:i+4], 16, 8)
			if err != nil {
				return "", 0, err
			}
			b.WriteByte(byte(v))
			i += 4
		case c == '\\' && i+1 < len(line):
			e := line[i+1]
			if k := strings.IndexByte("nrtab", e); k >= 0 {
				e = "\n\r\t\a\b"[k]
			}
			b.WriteByte(e)
			i += 2
		default:
			b.WriteByte(c)
			i++
		}
	}
	return "", 0, fmt.Errorf("unbalanced quotes")
}
