package engine

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"tidemark/engine/command"
	"tidemark/engine/keyspace"
	"tidemark/engine/testclient"
	"tidemark/netio/resp"
)

// takers is an extension with one blocking command: TAKE key timeout-ms takes a string away, or waits for one.
type takers struct{ noExtension }

func (*takers) Commands() []*command.Descriptor {
	return []*command.Descriptor{{Name: "take", Arity: 3, Flags: command.Write | command.Blocking, Keys: command.One(0), Log: command.LogEffect,
		Handler: func(c *command.Ctx) {
			ms, ok := c.Timeout(2)
			if !ok {
				return
			}
			k := &c.Keys[0]
			r, v, ok := c.FindStringForWrite(k)
			switch {
			case !ok:
			case r == 0:
				c.BlockOn(command.Waiting{Type: keyspace.String, TimeoutMs: ms, None: func(w *resp.Writer) { w.Null() }})
			default:
				c.W.Bulk(v)
				k.Shard.Delete(c.DB, k.Hash, r)
				c.Effect([]byte("DEL"), k.Name)
				c.Changed(k)
			}
		}}}
}

// TestBlockedOnKeys: clients on several loops wait for keys, and are served, give up, are told to, and leave.
func TestBlockedOnKeys(t *testing.T) {
	for _, options := range [][]string{{"--appendonly", "no"}, {"--appendfsync", "always"}, {"--appendfsync", "everysec"}} {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			dir := t.TempDir()
			s := testServerWith(t, &takers{}, dir, append(options, "--io-threads", "3")...)
			admin := dial(t, s)
			blocked := func(n int) {
				t.Helper()
				testclient.Eventually(t, fmt.Sprint(n, " clients wait"), func() bool {
					return strings.Contains(admin.Do("INFO clients"), fmt.Sprintf("\r\nblocked_clients:%d\r\n", n))
				})
			}
			var all []*testclient.Client
			for i := range 12 {
				c := dial(t, s)
				c.Send("TAKE k 0")
				blocked(i + 1)
				all = append(all, c)
			}
			for i, c := range all {
				admin.Want(fmt.Sprint("SET k ", i), "OK", "EXISTS k", "0")
				if got := c.Reply(); got != fmt.Sprint(i) {
					t.Fatalf("client %d got %q", i, got)
				}
				c.Want("PING", "PONG")
			}
			blocked(0)
			// Two wait and an EXEC serves one, with what it left behind.
			all[0].Send("TAKE k 0")
			blocked(1)
			all[1].Send("TAKE k 0")
			blocked(2)
			admin.Want("MULTI", "OK", "SET k one", "QUEUED", "DEL k", "QUEUED", "SET k two", "QUEUED", "TAKE other 0", "QUEUED")
			admin.Want("EXEC", "[OK 1 OK nil]")
			if got := all[0].Reply(); got != "two" {
				t.Errorf("%q", got)
			}
			blocked(1)
			id := all[2].Do("CLIENT ID")
			all[2].Send("TAKE k 0")
			blocked(2)
			admin.Want("CLIENT UNBLOCK "+id+" ERROR", "1")
			if got := all[2].Reply(); got != "-UNBLOCKED client unblocked via CLIENT UNBLOCK" {
				t.Error(got)
			}
			all[3].Want("TAKE k 30", "nil")
			all[4].Send("TAKE k 0")
			blocked(2)
			all[4].Conn.Close()
			blocked(1)
			admin.Want("SET k three", "OK")
			if got := all[1].Reply(); got != "three" {
				t.Error(got)
			}
			// Nobody waits: it stays. A rename and another database serve, too.
			admin.Want("SET k four", "OK", "EXISTS k", "1")
			all[1].Send("TAKE k2 0")
			blocked(1)
			admin.Want("RENAME k k2", "OK")
			if got := all[1].Reply(); got != "four" {
				t.Error(got)
			}
			all[1].Send("TAKE k3 0")
			blocked(1)
			admin.Want("SELECT 1", "OK", "SET k3 five", "OK", "SWAPDB 0 1", "OK")
			if got := all[1].Reply(); got != "five" {
				t.Error(got)
			}
			admin.Want("DBSIZE", "0", "SELECT 0", "OK", "DBSIZE", "0")
		})
	}
}

// TestThousandsWaitForOneKey: they are served group by group as they came, some give up or leave in between, and none has a goroutine.
func TestThousandsWaitForOneKey(t *testing.T) {
	const clients, group = 2000, 100
	s := testServer(t, t.TempDir(), "--appendonly", "no", "--io-threads", "3", "--tcp-backlog", "1024")
	admin := dial(t, s)
	blocked := func(n int) {
		t.Helper()
		testclient.Eventually(t, fmt.Sprint(n, " clients wait"), func() bool {
			return strings.Contains(admin.Do("INFO clients"), fmt.Sprintf("\r\nblocked_clients:%d\r\n", n))
		})
	}
	var all []*testclient.Client
	for range clients {
		all = append(all, dial(t, s))
	}
	admin.Want("PING", "PONG")
	before := runtime.NumGoroutine()
	for i, c := range all {
		c.Send("BRPOP other q other2 100")
		if i%group == group-1 {
			blocked(i + 1)
		}
	}
	if now := runtime.NumGoroutine(); now > before+5 {
		t.Errorf("%d goroutines before, %d while %d clients wait", before, now, clients)
	}
	info := admin.Do("INFO clients")
	for _, want := range []string{"clients_in_timeout_table:2000", "total_blocking_keys:3"} {
		if !strings.Contains(info, want) {
			t.Errorf("no %s in %s", want, info)
		}
	}
	next := 0
	push := func(n int) {
		t.Helper()
		line := "LPUSH q"
		for i := range n {
			line += fmt.Sprint(" e", next+i)
		}
		admin.Want(line, fmt.Sprint(n))
		next += n
	}
	seen := map[string]bool{}
	served := func(list []*testclient.Client, from, to int) {
		t.Helper()
		for _, c := range list {
			got := c.Reply()
			var n int
			if _, err := fmt.Sscanf(got, "[q e%d]", &n); err != nil || n < from || n >= to || seen[got] {
				t.Fatalf("%q is not one of the elements from %d to %d that are still to be had", got, from, to)
			}
			seen[got] = true
		}
	}
	// The first half, a few at a time and many at once.
	for g := 0; g < clients/2; g += group {
		for range 10 {
			push(5)
		}
		push(group - 50)
		served(all[g:g+group], g, g+group)
	}
	blocked(clients / 2)
	// One group leaves, one is told to.
	rest := all[clients/2:]
	for _, c := range rest[:group] {
		c.Conn.Close()
	}
	blocked(clients/2 - group)
	id := ""
	for _, c := range rest[group : 2*group] {
		for line := range strings.Lines(admin.Do("CLIENT LIST")) {
			if strings.Contains(line, " addr="+c.Conn.LocalAddr().String()+" ") {
				id = strings.Fields(line)[0][len("id="):]
			}
		}
		admin.Want("CLIENT UNBLOCK "+id, "1")
		if got := c.Reply(); got != "nil" {
			t.Fatalf("told to stop waiting, a client got %q", got)
		}
	}
	blocked(clients/2 - 2*group)
	rest = rest[2*group:]
	push(len(rest) + 1)
	served(rest, next-len(rest)-1, next)
	admin.Want("LLEN q", "1")
	blocked(0)
	if info := admin.Do("INFO clients"); !strings.Contains(info, "total_blocking_keys:0") {
		t.Error(info)
	}
}
