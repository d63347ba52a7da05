// Command tidemark-aof looks at, repairs and takes back an AOF directory that no server has open.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tidemark/aof"
)

const usage = `Usage: tidemark-aof COMMAND [flags] DIR

DIR is the AOF directory (appenddirname) or the data directory it lies in. No server may have it open.

  check DIR                      verify every file; exit 1 if a server would refuse to start
  inspect DIR                    the same, and list the files with their offsets, batches and times
  repair [--yes] DIR             cut the log at the first damage, trim torn and unused tails, so that it loads;
                                 what is cut is kept beside, in tidemark-cut-*. Without --yes only says what is wrong
  restore --to-offset N DIR NEW  copy the AOF to the new directory NEW, ending at the last whole effect
  restore --to-time T DIR NEW    at or before a log offset or a time (2006-01-02T15:04:05Z or unix seconds)

Flags:
  --name NAME                    appendfilename, default appendonly.aof
`

const exitTrouble, exitUsage = 1, 2

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, errOut io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(errOut, usage)
		return exitUsage
	}
	if args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		fmt.Fprint(out, usage)
		return 0
	}
	set := flag.NewFlagSet(args[0], flag.ContinueOnError)
	set.SetOutput(errOut)
	set.Usage = func() { fmt.Fprint(errOut, usage) }
	name := set.String("name", "appendonly.aof", "")
	yes := set.Bool("yes", false, "")
	offset := set.Int64("to-offset", -1, "")
	when := set.String("to-time", "", "")
	if err := set.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return exitUsage
	}
	want := 1
	if args[0] == "restore" {
		want = 2
	}
	if set.NArg() != want {
		fmt.Fprintf(errOut, "tidemark-aof: %s takes %d director%s, %d given\n\n%s", args[0], want, map[int]string{1: "y", 2: "ies"}[want],
			set.NArg(), usage)
		return exitUsage
	}
	dir, err := findDir(set.Arg(0), *name)
	if err != nil {
		fmt.Fprintf(errOut, "tidemark-aof: %v\n", err)
		return exitTrouble
	}
	switch args[0] {
	case "check":
		err = check(out, dir, *name, false)
	case "inspect":
		err = check(out, dir, *name, true)
	case "repair":
		err = repair(out, dir, *name, *yes)
	case "restore":
		var to aof.RestoreTo
		if to, err = point(*offset, *when); err != nil {
			fmt.Fprintf(errOut, "tidemark-aof: %v\n", err)
			return exitUsage
		}
		err = restore(out, dir, *name, set.Arg(1), to)
	default:
		fmt.Fprintf(errOut, "tidemark-aof: there is no command %q\n\n%s", args[0], usage)
		return exitUsage
	}
	if err != nil {
		fmt.Fprintf(errOut, "tidemark-aof: %s\n", strings.TrimPrefix(err.Error(), "aof: "))
		return exitTrouble
	}
	return 0
}

// findDir accepts the data directory as well, when exactly one directory in it holds a manifest of that name.
func findDir(dir, name string) (string, error) {
	if _, err := os.Stat(dir); err != nil {
		return "", err
	}
	manifest := name + ".manifest"
	if _, err := os.Stat(filepath.Join(dir, manifest)); err == nil {
		return dir, nil
	}
	found, err := filepath.Glob(filepath.Join(dir, "*", manifest))
	if err != nil {
		return "", err
	}
	if len(found) == 1 {
		return filepath.Dir(found[0]), nil
	}
	return "", fmt.Errorf("neither %s nor a directory in it holds %s", dir, manifest)
}

func point(offset int64, when string) (to aof.RestoreTo, err error) {
	switch {
	case (offset >= 0) == (when != ""):
		return to, errors.New("restore takes either --to-offset or --to-time")
	case when == "":
		return aof.RestoreTo{Offset: offset}, nil
	}
	var seconds float64
	if n, err := fmt.Sscanf(when, "%g", &seconds); n == 1 && err == nil && !strings.ContainsAny(when, "-:T") {
		return aof.RestoreTo{UnixMS: int64(seconds * 1000)}, nil
	}
	t, err := time.Parse(time.RFC3339, when)
	if err != nil {
		return to, fmt.Errorf("--to-time %q is neither RFC 3339 nor unix seconds", when)
	}
	return aof.RestoreTo{UnixMS: t.UnixMilli()}, nil
}

func check(out io.Writer, dir, name string, all bool) error {
	rep, err := aof.Inspect(nil, dir, name)
	if err != nil {
		return err
	}
	if all {
		fmt.Fprintf(out, "directory  %s\nid         %s\n", dir, rep.ID)
		for _, a := range rep.Ancestors {
			fmt.Fprintf(out, "earlier    %s up to offset %d\n", a.ID, a.End)
		}
		fmt.Fprintln(out)
		fmt.Fprintf(out, "%-34s %-7s %16s %16s %12s %9s  %s\n", "file", "state", "from offset", "to offset", "bytes", "batches", "written")
		for _, f := range rep.Files {
			fmt.Fprintf(out, "%-34s %-7s %16d %16d %12d %9d  %s\n", f.Name, f.State, f.Start, f.End, f.Bytes, f.Batches, span(f))
		}
		fmt.Fprintln(out)
	}
	if rep.Err != nil {
		return rep.Err
	}
	if rep.Torn > 0 {
		fmt.Fprintf(out, "torn tail: %d bytes that were not yet on the disk will be cut at the next start (or by repair)\n", rep.Torn)
	}
	for _, f := range rep.Files {
		if f.State == "active" && f.Size > f.Bytes {
			fmt.Fprintf(out, "not closed: %s has %d unused bytes behind its last batch; stock redis-server loads it after a repair\n", f.Name,
				f.Size-f.Bytes)
		}
	}
	fmt.Fprintf(out, "the log is valid up to offset %d\n", rep.Offset)
	return nil
}

func span(f aof.FileInfo) string {
	if f.FirstMS == 0 {
		return ""
	}
	const layout = "2006-01-02T15:04:05.000Z"
	return time.UnixMilli(f.FirstMS).UTC().Format(layout) + " to " + time.UnixMilli(f.LastMS).UTC().Format(layout)
}

func repair(out io.Writer, dir, name string, yes bool) error {
	if !yes {
		if err := check(out, dir, name, false); err != nil {
			return fmt.Errorf("%w\nNothing was changed. repair --yes cuts the log there", err)
		}
		fmt.Fprintln(out, "Nothing was changed: repair --yes trims what is torn or unused")
		return nil
	}
	cuts, err := aof.Repair(nil, dir, name)
	for _, c := range cuts {
		fmt.Fprintf(out, "cut %d bytes from byte %d of %s, kept in %s\n  because %s\n", c.Bytes, c.Pos, c.File, c.Backup, c.Reason)
	}
	if err != nil {
		return err
	}
	return check(out, dir, name, false)
}

func restore(out io.Writer, dir, name, to string, p aof.RestoreTo) error {
	off, err := aof.Restore(nil, dir, name, to, p)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s holds the log up to offset %d\n", to, off)
	return nil
}
