package bitmap

import (
	"testing"

	"tidemark/engine/command"
	"tidemark/engine/command/commandtest"
	"tidemark/engine/strings"
)

func families() [][]*command.Descriptor {
	return [][]*command.Descriptor{Commands(), strings.Commands()}
}

func TestDescriptors(t *testing.T) { commandtest.CompareInfo(t, Commands()) }

func TestScripts(t *testing.T) { commandtest.CompareScript(t, "testdata/bitmap.txt", families) }
