package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tidemark/cmd/servertest"
)

// docsNewer is newer for COMMAND DOCS.
var docsNewer = map[string]string{
	"bitop":                   "7.2: the operations are listed",
	"client|kill":             "7.4: MAXAGE, and SKIPME in full",
	"client|list":             "7.2: the ids without a block",
	"client|pause":            "7.2: the release that had it first, rather than the development version",
	"command|getkeys":         "7.2: the arguments",
	"command|getkeysandflags": "7.2: the arguments",
	"config|get":              "7.2: the parameters without a block",
	"geohash":                 "7.2: members may be missing",
	"geopos":                  "7.2: members may be missing",
	"georadius":               "7.2: one of STORE and STOREDIST",
	"georadius_ro":            "7.2: UPPER CASE units",
	"georadiusbymember":       "7.2: one of STORE and STOREDIST",
	"georadiusbymember_ro":    "7.2: UPPER CASE units",
	"hscan":                   "7.4: NOVALUES",
	"pfmerge":                 "7.2: sources may be missing",
	"psetex":                  "7.2: deprecated",
	"quit":                    "7.2: deprecated",
	"setex":                   "7.2: deprecated",
	"setnx":                   "7.2: deprecated",
	"xinfo|consumers":         "7.2: when a consumer was active",
	"xinfo|stream":            "7.2: when a consumer was active",
	"zrank":                   "7.2: WITHSCORE",
	"zrevrank":                "7.2: WITHSCORE",
}

// TestCommandDocsLikeRedis compares what COMMAND DOCS says of the commands both servers have. Summaries, complexities and histories are in each
// server's own words: only that they are there and what versions they name is compared.
func TestCommandDocsLikeRedis(t *testing.T) {
	redis := servertest.StartRedis(t, servertest.Config{}).Connect(t)
	mine := servertest.StartTidemark(t, servertest.Config{}).Connect(t)
	redis.Must(t, "HELLO", "3")
	mine.Must(t, "HELLO", "3")
	names := servertest.RedisAtLeast(t, "7.4") // arguments were renamed until then
	theirs := flattenDocs(redis.Must(t, "COMMAND", "DOCS"), names)
	ours := flattenDocs(mine.Must(t, "COMMAND", "DOCS"), names)
	if len(ours) < 100 {
		t.Fatalf("only %d commands", len(ours))
	}
	for name, got := range ours {
		if want, ok := theirs[name]; ok && got != want && !mayDiffer(t, docsNewer[name]) {
			t.Errorf("COMMAND DOCS %s\n  redis:\n%s\n  here:\n%s", name, want, got)
		}
	}
}

// flattenDocs gives the entry of every command and subcommand as text, the arguments with or without their names.
func flattenDocs(docs servertest.Reply, names bool) map[string]string {
	out := map[string]string{}
	for i := 0; i+1 < len(docs.Elems); i += 2 {
		name, d := docs.Elems[i].Str, docs.Elems[i+1]
		var b strings.Builder
		for j := 0; j+1 < len(d.Elems); j += 2 {
			switch field, v := d.Elems[j].Str, d.Elems[j+1]; field {
			case "summary", "complexity":
				if v.Str == "" {
					b.WriteString("no " + field + "\n")
				}
			case "subcommands":
				for sub, text := range flattenDocs(v, names) {
					out[sub] = text
				}
			case "history":
				var versions []string
				for _, h := range v.Elems {
					versions = append(versions, h.Elems[0].Str)
				}
				slices.Sort(versions)
				fmt.Fprintf(&b, "history: %v\n", slices.Compact(versions))
			case "arguments":
				describeArgs(&b, v, names, 1)
			default:
				fmt.Fprintf(&b, "%s: %v\n", field, v)
			}
		}
		out[name] = b.String()
	}
	return out
}

func describeArgs(b *strings.Builder, args servertest.Reply, names bool, depth int) {
	for _, a := range args.Elems {
		b.WriteString(strings.Repeat("  ", depth))
		var nested servertest.Reply
		for i := 0; i+1 < len(a.Elems); i += 2 {
			switch field, v := a.Elems[i].Str, a.Elems[i+1]; {
			case field == "arguments":
				nested = v
			case names || field != "display_text" && field != "name":
				fmt.Fprintf(b, "%s=%v ", field, inOrder(v))
			}
		}
		b.WriteByte('\n')
		describeArgs(b, nested, names, depth+1)
	}
}
