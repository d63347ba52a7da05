package config

import (
	"fmt"
	"strings"
)

// Invocation is what a command line asks for.
type Invocation struct {
	Version bool // print the version and end
	Help    bool // print the usage and end
	File    string
	Stdin   bool       // a configuration comes over standard input
	Options [][]string // each a directive and its arguments
}

// ParseArgs reads the arguments of `tidemark [file] [-] [--directive value ...] ...` by the rules of Redis 7: everything up to the next
// word that begins with "--" belongs to the directive, but the word right behind a bare --directive is its value whatever it
// begins with; "--directive value" may also be a single word; a bare --save is --save "".
func ParseArgs(args []string) (Invocation, error) {
	var inv Invocation
	if len(args) == 1 {
		switch args[0] {
		case "-v", "--version":
			inv.Version = true
			return inv, nil
		case "-h", "--help":
			inv.Help = true
			return inv, nil
		}
	}
	if len(args) > 0 && args[0] == "--test-memory" {
		return inv, fmt.Errorf("--test-memory is not supported: use memtester or memtest86 to test this machine's memory")
	}
	if len(args) > 0 && args[0] == "--sentinel" {
		return inv, fmt.Errorf("--sentinel is not supported: run Redis's own Sentinel")
	}
	if len(args) > 0 && args[0] == "--check-system" {
		return inv, fmt.Errorf("--check-system is not supported")
	}
	i := 0
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		inv.File = args[0]
		i = 1
	}
	bare := false // the last word was a directive without a value
	for ; i < len(args); i++ {
		word := args[i]
		if word == "-" && (i == 0 || i == len(args)-1) {
			inv.Stdin = true
			continue
		}
		if bare || !strings.HasPrefix(word, "--") {
			if len(inv.Options) == 0 {
				inv.Options = append(inv.Options, nil)
			}
			last := &inv.Options[len(inv.Options)-1]
			*last = append(*last, word)
			bare = false
			continue
		}
		option, err := SplitLine(word[2:])
		if err != nil {
			return inv, fmt.Errorf("%w: %s", err, word)
		}
		if len(option) == 0 {
			return inv, fmt.Errorf("an option without a name: '%s'", word)
		}
		bare = len(option) == 1
		if bare && strings.EqualFold(option[0], "save") && (i == len(args)-1 || strings.HasPrefix(args[i+1], "--")) {
			option = append(option, "")
			bare = false
		}
		inv.Options = append(inv.Options, option)
	}
	return inv, nil
}

// Usage is the text of --help. program is the name the process was started under.
func Usage(program string) string {
	return strings.ReplaceAll(`Usage: tidemark [/path/to/redis.conf] [options] [-]
       tidemark - (read config from stdin)
       tidemark -v or --version
       tidemark -h or --help

Examples:
       tidemark (run the server with default conf, data in ./`+DefaultDir+`)
       echo 'maxmemory 128mb' | tidemark -
       tidemark /etc/redis/6379.conf
       tidemark --port 7777
       tidemark --port 7777 --appendfsync always
       tidemark /etc/myredis.conf --loglevel verbose -
       tidemark /etc/myredis.conf --loglevel verbose
`, "tidemark", program)
}
