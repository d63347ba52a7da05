package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Position is a place in the configuration.
type Position struct {
	// Source is a file's path as it was named, "standard input", or "the command line".
	Source string
	Line   int    // from 1; on the command line the number of the option
	Text   string // the line
}

// FatalError refuses to start because of one line.
type FatalError struct {
	Where  Position
	Reason error
}

// Error has Redis's layout, which tools recognise.
func (e *FatalError) Error() string {
	place := fmt.Sprintf("Reading %s, at line %d", e.Where.Source, e.Where.Line)
	switch e.Where.Source {
	case commandLine:
		place = "Reading the command line"
	case standardInput:
	default:
		place = fmt.Sprintf("Reading the configuration file %s, at line %d", e.Where.Source, e.Where.Line)
	}
	return fmt.Sprintf("\n*** FATAL CONFIG FILE ERROR (Tidemark %s, Redis %s) ***\n%s\n>>> '%s'\n%v",
		Version, RedisVersion, place, e.Where.Text, e.Reason)
}

// Unwrap returns the reason.
func (e *FatalError) Unwrap() error { return e.Reason }

const (
	standardInput = "standard input"
	commandLine   = "the command line"
)

// maxIncludes bounds how deep files may include each other.
const maxIncludes = 32

// DefaultDir is where the data lie, below the directory the process was started in, when no configuration is given.
const DefaultDir = "tidemark-data"

// Read reads the configuration that inv names: the file, then standard input if asked for, then the command
// line's options; later lines win. The data directory is, unless a dir line says otherwise, the directory the
// process was started in when there is a file (or standard input), and DefaultDir in it when there is none. Read creates and
// changes nothing on disk. Errors are *FatalError, or say which file cannot be read.
func Read(inv Invocation, stdin io.Reader) (*Config, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("the current directory cannot be found: %w", err)
	}
	l := newLoader(cwd)
	c := &Config{}
	if inv.File != "" {
		c.file = inv.File
		if !filepath.IsAbs(c.file) {
			c.file = filepath.Join(cwd, c.file)
		}
		if err := l.file(inv.File, 0); err != nil {
			return nil, err
		}
	}
	if inv.Stdin {
		b, err := io.ReadAll(stdin)
		if err != nil {
			return nil, fmt.Errorf("the configuration cannot be read from standard input: %w", err)
		}
		if err := l.text(standardInput, string(b), 0); err != nil {
			return nil, err
		}
	}
	for i, args := range inv.Options {
		if err := l.line(Position{commandLine, i + 1, optionLine(args)}, args, 0); err != nil {
			return nil, err
		}
	}
	if !l.v.DirGiven && inv.File == "" && !inv.Stdin {
		l.v.Dir = filepath.Join(cwd, DefaultDir)
	}
	c.options = inv.Options
	c.accepted = l.accepted
	c.values.Store(l.v)
	return c, nil
}

// New returns the defaults, with the data in dir (absolute): for tests and embedding.
func New(dir string) *Config {
	v := catalog.defaults.clone()
	v.cwd, v.Dir, v.DirGiven = dir, dir, true
	c := &Config{}
	c.values.Store(v)
	return c
}

// loader fills Values from files.
type loader struct {
	v        *Values
	seen     map[*Directive]bool
	accepted []string // names of Accepted directives that were set to other than the default, in order
	readFile func(string) ([]byte, error)
	glob     func(string) ([]string, error)
}

func newLoader(cwd string) *loader {
	v := catalog.defaults.clone()
	v.cwd, v.Dir = cwd, cwd
	return &loader{v: v, seen: map[*Directive]bool{}, readFile: os.ReadFile, glob: filepath.Glob}
}

// file reads one file and, in their places, those it includes.
func (l *loader) file(path string, depth int) error {
	name := path
	if !filepath.IsAbs(name) {
		name = filepath.Join(l.v.base(), name)
	}
	b, err := l.readFile(name)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = sysReason(pe.Err)
		}
		return fmt.Errorf("Fatal error, can't open config file '%s': %w", path, err)
	}
	return l.text(path, string(b), depth)
}

func (l *loader) text(source, s string, depth int) error {
	n := 0
	for line := range strings.SplitSeq(s, "\n") {
		n++
		line = strings.Trim(line, " \t\r")
		if line == "" || line[0] == '#' {
			continue
		}
		at := Position{source, n, line}
		args, err := SplitLine(line)
		if err != nil {
			return &FatalError{at, err}
		}
		if len(args) == 0 {
			continue
		}
		if err := l.line(at, args, depth); err != nil {
			return err
		}
	}
	return nil
}

var errDirective = errors.New("Bad directive or wrong number of arguments")

// line applies one line.
func (l *loader) line(at Position, args []string, depth int) error {
	if strings.EqualFold(args[0], "include") {
		if len(args) != 2 {
			return &FatalError{at, errDirective}
		}
		return l.include(at, args[1], depth+1)
	}
	d := Lookup(args[0])
	if d == nil {
		return &FatalError{at, errDirective}
	}
	if d.flags&Sensitive != 0 {
		at.Text = args[0] + " ..."
	}
	renamed := len(l.v.RenameCommands)
	if err := d.set(l.v, input{args: d.arguments(args[1:]), first: !l.seen[d]}); err != nil {
		return &FatalError{at, err}
	}
	if len(l.v.RenameCommands) > renamed {
		l.v.RenameCommands[renamed].Where = at
	}
	l.seen[d] = true
	if d.status == Accepted {
		l.accepted = slices.DeleteFunc(l.accepted, func(n string) bool { return n == d.Name })
		if _, ok := d.kind.(statement); ok || d.kind.get(l.v, d) != d.def() {
			l.accepted = append(l.accepted, d.Name)
		}
	}
	return nil
}

// include reads the files that pattern names, in alphabetical order. A pattern with wildcards may match none.
func (l *loader) include(at Position, pattern string, depth int) error {
	if depth > maxIncludes {
		return &FatalError{at, fmt.Errorf("files include each other more than %d deep; look for a circle", maxIncludes)}
	}
	if !strings.ContainsAny(pattern, "*?[") {
		return l.file(pattern, depth)
	}
	abs := pattern
	if !filepath.IsAbs(abs) {
		abs = filepath.Join(l.v.base(), abs)
	}
	names, err := l.glob(abs)
	if err != nil {
		return &FatalError{at, fmt.Errorf("bad pattern: %w", err)}
	}
	slices.Sort(names)
	for _, name := range names {
		if err := l.file(name, depth); err != nil {
			return err
		}
	}
	return nil
}

// String names the place: "redis.conf:12", or the option on the command line.
func (p Position) String() string {
	if p.Source == commandLine {
		return p.Source
	}
	return fmt.Sprintf("%s:%d", p.Source, p.Line)
}
