package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidemark/cmd/servertest"
	"tidemark/cmd/servertest/cluster"
)

// writeFields sends random commands on hashes whose fields expire: far away, at once, or never.
func writeFields(t *testing.T, c *servertest.Client, rnd *rand.Rand, n int) {
	t.Helper()
	for range n {
		key := "h" + strconv.Itoa(rnd.IntN(8))
		f, g := "f"+strconv.Itoa(rnd.IntN(40)), "f"+strconv.Itoa(rnd.IntN(40))
		far := strconv.FormatInt(time.Now().UnixMilli()+1_000_000+int64(rnd.IntN(1000)), 10)
		soon := strconv.Itoa(1 + rnd.IntN(10))
		for _, a := range [][]string{
			{"HSET", key, f, "1", g, strings.Repeat("v", rnd.IntN(80))},
			{"HPEXPIREAT", key, far, "FIELDS", "2", f, g},
			{"HSETEX", key, "PXAT", far, "FIELDS", "1", f, "2"},
			{"HSETEX", key, "KEEPTTL", "FIELDS", "1", g, "3"},
			{"HSETEX", key, "PX", soon, "FIELDS", "2", f, "4", g, "5"},
			{"HPEXPIRE", key, soon, "FIELDS", "1", g},
			{"HGETEX", key, "PERSIST", "FIELDS", "1", f},
			{"HPERSIST", key, "FIELDS", "1", f},
			{"HINCRBYFLOAT", key, "n", "0.5"},
			{"HPEXPIREAT", key, far, "NX", "FIELDS", "1", "n"},
			{"HGETDEL", key, "FIELDS", "1", f},
			{"HGET", key, g},
			{"COPY", key, "h" + strconv.Itoa(rnd.IntN(8)), "REPLACE"},
		} {
			if rnd.IntN(3) == 0 {
				if _, err := c.Do(a...); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// settled is what a server holds once everything that expires soon is gone.
func settled(t *testing.T, s *servertest.Server) (cluster.State, string) {
	t.Helper()
	c := s.Connect(t)
	time.Sleep(30 * time.Millisecond) // what the workload lets expire soon is due by then; before that HLEN and HKEYS agree without meaning it
	until(t, "fields to expire", func() bool {
		for i := range 8 {
			key := "h" + strconv.Itoa(i)
			if c.Must(t, "HLEN", key).Int != int64(len(c.Must(t, "HKEYS", key).Elems)) {
				return false
			}
		}
		return true
	})
	state, err := cluster.Dump(c)
	if err != nil {
		t.Fatal(err)
	}
	return state, c.Must(t, "DEBUG", "DIGEST").Str
}

// What was acknowledged about fields that expire is there after the process was killed, from the log alone and from a base with a log.
func TestFieldExpirySurvivesKill(t *testing.T) {
	for _, rewrite := range []bool{false, true} {
		t.Run(fmt.Sprintf("rewrite=%v", rewrite), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(1, 2))
			s := servertest.StartTidemark(t, servertest.Config{Args: []string{"--appendfsync", "always", "--enable-debug-command", "yes", "--save", "", "--hash-max-listpack-entries", "20"}})
			c := s.Connect(t)
			writeFields(t, c, rnd, 200)
			if rewrite {
				c.Must(t, "BGREWRITEAOF")
				writeFields(t, c, rnd, 100)
				until(t, "the rewrite", func() bool { return info(t, c, "aof_rewrite_in_progress") == "0" })
				if bases, _ := filepath.Glob(filepath.Join(s.Dir, "appendonlydir", "*.base.rdb")); len(bases) != 1 {
					t.Errorf("bases: %q", bases)
				} else if b, err := os.ReadFile(bases[0]); err != nil || !strings.HasPrefix(string(b), "REDIS0012") {
					t.Errorf("the base begins with %.9q, %v", b, err)
				}
			}
			want, digest := settled(t, s)
			s.Kill()
			again, err := s.Restart()
			if err != nil {
				t.Fatal(err)
			}
			defer again.Kill()
			got, digest2 := settled(t, again)
			if !maps.Equal(got, want) || digest != digest2 {
				t.Errorf("after the restart\n%v\nbefore\n%v", got, want)
			}
			if len(want) < 4 {
				t.Errorf("only %d keys", len(want))
			}
		})
	}
}

// A replica has the same fields with the same expiries, hides what has expired, and removes nothing before the primary says so.
func TestFieldExpiryOnReplica(t *testing.T) {
	args := []string{"--appendonly", "no", "--enable-debug-command", "yes", "--save", "", "--hash-max-listpack-entries", "20", "--repl-diskless-sync-delay", "0"}
	primary, replica := servertest.StartTidemark(t, servertest.Config{Args: args}), servertest.StartTidemark(t, servertest.Config{Args: args})
	p, r := primary.Connect(t), replica.Connect(t)
	rnd := rand.New(rand.NewPCG(3, 4))
	writeFields(t, p, rnd, 100) // these come with the snapshot
	r.Must(t, "REPLICAOF", "127.0.0.1", strconv.Itoa(primary.Port))
	until(t, "the link", func() bool { return info(t, r, "master_link_status") == "up" })
	writeFields(t, p, rnd, 200) // and these with the stream
	want, digest := settled(t, primary)
	p.Must(t, "WAIT", "1", "5000")
	if got, digest2 := settled(t, replica); !maps.Equal(got, want) || digest != digest2 {
		t.Errorf("the replica has\n%v\nthe primary\n%v", got, want)
	}

	p.Must(t, "DEBUG", "SET-ACTIVE-EXPIRE", "0")
	p.Must(t, "DEL", "h")
	p.Must(t, "HSETEX", "h", "PX", "20", "FIELDS", "2", "a", "1", "b", "2")
	p.Must(t, "HSET", "h", "c", "3")
	p.Must(t, "WAIT", "1", "5000")
	until(t, "the replica to hide them", func() bool { return len(r.Must(t, "HKEYS", "h").Elems) == 1 })
	if got := r.Must(t, "HGET", "h", "a"); !got.IsNull() {
		t.Errorf("HGET of what has expired: %s", got)
	}
	if n := r.Must(t, "HLEN", "h").Int; n != 3 {
		t.Errorf("the replica has %d fields, though its primary has not said that they expired", n)
	}
	p.Must(t, "HMGET", "h", "a", "b") // removes them
	p.Must(t, "WAIT", "1", "5000")
	if n := r.Must(t, "HLEN", "h").Int; n != 1 {
		t.Errorf("the replica has %d fields after its primary's HDEL", n)
	}
	if n := info(t, r, "expired_subkeys"); n != "0" {
		t.Errorf("the replica expired %s fields by itself", n)
	}
	if n := info(t, p, "expired_subkeys"); n == "0" {
		t.Error("the primary counts no expired fields")
	}
}

// Active expiry comes in time, for hashes of any size, and INFO tells of it.
func TestActiveFieldExpiry(t *testing.T) {
	s := servertest.StartTidemark(t, servertest.Config{Args: []string{"--appendfsync", "everysec", "--save", ""}})
	c := s.Connect(t)
	const n = 20_000
	for from := 0; from < n; from += 1000 {
		a := []string{"HSETEX", "large", "PX", "400", "FIELDS", "1000"}
		for i := range 1000 {
			a = append(a, "field:"+strconv.Itoa(from+i), "v")
		}
		c.Must(t, a...)
	}
	c.Must(t, "HSETEX", "small", "PX", "50", "FIELDS", "2", "a", "1", "b", "2")
	c.Must(t, "HSET", "small", "c", "3")
	if f := info(t, c, "db0"); !strings.HasSuffix(f, "subexpiry=2") {
		t.Errorf("INFO keyspace: %s", f)
	}
	until(t, "the fields of the small hash to expire", func() bool { return c.Must(t, "HLEN", "small").Int == 1 })
	until(t, "the large hash to expire", func() bool { return c.Must(t, "EXISTS", "large").Int == 0 })
	if f := info(t, c, "db0"); !strings.HasSuffix(f, "subexpiry=0") {
		t.Errorf("INFO keyspace: %s", f)
	}
	if got := info(t, c, "expired_subkeys"); got != strconv.Itoa(n+2) {
		t.Errorf("expired_subkeys: %s", got)
	}
}
