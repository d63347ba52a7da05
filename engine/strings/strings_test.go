package strings

import (
	"path/filepath"
	"testing"

	"tidemark/engine/command"
	"tidemark/engine/command/commandtest"
)

func families() [][]*command.Descriptor { return [][]*command.Descriptor{Commands()} }

func TestDescriptors(t *testing.T) { commandtest.CompareInfo(t, Commands()) }

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) { commandtest.CompareScript(t, f, families) })
	}
}
