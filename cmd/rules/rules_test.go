package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tidemark/cmd/servertest"
)

const module = "tidemark"

// houses is the table of docs/architecture.md. Imports point from a house to
// the ones listed for it; aof and netio never meet. A house may always import itself.
var houses = map[string][]string{
	"cmd":        {"shipper", "engine", "aof", "netio"},
	"shipper":    {"engine", "aof", "netio"},
	"engine":     {"aof", "netio"},
	"aof":        {},
	"netio":      {},
	"benchmarks": {"cmd", "shipper", "engine", "aof", "netio"},
	"docs":       {},
}

// house returns the first path element of an import path inside the module, or "".
func house(path string) string {
	rest, ok := strings.CutPrefix(path, module+"/")
	if !ok {
		return ""
	}
	h, _, _ := strings.Cut(rest, "/")
	return h
}

// forbidden returns the houses imported by a package at path that its house may not import.
func forbidden(path string, imports []string) []string {
	from := house(path)
	var bad []string
	for _, imp := range imports {
		to := house(imp)
		if to == "" || to == from || slices.Contains(houses[from], to) {
			continue
		}
		bad = append(bad, imp)
	}
	return bad
}

func TestImportsPointRight(t *testing.T) {
	cmd := exec.Command("go", "list", "-pgo=off", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := 0
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
		}
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		packages++
		if _, known := houses[house(p.ImportPath)]; !known {
			t.Errorf("%s belongs to no house of the import table", p.ImportPath)
			continue
		}
		for _, imp := range forbidden(p.ImportPath, slices.Concat(p.Imports, p.TestImports, p.XTestImports)) {
			t.Errorf("%s imports %s: imports point right only, cmd -> shipper -> engine -> {aof, netio}", p.ImportPath, imp)
		}
	}
	if packages < 3 {
		t.Fatalf("go list found only %d packages", packages)
	}
}

func TestForbiddenFindsWrongImports(t *testing.T) {
	for _, c := range []struct {
		path string
		imp  string
		bad  bool
	}{
		{"tidemark/aof", "tidemark/netio", true},
		{"tidemark/netio", "tidemark/aof", true},
		{"tidemark/netio/resp", "tidemark/engine/keyspace", true},
		{"tidemark/engine/command", "tidemark/shipper", true},
		{"tidemark/shipper", "tidemark/cmd/tidemark", true},
		{"tidemark/engine/command", "tidemark/netio/resp", false},
		{"tidemark/engine/command", "tidemark/aof", false},
		{"tidemark/cmd/tidemark", "tidemark/aof", false},
		{"tidemark/aof", "tidemark/aof/vfs", false},
		{"tidemark/aof", "os", false},
	} {
		if got := len(forbidden(c.path, []string{c.imp})) > 0; got != c.bad {
			t.Errorf("%s importing %s: forbidden = %v, want %v", c.path, c.imp, got, c.bad)
		}
	}
}

func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	ignored := []string{".git", ".ci", "bin", "tidemark-data"}
	for _, e := range entries {
		if !e.IsDir() || slices.Contains(ignored, e.Name()) {
			continue
		}
		if _, ok := houses[e.Name()]; !ok {
			t.Errorf("top-level directory %s: there are only aof, benchmarks, cmd, docs, engine, netio, shipper", e.Name())
		}
	}
}

func TestSourceStyle(t *testing.T) {
	machinePath := regexp.MustCompile(`(^|[\s"'(=:` + "`" + `])/(home|Users|root)/`)
	for _, path := range tracked(t) {
		src, err := os.ReadFile(filepath.Join(root(t), path))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted, not yet committed
		}
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(src, 0) < 0 && path != "cmd/rules/rules_test.go" {
			for i, line := range strings.Split(string(src), "\n") {
				if machinePath.MatchString(line) {
					t.Errorf("%s:%d names a path of one machine: %s", path, i+1, strings.TrimSpace(line))
				}
			}
		}
		if filepath.Ext(path) == ".go" {
			checkGo(t, path, src)
		}
	}
}

var unfinished = regexp.MustCompile(`\b(TODO|FIXME)\b`)

func checkGo(t *testing.T, path string, src []byte) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, src, parser.ParseComments)
	if err != nil {
		t.Errorf("%v", err)
		return
	}
	if formatted, err := format.Source(src); err != nil || !bytes.Equal(formatted, src) {
		t.Errorf("%s is not as gofmt writes it", path)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Name.Name == "init" && n.Recv == nil {
				t.Errorf("%s: init(): assemble explicitly in one place", fset.Position(n.Pos()))
			}
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "SkipNow" {
				t.Errorf("%s: SkipNow gives no reason", fset.Position(n.Pos()))
			}
		}
		return true
	})
	for _, group := range f.Comments {
		for _, c := range group.List {
			if unfinished.MatchString(c.Text) {
				t.Errorf("%s: unfinished: %s", fset.Position(c.Pos()), c.Text)
			}
		}
	}
}

// TestEveryPackageSaysWhatItIs: a package comment on every package that has more than tests.
func TestEveryPackageSaysWhatItIs(t *testing.T) {
	cmd := exec.Command("go", "list", "-f", "{{.ImportPath}}\t{{len .GoFiles}}\t{{.Doc}}", "./...")
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		f := strings.SplitN(line+"\t", "\t", 3)
		if f[1] != "0" && strings.TrimSpace(f[2]) == "" {
			t.Errorf("%s has no package comment", f[0])
		}
	}
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := servertest.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// tracked returns the files git knows of.
func tracked(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "-z")
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	return strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
}
