package cluster

import (
	"testing"

	"tidemark/cmd/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }

// Every type, and every difference that replication could make, shows in the state.
func TestDumpShowsEveryDifference(t *testing.T) {
	srv := servertest.StartRedis(t, servertest.Config{})
	c := srv.Connect(t)
	base := [][]string{
		{"FLUSHALL"}, {"SELECT", "0"}, {"SET", "s", "v"}, {"SET", "e", "v", "PXAT", "4102444800123"},
		{"RPUSH", "l", "a", "b"}, {"SADD", "u", "x", "y", "z"}, {"HSET", "h", "f", "1", "g", "2"},
		{"ZADD", "z", "1.5", "m", "2", "n"}, {"XADD", "x", "1-1", "k", "v"}, {"XGROUP", "CREATE", "x", "grp", "0"},
		{"SELECT", "7"}, {"SET", "s", "other"}, {"SELECT", "0"},
	}
	build := func(more ...string) State {
		for _, words := range base {
			c.Must(t, words...)
		}
		if more != nil {
			if r := c.Must(t, more...); r.IsError() {
				t.Fatalf("%v: %s", more, r)
			}
		}
		s, err := Dump(c)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	want := build()
	if len(want) != 8 {
		t.Fatalf("%d entries: %v", len(want), want)
	}
	if d := Differences(want, build()); d != nil {
		t.Fatalf("the same data differ: %v", d)
	}
	// Another order of insertion is the same set and hash.
	c.Must(t, "DEL", "u", "h")
	c.Must(t, "SADD", "u", "z", "y", "x")
	c.Must(t, "HSET", "h", "g", "2", "f", "1")
	if s, err := Dump(c); err != nil || Differences(want, s) != nil {
		t.Errorf("%v %v", err, Differences(want, s))
	}
	for _, change := range [][]string{
		{"APPEND", "s", "x"}, {"DEL", "s"}, {"SET", "more", "v"}, {"MOVE", "s", "3"}, {"SWAPDB", "0", "7"},
		{"PEXPIREAT", "e", "4102444800124"}, {"PERSIST", "e"}, {"EXPIRE", "s", "1000"},
		{"LPUSH", "l", "c"}, {"LSET", "l", "0", "b"}, {"SREM", "u", "x"}, {"HSET", "h", "f", "2"}, {"ZINCRBY", "z", "0.001", "m"},
		{"XADD", "x", "1-2", "k", "v"}, {"XSETID", "x", "5-0"}, {"XGROUP", "SETID", "x", "grp", "$"}, {"XREADGROUP", "GROUP", "grp", "me", "STREAMS", "x", ">"},
	} {
		if d := Differences(want, build(change...)); d == nil {
			t.Errorf("%v makes no difference", change)
		}
	}
}
