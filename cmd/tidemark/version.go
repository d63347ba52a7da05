package main

import (
	"fmt"
	"hash/fnv"
	"runtime/debug"
	"strings"

	"tidemark/engine/config"
)

// versionLine has the words that tools look for in `redis-server --version`.
func versionLine() string {
	sha, modified, id := build()
	return fmt.Sprintf("Redis server v=%s sha=%s:%d malloc=mmap bits=64 build=%s tidemark_version=%s",
		config.RedisVersion, sha, modified, id, config.Version)
}

// build says which source this program was made from: the first characters of the commit, whether the tree had changes (0 or 1), and
// a short name of the build.
func build() (sha string, modified int, id string) {
	sha = "00000000"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return sha, 0, "0"
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 8:
			sha = s.Value[:8]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = 1
		}
	}
	h := fnv.New64a()
	h.Write([]byte(info.String()))
	return sha, modified, fmt.Sprintf("%x", h.Sum64())
}

// refusedName refuses to be what links of these names promise. Under any other name, redis-server among them, it is the server.
func refusedName(program string) error {
	switch {
	case strings.Contains(program, "redis-sentinel"):
		return fmt.Errorf("%s: tidemark is not a Sentinel. Redis's own Sentinel can watch it", program)
	case strings.Contains(program, "redis-check-"):
		return fmt.Errorf("%s: tidemark does not check files. Use tidemark-aof, or Redis's own tool", program)
	}
	return nil
}
