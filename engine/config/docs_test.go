package config

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/directives.md anew")

// TestDirectivesPage: docs/directives.md says what the table says. `go test ./engine/config -run DirectivesPage -update` writes it.
func TestDirectivesPage(t *testing.T) {
	want := directivesPage()
	path := filepath.Join("..", "..", "docs", "directives.md")
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s does not say what table.go says: go test ./engine/config -run DirectivesPage -update", path)
	}
}

func directivesPage() string {
	var b strings.Builder
	b.WriteString(`# Directives

Every directive of Redis 7.4's redis.conf, and Tidemark's own. This page is made from engine/config/table.go; a test keeps them
together. How files and command lines are read, and what Tidemark does differently, is in [configuration.md](configuration.md).

Runtime says whether CONFIG SET changes it: yes; no; or protected, which means as far as enable-protected-configs allows.

`)
	section := func(status Status, title, text string, note bool) {
		fmt.Fprintf(&b, "## %s\n\n%s\n\n| directive | default | runtime |%s\n| --- | --- | --- |%s\n", title, text,
			map[bool]string{true: " why |"}[note], map[bool]string{true: " --- |"}[note])
		for _, d := range Directives() {
			if d.status != status {
				continue
			}
			name := d.Name
			if d.Alias != "" {
				name += " (" + d.Alias + ")"
			}
			def := d.def()
			switch {
			case d.flags&FileOnly != 0, d.Name == "dir":
				def = ""
			case def == "":
				def = `""`
			}
			runtime := "yes"
			switch {
			case d.flags&(Immutable|FileOnly) != 0:
				runtime = "no"
			case d.flags&Protected != 0:
				runtime = "protected"
			}
			fmt.Fprintf(&b, "| %s | %s | %s |", name, def, runtime)
			if note {
				fmt.Fprintf(&b, " %s |", d.note)
			}
			b.WriteByte('\n')
		}
		b.WriteByte('\n')
	}
	section(Implemented, "In effect", "These do what Redis's do, or what configuration.md says of them.", false)
	section(Accepted, "Accepted, without meaning", "These are read, checked, kept, and shown by CONFIG GET, but there is nothing for them to act on. "+
		"A start with any of them set to other than its default\nlists them in one line of the log.", true)
	section(Refused, "Refused", "Any value but the default is an error, because a server that ignored it would break a promise.", true)
	return strings.TrimSuffix(b.String(), "\n")
}

// TestImplementedMeansRead: the value of a directive in effect is read by somebody, and that of another by nobody.
func TestImplementedMeansRead(t *testing.T) {
	used := map[string]bool{}
	selector := regexp.MustCompile(`\.([A-Z]\w+)`)
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if strings.HasPrefix(rel, "engine/config/") && filepath.Base(path) != "config.go" {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range selector.FindAllSubmatch(b, -1) {
			used[string(m[1])] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("table.go")
	if err != nil {
		t.Fatal(err)
	}
	fields := regexp.MustCompile(`Name: "([^"]+)".*&v\.(\w+)`).FindAllStringSubmatch(string(b), -1)
	if len(fields) < 50 {
		t.Fatalf("only %d fields found", len(fields))
	}
	for _, m := range fields {
		d := Lookup(m[1])
		switch {
		case d.status == Implemented && !used[m[2]]:
			t.Errorf("%s is said to be in effect, but nobody reads Values.%s", m[1], m[2])
		case d.status != Implemented && used[m[2]] && d.Name != "hz": // which INFO repeats
			t.Errorf("%s is said to have no effect, but somebody reads Values.%s", m[1], m[2])
		}
	}
}
