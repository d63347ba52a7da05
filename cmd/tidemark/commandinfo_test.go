package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"tidemark/cmd/servertest"
)

// newer says of which commands COMMAND INFO, being that of Redis 7.4, differs from an older redis-server's, and since which version it says so.
var newer = map[string]string{
	"blmove":                  "7.2: allowed in scripts",
	"blpop":                   "7.2: allowed in scripts",
	"brpop":                   "7.2: allowed in scripts",
	"brpoplpush":              "7.2: allowed in scripts",
	"bzpopmax":                "7.2: allowed in scripts",
	"bzpopmin":                "7.2: allowed in scripts",
	"client|no-touch":         "7.2: new",
	"client|setinfo":          "7.2: new",
	"client|setname":          "7.2: tips for clients of clusters",
	"command|getkeys":         "7.2: describes commands without arguments too",
	"command|getkeysandflags": "7.2: describes commands without arguments too",
	"config|resetstat":        "7.2: tips for clients of clusters",
	"config|rewrite":          "7.2: tips for clients of clusters",
	"hexpire":                 "7.4: new",
	"hexpireat":               "7.4: new",
	"hexpiretime":             "7.4: new",
	"hpersist":                "7.4: new",
	"hpexpire":                "7.4: new",
	"hpexpireat":              "7.4: new",
	"hpexpiretime":            "7.4: new",
	"hpttl":                   "7.4: new",
	"httl":                    "7.4: new",
	"hgetdel":                 "8.0: new",
	"hgetex":                  "8.0: new",
	"hsetex":                  "8.0: new",
	"msetnx":                  "7.2: no tips any more: it is all or nothing",
	"randomkey":               "7.2: tips for clients of clusters",
	"scan":                    "7.2: tips for clients of clusters",
	"sinterstore":             "7.2: overwrites the destination, and does not read it",
	"wait":                    "7.2: flagged as blocking",
	"waitaof":                 "7.2: new",
	"zrank":                   "7.2: WITHSCORE",
	"zrevrank":                "7.2: WITHSCORE",
}

// mayDiffer reports whether the reference is older than what an entry of newer or docsNewer says.
func mayDiffer(t *testing.T, entry string) bool {
	t.Helper()
	version, _, ok := strings.Cut(entry, ": ")
	return ok && !servertest.RedisAtLeast(t, version)
}

// TestCommandInfoLikeRedis compares what COMMAND INFO says of every command that both servers have.
func TestCommandInfoLikeRedis(t *testing.T) {
	redis := servertest.StartRedis(t, servertest.Config{}).Connect(t)
	mine := servertest.StartTidemark(t, servertest.Config{}).Connect(t)
	for _, proto := range []string{"2", "3"} {
		redis.Must(t, "HELLO", proto)
		mine.Must(t, "HELLO", proto)
		theirs := map[string]servertest.Reply{}
		for _, r := range redis.Must(t, "COMMAND").Elems {
			theirs[r.Elems[0].Str] = r
		}
		list := mine.Must(t, "COMMAND").Elems
		if len(list) < 80 {
			t.Fatalf("only %d commands", len(list))
		}
		for _, r := range list {
			compareInfo(t, theirs, r)
		}
	}
}

// compareInfo compares one command and the subcommands both have.
func compareInfo(t *testing.T, theirs map[string]servertest.Reply, mine servertest.Reply) {
	t.Helper()
	name := mine.Elems[0].Str
	want, ok := theirs[name]
	if !ok {
		if !mayDiffer(t, newer[name]) {
			t.Errorf("redis-server does not have %s", name)
		}
		return
	}
	if got, want := describe(mine), describe(want); got != want && !mayDiffer(t, newer[name]) {
		t.Errorf("COMMAND INFO %s\n  redis: %s\n  here:  %s", name, want, got)
	}
	subs := map[string]servertest.Reply{}
	for _, s := range want.Elems[9].Elems {
		subs[s.Elems[0].Str] = s
	}
	for _, s := range mine.Elems[9].Elems {
		compareInfo(t, subs, s)
	}
}

// describe gives an entry of COMMAND INFO without its subcommands, and with the members of sets in order.
func describe(r servertest.Reply) string {
	var b strings.Builder
	for i, e := range r.Elems[:9] {
		switch i {
		case 2, 6, 7:
			e = inOrder(e)
		case 8:
			specs := slices.Clone(e.Elems)
			for j, s := range specs {
				specs[j] = flagsInOrder(s)
			}
			e.Elems = specs
		}
		fmt.Fprintf(&b, "%v ", e)
	}
	return b.String()
}

func inOrder(r servertest.Reply) servertest.Reply {
	r.Elems = slices.Clone(r.Elems)
	sort.Slice(r.Elems, func(i, j int) bool { return r.Elems[i].Str < r.Elems[j].Str })
	return r
}

func flagsInOrder(spec servertest.Reply) servertest.Reply {
	spec.Elems = slices.Clone(spec.Elems)
	for i, e := range spec.Elems {
		if i > 0 && spec.Elems[i-1].Str == "flags" {
			spec.Elems[i] = inOrder(e)
		}
		if i > 0 && spec.Elems[i-1].Str == "notes" {
			spec.Elems[i].Str = "in each server's own words"
		}
	}
	return spec
}

// TestRenameEveryCommand: a redis.conf may take any command of Redis away, also those that are not here yet.
func TestRenameEveryCommand(t *testing.T) {
	redis := servertest.StartRedis(t, servertest.Config{}).Connect(t)
	conf := "save \"\"\nrename-command EVAL secret\n"
	for _, r := range redis.Must(t, "COMMAND").Elems {
		if name := r.Elems[0].Str; name != "ping" && name != "eval" {
			conf += "rename-command " + name + " \"\"\n"
		}
	}
	path := filepath.Join(t.TempDir(), "redis.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s := servertest.StartTidemark(t, servertest.Config{Args: []string{"--include", path}})
	c := s.Connect(t)
	expect(t, c, "+PONG", "PING")
	expect(t, c, "-ERR unknown command 'SET', with args beginning with: 'k' 'v' ", "SET", "k", "v")
	expect(t, c, "-ERR unknown command 'secret', with args beginning with: ", "secret")
	if log := s.Log(); !strings.Contains(log, "rename-command: EVAL is not there yet") {
		t.Errorf("the log does not tell that EVAL is not there:\n%s", log)
	}
}
