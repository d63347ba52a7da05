package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tidemark/cmd/servertest"
)

// docsNewer says where COMMAND DOCS, being that of Redis 7.4, must differ from redis-server 7.0's.
var docsNewer = map[string]string{
	"hscan":                   "7.4 gave it NOVALUES",
	"client|kill":             "7.4 has MAXAGE, and describes SKIPME in full",
	"client|list":             "7.2 describes the ids without a block",
	"client|pause":            "7.2 names the release that had it first, rather than the development version",
	"command|getkeys":         "7.2 describes its arguments",
	"command|getkeysandflags": "likewise",
	"geohash":                 "7.2 lets it do without members",
	"geopos":                  "likewise",
	"pfmerge":                 "7.2 lets it do without sources",
	"quit":                    "7.2 deprecates it",
	"xinfo|consumers":         "7.2 tells when a consumer was active",
	"xinfo|stream":            "likewise",
	"zrank":                   "7.2 gave it WITHSCORE",
	"zrevrank":                "likewise",
}

// TestCommandDocsLikeRedis compares what COMMAND DOCS says of the commands both servers have. Summaries and histories are in each
// server's own words: only what versions they name is compared.
func TestCommandDocsLikeRedis(t *testing.T) {
	redis := servertest.StartRedis(t, servertest.Config{}).Connect(t)
	mine := servertest.StartTidemark(t, servertest.Config{}).Connect(t)
	redis.Must(t, "HELLO", "3")
	mine.Must(t, "HELLO", "3")
	theirs := flattenDocs(redis.Must(t, "COMMAND", "DOCS"))
	ours := flattenDocs(mine.Must(t, "COMMAND", "DOCS"))
	if len(ours) < 100 {
		t.Fatalf("only %d commands", len(ours))
	}
	for name, got := range ours {
		if want, ok := theirs[name]; ok && got != want && docsNewer[name] == "" {
			t.Errorf("COMMAND DOCS %s\n  redis:\n%s\n  here:\n%s", name, want, got)
		}
	}
}

// flattenDocs gives the entry of every command and subcommand as text.
func flattenDocs(docs servertest.Reply) map[string]string {
	out := map[string]string{}
	for i := 0; i+1 < len(docs.Elems); i += 2 {
		name, d := docs.Elems[i].Str, docs.Elems[i+1]
		var b strings.Builder
		for j := 0; j+1 < len(d.Elems); j += 2 {
			switch field, v := d.Elems[j].Str, d.Elems[j+1]; field {
			case "summary", "complexity":
			case "subcommands":
				for sub, text := range flattenDocs(v) {
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
				describeArgs(&b, v, 1)
			default:
				fmt.Fprintf(&b, "%s: %v\n", field, v)
			}
		}
		out[name] = b.String()
	}
	return out
}

func describeArgs(b *strings.Builder, args servertest.Reply, depth int) {
	for _, a := range args.Elems {
		b.WriteString(strings.Repeat("  ", depth))
		var nested servertest.Reply
		for i := 0; i+1 < len(a.Elems); i += 2 {
			switch field, v := a.Elems[i].Str, a.Elems[i+1]; field {
			case "arguments":
				nested = v
			case "display_text", "name": // renamed between versions again and again
			default:
				fmt.Fprintf(b, "%s=%v ", field, inOrder(v))
			}
		}
		b.WriteByte('\n')
		describeArgs(b, nested, depth+1)
	}
}
