package scripts

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tidemark/cmd/servertest"
)

// elsewhere are commands that a script cannot show, with the test that does.
var elsewhere = map[string]string{
	"config|rewrite": "engine/config and cmd/tidemark: the file is looked at",
}

// TestEveryCommandHasAScript asks the server for its commands and looks for each in the scripts.
func TestEveryCommandHasAScript(t *testing.T) {
	used := map[string]bool{}
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		s, err := parse(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, st := range s.steps {
			if st.verb != "do" {
				continue
			}
			name := strings.ToLower(st.args[0])
			used[name] = true
			if len(st.args) > 1 {
				used[name+"|"+strings.ToLower(st.args[1])] = true
			}
		}
	}
	c := servertest.StartTidemark(t, servertest.Config{Args: []string{"--appendonly", "no"}}).Connect(t)
	var missing []string
	check := func(name string) {
		if !used[name] && elsewhere[name] == "" {
			missing = append(missing, name)
		}
	}
	for _, e := range c.Must(t, "COMMAND").Elems {
		check(e.Elems[0].Str)
		for _, sub := range e.Elems[9].Elems {
			check(sub.Elems[0].Str)
		}
	}
	if slices.Sort(missing); len(missing) > 0 {
		t.Errorf("no script shows: %s", strings.Join(missing, " "))
	}
}
